"""What each process of a test of bits runs: worker_bits.py OUT CASE ..."""

from __future__ import annotations

import json
import math
import sys
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES, digest  # type: ignore[import-not-found]

import riemann_lne_mpi as rlm
from riemann_lne.errors import GridTooSmallError


def cuts(axes: int, size: int, most: int) -> list[tuple[int, ...]]:
    """Ways to cut a grid: the first axes alone, the last alone, and mixtures."""
    every = [d for d in product(range(1, size + 1), repeat=axes) if math.prod(d) == size]
    step = max(1, len(every) // max(1, most))
    return every[::step][:most] + every[-1:]


def main() -> None:
    team = rlm.world()
    out, most, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    found: dict[str, Any] = {}
    for name in names:
        tried: list[Any] = [None]
        k = 0
        while k < len(tried):
            dims = tried[k]

            def share(grid: Any, dims: Any = dims, tried: Any = tried) -> Any:
                if dims is None and not tried[1:]:
                    tried.extend(dict.fromkeys(cuts(grid.ndim, team.size, most)))
                return rlm.distribute(grid, dims)

            try:
                solution = CASES[name](rlm.solve_flow, share)
                found[f"{name} {dims}"] = digest(solution, rlm.gather)
            except GridTooSmallError as error:
                found[f"{name} {dims}"] = {"too thin": str(error)}
            k += 1
    if team.rank == 0:
        out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
