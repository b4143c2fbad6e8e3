"""What an integrator is: one step of a semidiscrete flow, with an error estimate if it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..arrays import Array
from .blockwise import Combination
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
    error : array, Combination or None
        Estimate of the local error, shape of the state.
    """

    y: Array
    rate: Array | None = None
    error: Array | Combination | None = None


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
    returns_rate : bool
        Whether it then also returns the right-hand side at the new state.
    """

    name: str
    order: int
    error_exponent: int
    adaptive: bool
    returns_rate: bool

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

    def memory(self) -> dict[str, np.ndarray]:
        """What later steps depend on besides the state; for checkpoints."""

    def recall(self, memory: dict[str, np.ndarray]) -> None:
        """Take over what ``memory`` gave."""


class WithoutMemory:
    """For methods whose steps depend on the state alone."""

    def memory(self) -> dict[str, np.ndarray]:
        """Nothing."""
        return {}

    def recall(self, memory: dict[str, np.ndarray]) -> None:
        """Nothing to take over."""
