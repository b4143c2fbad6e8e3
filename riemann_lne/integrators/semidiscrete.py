"""The system of ordinary differential equations that a flow becomes on a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .. import checks
from ..arrays import Array, device, guarded, like, namespace, writes
from ..coefficients import Order
from ..errors import DTypeError, ShapeError
from ..flows.base import FastFlow, Flow, has_pointwise_bound, is_weakly_parabolic
from ..flows.laplacian import (
    laplacian_symbol,
    mean_inverse,
    mean_laplacian_symbol,
    mean_metric,
)
from ..flows.ricci import require_background
from ..fourier import Transform, irfftn, rfftn
from ..grids import Grid
from ..kernels.fused import FusedFourierFlow, choose
from ..metrics import MetricField
from ..stencils import (
    dealias_mask,
    tile_points,
    tile_slices,
)
from ..team import Team
from ..tensors import (
    inverse_and_determinant,
    is_positive_definite,
    smallest_eigenvalue,
    squared_norm,
    table,
)
from .boundaries import Boundary, BoundaryConditions, BoundaryFunction
from .methods.blockwise import Combination, combination, may_share_memory
from .methods.pooled import Pool
from .methods.runge_kutta import TSIT5
from .methods.state import State, Words

__all__ = ["BoundaryFunction", "SemiDiscreteFlow", "mean_laplacian_symbol", "scaled_error"]


_MANY = 3.0
"""Steps of "tsit5" beyond which "auto" takes "rkl2", times the cube root of the tolerance.

