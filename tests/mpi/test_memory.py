"""Memory of a process: that of the core for as many points as its block and halo have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

import riemann_lne as rl
from riemann_lne_mpi import plan

from .conftest import HERE, ROOT

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
        assert shared[method] < alone[method] * share, method
        # What the dry run says.
        assert abs(plan(grid, 1, method).memory / alone[method] - 1) < 0.05, method
        assert abs(expected.memory / shared[method] - 1) < 0.1, method
