from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne import Grid
from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    ShapeError,
)
from riemann_lne.tensors import (
    checked_vector,
    inverse_and_determinant,
    is_positive_definite,
    metric_dimension,
    pack,
    packed_metric,
    packed_size,
    packed_symmetric,
    pairs,
    smallest_eigenvalue,
    squared_norm,
    table,
    unpack,
)
from riemann_lne.testing import spd_matrices

DIMENSIONS = st.integers(1, 4)
symmetric_matrices = DIMENSIONS.flatmap(
    lambda n: st.lists(st.floats(-3, 3), min_size=packed_size(n), max_size=packed_size(n))
).map(np.array)


def _matrix(packed: np.ndarray) -> np.ndarray:
    n = {1: 1, 3: 2, 6: 3, 10: 4}[len(packed)]
    return unpack(packed.reshape(-1, 1), n)[..., 0]


def test_pairs_are_the_upper_triangle_in_row_order() -> None:
    assert pairs(3) == ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    assert [packed_size(n) for n in range(1, 5)] == [len(pairs(n)) for n in range(1, 5)]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_packing_and_unpacking_are_inverse(n: int, backend: Any) -> None:
    a = np.random.default_rng(n).normal(size=(n, n, 2, 3))
    a = a + a.swapaxes(0, 1)
    packed = pack(backend.array(a))
    assert tuple(packed.shape) == (packed_size(n), 2, 3)
    assert np.array_equal(backend.numpy(unpack(packed, n)), a)
    for (i, j), entry in table(packed, n).items():
        assert np.array_equal(backend.numpy(entry), a[i, j])


@given(DIMENSIONS.flatmap(lambda n: spd_matrices(n, 0.05, 20.0)))
def test_cofactor_inverse_and_determinant_agree_with_linalg(a: np.ndarray) -> None:
    n = len(a)
    inverse, det = inverse_and_determinant(table(pack(a[..., None]), n), n)
    exact = np.linalg.inv(a)
    condition = np.linalg.cond(a)
    # Cofactors lose digits with the condition number to the power n - 1 at worst.
    bound = 1e-15 * max(condition, 1.0) ** max(n - 1, 1) * np.max(np.abs(exact)) * 10
    for (i, j), value in inverse.items():
        assert abs(value[0] - exact[i, j]) <= bound
    scale = np.prod(np.linalg.norm(a, axis=0))
    assert abs(det[0] - np.linalg.det(a)) <= 1e-14 * scale


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_inverse_of_integer_matrices_is_exact(n: int) -> None:
    """Against rationals worked out by SymPy: no tolerance hides a wrong cofactor."""
    sp = pytest.importorskip("sympy")
    a = np.array([[2, 1, 0, 1], [1, 3, -1, 0], [0, -1, 4, 1], [1, 0, 1, 5]], dtype=float)[:n, :n]
    exact = sp.Matrix(a.astype(int)).inv()
    inverse, det = inverse_and_determinant(table(pack(a[..., None]), n), n)
    assert det[0] == float(sp.Matrix(a.astype(int)).det())
    for (i, j), value in inverse.items():
        assert abs(value[0] - float(exact[i, j])) < 1e-15


@given(symmetric_matrices)
def test_positive_definiteness_agrees_with_eigenvalues(packed: np.ndarray) -> None:
    a = _matrix(packed)
    smallest = np.linalg.eigvalsh(a)[0]
    verdict = bool(is_positive_definite(packed.reshape(-1, 1), len(a))[0])
    if smallest > 1e-12:
        assert verdict
    elif smallest < -1e-12:
        assert not verdict


@given(DIMENSIONS.flatmap(spd_matrices), st.integers(0, 3))
def test_a_matrix_with_one_negative_eigenvalue_is_never_accepted(a: np.ndarray, k: int) -> None:
    values, vectors = np.linalg.eigh(a)
    values[k % len(values)] *= -1
    flipped = (vectors * values) @ vectors.T
    packed = pack(((flipped + flipped.T) / 2)[..., None])
    assert not bool(is_positive_definite(packed, len(a))[0])
    value, place = smallest_eigenvalue(packed, len(a))
    assert place == (0,)
    assert np.isclose(value, values.min())


