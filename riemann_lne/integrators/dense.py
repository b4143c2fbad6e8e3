"""Dense output: the states within a step, from the states and rates at its ends."""

from __future__ import annotations

import math

from ..arrays import Array, total
from .methods.base import State
from .stepper import Stepper

# Where theta^2 (1 - theta)^2 is steepest: there a slope decides best on the quartic's coefficient.
_NODE = (3 - math.sqrt(3)) / 6


class Interpolant:
    """Hermite interpolant of one step; error O(dt^4), or O(dt^5) with one more right-hand side.

    The cubic through states and rates at both ends has the former. For methods of order 4 and
    more, the right-hand side at the cubic's value at one inner point gives the slope that fixes
    the coefficient of theta^2 (1 - theta)^2 (Shampine 1985).
    """

    def __init__(self, stepper: Stepper, start: State, end: State) -> None:
        self._t, self._h = start.t, end.t - start.t
        self._data = (start.y, stepper.rate_at(start), end.y, stepper.rate_at(end))
        self._quartic: Array | None = None
        self._system = stepper.system
        if stepper.integrator.order >= 4:
            at = self._t + _NODE * self._h
            slope = self._system(at, self._combined(_values(_NODE)))
            rate = total([(1.0, (slope,)), (-1.0 / self._h, (self._combined(_slopes(_NODE)),))])
            self._quartic = (self._h / (2 * _NODE * (1 - _NODE) * (1 - 2 * _NODE))) * rate

    def __call__(self, t: float) -> Array:
        """The state at a time within the step."""
        theta = (t - self._t) / self._h
        y = self._combined(_values(theta))
        if self._quartic is not None:
            y = y + (theta * (1 - theta)) ** 2 * self._quartic
        return self._system.settle(t, y)

    def _combined(self, weights: tuple[float, float, float, float]) -> Array:
        y0, f0, y1, f1 = self._data
        a, b, c, d = weights
        return total([(a, (y0,)), (b * self._h, (f0,)), (c, (y1,)), (d * self._h, (f1,))])


def _values(s: float) -> tuple[float, float, float, float]:
    """Hermite's cubic basis: weights of y0, h f0, y1, h f1."""
    return (1 + 2 * s) * (1 - s) ** 2, s * (1 - s) ** 2, s * s * (3 - 2 * s), s * s * (s - 1)


def _slopes(s: float) -> tuple[float, float, float, float]:
    """Derivatives of the basis by theta."""
    return 6 * s * (s - 1), (1 - s) * (1 - 3 * s), 6 * s * (1 - s), s * (3 * s - 2)
