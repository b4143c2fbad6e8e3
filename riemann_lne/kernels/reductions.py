"""Largest values over a grid of formulas at a point, in one pass: what steps are sized by.

Beside a fused right-hand side the array code for them would take a third of an adapted step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..flows.base import laplacian_bound
from ..tensors import inverse_and_determinant, packed_size, pairs, squared_norm
from ..threads import thread_count
from .build import load
from .emit import statements
from .emit_c import head
from .expressions import Symbol, Tape
from .threads import pool, slabs

Terms = Sequence[tuple[float, np.ndarray]]

# For fewer points it takes longer to wake a thread than to do its share.
_LEAST_POINTS = 1 << 14

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
/* The largest value from begin to end, NaN if there is one. Of the terms, arrays like the metric,
   the sum with the factors is taken. */
void {name}(const real *metric, const real *const *terms, const real *factors, int64_t count,
            const real *symbols, int64_t points, int64_t begin, int64_t end, real *result) {
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


def _symbols(tape: Tape, name: str, count: int) -> list[Symbol]:
    return [tape.input(f"{name}{k}") for k in range(count)]


def _norm(n: int) -> tuple[Symbol, list[str]]:
    """|e|_g^2 of a sum e of terms; and the statements that its inputs come from."""
    tape, count = Tape(), packed_size(n)
    g, e = _symbols(tape, "g", count), _symbols(tape, "e", count)
    inverse, _ = inverse_and_determinant(_table(g, n), n)
    return squared_norm(_table(e, n), inverse, n), [
        *_loads(count),
        f"vec {', '.join(f'e{k} = {{0}}' for k in range(count))};",
        "for (int64_t m = 0; m < count; m++) {",
        *(f"    e{k} += factors[m] * held(terms[m] + {k} * points + z, end - z);"
          for k in range(count)),
        "}",
    ]  # fmt: skip


def _bound(n: int) -> tuple[Symbol, list[str]]:
    """The bound for the Laplacian's spectrum; and the statements that its inputs come from."""
    tape, count = Tape(), packed_size(n)
    g, symbols = _symbols(tape, "g", count), _symbols(tape, "s", count)
    weights = [f"const vec s{k} = symbols[{k}] - (vec){{0}};" for k in range(count)]
    return laplacian_bound(_table(g, n), n, symbols), [*_loads(count), *weights]


def _table(components: Sequence[Symbol], n: int) -> Any:
    known = dict(zip(pairs(n), components, strict=True))
    return {(i, j): known[min(i, j), max(i, j)] for i in range(n) for j in range(n)}


def _loads(count: int) -> list[str]:
    return [f"const vec g{k} = held(metric + {k} * points + z, end - z);" for k in range(count)]


_FUNCTIONS: dict[str, Callable[[int], tuple[Symbol, list[str]]]] = {
    "largest_square": _norm,
    "largest_bound": _bound,
}


def emit_reductions(n: int, dtype: str) -> str:
    """The C source: `largest_square` and `largest_bound`."""
    parts = [head(dtype), _HEAD]
    for name, formula in _FUNCTIONS.items():
        value, inputs = formula(n)
        lines, names = statements([value.node], str, "vec", " " * 8)
        body = [" " * 8 + line for line in inputs] + lines
        body.append(f"        const vec value = {names[value.node.number]};")
        parts.append(_FUNCTION.replace("{name}", name).replace("{body}", "\n".join(body)))
    return "\n".join(parts)


class Reductions:
    """Reductions for packed metrics of one dimension and precision, on the host.

    Attributes
    ----------
    identity : str
        What results depend on to the last bit.
    """

    def __init__(self, n: int, dtype: str) -> None:
        self.n, self.dtype = n, dtype
        self._library = load(emit_reductions(n, dtype), f"reductions ({n}-D, {dtype})")
        self.identity = self._library.key
        self._functions = {name: self._function(name) for name in _FUNCTIONS}

    def _function(self, name: str) -> Callable[..., None]:
        function = self._library.handle[name]
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        function.restype = None
        function.argtypes = (*(pointer,) * 3, number, pointer, *(number,) * 3, pointer)
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
        factors = np.array([c for c, _ in terms], dtype=self.dtype)
        return self._largest("largest_square", packed, arrays, factors, factors, threads)

    def largest_bound(
        self, packed: np.ndarray, symbols: Sequence[float], threads: int | None = None
    ) -> float:
        """Largest `laplacian_bound` over the grid; NaN if there is one."""
        weights = np.array(symbols, dtype=self.dtype)
        return self._largest("largest_bound", packed, [], weights, weights, threads)

    def _native(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array, dtype=self.dtype)

    def _largest(
        self,
        name: str,
        packed: np.ndarray,
        terms: Sequence[np.ndarray],
        factors: np.ndarray,
        symbols: np.ndarray,
        threads: int | None,
    ) -> float:
        metric = self._native(packed)
        points = metric[0].size
        addresses = (ctypes.c_void_p * len(terms))(*(a.ctypes.data for a in terms))
        function = self._functions[name]

        def part(ends: tuple[int, int]) -> float:
            result = np.empty((), dtype=self.dtype)
            function(
                metric.ctypes.data, addresses, factors.ctypes.data, len(terms),
                symbols.ctypes.data, points, *ends, result.ctypes.data,
            )  # fmt: skip
            return float(result)

        parts = slabs(points, thread_count(threads), _LEAST_POINTS)
        values = [part(parts[0])] if len(parts) == 1 else list(pool(len(parts)).map(part, parts))
        return float(np.max(values))


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
