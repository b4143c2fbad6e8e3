"""The findings of docs/comparison.md from studies that asked again, against their records.

As in `test_findings_bits`: what is left of a section without the pieces must not hold a number.
"""

import shutil

from riemann_lne_validation.comparison.study import find_study, load_study

from .findings import (
    DIGITS_CONFIRM,
    DOCS,
    FOUR,
    FOUR_TUNED,
    HELPS,
    NULLS,
    ONE_CONFIRM,
    ONE_TUNED,
    ONE_TUNED_AGAIN,
    THREE,
    THREE_TUNED,
    both,
    comparison,
    marked,
    pair,
    rate_of,
    section_of,
    summary,
    unchecked,
    verdicts,
)

FISHER, LONG = "LNE, fisher", "STE, as long"


def seconds_of(study, arm, reference):
    """Ratio of the mean seconds of the runs."""
    return summary(study).arm(arm).seconds / summary(study).arm(reference).seconds


def at_edge(study):
    return any("edge of its grid" in note for note in summary(study).notes)


def digits_pieces():
    """Pieces about the same question on the digits."""
    study = load_study(find_study(DIGITS_CONFIRM))
    passes = both(DIGITS_CONFIRM, FISHER, "STE")
    assert study.budget == 6  # "six configurations an arm"
    assert study.primary == ((FISHER, "STE"),)
    assert verdicts(DIGITS_CONFIRM, FISHER, "STE") == NULLS
    assert verdicts(DIGITS_CONFIRM, LONG, FISHER) == HELPS
    tried = [t["settings"] for t in summary(DIGITS_CONFIRM).tuning if t["arm"] == FISHER]
    assert rate_of(DIGITS_CONFIRM, FISHER) == min(t["learning_rate"] for t in tried)
    (arm,) = {(a.arm.model, a.arm.dataset, a.arm.weight_bits) for a in summary(DIGITS_CONFIRM).arms}
    assert arm == ("resnet8", "digits", 1)
    return [
        f"`{DIGITS_CONFIRM}` asked it of the binary ResNet on the digits: "
        f"{len(study.final_seeds)} seeds",
        f"which classified {summary(DIGITS_CONFIRM).arm('STE').last.mean:.1f} % correctly: "
        f"{pair(DIGITS_CONFIRM, FISHER, 'STE')}. A lead below {passes[0].resolves:.1f} points",
        f"Its runs took {seconds_of(DIGITS_CONFIRM, FISHER, 'STE'):.2f} times the seconds of "
        f"STE's, those of STE at {summary(DIGITS_CONFIRM).arm(LONG).arm.options['factor']} times "
        f"the epochs {seconds_of(DIGITS_CONFIRM, LONG, FISHER):.2f} times its own: "
        f"{pair(DIGITS_CONFIRM, LONG, FISHER)} for STE.",
    ]


def test_the_near_miss_at_one_bit_asked_again():
    study = load_study(find_study(ONE_CONFIRM))
    passes, seconds = both(ONE_CONFIRM, FISHER), both(ONE_CONFIRM, LONG, FISHER)
    factor = summary(ONE_CONFIRM).arm(LONG).arm.options["factor"]
    pieces = [
        f"`{ONE_CONFIRM}` took the near miss of the first study to {len(study.final_seeds)} new "
        "seeds",
        f"in one of the metrics**: {marked(ONE_CONFIRM, FISHER, 'STE', (True, True))}. A lead "
        f"below {passes[0].resolves:.1f} points would not have been seen, nor one below "
        f"{passes[1].resolves:.1f} in the last epoch.",
        f"took {seconds_of(ONE_CONFIRM, FISHER, 'STE'):.2f} times the seconds of STE's, "
        f"in turns with them. STE trained {factor} times the epochs",
        f"took {seconds_of(ONE_CONFIRM, LONG, FISHER):.2f} times those of LNE and is ahead of "
        f"it: {pair(ONE_CONFIRM, LONG, FISHER)}.",
        f"`{ONE_TUNED_AGAIN}` was over an STE whose rate turned out worse",
    ]
    title = "One bit: LNE with the loss's curvature, asked again"
    assert unchecked(section_of(title), [*pieces, *digits_pieces()]) == ([], [])
    assert study.primary == ((FISHER, "STE"),)
    assert (study.budget, len(study.tuning_seeds)) == (8, 3)  # "eight configurations, three seeds"
    assert verdicts(ONE_CONFIRM, FISHER, "STE") == ("helps", "null")
    assert verdicts(ONE_CONFIRM, LONG, FISHER) == HELPS
    assert not at_edge(ONE_CONFIRM)
    before = comparison(ONE_TUNED, FISHER, "STE").last.description.mean
    assert 0.4 < passes[0].description.mean / before < 0.6  # "half of what the first study saw"
    assert summary(ONE_CONFIRM).arm(FISHER).cost == summary(ONE_CONFIRM).arm("STE").cost
    assert seconds[0].description.mean > 0.0
    seeds = set(study.final_seeds) | set(study.tuning_seeds)
    other = load_study(find_study(ONE_TUNED))
    assert not seeds & {*other.final_seeds, *other.tuning_seeds}


