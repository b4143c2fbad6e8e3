"""Arrays that go from one way to cut a grid into blocks to another, by one Alltoallw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .layouts import Box, common, extent, within
from .library import mpi
from .team import MPITeam


class Move:
    """From blocks to blocks.

    Parameters
    ----------
    team : MPITeam
        The processes.
    source, target : sequence of Box
        Parts that each process holds before and after; targets may overlap.
    count : int
        Components.
    dtype : dtype
        Of NumPy.
    """

    def __init__(
        self, team: MPITeam, source: Sequence[Box], target: Sequence[Box], count: int, dtype: Any
    ) -> None:
        self.team, self._dtype = team, np.dtype(dtype)
        self._shape = (count, *extent(target[team.rank]))
        self.same = list(source) == list(target)
        mine, wanted = source[team.rank], target[team.rank]
        self._send = self._types(mine, [common(mine, box) for box in target], count)
        self._receive = self._types(wanted, [common(box, wanted) for box in source], count)

    def _types(self, box: Box, parts: Sequence[Box | None], count: int) -> tuple[Any, ...]:
        MPI = mpi()
        base = MPI._typedict[self._dtype.char]
        counts, kinds = [], []
        for part in parts:
            counts.append(0 if part is None else 1)
            if part is None:
                kinds.append(base)
                continue
            places = within(part, box)
            kind = base.Create_subarray(
                (count, *extent(box)), (count, *extent(part)), (0, *(p.start for p in places))
            )
            kinds.append(kind.Commit())
        return counts, [0] * len(counts), kinds

    def __call__(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The values (count, *block) as the target has them."""
        if self.same:
            if out is None:
                return values
            out[...] = values
            return out
        result = np.empty(self._shape, self._dtype) if out is None else out
        sent = np.ascontiguousarray(values, dtype=self._dtype)
        request = self.team.comm.Ialltoallw([sent, *self._send], [result, *self._receive])
        self.team.wait(request, sent, result)
        return result
