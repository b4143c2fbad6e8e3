"""Problems of DETEST (Hull, Enright, Fellen & Sedgwick, SIAM J. Numer. Anal. 9 (1972) 603).

Every class has some: A single equations, B small systems, C moderate systems, D orbits, E of higher
order. Where there is a closed form it is given, else the end comes from SciPy at the tightest
tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp


@dataclass(frozen=True)
class Problem:
    """y' = f(t, y), y(0) = start, to be known at the end."""

    f: Callable[[float, Any], Any]
    start: list[float]
    end: float
    exact: Callable[[float], list[float]] | None = None

    def reference(self) -> np.ndarray:
        """The state at the end."""
        if self.exact is not None:
            return np.array(self.exact(self.end))
        found = solve_ivp(
            self.f, (0, self.end), self.start, method="DOP853", rtol=1e-13, atol=1e-13
        )
        return np.array(found.y[:, -1])


def _decay_chain(t: float, y: np.ndarray) -> np.ndarray:
    """C1: every substance decays into the next."""
    out = np.concatenate([y[:-1], [0.0]])
    return np.concatenate([[0.0], y[:-1]]) - out


def _heat(t: float, y: np.ndarray) -> np.ndarray:
    """C3: the second difference with ends at zero."""
    padded = np.pad(y, 1)
    return padded[2:] - 2 * y + padded[:-2]


def _orbit(t: float, y: np.ndarray) -> np.ndarray:
    """Class D: two bodies."""
    r3 = math.hypot(y[0], y[1]) ** 3
    return np.array([y[2], y[3], -y[0] / r3, -y[1] / r3])


def _orbit_of(eccentricity: float) -> Problem:
    e = eccentricity
    start = [1 - e, 0.0, 0.0, math.sqrt((1 + e) / (1 - e))]

    def exact(t: float) -> list[float]:
        u = t  # the eccentric anomaly, from Kepler's equation u - e sin u = t
        for _ in range(50):
            u -= (u - e * math.sin(u) - t) / (1 - e * math.cos(u))
        root, distance = math.sqrt(1 - e * e), 1 - e * math.cos(u)
        place = [math.cos(u) - e, root * math.sin(u)]
        return [*place, -math.sin(u) / distance, root * math.cos(u) / distance]

    return Problem(_orbit, start, 20.0, exact)


PROBLEMS = {
    "A1": Problem(lambda t, y: -y, [1.0], 20.0, lambda t: [math.exp(-t)]),
    "A2": Problem(lambda t, y: -(y**3) / 2, [1.0], 20.0, lambda t: [1 / math.sqrt(t + 1)]),
    "A3": Problem(lambda t, y: y * math.cos(t), [1.0], 20.0, lambda t: [math.exp(math.sin(t))]),
    "A4": Problem(
        lambda t, y: y / 4 * (1 - y / 20), [1.0], 20.0, lambda t: [20 / (1 + 19 * math.exp(-t / 4))]
    ),
    "B1": Problem(
        lambda t, y: np.array([2 * (y[0] - y[0] * y[1]), -(y[1] - y[0] * y[1])]), [1.0, 3.0], 20.0
    ),
    "B2": Problem(
        lambda t, y: np.array([-y[0] + y[1], y[0] - 2 * y[1] + y[2], y[1] - y[2]]),
        [2.0, 0.0, 1.0],
        20.0,
    ),
    "B4": Problem(
        lambda t, y: np.array(
            [
                -y[1] - y[0] * y[2] / math.hypot(y[0], y[1]),
                y[0] - y[1] * y[2] / math.hypot(y[0], y[1]),
                y[0] / math.hypot(y[0], y[1]),
            ]
        ),
        [3.0, 0.0, 0.0],
        20.0,
    ),
    "B5": Problem(
        lambda t, y: np.array([y[1] * y[2], -y[0] * y[2], -0.51 * y[0] * y[1]]),
        [0.0, 1.0, 1.0],
        20.0,
    ),
    "C1": Problem(_decay_chain, [1.0] + [0.0] * 9, 20.0),
    "C3": Problem(_heat, [1.0] + [0.0] * 9, 20.0),
    "D1": _orbit_of(0.1),
    "D3": _orbit_of(0.5),
    "D5": _orbit_of(0.9),
    "E2": Problem(lambda t, y: np.array([y[1], (1 - y[0] ** 2) * y[1] - y[0]]), [2.0, 0.0], 20.0),
    "E4": Problem(lambda t, y: np.array([y[1], 0.032 - 0.4 * y[1] ** 2]), [30.0, 0.0], 20.0),
    "E5": Problem(
        lambda t, y: np.array([y[1], math.sqrt(1 + y[1] ** 2) / (25 - t)]), [0.0, 0.0], 20.0
    ),
}
