"""Text that tells one flow, function or metric from another, the same in every process."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..checks import without_address
from ..metrics import MetricField


def describe(value: Any) -> str:
    """Description of a value, without addresses in memory, with a checksum of metrics' data.

    Functions are named, not looked into: two versions of one function look the same.

    Examples
    --------
    >>> describe(None), describe(0.5), describe(describe)
    ('None', '0.5', 'riemann_lne.flows.describe.describe')
    """
    if isinstance(value, MetricField):
        return f"{value!r} with crc32 {value.grid.checksum(to_numpy(value.packed)):08x}"
    owner = getattr(value, "__self__", None)
    if owner is not None and hasattr(value, "__name__"):
        return f"{describe(owner)}.{value.__name__}"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return without_address(repr(value))


def checksum(values: np.ndarray, start: int = 0) -> int:
    """CRC-32 of the bytes of an array, carried on from a previous one."""
    return zlib.crc32(np.ascontiguousarray(values).tobytes(), start)
