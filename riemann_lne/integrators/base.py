"""What an integrator is: one step of a semidiscrete flow, with an error estimate if it has one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ..arrays import Array, namespace
from ..tensors import inverse_and_determinant, squared_norm, table
from .semidiscrete import SemiDiscreteFlow


@dataclass(frozen=True)
class Step:
    """Outcome of one step.

    Attributes
    ----------
    y : array
        The new state, a fresh array.
    rate : array or None
        Right-hand side at the new state, if the method evaluated it (first same as last).
    error : array or None
        Estimate of the local error, shape of the state.
    """

    y: Array
    rate: Array | None = None
    error: Array | None = None


class Integrator(Protocol):
    """A one-step method.

    Attributes
    ----------
    order : int
        Order of accuracy in time of the state that is carried on.
    error_exponent : int
        The error estimate behaves as dt**error_exponent.
    adaptive : bool
        Whether ``step`` returns an error estimate when asked for one.
    """

    name: str
    order: int
    error_exponent: int
    adaptive: bool

    def step(
        self,
        system: SemiDiscreteFlow,
        t: float,
        y: Array,
        rate: Array | None,
        dt: float,
        estimate: bool,
    ) -> Step:
        """Advance by dt; ``rate`` is the right-hand side at (t, y) if it is known."""

    def stable_step(self, radius: float) -> float:
        """Largest step that is linearly stable for a spectral radius; infinite if any is."""


def scaled_error(error: Array, y: Array, n: int, rtol: float, atol: float) -> float:
    """Largest over the grid of |error|_g / (atol + rtol |g|_g), |g|_g = sqrt(n): dimensionless.

    Weighted by the metric of the state itself, so that it does not depend on coordinates.
    """
    xp = namespace(error)
    inverse, _ = inverse_and_determinant(table(y, n), n)
    square = squared_norm(table(error, n), inverse, n)
    worst = float(xp.max(square))
    # Rounding can make the square of a tiny error negative.
    return math.sqrt(max(worst, 0.0)) / (atol + rtol * math.sqrt(n)) if worst == worst else math.inf
