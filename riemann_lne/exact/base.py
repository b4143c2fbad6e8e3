"""What every exact solution offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, first_true, namespace, require_finite, require_real_floating
from ..errors import DTypeError, InvalidArgumentError, ShapeError
from ..grids import Grid
from ..metrics import MetricField

BOTH = ("ricci", "ricci-deturck")
"""The flows solved by a Ricci flow whose DeTurck field, g^pq Gamma^k_pq, vanishes."""


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
            If the solution does not exist at that time or place, or its components over- or
            underflow there.
        ShapeError, DTypeError, NotFiniteError
            If there are not n finite coordinates of one shape and one floating type.
        """
        t = self._check(t, coordinates)
        try:
            # Overflow is found below, in one way for all array libraries.
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                g = stacked(self._components(t, *coordinates), coordinates[0])
        except OverflowError as error:
            raise InvalidArgumentError(
                f"{type(self).__name__} overflows at t = {t:g}; take a time nearer to 0"
            ) from error
        self._require_metric(t, g)
        return g

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

    def _check(self, t: float, coordinates: tuple[Array, ...]) -> float:
        """The time as a Python float, which follows the coordinates' precision."""
        if len(coordinates) != self.n:
            raise ShapeError(
                f"{type(self).__name__} needs {self.n} coordinates, got {len(coordinates)}"
            )
        for x in coordinates:
            require_real_floating(x, "a coordinate")
        shapes = {tuple(x.shape) for x in coordinates}
        if len(shapes) > 1:
            raise ShapeError(f"the coordinates differ in shape: {sorted(shapes)}")
        if any(x.dtype != coordinates[0].dtype for x in coordinates):
            kinds = ", ".join(str(x.dtype) for x in coordinates)
            raise DTypeError(f"the coordinates differ in type: {kinds}; convert them to one")
        for axis, x in enumerate(coordinates):
            require_finite(x, f"coordinate {axis}")
        t = float(t)
        if not self.t_min < t < self.t_max:
            raise InvalidArgumentError(
                f"{type(self).__name__} exists for {self.t_min:g} < t < {self.t_max:g}, not at "
                f"t = {t:g}"
            )
        return t

    def _require_metric(self, t: float, g: Array) -> None:
        """Refuse components that are not finite, or not positive on the diagonal."""
        xp = namespace(g)
        good = xp.all(xp.isfinite(g), axis=(0, 1))
        for i in range(self.n):
            good = xp.logical_and(good, g[i, i, ...] > 0)
        index = first_true(xp.logical_not(good))
        if index is not None:
            raise InvalidArgumentError(
                f"{type(self).__name__} is no metric in {g.dtype} at t = {t:g} and the "
                f"coordinates of index {index}: its components over- or underflow or are not "
                "positive; take another time or place, or float64"
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


def squared_length(x: Sequence[Array]) -> Array:
    """|x|^2."""
    result = x[0] ** 2
    for xa in x[1:]:
        result = result + xa**2
    return result


def checked_dimension(n: int, what: str) -> int:
    """The dimension, if it is 2, 3 or 4."""
    if n not in (2, 3, 4):
        raise InvalidArgumentError(f"{what} comes in 2, 3 and 4 dimensions, not in {n!r}")
    return int(n)


def checked_mode(m: Sequence[int]) -> tuple[int, ...]:
    """An integer wave vector; a fraction would not be periodic on the torus."""
    entries = tuple(m)
    try:
        result = tuple(int(k) for k in entries)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgumentError(f"m = {entries} is not a vector of whole numbers") from error
    if any(a != b for a, b in zip(result, entries, strict=True)):
        raise InvalidArgumentError(f"m = {entries} is not a vector of whole numbers")
    return result


def phase(m: Sequence[int], x: Sequence[Array]) -> Array:
    """m.x, from as many coordinates as m has entries."""
    result = float(m[0]) * x[0]
    for k, xa in zip(m[1:], x[1:], strict=False):
        result = result + float(k) * xa
    return result
