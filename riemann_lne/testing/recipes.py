"""Examples that know how they were made: they print as code, and their numbers can be varied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

from ..arrays import dtype_name, to_numpy
from ..checks import shown
from ..conformal import ConformalMetric, Sphere, Torus
from ..errors import InvalidArgumentError
from ..grids import Grid
from ..metrics import MetricField
from ..symmetric import RotationalMetric
from .asking import answer

Place = tuple[str | int, ...]
"""Where a number stands among the arguments of a recipe: a name, then positions in tuples."""

_WRITTEN_OUT = 500
"""Numbers of a metric that a script gives one by one: those of 12 x 12 points in two dimensions."""

_IN_SCOPE = ("__main__", "builtins", "conftest", "")
"""Modules whose functions are at hand where a test's example is pasted."""

_LIBRARIES = ("numpy", "torch", "cupy", "array_api_strict")


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
        """The example.

        Raises
        ------
        InvalidArgumentError
            If the function breaks off with an error that is not the library's own.
        """
        advice = "give ranges in which the function makes an example of every number"
        return answer(self.function, lambda: self.code, advice, **self.arguments)

    @property
    def code(self) -> str:
        """One expression that makes the example, after the imports of ``script``.

        A function, or a metric that depends on the place, is written as the name of its argument.
        """
        given = ", ".join(f"{name}={as_code(value, name)}" for name, value in self._given())
        return f"{as_code(self.function, 'function')}({given})"

    @property
    def script(self) -> str:
        """Lines of Python that make the example, to be pasted.

        A line ``name = ...`` is left for what has no text: a metric of many points that was given
        to the search, a lambda.
        """
        body = "\n".join([*self._definitions(), f"example = {self.code}"])
        return with_imports(body, self._modules())

    def _given(self) -> list[tuple[str, Any]]:
        return list(self.arguments.items())

    def _definitions(self) -> list[str]:
        """Lines for the arguments that the expression only names."""
        lines = []
        for name, value in [("function", self.function), *self._given()]:
            recipe = value if isinstance(value, Recipe) else recipe_of(value)
            if recipe is not None:
                lines += recipe._definitions()
            elif as_code(value, "") == "":
                lines.append(f"{name} = {_defined(value)}")
        return lines

    def _modules(self) -> list[str]:
        """Modules of functions from elsewhere."""
        values = [self.function, *self.arguments.values()]
        recipes = (v if isinstance(v, Recipe) else recipe_of(v) for v in values)
        nested = [m for recipe in recipes if recipe is not None for m in recipe._modules()]
        return [m for v in values if callable(v) for m in _other_module(v)] + nested

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


class Drawn:
    """Mixed into the class of an example: its recipe, as which it prints."""

    recipe: Recipe

    def __repr__(self) -> str:
        return self.recipe.code


class DrawnMetric(Drawn, MetricField):
    """A metric with the recipe that made it; it prints as code."""


class DrawnRotationalMetric(Drawn, RotationalMetric):
    """A rotationally symmetric metric with the recipe that made it; it prints as code."""


class DrawnConformalMetric(Drawn, ConformalMetric):
    """A conformal metric on a closed surface with the recipe that made it; it prints as code."""


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
    if isinstance(example, ConformalMetric):
        made = DrawnConformalMetric.from_coefficients(example.surface, example.coefficients)
        made.recipe = recipe
        return made
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


def with_imports(body: str, modules: Iterable[str] = ()) -> str:
    """A program with the modules that it names imported first."""
    named = [m for m in _LIBRARIES if re.search(rf"\b{m}\.", body) or f"xp={m}" in body]
    names = dict.fromkeys([*named, "riemann_lne", "riemann_lne.testing", *modules])
    return "\n".join(f"import {name}" for name in names) + f"\n\n{body}"


