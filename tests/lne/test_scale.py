"""max_tau and auto_tau."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, UnknownNameError
from riemann_lne.lne import LNEMetric, auto_tau, max_tau

BLOCKS = {
    "normal": np.random.default_rng(0).standard_normal(1000),
    "one value": np.full(1000, 0.05),
    "two": np.asarray([1.0, -0.3]),
    "one dominates": np.concatenate([[1.0], np.full(50, 1e-6)]),
    "thirty decades": 10.0 ** np.linspace(-30, 0, 40),
    "with zeros": np.asarray([0.0, 2.0, 0.0, -1.0]),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e6])
def test_conditions_change_exactly_at_max_tau(name, unit):
    x = unit * BLOCKS[name]
    for condition, holds in (
        ("positive-definite", lambda tau: LNEMetric(tau).is_positive_definite(x)),
        ("diagonally-dominant", lambda tau: LNEMetric(tau).is_diagonally_dominant(x)),
    ):
        tau = max_tau(x, condition)
        assert isinstance(tau, float)
        assert holds(tau * (1.0 - 1e-10))
        assert not holds(tau * (1.0 + 1e-10))


@pytest.mark.parametrize("small", [1e-5, 1e-20, 1e-200, 1e-300])
def test_max_tau_where_the_largest_weight_saturates(mp, small):
    # 1 - tanh^2 of the larger weight is far below rounding at the root
    with mp.workdps(700):
        t = mp.mpf(max_tau(np.asarray([small, 1.0])))
        definite = mp.log(mp.sech(t)) - mp.log(mp.tanh(t * mp.mpf(small)))
        t = mp.mpf(max_tau(np.asarray([small, 1.0]), "diagonally-dominant"))
        dominant = 2 * mp.log(mp.sech(t)) - mp.log(mp.tanh(t) * mp.tanh(t * mp.mpf(small)))
    assert abs(definite) < 1e-12
    assert abs(dominant) < 1e-12


def test_max_tau_is_infinite_for_at_most_one_weight():
    x = np.asarray([[0.0, 0.0, 0.0], [0.0, -7.0, 0.0], [1.0, 1.0, 0.0]])
    for condition in ("positive-definite", "diagonally-dominant"):
        result = max_tau(x, condition)
        assert np.isinf(result).tolist() == [True, True, False]
        assert max_tau(np.asarray([5.0]), condition) == np.inf
    assert max_tau(x)[2] == pytest.approx(np.arctanh(np.sqrt(0.5)), rel=1e-14, abs=0.0)


def test_dominance_is_the_stronger_condition():
    x = np.random.default_rng(1).standard_normal((5, 4, 30))
    dominant, definite = max_tau(x, "diagonally-dominant"), max_tau(x)
    assert dominant.shape == definite.shape == (5, 4)
    assert np.all(dominant < definite)
    each = [[max_tau(row) for row in rows] for rows in x]
    np.testing.assert_allclose(definite, each, rtol=1e-14)


def test_unknown_condition():
    with pytest.raises(UnknownNameError, match="Did you mean 'positive-definite'"):
        max_tau(np.ones(3), "positive-definit")


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("target", [1e-30, 1e-6, 0.1, 0.5, 0.50001, 0.9, 1 - 1e-9])
def test_auto_tau_meets_its_target(name, unit, target):
    x = unit * BLOCKS[name]
    tau = auto_tau(x, target)
    assert isinstance(tau, float)
    assert LNEMetric(tau).norm2(x) == pytest.approx(target, rel=4e-15, abs=0.0)


@given(st.integers(1, 50), st.floats(1e-12, 1.0, exclude_max=True), st.integers(0, 2**32 - 1))
def test_auto_tau_meets_any_target(n, target, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n) * 10.0 ** rng.uniform(-12, 6, n)
    assert np.sum(np.tanh(auto_tau(x, target) * x) ** 2) == pytest.approx(
        target, rel=1e-14, abs=0.0
    )


def test_auto_tau_of_a_batch_and_in_single_precision():
    x = np.random.default_rng(1).standard_normal((3, 2, 500)) * 1e-3
    tau = auto_tau(x, 0.3)
    assert tau.shape == (3, 2)
    np.testing.assert_allclose(LNEMetric(tau).norm2(x), 0.3, rtol=1e-14)
    single = auto_tau(x.astype(np.float32), 0.3)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, tau, rtol=1e-6)
    assert auto_tau(np.asarray([1e-12], dtype=np.float32), 0.5) == pytest.approx(
        np.arctanh(np.sqrt(0.5)) * 1e12, rel=1e-6
    )


def test_a_block_of_zeros_has_no_tau():
    x = np.ones((2, 3, 4))
    x[1, 2] = 0.0
    with pytest.raises(InvalidArgumentError, match=r"batch index \(1, 2\) holds only zeros"):
        auto_tau(x, 0.5)
    for target in (0.4, 0.6):
        tau = auto_tau(x, target, check=False)
        assert tau[1, 2] == 1.0
        np.testing.assert_allclose(tau[0], np.arctanh(np.sqrt(target / 4)), rtol=1e-14)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, 1.5])
def test_target_must_be_between_0_and_1(target):
    with pytest.raises(InvalidArgumentError, match="strictly between 0 and 1"):
        auto_tau(np.ones(3), target)


@pytest.mark.parametrize("target", [float("nan"), float("inf")])
def test_target_must_be_finite(target):
    with pytest.raises(InvalidArgumentError, match=r"target = .*; give a finite number"):
        auto_tau(np.ones(3), target)


@pytest.mark.parametrize("function", [max_tau, lambda x: auto_tau(x, 0.5)])
def test_infinite_weights_are_refused(function):
    with pytest.raises(NotFiniteError, match=r"index \(1, 0\)"):
        function(np.asarray([[1.0, 2.0], [np.nan, 1.0]]))


def test_without_looking_at_the_residual_the_steps_suffice(monkeypatch):
    # what a GPU does: a fixed number of steps, no host round trip
    monkeypatch.setattr("riemann_lne.lne.scale.runs_on_cpu", lambda x: False)
    for x in BLOCKS.values():
        assert LNEMetric(auto_tau(x, 1 - 1e-9)).norm2(x) == pytest.approx(
            1 - 1e-9, rel=4e-15, abs=0.0
        )
        for condition in ("positive-definite", "diagonally-dominant"):
            blind = max_tau(x, condition)
            with monkeypatch.context() as inner:
                inner.setattr("riemann_lne.lne.scale.runs_on_cpu", lambda x: True)
                assert max_tau(x, condition) == pytest.approx(blind, rel=1e-14, abs=0.0)


def test_no_gradient_is_recorded(torch):
    x = torch.ones((2, 3), requires_grad=True)
    assert not auto_tau(x, 0.5).requires_grad
    assert not max_tau(x).requires_grad
