"""Left-invariant metrics on three-dimensional groups, in closed form: Nil and Sol."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, namespace
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import BOTH, ExactSolution, stacked


@dataclass(frozen=True)
class Nil(ExactSolution):
    """See ``nil``."""

    n = 3
    solves = BOTH
    t_min = -1 / 3

    def _scales(self, t: float) -> tuple[float, float]:
        """A = (1 + 3 t)^(1/3) and B = 1 / A; A written so that it is positive for t > t_min."""
        a = math.cbrt(3 * (t - self.t_min))
        return a, 1 / a

    def _components(self, t: float, *x: Array) -> Any:
        a, b = self._scales(t)
        return _heisenberg(a, b, x[0])

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """-1 / (2 (1 + 3 t)), shape of the coordinates; 1 / length^2."""
        t = self._check(t, x)
        a, b = self._scales(t)
        return namespace(*x).full_like(x[0], -b / (2 * a**2))

    def ricci(self, t: float, *x: Array) -> Array:
        """-B / (2 A) (dx^2 + dy^2) + B^2 / (2 A^2) (dz - x dy)^2, (3, 3, *shape); 1 / length^2.

        A and B are the coefficients of the two squares in the metric.
        """
        t = self._check(t, x)
        a, b = self._scales(t)
        return stacked(_heisenberg(-b / (2 * a), b**2 / (2 * a**2), x[0]), x[0])

    def grid(self, points: int) -> Grid:
        """Box [-1/2, 1/2]^3."""
        return Grid.box(-0.5, 0.5, (points,) * 3)


def _heisenberg(a: float, b: float, x: Array) -> list[list[Any]]:
    """Rows of a (dx^2 + dy^2) + b (dz - x dy)^2."""
    return [[a, 0.0, 0.0], [0.0, a + b * x**2, -b * x], [0.0, -b * x, b]]


def nil() -> Nil:
    """Left-invariant metric on the Heisenberg group, collapsing along its fibres:

    (1 + 3t)^(1/3) (dx^2 + dy^2) + (1 + 3t)^(-1/3) (dz - x dy)^2, t > -1/3.

    Solves Ricci and Ricci-DeTurck flow (Isenberg & Jackson, J. Differential Geom. 35 (1992) 723).
    Quadratic in x, so that second-order differences are exact.

    Examples
    --------
    >>> g = nil().field(0.0, nil().grid(5))
    >>> bool(abs(g.scalar_curvature(order=2) + 0.5).max() < 1e-12)
    True
    """
    return Nil()


@dataclass(frozen=True)
class Sol(ExactSolution):
    """See ``sol``."""

    C0: float

    n = 3
    solves = BOTH

    @property
    def t_min(self) -> float:  # type: ignore[override]
        """-C0 / 4."""
        return -self.C0 / 4

    def _stretch(self, t: float) -> float:
        """C0 + 4 t, written so that it is positive for all t > t_min."""
        return 4 * (t - self.t_min)

    def _components(self, t: float, *x: Array) -> Any:
        xp = namespace(*x)
        wide, thin = xp.exp(2 * x[2]), xp.exp(-2 * x[2])
        return [[wide, 0.0, 0.0], [0.0, thin, 0.0], [0.0, 0.0, self._stretch(t)]]

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """-2 / (C0 + 4 t), shape of the coordinates; 1 / length^2."""
        t = self._check(t, x)
        return namespace(*x).full_like(x[0], -2 / self._stretch(t))

    def ricci(self, t: float, *x: Array) -> Array:
        """-2 dz^2, (3, 3, *shape); 1 / length^2."""
        self._check(t, x)
        return stacked([[0.0] * 3, [0.0] * 3, [0.0, 0.0, -2.0]], x[0])

    def grid(self, points: int) -> Grid:
        """Box [-1/2, 1/2]^3."""
        return Grid.box(-0.5, 0.5, (points,) * 3)


def sol(C0: float = 1.0) -> Sol:
    """Left-invariant metric on the group Sol, growing along its third axis:

    e^(2z) dx^2 + e^(-2z) dy^2 + (C0 + 4 t) dz^2, t > -C0 / 4.

    Solves Ricci and Ricci-DeTurck flow (Isenberg & Jackson, J. Differential Geom. 35 (1992) 723).
    Diagonal, yet its curvature is not: only Ric_zz = -2 differs from 0.

    Parameters
    ----------
    C0 : float
        g_zz at t = 0, positive; dimensionless, as the coordinates are lengths.

    Raises
    ------
    InvalidArgumentError
        If C0 is not positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> float(sol(2.0).scalar_curvature(0.5, *np.zeros((3, 1)))[0])
    -0.5
    """
    if not (math.isfinite(C0) and C0 > 0):
        raise InvalidArgumentError(f"C0 = {C0}; a positive number is needed")
    return Sol(float(C0))
