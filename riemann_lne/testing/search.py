"""find_counterexample: Hypothesis first, then a local search from the best that it found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ..errors import InvalidArgumentError, RiemannLNEError
from ..metrics import MetricField
from ._hypothesis import hypothesis
from .recipes import Recipe, as_code, drawn, recipe_of
from .stability import violation


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
        return f"import numpy\nimport riemann_lne\n\nexample = {as_code(self.example)}"

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
        self.evaluations = 0
        self.best: dict[Any, tuple[float, Any]] = {}

    def __call__(self, example: Any) -> tuple[float, str]:
        self.evaluations += 1
        excess, reason = violation(self.property, example)
        key = _kind_of(example)
        if key not in self.best or excess > self.best[key][0]:
            self.best[key] = excess, example
        return excess, reason

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
    one. If none violates it, the best ones are varied by a local search without gradients of at
    most ``local`` evaluations: the numbers of a recipe at random and then by Nelder and Mead's
    method, or the entries of an array by the latter alone. The find is shrunk by Hypothesis, or
    by setting numbers to 0 or to fewer digits while it stays one.

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
        The search is the same for the same seed.

    Returns
    -------
    Counterexample or None

    Raises
    ------
    InvalidArgumentError
        If ``strategy`` is none or draws nothing, or the property returns something else.

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
            f"strategy = {strategy!r}; give a strategy, such as riemann_lne.testing.perturbations()"
        )
    begun, watch = time.perf_counter(), _Watch(property)
    found = _by_drawing(watch, strategy, at_least, max_examples, shrink, seed)
    how = "drawing"
    if found is None and local > 0:
        found, how = _by_local_search(watch, at_least, local, shrink, seed), "local search"
    if found is None:
        return None
    excess, reason = violation(property, found)
    return Counterexample(
        found, excess, reason, how, watch.evaluations, time.perf_counter() - begun
    )


def _by_drawing(
    watch: _Watch, strategy: Any, at_least: float, max_examples: int, shrink: int, seed: int
) -> Any | None:
    found = _draw(watch, strategy, at_least, max_examples, seed, shrinks=False)
    if found is None:
        return None
    if recipe_of(found) is not None:
        # Each evaluation may be a whole flow: shrink by the recipe, within the budget.
        return _shrunk(watch, found, at_least, shrink)
    return _draw(watch, strategy, at_least, max_examples, seed, shrinks=True)


def _draw(
    watch: _Watch, strategy: Any, at_least: float, max_examples: int, seed: int, shrinks: bool
) -> Any | None:
    """An example that violates the property: the first, or the smallest that Hypothesis reaches."""
    smallest: list[Any] = []
    phases = [hypothesis.Phase.generate, hypothesis.Phase.target]

    class ViolatedError(Exception):
        pass

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=[*phases, hypothesis.Phase.shrink] if shrinks else phases,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        print_blob=False,
    )
    @hypothesis.given(strategy)
    def attempt(example: Any) -> None:
        excess, _ = watch(example)
        if math.isfinite(excess):
            hypothesis.target(excess, label="excess")
        if excess > at_least:
            smallest[:] = [example]
            raise ViolatedError

    try:
        attempt()
    except ViolatedError:
        return smallest[0]
    except hypothesis.errors.Flaky as error:
        raise InvalidArgumentError(
            "the property gives different answers for the same example: make it depend on the "
            "example alone (no random numbers, no state)"
        ) from error
    except hypothesis.errors.HypothesisException as error:
        raise InvalidArgumentError(
            f"the strategy {strategy!r} draws no example: its conditions cannot be met ({error})"
        ) from error
    return None


def _by_local_search(
    watch: _Watch, at_least: float, budget: int, shrink: int, seed: int
) -> Any | None:
    """Vary the best examples; the shrunk find, or None."""
    leaders = watch.leaders()
    if all(recipe_of(example) is not None for _, example in leaders):
        found = _evolve(watch, leaders, at_least, budget, np.random.default_rng(seed))
    else:
        found = _climb(watch, leaders[0][1], at_least, budget)
    return None if found is None else _shrunk(watch, found, at_least, shrink)


def _evolve(
    watch: _Watch,
    leaders: list[tuple[float, Any]],
    at_least: float,
    budget: int,
    rng: np.random.Generator,
) -> Any | None:
    """Recipes varied at random, kinds apart; the better half of the kinds goes on each time.

    Properties are often a maximum over the grid: they have kinks, where a simplex gets stuck, and
    the kind that leads early need not win. The last fifth of the budget is a simplex from the best.
    """
    islands = [[pair] for pair in leaders]
    rounds = max(1, math.ceil(math.log2(len(islands))))
    for _ in range(rounds):
        each = max(4, int(0.8 * budget / (rounds * len(islands))))
        for pool in islands:
            for _ in range(each):
                rivals = [pool[int(rng.integers(len(pool)))] for _ in range(2)]
                child = _varied(recipe_of(max(rivals, key=lambda pair: pair[0])[1]), rng)
                if child is None:
                    continue
                excess, _ = watch(child)
                if excess > at_least:
                    return child
                pool.append((excess, child))
                pool.sort(key=lambda pair: -pair[0])
                del pool[4:]
        islands.sort(key=lambda pool: -pool[0][0])
        islands = islands[: max(1, len(islands) // 2)]
    return _climb(watch, islands[0][0][1], at_least, budget // 5)


def _varied(recipe: Recipe | None, rng: np.random.Generator) -> Any | None:
    """A child: some numbers moved, some set to an end of their range or to zero."""
    assert recipe is not None
    places = recipe.places()
    count = min(len(places), int(rng.geometric(0.5)))  # most often one: examples stay sparse
    for k in rng.permutation(len(places))[:count]:
        place = places[k]
        low, high = recipe.ranges[str(place[0])]
        if rng.random() < 0.7:
            step = 10.0 ** -rng.uniform(0.3, 2.0) * (high - low) * float(rng.normal())
            value = recipe.number(place) + step
        else:
            value = float(rng.choice([low, high] + ([0.0, 0.0] if low <= 0 <= high else [])))
        recipe = recipe.with_number(place, float(np.clip(value, low, high)))
    whole = recipe.places(int)
    if whole and rng.random() < 0.25:
        place = whole[int(rng.integers(len(whole)))]
        low, high = recipe.ranges[str(place[0])]
        value = int(rng.integers(int(low), int(high), endpoint=True))
        recipe = recipe.with_number(place, value)
    try:
        return drawn(recipe)
    except RiemannLNEError:
        return None


def _climb(watch: _Watch, example: Any, at_least: float, budget: int) -> Any | None:
    """Nelder and Mead from one example, until it violates the property or the budget is spent."""
    space = _vector_space(example)
    if space is None:
        return None
    start, bounds, build = space
    found: list[Any] = []
    until = watch.evaluations + budget

    class EnoughError(Exception):
        pass

    def objective(z: np.ndarray) -> float:
        if watch.evaluations >= until:
            raise EnoughError
        candidate = _built(build, np.clip(z, *np.array(bounds).T))
        if candidate is None:
            return 1e6
        excess, _ = watch(candidate)
        if excess > at_least:
            found.append(candidate)
            raise EnoughError
        return -excess

    spread = np.array([0.1 * (high - low) for low, high in bounds])
    middle = np.array([0.5 * (high + low) for low, high in bounds])
    simplex = np.vstack([start, start + np.diag(np.where(start > middle, -spread, spread))])
    with suppress(EnoughError):
        minimize(
            objective,
            start,
            method="Nelder-Mead",
            bounds=bounds,
            options={"initial_simplex": simplex, "adaptive": True, "maxfev": budget},
        )
    return found[0] if found else None


def _vector_space(example: Any) -> Any:
    """Numbers of an example that may be varied: start, bounds, and the way back."""
    recipe = recipe_of(example)
    if recipe is not None and recipe.places():
        return (
            recipe.vector(),
            recipe.bounds(),
            lambda z: drawn(recipe.with_vector(z)),
        )
    if isinstance(example, np.ndarray) and example.dtype.kind == "f" and 0 < example.size <= 200:
        reach = 2 * max(float(np.abs(example).max()), 1.0)
        shape, kind = example.shape, example.dtype
        return (
            example.ravel().astype(float),
            [(-reach, reach)] * example.size,
            lambda z: z.reshape(shape).astype(kind),
        )
    return None


def _built(build: Callable[[np.ndarray], Any], z: np.ndarray) -> Any | None:
    """The example, or None where these numbers make none."""
    try:
        return build(z)
    except RiemannLNEError:
        return None


def _shrunk(watch: _Watch, example: Any, at_least: float, budget: int) -> Any:
    """Set numbers to 0, then to few digits, as long as the example violates the property."""
    space = _vector_space(example)
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
            candidate = _built(build, trial)
            if candidate is not None and watch(candidate)[0] > at_least:
                z, best = trial, candidate
    return best


def is_metric(example: Any, strategy: Any) -> MetricField:
    """The example, if it is a metric.

    Raises
    ------
    InvalidArgumentError
        If not; the message names the strategy.
    """
    if not isinstance(example, MetricField):
        raise InvalidArgumentError(
            f"the strategy {strategy!r} draws a {type(example).__name__}; give one that draws "
            "metrics, such as riemann_lne.testing.perturbations(background)"
        )
    return example


__all__ = ["Counterexample", "Recipe", "find_counterexample"]
