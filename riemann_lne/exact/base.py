"""What every exact solution offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..arrays import Array, namespace, require_real_floating
from ..errors import InvalidArgumentError, ShapeError
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
            If the solution does not exist at that time.
        ShapeError, DTypeError
            If there are not n coordinates of one shape and a floating type.
        """
        self._check(t, coordinates)
        return stacked(self._components(float(t), *coordinates), coordinates[0])

    def field(
        self, t: float, grid: Grid, xp: Any = np, dtype: Any = None, device: Any = None
    ) -> MetricField:
        """The metric at a time as a MetricField on a grid, in the array library ``xp``."""
        return MetricField(grid, self.metric(t, *grid.coordinates(xp, dtype, device)))

    @abstractmethod
    def _components(self, t: float, *x: Array) -> Any:
        """Rows of components (arrays or numbers), or an array (n, n, *shape)."""

    @abstractmethod
    def grid(self, points: int) -> Grid:
        """A grid with so many points along every axis on which the solution is at home."""

    def _check(self, t: float, coordinates: tuple[Array, ...]) -> None:
        if len(coordinates) != self.n:
            raise ShapeError(
                f"{type(self).__name__} needs {self.n} coordinates, got {len(coordinates)}"
            )
        for x in coordinates:
            require_real_floating(x, "a coordinate")
        shapes = {tuple(x.shape) for x in coordinates}
        if len(shapes) > 1:
            raise ShapeError(f"the coordinates differ in shape: {sorted(shapes)}")
        self._check_time(t)

    def _check_time(self, t: float) -> None:
        if not self.t_min < t < self.t_max:
            raise InvalidArgumentError(
                f"{type(self).__name__} exists for {self.t_min:g} < t < {self.t_max:g}, not at "
                f"t = {t:g}"
            )


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
