"""Strategies of exact solutions with random parameters, and of diffeomorphisms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import exact
from ..checks import count
from ..errors import InvalidArgumentError
from ..exact import ExactSolution
from ..grids import Grid
from ._hypothesis import st
from .diffeomorphism import Diffeomorphism
from .findings import equation, require_grid

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


@dataclass(frozen=True)
class DrawnSolution:
    """An exact solution at a time at which it exists; it prints as code.

    Attributes
    ----------
    solution : ExactSolution
    t : float
        In the unit length^2.
    code : str
        An expression for the solution.
    """

    solution: ExactSolution
    t: float
    code: str = ""

    def __repr__(self) -> str:
        code = self.code or repr(self.solution)
        return f"riemann_lne.testing.DrawnSolution({code}, {self.t!r})"


def exact_solutions(
    solves: str | None = None, n: int | None = None
) -> SearchStrategy[DrawnSolution]:
    """Exact solutions of the flows with random parameters, each with a time at which it exists.

    Parameters
    ----------
    solves : {"ricci", "ricci-deturck"}, optional
        Only solutions of this flow.
    n : int, optional
        Only of this dimension, 2 to 4.

    Returns
    -------
    strategy of DrawnSolution
        With ``solution`` and ``t``.

    Raises
    ------
    InvalidArgumentError
        If there is none.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(exact_solutions("ricci", n=2))
    ... def metric_exists(drawn):
    ...     grid = drawn.solution.grid(8)
    ...     assert drawn.solution.field(drawn.t, grid).volume() > 0
    >>> metric_exists()
    """
    solves = equation(solves)
    if n is not None and count(n, "n") not in (2, 3, 4):
        raise InvalidArgumentError(f"n = {n}; exact solutions have 2 to 4 dimensions")
    sizes = [int(n)] if n is not None else [2, 3, 4]
    mode = st.integers(-2, 2)
    families: list[Callable[[Any], tuple[str, ExactSolution, float]]] = []

    def family(name: str, dimensions: tuple[int, ...], draw_one: Callable[[Any, int], Any]) -> None:
        dims = [d for d in sizes if d in dimensions]
        if not dims:
            return

        def one(draw: Any) -> tuple[str, ExactSolution, float]:
            d = draw(st.sampled_from(dims))
            arguments, t = draw_one(draw, d)
            solution = getattr(exact, name)(**arguments)
            given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
            return f"riemann_lne.exact.{name}({given})", solution, t

        families.append(one)

    def sausage(draw: Any, d: int) -> Any:
        m = draw(st.tuples(mode, mode).filter(any))
        return {"m": m, "ndim": d}, draw(st.floats(0.1, 3.0)) / (m[0] ** 2 + m[1] ** 2)

    def gauge(draw: Any, d: int) -> Any:
        amplitude, seed = draw(st.floats(0.0, 0.3)), draw(st.integers(0, 1000))
        return {"ndim": d, "amplitude": amplitude, "seed": seed}, draw(st.floats(0.0, 2.0))

    def sphere(draw: Any, d: int) -> Any:
        radius = draw(st.floats(0.5, 3.0))
        end = radius**2 / (2 * (d - 1))
        return {"n": d, "radius": radius}, draw(st.floats(0.0, 0.9)) * end

    both = solves is None
    if both or solves in ("ricci", "ricci-deturck"):
        family("periodic_sausage", (2, 3, 4), sausage)
        family("rosenau", (2,), lambda draw, d: ({}, -draw(st.floats(0.05, 3.0))))
        family(
            "sol",
            (3,),
            lambda draw, d: (
                {"c0": draw(st.floats(0.3, 3.0)), "tilt": draw(st.floats(-0.5, 0.5))},
                draw(st.floats(0.0, 1.0)),
            ),
        )
    if both or solves == "ricci-deturck":
        family("gauge_family", (2, 3), gauge)
    if both or solves == "ricci":
        family("round_sphere", (2, 3, 4), sphere)
        family("hyperbolic", (2, 3, 4), lambda draw, d: ({"n": d}, draw(st.floats(0.0, 2.0))))
        family("cigar", (2,), lambda draw, d: ({}, draw(st.floats(-1.0, 1.0))))
        family("nil", (3,), lambda draw, d: ({}, draw(st.floats(0.0, 2.0))))

    @st.composite
    def build(draw: DrawFn) -> DrawnSolution:
        code, solution, t = draw(st.sampled_from(families))(draw)
        return DrawnSolution(solution, float(t), code)

    return build()


def diffeomorphisms(grid: Grid) -> SearchStrategy[Diffeomorphism]:
    """Smooth one-to-one maps of a torus or box to itself, with their Jacobians.

    They shrink to the identity, and print as code.

    Raises
    ------
    DTypeError
        If ``grid`` is no Grid.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from riemann_lne import Grid
    >>> grid = Grid.torus((8, 8))
    >>> @settings(max_examples=10, database=None)
    ... @given(diffeomorphisms(grid))
    ... def maps_do_not_fold(f):
    ...     j = f.jacobian(*grid.coordinates())
    ...     assert (j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0] > 0).all()
    >>> maps_do_not_fold()
    """
    require_grid(grid)
    n = grid.ndim
    waves = st.tuples(*[st.tuples(*[st.integers(-2, 2)] * n)] * n)
    phases = st.tuples(*[st.floats(0.0, 6.28)] * n)
    heights = st.tuples(*[st.floats(-1.0, 1.0, allow_subnormal=False)] * n)
    return st.builds(Diffeomorphism, st.just(grid), waves, phases, heights)
