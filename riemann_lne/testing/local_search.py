"""Local search: examples varied kind by kind, then a simplex from the best of all."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize

from ..errors import RiemannLNEError
from ._hypothesis import hypothesis, outside_a_test
from .recipes import Recipe, rebuilt, recipe_of

_AFRESH = 6
"""Examples of every kind that are drawn afresh before any is varied: few draws say little."""

_ELITE = 4
"""Examples of a kind that have children; the others are forgotten."""


_FINALISTS = 3
"""Kinds that stay to the end."""


class Watch(Protocol):
    """A property that counts its calls."""

    evaluations: int

    def __call__(self, example: Any) -> tuple[float, str]:
        """By how much an example violates the property, and the text for it."""


class _Island:
    """The best examples of one kind, and the record of the best along the evaluations."""

    def __init__(self, excess: float, example: Any) -> None:
        self.pool = [(excess, example)]
        self.record = [excess]

    def add(self, excess: float, example: Any) -> None:
        self.pool.append((excess, example))
        self.pool.sort(key=lambda pair: -pair[0])
        del self.pool[_ELITE:]
        self.record.append(self.pool[0][0])

    @property
    def promise(self) -> float:
        """The best, and once more what the later half of the evaluations has gained.

        A kind that leads early may be at its end; another that still rises need not be.
        """
        best = self.record[-1]
        earlier = self.record[len(self.record) // 2]
        return best + (best - earlier) if math.isfinite(earlier) else best


def vary(
    watch: Watch,
    leaders: list[tuple[float, Any]],
    at_least: float,
    budget: int,
    rng: np.random.Generator,
) -> Any | None:
    """Recipes varied at random, kinds apart; the less promising half is left out until three stay.

    Properties are often a maximum over the grid: they have kinks, where a simplex gets stuck. The
    kind that leads early need not win: each round of a fifth of the budget leaves out half of the
    kinds, the last three share what is left, and the last fifth is a simplex from the best.
    """
    islands = [_Island(*pair) for pair in leaders]
    left = 0.8 * budget
    while True:
        last = len(islands) <= _FINALISTS or left < 0.4 * budget
        share = left if last else 0.2 * budget
        left -= share
        each = max(4, int(share / len(islands)))
        for island in islands:
            found = _varied_on(island, watch, at_least, each, rng)
            if found is not None:
                return found
        if last:
            best = max(islands, key=lambda island: island.record[-1])
            return climb(watch, best.pool[0][1], at_least, budget // 5)
        islands.sort(key=lambda island: -island.promise)
        islands = islands[: max(_FINALISTS, len(islands) // 2)]


def _varied_on(
    island: _Island, watch: Watch, at_least: float, count: int, rng: np.random.Generator
) -> Any | None:
    """Children of one kind; the first that violates the property, or None."""
    for _ in range(count):
        if len(island.record) <= min(_AFRESH, count // 3):
            child = _child(recipe_of(island.pool[0][1]), rng, _afresh)
        else:
            rivals = [island.pool[int(rng.integers(len(island.pool)))] for _ in range(2)]
            parent = max(rivals, key=lambda pair: pair[0])[1]
            child = _child(recipe_of(parent), rng, _varied)
        if child is None:
            continue
        excess, _ = watch(child)
        if excess > at_least:
            return child
        island.add(excess, child)
    return None


def _child(
    recipe: Recipe | None,
    rng: np.random.Generator,
    change: Callable[[Recipe, np.random.Generator], Recipe],
) -> Any | None:
    """The metric of a changed recipe; None where these numbers make none."""
    assert recipe is not None
    return built(rebuilt, change(recipe, rng))


def _afresh(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    """Every number drawn anew from its range."""
    for place in recipe.places():
        low, high = recipe.ranges[str(place[0])]
        recipe = recipe.with_number(place, float(rng.uniform(low, high)))
    for place in recipe.places(int):
        low, high = recipe.ranges[str(place[0])]
        recipe = recipe.with_number(place, int(rng.integers(int(low), int(high), endpoint=True)))
    return recipe


def _varied(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    """Some numbers moved, some set to an end of their range or to zero."""
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
    if whole and (not places or rng.random() < 0.25):
        place = whole[int(rng.integers(len(whole)))]
        low, high = recipe.ranges[str(place[0])]
        value = int(rng.integers(int(low), int(high), endpoint=True))
        recipe = recipe.with_number(place, value)
    return recipe


def climb(watch: Watch, example: Any, at_least: float, budget: int) -> Any | None:
    """Nelder and Mead from one example, until it violates the property or the budget is spent."""
    space = vector_space(example)
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
        candidate = built(build, np.clip(z, *np.array(bounds).T))
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


def can_vary(example: Any) -> bool:
    """Whether an example has a recipe with numbers that may be varied."""
    recipe = recipe_of(example)
    return recipe is not None and bool(recipe.places() or recipe.places(int))


def vector_space(example: Any) -> Any:
    """The floats of an example's recipe that may be varied: start, bounds, and the way back."""
    recipe = recipe_of(example)
    if recipe is None or not recipe.places():
        return None
    return recipe.vector(), recipe.bounds(), lambda z: rebuilt(recipe.with_vector(z))


def built(build: Callable[[Any], Any], numbers: Any) -> Any | None:
    """The example, or None where these numbers make none or ``assume`` leaves it out."""
    try:
        with outside_a_test():
            return build(numbers)
    except (RiemannLNEError, hypothesis.errors.UnsatisfiedAssumption):
        return None
