"""Whole axes of fields whose blocks processes hold, and points far outside a block.

Fourier derivatives need whole axes, interpolation along a displacement needs points as far away as
the displacement reaches. The processes that hold them send them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from riemann_lne.arrays import Array, like, to_numpy
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.ghosts import reflection_signs

from .layouts import Box, extent, slabs

if TYPE_CHECKING:
    from .grids import BlockGrid


class WholeAxis:
    """Does something along an axis that several blocks share.

    The field is moved to slabs in which the axis is whole, and the results are moved back.

    Parameters
    ----------
    grid : BlockGrid
        The block of this process.
    axis : int
        Which.
    """

    def __init__(self, grid: BlockGrid, axis: int) -> None:
        self._grid, self._axis = grid, axis

    def __call__(
        self,
        field: Array,
        transform: Callable[[Array], Sequence[Array]],
        count: int,
        scale: Sequence[int],
        factor: int = 1,
    ) -> list[Array]:
        """The results of a transform of a field (c, *block) along the axis.

        ``count`` is how many it gives, ``scale`` how many points the field has along each axis for
        one of the grid, ``factor`` how many the results have along the axis for one of the field.
        """
        grid, axis = self._grid, self._axis
        whole, layout, team = grid._parts
        before = _scaled(layout.boxes(), scale)
        after = _scaled(before, [factor if a == axis else 1 for a in range(grid.ndim)])
        # Whole along the axis, cut along the longest of the others.
        across = max((a for a in range(grid.ndim) if a != axis), key=lambda a: whole.shape[a])
        shape = tuple(n * s for n, s in zip(whole.shape, scale, strict=True))
        longer = tuple(n * factor if a == axis else n for a, n in enumerate(shape))
        lines, results = (slabs(s, team.size, across) for s in (shape, longer))
        host = np.ascontiguousarray(to_numpy(field))
        moved = grid.move(before, lines, host.shape[0], host.dtype)(host)
        empty = np.empty((host.shape[0], *extent(results[team.rank])), host.dtype)
        made = [np.asarray(r) for r in transform(moved)] if moved.size else [empty] * count
        back = grid.move(results, after, host.shape[0], host.dtype)
        return [like(back(np.ascontiguousarray(r)), field) for r in made]


def _scaled(boxes: Sequence[Box], scale: Sequence[int]) -> list[Box]:
    return [tuple((a * s, b * s) for (a, b), s in zip(box, scale, strict=True)) for box in boxes]


def around(
    grid: BlockGrid,
    field: Array,
    lowest: Sequence[float],
    highest: Sequence[float],
    points: int,
    factor: int,
) -> tuple[Array, tuple[int, ...]]:
    """The part of a field that interpolation on this block needs, and where it begins.

    Parameters
    ----------
    field : (c, *block)
        With ``factor`` points along each axis for one of the grid.
    lowest, highest : sequence of float
        Between which the displacements of this block lie along each axis, in points of the field.
    points : int
        Of the interpolation.

    Raises
    ------
    InvalidArgumentError
        If the grid has a bounded axis without mirrors at its ends.
    """
    _, layout, team = grid._parts
    n = grid.ndim
    reach = team.largest_of([*(-low for low in lowest), *highest])
    finite = [r if np.isfinite(r) else 0.0 for r in reach]
    low, high = [-int(np.ceil(r)) for r in finite[:n]], [int(np.ceil(r)) for r in finite[n:]]
    boxes = _scaled(layout.boxes(), (factor,) * n)
    wanted = [_indices(grid, box, low, high, points, factor) for box in boxes]
    host = np.ascontiguousarray(to_numpy(field))
    mine, components = boxes[team.rank], host.shape[0]

    def places(box: Box, indices: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Where a region has points of a box, along each axis."""
        return [np.nonzero((i >= a) & (i < b))[0] for i, (a, b) in zip(indices, box, strict=True)]

    sent = []
    for _, indices, _ in wanted:
        at = places(mine, indices)
        inside = [i[p] - a for i, p, (a, _) in zip(indices, at, mine, strict=True)]
        sent.append(host[np.ix_(np.arange(components), *inside)].reshape(-1))
    first, indices, signs = wanted[team.rank]
    targets = [places(box, indices) for box in boxes]
    sizes = [components * int(np.prod([len(p) for p in at])) for at in targets]
    received = _exchanged(grid, sent, sizes, host.dtype)
    region = np.empty((components, *(len(i) for i in indices)), host.dtype)
    start = 0
    for at, size in zip(targets, sizes, strict=True):
        part = received[start : start + size].reshape(components, *(len(p) for p in at))
        region[np.ix_(np.arange(components), *at)] = part
        start += size
    for axis, mirrored in enumerate(signs):
        if mirrored.any():
            factors = np.array(reflection_signs(components, n, axis))
            there = (slice(None),) * (axis + 1) + (mirrored,)
            region[there] *= factors.reshape(-1, *(1,) * n)
    return like(region, field), first


def _indices(
    grid: BlockGrid,
    box: Box,
    low: Sequence[int],
    high: Sequence[int],
    points: int,
    factor: int,
) -> tuple[tuple[int, ...], list[np.ndarray], list[np.ndarray]]:
    """Where the region of a box begins, and for each axis the points that it is made of.

    Also which of these are reflected.
    """
    half, firsts, indices, signs = points // 2, [], [], []
    for axis, (a, b) in enumerate(box):
        size, wraps = factor * grid.whole.shape[axis], grid.periodic[axis]
        # Rounding may put a point into the next cell.
        begin, end = a + low[axis] - half, b + high[axis] + half + 1
        if end - begin >= size + 2 * half:
            begin, end = -half, size + half
        if not wraps:
            if not {(axis, 0), (axis, 1)} <= grid.mirrors:
                raise InvalidArgumentError(
                    f"interpolation on blocks needs axis {axis} periodic or with reflecting ends"
                )
            begin, end = max(begin, -half), min(end, size + half)
        index = np.arange(begin, end)
        beyond = np.zeros(len(index), bool) if wraps else (index < 0) | (index >= size)
        if wraps:
            index = index % size
        else:
            index = np.where(index < 0, -index, index)
            index = np.where(index >= size, 2 * (size - 1) - index, index)
        firsts.append(begin)
        indices.append(index)
        signs.append(beyond)
    return tuple(firsts), indices, signs


def _exchanged(
    grid: BlockGrid, sent: Sequence[np.ndarray], sizes: Sequence[int], dtype: np.dtype
) -> np.ndarray:
    """The values that all processes send here, one after the other."""
    team = grid._parts[2]
    outgoing, incoming = np.concatenate(sent), np.empty(sum(sizes), dtype)
    counts = [len(s) for s in sent]
    starts = [[0, *accumulate(c)][:-1] for c in (counts, sizes)]
    request = team.comm.Ialltoallv(
        [outgoing, (counts, starts[0])], [incoming, (list(sizes), starts[1])]
    )
    team.wait(request, outgoing, incoming)
    return incoming
