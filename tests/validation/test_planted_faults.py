"""Errors planted in the library: noticed, and never taken for a statement about the paper.

A fault must make some claim unresolved or change its verdict; and no claim that it touches may come
out as refuted. Looked through: curvature (inverse, spacing, rates), the integrators' coefficients,
fits, norms, mode amplitudes, predicted rates, N, curvature of Eq. 16.
"""

import numpy as np
import pytest

import riemann_lne.flows.ricci as ricci_module
import riemann_lne.jets as jets
from riemann_lne import LNEMetric
from riemann_lne.analysis import decay, norms
from riemann_lne.grids import Grid
from riemann_lne.integrators.methods import etd
from riemann_lne.lne import discrete_flow
from riemann_lne_validation.audit.frame import Verdict, known_claims, run_claim

SMALL = {
    "exponential-decay-torus": {"modes_2d": ((1, 0),), "modes_3d": (), "modes_4d": ()},
    "lne-scalar-curvature": {"dimensions": (2,)},
    "flow-defect": {"dimensions": (3,)},
    "tool-decay-fit": {"draws": 60},
    "tool-integrators": {"methods": ("etdrk4", "rkl2")},
}


def verdict(id):
    found = run_claim(known_claims()[id], overrides=SMALL.get(id, {}))
    assert found.verdict is not Verdict.ERROR, found.problem
    return found.verdict


@pytest.mark.parametrize(
    "id", ["flow-defect", "lne-scalar-curvature", "tool-decay-fit", "tool-integrators"]
)
def test_without_a_fault_the_small_parameters_hold(id):
    assert verdict(id) is Verdict.HOLDS


@pytest.mark.parametrize("which", range(6))
def test_every_coefficient_of_etdrk4(monkeypatch, which):
    right = etd.etdrk4_coefficients

    def wrong(symbol, dt):
        return tuple(c * (1.01 if i == which else 1.0) for i, c in enumerate(right(symbol, dt)))

    monkeypatch.setattr(etd, "etdrk4_coefficients", wrong)
    assert verdict("tool-integrators") is Verdict.UNRESOLVED


@pytest.mark.parametrize("part", ["first", "second"])
def test_half_the_window_of_a_fit(monkeypatch, part):
    right = decay._line

    def half(t, norm, low=None, high=None, **more):
        low = min(t) if low is None else low
        high = max(t) if high is None else high
        middle = (low + high) / 2
        window = (low, middle) if part == "first" else (middle, high)
        return right(t, norm, *window, **more)

    monkeypatch.setattr(decay, "_line", half)
    assert verdict("tool-decay-fit") is Verdict.UNRESOLVED


def test_an_l2_norm_without_the_volume(monkeypatch):
    def without(packed, metric, grid, order=4):
        field = norms.MetricField.from_packed(grid, metric)
        square = norms.pointwise_norm(packed, field) ** 2
        return float(np.sqrt(grid.integrate(square, order=order)))

    monkeypatch.setattr(norms, "l2_norm_of_packed", without)
    assert verdict("tool-l2-norm") is not Verdict.HOLDS


def test_n_without_a_cross_term(monkeypatch):
    right = discrete_flow._weighted

    def without(xp, weights, values):
        return right(xp, weights, values) * (0.0 if len(weights) < 6 else 1.0)

    monkeypatch.setattr(discrete_flow, "_weighted", without)
    assert verdict("flow-defect") is not Verdict.HOLDS


def test_a_sign_in_the_p_of_n(monkeypatch):
    right = discrete_flow.weighted_sum
    monkeypatch.setattr(discrete_flow, "weighted_sum", lambda v, k, j: right(v, k, -j))
    assert verdict("flow-defect") is not Verdict.HOLDS


def test_a_weight_of_n(monkeypatch):
    right = discrete_flow.flow_weights

    def wrong(dk, dj):
        c = right(dk, dj)
        return [*c[:4], 1.01 * c[4]]

    monkeypatch.setattr(discrete_flow, "flow_weights", wrong)
    assert verdict("flow-defect") is not Verdict.HOLDS


@pytest.mark.parametrize("factor", [1.01, -1.0])
def test_the_scalar_curvature_of_eq_16(monkeypatch, factor):
    right = LNEMetric.scalar_curvature
    monkeypatch.setattr(
        LNEMetric, "scalar_curvature", lambda self, x, **more: factor * right(self, x, **more)
    )
    assert verdict("lne-scalar-curvature") is Verdict.UNRESOLVED


def cross_term(monkeypatch):
    right = jets.inverse_and_determinant

    def wrong(g, n):
        inverse, determinant = right(g, n)
        if n == 3:
            inverse = {k: v * (0.9 if k in ((0, 1), (1, 0)) else 1.0) for k, v in inverse.items()}
        return inverse, determinant

    monkeypatch.setattr(jets, "inverse_and_determinant", wrong)


def spacing(monkeypatch):
    right = Grid.spacing.func  # a cached property
    monkeypatch.setattr(
        Grid, "spacing", property(lambda self: (*right(self)[:-1], right(self)[-1] * 1.01))
    )


def rate(monkeypatch):
    right = ricci_module.deturck_flow_tensor

    def wrong(jet):
        result = list(right(jet))
        result[1] = 0.999 * result[1]  # the entry 1, 2
        return result

    monkeypatch.setattr(ricci_module, "deturck_flow_tensor", wrong)


@pytest.mark.parametrize("fault", [cross_term, spacing, rate])
def test_a_fault_of_the_flow_is_no_refutation(monkeypatch, fault):
    fault(monkeypatch)
    assert verdict("exponential-decay-torus") is Verdict.UNRESOLVED
