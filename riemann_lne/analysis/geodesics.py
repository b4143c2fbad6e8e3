"""Geodesics of a metric that is known on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..arrays import host_numbers, to_numpy
from ..coefficients import Order, validate_order
from ..errors import DTypeError, InvalidArgumentError, NotFiniteError, ShapeError
from ..grids import Grid
from ..integrators import integrate
from ..metrics import MetricField

# Along a periodic axis, in lengths of it or in points: beyond, rounding is all there is.
_FARTHEST = 1e9
# In parts of the length of an axis: above rounding, and no matter to the interpolation.
_AT_THE_END = 1e-12


@dataclass(frozen=True, eq=False)
class Geodesic:
    """Geodesics through a grid; shapes are those of the start, time first.

    Attributes
    ----------
    t : ndarray, (k,)
        The affine parameter.
    x, v : ndarray, (k, n) or (k, m, n)
        Coordinates and velocities dx / dt. Coordinates along periodic axes are not wrapped.
    norm2 : ndarray, (k,) or (k, m)
        g(v, v), which the equation keeps: how far it moves is the error.
    success : bool
        Whether the end of ``t_span`` was reached.
    message : str
        Why it ended: the end, or that a geodesic left the grid.
    """

    t: np.ndarray
    x: np.ndarray
    v: np.ndarray
    norm2: np.ndarray
    success: bool
    message: str


def geodesic(
    metric: MetricField,
    start: Any,
    velocity: Any,
    t_span: Sequence[float],
    *,
    t_eval: Sequence[float] | None = None,
    order: Order = 4,
    rtol: float = 1e-8,
    max_steps: int = 100_000,
) -> Geodesic:
    """Solve x''^k = -Gamma^k_ij(x) x'^i x'^j, with Christoffel symbols read between grid points.

    By polynomials of degree order + 1 along every axis, through the symbols that differences of
    the same order give at the points: the error is O(h^order). On the host, in double precision.

    Parameters
    ----------
    metric : MetricField
        Of any signature: geodesics of Lorentzian metrics are light rays and orbits.
    start, velocity : array or sequence, (n,) or (m, n)
        Where and how fast, one geodesic or m of them.
    t_span : (float, float)
        The affine parameter, start < end.
    t_eval : sequence of float, optional
        Where states are kept; every step by default.
    order : 2, 4, 6 or 8
        Of differences and interpolation.
    rtol : float
        Relative tolerance of a step.
    max_steps : int

    Returns
    -------
    Geodesic
        It ends where the first geodesic leaves a grid through a bounded axis.

    Raises
    ------
    DTypeError, ShapeError, NotFiniteError, InvalidArgumentError
        If an argument makes no sense, or a start lies outside of the grid.

    Examples
    --------
    >>> from riemann_lne import Grid, MetricField
    >>> grid = Grid.box(-2.0, 2.0, (65, 65))
    >>> sphere = MetricField.from_function(
    ...     grid, lambda x, y: [[4 / (1 + x**2 + y**2) ** 2 if i == j else 0 for i in range(2)]
    ...                         for j in range(2)])
    >>> ray = geodesic(sphere, [0.0, 0.0], [0.5, 0.0], (0.0, 1.5), t_eval=[1.5], order=8)
    >>> bool(abs(ray.x[-1, 0] - np.tan(0.75)) < 1e-6)           # the distance is 2 arctan(x)
    True
    """
    if not isinstance(metric, MetricField):
        raise DTypeError(f"metric is {checks.shown(metric)}; give a MetricField")
    order = validate_order(order)
    if order == "fourier":
        raise InvalidArgumentError("order = 'fourier'; give 2, 4, 6 or 8 for geodesics")
    grid = metric.grid
    grid.require_one_chart("geodesic")
    grid.require_whole("geodesic")
    x, v, shape = _start_of(grid, start, velocity)
    gamma = GridFunction(grid, to_numpy(metric.christoffel(order)), order + 2)

    def rhs(t: float, y: np.ndarray) -> np.ndarray:
        bend = np.einsum("mkij,mi,mj->mk", gamma(y[0]), y[1], y[1])
        return np.stack([y[1], -bend])

    def leaves(t: float, y: np.ndarray) -> float:
        # A start at the very end of an axis is within the grid until it has moved on.
        return _room(grid, y[0]) + _AT_THE_END

    leaves.terminal, leaves.direction = True, -1  # type: ignore[attr-defined]
    tolerance = checks.number(rtol, "rtol", above=0)
    run = integrate(
        rhs, np.stack([x, v]), t_span, "tsit5", t_eval, rtol=tolerance, atol=tolerance,
        events=leaves, max_steps=max_steps,
    )  # fmt: skip
    states = np.asarray(run.y)
    values = GridFunction(grid, to_numpy(metric.components), order + 2)
    norm2 = [np.einsum("mij,mi,mj->m", values(y[0]), y[1], y[1]) for y in states]
    message = run.message.split(";")[0]
    if run.status == 1:
        message = f"a geodesic left the grid at t = {run.t[-1]:.6g}"
    return Geodesic(
        t=run.t,
        x=states[:, 0].reshape(-1, *shape),
        v=states[:, 1].reshape(-1, *shape),
        norm2=np.stack(norm2).reshape(-1, *shape[:-1]),
        success=run.status == 0,
        message=message,
    )


def _start_of(
    grid: Grid, start: Any, velocity: Any
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Checked starts and velocities, (m, n), and the shape that they were given in."""
    x, v = _points(start, "start", grid.ndim), _points(velocity, "velocity", grid.ndim)
    if x.shape != v.shape:
        raise ShapeError(f"start has shape {x.shape}, velocity {v.shape}; give the same for both")
    shape = x.shape
    x, v = x.reshape(-1, grid.ndim), v.reshape(-1, grid.ndim)
    if _room(grid, x) < 0:
        worst = x[int(np.argmin([_room(grid, row[None]) for row in x]))]
        raise InvalidArgumentError(
            f"start = {worst.tolist()} lies outside of the grid from {list(grid.lower)} to "
            f"{list(grid.upper)}"
        )
    if np.abs(x / grid.lengths).max() > _FARTHEST:
        raise InvalidArgumentError(f"start has coordinates up to {np.abs(x).max():.3g}; wrap them")
    return x, v, shape


