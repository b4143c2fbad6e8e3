"""stability_radius: the smallest perturbation with which a property fails, in a bracket."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .. import checks
from ..checks import shown
from ..errors import InvalidArgumentError
from ..flows.base import Flow
from ..metrics import MetricField
from ._hypothesis import GENERATE, drawing, st
from .evolutions import Evolution
from .kinds import Kind, kinds_of
from .perturbed import perturbation_recipe
from .recipes import Recipe, rebuilt
from .searching import as_state, require_background
from .sizes import Norm, require_bound
from .stability import Expectation, Experiment, experiment, points_of


@dataclass(frozen=True)
class GridBracket:
    """The bracket of one direction on one grid.

    Attributes
    ----------
    shape : tuple of int
        Points along the axes; () where nothing is known of them.
    holds_up_to, fails_from : float
        Largest size that held, smallest that failed (infinite if none did).
    ended_at : float
        Time at which the flow broke off at ``fails_from``, in length^2; infinite if it did not.
    """

    shape: tuple[int, ...]
    holds_up_to: float
    fails_from: float
    ended_at: float = math.inf

    def __str__(self) -> str:
        end = f", ends at t = {self.ended_at:.3g}" if math.isfinite(self.ended_at) else ""
        return f"{self.shape}: [{self.holds_up_to:.4g}, {self.fails_from:.4g}]{end}"


@dataclass(frozen=True)
class RadiusReport:
    """A bracket of the stability radius along the directions that were tried.

    Attributes
    ----------
    holds_up_to, fails_from : float
        The property held at the one for every direction tried, and failed at the other for the
        worst; ``fails_from`` is infinite if it held as far as metrics go. In the unit of the norm.
    worst : DrawnMetric or another state with a recipe
        The start at ``fails_from`` (at ``holds_up_to`` if nothing fails), which prints as code.
    reason : str
        How it failed, or why the search ended.
    by_grid : tuple of GridBracket
        The worst direction on the background's grid and on those twice, four times, ... as fine.
    directions, evaluations : int
    seconds : float
    """

    holds_up_to: float
    fails_from: float
    worst: Any
    reason: str
    by_grid: tuple[GridBracket, ...]
    directions: int
    evaluations: int
    seconds: float

    @property
    def of_the_grid(self) -> bool:
        """Whether it is the radius of the grid, by what changes between the two finest grids.

        The brackets are apart; or the flow breaks off at a time that falls with the square of the
        spacing, as it does at jumps, which no grid resolves: a singular time would stay.
        """
        if len(self.by_grid) < 2:
            return False
        coarse, fine = self.by_grid[-2:]
        apart = (
            fine.holds_up_to > 1.02 * coarse.fails_from
            or fine.fails_from < 0.98 * coarse.holds_up_to
        )
        return apart or fine.ended_at < 0.5 * coarse.ended_at < math.inf

    def __str__(self) -> str:
        lines = [
            f"stability radius in [{self.holds_up_to:.4g}, {self.fails_from:.4g}] over "
            f"{self.directions} directions ({self.evaluations} flows, {self.seconds:.1f} s)",
            self.reason,
        ]
        if len(self.by_grid) > 1:
            lines += ["the worst direction by grid:", *(f"  {entry}" for entry in self.by_grid)]
        if self.of_the_grid:
            lines.append("it changes with the grid: this is the grid's radius, not the flow's")
        return "\n".join([*lines, "", self.worst.recipe.script])


def stability_radius(
    background: Any,
    flow: Flow | Evolution,
    norm: Norm | None = None,
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
    refine: int = 1,
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
        Kinds of perturbations; or a strategy of starts with recipes that have a ``size``, such as
        ``perturbations``, ``rotational_spheres`` or ``drawn_from``; all kinds by default. States
        that are no metrics on grids need a strategy.
    largest : float
        Where to stop, in the unit of the norm.
    rtol : float
        Relative width of the bracket.
    directions : int
        How many to draw.
    refine : int
        How often the grid is made twice as fine to bracket the worst direction again, if the
        evolution can be refined.

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
    largest = checks.number(largest, "largest", above=0)
    rtol = checks.number(rtol, "rtol", above=0, below=1)
    directions = checks.count(directions, "directions", least=1)
    seed, refine = checks.count(seed, "seed"), checks.count(refine, "refine")
    base, begun = as_state(background), time.perf_counter()
    test = experiment(base, flow, until, norm, expect, limit, growth, order, solve)
    if isinstance(base, MetricField):
        require_bound("sup" if test.norm is None else test.norm, base, largest)
    recipes = _directions(base, test.norm, direction, directions, largest, seed)
    require_background(test)
    count, grids = 0, [test]

    def attempt(recipe: Recipe, size: float) -> _Attempt:
        """The direction at a size, on the finest of the grids so far."""
        nonlocal count
        count += 1
        start = rebuilt(recipe.with_arguments(size=size))
        for coarser in grids[:-1]:
            start = coarser.refined(start)
        met, report = grids[-1].size(start), grids[-1].judge(start)
        ended = math.inf if report.solution.success else float(report.solution.t[-1])
        return _Attempt(not report.holds, met, report.reason, ended)

    low, worst, reached, first = largest, recipes[0], 0.0, _Attempt(False, math.inf)
    for recipe in recipes:
        tried = attempt(recipe, min(low, largest))
        reached = max(reached, tried.met)
        if tried.failed:
            low, first = _bisected(partial(attempt, recipe), tried, rtol)
            worst = recipe
    if first.failed and low == 0:
        raise InvalidArgumentError(
            f"the property fails for perturbations of every size, down to {first.met:.3g}, where "
            f"none is left to speak of: {first.reason}. Check the expectation, or give a longer "
            "time until"
        )
    reason = first.reason or "no direction failed"
    if not first.failed:
        low = reached
        if reached < 0.999 * largest:
            reason += f"; metrics end at {reached:.4g} in this norm along these directions"
    start = rebuilt(worst.with_arguments(size=first.met if first.failed else low))
    by_grid = [GridBracket(points_of(base), low, first.met, first.ended)]
    for _ in range(refine if first.failed else 0):
        finer = grids[-1].finer()
        if finer is None:
            break
        grids.append(finer)
        by_grid.append(_bracket(partial(attempt, worst), finer, min(2 * first.met, largest), rtol))
    return RadiusReport(
        low,
        first.met,
        start,
        reason,
        tuple(by_grid),
        len(recipes),
        count,
        time.perf_counter() - begun,
    )


@dataclass(frozen=True)
class _Attempt:
    """Whether a size failed, the size that was met, why, and when the flow broke off."""

    failed: bool
    met: float
    reason: str = ""
    ended: float = math.inf


def _bracket(
    attempt: Callable[[float], _Attempt], test: Experiment, largest: float, rtol: float
) -> GridBracket:
    """The bracket of a direction on the grid of an experiment, from the largest size down."""
    tried = attempt(largest)
    low, fails = tried.met, _Attempt(False, math.inf)
    if tried.failed:
        low, fails = _bisected(attempt, tried, rtol)
    return GridBracket(points_of(test.background), low, fails.met, fails.ended)


def _bisected(
    attempt: Callable[[float], _Attempt], high: _Attempt, rtol: float
) -> tuple[float, _Attempt]:
    """The largest size that held, and the attempt with the smallest that failed."""
    low = 0.0
    while high.met - low > rtol * high.met and high.met > 1e-12:
        middle = 0.5 * (low + high.met)
        tried = attempt(middle)
        if tried.failed:
            high = replace(tried, met=middle)
        else:
            low = middle
    return low, high


def _directions(
    base: Any, norm: Any, direction: Any, count: int, largest: float, seed: int
) -> list[Recipe]:
    """Recipes whose size is yet to be set."""
    if isinstance(direction, st.SearchStrategy):
        return _drawn_recipes(direction, base, count, seed)
    if not isinstance(base, MetricField):
        raise InvalidArgumentError(
            f"direction = {shown(direction)}, for the background {shown(base)}; give a strategy of "
            "starts with recipes that have a size, such as rotational_spheres(size)"
        )
    kinds = kinds_of(base, direction)
    rng = np.random.default_rng(seed)
    result = []
    for k in range(count):
        kind = kinds[k % len(kinds)]
        parameters = {name: s.sample(rng) for name, s in kind.spaces(base).items()}
        result.append(perturbation_recipe(base, kind, largest, norm, parameters))
    return result


def _drawn_recipes(strategy: Any, base: Any, count: int, seed: int) -> list[Recipe]:
    found: list[Recipe] = []
    on_a_grid = isinstance(base, MetricField)
    needed = {"size", "background"} if on_a_grid else {"size"}

    def collect(example: Any) -> None:
        recipe = getattr(example, "recipe", None)
        if not isinstance(recipe, Recipe) or not needed <= set(recipe.arguments):
            raise InvalidArgumentError(
                f"the strategy draws {type(example).__name__} without a recipe that has a size; "
                "give riemann_lne.testing.perturbations(...) or names of kinds, or drawn_from(...) "
                "with a range named size"
            )
        found.append(recipe.with_arguments(background=base) if on_a_grid else recipe)

    drawing(collect, strategy, count, seed, GENERATE)
    return found
