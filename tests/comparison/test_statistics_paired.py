"""Paired comparisons: verdicts, diverged runs, too few seeds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_validation.comparison.paired import correct, pair

REFERENCE = {i: 90.0 + 0.1 * (i % 4) for i in range(10)}


def shifted(by, wiggle=0.1):
    return {i: v + by + wiggle * (-1) ** i for i, v in REFERENCE.items()}


def verdict(method, reference=REFERENCE, others=0):
    null = pair(shifted(0.0), REFERENCE)
    return correct([pair(method, reference), *[null] * others])[0]


def test_a_clear_gain_helps_a_clear_loss_harms_and_nothing_is_null():
    assert verdict(shifted(0.5)).verdict == "helps"
    assert verdict(shifted(-0.5)).verdict == "harms"
    assert verdict(shifted(0.0)).verdict == "null"


def test_a_difference_that_does_not_survive_the_correction_is_null():
    method = shifted(0.09)  # t = 0.09/(0.1054/sqrt(10)) = 2.70, p = .024
    alone, among = verdict(method), verdict(method, others=9)
    assert alone.p == among.p < 0.05
    assert (alone.verdict, among.verdict) == ("helps", "null")
    assert among.adjusted == pytest.approx(10 * among.p)
    assert among.corrected_level == pytest.approx(0.005)
    assert among.family.half_width > among.student.half_width


def test_identical_runs_are_null_with_p_one():
    found = verdict(dict(REFERENCE))
    assert (found.p, found.verdict, found.student) == (1.0, "null", None)
    assert "no spread" in found.notes[0]


def test_two_seeds_are_too_few_for_a_verdict():
    found = verdict({0: 95.0, 1: 95.5})
    assert (found.verdict, found.p, found.adjusted, found.student) == (
        "undecided",
        None,
        None,
        None,
    )
    assert any("too few" in n for n in found.notes)


def test_five_seeds_have_a_student_interval_and_no_bootstrap():
    found = pair(dict(list(shifted(0.5).items())[:5]), REFERENCE)
    assert found.student is not None
    assert found.bootstrap is None
    assert found.missing == (5, 6, 7, 8, 9)


def test_a_diverged_run_is_counted_named_and_the_worst_of_all():
    method = {**shifted(0.5), 3: None}
    found = verdict(method)
    assert (found.diverged, found.finished) == (1, 9)
    assert found.notes[0].startswith("1 of 10 runs diverged")
    assert found.test == "sign-flip on worst ranks"
    assert found.description.mean == pytest.approx(0.5 + 0.1 / 9)  # of the nine that finished
    # nine wins of ten with the largest rank lost: P(|W| >= 55 - 2*10) for ten signs, counted below
    ranks = range(1, 11)
    w = [sum(s * r for s, r in zip(signs, ranks, strict=True))
         for signs in itertools.product((-1, 1), repeat=10)]  # fmt: skip
    # ties among the nine wins leave their rank sum, 45, as it is but change the null slightly
    expected = sum(abs(x) >= 35 for x in w) / len(w)
    assert found.p == pytest.approx(expected, abs=0.02)
    assert found.verdict == "null"  # the mean of the other nine alone would have said "helps"
    kept = {k: v for k, v in method.items() if v is not None}
    assert verdict(kept).verdict == "helps"


def test_when_most_runs_diverge_the_method_harms_whatever_the_others_did():
    method = {i: (99.0 if i < 2 else None) for i in range(10)}
    found = verdict(method)
    assert found.description.mean > 5
    assert found.verdict == "harms"


def test_when_all_diverge_there_is_no_mean_and_still_a_verdict():
    found = verdict(dict.fromkeys(range(10)))
    assert (found.description, found.student) == (None, None)
    assert found.verdict == "harms"
    assert found.p == 2 / 2**10


def test_five_seeds_are_too_few_for_ranks():
    five = dict(list(REFERENCE.items())[:5])
    found = verdict(dict.fromkeys(five), five)
    assert (found.p, found.verdict) == (2 / 2**5, "undecided")
    assert "cannot give a p below 0.062" in found.notes[-1]
    assert verdict(five, five).verdict == "null"  # nothing to decide


def test_where_both_diverge_nothing_is_learned():
    both = dict.fromkeys(range(10))
    found = verdict(both, both)
    assert (found.p, found.verdict) == (1.0, "undecided")
    one = verdict({**REFERENCE, 0: None}, {**REFERENCE, 0: None})
    assert (one.p, one.verdict) == (1.0, "null")


def test_a_reference_that_diverges_counts_for_the_method():
    found = verdict(REFERENCE, {**shifted(-0.5), 0: None})
    assert found.reference_diverged == 1
    assert found.verdict == "helps"


def test_no_common_seed_is_an_error():
    with pytest.raises(InvalidArgumentError, match="no seed in common"):
        pair({0: 1.0}, {1: 1.0})
    with pytest.raises(InvalidArgumentError, match="test must be"):
        pair({0: 1.0}, {0: 1.0}, test="z")


def test_the_sign_flip_test_can_be_asked_for():
    found = pair(shifted(0.5), REFERENCE, test="sign-flip")
    assert (found.test, found.p) == ("sign-flip", found.p_sign_flip)


def test_a_comparison_without_p_still_counts_in_the_family():
    few, many = pair({0: 1.0}, {0: 0.0}), pair(shifted(0.09), REFERENCE)
    assert correct([few, many])[1].adjusted == pytest.approx(2 * many.p)


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=3, max_size=8))
def test_swapping_method_and_reference_mirrors_everything(values):
    method = dict(enumerate(values))
    reference = {i: 50.0 + i for i in method}
    one, two = verdict(method, reference), verdict(reference, method)
    mirror = {"helps": "harms", "harms": "helps"}
    assert two.verdict == mirror.get(one.verdict, one.verdict)
    assert two.direction == -one.direction
