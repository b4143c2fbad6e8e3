"""The findings of docs/comparison.md: every number of them, against the records they come from.

Each piece of text below is built from the records. It has to stand in the section, and what is
left of the section without the pieces must not hold a number. Words that follow from verdicts are
checked as verdicts.
"""

import json
import re

import pytest

from riemann_lne_validation.comparison import paired
from riemann_lne_validation.comparison.stored import read_summary
from riemann_lne_validation.comparison.study import find_study, load_study
from riemann_lne_validation.comparison.summary import summarise_arms
from riemann_lne_validation.comparison.trajectories import means

from .findings import (
    CHANGES,
    DIGITS_CONFIRM,
    DOCS,
    FIXED,
    FOUR,
    FOUR_AGAIN,
    FOUR_TUNED,
    LEARNED,
    ONE,
    ONE_AGAIN,
    ONE_CONFIRM,
    ONE_TUNED,
    ONE_TUNED_AGAIN,
    OSCILLATION,
    RATES,
    RATES_ONE_GRID,
    STABLE,
    THREE,
    THREE_AGAIN,
    THREE_TUNED,
    TUNED,
    TUNED_AGAIN,
    both,
    comparison,
    interval,
    lost,
    marked,
    mean,
    p,
    pair,
    rate_of,
    section,
    section_of,
    setting,
    summary,
    unchecked,
    verdicts,
)

# The larger files have some ten seconds of permutations in them.
RESULTS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if size > 200_000 else [])
    for path in sorted((DOCS / "results").glob("*.json"))
    if (size := path.stat().st_size)
]
DIGITS, RESNET, SECH2, CIFAR = "digits", "regulariser-n", "sech2-backward", "cifar10"
# The records that hold the hits of single images.
TWO_WAY = (
    RATES, FIXED, ONE, THREE, FOUR, "mnist1d-2bit", STABLE, OSCILLATION, TUNED, TUNED_AGAIN,
    LEARNED, RATES_ONE_GRID, ONE_TUNED, ONE_TUNED_AGAIN, ONE_CONFIRM,
    THREE_TUNED, FOUR_TUNED, DIGITS_CONFIRM, ONE_AGAIN, THREE_AGAIN, FOUR_AGAIN,
)  # fmt: skip
BN, WD = "STE, batch norm re-estimated", "STE, weight decay tuned"
EXACT, FREE = "LNE exact by channel, 0.5", "N, |w| held constant"


def more_passes(study):
    """Cost of re-estimation before every evaluation, and once at the end, in percent."""
    found = comparison(study, BN)
    share = summary(study).cost_ratio(found) - 1
    return 100 * share, 100 * share / summary(study).arm(BN).arm.epochs


def validation(study, owner):
    return {
        t["settings"]["options.alpha"]: t["validation_mean"]
        for t in summary(study).tuning
        if t["arm"] == owner
    }


def with_images(arm):
    parts = []
    for found in both(RATES, arm):
        parts.append(f"{interval(found)}, [{found.two_way.low:.1f}, {found.two_way.high:.1f}]")
    return " and ".join(parts)


def at_edge():
    """The rate that four tuned arms under Adam took, the largest of their grid."""
    rates = {}
    for t in summary(SECH2).tuning:
        rates.setdefault(t["arm"], []).append((t["chosen"], t["settings"]["learning_rate"]))
    ends = [
        rate
        for arm, tried in rates.items()
        for chosen, rate in tried
        if chosen and rate == max(r for _, r in tried)
    ]
    assert len(ends) == 4
    assert all(arm.endswith("Adam") for arm, tried in rates.items()
               if any(c and r == ends[0] for c, r in tried))  # fmt: skip
    (rate,) = set(ends)
    return rate


