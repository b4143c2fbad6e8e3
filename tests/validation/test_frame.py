"""The frame of the audit: verdicts follow from measurements, and from nothing else."""

import math
import pickle
import textwrap
from dataclasses import replace

import pytest

from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne_validation.audit import frame as audit
from riemann_lne_validation.audit.frame import (
    Claim,
    Evidence,
    Measurement,
    Verdict,
    doubt,
    judge,
    run_claim,
)
from riemann_lne_validation.audit.records import Setting, as_record, evidence_of, outcome_of
from riemann_lne_validation.audit.running import processes


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
    return Claim("made-up", "nowhere", "statement", check, {"n": 1}, {"n": 2}, (met,))


def met(backend):
    return measurement(0.5)


def test_kinds_of_measurements_that_recur_have_a_short_form():
    full = Measurement("s", 0.2, 0.0, 0.2, 1.0, "r")
    assert Measurement.vanishing("s", 0.2, 1.0, "r") == full
    full = Measurement("s", 1.75, 2.0, 0.25, 1.0, "r", uncertainty=0.5)
    assert Measurement.near("s", 1.75, 2.0, 1.0, "r", uncertainty=0.5) == full
    for several in ([1.5, 2.25], {"a": 1.5, "b": 2.25}):
        assert Measurement.near("s", several, 2.0, 1.0, "r").error == 0.5
    ends = {"smallest": 1.5, "largest": 2.25}
    full = Measurement("s", ends, 2.0, 0.5, 1.0, "r", samples=[1.5, 2.0, 2.25])
    assert Measurement.all_near("s", [1.5, 2.0, 2.25], 2.0, 1.0, "r") == full


@pytest.mark.parametrize("several", [[2.0, math.nan], [math.nan, 2.0], {"a": 2.0, "b": math.nan}])
def test_a_number_that_is_none_decides_nothing_wherever_it_stands(several):
    found = [Measurement.near("s", several, 2.0, 1.0, "r")]
    if isinstance(several, list):
        found.append(Measurement.all_near("s", several, 2.0, 1.0, "r"))
    # as where the error is a maximum: max(0.0, nan) is 0.0
    found.append(Measurement("s", several, 2.0, 0.0, 1.0, "r"))
    found.append(Measurement("s", 2.0, 2.0, 9.0, 1.0, "r", samples=[2.0, math.nan]))
    assert not any(m.true or m.false for m in found)


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


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(measurement(0.0)),
        Evidence(measurement(2.0)),
        Evidence(measurement(2.0), condition=measurement(0.5)),
    ],
)
def test_where_the_guard_fails_there_is_no_verdict_about_the_paper(evidence):
    def failed(backend):
        return [measurement(0.1), replace(measurement(3.0), statement="the round sphere")]

    claim = replace(claim_of(lambda backend, n: evidence), guards=(met, failed))
    outcome = run_claim(claim)
    assert outcome.verdict is Verdict.UNRESOLVED
    assert "the library disagrees with itself here: the round sphere" in outcome.problem
    assert [m.error for m in outcome.evidence.guard] == [0.5, 0.1, 3.0]
    assert run_claim(claim_of(lambda backend, n: evidence)).verdict is not Verdict.UNRESOLVED


def test_a_guard_that_measures_nothing_or_breaks_off_gives_no_verdict():
    def silent(backend):
        return []

    def broken(backend):
        raise audit.UnresolvedError("the flow broke off")

    for guards in ((), (silent,), (broken,)):
        claim = replace(claim_of(lambda backend, n: Evidence(FALSE)), guards=guards)
        assert run_claim(claim).verdict is Verdict.UNRESOLVED
    assert "the flow broke off" in run_claim(claim).problem


def test_a_guard_runs_with_the_parameters_of_the_check():
    seen = []

    def guard(backend, n, fixed=3):
        seen.append((backend.name, n, fixed))
        return TRUE

    claim = replace(claim_of(lambda backend, n: Evidence(TRUE)), guards=(guard,))
    run_claim(claim, full=True)
    run_claim(claim, overrides={"n": 7})
    assert seen == [("numpy", 2, 3), ("numpy", 7, 3)]


@pytest.mark.parametrize("guard", [None, (), [], "known", (met, None)])
def test_a_claim_without_a_guard_is_refused_with_a_right_one(guard):
    with pytest.raises(InvalidArgumentError, match="'unguarded' has no guard") as refused:
        audit.claim("unguarded", "Thm 0", {"n": 1}, guard=guard)
    # The example in the message is code: a function of a backend, given as guard=.
    example = textwrap.dedent(str(refused.value).split("right:")[1])
    assert "guard=known_answer" in example
    compile(example, "the message", "exec")
    assert "unguarded" not in audit.known_claims()


