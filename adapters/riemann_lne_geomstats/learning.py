"""geomstats' Frechet mean and geodesic regression on weight space.

geomstats' mean stops where the square of the gradient is below epsilon times the dimension, with
1e-4 for epsilon: at a gradient of a hundredth and more. The regression's random start and its line
searches try geodesics that leave weight space, which is not complete. So ``FrechetMean(space)`` and
``GeodesicRegression(space)`` make the classes below on our spaces and their products, as
``FrechetMean`` makes others for circles and curves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import geomstats.backend as gs
import numpy as np
from geomstats.geometry.euclidean import EuclideanMetric
from geomstats.learning.frechet_mean import BaseGradientDescent, FrechetMean
from geomstats.learning.geodesic_regression import GeodesicRegression
from scipy.optimize import OptimizeResult

from riemann_lne.arrays import Array
from riemann_lne.errors import ConvergenceError, RiemannLNEError

from .metrics import CoreMetric

__all__ = ["LNEFrechetMean", "LNEGeodesicRegression"]

_DEPTH = 5
_SHORTEST = 2.0**-40
_DIFFERENCE = 1e-4
_MOST_DAMPED = 1e6


class _Descent(BaseGradientDescent):  # type: ignore[misc]
    """Gradient descent in steps that shorten the gradient, accelerated.

    Anderson's method on y -> exp_y(step * mean of log_y x_i): the next point is the combination
    of the last ones whose gradients cancel best. A point outside of the space, or with a longer
    gradient, is not taken.
    """

    def __init__(
        self,
        max_iter: int = 200,
        epsilon: float = 1e-20,
        init_point: Array | None = None,
        init_step_size: float = 1.0,
        verbose: bool = False,
    ) -> None:
        super().__init__(max_iter, epsilon, init_point, init_step_size, verbose)

    def minimize(self, space: Any, points: Array, weights: Array | None = None) -> Array:
        """The mean of points, shape (n_samples, *space.shape)."""
        if len(points) == 1:
            return points[0]
        weights = gs.ones(len(points)) if weights is None else weights
        return self._found(space, points, weights / gs.sum(weights), self.init_point)

    def _found(self, space: Any, points: Array, weights: Array, start: Array | None) -> Array:
        now = _gradient(space, points, weights, _start(space, points, weights, start))
        step, history = float(self.init_step_size), [now]
        for _ in range(self.max_iter):
            if now.squared <= max(self.epsilon * space.dim, _floor(now)):
                return now.point
            combined = len(history) > 1
            new = _tried(space, points, weights, _next(space, history, step))
            if new is not None and new.squared < now.squared:
                now = new
                history = [*history[-_DEPTH:], now]
            elif combined:
                history = [now]
            elif step > _SHORTEST:
                step /= 2.0
            else:
                raise ConvergenceError(
                    f"the Frechet mean was not found: no step shortens the gradient, whose length "
                    f"is {now.squared**0.5:.3g}; points next to the edge of weight space are "
                    "difficult: take a smaller tau, or start elsewhere with set(init_point=...)"
                )
        logging.warning(
            "Maximum number of iterations %d reached. The gradient of the mean has length %.3g: "
            "raise max_iter, or take the mean as it is",
            self.max_iter,
            now.squared**0.5,
        )
        return now.point


class _DescentOfEach(_Descent):
    """The same for points of shape (n_samples, n_batch, *space.shape): a mean for each column."""

    def minimize(self, space: Any, points: Array, weights: Array | None = None) -> Array:
        """The means, shape (n_batch, *space.shape)."""
        means = []
        for k in range(points.shape[1]):
            one = type(self).__bases__[0](self.max_iter, self.epsilon)
            one.init_step_size = self.init_step_size
            one.init_point = None if self.init_point is None else self.init_point[k]
            means.append(
                one.minimize(space, points[:, k], None if weights is None else weights[:, k])
            )
        return gs.stack(means, axis=0)


class _Gradient(NamedTuple):
    """Half the mean squared distance at a point: minus its gradient, and the square of that."""

    point: Array
    descent: Array
    squared: float
    variance: float


def _gradient(space: Any, points: Array, weights: Array, point: Array) -> _Gradient:
    logs = space.metric.log(points, point)
    descent = gs.einsum("n,n...->...", weights, logs)
    lengths = space.metric.squared_norm(logs, point)
    squared = float(space.metric.squared_norm(descent, point))
    return _Gradient(point, descent, squared, float(gs.sum(weights * lengths)))


def _tried(space: Any, points: Array, weights: Array, point: Array | None) -> _Gradient | None:
    """The gradient there; None outside of the space."""
    try:
        return None if point is None else _gradient(space, points, weights, point)
    except RiemannLNEError:
        return None


def _floor(now: _Gradient) -> float:
    """The square of a gradient that is the logarithms' rounding."""
    return _rounding(now.point) ** 2 * now.variance


