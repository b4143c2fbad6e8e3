"""Rosenau's ancient solution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, namespace
from ..grids import Grid
from .base import BOTH, ExactSolution, conformal


@dataclass(frozen=True)
class Rosenau(ExactSolution):
    """See ``rosenau``."""

    n = 2
    solves = BOTH
    t_max = 0.0

    @staticmethod
    def _wings(t: float, x: Array) -> Array:
        """2 e^t cosh x; neither sinh t nor cosh t appears, which overflow for early times."""
        xp = namespace(x)
        return xp.exp(t + x) + xp.exp(t - x)

    def _components(self, t: float, *x: Array) -> Any:
        p = math.exp(t)
        return conformal(-math.expm1(2 * t) / (1 + p * p + self._wings(t, x[0])), 2)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """(1 + cosh t cosh x) / (sinh(-t) (cosh t + cosh x)).

        Shape of the coordinates; positive; 1 / length^2.
        """
        t = self._check(t, x)
        p, wings = math.exp(t), self._wings(t, x[0])
        above = 4 * p * p + (1 + p * p) * wings
        return above / (1 + p * p + wings) / -math.expm1(2 * t)

    def ricci(self, t: float, *x: Array) -> Array:
        """R g_ij / 2, (2, 2, *shape); 1 / length^2."""
        return 0.5 * self.scalar_curvature(t, *x) * self.metric(t, *x)

    def grid(self, points: int) -> Grid:
        """Cylinder [-2, 2] x [0, 2 pi), bounded in x and periodic in theta."""
        return Grid((points, points), (-2.0, 0.0), (2.0, 2 * math.pi), (False, True))


def rosenau() -> Rosenau:
    """Rosenau's solution on the cylinder, ancient: it exists for all t < 0.

    g = sinh(-t) / (cosh x + cosh t) (dx^2 + dtheta^2), coordinates (x, theta).

    Solves Ricci and Ricci-DeTurck flow (Rosenau, Phys. Rev. Lett. 74 (1995) 1056). Any period of
    theta will do; with 4 pi the ends close up smoothly and it is a sphere of area 8 pi (-t), two
    cigars joined early on and round in the limit t -> 0.

    Examples
    --------
    >>> import numpy as np
    >>> R = rosenau().scalar_curvature(-1e-6, np.asarray([0.0, 3.0]), np.zeros(2))
    >>> np.round(R * 1e-6, 6).tolist()          # 1 / (-t) everywhere: nearly round
    [1.0, 1.0]
    """
    return Rosenau()
