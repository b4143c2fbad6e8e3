"""Memory of a process: that of the core for as many points as its block and halo have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import riemann_lne as rl
from riemann_lne_mpi import plan

from .conftest import HERE, ROOT

RESUME = HERE / "worker_resume.py"
METHODS = ("rk4", "tsit5", "rkl2", "etdrk4")
SHAPE = (96, 64, 64)
TEXT = "x".join(map(str, SHAPE))


def peaks(text: str) -> dict[str, int]:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {line["method"]: line["peak"] for line in lines}


@pytest.mark.slow
def test_memory_is_below_that_of_block_and_halo_in_the_core(mpirun: Any) -> None:
    worker = HERE / "worker_memory.py"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
    done = subprocess.run(
        [sys.executable, worker, TEXT, *METHODS], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    alone = peaks(done.stdout)
    shared = peaks(mpirun(2, worker, TEXT, *METHODS).stdout)
    grid = rl.Grid.torus(SHAPE)
    for method in METHODS:
        expected = plan(grid, 2, method)
        share = (expected.block_points + expected.halo_points) / grid.size
        # Ghost rows lie in memory that tracemalloc does not see.
        used = shared[method] + expected.halo_bytes
        assert used < alone[method] * share, method
        # What the dry run says.
        assert abs(plan(grid, 1, method).memory / alone[method] - 1) < 0.05, method
        assert abs(expected.memory / used - 1) < 0.1, method


@pytest.mark.parametrize("store", ["metrics", "run.zarr"])
def test_resuming_reads_the_block_of_a_process_alone(
    mpirun: Any, tmp_path: Path, store: str
) -> None:
    """A run of two processes, gone on with by three: none holds more than its part at a time."""
    place = store
    if store.endswith(".zarr"):
        pytest.importorskip("zarr")
        place = str(tmp_path / store)
    steps = 2
    for size, end in ((2, steps), (3, steps + 1)):
        done = mpirun(size, RESUME, tmp_path / "checkpoint", place, end)
        assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    assert found["steps"] > steps - 1
    block = 6 * 8 * 16 * 40 * 40
    for peaks in found["peaks"]:
        # The state, its rate, and what the journal holds: the start and each step.
        metrics = 2 if store.endswith(".zarr") else 2 + steps + 1
        # A part of each may be held twice, until it is put into the block.
        assert peaks["read"] < 1.9 * metrics * block, peaks
        if store.endswith(".zarr"):
            # A chunk is a block of the first run; zarr holds it twice while it checks it.
            assert peaks["recall"] < 3.3 * 1.5 * block, peaks
