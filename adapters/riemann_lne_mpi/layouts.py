"""How a grid is cut into blocks, and arrays moved from one way of cutting it to another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from riemann_lne.checks import count
from riemann_lne.coefficients import half_width
from riemann_lne.errors import GridTooSmallError, InvalidArgumentError
from riemann_lne.grids import Grid

Box: TypeAlias = tuple[tuple[int, int], ...]
"""From and to along every axis."""

# Costs of a ghost point along an axis, relative to one along the first: halos along the last axis
# are gathered point by point, and kernels run in vectors along it.
_COSTS = {"first": 1.0, "other": 1.2, "last": 6.0}
# Blocks thinner than this between open ends are mostly halo.
_THICK = 12


@dataclass(frozen=True)
class Layout:
    """A grid's shape cut into blocks, one a process, the processes numbered in C order.

    Parameters
    ----------
    shape : tuple of int
        Of the whole grid.
    dims : tuple of int
        Blocks along every axis.

    Examples
    --------
    >>> layout = Layout((10, 8), (3, 1))
    >>> [layout.box(rank) for rank in range(3)]
    [((0, 4), (0, 8)), ((4, 7), (0, 8)), ((7, 10), (0, 8))]
    """

    shape: tuple[int, ...]
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of blocks."""
        return math.prod(self.dims)

    @cached_property
    def cuts(self) -> tuple[tuple[int, ...], ...]:
        """Where the blocks along every axis begin, and the axis' end."""
        result = []
        for points, parts in zip(self.shape, self.dims, strict=True):
            least, more = divmod(points, parts)
            result.append(tuple(k * least + min(k, more) for k in range(parts + 1)))
        return tuple(result)

    def place(self, rank: int) -> tuple[int, ...]:
        """Number of a process' block along every axis."""
        return tuple(int(k) for k in np.unravel_index(rank, self.dims))

    def rank(self, place: Sequence[int]) -> int:
        """The process whose block has these numbers."""
        return int(np.ravel_multi_index(tuple(place), self.dims))

    def box(self, rank: int) -> Box:
        """The block of a process."""
        return tuple((c[k], c[k + 1]) for c, k in zip(self.cuts, self.place(rank), strict=True))

    def boxes(self) -> list[Box]:
        """All blocks."""
        return [self.box(rank) for rank in range(self.size)]

    def thinnest(self, axis: int) -> int:
        """Points of the thinnest block along an axis."""
        return self.shape[axis] // self.dims[axis]


def least_points(grid: Grid, axis: int, order: int) -> int:
    """Points that a block must have along an axis that is cut."""
    # Ghost points come from the next block alone; those beyond an end from the block at the end.
    return half_width(order) if grid.periodic[axis] else order + 2


