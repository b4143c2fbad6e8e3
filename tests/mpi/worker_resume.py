"""Memory of resuming: worker_resume.py FOLDER STORE END; prints JSON of all processes."""

from __future__ import annotations

import json
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import riemann_lne as rl
import riemann_lne_mpi as rlm
from riemann_lne.integrators.recorder import Recorder
from riemann_lne_mpi.checkpoints import SharedCheckpointFile

SHAPE = (48, 40, 40)
PEAKS: dict[str, int] = {}


def measured(owner: Any, name: str) -> None:
    """Have a method note how much memory it takes at the most."""
    plain = getattr(owner, name)

    def method(self: Any, *arguments: Any) -> Any:
        tracemalloc.start()
        try:
            return plain(self, *arguments)
        finally:
            PEAKS[name] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    setattr(owner, name, method)


def main() -> None:
    with suppress(ImportError):
        import zarr  # noqa: F401 - its code takes memory as well
    folder, store, end = sys.argv[1], sys.argv[2], int(sys.argv[3])
    team = rlm.world()
    g = rl.perturbed_euclidean(rlm.distribute(rl.Grid.torus(SHAPE)), 0.2, seed=1)
    measured(SharedCheckpointFile, "read")
    measured(Recorder, "recall")
    solution = rlm.solve_flow(
        g, rl.RicciDeTurckFlow(), (0, 0.1), "rkl2", store=store, resume=True, max_steps=end,
        checkpoint=rl.Checkpoint(folder, 1), kernel="plain",
    )  # fmt: skip
    every = team.listed(dict(PEAKS))
    if team.rank == 0:
        print(json.dumps({"peaks": every, "steps": solution.n_accepted}), flush=True)


if __name__ == "__main__":
    main()
