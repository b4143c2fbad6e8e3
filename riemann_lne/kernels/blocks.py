"""A kernel on a block of a larger grid: the inside while ghost points travel, then the rim.

Where blocks are cut along the first axis alone, the kernel reads ghost points where they arrive.
Else it runs over the block as if the block closed on itself, which needs no ghost points and no
copy of the field; what lies within a stencil of an open end is then wrong. Meanwhile the ghost
points arrive. The rim, a slab at each open end, is computed anew from small arrays with ghost
points. The result at a point does not depend on where the point lies in an array, so that the
result is the same to the last bit as on the whole grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..coefficients import half_width
from ..grids import Frame, Grid

# Blocks with fewer half widths between two open ends are mostly rim: they are copied with their
# ghost points.
_LEAST_WIDTHS = 6
# Between pieces of the inside the library that carries the ghost points has a moment to do so.
_PIECES = 4
# Parts in which a slab of the rim is computed: less memory at a time.
_PARTS = 4

Evaluate = Callable[..., bool]
"""(fields, shape, ghosts, result, terms, (first row, end)) -> whether the metric is one."""


def run_on_block(
    evaluate: Evaluate,
    fields: Sequence[np.ndarray],
    frames: Sequence[Frame],
    grid: Grid,
    order: int,
    result: np.ndarray,
    terms: Sequence[np.ndarray],
) -> bool:
    """Fill the result on a block; whether the metric was one at all of its points."""
    width, shape = half_width(order), grid.shape
    if len(fields) == 1 and frames[0].stacked and not any(grid.open_axes()[1:]):
        return _by_rows(evaluate, fields[0], frames[0], shape, width, result, terms)
    ghosts = tuple(width if is_open else 0 for is_open in grid.open_axes())
    if any(g and size < _LEAST_WIDTHS * width for g, size in zip(ghosts, shape, strict=True)):
        padded = [frame.region(*_grown(shape, ghosts)) for frame in frames]
        return evaluate(padded, shape, ghosts, result, terms, (0, shape[0]))
    shells = list(_shells(shape, ghosts))
    # An update may be written over one of its terms.
    kept = [
        [_copied(term, shell) if np.may_share_memory(term, result) else None for term in terms]
        for shell in shells
    ]
    first, end = ghosts[0], shape[0] - ghosts[0]
    cuts = [first + (end - first) * k // _PIECES for k in range(_PIECES + 1)]
    good = True
    for begin, stop in pairwise(cuts):
        if begin < stop:
            inner = (0,) * grid.ndim
            good &= evaluate(fields, shape, inner, result, terms, (begin, stop))
        for frame in frames:
            frame.poke()
    for shell, values in zip(shells, kept, strict=True):
        for part, around in _parts(shell, ghosts, width):
            low, high = [s.start for s in part], [s.stop for s in part]
            regions = [
                frame.region(
                    [a - g for a, g in zip(low, around, strict=True)],
                    [b + g for b, g in zip(high, around, strict=True)],
                )
                for frame in frames
            ]
            inside = tuple(
                slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, shell, strict=True)
            )
            here = [
                _copied(term, part) if value is None else _copied(value, inside)
                for term, value in zip(terms, values, strict=True)
            ]
            size = tuple(s.stop - s.start for s in part)
            rim = np.empty((result.shape[0], *size), dtype=result.dtype)
            good &= evaluate(regions, size, around, rim, here, (0, size[0]))
            result[(slice(None), *part)] = rim
    return good


def _by_rows(
    evaluate: Evaluate,
    field: np.ndarray,
    frame: Frame,
    shape: tuple[int, ...],
    width: int,
    result: np.ndarray,
    terms: Sequence[np.ndarray],
) -> bool:
    """Evaluate a block that is open along the first axis alone, without a copy of it.

    The kernel finds rows by a table, in which ghost rows can lie anywhere.
    """
    closed, good, end = (0,) * len(shape), True, shape[0] - width
    cuts = [width + (end - width) * k // _PIECES for k in range(_PIECES + 1)]
    for begin, stop in pairwise(cuts):
        if begin < stop:
            good &= evaluate([field], shape, closed, result, terms, (begin, stop))
        frame.poke()
    step = field[0, 0].size
    inner = np.arange(shape[0], dtype=np.int64) * step
    outer = [
        (rows.ctypes.data - field.ctypes.data) // field.itemsize
        + np.arange(width, dtype=np.int64) * step
        for rows in frame.rows()
    ]
    table = np.concatenate([outer[0], inner, outer[1]])
    for begin, stop in ((0, width), (end, shape[0])):
        good &= evaluate([field], shape, closed, result, terms, (begin, stop), table)
    return good


def _copied(array: np.ndarray, part: tuple[slice, ...]) -> np.ndarray:
    """A part of the points of an array (c, *shape), contiguous."""
    return np.ascontiguousarray(array[(slice(None), *part)])


def _parts(
    shell: tuple[slice, ...], ghosts: tuple[int, ...], width: int
) -> Iterator[tuple[tuple[slice, ...], tuple[int, ...]]]:
    """A slab in a few parts, each with its ghost points along every axis: less memory at a time."""
    thin = min(range(len(shell)), key=lambda axis: shell[axis].stop - shell[axis].start)
    axis = 1 if thin == 0 else 0
    start, stop = shell[axis].start, shell[axis].stop
    if stop - start < 8 * _PARTS * width:
        yield shell, ghosts
        return
    cuts = [start + (stop - start) * k // _PARTS for k in range(_PARTS + 1)]
    for low, high in pairwise(cuts):
        part = (*shell[:axis], slice(low, high), *shell[axis + 1 :])
        yield part, tuple(width if a == axis else g for a, g in enumerate(ghosts))


def _grown(shape: tuple[int, ...], ghosts: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """A block with its ghost points, from and to."""
    return [-g for g in ghosts], [size + g for size, g in zip(shape, ghosts, strict=True)]


def _shells(shape: tuple[int, ...], ghosts: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Slabs that cover the points near open ends, each point once."""
    result = []
    # Of each axis the part that no slab across an earlier axis has.
    rest = [slice(0, size) for size in shape]
    for axis, (size, g) in enumerate(zip(shape, ghosts, strict=True)):
        if not g:
            continue
        for part in (slice(0, g), slice(size - g, size)):
            result.append((*rest[:axis], part, *rest[axis + 1 :]))
        rest[axis] = slice(g, size - g)
    return result
