"""The periodic sausage, and the Rosenau solution, which is a sausage of one link."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, namespace
from ..checks import number
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import ExactSolution, conformal, dimension, wave_vector


@dataclass(frozen=True)
class PeriodicSausage(ExactSolution):
    """See ``periodic_sausage``."""

    m: tuple[int, int]
    n: int

    solves = ("ricci", "ricci-deturck")
    t_min = 0.0

    def _parts(self, t: float, *x: Array) -> tuple[float, float, Array, Array]:
        """Q = e^(-|m|^2 t), 1 - q, C = cos^2(m.x / 2) and 1 + q^2 + 2 q cos(m.x)."""
        xp = namespace(*x)
        half = xp.cos(0.5 * self.m[0] * x[0] + 0.5 * self.m[1] * x[1])
        square = half * half
        # In powers of e^-s: sinh and cosh overflow where the metric is simply flat. With 1 - q
        # and C given apart, nothing cancels near t = 0.
        s = (self.m[0] ** 2 + self.m[1] ** 2) * t
        q, gap = math.exp(-s), -math.expm1(-s)
        return q, gap, square, gap * gap + 4 * q * square

    def _factor(self, t: float, *x: Array) -> Array:
        """V = (1 - q^2) / (1 + q^2 + 2 q cos(m.x))."""
        q, gap, _, below = self._parts(t, *x)
        return gap * (1 + q) / below

    def _components(self, t: float, *x: Array) -> Any:
        v = self._factor(t, *x)
        return [
            [v if i == j and i < 2 else float(i == j) for j in range(self.n)] for i in range(self.n)
        ]

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """R = -Laplacian(log v) / v, shape of the coordinates; 1 / length^2."""
        q, gap, square, below = self._parts(t, *x)
        # (1 + q^2) cos(m.x) + 2 q
        above = 2 * (1 + q * q) * square - gap * gap
        scale = 2.0 * (self.m[0] ** 2 + self.m[1] ** 2)
        return -scale * q * (above / below) / (gap * (1 + q))

    def ricci(self, t: float, *x: Array) -> Array:
        """R_ij = R g_ij / 2 in the x-y plane and 0 beside it, (n, n, *shape); 1 / length^2."""
        xp = namespace(*x)
        half = 0.5 * self.scalar_curvature(t, *x) * self._factor(t, *x)
        zero = xp.zeros_like(half)
        rows = [
            xp.stack([half if i == j and i < 2 else zero for j in range(self.n)], axis=0)
            for i in range(self.n)
        ]
        return xp.stack(rows, axis=0)

    def grid(self, points: int) -> Grid:
        """Torus of side 2 pi."""
        return Grid.torus((points,) * self.n)


def periodic_sausage(m: Sequence[int] = (1, 0), ndim: int = 2) -> PeriodicSausage:
    """Periodic sausage, v (dx^2 + dy^2), in 3-D and 4-D times flat directions:

    v = sinh s / (cosh s + cos(m.x)), s = |m|^2 t, for t > 0 and an integer vector m.

    Solves Ricci and Ricci-DeTurck flow (its DeTurck field vanishes), keeps the area, and tends to
    the flat torus at the leading rate |m|^2; an oblique m exercises mixed derivatives.

    Parameters
    ----------
    m : (int, int)
        Not zero.
    ndim : int
        2, 3 or 4.

    Raises
    ------
    InvalidArgumentError
        If m is not a pair of whole numbers, or zero, or ndim is not 2 to 4.

    Examples
    --------
    >>> import numpy as np
    >>> sausage = periodic_sausage((2, 1))
    >>> g = sausage.field(0.5, sausage.grid(32))
    >>> float(round(g.volume() / (2 * np.pi) ** 2, 6))
    1.0
    """
    vector = wave_vector(m)
    if len(vector) != 2 or not any(vector):
        raise InvalidArgumentError(f"m = {vector}; two whole numbers are needed, not both zero")
    return PeriodicSausage((vector[0], vector[1]), dimension(ndim, "the sausage", name="ndim"))


@dataclass(frozen=True)
class Rosenau(ExactSolution):
    """See ``rosenau``."""

    n = 2
    solves = ("ricci", "ricci-deturck")
    t_max = 0.0

    def _parts(self, t: float, x: Array) -> tuple[float, float, Array]:
        """Q = e^t, 1 - q^2 and 2 q cosh x."""
        # In powers of e^t: sinh and cosh of t overflow where the cylinder is simply long. The
        # product with cosh x is one exponential, as the one factor may vanish and the other not.
        xp = namespace(x)
        return math.exp(t), -math.expm1(2 * t), xp.exp(t + xp.abs(x)) + xp.exp(t - xp.abs(x))

    def _components(self, t: float, *x: Array) -> Any:
        q, gap, wave = self._parts(t, x[0])
        return conformal(gap / (1 + q * q + wave), 2)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """(1 + cosh x cosh t) / (sinh(-t) (cosh x + cosh t)), shape of x; 1 / length^2."""
        xp = namespace(*x)
        q, gap, wave = self._parts(t, x[0])
        square = 1 + q * q
        # Divided by the wave where that is large: it may be infinite, R is (1 + q^2)/(1 - q^2).
        near = (4 * q * q + square * wave) / (square + wave)
        far = (4 * q * q / wave + square) / (square / wave + 1)
        return xp.where(wave < 1, near, far) / gap

    def ricci(self, t: float, *x: Array) -> Array:
        """R g_ij / 2, (2, 2, *shape); 1 / length^2."""
        return 0.5 * self.scalar_curvature(t, *x) * self.metric(t, *x)

    def sphere_factor(self, t: float, sine_squared: Array) -> Array:
        """The metric over that of the unit sphere, to which both ends of the cylinder close up.

        4 sinh(-t) / (2 + sin^2 (cosh t - 1)) at the angle from the axis with cos = tanh(x / 2).

        Parameters
        ----------
        t : float
            Time, -600 <= t < 0.
        sine_squared : array
            sin^2 of the angle, in [0, 1].

        Raises
        ------
        InvalidArgumentError
            If t is not in this range: beyond, cosh t overflows.
        """
        tau = -number(t, "t")
        if not 0 < tau <= 600:
            raise InvalidArgumentError(f"t = {t}; the sphere is given for -600 <= t < 0")
        # cosh - 1 without cancellation close to the end of the solution.
        bulge = 2 * math.sinh(tau / 2) ** 2
        return 4 * math.sinh(tau) / (2 + sine_squared * bulge)

    def grid(self, points: int) -> Grid:
        """Cylinder [-2, 2] x [0, 4 pi), bounded in x and periodic in theta."""
        return Grid((points, points), (-2.0, 0.0), (2.0, 4 * math.pi), (False, True))


def rosenau() -> Rosenau:
    """The Rosenau solution on the cylinder, an ancient solution with positive curvature,

    g = sinh(-t) / (cosh x + cosh t) (dx^2 + dtheta^2), t < 0.

    Solves Ricci and Ricci-DeTurck flow. If theta has the period 4 pi, both ends of the cylinder
    close up smoothly to a sphere of area -8 pi t, long for t -> -infinity and round for t -> 0,
    where it vanishes (King 1990; Rosenau 1995; Chow & Knopf, section 2.3).

    Examples
    --------
    >>> import numpy as np
    >>> R = rosenau().scalar_curvature(-1e-3, np.zeros(1), np.zeros(1))
    >>> float(round(R[0] * 1e-3, 6))                        # of a round sphere: R (T - t) = 1
    1.0
    """
    return Rosenau()
