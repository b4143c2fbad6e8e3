"""One start, evolved and judged: existence, distance to the limit, rate, growth on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from .. import checks
from ..analysis.decay import fit_decay_rate
from ..checks import shown
from ..conformal import ConformalMetric
from ..errors import CheckFailedError, InvalidArgumentError, RiemannLNEError
from ..flows import Flow, NormalizedRicciFlow, RicciFlow
from ..metrics import MetricField
from ..symmetric import RotationalMetric
from .asking import answer, is_rejection, told
from .evolutions import (
    Evolution,
    GridEvolution,
    Refinable,
    WithLimit,
    WithRate,
    require_evolution,
    require_run,
)
from .evolutions_closed import RotationalEvolution
from .evolutions_conformal import ConformalEvolution
from .recipes import as_code
from .sizes import Norm

Expectation: TypeAlias = str | Callable[[Any], Any]

EXPECTATIONS = ("exists", "bounded", "converges", "decays")

_SAMPLES = 16
_FLOOR = 1e-12
"""Distances below are rounding."""

_RESOLVED = 1e-8
"""Sizes below have no steps of their own tolerance (see ``GridEvolution``): no rate is measured."""


@dataclass(frozen=True)
class StabilityReport:
    """How one start behaved.

    Attributes
    ----------
    holds : bool
        Whether the expectation was met.
    excess : float
        By how much it was missed, relative; positive exactly if it was missed.
    reason : str
        The numbers behind that.
    start_size : float
        Size of the perturbation at the start, in the norm asked for.
    growth : float
        Largest size after the start over that at the start.
    final_distance : float
        L2 distance of the last metric to the limit over the largest on the way.
    rate : float or None
        Fitted rate of decay to the limit, 1 / time; None where too little was left to fit.
    rate_interval : (float, float) or None
        Of 95 %.
    predicted_rate : float or None
        The slowest rate of the linearised flow about the limit, on a torus.
    solution : FlowSolution, RotationalSolution, ...
        The run, as the evolution returned it.
    """

    holds: bool
    excess: float
    reason: str
    start_size: float
    growth: float
    final_distance: float
    rate: float | None
    rate_interval: tuple[float, float] | None
    predicted_rate: float | None
    solution: Any

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class Experiment:
    """Everything but the start: what is evolved, for how long, and what is expected of it."""

    background: Any
    evolution: Any
    until: float
    norm: Norm | None = None
    expect: Expectation = "converges"
    limit: str | Callable[[Any], Any] = "auto"
    growth: float = 1.0

    def __post_init__(self) -> None:
        checks.number(self.until, "until", above=0)
        checks.number(self.growth, "growth", above=0)
        if not callable(self.expect):
            checks.choice(self.expect, "expectation", EXPECTATIONS)
        if not callable(self.limit):
            checks.choice(self.limit, "limit", ("auto", "mean", "background", "last"))

    def run(self, start: Any) -> Any:
        """The run of a start, at times that are dense early.

        Raises
        ------
        InvalidArgumentError
            If the evolution breaks off with an error instead of saying so in its run.
        """
        times = self.until * np.linspace(0.0, 1.0, _SAMPLES + 1) ** 2
        try:
            run = self.evolution.solve(start, times)
        except Exception as error:
            if is_rejection(error):
                raise
            kind = "" if isinstance(error, RiemannLNEError) else f"{type(error).__name__}: "
            raise InvalidArgumentError(
                f"the flow refuses the start {shown(start)}: {kind}{error}; give a flow that takes "
                "every start of the strategy, or a strategy of starts that it takes"
            ) from error
        return require_run(run, self.evolution)

    def size(self, state: Any) -> float:
        """Size of the perturbation in the norm asked for, or the evolution's own distance."""
        if isinstance(self.evolution, GridEvolution):
            norm = "sup" if self.norm is None else self.norm
            return self.evolution.size(state, self.background, norm)
        if not callable(self.norm):
            return self._distance(state, self.background)
        advice = "give a function (state, background) that returns a number for every state"
        value = answer(self.norm, f"the norm {shown(self.norm)}", advice, state, self.background)
        return checks.number(value, f"the norm {shown(self.norm)} of a state")

    def _distance(self, state: Any, other: Any) -> float:
        """The evolution's own distance of two states."""
        advice = "make it return a number for every two states"
        value = self._asked("distance", advice, state, other)
        return checks.number(value, f"the distance by {shown(self.evolution)}")

    def _asked(self, method: str, advice: str, *given: Any) -> Any:
        """The result of one of the evolution's methods, which may be the user's."""
        name = f"the method {method} of {shown(self.evolution)}"
        return answer(getattr(self.evolution, method), name, advice, *given)

    def refined(self, state: Any) -> Any:
        """The state on the finer grid of ``finer``."""
        return self._asked("refine", "make it return the same state on a finer grid", state)

    def finer(self) -> Experiment | None:
        """The experiment with a better resolution; None where the evolution has none."""
        if not isinstance(self.evolution, Refinable):
            return None
        return replace(
            self,
            background=self.refined(self.background),
            evolution=self._asked("finer", "make it return an evolution with stricter steps"),
        )

    def judge(self, start: Any) -> StabilityReport:
        """Evolve a start and judge the run."""
        size = self.size(start)
        run = self.run(start)
        # Without the start: a search has to see how fast each start decays.
        sizes = [self.size(state) for state in list(run.metrics)[1:]]
        growth = max(sizes, default=size) / size if size > _FLOOR else 0.0
        if not run.success:
            reason = f"ended at t = {run.t[-1]:.4g} of {self.until:.4g}: {run.message}"
            excess = 1.0 + (self.until - float(run.t[-1])) / self.until
            return StabilityReport(
                False, excess, reason, size, growth, math.inf, None, None, None, run
            )
        limit = self._limit(run)
        distances = np.array([self._distance(state, limit) for state in run.metrics])
        rate, interval = _rate(np.asarray(run.t), distances, self._resolved())
        predicted = self._predicted_rate(limit)
        if predicted is None and self.expect == "decays":
            raise InvalidArgumentError(
                f"no rate of decay is predicted for {shown(limit)}: it is known for constant "
                "limits, on tori and on boxes with held ends, and for round spheres; expect "
                '"converges" there, or give an evolution with a method predicted_rate'
            )
        top = float(distances.max())
        final = float(distances[-1]) / top if top > _FLOOR else 0.0
        excess, reason = self._excess(
            run, size, growth, final, float(distances[-1]), rate, interval, predicted
        )
        return StabilityReport(
            not excess > 0, excess, reason, size, growth, final, rate, interval, predicted, run
        )

    def _resolved(self) -> float:
        """Distances below are the error of the steps."""
        return max(_FLOOR, float(getattr(self.evolution, "resolved", 0.0)))

    def _predicted_rate(self, limit: Any) -> float | None:
        """The slowest rate of decay about a limit, if the evolution knows it."""
        if not isinstance(self.evolution, WithRate):
            return None
        rate = self._asked("predicted_rate", "make it return a number, or None", limit)
        name = f"the predicted rate by {shown(self.evolution)}"
        return None if rate is None else checks.number(rate, name)

    def _limit(self, run: Any) -> Any:
        """The state to which distances are taken."""
        advice = "make it return a state for every run"
        if callable(self.limit):
            return answer(self.limit, f"the limit {shown(self.limit)}", advice, run)
        if self.limit == "mean" and not isinstance(run.metrics[-1], MetricField):
            raise InvalidArgumentError(
                f'limit = "mean", for states {shown(run.metrics[-1])}; only metrics on grids have '
                'a mean: give "background", "last" or a function of the run'
            )
        if self.limit == "auto" and isinstance(self.evolution, WithLimit):
            return self._asked("limit", advice, run)
        if self.limit in ("auto", "background"):
            return self.background
        return run.metrics[-1].mean() if self.limit == "mean" else run.metrics[-1]

    def _excess(
        self,
        run: Any,
        size: float,
        growth: float,
        final: float,
        last: float,
        rate: float | None,
        interval: tuple[float, float] | None,
        predicted: float | None,
    ) -> tuple[float, str]:
        """By how much the expectation is missed, and the sentence for it."""
        if callable(self.expect):
            return violation(self.expect, run, "the expectation")
        if self.expect == "exists":
            return -1.0, f"exists until t = {self.until:.4g}"
        if self.expect == "bounded":
            # Rounding and the error of the steps, in units of the start.
            slack = 1e-6 + (1e-9 / size if size > 0 else 0.0)
            name = "" if self.norm is None else f" {self.norm}"
            text = f"largest{name} size on the way is {growth:.6g} times that at the start"
            excess = growth / self.growth - 1.0 - slack
            grown = self._grown(run, size) if excess > 0 else ""
            return excess, f"{text}; bound {self.growth:.6g}{grown}"
        if self.expect == "converges":
            expected = (
                0.5 if predicted is None else max(math.exp(-0.5 * predicted * self.until), 1e-6)
            )
            text = f"distance to the limit at the end is {final:.4g} of the largest on the way"
            return final / min(expected, 0.5) - 1.0, f"{text}; at most {min(expected, 0.5):.4g}"
        assert predicted is not None  # see judge
        if size < max(_RESOLVED, self._resolved()):
            return -1.0, f"the size {size:.3g} is below what the steps resolve: no rate is fitted"
        if rate is None or interval is None:
            text = f"too little is left to fit; final distance {final:.3g} of the largest"
            return (-1.0 if final < 1e-6 or last < self._resolved() else 1.0), text
        # One in a hundred for the nonlinear part that is still there.
        text = f"rate {rate:.5g} in [{interval[0]:.5g}, {interval[1]:.5g}], slowest {predicted:.5g}"
        return (0.99 * predicted - interval[1]) / predicted, text

    def _grown(self, run: Any, size: float) -> str:
        """The direction in which a run leaves its bound: the largest wave when it first does."""
        beyond = [state for state in run.metrics if self.size(state) > self.growth * size]
        if not beyond or not isinstance(self.evolution, GridEvolution):
            return ""
        wave = self.evolution.wave(beyond[0])
        return "" if wave is None else f", left first by a wave of {wave} periods along the axes"


