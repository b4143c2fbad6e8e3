"""How kernels find their points: offsets of rows, ghost points; arrays for results."""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array
from ..coefficients import half_width
from ..ghosts import pad
from ..grids import Grid

PAST_CACHES = 2**23
"""Results of this many bytes or more are written past the caches: of a smaller one most is still in
them when it is read."""

_CACHE_LINE = 64


def address(array: np.ndarray) -> int:
    """Where the first element of a C-contiguous array lies.

    ``array.ctypes.data`` takes four times as long, which counts on small grids: a step asks for
    dozens of addresses.
    """
    try:
        return ctypes.addressof(_byte_of(array))
    except (TypeError, ValueError):  # read-only, or empty
        return int(array.ctypes.data)


_byte_of: Any = ctypes.c_char.from_buffer


def addresses(arrays: Sequence[np.ndarray]) -> Any:
    """The addresses of C-contiguous arrays as an array of C."""
    return (ctypes.c_void_p * len(arrays))(*map(address, arrays))


def empty(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """As ``np.empty``, beginning with a cache line: stores then need not be split."""
    count, kind = math.prod(shape), np.dtype(dtype)
    memory = np.empty(count * kind.itemsize + _CACHE_LINE, dtype=np.uint8)
    return np.ndarray(shape, kind, memory, -address(memory) % _CACHE_LINE)


class ResultMemory:
    """Arrays for large results, in memory that is used again once no array refers to it.

    The C library keeps memory of up to 32 MiB for the next array of that size. Larger memory goes
    back to the system and comes as new pages, which it has to clear: a sixth of the time of a
    kernel at 96^3. Free memory is held only as long as another array is in use, so that a method
    with one rate at a time has the memory for the next one.

    Examples
    --------
    >>> memory = ResultMemory(least=0)
    >>> first, other = (memory.take((6, 5), "float64") for _ in range(2))
    >>> place, part = first.ctypes.data, first[2:]
    >>> del first
    >>> memory.take((6, 5), "float64").ctypes.data == place  # a part of it is still held
    False
    >>> del part
    >>> memory.take((6, 5), "float64").ctypes.data == place
    True
    """

    _LEAST = 1 << 25

    def __init__(self, least: int = _LEAST) -> None:
        self._least = least
        self._lock = threading.RLock()  # arrays can die at any time, also within ``take``
        self._lent: list[tuple[Callable[[], np.ndarray | None], np.ndarray]] = []

    def take(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """An array that begins with a cache line; its content is arbitrary."""
        count = math.prod(shape)
        size = count * np.dtype(dtype).itemsize
        if size < self._least or size == 0:
            return empty(shape, dtype)
        with self._lock:
            free = [m for user, m in self._lent if user() is None and m.size == size + _CACHE_LINE]
            # Free memory of other sizes is not held.
            self._lent = [pair for pair in self._lent if pair[0]() is not None]
            memory = free.pop(0) if free else np.empty(size + _CACHE_LINE, dtype=np.uint8)
            skip = -address(memory) % _CACHE_LINE
            # Every view refers to this array, whose own base is no array.
            array = np.frombuffer(memory.data, dtype, count, skip)
            user = weakref.ref(array, self._returned)
            self._lent += [(user, memory), *((_nobody, m) for m in free)]
        return array.reshape(shape)

    def _returned(self, _: weakref.ref[np.ndarray]) -> None:
        """Give free memory back once no array is in use."""
        with self._lock:
            if all(user() is None for user, _ in self._lent):
                self._lent = []


def _nobody() -> None:
    """Stands for the user of memory that nobody uses."""


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
