"""The dual of the LNE potential, the potentials of mirror descent, and what holds for both."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne.errors import InvalidArgumentError
from riemann_lne.lne import (
    EuclideanPotential,
    LNEPotential,
    NegativeEntropy,
    lne_divergence,
    lne_dual_divergence,
    lne_dual_potential,
    lne_potential,
)

POTENTIALS = [LNEPotential(0.7), LNEPotential(3.0), EuclideanPotential(), NegativeEntropy()]
seeds = st.integers(0, 2**32 - 1)


def admissible(potential, rng, shape):
    x = rng.standard_normal(shape)
    return np.abs(x) + 0.01 if isinstance(potential, NegativeEntropy) else x


@given(seeds, st.floats(0.1, 5.0))
def test_fenchel_young(seed, tau):
    """Phi(x) + Phi*(p) - x.p is D[x : x(p)], never negative, 0 at the mirror point."""
    x, y = np.random.default_rng(seed).standard_normal((2, 6))
    p = np.tanh(tau * y) / tau
    gap = lne_potential(x, tau) + lne_dual_potential(p, tau) - x @ p
    assert gap == pytest.approx(lne_divergence(x, y, tau), rel=1e-6, abs=1e-12)
    q = np.tanh(tau * x) / tau
    assert lne_dual_potential(q, tau) == pytest.approx(
        x @ q - lne_potential(x, tau), rel=1e-9, abs=1e-12
    )


@given(seeds, st.floats(0.1, 3.0))
def test_dual_divergence_exchanges_the_arguments(seed, tau):
    x, y = np.random.default_rng(seed).standard_normal((2, 6))
    p, q = np.tanh(tau * x) / tau, np.tanh(tau * y) / tau
    # p loses digits next to 1/tau: tau^2 cosh^2 of them
    assert lne_dual_divergence(p, q, tau) == pytest.approx(
        lne_divergence(y, x, tau), rel=1e-8, abs=1e-13
    )
    plain = lne_dual_potential(p, tau) - lne_dual_potential(q, tau) - (p - q) @ y
    assert lne_dual_divergence(p, q, tau) == pytest.approx(plain, rel=1e-7, abs=1e-12)


def test_dual_divergence_of_close_points_has_its_digits(mp):
    for w, d in ((0.3, 1e-9), (-0.8, 1e-5), (0.9, 0.05), (0.0, 0.7), (0.5, -0.2)):
        u = w + d

        def excess(a, b):
            return a * mp.log(a / b)

        big_u, big_w = mp.mpf(u), mp.mpf(w)
        expected = (excess(1 + big_u, 1 + big_w) + excess(1 - big_u, 1 - big_w)) / 2
        value = lne_dual_divergence(np.asarray([u]), np.asarray([w]), 1.0)
        assert value == pytest.approx(float(expected), rel=1e-14, abs=0.0)


def test_ends_of_the_dual_domain():
    one = np.asarray([1.0, -1.0])
    assert lne_dual_potential(one, 1.0) == pytest.approx(2 * np.log(2), rel=1e-15, abs=0.0)
    assert lne_dual_divergence(one, 0 * one, 1.0) == pytest.approx(2 * np.log(2), rel=1e-15)
    with pytest.raises(InvalidArgumentError, match=r"p lies outside .* \(1,\)"):
        lne_dual_potential(np.asarray([0.1, 1.1]), 1.0)
    with pytest.raises(InvalidArgumentError, match=r"q lies outside .* less than 1"):
        lne_dual_divergence(0 * one, one, 1.0)


@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
@given(seed=seeds)
def test_three_point_identity(potential, seed):
    """D[x:z] = D[x:y] + D[y:z] + (x - y).(grad(y) - grad(z)), the law of cosines."""
    x, y, z = admissible(potential, np.random.default_rng(seed), (3, 5))
    d = potential.divergence
    turn = np.sum((x - y) * potential.gradient_difference(y, z))
    assert d(x, z) == pytest.approx(d(x, y) + d(y, z) + turn, rel=1e-9, abs=1e-12)


@given(seed=seeds)
def test_three_point_identity_of_the_dual(seed):
    x, y, z = np.random.default_rng(seed).standard_normal((3, 5))
    p, q, r = np.tanh([x, y, z])
    turn = np.sum((p - q) * (y - z))
    expected = lne_dual_divergence(p, q, 1.0) + lne_dual_divergence(q, r, 1.0) + turn
    assert lne_dual_divergence(p, r, 1.0) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("potential", POTENTIALS, ids=repr)
@given(seed=seeds)
def test_what_a_potential_promises(potential, seed):
    x, y = admissible(potential, np.random.default_rng(seed), (2, 5))
    h = 1e-6
    for i in range(5):
        e = h * np.eye(5)[i] * min(1.0, x[i] if x[i] > 0 else 1.0)
        slope = (potential.value(x + e) - potential.value(x - e)) / (2 * e[i])
        assert potential.gradient(x)[i] == pytest.approx(slope, rel=1e-4, abs=1e-5)
        bend = (potential.gradient(x + e) - potential.gradient(x - e))[i] / (2 * e[i])
        assert potential.hessian(x)[i] == pytest.approx(bend, rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(potential.inverse_gradient(potential.gradient(x)), x, rtol=1e-6)
    difference = potential.gradient_difference(x, y)
    np.testing.assert_allclose(
        difference, potential.gradient(x) - potential.gradient(y), rtol=1e-7, atol=1e-14
    )
    np.testing.assert_allclose(potential.raised(y, difference), x, rtol=1e-6, atol=1e-12)
    largest = max(np.max(np.abs(x)), np.max(np.abs(y)))
    modulus = potential.modulus(float(largest))
    assert np.min(potential.hessian(x)) >= modulus * (1 - 1e-12)
    assert potential.divergence(x, y) >= 0.5 * modulus * np.sum((x - y) ** 2) * (1 - 1e-9)


def test_the_modulus_is_attained():
    assert LNEPotential(2.0).modulus(1.5) == pytest.approx(
        1 / np.cosh(3.0) ** 2, rel=1e-14, abs=0.0
    )
    assert LNEPotential(2.0).modulus(1e4) == 0.0


def test_domain_of_the_entropy():
    with pytest.raises(InvalidArgumentError, match=r"index \(1,\)"):
        NegativeEntropy().value(np.asarray([1.0, -1.0]))
    with pytest.raises(InvalidArgumentError, match="greater than 0"):
        NegativeEntropy().gradient(np.asarray([1.0, 0.0]))
    assert NegativeEntropy().value(np.zeros(2)) == 0.0
    with pytest.raises(InvalidArgumentError, match="one tau"):
        LNEPotential(np.ones(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [-1e3, -3.0, 3.0, 1e3])
def test_a_step_beyond_the_cube_ends_at_its_face_without_overflow(dtype, offset):
    """Where tanh(tau y) + tau offset is past 1, the point is the last one that numbers have."""
    tau, base = 10.0, np.asarray([0.3, -1.0, 5.0], dtype=dtype)
    raised = LNEPotential(tau).raised(base, np.full(3, offset, dtype=dtype))
    assert np.isfinite(raised).all()
    assert (np.sign(raised) == np.sign(offset)).all()
    np.testing.assert_allclose(np.tanh(tau * raised), np.sign(offset), rtol=1e-6)
