"""Summary, table, JSON and page of a comparison."""

import dataclasses
import io
import json
import re
import sys
from html.parser import HTMLParser

import pytest

from riemann_lne.errors import InvalidArgumentError, StorageError, UnknownNameError
from riemann_lne_validation.comparison import report, tables
from riemann_lne_validation.comparison.contracts import Measure
from riemann_lne_validation.comparison.paired import correct, pair
from riemann_lne_validation.comparison.protocol import Arm
from riemann_lne_validation.comparison.stored import read_summary
from riemann_lne_validation.comparison.summary import Summary, summarise
from riemann_lne_validation.comparison.wording import answers
from riemann_lne_validation.lab.stored_json import seal


@pytest.fixture
def records(fake_run):
    """STE, a better arm, one of which two runs diverged, and a long one: eight seeds each."""
    arms = {
        "STE": (Arm("STE", "ste", epochs=12), 0.90, 12),
        "better <&>": (Arm("better <&>", "dorefa", epochs=12), 0.93, 12),
        "breaks": (Arm("breaks", "lne-exact", epochs=12), 0.95, 13),
        "long": (Arm("long", "ste-long", epochs=60), 0.94, 60),
    }
    return [
        fake_run(arm, seed, accuracy, cost=cost,
                 diverged=4 if label == "breaks" and seed < 6 else None)
        for label, (arm, accuracy, cost) in arms.items()
        for seed in range(8)
    ]  # fmt: skip


@pytest.fixture
def summary(records):
    return summarise(records, command="riemann-lne compare --seeds 8 'a b'")


def test_an_arm_s_numbers_are_those_of_its_runs(summary, records):
    arm = summary.arm("STE")
    runs = [r for r in records if r.label == "STE"]
    assert arm.window == 3  # a quarter of twelve
    last = [100 * sum(r.accuracies[-3:]) / 3 for r in runs]
    assert arm.last.mean == pytest.approx(sum(last) / 8)
    mean = sum(last) / 8
    assert arm.last.standard_deviation == pytest.approx(
        (sum((v - mean) ** 2 for v in last) / 7) ** 0.5
    )
    assert arm.final.mean == pytest.approx(sum(100 * r.accuracies[-1] for r in runs) / 8)
    assert arm.sign_flip_rate == pytest.approx(0.02)
    assert arm.gradient_angle == pytest.approx(28.6479, abs=1e-3)  # half a radian
    assert arm.curve.epoch == tuple(range(1, 13))
    assert arm.curve.count == (8,) * 12
    assert summary.arm("long").window == 10
    with pytest.raises(UnknownNameError):
        summary.arm("nobody")


def test_diverged_runs_are_named_and_in_no_mean(summary):
    arm = summary.arm("breaks")
    assert sorted(arm.diverged) == [0, 1, 2, 3, 4, 5]
    assert arm.last.count == 2
    assert arm.last.mean > summary.arm("STE").last.mean
    (found,) = [c for c in summary.comparisons if c.arm == "breaks"]
    assert found.last.verdict != "helps"
    text = summary.sentence(found)
    assert "6 of 8 runs diverged" in text
    assert "nan" not in text.lower()


def test_differences_are_paired_by_seed(fake_run):
    """Seeds that differ by far more than the methods: only pairing can see the method."""
    arms = Arm("STE", "ste", epochs=4), Arm("m", "dorefa", epochs=4)
    runs = [
        fake_run(arm, seed, 0.5 + 0.04 * seed + 0.01 * (arm.method == "dorefa"), noise=1e-4)
        for arm in arms
        for seed in range(8)
    ]
    (found,) = summarise(runs[::-1], reference="STE").comparisons
    assert found.last.verdict == "helps"
    assert found.last.description.mean == pytest.approx(1.0, abs=0.05)


def test_references_and_primary_comparisons(records):
    s = summarise(
        records,
        references={"breaks": "better <&>", "long": "long"},
        primary=[("better <&>", "STE")],
    )
    assert [(c.arm, c.reference) for c in s.comparisons] == [
        ("better <&>", "STE"), ("breaks", "better <&>"),
    ]  # fmt: skip
    assert [c.primary is not None for c in s.comparisons] == [True, False]
    assert s.comparisons[0].primary.comparisons == 1
    assert s.comparisons[0].last.comparisons == 2
    assert len(s.sentences) == 1


