"""stability_radius: the smallest perturbation with which a property fails, in a bracket."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidArgumentError
from ..flows.base import Flow
from ..grids import Grid
from ..metrics import MetricField
from ._hypothesis import hypothesis
from .kinds import Kind, applicable_kinds, find_kind
from .perturbed import perturbation_recipe
from .recipes import DrawnMetric, Recipe, drawn
from .searching import require_background
from .sizes import Norm, perturbation_size, require_bound
from .stability import Expectation, Experiment, refined_background
from .strategies_metric import as_background


@dataclass(frozen=True)
class RadiusReport:
    """A bracket of the stability radius along the directions that were tried.

    Attributes
    ----------
    holds_up_to, fails_from : float
        The property held at the one for every direction tried, and failed at the other for the
        worst; ``fails_from`` is infinite if it held as far as metrics go. In the unit of the norm.
    worst : DrawnMetric
        The start at ``fails_from`` (at ``holds_up_to`` if nothing fails), which prints as code.
    reason : str
        How it failed, or why the search ended.
    refined : (float, float) or None
        The bracket of the worst direction on a grid twice as fine.
    directions, evaluations : int
    seconds : float
    """

    holds_up_to: float
    fails_from: float
    worst: DrawnMetric
    reason: str
    refined: tuple[float, float] | None
    directions: int
    evaluations: int
    seconds: float

    @property
    def of_the_grid(self) -> bool:
        """Whether the bracket moves when the grid is refined: then it is the grid's radius."""
        if self.refined is None:
            return False
        low, high = self.refined
        return low > 1.05 * self.fails_from or high < 0.95 * self.holds_up_to

    def __str__(self) -> str:
        lines = [
            f"stability radius in [{self.holds_up_to:.4g}, {self.fails_from:.4g}] over "
            f"{self.directions} directions ({self.evaluations} flows, {self.seconds:.1f} s)",
            self.reason,
        ]
        if self.refined is not None:
            low, high = self.refined
            lines.append(f"the worst direction on a grid twice as fine: [{low:.4g}, {high:.4g}]")
        if self.of_the_grid:
            lines.append(
                "the bracket moved with the grid: this is the grid's radius, not the flow's"
            )
        return "\n".join([*lines, "", self.worst.recipe.script])


