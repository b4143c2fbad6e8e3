"""g - 2 T Ric and blocks in pieces, against dense matrices."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.arrays import to_numpy
from riemann_lne.errors import InvalidArgumentError, NotPositiveDefiniteError, UnknownNameError
from riemann_lne.lne import FlowedLNEMetric
from riemann_lne.lne.pieces import PieceSums, inverse_coefficient

RNG = np.random.default_rng(0)
X = 0.2 * RNG.standard_normal((2, 6))
V = RNG.standard_normal((2, 6))


@pytest.mark.parametrize("time", [0.0, 1e-3, 0.3, 1e4])
def test_solve_is_the_dense_inverse(backend, time):
    metric = FlowedLNEMetric(0.9, time)
    x, v = backend(X), backend(V)
    found = to_numpy(metric.solve(x, v))
    g = to_numpy(rl.LNEMetric(0.9).matrix(x)) - 2 * time * to_numpy(
        rl.LNEMetric(0.9).ricci(x).matrix()
    )
    assert np.linalg.eigvalsh(g).min() > 0
    expected = np.linalg.solve(g, V[..., None])[..., 0]
    # relative to the result, times the condition number of the dense solve
    tolerance = 1e-15 * np.linalg.cond(g).max() * 10
    assert np.abs(found - expected).max() < tolerance * np.abs(expected).max() + 1e-13 / (1 + time)
    np.testing.assert_allclose(to_numpy(metric.matrix(x)), g, rtol=1e-13, atol=1e-13 * (1 + time))
    back = to_numpy(metric.apply(x, metric.solve(x, v)))
    np.testing.assert_allclose(back, V, rtol=1e-11, atol=1e-11)


def test_no_time_is_the_metric_itself():
    np.testing.assert_allclose(
        FlowedLNEMetric(0.7, 0.0).solve(X, V), rl.LNEMetric(0.7).solve(X, V), rtol=1e-14
    )


def test_one_weight_is_flat_and_does_not_flow():
    x, v = X[..., :1], V[..., :1]
    np.testing.assert_allclose(
        FlowedLNEMetric(0.7, 5.0).solve(x, v), rl.HessianLNEMetric(0.7).solve(x, v), rtol=1e-13
    )


def test_tau_and_time_for_each_block():
    tau, time = np.asarray([0.5, 1.1]), np.asarray([0.2, 3.0])
    found = FlowedLNEMetric(tau, time).solve(X, V)
    for i in range(2):
        one = FlowedLNEMetric(float(tau[i]), float(time[i]))
        np.testing.assert_allclose(found[i], one.solve(X[i], V[i]), rtol=1e-13)
        both = FlowedLNEMetric(tau, time)
        np.testing.assert_allclose(both.matrix(X)[i], one.matrix(X[i]), rtol=1e-13)
        np.testing.assert_allclose(both.apply(X, V)[i], one.apply(X[i], V[i]), rtol=1e-13)


def test_bad_arguments():
    for time in (-1.0, np.nan, np.asarray([0.1, -0.1])):
        with pytest.raises(InvalidArgumentError, match="time must be finite and not negative"):
            FlowedLNEMetric(1.0, time)
    with pytest.raises(UnknownNameError, match="exact"):
        FlowedLNEMetric(1.0, 1.0).solve(X, V, "weak")
    with pytest.raises(NotPositiveDefiniteError, match="not positive definite"):
        FlowedLNEMetric(9.0, 1.0).solve(X, V)


@pytest.mark.parametrize("cut", [1, 3, 5])
@pytest.mark.parametrize("method", ["exact", "weak"])
def test_a_block_in_pieces(backend, cut, method):
    halves = [(X[..., :cut], V[..., :cut]), (X[..., cut:], V[..., cut:])]
    halves = [(backend(x), backend(v)) for x, v in halves]
    sums = PieceSums(0.8)
    norm2, along, square = (sum(s) for s in zip(*(sums.solve(*h) for h in halves), strict=True))
    c = inverse_coefficient(norm2, along, method)
    found = np.concatenate([to_numpy(sums.finish(*h, c)) for h in halves], axis=-1)
    expected = rl.LNEMetric(0.8).solve(X, V, method)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(to_numpy(square), (V * V).sum(-1), rtol=1e-14)
    flowed = FlowedLNEMetric(0.8, 0.4)
    first = tuple(sum(s) for s in zip(*(flowed.curvature_sums(x) for x, _ in halves), strict=True))
    second = [flowed.solve_sums(*h, first) for h in halves]
    second = tuple(sum(s) for s in zip(*second, strict=True))
    found = np.concatenate([to_numpy(flowed.finish(*h, first, second)) for h in halves], axis=-1)
    np.testing.assert_allclose(found, flowed.solve(X, V), rtol=1e-13, atol=1e-14)


def test_the_slope_in_log_tau():
    step = 1e-6
    up, down = PieceSums(0.8 * np.exp(step)).scale(X)[0], PieceSums(0.8 * np.exp(-step)).scale(X)[0]
    norm2, half = PieceSums(0.8).scale(X)
    np.testing.assert_allclose(half, (up - down) / (4 * step), rtol=1e-9)
    np.testing.assert_allclose(norm2, rl.LNEMetric(0.8).norm2(X), rtol=1e-14)
