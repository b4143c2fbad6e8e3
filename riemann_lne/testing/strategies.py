"""Strategies of grids, matrices, near-Euclidean metrics and weight vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import count, number, shown
from ..errors import InvalidArgumentError
from ..grids import Grid
from ..metrics import perturbed_euclidean
from ._hypothesis import st
from .findings import is_number
from .recipes import DrawnMetric, Recipe, drawn

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = [
    "grids",
    "near_euclidean_metrics",
    "spd_matrices",
    "weight_vectors",
    "weights_by_dominance",
]

_SMALLEST_AXIS = 4
_SEEDS = 2**32 - 1


def spd_matrices(
    n: int | SearchStrategy[int],
    min_eigenvalue: float = 0.1,
    max_eigenvalue: float = 10.0,
) -> SearchStrategy[np.ndarray]:
    """Symmetric positive-definite matrices A = Q diag(lambda) Q^T with bounded eigenvalues.

    lambda_i lies in [min_eigenvalue, max_eigenvalue] (dimensionless) up to rounding and Q is a
    product of n (n - 1) / 2 plane rotations, so every rotation can be drawn; examples shrink
    towards a multiple of the identity. A is exactly symmetric.

    Parameters
    ----------
    n : int or strategy of int
        Number of rows, at least 1.
    min_eigenvalue, max_eigenvalue : float
        0 < min_eigenvalue <= max_eigenvalue.

    Returns
    -------
    strategy of arrays (n, n), float64

    Raises
    ------
    InvalidArgumentError
        If the bounds are not finite, positive and ordered, or n < 1.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(spd_matrices(3, min_eigenvalue=0.5, max_eigenvalue=2.0))
    ... def determinant_is_bounded(a):
    ...     assert 0.5**3 - 1e-12 <= np.linalg.det(a) <= 2.0**3 + 1e-12
    >>> determinant_is_bounded()
    """
    low = number(min_eigenvalue, "min_eigenvalue", above=0)
    high = number(max_eigenvalue, "max_eigenvalue", above=0)
    if low > high:
        raise InvalidArgumentError(
            f"eigenvalues in [{min_eigenvalue}, {max_eigenvalue}]; "
            "finite bounds with 0 < min_eigenvalue <= max_eigenvalue are needed"
        )
    sizes = _sizes(n)

    @st.composite
    def build(draw: DrawFn) -> np.ndarray:
        size = draw(sizes)
        eigenvalues = [draw(st.floats(low, high)) for _ in range(size)]
        q = np.eye(size)
        for i in range(size):
            for j in range(i + 1, size):
                angle = draw(st.floats(0.0, math.pi))
                c, s = math.cos(angle), math.sin(angle)
                q[:, [i, j]] = np.stack(
                    [c * q[:, i] - s * q[:, j], s * q[:, i] + c * q[:, j]], axis=1
                )
        a = (q * np.array(eigenvalues)) @ q.T
        return np.asarray((a + a.T) / 2)

    return build()


def near_euclidean_metrics(
    where: Grid | int | SearchStrategy[Grid],
    amplitude: float = 0.2,
    modes: int = 1,
) -> SearchStrategy[DrawnMetric]:
    """Smooth random metrics g_ij = delta_ij + h_ij with |eigenvalues of h| <= amplitude.

    h is a trigonometric polynomial with wave numbers |m_a| <= modes along every axis, Euclidean on
    the boundary of bounded axes (see ``perturbed_euclidean``); its size is drawn from
    [0, amplitude] and shrinks to the Euclidean metric. Components have the shape
    (n, n, *grid.shape) and are dimensionless. They print as code.

    Parameters
    ----------
    where : Grid, int or strategy of Grid
        The grid, or the dimension of a torus of side 2 pi with 8 points along each axis.
    amplitude : float
        In [0, 1).
    modes : int
        Largest wave number along each axis.

    Returns
    -------
    strategy of DrawnMetric, NumPy, float64
        Metrics with a ``recipe``.

    Raises
    ------
    InvalidArgumentError
        If the amplitude is not in [0, 1), modes < 1, or ``where`` is none of these.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(near_euclidean_metrics(2, amplitude=0.3))
    ... def volume_is_near_that_of_the_flat_torus(g):
    ...     assert 0.7 <= g.volume() / (2 * np.pi) ** 2 <= 1.3
    >>> volume_is_near_that_of_the_flat_torus()
    """
    most, waves = number(amplitude, "amplitude", least=0, below=1), count(modes, "modes", least=1)
    if is_number(where) and where in (1, 2, 3, 4):
        places: SearchStrategy[Grid] = st.just(Grid.torus((8,) * int(where)))
    elif isinstance(where, Grid):
        places = st.just(where)
    elif isinstance(where, st.SearchStrategy):
        places = where
    else:
        raise InvalidArgumentError(
            f"where = {shown(where)}; give a Grid, a dimension from 1 to 4, or a strategy of grids"
        )

    def made(grid: Grid, size: float, seed: int) -> DrawnMetric:
        arguments = {"grid": grid, "amplitude": size, "seed": seed, "modes": waves}
        ranges = {"amplitude": (0.0, most), "seed": (0, _SEEDS)}
        return drawn(Recipe(perturbed_euclidean, arguments, ranges))

    return st.builds(made, places, st.floats(0.0, most), st.integers(0, _SEEDS))


def weight_vectors(
    n: int | SearchStrategy[int],
    norm2: float | SearchStrategy[float] = 0.5,
    tau: float = 1.0,
) -> SearchStrategy[np.ndarray]:
    """Weights x with a chosen |tanh(tau x)|^2, the quantity that decides all of LNE geometry.

    A point t is drawn on the sphere |t|^2 = norm2 with every |t_i| < 1, and x = atanh(t) / tau.
    Then I - t t^T has the determinant 1 - norm2: it is positive definite exactly if norm2 < 1.
    |tanh(tau x)|^2 equals norm2 to rounding.

    Parameters
    ----------
    n : int or strategy of int
        Number of weights, at least 1.
    norm2 : float or strategy of float
        The squared norm wanted, 0 <= norm2 < n (dimensionless).
    tau : float
        The temperature, > 0, in 1 / unit of the weights.

    Returns
    -------
    strategy of arrays (n,), float64, finite

    Raises
    ------
    InvalidArgumentError
        If tau is not positive and finite, or the sphere has no point with every |t_i| < 1. For
        drawn values it is raised when the example is drawn.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(weight_vectors(5, norm2=0.9, tau=2.0))
    ... def metric_is_positive_definite(x):
    ...     t = np.tanh(2.0 * x)
    ...     assert np.linalg.eigvalsh(np.eye(5) - np.outer(t, t))[0] > 0.09
    >>> metric_is_positive_definite()
    """
    return _weights(n, norm2, tau, "norm2", lambda shares, v: np.sqrt(_squares(shares, v)))


def weights_by_dominance(
    n: int | SearchStrategy[int],
    level: float | SearchStrategy[float] = 0.5,
    tau: float = 1.0,
) -> SearchStrategy[np.ndarray]:
    """Weights x with a chosen max_i |t_i| sum_j |t_j|, t = tanh(tau x).

    I - t t^T is strictly diagonally dominant exactly if this level is below 1, so that weights at
    any distance from the boundary can be drawn, on either side. The level is met to rounding.

    Parameters
    ----------
    n : int or strategy of int
        Number of weights, at least 1.
    level : float or strategy of float
        0 <= level < n (dimensionless).
    tau : float
        The temperature, > 0, in 1 / unit of the weights.

    Returns
    -------
    strategy of arrays (n,), float64, finite

    Raises
    ------
    InvalidArgumentError
        If tau is not positive and finite, or no |t_i| < 1 have this level. For drawn values it is
        raised when the example is drawn.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from riemann_lne import max_tau
    >>> @settings(max_examples=10, database=None)
    ... @given(weights_by_dominance(5, level=1.0, tau=2.0))
    ... def the_limit_is_known(x):
    ...     assert abs(max_tau(x, "diagonally-dominant") - 2.0) < 1e-9
    >>> the_limit_is_known()
    """
    return _weights(n, level, tau, "level", _sizes_of_level)


def _weights(
    n: int | SearchStrategy[int],
    value: float | SearchStrategy[float],
    tau: float,
    name: str,
    sizes_of: Callable[[np.ndarray, float], np.ndarray],
) -> SearchStrategy[np.ndarray]:
    """Weights x = atanh(t) / tau, |t| from shares in [0, 1] and a value in [0, n); any signs."""
    tau = number(tau, "tau", above=0)
    sizes = _sizes(n)
    if isinstance(value, st.SearchStrategy):
        targets: SearchStrategy[float] = value
    else:
        if not isinstance(n, st.SearchStrategy):
            _require_below(int(n), value, name)
        targets = st.just(number(value, name))

    @st.composite
    def build(draw: DrawFn) -> np.ndarray:
        size, target = draw(sizes), float(draw(targets))
        _require_below(size, target, name)
        shares = np.array(draw(st.lists(st.floats(0.0, 1.0), min_size=size, max_size=size)))
        signs = np.array(draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=size, max_size=size)))
        return np.asarray(np.arctanh(signs * sizes_of(shares, target)) / tau)

    return build()


def grids(
    min_dim: int = 1,
    max_dim: int = 3,
    kind: str = "mixed",
    min_points: int = _SMALLEST_AXIS,
    max_points: int = 4096,
) -> SearchStrategy[Grid]:
    """Grids of random dimension, shape, ends and periodicity.

    An axis of N points spans [a, a + L) or [a, a + L], with L in [1/2, 8] and a in [-4, 4]
    (lengths). The product of all N is at most ``max_points``.

    Parameters
    ----------
    min_dim, max_dim : int
        Range of the dimension, 1 to 4.
    kind : {"mixed", "torus", "box"}
        Whether each axis is drawn periodic or bounded, or all are the one or the other.
    min_points : int
        Fewest points along an axis (order + 2 lets differences of an order fit on any axis).
    max_points : int
        Most points of a whole grid, at least min_points ** max_dim.

    Returns
    -------
    strategy of Grid

    Raises
    ------
    InvalidArgumentError
        If the ranges make no sense.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(grids(2, 3, kind="box", max_points=500))
    ... def spacing_fills_the_box(grid):
    ...     for h, size, length in zip(grid.spacing, grid.shape, grid.lengths):
    ...         assert abs(h * (size - 1) - length) < 1e-12
    >>> spacing_fills_the_box()
    """
    if not (isinstance(kind, str) and kind in ("mixed", "torus", "box")):
        raise InvalidArgumentError(f"kind = {shown(kind)}; give 'mixed', 'torus' or 'box'")
    min_dim, max_dim = count(min_dim, "min_dim"), count(max_dim, "max_dim")
    min_points, max_points = count(min_points, "min_points"), count(max_points, "max_points")
    if not 1 <= min_dim <= max_dim <= 4:
        raise InvalidArgumentError(
            f"dimensions {min_dim} to {max_dim}; 1 <= min_dim <= max_dim <= 4 is needed"
        )
    if min_points < 2 or max_points < min_points**max_dim:
        raise InvalidArgumentError(
            f"min_points = {min_points}, max_points = {max_points}; at least 2 points along an "
            f"axis and min_points**{max_dim} in all are needed"
        )

    @st.composite
    def build(draw: DrawFn) -> Grid:
        n = draw(st.integers(min_dim, max_dim))
        shape: list[int] = []
        left = max_points
        for axis in range(n):
            # Leave enough for the axes that are still to come.
            most = left // min_points ** (n - 1 - axis)
            shape.append(draw(st.integers(min_points, most)))
            left //= shape[-1]
        lower = [draw(st.floats(-4.0, 4.0)) for _ in range(n)]
        sides = [draw(st.floats(0.5, 8.0)) for _ in range(n)]
        choice = st.booleans() if kind == "mixed" else st.just(kind == "torus")
        periodic = [draw(choice) for _ in range(n)]
        upper = [a + side for a, side in zip(lower, sides, strict=True)]
        return Grid(tuple(shape), tuple(lower), tuple(upper), tuple(periodic))

    return build()


def _sizes(n: int | SearchStrategy[int]) -> SearchStrategy[int]:
    return n if isinstance(n, st.SearchStrategy) else st.just(count(n, "n", least=1))


def _require_below(n: int, value: Any, name: str) -> None:
    """Raise InvalidArgumentError unless 0 <= value < n."""
    if not (is_number(value) and 0 <= value < n):
        what = "|tanh|^2" if name == "norm2" else "max_i |t_i| sum_j |t_j|"
        raise InvalidArgumentError(
            f"{name} = {shown(value)} with {n} weights: {what} lies in [0, {n}); choose it there"
        )


def _ceiling(value: float, n: int) -> float:
    """How large t^2 may be: away from 1, where atanh would lose digits, if there is room."""
    return max(0.999, 0.5 * (1.0 + value / n))


def _sizes_of_level(shares: np.ndarray, level: float) -> np.ndarray:
    """Numbers t in [0, 1) in about the ratio of the shares, with max t sum t = level."""
    top = float(np.max(shares))
    t = np.ones(shares.shape) if top < 1e-100 else shares / top
    # The largest t^2 is level / sum: mix in equal numbers until the sum is large enough.
    needed, n = level / _ceiling(level, shares.size), shares.size
    total = float(np.sum(t))
    if total < needed:
        t = t + (needed - total) / (n - total) * (1.0 - t)
    return np.asarray(t * math.sqrt(level / float(np.sum(t))))


def _squares(shares: Sequence[float] | np.ndarray, norm2: float) -> Any:
    """Numbers in [0, 1) in about the ratio of the shares, with the sum norm2 < len(shares)."""
    shares = np.asarray(shares, dtype=float)
    top = float(np.max(shares))
    # All equal is always possible; mix in as much of the shares as keeps every square below 1.
    even = np.full(shares.shape, norm2 / shares.size)
    if top < 1e-100:
        return even
    wanted = shares / top
    wanted *= norm2 / np.sum(wanted)
    ceiling = _ceiling(norm2, shares.size)
    excess = float(np.max(wanted)) - norm2 / shares.size
    room = ceiling - norm2 / shares.size
    blend = 1.0 if excess <= room else room / excess
    return even + blend * (wanted - even)
