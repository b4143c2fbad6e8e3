"""Events: functions of the flow whose sign changes are found, and that can end it.

An event is a callable ``event(t, metric) -> float``, as in ``scipy.integrate.solve_ivp``. It may
have the attributes ``terminal`` (end the flow there; default False) and ``direction`` (find changes
from negative to positive only if > 0, the other way if < 0; default 0, both). This module has
ready-made ones, reached as ``rl.events``.

On a grid that processes share an event sees the block of its process. It either returns the same
number on all (reduced by ``metric.grid.team``), or has the attribute ``over_blocks``, "largest" or
"smallest": then its numbers are reduced together with all else that a step needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import scipy

from .. import checks
from ..arrays import Array, namespace
from ..coefficients import Order, validate_order
from ..curvature import ricci_tensor
from ..errors import DTypeError, InvalidArgumentError, RiemannLNEError
from ..jets import MetricJet
from ..metrics import MetricField
from ..stencils import LocalField, evaluate
from ..team import reduction_of
from ..tensors import smallest_eigenvalue
from .methods.base import State
from .semidiscrete import SemiDiscreteFlow, scaled_error
from .stepper import Stepper

Event: TypeAlias = Callable[[float, Any], float]


class _ReadyMade:
    """An event with options, which its text shows: checkpoints compare runs by it."""

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"

    def _require_field(self, metric: Any, own: str) -> None:
        """Raise DTypeError for the metrics of other flows, and for the states of ``integrate``."""
        if not isinstance(metric, MetricField):
            raise DTypeError(
                f"{type(self).__name__} is an event of a MetricField, and was given "
                f"{checks.shown(metric)}; give an event of your own, {own}"
            )


class Degenerate(_ReadyMade):
    """The smallest eigenvalue of g_ij over the grid falls to a floor (dimensionless).

    Parameters
    ----------
    floor : float
        Above zero, where the metric stops being one.
    terminal : bool
        Whether the flow ends there.

    Examples
    --------
    >>> from riemann_lne import RicciFlow, events, exact, solve_flow
    >>> sphere = exact.round_sphere(2)      # g(t) = (1 - 2 t) g(0); smallest at the box's corners
    >>> g = sphere.field(0.0, sphere.grid(17))
    >>> half = g.components[0, 0].min() / 2
    >>> solution = solve_flow(
    ...     g, RicciFlow(), (0, 0.4), boundary=sphere.metric, events=events.Degenerate(half)
    ... )
    >>> solution.message
    'event Degenerate ended the flow at t = 0.25'
    """

    direction = -1
    over_blocks = "smallest"

    def __init__(self, floor: float, terminal: bool = True) -> None:
        self.floor = checks.number(floor, "floor")
        if not self.floor > 0:
            raise InvalidArgumentError(f"floor = {floor}; a metric has positive eigenvalues")
        self.terminal = terminal
        terminal_count(self)

    def __call__(self, t: float, metric: MetricField) -> float:
        """Smallest eigenvalue less the floor."""
        self._require_field(metric, "a function (t, metric) -> float")
        here = smallest_eigenvalue(metric.packed, metric.n)[0]
        return metric.grid.team.smallest(here) - self.floor


class CurvatureAbove(_ReadyMade):
    """The largest |R| over the grid, or |Ric|_g, rises above a threshold (1 / length^2).

    Parameters
    ----------
    threshold : float
        Of the curvature, positive.
    measure : "scalar" or "ricci"
        |R|, or |Ric|_g = (g^ik g^jl R_ij R_kl)^(1/2), which bounds it: |R| <= sqrt(n) |Ric|_g.
    terminal : bool
        Whether the flow ends there.
    order : int or "fourier"
        Of the differences.
    """

    direction = 1
    over_blocks = "largest"

    def __init__(
        self, threshold: float, measure: str = "scalar", terminal: bool = True, order: Order = 4
    ) -> None:
        self.threshold = checks.number(threshold, "threshold", above=0)
        if measure not in ("scalar", "ricci"):
            raise InvalidArgumentError(f"measure = {measure!r}; give 'scalar' or 'ricci'")
        self.measure = measure
        self.terminal, self.order = terminal, validate_order(order)
        terminal_count(self)

    def __call__(self, t: float, metric: MetricField) -> float:
        """Largest curvature less the threshold."""
        self._require_field(
            metric,
            f"as lambda t, g: float(abs(g.scalar_curvature()).max()) - {self.threshold!r}",
        )
        n = metric.n

        def formula(local: LocalField) -> list[Array]:
            jet = MetricJet(local, n)
            if self.measure == "scalar":
                return [jet.scalar_curvature]
            return ricci_tensor(jet)

        count = 1 if self.measure == "scalar" else metric.packed.shape[0]
        values = evaluate(formula, (metric.packed,), metric.grid, self.order, count)
        if self.measure == "scalar":
            xp = namespace(values)
            here = float(xp.max(xp.abs(values)))
        else:
            here = scaled_error(values, metric.packed, n, 0.0, 1.0)
        return metric.grid.team.largest(here) - self.threshold


class SteadyState(_ReadyMade):
    """The flow comes to rest: the largest |g'|_g over the grid falls to a tolerance (1 / time).

    |g'|_g / 2 bounds the relative rate at which any length changes. In ``integrate`` it is the
    largest |y'| of an entry that falls to the tolerance, in the unit of y over time.
    """

    direction = -1

    def __init__(self, tolerance: float, terminal: bool = True) -> None:
        self.tolerance = checks.number(tolerance, "tolerance", above=0)
        self.terminal = terminal
        terminal_count(self)

    def __call__(self, t: float, metric: MetricField) -> float:
        """Refused: a metric alone does not say how fast it changes; the solver asks its system."""
        raise DTypeError("SteadyState needs the rate of a flow; pass it to solve_flow as an event")


@dataclass(frozen=True)
class Occurrence:
    """A sign change: which event, when, and the packed metric there."""

    index: int
    t: float
    packed: Array


class EventWatch:
    """Follows the events of one flow and locates their sign changes."""

    def __init__(self, events: Event | Sequence[Event] | None, state: str = "metric") -> None:
        listed: Any = [] if events is None else events
        if callable(events):
            listed = [events]
        if not isinstance(listed, (list, tuple)):
            raise DTypeError(
                f"events = {checks.shown(events)}; give a function of (t, {state}), or a list"
            )
        for event in listed:
            if not callable(event):
                raise DTypeError(
                    f"event {checks.shown(event)} is not callable; give a function event(t, "
                    f"{state}) -> float"
                )
        self.events: list[Any] = list(listed)
        self.names = [_name(event) for event in listed]
        self._directions: list[float] = []
        self._terminal: list[int] = []
        self.found: list[Occurrence] = []
        self.values: list[float] = []

    def join(self, stepper: Stepper) -> None:
        """Have the values after each step reduced with its error, where blocks are shared."""
        system = stepper.system
        if system.pool.shared and isinstance(system, SemiDiscreteFlow):
            for k, event in enumerate(self.events):
                if isinstance(event, SteadyState) or reduction_of(event) is not None:
                    system.pool.add(("event", k), partial(self._ahead, k, system))

    def _ahead(
        self, index: int, system: SemiDiscreteFlow, state: State, admissible: bool
    ) -> float | None:
        """The value of an event on the block of this process, of which the largest counts."""
        event = self.events[index]
        if isinstance(event, SteadyState):
            if state.rate is None:
                return None
            return system.rate_size_here(state.rate, state.y) - event.tolerance
        metric = system.seen_ahead(state.t, state.y)
        if metric is None:
            return None
        try:
            # Also where this block is no metric: the other processes may need ghost points of it.
            value = float(event(state.t, metric))
        except Exception:
            if admissible:
                raise
            return math.nan
        return value if reduction_of(event) == "largest" else -value

    def start(self, stepper: Stepper) -> None:
        """Values at the start."""
        self.values = self._values(stepper, stepper.state)
        self.read_attributes()

    def read_attributes(self) -> None:
        """Read ``terminal`` and ``direction``, once: a wrong one is not to end a flow half way."""
        self._directions = [direction(event) for event in self.events]
        self._terminal = [terminal_count(event) for event in self.events]

    def after(
        self, stepper: Stepper, before: State, state: State
    ) -> tuple[list[float], list[Occurrence], State | None]:
        """Events of a step: the values at its end, the sign changes, where it must end.

        The values and occurrences are only taken over by ``commit``.
        """
        values = self._values(stepper, state)
        changed: list[tuple[float, int, State]] = []
        for k, (old, new) in enumerate(zip(self.values, values, strict=True)):
            if _crosses(old, new, self._directions[k]):
                place = self._locate(k, stepper, before, state, old, new)
                changed.append((place.t, k, place))
        changed.sort(key=lambda item: item[:2])
        occurrences, last = [], None
        counts = [sum(o.index == k for o in self.found) for k in range(len(self.events))]
        for t, k, place in changed:
            occurrences.append(Occurrence(k, t, stepper.system.output(t, place.y)))
            counts[k] += 1
            # As in SciPy: a number is the count of occurrences after which the flow ends.
            wanted = self._terminal[k]
            if wanted and counts[k] >= wanted:
                last = place
                break
        return values, occurrences, last

    def commit(self, values: list[float], occurrences: list[Occurrence]) -> None:
        """Take over what ``after`` gave."""
        self.values = values
        self.found.extend(occurrences)

    def never(self) -> str:
        """The events that did not occur, for the message; not those that the library adds itself.

        Such an event has the attribute ``silent``.
        """
        told = {o.index for o in self.found}
        told |= {k for k, e in enumerate(self.events) if getattr(e, "silent", False)}
        missing = [name for k, name in enumerate(self.names) if k not in told]
        if not missing:
            return ""
        return f"event {', '.join(missing)} never changed sign" + (
            " in its direction" if any(self._directed(n) for n in missing) else ""
        )

    def _directed(self, name: str) -> bool:
        return bool(getattr(self.events[self.names.index(name)], "direction", 0))

    def _values(self, stepper: Stepper, state: State) -> list[float]:
        """The values of all events at a state."""
        return self._of(range(len(self.events)), stepper, state)

    def _of(self, indices: Sequence[int], stepper: Stepper, state: State) -> list[float]:
        """The values of some events, those of the user's functions reduced together."""
        system = stepper.system
        found: dict[int, float] = {}
        asked: list[tuple[int, float, str]] = []
        for k in indices:
            event, what = self.events[k], f"event {self.names[k]} at t = {state.t:.6g}"
            known = system.pool.known(("event", k), state.y)
            if known is not None:
                found[k] = checks.as_number(
                    -known if reduction_of(event) == "smallest" else known, what
                )
            elif isinstance(event, SteadyState):
                rate = stepper.rate_at(state)
                found[k] = system.rate_size(rate, state.y) - event.tolerance
            else:
                with blame(what):
                    seen = system.seen(state.t, state.y)
                    value = checks.as_number(event(state.t, _for(event, seen)), what)
                asked.append((k, value, what))
        if asked:
            which = [reduction_of(self.events[k]) for k, _, _ in asked]
            values = [value for _, value, _ in asked]
            reduced = system.team.combined(values, which, [what for _, _, what in asked])
            found |= {k: value for (k, _, _), value in zip(asked, reduced, strict=True)}
        return [found[k] for k in indices]

    def _locate(
        self, index: int, stepper: Stepper, before: State, state: State, old: float, new: float
    ) -> State:
        """Where in a step an event changes sign.

        Every candidate is a step of the method itself from the start of the step, so that the
        state at the event is as good as any other.
        """
        size = state.t - before.t
        seen: dict[float, tuple[float, State]] = {0.0: (old, before), 1.0: (new, state)}

        def value(fraction: float) -> float:
            if fraction not in seen:
                place = stepper.probe(before, fraction * size)
                seen[fraction] = (self._of([index], stepper, place)[0], place)
            return seen[fraction][0]

        # In fractions of the step: a tenth of the tolerance, but not less than the rounding of
        # the time.
        tolerance = 0.1 * stepper.control.rtol + 4 * np.finfo(float).eps * (
            1 + abs(before.t) / size
        )
        root = float(
            scipy.optimize.brentq(value, 0.0, 1.0, xtol=tolerance, rtol=4 * np.finfo(float).eps)
        )
        value(root)
        return seen[root][1]


