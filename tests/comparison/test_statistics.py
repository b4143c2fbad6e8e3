"""Intervals and tests: against known results, and their coverage and size by simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, ShapeError
from riemann_lne_validation.comparison import statistics as s

# Student's sleep data (1908): extra hours of sleep under two drugs, ten patients. Mean of the
# differences 1.58, t = 4.0621, p = 0.00283, 95 % interval [0.7001, 2.4599] in every textbook.
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])


def test_student_interval_and_t_test_on_the_sleep_data():
    interval = s.student_interval(SLEEP)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.7001, 2.4599)
    assert round(s.t_test(SLEEP), 5) == 0.00283
    assert s.describe(SLEEP).standard_deviation == pytest.approx(1.2300, abs=5e-5)


def test_the_interval_of_five_is_student_s_and_not_the_normal_one():
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    assert s.student_interval(x).half_width == pytest.approx(2.7764 * math.sqrt(2.5 / 5), abs=1e-4)


@pytest.mark.parametrize("count", [2, 5, 6, 9, 10, 12])
def test_sign_flip_test_is_exact_for_few_values(count):
    d = np.resize(SLEEP - 1.0, count) + 0.01 * np.arange(count)
    flips = np.array(list(itertools.product((-1, 1), repeat=count)))
    extreme = np.mean(np.abs(flips @ d) >= abs(d.sum()) - 1e-12)
    assert s.sign_flip_test(d) == pytest.approx(extreme, abs=1e-12)
    assert s.sign_flip_test(-d) == s.sign_flip_test(d)


def test_random_sign_flips_agree_with_the_t_test_for_many_normal_values():
    d = np.random.default_rng(3).normal(0.35, 1.0, size=30)
    # p near 0.05: a standard error of sqrt(.05 .95/9999) = .002 for 9999 flips, times four, and
    # the two tests differ by O(1/n).
    assert s.sign_flip_test(d) == pytest.approx(s.t_test(d), abs=0.015)
    assert s.sign_flip_test(d) == s.sign_flip_test(d)  # seeded


def test_holm_by_hand():
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, running maximum .02 .03 .06 .06
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert s.holm([0.9, 0.8]) == [1.0, 1.0]
    assert s.holm([0.2]) == [0.2]
    assert s.holm([]) == []
    with pytest.raises(InvalidArgumentError, match="between 0 and 1"):
        s.holm([0.5, float("nan")])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order(p):
    adjusted = s.holm(p)
    assert all(r <= a <= min(1.0, len(p) * r) for r, a in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_worst_ranks():
    inf = math.inf
    assert s.worst_ranks([0.5, -0.1, 0.2, -inf]).tolist() == [3, -1, 2, -4]
    assert s.worst_ranks([-inf, -inf, 1.0]).tolist() == [-2.5, -2.5, 1]
    assert s.worst_ranks([inf, 0.0, -1.0]).tolist() == [3, 0, -2]
    # 0.3 - 0.2 and 0.2 - 0.1 differ by round-off and are tied all the same
    assert s.worst_ranks([0.3 - 0.2, 0.1 - 0.2]).tolist() == [1.5, -1.5]
    with pytest.raises(NotFiniteError):
        s.worst_ranks([float("nan")])


def test_too_few_values_give_nothing_instead_of_something_wrong():
    assert s.student_interval([1.0, 2.0]) is None
    assert s.t_test([1.0, 2.0]) is None
    assert s.bootstrap_interval(SLEEP[:7]) is None
    assert s.bootstrap_interval(SLEEP[:8]) is not None
    assert s.describe([1.0]).standard_deviation is None
    assert s.resolution(1.0, 2) is None
    assert s.detectable(1.0, 2) is None


def test_equal_values_have_no_interval():
    x = [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert s.student_interval(x) is None
    assert s.bootstrap_interval(x) is None
    assert s.t_test(x) is None
    assert s.sign_flip_test(x) == 2 / 2**8
    assert s.sign_flip_test([0.0] * 8) == 1.0


def test_what_is_not_a_number_is_refused():
    with pytest.raises(NotFiniteError, match="value 1 is nan"):
        s.describe([1.0, float("nan")])
    with pytest.raises(ShapeError):
        s.describe([])
    with pytest.raises(InvalidArgumentError, match="level"):
        s.student_interval(SLEEP, 95)


def test_bootstrap_interval_is_seeded_and_leans_with_the_skewness():
    for x in (SLEEP, -SLEEP):
        one, two = s.bootstrap_interval(x, seed=4), s.bootstrap_interval(x, seed=4)
        assert one == two
        student = s.student_interval(x)
        shift = (one.low + one.high - student.low - student.high) / 2
        assert np.sign(shift) == np.sign(stats.skew(x))
        # The widths agree to first order in 1/sqrt(n); the next term is O(1/n), a tenth here.
        assert one.half_width == pytest.approx(student.half_width, rel=0.1)


def test_the_bootstrap_interval_is_widened_for_few_values():
    x = stats.norm.ppf((np.arange(10) + 0.5) / 10)  # symmetric: BCa does not shift it
    plain = stats.bootstrap((x,), np.mean, method="BCa", rng=0).confidence_interval
    ratio = s.bootstrap_interval(x).half_width / ((plain.high - plain.low) / 2)
    # sqrt(n/(n-1)) t/z; quantiles of 9999 resampled means are known to about 2 %
    assert ratio == pytest.approx(math.sqrt(10 / 9) * 2.262 / 1.960, rel=0.04)


def test_resolution_and_power():
    # training runs with a standard deviation of .45 points between pairs
    assert [round(s.resolution(0.45, n), 2) for n in (5, 10, 30)] == [0.56, 0.32, 0.17]
    # Cohen's tables: an effect of 0.5 needs 34 pairs, one of 0.8 needs 15
    assert s.detectable(1.0, 34) == pytest.approx(0.495, abs=0.01)
    assert s.detectable(1.0, 15) == pytest.approx(0.78, abs=0.02)
    assert s.detectable(0.0, 10) == 0.0


def test_window():
    assert [s.window(e) for e in (1, 3, 4, 20, 39, 40, 200)] == [1, 1, 1, 5, 9, 10, 10]
    with pytest.raises(InvalidArgumentError):
        s.window(0)


# -- coverage and size ---------------------------------------------------------------------------
# A count of hits out of m with probability p has a standard error sqrt(p (1-p)/m). Bounds are at
# four of them (one failure in 16,000 if the truth is on the bound), the draws are seeded.


def coverage(method, draw, count, trials, seed):
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(trials):
        interval = method(draw(rng, count))
        hits += interval.low <= 0.0 <= interval.high
    return hits / trials


def normal(rng, count):
    return rng.normal(size=count)


def skewed(rng, count):
    return rng.exponential(size=count) - 1.0


def accuracies(rng, count):
    """Paired differences of accuracies: on a grid of 1/360, in points, with ties and zeros."""
    method, reference = rng.binomial(360, 0.9, size=(2, count))
    return (method - reference) / 3.6


def bootstrap(x):
    return s.bootstrap_interval(x, resamples=999)


def four_errors(trials, p=0.95):
    return 4 * math.sqrt(p * (1 - p) / trials)


@pytest.mark.parametrize("count", [5, 10])
def test_coverage_of_student_s_interval(count):
    trials = 4000
    for draw in (normal, accuracies):
        found = coverage(s.student_interval, draw, count, trials, seed=count)
        assert abs(found - 0.95) < four_errors(trials)


def test_the_normal_interval_of_five_would_be_caught():
    """1.96 in the place of Student's 2.776 covers 88 %: the test above sees the difference."""

    def wrong(x):
        half = 1.96 * x.std(ddof=1) / math.sqrt(x.size)
        return s.Interval(x.mean() - half, x.mean() + half, 0.95, "wrong")

    assert coverage(wrong, normal, 5, 4000, seed=5) < 0.95 - four_errors(4000)


