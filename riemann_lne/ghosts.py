"""Ghost points beyond the ends of a grid's axes: wrapped, reflected at mirrors, or extrapolated."""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement
from typing import Any, TypeAlias

import numpy as np

from .arrays import Array, device, like, namespace, writes
from .coefficients import extrapolation_weights, half_width
from .errors import ShapeError
from .grids import Grid

TileSlices: TypeAlias = tuple[slice, ...]


def take(f: Array, axis: int, start: int, stop: int | None) -> Array:
    """View of the part of an array from start to stop along an axis."""
    return f[(*(slice(None),) * axis, slice(start, stop), ...)]


def pad(f: Array, grid: Grid, order: int) -> Array:
    """Field with ghost points: wrapped, reflected at mirrors, else extrapolated.

    Shapes: (c, *shape) -> (c, *(N_a + 2 half_width)). At mirrors c tells what the field is: see
    ``reflection_signs``.
    """
    return padded_tile(f, grid, order, tuple(slice(0, size) for size in grid.shape))


def padded_tile(f: Array, grid: Grid, order: int, tile: TileSlices) -> Array:
    """The part of ``pad(f, grid, order)`` that is a tile and the halo around it.

    Shapes: (c, *shape) -> (c, *(tile + 2 half_width)). The padded field as a whole is never made.
    """
    w = half_width(order)
    for frame in grid.frames([f], order):
        return frame.region([s.start - w for s in tile], [s.stop + w for s in tile])
    whole = []
    for axis, part in enumerate(tile, start=1):
        if part.start == 0 and part.stop == f.shape[axis]:
            whole.append(axis)
        else:
            f = _rows(f, grid, axis, part, order)
    if not writes(f):
        for axis in whole:
            low, high = _ghosts(f, grid, axis, order)
            f = namespace(f).concat([low, f, high], axis=axis)
        return f
    sizes = [s + 2 * w if axis in whole else s for axis, s in enumerate(f.shape)]
    inner = [slice(w, w + s) if axis in whole else slice(None) for axis, s in enumerate(f.shape)]
    result = namespace(f).empty(tuple(sizes), dtype=f.dtype, device=device(f))
    result[tuple(inner)] = f
    for axis in whole:
        # Corners: the ghosts along an axis continue those along the axes before it.
        low, high = _ghosts(result[tuple(inner)], grid, axis, order)
        end = w + f.shape[axis]
        for ghosts, place in ((low, slice(0, w)), (high, slice(end, end + w))):
            result[(*inner[:axis], place, *inner[axis + 1 :])] = ghosts
        inner[axis] = slice(None)
    return result


def _rows(f: Array, grid: Grid, axis: int, part: slice, order: int) -> Array:
    """The part of a field along an axis and the halo before and behind it, a view if it can be."""
    w, size = half_width(order), f.shape[axis]
    start, stop = part.start - w, part.stop + w
    inner = take(f, axis, max(start, 0), min(stop, size))
    if start >= 0 and stop <= size:
        return inner
    low, high = _ghosts(f, grid, axis, order)
    parts = [take(low, axis, w + start, None)] if start < 0 else []
    parts.append(inner)
    if stop > size:
        parts.append(take(high, axis, 0, stop - size))
    return namespace(f).concat(parts, axis=axis)


def _ghosts(f: Array, grid: Grid, axis: int, order: int) -> tuple[Array, Array]:
    """Ghost points below and above an axis that is there in full length."""
    w, size = half_width(order), f.shape[axis]
    if grid.periodic[axis - 1]:
        return take(f, axis, size - w, None), take(f, axis, 0, w)
    low, high = (end_ghosts(f, grid, axis, side, order) for side in (0, 1))
    return low, high


def end_ghosts(f: Array, grid: Grid, axis: int, side: int, order: int) -> Array:
    """Ghost points beyond an end of a bounded axis (counted from 1) from the points before it."""
    w = half_width(order)
    if (axis - 1, side) in grid.mirrors:
        return _mirrored(f, grid, axis, side, w)
    return _extrapolated(f, axis, side, w, order)


def _extrapolated(f: Array, axis: int, side: int, w: int, order: int) -> Array:
    """Ghost points beyond an end by extrapolation through the order + 2 nearest points."""
    points, size = order + 2, f.shape[axis]
    ghosts: list[Any] = []
    for distance in range(1, w + 1):
        weights = [float(c) for c in extrapolation_weights(points, distance)]
        ghosts.append(
            sum(
                c * (take(f, axis, size - 1 - j, size - j) if side else take(f, axis, j, j + 1))
                for j, c in enumerate(weights)
            )
        )
    return namespace(f).concat(ghosts if side else ghosts[::-1], axis=axis)


def _mirrored(f: Array, grid: Grid, axis: int, side: int, w: int) -> Array:
    """Ghost points beyond an end by reflection in the end point, which lies on the mirror."""
    size = f.shape[axis]
    inner = take(f, axis, size - 1 - w, size - 1) if side else take(f, axis, 1, w + 1)
    signs = reflection_signs(f.shape[0], grid.ndim, axis - 1)
    shaped = like(np.reshape(signs, (-1,) + (1,) * grid.ndim), f)
    return namespace(f).flip(inner, axis=axis) * shaped


@cache
def reflection_signs(count: int, n: int, axis: int) -> tuple[float, ...]:
    """Signs of the components under a reflection of an axis: -1 for each index equal to it.

    The number of components says what the field is: 1 a scalar, n a vector, n (n + 1) / 2 a
    packed symmetric tensor.
    """
    for rank in (0, 1, 2):
        indices = list(combinations_with_replacement(range(n), rank))
        if len(indices) == count:
            return tuple(float((-1) ** index.count(axis)) for index in indices)
    raise ShapeError(
        f"a field of {count} components has no known reflection in {n} dimensions; scalars (1), "
        f"vectors ({n}) and packed symmetric tensors ({n * (n + 1) // 2}) have"
    )