def choose_dims(grid: Grid, size: int, order: int = 4) -> tuple[int, ...]:
    """Blocks along every axis for a number of processes: with the cheapest halos.

    Raises
    ------
    GridTooSmallError
        If the blocks would be thinner than the stencil; the message says how many fit.

    Examples
    --------
    >>> choose_dims(Grid.torus((64, 64, 64)), 4), choose_dims(Grid.torus((64, 64, 64)), 16)
    ((4, 1, 1), (4, 4, 1))
    """
    best: tuple[float, tuple[int, ...]] | None = None
    for dims in _factors(size, grid.ndim):
        if _misfit(grid, dims, order) is None:
            cost = _cost(grid.shape, dims, order)
            best = min(best, (cost, dims)) if best else (cost, dims)
    if best is None:
        fits = math.prod(
            max(1, n // least_points(grid, a, order)) for a, n in enumerate(grid.shape)
        )
        raise GridTooSmallError(
            f"{size} processes do not fit on a grid of shape {grid.shape}: at order {order} blocks "
            f"would be thinner than the stencil; at most {fits} fit: take fewer, or a finer grid"
        )
    return best[1]


def _factors(size: int, axes: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a number as a product of a number of factors."""
    if axes == 1:
        yield (size,)
        return
    for first in range(1, size + 1):
        if size % first == 0:
            for rest in _factors(size // first, axes - 1):
                yield (first, *rest)


def _cost(shape: tuple[int, ...], dims: tuple[int, ...], order: int) -> float:
    """Ghost points of a block, weighted, relative to its points."""
    block = [n / d for n, d in zip(shape, dims, strict=True)]
    total = 0.0
    for axis, (points, parts) in enumerate(zip(block, dims, strict=True)):
        if parts > 1:
            kind = "last" if axis == len(dims) - 1 else "first" if axis == 0 else "other"
            total += _COSTS[kind] * order / points * (1 if points >= _THICK else 4)
    return total


def _misfit(grid: Grid, dims: Sequence[int], order: int) -> int | None:
    """The first axis along which blocks are too thin."""
    for axis, (points, parts) in enumerate(zip(grid.shape, dims, strict=True)):
        if parts > 1 and points // parts < least_points(grid, axis, order):
            return axis
    return None


def checked_dims(grid: Grid, dims: Any, size: int) -> tuple[int, ...]:
    """Blocks along every axis as asked for, if they make as many as there are processes."""
    try:
        result = tuple(count(d, "an entry of dims", least=1) for d in dims)
    except TypeError as error:
        raise InvalidArgumentError(f"dims = {dims!r}; give a number for each axis") from error
    if len(result) != grid.ndim or math.prod(result) != size:
        raise InvalidArgumentError(
            f"dims = {result}; give {grid.ndim} numbers, blocks along each axis, whose product is "
            f"the number of processes, {size}; choose_dims finds {choose_dims(grid, size)}"
        )
    if any(d > n for d, n in zip(result, grid.shape, strict=True)):
        raise GridTooSmallError(
            f"dims = {result}: give at most as many blocks as points, {grid.shape}"
        )
    return result


def require_thick(grid: Grid, layout: Layout, order: int) -> None:
    """Raise GridTooSmallError where blocks are thinner than the stencil of an order."""
    axis = _misfit(grid, layout.dims, order)
    if axis is None:
        return
    least = least_points(grid, axis, order)
    raise GridTooSmallError(
        f"axis {axis} of {grid.shape[axis]} points is cut into {layout.dims[axis]} blocks, the "
        f"thinnest of {layout.thinnest(axis)}; differences of order {order} need {least} points in "
        f"each, so that at most {grid.shape[axis] // least} blocks fit along this axis: take fewer "
        "processes, other dims, or a finer grid"
    )


def slabs(shape: tuple[int, ...], size: int, axis: int) -> list[Box]:
    """Nearly equal slabs across an axis, one a process; some are empty if the axis is short."""
    ends = [shape[axis] * k // size for k in range(size + 1)]
    return [
        tuple((ends[k], ends[k + 1]) if a == axis else (0, n) for a, n in enumerate(shape))
        for k in range(size)
    ]


def common(a: Box, b: Box) -> Box | None:
    """The intersection of two boxes; None if it is empty."""
    result = tuple((max(p[0], q[0]), min(p[1], q[1])) for p, q in zip(a, b, strict=True))
    return result if all(low < high for low, high in result) else None


def extent(box: Box) -> tuple[int, ...]:
    """Shape of a box."""
    return tuple(high - low for low, high in box)


def within(part: Box, box: Box) -> tuple[slice, ...]:
    """Where a part lies in the array of a box."""
    return tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(part, box, strict=True))


def neighbours(layout: Layout, periodic: Sequence[bool], rank: int) -> list[tuple[Any, int, int]]:
    """Directions in which there are other blocks, and the blocks before and behind in each.

    Of each direction: -1, 0 or 1 for every axis; the process to which the part of the block at that
    end goes, and the one from which that of the opposite end comes; -1 where there is none.
    """
    place = layout.place(rank)
    result = []
    for direction in product(*((-1, 0, 1) if parts > 1 else (0,) for parts in layout.dims)):
        if any(direction):
            to, back = (_beside(layout, periodic, place, direction, s) for s in (1, -1))
            if to >= 0 or back >= 0:
                result.append((direction, to, back))
    return result


def _beside(
    layout: Layout, periodic: Sequence[bool], place: Sequence[int], direction: Any, sign: int
) -> int:
    target = []
    for k, step, parts, wraps in zip(place, direction, layout.dims, periodic, strict=True):
        there = k + sign * step
        if not 0 <= there < parts:
            if not wraps:
                return -1
            there %= parts
        target.append(there)
    return layout.rank(target)
