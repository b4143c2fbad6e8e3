"""A strategy of whatever a function makes of a few numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..checks import shown
from ..errors import DTypeError, InvalidArgumentError
from ._hypothesis import st
from .recipes import Recipe, rebuilt
from .spaces import Choice, Reals, Whole
from .strategies_metric import strategy_of

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def drawn_from(function: Callable[..., Any], /, **arguments: Any) -> SearchStrategy[Any]:
    """Results of a function whose arguments are drawn from ranges.

    Each result carries the recipe that made it: it prints as code, a local search varies its
    numbers, and ``stability_radius`` its ``size``. An argument of the name ``size`` with a range
    from 0 means the size of a perturbation: 0 is the background.

    Parameters
    ----------
    function : callable
        Takes keyword arguments; returns a MetricField, a RotationalMetric, or an object of a class
        that carries attributes. Define it in a module, so that its name says which it is.
    **arguments
        Reals, Whole or Choice to be drawn; all else is given as it stands.

    Returns
    -------
    strategy

    Raises
    ------
    DTypeError, InvalidArgumentError
        If ``function`` is none or does not take these names, or there is no range.

    Examples
    --------
    >>> from riemann_lne.symmetric import dumbbell
    >>> from riemann_lne.testing import find_counterexample
    >>> thin = drawn_from(dumbbell, points=60, neck=Reals(0.05, 0.6))
    >>> found = find_counterexample(lambda g: 0.1 - g.neck_radius() < 0, thin)
    >>> round(found.example.neck_radius(), 2) <= 0.1
    True
    """
    if not callable(function):
        raise DTypeError(f"function = {shown(function)}; give a function that makes an example")
    ranges = {k: v for k, v in arguments.items() if isinstance(v, (Reals, Whole, Choice))}
    if not ranges:
        raise InvalidArgumentError(
            f"arguments = {shown(sorted(arguments))}; give at least one as a range: "
            "Reals(low, high), Whole(low, high) or Choice(values)"
        )
    _require_takes(function, arguments)
    numbers = {k: (s.low, s.high) for k, s in ranges.items() if not isinstance(s, Choice)}

    @st.composite
    def build(draw: DrawFn) -> Any:
        drawn = {name: draw(strategy_of(space)) for name, space in ranges.items()}
        return rebuilt(Recipe(function, {**arguments, **drawn}, numbers))

    return build()


def _require_takes(function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Raise InvalidArgumentError if the function does not take these names."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # of some built-in functions nothing is known
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise InvalidArgumentError(
            f"{function.__name__}{signature} was given {', '.join(arguments)}: {error}; give its "
            "arguments by name, as ranges or values"
        ) from error