def _rate(
    t: np.ndarray, d: np.ndarray, resolved: float
) -> tuple[float | None, tuple[float, float] | None]:
    """Fit over the last seven tenths of the times, above the error of the steps and rounding."""
    good = (t >= 0.3 * t[-1]) & (d > max(resolved, 1e-10 * d.max()))
    if good.sum() < 4:
        return None, None
    fit = fit_decay_rate(t[good], d[good])
    return fit.rate, fit.confidence_interval()


def violation(
    property: Callable[[Any], Any], example: Any, name: str = "the property"
) -> tuple[float, str]:
    """How far an example violates a property, and the text for it; not positive if it holds.

    A property raises AssertionError (a CheckFailedError says by how much), or returns None or a
    boolean (False: violated), or a number (positive: violated, by that).

    Raises
    ------
    InvalidArgumentError
        If it returns something else, or breaks off with an error that is not the library's own.
    """
    try:
        result = property(example)
    except AssertionError as error:
        value = getattr(error, "value", None)
        return (float(value) if value and value > 0 else 1.0), str(error) or "assertion failed"
    except RiemannLNEError:
        raise
    except Exception as error:
        if is_rejection(error):
            raise
        raise InvalidArgumentError(
            f"{name} broke off with {told(error)}, for the example {as_code(example)}; make it "
            "answer for every example that the strategy draws: it returns a number or a boolean, "
            "or raises AssertionError"
        ) from error
    if isinstance(result, StabilityReport):
        return result.excess, result.reason
    if result is None or isinstance(result, (bool, np.bool_)):
        holds = result is None or bool(result)
        return (-1.0, "holds") if holds else (1.0, f"{name} is False")
    try:
        value = float(result)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{name} returned a {type(result).__name__}; return None, a boolean, or a number "
            "that is positive where it is violated, or raise AssertionError"
        ) from error
    if math.isnan(value):
        return math.inf, f"{name} is NaN"
    return value, f"{name} is {value:.6g}"


