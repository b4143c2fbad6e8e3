"""Left-invariant metrics on Sol."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import scipy

from ..arrays import Array, namespace
from ..checks import number
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import ExactSolution, stacked

_ACCURACY = 1e-15


@dataclass(frozen=True)
class Sol(ExactSolution):
    """See ``sol``."""

    c0: float
    tilt: float

    n = 3
    solves = ("ricci", "ricci-deturck")

    @property
    def _moment(self) -> float:
        """The constant of the motion k = C sinh u."""
        return self.c0 * math.sinh(self.tilt)

    def _clock(self, c: float) -> float:
        """C + k arctan(k / C), which grows at the rate 4."""
        return c + self._moment * math.atan2(self._moment, c)

    @property
    def t_min(self) -> float:  # type: ignore[override]
        """The time at which C is 0."""
        return (self._clock(0.0) - self._clock(self.c0)) / 4

    def stretch(self, t: float) -> float:
        """C(t), the square of the length of the z direction; dimensionless."""
        if self.tilt == 0.0:
            return self.c0 + 4 * t
        return _stretch(self, float(t))

    def _parts(self, t: float) -> tuple[float, float, float]:
        """C, cosh u and sinh u."""
        c = self.stretch(t)
        s = self._moment / c
        return c, math.hypot(1.0, s), s

    def _components(self, t: float, *x: Array) -> Any:
        c, cosh, sinh = self._parts(t)
        return _rows(cosh, sinh, c, x[2])

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """-2 cosh^2 u / C, shape of the coordinates; 1 / length^2."""
        c, cosh, _ = self._parts(t)
        return namespace(*x).full_like(x[0], -2 * cosh**2 / c)

    def ricci(self, t: float, *x: Array) -> Array:
        """(2 sinh u cosh u / C) (sinh u (e^(2z) dx^2 + e^(-2z) dy^2) + 2 cosh u dx dy)

        - 2 cosh^2 u dz^2, (3, 3, *shape); 1 / length^2.
        """
        c, cosh, sinh = self._parts(t)
        factor = 2 * sinh * cosh / c
        return stacked(_rows(factor * sinh, factor * cosh, -2 * cosh**2, x[2]), x[0])

    def grid(self, points: int) -> Grid:
        """[0, 1) x [0, 1) x [-1/2, 1/2], periodic in x and y, bounded in z."""
        return Grid((points,) * 3, (0.0, 0.0, -0.5), (1.0, 1.0, 0.5), (True, True, False))


def _rows(a: float, b: float, c: float, z: Array) -> list[list[Any]]:
    """Rows of a (e^(2z) dx^2 + e^(-2z) dy^2) + 2 b dx dy + c dz^2."""
    up = namespace(z).exp(2 * z)
    return [[a * up, b, 0.0], [b, a / up, 0.0], [0.0, 0.0, c]]


@lru_cache(maxsize=4096)
def _stretch(solution: Sol, t: float) -> float:
    """The root C > 0 of C + k arctan(k / C) = C0 + k arctan(k / C0) + 4 t."""
    target = solution._clock(solution.c0) + 4 * t
    # The arctangent takes between 0 and pi / 2 times |k| away from the target.
    high = max(target, _ACCURACY)
    return float(
        scipy.optimize.brentq(
            lambda c: solution._clock(c) - target, 0.0, high, xtol=1e-300, rtol=4 * _ACCURACY
        )
    )


def sol(c0: float = 1.0, tilt: float = 0.0) -> Sol:
    """Left-invariant metrics on the solvable group Sol,

    g = cosh u (e^(2z) dx^2 + e^(-2z) dy^2) + 2 sinh u dx dy + C dz^2, C(0) = ``c0``,
    u(0) = ``tilt``.

    Solves Ricci and Ricci-DeTurck flow (its DeTurck field vanishes). The flow, u' = -2 sinh(2u) / C
    and C' = 4 cosh^2 u, keeps k = C sinh u, so that C is the root of

    C + k arctan(k / C) = c0 + k arctan(k / c0) + 4 t, and sinh u = k / C.

    Without a tilt the metric is diagonal, C = c0 + 4 t, and Ric = -2 dz^2 (Isenberg & Jackson,
    J. Differential Geom. 35 (1992) 723). Not diagonal and not linear in time with a tilt.

    Parameters
    ----------
    c0 : float
        Positive, dimensionless.
    tilt : float
        Dimensionless.

    Raises
    ------
    InvalidArgumentError
        If c0 is not positive, or a number is not finite.

    Examples
    --------
    >>> sol(c0=2.0).stretch(0.5)
    4.0
    >>> import numpy as np
    >>> z = np.zeros(1)
    >>> float(sol().ricci(0.0, z, z, z)[2, 2, 0])
    -2.0
    """
    c0, tilt = number(c0, "c0", above=0.0), number(tilt, "tilt")
    if not 1e-100 < c0 < 1e100:
        raise InvalidArgumentError(f"c0 = {c0:g}; a number between 1e-100 and 1e100 is needed")
    if not abs(tilt) < 300:
        raise InvalidArgumentError(f"tilt = {tilt}; a number between -300 and 300 is needed")
    return Sol(c0, tilt)
