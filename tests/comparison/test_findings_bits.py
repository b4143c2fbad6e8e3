"""The findings of docs/comparison.md about more bits than one, against the records they come from.

As in `test_findings`: pieces of text are built from the records, and what is left of a section
without them must not hold a number.
"""

import torch

from riemann_lne_torch.estimators import RDFS
from riemann_lne_validation.comparison.adapted import adapt
from riemann_lne_validation.comparison.study import find_study, load_study

from .findings import (
    CHANGES,
    CHARACTERS,
    DIGITS_CONFIRM,
    DOCS,
    FOUR,
    FOUR_AGAIN,
    FOUR_TUNED,
    HARMS,
    HELPS,
    LEARNED,
    NULLS,
    ONE,
    ONE_AGAIN,
    ONE_CONFIRM,
    ONE_TUNED,
    ONE_TUNED_AGAIN,
    OSCILLATION,
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
    section_of,
    setting,
    summary,
    unchecked,
    verdicts,
)


def test_the_first_look_at_two_bits_says_what_its_record_says():
    """All words of that section that are verdicts, in the study's metric."""
    found = {c.arm: c.last.verdict for c in summary("mnist1d-2bit").comparisons}
    better = """SEQ|LSQ|QuEST|RMS levels|ternary|BWN|DoReFa|clipped STE|EDE|freezing|PARQ
        |BinaryRelax|pull to the levels|STE, batch norm re-estimated|STE, average of weights"""
    same = "ReSTE|EWGS|stacked sigmoid|Lookahead|LNE, exact|LNE, hessian|LNE, dual|STE, tuned"
    worse = "RDFS of StableQAT|damping|LNE, flowed"
    for names, verdict in ((better, "helps"), (same, "null"), (worse, "harms")):
        for name in names.split("|"):
            assert found.pop(name.strip()) == verdict
    assert set(found) == {"full precision"}
    means = {c.arm: c.last.description.mean for c in summary("mnist1d-2bit").comparisons}
    levels = ["SEQ", "LSQ", "QuEST", "RMS levels", "ternary", "BWN"]
    assert levels == sorted(levels, key=means.get, reverse=True)
    assert comparison("mnist1d-2bit", "damping").final.verdict == "null"
    assert [s.label for s in summary("mnist1d-2bit").same] == ["QuEST, rotated"]
    assert any("edge of its grid" in note for note in summary("mnist1d-2bit").notes)


def test_the_first_look_has_the_numbers_of_its_record():
    """Of StableQAT's gradient as STE at another rate; the rest of that section are verdicts."""
    rate = adapt(RDFS(), torch.linspace(-1.0, 1.0, 1001), bits=2).rate
    tried = {tuple(t["settings"].values()): t for t in summary("mnist1d-2bit").tuning}
    low, usual = (tried[r, 0.0]["validation_mean"] for r in (0.03, 0.1))
    assert rate_of("mnist1d-2bit", "STE") == 0.1
    pieces = [
        f"as STE does at {rate:.2f} times the rate",
        f"STE at {0.03 / 0.1:.1f} times the usual rate was worse as well, {low:.1f} against "
        f"{usual:.1f} % on validation signals",
        "`mnist1d-2bit`",
    ]
    assert unchecked(section_of("Two bits: a first look"), pieces) == ([], [])


def test_a_study_that_did_not_answer_says_so():
    found = summary(STABLE)
    ste, rdfs = found.arm("STE"), found.arm("RDFS of StableQAT")
    compared = comparison(STABLE, "RDFS of StableQAT")
    best = max(t["validation_mean"] for t in found.tuning)
    pieces = [
        f"Of ten classes STE classified {ste.last.mean:.1f} % correctly and StableQAT's gradient "
        f"{rdfs.last.mean:.1f} %, where a guess has {100 / 10:.0f} %; {len(rdfs.diverged)} of its "
        f"{len(rdfs.seeds)} runs broke down",
        f"The best of {len(found.tuning)} configurations had {best:.1f} %",
        f"*harms*, {interval(compared.last)}, compares",
        "`stableqat-2bit-learned`",
        "`stableqat-2bit`",
    ]
    title = "Two bits: StableQAT's gradient, not answered"
    assert unchecked(section_of(title), pieces) == ([], [])
    assert verdicts(STABLE, "RDFS of StableQAT") == ("harms", "harms")
    assert max(ste.last.mean, rdfs.last.mean) < 15.0  # "learned next to nothing"


