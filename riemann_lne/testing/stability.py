"""One start, flowed and judged: existence, distance to the limit, rate, growth on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..analysis.decay import fit_decay_rate, predicted_decay_rates
from ..arrays import like, to_numpy
from ..errors import (
    CheckFailedError,
    InvalidArgumentError,
    KernelUnavailableError,
    RiemannLNEError,
    UnknownNameError,
)
from ..flows.base import Flow
from ..grids import Grid
from ..integrators import FlowSolution, solve_flow
from ..metrics import MetricField
from .kinds import resampled
from .recipes import DrawnMetric, drawn, recipe_of
from .sizes import Norm, perturbation_size

Expectation: TypeAlias = str | Callable[[FlowSolution], Any]

EXPECTATIONS = ("exists", "bounded", "converges", "decays")

_SAMPLES = 16
_FLOOR = 1e-12
"""Distances below are rounding."""


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
    solution : FlowSolution
        The run.
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
    solution: FlowSolution

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class Experiment:
    """Everything but the start: what is flowed, for how long, and what is expected of it."""

    background: MetricField
    flow: Flow
    until: float
    norm: Norm = "sup"
    expect: Expectation = "converges"
    limit: str | Callable[[FlowSolution], MetricField] = "auto"
    growth: float = 1.0
    order: Any = 4
    solve: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.until) and self.until > 0):
            raise InvalidArgumentError(f"until = {self.until}; a positive time is needed")
        if not callable(self.expect) and self.expect not in EXPECTATIONS:
            raise UnknownNameError("expectation", self.expect, EXPECTATIONS)
        if not callable(self.limit) and self.limit not in ("auto", "mean", "background", "last"):
            raise UnknownNameError("limit", self.limit, ("auto", "mean", "background", "last"))

    def run(self, start: MetricField) -> FlowSolution:
        """The flow of a start, at times that are dense early; with ``solve`` given options."""
        options: dict[str, Any] = {
            "method": self._method(),
            "order": self.order,
            "rtol": 1e-4 * self.scale(start),
            "atol": 0.0,
            "dense_output": True,
            "max_steps": 5000,
            "t_eval": self.until * np.linspace(0.0, 1.0, _SAMPLES + 1) ** 2,
            **(self.solve or {}),
        }
        span = (0.0, self.until)
        if "kernel" not in options:
            # Compiled right-hand sides pay on small grids too, where thousands of flows are run.
            with suppress(KernelUnavailableError):
                return solve_flow(start, self.flow, span, kernel="fused", **options)
        return solve_flow(start, self.flow, span, **options)

    def scale(self, start: MetricField) -> float:
        """The size against which errors of the steps are measured, relative to g itself.

        A tiny perturbation needs stricter steps, but not where the background itself moves.
        """
        base = self.background
        speed = np.abs(to_numpy(self.flow.rhs(0.0, base.packed, base.grid, self.order))).max()
        moves = self.until * float(speed) / float(np.abs(to_numpy(base.packed)).max())
        return min(max(perturbation_size(start, base), moves, 1e-8), 0.1)

    def _method(self) -> str:
        if not getattr(self.flow, "parabolic", False):
            return "tsit5"
        # On a torus "auto" treats the linear part exactly, at twice the cost. RKL2 damps waves that
        # have fallen below its tolerance as its long steps please: a rate fitted to them, or what
        # is left at the end, says nothing of the flow.
        return "auto" if self.expect in ("decays", "converges") else "rkl2"

    def judge(self, start: MetricField) -> StabilityReport:
        """Flow a start and judge it."""
        size = perturbation_size(start, self.background, self.norm, self.order)
        try:
            solution = self.run(start)
        except RiemannLNEError as error:
            raise InvalidArgumentError(f"the flow refuses the start {start!r}: {error}") from error
        sizes = [
            perturbation_size(m, self.background, self.norm, self.order) for m in solution.metrics
        ]
        # Without the start: a search has to see how fast each start decays.
        growth = max(sizes[1:], default=size) / size if size > _FLOOR else 0.0
        if not solution.success:
            reason = f"ended at t = {solution.t[-1]:.4g} of {self.until:.4g}: {solution.message}"
            excess = 1.0 + (self.until - float(solution.t[-1])) / self.until
            return StabilityReport(
                False, excess, reason, size, growth, math.inf, None, None, None, solution
            )
        limit = self._limit(solution)
        distances = np.array([m.l2_distance(limit) for m in solution.metrics])
        rate, interval = _rate(np.asarray(solution.t), distances)
        predicted = self._predicted(limit)
        if predicted is None and self.expect == "decays":
            raise InvalidArgumentError(
                f"no rate of decay is predicted for {limit!r}: it is known for constant limits, on "
                'tori and on boxes with held ends; expect "converges" there'
            )
        top = float(distances.max())
        final = float(distances[-1]) / top if top > _FLOOR else 0.0
        excess, reason = self._excess(
            solution, size, growth, final, float(distances[-1]), rate, interval, predicted
        )
        return StabilityReport(
            not excess > 0, excess, reason, size, growth, final, rate, interval, predicted, solution
        )

    def _limit(self, solution: FlowSolution) -> MetricField:
        if callable(self.limit):
            return self.limit(solution)
        name = self.limit
        if name == "auto":
            constant = np.ptp(_flat(self.background), axis=1).max() == 0
            name = "mean" if constant and self.background.grid.is_torus else "background"
        if name == "background":
            return self.background
        return solution[-1].mean() if name == "mean" else solution[-1]

    def _predicted(self, limit: MetricField) -> float | None:
        """The slowest rate of the linearised flow, where it is known."""
        held = limit.grid.is_torus or (self.solve or {}).get("boundary") in (None, "held")
        if not held or np.ptp(_flat(limit), axis=1).max() > 1e-9:
            return None
        try:
            return float(predicted_decay_rates(limit)[0].rate)
        except InvalidArgumentError:
            return None

    def _excess(
        self,
        solution: FlowSolution,
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
            return violation(self.expect, solution)
        if self.expect == "exists":
            return -1.0, f"exists until t = {self.until:.4g}"
        if self.expect == "bounded":
            # Rounding and the error of the steps, in units of the start.
            slack = 1e-6 + (1e-9 / size if size > 0 else 0.0)
            text = f"largest {self.norm} size on the way is {growth:.6g} times that at the start"
            return growth / self.growth - 1.0 - slack, f"{text}; bound {self.growth:.6g}"
        if self.expect == "converges":
            expected = (
                0.5 if predicted is None else max(math.exp(-0.5 * predicted * self.until), 1e-6)
            )
            text = f"distance to the limit at the end is {final:.4g} of the largest on the way"
            return final / min(expected, 0.5) - 1.0, f"{text}; at most {min(expected, 0.5):.4g}"
        assert predicted is not None  # see judge
        if rate is None or interval is None:
            text = f"too little is left to fit; final distance {final:.3g} of the largest"
            return (-1.0 if final < 1e-6 or last < _FLOOR else 1.0), text
        # One in a hundred for the nonlinear part that is still there.
        text = f"rate {rate:.5g} in [{interval[0]:.5g}, {interval[1]:.5g}], slowest {predicted:.5g}"
        return (0.99 * predicted - interval[1]) / predicted, text


def _flat(metric: MetricField) -> np.ndarray:
    values = to_numpy(metric.packed)
    return np.asarray(values.reshape(values.shape[0], -1))


def _rate(t: np.ndarray, d: np.ndarray) -> tuple[float | None, tuple[float, float] | None]:
    """Fit over the last seven tenths of the times, above rounding."""
    good = (t >= 0.3 * t[-1]) & (d > max(_FLOOR, 1e-10 * d.max()))
    if good.sum() < 4:
        return None, None
    fit = fit_decay_rate(t[good], d[good])
    return fit.rate, fit.confidence_interval()


def violation(property: Callable[[Any], Any], example: Any) -> tuple[float, str]:
    """How far an example violates a property, and the text for it; not positive if it holds.

    A property raises AssertionError (a CheckFailedError says by how much), or returns None or a
    boolean (False: violated), or a number (positive: violated, by that).
    """
    try:
        result = property(example)
    except AssertionError as error:
        value = getattr(error, "value", None)
        return (float(value) if value and value > 0 else 1.0), str(error) or "assertion failed"
    if isinstance(result, StabilityReport):
        return result.excess, result.reason
    if result is None or isinstance(result, (bool, np.bool_)):
        holds = result is None or bool(result)
        return (-1.0, "holds") if holds else (1.0, "the property is False")
    try:
        value = float(result)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"the property returned a {type(result).__name__}; return None, a boolean, or a number "
            "that is positive where it is violated, or raise AssertionError"
        ) from error
    if math.isnan(value):
        return math.inf, "the property is NaN"
    return value, f"the property is {value:.6g}"


def judge_stability(
    start: MetricField,
    background: MetricField,
    flow: Flow,
    *,
    until: float,
    norm: Norm = "sup",
    expect: Expectation = "converges",
    **options: Any,
) -> StabilityReport:
    """Flow one start and judge it; see ``check_stability`` for the arguments.

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
    return Experiment(background, flow, until, norm, expect, **options).judge(start)


