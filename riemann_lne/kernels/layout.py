"""How kernels find their points: offsets of rows, ghost points; arrays for results."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ..arrays import Array
from ..coefficients import half_width
from ..ghosts import pad
from ..grids import Grid

PAST_CACHES = 2**23
"""Results of so many bytes are written past the caches: most of a smaller one is still in them when
it is read."""

_CACHE_LINE = 64


def empty(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """As ``np.empty``, beginning with a cache line: stores then need not be split."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _CACHE_LINE, dtype=np.uint8)
    skip = -memory.ctypes.data % _CACHE_LINE
    return memory[skip : skip + size].view(dtype).reshape(shape)


def bounded_part(grid: Grid, order: int) -> tuple[int, ...]:
    """Ghost points on each side of every axis: none where a kernel wraps around."""
    return tuple(half_width(order) if is_open else 0 for is_open in grid.open_axes())


def with_ghosts(packed: Array, grid: Grid, order: int) -> Array:
    """The field with the ghost points of its bounded axes; itself on a torus.

    Those of ``ghosts.pad``, so that kernel and plain version close their stencils alike.
    """
    ghosts = bounded_part(grid, order)
    if not any(ghosts):
        return packed
    padded = pad(packed, grid, order)
    w = half_width(order)
    return padded[
        (slice(None), *(slice(None) if g else slice(w, padded.shape[a + 1] - w)
                        for a, g in enumerate(ghosts)))
    ]  # fmt: skip


@lru_cache(maxsize=64)
def offsets(
    shape: tuple[int, ...], ghosts: tuple[int, ...], width: int
) -> tuple[tuple[np.ndarray, ...], int]:
    """Where the points -width, ..., N + width - 1 of each axis lie, and the array's size.

    In units of array elements, for a C-contiguous array with that many ghost points.
    """
    full = tuple(size + 2 * g for size, g in zip(shape, ghosts, strict=True))
    tables = []
    for axis, (size, g) in enumerate(zip(shape, ghosts, strict=True)):
        step = int(np.prod(full[axis + 1 :], dtype=np.int64))
        index = np.arange(-width, size + width, dtype=np.int64)
        table = (index + g if g else index % size) * step
        table.setflags(write=False)
        tables.append(table)
    return tuple(tables), int(np.prod(full, dtype=np.int64))
