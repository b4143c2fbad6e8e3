"""The command as a user runs it: examples, kills, interrupts, outputs that exist."""

from __future__ import annotations

import json
import os
import pty
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import StorageError
from riemann_lne.locks import hold

Main = Callable[..., tuple[int, str, str]]

EXAMPLES = Path(__file__).parents[2] / "docs" / "configs"
PNG = b"\x89PNG\r\n\x1a\n"
# The run of the configuration takes 0.1 s; with these steps it takes a few seconds.
LONG = ["--set", "integrator.dt=0.0005", "--set", "output.checkpoint.steps=4"]


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "riemann_lne.cli", "flow", *map(str, arguments)]


def run(*arguments: Any, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, cwd=cwd, check=False,
        env=environment,
    )  # fmt: skip


def assert_same(one: rl.FlowSolution, two: rl.FlowSolution) -> None:
    """To the last bit."""
    assert (one.status, one.message, one.nfev, one.n_accepted) == (
        two.status,
        two.message,
        two.nfev,
        two.n_accepted,
    )
    assert one.t.tobytes() == two.t.tobytes()
    assert [g.packed.tobytes() for g in one.metrics] == [g.packed.tobytes() for g in two.metrics]
    assert one.observed.keys() == two.observed.keys()
    assert all(one.observed[k].tobytes() == two.observed[k].tobytes() for k in one.observed)


def start_and_stop(config: Path, number: signal.Signals, *more: str) -> tuple[int, str, str]:
    """Run, and send a signal at a random moment after the first checkpoint.

    Returns exit code and outputs.
    """
    process = subprocess.Popen(
        command(config, *LONG, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    newest = config.parent / "run.checkpoint" / "b.npz"
    before = newest.stat().st_mtime_ns if newest.exists() else 0
    patience = time.monotonic() + 60
    while not (newest.exists() and newest.stat().st_mtime_ns > before):
        assert time.monotonic() < patience
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.3))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def examples() -> list[Path]:
    return sorted(EXAMPLES.glob("*.toml"))


def test_there_are_examples() -> None:
    assert [p.stem for p in examples()] == ["channel", "sausage", "sphere", "torus"]


