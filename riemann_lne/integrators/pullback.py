"""Ricci flow by way of Ricci-DeTurck flow: the metric and the diffeomorphism that undoes the gauge.

If g solves the Ricci-DeTurck flow, g' = -2 Ric + L_W g, and phi' = -W(phi, t), phi(0) = id, then
phi^* g solves the Ricci flow: (phi^* g)' = phi^*(g' - L_W g) = -2 Ric(phi^* g) (DeTurck 1983).
"""

from __future__ import annotations

import math

from ..arrays import Array, first_true, like, namespace, put
from ..coefficients import Order
from ..errors import InvalidArgumentError, NotPositiveDefiniteError
from ..flows.base import Flow, GaugedFlow
from ..flows.diffeomorphism import interpolate, jacobian_determinant, pull_back
from ..grids import Grid
from .boundaries import Boundary
from .methods.blockwise import Combination
from .semidiscrete import SemiDiscreteFlow


class PulledBackFlow(SemiDiscreteFlow):
    """The Ricci-DeTurck flow with the displacement u = phi - x of its diffeomorphism.

    The state is the packed metric followed by u, (n (n + 1) / 2 + n, *shape); both are integrated
    by the method as one system.
    """

    def __init__(
        self,
        asked: Flow,
        gauged: GaugedFlow,
        grid: Grid,
        order: Order,
        boundary: Boundary,
        initial: Array,
        span: tuple[float, float],
        kernel: str = "plain",
    ) -> None:
        grid.require_one_chart(f"{asked!r}, which interpolates along moving points,")
        super().__init__(gauged, grid, order, boundary, initial, span, kernel)
        self.asked, self._gauged = asked, gauged
        wrong = {face: c for face, c in self.boundary.choices.items() if c != "reflecting"}
        if wrong:
            raise InvalidArgumentError(
                f"{asked!r} follows points that move along, which would leave or enter through the "
                f"boundary; make every axis periodic or reflecting (now: {wrong}), or use "
                "RicciFlow()"
            )
        self._size = initial.shape[0]
        self._known: tuple[Array, Array] | None = None

    def start(self, packed: Array) -> Array:
        """The metric with the identity map."""
        xp = namespace(packed)
        return xp.concat([packed, xp.zeros_like(packed[: self.grid.ndim, ...])], axis=0)

    def metric_part(self, y: Array) -> Array:
        """The metric in DeTurck gauge."""
        return y[: self._size, ...]

    def displacement(self, y: Array) -> Array:
        """U = phi - x, (n, *shape)."""
        return y[self._size :, ...]

    def output(self, t: float, y: Array) -> Array:
        """phi^* g, the metric of the Ricci flow.

        Raises NotPositiveDefiniteError if the map has folded.
        """
        if self._known is not None and self._known[0] is y:
            return self._known[1]
        u = self.displacement(y)
        determinant = jacobian_determinant(u, self.grid, self.order)
        folded = first_true(~(determinant > 0))
        if not self.team.every(folded is None):
            here, index = (0.0, ()) if folded is None else (float(determinant[folded]), folded)
            value, index = self.team.lowest(
                math.inf if folded is None else here, self.grid.on_whole(index) if index else ()
            )
            raise NotPositiveDefiniteError(
                f"the diffeomorphism of {self.asked!r} is no longer one at t = {t:.6g}: the "
                f"determinant of its Jacobian is {value:.3g} at grid index "
                f"{index}; refine the grid, or use RicciFlow()",
                index,
            )
        result = pull_back(self.metric_part(y), u, self.grid, self.order)
        self._known = (y, result)
        return result

    def seen_ahead(self, t: float, y: Array) -> None:
        """The metric of a state that may be rejected is not made: the map may have folded."""

    def __call__(self, t: float, y: Array) -> Array:
        """Rates of the metric and of the displacement, -W(x + u)."""
        self.nfev += 1
        g, u = self.metric_part(y), self.displacement(y)
        w = self._gauged.vector(t, g, self.grid, self.order)
        velocity = -interpolate(w, u, self.grid, self.order)
        velocity = self._hold_mirrors(velocity, 0)
        return namespace(y).concat([self.metric_rate(t, g), velocity], axis=0)

    def settle(self, t: float, y: Array) -> Array:
        """Boundary values of the metric; points of a mirror stay on it."""
        return self._hold_mirrors(super().settle(t, y), self._size)

    def _hold_mirrors(self, y: Array, first: int) -> Array:
        """An array with a vector from component ``first`` on that is zero across mirrors."""
        for axis, side in self.grid.mirrors:
            if not self.grid.touches(axis, side):
                continue
            index = self.grid.shape[axis] - 1 if side else 0
            y = put(y, (first + axis, *(slice(None),) * axis, index), 0.0)
        return y

    @property
    def _in_one_pass(self) -> bool:
        return False  # the kernel knows nothing of the map

    def _size_here(self, error: Array | Combination, y: Array, rtol: float, atol: float) -> float:
        """The larger one of the metric's and of the map's, which is in units of the sides."""
        metric = super()._size_here(error[: self._size, ...], self.metric_part(y), rtol, atol)
        u = error[self._size :, ...]
        xp = namespace(u)
        sides = like(list(self.grid.lengths), u)
        worst = float(xp.max(xp.abs(u) / xp.reshape(sides, (-1,) + (1,) * self.grid.ndim)))
        size = worst / (atol + rtol)
        return max(metric, size) if size == size else math.inf