def test_nan_is_not_positive_definite(backend: Any) -> None:
    packed = backend.array([[1.0, np.nan], [0.0, 0.0], [1.0, 1.0]])
    assert backend.numpy(is_positive_definite(packed, 2)).tolist() == [True, False]


@given(spd_matrices(3), symmetric_matrices.filter(lambda p: len(p) == 6))
def test_squared_norm_is_the_frobenius_norm_in_an_orthonormal_frame(
    g: np.ndarray, packed: np.ndarray
) -> None:
    h = _matrix(packed)
    inverse, _ = inverse_and_determinant(table(pack(g[..., None]), 3), 3)
    root = np.linalg.inv(np.linalg.cholesky(g))
    exact = np.sum((root @ h @ root.T) ** 2)
    value = squared_norm(table(packed.reshape(-1, 1), 3), inverse, 3)[0]
    assert np.isclose(value, exact, rtol=1e-9, atol=1e-12)


@pytest.fixture
def grid() -> Grid:
    return Grid.torus((4, 5))


@pytest.fixture
def euclidean(grid: Grid) -> np.ndarray:
    return np.eye(2).reshape(2, 2, 1, 1) * np.ones((1, 1, *grid.shape))


def test_rounding_asymmetry_is_averaged_and_more_is_refused_with_its_place(
    grid: Grid, euclidean: np.ndarray, backend: Any
) -> None:
    g = euclidean.copy()
    g[0, 1, 2, 3] += 4e-16
    packed = packed_symmetric(backend.array(g), grid)
    assert backend.numpy(packed)[1, 2, 3] == 2e-16
    g[0, 1, 2, 3] = 1e-6
    with pytest.raises(NotSymmetricError, match=r"\(0, 1\) and \(1, 0\).*1e-06.*\(2, 3\)"):
        packed_symmetric(backend.array(g), grid)


def test_what_is_no_metric_is_refused_and_the_place_named(
    grid: Grid, euclidean: np.ndarray, backend: Any
) -> None:
    g = euclidean.copy()
    g[1, 1, 3, 2], g[1, 1, 0, 1] = -0.25, -0.125
    with pytest.raises(NotPositiveDefiniteError, match=r"-0.25 at grid index \(3, 2\)") as caught:
        packed_metric(backend.array(g), grid)
    assert caught.value.index == (3, 2)
    assert caught.value.eigenvalue == pytest.approx(-0.25)
    with pytest.raises(ShapeError, match=r"\(2, 2, 5, 4\).*\(2, 2, 4, 5\)"):
        packed_metric(backend.array(euclidean.swapaxes(2, 3)), grid)
    with pytest.raises(DTypeError):
        packed_metric(backend.array(euclidean, "int64"), grid)
    g[1, 1, 0, 0] = np.nan
    with pytest.raises(NotFiniteError, match=r"metric is not finite: nan at index \(1, 1, 0, 0\)"):
        packed_metric(backend.array(g), grid)


def test_a_singular_metric_is_refused(grid: Grid, euclidean: np.ndarray) -> None:
    g = euclidean.copy()
    g[:, :, 1, 1] = 1.0
    with pytest.raises(NotPositiveDefiniteError, match=r"\(1, 1\)"):
        packed_metric(g, grid)


def test_vectors_are_checked(grid: Grid) -> None:
    checked_vector(np.zeros((2, 4, 5)), grid)
    with pytest.raises(ShapeError, match=r"flow has shape \(3, 4, 5\).*\(2, 4, 5\)"):
        checked_vector(np.zeros((3, 4, 5)), grid, "flow")
    with pytest.raises(NotFiniteError, match="flow"):
        checked_vector(np.full((2, 4, 5), np.inf), grid, "flow")
    with pytest.raises(DTypeError, match="flow"):
        checked_vector(np.zeros((2, 4, 5), dtype=int), grid, "flow")


def test_curvature_is_for_two_to_four_dimensions() -> None:
    with pytest.raises(InvalidArgumentError, match="2 to 4 axes; this one has 1"):
        metric_dimension(Grid.torus(8))