def rates_pieces():
    """Pieces of the section about the study on one grid."""
    found = summary(RATES_ONE_GRID)
    (compared,) = (c.last for c in found.comparisons if c.primary)
    tried = {
        tuple(t["settings"].values()): t["validation_mean"]
        for t in summary(LEARNED).tuning
        if t["arm"] == "STE"
    }
    rate = rate_of(RATES_ONE_GRID, "STE")
    rates = [t["settings"]["learning_rate"] for t in found.tuning if t["arm"] == "STE"]
    assert rate == min(rates)
    assert verdicts(RATES_ONE_GRID, "RDFS of StableQAT") == HELPS
    assert not found.floor.is_broken
    study = load_study(find_study(RATES_ONE_GRID))
    assert study.budget == 9  # "nine configurations each"
    assert not set(study.final_seeds) & set(load_study(find_study(LEARNED)).final_seeds)
    return [
        f"(`stableqat-2bit-rates`: nine configurations each, {len(found.arm('STE').seeds)} seeds): "
        f"{pair(RATES_ONE_GRID, 'RDFS of StableQAT')}. STE took the rate {rate}, the smallest of "
        f"this grid; a smaller one, {0.03}, was worse in the study before, "
        f"{tried[0.03, 0.0]:.1f} against {tried[rate, 0.0]:.1f} % on validation signals. A lead "
        f"below {compared.resolves:.1f} points would not have been seen.",
    ]


def test_stableqat_with_a_learned_range():
    found = summary(LEARNED)
    ste, rdfs = found.arm("STE"), found.arm("RDFS of StableQAT")
    rates = {
        arm.label: [t["settings"]["learning_rate"] for t in found.tuning if t["arm"] == arm.label]
        for arm in (ste, rdfs)
    }
    rate = rate_of(LEARNED, "STE")
    assert rate == rate_of(LEARNED, "RDFS of StableQAT")
    assert rate == max(rates["STE"]) == min(rates["RDFS of StableQAT"])
    full = summary("mnist1d-2bit").arm("full precision").last.mean
    pieces = [
        f"{len(ste.seeds)} test seeds",
        f"**StableQAT's gradient is ahead of STE here**: {pair(LEARNED, 'RDFS of StableQAT')}.",
        f"STE classified {ste.last.mean:.1f} % correctly, StableQAT's gradient "
        f"{rdfs.last.mean:.1f} %, where floats reach {full:.0f} %",
        f"Both took the rate {rate}",
        f"differ in the last bit are {found.floor.deviation:.1f} points apart",
        "`stableqat-2bit-learned`",
        *rates_pieces(),
    ]
    title = "Two bits: StableQAT's gradient with a learned range"
    assert unchecked(section_of(title), pieces) == ([], [])
    assert verdicts(LEARNED, "RDFS of StableQAT") == HELPS
    assert not found.floor.is_broken
    study = load_study(find_study(LEARNED))
    assert study.budget == 6  # "six configurations each"
    assert {arm.activation_range for arm in study.every_arm()} == {"learned"}


ANEW = "STE, batch norm anew"


def test_damping_and_freezing():
    both_anew = {a: both(OSCILLATION, f"{a}, batch norm anew") for a in ("damping", "freezing")}
    plain = both(OSCILLATION, "STE")
    pieces = [
        f"{len(summary(OSCILLATION).arm('STE').seeds)} seeds, at the defaults",
        f"**Freezing is not told from it**: {pair(OSCILLATION, 'freezing')}.",
        f"statistics is {lost(plain[0])} and {lost(plain[1])} points behind STE",
        f"{interval(both_anew['freezing'][0])}, {p(both_anew['freezing'][0])}, and "
        f"{interval(both_anew['freezing'][1])}.",
        f"at its default strength: {pair(OSCILLATION, 'damping')}, and with statistics computed "
        f"anew {pair(OSCILLATION, 'damping, batch norm anew')}.",
        "`oscillation-2bit`",
    ]
    assert unchecked(section_of("Two bits: damping and freezing"), pieces) == ([], [])
    assert verdicts(OSCILLATION, "freezing") == NULLS
    assert verdicts(OSCILLATION, "freezing, batch norm anew") == NULLS
    for arm in ("damping", "damping, batch norm anew", "STE"):
        assert verdicts(OSCILLATION, arm) == HARMS
    assert {c.reference for c in summary(OSCILLATION).comparisons} == {ANEW}


QUANTISERS, FISHER = ("QuEST", "SEQ", "DoReFa", "BWN"), "LNE, fisher"
JOINED = "LNE, fisher on SEQ"


