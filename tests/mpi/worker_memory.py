"""Peak of NumPy's memory in a few steps: worker_memory.py SHAPE METHOD ...; prints JSON."""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from typing import Any

import numpy as np

import riemann_lne as rl
from riemann_lne.integrators import solve_flow


def peak(solve: Any, grid: Any, method: str) -> int:
    """Bytes above what the start takes; the start itself included once."""
    g = rl.flat_metric(grid)
    packed = np.array(g.packed)
    packed[0] += 0.01 * np.sin(grid.coordinates()[0])
    g = rl.MetricField.from_packed(grid, packed, check=False)
    tracemalloc.start()
    solve(g, rl.RicciDeTurckFlow(), (0.0, 0.02), method, kernel="fused", store="last",
          max_steps=3)  # fmt: skip
    result = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result


def main() -> None:
    shape = tuple(int(n) for n in sys.argv[1].split("x"))
    grid, solve, team = rl.Grid.torus(shape), solve_flow, None
    if os.environ.get("PMI_SIZE"):
        import riemann_lne_mpi as rlm

        team, solve = rlm.world(), rlm.solve_flow
        grid = rlm.distribute(grid)
    for method in sys.argv[2:]:
        peak(solve, grid, method)  # what is kept for later runs is not of this one
        found = peak(solve, grid, method)
        every = [found] if team is None else team.listed(found)
        if team is None or team.rank == 0:
            print(json.dumps({"method": method, "peak": max(every)}), flush=True)


if __name__ == "__main__":
    main()