def experiment(
    background: Any,
    flow: Any,
    until: float,
    norm: Norm | None = None,
    expect: Expectation = "converges",
    limit: Any = "auto",
    growth: float = 1.0,
    order: Any = 4,
    solve: Mapping[str, Any] | None = None,
) -> Experiment:
    """The experiment for a background of whichever kind; see ``check_stability``.

    Raises
    ------
    DTypeError
        If the flow is none for states like the background.
    InvalidArgumentError, UnknownNameError
        If arguments make no sense.
    """
    if isinstance(background, MetricField):
        # Only these two look at the distance that is left at the end.
        lasting = isinstance(expect, str) and expect in ("decays", "converges")
        evolution: Any = GridEvolution(background, flow, order, solve, lasting)
        norm = "sup" if norm is None else norm
        return Experiment(background, evolution, until, norm, expect, limit, growth)
    if solve is not None or isinstance(norm, (str, tuple)):
        what, value = ("solve", solve) if solve is not None else ("norm", norm)
        raise InvalidArgumentError(
            f"{what} = {shown(value)}, for states {shown(background)}; it is for metrics on "
            "grids: give options to the evolution, and as norm a function (state, background)"
        )
    ricci = type(flow) in (RicciFlow, NormalizedRicciFlow)
    if ricci and isinstance(background, RotationalMetric):
        evolution = RotationalEvolution(normalized=isinstance(flow, NormalizedRicciFlow))
    elif ricci and isinstance(background, ConformalMetric):
        evolution = ConformalEvolution(normalized=isinstance(flow, NormalizedRicciFlow))
    else:
        evolution = require_evolution(flow, background)
    return Experiment(background, evolution, until, norm, expect, limit, growth)