def tuned_again_pieces(quantisers):
    """Two bits, all tuned, on 20 new seeds."""
    with_p = (True, True)
    lne = both(TUNED_AGAIN, "LNE, fisher", "STE")
    found = {q: both(TUNED_AGAIN, q, "STE") for q in quantisers}
    now, then = (
        {q: f"{summary(s).arm(q).last.mean:.1f} %" for q in ("STE", "SEQ")}
        for s in (TUNED_AGAIN, TUNED)
    )
    return [
        f"`{TUNED_AGAIN}` asked again on {len(summary(TUNED_AGAIN).arm('STE').seeds)} new seeds",
        f"{pair(TUNED_AGAIN, 'LNE, fisher', 'STE', with_p)}, next to the level{CHANGES}. A gain "
        f"below {lne[0].resolves:.1f} points would not have been seen, nor one below "
        f"{lne[1].resolves:.1f} in the last epoch.",
        f"nothing**: {marked(TUNED_AGAIN, JOINED, 'SEQ', with_p)}.",
        ", ".join(f"{q} {interval(found[q][0])}" for q in quantisers)
        + "; in the last epoch " + ", ".join(mean(found[q][1]) for q in quantisers) + ".",
        f"DoReFa the rate {rate_of(TUNED_AGAIN, 'DoReFa')}, the largest of its grid. STE "
        f"classified {now['STE']} correctly ({then['STE']} in the first study), SEQ {now['SEQ']} "
        f"({then['SEQ']}).",
    ]  # fmt: skip


def test_two_bits_tuned_once_more():
    """Words of that section about the second study."""
    assert verdicts(TUNED_AGAIN, FISHER, "STE") == ("null", "helps")
    assert 0.04 < both(TUNED_AGAIN, FISHER, "STE")[1].adjusted < 0.05  # "next to the level"
    assert verdicts(TUNED_AGAIN, JOINED, "SEQ") == ("harms", "null")
    for arm in ("SEQ", "DoReFa", "LSQ", "QuEST", JOINED):
        assert verdicts(TUNED_AGAIN, arm, "STE") == HELPS
    new, old = (load_study(find_study(s)) for s in (TUNED_AGAIN, TUNED))
    assert (new.budget, len(new.tuning_seeds)) == (4, 5)  # "on five seeds"
    seeds = [{*s.final_seeds, *s.tuning_seeds} for s in (new, old)]
    assert not set.intersection(*seeds)
    chosen = {
        a.label: (a.arm.learning_rate, a.arm.weight_decay, dict(a.arm.options))
        for a in summary(TUNED).arms
    }
    for a in summary(TUNED_AGAIN).arms:
        same = (a.arm.learning_rate, a.arm.weight_decay, dict(a.arm.options)) == chosen[a.label]
        assert same == (a.label != "DoReFa")
    assert any("DoReFa, learning_rate" in n for n in summary(TUNED_AGAIN).notes if "edge" in n)


def test_the_best_of_two_bits_tuned_and_the_moonshot():
    quantisers = ["SEQ", "DoReFa", "LSQ", "QuEST"]
    fisher, joined = both(TUNED, "LNE, fisher"), both(TUNED, "LNE, fisher on SEQ", "SEQ")
    study = load_study(find_study(TUNED))
    assert (study.budget, len(study.tuning_seeds)) == (4, 2)  # "four configurations, two seeds"
    seeds = len(study.final_seeds)
    ahead = comparison(TUNED, "LNE, fisher on SEQ", "STE").last.description.mean
    found = {q: both(TUNED, q, "STE") for q in quantisers}
    rates = {rate_of(TUNED, a.label) for a in summary(TUNED).arms}
    assert rates == {0.3}
    floor = summary(TUNED).floor
    pieces = [
        f"then {seeds} new seeds",
        f"against STE: {interval(fisher[0])} and {interval(fisher[1])}.",
        f"not told from SEQ: {interval(joined[0])} and {interval(joined[1])}.",
        f"The combination is {ahead:.1f} points ahead of STE, but SEQ alone is "
        f"{found['SEQ'][0].description.mean:.1f}:",
        ", ".join(f"{q} {interval(found[q][0])}" for q in quantisers)
        + "; in the last epoch " + ", ".join(mean(found[q][1]) for q in quantisers) + ".",
        "All took the rate 0.3, three times the usual one",
        f"in the last bit are {floor.deviation:.1f} points apart (standard deviation): with "
        f"{seeds} seeds a gain of LNE below {fisher[0].resolves:.1f} points",
        "`mnist1d-2bit-tuned`",
        *tuned_again_pieces(quantisers),
    ]  # fmt: skip
    title = "Two bits: the best of them tuned, and the moonshot"
    assert unchecked(section_of(title), pieces) == ([], [])
    assert verdicts(TUNED, "LNE, fisher") == verdicts(TUNED, "LNE, fisher on SEQ", "SEQ") == NULLS
    for arm in (*quantisers, "LNE, fisher on SEQ"):
        assert verdicts(TUNED, arm, "STE") == HELPS