@pytest.mark.parametrize("example", examples(), ids=lambda p: p.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("zarr")
    config = Path(shutil.copy(example, tmp_path))
    # From another folder: paths are relative to the configuration.
    done = run(config, cwd=Path("/"))
    assert (done.returncode, done.stderr) == (0, "")
    written = [
        Path(line.split(maxsplit=1)[1].split(" (")[0])
        for line in done.stdout.splitlines()
        if line.startswith("wrote:")
    ]
    assert len(written) >= 2
    for path in written:
        assert path.parent == tmp_path
        if path.suffix == ".png":
            assert path.read_bytes().startswith(PNG)
    solution = rl.FlowSolution.load(written[0])
    assert solution.success
    assert f"ended:            {solution.message}" in done.stdout
    CHECKS[example.stem](solution, done.stdout)


def check_torus(solution: rl.FlowSolution, text: str) -> None:
    """The rate is that of the slowest mode."""
    line = next(x for x in text.splitlines() if x.startswith("decay:"))
    measured, predicted = (float(line.split(word)[0].split()[-1]) for word in (" +-", " predicted"))
    # The nonlinear part has fallen to 1e-5 of the linear one in the window; the differences of
    # order 4 with 32 points change the rate of the first mode by 1e-5.
    assert abs(measured / predicted - 1) < 1e-3


def check_sausage(solution: rl.FlowSolution, text: str) -> None:
    exact = rl.exact.periodic_sausage((1, 0))
    for t, g in zip(solution.t, solution.metrics, strict=True):
        # 32 points resolve the sausage at t = 1 to e^(-16 s), s = asinh-like width 1: 1e-7.
        assert np.abs(g.components - exact.field(t, g.grid).components).max() < 1e-5


def check_sphere(solution: rl.FlowSolution, text: str) -> None:
    # R = 2 / (1 - 2 t) is 100 at t = 0.49; the differences see R a little large at the corners.
    assert solution.t[-1] == pytest.approx(0.49, abs=2e-4)
    assert solution.observed["scalar_curvature_max"][-1] == pytest.approx(100, rel=1e-3)


def check_channel(solution: rl.FlowSolution, text: str) -> None:
    x, y = (a.astype(np.float32) for a in solution.grid.coordinates())
    assert solution[0].packed.dtype == np.float32
    first = 1 + 0.2 * np.cos(x) * np.exp(-((y + 1) ** 2))
    # Single precision.
    assert np.allclose(solution[0].components[0, 0], first, rtol=1e-6)
    upper = 1 + 0.2 * np.cos(x[:, -1]) * np.exp(-4) * np.exp(-0.5)
    assert np.allclose(solution[-1].components[0, 0, :, -1], upper, rtol=1e-6)
    assert np.abs(solution[-1].components[0, 1, :, 0]).max() == 0


CHECKS = {
    "torus": check_torus,
    "sausage": check_sausage,
    "sphere": check_sphere,
    "channel": check_channel,
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> rl.FlowSolution:
    """The run that nobody stops."""
    config = tmp_path_factory.mktemp("full") / "run.toml"
    shutil.copy(Path(__file__).with_name("run.toml"), config)
    done = run(config, *LONG)
    assert (done.returncode, done.stderr) == (0, "")
    return rl.FlowSolution.load(config.parent / "run.npz")


@pytest.mark.parametrize("ending", [".npz", pytest.param(".zarr", marks=pytest.mark.slow)])
def test_a_killed_run_is_resumed_to_the_last_bit(
    ending: str, config: Path, uninterrupted: rl.FlowSolution
) -> None:
    if ending == ".zarr":
        pytest.importorskip("zarr")
    text = config.read_text(encoding="utf-8").replace(".npz", ending)
    config.write_text(text, encoding="utf-8")
    for _ in range(2):
        # The second kill comes after some steps more than the first.
        assert start_and_stop(config, signal.SIGKILL, "--resume")[0] == -signal.SIGKILL
    assert run(config, *LONG, "--resume").returncode == 0
    assert_same(rl.FlowSolution.load(config.parent / f"run{ending}"), uninterrupted)
    # What is done is only read again.
    again = run(config, *LONG, "--resume")
    assert (again.returncode, again.stderr) == (0, "")
    assert_same(rl.FlowSolution.load(config.parent / f"run{ending}"), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".npz", ".zarr"])
def test_twenty_killed_runs_are_resumed_to_the_last_bit(ending: str, kill_campaign: Any) -> None:
    if ending == ".zarr":
        pytest.importorskip("zarr")
    text = Path(__file__).with_name("run.toml").read_text(encoding="utf-8").replace(".npz", ending)

    def call(folder: Path) -> list[str]:
        (folder / "run.toml").write_text(text, encoding="utf-8")
        more = ["--set", "integrator.dt=0.002", "--set", "output.checkpoint.steps=4"]
        return [*command(folder / "run.toml", *more, "--resume")[1:]]

    def result(folder: Path) -> list[rl.FlowSolution]:
        solution = rl.FlowSolution.load(folder / f"run{ending}")
        assert solution.n_accepted == 200
        return [solution]

    kill_campaign(call, result)


def test_an_interrupt_leaves_a_partial_result_that_goes_on(
    config: Path, uninterrupted: rl.FlowSolution
) -> None:
    code, out, err = start_and_stop(config, signal.SIGINT)
    assert code == 130
    assert "ended:            interrupted after t = " in out
    assert "--resume goes on from it" in out
    assert "Traceback" not in err
    partial = rl.FlowSolution.load(config.parent / "run.npz")
    assert partial.status == -2
    assert 0 < partial.t[-1] < 0.4
    assert run(config, *LONG, "--resume").returncode == 0
    assert_same(rl.FlowSolution.load(config.parent / "run.npz"), uninterrupted)


def test_a_flow_that_ends_early_gives_one_and_the_reason(config: Path) -> None:
    done = run(config, "--set", "integrator.dt=1", "--set", "integrator.t_span=[0, 30]")
    assert done.returncode == 1
    assert "above the stability limit" in done.stdout
    assert rl.FlowSolution.load(config.parent / "run.npz").status == -1
    limited = run(config, "--force", "--set", "integrator.max_steps=3")
    assert limited.returncode == 1
    # More steps may be given when it is resumed.
    assert run(config, "--resume").returncode == 0
    assert rl.FlowSolution.load(config.parent / "run.npz").t.tolist() == [0, 0.1, 0.4]


def test_errors_have_no_traceback(config: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((tmp_path / "none.toml",), "there is no configuration file"),
        ((tmp_path,), "cannot read"),
        ((config, "--set", "grid.shpae=1"), "Did you mean 'shape'?"),
        ((config, "--resume", "--force"), "not allowed with argument"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_what_exists_is_not_overwritten(config: Path, main: Main) -> None:
    folder = config.parent
    assert main(config)[0] == 0
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    code, out, err = main(config, "--set", "start.arguments.seed=5")
    assert (code, out) == (2, "")
    assert f"these exist already: {folder / 'run.npz'}, {folder / 'run.checkpoint'}" in err
    assert "--resume" in err
    assert "--force" in err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    (folder / "run.checkpoint" / "mine.txt").write_text("kept", encoding="utf-8")
    assert main(config, "--set", "start.arguments.seed=5", "--force")[0] == 0
    assert (folder / "run.npz").read_bytes() != before[folder / "run.npz"]
    assert (folder / "run.checkpoint" / "mine.txt").exists()


def test_force_removes_nothing_for_a_run_that_cannot_begin(config: Path, main: Main) -> None:
    assert main(config)[0] == 0
    before = {p: p.read_bytes() for p in config.parent.rglob("*") if p.is_file()}
    refused = ["--set", "integrator.method=etdrk4", "--set", "flow.kind=ricci"]
    code, _, err = main(config, "--force", *refused)
    assert code == 2
    assert "'etdrk4' splits off a Laplacian" in err
    assert {p: p.read_bytes() for p in config.parent.rglob("*") if p.is_file()} == before


def test_force_replaces_a_store_but_no_other_folder(config: Path, main: Main) -> None:
    pytest.importorskip("zarr")
    place = ("--set", "output.path=run.zarr")
    (config.parent / "run.zarr").mkdir()
    precious = config.parent / "run.zarr" / "thesis.txt"
    precious.write_text("years of work", encoding="utf-8")
    code, _, err = main(config, *place, "--force")
    assert code == 2
    assert "is no zarr store and is left alone" in err
    assert precious.exists()
    shutil.rmtree(config.parent / "run.zarr")
    assert main(config, *place)[0] == 0
    assert main(config, *place, "--set", "output.t_eval=[0.4]", "--force")[0] == 0
    assert len(rl.FlowSolution.load(config.parent / "run.zarr")) == 1


def test_a_checkpoint_of_another_run_is_refused(config: Path, main: Main) -> None:
    assert main(config, "--set", "integrator.max_steps=5")[0] == 1
    folder = config.parent
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for setting, message in (
        ("grid.shape=[12, 12]", "[grid] shape: [10, 8] then, [12, 12] now"),
        ("grid.lengths=3", "[grid] lengths: not set then, 3 now"),
        ("events.degenerate=0.04", "[events] degenerate: 0.05 then, 0.04 now"),
        ("start.arguments.seed=9", "[start] arguments.seed: 4 then, 9 now"),
    ):
        code, _, err = main(config, "--resume", "--set", setting)
        assert code == 2
        assert "run.checkpoint is that of another run" in err
        assert message in err
    # The solver looks for itself, should the record of the configuration be lost.
    (folder / "run.checkpoint" / "config.json").unlink()
    code, _, err = main(config, "--resume", "--set", "grid.shape=[12, 12]")
    assert code == 2
    assert "grid_shape" in err
    for path, content in before.items():
        if path.name != "config.json":
            assert path.read_bytes() == content
    assert main(config, "--resume")[0] == 0


def test_nothing_to_resume_is_said(config: Path, main: Main) -> None:
    code, _, err = main(config, "--resume", "--set", "output.checkpoint=false")
    assert code == 2
    assert "--resume needs a checkpoint, but [output] checkpoint = false" in err
    assert main(config, "--set", "output.checkpoint=false")[0] == 0
    code, _, err = main(config, "--resume")
    assert code == 2
    assert "there is no checkpoint" in err
    (config.parent / "run.npz").unlink()
    # As with solve_flow: if there is nothing yet, the run begins.
    assert main(config, "--resume")[0] == 0


def test_a_full_disk_at_the_end_costs_nothing(
    config: Path, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: rl.FlowSolution, path: Any) -> None:
        raise StorageError("could not write the solution: No space left on device", errno=28)

    with monkeypatch.context() as patch:
        patch.setattr(rl.FlowSolution, "save", full)
        code, _, err = main(config)
    assert code == 1
    assert "No space left on device; --resume goes on from the checkpoint" in err
    assert main(config, "--resume")[0] == 0
    assert rl.FlowSolution.load(config.parent / "run.npz").success


def test_a_picture_that_cannot_be_drawn_costs_no_result(config: Path, main: Main) -> None:
    pytest.importorskip("matplotlib")
    code, _, err = main(
        config, "--set", "output.plots=['decay', 'scalar-curvature']", "--set", "flow.kind=ricci"
    )
    assert code == 1
    assert "the picture 'decay' was not drawn: the decay to a constant metric needs the" in err
    assert rl.FlowSolution.load(config.parent / "run.npz").success
    assert (config.parent / "run-scalar-curvature.png").read_bytes().startswith(PNG)
    assert not (config.parent / "run-decay.png").exists()


def test_too_few_metrics_for_a_rate_are_an_error_with_advice(config: Path, main: Main) -> None:
    pytest.importorskip("matplotlib")
    code, _, err = main(config, "--set", "output.plots=['decay']")
    assert code == 1
    assert "ask for more times (t_eval), or set decay_window" in err


def test_the_checkpoint_knows_the_configuration(config: Path, main: Main) -> None:
    assert main(config, "--set", "integrator.rtol=1e-5")[0] == 0
    record = json.loads((config.parent / "run.checkpoint" / "config.json").read_text())
    assert record["integrator"]["rtol"] == 1e-5
    assert record["grid"] == {"shape": [10, 8]}


def test_there_is_a_bar_on_a_terminal_and_none_elsewhere(config: Path) -> None:
    pytest.importorskip("rich")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command(config, *LONG, "--set", "integrator.t_span=[0, 0.05]", "--set", "output.t_eval=2"),
        stdout=subprocess.DEVNULL,
        stderr=follower,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait(60) == 0
    assert b"flow" in shown
    assert b"%" in shown
    assert run(config, "--force").stderr == ""


def test_help_imports_no_solver() -> None:
    code = (
        "import sys; from riemann_lne.cli import build_parser; build_parser();"
        "print('riemann_lne.flow_command.command' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- closed pipes, full disks, owners -------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
@pytest.mark.parametrize("target", ["closed pipe", "closed", "/dev/full"])
def test_a_reader_that_has_gone_loses_nothing(target: str, config: Path) -> None:
    """As in ``riemann-lne flow ... | head -1``: the flow goes on and is saved."""
    if target == "/dev/full" and not Path(target).exists():
        pytest.skip("no /dev/full here")
    read, write = os.pipe()
    os.close(read)
    shell = shlex.join(command(config))
    line = {"closed pipe": shell, "closed": f"{shell} >&- 2>&-", "/dev/full": f"{shell} > {target}"}
    done = subprocess.run(line[target], shell=True, stdout=write, stderr=write, check=False)
    os.close(write)
    assert done.returncode == 0
    assert rl.FlowSolution.load(config.parent / "run.npz").success
    assert not list(config.parent.rglob("*.lock"))


def test_a_second_command_is_refused(config: Path) -> None:
    with hold(config.parent / "run.checkpoint", "a test"):
        done = run(config, "--force")
    assert done.returncode == 2
    assert f"in use for a test by process {os.getpid()} on" in done.stderr
    assert not (config.parent / "run.npz").exists()


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "[]", "7", "\0"])
def test_a_damaged_record_of_the_configuration_is_refused(content: str, config: Path) -> None:
    assert run(config).returncode == 0
    (config.parent / "run.checkpoint" / "config.json").write_text(content)
    done = run(config, "--resume")
    assert done.returncode == 2
    assert "config.json is not the configuration of a checkpoint" in done.stderr
    assert "start anew with --force" in done.stderr
    assert "Traceback" not in done.stderr
