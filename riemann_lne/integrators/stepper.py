"""One accepted step after another: equal steps, or steps under error control."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .. import checks
from ..arrays import Array, namespace
from ..errors import InvalidArgumentError
from . import diagnosis
from .methods.base import Integrator, State, Step, StepError, System
from .methods.blockwise import Combination
from .methods.controller import PIController
from .methods.protocol import longest_step, require_step

# Explicit steps are kept this far below the linear stability limit.
_STABILITY_MARGIN = 0.9
# A step below this fraction of the span means that the solution is about to cease to exist.
_SMALLEST_STEP = 1e-12
# Smallest relative tolerance in units of the precision, that of SciPy's solvers.
_LEAST_RTOL = 100


@dataclass(frozen=True)
class Control:
    """Options that decide on the steps; see ``solve_flow``."""

    t0: float
    t1: float
    dt: float | None
    rtol: float
    atol: float
    max_steps: int


def make_control(
    t0: float, t1: float, dt: float | None, rtol: float, atol: float, max_steps: int, y: Array
) -> Control:
    """Checked parameters of the steps for states like ``y``."""
    rtol, atol = checks.number(rtol, "rtol", least=0), checks.number(atol, "atol", least=0)
    if rtol + atol == 0:
        raise InvalidArgumentError(
            f"rtol = {rtol}, atol = {atol}; they cannot both be zero: give one of them"
        )
    # NumPy's own scalars would promote float32 states to float64.
    step = None if dt is None else checks.number(dt, "dt", above=0)
    max_steps = checks.count(max_steps, "max_steps", least=1)
    # Below that, error estimates are rounding, which shorter steps do not lessen.
    least = _LEAST_RTOL * float(namespace(y).finfo(y.dtype).eps)
    return Control(t0, t1, step, max(rtol, least), atol, max_steps)


class Stepper:
    """Takes the steps of one integration.

    Attributes
    ----------
    state : State
        The last accepted one.
    accepted, rejected : int
        Steps so far.
    limited : int
        Accepted steps that would have been longer but for the stability limit.
    """

    def __init__(self, system: System, integrator: Integrator, control: Control, y: Array) -> None:
        self.system, self.integrator, self.control = system, integrator, control
        self.state = State(control.t0, y)
        self.accepted = self.rejected = self.limited = 0
        self._controller = PIController(integrator.error_exponent)
        self._next: float | None = None
        # Target, start and steps taken of the current stretch of equal steps.
        self._stretch = (control.t0, control.t0, 0)

    def advance(self, target: float) -> State:
        """The next accepted state on the way to a time, which is met exactly.

        Raises StepError if there is none.
        """
        with_dt = self.control.dt is not None
        state = self._equal_step(target) if with_dt else self._adapted_step(target)
        self.accepted += 1
        self.state = state
        self.system.pool.accept()
        return state

    def rate_at(self, state: State) -> Array:
        """Right-hand side at a state; that at the current one serves the next step too."""
        if state.rate is not None:
            return state.rate
        if self.state.rate is not None and self.state.y is state.y:
            return self.state.rate
        rate = self.system(state.t, state.y)
        if self.state.y is state.y:
            self.state = State(state.t, state.y, rate)
        return rate

    def probe(self, start: State, size: float) -> State:
        """The state that one step of a size leads to, without taking it."""
        step = self._take(start, size, self._estimates)
        t = start.t + size
        return State(t, self.system.settle(t, step.y))

    def _take(self, start: State, size: float, estimate: bool) -> Step:
        """One step of the integrator, checked to be one."""
        step = self.integrator.step(self.system, start, size, estimate)
        return require_step(step, self.integrator, start.y, estimate)

    @property
    def _estimates(self) -> bool:
        return self.control.dt is None and self.integrator.adaptive

    def _equal_step(self, target: float) -> State:
        """One of the equal steps of at most dt to the target."""
        assert self.control.dt is not None
        self._count_step()
        now = self.state
        if self._stretch[0] != target:
            self._stretch = (target, now.t, 0)
        _, start, done = self._stretch
        # The first holds at zero, where every number however small changes the time.
        if math.isinf((target - start) / self.control.dt) or now.t + self.control.dt == now.t:
            raise StepError(diagnosis.time_stands_still(now.t, self.control.dt))
        count = max(1, math.ceil((target - start) / self.control.dt * (1 - 1e-12)))
        size = (target - start) / count
        step = self._take(now, size, False)
        t = target if done == count - 1 else start + (done + 1) * size
        new = self.system.settle(t, step.y)
        if self._error(None, now.y, State(t, new, step.rate)) > 0:  # it is no metric any more
            limit = self.stability_limit(now)
            raise StepError(
                diagnosis.broken(self.system, self.integrator.name, new, t, size, limit)
            )
        self._stretch = (target, start, done + 1)
        return State(t, new, step.rate)

    def _adapted_step(self, target: float) -> State:
        """A step whose estimated error meets the tolerance."""
        if self._next is None:
            self._next = self._first_step()
        now = self.state
        limit = self.stability_limit(now)
        while True:
            self._count_step()
            size = min(self._next, limit)
            left = target - now.t
            last = size >= left * (1 - 1e-12)
            # Two equal steps rather than a long and a tiny one.
            size = left if last else (left / 2 if size > left / 2 else size)
            if now.t + size == now.t:  # steps that are accepted may shrink without end too
                raise StepError(diagnosis.step_lost(self.system.words, now.t, size))
            step = self._take(now, size, self.integrator.adaptive)
            t = target if last else now.t + size
            new = self.system.settle(t, step.y)
            error = self._error(step.error, now.y, State(t, new, step.rate))
            if error <= 1.0:
                self.limited += limit < self._next
                if self.integrator.adaptive:
                    grown = size * self._controller.after_accepted(error)
                    # A step cut short to end on an output time says little about the next one.
                    self._next = max(grown, self._next) if last and error < 0.1 else grown
                return State(t, new, step.rate)
            self.rejected += 1
            self.system.pool.reject()
            del step, new  # not to be held while the shorter step is taken
            self._next = size * self._controller.after_rejected(error)
            if self._next < _SMALLEST_STEP * (self.control.t1 - self.control.t0):
                raise StepError(
                    diagnosis.step_too_small(
                        self.system.words, now.t, self._next, self.control.rtol, self.control.atol
                    )
                )

    def _error(self, error: Array | Combination | None, before: Array, new: State) -> float:
        """Scaled error of a step; infinite where the integration cannot go on from the result."""
        control, system = self.control, self.system
        here = system.size_if_admissible(error, before, new.y, control.rtol, control.atol)
        return system.pool.judged(new, here)

    def stability_limit(self, state: State) -> float:
        """Longest step that is taken at a state for the sake of stability."""
        if math.isinf(longest_step(self.integrator, 1.0)):
            return math.inf
        radius = self.system.limiting_radius(state.t, state.y)
        return _STABILITY_MARGIN * longest_step(self.integrator, radius)

    def _first_step(self) -> float:
        """A hundredth of the time in which the state changes by its own size."""
        span = self.control.t1 - self.control.t0
        if not self.integrator.adaptive:
            return span  # the stability limit alone decides
        now = self.state
        if self.integrator.returns_rate or now.rate is not None:
            rate = self.rate_at(now)
        else:  # not kept for the step: it would be an array more than any later step has to hold
            rate = self.system(now.t, now.y)
        speed = self.system.speed(rate, now.y, self.control.rtol, self.control.atol)
        # A start at rest says nothing about later: not the whole span in one step.
        return min(span, 0.01 / speed) if speed > 0 and math.isfinite(speed) else span / 50

    def _count_step(self) -> None:
        """End the flow where it has taken all the steps it may."""
        if self.accepted + self.rejected >= self.control.max_steps:
            raise StepError(
                diagnosis.too_many_steps(self.system.words, self.state.t, self.control.max_steps)
            )

    def stiffness_hint(self) -> str:
        """Advice to take another method, where stability held back most of the steps; or empty."""
        return diagnosis.stiffness_hint(
            self.system.words, self.integrator.name, self.accepted, self.limited
        )

    def memory(self) -> dict[str, Any]:
        """Everything but the arrays that later steps depend on, as plain values."""
        return {
            "t": self.state.t,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "limited": self.limited,
            "next": self._next,
            "stretch": list(self._stretch),
            "controller": self._controller.memory(),
        }

    def recall(self, memory: dict[str, Any], y: Array, rate: Array | None) -> None:
        """Go on from what ``memory`` gave and the arrays of the state."""
        self.state = State(memory["t"], y, rate)
        self.accepted, self.rejected = memory["accepted"], memory["rejected"]
        self.limited, self._next = memory["limited"], memory["next"]
        target, start, done = memory["stretch"]
        self._stretch = (target, start, done)
        self._controller.recall(memory["controller"])
