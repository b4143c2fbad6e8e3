"""The cigar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..arrays import Array
from ..grids import Grid
from .base import BOTH, ExactSolution, conformal, squared_length


@dataclass(frozen=True)
class Cigar(ExactSolution):
    """See ``cigar``."""

    n = 2
    solves = BOTH

    @staticmethod
    def _parts(t: float, *x: Array) -> tuple[float, float, Array]:
        """c, d and d + c r^2 with c / d = e^(-4t), neither of them above 1 nor overflowing."""
        c, d = math.exp(-4 * max(t, 0.0)), math.exp(4 * min(t, 0.0))
        return c, d, d + c * squared_length(x)

    def _components(self, t: float, *x: Array) -> Any:
        c, _, below = self._parts(t, *x)
        return conformal(c / below, 2)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """4 e^(4t) / (e^(4t) + r^2), shape of the coordinates; 1 / length^2."""
        t = self._check(t, x)
        _, d, below = self._parts(t, *x)
        return 4 * d / below

    def ricci(self, t: float, *x: Array) -> Array:
        """R g_ij / 2, (2, 2, *shape); 1 / length^2."""
        # The metric first: it refuses places where nothing is representable.
        return 0.5 * self.metric(t, *x) * self.scalar_curvature(t, *x)

    def grid(self, points: int) -> Grid:
        """Box [-1, 1]^2."""
        return Grid.box(-1.0, 1.0, (points, points))


def cigar() -> Cigar:
    """The cigar, delta_ij / (e^(4t) + r^2) in the plane: a steady soliton.

    Solves the Ricci flow for all times, moving by a change of coordinates alone (Hamilton, The
    Ricci flow on surfaces, 1988). Its DeTurck field vanishes, so that it solves the Ricci-DeTurck
    flow as well.

    Examples
    --------
    >>> import numpy as np
    >>> float(cigar().scalar_curvature(0.0, np.zeros(1), np.zeros(1))[0])
    4.0
    """
    return Cigar()
