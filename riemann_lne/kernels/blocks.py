"""A kernel on a block of a larger grid: the inside while ghost points travel, then the rim.

The kernel runs over the block as if the block closed on itself, which needs no ghost points and no
copy of the field; what lies within a stencil of an open end is then wrong. Meanwhile the ghost
points arrive. The rim, a slab at each open end, is computed anew from small arrays with ghost
points. What is computed at a point does not depend on where the point lies in an array, so that the
result is the same to the last bit as on the whole grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from ..grids import Frame, Grid
from ..weights import half_width

# Blocks with fewer half widths between two open ends are mostly rim: they are copied with their
# ghost points.
_LEAST_WIDTHS = 6
# Between pieces of the inside the library that carries the ghost points has a moment to do so.
_PIECES = 4

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
    ghosts = tuple(width if is_open else 0 for is_open in grid.open_axes())
    if any(g and size < _LEAST_WIDTHS * width for g, size in zip(ghosts, shape, strict=True)):
        around = [frame.region(*_grown(shape, ghosts)) for frame in frames]
        return evaluate(around, shape, ghosts, result, terms, (0, shape[0]))
    shells = list(_shells(shape, ghosts))
    # An update may be written over one of its terms.
    kept = [[np.ascontiguousarray(term[(slice(None), *s)]) for term in terms] for s in shells]
    first, end = ghosts[0], shape[0] - ghosts[0]
    cuts = [first + (end - first) * k // _PIECES for k in range(_PIECES + 1)]
    good = True
    for rows in pairwise(cuts):
        good &= rows[0] == rows[1] or evaluate(fields, shape, (0,) * grid.ndim, result, terms, rows)
        for frame in frames:
            frame.poke()
    for shell, values in zip(shells, kept, strict=True):
        low, high = ([getattr(s, name) for s in shell] for name in ("start", "stop"))
        around = [
            frame.region(
                [a - g for a, g in zip(low, ghosts, strict=True)],
                [b + g for b, g in zip(high, ghosts, strict=True)],
            )
            for frame in frames
        ]
        size = tuple(b - a for a, b in zip(low, high, strict=True))
        part = np.empty((result.shape[0], *size), dtype=result.dtype)
        good &= evaluate(around, size, ghosts, part, values, (0, size[0]))
        result[(slice(None), *shell)] = part
    return good


def _grown(shape: tuple[int, ...], ghosts: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """A block with its ghost points, from and to."""
    return [-g for g in ghosts], [size + g for size, g in zip(shape, ghosts, strict=True)]


def _shells(shape: tuple[int, ...], ghosts: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Slabs that cover the points near open ends, each point once."""
    result = []
    # Of each axis what no slab across an earlier axis has.
    rest = [slice(0, size) for size in shape]
    for axis, (size, g) in enumerate(zip(shape, ghosts, strict=True)):
        if not g:
            continue
        for part in (slice(0, g), slice(size - g, size)):
            result.append((*rest[:axis], part, *rest[axis + 1 :]))
        rest[axis] = slice(g, size - g)
    return result
