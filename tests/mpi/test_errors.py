"""An error on one process is one on all, once, with the process and its place; nobody waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import HERE

WORKER = HERE / "worker_errors.py"
EXPECTED = {
    "event_fails_later": "-1 stopped at t = *ValueError: process 2 of 3, whose block begins at "
    "grid index (16, 0): boo (in event event at t = *; what was kept is usable | reached the end",
    "interrupted": "-2 interrupted after t = *; what was kept is usable | same time: True",
    "event_fails_at_once": "ValueError: process 2 of 3*boo",
    "block_alone": "*observable 'a' at t = 0 is * on one process and *metric.grid.team.largest",
    "no_metric": "NotPositiveDefiniteError: process 2 of 3*smallest eigenvalue -1",
    "class_inside": "OtherProcessError: process 2 of 3*: of a function (a note)",
    "other_constructor": "OtherProcessError: process 2 of 3*: one two (a note)",
    "no_text": "NoText",
    "ctrl_c": "KeyboardInterrupt: process 2 of 3*: of one (a note)",
    "end_of_one": "SystemExit: process 2 of 3*: 3 (a note)",
    "other_arguments": "*was called with t_span = *all processes must be asked for one flow",
    "other_grids": "*cuts another grid*",
    "too_many": "GridTooSmallError: 3 processes do not fit*at most 2 fit",
    "too_thin": "GridTooSmallError: axis 0 of 8 points is cut into 3 blocks*at most 2 blocks fit",
    "spectrum": "InvalidArgumentError: the spectrum needs the whole grid*gather(metric)*",
    "whole_grid": "answered: []",
    "other_seed": "InvalidArgumentError: *with metric = *crc32*and process * with MetricField*",
    "saved": "InvalidArgumentError: saving a solution needs the whole grid*store=*",
    "store_exists": "InvalidArgumentError: *exists already; remove it*",
    "another_run": "InvalidArgumentError: *is the checkpoint of another run: t_span is *",
    "run_without_mpi": "InvalidArgumentError: *is the checkpoint of a run without MPI; resume it*",
}


def follows(text: str, pattern: str) -> bool:
    """Whether the parts of a pattern come in a text one after the other."""
    at = 0
    for part in pattern.split("*"):
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def test_errors_of_one_process_are_those_of_all(mpirun: Any, tmp_path: Path) -> None:
    there = tmp_path / "there.zarr"
    there.mkdir()
    done = mpirun(3, WORKER, *EXPECTED, THERE=str(there))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(" | ", 2) for line in done.stdout.splitlines() if line.count(" | ") >= 2]
    found = {name: (count, text) for name, count, text in lines}
    assert list(found) == list(EXPECTED), done.stdout + done.stderr
    for name, pattern in EXPECTED.items():
        count, text = found[name]
        assert count == "1", f"{name}: processes raise different errors: {text}"
        assert follows(text, pattern), f"{name}: {text}"


def test_an_error_that_ends_one_process_ends_all(mpirun: Any) -> None:
    done = mpirun(3, WORKER, "alone", timeout=60)
    assert done.returncode != 0
    assert (done.stdout + done.stderr).count("RuntimeError: only me") == 1


def test_without_mpi4py_the_message_has_the_command_that_installs_it() -> None:
    code = (
        "import sys\n"
        "sys.modules['mpi4py'] = None\n"
        "import riemann_lne as rl, riemann_lne_mpi as rlm\n"
        "try: rlm.distribute(rl.Grid.torus((8, 8)))\n"
        "except rl.RiemannLNEError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'riemann-lne[mpi]'" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_one_process_is_said_once(mpirun: Any, size: int) -> None:
    code = (
        "import riemann_lne as rl, riemann_lne_mpi as rlm\n"
        "g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.1)\n"
        "for _ in range(2): rlm.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.01))\n"
    )
    done = mpirun(size, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("mpiexec -n 4") == (1 if size == 1 else 0)