def pieces():
    """The numbers of the section, each with the words around it that say which one it is."""
    mlp, resnet, cifar = setting(DIGITS), setting(RESNET), setting(CIFAR)
    assert (mlp.model, resnet.model, cifar.model) == ("mlp", "resnet8", "resnet8")
    assert setting(SECH2).epochs == mlp.epochs
    assert setting(SECH2).width == mlp.width
    seeds = len(summary(CIFAR).arms[0].seeds)
    long = comparison(CIFAR, "STE, twice the epochs")
    assert summary(CIFAR).cost_ratio(long) == 2.0
    equal = "STE at equal compute"
    assert summary(RESNET).cost_ratio(comparison(RESNET, equal, "STE")) == 6.0
    full = both(RESNET, "full precision")
    many, once = more_passes(DIGITS)
    many_r, once_r = more_passes(RESNET)
    free, clamped = validation(RESNET, FREE), validation(RESNET, "N, ratio clamped")
    smallest = min(free)
    assert summary(RESNET).arm(FREE).arm.options["alpha"] == smallest
    assert summary(RESNET).cost_ratio(comparison(RESNET, FREE, "STE")) == pytest.approx(6.0)
    study = load_study(find_study("regulariser-n-fixed"))
    fixed = [a.arm.label for a in study.arms if a.arm.method == "rf-dnn"]
    alphas = [summary(FIXED).arm(label).arm.options["alpha"] for label in fixed]
    assert study.final_seeds == summary(RESNET).arms[0].seeds == summary(FIXED).arms[0].seeds
    for label in fixed:
        assert summary(FIXED).cost_ratio(comparison(FIXED, label, "STE")) == pytest.approx(6.0)
        assert verdicts(FIXED, label, "STE") == ("null", "null")
    grid = {t["settings"]["learning_rate"] for t in summary(RATES).tuning if t["arm"] == "STE"}
    top = max(grid)
    assert min(grid) < rate_of(RATES, "STE") == rate_of(RESNET, "STE") < top
    assert min(grid) < rate_of(RATES, EXACT) < top
    assert summary(RATES).arms[0].seeds == summary(RESNET).arms[0].seeds
    exact = both(RESNET, EXACT)
    rate = summary(RESNET).arm("EMA").arm.learning_rate
    ema = both(RESNET, "EMA")
    dorefa = both(DIGITS, "DoReFa on w/sd")
    flip = both(CIFAR, "STE, twice the epochs")[0]
    assert flip.finished == seeds
    rf = summary(DIGITS).cost_ratio(comparison(DIGITS, "RF-DNN"))
    assert rf == pytest.approx(6.0)
    fourth = "RF-DNN, N at every 4th step"
    cheap = summary(CIFAR).cost_ratio(comparison(CIFAR, fourth))
    reach = max(summary(CIFAR).arm("STE").last.mean, summary(CIFAR).arm("STE").final.mean)
    floats = max(summary(CIFAR).arm("full precision").final.mean,
                 summary(CIFAR).arm("full precision").last.mean)  # fmt: skip
    return [
        f"MLP, {mlp.width} wide, on 8 x 8 digits for {mlp.epochs} epochs",
        f"ResNet-8, {resnet.width} wide, on the same digits as images for {resnet.epochs} epochs",
        f"ResNet-8 on {cifar.subset:,} images of CIFAR-10 for {cifar.epochs} epochs",
        f"a check with {seeds} seeds that ranks nothing",
        "95 % interval over seeds",
        # longer training
        f"gave the ResNet {pair(RESNET, equal, 'STE')},",
        f"full precision ({mean(full[0])} and {mean(full[1])})",
        f"five times the epochs: {pair(DIGITS, 'STE, five times the epochs')}.",
        "On CIFAR-10 twice the epochs gave "
        + marked(CIFAR, "STE, twice the epochs", with_p=(True, True)),
        f"the sign-flip test of {seeds} seeds cannot give a p below {2 / 2**seeds:.3f}".replace(
            "0.", "."
        ),
        # batch norm
        f"It gave the MLP {pair(DIGITS, BN)} under SGD",
        f"and {pair(SECH2, BN + ', Adam')} under Adam, at {many:.0f} % more passes",
        f"once at the end it would be {once:.1f} %",
        f"In the ResNet, at {many_r:.0f} % more (once at the end: {once_r:.1f} %), it gave "
        + marked(RESNET, BN, with_p=(False, True)),
        # EMA
        f"in the MLP under SGD {marked(DIGITS, 'EMA', with_p=(True, True))}",
        f"with tuned settings {marked(SECH2, 'EMA, SGD')}",
        f"In the ResNet it took {lost(ema[0])} and {lost(ema[1])} points",
        f"at its tuned rate of {rate:g}",
        # N
        "STE up to alpha = 10 and falls from 100 on",
        f"({free[1e4]:.1f} % at 10,000; {clamped[1e4]:.1f} % with the ratio",
        f"The alpha chosen was the smallest, {smallest:g},",
        f"Against STE that was {pair(RESNET, FREE, 'STE')} at six times the cost",
        f"against STE with as many passes {pair(RESNET, FREE, equal)}.",
        "So `regulariser-n-fixed` took alpha = "
        f"{alphas[0]:g}, {alphas[1]:g} and {alphas[2]:g}, named "
        "before any test run, on the same seeds: "
        + "; ".join(pair(FIXED, label, "STE") for label in fixed)
        + ", each at six times the cost",
        "On MNIST-1D quantisers with levels of their own",
        "`regulariser-n-rates`, `regulariser-n-fixed` and the studies of MNIST-1D noted which",
        # LNE
        f"In the ResNet, exact by channel was {interval(exact[0])} and {interval(exact[1], 2)}, "
        f"{p(exact[1])}{CHANGES}",
        f"at the default step: {pair(DIGITS, 'LNE flowed by channel')}.",
        # sech^2
        "sech^2",
        f"on CIFAR-10 by {pair(CIFAR, 'DoReFa on w/sd', with_p=(True, True))}",
        f"with {seeds} seeds of networks that reach {reach:.0f} %, where full precision reaches "
        f"{floats:.0f},",
        f"Untuned in the MLP it did harm, {mean(dorefa[0])} and {mean(dorefa[1])}.",
        f"Under Adam four of the arms took the largest rate of their grid, {at_edge():g}:",
        # MetaQuant
        f"of that table: {pair(DIGITS, 'FCGrad')}, and {pair(DIGITS, 'MultiFC')} at twice the cost",
        # rates inside their grids
        f"On a grid that goes on to {top:g}, STE took {rate_of(RATES, 'STE'):g} again",
        f"which now took {rate_of(RATES, EXACT):g}: {with_images(EXACT)}, so that the harm above "
        "was not seen again",
        f"re-estimated, at {more_passes(RATES)[0]:.0f} % more passes: {with_images(BN)}, "
        f"{p(both(RATES, BN)[1])}: here it helps in both metrics",
        f"EMA: {with_images('EMA')}.",
        # EDE and ProxQuant
        f"at their defaults: {pair(DIGITS, 'EDE', with_p=(True, True))}; "
        f"{pair(DIGITS, 'ProxQuant', with_p=(True, False))}: both **changes with the metric**",
        # RF-DNN
        f"a plain step: {pair(DIGITS, 'RF-DNN')} in the MLP",
        f"it cost {cheap:.1f} times a plain step: {pair(CIFAR, fourth)} on CIFAR-10",
    ]