def as_code(value: Any, name: str | None = None) -> str:
    """An expression for a value, after the imports of ``with_imports``.

    A value that has none is written as ``name``; without one, as text that only says which it is.
    """
    if isinstance(value, Recipe):
        return value.code
    recipe = recipe_of(value)
    if recipe is not None:
        return recipe.code
    if isinstance(value, Grid):
        return f"riemann_lne.{value!r}"
    if isinstance(value, Sphere):
        return f"riemann_lne.conformal.{value!r}"
    if isinstance(value, Torus):
        flat = [[float(v) for v in row] for row in value.flat]
        return f"riemann_lne.conformal.Torus({as_code(value.grid)}, {flat})"
    if isinstance(value, MetricField):
        return _metric_as_code(value, name)
    if isinstance(value, (tuple, list)):
        inner = ", ".join(as_code(v) for v in value)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_code(k)}: {as_code(v)}" for k, v in value.items()) + "}"
    if isinstance(value, np.ndarray):
        return _array_as_code(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return f"float('{value}')"
    if callable(value) and "<" not in getattr(value, "__qualname__", "<"):
        return _name_of(value)
    text = repr(value)
    # Of functions without a name and of the user's own objects Python shows no code.
    return name if name is not None and re.search(r" at 0x[0-9a-f]+>|^<", text) else text


def _defined(value: Any) -> str:
    """The right-hand side of a line that defines what an expression only names."""
    if isinstance(value, MetricField) and to_numpy(value.packed).size <= _WRITTEN_OUT:
        grid, packed = as_code(value.grid), _array_as_code(to_numpy(value.packed))
        if _options_of(value.packed).startswith(", xp="):
            packed = f"{_library_of(value.packed)}.asarray({packed})"
        return f"riemann_lne.MetricField.from_packed({grid}, {packed})"
    return f"...  # as given to the search: {shown(value)}"


def _array_as_code(value: np.ndarray) -> str:
    text = np.array2string(value, separator=", ", threshold=value.size + 1, floatmode="unique")
    text = re.sub(r"\b(nan|inf)\b", r"numpy.\1", " ".join(text.split()))
    plain = value.size and value.dtype in (np.float64, np.int64, np.bool_)
    return f"numpy.array({text})" if plain else f"numpy.array({text}, dtype='{value.dtype}')"


def _metric_as_code(metric: MetricField, name: str | None) -> str:
    """A constant metric by its numbers; others by the name, or by text that says which it is."""
    first = (slice(None),) + (0,) * metric.n
    values = to_numpy(metric.packed)
    if not np.all(values == values[first].reshape(-1, *(1,) * metric.n)):
        if name is not None:
            return name
        defined = _defined(metric)
        return f"<{metric!r}, as given to the search>" if defined.startswith("...") else defined
    rows = to_numpy(metric.components)[(slice(None), *first)]
    options = _options_of(metric.packed)
    if np.array_equal(rows, np.eye(metric.n)):
        return f"riemann_lne.flat_metric({as_code(metric.grid)}{options})"
    return (
        f"riemann_lne.MetricField.from_function({as_code(metric.grid)}, "
        f"lambda *x: {[[float(v) for v in row] for row in rows]}{options})"
    )


def _library_of(array: Any) -> str:
    return type(array).__module__.split(".")[0]


def _options_of(array: Any) -> str:
    """Arguments for the array library and the precision, where they are not the usual ones."""
    library, kind = _library_of(array), dtype_name(array)
    if library == "numpy":
        return "" if kind == "float64" else f", dtype=numpy.{kind}"
    return f", xp={library}, dtype={library}.{kind}"


def _name_of(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", repr(function))
    if _other_module(function):
        return f"{module}.{name}"
    if module.startswith("riemann_lne.testing"):
        return f"riemann_lne.testing.{name}"
    if not module.startswith("riemann_lne."):
        return name
    # The package exports most names; a room such as ``symmetric`` has the others.
    package, room = module.split(".")[:2]
    top = import_module(package)
    return f"{package}.{name}" if hasattr(top, name) else f"{package}.{room}.{name}"


def _other_module(function: Callable[..., Any]) -> list[str]:
    """The module of a function from elsewhere; a test file's own functions are in scope."""
    module = str(getattr(function, "__module__", None) or "")
    last = module.split(".")[-1]
    in_scope = last.startswith("test_") or last.endswith("_test") or last in _IN_SCOPE
    return [] if in_scope or module.startswith("riemann_lne.") else [module]


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