class GridFunction:
    """Values on a grid, read between its points by polynomials along every axis.

    Parameters
    ----------
    grid : Grid
    values : ndarray, (..., *grid.shape)
    nodes : int
        Points of the polynomials along each axis; on short axes as many as there are.

    Examples
    --------
    >>> grid = Grid.torus((32,))
    >>> sine = GridFunction(grid, np.sin(grid.coordinates()[0])[None], 6)
    >>> bool(abs(sine(np.array([[0.3]]))[0, 0] - np.sin(0.3)) < 1e-6)
    True
    """

    def __init__(self, grid: Grid, values: np.ndarray, nodes: int) -> None:
        self._grid = grid
        self._leading = values.shape[: values.ndim - grid.ndim]
        self._values = np.ascontiguousarray(values.reshape(-1, *grid.shape))
        self._nodes = [min(nodes, size) for size in grid.shape]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Values at places (m, n): (m, ...)."""
        index: list[np.ndarray] = []
        weights: list[np.ndarray] = []
        for axis in range(self._grid.ndim):
            places, weight = self._along(axis, x[:, axis])
            index.append(places)
            weights.append(weight)
        result = np.empty((len(x), self._values.shape[0]))
        for m in range(len(x)):
            block = self._values[(slice(None), *np.ix_(*(places[m] for places in index)))]
            for weight in reversed(weights):
                block = block @ weight[m]
            result[m] = block
        return result.reshape(len(x), *self._leading)

    def _along(self, axis: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the nodes along an axis and their weights, each (m, nodes)."""
        grid, count, size = self._grid, self._nodes[axis], self._grid.shape[axis]
        # A state far outside is that of a step that will be rejected.
        place = np.nan_to_num((x - grid.lower[axis]) / grid.spacing[axis])
        place = np.clip(place, -_FARTHEST, _FARTHEST)
        first = np.floor(place).astype(int) - (count - 1) // 2
        if not grid.periodic[axis]:
            first = np.clip(first, 0, size - count)
        away = (place - first)[:, None] - np.arange(count)
        weights = np.ones_like(away)
        for j in range(count):
            for k in range(count):
                if k != j:
                    weights[:, j] *= away[:, k] / (j - k)
        return (first[:, None] + np.arange(count)) % size, weights


def _room(grid: Grid, x: np.ndarray) -> float:
    """Distance of places (m, n) to the ends of bounded axes, in parts of their lengths."""
    room = [1.0]
    for axis, wraps in enumerate(grid.periodic):
        if not wraps:
            lower, upper = grid.lower[axis], grid.upper[axis]
            nearest = np.minimum(x[:, axis] - lower, upper - x[:, axis])
            room.append(float(nearest.min()) / (upper - lower))
    return min(room)


def _points(values: Any, name: str, n: int) -> np.ndarray:
    """Finite places or velocities, (n,) or (m, n)."""
    result = host_numbers(values, name)
    if result.ndim not in (1, 2) or result.shape[-1] != n or result.size == 0:
        raise ShapeError(f"{name} has shape {result.shape}; give ({n},) or (m, {n})")
    if not np.all(np.isfinite(result)):
        raise NotFiniteError(f"{name} = {checks.shown(values)}; give finite numbers")
    return result