def judge_stability(
    start: Any,
    background: Any,
    flow: Flow | Evolution,
    *,
    until: float,
    norm: Norm | None = None,
    expect: Expectation = "converges",
    **options: Any,
) -> StabilityReport:
    """Evolve one start and judge it; see ``check_stability`` for the arguments.

    Examples
    --------
    >>> from riemann_lne import Grid, RicciDeTurckFlow, flat_metric, perturbed_euclidean
    >>> grid = Grid.torus((16, 16))
    >>> report = judge_stability(
    ...     perturbed_euclidean(grid, 0.2, seed=1), flat_metric(grid), RicciDeTurckFlow(), until=4.0
    ... )
    >>> report.holds
    True
    """
    return experiment(background, flow, until, norm, expect, **options).judge(start)


def confirm(test: Experiment, report: StabilityReport, start: Any) -> str:
    """Repeat a failure with a better resolution; the sentence for the message.

    Raises
    ------
    UnresolvedFailureError
        If the failure goes away: it was one of resolution.
    """
    finer = test.finer()
    if finer is None:
        return "by nothing: this evolution has no method refine"
    fine = test.refined(start)
    again = finer.judge(fine)
    here, there = (resolution(state) for state in (start, fine))
    if again.holds:
        raise UnresolvedFailureError(
            f"failed on {here} ({report.reason}), but not on {there} with stricter steps "
            f"({again.reason}): the failure is one of resolution; refine the background's grid"
        )
    return f"on {there} with stricter steps: {again.reason}"


def points_of(state: Any) -> tuple[int, ...]:
    """Points along the axes of a state; () where nothing is known of them."""
    if isinstance(state, MetricField):
        return state.grid.shape
    if isinstance(state, ConformalMetric):
        return tuple(state.surface.shape)
    points = getattr(state, "points", None)
    return (points,) if isinstance(points, int) else ()


def resolution(state: Any) -> str:
    """The grid of a state, for a message."""
    points = points_of(state)
    return f"the grid {points}" if points else "its grid"


class UnresolvedFailureError(CheckFailedError):
    """A failure that a finer grid or shorter steps remove: the resolution's, not the flow's."""
