"""Passes over whole states: what steps are sized by, states are checked by, and stages are made of.

Beside a fused right-hand side the array code for them would take a third of an adapted step.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..flows.base import laplacian_bound
from ..tensors import (
    inverse_and_determinant,
    leading_minors,
    packed_size,
    pairs,
    squared_norm,
)
from .build import load
from .c_templates import FENCE
from .emit import statements
from .emit_c import head
from .expressions import Symbol, Tape, in_order
from .layout import PAST_CACHES, address, addresses, empty
from .thread_pool import pool, slabs

Terms = Sequence[tuple[float, np.ndarray]]

# For fewer points it takes longer to wake a thread than to do its share.
_LEAST_POINTS = 1 << 14
# Threads share a sum out in parts of this many values.
_GRAIN = 64

_HEAD = """\
/* The values from an address; beyond the last one it is repeated. */
static inline vec held(const real *from, int64_t count) {
    if (count >= LANES) return *(const uvec *)from;
    vec x;
    for (int64_t k = 0; k < LANES; k++) x[k] = from[k < count ? k : count - 1];
    return x;
}
"""

_FUNCTION = """\
/* The largest value from begin to end and zero, NaN if there is one. Terms are arrays like the
   metric; the numbers are their factors, or what else the formula takes. */
void {name}(const real *metric, const real *const *terms, int64_t count, const real *numbers,
            int64_t points, int64_t begin, int64_t end, real *result) {
    vec largest = {0};
    ivec broken = {0};
    for (int64_t z = begin; z < end; z += LANES) {
{body}
        const ivec more = value > largest;
        largest = (vec)(((ivec)value & more) | ((ivec)largest & ~more));
        broken |= value != value;
    }
    *result = largest[0];
    for (int64_t k = 1; k < LANES; k++) if (largest[k] > *result) *result = largest[k];
    for (int64_t k = 0; k < LANES; k++) if (broken[k]) *result = __builtin_nan("");
}
"""


_COMBINATION = """\
/* Sum of factor times array from begin to end, which may be one of the arrays. Written past the
   caches if that is wanted and it begins with a whole vector. */
void combination(const real *const *terms, const real *factors, int64_t count, int64_t begin,
                 int64_t end, int64_t past, real *result) {
    enum { VECTORS = 8 };
    const int64_t direct = past && ((uintptr_t)(result + begin)) % BYTES == 0;
    int64_t z = begin;
    for (; z + VECTORS * LANES <= end; z += VECTORS * LANES) {
        vec total[VECTORS];
        for (int k = 0; k < VECTORS; k++)
            total[k] = factors[0] * *(const uvec *)(terms[0] + z + k * LANES);
        for (int64_t m = 1; m < count; m++)
            for (int k = 0; k < VECTORS; k++)
                total[k] += factors[m] * *(const uvec *)(terms[m] + z + k * LANES);
        if (direct)
            for (int k = 0; k < VECTORS; k++) stream(result + z + k * LANES, total[k]);
        else
            for (int k = 0; k < VECTORS; k++) *(uvec *)(result + z + k * LANES) = total[k];
    }
    for (; z < end; z += LANES) {
        vec total = factors[0] * some(terms[0] + z, end - z);
        for (int64_t m = 1; m < count; m++) total += factors[m] * some(terms[m] + z, end - z);
        for (int64_t k = 0; k < LANES && z + k < end; k++) result[z + k] = total[k];
    }
    fence();
}
"""


def _symbols(tape: Tape, name: str, count: int) -> list[Symbol]:
    return [tape.input(f"{name}{k}") for k in range(count)]


class _Point(NamedTuple):
    """The quantities computed at a point."""

    inputs: list[str]
    """Statements that the inputs of the trees come from."""
    value: Symbol | None = None
    positive: tuple[Symbol, ...] = ()
    """Where one of these is not, the result is NaN; so it is where a component is not finite."""


def _norm(n: int) -> _Point:
    """|e|_g^2 of a sum e of terms."""
    tape, count = Tape(), packed_size(n)
    g, e = _symbols(tape, "g", count), _symbols(tape, "e", count)
    inverse, _ = inverse_and_determinant(_table(g, n), n)
    added = [
        f"    e{k} += numbers[m] * held(terms[m] + {k} * points + z, end - z);"
        for k in range(count)
    ]
    zeros = f"vec {', '.join(f'e{k} = {{0}}' for k in range(count))};"
    inputs = [*_loads(count), zeros, "for (int64_t m = 0; m < count; m++) {", *added, "}"]
    return _Point(inputs, squared_norm(_table(e, n), inverse, n))


def _bound(n: int) -> _Point:
    """The bound for the Laplacian's spectrum."""
    tape, count = Tape(), packed_size(n)
    g, symbols = _symbols(tape, "g", count), _symbols(tape, "s", count)
    weights = [f"const vec s{k} = numbers[{k}] - (vec){{0}};" for k in range(count)]
    return _Point([*_loads(count), *weights], laplacian_bound(_table(g, n), n, symbols))


def _metric(n: int) -> _Point:
    """Whether it is a metric and finite."""
    count = packed_size(n)
    g = _symbols(Tape(), "g", count)
    return _Point(_loads(count), positive=tuple(leading_minors(_table(g, n), n)))


def _table(components: Sequence[Symbol], n: int) -> Any:
    known = dict(zip(pairs(n), components, strict=True))
    return {(i, j): known[min(i, j), max(i, j)] for i in range(n) for j in range(n)}


def _loads(count: int) -> list[str]:
    return [f"const vec g{k} = held(metric + {k} * points + z, end - z);" for k in range(count)]


