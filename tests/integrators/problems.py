"""The problems of DETEST (Hull, Enright, Fellen & Sedgwick, SIAM J. Numer. Anal. 9 (1972) 603).

All five classes: A single equations, B small systems, C moderate systems, D orbits, E of higher
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


def _faster_chain(t: float, y: np.ndarray) -> np.ndarray:
    """C2: as C1, substance i decaying at the rate i."""
    out = np.arange(1, len(y) + 1) * y
    out[-1] = 0.0
    return np.concatenate([[0.0], out[:-1]]) - out


def _heat(t: float, y: np.ndarray) -> np.ndarray:
    """C3, C4: the second difference with ends at zero."""
    padded = np.pad(y, 1)
    return padded[2:] - 2 * y + padded[:-2]


_GRAVITY = 2.95912208286  # astronomical units, days / 100 and masses of the sun
_SUN = 1.00000597682  # with the inner planets
_PLANETS = np.array(
    [
        0.000954786104043,
        0.000285583733151,
        0.0000437273164546,
        0.0000517759138449,
        0.00000277777777778,
    ]
)
_PLACES = [
    [3.42947415189, 3.35386959711, 1.35494901715],
    [6.64145542550, 5.97156957878, 2.18231499728],
    [11.2630437207, 14.6952576794, 6.27960525067],
    [-30.1552268759, 1.65699966404, 1.43785752721],
    [-21.1238353380, 28.4465098142, 15.3882659679],
]
_VELOCITIES = [
    [-0.557160570446, 0.505696783289, 0.230578543901],
    [-0.415570776342, 0.365682722812, 0.169143213293],
    [-0.325325669158, 0.189706021964, 0.087726532278],
    [-0.024047625417, -0.287659532608, -0.117219543175],
    [-0.176860753121, -0.216393453025, -0.014864789309],
]


def _five_bodies(t: float, y: np.ndarray) -> np.ndarray:
    """C5: five outer planets around the sun, which moves with them."""
    places = y[:15].reshape(5, 3)
    to_sun = places / np.sum(places**2, axis=1)[:, None] ** 1.5
    apart = places[None, :, :] - places[:, None, :]  # [j, k]: from planet j to planet k
    distance = np.sum(apart**2, axis=2) + np.eye(5)
    pulls = apart / distance[:, :, None] ** 1.5 - to_sun[None, :, :]
    weighted = _PLANETS[None, :, None] * pulls
    weighted[np.arange(5), np.arange(5)] = 0.0
    own = -(_SUN + _PLANETS)[:, None] * to_sun
    return np.concatenate([y[15:], (_GRAVITY * (own + weighted.sum(axis=1))).reshape(-1)])


def _bessel(t: float, y: np.ndarray) -> np.ndarray:
    """E1: Bessel's equation of order 1/2, from the argument 1 on."""
    x = t + 1
    return np.array([y[1], -(y[1] / x + (1 - 0.25 / x**2) * y[0])])


def _bessel_solution(t: float) -> list[float]:
    """J_{1/2}(x) = sqrt(2 / (pi x)) sin x, and its derivative."""
    x = t + 1
    root = math.sqrt(2 / (math.pi * x))
    return [root * math.sin(x), root * (math.cos(x) - math.sin(x) / (2 * x))]


def _duffing(t: float, y: np.ndarray) -> np.ndarray:
    """E3: a driven oscillator with a soft spring."""
    return np.array([y[1], y[0] ** 3 / 6 - y[0] + 2 * math.sin(2.78535 * t)])


def _spiral(t: float, y: float) -> float:
    """A5: a spiral curve."""
    return (y - t) / (y + t)


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
    "A5": Problem(_spiral, [4.0], 20.0),
    "B1": Problem(
        lambda t, y: np.array([2 * (y[0] - y[0] * y[1]), -(y[1] - y[0] * y[1])]), [1.0, 3.0], 20.0
    ),
    "B2": Problem(
        lambda t, y: np.array([-y[0] + y[1], y[0] - 2 * y[1] + y[2], y[1] - y[2]]),
        [2.0, 0.0, 1.0],
        20.0,
    ),
    "B3": Problem(
        lambda t, y: np.array([-y[0], y[0] - y[1] ** 2, y[1] ** 2]), [1.0, 0.0, 0.0], 20.0
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
    "C2": Problem(_faster_chain, [1.0] + [0.0] * 9, 20.0),
    "C3": Problem(_heat, [1.0] + [0.0] * 9, 20.0),
    "C4": Problem(_heat, [1.0] + [0.0] * 50, 20.0),
    "C5": Problem(_five_bodies, [x for row in (*_PLACES, *_VELOCITIES) for x in row], 20.0),
    **{f"D{i}": _orbit_of(e) for i, e in enumerate((0.1, 0.3, 0.5, 0.7, 0.9), start=1)},
    "E1": Problem(_bessel, _bessel_solution(0.0), 20.0, _bessel_solution),
    "E2": Problem(lambda t, y: np.array([y[1], (1 - y[0] ** 2) * y[1] - y[0]]), [2.0, 0.0], 20.0),
    "E3": Problem(_duffing, [0.0, 0.0], 20.0),
    "E4": Problem(lambda t, y: np.array([y[1], 0.032 - 0.4 * y[1] ** 2]), [30.0, 0.0], 20.0),
    "E5": Problem(
        lambda t, y: np.array([y[1], math.sqrt(1 + y[1] ** 2) / (25 - t)]), [0.0, 0.0], 20.0
    ),
}
