"""The order of what a right-hand side does on a block: worker_order.py; prints JSON, one a case.

Each right-hand side is a list of [what, points]: "begin" an exchange, "inside" and "rim" are
computed, "halo" is the first look at what other processes sent.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

import riemann_lne as rl
import riemann_lne_mpi as rlm
from riemann_lne import stencils
from riemann_lne.coefficients import half_width
from riemann_lne.kernels import cpu
from riemann_lne_mpi import frames

LOG: list[tuple[str, int]] = []


def watched() -> None:
    """Write down exchanges, looks at halos, and what is computed."""
    begin, strip = frames.Exchange.begin, frames.Halo.strip
    local, on_block = stencils.Differentiator._local, cpu.run_on_block

    def began(self: Any, fields: Any) -> Any:
        LOG.append(("begin", 0))
        return begin(self, fields)

    def looked(self: Any, direction: Any, field: int) -> Any:
        LOG.append(("halo", 0))
        return strip(self, direction, field)

    def tile(self: Any, f: Any, frame: Any, part: Any) -> Any:
        result = local(self, f, frame, part)
        if frame is not None:
            points = prod(s.stop - s.start for s in part)
            LOG.append(("inside" if self._inner(frame, part) else "rim", points))
        return result

    def by_kernel(evaluate: Any, fields: Any, *others: Any) -> Any:
        whole = fields[0].shape[1:]

        def counted(given: Any, shape: Any, ghosts: Any, result: Any, terms: Any, rows: Any,
                    *table: Any) -> Any:  # fmt: skip
            # Inside, the kernel runs over the field itself, without ghost points of others.
            inside = given[0] is fields[0] and not table
            points = (rows[1] - rows[0]) * prod(shape[1:])
            LOG.append(("inside" if inside and tuple(shape) == whole else "rim", points))
            return evaluate(given, shape, ghosts, result, terms, rows, *table)

        return on_block(counted, fields, *others)

    frames.Exchange.begin = began  # type: ignore[method-assign]
    frames.Halo.strip = looked  # type: ignore[method-assign]
    stencils.Differentiator._local = tile  # type: ignore[method-assign]
    cpu.run_on_block = by_kernel  # type: ignore[assignment]


def main() -> None:
    # Blocks of several tiles: the real ones are of thousands of points.
    stencils._TILE_POINTS_CPU = 100
    watched()
    team = rlm.world()
    for kernel, dims in (("plain", (2, 1)), ("fused", (2, 1)), ("fused", (1, 2))):
        grid = rlm.distribute(rl.Grid.torus((48, 44)), dims)
        g = rl.perturbed_euclidean(grid, 0.2, seed=1)
        LOG.clear()
        rlm.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1), "rk4", dt=1e-3, max_steps=2,
                       kernel=kernel, store="last")  # fmt: skip
        # Rows or columns without a stencil's width at each open end.
        axis = dims.index(2)
        free = prod(grid.shape) // grid.shape[axis] * (grid.shape[axis] - 2 * half_width(4))
        logs = team.listed(list(LOG))
        if team.rank == 0:
            print(json.dumps({"case": f"{kernel} {dims}", "free": free, "logs": logs}))


if __name__ == "__main__":
    main()