def refined_grid(grid: Grid) -> Grid:
    """Twice as many points along closed axes, 2 N - 1 along bounded ones (the old points stay)."""
    shape = tuple(2 * s if w else 2 * s - 1 for s, w in zip(grid.shape, grid.periodic, strict=True))
    return Grid(shape, grid.lower, grid.upper, grid.periodic)


def refined_background(background: MetricField) -> MetricField:
    """The background on the finer grid: built anew from its recipe, else interpolated."""
    grid = refined_grid(background.grid)
    values = to_numpy(background.packed)
    shell = MetricField.from_packed(
        grid, like(np.ones((values.shape[0], *grid.shape)), background.packed), check=False
    )
    if np.ptp(_flat(background), axis=1).max() == 0:
        first = _flat(background)[:, 0].reshape(-1, *(1,) * background.n)
        fine = np.broadcast_to(first, (values.shape[0], *grid.shape)).copy()
    else:
        fine = resampled(values, shell)
    return MetricField.from_packed(grid, like(fine, background.packed))


def refined_start(start: MetricField, background: MetricField) -> MetricField:
    """The start on the refined background's grid, by its recipe where it has one."""
    recipe = recipe_of(start)
    if recipe is not None and "background" in recipe.arguments:
        return drawn(recipe.with_arguments(background=background))
    fine = resampled(to_numpy(start.packed), background)
    return MetricField.from_packed(background.grid, like(fine, start.packed))