def test_a_guard_that_asks_for_an_unknown_parameter_is_refused():
    with pytest.raises(UnknownNameError, match=r"asked for by its guard.*'m'"):
        audit.claim("made-up", "Thm 0", {"n": 1}, guard=lambda backend, m: TRUE)
    with pytest.raises(UnknownNameError, match="cause"):
        audit.claim("made-up", "Thm 0", {"n": 1}, guard=met, cause="bad luck")


@pytest.mark.parametrize("values", [[1.0, 1.0], {"seed 0": 1.0, "seed 1": 1.0}, {"a": [2.5] * 3}])
@pytest.mark.parametrize("part", ["claim", "condition", "also", "samples"])
def test_a_constant_by_construction_is_no_evidence(values, part):
    constant = Measurement("ratio", values, 1.0, 0.0, 1.0, "why")
    parts = {
        "claim": Evidence(constant),
        "condition": Evidence(FALSE, condition=constant),
        "also": Evidence(TRUE, also=[constant]),
        "samples": Evidence(replace(TRUE, samples=(1.0, 1.0, 1.0))),
    }
    assert judge(parts[part]) is Verdict.UNRESOLVED
    assert "constant by construction" in doubt(parts[part])


@pytest.mark.parametrize("values", [[1.0, 1.1], [0.0, 0.0], [3, 3], [1.0], 1.0, {2: 2, 3: 3}])
def test_numbers_that_vary_errors_that_vanish_and_counts_are_evidence(values):
    assert judge(Evidence(Measurement("ratio", values, 1.0, 0.0, 1.0, "why"))) is Verdict.HOLDS


def test_a_single_start_is_not_a_constant():
    # Its smallest and largest value are one number, which says nothing about other starts.
    def orders(*found):
        condensed = {"smallest": min(found), "largest": max(found)}
        return Measurement("order", condensed, 1.0, 0.0, 1.0, "why", samples=found)

    assert judge(Evidence(orders(1.02))) is Verdict.HOLDS
    assert judge(Evidence(orders(1.02, 1.02))) is Verdict.UNRESOLVED
    without = Measurement("order", {"smallest": 1.02, "largest": 1.02}, 1.0, 0.0, 1.0, "why")
    assert "of a single start, give samples=" in doubt(Evidence(without)).lower()


def test_what_must_be_the_same_says_why():
    same = Measurement("Ric(0)", [-2.0, -2.0], -2.0, 0.0, 1.0, "why", same="it is a theorem's")
    assert judge(Evidence(same)) is Verdict.HOLDS


def test_a_record_keeps_guards_repairs_causes_and_certificates(monkeypatch):
    claim = replace(claim_of(lambda backend, n: Evidence(FALSE)), repaired="n for m", cause="gauge")
    monkeypatch.setattr(audit, "_CERTIFICATES", {"made-up": "made-up.json"})
    record = as_record(run_claim(claim), Setting())
    assert (record["repaired"], record["cause"]) == ("n for m", "gauge")
    assert record["certificate"] == "made-up.json"
    assert [m["error"] for m in record["guard"]] == [0.5]
    assert evidence_of(record).guard == [measurement(0.5)]
    del record["guard"]  # a file from before there were guards
    assert outcome_of(record, claim, {"n": 1}).verdict is Verdict.FAILS
    held = as_record(run_claim(replace(claim, check=lambda backend, n: Evidence(TRUE))), Setting())
    assert held["cause"] is None  # nothing speaks against it


def test_checks_run_in_no_more_processes_than_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {5, 3, 4}, raising=False)
    assert processes(0, 48) == 3
    assert (processes(0, 2), processes(7, 48)) == (2, 7)


def test_every_claim_can_be_sent_between_processes():
    # Guards may be functions of a line, or made by other functions: neither can be pickled.
    for claim in audit.known_claims().values():
        assert pickle.loads(pickle.dumps(claim)) is claim
    other = claim_of(met)
    assert pickle.loads(pickle.dumps(other)) == other


def test_a_second_certificate_is_refused(monkeypatch):
    monkeypatch.setattr(audit, "_CERTIFICATES", {})
    audit.register_certificate("made-up", "a.json")
    audit.register_certificate("made-up", "a.json")
    with pytest.raises(InvalidArgumentError, match=r"has the certificate 'a.json'"):
        audit.register_certificate("made-up", "b.json")


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