def _rounding(a: Array) -> float:
    """Error of a logarithm over its length, with room for what adds up."""
    return 1e-4 if "32" in str(a.dtype) else 2e-10


def _next(space: Any, history: list[_Gradient], step: float) -> Array | None:
    """The combination of the last points; a plain step where there is only one."""
    now = history[-1]
    if len(history) == 1:
        try:
            return space.metric.exp(step * now.descent, now.point)
        except RiemannLNEError:
            return None
    x = np.stack([gs.to_numpy(h.point).ravel() for h in history])
    f = np.stack([gs.to_numpy(h.descent).ravel() for h in history])
    dx, df = np.diff(x, axis=0).T, np.diff(f, axis=0).T
    gamma = np.linalg.lstsq(df, f[-1], rcond=None)[0]
    found = x[-1] + step * f[-1] - (dx + step * df) @ gamma
    point = gs.cast(gs.array(found.reshape(now.point.shape)), now.point.dtype)
    return point if bool(gs.all(space.belongs(point))) else None


def _start(space: Any, points: Array, weights: Array, given: Array | None) -> Array:
    """The mean in flat coordinates of the Hessian metric; of products the first point."""
    if given is not None or not isinstance(space.metric, CoreMetric):
        return points[0] if given is None else given
    flat = space.metric.flat.to_flat(points)
    return space.projection(space.metric.flat.from_flat(gs.einsum("n,n...->...", weights, flat)))


class LNEFrechetMean(FrechetMean):  # type: ignore[misc]
    """`FrechetMean` of geomstats on weight space: the point with mean logarithm zero.

    ``FrechetMean(space)`` makes one of these for an `LNESpace`, a `HessianLNESpace` and products
    that hold one. The options of ``set`` are geomstats': max_iter, init_point, init_step_size, and
    epsilon, the largest square of the gradient over the dimension (1e-20 here, 1e-4 there). The
    methods "default" and "adaptive" are the same here.

    Raises
    ------
    ConvergenceError
        From ``fit``, if no step shortens the gradient any more.

    References
    ----------
    Y.-X. Anderson, D. G., "Iterative procedures for nonlinear integral equations", J. ACM 12, 1965.

    Examples
    --------
    >>> import numpy as np
    >>> from geomstats.learning.frechet_mean import FrechetMean
    >>> from riemann_lne_geomstats import LNESpace
    >>> space = LNESpace(dim=2, tau=1.0)
    >>> points = np.asarray([[0.5, 0.3], [-0.4, 0.1], [0.1, -0.6]])
    >>> mean = FrechetMean(space).fit(points).estimate_
    >>> gradient = np.mean(space.metric.log(points, mean), axis=0)
    >>> print(bool(np.linalg.norm(gradient) < 1e-9))
    True
    """

    @property
    def method(self) -> str:
        """Name of the method: default, adaptive or batch."""
        return self._method

    @method.setter
    def method(self, value: str) -> None:
        FrechetMean.method.fset(self, value)
        self.optimizer = _DescentOfEach() if value == "batch" else _Descent()


class _LeastSquares:
    """Options of the fit of a geodesic, set by ``GeodesicRegression.set``."""

    def __init__(self, max_iter: int = 100, tol: float = 1e-12) -> None:
        self.max_iter, self.tol = max_iter, tol


class _Geodesic(NamedTuple):
    """A geodesic beside the data: start and velocity in one row, residuals, half the squares."""

    row: Any
    ends: Array
    residuals: Any
    metric: Any
    loss: float


