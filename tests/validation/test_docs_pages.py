"""The audit's pages are of the checks as they are now, and of a run that was recorded."""

import json
import sys
from pathlib import Path

import pytest

from riemann_lne_validation.audit.frame import judge, known_claims
from riemann_lne_validation.audit.records import Setting, evidence_of, plain

ROOT = Path(__file__).parents[2]
RECORDS = {r["id"]: r for r in json.loads((ROOT / "docs/audit/results.json").read_text())}
PINNED = json.loads((Path(__file__).parent / "pinned_verdicts.json").read_text())


def test_the_recorded_run_is_complete():
    assert set(RECORDS) == set(known_claims())
    assert len({(r["length"], r["backend"], r["version"]) for r in RECORDS.values()}) == 1


@pytest.mark.parametrize("id", sorted(RECORDS))
def test_a_record_is_of_the_check_as_it_is(id):
    record, claim = RECORDS[id], known_claims()[id]
    assert record["verdict"] == PINNED[id]
    assert record["statement"] == claim.statement
    form = claim.full if record["length"] == "full" else claim.quick
    assert record["parameters"] == plain(form), "parameters changed: record the run again"
    assert str(judge(evidence_of(record))) == record["verdict"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import claim_pages
    finally:
        sys.path.remove(str(ROOT / "docs"))
    folder = tmp_path_factory.mktemp("pages")
    claim_pages.write_pages(folder / "claims", folder / "included")
    return folder


def test_every_claim_has_a_page_with_its_verdict_its_figures_and_its_command(pages):
    for id, record in RECORDS.items():
        text = (pages / "claims" / f"{id}.md").read_text()
        assert text.startswith(f"# {id}\n")
        assert f">{record['verdict']}</span>" in text
        assert f"riemann-lne verify --only {id}" in text
        assert text.count(".png)") == len(record["plots"])
    pictures = {p.name for p in (pages / "claims").glob("*.png")}
    assert len(pictures) == sum(len(r["plots"]) for r in RECORDS.values())


def test_the_summary_has_every_claim_under_its_verdict(pages):
    parts = {p.stem: p.read_text() for p in (pages / "included").glob("*.md")}
    under = {"holds": "holds", "holds with conditions": "conditions", "does not hold": "fails"}
    for id, record in RECORDS.items():
        for verdict, name in under.items():
            assert (f"`{id}`" in parts[name]) == (record["verdict"] == verdict)
        assert f"`{id}`" in parts["table"]
    assert Setting(RECORDS["smoothing"]["length"] == "full").length in parts["recorded"]


def test_every_verdict_that_is_no_plain_yes_is_counted_under_its_cause(pages):
    text = (pages / "included" / "causes.md").read_text()
    claims = known_claims()
    with_cause = [id for id, r in RECORDS.items() if r["verdict"] != "holds" and claims[id].cause]
    assert text.startswith(f"{len(with_cause)} verdicts other than")
    for id in with_cause:
        assert f"`{id}`" in text
