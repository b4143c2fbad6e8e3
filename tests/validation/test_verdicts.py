"""Verdicts pinned, so that a change of one is a decision; and faults that must change them."""

import json
from pathlib import Path

import numpy as np
import pytest

import riemann_lne.flows.ricci as ricci_module
import riemann_lne.stencils as stencils
from riemann_lne import HessianLNEMetric, LNEMetric
from riemann_lne_validation.audit.claims import section_3, section_4, section_5
from riemann_lne_validation.audit.frame import Verdict, known_claims, run_claim

PINNED = json.loads((Path(__file__).parent / "pinned_verdicts.json").read_text())
VERDICTS = {id: Verdict(text) for id, text in PINNED.items()}

# Smaller than --quick, for the planted faults: what is tested is that they are noticed.
SMALL = {
    "exponential-decay-torus": {"modes_2d": ((1, 0),), "modes_3d": (), "modes_4d": ()},
    "curvature-blow-up": {"dimensions": (2,), "until": 0.9, "degree": 12, "seeds": (0,)},
}
# Their quick form takes several seconds of processor time. Small forms of them are tested here, in
# test_claims_flow.py and in test_claims_weights.py; `make verify` runs the quick ones.
LONG = {
    "all-time-convergence",
    "bounded-curvature",
    "curvature-blow-up",
    "epsilon-close",
    "evolution-inequality",
    "exponential-decay-sphere",
    "exponential-decay-torus",
    "linf-bound",
    "mirror-descent-rate",
    "smoothing",
    "uniform-equivalence",
}


def verdict(id):
    outcome = run_claim(known_claims()[id], overrides=SMALL.get(id, {}))
    assert outcome.verdict is not Verdict.ERROR, outcome.problem
    return outcome.verdict


@pytest.mark.parametrize(
    "id", [pytest.param(id, marks=pytest.mark.slow) if id in LONG else id for id in VERDICTS]
)
def test_verdicts_are_pinned(id):
    outcome = run_claim(known_claims()[id])
    assert outcome.verdict is VERDICTS[id], outcome.problem or outcome.evidence


def test_every_claim_has_a_pinned_verdict():
    assert set(known_claims()) == set(VERDICTS)


@pytest.mark.parametrize("id", SMALL)
def test_the_small_parameters_give_the_pinned_verdicts(id):
    # Without this a fault could seem to be noticed because the parameters are too small.
    assert verdict(id) is VERDICTS[id]


def test_the_sign_of_ricci_flipped_is_noticed(monkeypatch):
    right = ricci_module.ricci_tensor
    monkeypatch.setattr(ricci_module, "ricci_tensor", lambda jet: [-r for r in right(jet)])
    claim = known_claims()["curvature-blow-up"]
    outcome = run_claim(claim, overrides=SMALL[claim.id])
    # A heat equation run backwards: the flow breaks off.
    assert outcome.verdict is Verdict.UNRESOLVED
    assert "broke off" in outcome.problem


def test_a_factor_two_dropped_from_the_flow_is_noticed(monkeypatch):
    right = ricci_module.deturck_flow_tensor
    monkeypatch.setattr(
        ricci_module, "deturck_flow_tensor", lambda jet: [0.5 * r for r in right(jet)]
    )
    assert verdict("exponential-decay-torus") is not Verdict.HOLDS


def test_a_stencil_of_lower_order_is_noticed(monkeypatch):
    right = stencils.central_weights

    def lower(derivative, order):
        inner = right(derivative, order - 2)
        return (0, *inner, 0)

    monkeypatch.setattr(stencils, "central_weights", lower)
    assert verdict("lne-ricci-flat") is Verdict.UNRESOLVED


def test_the_weak_inverse_swapped_for_the_exact_one_is_noticed(monkeypatch):
    class Swapped(LNEMetric):
        def solve(self, x, v, method="exact", *, check=True):
            other = {"exact": "weak", "weak": "exact"}[method]
            return super().solve(x, v, other, check=check)

    monkeypatch.setattr(section_5, "LNEMetric", Swapped)
    assert verdict("weak-inverse") is Verdict.UNRESOLVED


@pytest.mark.parametrize(
    ("module", "id"), [(section_4, "lne-ricci-flat"), (section_3, "lne-metric-of-divergence")]
)
def test_the_hessian_metric_in_place_of_eq_16_is_noticed(monkeypatch, module, id):
    class Fake(HessianLNEMetric):
        def ricci(self, x, **options):
            return LNEMetric(self.tau).ricci(x, **options)

    monkeypatch.setattr(module, "LNEMetric", Fake)
    assert verdict(id) is not VERDICTS[id]


def test_the_same_seed_gives_the_same_numbers():
    first, second = (run_claim(known_claims()["lne-positive-definite"]).evidence for _ in "ab")
    assert first is not None
    assert first == second


def test_checks_run_on_torch_arrays():
    pytest.importorskip("torch")
    from riemann_lne_validation.audit.backends import Backend

    claim = known_claims()["exponential-decay-torus"]
    overrides = SMALL[claim.id]
    there = run_claim(claim, backend=Backend("torch"), overrides=overrides)
    here = run_claim(claim, overrides=overrides)
    assert there.verdict is here.verdict is Verdict.HOLDS, there.problem
    np.testing.assert_allclose(
        list(there.evidence.claim.measured.values()),
        list(here.evidence.claim.measured.values()),
        rtol=1e-9,
    )
