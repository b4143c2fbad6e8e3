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


def flow(
    solve: Any, grid: Any, folder: Any, store: Any, volume: Any = rl.MetricField.volume
) -> Any:
    """The run, in one process or in several."""
    g = rl.perturbed_euclidean(grid, 0.2, seed=1)
    return solve(
        g, rl.RicciDeTurckFlow(), (0, 0.3), "rk4", dt=0.01, observe={"volume": volume},
        t_eval=np.linspace(0, 0.3, 11), events=events.SteadyState(0.5, terminal=False),
        store=store, checkpoint=rl.Checkpoint(folder, steps=3), resume=True,
    )  # fmt: skip


def found(solution: Any) -> dict[str, Any]:
    """All that it gives."""
    return {
        "t": solution.t,
        "metrics": np.stack([rlm.gather(metric).packed for metric in solution.metrics]),
        "volume": solution.observed["volume"],
        "events": solution.t_events[0],
        "at_events": np.stack([rlm.gather(m).packed for m in solution.metrics_events[0]]),
        "message": np.array(solution.message),
    }


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
    result = found(flow(rlm.solve_flow, grid, folder, store, volume))
    if team.rank == 0:
        np.savez(out, **result)


if __name__ == "__main__":
    main()
