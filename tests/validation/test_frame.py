"""The frame of the audit: verdicts follow from measurements, and from nothing else."""

import math

import pytest

from riemann_lne.errors import UnknownNameError
from riemann_lne_validation import audit
from riemann_lne_validation.audit import Claim, Evidence, Measurement, Verdict, judge, run_claim


def measurement(error, tolerance=1.0, uncertainty=0.0):
    return Measurement("what", error, 0.0, error, tolerance, "why", uncertainty)


TRUE, FALSE = measurement(0.5), measurement(2.0)
UNDECIDED = measurement(1.5, uncertainty=1.0)


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (Evidence(TRUE), Verdict.HOLDS),
        (Evidence(FALSE), Verdict.FAILS),
        (Evidence(FALSE, condition=TRUE), Verdict.CONDITIONS),
        (Evidence(FALSE, condition=FALSE), Verdict.UNRESOLVED),
        (Evidence(UNDECIDED), Verdict.UNRESOLVED),
        (Evidence(TRUE, resolution=[TRUE, FALSE]), Verdict.UNRESOLVED),
        (Evidence(FALSE, resolution=[FALSE]), Verdict.UNRESOLVED),
        (Evidence(FALSE, also=[FALSE]), Verdict.UNRESOLVED),
        (Evidence(measurement(math.nan)), Verdict.UNRESOLVED),
        (Evidence(TRUE, also=[measurement(math.nan)]), Verdict.UNRESOLVED),
        (Evidence(measurement(math.inf)), Verdict.FAILS),
    ],
)
def test_the_verdict_follows_from_the_measurements(evidence, verdict):
    assert judge(evidence) is verdict


def test_a_measurement_is_true_or_false_only_beyond_its_uncertainty():
    assert measurement(0.5, uncertainty=0.4).true
    assert not measurement(0.5, uncertainty=0.6).true
    assert measurement(1.5, uncertainty=0.4).false
    assert not measurement(1.5, uncertainty=0.6).false


def claim_of(check):
    return Claim("made-up", "nowhere", "statement", check, {"n": 1}, {"n": 2})


def test_a_crash_inside_a_check_is_its_outcome():
    def check(backend, n):
        raise ZeroDivisionError("oh")

    outcome = run_claim(claim_of(check))
    assert outcome.verdict is Verdict.ERROR
    assert "ZeroDivisionError: oh" in outcome.problem
    assert outcome.evidence is None


def test_a_check_that_could_not_measure_is_unresolved_with_its_reason():
    def check(backend, n):
        raise audit.UnresolvedError("the flow broke off")

    outcome = run_claim(claim_of(check))
    assert outcome.verdict is Verdict.UNRESOLVED
    assert outcome.problem == "the flow broke off"


def test_parameters_come_from_the_length_of_the_run_and_the_user():
    seen = []

    def check(backend, n):
        seen.append(n)
        return Evidence(TRUE)

    run_claim(claim_of(check))
    run_claim(claim_of(check), full=True)
    outcome = run_claim(claim_of(check), overrides={"n": 7})
    assert seen == [1, 2, 7]
    assert outcome.parameters == {"n": 7}
    with pytest.raises(UnknownNameError, match="known: n"):
        run_claim(claim_of(check), overrides={"m": 7})


def test_every_claim_is_complete():
    claims = audit.known_claims()
    assert len(claims) >= 9
    for claim in claims.values():
        assert claim.statement.endswith("."), claim.id
        assert len((claim.check.__doc__ or "").strip().split("\n\n")) >= 2, claim.id
        assert set(claim.quick) == set(claim.full), claim.id


def test_an_unknown_claim_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"lne-ricci-flat.*Did you mean 'weak-inverse'"):
        audit.select(["weak-invers"])
