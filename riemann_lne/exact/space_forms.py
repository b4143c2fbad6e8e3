"""Spaces of constant curvature, which shrink or grow by a factor: round sphere, hyperbolic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, first_true, namespace
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import BOTH, ExactSolution, checked_dimension, conformal, squared_length


def _conformally_flat_solves(n: int) -> tuple[str, ...]:
    """In 2-D the DeTurck field of v delta_ij, (2 - n) d_k v / (2 v^2), vanishes."""
    return BOTH if n == 2 else ("ricci",)


@dataclass(frozen=True)
class RoundSphere(ExactSolution):
    """See ``round_sphere``."""

    n: int
    radius: float

    @property
    def solves(self) -> tuple[str, ...]:  # type: ignore[override]
        """The Ricci flow; in 2-D also the Ricci-DeTurck flow."""
        return _conformally_flat_solves(self.n)

    @property
    def singular_time(self) -> float:
        """T = r0^2 / (2 (n - 1)), in length^2."""
        return self.radius**2 / (2 * (self.n - 1))

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """The singular time."""
        return self.singular_time

    def squared_radius(self, t: float) -> float:
        """r0^2 - 2 (n - 1) t, in length^2; written so that it is positive for all t < T."""
        return 2 * (self.n - 1) * (self.singular_time - t)

    def _components(self, t: float, *x: Array) -> Any:
        return conformal(4 * self.squared_radius(t) / (1 + squared_length(x)) ** 2, self.n)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """Scalar curvature n (n - 1) / r(t)^2, shape of the coordinates; 1 / length^2."""
        t = self._check(t, x)
        value = self.n * (self.n - 1) / self.squared_radius(t)
        return namespace(*x).full_like(x[0], value)

    def ricci(self, t: float, *x: Array) -> Array:
        """(n - 1) g_ij / r(t)^2, (n, n, *shape); 1 / length^2."""
        t = self._check(t, x)
        return self.metric(t, *x) * ((self.n - 1) / self.squared_radius(t))

    def grid(self, points: int) -> Grid:
        """Box [-1/2, 1/2]^n of the stereographic coordinates."""
        return Grid.box(-0.5, 0.5, (points,) * self.n)


def round_sphere(n: int = 2, radius: float = 1.0) -> RoundSphere:
    """Shrinking round sphere in stereographic coordinates,

    g = 4 (r0^2 - 2 (n - 1) t) / (1 + |x|^2)^2 delta_ij, t < T = r0^2 / (2 (n - 1)).

    Solves the Ricci flow, in 2-D also the Ricci-DeTurck flow; |Rm| (T - t) is constant.

    Parameters
    ----------
    n : int
        2 to 4.
    radius : float
        r0 > 0, in units of length (the coordinates of the sphere are dimensionless).

    Raises
    ------
    InvalidArgumentError
        If n is not 2 to 4, or the radius or its square is not positive and finite.

    Examples
    --------
    >>> round_sphere(3, radius=2.0).singular_time
    1.0
    """
    radius = float(radius)
    if not (radius > 0 and 0 < radius * radius < math.inf):
        raise InvalidArgumentError(f"radius = {radius}; a positive length is needed")
    return RoundSphere(checked_dimension(n, "the sphere"), radius)


@dataclass(frozen=True)
class Hyperbolic(ExactSolution):
    """See ``hyperbolic``."""

    n: int

    @property
    def solves(self) -> tuple[str, ...]:  # type: ignore[override]
        """The Ricci flow; in 2-D also the Ricci-DeTurck flow."""
        return _conformally_flat_solves(self.n)

    @property
    def t_min(self) -> float:  # type: ignore[override]
        """-1 / (2 (n - 1))."""
        return -1 / (2 * (self.n - 1))

    def _growth(self, t: float) -> float:
        """1 + 2 (n - 1) t, written so that it is positive for all t > t_min."""
        return 2 * (self.n - 1) * (t - self.t_min)

    def _check(self, t: float, coordinates: tuple[Array, ...]) -> float:
        t = super()._check(t, coordinates)
        index = first_true(coordinates[-1] <= 0)
        if index is not None:
            raise InvalidArgumentError(
                f"the last coordinate is {float(coordinates[-1][index]):g} at index {index}; "
                "the upper half-space has z > 0"
            )
        return t

    def _components(self, t: float, *x: Array) -> Any:
        return conformal(self._growth(t) / x[-1] ** 2, self.n)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """-n (n - 1) / (1 + 2 (n - 1) t), shape of the coordinates; 1 / length^2."""
        t = self._check(t, x)
        return namespace(*x).full_like(x[0], -self.n * (self.n - 1) / self._growth(t))

    def ricci(self, t: float, *x: Array) -> Array:
        """-(n - 1) g_ij / (1 + 2 (n - 1) t), (n, n, *shape); 1 / length^2."""
        t = self._check(t, x)
        return self.metric(t, *x) * (-(self.n - 1) / self._growth(t))

    def grid(self, points: int) -> Grid:
        """Box [1, 2]^n: away from the boundary at infinity, z = 0."""
        return Grid.box(1.0, 2.0, (points,) * self.n)


def hyperbolic(n: int = 2) -> Hyperbolic:
    """Growing hyperbolic space in the upper half-space, the last coordinate z > 0:

    g = (1 + 2 (n - 1) t) delta_ij / z^2, t > -1 / (2 (n - 1)).

    Solves the Ricci flow, in 2-D also the Ricci-DeTurck flow. g is in units in which the radius
    of curvature at t = 0 is 1.

    Raises
    ------
    InvalidArgumentError
        If n is not 2 to 4.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> float(hyperbolic(3).scalar_curvature(0.0, one, one, one)[0])
    -6.0
    """
    return Hyperbolic(checked_dimension(n, "hyperbolic space"))