def test_the_numbers_are_those_of_the_records():
    assert [piece for piece in pieces() if piece not in section()] == []


def test_no_number_is_left_unchecked():
    text = section()
    for piece in sorted(pieces(), key=len, reverse=True):
        text = text.replace(piece, " ")
    names = ("CIFAR-10", "ResNet-8", "sech^2")
    for name in names:
        text = text.replace(name, " ")
    assert not re.findall(r".{0,40}\d.{0,40}", text)


def test_the_verdicts_are_those_of_the_records():
    helps, harms, null = ("helps",) * 2, ("harms",) * 2, ("null",) * 2
    assert verdicts(RESNET, "STE at equal compute", "STE") == helps
    assert verdicts(DIGITS, "STE, five times the epochs") == null
    assert verdicts(CIFAR, "STE, twice the epochs") == ("helps", "null")
    for study, arm in ((DIGITS, BN), (SECH2, f"{BN}, SGD"), (SECH2, f"{BN}, Adam")):
        assert verdicts(study, arm) == helps
    assert verdicts(RESNET, BN) == ("helps", "null")
    assert verdicts(DIGITS, "EMA") == verdicts(SECH2, "EMA, SGD") == ("helps", "null")
    assert verdicts(SECH2, "EMA, Adam") == null
    assert verdicts(RESNET, "EMA") == harms
    assert verdicts(RESNET, EXACT) == ("null", "harms")
    assert verdicts(RATES, EXACT) == null
    assert verdicts(RATES, BN) == helps
    assert verdicts(RATES, "EMA") == harms
    for reference in ("STE", "gradient-norm penalty", WD):
        assert verdicts(RESNET, FREE, reference) == null
    assert verdicts(RESNET, FREE, "STE at equal compute") == harms
    assert verdicts(RESNET, "gradient-norm penalty") == verdicts(RESNET, WD, "STE") == null
    for arm in ("weak", "exact", "exact by channel", "hessian", "dual, tau 3"):
        assert verdicts(DIGITS, f"LNE {arm}") == null
    for arm in ("LNE weak by layer", EXACT, "DoReFa on w/sd", "RF-DNN, N at every 4th step"):
        assert verdicts(CIFAR, arm) == null
    assert verdicts(DIGITS, "LNE flowed by channel") == harms
    for optimizer in ("SGD", "Adam"):
        for arm in ("DoReFa on w/sd", "LNE dual", "ReSTE on 0.3 w/sd", EXACT):
            assert verdicts(SECH2, f"{arm}, {optimizer}") == null
    assert verdicts(DIGITS, "DoReFa on w/sd") == verdicts(DIGITS, "MD-tanh") == harms
    assert verdicts(DIGITS, "DoReFa") == verdicts(DIGITS, "RF-DNN") == null
    for arm in ("FCGrad", "MultiFC"):
        assert verdicts(DIGITS, arm) == helps
    assert summary(DIGITS).cost_ratio(comparison(DIGITS, "MultiFC")) == pytest.approx(2, abs=0.02)
    assert verdicts(DIGITS, "EDE") == ("harms", "null")
    assert verdicts(DIGITS, "ProxQuant") == ("null", "harms")


