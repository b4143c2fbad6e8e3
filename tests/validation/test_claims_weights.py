"""Checks of statements about weight space: planted faults, parameters, absent libraries."""

import sys

import numpy as np
import pytest

from riemann_lne import HessianLNEMetric, LNEMetric
from riemann_lne.lne import LNEPotential, Simplex
from riemann_lne_validation.audit.claims import (
    section_2,
    section_3_descent,
    section_3_divergence,
    section_4_weights,
    section_5_cost,
    section_5_dominance,
    section_6,
    section_6_cost,
)
from riemann_lne_validation.audit.faults import SMALL
from riemann_lne_validation.audit.frame import Verdict, known_claims, run_claim
from riemann_lne_validation.audit.instruments import steepest
from riemann_lne_validation.lab import timing

FIRST = {
    "natural-gradient": Verdict.HOLDS,
    "euclidean-divergence": Verdict.HOLDS,
    "bregman-examples": Verdict.HOLDS,
    "divergence-criteria": Verdict.HOLDS,
    "lne-steepest-descent": Verdict.FAILS,
    "lne-asymptotics": Verdict.FAILS,
    "diagonal-dominance": Verdict.HOLDS,
    "translation-curvature": Verdict.FAILS,
    "simplex-projection": Verdict.FAILS,
    "mirror-descent-rate": Verdict.HOLDS,
    "discrete-flow-decay": Verdict.FAILS,
    "simplex-radius": Verdict.FAILS,
    "mirror-descent-own-bound": Verdict.CONDITIONS,
    "inverse-cost": Verdict.FAILS,
    "complexity": Verdict.HOLDS,
}


def outcome(id, **overrides):
    return run_claim(known_claims()[id], overrides={**SMALL.get(id, {}), **overrides})


@pytest.mark.parametrize("id", FIRST)
def test_the_small_parameters_give_the_verdict(id):
    found = outcome(id)
    assert found.verdict is FIRST[id], found.problem or found.evidence


TIMED = {"inverse-cost", "complexity"}  # their plots have times


@pytest.mark.parametrize("id", [id for id in FIRST if id != "lne-asymptotics" and id not in TIMED])
def test_the_same_seeds_give_the_same_numbers(id):
    assert outcome(id).evidence == outcome(id).evidence


class Weak(LNEMetric):
    def solve(self, x, v, method="exact", *, check=True):
        return super().solve(x, v, "weak", check=check)


class Hessian(LNEMetric):
    """Eq. 16 exchanged for the Hessian of the potential."""

    def matrix(self, x):
        return HessianLNEMetric(self.tau).matrix(x)

    def solve(self, x, v, method="exact", *, check=True):
        return HessianLNEMetric(self.tau).solve(x, v)


def noticed(id, **overrides):
    found = outcome(id, **overrides)
    assert found.verdict is not Verdict.ERROR, found.problem
    return found.verdict is not FIRST[id]


@pytest.mark.parametrize(
    ("module", "id", "fake"),
    [
        (section_2, "natural-gradient", Weak),
        (section_3_descent, "lne-steepest-descent", Hessian),
        (section_4_weights, "lne-asymptotics", Hessian),
        (section_5_dominance, "diagonal-dominance", Hessian),
    ],
)
def test_another_metric_or_inverse_is_noticed(monkeypatch, module, id, fake):
    monkeypatch.setattr(module, "LNEMetric", fake)
    assert noticed(id)


def test_a_curvature_with_the_wrong_sign_or_factor_is_noticed(monkeypatch):
    right = LNEMetric.ricci

    def doubled(self, x, **options):
        found = right(self, x, **options)
        return type(found)(2 * found.diagonal, found.vector, found.coefficient)

    monkeypatch.setattr(LNEMetric, "ricci", doubled)
    assert noticed("translation-curvature")


@pytest.mark.parametrize(
    "fault",
    [
        lambda d, x, y: d - 1e-3,
        lambda d, x, y: 2 * d,
        lambda d, x, y: d * (1 + 1e-6),
        lambda d, x, y: np.where(np.abs(x - y).max(axis=-1) < 1e-3, 0.0, d),
    ],
)
def test_a_wrong_divergence_is_noticed(monkeypatch, fault):
    right = section_3_divergence.lne_divergence
    monkeypatch.setattr(
        section_3_divergence,
        "lne_divergence",
        lambda x, y, tau: fault(right(x, y, tau), x, y),
    )
    assert noticed("divergence-criteria")


@pytest.mark.parametrize("id", ["euclidean-divergence", "bregman-examples"])
def test_a_wrong_euclidean_potential_is_noticed(monkeypatch, id):
    potential = section_3_divergence.EuclideanPotential
    for name in ("value", "divergence"):
        right = getattr(potential, name)
        monkeypatch.setattr(potential, name, lambda self, *a, f=right: 2 * f(self, *a))
    assert noticed(id)


def test_a_projection_that_renormalises_is_noticed(monkeypatch):
    monkeypatch.setattr(Simplex, "project", lambda self, potential, y: y / y.sum())
    assert noticed("simplex-projection")


def test_mirror_descent_in_the_wrong_direction_is_noticed(monkeypatch):
    right = section_3_descent.mirror_descent

    def uphill(gradient, start, **options):
        return right(lambda x: -gradient(x), start, **options)

    monkeypatch.setattr(section_3_descent, "mirror_descent", uphill)
    assert noticed("mirror-descent-rate")


def test_a_modulus_that_is_too_large_is_noticed(monkeypatch):
    monkeypatch.setattr(LNEPotential, "modulus", lambda self, largest: 10.0)
    assert noticed("mirror-descent-rate")


