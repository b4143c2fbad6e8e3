"""Eigentensors of the Lichnerowicz Laplacian of the round S^n, as tensors of R^(n+1).

With the eigenvalue -lambda they decay at lambda - 2 (n - 1) under the normalised Ricci-DeTurck flow
about the round metric. For harmonic homogeneous polynomials f of degree l, of which f g and the
part of the Hessian without trace are eigentensors, lambda = l (l + n - 1); for L_V g with V free of
divergence and harmonic of degree k, lambda = (k + 1) (k + n - 2); for tensors without trace and
divergence of degree k, lambda = k (k + n - 1) + 2 (n - 1), n >= 3 (n = 2 has none).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

Rows = list[list[Any]]


@dataclass(frozen=True)
class SphereMode:
    """An eigentensor.

    Attributes
    ----------
    name : str
    eigenvalue : int
        Lambda > 0, with Delta_L h = -lambda h on the unit sphere.
    tensor : callable
        (X_0, ..., X_n) -> rows of a tensor of R^(n+1) that induces it.
    """

    name: str
    eigenvalue: int
    tensor: Callable[..., Rows]

    def rate(self, n: int) -> int:
        """Rate of decay under the normalised flow about the unit sphere."""
        return self.eigenvalue - 2 * (n - 1)


def sphere_modes(n: int) -> list[SphereMode]:
    """Modes of all kinds on S^n, n = 2 or 3, orthogonal to each other."""
    modes = []
    for axes in ((0, 1), (0, n), (0, 1, 2)):
        degree = len(axes)
        eigenvalue = degree * (degree + n - 1)
        label = f"degree {degree} ({''.join(map(str, axes))})"
        modes.append(SphereMode(f"conformal, {label}", eigenvalue, _conformal(axes)))
        modes.append(SphereMode(f"Hessian, {label}", eigenvalue, _hessian(n, axes)))
    modes.append(SphereMode("Lie derivative, degree 2", 3 * n, _lie))
    if n == 3:
        modes.append(SphereMode("transverse, traceless, degree 2", 12, _transverse))
    return modes


def _product(x: tuple[Any, ...], axes: tuple[int, ...]) -> Any:
    result = 1.0 + 0.0 * x[0]
    for a in axes:
        result = result * x[a]
    return result


def _conformal(axes: tuple[int, ...]) -> Callable[..., Rows]:
    """F times the identity, f the product of some coordinates, which is harmonic."""

    def tensor(*x: Any) -> Rows:
        f = _product(x, axes)
        return [[f * float(a == b) for b in range(len(x))] for a in range(len(x))]

    return tensor


def _hessian(n: int, axes: tuple[int, ...]) -> Callable[..., Rows]:
    """The Hessian of f on the sphere, D^2 f - l f, without its trace -l (l + n - 1) f."""
    degree = len(axes)
    shift = -degree + degree * (degree + n - 1) / n

    def tensor(*x: Any) -> Rows:
        rows = _conformal(axes)(*x)
        for row in rows:
            for b in range(len(x)):
                row[b] = shift * row[b]
        for a, b in combinations(axes, 2):
            second = _product(x, tuple(c for c in axes if c not in (a, b)))
            rows[a][b] = rows[a][b] + second
            rows[b][a] = rows[b][a] + second
        return rows

    return tensor


def _lie(*x: Any) -> Rows:
    """L_V g of V = X_2 (-X_1, X_0, 0, ...), tangent, harmonic and free of divergence."""
    size = len(x)
    rows: Rows = [[0.0 * x[0] for _ in range(size)] for _ in range(size)]
    for a, b, value in ((0, 1, -x[2]), (0, 2, -x[1]), (1, 0, x[2]), (1, 2, x[0])):
        rows[a][b] = rows[a][b] + value
        rows[b][a] = rows[b][a] + value
    return rows


def _transverse(*x: Any) -> Rows:
    """F1 F1^T - F2 F2^T with two left-invariant fields of the unit quaternions."""
    w, i, j, k = x
    one, two = (-i, w, k, -j), (-j, -k, w, i)
    return [[one[a] * one[b] - two[a] * two[b] for b in range(4)] for a in range(4)]


def inner_product(metric: Any, one: np.ndarray, two: np.ndarray) -> float:
    """Integral of <one, two>_g dV over a sphere, for tensors (n, n, *shape)."""
    inverse = metric.inverse()
    density = np.einsum("ik...,jl...,ij...,kl...->...", inverse, inverse, one, two)
    return float(metric.grid.integrate(density * metric.volume_element()))