def test_every_verdict_that_changes_is_in_the_findings():
    """And no other one: as many marks as there are changes in the records named there."""
    changed = [c for path in (DIGITS, RESNET, SECH2, CIFAR) for c in summary(path).comparisons
               if c.changes("last")]  # fmt: skip
    # one sentence names two, EDE and ProxQuant; the paragraph that explains the mark has it once
    assert section().count("**changes with the metric**") == len(changed) - 1 + 1


def test_other_words_that_are_numbers():
    resnet = summary(RESNET)
    # "made runs differ less"
    for metric in ("last", "final"):
        spread = {a: getattr(resnet.arm(a), metric).standard_deviation
                  for a in ("STE", "STE at equal compute")}  # fmt: skip
        assert spread["STE at equal compute"] < spread["STE"] / 2
    # "that of STE up to alpha = 10": within the spread of the trials; "falls from 100 on"
    ste = max(t["validation_mean"] for t in resnet.tuning if t["arm"] == "STE")
    trials = {t["settings"]["options.alpha"]: t for t in resnet.tuning if t["arm"] == FREE}
    for alpha, t in trials.items():
        below = ste - t["validation_mean"]
        assert below < t["validation_standard_deviation"] or alpha >= 100
        assert below > 1.5 or alpha < 100
    assert max(trials) / min(trials) == 1e6  # six decades
    # "the two arms have the same runs and count once"
    assert [(s.label, s.first, s.why) for s in resnet.same] == [("N, ratio clamped", FREE, "runs")]
    # which records hold the hits of single images
    for name in (DIGITS, RESNET, SECH2, CIFAR, *TWO_WAY):
        assert any(a.hits for a in summary(name).arms) == (name in TWO_WAY)


