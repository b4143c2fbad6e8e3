"""Equality and hashes for objects that hold arrays, which Python's own cannot compare."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import array_api_compat
import numpy as np

from .arrays import to_numpy


class ByValue:
    """Objects are equal if they are of one class and what they hold is equal, arrays by values.

    Two arrays are equal if their shapes and all their numbers are; NaN equals NaN, and neither
    the array library nor the precision matters. A dataclass (with ``eq=False``) compares all
    its fields; other classes say by ``_identity`` what counts. The hash takes shapes and not
    values of arrays, so that it stays what it is if an array is written to.

    Examples
    --------
    >>> from riemann_lne import LNEMetric
    >>> LNEMetric(0.5) == LNEMetric(np.asarray(0.5)), LNEMetric(0.5) in {LNEMetric(0.5)}
    (True, True)
    """

    def _identity(self) -> tuple[Any, ...]:
        """The values that two equal objects have in common."""
        if is_dataclass(self):
            return tuple(getattr(self, f.name) for f in fields(self) if f.compare)
        return tuple(vars(self).values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ByValue) or type(self) is not type(other):
            return NotImplemented
        return same_values(self._identity(), other._identity())

    def __hash__(self) -> int:
        return hash((type(self), tuple(_hashable(v) for v in self._identity())))


def same_values(a: Any, b: Any) -> bool:
    """Whether two values are equal; arrays, and containers of arrays, by their numbers.

    Examples
    --------
    >>> same_values({"x": np.asarray([1.0, np.nan])}, {"x": np.asarray([1.0, np.nan])})
    True
    >>> same_values([1.0, 2.0], (1.0, 2.0))
    False
    """
    if _is_array(a) or _is_array(b):
        return _same_numbers(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same_values(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(same_values(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) or (a is b) or bool(a != a and b != b)


def _same_numbers(a: Any, b: Any) -> bool:
    """Whether an array equals another one, or a number an array of no dimensions."""
    if not all(_is_array(v) or isinstance(v, (int, float)) for v in (a, b)):
        return False
    first, second = (to_numpy(v) if _is_array(v) else np.asarray(v) for v in (a, b))
    inexact = first.dtype.kind in "fc" and second.dtype.kind in "fc"
    return bool(np.array_equal(first, second, equal_nan=inexact))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.generic) or array_api_compat.is_array_api_obj(value)


def _hashable(value: Any) -> Any:
    """Something to hash that is the same for equal values."""
    if _is_array(value):
        value = to_numpy(value)
        return tuple(value.shape)
    if isinstance(value, float):
        return ()  # as an array of no dimensions, to which it may be equal
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(v) for v in value)
    if isinstance(value, dict):
        return tuple(value)
    return value