def told(study, arm, reference="STE"):
    """Both intervals, with p where it is not next to nothing."""
    with_p = tuple(found.adjusted >= 0.001 for found in both(study, arm, reference))
    return pair(study, arm, reference, with_p)


def tried(study, rate):
    """Accuracy of STE without weight decay on validation signals, in percent."""
    (found,) = [
        t["validation_mean"]
        for t in summary(study).tuning
        if t["arm"] == "STE" and t["settings"] == {"learning_rate": rate, "weight_decay": 0.0}
    ]
    return f"{found:.1f}"


def right(study, arm):
    return f"{summary(study).arm(arm).last.mean:.1f}"


def ste_pieces():
    """The rates of STE in both studies, and what they are worth."""
    low, high = (rate_of(s, "STE") for s in (ONE_TUNED, ONE_TUNED_AGAIN))
    studies = (ONE_TUNED, ONE_TUNED_AGAIN)
    first, second = ([tried(s, rate) for rate in (low, high)] for s in studies)
    at_low = summary(ONE_AGAIN).arm("STE, tuned")
    assert (low, high) == (at_low.arm.learning_rate, 1.0) == (0.3, 1.0)
    assert round(low / rate_of(ONE_AGAIN, "STE"), 9) == 3.0  # "three times"
    found = summary(ONE_TUNED_AGAIN).arm("STE")
    for other in (at_low, summary(ONE_TUNED).arm("STE")):  # "about three points of each lead"
        assert 2.5 < other.last.mean - found.last.mean < 3.5
    return [
        f"STE took the rate {low}, three times the usual one, and classified "
        f"{right(ONE_TUNED, 'STE')} % correctly; in the second it took {high}, the largest of its "
        f"grid, and classified {right(ONE_TUNED_AGAIN, 'STE')} %.",
        f"{low} had {first[0]} % against {first[1]} % for {high} in the first study, {second[0]} "
        f"against {second[1]} % in the second.",
        f"In `{ONE_AGAIN}`, on other seeds, a tuned STE took {low}: {at_low.last.mean:.1f} %, and "
        f"{at_low.final.mean:.1f} % in the last epoch, against {found.final.mean:.1f} % here.",
    ]


def quantiser_pieces():
    with_p, (*leads, bwn) = (True, True), QUANTISERS
    before = "; ".join(f"{q} {pair(ONE_TUNED, q, 'STE', with_p)}" for q in leads)
    quest, seq, dorefa = (right(ONE_TUNED_AGAIN, q) for q in leads)
    for q in leads:
        now, then = (summary(s).arm(q).last.mean for s in (ONE_TUNED_AGAIN, ONE_TUNED))
        assert abs(now - then) < 0.1  # "within 0.1 points of the first study"
        assert comparison(ONE_TUNED, q, "STE").changes("last")
    at_low = summary(ONE_AGAIN).arm("STE, tuned").last.mean
    leads_then = {a: both(ONE_TUNED, a, "STE")[0].description.mean for a in (*leads, FISHER)}
    for arm, then in leads_then.items():  # "by what the first study saw, to half a point"
        assert abs(summary(ONE_TUNED_AGAIN).arm(arm).last.mean - at_low - then) < 0.5
    # "BWN would hardly lead"
    assert 0.0 < summary(ONE_TUNED_AGAIN).arm(bwn).last.mean - at_low < 1.0
    return [
        "; ".join(f"{q} {told(ONE_TUNED_AGAIN, q)}" for q in leads) + ".",
        f"all three **change with the metric**: {before}.",
        f"Their {quest}, {seq} and {dorefa} % are within 0.1 points",
        f"Against its {at_low:.1f} % at {rate_of(ONE_TUNED, 'STE')} (other seeds, so no test)",
        f"{bwn} {told(ONE_TUNED_AGAIN, bwn)}, after {pair(ONE_TUNED, bwn, 'STE', with_p)}.",
        f"LNE {told(ONE_TUNED_AGAIN, FISHER)}, after a near miss, "
        f"{pair(ONE_TUNED, FISHER, 'STE', with_p)}.",
        f"{right(ONE_TUNED_AGAIN, bwn)} and {right(ONE_TUNED_AGAIN, FISHER)} %: against those "
        f"{at_low:.1f} % BWN would hardly lead",
    ]


