"""diag(sech^2): linear algebra, flat coordinates, geodesics and distances."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne.lne import HessianLNEMetric, LNEMetric


def pair(batch=(3,), n=5, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((2, *batch, n))


def test_linear_algebra():
    x, v = pair()
    metric = HessianLNEMetric(0.9)
    h = metric.matrix(x)
    np.testing.assert_allclose(np.diagonal(h, axis1=-2, axis2=-1), np.cosh(0.9 * x) ** -2)
    np.testing.assert_allclose(metric.apply(x, v), (h @ v[..., None])[..., 0], rtol=1e-14)
    np.testing.assert_allclose(metric.solve(x, metric.apply(x, v)), v, rtol=1e-14)
    np.testing.assert_allclose(metric.determinant(x), np.linalg.det(h), rtol=1e-13)
    assert metric.is_positive_definite(x).tolist() == [True] * 3
    assert metric.is_diagonally_dominant(x).tolist() == [True] * 3
    with pytest.raises(UnknownNameError, match="exact"):
        metric.solve(x, v, method="weak")


def test_it_is_not_the_metric_of_eq_16():
    x, v = pair()
    assert np.max(np.abs(HessianLNEMetric(0.5).apply(x, v) - LNEMetric(0.5).apply(x, v))) > 0.1


def test_large_arguments(mp):
    metric = HessianLNEMetric(2.0)
    x = np.asarray([5.0, 50.0, 150.0, -170.0])
    exact = [float(mp.sech(2 * mp.mpf(v)) ** 2) for v in x]
    np.testing.assert_allclose(metric.apply(x, np.ones(4)), exact, rtol=1e-13)
    np.testing.assert_allclose(metric.solve(x, np.ones(4)), 1.0 / np.asarray(exact), rtol=1e-13)
    for dtype in (np.float32, np.float64):
        far = np.asarray([1e4, -1e6], dtype=dtype)
        one = np.ones(2, dtype=dtype)
        for result in (metric.apply(far, one), metric.solve(far, one), metric.to_flat(far)):
            assert np.all(np.isfinite(result))
            assert np.all(result != 0.0)
        assert np.isfinite(metric.distance(far, -far))


def test_flat_coordinates_round_trip():
    x, _ = pair(scale=4.0)
    metric = HessianLNEMetric(0.9)
    y = metric.to_flat(x)
    np.testing.assert_allclose(y, np.arctan(np.sinh(0.9 * x)) / 0.9, rtol=1e-13)
    np.testing.assert_allclose(metric.from_flat(y), x, rtol=1e-9)
    assert np.max(np.abs(y)) < 0.5 * np.pi / 0.9


def test_the_metric_is_euclidean_in_flat_coordinates(torch):
    x = torch.asarray(pair(batch=())[0])
    metric = HessianLNEMetric(0.9)
    j = torch.func.jacrev(metric.to_flat)(x)
    torch.testing.assert_close(j.T @ j, metric.matrix(x), rtol=1e-13, atol=1e-15)


def test_exp_against_the_geodesic_equation():
    x, v = pair(batch=(), scale=0.7)
    metric = HessianLNEMetric(0.8)
    n = x.shape[0]

    def rhs(_, state):
        point, velocity = state[:n], state[n:]
        return np.concatenate([velocity, -metric.christoffel(point, velocity, velocity)])

    path = solve_ivp(rhs, (0.0, 1.0), np.concatenate([x, v]), rtol=1e-11, atol=1e-12)
    end = metric.exp(x, v)
    assert np.max(np.abs(end - (x + v))) > 1e-2
    np.testing.assert_allclose(end, path.y[:n, -1], atol=1e-8)
    np.testing.assert_allclose(metric.log(x, end), v, rtol=1e-12)
    assert metric.distance(x, end) == pytest.approx(
        np.sqrt(v @ metric.apply(x, v)), rel=1e-13, abs=0.0
    )


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 4.0])
def test_exp_undoes_log(scale):
    x, step = pair(batch=(20,))
    y = x + scale * step
    metric = HessianLNEMetric(0.9)
    v = metric.log(x, y)
    np.testing.assert_allclose(metric.exp(x, v) - x, y - x, rtol=1e-7, atol=1e-16)
    np.testing.assert_allclose(metric.exp(x, v), y, rtol=1e-7 if scale > 1 else 1e-12)
    speed = np.sqrt(np.sum(v * metric.apply(x, v), axis=-1))
    np.testing.assert_allclose(metric.distance(x, y), speed, rtol=1e-12)
    np.testing.assert_allclose(metric.distance(y, x), speed, rtol=1e-12)


def test_distance_and_log_next_to_each_other_and_far_apart(mp):
    cases = [(0.3, 0.3 + 1e-9), (5.0, 5.0 + 1e-7), (-4.0, 3.0), (20.0, 21.5), (-300.0, 2.0)]
    tau = 1.5

    def gd(v):
        return 2 * mp.atan(mp.tanh(v / 2))

    for a, b in cases:
        with mp.workdps(400):
            angle = gd(tau * mp.mpf(b)) - gd(tau * mp.mpf(a))
            distance = float(abs(angle) / tau)
            velocity = angle * mp.cosh(tau * mp.mpf(a)) / tau
        metric = HessianLNEMetric(tau)
        x, y = np.asarray([a]), np.asarray([b])
        assert metric.distance(x, y) == pytest.approx(distance, rel=1e-13, abs=0.0)
        if a > -100:
            assert metric.log(x, y)[0] == pytest.approx(float(velocity), rel=1e-13, abs=0.0)


def test_triangle_equality_along_a_geodesic():
    x, v = pair(batch=(), scale=0.5)
    metric = HessianLNEMetric(1.0)
    middle, end = metric.exp(x, 0.5 * v), metric.exp(x, v)
    parts = metric.distance(x, middle) + metric.distance(middle, end)
    assert metric.distance(x, end) == pytest.approx(parts, rel=1e-13, abs=0.0)


def test_leaving_the_cube_is_an_error(backend):
    metric = HessianLNEMetric(2.0)
    half_side = 0.5 * np.pi / 2.0
    x = np.zeros((2, 3))
    v = np.zeros((2, 3))
    v[1, 2] = half_side * (1.0 + 1e-12)
    for sign in (1.0, -1.0, 1.9, -1.9, 3.7, 40.0):
        with pytest.raises(InvalidArgumentError, match=r"batch index \(1,\), coordinate 2"):
            metric.exp(backend(x), backend(sign * v))
    with pytest.raises(InvalidArgumentError, match=r"batch index \(\), coordinate 0"):
        metric.from_flat(backend(np.asarray([half_side, 0.0])))
    v[1, 2] = half_side * (1.0 - 1e-12)
    end = np.asarray(metric.exp(backend(x), backend(v)))
    assert 10.0 < end[1, 2] < 20.0


def test_exp_crosses_nearly_the_whole_cube():
    metric = HessianLNEMetric(1.0)
    x, y = np.asarray([9.0, -9.0]), np.asarray([-8.0, 9.5])
    np.testing.assert_allclose(metric.exp(x, metric.log(x, y)), y, rtol=1e-8)
    with pytest.raises(InvalidArgumentError, match="coordinate 0"):
        metric.exp(x, 1.001 * metric.log(x, y))
