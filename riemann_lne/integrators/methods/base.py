"""The protocols of integration: the system that is integrated, and the method that takes a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ...arrays import Array
from ...team import Team
from .blockwise import Combination
from .pooled import Pool
from .state import State, Step, StepError, Words

__all__ = ["Integrator", "OneStep", "State", "Step", "StepError", "System"]


class System(Protocol):
    """A system of ordinary differential equations y' = f(t, y) for an array, as steps need it.

    ``SemiDiscreteFlow`` is the one that a flow becomes on a grid, ``ArraySystem`` the one of a
    function.

    Attributes
    ----------
    nfev : int
        Evaluations of the right-hand side so far.
    pool : Pool
        Maxima over the grid that are reduced together after a step.
    """

    nfev: int
    pool: Pool

    @property
    def team(self) -> Team:
        """The processes that hold the parts of the state."""

    @property
    def words(self) -> Words:
        """The words in which messages speak of the system."""

    def usual_method(self, y: Array, tolerance: float | None) -> str:
        """The name of the method that "auto" stands for, from a start; None: steps are given."""

    def __call__(self, t: float, y: Array) -> Array:
        """The right-hand side, an array that shares no memory with ``y``."""

    def update(
        self,
        t: float,
        y: Array,
        scale: float,
        terms: Sequence[tuple[float, Array]],
        out: Array | None = None,
    ) -> Array:
        """``scale`` times the right-hand side plus the sum of coefficient times array.

        ``out`` may be one of these arrays but not ``y``; it is used up.
        """

    def combination(self, terms: Sequence[tuple[float, Array]], out: Array | None = None) -> Array:
        """The sum of coefficient times array; ``out`` may be one of them and is used up."""

    def spectral_radius(self, t: float, y: Array) -> float:
        """Bound or estimate of the spectral radius of the right-hand side, 1 / time."""

    def limiting_radius(self, t: float, y: Array) -> float:
        """The spectral radius that limits explicit steps; 0 where none is known."""

    def settle(self, t: float, y: Array) -> Array:
        """The state after a step with the values put in that are prescribed at the time."""

    def admissible(self, y: Array) -> bool:
        """Whether the integration can go on from a state."""

    def fault(self, y: Array) -> str:
        """Where and how a state is not admissible."""

    def scaled_size(
        self, error: Array | Combination, before: Array, y: Array, rtol: float, atol: float
    ) -> float:
        """Size of an error estimate in units of the tolerance, for a step between two states."""

    def size_if_admissible(
        self,
        error: Array | Combination | None,
        before: Array,
        y: Array,
        rtol: float,
        atol: float,
    ) -> float:
        """The size of an error estimate, 0 without one; infinite for a state not admissible.

        Of the part of the state that this process holds; the pool has the largest of all parts.
        """

    def speed(self, rate: Array, y: Array, rtol: float, atol: float) -> float:
        """Size of the right-hand side over that of the state, 1 / time."""

    def output(self, t: float, y: Array) -> Array:
        """The array that is kept of a state."""

    def seen(self, t: float, y: Array) -> object:
        """The argument of the user's functions, by which they cannot change the state."""

    def rate_size(self, rate: Array, y: Array) -> float:
        """The size of a right-hand side that ``events.SteadyState`` compares; 1 / time."""


class Integrator(Protocol):
    """A one-step method. ``OneStep`` has defaults for all members but ``order`` and ``step``.

    Attributes
    ----------
    name : str
        For messages and results.
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

    def step(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        """The state one step of dt later, with an error estimate if one is asked for."""

    def stable_step(self, radius: float) -> float:
        """Largest step that is linearly stable for a spectral radius; infinite if any is."""

    def memory(self) -> dict[str, np.ndarray]:
        """Arrays, other than the state, that later steps depend on; for checkpoints."""

    def recall(self, memory: dict[str, np.ndarray]) -> None:
        """Take over the result of ``memory``."""


class OneStep:
    """Base of methods whose steps depend on the state alone, with defaults to be overridden.

    As it stands the method has no error estimate and no limit of stability: it is used with ``dt``.

    Examples
    --------
    The midpoint rule, complete:

    >>> from riemann_lne import integrate
    >>> class Midpoint(OneStep):
    ...     name, order = "midpoint", 2
    ...
    ...     def step(self, system, state, dt, estimate):
    ...         middle = system.update(state.t, state.y, dt / 2, [(1.0, state.y)])
    ...         return Step(system.update(state.t + dt / 2, middle, dt, [(1.0, state.y)]))
    >>> solution = integrate(lambda t, y: -y, [1.0], (0, 1), method=Midpoint(), dt=0.01)
    >>> round(float(solution.y[-1, 0]), 4)
    0.3679
    """

    name = "one-step method"
    order = 1
    error_exponent = 1
    adaptive = False
    returns_rate = False

    def stable_step(self, radius: float) -> float:
        """No limit."""
        return math.inf

    def memory(self) -> dict[str, np.ndarray]:
        """Nothing."""
        return {}

    def recall(self, memory: dict[str, np.ndarray]) -> None:
        """Nothing to take over."""