def test_a_wrong_defect_is_noticed(monkeypatch):
    right = section_6.discrete_flow_defect_of_steps
    monkeypatch.setattr(section_6, "discrete_flow_defect_of_steps", lambda *a: right(*a) ** 0.5)
    assert noticed("discrete-flow-decay")


@pytest.mark.parametrize("id", sorted(TIMED))
def test_the_verdict_on_a_cost_does_not_rest_on_times(monkeypatch, id):
    module = section_5_cost if id == "inverse-cost" else section_6_cost

    def slow(functions, rounds):
        slow.calls += 1
        return {name: np.full(rounds, 10.0**slow.calls) for name in functions}

    slow.calls = 0
    monkeypatch.setattr(module, "sample", slow)
    assert not noticed(id)


def test_an_inverse_that_needs_a_matrix_is_counted(monkeypatch):
    right = LNEMetric.solve

    def dense(self, x, v, method="exact", *, check=True):
        x[:, None] * v[None, :]  # n^2 products
        return right(self, x, v, method, check=check)

    monkeypatch.setattr(LNEMetric, "solve", dense)
    small = {"smallest": 20, "largest": 2000}
    assert outcome("inverse-cost", **small).verdict is Verdict.UNRESOLVED
    assert outcome("complexity", smallest=20, largest=2000).verdict is Verdict.UNRESOLVED


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("overhead", [0.0, 3e-4])
def test_growth_finds_the_power_and_its_interval_holds_the_noise(power, overhead):
    n = np.array(timing.geometric_sizes(100, 1e6))
    noise = np.exp(0.1 * np.random.default_rng(0).normal(size=len(n)))
    fit = timing.growth(n, (overhead + 1e-7 * n**power) * noise)
    assert abs(fit.exponent - power) < 1.5 * fit.half_width < 0.3


def test_the_search_on_the_sphere_finds_the_lowest_point_and_not_the_highest():
    rng = np.random.default_rng(0)
    for _ in range(5):
        loss, g = steepest.random_loss(rng, 4), np.diag([1.0, 2.0, 3.0, 4.0])
        half = steepest.Smooth(lambda d, g=g: d @ g @ d / 2, lambda d, g=g: g @ d, lambda d, g=g: g)
        w = rng.normal(size=4)
        u = steepest.sphere_minimum(loss, half, w, 0.01, rng)
        assert u @ g @ u == pytest.approx(1.0)
        assert loss.value(w + 0.01 * u) < loss.value(w)


@pytest.mark.parametrize("id", ["quantiser-levels", "complexity"])
def test_without_torch_the_same_verdict_comes_from_the_core(monkeypatch, id):
    small = {"bits": (1, 2), "count": 1001, "exact": 20, "seeds": (0,)}
    overrides = small if id == "quantiser-levels" else {}
    pytest.importorskip("torch")
    whole = outcome(id, **overrides)
    monkeypatch.setitem(sys.modules, "torch", None)
    alone = outcome(id, **overrides)
    assert alone.verdict is whole.verdict is Verdict.HOLDS, alone.problem
    # With PyTorch the adapter is checked against the core besides.
    assert len(whole.evidence.also) == len(alone.evidence.also) + 1


def test_a_quantiser_that_clips_its_levels_is_noticed(monkeypatch):
    pytest.importorskip("torch")
    from riemann_lne_torch import quantizers

    right = quantizers.quantize_tensor
    monkeypatch.setattr(quantizers, "quantize_tensor", lambda w, k: 0.5 * right(w, k))
    small = {"bits": (1, 2), "count": 1001, "exact": 20, "seeds": (0,)}
    assert outcome("quantiser-levels", **small).verdict is Verdict.UNRESOLVED
    monkeypatch.undo()
    assert outcome("quantiser-levels", **small).verdict is Verdict.HOLDS


def test_a_network_that_is_not_trained_is_noticed(monkeypatch):
    right = section_5_cost.strong_inverse
    small = {"dimensions": (2, 8), "targets": (0.5,), "matrices": 30}
    monkeypatch.setattr(section_5_cost, "strong_inverse", lambda g, steps, seed: right(g, steps=3))
    assert outcome("strong-inverse", **small).verdict is Verdict.UNRESOLVED


@pytest.mark.parametrize(
    ("id", "overrides", "message"),
    [
        ("natural-gradient", {"targets": (1.5,)}, "targets = (1.5,); give at least 1"),
        ("natural-gradient", {"radii": (0.01,)}, "radii = (0.01,); give at least 3"),
        ("euclidean-divergence", {"dimensions": 3}, "dimensions = 3 is not a sequence"),
        ("bregman-examples", {"step": 0.9}, "step = 0.9; give a number between 0 and 0.5"),
        ("divergence-criteria", {"reach": 500.0}, "reach = 500.0; give a number"),
        ("lne-asymptotics", {"dimensions": (1,)}, "between 1 and inf, both excluded"),
        ("diagonal-dominance", {"draws": 2.5}, "draws = 2.5; give a whole number"),
        ("inverse-cost", {"largest": 200}, "largest = 200; give a whole number"),
        ("translation-curvature", {"shifts": ((1, 1), (1, -1))}, "k1 different from k2"),
        ("mirror-descent-rate", {"steps": (10,)}, "give at least 2 different whole numbers"),
        ("discrete-flow-decay", {"iterations": 10}, "iterations = 10; give a whole number"),
    ],
)
def test_impossible_parameters_are_refused_with_a_sentence(id, overrides, message):
    found = outcome(id, **overrides)
    assert found.verdict is Verdict.ERROR
    assert "InvalidArgumentError" in found.problem
    assert message in found.problem