def confirm(experiment: Experiment, report: StabilityReport, start: MetricField) -> str:
    """Repeat a failure on a finer grid with stricter steps; the sentence for the message.

    Raises
    ------
    UnresolvedFailureError
        If the failure goes away: it was one of resolution.
    """
    background = refined_background(experiment.background)
    solve = {"rtol": 1e-6 * experiment.scale(start), "atol": 0.0, **(experiment.solve or {})}
    if "dt" in solve:
        solve["dt"] = solve["dt"] / 4
    finer = Experiment(
        background,
        experiment.flow,
        experiment.until,
        experiment.norm,
        experiment.expect,
        experiment.limit,
        experiment.growth,
        experiment.order,
        solve,
    )
    again = finer.judge(refined_start(start, background))
    if again.holds:
        raise UnresolvedFailureError(
            f"failed on the grid {experiment.background.grid.shape} ({report.reason}), but not on "
            f"{background.grid.shape} with stricter steps ({again.reason}): the failure is one of "
            "resolution; refine the background's grid"
        )
    return f"on the grid {background.grid.shape} with stricter steps: {again.reason}"


class UnresolvedFailureError(CheckFailedError):
    """A failure that a finer grid or shorter steps remove: the resolution's, not the flow's."""


def describe_start(start: MetricField) -> str:
    """A start as code where it has a recipe."""
    return start.recipe.script if isinstance(start, DrawnMetric) else repr(start)
