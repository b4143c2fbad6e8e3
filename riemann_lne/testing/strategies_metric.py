"""Strategies of perturbed metrics: any background, any norm, smooth to adversarial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..checks import flag, number, shown
from ..errors import InvalidArgumentError
from ..grids import Grid
from ..metrics import MetricField, flat_metric
from ._hypothesis import st
from .findings import is_number
from .kinds import Kind, kinds_of
from .perturbed import perturbation_recipe
from .recipes import DrawnMetric, drawn
from .sizes import Norm, require_bound
from .spaces import Choice, Reals, Space, Whole

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def perturbations(
    background: MetricField | Grid | int,
    size: float = 0.1,
    norm: Norm = "sup",
    kinds: Sequence[str | Kind] | None = None,
    fixed_size: bool = False,
) -> SearchStrategy[DrawnMetric]:
    """Metrics g near a background gbar, with the size of g - gbar at most ``size``.

    Kinds are drawn from smooth to rough: waves along one axis, conformal, diagonal, band-limited,
    localised, pure gauge (the background pulled back), transverse-traceless, anisotropic, steep at
    one place, nearly degenerate, chequered, white noise, the grid's shortest wave; see
    ``riemann_lne.testing.KINDS``. Examples shrink towards the background, and a failing one prints
    as code. The bound holds exactly, after rounding.

    Parameters
    ----------
    background : MetricField, Grid or int
        A metric; a grid, for the flat metric on it; or the dimension of a torus of side 2 pi with
        12 points along each axis.
    size : float
        Largest size of the perturbation, in the unit of the norm.
    norm : str, tuple or callable
        "sup", "spectral", "l2", "epsilon", ("ck", k), ("sobolev", k) or a function; see
        ``perturbation_size``.
    kinds : sequence of str or Kind, optional
        All that exist on the background by default.
    fixed_size : bool
        Whether every perturbation has the full size.

    Returns
    -------
    strategy of DrawnMetric
        Metrics with a ``recipe``.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If the size is not positive, there is no such kind or norm, or a function given as norm is
        above the size where nothing is perturbed.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(perturbations(2, 0.2, kinds=["diagonal", "rough"]))
    ... def volume_is_near_that_of_the_flat_torus(g):
    ...     assert 0.7 < g.volume() / 39.478 < 1.3
    >>> volume_is_near_that_of_the_flat_torus()
    """
    base, largest = as_background(background), number(size, "size", above=0)
    flag(fixed_size, "fixed_size")
    base.require_riemannian("a strategy of perturbations")
    require_bound(norm, base, largest)
    families = kinds_of(base, kinds)
    numbers = {kind.name: sum(map(_numbers_of, kind.spaces(base).values())) for kind in families}

    @st.composite
    def build(draw: DrawFn, kind: Kind) -> DrawnMetric:
        spaces = kind.spaces(base)
        parameters = {name: draw(strategy_of(space)) for name, space in spaces.items()}
        amount = largest if fixed_size else draw(st.floats(0.0, largest))
        # To Hypothesis fewer numbers are simpler, and white noise needs no more than a seed. With
        # as many for every kind the first of them, the smoothest, is the simplest.
        for _ in range(max(numbers.values()) - numbers[kind.name]):
            draw(st.booleans())
        recipe = perturbation_recipe(base, kind, amount, norm, parameters)
        # A local search may go up to the bound, wherever this example is, or leaves the size alone.
        ranges = {**recipe.ranges, "size": (0.0, largest)}
        if fixed_size:
            del ranges["size"]
        return drawn(replace(recipe, ranges=ranges))

    # Alternatives that a search can draw from apart; they shrink towards the first.
    return st.one_of(*(build(kind) for kind in families))


def as_background(background: MetricField | Grid | int) -> MetricField:
    """The background as a metric.

    Raises
    ------
    InvalidArgumentError
        If it is neither metric nor grid nor a dimension from 1 to 4.
    """
    if isinstance(background, MetricField):
        return background
    if isinstance(background, Grid):
        return flat_metric(background)
    if is_number(background) and background in (1, 2, 3, 4):
        return flat_metric(Grid.torus((12,) * int(background)))
    raise InvalidArgumentError(
        f"background = {shown(background)}; give a MetricField, a Grid, or a dimension from 1 to 4"
    )


def _numbers_of(space: Space) -> int:
    """How many numbers ``strategy_of`` draws."""
    if isinstance(space, Choice):
        return int(len(space.values) > 1)
    fixed = isinstance(space, Whole) and space.low == space.high
    return 0 if fixed else math.prod(space.shape)


def strategy_of(space: Space) -> SearchStrategy[Any]:
    """The strategy of a range; it shrinks to 0, or to a simple number if 0 is not in the range."""
    if isinstance(space, Choice):
        return st.sampled_from(list(space.values))
    if isinstance(space, Reals):
        one: SearchStrategy[Any] = st.floats(space.low, space.high, allow_subnormal=False)
    elif isinstance(space, Whole):
        one = st.integers(space.low, space.high)
    else:
        raise InvalidArgumentError(f"{space!r} is no range: use Reals, Whole or Choice")
    for length in reversed(space.shape):
        one = st.tuples(*[one] * length)
    return one