class LNEGeodesicRegression(GeodesicRegression):  # type: ignore[misc]
    """`GeodesicRegression` of geomstats on weight space: the geodesic nearest to data.

    ``GeodesicRegression(space)`` makes one of these for an `LNESpace`, a `HessianLNESpace` and
    their products with one another and with Euclidean spaces. It minimises
    sum_i w_i d(exp_p(x_i v), y_i)^2/2 over p and v by the method of Levenberg and Marquardt, whose
    steps stay inside of the space; the methods "extrinsic" and "riemannian" are the same here.
    Velocities of random starts are shortened until the geodesic stays inside. Options of ``set``:
    max_iter, and tol, the decrease of the loss, over its value, at which it ends.

    Raises
    ------
    ConvergenceError
        From ``fit``, if the loss still decreases after max_iter steps.
    InvalidArgumentError
        From ``fit``, if a start is given whose geodesic leaves the space.

    References
    ----------
    P. T. Fletcher, "Geodesic regression and the theory of least squares on Riemannian manifolds",
    Int. J. Computer Vision 105, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from geomstats.learning.geodesic_regression import GeodesicRegression
    >>> from riemann_lne_geomstats import LNESpace
    >>> space, t = LNESpace(dim=2, tau=1.0), np.linspace(-0.5, 0.5, 6)
    >>> path = space.metric.geodesic(np.asarray([0.1, 0.2]), initial_tangent_vec=np.ones(2) / 2)
    >>> fit = GeodesicRegression(space, center_X=False, initialization="frechet").fit(t, path(t))
    >>> print(fit.coef_.round(6))
    [0.5 0.5]
    """

    @property
    def method(self) -> str:
        """Name of the method: extrinsic or riemannian."""
        return self._method

    @method.setter
    def method(self, value: str) -> None:
        GeodesicRegression.method.fset(self, value)
        self.optimizer = _LeastSquares()

    def _initialize_parameters(self, y: Array) -> tuple[Array, Array]:
        """The start that `initialization` names: intercept and coefficient."""
        start = self.initialization
        if not isinstance(start, str):
            point, vector = start
            return point, vector
        if start == "warm_start" and self.intercept_ is not None:
            return self.intercept_, self.coef_
        if start == "frechet":
            return super()._initialize_parameters(y)
        vector = gs.random.normal(size=self.space.shape)
        if start == "data":
            return y[int(gs.random.randint(0, len(y), (1,))[0])], vector
        if start not in ("random", "warm_start"):
            super()._initialize_parameters(y)  # geomstats' own error
        return self.space.random_point(), vector

    def _fit_extrinsic(self, X: Array, y: Array, weights: Array | None = None) -> OptimizeResult:
        return self._fit(X, y, weights)

    def _fit_riemannian(self, X: Array, y: Array, weights: Array | None = None) -> OptimizeResult:
        return self._fit(X, y, weights)

    def _fit(self, times: Array, y: Array, weights: Array | None) -> OptimizeResult:
        w = np.ones(len(y)) if weights is None else gs.to_numpy(gs.array(weights)) * np.ones(len(y))
        now = self._at(self._inside(times, y), times, y, w)
        damping, steps = 1e-3, 0
        spread = gs.to_numpy(y).reshape(len(w), -1)
        spread = float(np.sum(w[:, None] * (spread - spread.mean(0)) ** 2))
        while steps < self.optimizer.max_iter:
            if now.loss <= 0.5 * _rounding(y) ** 2 * spread:
                return self._result(now, steps)
            derivative = self._derivative(now, times)
            normal = np.einsum("n,nia,nij,njb->ab", w, derivative, now.metric, derivative)
            slope = np.einsum("n,nia,nij,nj->a", w, derivative, now.metric, now.residuals)
            for new in self._steps(now, normal, slope, damping, times, y, w):
                steps += 1
                if new is not None and new.loss < now.loss:
                    break
                damping *= 8.0
            else:  # no step is shorter: rounding
                return self._result(now, steps)
            decrease, now, damping = now.loss - new.loss, new, max(damping / 64.0, 1e-14)
            if decrease <= self.optimizer.tol * now.loss:
                return self._result(now, steps)
        raise ConvergenceError(
            f"geodesic regression: the loss, {now.loss:.6g}, still decreases after "
            f"{steps} steps; allow more with set(max_iter=...), or start with "
            "initialization='frechet'"
        )

    def _steps(
        self,
        now: _Geodesic,
        normal: Any,
        slope: Any,
        damping: float,
        times: Array,
        y: Array,
        w: Any,
    ) -> Iterator[_Geodesic | None]:
        """Ever shorter steps; None for one that leaves the space."""
        scale = np.diag(np.maximum(np.diag(normal), 1e-12 * np.trace(normal)))
        while damping < _MOST_DAMPED:
            row = now.row + np.linalg.solve(normal + damping * scale, slope)
            damping *= 8.0
            try:
                yield self._at(row, times, y, w)
            except RiemannLNEError:
                yield None

    def _inside(self, times: Array, y: Array) -> Any:
        """The start, its velocity shortened, unless it was given, until the geodesic is inside."""
        point, vector = self._initialize_parameters(y)
        point = self.space.projection(gs.array(point))
        vector = self.space.to_tangent(gs.array(vector), point)
        for _ in range(60):
            row = np.concatenate([gs.to_numpy(a).ravel() for a in (point, vector)])
            try:
                self._ends(row, times)
            except RiemannLNEError:
                if not isinstance(self.initialization, str):
                    raise
                vector = vector / 2.0
            else:
                break
        return row

    def _ends(self, rows: Any, times: Array) -> Array:
        """The geodesics of rows, (..., 2 size), at the times: (..., n, *shape)."""
        shape, size = self.space.shape, rows.shape[-1] // 2
        t = gs.to_numpy(gs.array(times))
        batch = (*rows.shape[:-1], len(t))
        points = np.broadcast_to(rows[..., None, :size], (*batch, size))
        vectors = t[:, None] * rows[..., None, size:]
        ends = self.space.metric.exp(*(_like(a.reshape(-1, *shape)) for a in (vectors, points)))
        return gs.reshape(ends, (*batch, *shape))

    def _at(self, row: Any, times: Array, y: Array, w: Any) -> _Geodesic:
        ends = self._ends(row, times)
        logs = self.space.metric.log(y, ends)
        metric = _matrices(self.space, ends)
        residuals = gs.to_numpy(logs).reshape(len(w), -1)
        loss = 0.5 * float(np.einsum("n,ni,nij,nj->", w, residuals, metric, residuals))
        return _Geodesic(row, ends, residuals, metric, loss)

    def _derivative(self, now: _Geodesic, times: Array) -> Any:
        """Derivatives of the ends by start and velocity, (n, size, 2 size), by differences."""
        count, step = len(now.row), _DIFFERENCE
        for _ in range(6):
            moved = now.row + step * np.concatenate([np.eye(count), -np.eye(count)])
            try:
                ends = gs.to_numpy(self._ends(moved, times)).reshape(2, count, len(now.ends), -1)
            except RiemannLNEError:
                step /= 10.0
            else:
                return np.moveaxis((ends[0] - ends[1]) / (2.0 * step), 0, -1)
        raise ConvergenceError(
            f"geodesic regression of {count} points: the geodesic comes too close to the edge of "
            "weight space to be "
            "varied; take a smaller tau, or points further inside"
        )

    def _result(self, found: _Geodesic, steps: int) -> OptimizeResult:
        return OptimizeResult(fun=found.loss, x=_like(found.row), nit=steps, success=True)