def test_what_cannot_be_summarised_is_refused(records):
    with pytest.raises(InvalidArgumentError, match="no runs"):
        summarise([])
    with pytest.raises(InvalidArgumentError, match="two runs of the same seed"):
        summarise([*records, records[0]])
    with pytest.raises(UnknownNameError, match="known: STE"):
        summarise(records, reference="nobody")
    with pytest.raises(InvalidArgumentError, match="name another reference"):
        summarise([r for r in records if r.label != "STE"])
    with pytest.raises(UnknownNameError, match="metric"):
        summarise(records, metric="best")


def test_one_run_of_one_arm_is_reported_without_statistics(fake_run):
    s = summarise([fake_run(Arm("STE", "ste", epochs=2), 0, 0.9)])
    assert (s.comparisons, s.sentences) == ((), [])
    assert "-" in tables.arm_rows(s)[0]  # no standard deviation
    assert "<svg" in report.render(s)


def test_json_has_everything_and_no_nan(summary, tmp_path):
    path = report.write_json(tmp_path / "deep" / "r.json", summary)
    data = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert data["counts"]["runs"] == 32
    assert data["counts"]["diverged"] == 6
    assert data["arms"][2]["diverged"]["0"] == "epoch 4: the loss was not finite"
    assert data["arms"][0]["arm"]["learning_rate"] == 0.1
    assert data["environment"] == {"torch": "2.13.0", "machine": "x86_64"}
    # the differences can be computed anew from what is stored
    one, ste = (data["arms"][i]["last_by_seed"] for i in (1, 0))
    stored = data["comparisons"][0]["last"]["differences"]
    assert stored == pytest.approx([one[str(s)] - ste[str(s)] for s in range(8)])


def test_a_summary_comes_back_from_its_json(summary, tmp_path):
    path = report.write_json(tmp_path / "r.json", summary)
    assert read_summary(path) == summary
    assert report.render(read_summary(path)) == report.render(summary)
    for text, message in (("{", "Expecting"), ("[]", "no comparison"), ("{}", "no comparison")):
        path.write_text(text)
        with pytest.raises(InvalidArgumentError, match=message):
            read_summary(path)
    with pytest.raises(StorageError, match="cannot read"):
        read_summary(tmp_path / "none.json")
    report.write_json(path, summary)
    data = json.loads(path.read_text())
    del data["arms"][0]["curve"]
    path.write_text(json.dumps(data))
    with pytest.raises(InvalidArgumentError, match="its checksum is not that of its content"):
        read_summary(path)
    del data["checksum"]
    path.write_text(json.dumps(seal(data)))
    with pytest.raises(InvalidArgumentError, match="KeyError: 'curve'"):
        read_summary(path)


def test_the_table_with_rich_and_without(summary, monkeypatch):
    def printed():
        stream = io.StringIO()
        tables.print_table(summary, stream)
        return stream.getvalue()

    rich = printed()
    monkeypatch.setitem(sys.modules, "rich.console", None)
    plain = printed()
    for text in (rich, plain):
        assert "better <&>" in text
        assert "8 (6 diverged)" in text
        assert "Holm over 3 comparisons" in text
        assert "nan" not in text.lower()
    assert "┃" in rich
    assert "┃" not in plain
    assert plain.splitlines()[1].split() == ["arm", "runs", "last", "sd", "final", "sd", "cost"]