def test_the_best_of_one_bit_tuned():
    last, final = both(ONE_TUNED_AGAIN, JOINED, "SEQ")
    new, old, first = (load_study(find_study(s)) for s in (ONE_TUNED_AGAIN, ONE_TUNED, ONE))
    pieces = [
        "`mnist1d-1bit-tuned` and `mnist1d-1bit-tuned-20` gave STE",
        "largest means of `mnist1d-1bit` the same budget",
        f"The first had {len(old.final_seeds)} new seeds; the second chose all settings anew and "
        f"had {len(new.final_seeds)} more",
        *ste_pieces(),
        *quantiser_pieces(),
        f"add anything**: {told(ONE_TUNED_AGAIN, JOINED, 'SEQ')}{CHANGES}, after "
        f"{pair(ONE_TUNED, JOINED, 'SEQ')}. A difference below {last.resolves:.1f} points would "
        f"not have been seen, nor one below {final.resolves:.1f} in the last epoch.",
        "SEQ, DoReFa and LNE 0.3, and none a weight decay",
    ]
    assert unchecked(section_of("One bit: the best of them tuned"), pieces) == ([], [])
    now = {a: verdicts(ONE_TUNED_AGAIN, a, "STE") for a in (*QUANTISERS, FISHER)}
    assert now == dict.fromkeys(now, HELPS)
    then = {a: verdicts(ONE_TUNED, a, "STE") for a in now}
    assert then == {**dict.fromkeys(now, ("helps", "null")), "BWN": NULLS, FISHER: NULLS}
    assert verdicts(ONE_TUNED_AGAIN, JOINED, "SEQ") == ("null", "harms")
    assert verdicts(ONE_TUNED, JOINED, "SEQ") == NULLS
    for study in (new, old):
        assert (study.budget, len(study.tuning_seeds)) == (4, 2)  # "two seeds each"
    seeds = [{*s.final_seeds, *s.tuning_seeds} for s in (new, old, first)]
    assert len(set.union(*seeds)) == sum(map(len, seeds))
    # "the five methods with the largest means" of the first look, at their defaults
    means = {
        a.label: a.last.mean
        for a in summary(ONE).arms
        if a.label not in ("full precision", "STE, tuned")
    }
    assert set(sorted(means, key=means.get)[-5:]) == {*QUANTISERS, FISHER}


def test_the_settings_of_one_bit_tuned():
    """The last words of the section: what was chosen, and what lies at an end."""
    usual = {"QuEST": 0.1, "SEQ": 0.3, "DoReFa": 0.3, "BWN": 1.0, FISHER: 0.3, JOINED: 0.3}
    for study, ste, damping, ends in (
        (ONE_TUNED, 0.3, 1.0, {"QuEST", "BWN", FISHER, JOINED}),
        (ONE_TUNED_AGAIN, 1.0, 0.1, {"STE", "QuEST", "BWN", FISHER, JOINED}),
    ):
        arms = {a.label: a.arm for a in summary(study).arms if a.label != "last bit"}
        assert {a: arm.learning_rate for a, arm in arms.items()} == {**usual, "STE": ste}
        assert {arm.weight_decay for arm in arms.values()} == {0.0}
        dampings = {a: dict(arms[a].options)["damping"] for a in (FISHER, JOINED)}
        assert dampings == {FISHER: damping, JOINED: 1.0}
        (edges,) = [note for note in summary(study).notes if "edge of its grid" in note]
        values = edges.rstrip(".").partition("): ")[2].split("; ")
        assert {value.rpartition(", ")[0] for value in values} == ends


def test_three_levels_in_a_character_model():
    def bits(arm):
        found = comparison(CHARACTERS, arm).both("last")[0]
        return interval(found, 3)

    def corrected(arm):
        return p(comparison(CHARACTERS, arm).last)

    full = comparison(CHARACTERS, "full precision")
    lne = comparison(CHARACTERS, "LNE, fisher").last
    pieces = [
        "(1.58 bits)",
        f"{len(summary(CHARACTERS).arms[0].seeds)} seeds; one scale",
        f"not told from STE**: {bits('LNE, fisher')} bits. A difference below {lne.resolves:.3f} "
        "bits would not have been seen.",
        f"{bits('SEQ')}, {corrected('SEQ')}, and **QuEST is not told from it**, {bits('QuEST')}, "
        f"{corrected('QuEST')}.",
        f"Full precision is {-full.last.description.mean:.3f} bits ahead of STE",
        "`characters-158`",
        "MNIST-1D",
    ]
    assert unchecked(section_of("Three levels: a character model"), pieces) == ([], [])
    assert verdicts(CHARACTERS, "SEQ") == HARMS
    assert verdicts(CHARACTERS, "full precision") == HELPS
    for arm in ("LNE, fisher", "QuEST", "STE by channel"):
        assert verdicts(CHARACTERS, arm) == NULLS
    (edges,) = [n for n in summary(CHARACTERS).notes if "edge" in n]
    tuned = {t["arm"] for t in summary(CHARACTERS).tuning}
    assert all(f"{arm}, learning_rate" in edges for arm in tuned)  # "all took the largest"
    assert {len([t for t in summary(CHARACTERS).tuning if t["arm"] == a]) for a in tuned} == {3}
    assert setting(CHARACTERS).epochs == 5  # "for five epochs"