def test_coverage_of_the_bootstrap_interval_of_ten():
    trials = 400
    found = coverage(bootstrap, accuracies, 10, trials, seed=0)
    # No bootstrap is exact at ten: two points are allowed for, besides the simulation's own error.
    assert abs(found - 0.95) < 0.02 + four_errors(trials)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "slack"), [(8, 0.02), (10, 0.02), (30, 0.01)])
def test_coverage_of_the_bootstrap_interval(count, slack):
    trials = 4000
    for draw in (normal, accuracies):
        found = coverage(bootstrap, draw, count, trials, seed=count)
        assert abs(found - 0.95) < slack + four_errors(trials)


@pytest.mark.slow
def test_the_bootstrap_covers_more_of_skewed_values_than_student_and_than_plain_bca():
    trials = 4000
    ours = coverage(bootstrap, skewed, 10, trials, seed=7)
    student = coverage(s.student_interval, skewed, 10, trials, seed=7)

    def plain(x):
        c = stats.bootstrap((x,), np.mean, n_resamples=999, method="BCa", rng=0)
        return s.Interval(*c.confidence_interval, 0.95, "plain")

    assert student < ours < 0.95
    assert coverage(plain, skewed, 10, trials, seed=7) < ours - 0.02


def rejections(test, draw, count, trials, seed, level=0.05):
    rng = np.random.default_rng(seed)
    return np.mean([test(draw(rng, count)) <= level for _ in range(trials)])


def test_size_of_the_tests_at_five():
    trials = 2000
    assert abs(rejections(s.t_test, normal, 5, trials, 1) - 0.05) < four_errors(trials, 0.05)
    # 2/32 is the smallest p of five sign flips: it can never reject at .05, by design
    assert rejections(s.sign_flip_test, normal, 5, 200, 1) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("draw", [normal, accuracies])
def test_size_of_the_tests_at_ten_and_thirty(draw):
    trials = 2000
    for count in (10, 30):
        found = rejections(s.t_test, draw, count, trials, count)
        assert abs(found - 0.05) < four_errors(trials, 0.05)
    flips = rejections(s.sign_flip_test, draw, 10, trials, 10)
    assert flips < 0.05 + four_errors(trials, 0.05)  # exact tests reject at most 5 %
    assert flips > 0.03  # and with 1024 flips not much less


def test_family_wise_error_of_holm_with_a_common_reference():
    """Nulls against one reference, as in a study: at least one rejection in at most 5 %."""
    rng, trials, hits, raw = np.random.default_rng(0), 1500, 0, 0
    for _ in range(trials):
        runs = rng.normal(size=(7, 10))
        p = stats.ttest_1samp(runs[1:] - runs[0], 0.0, axis=1).pvalue
        hits += min(s.holm(p)) <= 0.05
        raw += min(p) <= 0.05
    assert hits / trials < 0.05 + four_errors(trials, 0.05)
    assert raw / trials > 0.1  # what it would be without the correction