def _matrices(space: Any, points: Array) -> Any:
    """The metric at points (n, *shape), in the order of their numbers: (n, size, size)."""
    if isinstance(space.metric, CoreMetric):
        return gs.to_numpy(space.metric.metric_matrix(points))
    n, shape = len(points), space.shape
    size = int(np.prod(shape))
    basis = np.eye(size)
    rows = np.broadcast_to(basis[:, None], (n, size, size, size)).reshape(-1, *shape)
    columns = np.broadcast_to(basis, (n, size, size, size)).reshape(-1, *shape)
    where = gs.repeat(points, size * size, axis=0)
    products = space.metric.inner_product(_like(rows), _like(columns), where)
    return gs.to_numpy(products).reshape(n, size, size)


def _like(a: Any) -> Array:
    return gs.array(np.ascontiguousarray(a))


def parts(space: Any) -> list[Any]:
    """The factors of a product, and theirs; the space itself where it is none."""
    base = getattr(space, "base_manifold", None)
    factors = getattr(space, "factors", (space,) if base is None else (base,))
    return [space] if factors == (space,) else [p for f in factors for p in parts(f)]


def on_weight_space(space: Any) -> bool:
    """Whether the space, or a factor of it, has a metric of this package."""
    return any(isinstance(getattr(part, "metric", None), CoreMetric) for part in parts(space))


def in_coordinates(space: Any) -> bool:
    """The same, where all other factors are Euclidean: any small vector can be added to a point."""
    own = (CoreMetric, EuclideanMetric)
    return on_weight_space(space) and all(isinstance(part.metric, own) for part in parts(space))


def choose(kind: type, ours: type, where: Callable[[Any], bool]) -> None:
    """Let ``kind(space)`` make one of ours where that is said."""
    before: Callable[..., Any] = kind.__new__
    if getattr(before, "chooses", None) is ours:
        return

    def new(cls: type, space: Any = None, *args: Any, **kwargs: Any) -> Any:
        if cls is kind and space is not None and where(space):
            return object.__new__(ours)
        if space is None or before is object.__new__:  # copies are made without arguments
            return object.__new__(cls)
        return before(cls, space, *args, **kwargs)

    new.chooses = ours  # type: ignore[attr-defined]
    kind.__new__ = staticmethod(new)  # type: ignore[assignment,method-assign]


choose(FrechetMean, LNEFrechetMean, on_weight_space)
choose(GeodesicRegression, LNEGeodesicRegression, in_coordinates)
