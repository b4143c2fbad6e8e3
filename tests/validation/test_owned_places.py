"""A second run of a command is refused; missing libraries are named before anything is made.

Looked at: verify (folder of --report, file of --json), compare (folder of --out), bench (folder of
--report), library calls that hold the same folders; a user's own files in these folders.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from riemann_lne.errors import FolderInUseError
from riemann_lne.locks import hold
from riemann_lne_validation.lab.folders import owned, require_writable
from riemann_lne_validation.lab.workers import worker_pool

VERIFY = ["verify", "--only", "natural-gradient", "--jobs", "1"]
COMPARE = ["compare", "--methods", "ste", "--seeds", "2", "--epochs", "1", "--jobs", "1"]


def run(*arguments: str, blocked: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, in which some libraries cannot be imported."""
    program = (
        "import sys\n"
        # torch is looked for by name in sys.modules; torch itself looks for others by their specs.
        f"sys.modules.update(dict.fromkeys(set({blocked.split()!r}) - {{'torch'}}))\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {blocked.split()!r} and name.startswith('torch'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from riemann_lne.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "option", "inside"),
    [(VERIFY, "--report", True), (VERIFY, "--json", False), (COMPARE, "--out", True)],
    ids=["verify --report", "verify --json", "compare --out"],
)
def test_a_second_run_is_refused_and_told_who_is_there(
    command: list[str], option: str, inside: bool, tmp_path: Path
) -> None:
    if command is COMPARE:
        pytest.importorskip("torch")
    place = tmp_path / "results"
    if inside:
        place.mkdir()
    with hold(place, "a run of mine", inside=inside):
        before = sorted(p.name for p in tmp_path.rglob("*"))
        done = run(*command, option, str(place))
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"process {os.getpid()}" in done.stderr or str(os.getpid()) in done.stderr
        assert "a run of mine" in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "option", "blocked", "extra"),
    [
        (COMPARE, "--out", "torch", "torch"),
        (COMPARE, "--out", "sklearn", "compare"),
        (VERIFY, "--report", "matplotlib", "verify"),
        (VERIFY, "--report", "rich", "verify"),
    ],
    ids=lambda v: v if isinstance(v, str) else v[0],
)
def test_a_missing_library_is_named_and_no_folder_is_left(
    command: list[str], option: str, blocked: str, extra: str, tmp_path: Path
) -> None:
    done = run(*command, option, str(tmp_path / "new" / "results"), blocked=blocked)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "pip install 'riemann-lne[" in done.stderr
    assert extra in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_users_own_files_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / ".write-test"
    mine.write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not to be touched")
    (tmp_path / ".riemann-lne-link").symlink_to(elsewhere)
    with owned("results", [tmp_path]):
        require_writable(tmp_path)
    assert mine.read_text() == "mine"
    assert elsewhere.read_text() == "not to be touched"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".riemann-lne-link",
        ".write-test",
        "elsewhere",
    ]


def test_one_process_may_not_own_a_place_twice_in_two_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def second() -> str:
        try:
            with owned("results", [tmp_path]):
                return "owned"
        except FolderInUseError:
            return "refused"

    with owned("results", [tmp_path]), ThreadPoolExecutor(1) as other:
        assert other.submit(second).result() == "refused"
    assert second() == "owned"


def report_and_wait(path: str) -> None:
    """Work that never ends: it writes its process number, then waits."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


PARENT = """
import sys
sys.path.insert(0, {folder!r})
from test_owned_places import report_and_wait
from riemann_lne_validation.lab.workers import worker_pool
if __name__ == "__main__":
    with worker_pool(1) as pool:
        pool.submit(report_and_wait, sys.argv[1]).result()
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script, note = tmp_path / "parent.py", tmp_path / "pid"
    script.write_text(PARENT.format(folder=str(Path(__file__).parent)))
    parent = subprocess.Popen([sys.executable, str(script), str(note)])
    worker = int(_eventually(lambda: note.exists() and note.read_text()))
    parent.kill()
    parent.wait()
    assert _eventually(lambda: not _alive(worker))


def _eventually(condition, attempts: int = 600):
    """The first true value of a condition; a generous number of looks, for busy machines."""
    for _ in range(attempts):
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("it did not come")


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        # A process that nobody has waited for yet (Z) has ended.
        try:
            return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def test_a_pool_that_is_left_with_an_error_ends_its_workers(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def leave() -> None:
        with worker_pool(1) as pool:
            pool.submit(report_and_wait, str(note))
            _eventually(lambda: note.exists() and note.read_text())
            raise KeyError("left")

    with pytest.raises(KeyError, match="left"):
        leave()
    worker = int(note.read_text())
    assert _eventually(lambda: not _alive(worker))


FLOW = Path(__file__).parents[1] / "flow_command" / "run.toml"


def on_a_disk(name: str, folder: Path) -> list[str]:
    """The command that writes into the folder; the same again goes on."""
    if name == "flow":
        if not (folder / "run.toml").exists():
            shutil.copy(FLOW, folder)
        return ["flow", str(folder / "run.toml"), "--resume"]
    if name == "verify":
        return [*VERIFY, "--report", str(folder / "report"), "--resume"]
    words = ["--out", str(folder / "runs"), "--json", str(folder / "all.json")]
    return [*COMPARE, "--checkpoint-seconds", "0", *words]


@pytest.mark.parametrize(
    ("name", "pages"),
    [
        ("flow", 2),
        pytest.param("flow", 10, marks=pytest.mark.slow),
        ("verify", 1),
        pytest.param("verify", 8, marks=pytest.mark.slow),
        pytest.param("compare", 1, marks=pytest.mark.slow),
        pytest.param("compare", 4, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_ends_a_command_with_advice(name: str, pages: int, small_disk: Any) -> None:
    folder = small_disk.folder
    command = on_a_disk(name, folder)
    small_disk.leave(pages)
    done = run(*command)
    text = done.stdout + done.stderr
    assert done.returncode not in (0, -9), text
    assert "Traceback" not in text
    assert "No space left on device" in text
    assert str(folder) in text
    small_disk.clear()
    again = run(*command)
    assert again.returncode == 0, again.stdout + again.stderr