"rkl2", of second order, takes about 1.5 tolerance^(-1/3) steps, whatever the grid. With twice as
many that stability asks of "tsit5" it needs less than half of the evaluations.
"""


class SemiDiscreteFlow:
    """Right-hand side on a grid, with its boundary values, dealiasing and call count.

    The state is the packed metric, (n (n + 1) / 2, *shape).

    Attributes
    ----------
    flow, order
        The flow whose right-hand side is differenced, and the order of the differences.
    asked : Flow
        The flow that the user asked for; it may be computed by another one.
    grid : Grid
        With the mirrors of its reflecting ends, for differences of the metric.
    plain_grid : Grid
        As given, for the metrics that users see.
    kernel : str
        "plain", or "fused" with everything that the last bit of results depends on.
    nfev : int
        Evaluations of the right-hand side so far.
    """

    def __init__(
        self,
        flow: Flow,
        grid: Grid,
        order: Order,
        boundary: Boundary,
        initial: Array,
        span: tuple[float, float],
        kernel: str = "plain",
    ) -> None:
        self.order, self.plain_grid = order, grid
        self.asked, self._span = flow, span
        self.nfev = 0
        require_background(flow, grid, span[0], initial)
        self.boundary = BoundaryConditions(boundary, grid, initial, span)
        self.grid = self.boundary.grid
        self.flow, self.kernel = choose(kernel, flow, self.grid, order, initial)
        self.pool = Pool(grid.team)
        self._fast = self.flow if isinstance(self.flow, FastFlow) else None
        self._bound_is_pointwise = has_pointwise_bound(self.flow)
        self._damping: _HighModes | _CompiledHighModes | None = None
        if order == "fourier":
            if isinstance(self.flow, FusedFourierFlow):
                self._damping = _CompiledHighModes(self.flow, grid, initial)
            else:
                self._damping = _HighModes(grid, initial)

    @property
    def team(self) -> Team:
        """The processes that hold the blocks of the grid."""
        return self.grid.team

    def __call__(self, t: float, y: Array) -> Array:
        """Time derivative of the state."""
        self.nfev += 1
        return self.metric_rate(t, y)

    def update(
        self,
        t: float,
        y: Array,
        scale: float,
        terms: Sequence[tuple[float, Array]],
        out: Array | None = None,
    ) -> Array:
        """``scale`` times the time derivative plus the sum of coefficient times array.

        ``out`` may be one of these arrays but not ``y``; it is overwritten and comes back as a new
        view. A flow with a kernel does it in one pass, which stores no time derivative.
        """
        if self._in_one_pass:
            self.nfev += 1
            assert self._fast is not None
            return self._fast.update(t, y, self.grid, scale, terms, out)[...]
        rate = self(t, y)
        return self.combination([*terms, (scale, rate)], rate if out is None else out)

    def combination(self, terms: Sequence[tuple[float, Array]], out: Array | None = None) -> Array:
        """The sum of coefficient times array, by compiled code beside a kernel."""
        if self._fast is None:
            return combination(terms, out)
        return self._fast.combination(terms, out)

    @property
    def _in_one_pass(self) -> bool:
        """Whether the kernel's time derivative is the system's, and can be added up on the way."""
        whole = self._damping is None and not self.boundary.sets_rates
        return self._fast is not None and whole

    def metric_rate(self, t: float, y: Array) -> Array:
        """Time derivative of the packed metric."""
        if isinstance(self._damping, _CompiledHighModes):
            return self.boundary.set_rate(t, self._damping.rate(t, y))
        rate = self._checked(self.flow.rhs(t, y, self.grid, self.order), t, y)
        if may_share_memory(rate, y):
            # A flow may return its argument; the boundary's rates and the next stage, which
            # takes the place of this one, must not be written over it.
            rate = namespace(rate).asarray(rate, copy=True)
        if self._damping is not None:
            rate = self._damping(rate, y)
        return self.boundary.set_rate(t, rate)

    def _checked(self, rate: Any, t: float, y: Array) -> Array:
        """The flow's right-hand side, if it is an array of the shape of the state."""
        where, wanted = f"rhs of {type(self.asked).__name__} at t = {t:.6g}", tuple(y.shape)
        if not hasattr(rate, "shape") or not hasattr(rate, "dtype"):
            raise DTypeError(
                f"{where} returned a {type(rate).__name__}; return an array of shape {wanted}"
            )
        if tuple(rate.shape) != wanted:
            raise ShapeError(f"{where} returned the shape {tuple(rate.shape)}; return {wanted}")
        if rate.dtype != y.dtype:
            raise DTypeError(f"{where} returned the dtype {rate.dtype}; return {y.dtype}")
        return rate

    def _bound(self, y: Array, grid: Grid) -> float:
        """The flow's bound of the spectral radius over a grid, if it is a number."""
        moving = self.boundary.moving_part(self.metric_part(y))
        value = self.flow.spectral_radius(moving, grid, self.order)
        if isinstance(value, float) and not value < 0:  # NaN of a state that is no metric any more
            return value
        return checks.as_number(value, f"spectral_radius of {type(self.asked).__name__}", 0)

    def start(self, packed: Array) -> Array:
        """The state that a metric is the start of; the one given is used up."""
        return self.boundary.start(packed)

    def metric_part(self, y: Array) -> Array:
        """The packed metric that is integrated, a view of the state."""
        return y

    def output(self, t: float, y: Array) -> Array:
        """The packed metric that the flow asked for has at a state."""
        return y

    def seen(self, t: float, y: Array) -> MetricField:
        """The metric of a state, for functions of the user, who cannot change the state by it."""
        return MetricField.from_packed(self.plain_grid, guarded(self.output(t, y)), check=False)

    def seen_ahead(self, t: float, y: Array) -> MetricField | None:
        """This process's block of a state that may yet be rejected, as a metric on a separate grid.

        None where only accepted states have a metric.
        """
        return MetricField.from_packed(self.plain_grid.apart(), guarded(y), check=False)

    def settle(self, t: float, y: Array) -> Array:
        """The state with the boundary values of the time put in, after a step."""
        return self.boundary.set_values(t, y)

    def spectral_radius(self, t: float, y: Array) -> float:
        """Bound of the spectral radius at a state."""
        known = self.pool.known("radius", y)
        if known is None:
            if self._bound_is_pointwise:
                # Methods that ask for it once do so after every step.
                self.pool.add("radius", self._radius_here)
            known = self._bound(y, self.grid)
            self.pool.remember("radius", y, known)
        return known

    def _radius_here(self, state: State, admissible: bool) -> float:
        """The bound over the block of this process."""
        return self._bound(state.y, self.grid.apart())

    def limiting_radius(self, t: float, y: Array) -> float:
        """The bound of the spectral radius, which limits explicit steps."""
        return self.spectral_radius(t, y)

    def admissible(self, y: Array) -> bool:
        """Whether a state is a finite metric."""
        return self.grid.team.every(self._admissible_here(y))

    def _admissible_here(self, y: Array) -> bool:
        """Whether the block of this process is a finite metric."""
        if self._fast is not None and self.metric_part(y) is y:
            return self._fast.is_metric(y)
        xp = namespace(y)
        result: Any = None
        for part in tiles_of(y):
            # NaN fails the first test; infinity can pass it and fails the second.
            good = xp.all(is_positive_definite(self.metric_part(part), self.grid.ndim))
            good = good & xp.all(xp.isfinite(part))
            result = good if result is None else result & good
        return bool(result)

    def fault(self, y: Array) -> str:
        """Where and how a state fails to be a metric."""
        xp, team = namespace(y), self.grid.team
        if not team.every(bool(xp.all(xp.isfinite(y)))):
            return "it is not finite"
        value, here = smallest_eigenvalue(self.metric_part(y), self.grid.ndim)
        value, index = team.lowest(value, self.grid.on_whole(here))
        return f"smallest eigenvalue {value:.4g} at grid index {index}"

    @property
    def words(self) -> Words:
        """The words of flows."""
        both = self.grid.is_torus and self.flow.parabolic
        return Words(
            broken="the metric stopped being positive definite",
            ends="the flow becomes singular",
            about_to_end="the flow is about to become singular (an event, such as "
            "events.CurvatureAbove, ends it before)",
            event="close to a singularity an event, such as events.CurvatureAbove, ends the flow",
            stiff="method 'rkl2' or 'etdrk4'" if both else "method 'rkl2'",
        )

    def usual_method(self, y: Array, tolerance: float | None) -> str:
        """The method that "auto" stands for, from a start."""
        if self.flow.parabolic:
            return "etdrk4" if self.grid.is_torus else "rkl2"
        if tolerance is None or not is_weakly_parabolic(self.asked):
            return "tsit5"
        t0, t1 = self._span
        stable = (t1 - t0) * self.spectral_radius(t0, y) / TSIT5.real_stability
        return "rkl2" if stable > _MANY * tolerance ** (-1 / 3) else "tsit5"

    def speed(self, rate: Array, y: Array, rtol: float, atol: float) -> float:
        """Largest relative rate of a length, times two."""
        return self.scaled_size(rate, y, y, 1.0, 0.0)

    def rate_size(self, rate: Array, y: Array) -> float:
        """Largest |g'|_g over the grid."""
        return self.grid.team.largest(self.rate_size_here(rate, y))

    def rate_size_here(self, rate: Array, y: Array) -> float:
        """Largest |g'|_g over the block of this process."""
        g, h = self.metric_part(y), self.metric_part(rate)
        return scaled_error(h, g, self.grid.ndim, 0.0, 1.0)

    def scaled_size(
        self, error: Array | Combination, before: Array, y: Array, rtol: float, atol: float
    ) -> float:
        """Size of an error estimate in units of the tolerance; see ``scaled_error``."""
        return self.grid.team.largest(self._size_here(error, y, rtol, atol))

    def size_if_admissible(
        self,
        error: Array | Combination | None,
        before: Array,
        y: Array,
        rtol: float,
        atol: float,
    ) -> float:
        """The size of an error; infinite where the new state is no metric, zero without estimate.

        Of the block of this process.
        """
        if not self._admissible_here(y):
            return math.inf
        return 0.0 if error is None else self._size_here(error, y, rtol, atol)

    def _size_here(self, error: Array | Combination, y: Array, rtol: float, atol: float) -> float:
        """The size of an error on the block of this process."""
        if self._fast is None:
            return scaled_error(error, y, self.grid.ndim, rtol, atol)
        terms = error.terms if isinstance(error, Combination) else ((1.0, error),)
        square = self._fast.largest_square(terms, y)
        return in_tolerances(square, self.grid.ndim, rtol, atol)