def stability_radius(
    background: MetricField | Grid | int,
    flow: Flow,
    norm: Norm = "sup",
    direction: str | Kind | Sequence[str | Kind] | Any | None = None,
    *,
    until: float,
    expect: Expectation = "converges",
    largest: float = 1.0,
    rtol: float = 0.05,
    directions: int = 12,
    seed: int = 0,
    limit: Any = "auto",
    growth: float = 1.0,
    order: Any = 4,
    solve: Mapping[str, Any] | None = None,
    refine: bool = True,
) -> RadiusReport:
    """Bracket the size at which a property of the flow first fails.

    Directions are drawn; each is tried at the smallest size that failed so far (at first
    ``largest``) and bisected if it fails there, so that the bracket is that of the worst direction
    found. It is an upper bound of the true radius: other directions may fail earlier.

    Parameters
    ----------
    background, flow, norm, until, expect, limit, growth, order, solve
        As for ``check_stability``.
    direction : str, Kind, sequence of these, strategy, or None
        Kinds of perturbations; or a strategy of starts with recipes, such as ``perturbations``; all
        kinds by default.
    largest : float
        Where to stop, in the unit of the norm.
    rtol : float
        Relative width of the bracket.
    directions : int
        How many to draw.
    refine : bool
        Whether the worst direction is bracketed again on a grid twice as fine.

    Returns
    -------
    RadiusReport

    Raises
    ------
    InvalidArgumentError
        If the background itself fails, or arguments make no sense.

    Examples
    --------
    >>> from riemann_lne import RicciDeTurckFlow
    >>> report = stability_radius(
    ...     2, RicciDeTurckFlow(), direction="one_directional", until=3.0, largest=0.2, directions=2
    ... )
    >>> report.holds_up_to, report.fails_from
    (0.2, inf)
    """
    if not (math.isfinite(largest) and largest > 0 and 0 < rtol < 1 and directions >= 1):
        raise InvalidArgumentError(
            f"largest = {largest}, rtol = {rtol}, directions = {directions}; a positive size, a "
            "relative width in (0, 1) and at least one direction are needed"
        )
    base, begun = as_background(background), time.perf_counter()
    require_bound(norm, base, largest)
    test = Experiment(base, flow, until, norm, expect, limit, growth, order, solve)
    require_background(test)
    recipes = _directions(base, norm, direction, directions, float(largest), seed)
    count = 0

    def fails(
        recipe: Recipe, size: float, experiment: Experiment = test
    ) -> tuple[bool, float, str]:
        """Whether it fails at a size, the size that was met, and why."""
        nonlocal count
        count += 1
        start = drawn(recipe.with_arguments(size=size, background=experiment.background))
        met = perturbation_size(start, experiment.background, norm, order)
        report = experiment.judge(start)
        return not report.holds, met, report.reason

    low, high, worst, reason = float(largest), math.inf, recipes[0], "no direction failed"
    reached = 0.0
    for recipe in recipes:
        failed, met, text = fails(recipe, min(low, largest))
        reached = max(reached, met)
        if not failed:
            continue
        low, high, reason = _bisected(lambda s, r=recipe: fails(r, s), met, rtol, text)
        worst = recipe
    if math.isinf(high):
        low = reached
        if reached < 0.999 * largest:
            reason += f"; metrics end at {reached:.4g} in this norm along these directions"
    start = drawn(worst.with_arguments(size=high if math.isfinite(high) else low))
    refined = None
    if refine and math.isfinite(high):
        finer = Experiment(
            refined_background(base), flow, until, norm, expect, limit, growth, order, solve
        )
        failed, met, text = fails(worst, min(2 * high, largest), finer)
        if failed:
            bracket = _bisected(lambda s: fails(worst, s, finer), met, rtol, text)
            refined = bracket[0], bracket[1]
        else:
            refined = met, math.inf
    return RadiusReport(
        low, high, start, reason, refined, len(recipes), count, time.perf_counter() - begun
    )


def _bisected(fails: Any, high: float, rtol: float, reason: str) -> tuple[float, float, str]:
    low = 0.0
    while high - low > rtol * high and high > 1e-12:
        middle = 0.5 * (low + high)
        failed, _, text = fails(middle)
        if failed:
            high, reason = middle, text
        else:
            low = middle
    return low, high, reason


def _directions(
    base: MetricField, norm: Norm, direction: Any, count: int, largest: float, seed: int
) -> list[Recipe]:
    """Recipes whose size is yet to be set."""
    if isinstance(direction, hypothesis.strategies.SearchStrategy):
        return _drawn_recipes(direction, count, seed)
    given = [direction] if isinstance(direction, (str, Kind)) else direction
    kinds = applicable_kinds(base) if given is None else [find_kind(k) for k in given]
    rng = np.random.default_rng(seed)
    result = []
    for k in range(count):
        kind = kinds[k % len(kinds)]
        parameters = {name: s.sample(rng) for name, s in kind.parameters(base).items()}
        result.append(perturbation_recipe(base, kind, largest, norm, parameters))
    return result


def _drawn_recipes(strategy: Any, count: int, seed: int) -> list[Recipe]:
    found: list[Recipe] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(example: Any) -> None:
        recipe = getattr(example, "recipe", None)
        if not isinstance(recipe, Recipe) or not {"size", "background"} <= set(recipe.arguments):
            raise InvalidArgumentError(
                f"the strategy draws {type(example).__name__} without a recipe that has a size; "
                "give riemann_lne.testing.perturbations(...) or names of kinds"
            )
        found.append(recipe)

    collect()
    return found
