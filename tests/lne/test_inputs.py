"""Bad inputs are refused with the library's errors, in words that help."""

import numpy as np
import pytest

from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    NotFiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne.lne import (
    HessianLNEMetric,
    LNEMetric,
    auto_tau,
    discrete_flow_defect,
    lne_divergence,
    lne_dual_divergence,
    lne_dual_potential,
    lne_potential,
    max_tau,
)

ONE = [
    LNEMetric(0.1).matrix,
    LNEMetric(0.1).norm2,
    LNEMetric(0.1).determinant,
    LNEMetric(0.1).eigenvalues,
    LNEMetric(0.1).ricci,
    LNEMetric(0.1).scalar_curvature,
    LNEMetric(0.1).is_positive_definite,
    LNEMetric(0.1).is_diagonally_dominant,
    HessianLNEMetric(0.1).matrix,
    HessianLNEMetric(0.1).determinant,
    HessianLNEMetric(0.1).to_flat,
    HessianLNEMetric(0.1).from_flat,
    LNEMetric(0.1).embedding,
    lambda x: lne_dual_potential(x, 0.1),
    lambda x: lne_potential(x, 0.1),
    max_tau,
    lambda x: auto_tau(x, 0.5),
]
TWO = [
    LNEMetric(0.1).apply,
    LNEMetric(0.1).solve,
    LNEMetric(0.1).divergence,
    lambda x, v: LNEMetric(0.1).christoffel(x, x, v),
    HessianLNEMetric(0.1).apply,
    HessianLNEMetric(0.1).solve,
    HessianLNEMetric(0.1).exp,
    HessianLNEMetric(0.1).log,
    HessianLNEMetric(0.1).distance,
    LNEMetric(0.1).exp,
    LNEMetric(0.1).log,
    LNEMetric(0.1).distance,
    lambda x, v: LNEMetric(0.1).transport(x, v, x),
    lambda x, v: LNEMetric(0.1).geodesic(x, v, [1.0]),
    lambda x, v: LNEMetric(0.1).riemann(x, x, x, v),
    lambda x, v: LNEMetric(0.1).sectional_curvature(x, x, v),
    lambda x, v: HessianLNEMetric(0.1).transport(x, v, x),
    lambda x, v: lne_dual_divergence(x, v, 0.1),
    lambda x, v: lne_divergence(x, v, 0.1),
    lambda x, v: discrete_flow_defect(x, x, x, x, v, 1, 1),
    lambda x, v: LNEMetric(0.1).ricci(x).apply(v),
]


@pytest.mark.parametrize("function", ONE + [lambda x, f=f: f(x, np.ones(3)) for f in TWO])
def test_integers_and_non_arrays(function):
    with pytest.raises(DTypeError, match=r"int64.*float64"):
        function(np.asarray([1, 2, 3]))
    with pytest.raises((DTypeError, TypeError)):
        function([1.0, 2.0, 3.0])


@pytest.mark.parametrize("function", ONE)
def test_a_last_axis_is_needed(function):
    with pytest.raises(ShapeError, match=r"expected \(\.\.\., n\)"):
        function(np.asarray(1.0))
    with pytest.raises(ShapeError, match=r"expected \(\.\.\., n\)"):
        function(np.ones((2, 0)))


@pytest.mark.parametrize("function", TWO)
def test_shapes_must_fit(function):
    with pytest.raises(ShapeError, match=r"differ in length.*\(3,\).*\(4,\)"):
        function(np.ones(3), np.ones(4))
    with pytest.raises(ShapeError, match=r"do not broadcast.*\(2, 3\).*\(4, 3\)"):
        function(np.ones((2, 3)), np.ones((4, 3)))
    with pytest.raises(ShapeError, match="differ in length"):
        function(np.ones(3), np.ones(1))


@pytest.mark.parametrize("make", [LNEMetric, HessianLNEMetric])
@pytest.mark.parametrize("tau", [0.0, -1.0, 0, float("nan"), float("inf"), True, None])
def test_tau_must_be_positive(make, tau):
    with pytest.raises(InvalidArgumentError, match="tau must be"):
        make(tau)
    with pytest.raises(InvalidArgumentError, match="tau must be"):
        lne_divergence(np.ones(2), np.ones(2), tau)
    with pytest.raises(InvalidArgumentError, match="tau must be"):
        lne_potential(np.ones(2), tau)


def test_tau_as_an_array():
    with pytest.raises(InvalidArgumentError, match=r"got -1.0 at index \(1,\)"):
        LNEMetric(np.asarray([1.0, -1.0]))
    with pytest.raises(InvalidArgumentError, match=r"got nan at index \(0,\)"):
        LNEMetric(np.asarray([np.nan, 1.0]))
    with pytest.raises(DTypeError, match="tau has dtype int64"):
        LNEMetric(np.asarray([1, 2]))
    with pytest.raises(DTypeError):
        LNEMetric("auto")
    metric = LNEMetric(np.asarray([0.1, 0.1]))
    with pytest.raises(ShapeError, match=r"tau has shape \(2,\).*\(3,\)"):
        metric.apply(np.ones((3, 4)), np.ones((3, 4)))
    with pytest.raises(ShapeError, match=r"tau has shape \(2,\)"):
        HessianLNEMetric(metric.tau).distance(np.ones(4), np.ones((3, 4)))
    assert LNEMetric(np.float64(0.5)).tau == 0.5
    assert LNEMetric(np.asarray(0.5)).norm2(np.ones(1)) == np.tanh(0.5) ** 2


def test_method_names():
    with pytest.raises(UnknownNameError, match="exact, weak"):
        LNEMetric(0.1).solve(np.ones(3), np.ones(3), method="strong")


def test_not_finite_weights_are_not_called_indefinite():
    x = np.ones((2, 3))
    x[1, 1] = np.nan
    with pytest.raises(NotFiniteError, match=r"\(1, 1\)"):
        LNEMetric(0.1).solve(x, np.ones(3))


def test_libraries_are_not_mixed(torch):
    with pytest.raises(InvalidArgumentError, match="different libraries"):
        LNEMetric(0.1).apply(np.ones(3), torch.ones(3))


def test_repr():
    assert repr(LNEMetric(0.5)) == "LNEMetric(tau=0.5)"
    assert repr(HessianLNEMetric(1)) == "HessianLNEMetric(tau=1.0)"
