"""An array library for tests whose arrays cannot be written to, as those of JAX.

NumPy's functions on a class of its own: no item assignment, no in-place operators, and ``at`` in
their place.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np


def _open(value: Any) -> Any:
    """The NumPy array in a frozen one, also inside of sequences and slices of arguments."""
    if isinstance(value, Frozen):
        return value.values
    if isinstance(value, (list, tuple)):
        return type(value)(_open(v) for v in value)
    return value


def _close(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return Frozen(np.asarray(value))
    if isinstance(value, (list, tuple)):
        kind = type(value)
        return kind(*map(_close, value)) if hasattr(value, "_fields") else kind(map(_close, value))
    return value


class _Namespace:
    """The functions of NumPy, for frozen arrays."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(xp, name)
        if name in ("fft", "linalg"):
            return _Part(found)
        return found if isinstance(found, type) or not callable(found) else _wrapped(found)


class _Part(_Namespace):
    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _wrapped(getattr(self._module, name))


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return _close(function(*map(_open, args), **{k: _open(v) for k, v in options.items()}))

    return call


NAMESPACE = _Namespace()


class Frozen:
    """An array that cannot be written to."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return NAMESPACE

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.values.view()
        values.setflags(write=False)
        return np.asarray(values, dtype=dtype)

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype", "ndim", "size", "device"):
            return getattr(self.values, name)
        raise AttributeError(name)

    def __getitem__(self, index: Any) -> Frozen:
        return Frozen(np.asarray(self.values[_open(index)]))

    def __len__(self) -> int:
        return len(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def at(self) -> _At:
        return _At(self.values)


class _At:
    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __getitem__(self, index: Any) -> _At:
        self._index = _open(index)
        return self

    def set(self, values: Any) -> Frozen:
        result = self._values.copy()
        result[self._index] = _open(values)
        return Frozen(result)


def _binary(name: str) -> None:
    function = getattr(operator, name)

    def forward(self: Frozen, other: Any) -> Any:
        return _close(function(self.values, _open(other)))

    def backward(self: Frozen, other: Any) -> Any:
        return _close(function(_open(other), self.values))

    plain = name.strip("_")
    setattr(Frozen, f"__{plain}__", forward)
    setattr(Frozen, f"__r{plain}__", backward)


for _name in ("add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "and_", "or_", "matmul"):
    _binary(_name)


def _compare(name: str) -> None:
    function = getattr(operator, name)
    setattr(Frozen, f"__{name}__", lambda self, other: _close(function(self.values, _open(other))))


def _unary(name: str) -> None:
    function = getattr(operator, name)
    setattr(Frozen, f"__{name}__", lambda self: _close(function(self.values)))


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    _compare(_name)
for _name in ("neg", "abs", "invert"):
    _unary(_name)
