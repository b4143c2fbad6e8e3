"""Where a function is least on a small sphere: the direction of steepest descent, by search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ..evidence import UnresolvedError

_POLISHING = 30


@dataclass(frozen=True)
class Smooth:
    """A function of a vector with its gradient and its Hessian."""

    value: Callable[[np.ndarray], Any]
    gradient: Callable[[np.ndarray], np.ndarray]
    hessian: Callable[[np.ndarray], np.ndarray]


def random_loss(rng: np.random.Generator, n: int) -> Smooth:
    """L(w) = sum_j log cosh(a_j . w - b_j) with n + 2 random terms: convex, not quadratic."""
    a, b = rng.normal(size=(n + 2, n)), rng.normal(size=n + 2)

    def hessian(w: np.ndarray) -> np.ndarray:
        return (a.T / np.cosh(a @ w - b) ** 2) @ a

    return Smooth(
        lambda w: np.sum(np.logaddexp(a @ w - b, b - a @ w)),
        lambda w: np.tanh(a @ w - b) @ a,
        hessian,
    )


def sphere_minimum(
    loss: Smooth, half_square: Smooth, w: np.ndarray, radius: float, rng: np.random.Generator
) -> np.ndarray:
    """The d / radius for which loss(w + d) is least where half_square(d) = radius^2 / 2.

    Found by SLSQP from a random start, which knows nothing of the predicted direction, and made
    exact by Newton's method on the conditions of first order.

    Raises
    ------
    UnresolvedError
        If the search does not end at a minimum.
    """
    origin = loss.value(w)

    def condition(u: np.ndarray) -> float:
        return float(2 * half_square.value(radius * u) / radius**2 - 1)

    def normal(u: np.ndarray) -> np.ndarray:
        return 2 * half_square.gradient(radius * u) / radius

    found = minimize(
        lambda u: (loss.value(w + radius * u) - origin) / radius,
        rng.normal(size=len(w)),
        jac=lambda u: loss.gradient(w + radius * u),
        constraints={"type": "eq", "fun": condition, "jac": normal},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 300},
    )
    u = found.x
    slope = loss.gradient(w + radius * u)
    factor = -float(slope @ normal(u)) / float(normal(u) @ normal(u))
    for _ in range(_POLISHING):
        slope = loss.gradient(w + radius * u) + factor * normal(u)
        residual = np.append(slope, condition(u))
        if np.abs(residual).max() < 1e-10 * (1 + np.abs(factor)):
            break
        bend = radius * loss.hessian(w + radius * u) + 2 * factor * half_square.hessian(radius * u)
        matrix = np.block([[bend, normal(u)[:, None]], [normal(u)[None, :], np.zeros((1, 1))]])
        step = np.linalg.solve(matrix, -residual)
        u, factor = u + step[:-1], factor + step[-1]
    if np.abs(residual).max() >= 1e-8 * (1 + np.abs(factor)) or not factor > 0:
        raise UnresolvedError(
            f"the search on the sphere of radius {radius:g} (n = {len(w)}) did not end at a "
            f"minimum: residual {np.abs(residual).max():.2g}"
        )
    return u


def extrapolated(directions: list[np.ndarray]) -> np.ndarray:
    """Limit of directions at radii r, r/2, r/4, ...: the terms in r and r^2 taken out."""
    a, b, c = directions[-3:]
    return (a - 6 * b + 8 * c) / 3


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Angle between two vectors in radians, right to rounding for small ones."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))
