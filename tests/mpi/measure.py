"""Seconds of a step: measure.py POINTS AXES METHOD STEPS, alone or under mpiexec; prints JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

import numpy as np

import riemann_lne as rl
from riemann_lne.integrators import solve_flow


def main() -> None:
    shape = tuple(int(n) for n in sys.argv[1].split("x"))
    method, steps = sys.argv[2], int(sys.argv[3])
    grid, solve, team = rl.Grid.torus(shape), solve_flow, None
    if os.environ.get("PMI_SIZE"):
        import riemann_lne_mpi as rlm

        team, solve = rlm.world(), rlm.solve_flow
        grid = rlm.distribute(grid)

    def metric(*x: Any) -> Any:
        n = len(x)
        wave = 0.1 * np.sin(sum(x[1:], x[0]))
        return [[1.0 + wave if i == j else 0.05 * wave for j in range(n)] for i in range(n)]

    g = rl.MetricField.from_function(grid, metric)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    radius = 16 / 3 * 1.3 * sum((s / 6.2832) ** 2 for s in shape)
    # 9 stages of RKL2, or half of the stability limit.
    dt = {"rkl2": 40 / radius, "etdrk4": 0.01}.get(method, 1.2 / radius)
    times: list[float] = []
    worked: list[float] = []

    def tick(metric: Any) -> float:
        times.append(time.perf_counter())
        worked.append(time.process_time())
        return 0.0

    span = (0.0, steps * dt)
    solution = solve(g, rl.RicciDeTurckFlow(), span, method, dt=dt, observe={"tick": tick},
                     store="last", kernel="fused")  # fmt: skip
    found = {
        "seconds": float(np.median(np.diff(times)[1:])),
        "cpu": float(np.median(np.diff(worked)[1:])),
        "nfev": solution.nfev / steps,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "start": before * 1024,
    }
    if team is None or team.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
