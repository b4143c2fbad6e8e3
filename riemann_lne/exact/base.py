"""Base class of the exact solutions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, cast

import numpy as np

from ..arrays import Array, namespace, require_finite, require_real_floating
from ..atlas import Atlas
from ..checks import count, number
from ..errors import InvalidArgumentError, NoClosedFormError, ShapeError
from ..finite import finite_result
from ..grids import Grid
from ..metrics import MetricField


class ExactSolution(ABC):
    """A metric that solves a geometric flow, in closed form.

    Attributes
    ----------
    n : int
        Dimension.
    solves : tuple of str
        Which flows: "ricci" for g' = -2 Ric, "ricci-deturck" for the Ricci-DeTurck flow with the
        flat background of the coordinates.
    t_min, t_max : float
        The open interval of times, in length^2, in which the solution exists.
    """

    n: int
    solves: tuple[str, ...]
    t_min: float = -math.inf
    t_max: float = math.inf

    def __init_subclass__(cls) -> None:
        """Let every formula of a solution pass the same gates, also of one made elsewhere."""
        super().__init_subclass__()
        for name in ("metric", *_FORMULAS):
            if name in cls.__dict__:
                setattr(cls, name, _formula(cls.__dict__[name]))

    def __getattr__(self, name: str) -> Any:
        if name in _FORMULAS:
            raise NoClosedFormError(
                f"{type(self).__name__} has no {name} in closed form; take it from the grid: "
                f"solution.field(t, grid).{name}()"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def metric(self, t: float, *coordinates: Array) -> Array:
        """Components g_ij at a time, dimensionless.

        Parameters
        ----------
        t : float
            Time, in the open interval (t_min, t_max); unit length^2.
        *coordinates : n arrays of one shape
            Of any array library, float32 or float64.

        Returns
        -------
        array, (n, n, *shape)

        Raises
        ------
        InvalidArgumentError
            If the solution does not exist at that time, or not at these coordinates.
        NotFiniteError
            If a coordinate is not finite, or a result does not fit into its type.
        ShapeError, DTypeError
            If there are not n coordinates of one shape, float32 or float64.
        """
        return stacked(self._components(t, *coordinates), coordinates[0])

    def field(
        self, t: float, grid: Grid, xp: Any = np, dtype: Any = None, device: Any = None
    ) -> MetricField:
        """The metric at a time as a MetricField on a grid, in the array library ``xp``.

        Solutions on spheres are there on an ``Atlas`` as well: those that have ``ambient``.
        """
        if isinstance(grid, Atlas):
            self._require_on_sphere(grid)
            return grid.metric(partial(self.ambient, number(t, "t")), xp, dtype, device)
        return MetricField(grid, self.metric(t, *grid.coordinates(xp, dtype, device)))

    def _require_on_sphere(self, atlas: Atlas) -> None:
        if not hasattr(self, "ambient"):
            raise NoClosedFormError(
                f"{type(self).__name__} is no metric on a sphere; evaluate it on a Grid"
            )
        if self.n != atlas.ndim:
            raise ShapeError(
                f"{type(self).__name__} is {self.n}-dimensional, not on {atlas!r}; use equal "
                "dimensions"
            )

    @abstractmethod
    def _components(self, t: float, *x: Array) -> Any:
        """Rows of components (arrays or numbers), or an array (n, n, *shape)."""

    @abstractmethod
    def grid(self, points: int) -> Grid:
        """The solution's usual grid, with ``points`` points along every axis."""

    def _check(self, t: float, coordinates: tuple[Array, ...]) -> None:
        if len(coordinates) != self.n:
            raise ShapeError(
                f"{type(self).__name__} needs {self.n} coordinates, got {len(coordinates)}"
            )
        for k, x in enumerate(coordinates):
            require_real_floating(x, f"coordinate {k}")
            require_finite(x, f"coordinate {k}")
        shapes = {tuple(x.shape) for x in coordinates}
        if len(shapes) > 1:
            raise ShapeError(
                f"the coordinates differ in shape: {sorted(shapes)}; give arrays of one shape"
            )
        self._check_time(t)

    def _check_time(self, t: float) -> None:
        t = number(t, "t")
        if not self.t_min < t < self.t_max:
            raise InvalidArgumentError(
                f"{type(self).__name__} exists for {self.t_min:g} < t < {self.t_max:g}, not at "
                f"t = {t:g}"
            )


_FORMULAS = ("scalar_curvature", "ricci")
# A solution on a sphere also has ``ambient``, (t, *X) -> rows of a symmetric tensor of R^(n+1) that
# induces its metric on the unit sphere.


def _formula(function: Callable[..., Array]) -> Callable[..., Array]:
    """A formula whose time is a plain number, and whose result is finite or an error."""
    checked = finite_result(function)

    @wraps(function)
    def call(self: ExactSolution, t: float, *coordinates: Array) -> Array:
        self._check(t, coordinates)
        return cast(Array, checked(self, float(t), *coordinates))

    return call


def dimension(n: Any, thing: str, least: int = 2, name: str = "n") -> int:
    """The dimension of a solution, ``least`` to 4, as a plain int."""
    value = count(n, name)
    if not least <= value <= 4:
        raise InvalidArgumentError(f"{name} = {value}; {thing} comes in {least} to 4 dimensions")
    return value


def wave_vector(m: Any, name: str = "m") -> tuple[int, ...]:
    """Whole numbers of moderate size, positive or not: their squares are exact."""
    try:
        values = [number(k, f"{name}[{i}]") for i, k in enumerate(m)]
    except TypeError:
        values = [math.nan]
    if not all(v.is_integer() and abs(v) <= _LARGEST_WAVE for v in values):
        raise InvalidArgumentError(
            f"{name} = {m}; whole numbers between -{_LARGEST_WAVE} and {_LARGEST_WAVE} are needed"
        )
    return tuple(int(v) for v in values)


_LARGEST_WAVE = 10**6


def stacked(rows: Any, reference: Array) -> Array:
    """Components (n, n, *shape) from rows of arrays and numbers, or the array itself."""
    if not isinstance(rows, list):
        return rows
    xp = namespace(reference)
    zero = xp.zeros_like(reference)
    return xp.stack([xp.stack([zero + entry for entry in row], axis=0) for row in rows], axis=0)


def conformal(v: Any, n: int) -> list[list[Any]]:
    """Rows of v delta_ij."""
    return [[v if i == j else 0.0 for j in range(n)] for i in range(n)]


setattr(ExactSolution, "metric", _formula(ExactSolution.metric))  # noqa: B010 - as for subclasses


class FlatTorus(ExactSolution):
    """A metric without curvature on the torus of side 2 pi, in whatever coordinates."""

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """Zero, shape of the coordinates."""
        return namespace(*x).zeros_like(x[0])

    def ricci(self, t: float, *x: Array) -> Array:
        """Zero, (n, n, *shape)."""
        return self.metric(t, *x) * 0.0

    def grid(self, points: int) -> Grid:
        """Torus of side 2 pi."""
        return Grid.torus((points,) * self.n)
