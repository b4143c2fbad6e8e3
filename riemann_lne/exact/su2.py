"""Left-invariant metrics on the three-sphere: Berger's, by an ordinary differential equation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy

from ..arrays import Array, namespace
from ..checks import number
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import ExactSolution, stacked

_TOLERANCE = 3e-14  # SciPy allows no less than 100 units in the last place
# Short steps: the error of the interpolation between them is below rounding.
_LONGEST_STEP = 0.02
# In units of the slowed time: the size has fallen by e^-40 there, far below rounding of t.
_END = 12.0
# Followed back in time until the lengths differ by this factor, or for so long.
_WORST_RATIO = 50.0
_START = -2.0


@dataclass(frozen=True)
class Berger(ExactSolution):
    """See ``berger``."""

    a: float
    b: float
    c: float

    n = 3
    solves = ("ricci",)

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """The time at which the sphere vanishes."""
        return self._unit * _history(self._shape).end

    @property
    def t_min(self) -> float:  # type: ignore[override]
        """As far back as the equation was followed, until one length was 50 times another."""
        return self._unit * _history(self._shape).start

    @property
    def _unit(self) -> float:
        """The largest of a, b and c: lengths squared and times are proportional to it."""
        return max(self.a, self.b, self.c)

    @property
    def _shape(self) -> tuple[float, float, float]:
        """A, B and C in that unit, to which the tolerances of the integration are fitted."""
        return self.a / self._unit, self.b / self._unit, self.c / self._unit

    @property
    def singular_time(self) -> float:
        """The time at which the sphere vanishes, in length^2."""
        return self.t_max

    def lengths(self, t: float) -> tuple[float, float, float]:
        """A, B and C at a time, the squared lengths of F1, F2 and F3.

        Raises
        ------
        InvalidArgumentError
            If the solution does not exist at that time.
        """
        self._check_time(t)
        a, b, c = _lengths(self._shape, float(t) / self._unit)
        return a * self._unit, b * self._unit, c * self._unit

    def _components(self, t: float, *x: Array) -> Any:
        return _in_angles(self.lengths(t), *x)

    def ambient(self, t: float, *x: Array) -> Any:
        """Rows of A F1 F1^T + B F2 F2^T + C F3 F3^T, F_i = X e_i in the unit quaternions X.

        The metric as a tensor of R^4, of which the sphere is the unit one.
        """
        w, i, j, k = x
        frame = ((-i, w, k, -j), (-j, -k, w, i), (-k, j, -i, w))
        lengths = self.lengths(t)
        return [
            [sum(s * f[a] * f[b] for s, f in zip(lengths, frame, strict=True)) for b in range(4)]
            for a in range(4)
        ]

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """The sum of Ric(F_i, F_i) / g(F_i, F_i), shape of the coordinates; 1 / length^2."""
        squares = self.lengths(t)
        value = sum(r / s for r, s in zip(_ricci(squares), squares, strict=True))
        return namespace(*x).full_like(x[0], value)

    def ricci(self, t: float, *x: Array) -> Array:
        """Ric(F1, F1) = 4 - 2 (B^2 + C^2 - A^2) / (B C), cyclic; (3, 3, *shape), dimensionless."""
        return stacked(_in_angles(_ricci(self.lengths(t)), *x), x[0])

    def grid(self, points: int) -> Grid:
        """Euler angles theta in [pi/6, 5 pi/6], bounded, phi and psi in [0, pi), periodic.

        All metrics of the family have the period pi in psi, and do not depend on phi.
        """
        lower, upper = (math.pi / 6, 0.0, 0.0), (5 * math.pi / 6, math.pi, math.pi)
        return Grid((points,) * 3, lower, upper, (False, True, True))


def _ricci(squares: tuple[float, float, float]) -> tuple[float, float, float]:
    """Ric(F_i, F_i) from the squared lengths (Milnor 1976)."""
    a, b, c = squares
    # By quotients: a product of two lengths may not fit where a quotient does.
    return (
        4 - 2 * (b / c + c / b - (a / b) * (a / c)),
        4 - 2 * (c / a + a / c - (b / c) * (b / a)),
        4 - 2 * (a / b + b / a - (c / a) * (c / b)),
    )


def _in_angles(
    weights: tuple[float, float, float], theta: Array, phi: Array, psi: Array
) -> list[list[Any]]:
    """Rows of sum_i weight_i (sigma_i / 2)^2 in Euler angles theta, phi, psi, with

    sigma_1 = cos psi dtheta + sin psi sin theta dphi,
    sigma_2 = -sin psi dtheta + cos psi sin theta dphi, sigma_3 = dpsi + cos theta dphi.
    """
    xp = namespace(theta)
    a, b, c = (w / 4 for w in weights)
    sine, cosine = xp.sin(theta), xp.cos(theta)
    s, t = xp.sin(psi), xp.cos(psi)
    mixed = (a - b) * s * t * sine
    round_part = (a * s * s + b * t * t) * sine * sine + c * cosine * cosine
    return [
        [a * t * t + b * s * s, mixed, 0.0],
        [mixed, round_part, c * cosine],
        [0.0, c * cosine, c],
    ]


@dataclass(frozen=True)
class _History:
    """The solution of the equation in a slowed time s, t' = size = (A B C)^(1/3).

    In that time the size decays exponentially and t tends to its last value, so that the end is
    found to rounding.
    """

    start: float
    end: float
    low: float
    backward: Any
    forward: Any

    def at(self, s: float) -> np.ndarray:
        """The logarithms of A, B, C, and t."""
        return self.backward(s) if s < 0 else self.forward(s)


def _slowed(s: float, y: np.ndarray) -> np.ndarray:
    """Right-hand side for (log A, log B, log C, t)."""
    a, b, c = np.exp(y[:3])
    size = math.exp((y[0] + y[1] + y[2]) / 3)
    rates = np.array(_ricci((float(a), float(b), float(c))))
    return np.append(-2 * size * rates / np.array([a, b, c]), size)


@lru_cache(maxsize=32)
def _history(squares: tuple[float, float, float]) -> _History:
    """The whole life of a solution."""
    start = np.append(np.log(squares), 0.0)

    def uneven(s: float, y: np.ndarray) -> float:
        return math.log(_WORST_RATIO) - float(np.ptp(y[:3]))

    uneven.terminal = True  # type: ignore[attr-defined]
    options = {
        "method": "DOP853",
        "rtol": _TOLERANCE,
        "atol": 1e-15,
        "max_step": _LONGEST_STEP,
        "dense_output": True,
    }
    forward = scipy.integrate.solve_ivp(_slowed, (0.0, _END), start, **options)
    backward = scipy.integrate.solve_ivp(_slowed, (0.0, _START), start, events=uneven, **options)
    return _History(
        float(backward.y[3, -1]),
        float(forward.y[3, -1]),
        float(backward.t[-1]),
        backward.sol,
        forward.sol,
    )


@lru_cache(maxsize=4096)
def _lengths(squares: tuple[float, float, float], t: float) -> tuple[float, float, float]:
    """A, B, C at a time: t is inverted by Newton's method, kept in a bracket."""
    history = _history(squares)
    low, high = history.low, _END
    s = 0.0
    for _ in range(200):
        y = history.at(s)
        defect = float(y[3]) - t
        low, high = (low, s) if defect > 0 else (s, high)
        step = defect / math.exp(float(y[0] + y[1] + y[2]) / 3)
        if abs(step) <= 1e-15 * (1 + abs(s)):
            break
        s = s - step if low < s - step < high else (low + high) / 2
    a, b, c = (math.exp(float(v)) for v in history.at(s)[:3])
    return a, b, c