BITS = "Other numbers of bits"


def seen(study, arms):
    """The sentence on the page about the smallest gains over STE that a study could have seen."""
    last, final = (max(both(study, arm, "STE")[i].resolves for arm in arms) for i in (0, 1))
    return (
        f"A gain below {last:.1f} points would not have been seen, nor one below {final:.1f} in "
        "the last epoch."
    )


def bits_pieces():
    """Pieces of the section before its table, and about one bit."""
    alone, lne = (seen(ONE_AGAIN, arms) for arms in (ALONE, LNE))
    exact, fisher = (pair(ONE_AGAIN, arm, with_p=(True, True)) for arm in LNE)
    check = (False, True)
    return [
        "`mnist1d-1bit`, `mnist1d-158` and `mnist1d-4bit` ask what `mnist1d-2bit` asked",
        f"(1.58 bits) and four bits: written down before their first test run, with fewer arms and "
        f"{len(summary(ONE).arm('STE').seeds)} of the same seeds",
        "At one bit `mnist1d-1bit-20` asked again, at three levels `mnist1d-158-20`, at four bits "
        "`mnist1d-4bit-20`;",
        "95 % interval over seeds",
        f"on {len(summary(ONE_AGAIN).arm('STE').seeds)} new seeds (`mnist1d-1bit-20`)",
        f"QuEST, {pair(ONE_AGAIN, 'QuEST')}, and SEQ, {pair(ONE_AGAIN, 'SEQ')}, are ahead of STE",
        f"at three times the usual rate, {pair(ONE_AGAIN, 'STE, tuned')}, whose verdict had",
        f"DoReFa, as there: {marked(ONE_AGAIN, 'DoReFa', with_p=check)}.",
        f"not told from STE. {alone}",
        f"StableQAT's gradient {marked(ONE_AGAIN, 'RDFS of StableQAT', with_p=check)};",
        f"EDE {marked(ONE_AGAIN, 'EDE', with_p=check)};",
        f"sigmoid does harm, {pair(ONE_AGAIN, 'stacked sigmoid')}.",
        f"exact {exact}, with the loss's curvature {fisher}: not told from STE. {lne}",
    ]


ALONE, LNE = ("clipped STE", "ReSTE", "BWN"), ("LNE, exact", "LNE, fisher")
NAMES = {
    "SEQ": "SEQ", "QuEST": "QuEST", "STE by channel": "a scale for each channel",
    "LNE, exact": "LNE exact", "LNE, fisher": "with the loss's curvature",
}  # fmt: skip


def three_pieces():
    """Pieces about three levels."""
    parts = [
        f"{words} {pair(THREE_AGAIN, arm, with_p=(arm == 'STE by channel',) * 2)}"
        for arm, words in NAMES.items()
    ]
    resolved = max(both(THREE_AGAIN, arm)[0].resolves for arm in NAMES)
    three, two = (summary(s).arm("STE").last.mean for s in (THREE_AGAIN, "mnist1d-2bit"))
    with_p = (True, True)
    return [
        f"on {len(summary(THREE_AGAIN).arm('STE').seeds)} new seeds (`mnist1d-158-20`)",
        f"the reference here. {'; '.join(parts[:-1])}, {parts[-1]}. A gain below {resolved:.1f} "
        f"points would not have been seen. Freezing {marked(THREE_AGAIN, 'freezing', None, with_p)}"
        f"; RMS levels {marked(THREE_AGAIN, 'RMS levels', None, with_p)}.",
        f"STE reaches {three:.1f} % on these three levels, and {two:.1f} % on the four of "
        "`mnist1d-2bit`",
        f"ReinMax is behind STE, {pair(THREE_AGAIN, 'ReinMax')}, and HESTIA, "
        f"{pair(THREE_AGAIN, 'HESTIA')}.",
    ]


FOUR_LEADS = {"full precision": "Floats", "LSQ": "LSQ", "SEQ": "SEQ", "DoReFa": "DoReFa"}
FOUR_NULLS = ("clipped STE", "stacked sigmoid", "QuEST", "LNE, exact", "LNE, fisher")


