"""Messages of a step: worker_counts.py; prints JSON with those of each kind of flow."""

from __future__ import annotations

import json
from typing import Any

import riemann_lne as rl
import riemann_lne_mpi as rlm
from riemann_lne import analysis, events
from riemann_lne_mpi import frames

TEAM: Any = rlm.world() if __name__ == "__main__" else None
READY = [events.SteadyState(1e-9), events.Degenerate(0.01), events.CurvatureAbove(1e3)]
OBSERVE = {"largest": analysis.scalar_curvature_max, "bianchi": analysis.bianchi_residual}


def own(t: float, metric: Any) -> float:
    """An event of a user, which reduces its value itself."""
    return float(metric.grid.team.largest(float(metric.packed.max()))) - 9


def marked(t: float, metric: Any) -> float:
    """The same, reduced with all else."""
    return float(metric.packed.max()) - 9


marked.over_blocks = "largest"  # type: ignore[attr-defined]

FLOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "rkl2": ("rkl2", {}),
    "rkl2, fused": ("rkl2", {"kernel": "fused"}),
    "rkl2, events": ("rkl2", {"events": [*READY, marked]}),
    "rkl2, observables": ("rkl2", {"events": READY, "observe": OBSERVE}),
    "rkl2, own event": ("rkl2", {"events": [own]}),
    "rkl2, checkpoint": ("rkl2", {"checkpoint": rl.Checkpoint("counted", seconds=1e6)}),
    "tsit5": ("tsit5", {}),
    "tsit5, events": ("tsit5", {"events": READY}),
    "etdrk4": ("etdrk4", {}),
    "etdrk4, events": ("etdrk4", {"events": READY[1:]}),
    "rk4, equal steps": ("rk4", {"dt": 1e-3}),
}


def main() -> None:
    exchanges = 0
    begin = frames.Exchange.begin

    def counted(self: Any, *fields: Any) -> Any:
        nonlocal exchanges
        exchanges += 1
        return begin(self, *fields)

    frames.Exchange.begin = counted  # type: ignore[method-assign]

    def run(method: str, steps: int, options: dict[str, Any]) -> list[int]:
        grid = rlm.distribute(rl.Grid.torus((24, 24)))
        g = rl.perturbed_euclidean(grid, 0.2, seed=1)
        before = TEAM.reductions, exchanges
        if "checkpoint" in options:
            folder = f"{options['checkpoint'].path}-{steps}"
            options = {"checkpoint": rl.Checkpoint(folder, seconds=options["checkpoint"].seconds)}
        solution = rlm.solve_flow(
            g, rl.RicciDeTurckFlow(), (0, 50.0), method, max_steps=steps, store="last", **options
        )
        counts = TEAM.reductions - before[0], exchanges - before[1]
        return [*counts, solution.nfev, solution.n_accepted, solution.n_rejected]

    for name, (method, options) in FLOWS.items():
        few, many = run(method, 5, options), run(method, 15, options)
        reductions, halos, rates, steps, rejected = (b - a for a, b in zip(few, many, strict=True))
        found = {"reductions": reductions, "halos": halos, "rates": rates, "steps": steps,
                 "rejected": rejected}  # fmt: skip
        if TEAM.rank == 0:
            print(json.dumps({"flow": name, **found}), flush=True)


if __name__ == "__main__":
    main()