def test_an_estimator_as_ste_at_another_rate_says_what_its_record_says():
    found = json.loads((DOCS / "benchmarks" / "adapted-rates.json").read_text(encoding="utf-8"))
    m, names = means(found), ("stacked-sigmoid", "dorefa", "rdfs")
    assert {key[0] for key in m} == set(names)

    def away(rate, other, digits):
        texts = [f"{m[of, rate, other]['distance']:.{digits}f}" for of in names]
        return f"{texts[0]}, {texts[1]} and {texts[2]}"

    def near(rate):
        first, *rest = (m[of, rate, "adapted"]["distance"] for of in names)
        return f"{first:.4f}, {rest[0]:.3f} and {rest[1]:.3f}"

    def gain(of, other):
        return f"{abs(100 * m[of, 0.1, other]['accuracy']):.1f}"

    pieces = [
        "arXiv 2405.05171",
        "int_0^w",
        "f > 0 a function",
        f"At a rate of 0.001 the adapted STE ends {near(0.001)} of its way from the estimator, at "
        f"0.01 {near(0.01)}; STE as it is ends {away(0.001, 'ste', 2)} away at 0.001",
        f"At the usual rate of 0.1 the adapted STE is {away(0.1, 'adapted', 2)} away, farther than "
        "a change of the last bit takes the estimator from itself (at most 0.02)",
        f"There, at 0.1, the adapted STE classified {gain(names[0], 'adapted')} points fewer of "
        "the validation images than",
        f"STE as it is classified {gain(names[0], 'ste')} points more than `stacked-sigmoid` and "
        f"{gain('rdfs', 'ste')} more than `rdfs`",
    ]
    assert unchecked(section_of("An estimator as STE at another rate"), pieces) == ([], [])
    assert len(found["seeds"]) == 5  # "on each of five seeds"
    told = {("stacked-sigmoid", "adapted"): {-1}, ("stacked-sigmoid", "ste"): {1},
            ("rdfs", "ste"): {1}}  # fmt: skip
    rows = [r for r in found["rows"] if r["rate"] == 0.1]
    for of in names:
        for other in ("adapted", "ste"):
            mine = [r for r in rows if (r["estimator"], r["other"]) == (of, other)]
            signs = {1 if r["accuracy"] > 0.0 else -1 for r in mine}
            assert signs == told.get((of, other), {-1, 1})
        assert m[of, 0.1, "last bit"]["distance"] < 0.02
        assert m[of, 0.1, "adapted"]["distance"] > 3 * m[of, 0.1, "last bit"]["distance"]
        assert m[of, 0.001, "adapted"]["distance"] < 0.1 * m[of, 0.001, "ste"]["distance"]


@pytest.mark.parametrize("path", RESULTS)
def test_a_recorded_file_follows_from_its_accuracies(path, monkeypatch):
    """Differences, p, intervals, corrections, verdicts: all but the bootstraps computed anew."""
    monkeypatch.setattr(paired, "bootstrap_interval", lambda *a: None)
    monkeypatch.setattr(paired, "two_way_interval", lambda *a: None)
    stored = read_summary(path)
    references = {a.label: a.label for a in stored.arms}
    references |= {c.arm: c.reference for c in reversed(stored.comparisons)}
    # an arm may be compared with another one too, in a primary comparison
    references |= {c.arm: c.reference for c in stored.comparisons if c.primary is None}
    anew = summarise_arms(
        stored.arms,
        references=references,
        primary=[(c.arm, c.reference) for c in stored.comparisons if c.primary],
        metric=stored.metric,
        alpha=stored.alpha,
        title=stored.title,
        command=stored.command,
        measure=stored.measure,
    )
    assert anew.same == stored.same
    assert [(c.arm, c.reference) for c in anew.comparisons] == [
        (c.arm, c.reference) for c in stored.comparisons
    ]
    for one, two in zip(anew.comparisons, stored.comparisons, strict=True):
        for found, kept in zip(one.both("last"), two.both("last"), strict=True):
            assert found.differences == pytest.approx(kept.differences)
            assert (found.verdict, found.notes, found.comparisons) == (
                kept.verdict, kept.notes, kept.comparisons,
            )  # fmt: skip
            assert found.adjusted == pytest.approx(kept.adjusted, rel=1e-6)
            assert found.p_sign_flip == pytest.approx(kept.p_sign_flip)
            assert found.student.low == pytest.approx(kept.student.low)
            assert found.student.high == pytest.approx(kept.student.high)


def test_the_arms_that_two_studies_share_are_listed(monkeypatch):
    """By their results; three of them, as the findings say, all under SGD."""
    monkeypatch.syspath_prepend(str(DOCS))
    from comparison_results import shared_runs

    found = shared_runs({name: summary(name) for name in (CIFAR, DIGITS, RESNET, SECH2)})
    assert len(found) == 3
    pattern = r".+ \(digits\) = .+, SGD \(sech2-backward\)"
    assert all(re.fullmatch(pattern, line) for line in found)
