"""g = I - t t^T as a matrix: against dense linear algebra, and by properties."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from riemann_lne.errors import NotPositiveDefiniteError
from riemann_lne.lne import HessianLNEMetric, LNEMetric, auto_tau, max_tau
from riemann_lne.testing import weights_by_dominance

numbers = st.floats(-3.0, 3.0, allow_subnormal=False).map(lambda v: 0.0 if abs(v) < 1e-6 else v)
weights = arrays(np.float64, array_shapes(min_dims=1, max_dims=2, max_side=6), elements=numbers)
targets = st.floats(0.02, 0.95)
levels = st.sampled_from([1.0 - 1e-9, 1.0 + 1e-9]) | st.floats(0.0, 0.99) | st.floats(1.01, 1.99)


def admissible(x, target):
    """A metric that is positive definite at x."""
    blocks = np.max(np.abs(x), axis=-1)
    assume(np.all(blocks > 0.0))
    return LNEMetric(auto_tau(x, target))


def sample(n=7, batch=(), seed=0, target=0.7):
    rng = np.random.default_rng(seed)
    x, v = rng.standard_normal((2, *batch, n))
    return LNEMetric(auto_tau(x, target)), x, v


@given(weights, targets, st.integers(0, 2**32 - 1))
def test_solve_undoes_apply(x, target, seed):
    metric = admissible(x, target)
    v = np.random.default_rng(seed).standard_normal(x.shape)
    np.testing.assert_allclose(metric.solve(x, metric.apply(x, v)), v, atol=1e-12)
    np.testing.assert_allclose(metric.apply(x, metric.solve(x, v)), v, atol=1e-12)


@given(weights, targets)
def test_determinant_is_one_minus_norm2(x, target):
    metric = admissible(x, target)
    np.testing.assert_allclose(metric.determinant(x), 1.0 - metric.norm2(x), rtol=1e-12)
    np.testing.assert_allclose(metric.determinant(x), np.linalg.det(metric.matrix(x)), rtol=1e-10)


@given(weights, st.floats(1e-2, 5.0))
def test_positive_definite_exactly_when_the_dense_matrix_is(x, tau):
    metric = LNEMetric(tau)
    smallest = np.linalg.eigvalsh(metric.matrix(x))[..., 0]
    assume(np.all(np.abs(smallest) > 1e-10))
    np.testing.assert_array_equal(metric.is_positive_definite(x), smallest > 0.0)
    np.testing.assert_array_equal(metric.is_positive_definite(x), metric.norm2(x) < 1.0)


@given(st.data(), st.integers(2, 9), st.floats(1e-2, 5.0), st.tuples(levels, levels))
def test_diagonal_dominance_is_that_of_the_rows_up_to_its_boundary(data, n, tau, both):
    x = np.stack([data.draw(weights_by_dominance(n, level, tau)) for level in both])
    metric, dominant = LNEMetric(tau), np.asarray(both) < 1.0
    g = np.abs(metric.matrix(x))
    rows = 2.0 * np.diagonal(g, axis1=-2, axis2=-1) > np.sum(g, axis=-1)
    np.testing.assert_array_equal(metric.is_diagonally_dominant(x), dominant)
    np.testing.assert_array_equal(np.all(rows, axis=-1), dominant)
    assert np.all(metric.is_positive_definite(x) >= dominant)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_against_dense_linear_algebra(batch):
    metric, x, v = sample(batch=batch)
    g = metric.matrix(x)
    t = np.tanh(np.expand_dims(metric.tau, -1) * x)
    np.testing.assert_allclose(g, np.eye(7) - t[..., :, None] * t[..., None, :], atol=1e-15)
    np.testing.assert_allclose(metric.apply(x, v), (g @ v[..., None])[..., 0], atol=1e-14)
    dense = np.linalg.solve(g, v[..., None])[..., 0]
    np.testing.assert_allclose(metric.solve(x, v), dense, atol=1e-12)
    np.testing.assert_allclose(metric.norm2(x), np.sum(t * t, axis=-1), rtol=1e-14)
    np.testing.assert_allclose(metric.eigenvalues(x), np.linalg.eigvalsh(g), atol=1e-13)
    assert metric.norm2(x).shape == metric.determinant(x).shape == batch


def test_error_of_the_weak_inverse():
    metric, x, _ = sample()
    t = np.tanh(metric.tau * x)
    weak = np.stack([metric.solve(x, e, method="weak") for e in np.eye(7)], axis=-1)
    error = metric.matrix(x) @ weak - np.eye(7)
    np.testing.assert_allclose(error, -metric.norm2(x) * np.outer(t, t), atol=1e-14)
    exact = np.stack([metric.solve(x, e) for e in np.eye(7)], axis=-1)
    assert np.max(np.abs(exact - weak)) > 0.1


def test_weak_inverse_is_defined_where_g_is_indefinite():
    x, v = np.ones((2, 3)), np.ones((2, 3))
    t = np.tanh(2.0)
    result = LNEMetric(2.0).solve(x, v, method="weak")
    np.testing.assert_allclose(result, 1.0 + 3.0 * t * t, rtol=1e-14)


def test_batch_dimensions_broadcast():
    metric, x, _ = sample()
    v = np.random.default_rng(1).standard_normal((4, 3, 7))
    for function in (metric.apply, metric.solve):
        each = [[function(x, row) for row in rows] for rows in v]
        np.testing.assert_allclose(function(x, v), each, atol=1e-14)
        np.testing.assert_allclose(
            function(np.broadcast_to(x, (3, 7)), v[0, 0]),
            [function(x, v[0, 0])] * 3,
            atol=1e-14,
        )


def test_one_tau_for_each_block():
    rng = np.random.default_rng(2)
    x, v = rng.standard_normal((2, 2, 3, 5))
    tau = np.asarray([[0.1], [0.2]])
    result = LNEMetric(tau).solve(x, v)
    for row, value in enumerate((0.1, 0.2)):
        np.testing.assert_allclose(result[row], LNEMetric(value).solve(x[row], v[row]), rtol=1e-14)
    wide = LNEMetric(np.asarray([0.1, 0.2])).apply(x[0, 0], v[0, 0])
    np.testing.assert_allclose(wide[1], LNEMetric(0.2).apply(x[0, 0], v[0, 0]), rtol=1e-14)


@pytest.mark.parametrize("tau", [0.3, 5.0, 10.0, 25.0, 100.0])
def test_a_block_of_one_weight_is_the_hessian_metric_for_every_tau(tau):
    x, v = np.asarray([[1.3], [-0.4]]), np.asarray([[2.0], [3.0]])
    one, hessian = LNEMetric(tau), HessianLNEMetric(tau)
    assert np.all(one.is_positive_definite(x))
    np.testing.assert_allclose(one.determinant(x), hessian.determinant(x), rtol=1e-12)
    np.testing.assert_allclose(one.solve(x, v), hessian.solve(x, v), rtol=1e-10)
    u = np.asarray([[0.5], [0.7]])
    np.testing.assert_allclose(one.christoffel(x, u, v), hessian.christoffel(x, u, v), rtol=1e-10)
    ric = one.ricci(x)
    np.testing.assert_allclose(ric.apply(u), 0.0, atol=1e-13 * tau * tau)
    assert np.all(one.scalar_curvature(x) == 0.0)


def test_one_weight_among_zeros_is_admissible_for_every_tau():
    x = np.asarray([0.0, 3.0, 0.0])
    assert max_tau(x) == np.inf
    metric = LNEMetric(30.0)
    assert metric.is_positive_definite(x)
    assert metric.is_diagonally_dominant(x)
    np.testing.assert_allclose(metric.determinant(x), np.cosh(90.0) ** -2, rtol=1e-12)
    np.testing.assert_allclose(
        metric.solve(x, np.ones(3)), [1.0, np.cosh(90.0) ** 2, 1.0], rtol=1e-12
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x, **k: m.solve(x, x, **k),
        lambda m, x, **k: m.christoffel(x, x, x, **k),
        lambda m, x, **k: m.ricci(x, **k),
        lambda m, x, **k: m.scalar_curvature(x, **k),
        lambda m, x, **k: m.determinant(x, **k),
    ],
)
def test_indefinite_points_are_refused(call, backend):
    x = np.full((2, 3, 4), 0.1)
    x[1, 2] = 0.8
    metric, x = LNEMetric(1.0), backend(x)
    with pytest.raises(NotPositiveDefiniteError) as caught:
        call(metric, x)
    error = caught.value
    gap = 1.0 - 4 * np.tanh(0.8) ** 2
    assert error.index == (1, 2)
    assert error.eigenvalue == pytest.approx(gap, rel=1e-12, abs=0.0)
    for text in ("(1, 2)", f"{1.0 - gap:.6g}", f"{max_tau(np.full(4, 0.8)):.6g}", "auto_tau"):
        assert text in str(error)
    call(metric, x, check=False)


def test_refusal_of_a_single_point_and_of_the_worst_with_many_tau():
    with pytest.raises(NotPositiveDefiniteError, match="at the given point") as caught:
        LNEMetric(1.0).determinant(np.ones(4))
    assert caught.value.index == ()
    with pytest.raises(NotPositiveDefiniteError, match=r"tau is 3 and") as caught:
        LNEMetric(np.asarray([0.1, 3.0, 2.0])).solve(np.full(4, 0.4), np.ones(4))
    assert caught.value.index == (1,)


def test_determinant_without_check_is_negative_beyond_the_limit():
    x = np.ones(4)
    value = LNEMetric(1.0).determinant(x, check=False)
    assert value == pytest.approx(1.0 - 4 * np.tanh(1.0) ** 2, rel=1e-13, abs=0.0)