class Page(HTMLParser):
    """Collects what a page refers to and whether its tags are balanced."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_startendtag(self, tag, attrs):
        self.ids += [v for k, v in attrs if k == "id"]
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_self_contained_and_well_formed(summary, tmp_path):
    path = report.write_report(tmp_path / "r", summary)
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)  # inside the figures
    assert "@import" not in text
    assert "<script" not in text
    assert text.count("<svg") == 3
    assert "currentColor" in text
    assert "#010203" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    words = " ".join(page.text)
    assert "better <&>" in words  # and escaped, or the parser would have lost it
    assert "riemann-lne compare --seeds 8 'a b'" in words
    assert "6 of 8 runs diverged" in words
    assert not re.search(r"\bnan\b", words, re.IGNORECASE)
    assert "$" not in words


def test_the_same_summary_gives_the_same_page(summary):
    assert report.render(summary) == report.render(summary)


def test_ids_of_the_figures_do_not_collide(summary):
    page = Page()
    page.feed(report.render(summary))
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert page.links


def test_a_summary_of_nothing_but_diverged_runs(fake_run):
    runs = [
        fake_run(Arm(label, method, epochs=4), s, 0.9, diverged=1)
        for label, method in (("STE", "ste"), ("m", "dorefa"))
        for s in range(4)
    ]
    s: Summary = summarise(runs)
    assert "no pair" in report.render(s)
    assert tables.comparison_rows(s)[0][-1] == "undecided"
    s = summarise([fake_run(Arm("STE", "ste", epochs=4), i, 0.9) for i in range(4)] + runs[4:])
    assert tables.comparison_rows(s)[0][-1] == "undecided"  # four seeds: p is at least 2/16
    assert "more seeds are needed" in s.sentences[0]


def test_the_page_answers_first_then_shows_figures_and_tables(summary):
    page = Page()
    text = report.render(summary)
    page.feed(text)
    words = " ".join(" ".join(page.text).split())
    places = [words.index(x) for x in (*summary.answers, summary.setting, summary.floor_line)]
    assert places == sorted(places)
    assert places[-1] < words.index("Paired differences over seeds") < words.index("adjusted p")
    for part in ("network", "12 or 60 epochs", "8 seeds", "epochs of plain training"):
        assert part in summary.setting


def test_one_is_told_as_one(fake_run):
    """The setting and the result of a single pair of runs of a single epoch."""
    arms = [Arm(label, method, epochs=1) for label, method in (("STE", "ste"), ("L", "lne-weak"))]
    s = summarise([fake_run(arm, 0, 0.8) for arm in arms])
    assert "weights of 1 bit, activations in floats; 1 epoch of sgd" in s.setting
    assert "; 1 seed. One run costs 1 epoch of" in s.setting
    assert "(1 pair, no interval)" in s.sentences[0]
    four = dataclasses.replace(arms[1], activation_bits=4)
    assert "activations in floats or of 4 bits" in (
        summarise([fake_run(arms[0], 0, 0.8), fake_run(four, 0, 0.8)]).setting
    )


def test_answers_come_from_the_best_to_the_worst(fake_run):
    shift = {"STE": 0.0, "worst": -0.1, "some": 0.03, "most": 0.09}
    arms = [Arm(label, "ste", epochs=4 + i) for i, label in enumerate(shift)]
    runs = [fake_run(a, s, 0.7 + shift[a.label], noise=0.005) for a in arms for s in range(8)]
    told = summarise(runs, reference="STE").answers
    assert [line.split()[0] for line in told] == ["most", "some", "worst"]


def test_where_nothing_was_learned_the_first_answer_says_so(fake_run):
    # a tenth of the way from 10 to 100 % is 19 %
    arms = Arm("STE", "ste", epochs=40), Arm("up", "dorefa", epochs=40)
    full = Arm("float", "full-precision", epochs=40)
    for level, warned in ((0.12, True), (0.16, True), (0.2, False), (0.5, False)):
        runs = [fake_run(a, s, level + 0.01 * (a is arms[1])) for a in arms for s in range(8)]
        runs += [fake_run(full, s, 0.9) for s in range(8)]
        first = summarise(runs, reference="STE").answers[0]
        assert first.startswith("No arm learned much: the best classified ") == warned


def test_coarse_inputs_are_named_as_a_reason_where_nothing_was_learned(fake_run):
    for kind, level, told in (("batch", 0.1, 1), ("batch", 0.5, 0), ("learned", 0.1, 0)):
        arms = [
            Arm(m, m, epochs=40, activation_bits=2, activation_range=kind)
            for m in ("ste", "dorefa")
        ]
        runs = [fake_run(a, s, level + 0.01 * (a is arms[1])) for a in arms for s in range(4)]
        lines = summarise(runs, reference="ste").answers
        assert sum("Inputs of 2 bits with the range" in line for line in lines) == told


def test_every_cell_of_a_narrow_page_has_the_name_of_its_column(summary):
    text = report.render(summary)
    rows = re.findall(r"<tr>(<td.*?)</tr>", text)
    named = [re.findall(r"data-name=\"([^\"]*)\"", row) for row in rows]
    assert ["reference", "metric", "primary"] in [names[:3] for names in named]
    assert "td[data-name]::before" in text


def test_answers_say_which_way_a_difference_goes(fake_run):
    """For a metric of which less is better too."""
    arms = Arm("STE", "ste", epochs=4), Arm("up", "dorefa", epochs=4), Arm("same", "ede", epochs=4)
    shift = {"STE": 0.0, "up": 0.05, "same": 0.0}
    runs = [fake_run(a, s, 0.5 + shift[a.label], noise=0.01) for a in arms for s in range(8)]
    better, null = summarise(runs, reference="STE").answers
    assert better.startswith("up does better than STE, by ")
    assert null.startswith("No difference found between STE and same: one of ")
    told = summarise(runs, reference="up").answers
    (worse,) = [line for line in told if line.startswith("STE does worse than up, by ")]
    low, high = map(float, re.search(r"\(([\d.]+) to ([\d.]+)\)", worse).groups())
    assert 0 < low < high


def test_answers_of_runs_that_diverged_say_so():
    """The verdict is that of all runs, the difference that of those that finished."""
    reference = dict.fromkeys(range(20), 90.0)
    half = {i: 91.0 + 0.1 * (i % 3) if i > 11 else None for i in range(20)}
    none = dict.fromkeys(range(20))
    for method, better, told in (
        (half, "higher", "12 of 20 runs of m diverged; where both finished it is ahead by 1.09"),
        (half, "lower", "12 of 20 runs of m diverged; where both finished it is behind by 1.09"),
        (none, "higher", "20 of 20 runs of m diverged."),
    ):
        measure = Measure(better=better)
        (found,) = correct([pair(method, reference, sign=measure.sign)])
        (line,) = answers([("m", "r", found)], measure)
        assert line.startswith(f"m does worse than r: {told}")
        (found,) = correct([pair(reference, method, sign=measure.sign)])
        (line,) = answers([("r", "m", found)], measure)
        assert line.startswith("r does better than m: ")
        assert "runs of m diverged" in line


def test_answers_give_the_ends_of_an_interval_with_the_sign_of_the_mean():
    """One that reaches over zero, as of the sign-flip test, and none where there is no spread."""
    values = {0: 86.5, **dict.fromkeys(range(1, 12), 89.9)}
    reference = dict.fromkeys(range(12), 90.0)
    (found,) = correct([pair(values, reference, test="sign-flip")])
    assert found.student.low < 0 < found.student.high
    assert answers([("m", "r", found)]) == ["m does worse than r, by 0.38 points (-0.24 to 1.01)."]
    (found,) = correct([pair(dict.fromkeys(range(12), 91.0), reference)])
    assert answers([("m", "r", found)]) == ["m does better than r, by 1.00 points."]


def test_tuning_is_told_in_the_unit_of_the_metric(summary):
    trial = {
        "arm": "a", "settings": {}, "chosen": True, "diverged": 0, "seeds": [0], "cost": 1.0,
        "validation_mean": 2.03125, "validation_standard_deviation": None,
    }  # fmt: skip
    measure = Measure("bits a character", "lower", "bits", 1.0)
    text = report.render(dataclasses.replace(summary, tuning=(trial,), measure=measure))
    assert '<td class=number data-name="validation, bits">2.0312</td>' in text


def test_labels_with_commas_are_told_apart_in_an_answer(fake_run):
    arms = [Arm(label, method, epochs=4) for label, method in
            (("STE", "ste"), ("LNE, exact", "lne-exact"), ("EDE", "ede"))]  # fmt: skip
    runs = [fake_run(a, s, 0.5, noise=0.01) for a in arms for s in range(8)]
    (null,) = summarise(runs, reference="STE").answers
    assert null.startswith("No difference found between STE and LNE, exact; EDE: one of ")