_FUNCTIONS: dict[str, Callable[[int], _Point]] = {
    "largest_square": _norm,
    "largest_bound": _bound,
    "metric_or_nan": _metric,
}


def emit_reductions(n: int, dtype: str) -> str:
    """The C source: `largest_square`, `largest_bound`, `metric_or_nan` and `combination`."""
    most = {"float64": "DBL_MAX", "float32": "FLT_MAX"}[dtype]
    parts = ["#include <float.h>", head(dtype), _HEAD]
    for name, formula in _FUNCTIONS.items():
        point = formula(n)
        wanted = [*point.positive, *([] if point.value is None else [point.value])]
        lines, names = statements(in_order(s.node for s in wanted), str, "vec", "")
        body = [*point.inputs, *lines]
        if point.positive:
            body += [f"broken |= ~({names[s.node.number]} > (real)0);" for s in point.positive]
            body += [f"broken |= ~(absolute(g{k}) <= {most});" for k in range(packed_size(n))]
        value = "{0}" if point.value is None else names[point.value.node.number]
        body.append(f"const vec value = {value};")
        text = "\n".join(" " * 8 + line for line in body)
        parts.append(_FUNCTION.replace("{name}", name).replace("{body}", text))
    return "\n".join([*parts, FENCE, _COMBINATION])


class Reductions:
    """Reductions for packed metrics of one dimension and precision, on the host.

    Attributes
    ----------
    identity : str
        Everything that the last bit of results depends on.
    """

    def __init__(self, n: int, dtype: str) -> None:
        self.n, self.dtype = n, dtype
        self._library = load(
            emit_reductions(n, dtype),
            f"reductions ({n}-D, {dtype})",
            [*_FUNCTIONS, "combination"],
        )
        self.identity = self._library.key
        self._functions = {name: self._function(name) for name in _FUNCTIONS}
        self._combination = self._library.handle["combination"]
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._combination.restype = None
        self._combination.argtypes = (pointer, pointer, *(number,) * 4, pointer)

    def _function(self, name: str) -> Callable[..., None]:
        function = self._library.handle[name]
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        function.restype = None
        function.argtypes = (*(pointer,) * 2, number, pointer, *(number,) * 3, pointer)
        return function

    def largest_square(self, terms: Terms, packed: np.ndarray, threads: int | None = None) -> float:
        """Largest |e|_g^2 over the grid, e the sum of coefficient times array; NaN if there is one.

        Parameters
        ----------
        terms : sequence of (coefficient, packed array)
        packed : (n (n + 1) / 2, *shape)
            The metric.
        threads : int, optional
            See ``thread_count``. The result does not depend on it.
        """
        arrays = [self._native(array) for _, array in terms]
        return self._largest("largest_square", packed, arrays, [c for c, _ in terms], threads)

    def largest_bound(
        self, packed: np.ndarray, symbols: Sequence[float], threads: int | None = None
    ) -> float:
        """Largest `laplacian_bound` over the grid; NaN if there is one."""
        return self._largest("largest_bound", packed, [], symbols, threads)

    def combination(
        self, terms: Terms, out: np.ndarray | None = None, threads: int | None = None
    ) -> np.ndarray:
        """The sum of coefficient times array, in one pass through memory.

        Parameters
        ----------
        terms : sequence of (coefficient, array)
            Arrays of one shape.
        out : array, optional
            Where the sum goes, which may be one of the arrays. It comes back as a new view.
        threads : int, optional
            See ``thread_count``. The result does not depend on it.
        """
        arrays = [self._native(array) for _, array in terms]
        factors = np.array([c for c, _ in terms], dtype=self.dtype)
        if out is not None and not (out.flags.c_contiguous and out.dtype == factors.dtype):
            out[...] = self.combination(terms, None, threads)
            return out[...]
        result = empty(arrays[0].shape, self.dtype) if out is None else out
        given = addresses(arrays), address(factors), len(arrays)
        last, size = (result.nbytes >= PAST_CACHES, address(result)), result.size

        def part(ends: tuple[int, int]) -> None:
            # Parts begin where a cache line of the first does.
            self._combination(*given, ends[0] * _GRAIN, min(ends[1] * _GRAIN, size), *last)

        parts = slabs(-(-size // _GRAIN), threads, _LEAST_POINTS // _GRAIN)
        if len(parts) == 1:
            part(parts[0])
        else:
            list(pool(len(parts)).map(part, parts))
        return result[...]

    def is_metric(self, packed: np.ndarray, threads: int | None = None) -> bool:
        """Whether all points hold a finite, positive-definite metric (by its leading minors)."""
        return not math.isnan(self._largest("metric_or_nan", packed, [], [], threads))

    def _native(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array, dtype=self.dtype)

    def _largest(
        self,
        name: str,
        packed: np.ndarray,
        terms: Sequence[np.ndarray],
        numbers: Sequence[float],
        threads: int | None,
    ) -> float:
        metric, values = self._native(packed), np.array(numbers, dtype=self.dtype)
        points = math.prod(metric.shape[1:])
        given = address(metric), addresses(terms), len(terms), address(values), points
        function = self._functions[name]

        def part(ends: tuple[int, int]) -> float:
            result = np.empty((), dtype=self.dtype)
            function(*given, *ends, address(result))
            return float(result)

        parts = slabs(points, threads, _LEAST_POINTS)
        if len(parts) == 1:
            return part(parts[0])
        return float(np.max(list(pool(len(parts)).map(part, parts))))


@cache
def reductions(n: int, dtype: str) -> Reductions:
    """The reductions of a dimension and precision, built at the first use on a machine.

    Raises
    ------
    KernelUnavailableError
        If they cannot be built; the message says why.
    """
    return Reductions(n, dtype)


__all__ = ["Reductions", "emit_reductions", "reductions"]
