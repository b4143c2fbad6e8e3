"""The LNE potential and divergence: against many digits, derivatives, and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne.lne import HessianLNEMetric, LNEMetric, lne_divergence, lne_potential

finite = st.floats(-1e3, 1e3, allow_subnormal=False)


def exact_divergence(mp, x, y, tau):
    """The definition, with digits to spare for exp(-2 tau |x|)."""
    with mp.workdps(int(60 + 2 * tau * max(abs(x), abs(y)))):
        a, b, scale = mp.mpf(float(x)), mp.mpf(float(y)), mp.mpf(float(tau))
        ratio = mp.log(mp.cosh(scale * a) / mp.cosh(scale * b)) / scale**2
        return float(ratio - (a - b) * mp.tanh(scale * b) / scale)


PAIRS = [
    (start + step, start)
    for start in (0.0, 1e-3, 0.3, -1.7, 4.0, -12.0, 40.0)
    for step in (1e-9, -1e-6, 1e-3, -0.05, 0.08, -0.0834, 0.2, -0.9, 3.0, -30.0)
]


@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_divergence_has_a_small_relative_error(mp, x, y):
    tau = 1.5
    value = float(lne_divergence(np.asarray([x]), np.asarray([y]), tau))
    # tau * y rounds, and exp(-2 tau y) has that error times 2 tau y
    tolerance = 1e-14 * (10.0 + 2.0 * tau * abs(y))
    assert value == pytest.approx(exact_divergence(mp, x, y, tau), rel=tolerance, abs=0.0)


def test_random_points_close_to_each_other(mp):
    rng = np.random.default_rng(0)
    for tau in (0.1, 1.0, 7.0):
        for gap in (1e-8, 1e-6, 1e-2, 1.0):
            y = rng.standard_normal()
            x = y + gap * rng.standard_normal()
            value = float(lne_divergence(np.asarray([x]), np.asarray([y]), tau))
            assert value == pytest.approx(exact_divergence(mp, x, y, tau), rel=1e-12, abs=0.0)


@pytest.mark.parametrize("tau", [1.0, 1e3])
def test_huge_arguments(tau):
    x, y = np.asarray([1e5, -1e5, 1e5]), np.asarray([-1e5, 1e5, 1e5])
    # log cosh is |z| - log 2 there: each of the first two terms is 4e5/tau
    assert lne_divergence(x, y, tau) == pytest.approx(4e5 / tau, rel=1e-13, abs=0.0)
    near_zero = lne_divergence(np.asarray([1e5]), np.asarray([0.0]), tau)
    assert near_zero == pytest.approx(1e5 / tau - np.log(2.0) / tau**2, rel=1e-13, abs=0.0)
    assert lne_potential(x, tau) == pytest.approx(
        3 * (1e5 / tau - np.log(2) / tau**2), rel=1e-14, abs=0.0
    )


@pytest.mark.parametrize("z", [1e-12, 1e-5, 0.3, 0.9999, 1.0001, 5.0, 300.0, 1e4])
def test_potential(mp, z):
    with mp.workdps(60):
        exact = float(mp.log(mp.cosh(mp.mpf(z))))
    assert lne_potential(np.asarray([z]), 1.0) == pytest.approx(exact, rel=1e-14, abs=0.0)
    assert lne_potential(np.asarray([-z]), 1.0) == pytest.approx(exact, rel=1e-14, abs=0.0)
    assert lne_potential(np.asarray([z / 4.0]), 4.0) == pytest.approx(
        exact / 16.0, rel=1e-14, abs=0.0
    )


@given(finite, finite, st.floats(1e-3, 10.0))
def test_divergence_is_not_negative_and_symmetric_under_reflection(x, y, tau):
    a, b = np.asarray([x]), np.asarray([y])
    value = lne_divergence(a, b, tau)
    assert value >= 0.0
    assert lne_divergence(-a, -b, tau) == pytest.approx(value, rel=1e-14, abs=0.0)
    assert lne_divergence(a, a, tau) == 0.0


def test_divergence_is_the_bregman_divergence_of_the_potential():
    x, y = np.random.default_rng(1).standard_normal((2, 4, 6))
    tau = 0.7
    gradient = np.tanh(tau * y) / tau
    expected = lne_potential(x, tau) - lne_potential(y, tau) - np.sum((x - y) * gradient, axis=-1)
    assert lne_divergence(x, y, tau).shape == (4,)
    np.testing.assert_allclose(lne_divergence(x, y, tau), expected, rtol=1e-12)
    assert np.max(np.abs(lne_divergence(y, x, tau) - expected)) > 1e-2
    for metric in (LNEMetric(tau), HessianLNEMetric(tau)):
        np.testing.assert_array_equal(metric.divergence(x, y), lne_divergence(x, y, tau))


def test_second_order_term_is_the_hessian_metric(torch):
    y = torch.asarray([0.0, 0.4, -1.1, 2.0, -6.0, 1e-9], dtype=torch.float64)
    tau = 0.8
    h = HessianLNEMetric(tau).matrix(y)
    first, second = (
        torch.func.jacrev(lambda x: lne_divergence(x, y, tau)),
        torch.func.jacrev(torch.func.jacrev(lambda x: lne_divergence(x, y, tau))),
    )
    torch.testing.assert_close(first(y), torch.zeros_like(y), rtol=0, atol=1e-15)
    torch.testing.assert_close(second(y), h, rtol=1e-10, atol=1e-12)
    # minus the mixed derivative is the same matrix; so is the second derivative in y at x = y
    mixed = torch.func.jacrev(
        torch.func.jacrev(lambda a, b: lne_divergence(a, b, tau), argnums=0), argnums=1
    )(y, y)
    torch.testing.assert_close(-mixed, h, rtol=1e-10, atol=1e-12)
    potential = torch.func.jacrev(torch.func.jacrev(lambda x: lne_potential(x, tau)))
    torch.testing.assert_close(potential(y), h, rtol=1e-10, atol=1e-12)


def test_first_derivative_away_from_equality(torch):
    rng = np.random.default_rng(4)
    x, y = torch.asarray(3.0 * rng.standard_normal((2, 40)))
    y[:5], x[5:10] = 0.0, 0.0
    tau = 0.8
    gradient = torch.func.grad(lambda a: lne_divergence(a, y, tau))(x)
    expected = (torch.tanh(tau * x) - torch.tanh(tau * y)) / tau
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)


def test_one_tau_for_each_block():
    x, y = np.random.default_rng(1).standard_normal((2, 3, 6))
    tau = np.asarray([0.1, 1.0, 5.0])
    each = [lne_divergence(a, b, float(s)) for a, b, s in zip(x, y, tau, strict=True)]
    np.testing.assert_allclose(lne_divergence(x, y, tau), each, rtol=1e-14)
    np.testing.assert_allclose(lne_divergence(x[0], y, tau)[0], each[0], rtol=1e-14)


def test_single_precision_next_to_equality():
    y = np.linspace(-2.0, 2.0, 101, dtype=np.float32)
    x = y + np.float32(1e-4)
    value = lne_divergence(x, y, 1.0)
    wide = lne_divergence(x.astype(float), y.astype(float), 1.0)
    assert value.dtype == np.float32
    assert value == pytest.approx(wide, rel=2e-6, abs=0.0)
