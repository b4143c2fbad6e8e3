"""Closed manifolds without boundary data: Berger spheres by their differential equation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.integrate import solve_ivp


def berger_rates(squares: np.ndarray) -> np.ndarray:
    """A', B', C' = -2 Ric(F_i, F_i) of the squared lengths of a left-invariant metric on S^3.

    Ric(F_1, F_1) = 4 - 2 (B^2 + C^2 - A^2) / (B C), and cyclic (Milnor 1976).
    """
    a, b, c = squares
    return np.array(
        [
            -8 + 4 * (b * b + c * c - a * a) / (b * c),
            -8 + 4 * (c * c + a * a - b * b) / (c * a),
            -8 + 4 * (a * a + b * b - c * c) / (a * b),
        ]
    )


def berger_riemann(squares: np.ndarray) -> float:
    """|Rm| = 2 (K_12^2 + K_13^2 + K_23^2)^(1/2), K_ij = R / 2 - Ric(e_k, e_k), 1 / length^2."""
    ricci = -berger_rates(squares) / (2 * squares)
    sectional = ricci.sum() / 2 - ricci
    return float(2 * np.sqrt((sectional**2).sum()))


def berger_flow(
    start: Sequence[float], shrink: float, samples: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Times and squared lengths until the volume^(2/3) has shrunk to a share of its start.

    In the slowed time s, dt = (A B C)^(1/3) ds, in which the end is approached exponentially.
    """

    def rates(s: float, y: np.ndarray) -> np.ndarray:
        size = float(np.exp(y[:3].mean()))
        squares = np.exp(y[:3])
        return np.append(size * berger_rates(squares) / squares, size)

    def small(s: float, y: np.ndarray) -> float:
        return float(y[:3].mean() - first - np.log(shrink))

    small.terminal = True  # type: ignore[attr-defined]
    y = np.append(np.log(np.asarray(start, dtype=float)), 0.0)
    first = float(y[:3].mean())
    found = solve_ivp(
        rates, (0.0, 50.0), y, "DOP853", rtol=1e-11, atol=1e-13, events=small, dense_output=True
    )
    s = np.linspace(0.0, float(found.t[-1]), samples)
    values = found.sol(s)
    return values[3], np.exp(values[:3]).T
