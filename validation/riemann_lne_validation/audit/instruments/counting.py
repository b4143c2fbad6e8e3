"""Operations of array code, counted while it runs on arrays that count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


class Counted(np.ndarray):
    """A NumPy array that adds to a tally what is computed with it.

    A function of entries costs one operation an entry of its result; a sum or a maximum one an
    entry of what is summed; a product of matrices two a product of entries (a multiplication and
    an addition); a contraction as many for each factor. Copies and views cost nothing.
    """

    only_numbers = True  # what the core's gate for arrays asks of a subclass

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        plain = [np.asarray(v) if isinstance(v, Counted) else v for v in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(v) if isinstance(v, Counted) else v for v in out)
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc in (np.matmul, np.vecdot):
            inner = np.shape(plain[0])[-1]
            _add(2 * inner * np.size(result))
        elif method in ("reduce", "accumulate", "reduceat"):
            _add(np.size(plain[0]))
        else:
            _add(max(np.size(r) for r in (result if isinstance(result, tuple) else (result,))))
        return _counted(result)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        name = function.__name__
        if name in ("einsum", "dot", "tensordot", "inner", "vdot", "outer"):
            plain = [np.asarray(v) if isinstance(v, Counted) else v for v in args]
            _add(_contraction(name, plain))
            return _counted(function(*plain, **options))
        return super().__array_function__(function, types, args, options)


def _contraction(name: str, arguments: Sequence[Any]) -> int:
    """Operations of a contraction: over all values of all its indices."""
    arrays = [np.shape(a) for a in arguments if not isinstance(a, str)]
    if name == "einsum":
        sizes: dict[str, int] = {}
        spelled = str(arguments[0]).split("->")[0].split(",")
        for letters, shape in zip(spelled, arrays, strict=True):
            plain = letters.replace(" ", "").replace("...", "")
            lead = len(shape) - len(plain)
            sizes |= {f"{k}": v for k, v in enumerate(shape[:lead])}
            sizes |= dict(zip(plain, shape[lead:], strict=True))
        return len(arrays) * math.prod(sizes.values())
    if name == "outer":
        return math.prod(math.prod(shape) for shape in arrays)
    return 2 * math.prod(arrays[0]) * (arrays[1][-1] if len(arrays[1]) > 1 else 1)


_tally: list[int] = []


def _add(operations: int) -> None:
    for i in range(len(_tally)):
        _tally[i] += operations


def _counted(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_counted(v) for v in value)
    if isinstance(value, (np.ndarray, np.generic)) and not np.issubdtype(value.dtype, np.object_):
        return np.asarray(value).view(Counted)
    return value


def counted(values: Any) -> Any:
    """The values as an array that counts."""
    return np.array(values, dtype=float).view(Counted)


@contextmanager
def _counting() -> Iterator[int]:
    _tally.append(0)
    place = len(_tally) - 1
    try:
        yield place
    finally:
        del _tally[place + 1 :]


def operations(function: Callable[..., Any], *arguments: Any) -> int:
    """How many operations a function performs on its arguments, which are made to count.

    >>> x = np.ones(5)
    >>> operations(lambda a, b: (a * b).sum(), x, x), operations(np.matmul, np.ones((3, 5)), x)
    (10, 30)
    """
    made = [counted(a) if isinstance(a, (np.ndarray, list)) else a for a in arguments]
    with _counting() as place:
        function(*made)
        result = _tally[place]
    _tally.pop()
    return result


def eliminated(g: Any, v: Any) -> Any:
    """The solution x of g x = v by Gauss's elimination without exchanges, row by row."""
    a, b = g.copy(), v.copy()
    n = a.shape[0]
    for k in range(n - 1):
        factors = a[k + 1 :, k] / a[k, k]
        a[k + 1 :, k + 1 :] = a[k + 1 :, k + 1 :] - factors[:, None] * a[k, k + 1 :]
        b[k + 1 :] = b[k + 1 :] - factors * b[k]
    x = b.copy()
    for k in range(n - 1, -1, -1):
        x[k] = (b[k] - (a[k, k + 1 :] * x[k + 1 :]).sum()) / a[k, k]
    return x


def power(sizes: Sequence[float], counts: Sequence[float]) -> float:
    """The power of n in a count, from the two largest sizes."""
    (a, b), (c, d) = sizes[-2:], counts[-2:]
    return math.log(d / c) / math.log(b / a)
