"""find_counterexample: Hypothesis first, then a local search from the best that it found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks import count, number, shown
from ..conformal import ConformalMetric
from ..errors import InvalidArgumentError
from ..metrics import MetricField
from ..symmetric import RotationalMetric
from ._hypothesis import SHRINK, TARGET, DrawsNothingError, drawing, hypothesis, outside_a_test
from .local_search import built, can_vary, vary, vector_space
from .recipes import Recipe, as_code, rebuilt, recipe_of, with_imports
from .stability import violation

_LEAST = 4
"""Examples of every alternative: the first one that Hypothesis draws is the simplest of all."""

_APART = 1_000_003
"""Between the seeds of the alternatives."""

_AGAIN = 500_000_003
"""Between the seeds of the first drawing and of a second one."""


@dataclass(frozen=True)
class Counterexample:
    """An example that violates a property.

    Attributes
    ----------
    example : object
        The smallest found.
    excess : float
        By how much, as the property measures it; positive.
    reason : str
        The property's own words.
    found_by : str
        "drawing" or "local search".
    evaluations : int
        Calls of the property.
    seconds : float
        Of the search.
    """

    example: Any
    excess: float
    reason: str
    found_by: str
    evaluations: int
    seconds: float

    @property
    def code(self) -> str:
        """Python that makes the example, to be pasted."""
        recipe = recipe_of(self.example)
        if recipe is not None:
            return recipe.script
        return with_imports(f"example = {as_code(self.example)}")

    def __str__(self) -> str:
        return (
            f"violated by {self.excess:.4g}: {self.reason}\n"
            f"(found by {self.found_by}, {self.evaluations} evaluations, {self.seconds:.1f} s)\n\n"
            f"{self.code}"
        )


class _Watch:
    """Calls the property, counts, and keeps the best example of every kind."""

    def __init__(self, property: Callable[[Any], Any]) -> None:
        self.property = property
        self.drawing = False
        self.evaluations = 0
        self.best: dict[Any, tuple[float, Any]] = {}

    def __call__(self, example: Any) -> tuple[float, str]:
        self.evaluations += 1
        excess, reason = self.ask(example)
        key = _kind_of(example)
        if key not in self.best or excess > self.best[key][0]:
            self.best[key] = excess, example
        return excess, reason

    def ask(self, example: Any) -> tuple[float, str]:
        """The answer, not counted."""
        if self.drawing:
            return violation(self.property, example)
        try:
            with outside_a_test():
                return violation(self.property, example)
        except hypothesis.errors.UnsatisfiedAssumption:
            return -math.inf, "the property's assumptions leave this example out"

    def leaders(self) -> list[tuple[float, Any]]:
        """The best example of each kind with its excess, the best first."""
        return sorted(self.best.values(), key=lambda pair: -pair[0])


def _kind_of(example: Any) -> Any:
    recipe = recipe_of(example)
    kind = None if recipe is None else recipe.arguments.get("kind", recipe.function)
    return getattr(kind, "name", kind)


def find_counterexample(
    property: Callable[[Any], Any],
    strategy: Any,
    *,
    at_least: float = 0.0,
    max_examples: int = 100,
    local: int = 600,
    shrink: int = 60,
    seed: int = 0,
) -> Counterexample | None:
    """Search for an example that violates a property, and shrink it.

    Hypothesis draws ``max_examples`` examples, guided by the property's number where it returns
    one: an equal share from every alternative of the strategy (every kind of perturbation; both
    sides of ``a | b``) where that is at least four. If none violates it, the best ones are varied
    by a local search without gradients of at most ``local`` evaluations: the numbers of their
    recipes, within their ranges, at random and then by Nelder and Mead's method. Examples of every
    kind are varied apart at first, and after each of a few rounds the less promising half of the
    kinds is left out. Of examples without a recipe nobody but the strategy knows which others there
    are: ``local`` more of them are drawn, again guided by the number. The find is shrunk by
    Hypothesis, or by setting numbers to 0 or to fewer digits while it stays one.

    Parameters
    ----------
    property : callable
        Takes an example. It raises AssertionError or returns False where it is violated; or returns
        a number, positive where it is violated and larger where it is nearer to that.
    strategy : Hypothesis strategy
        For instance ``riemann_lne.testing.perturbations(...)``.
    at_least : float
        Only violations by more than this count.
    max_examples, local, shrink : int
        Evaluations to spend on drawing, on the local search, and on making the find smaller.
    seed : int
        The search is the same for the same seed in the same program: Hypothesis also draws
        constants that it finds in the modules of yours that are imported.

    Returns
    -------
    Counterexample or None

    Raises
    ------
    InvalidArgumentError
        If ``strategy`` is none or draws nothing; if the property returns something else, breaks
        off, or is violated by the background itself of which the strategy draws perturbations.
        An example that ``hypothesis.assume`` leaves out counts as one that does not violate it.

    Examples
    --------
    >>> from riemann_lne import LNEMetric
    >>> from riemann_lne.testing import weight_tensors
    >>> definite = lambda x: LNEMetric(1.0).is_positive_definite(x.ravel())
    >>> found = find_counterexample(definite, weight_tensors((3,)), max_examples=50)
    >>> bool(np.sum(np.tanh(found.example) ** 2) >= 1)
    True
    """
    if not isinstance(strategy, hypothesis.strategies.SearchStrategy):
        raise InvalidArgumentError(
            f"strategy = {shown(strategy)}; give a strategy, such as "
            "riemann_lne.testing.perturbations()"
        )
    at_least = number(at_least, "at_least")
    max_examples, seed = count(max_examples, "max_examples", least=1), count(seed, "seed")
    local, shrink = count(local, "local"), count(shrink, "shrink")
    begun, watch = time.perf_counter(), _Watch(property)
    found, how = _by_drawing(watch, strategy, at_least, max_examples, shrink, seed), "drawing"
    if found is None and local > 0:
        leaders = watch.leaders()
        if leaders and all(can_vary(example) for _, example in leaders):
            found = vary(watch, leaders, at_least, local, np.random.default_rng(seed))
            found = None if found is None else _shrunk(watch, found, at_least, shrink)
            how = "local search"
        else:
            found = _by_drawing(watch, strategy, at_least, local, shrink, seed + _AGAIN)
    if found is None:
        return None
    _require_background(watch, found, at_least)
    excess, reason = watch.ask(found)
    return Counterexample(
        found, excess, reason, how, watch.evaluations, time.perf_counter() - begun
    )


def _require_background(watch: _Watch, found: Any, at_least: float) -> None:
    """Raise if the property is violated where nothing is perturbed: the find would say nothing."""
    recipe = recipe_of(found)
    # Of a recipe with a size that may be 0: that is the background.
    if recipe is None or "size" not in recipe.arguments or recipe.ranges.get("size", (0,))[0] != 0:
        return
    # With its recipe: the property may use that of the examples it is given.
    excess, reason = watch(rebuilt(recipe.with_arguments(size=0.0)))
    if excess > at_least:
        raise InvalidArgumentError(
            f"the property is violated by the background itself, without any perturbation: "
            f"{reason}; a search would find nothing else. Check the property"
        )


def _by_drawing(
    watch: _Watch, strategy: Any, at_least: float, max_examples: int, shrink: int, seed: int
) -> Any | None:
    nothing: list[DrawsNothingError] = []
    for k, part in enumerate(parts := _parts(strategy, max_examples)):
        share = max_examples // len(parts) + (k < max_examples % len(parts))
        options = (at_least, share, seed + _APART * k)
        try:
            found = _draw(watch, part, *options, shrinks=False)
        except DrawsNothingError as error:
            nothing.append(error)  # another alternative may draw
            continue
        if found is None:
            continue
        if can_vary(found):
            # Each evaluation may be a whole flow: shrink by the recipe, within the budget.
            return _shrunk(watch, found, at_least, shrink)
        return _draw(watch, part, *options, shrinks=True)
    if len(nothing) == len(parts):
        raise nothing[0]
    return None


def _parts(strategy: Any, max_examples: int) -> list[Any]:
    """The alternatives of a strategy, to be drawn from apart.

    Targeting keeps to the alternative that leads early: of twelve kinds, a hundred examples of the
    whole may leave out four, and a local search cannot vary what was never drawn.
    """
    parts = list(strategy.branches)
    return parts if len(parts) * _LEAST <= max_examples else [strategy]


def _draw(
    watch: _Watch, strategy: Any, at_least: float, max_examples: int, seed: int, shrinks: bool
) -> Any | None:
    """An example that violates the property: the first, or the smallest that Hypothesis reaches."""
    smallest: list[Any] = []

    class ViolatedError(Exception):
        of_the_search = True

    def attempt(example: Any) -> None:
        excess, _ = watch(example)
        if math.isfinite(excess):
            hypothesis.target(excess, label="excess")
        if excess > at_least:
            smallest[:] = [example]
            raise ViolatedError

    watch.drawing = True
    try:
        drawing(attempt, strategy, max_examples, seed, SHRINK if shrinks else TARGET)
    except ViolatedError:
        return smallest[0]
    except hypothesis.errors.Flaky as error:
        raise InvalidArgumentError(
            f"the property {shown(watch.property)} gives different answers for the same example: "
            "make it depend on the example alone (no random numbers, no state)"
        ) from error
    finally:
        watch.drawing = False
    return None


def _shrunk(watch: _Watch, example: Any, at_least: float, budget: int) -> Any:
    """Set numbers to 0, then to few digits, as long as the example violates the property."""
    space = vector_space(example)
    if space is None:
        return example
    z, bounds, build = space
    best, until = example, watch.evaluations + budget
    for simplify in (lambda v: 0.0, lambda v: v / 4, lambda v: round(v, 1), lambda v: round(v, 2)):
        for k in range(len(z)):
            trial = z.copy()
            trial[k] = min(max(simplify(float(z[k])), bounds[k][0]), bounds[k][1])
            if trial[k] == z[k] or watch.evaluations >= until:
                continue
            candidate = built(build, trial)
            if candidate is not None and watch(candidate)[0] > at_least:
                z, best = trial, candidate
    return best


def is_like(example: Any, background: Any, strategy: Any) -> Any:
    """The example, if it is a state like the background.

    Raises
    ------
    InvalidArgumentError
        If not; the message names the strategy.
    """
    kind = next((k for k in _STRATEGIES if isinstance(background, k)), type(background))
    if not isinstance(example, kind):
        raise InvalidArgumentError(
            f"the strategy {shown(strategy)} draws a {type(example).__name__}; give one of a "
            f"{kind.__name__} like the background, such as {_STRATEGIES.get(kind, 'drawn_from()')}"
        )
    return example


_STRATEGIES: dict[type, str] = {
    MetricField: "riemann_lne.testing.perturbations(background)",
    RotationalMetric: "riemann_lne.testing.rotational_spheres(size)",
    ConformalMetric: "riemann_lne.testing.conformal_metrics(surface, size)",
}


__all__ = ["Counterexample", "Recipe", "find_counterexample"]
