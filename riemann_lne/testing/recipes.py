"""Examples that know how they were made: they print as code, and their numbers can be varied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..errors import InvalidArgumentError
from ..grids import Grid
from ..metrics import MetricField
from ..symmetric import RotationalMetric

Place = tuple[str | int, ...]
"""Where a number stands among the arguments of a recipe: a name, then positions in tuples."""


@dataclass(frozen=True)
class Recipe:
    """A function with the arguments that make an example.

    Attributes
    ----------
    function : callable
        A function of ``riemann_lne.testing``, or one of the user's.
    arguments : dict
        Keyword arguments: numbers, text, tuples of them, grids and metrics.
    ranges : dict
        For each name whose numbers may be varied by a search: (smallest, largest). Floats of a
        range of floats, whole numbers of a range of whole numbers.

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> Recipe(flat_metric, {"grid": Grid.torus((4, 4), 1.0)}).build()
    MetricField(2-D torus (4, 4), float64)
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def build(self) -> Any:
        """The example."""
        return self.function(**self.arguments)

    @property
    def code(self) -> str:
        """One expression that makes the example, after the imports of ``script``."""
        given = ", ".join(f"{name}={as_code(value)}" for name, value in self.arguments.items())
        return f"{_name_of(self.function)}({given})"

    @property
    def script(self) -> str:
        """Lines of Python that make the example, to be pasted."""
        modules = ["riemann_lne", "riemann_lne.testing", *_other_package(self.function)]
        imports = "\n".join(f"import {name}" for name in modules)
        return f"{imports}\n\nexample = {self.code}"

    def places(self, kind: type = float) -> list[Place]:
        """Places of the floats (or whole numbers) that may be varied, in a fixed order."""
        return [
            (name, *place)
            for name in self.ranges
            for place in _numbers_in(self.arguments[name], kind)
        ]

    def vector(self) -> np.ndarray:
        """The numbers at ``places``."""
        return np.array([self.number(place) for place in self.places()], dtype=float)

    def number(self, place: Place) -> float:
        """The number at a place."""
        return _at(self.arguments, place)

    def bounds(self) -> list[tuple[float, float]]:
        """Smallest and largest value at each of the ``places``."""
        return [self.ranges[str(place[0])] for place in self.places()]

    def with_vector(self, values: np.ndarray) -> Recipe:
        """The recipe with other floats at ``places``."""
        result = self
        for place, value in zip(self.places(), values, strict=True):
            result = result.with_number(place, float(value))
        return result

    def with_number(self, place: Place, value: float) -> Recipe:
        """The recipe with another number at a place."""
        name = str(place[0])
        return self.with_arguments(**{name: _put(self.arguments[name], place[1:], value)})

    def with_arguments(self, **changed: Any) -> Recipe:
        """The recipe with some of its arguments replaced."""
        return replace(self, arguments={**self.arguments, **changed})


class DrawnMetric(MetricField):
    """A metric with the recipe that made it; it prints as code."""

    recipe: Recipe

    def __repr__(self) -> str:
        return self.recipe.code


class DrawnRotationalMetric(RotationalMetric):
    """A rotationally symmetric metric with the recipe that made it; it prints as code."""

    recipe: Recipe

    def __repr__(self) -> str:
        return self.recipe.code


def rebuilt(recipe: Recipe) -> Any:
    """Build the example of a recipe, of whichever kind, and attach the recipe.

    Raises
    ------
    InvalidArgumentError
        If the recipe makes something that carries no attributes, such as a number.
    """
    example = recipe.build()
    if isinstance(example, RotationalMetric):
        return _rotational(example, recipe)
    if isinstance(example, MetricField):
        return _field(example, recipe)
    try:
        example.recipe = recipe
    except AttributeError as error:
        raise InvalidArgumentError(
            f"{recipe.code} makes a {type(example).__name__}, which cannot carry its recipe; give "
            "a function that returns an object of a class without __slots__ or frozen fields"
        ) from error
    return example


