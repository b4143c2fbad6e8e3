"""check_stability: perturbations drawn, flowed and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks import count, number, shown
from ..errors import CheckFailedError, InvalidArgumentError
from ..flows.base import Flow
from ..grids import Grid
from ..metrics import MetricField
from .evolutions import Evolution
from .findings import is_number
from .kinds import Kind
from .search import Counterexample, find_counterexample, is_like
from .sizes import Norm
from .stability import Expectation, Experiment, StabilityReport, confirm, experiment
from .strategies_metric import as_background, perturbations


@dataclass(frozen=True)
class StabilityResult:
    """Result of a search that found no unstable start; see ``check_stability``.

    Attributes
    ----------
    worst : StabilityReport
        Of the start that came nearest to missing the expectation.
    example : MetricField, RotationalMetric, ...
        That start.
    evaluations : int
        Flows that were run.
    """

    worst: StabilityReport
    example: Any
    evaluations: int

    def __str__(self) -> str:
        return f"held for {self.evaluations} starts; nearest to failing: {self.worst.reason}"


def check_stability(
    background: Any,
    flow: Flow | Evolution,
    perturbed: Any = 0.1,
    *,
    until: float,
    norm: Norm | None = None,
    expect: Expectation = "converges",
    kinds: Sequence[str | Kind] | None = None,
    limit: Any = "auto",
    growth: float = 1.0,
    order: Any = 4,
    solve: Mapping[str, Any] | None = None,
    draws: int = 50,
    local: int = 0,
    seed: int = 0,
    refine: bool = True,
) -> StabilityResult:
    """Draw perturbations of a background, flow them, and judge each.

    Expectations. "exists": the flow reaches ``until``. "bounded": the size of g(t) - gbar stays
    below ``growth`` times that at the start. "converges": the L2 distance to the flow's own limit
    falls to half of its largest value, or below exp(-rate until / 2) where the linearised flow
    predicts a rate. "decays": the fitted rate over the second half reaches 0.99 of the slowest
    predicted one within its 95 % interval. A function of the solution: see
    ``find_counterexample``.

    Before a failure is reported it is repeated on a grid twice as fine with stricter steps: one
    that goes away raises an error of its own, as it is the resolution's.

    Parameters
    ----------
    background : MetricField, Grid or int; RotationalMetric; or any state
        gbar; see ``perturbations``.
    flow : Flow or Evolution
        A flow of metrics on grids; ``RotationalEvolution()`` (or ``RicciFlow()``,
        ``NormalizedRicciFlow()``) for a RotationalMetric; for other states an object with the
        methods of ``Evolution``.
    perturbed : float or strategy of states
        Largest size of the perturbations, or a strategy of starts. States that are no metrics on
        grids need a strategy, such as ``rotational_spheres`` or ``drawn_from``.
    until : float
        End of the flow, in length^2.
    norm : str, tuple or callable
        See ``perturbation_size``; "sup" by default. For states that are no metrics on grids a
        function (state, background) -> float, by default the evolution's own distance.
    expect : str or callable
        As above.
    kinds : sequence of str or Kind, optional
        Of perturbations.
    limit : {"auto", "mean", "background", "last"} or callable
        The limit to which distances are taken: the mean of the last metric ("auto": on tori with a
        constant background; the round sphere of the same volume for a RotationalMetric), the
        background, the last metric, or a function of the solution.
    growth : float
        For "bounded".
    order, solve
        Order of the differences; further arguments of ``solve_flow``; for metrics on grids alone.
    draws, local : int
        Starts to draw; further ones for a local search if none of them fails.
    seed : int
    refine : bool
        Whether failures are repeated. Without it a failure may be the integrator's, which is what
        a test of steps beyond their limit wants.

    Returns
    -------
    StabilityResult
        If no start fails.

    Raises
    ------
    CheckFailedError
        With the smallest counterexample as code.
    InvalidArgumentError
        If the background itself fails, or arguments make no sense.

    Examples
    --------
    >>> from riemann_lne import RicciDeTurckFlow
    >>> result = check_stability(2, RicciDeTurckFlow(), 0.1, until=4.0, draws=5)
    >>> result.worst.holds
    True
    """
    count(draws, "draws", least=1)
    base = as_state(background)
    test = experiment(base, flow, until, norm, expect, limit, growth, order, solve)
    require_background(test)
    strategy = strategy_of_starts(base, perturbed, test.norm, kinds)
    reports: list[tuple[StabilityReport, Any]] = []

    def judged(start: Any) -> StabilityReport:
        report = test.judge(is_like(start, base, strategy))
        reports.append((report, start))
        return report

    found = find_counterexample(judged, strategy, max_examples=draws, local=local, seed=seed)
    if found is None:
        worst, example = max(reports, key=lambda pair: pair[0].excess)
        return StabilityResult(worst, example, len(reports))
    raise failure(test, found, refine)


def as_state(background: Any) -> Any:
    """A background as a state: grids and dimensions stand for flat metrics."""
    whole = is_number(background) and not isinstance(background, (float, np.floating))
    return as_background(background) if isinstance(background, Grid) or whole else background


def strategy_of_starts(base: Any, perturbed: Any, norm: Any, kinds: Any) -> Any:
    """The strategy as given, or that of perturbations of a size.

    Raises
    ------
    InvalidArgumentError
        If a size or kinds are given for states of which no perturbations are known.
    """
    sized = is_number(perturbed)
    if isinstance(base, MetricField):
        return (
            perturbations(base, number(perturbed, "perturbed"), norm, kinds) if sized else perturbed
        )
    if sized or kinds is not None:
        raise InvalidArgumentError(
            f"perturbed = {shown(perturbed)}, kinds = {shown(kinds)}, for the background "
            f"{shown(base)}; give a strategy of starts: rotational_spheres(size, points=...) for "
            "spheres, drawn_from(function, ...) for states of a class of yours"
        )
    return perturbed


def require_background(test: Experiment) -> None:
    """Raise InvalidArgumentError if the expectation fails where nothing is perturbed."""
    report = test.judge(test.background)
    if not report.holds:
        raise InvalidArgumentError(
            f"the background itself fails, without any perturbation: {report.reason}; a search "
            "would find nothing else. Check the flow, its boundary and the expectation"
        )


def failure(test: Experiment, found: Counterexample, refine: bool) -> CheckFailedError:
    """The error for a counterexample, after it has been repeated on a finer grid."""
    again = ""
    if refine:
        again = "\nrepeated " + confirm(test, test.judge(found.example), found.example)
    return CheckFailedError(f"{found}{again}", found.excess, found)