def berger(a: float = 1.0, b: float = 1.0, c: float = 0.5) -> Berger:
    """Left-invariant metrics on the three-sphere SU(2), with squared lengths A, B, C of a frame

    [F1, F2] = 2 F3, cyclic, that solve A' = -8 + 4 (B^2 + C^2 - A^2) / (B C), cyclic.

    Solves the Ricci flow. Berger spheres have A = B; A = B = C = 1 is the unit sphere. The sphere
    vanishes in finite time and becomes round on the way (Isenberg & Jackson 1992; Chow & Knopf,
    section 1.5). The coordinates are Euler angles theta, phi, psi; the metric is

    A sigma_1^2 / 4 + B sigma_2^2 / 4 + C sigma_3^2 / 4, sigma_3 = dpsi + cos theta dphi,
    sigma_1 + i sigma_2 = e^(-i psi) (dtheta + i sin theta dphi).

    The equation is integrated once, to about 1e-13 relative, and interpolated.

    Parameters
    ----------
    a, b, c : float
        A, B, C at t = 0, positive, in length^2; none more than 50 times another.

    Raises
    ------
    InvalidArgumentError
        If a length is not positive and finite, or they are too uneven.

    Examples
    --------
    >>> round(berger(1, 1, 1).singular_time, 12)
    0.25
    >>> a, b, c = berger(1, 1, 0.5).lengths(0.1)
    >>> round((a - c) / (a * c**2) - 2, 12) == 0            # constant along Berger spheres
    True
    """
    squares = (number(a, "a"), number(b, "b"), number(c, "c"))
    if not all(1e-300 < v < 1e300 for v in squares):
        raise InvalidArgumentError(
            f"a, b, c = {squares}; positive squared lengths are needed, in a unit of about their "
            "size"
        )
    if max(squares) > 0.99 * _WORST_RATIO * min(squares):
        raise InvalidArgumentError(
            f"a, b, c = {squares}; one is more than {0.99 * _WORST_RATIO:g} times another: the "
            "equation is followed where they are closer"
        )
    return Berger(*squares)
