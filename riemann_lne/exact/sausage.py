"""The periodic sausage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, namespace
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import BOTH, ExactSolution, checked_dimension, checked_mode, phase, stacked


@dataclass(frozen=True)
class PeriodicSausage(ExactSolution):
    """See ``periodic_sausage``."""

    m: tuple[int, int]
    n: int

    solves = BOTH
    t_min = 0.0

    @property
    def rate(self) -> float:
        """|m|^2, the rate of the approach to the flat torus, in 1 / time."""
        return float(self.m[0] ** 2 + self.m[1] ** 2)

    def _parts(self, t: float, *x: Array) -> tuple[float, Array, Array]:
        """The factor q = e^-s, cos^2(m.x / 2), and the denominator 2 q (cosh s + cos(m.x)).

        In powers of e^-s, since sinh and cosh overflow where the metric is simply flat. The
        denominator is a sum of squares: as written it would cancel near m.x = pi for small s.
        """
        xp = namespace(*x)
        s = self.rate * t
        q = math.exp(-s)
        square = xp.cos(0.5 * phase(self.m, x)) ** 2
        return q, square, math.expm1(-s) ** 2 + 4 * q * square

    def _components(self, t: float, *x: Array) -> Any:
        v = -math.expm1(-2 * self.rate * t) / self._parts(t, *x)[2]
        return [[(v if i < 2 else 1.0) if i == j else 0.0 for j in range(self.n)]
                for i in range(self.n)]  # fmt: skip

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """R = -Laplacian(log v) / v = -|m|^2 (1 + cosh s cos(m.x)) / (sinh s (cosh s + cos(m.x))).

        Shape of the coordinates; 1 / length^2.
        """
        t = self._check(t, x)
        q, square, below = self._parts(t, *x)
        s = self.rate * t
        above = 2 * (1 + q * q) * square - math.expm1(-s) ** 2
        return above / below * (2 * self.rate * q / math.expm1(-2 * s))

    def ricci(self, t: float, *x: Array) -> Array:
        """R_ij = R g_ij / 2 in the x-y plane and 0 beside it, (n, n, *shape); 1 / length^2."""
        t = self._check(t, x)
        half = 0.5 * self.scalar_curvature(t, *x) * self.metric(t, *x)[0, 0, ...]
        rows = [[half if i == j < 2 else 0.0 for j in range(self.n)] for i in range(self.n)]
        return stacked(rows, x[0])

    def grid(self, points: int) -> Grid:
        """Torus of side 2 pi."""
        return Grid.torus((points,) * self.n)


def periodic_sausage(m: Sequence[int] = (1, 0), ndim: int | None = None) -> PeriodicSausage:
    """Periodic sausage, v (dx^2 + dy^2), in 3-D and 4-D times flat directions:

    v = sinh s / (cosh s + cos(m.x)), s = |m|^2 t, for t > 0 and an integer vector m.

    Solves Ricci and Ricci-DeTurck flow (its DeTurck field vanishes), keeps the area, and tends to
    the flat torus at the leading rate |m|^2; an oblique m exercises mixed derivatives. For m = (1, 0)
    it is Rosenau's solution (see ``rosenau``) continued to imaginary coordinates and to t > 0.

    Parameters
    ----------
    m : integer vector in the x-y plane
        Not zero; (a, b), or (a, b, 0) and (a, b, 0, 0) in 3-D and 4-D.
    ndim : int, optional
        2, 3 or 4; by default the length of m.

    Raises
    ------
    InvalidArgumentError
        If m is not such a vector, or ndim is not 2 to 4 or below the length of m.

    Examples
    --------
    >>> import numpy as np
    >>> sausage = periodic_sausage((2, 1))
    >>> g = sausage.field(0.5, sausage.grid(32))
    >>> float(round(g.volume() / (2 * np.pi) ** 2, 6))
    1.0
    >>> periodic_sausage((2, 1), ndim=3).metric(1.0, *np.zeros((3, 5))).shape
    (3, 3, 5)
    """
    vector = checked_mode(m)
    n = checked_dimension(len(vector) if ndim is None else ndim, "the sausage")
    if not 2 <= len(vector) <= n or not any(vector[:2]) or any(vector[2:]):
        raise InvalidArgumentError(
            f"m = {vector} in {n} dimensions; a vector in the x-y plane is needed, not zero"
        )
    return PeriodicSausage((vector[0], vector[1]), n)
