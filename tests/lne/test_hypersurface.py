"""The Minkowski embedding and the curvature that comes from it."""

import numpy as np
import pytest

from riemann_lne.errors import InvalidArgumentError, NotPositiveDefiniteError, ShapeError
from riemann_lne.lne import HessianLNEMetric, LNEMetric, auto_tau, minkowski_product

RNG = np.random.default_rng(3)
X = RNG.standard_normal((4, 5))
METRIC = LNEMetric(auto_tau(X, 0.7))


def test_the_pulled_back_minkowski_metric_is_g(torch):
    x = torch.asarray(X[0])
    metric = LNEMetric(float(METRIC.tau[0]))
    j = torch.func.jacrev(metric.embedding)(x)
    eta = torch.diag(torch.asarray([1.0] * 5 + [-1.0], dtype=torch.float64))
    torch.testing.assert_close(j.T @ eta @ j, metric.matrix(x), rtol=1e-14, atol=1e-15)


def test_minkowski_product():
    a, b = RNG.standard_normal((2, 3, 4))
    expected = np.sum(a * b, axis=-1) - 2 * a[:, -1] * b[:, -1]
    np.testing.assert_allclose(minkowski_product(a, b), expected, rtol=1e-13)
    with pytest.raises(ShapeError, match="space and a time"):
        minkowski_product(np.ones(1), np.ones(1))


def test_riemann_against_automatic_differentiation(torch):
    from .test_curvature import reference

    metric = LNEMetric(float(METRIC.tau[0]))
    riemann = reference(torch, metric, torch.asarray(X[0]))[1].numpy()
    u, v, w = RNG.standard_normal((3, 5))
    expected = np.einsum("lijk,i,j,k->l", riemann, u, v, w)
    assert np.max(np.abs(expected)) > 0.1
    np.testing.assert_allclose(metric.riemann(X[0], u, v, w), expected, atol=1e-11)
    g = metric.matrix(X[0])
    area = (u @ g @ u) * (v @ g @ v) - (u @ g @ v) ** 2
    sectional = (u @ g @ np.einsum("lijk,i,j,k->l", riemann, u, v, v)) / area
    np.testing.assert_allclose(metric.sectional_curvature(X[0], u, v), sectional, rtol=1e-11)


def test_ricci_is_the_trace_of_riemann():
    eye = np.eye(5)
    for k in range(5):
        column = sum(METRIC.riemann(X, eye[i], eye[j], eye[k])[:, [i]] * eye[j]
                     for i in range(5) for j in range(5))  # fmt: skip
        np.testing.assert_allclose(column, METRIC.ricci(X).matrix()[:, :, k], atol=1e-11)


def test_symmetries_and_sign():
    u, v, w, z = RNG.standard_normal((4, 4, 5))

    def lowered(a, b, c, d):
        return np.sum(METRIC.apply(X, METRIC.riemann(X, a, b, c)) * d, axis=-1)

    np.testing.assert_allclose(lowered(u, v, w, z), -lowered(v, u, w, z), rtol=1e-12)
    np.testing.assert_allclose(lowered(u, v, w, z), lowered(w, z, u, v), rtol=1e-9)
    np.testing.assert_allclose(
        lowered(u, v, w, z) + lowered(v, w, u, z) + lowered(w, u, v, z), 0.0, atol=1e-12
    )
    k = METRIC.sectional_curvature(X, u, v)
    assert np.all(k < 0.0)
    np.testing.assert_allclose(METRIC.sectional_curvature(X, v, 3 * u - v), k, rtol=1e-10)
    np.testing.assert_allclose(METRIC.sectional_curvature(X, u, u + 1e-6 * v), k, rtol=1e-6)


def test_sectional_curvature_at_the_origin():
    u, v = RNG.standard_normal((2, 5))
    np.testing.assert_allclose(
        LNEMetric(1.5).sectional_curvature(np.zeros(5), u, v), -(1.5**2), rtol=1e-12
    )
    assert HessianLNEMetric(1.5).sectional_curvature(np.zeros(5), u, v) == 0.0
    np.testing.assert_array_equal(HessianLNEMetric(1.5).riemann(X, u, v, v), 0.0 * X)


def test_bad_input():
    with pytest.raises(InvalidArgumentError, match=r"no plane at batch index \(0,\)"):
        METRIC.sectional_curvature(X, X, 2 * X)
    with pytest.raises(NotPositiveDefiniteError):
        LNEMetric(5.0).sectional_curvature(X, X, X + 1)
    with pytest.raises(NotPositiveDefiniteError):
        LNEMetric(5.0).riemann(X, X, X, X)
    with pytest.raises(ShapeError):
        METRIC.riemann(X, X, np.ones(3), X)
