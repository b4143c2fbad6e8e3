"""The measurement of costs runs, and its record says what the page says."""

import json
import math
import re
from pathlib import Path

import pytest

from riemann_lne_validation.comparison import benchmark
from riemann_lne_validation.comparison.benchmark import (
    BOUND,
    markdown,
    measure_overhead,
    measure_steps,
)
from riemann_lne_validation.comparison.methods import available_methods

RECORD = Path(__file__).parents[2] / "docs" / "benchmarks" / "overheads.json"


def test_the_harness_does_the_work_of_a_bare_loop_and_no_time_is_asserted():
    """It compares the accuracies of both itself, epoch by epoch."""
    found = measure_overhead(epochs=2, pairs=2)
    assert 0.0 < found.smallest <= found.ratio <= found.largest < math.inf
    assert found.seconds > 0.0


def test_a_harness_that_trains_something_else_is_refused(monkeypatch):
    honest = benchmark.bare_loop
    monkeypatch.setattr(
        benchmark, "bare_loop", lambda seed, epochs, images: honest(seed + 1, epochs, images)
    )
    with pytest.raises(RuntimeError, match="accuracies differ"):
        measure_overhead(epochs=1, pairs=1)


def test_the_two_go_first_in_turn():
    """Neither gains by what the other leaves in the caches."""
    order = []

    def loop(name):
        for epoch in range(3):
            order.append(name)
            yield 0.1 * epoch

    seconds = benchmark._in_turns(loop("bare"), loop("full"))
    assert order == ["full", "bare", "bare", "full", "full", "bare"]
    assert min(seconds) > 0.0


def test_steps_of_methods_beside_ste():
    """At the bits that a method knows, over its period; not one that does not apply."""
    found = {c.method: c for c in measure_steps("small", ["dorefa", "lne-hutchinson", "rf-dnn"], 1)}
    assert set(found) == {"dorefa", "lne-hutchinson"}
    assert all(0.0 < c.low <= c.ratio <= c.high for c in found.values())
    assert found["dorefa"].bits == 2


def test_the_record_keeps_what_was_promised_and_the_page_says_the_rest():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert record["harness"]["ratio"] < 1.05
    text = markdown(record)
    ratios = {}
    for row in record["steps"]:
        ratios.setdefault(row["method"], []).append(row["ratio"])
    dear = {method for method, found in ratios.items() if max(found) > BOUND}
    assert 0 < len(dear) < len(ratios)
    for method in ratios:
        (line,) = [x for x in text.splitlines() if x.startswith(f"| `{method}` |")]
        assert ("**" in line) == (method in dear)
    assert f"{record['harness']['ratio']:.3f} times" in text
    # a method that joins later is measured, or the page says that it is not
    absent = set(re.findall(r"`([\w-]+)`", text.partition("Not measured:")[2].splitlines()[0]))
    assert absent == set(available_methods()) - set(ratios) - {"ste"}
    assert f"commit {record['environment']['commit'][:7]}" in text
    assert ("with changes" in text) == record["environment"]["commit"].endswith("+")


def test_no_number_of_the_record_is_typed_into_the_page():
    """The table is included; what is said beside it holds for any record."""
    page = (RECORD.parents[1] / "comparison.md").read_text(encoding="utf-8")
    section = page.partition("## The cost of a step")[2].partition("\n## ")[0]
    words, _, included = section.partition("```{include}")
    assert included.split()[0] == "_build/generated/method-costs.md"
    assert not re.findall(r"\d\.\d|\b[0-9a-f]{7}\b", words)


def test_a_record_without_a_commit_or_with_every_method():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    row = record["steps"][0]
    every = [{**row, "method": name} for name in available_methods() if name != "ste"]
    unknown = {**record["environment"], "commit": None}
    text = markdown({**record, "steps": every, "environment": unknown})
    assert "the commit is not known" in text
    assert "Not measured" not in text
