"""A run with checkpoints of which one process may be killed: FOLDER STORE KILL_AT OUT."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import numpy as np

import riemann_lne as rl
import riemann_lne_mpi as rlm
from riemann_lne import events


def main() -> None:
    folder, store, at, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    team = rlm.world()
    seen = 0

    def volume(metric: Any) -> float:
        nonlocal seen
        seen += 1
        if at and seen == at and team.rank == team.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return metric.volume()

    grid = rlm.distribute(rl.Grid.torus((24, 25)))
    g = rl.perturbed_euclidean(grid, 0.2, seed=1)
    solution = rlm.solve_flow(
        g, rl.RicciDeTurckFlow(), (0, 0.3), "rk4", dt=0.01, observe={"volume": volume},
        t_eval=np.linspace(0, 0.3, 11), events=events.SteadyState(0.5, terminal=False),
        store=store, checkpoint=rl.Checkpoint(folder, steps=3), resume=True,
    )  # fmt: skip
    metrics = [rlm.gather(metric).packed for metric in solution.metrics]
    at_events = [rlm.gather(metric).packed for metric in solution.metrics_events[0]]
    if team.rank == 0:
        np.savez(out, t=solution.t, metrics=metrics, volume=solution.observed["volume"],
                 events=solution.t_events[0], at_events=at_events,
                 message=solution.message)  # fmt: skip


main()