def tiles_of(y: Array | Combination) -> Iterator[Array]:
    """Parts of a state that cover the grid, for reductions without large temporaries."""
    like = y.terms[0][1] if isinstance(y, Combination) else y
    for tile in tile_slices(tuple(y.shape[1:]), tile_points(like)):
        yield y[(slice(None), *tile)]


def scaled_error(error: Array | Combination, y: Array, n: int, rtol: float, atol: float) -> float:
    """Largest over the grid of |error|_g / (atol + rtol |g|_g), |g|_g = sqrt(n): dimensionless.

    Weighted by the metric of the state itself, so that it does not depend on coordinates.
    """
    xp = namespace(y)
    largest: Any = None
    for e, g in zip(tiles_of(error), tiles_of(y), strict=True):
        inverse, _ = inverse_and_determinant(table(g, n), n)
        square = xp.max(squared_norm(table(e, n), inverse, n))
        largest = square if largest is None else xp.maximum(largest, square)
    return in_tolerances(float(largest), n, rtol, atol)


def in_tolerances(square: float, n: int, rtol: float, atol: float) -> float:
    """The size of an error in units of the tolerance from the largest |error|_g^2."""
    if square != square:
        return math.inf
    # Rounding can make the square of a tiny error negative.
    return math.sqrt(max(square, 0.0)) / (atol + rtol * math.sqrt(n))


