"""Ghost points: one exchange with all blocks around, and what is made of it at real ends."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from riemann_lne.arrays import Array, like, namespace
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
    need them. Several fields that a formula differentiates travel together.

    Parameters
    ----------
    grid : BlockGrid
        The block of this process.
    order : int
        Of the differences.
    counts : tuple of int
        Components of each field.
    dtype : dtype
        Of the fields.

    Attributes
    ----------
    stacked : bool
        Whether blocks are cut along the first axis alone. Strips then lie in memory as rows of a
        field do, and kernels read them where they are.
    """

    def __init__(self, grid: BlockGrid, order: int, counts: tuple[int, ...], dtype: Any) -> None:
        self._width = width = half_width(order)
        _, layout, self.team = grid._parts
        self.dtype, self._shape = np.dtype(str(dtype).rpartition(".")[2]), grid.shape
        self._counts, self._total = counts, sum(counts)
        self.stacked = all(d == 1 for d in layout.dims[1:]) and grid.shape[0] >= 2 * width
        around = neighbours(layout, grid.periodic, self.team.rank)
        to = [there for _, there, _ in around if there >= 0]
        sources = [back for _, _, back in around if back >= 0]
        self.comm = self.team.comm.Create_dist_graph_adjacent(sources, to, reorder=False)
        # For each neighbour the type of its part of each field.
        self._parts = [
            [self._subarray(count, direction, self._ends(direction)) for count in counts]
            for direction, there, _ in around
            if there >= 0
        ]
        self._strip_places: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {}
        self.points = 0
        incoming = [direction for direction, _, back in around if back >= 0]
        # A strip sent in a direction lies at the opposite side of its receiver.
        opposite = [tuple(-d for d in direction) for direction in incoming]
        for direction in opposite:
            shape = (self._total, *self._extent(direction))
            self._strip_places[direction] = (self.points, shape)
            self.points += int(np.prod(shape))
        ones, zeros = [1] * len(to), [0] * len(to)
        self._send = (ones, zeros)
        base = mpi()._typedict[self.dtype.char]
        if self.stacked:
            kinds = [self._subarray(self._total, d, self._rows(d)) for d in opposite]
            self._receive = ([1] * len(kinds), [0] * len(kinds), kinds)
        else:
            sizes = [int(np.prod(shape)) for _, shape in self._strip_places.values()]
            starts = [at * self.dtype.itemsize for at, _ in self._strip_places.values()]
            self._receive = (sizes, starts, [base] * len(sizes))
        self._free: list[np.ndarray] = []

    def _extent(self, direction: tuple[int, ...]) -> tuple[int, ...]:
        """Points of a strip along every axis."""
        return tuple(self._width if d else n for d, n in zip(direction, self._shape, strict=True))

    def _ends(self, direction: tuple[int, ...]) -> list[int]:
        """Where the part of a block begins that goes in a direction."""
        return [
            n - self._width if d > 0 else 0 for d, n in zip(direction, self._shape, strict=True)
        ]

    def _rows(self, direction: tuple[int, ...]) -> list[int]:
        """Where a strip begins among rows of a field: first the one below, then the one above."""
        return [self._width if d > 0 else 0 for d in direction]

    def _subarray(self, count: int, direction: tuple[int, ...], starts: list[int]) -> Any:
        """MPI's type for a strip in an array of the shape of a field."""
        base = mpi()._typedict[self.dtype.char]
        kind = base.Create_subarray(
            (count, *self._shape), (count, *self._extent(direction)), (0, *starts)
        )
        return kind.Commit()

    @property
    def nbytes(self) -> int:
        """Bytes that come in with an exchange."""
        return self.points * self.dtype.itemsize

    def strip(self, memory: np.ndarray, direction: tuple[int, ...], field: int) -> np.ndarray:
        """The strip of a field on a side, from the memory of an exchange."""
        at, shape = self._strip_places[direction]
        if self.stacked:
            row = self._rows(direction)[0]
            strips = memory[:, row : row + self._width]
        else:
            strips = memory[at : at + int(np.prod(shape))].reshape(shape)
        first = sum(self._counts[:field])
        return strips[first : first + self._counts[field]]

    def begin(self, fields: Sequence[np.ndarray]) -> Halo:
        """Send the ends of a block of each field on their way."""
        memory = self._free.pop() if self._free else self._memory()
        kinds = [parts[0] for parts in self._parts]
        joined: list[Any] = []
        if len(fields) > 1:
            places = [f.ctypes.data - fields[0].ctypes.data for f in fields]
            joined = [
                mpi().Datatype.Create_struct([1] * len(fields), places, parts).Commit()
                for parts in self._parts
            ]
            kinds = joined
        request = self.comm.Ineighbor_alltoallw(
            [fields[0], *self._send, kinds], [memory, *self._receive]
        )
        for kind in joined:
            kind.Free()  # MPI keeps it until the exchange is over
        return Halo(self, request, fields, memory)

    def _memory(self) -> np.ndarray:
        """Memory for the strips of an exchange."""
        if not self.stacked:
            return np.empty(self.points, self.dtype)
        # Of the shape of the fields, of which only a few rows are ever touched: the others take no
        # memory. So a component of a strip is as far from the next one as in the field itself.
        shape = (self._total, *self._shape)
        pages = mmap.mmap(-1, int(np.prod(shape)) * self.dtype.itemsize)
        return np.frombuffer(pages, self.dtype).reshape(shape)

    def over(self, memory: np.ndarray) -> None:
        """Take back the memory of an exchange that is over."""
        self._free.append(memory)


