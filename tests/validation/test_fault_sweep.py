"""Faults planted in the library one at a time, by changing its source: none refutes the paper."""

import pytest

from riemann_lne_validation.audit import faults
from riemann_lne_validation.audit.frame import Verdict

HOLDS, FAILS, CONDITIONS = (str(v) for v in (Verdict.HOLDS, Verdict.FAILS, Verdict.CONDITIONS))


def test_faults_are_the_same_at_every_call_and_change_something():
    found = faults.faults_of("lne.ricci")
    assert found == faults.faults_of("lne.ricci")
    assert {f.kind for f in found} >= {"wrong sign", "dropped term", "wrong factor"}
    assert all(f.before != f.after for f in found)


def test_what_is_said_of_wrong_arguments_is_left_alone():
    # Conditions and messages of errors are no formulas.
    for fault in faults.faults_of("lne.mirror_descent"):
        assert "must not be negative" not in fault.before
        assert "bound" in fault.function or "descent" in fault.function or "_step" in fault.function


def test_a_refutation_where_the_truth_holds_is_wrong_and_no_verdict_is_not():
    assert faults.wrongly(HOLDS, FAILS) == faults.wrongly(HOLDS, CONDITIONS) == "refuted"
    assert faults.wrongly(CONDITIONS, FAILS) == "refuted"
    assert faults.wrongly(FAILS, HOLDS) == faults.wrongly(CONDITIONS, HOLDS) == "confirmed"
    for true in (HOLDS, FAILS, CONDITIONS):
        for found in (true, str(Verdict.UNRESOLVED), str(Verdict.ERROR)):
            assert faults.wrongly(true, found) == ""


def test_a_fault_is_inside_its_child_alone_and_is_noticed():
    id = "lne-scalar-curvature"
    claims = {id: faults.baseline(id)}
    assert claims[id].verdict == HOLDS
    fault = next(f for f in faults.faults_of("lne._rank_one") if "matrix" in f.function)
    (record,) = faults.sweep([fault], claims)
    assert record.noticed == [id]
    assert faults.baseline(id).verdict == HOLDS
    assert fault.function in faults.page([record])


# Every so-manyth fault of each module: minutes. The whole sweep is `python -m
# riemann_lne_validation.audit.faults`, whose results are in docs/audit-faults.md.
WEIGHTS = [m for m in faults.MODULES if m.startswith("lne.")]
FLOWS = [m for m in faults.MODULES if not m.startswith("lne.")]
OF_WEIGHTS = (
    "natural-gradient",
    "lne-positive-definite",
    "mirror-map-convexity",
    "simplex-projection",
    "mirror-descent-rate",
    "mirror-descent-own-bound",
    "divergence-criteria",
    "lne-scalar-curvature",
    "weak-inverse",
    "diagonal-dominance",
    "flow-defect",
)
OF_FLOWS = (
    "linearised-ricci",
    "deturck-trick",
    "coercivity",
    "reference-drift",
    "tool-decay-fit",
    "tool-l2-norm",
    "tool-integrators",
    "lne-scalar-curvature",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "ids", "every"), [(WEIGHTS, OF_WEIGHTS, 5), (FLOWS, OF_FLOWS, 16)]
)
def test_no_fault_of_the_sweep_is_taken_for_a_refutation(modules, ids, every):
    chosen = [f for m in modules for f in faults.faults_of(m)][::every]
    claims = {id: faults.baseline(id) for id in ids}
    records = list(faults.sweep(chosen, claims))
    assert len(records) > len(chosen) // 4
    assert not [(r.fault.name, r.wrong("refuted")) for r in records if r.wrong("refuted")]
    assert not [(r.fault.name, r.wrong("confirmed")) for r in records if r.wrong("confirmed")]
    assert sum(bool(r.noticed) for r in records) > len(records) // 2
