"""Flat space, and products of exact solutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..arrays import Array, namespace
from ..errors import InvalidArgumentError
from ..grids import Grid
from .base import ExactSolution, FlatTorus, conformal, dimension


@dataclass(frozen=True)
class Flat(FlatTorus):
    """See ``flat``."""

    n: int

    solves = ("ricci", "ricci-deturck")

    def _components(self, t: float, *x: Array) -> Any:
        return conformal(1.0, self.n)


def flat(n: int = 1) -> Flat:
    """Flat space delta_ij, at rest under both flows: a factor for ``product``.

    Parameters
    ----------
    n : int
        1 to 4; a line has no curvature of its own, but is a factor.

    Examples
    --------
    >>> from riemann_lne.exact import round_sphere
    >>> cylinder = product(round_sphere(2), flat(1))
    >>> cylinder.n, cylinder.solves
    (3, ('ricci', 'ricci-deturck'))
    """
    return Flat(dimension(n, "flat space", least=1))


@dataclass(frozen=True)
class Product(ExactSolution):
    """See ``product``."""

    first: ExactSolution
    second: ExactSolution

    @property
    def n(self) -> int:  # type: ignore[override]
        """Dimension, the sum of those of the factors."""
        return self.first.n + self.second.n

    @property
    def solves(self) -> tuple[str, ...]:  # type: ignore[override]
        """The flows that both factors solve."""
        return tuple(flow for flow in self.first.solves if flow in self.second.solves)

    @property
    def t_min(self) -> float:  # type: ignore[override]
        """The later of the factors' starts."""
        return max(self.first.t_min, self.second.t_min)

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """The earlier of the factors' ends."""
        return min(self.first.t_max, self.second.t_max)

    def _split(self, x: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        return x[: self.first.n], x[self.first.n :]

    def _blocks(self, one: Array, two: Array) -> Array:
        """Block-diagonal tensor from those of the factors."""
        xp, n, m = namespace(one, two), self.first.n, self.second.n
        wide = xp.zeros_like(one[:1, ...])[:, :1, ...]
        right = xp.concat([wide] * m, axis=1)
        upper = xp.concat([one, xp.concat([right] * n, axis=0)], axis=1)
        left = xp.concat([wide] * n, axis=1)
        lower = xp.concat([xp.concat([left] * m, axis=0), two], axis=1)
        return xp.concat([upper, lower], axis=0)

    def _components(self, t: float, *x: Array) -> Any:
        one, two = self._split(x)
        return self._blocks(self.first.metric(t, *one), self.second.metric(t, *two))

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """The sum of those of the factors, shape of the coordinates; 1 / length^2.

        Raises NoClosedFormError if a factor has no closed form of it (``linear_mode``).
        """
        one, two = self._split(x)
        return self._closed("scalar_curvature", 0)(t, *one) + self._closed("scalar_curvature", 1)(
            t, *two
        )

    def ricci(self, t: float, *x: Array) -> Array:
        """Block-diagonal, from those of the factors, (n, n, *shape); 1 / length^2.

        Raises NoClosedFormError if a factor has no closed form of it (``linear_mode``).
        """
        one, two = self._split(x)
        return self._blocks(self._closed("ricci", 0)(t, *one), self._closed("ricci", 1)(t, *two))

    def _closed(self, name: str, which: int) -> Any:
        return getattr((self.first, self.second)[which], name)

    def grid(self, points: int) -> Grid:
        """The product of the factors' grids."""
        one, two = self.first.grid(points), self.second.grid(points)
        return Grid(
            one.shape + two.shape,
            one.lower + two.lower,
            one.upper + two.upper,
            one.periodic + two.periodic,
        )


def product(first: ExactSolution, second: ExactSolution) -> Product:
    """Product of two exact solutions: the coordinates of the first, then those of the second.

    g = g_1(x_1 ... x_p) + g_2(x_p+1 ... x_n) has Ric = Ric_1 + Ric_2 and no mixed components; it
    solves a flow if both do. Products of products give more than two factors.

    Parameters
    ----------
    first, second : ExactSolution
        Of 2 to 4 dimensions together; ``flat(1)`` is a line.

    Raises
    ------
    InvalidArgumentError
        If the dimensions are too many, the factors solve no common flow, or share no time.

    Examples
    --------
    >>> from riemann_lne.exact import round_sphere
    >>> spheres = product(round_sphere(2), round_sphere(2, radius=2.0))
    >>> spheres.t_max                                       # the smaller one vanishes first
    0.5
    """
    for factor in (first, second):
        if not isinstance(factor, ExactSolution):
            raise InvalidArgumentError(
                f"{factor!r} is no exact solution; the factors are objects such as "
                "round_sphere(2) or flat(1)"
            )
    result = Product(first, second)
    if not 2 <= result.n <= 4:
        raise InvalidArgumentError(f"the factors have {result.n} dimensions together; 2 to 4 go")
    if not result.solves:
        raise InvalidArgumentError(
            f"the factors solve no common flow: {first.solves} and {second.solves}; take two of "
            "one flow"
        )
    if not result.t_min < result.t_max:
        raise InvalidArgumentError(
            f"the factors share no time: they exist in ({first.t_min:g}, {first.t_max:g}) and "
            f"({second.t_min:g}, {second.t_max:g}); shift one of them"
        )
    return result