def best_of(study, count, *without):
    """Labels of the largest means of a first look, floats, STE and its copies left out."""
    left_out = {"full precision", "STE", "STE, tuned", "last bit", *without}
    means = {a.label: a.last.mean for a in summary(study).arms if a.label not in left_out}
    return set(sorted(means, key=means.get)[-count:])


def resolved(study, arms):
    """Least gains that would have been told from zero, in both metrics."""
    return [f"{max(both(study, a, 'STE')[i].resolves for a in arms):.1f}" for i in (0, 1)]


def three_pieces():
    names = {
        "freezing": "Freezing", "STE by channel": "a scale for each channel", "SEQ": "SEQ",
        "QuEST": "QuEST", FISHER: "LNE with the loss's curvature",
    }  # fmt: skip
    study = load_study(find_study(THREE_TUNED))
    told = "; ".join(
        f"{words} {pair(THREE_TUNED, arm, 'STE', (arm == 'QuEST',) * 2)}"
        for arm, words in names.items()
    )
    last, final = resolved(THREE_TUNED, names)
    assert best_of(THREE, 5) == set(names)  # "the five methods with the largest means"
    assert all(verdicts(THREE_TUNED, arm, "STE") == NULLS for arm in names)
    assert (study.budget, len(study.tuning_seeds)) == (4, 2)
    rates = {arm: rate_of(THREE_TUNED, arm) for arm in ("STE", *names)}
    assert rates == {**dict.fromkeys(rates, 0.3), "QuEST": 0.1}
    assert at_edge(THREE_TUNED)
    return [
        "`mnist1d-158-tuned` and `mnist1d-4bit-tuned` gave STE",
        "largest means of `mnist1d-158` and `mnist1d-4bit` the same budget",
        f"then {len(study.final_seeds)} new seeds",
        f"which classified {summary(THREE_TUNED).arm('STE').last.mean:.1f} % correctly. {told}. "
        f"A gain below {last} points would not have been seen, nor one below {final} in the last "
        "epoch. All but QuEST took the rate 0.3, the largest of the grid",
    ]


def four_pieces():
    names = {
        "LSQ": "LSQ", "SEQ": "SEQ", FISHER: "LNE with the loss's curvature",
        "stacked sigmoid": "the stacked sigmoid", "DoReFa": "DoReFa", "clipped STE": "clipped STE",
    }  # fmt: skip
    study = load_study(find_study(FOUR_TUNED))
    told = "; ".join(
        f"{words} {pair(FOUR_TUNED, arm, 'STE', (False, True))}" for arm, words in names.items()
    )
    assert best_of(FOUR, 5) == set(names) - {FISHER}
    assert all(verdicts(FOUR_TUNED, arm, "STE") == ("helps", "null") for arm in names)
    assert (study.budget, len(study.tuning_seeds), len(study.final_seeds)) == (4, 2, 20)
    arms = {a.label: a.arm for a in summary(FOUR_TUNED).arms}
    assert {a.weight_decay for a in arms.values()} == {1e-3}
    slow = {label for label, a in arms.items() if a.learning_rate == 0.3}
    assert slow - {"last bit"} == {"STE", "LSQ", "stacked sigmoid", FISHER}
    assert at_edge(FOUR_TUNED)
    return [
        f"none in the last epoch.** {told}: all six **change with the metric**. STE classified "
        f"{summary(FOUR_TUNED).arm('STE').last.mean:.1f} % correctly. LNE took "
        f"{seconds_of(FOUR_TUNED, FISHER, 'STE'):.2f} times its seconds",
    ]


def test_the_best_of_three_levels_and_four_bits_tuned():
    pieces = [*three_pieces(), *four_pieces()]
    title = "Three levels and four bits: the best of them tuned"
    assert unchecked(section_of(title), pieces) == ([], [])


def test_a_study_that_was_asked_again_is_on_the_page_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from comparison_results import write_results

    source = tmp_path / "results"
    source.mkdir()
    for name in ("last-bit-resnet", "last-bit-resnet-20"):
        shutil.copy(DOCS / "results" / "last-bit-resnet.json", source / f"{name}.json")
    write_results(source, tmp_path / "page.md", tmp_path / "pages")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    seeds = len(summary("last-bit-resnet").arms[0].seeds)
    first, _, second = text.partition(f"Asked again on {seeds} new seeds, see above.")
    assert text.count("### Noise floor of the digits") == 2
    assert "| last bit |" in first
    assert "| last bit |" not in second
    assert "pages/last-bit-resnet/index.html" in second
