"""The Ricci-DeTurck right-hand side for the libraries that ours is compared with.

Written for arrays that are never changed in place, so that JAX and torch.compile can trace it.
Differences and algebra are those of ``riemann_lne``: each peer gets the form that is quickest for
us, and its result is compared with ours before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement, product
from typing import Any, Protocol

from riemann_lne.jets import MetricJet
from riemann_lne.surfaces import deturck_flow_tensor_2d
from riemann_lne.weights import central_weights, half_width

Table = dict[tuple[int, ...], Any]


class Derivatives(Protocol):
    """First and second differences of the packed metric (c, *shape)."""

    def first(self, a: int) -> Any:
        """d_a g."""

    def second(self, a: int, b: int) -> Any:
        """d_a d_b g."""


def _weights(derivative: int, order: int, h: float) -> dict[int, float]:
    w = half_width(order)
    values = [float(c) / h**derivative for c in central_weights(derivative, order)]
    return {j - w: value for j, value in enumerate(values) if value}


class Rolled:
    """Differences of a periodic field by shifting the whole array."""

    def __init__(
        self,
        field: Any,
        spacing: tuple[float, ...],
        order: int,
        roll: Callable[[Any, int, int], Any],
    ) -> None:
        self.values, self.spacing, self.order, self.roll = field, spacing, order, roll
        self._first = {a: self._along(field, a, 1) for a in range(len(spacing))}

    def _along(self, f: Any, axis: int, derivative: int) -> Any:
        weights = _weights(derivative, self.order, self.spacing[axis])
        return sum(
            c * (self.roll(f, -offset, axis + 1) if offset else f) for offset, c in weights.items()
        )

    def first(self, a: int) -> Any:
        """d_a g."""
        return self._first[a]

    def second(self, a: int, b: int) -> Any:
        """d_a d_b g."""
        return self._along(self.values, a, 2) if a == b else self._along(self._first[a], b, 1)


class Sliced:
    """Differences of a periodic field that is padded once, by slices of it."""

    def __init__(
        self,
        field: Any,
        spacing: tuple[float, ...],
        order: int,
        concatenate: Callable[[list[Any], int], Any],
    ) -> None:
        self.values, self.spacing, self.order = field, spacing, order
        self.w = half_width(order)
        self.shape = field.shape
        for axis in range(1, len(spacing) + 1):
            size = field.shape[axis]
            low = _slice(field, axis, size - self.w, size)
            field = concatenate([low, field, _slice(field, axis, 0, self.w)], axis)
        self.padded = field
        self._first = {a: self._along(field, a, 1) for a in range(len(spacing))}

    def _along(self, f: Any, axis: int, derivative: int) -> Any:
        weights = _weights(derivative, self.order, self.spacing[axis])
        size = self.shape[axis + 1]
        return sum(
            c * _slice(f, axis + 1, self.w + offset, self.w + offset + size)
            for offset, c in weights.items()
        )

    def _cropped(self, f: Any) -> Any:
        for axis in range(1, len(self.spacing) + 1):
            if f.shape[axis] != self.shape[axis]:
                f = _slice(f, axis, self.w, self.w + self.shape[axis])
        return f

    def first(self, a: int) -> Any:
        """d_a g."""
        return self._cropped(self._first[a])

    def second(self, a: int, b: int) -> Any:
        """d_a d_b g."""
        along = self._along(self.padded, a, 2) if a == b else self._along(self._first[a], b, 1)
        return self._cropped(along)


def _slice(f: Any, axis: int, start: int, stop: int) -> Any:
    return f[(slice(None),) * axis + (slice(start, stop),)]


class _Local:
    """What ``MetricJet`` asks for, from the differences of a peer."""

    def __init__(self, derivatives: Derivatives, packed: Any) -> None:
        self._packed = packed
        self.first, self.second = derivatives.first, derivatives.second

    def value(self) -> Any:
        """The packed metric."""
        return self._packed


def deturck_form(derivatives: Derivatives, packed: Any, n: int) -> list[Any]:
    """Packed g^ab d_a d_b g_ij - X^k_li U^l_jk - X^k_lj Y_ik^l / 2.

    E_kij = d_i g_kj + d_j g_ki - d_k g_ij, X^k_ij = g^kp E_pij, U^l_jk = g^lm d_m g_jk and
    Y_ik^l = g^lm E_ikm. In two dimensions it is our closed form, which changes no array either.
    """
    if n == 2:
        return deturck_flow_tensor_2d(MetricJet(_Local(derivatives, packed), 2))
    pairs = list(combinations_with_replacement(range(n), 2))
    at = {pair: c for c, pair in enumerate(pairs)}
    at |= {(b, a): c for (a, b), c in at.items()}
    every = range(n)
    g: Table = {pair: packed[c] for pair, c in at.items()}
    d: Table = {}
    for m in every:
        along = derivatives.first(m)
        d |= {(m, *pair): along[c] for pair, c in at.items()}
    inverse = _inverse(g, n)
    lower = {
        (k, i, j): d[i, k, j] + d[j, k, i] - d[k, i, j]
        for k, i, j in product(every, repeat=3)
        if i <= j
    }
    lower |= {(k, j, i): value for (k, i, j), value in lower.items()}
    x = {
        (k, i, j): sum(inverse[k, p] * lower[p, i, j] for p in every)
        for k in every
        for i, j in pairs
    }
    x |= {(k, j, i): value for (k, i, j), value in x.items()}
    u = {(l, j, k): sum(inverse[l, m] * d[m, j, k] for m in every) for l in every for j, k in pairs}
    u |= {(l, k, j): value for (l, j, k), value in u.items()}
    half: Table = {}
    for l, (i, k) in product(every, pairs):
        if i == k:
            half[i, i, l] = 0.5 * u[l, i, i]
        else:
            half[i, k, l] = 0.5 * sum(inverse[l, m] * lower[i, k, m] for m in every)
            half[k, i, l] = u[l, i, k] - half[i, k, l]
    laplacian = None
    for a, b in pairs:
        term = (1.0 if a == b else 2.0) * inverse[a, b] * derivatives.second(a, b)
        laplacian = term if laplacian is None else laplacian + term
    assert laplacian is not None
    return [
        laplacian[c]
        - sum(
            x[k, l, i] * u[l, j, k] + x[k, l, j] * half[i, k, l]
            for k, l in product(every, repeat=2)
        )
        for c, (i, j) in enumerate(pairs)
    ]


def _inverse(g: Table, n: int) -> Table:
    """Inverse by cofactors, n <= 4, by repeated use of the sub-determinants."""
    cofactor: Table = {}
    for i, j in combinations_with_replacement(range(n), 2):
        rows, columns = _without(n, i), _without(n, j)
        cofactor[i, j] = (-1) ** (i + j) * _determinant(g, rows, columns)
        cofactor[j, i] = cofactor[i, j]
    scale = 1.0 / sum(g[0, j] * cofactor[0, j] for j in range(n))
    inverse = {
        (i, j): scale * cofactor[i, j] for i, j in combinations_with_replacement(range(n), 2)
    }
    return inverse | {(j, i): value for (i, j), value in inverse.items()}


def _determinant(g: Table, rows: tuple[int, ...], columns: tuple[int, ...]) -> Any:
    if len(rows) == 1:
        return g[rows[0], columns[0]]
    return sum(
        (-1) ** j * g[rows[0], column] * _determinant(g, rows[1:], columns[:j] + columns[j + 1 :])
        for j, column in enumerate(columns)
    )


def _without(n: int, i: int) -> tuple[int, ...]:
    return tuple(k for k in range(n) if k != i)