class Halo:
    """An exchange under way: the request, and the memory that must live as long as it."""

    def __init__(
        self, exchange: Exchange, request: Any, fields: Sequence[np.ndarray], memory: np.ndarray
    ) -> None:
        self.exchange, self._request = exchange, request
        self._fields, self._memory = fields, memory

    def __del__(self) -> None:
        if self._request is None:
            self.exchange.over(self._memory)
        else:  # nobody asked for the strips
            self.exchange.team._abandoned.append((self._request, self._fields, self._memory))

    def poke(self) -> None:
        """Give MPI a moment."""
        if self._request is not None and self._request.Test():
            self._request = None

    def strip(self, direction: tuple[int, ...], field: int) -> np.ndarray:
        """The strip of a field on a side, once it is there."""
        if self._request is not None:
            self.exchange.team.wait(self._request, self._fields, self._memory)
            self._request = None
        return self.exchange.strip(self._memory, direction, field)


class BlockFrame:
    """A field on a block with strips of other blocks around it; a ``riemann_lne.grids.Frame``."""

    def __init__(self, grid: BlockGrid, f: Array, order: int, halo: Halo | None, field: int):
        self._grid, self._f, self._order = grid, f, order
        self._width, self._halo, self._field = half_width(order), halo, field
        self._cut = tuple(d > 1 for d in grid._parts[1].dims)
        self._strips: dict[tuple[int, ...], Array] = {}

    def poke(self) -> None:
        if self._halo is not None:
            self._halo.poke()

    def inner(self, low: Sequence[int], high: Sequence[int]) -> bool:
        return not any(
            cut and (a < 0 or b > n)
            for cut, a, b, n in zip(self._cut, low, high, self._grid.shape, strict=True)
        )

    @property
    def stacked(self) -> bool:
        # All ghost points come from other blocks, none are made of points before a real end.
        grid = self._grid
        ends = not grid.periodic[0] and (grid.touches(0, 0) or grid.touches(0, 1))
        return self._halo is not None and self._halo.exchange.stacked and not ends

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        assert self._halo is not None
        rest = (0,) * (self._grid.ndim - 1)
        below, above = (self._halo.strip((side, *rest), self._field) for side in (-1, 1))
        return below, above

    def _strip(self, direction: tuple[int, ...]) -> Array:
        if not any(direction):
            return self._f
        assert self._halo is not None
        if direction not in self._strips:
            strip = self._halo.strip(direction, self._field)
            self._strips[direction] = like(strip, self._f)
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
