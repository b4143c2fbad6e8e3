"""Spaces that shrink or grow by a factor: round sphere, hyperbolic space, Nil; and the cigar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, first_true, namespace
from ..checks import number
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import ExactSolution, conformal, dimension, stacked
from .shrinking import ShrinkingSphere


def _conformally_flat_solves(n: int) -> tuple[str, ...]:
    """In 2-D the DeTurck field of v delta_ij, (2 - n) d_k v / (2 v^2), vanishes."""
    return ("ricci", "ricci-deturck") if n == 2 else ("ricci",)


def _square(x: tuple[Array, ...]) -> Array:
    """|x|^2."""
    result = x[0] ** 2
    for xa in x[1:]:
        result = result + xa**2
    return result


@dataclass(frozen=True)
class RoundSphere(ShrinkingSphere):
    """See ``round_sphere``."""

    n: int
    radius: float

    @property
    def solves(self) -> tuple[str, ...]:  # type: ignore[override]
        """The Ricci flow; in 2-D also the Ricci-DeTurck flow."""
        return _conformally_flat_solves(self.n)

    @property
    def _first_square(self) -> float:
        return self.radius**2

    def ambient(self, t: float, *x: Array) -> Any:
        """r(t)^2 times the identity of R^(n+1), which induces the metric on the unit sphere."""
        self._check_time(t)
        return conformal(self.squared_radius(t), self.n + 1)

    def _components(self, t: float, *x: Array) -> Any:
        return conformal(4 * self.squared_radius(t) / (1 + _square(x)) ** 2, self.n)

    def grid(self, points: int) -> Grid:
        """Box [-1/2, 1/2]^n of the stereographic coordinates."""
        return Grid.box(-0.5, 0.5, (points,) * self.n)


def round_sphere(n: int = 2, radius: float = 1.0) -> RoundSphere:
    """Shrinking round sphere in stereographic coordinates,

    g = 4 (r0^2 - 2 (n - 1) t) / (1 + |x|^2)^2 delta_ij, t < T = r0^2 / (2 (n - 1)).

    Solves the Ricci flow; |Rm| (T - t) is constant.

    Parameters
    ----------
    n : int
        2 to 4.
    radius : float
        r0 > 0, in units of length (the coordinates of the sphere are dimensionless).

    Examples
    --------
    >>> round_sphere(3, radius=2.0).singular_time
    1.0
    """
    value = number(radius, "radius", above=0.0)
    if not 1e-100 < value < 1e100:
        raise InvalidArgumentError(
            f"radius = {radius}; its square is used: give it in a unit of about its size"
        )
    return RoundSphere(dimension(n, "the sphere"), value)


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
        """1 + 2 (n - 1) t, by the time since the start: positive, and exact close to it."""
        return 2 * (self.n - 1) * (t - self.t_min)

    def _check(self, t: float, coordinates: tuple[Array, ...]) -> None:
        super()._check(t, coordinates)
        index = first_true(~(coordinates[-1] > 0))
        if index is not None:
            raise InvalidArgumentError(
                f"the upper half-space has coordinate {self.n - 1} > 0, not "
                f"{float(coordinates[-1][index]):g} (at index {index})"
            )

    def _components(self, t: float, *x: Array) -> Any:
        return conformal(self._growth(t) / x[-1] ** 2, self.n)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """-n (n - 1) / (1 + 2 (n - 1) t), shape of the coordinates; 1 / length^2."""
        return namespace(*x).full_like(x[0], -self.n * (self.n - 1) / self._growth(t))

    def ricci(self, t: float, *x: Array) -> Array:
        """-(n - 1) g_ij / (1 + 2 (n - 1) t), (n, n, *shape); 1 / length^2."""
        return self.metric(t, *x) * (-(self.n - 1) / self._growth(t))

    def grid(self, points: int) -> Grid:
        """Box [1, 2]^n: away from the boundary at infinity, z = 0."""
        return Grid.box(1.0, 2.0, (points,) * self.n)


def hyperbolic(n: int = 2) -> Hyperbolic:
    """Growing hyperbolic space in the upper half-space, the last coordinate z > 0:

    g = (1 + 2 (n - 1) t) delta_ij / z^2, t > -1 / (2 (n - 1)). Solves the Ricci flow.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones(1)
    >>> float(hyperbolic(3).scalar_curvature(0.0, one, one, one)[0])
    -6.0
    """
    return Hyperbolic(dimension(n, "hyperbolic space"))


@dataclass(frozen=True)
class Cigar(ExactSolution):
    """See ``cigar``."""

    n = 2
    solves = ("ricci", "ricci-deturck")

    def _parts(self, t: float, *x: Array) -> tuple[float, Array, Array, Array]:
        """e^(-t), r, and with w = (r e^(-2t))^2: whether w <= 1, and w or 1/w, at most 1.

        w decides: R = 4/(1 + w), and it can be formed where e^(4t), its inverse or r^2 alone
        overflow or vanish.
        """
        xp, h = namespace(*x), _exponential(-t)
        r = xp.hypot(*x)
        zero = xp.zeros_like(r)
        ratio = xp.where(r > 0, (r * h) * h, zero)
        inside = ratio <= 1
        small = xp.where(inside, ratio, 1 / xp.where(inside, zero + 1, ratio))
        return h, r, inside, small * small

    def _components(self, t: float, *x: Array) -> Any:
        h, r, inside, small = self._parts(t, *x)
        xp = namespace(r)
        outer = 1 / xp.where(inside, xp.ones_like(r), r)
        near = (h * h) * (h * h) / (1 + small)
        return conformal(xp.where(inside, near, outer * outer / (1 + small)), 2)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """4 e^(4t) / (e^(4t) + r^2), shape of the coordinates; 1 / length^2."""
        _, _, inside, small = self._parts(t, *x)
        one = namespace(small).ones_like(small)
        return 4 * namespace(small).where(inside, one, small) / (1 + small)

    def ricci(self, t: float, *x: Array) -> Array:
        """R g_ij / 2, (2, 2, *shape); 1 / length^2."""
        return 0.5 * self.scalar_curvature(t, *x) * self.metric(t, *x)

    def grid(self, points: int) -> Grid:
        """Box [-1, 1]^2."""
        return Grid.box(-1.0, 1.0, (points, points))


def _exponential(a: float) -> float:
    """e^a, infinite where it does not fit into double precision."""
    return math.exp(a) if a < 709 else math.inf


def cigar() -> Cigar:
    """The cigar, delta_ij / (e^(4t) + r^2) in the plane: a steady soliton (Hamilton 1988).

    Solves the Ricci flow for all times, moving by a change of coordinates alone.

    Examples
    --------
    >>> import numpy as np
    >>> float(cigar().scalar_curvature(0.0, np.zeros(1), np.zeros(1))[0])
    4.0
    """
    return Cigar()


@dataclass(frozen=True)
class Nil(ExactSolution):
    """See ``nil``."""

    a: float
    b: float
    c: float

    n = 3
    solves = ("ricci", "ricci-deturck")

    @property
    def t_min(self) -> float:  # type: ignore[override]
        """-a b / (3 c)."""
        return -(self.a * self.b / self.c) / 3

    def _scales(self, t: float) -> tuple[float, float, float]:
        """A = a f, B = b f, C = c / f, f = (1 + 3 c t / (a b))^(1/3)."""
        # By the time since the start: positive, and exact close to it.
        f = (3 * (self.c / (self.a * self.b)) * (t - self.t_min)) ** (1 / 3)
        return self.a * f, self.b * f, self.c / f

    def _components(self, t: float, *x: Array) -> Any:
        return _left_invariant(*self._scales(t), x[0])

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """-C / (2 A B), shape of the coordinates; 1 / length^2."""
        a, b, c = self._scales(t)
        return namespace(*x).full_like(x[0], -(c / a / b) / 2)

    def ricci(self, t: float, *x: Array) -> Array:
        """(C / (2 A B)) (-A dx^2 - B dy^2 + C (dz - x dy)^2), (3, 3, *shape); 1 / length^2."""
        a, b, c = self._scales(t)
        half = (c / a / b) / 2
        return stacked(_left_invariant(-half * a, -half * b, half * c, x[0]), x[0])

    def grid(self, points: int) -> Grid:
        """Box [-1/2, 1/2]^3."""
        return Grid.box(-0.5, 0.5, (points,) * 3)


def _left_invariant(a: float, b: float, c: float, x: Array) -> list[list[Any]]:
    """Rows of a dx^2 + b dy^2 + c (dz - x dy)^2."""
    return [[a, 0.0, 0.0], [0.0, b + c * x**2, -c * x], [0.0, -c * x, c]]


def nil(a: float = 1.0, b: float = 1.0, c: float = 1.0) -> Nil:
    """Left-invariant metrics on the Heisenberg group, collapsing along their fibres:

    f (a dx^2 + b dy^2) + (c / f) (dz - x dy)^2, f = (1 + 3 c t / (a b))^(1/3), t > -a b / (3 c).

    Solves Ricci and Ricci-DeTurck flow (its DeTurck field vanishes). Quadratic in x, so that
    second-order differences are exact. Every diagonal left-invariant metric of the group is of
    this form (Isenberg & Jackson, J. Differential Geom. 35 (1992) 723).

    Parameters
    ----------
    a, b, c : float
        The metric at t = 0, positive, dimensionless.

    Raises
    ------
    InvalidArgumentError
        If one is not positive and finite, or not between 1e-50 and 1e50.

    Examples
    --------
    >>> g = nil().field(0.0, nil().grid(5))
    >>> bool(abs(g.scalar_curvature(order=2) + 0.5).max() < 1e-12)
    True
    """
    values = number(a, "a", above=0.0), number(b, "b", above=0.0), number(c, "c", above=0.0)
    if not all(1e-50 < value < 1e50 for value in values):
        raise InvalidArgumentError(f"a, b, c = {values}; numbers between 1e-50 and 1e50 are needed")
    return Nil(*values)