def four_pieces():
    """Pieces about four bits."""
    leads = "; ".join(
        f"{words} {pair(FOUR_AGAIN, arm, with_p=(True, True))}" for arm, words in FOUR_LEADS.items()
    )
    return [
        f"on {len(summary(FOUR_AGAIN).arm('STE').seeds)} new seeds (`mnist1d-4bit-20`)",
        f"which reaches {summary(FOUR_AGAIN).arm('STE').last.mean:.1f} %: "
        f"{pair(FOUR_AGAIN, 'STE, tuned')}. {leads}: all four **change with the metric**.",
        f"LNE exact, {pair(FOUR_AGAIN, 'LNE, exact')}, and LNE with the loss's curvature, "
        f"{pair(FOUR_AGAIN, 'LNE, fisher')}, are not told from STE. {seen(FOUR_AGAIN, FOUR_NULLS)}",
        f"EDE {marked(FOUR_AGAIN, 'EDE', with_p=(True, True))};",
        f"at the usual rate: {pair(FOUR_AGAIN, 'RDFS of StableQAT')}.",
    ]


def test_four_bits():
    assert verdicts(FOUR_AGAIN, "STE, tuned") == HELPS
    tuned = summary(FOUR_AGAIN).arm("STE, tuned").arm
    assert (tuned.learning_rate, tuned.weight_decay) == (0.3, 1e-3)
    for arm in FOUR_LEADS:
        assert verdicts(FOUR_AGAIN, arm) == ("helps", "null")
    for arm in FOUR_NULLS:
        assert verdicts(FOUR_AGAIN, arm) == NULLS
    assert verdicts(FOUR_AGAIN, "EDE") == ("null", "harms")
    assert verdicts(FOUR_AGAIN, "RDFS of StableQAT") == HARMS
    # against the first look
    for arm in ("EDE", *FOUR_LEADS, *FOUR_NULLS):
        assert verdicts(FOUR, arm) == NULLS
    assert verdicts(FOUR, "STE, tuned") == ("null", "helps")
    new, old = (load_study(find_study(s)) for s in (FOUR_AGAIN, FOUR))
    assert not set(new.final_seeds) & set(old.final_seeds)


def test_the_page_sums_up_more_bits_than_one():
    """Words of the section for someone who chooses."""
    for arm in ("QuEST", "SEQ"):
        assert [verdicts(s, arm)[0] for s in (ONE, ONE_AGAIN, "mnist1d-2bit")] == ["helps"] * 3
        assert [verdicts(s, arm) for s in (THREE, THREE_AGAIN, FOUR)] == [NULLS] * 3
    for arm in ("QuEST", "SEQ"):  # "in the mean of the last epochs alone"
        assert verdicts(ONE_TUNED, arm, "STE") == ("helps", "null")
        for study in (TUNED, TUNED_AGAIN):
            assert verdicts(study, arm, "STE") == HELPS
    # "at its defaults SEQ leads by half a point in one of the metrics and QuEST in none"
    assert verdicts(FOUR_AGAIN, "SEQ") == ("helps", "null")
    assert verdicts(FOUR_AGAIN, "QuEST") == NULLS
    half, point = (both(FOUR_AGAIN, arm)[0].description.mean for arm in ("SEQ", "STE, tuned"))
    assert 0.4 < half < 0.65
    assert 0.9 < point < 1.5
    for study in (ONE, ONE_AGAIN, THREE, THREE_AGAIN, FOUR, FOUR_AGAIN):
        assert verdicts(study, "LNE, exact") == verdicts(study, "LNE, fisher") == NULLS
    assert verdicts("mnist1d-2bit", "LNE, exact")[0] == "null"
    for study in (TUNED, ONE_TUNED):
        assert verdicts(study, "LNE, fisher", "STE") == NULLS
    # "in one of two studies at two, ... in one of the metrics"
    assert verdicts(TUNED_AGAIN, "LNE, fisher", "STE") == ("null", "helps")
    # "the other ... in both metrics, and LNE ahead too"
    for arm in ("QuEST", "SEQ", "LNE, fisher"):
        assert verdicts(ONE_TUNED_AGAIN, arm, "STE") == HELPS
    worse, better = (summary(s).arm("STE").last.mean for s in (ONE_TUNED_AGAIN, ONE_TUNED))
    assert worse < better
    passes = both(ONE_CONFIRM, "LNE, fisher", "STE")[0]
    seconds = both(ONE_CONFIRM, "STE, as long", "LNE, fisher")[0]
    assert comparison(ONE_CONFIRM, "LNE, fisher", "STE").changes("last")
    assert verdicts(DIGITS_CONFIRM, "LNE, fisher", "STE") == NULLS
    assert {verdicts(FOUR_TUNED, a, "STE") for a in ("SEQ", "LSQ", "LNE, fisher")} == {
        ("helps", "null")
    }
    assert seconds.description.mean > passes.description.mean > 0.0  # "by less than"