class _HighModes:
    """The 2/3 rule: the upper third of the modes follows the linear flow of the mean metric.

    Products of the retained modes would alias into them. Setting their rate to zero would freeze
    these modes of the initial metric; the linear flow lets them decay.
    """

    def __init__(self, grid: Grid, y: Array) -> None:
        self._grid = grid
        self._transform = grid.transform() or Transform(grid.shape)
        part = self._transform.part
        mask = dealias_mask(grid.whole)[part]
        self._keep = like(mask, y)
        symbol = laplacian_symbol(mean_metric(y, grid), grid.whole, "fourier", part)
        self._linear = like((1 - mask) * symbol, y)

    def __call__(self, rate: Array, y: Array) -> Array:
        """The rate at a state; the one given is used up."""
        n = self._grid.ndim
        if not writes(rate):
            hat = rfftn(rate, n) * self._keep + rfftn(y, n) * self._linear
            return irfftn(hat, self._grid.shape)
        xp, count = namespace(rate), rate.shape[0]
        kind = xp.complex64 if xp.finfo(rate.dtype).bits == 32 else xp.complex128
        parts = self._transform.parts(count)
        # On large grids one component at a time: all transforms would be copies of the metric.
        shape = (*rate[parts[0], ...].shape[:-n], *self._transform.spectrum)
        hat, other = (xp.empty(shape, dtype=kind, device=device(rate)) for _ in range(2))
        for c in parts:
            self._transform.forth(hat, rate[c, ...])
            self._transform.forth(other, y[c, ...])
            hat *= self._keep
            other *= self._linear
            hat += other
            self._transform.back(rate[c, ...], hat)
        return rate


class _CompiledHighModes:
    """The 2/3 rule by the kernel that computes the right-hand side."""

    def __init__(self, flow: FusedFourierFlow, grid: Grid, y: Array) -> None:
        self._flow, self._grid = flow, grid
        self._inverse = mean_inverse(mean_metric(y, grid), grid.ndim)

    def rate(self, t: float, y: Array) -> Array:
        """The rate at a state."""
        return self._flow.without_high_modes(t, y, self._grid, self._inverse)
