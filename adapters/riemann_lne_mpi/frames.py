"""Ghost points: one exchange with all blocks around, and what is made of it at real ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from riemann_lne.arrays import Array, like, namespace, to_numpy
from riemann_lne.coefficients import half_width
from riemann_lne.ghosts import end_ghosts, take

from .layouts import neighbours
from .library import mpi

if TYPE_CHECKING:
    from .grids import BlockGrid

# From and to in the region, which direction it comes from, from and to there.
_Segment = tuple[slice, int, slice]


class Exchange:
    """The neighbourhood of a block, and MPI's types for the parts that go to each neighbour.

    One communicator with all blocks around, those at edges and corners included: mixed differences
    need them.
    """

    def __init__(self, grid: BlockGrid, order: int, count: int, dtype: Any) -> None:
        MPI, width = mpi(), half_width(order)
        _, layout, self.team = grid._parts
        self.dtype = np.dtype(str(dtype).rpartition(".")[2])
        base = MPI.FLOAT if self.dtype.itemsize == 4 else MPI.DOUBLE
        around = neighbours(layout, grid.periodic, self.team.rank)
        to = [there for _, there, _ in around if there >= 0]
        sources = [back for _, _, back in around if back >= 0]
        self.comm = self.team.comm.Create_dist_graph_adjacent(sources, to, reorder=False)
        self._send_types = []
        whole = (count, *grid.shape)
        for direction, there, _ in around:
            if there >= 0:
                starts = [0, *(n - width if d > 0 else 0 for d, n in
                               zip(direction, grid.shape, strict=True))]  # fmt: skip
                sizes = [count, *(width if d else n for d, n in
                                  zip(direction, grid.shape, strict=True))]  # fmt: skip
                kind = base.Create_subarray(whole, sizes, starts)
                self._send_types.append(kind.Commit())
        self.strips: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {}
        self.points = 0
        counts, displacements = [], []
        for direction, _, back in around:
            if back >= 0:
                shape = (count, *(width if d else n for d, n in
                                  zip(direction, grid.shape, strict=True)))  # fmt: skip
                # A strip sent this way lies at the opposite side of its receiver.
                self.strips[tuple(-d for d in direction)] = (self.points, shape)
                size = int(np.prod(shape))
                counts.append(size)
                displacements.append(self.points * self.dtype.itemsize)
                self.points += size
        ones, zeros = [1] * len(to), [0] * len(to)
        self._send = (ones, zeros, self._send_types)
        self._receive = (counts, displacements, [base] * len(counts))

    @property
    def nbytes(self) -> int:
        """Bytes that come in with an exchange."""
        return self.points * self.dtype.itemsize

    def begin(self, f: np.ndarray) -> tuple[Any, np.ndarray]:
        """Send the ends of a block on their way; the request, and where strips will be."""
        strips = np.empty(self.points, self.dtype)
        request = self.comm.Ineighbor_alltoallw([f, *self._send], [strips, *self._receive])
        return request, strips


class BlockFrame:
    """A field on a block with strips of other blocks around it; a ``riemann_lne.grids.Frame``."""

    def __init__(self, grid: BlockGrid, f: Array, order: int, exchange: Exchange) -> None:
        self._grid, self._f, self._order = grid, f, order
        self._width, self._exchange = half_width(order), exchange
        self._cut = tuple(d > 1 for d in grid._parts[1].dims)
        self._host = np.ascontiguousarray(to_numpy(f), dtype=exchange.dtype)
        self._request: Any = None
        self._flat = np.empty(0)
        if any(self._cut):
            self._request, self._flat = exchange.begin(self._host)
        self._strips: dict[tuple[int, ...], Array] = {}

    def __del__(self) -> None:
        # The buffers must live until the exchange is over, also where nobody asked for the strips.
        if self._request is not None:
            self._exchange.team._abandoned.append((self._request, self._host, self._flat))

    def poke(self) -> None:
        if self._request is not None and self._request.Test():
            self._request = None

    def inner(self, low: Sequence[int], high: Sequence[int]) -> bool:
        return not any(
            cut and (a < 0 or b > n)
            for cut, a, b, n in zip(self._cut, low, high, self._grid.shape, strict=True)
        )

    def _strip(self, direction: tuple[int, ...]) -> Array:
        if not any(direction):
            return self._f
        if self._request is not None:
            self._exchange.team.wait(self._request, self._host, self._flat)
            self._request = None
        if direction not in self._strips:
            start, shape = self._exchange.strips[direction]
            strip = self._flat[start : start + int(np.prod(shape))].reshape(shape)
            self._strips[direction] = strip if strip is self._f else like(strip, self._f)
        return self._strips[direction]

    def region(self, low: Sequence[int], high: Sequence[int]) -> Array:
        """Values on a box of the block's indices, which may reach beyond the block."""
        grid, order = self._grid, self._order
        ends = [self._ends(axis, a, b) for axis, (a, b) in enumerate(zip(low, high, strict=True))]
        # From and to of what is not beyond a real end, deep enough to go on from beyond the end.
        inside = [
            (
                0 if e[0] else a,
                grid.shape[axis] if e[1] else b,
            )
            for axis, (a, b, e) in enumerate(zip(low, high, ends, strict=True))
        ]
        deep = [
            (
                min(a, grid.shape[axis] - order - 2) if e[1] else a,
                max(b, order + 2) if e[0] else b,
            )
            for axis, ((a, b), e) in enumerate(zip(inside, ends, strict=True))
        ]
        f = self._f
        sizes = tuple(b - a + e[0] + e[1] for (a, b), e in zip(deep, ends, strict=True))
        result = namespace(f).empty((f.shape[0], *sizes), dtype=f.dtype, device=_device(f))
        places = [slice(e[0], e[0] + b - a) for (a, b), e in zip(deep, ends, strict=True)]
        self._copy(result[(slice(None), *places)], deep)
        self._fill(result, places, ends)
        # Cut off the points that only the ends needed.
        crop = [
            slice(a - (p - e[0]), a - (p - e[0]) + b - a)
            for (p, _), e, a, b in zip(deep, ends, low, high, strict=True)
        ]
        cut = result[(slice(None), *crop)]
        if tuple(cut.shape) == tuple(result.shape):
            return result
        return namespace(f).asarray(cut, copy=True)

    def _ends(self, axis: int, low: int, high: int) -> tuple[int, int]:
        """Points of a region beyond the real ends of an axis."""
        grid = self._grid
        if grid.periodic[axis]:
            return 0, 0
        size = grid.shape[axis]
        before = max(0, -low) if grid.touches(axis, 0) else 0
        behind = max(0, high - size) if grid.touches(axis, 1) else 0
        # All of them or none: how many make no difference to each.
        return (self._width if before else 0), (self._width if behind else 0)

    def _copy(self, out: Array, box: Sequence[tuple[int, int]]) -> None:
        """Copy what lies in a box from the block and the strips around it."""
        segments = [self._segments(axis, a, b) for axis, (a, b) in enumerate(box)]
        for parts in product(*segments):
            source = self._strip(tuple(direction for _, direction, _ in parts))
            there = (slice(None), *(part for _, _, part in parts))
            out[(slice(None), *(place for place, _, _ in parts))] = source[there]

    def _segments(self, axis: int, low: int, high: int) -> list[_Segment]:
        size, w = self._grid.shape[axis], self._width
        if self._cut[axis]:
            pieces = [(-1, -w, 0), (0, 0, size), (1, size, size + w)]
        else:  # it closes on itself within the block, if it goes that far
            pieces = [(0, k * size, (k + 1) * size) for k in range(low // size, -(-high // size))]
        result = []
        for direction, a, b in pieces:
            first, last = max(a, low), min(b, high)
            if first < last:
                place = slice(first - low, last - low)
                result.append((place, direction, slice(first - a, last - a)))
        return result

    def _fill(self, result: Array, places: list[slice], ends: list[tuple[int, int]]) -> None:
        """Ghost points beyond real ends; those along an axis continue those along earlier axes."""
        grid, inner = self._grid, list(places)
        for axis, (before, behind) in enumerate(ends):
            if not (before or behind):
                continue
            known = result[(slice(None), *inner)]
            start, stop = inner[axis].start, inner[axis].stop
            for side, count in enumerate((before, behind)):
                if count:
                    ghosts = end_ghosts(known, grid, axis + 1, side, self._order)
                    place = slice(stop, stop + count) if side else slice(0, start)
                    result[(slice(None), *inner[:axis], place, *inner[axis + 1 :])] = ghosts
            inner[axis] = slice(0, stop + behind)


def _device(f: Array) -> Any:
    from riemann_lne.arrays import device

    return device(f)


__all__ = ["BlockFrame", "Exchange", "take"]
