"""The system of ordinary differential equations that a flow becomes on a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, device, like, namespace, total
from ..errors import InvalidArgumentError, UnknownNameError
from ..flows.base import Flow
from ..grids import Grid
from ..metrics import assemble
from ..stencils import dealias_mask, second_derivative_symbol
from ..tensors import (
    inverse_and_determinant,
    is_positive_definite,
    pack,
    pairs,
    require_symmetric,
    table,
)
from ..weights import Order, fd_weights

BoundaryFunction = Callable[..., Any]


class SemiDiscreteFlow:
    """Right-hand side on a grid, with its boundary values, dealiasing and call count.

    Attributes
    ----------
    nfev : int
        Evaluations of the right-hand side so far.
    """

    def __init__(
        self,
        flow: Flow,
        grid: Grid,
        order: Order,
        boundary: str | BoundaryFunction | None,
        initial: Array,
        span: tuple[float, float],
    ) -> None:
        self.flow, self.grid, self.order = flow, grid, order
        self.nfev = 0
        # On a torus nothing is held, but a wrong name is refused there too.
        wanted = not grid.is_torus or boundary is not None
        self._held = _held(boundary, grid, initial, span) if wanted else None
        self._damping = _HighModes(grid, initial) if order == "fourier" else None

    def __call__(self, t: float, y: Array) -> Array:
        """Time derivative of the packed metric."""
        self.nfev += 1
        rate = self.flow.rhs(t, y, self.grid, self.order)
        if self._damping is not None:
            rate = self._damping(rate, y)
        if self._held is not None:
            self._held.set_rate(t, rate)
        return rate

    def settle(self, t: float, y: Array) -> Array:
        """The state with the boundary values of the time put in, after a step."""
        if self._held is not None:
            self._held.set_values(t, y)
        return y

    def spectral_radius(self, y: Array) -> float:
        """Bound of the spectral radius at a state."""
        return self.flow.spectral_radius(y, self.grid, self.order)

    def admissible(self, y: Array) -> bool:
        """Whether a state is a finite metric."""
        xp = namespace(y)
        # NaN fails the first test; infinity can pass it and fails the second.
        good = is_positive_definite(y, self.grid.ndim)
        return bool(xp.all(good)) and bool(xp.all(xp.isfinite(y)))


def mean_laplacian_symbol(y: Array, grid: Grid, order: Order, safety: float = 1.0) -> np.ndarray:
    """Symbol of gbar^ab d_a d_b (<= 0) for the mean metric gbar, over the real-FFT spectrum."""
    n, xp = grid.ndim, namespace(y)
    mean = xp.mean(y, axis=tuple(range(1, n + 1)))
    inverse, _ = inverse_and_determinant(table(mean, n), n)
    symbol = np.zeros(grid.shape[:-1] + (grid.shape[-1] // 2 + 1,))
    for a, b in pairs(n):
        weight = 1.0 if a == b else 2.0
        symbol = symbol - weight * float(inverse[a, b]) * second_derivative_symbol(
            grid, order, a, b
        )
    return safety * symbol


class _HighModes:
    """The 2/3 rule: the upper third of the modes follows the linear flow of the mean metric.

    Products of the retained modes would alias into them. Setting their rate to zero would freeze
    what the initial metric has there; the linear flow lets it decay.
    """

    def __init__(self, grid: Grid, y: Array) -> None:
        self._grid = grid
        self._axes = tuple(range(1, grid.ndim + 1))
        mask = dealias_mask(grid)
        self._keep = like(mask, y)
        self._linear = like((1 - mask) * mean_laplacian_symbol(y, grid, "fourier"), y)

    def __call__(self, rate: Array, y: Array) -> Array:
        fft = namespace(y).fft
        hat = fft.rfftn(rate, axes=self._axes) * self._keep
        hat += fft.rfftn(y, axes=self._axes) * self._linear
        return fft.irfftn(hat, s=self._grid.shape, axes=self._axes)


def _held(
    boundary: str | BoundaryFunction | None,
    grid: Grid,
    initial: Array,
    span: tuple[float, float],
) -> _HeldBoundary | None:
    if boundary is None or (isinstance(boundary, str) and boundary == "held"):
        return _HeldBoundary(grid, initial, None, span)
    if callable(boundary):
        return _HeldBoundary(grid, initial, boundary, span)
    if isinstance(boundary, str):
        if boundary == "free":
            return None
        raise UnknownNameError("boundary", boundary, ["held", "free"])
    raise InvalidArgumentError(
        f"boundary = {boundary!r}; give 'held', 'free' or a function (t, *coordinates) -> metric"
    )


class _HeldBoundary:
    """Metric prescribed on the end points of bounded axes: constant, or a function of time.

    The rate of the boundary points is the prescribed one, so that the boundary is integrated by the
    method like every other point and every stage sees values that fit together.
    A function's rate comes from five-point differences in time, which never look beyond the span
    of the flow: the function may not exist there. After every step the values are set exactly, so
    nothing accumulates.
    """

    def __init__(
        self,
        grid: Grid,
        initial: Array,
        function: BoundaryFunction | None,
        span: tuple[float, float],
    ) -> None:
        self._grid, self._function, self._span = grid, function, span
        self._step = 1e-4 * (span[1] - span[0])
        self._faces: list[tuple[Any, Any]] = []
        xp = namespace(initial)
        coordinates = grid.coordinates(xp, initial.dtype, device(initial))
        for axis, wraps in enumerate(grid.periodic):
            if wraps:
                continue
            for part in (slice(0, 1), slice(grid.shape[axis] - 1, grid.shape[axis])):
                face = tuple(part if a == axis else slice(None) for a in range(grid.ndim))
                where = (slice(None), *face)
                known = (
                    tuple(x[face] for x in coordinates)
                    if function is not None
                    else xp.asarray(initial[where], copy=True)
                )
                self._faces.append((where, known))

    def _metric(self, t: float, coordinates: tuple[Array, ...]) -> Array:
        assert self._function is not None
        components = assemble(self._function(t, *coordinates), coordinates[0], self._grid)
        return pack(require_symmetric(components, "the boundary function's metric"))

    def set_rate(self, t: float, rate: Array) -> None:
        for where, known in self._faces:
            if self._function is None:
                rate[where] = 0.0
                continue
            h = self._step
            # How many of the five points lie before t, such that all lie within the span.
            before = 2 if t - 2 * h >= self._span[0] else 0
            before = 4 if t + 2 * h > self._span[1] else before
            offsets = tuple(range(-before, 5 - before))
            rate[where] = total(
                (float(w) / h, (self._metric(t + j * h, known),))
                for j, w in zip(offsets, fd_weights(1, offsets), strict=True)
                if w
            )

    def set_values(self, t: float, y: Array) -> None:
        for where, known in self._faces:
            y[where] = known if self._function is None else self._metric(t, known)
