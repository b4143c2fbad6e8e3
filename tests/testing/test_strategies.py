"""The strategies for users keep what they promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from riemann_lne import Grid, MetricField, max_tau
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.testing import (
    grids,
    near_euclidean_metrics,
    spd_matrices,
    weight_vectors,
    weights_by_dominance,
)


@given(st.data(), st.integers(1, 6), st.floats(1e-3, 1.0), st.floats(1.0, 1e3))
def test_spd_matrices_are_symmetric_with_eigenvalues_in_bounds(
    data: st.DataObject, n: int, low: float, high: float
) -> None:
    a = data.draw(spd_matrices(n, low, high))
    assert a.shape == (n, n)
    assert np.array_equal(a, a.T)
    values = np.linalg.eigvalsh(a)
    assert low - 1e-12 * high <= values[0]
    assert values[-1] <= high * (1 + 1e-12)


def test_spd_matrices_are_not_all_diagonal_and_reach_their_bounds() -> None:
    find(spd_matrices(3), lambda a: bool(abs(a[0, 2]) > 1))
    find(spd_matrices(2, 0.5, 4.0), lambda a: bool(np.linalg.eigvalsh(a)[-1] > 3.9))
    simplest = find(spd_matrices(3, 0.5), lambda a: True)
    assert np.array_equal(simplest, simplest[0, 0] * np.eye(3))


@given(st.data(), st.integers(1, 40), st.floats(0.0, 0.999), st.floats(0.01, 100.0))
def test_weight_vectors_have_the_squared_norm_asked_for(
    data: st.DataObject, n: int, share: float, tau: float
) -> None:
    norm2 = share * n
    x = data.draw(weight_vectors(n, norm2, tau))
    assert x.shape == (n,)
    assert np.all(np.isfinite(x))
    assert math.isclose(float(np.sum(np.tanh(tau * x) ** 2)), norm2, rel_tol=1e-10, abs_tol=1e-300)


@given(st.data(), st.integers(2, 40), st.floats(0.0, 0.999), st.floats(0.01, 100.0))
def test_weights_by_dominance_have_the_level_asked_for(
    data: st.DataObject, n: int, share: float, tau: float
) -> None:
    t = np.abs(np.tanh(tau * data.draw(weights_by_dominance(n, share * n, tau))))
    assert t.shape == (n,)
    assert math.isclose(t.max() * t.sum(), share * n, rel_tol=1e-10, abs_tol=1e-300)


@given(st.data(), st.integers(2, 20), st.floats(0.01, 100.0))
def test_weights_on_a_boundary_have_their_limit_there(
    data: st.DataObject, n: int, tau: float
) -> None:
    x = data.draw(weights_by_dominance(n, 1.0, tau))
    assert math.isclose(max_tau(x, "diagonally-dominant"), tau, rel_tol=1e-11)
    assert math.isclose(max_tau(data.draw(weight_vectors(n, 1.0, tau))), tau, rel_tol=1e-11)


@given(weight_vectors(st.integers(2, 9), st.floats(0.1, 1.9)))
def test_weight_vectors_take_strategies(x: np.ndarray) -> None:
    assert 2 <= len(x) <= 9
    assert 0.1 - 1e-9 <= np.sum(np.tanh(x) ** 2) <= 1.9 + 1e-9


def test_weight_vectors_have_both_signs_zeros_and_unequal_entries() -> None:
    find(weight_vectors(3, 0.5), lambda x: bool(x[0] < 0 < x[1]))
    find(weight_vectors(3, 0.5), lambda x: bool(x[0] == 0 and x[1] != 0))
    find(weights_by_dominance(3, 0.5), lambda x: bool(x[0] == 0 and x[1] < 0))
    find(weight_vectors(4, 0.9), lambda x: bool(np.tanh(np.max(x)) ** 2 > 0.8))
    find(weight_vectors(1, 0.25), lambda x: bool(np.isclose(abs(x[0]), math.atanh(0.5))))


@pytest.mark.parametrize(("n", "norm2"), [(1, 1.0), (3, 3.0), (3, -0.1), (2, 5.0), (2, math.nan)])
def test_impossible_norms_are_refused(n: int, norm2: float) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"norm2 = .*\[0, {n}\)"):
        weight_vectors(n, norm2)


@given(st.data(), st.floats(0.0, 0.95), st.integers(2, 3))
def test_near_euclidean_metrics_stay_within_their_amplitude(
    data: st.DataObject, amplitude: float, n: int
) -> None:
    g = data.draw(near_euclidean_metrics(n, amplitude))
    assert isinstance(g, MetricField)
    assert g.grid == Grid.torus((8,) * n)
    h = np.moveaxis(g.components, (0, 1), (-2, -1)) - np.eye(n)
    assert np.max(np.abs(np.linalg.eigvalsh(h))) <= amplitude * (1 + 1e-9) + 1e-15


def test_near_euclidean_metrics_live_where_they_are_asked_to() -> None:
    grid = Grid.box(0, 1, (9, 9))
    assert find(near_euclidean_metrics(grid, 0.3), lambda g: True).grid is grid
    find(
        near_euclidean_metrics(grid, 0.3), lambda g: bool(np.max(np.abs(g.components[0, 1])) > 0.1)
    )
    strategy = near_euclidean_metrics(grids(3, 3, "torus"), 0.3)
    assert find(strategy, lambda g: True).n == 3


@given(st.data(), st.sampled_from(["mixed", "torus", "box"]), st.integers(2, 6))
def test_grids_keep_to_dimension_kind_and_size(data: st.DataObject, kind: str, least: int) -> None:
    low = data.draw(st.integers(1, 4))
    high = data.draw(st.integers(low, 4))
    most = least**high + data.draw(st.integers(0, 500))
    grid = data.draw(grids(low, high, kind, min_points=least, max_points=most))
    assert low <= grid.ndim <= high
    assert min(grid.shape) >= least
    assert grid.size <= most
    assert kind == "mixed" or set(grid.periodic) == {kind == "torus"}


def test_grids_of_the_mixed_kind_are_mixed_and_axes_differ() -> None:
    find(grids(2, 2), lambda g: g.periodic == (True, False))
    find(grids(2, 2), lambda g: g.shape[0] != g.shape[1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: spd_matrices(0),
        lambda: spd_matrices(2, 0.0),
        lambda: spd_matrices(2, 2.0, 1.0),
        lambda: spd_matrices(2, 1.0, math.inf),
        lambda: weight_vectors(0, 0.0),
        lambda: weight_vectors(2, 0.5, tau=0.0),
        lambda: weights_by_dominance(2, 2.0),
        lambda: weights_by_dominance(2, math.nan),
        lambda: weights_by_dominance(2, 0.5, tau=-1.0),
        lambda: weight_vectors(2, 0.5, tau=math.nan),
        lambda: near_euclidean_metrics(2, 1.0),
        lambda: near_euclidean_metrics(2, -0.1),
        lambda: near_euclidean_metrics(2, 0.1, modes=0),
        lambda: grids(0, 2),
        lambda: grids(3, 2),
        lambda: grids(1, 5),
        lambda: grids(kind="sphere"),
        lambda: grids(1, 3, max_points=10),
        lambda: grids(min_points=1),
    ],
)
def test_ranges_that_make_no_sense_are_refused_when_the_strategy_is_made(call: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        call()
