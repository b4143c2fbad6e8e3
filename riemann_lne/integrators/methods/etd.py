"""ETDRK4: exponential time differencing of order 4 in Fourier space.

Cox & Matthews, J. Comput. Phys. 176 (2002) 430; Kassam & Trefethen, SIAM J. Sci. Comput. 26 (2005)
1214. The constant-coefficient Laplacian of the mean metric is integrated exactly; the rest is
treated explicitly. The splitting follows the mean metric as it drifts.

``advance`` is the scheme. ``etd_in_place`` takes the same step with less memory, for array
libraries whose arrays can be written to.
"""

from __future__ import annotations

import math
from typing import Protocol, cast

import numpy as np

from ...arrays import Array, like, namespace, writes
from ...errors import InvalidArgumentError
from ...flows.laplacian import laplacian_symbol
from ...fourier import Transform, irfftn, rfftn
from ...grids import Grid
from .base import State, Step, System
from .etd_coefficients import etdrk4_coefficients
from .etd_in_place import StepInPlace
from .splitting import FlowSystem, relative_drift, splitting_metric

__all__ = ["ETDRK4", "advance", "etdrk4_coefficients"]

# Largest relative change of the splitting's metric before the splitting follows: a remainder of
# this size is far from unstable, and new coefficients cost about as much as a step.
_LARGEST_DRIFT = 0.1


class Splitting(Protocol):
    """A part L of the right-hand side that is integrated exactly, and the rest."""

    def weights(self, dt: float, v: Array) -> tuple[Array, ...]:
        """The coefficients e^(L dt / 2), Q, f2 and f3 of ``etdrk4_coefficients``."""

    def nonlinear(self, system: System, t: float, v: Array) -> Array:
        """The right-hand side less L v."""


def advance(method: Splitting, system: System, t: float, v: Array, n_v: Array, dt: float) -> Array:
    """One step where L is diagonal, from a state v and its nonlinear part (Cox & Matthews, 26-29).

    With e_half = e^(L dt / 2), N the transform of the right-hand side less L v, and the
    coefficients of ``etdrk4_coefficients``, in which those of N(a) and N(b) are f2 each.
    """
    e_half, q, f2, f3 = method.weights(dt, v)
    # The weights of a constant add up to its integral, (e^(L dt) - 1) / L = q (e_half + 1).
    f1 = q * (e_half + 1.0) - 2.0 * f2 - f3
    a = e_half * v + q * n_v
    n_a = method.nonlinear(system, t + dt / 2, a)
    b = e_half * v + q * n_a
    n_b = method.nonlinear(system, t + dt / 2, b)
    c = e_half * a + q * (2.0 * n_b - n_v)
    n_c = method.nonlinear(system, t + dt, c)
    return e_half * (e_half * v) + f1 * n_v + f2 * (n_a + n_b) + f3 * n_c


class ETDRK4:
    """Exponential Runge-Kutta method of order 4 on a torus.

    The error estimate compares one step with two half steps, which are carried on.

    Attributes
    ----------
    grid : Grid
        Of the flow.
    transform : Transform
        Fourier transforms over the grid, or over the blocks that processes hold of it.
    linear : array
        Symbol L of the part that is integrated exactly, over the real-FFT spectrum.
    """

    name = "etdrk4"
    order = 4
    error_exponent = 5
    adaptive = True
    returns_rate = False

    def __init__(self, system: System, y: Array) -> None:
        if not isinstance(system, FlowSystem):
            raise InvalidArgumentError(
                "method 'etdrk4' splits off the Laplacian of a metric, which belongs to flows; use "
                "'rkl2' or 'tsit5'"
            )
        if not system.grid.is_torus:
            there = "a sphere" if system.grid.pieces() else "a grid with bounded axes"
            raise InvalidArgumentError(
                "method 'etdrk4' works in Fourier space and needs every axis periodic; "
                f"use 'rkl2' on {there}"
            )
        if not system.flow.parabolic:
            raise InvalidArgumentError(
                f"method 'etdrk4' splits off a Laplacian, which {system.flow!r} does not have on "
                "every component: long steps would be inaccurate; use RicciDeTurckFlow, or "
                "'rkl2', 'tsit5' or 'rk4'"
            )
        self.grid: Grid = system.grid
        self._order = system.order
        self.transform = system.grid.transform() or Transform(system.grid.shape)
        self._split(splitting_metric(system, y), y)

    # ---- the step ----------------------------------------------------------------------------

    def step(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        self._follow(cast(FlowSystem, system), state.y)  # as it was when this was made
        if writes(state.y):
            return StepInPlace(self)(system, state, dt, estimate)
        return self._step(system, state, dt, estimate)

    def _step(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        """The step for arrays that cannot be written to."""
        t, v = state.t, rfftn(state.y, self.grid.ndim)
        rate = system(t, state.y) if state.rate is None else state.rate
        n_v = rfftn(rate, self.grid.ndim) - self.linear * v
        coarse = advance(self, system, t, v, n_v, dt)
        if not estimate:
            return Step(self._field(coarse))
        middle = advance(self, system, t, v, n_v, dt / 2)
        n_middle = self.nonlinear(system, t + dt / 2, middle)
        fine = advance(self, system, t + dt / 2, middle, n_middle, dt / 2)
        return Step(self._field(fine), None, self._field((fine - coarse) * (1 / 15)))

    def nonlinear(self, system: System, t: float, v: Array) -> Array:
        """Transform of the right-hand side less the part that is integrated exactly."""
        return rfftn(system(t, self._field(v)), self.grid.ndim) - self.linear * v

    def _field(self, v: Array) -> Array:
        return irfftn(v, self.grid.shape)

    def stable_step(self, radius: float) -> float:
        return math.inf

    # ---- the splitting -----------------------------------------------------------------------

    def _split(self, mean: np.ndarray, y: Array) -> None:
        """Take the Laplacian of a constant metric as the part that is integrated exactly."""
        self._mean = mean
        self._symbol = laplacian_symbol(mean, self.grid.whole, self._order, self.transform.part)
        self.linear = like(self._symbol, y)
        self._coefficients: dict[float, tuple[Array, ...]] = {}

    def _follow(self, system: FlowSystem, y: Array) -> None:
        """Split anew where the metric has drifted away from that of the splitting."""
        mean = splitting_metric(system, y)
        if relative_drift(mean, self._mean, self.grid.ndim) > _LARGEST_DRIFT:
            self._split(mean, y)

    def memory(self) -> dict[str, np.ndarray]:
        """The metric of the splitting."""
        return {"mean": self._mean}

    def recall(self, memory: dict[str, np.ndarray]) -> None:
        """Split as it was; the coefficients follow from that."""
        self._split(memory["mean"], self.linear)

    def weights(self, dt: float, v: Array) -> tuple[Array, ...]:
        """The coefficients e^(z/2), Q, f2 and f3 for a step; those of the last step are kept."""
        # Steps that differ by rounding alone share their coefficients, which are those of the
        # rounded step: they must not depend on which of them came first.
        key = float(f"{dt:.12e}")
        if key not in self._coefficients:
            self._coefficients.clear()  # one set: another is soon made
            reference = namespace(v).real(v[..., :1])
            _, e_half, q, _, f2, f3 = etdrk4_coefficients(self._symbol, key)
            self._coefficients[key] = tuple(like(c, reference) for c in (e_half, q, f2, f3))
        return self._coefficients[key]