def _for(function: Any, seen: Any) -> Any:
    """The argument of a user's function: one block where the function's numbers are reduced."""
    if reduction_of(function) is None or not isinstance(seen, MetricField):
        return seen
    return on_its_own(seen)


def on_its_own(metric: MetricField) -> MetricField:
    """The block of a metric that this process holds, on a grid that reductions take as whole."""
    grid = metric.grid.apart()
    if grid is metric.grid:
        return metric
    return MetricField.from_packed(grid, metric.packed, check=False)


def terminal_count(event: Any) -> int:
    """After how many occurrences an event ends the flow; 0 for never.

    As in SciPy: ``terminal`` may be missing, None, a truth value, or the number of occurrences.

    Raises
    ------
    InvalidArgumentError
        If it is something else.
    """
    value = getattr(event, "terminal", None)
    if value is None:
        return 0
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    try:
        return checks.count(value, "terminal")
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"event {_name(event)} has terminal = {checks.shown(value)}; give True, False or after "
            "how many occurrences the flow ends"
        ) from error


def direction(event: Any) -> float:
    """The direction in which sign changes of an event count; 0 for both.

    Raises
    ------
    InvalidArgumentError
        If the attribute is neither missing nor None nor a number.
    """
    value = getattr(event, "direction", None)
    if value is None:
        return 0.0
    try:
        return checks.number(value, "direction")
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"event {_name(event)} has direction = {checks.shown(value)}; give a number: above 0 "
            "for changes from negative to positive, below 0 for the other way, 0 for both"
        ) from error


@contextmanager
def blame(what: str) -> Iterator[None]:
    """Say in an error of a function of the user where it came from."""
    try:
        yield
    except RiemannLNEError:
        raise
    except Exception as error:
        error.add_note(f"in {what}")
        raise


def _crosses(old: float, new: float, direction: float) -> bool:
    rises, falls = old < 0 <= new, old > 0 >= new
    return (rises and direction >= 0) or (falls and direction <= 0)


def _name(event: Any) -> str:
    return str(getattr(event, "__name__", type(event).__name__))


__all__ = ["CurvatureAbove", "Degenerate", "SteadyState"]