def test_three_levels_on_mnist1d():
    for arm in (*NAMES, "STE, tuned"):
        assert verdicts(THREE_AGAIN, arm) == NULLS
    assert verdicts(THREE_AGAIN, "ReinMax") == verdicts(THREE_AGAIN, "HESTIA") == HARMS
    assert rate_of(THREE_AGAIN, "STE, tuned") == 0.3  # "three times the usual rate"
    assert {c.reference for c in summary(THREE_AGAIN).comparisons} == {"STE"}
    # against the first look, where the tuned STE took the usual rate and was no arm of its own
    assert [s.label for s in summary(THREE).same] == ["STE, tuned"]
    assert comparison(THREE, "HESTIA").changes("last")
    others = {c.arm for c in summary(THREE).comparisons} - {"HESTIA"}
    changed = {arm for arm in others if verdicts(THREE, arm) != verdicts(THREE_AGAIN, arm)}
    assert changed == {"freezing", "RMS levels"}
    new, old = (load_study(find_study(s)) for s in (THREE_AGAIN, THREE))
    assert not set(new.final_seeds) & set(old.final_seeds)


def test_other_numbers_of_bits():
    pieces = [*bits_pieces(), *three_pieces(), *four_pieces()]
    assert unchecked(section_of(BITS), pieces) == ([], [])


def test_one_bit_on_mnist1d():
    for arm in ("QuEST", "SEQ", "STE, tuned"):
        assert verdicts(ONE_AGAIN, arm) == HELPS
    assert verdicts(ONE_AGAIN, "stacked sigmoid") == HARMS
    for arm in (*ALONE, *LNE):
        assert verdicts(ONE_AGAIN, arm) == NULLS
    for arm in ("EDE", "RDFS of StableQAT"):
        assert verdicts(ONE_AGAIN, arm) == ("harms", "null")
    assert verdicts(ONE_AGAIN, "DoReFa") == ("helps", "null")
    assert rate_of(ONE_AGAIN, "STE, tuned") == 0.3  # "three times the usual rate"
    assert {c.reference for c in summary(ONE_AGAIN).comparisons} == {"STE"}
    # against the first look
    first = {c.arm: verdicts(ONE, c.arm) for c in summary(ONE).comparisons}
    changed = {arm: found for arm, found in first.items() if found != verdicts(ONE_AGAIN, arm)}
    assert changed == {
        "STE, tuned": ("null", "helps"),
        "EDE": ("null", "harms"),
        "RDFS of StableQAT": NULLS,
    }
    new, old = (load_study(find_study(s)) for s in (ONE_AGAIN, ONE))
    assert not set(new.final_seeds) & set(old.final_seeds)


def test_the_table_of_bits_has_the_numbers_of_its_records(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from comparison_results import BITS as STUDIES
    from comparison_results import bits_table

    found = {
        name: summary(name) for name in STUDIES if (DOCS / "results" / f"{name}.json").exists()
    }
    lines = bits_table(found).splitlines()
    head, _, *rows = [[cell.strip() for cell in x.split("|")[1:-1]] for x in lines]
    assert head == ["arm", *(STUDIES[name] for name in found)]
    table = {row[0].strip("*"): dict(zip(found, row[1:], strict=True)) for row in rows}
    for name in found:
        for c in summary(name).comparisons:
            if c.arm in table and c.reference == "STE":
                words = {"helps": " better", "harms": " worse", "null": ""}[c.last.verdict]
                assert table[c.arm][name] == interval(c.last) + words
    assert table["seeds"] == {n: str(len(summary(n).arm("STE").seeds)) for n in found}
    assert "LNE, exact" in table


def test_the_noise_floors():
    pieces = ["95 % interval", "MNIST-1D", "CIFAR-10"]
    in_points = (
        "last-bit-digits", "last-bit-resnet", "mnist1d-2bit", TUNED_AGAIN, LEARNED, ONE, ONE_AGAIN,
        ONE_TUNED, ONE_TUNED_AGAIN, THREE_TUNED, FOUR_TUNED, THREE, THREE_AGAIN, FOUR, FOUR_AGAIN,
    )  # fmt: skip
    for name, unit, digits in (
        *((name, "points", 2) for name in in_points),
        (CHARACTERS, "bits", 3),
    ):
        floor = summary(name).floor
        pieces.append(
            f"(`{name}`) | {floor.deviation:.{digits}f} {unit} | {floor.half_width:.{digits}f} "
            f"{unit} of {floor.seeds} seeds |"
        )
    assert unchecked(section_of("Noise floors"), pieces) == ([], [])
