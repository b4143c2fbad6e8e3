"""Eq. 16 plus a diagonal: against dense matrices, in pieces, and its limits."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.arrays import to_numpy
from riemann_lne.errors import InvalidArgumentError, NotPositiveDefiniteError, UnknownNameError

RNG = np.random.default_rng(0)
X, V = 0.2 * RNG.standard_normal((2, 6)), RNG.standard_normal((2, 6))
D = RNG.exponential(size=(2, 6))


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 1e6])
def test_solve_is_the_dense_inverse(backend, size):
    metric = rl.ShiftedLNEMetric(0.9, backend(size * D))
    x, v = backend(X), backend(V)
    t = np.tanh(0.9 * X)
    g = np.eye(6) * (1.0 + size * D)[:, None] - t[:, :, None] * t[:, None]
    expected = np.linalg.solve(g, V[..., None])[..., 0]
    np.testing.assert_allclose(to_numpy(metric.solve(x, v)), expected, rtol=1e-11, atol=1e-16)
    np.testing.assert_allclose(to_numpy(metric.matrix(x)), g, rtol=1e-13, atol=1e-14)
    back = to_numpy(metric.apply(x, metric.solve(x, v)))
    np.testing.assert_allclose(back, V, rtol=1e-11, atol=1e-11)


def test_no_shift_is_the_metric_itself_and_an_equal_one_a_smaller_rank_one_part():
    plain, metric = rl.ShiftedLNEMetric(0.7, 0.0), rl.LNEMetric(0.7)
    np.testing.assert_allclose(plain.solve(X, V), metric.solve(X, V), rtol=1e-14)
    t = np.tanh(0.7 * X)
    twice = np.linalg.inv(2.0 * np.eye(6) - t[:, :, None] * t[:, None]) @ V[..., None]
    np.testing.assert_allclose(rl.ShiftedLNEMetric(0.7, 1.0).solve(X, V), twice[..., 0], rtol=1e-12)


@pytest.mark.parametrize("cut", [1, 5])
def test_a_block_in_pieces(cut):
    places = (slice(None, cut), slice(cut, None))
    metrics = [rl.ShiftedLNEMetric(0.8, D[:, p]) for p in places]
    pieces = [m.solve_sums(X[:, p], V[:, p]) for m, p in zip(metrics, places, strict=True)]
    _, bent, along, square = (sum(s) for s in zip(*pieces, strict=True))
    c = along / (1.0 - bent)
    found = [m.finish(X[:, p], V[:, p], c) for m, p in zip(metrics, places, strict=True)]
    expected = rl.ShiftedLNEMetric(0.8, D).solve(X, V)
    np.testing.assert_allclose(np.concatenate(found, -1), expected, rtol=1e-13)
    np.testing.assert_allclose(square, (V * V).sum(-1), rtol=1e-14)


def test_bad_arguments():
    for shift in (-1.0, np.nan, np.asarray([0.1, -0.1])):
        with pytest.raises(InvalidArgumentError, match="shift must be finite and not negative"):
            rl.ShiftedLNEMetric(1.0, shift)
    with pytest.raises(UnknownNameError, match="exact"):
        rl.ShiftedLNEMetric(1.0, 1.0).solve(X, V, "weak")
    with pytest.raises(NotPositiveDefiniteError, match="not positive definite"):
        rl.ShiftedLNEMetric(9.0, 1.0).solve(X, V)
