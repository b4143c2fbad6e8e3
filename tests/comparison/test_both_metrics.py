"""A conclusion in both metrics; arms that repeat others; what a comparison says of cost and t."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_validation.comparison import report, tables
from riemann_lne_validation.comparison.image_hits import ImageHits
from riemann_lne_validation.comparison.paired import correct, pair
from riemann_lne_validation.comparison.protocol import Arm
from riemann_lne_validation.comparison.stored import read_summary
from riemann_lne_validation.comparison.summary import summarise
from riemann_lne_validation.lab.stored_json import seal

SEEDS = range(9)


def group(fake_run, label, method="ste", accuracy=0.9, seeds=SEEDS, noise=0.002, **more):
    cost = more.pop("cost", None)
    arm = Arm(label, method, epochs=8, **more)
    return [fake_run(arm, seed, accuracy, noise=noise, cost=cost) for seed in seeds]


def with_final(runs, by):
    """The runs with other accuracies in their last epoch; the mean of the last two stays."""
    found = []
    for run in runs:
        *first, one, two = run.epochs
        pair_ = [
            replace(one, accuracy=one.accuracy - by),
            replace(two, accuracy=two.accuracy + by),
        ]
        found.append(replace(run, epochs=(*first, *pair_)))
    return found


def with_hits(runs, images=60):
    """The runs with hits that give their accuracies in the last two epochs, rounded to images."""
    found = []
    for run in runs:
        rng = np.random.default_rng(run.seed)
        order = rng.permutation(images)
        counts = [round(e.accuracy * images) for e in run.epochs[-2:]]
        hits = ImageHits.of([order < n for n in counts])
        last = [
            replace(e, accuracy=n / images) for e, n in zip(run.epochs[-2:], counts, strict=True)
        ]
        found.append(replace(run, epochs=(*run.epochs[:-2], *last), hits=hits))
    return found


def as_the_same(runs, arm):
    """Runs of another arm with the same results."""
    return [replace(run, arm=arm) for run in runs]


def test_a_verdict_that_changes_with_the_metric_is_marked_everywhere(fake_run):
    ste = group(fake_run, "STE")
    late = with_final(group(fake_run, "late", "dorefa"), 0.02)
    steady = group(fake_run, "steady", "ede", accuracy=0.93)
    s = summarise([*ste, *late, *steady], primary=[("late", "STE")])
    found = {c.arm: c for c in s.comparisons}
    assert [f.verdict for f in found["late"].both("last")] == ["null", "helps"]
    assert found["late"].changes("last")
    assert found["late"].changes("final")
    assert not found["steady"].changes("last")
    # both metrics of a primary comparison are corrected within the primary ones
    assert [f.comparisons for f in found["late"].both("last")] == [1, 1]
    assert [f.comparisons for f in found["steady"].both("last")] == [2, 2]
    sentence = s.sentence(found["late"])
    assert "; the verdict changes with the metric" in sentence
    assert ". Last epoch: +" in sentence
    assert "changes with" not in s.sentence(found["steady"])
    assert ". Last epoch: +" in s.sentence(found["steady"])
    rows = tables.comparison_rows(s)
    assert [(r[0], r[3], r[-1]) for r in rows] == [
        ("* late", "last", "null (changes)"),
        ("* late", "final", "helps (changes)"),
        ("steady", "last", "helps"),
        ("steady", "final", "helps"),
    ]
    assert report.to_dict(s)["comparisons"][0]["changes_with_metric"] is True
    assert 'data-name="with the metric">changes</td>' in report.render(s)
    final = summarise([*ste, *late, *steady], metric="final")
    assert [r[3] for r in tables.comparison_rows(final)] == ["final", "last"] * 2
    assert "Mean of the last 2 epochs: " in final.sentences[0]


def test_arms_with_the_same_settings_count_once(fake_run):
    one = group(fake_run, "one", "dorefa", accuracy=0.91)
    two = as_the_same(one, replace(one[0].arm, label="two"))
    third = group(fake_run, "third", "ede")
    ste = group(fake_run, "STE")
    s = summarise([*ste, *one, *two, *third])
    assert [(x.label, x.first, x.why) for x in s.same] == [("two", "one", "settings")]
    assert [c.arm for c in s.comparisons] == ["one", "third"]
    assert s.comparisons[0].last.comparisons == 2  # not three
    assert s.comparisons[0].last.adjusted == pytest.approx(2 * s.comparisons[0].last.p)
    assert [r[0] for r in tables.arm_rows(s)] == ["STE", "one", "third"]
    assert s.arm("two").last == s.arm("one").last  # its runs are stored all the same
    stream = io.StringIO()
    tables.print_table(s, stream)
    for text in (stream.getvalue(), report.render(s)):
        assert "two repeats one (the same settings): the two count once." in text


def test_arms_with_the_same_runs_count_once_also_as_references_and_primary(fake_run):
    ste = group(fake_run, "STE")
    one = group(fake_run, "N", "rf-dnn", accuracy=0.91)
    two = as_the_same(one, Arm("clamped", "rf-dnn", epochs=8, options={"max_ratio": 0.3}))
    other = group(fake_run, "other", "ede")
    s = summarise(
        [*ste, *one, *two, *other],
        primary=[("N", "STE"), ("clamped", "STE")],
        references={"other": "clamped"},
    )
    assert [(x.label, x.first, x.why) for x in s.same] == [("clamped", "N", "runs")]
    assert [(c.arm, c.reference) for c in s.comparisons] == [("N", "STE"), ("other", "N")]
    assert s.comparisons[0].primary.comparisons == 1


def test_an_arm_that_repeats_its_reference_is_compared_with_nothing(fake_run):
    ste = group(fake_run, "STE")
    tuned = as_the_same(ste, replace(ste[0].arm, label="STE, tuned"))
    s = summarise([*ste, *tuned])
    assert s.comparisons == ()
    assert s.same[0].line.startswith("STE, tuned repeats STE")
    assert "repeats" in report.render(s)


def test_arms_that_hit_other_images_are_two(fake_run):
    ste = with_hits(group(fake_run, "STE"))
    other = as_the_same(ste, Arm("other", "dorefa", epochs=8))
    assert len(summarise([*ste, *other]).same) == 1
    turned = ImageHits(2, other[0].hits.last[::-1], other[0].hits.final[::-1])
    assert turned != other[0].hits
    other[0] = replace(other[0], hits=turned)
    assert summarise([*ste, *other]).same == ()


# Nearly the same is not the same: one seed, one epoch before the last ones, the sign flips, one
# more seed, or nothing but diverged runs.
@pytest.mark.parametrize("case", ["final", "early", "flips", "seeds", "diverged"])
def test_arms_that_differ_in_anything_are_two(fake_run, case):
    ste = group(fake_run, "STE")
    other = as_the_same(ste, Arm("other", "dorefa", epochs=8))
    if case == "final":
        other = [*with_final(other[:1], 0.001), *other[1:]]
    if case == "early":
        first, *rest = other[0].epochs
        other[0] = replace(other[0], epochs=(replace(first, accuracy=0.123), *rest))
    if case == "flips":
        other = [
            replace(r, epochs=tuple(replace(e, sign_flip_rate=0.03) for e in r.epochs))
            for r in other
        ]
    if case == "seeds":
        other = other[:-1]
    if case == "diverged":
        ste = [fake_run(r.arm, r.seed, 0.9, diverged=1) for r in ste]
        other = [fake_run(r.arm, r.seed, 0.9, diverged=1) for r in other]
    assert summarise([*ste, *other]).same == ()
    assert len(summarise([*ste, *other]).comparisons) == 1


def test_a_gain_is_said_with_its_cost(fake_run):
    runs = group(fake_run, "STE", cost=20.0) + group(fake_run, "m", "ema", 0.93, cost=26.8)
    s = summarise(runs)
    assert s.cost_ratio(s.comparisons[0]) == pytest.approx(1.34)
    assert "(mean of the last 2 epochs, at 1.34 times the cost)" in s.sentences[0]
    assert tables.comparison_rows(s)[0][2] == "1.34"
    same = summarise(group(fake_run, "STE", cost=20.0) + group(fake_run, "m", "ema", cost=20.0))
    assert "times the cost" not in same.sentences[0]


def test_a_verdict_of_five_seeds_says_that_it_rests_on_t():
    method = {i: 91.0 + 0.01 * i for i in range(5)}
    (found,) = correct([pair(method, dict.fromkeys(method, 90.0))])
    assert (found.test, found.verdict) == ("paired t", "helps")
    assert found.p_sign_flip == 2 / 2**5 == found.adjusted_sign_flip
    assert any("cannot give a p below 0.062, and the corrected level is 0.05" in n
               for n in found.notes)  # fmt: skip
    ten = {i: 91.0 + 0.01 * i for i in range(10)}
    (found,) = correct([pair(ten, dict.fromkeys(ten, 90.0))])
    assert not any("rests on" in n for n in found.notes)


def test_the_sign_flip_test_is_corrected_as_t_is():
    runs = [pair({i: 90.0 + i % 3 for i in range(9)}, dict.fromkeys(range(9), 90.0))] * 3
    for found in correct(runs):
        assert found.adjusted == pytest.approx(3 * found.p)
        assert found.adjusted_sign_flip == pytest.approx(3 * found.p_sign_flip)


def test_the_interval_over_images_needs_the_hits_of_all_runs(fake_run):
    ste = with_hits(group(fake_run, "STE", noise=0.05))
    m = with_hits(group(fake_run, "m", "ede", 0.8, noise=0.05))
    (found,) = summarise([*ste, *m]).comparisons
    for metric in ("last", "final"):
        one = found.of(metric)
        assert one.two_way.low < one.description.mean < one.two_way.high
        assert one.two_way.half_width > one.student.half_width
    assert "(over seeds and items)" in summarise([*ste, *m]).sentences[0]
    m[3] = replace(m[3], hits=None)  # a record of the first schema
    (found,) = summarise([*ste, *m]).comparisons
    assert found.last.two_way is None
    # a diverged run has no hits, and is in no difference either
    m[3] = fake_run(m[3].arm, 3, 0.8, diverged=2)
    (found,) = summarise([*ste, *m]).comparisons
    assert found.last.two_way is not None
    assert found.last.finished == 8


def test_runs_on_different_images_are_not_stacked():
    images = {0: np.zeros(5), 1: np.zeros(5), 2: np.zeros(4)}
    with pytest.raises(InvalidArgumentError, match="different numbers of images"):
        pair(dict.fromkeys(range(3), 1.0), dict.fromkeys(range(3), 0.0), images=images)


def test_hits_and_repeats_come_back_from_the_file(fake_run, tmp_path):
    ste, m = with_hits(group(fake_run, "STE")), with_hits(group(fake_run, "m", "ede", 0.8))
    twin = as_the_same(m, replace(m[0].arm, label="twin"))
    s = summarise([*ste, *m, *twin], primary=[("m", "STE")])
    path = report.write_json(tmp_path / "r.json", s)
    assert read_summary(path) == s
    data = json.loads(path.read_text())
    data["arms"][0]["hits"]["0"]["last"] += "1"
    del data["checksum"]
    path.write_text(json.dumps(seal(data)))
    with pytest.raises(InvalidArgumentError, match=r"r\.json is not .*: hits of 61 images"):
        read_summary(path)


def test_a_file_of_the_first_schema_is_computed_anew(fake_run, tmp_path):
    """With primary comparisons, references of their own, an own reference, and a repeated arm."""
    ste, m = group(fake_run, "STE"), group(fake_run, "m", "dorefa", 0.91)
    twin = as_the_same(m, replace(m[0].arm, label="twin"))
    ema, alone = group(fake_run, "EMA", "ema", 0.92), group(fake_run, "alone", "ste-long", 0.95)
    s = summarise(
        [*ste, *m, *twin, *ema, *alone],
        references={"EMA": "m", "alone": "alone"},
        primary=[("m", "STE"), ("twin", "STE"), ("m", "EMA")],
        title="t",
    )
    data = json.loads(json.dumps(report.to_dict(s)))
    # as the first schema had it: every arm counted, one metric for the primary family, no hits
    extra = {**json.loads(json.dumps(data["comparisons"][0])), "arm": "twin"}
    data["comparisons"].insert(1, extra)
    for c in data["comparisons"]:
        for name in ("primary_other", "changes_with_metric", "cost_ratio"):
            del c[name]
        for name in ("primary", "last", "final"):
            if c[name]:
                del c[name]["two_way"], c[name]["adjusted_sign_flip"]
                c[name]["comparisons"] += 1
    for a in data["arms"]:
        del a["hits"]
    del data["same"]
    data["schema"] = 1
    path = tmp_path / "old.json"
    path.write_text(json.dumps(data))
    assert read_summary(path) == s
