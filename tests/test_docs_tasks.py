"""Five things that a reader wants to do in the first hour, each by the blocks of one page alone.

A page's Python blocks run in one program, its bash blocks in a shell, in the order of the page, in
a folder that is empty. A block whose first line is a comment with a file's name is saved under it.
The slow test does so in an environment into which only the page's extras were installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The page, the extras that it names, what it must leave behind, and what it must print.
TASKS = {
    "surfaces": ("plot,io", ["torus.nc", "torus.gif", "torus.npz"], ["0.6667", "3.33"]),
    "own-claim": ("verify", ["my-report/index.html"], ["holds with conditions", "einstein-sphere"]),
    "own-network": ("torch", [], ["of the test items are right", "norm2"]),
    "testing/metric": ("strategies", ["test_mine.py"], ["1 passed"]),
    "own-task": ("compare", ["my-comparison"], ["lne-exact against ste"]),
}
PROGRAM = r"""
import re, subprocess, sys
text = open(sys.argv[1], encoding="utf-8").read()
names = {"__name__": "page"}
for language, block in re.findall(r"^```(python|bash)\n(.*?)^```", text, re.S | re.M):
    if language == "bash":
        for line in block.strip().splitlines():
            print("$", line, flush=True)
            subprocess.run(line, shell=True, check=True)
        continue
    name = re.match(r"# (\w+\.py)\n", block)
    if name:
        open(name[1], "w", encoding="utf-8").write(block)
    if "..." not in block:  # a part of a program, shown for its shape
        exec(compile(block, sys.argv[1], "exec"), names)
"""


def run(page: str, python: str, path: str, folder: Path, more: dict[str, str]) -> str:
    environment = {**os.environ, **more, "PATH": path, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [python, "-c", PROGRAM, str(ROOT / "docs" / f"{page}.md")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def look(page: str, folder: Path, printed: str) -> None:
    _, left, words = TASKS[page]
    for name in left:
        assert (folder / name).exists(), name
    for word in words:
        assert word in printed, printed[-3000:]


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[] if p == "own-claim" else [pytest.mark.slow]) for p in TASKS],
)
def test_the_page_alone_is_enough(page: str, tmp_path: Path) -> None:
    for extra, library in (("compare", "sklearn"), ("torch", "torch"), ("io", "xarray")):
        if extra in TASKS[page][0]:
            pytest.importorskip(library)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, module in (("riemann-lne", "-m riemann_lne"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (commands / name).chmod(0o755)
    folder = tmp_path / "empty"
    folder.mkdir()
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    here = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), str(ROOT / "validation")])
    look(page, folder, run(page, sys.executable, path, folder, {"PYTHONPATH": here}))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as make package builds it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("wheel")
    asked = [sys.executable, "-m", "build", "-q", "--wheel", "-o", str(folder), str(ROOT)]
    made = subprocess.run(asked, capture_output=True, text=True, timeout=600, check=False)
    if made.returncode:
        pytest.skip(f"no wheel could be built here: {made.stderr[-300:]}")
    return next(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize("page", TASKS)
def test_the_page_in_an_empty_environment(page: str, wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    extras = TASKS[page][0]
    wanted = [f"{wheel}[{extras}]", *(["pytest"] if page == "testing/metric" else [])]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    asked = [str(python), "-m", "pip", "install", "-q", *constraints, *wanted]
    installed = subprocess.run(asked, capture_output=True, text=True, timeout=1200, check=False)
    if installed.returncode:
        pytest.skip(f"could not be installed here: {installed.stderr[-300:]}")
    folder = tmp_path / "empty"
    folder.mkdir()
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    look(page, folder, run(page, str(python), path, folder, {"PYTHONPATH": ""}))


def test_the_pages_name_their_extras() -> None:
    for page, (extras, _, _) in TASKS.items():
        text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
        for extra in extras.split(","):
            assert f"`{extra}`" in text, f"{page} does not say that it needs the extra {extra}"