def drawn(recipe: Recipe) -> DrawnMetric:
    """Build the metric field of a recipe and attach the recipe.

    Raises
    ------
    InvalidArgumentError
        If the recipe makes no metric field.
    """
    return _field(recipe.build(), recipe)


def drawn_rotational(recipe: Recipe) -> DrawnRotationalMetric:
    """Build the rotationally symmetric metric of a recipe and attach the recipe."""
    return _rotational(recipe.build(), recipe)


def _rotational(metric: RotationalMetric, recipe: Recipe) -> DrawnRotationalMetric:
    result = DrawnRotationalMetric.__new__(DrawnRotationalMetric)
    result._space, result._n, result._state = metric.operators, metric.n, metric.state
    result.recipe = recipe
    return result


def _field(metric: Any, recipe: Recipe) -> DrawnMetric:
    if not isinstance(metric, MetricField):
        raise InvalidArgumentError(
            f"{recipe.code} makes a {type(metric).__name__}; a MetricField is needed"
        )
    result = DrawnMetric.__new__(DrawnMetric)
    result._grid, result._packed = metric.grid, metric.packed
    result.recipe = recipe
    return result


def recipe_of(example: Any) -> Recipe | None:
    """The recipe of an example, if it has one."""
    found = getattr(example, "recipe", None)
    return found if isinstance(found, Recipe) else None


def as_code(value: Any) -> str:
    """An expression for a value, with ``riemann_lne`` and NumPy (as ``numpy``) imported."""
    if isinstance(value, Recipe):
        return value.code
    recipe = recipe_of(value)
    if recipe is not None:
        return recipe.code
    if isinstance(value, Grid):
        return f"riemann_lne.{value!r}"
    if isinstance(value, MetricField):
        return _metric_as_code(value)
    if isinstance(value, tuple):
        inner = ", ".join(as_code(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, np.ndarray):
        text = np.array2string(value, separator=", ", threshold=value.size + 1, floatmode="unique")
        return f"numpy.array({' '.join(text.split())})"
    if isinstance(value, np.generic):
        return repr(value.item())
    return repr(value)


def _metric_as_code(metric: MetricField) -> str:
    """A constant metric by its numbers; of others, the text only says which it is."""
    first = (slice(None),) + (0,) * metric.n
    values = to_numpy(metric.packed)
    if not np.all(values == values[first].reshape(-1, *(1,) * metric.n)):
        return f"<{metric!r}, as given to the search>"
    rows = to_numpy(metric.components)[(slice(None), *first)]
    if np.array_equal(rows, np.eye(metric.n)):
        return f"riemann_lne.flat_metric({as_code(metric.grid)})"
    return (
        f"riemann_lne.MetricField.from_function({as_code(metric.grid)}, "
        f"lambda *x: {[[float(v) for v in row] for row in rows]})"
    )


def _name_of(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", repr(function))
    if _other_package(function):
        return f"{module}.{name}"
    if module.startswith("riemann_lne.testing"):
        return f"riemann_lne.testing.{name}"
    if not module.startswith("riemann_lne."):
        return name
    # The package exports most names; a room such as ``symmetric`` has the others.
    package, room = module.split(".")[:2]
    top = import_module(package)
    return f"{package}.{name}" if hasattr(top, name) else f"{package}.{room}.{name}"


def _other_package(function: Callable[..., Any]) -> list[str]:
    """The module of a function from another package; a test file's own functions are in scope."""
    module = getattr(function, "__module__", "")
    return [module] if "." in module and not module.startswith("riemann_lne.") else []


def _numbers_in(value: Any, kind: type) -> Iterator[Place]:
    if type(value) is kind:
        yield ()
    elif isinstance(value, tuple):
        for position, entry in enumerate(value):
            for place in _numbers_in(entry, kind):
                yield (position, *place)


def _at(value: Any, place: Place) -> float:
    for step in place:
        value = value[step]
    return float(value)


def _put(value: Any, place: Place, number: float) -> Any:
    if not place:
        return number
    position = place[0]
    return tuple(
        _put(entry, place[1:], number) if k == position else entry for k, entry in enumerate(value)
    )
