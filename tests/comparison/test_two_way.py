"""The interval over seeds and images: exact results, and its coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, ShapeError
from riemann_lne_validation.comparison import two_way as t
from riemann_lne_validation.comparison.statistics import student_interval


def effects(va, vb, ve):
    """Draws with these variances of seeds, images, and the rest; the true mean is 0."""

    def draw(rng, s, i):
        a, b, e = rng.normal(size=(s, 1)), rng.normal(size=(1, i)), rng.normal(size=(s, i))
        return math.sqrt(va) * a + math.sqrt(vb) * b + math.sqrt(ve) * e

    return draw


def accuracies(rng, s, i):
    """Hits of two methods that are equally good on all images that there are, not on these."""
    difficulty = 3.5 + 2.0 * rng.normal(size=(1, i))

    def hits():
        skill = 0.3 * rng.normal(size=(s, 1)) + 0.8 * rng.normal(size=(1, i))
        return rng.random((s, i)) < 1 / (1 + np.exp(-difficulty - skill))

    return 100.0 * (hits().astype(float) - hits())


DRAWS = {
    "seeds": effects(1, 0, 1),
    "images": effects(0, 1, 1),
    "rest": effects(0, 0, 1),
    "all three": effects(1, 5, 20),
    "accuracies": accuracies,
}


def coverage(method, draw, s, i, trials, seed=0):
    rng = np.random.default_rng(seed)
    found = [method(draw(rng, s, i)) for _ in range(trials)]
    return np.mean([f.low <= 0.0 <= f.high for f in found])


def ours(x):
    return t.two_way_interval(x, resamples=599)


def over_seeds(x):
    return student_interval(x.mean(1))


def four_errors(trials, p=0.95):
    return 4 * math.sqrt(p * (1 - p) / trials)


def test_parts_of_an_exact_table():
    """Orthogonal effects with known mean squares: the textbook's two-way analysis of variance."""
    a, b = np.array([1.0, -1.0]), np.array([2.0, 0.0, -2.0])
    e = np.outer([1.0, -1.0], [0.5, -1.0, 0.5])  # orthogonal to rows and columns
    found = t.parts(5.0 + a[:, None] + b[None, :] + e)
    assert found.mean == 5.0
    assert np.allclose(found.seeds, a)
    assert np.allclose(found.images, b)
    assert np.allclose(found.rest, e)
    # mean squares: seeds 3*2/1 = 6, images 2*8/2 = 8, rest 3/2 = 1.5
    assert found.rest_variance == pytest.approx(1.5)
    assert found.seed_variance == pytest.approx((6 - 1.5) / 3)
    assert found.image_variance == pytest.approx((8 - 1.5) / 2)
    assert found.variance == pytest.approx((6 + 8 - 1.5) / 6)
    assert found.freedom == pytest.approx(12.5**2 / (36 / 1 + 64 / 2 + 1.5**2 / 2))


def test_an_effect_below_the_rest_counts_as_none():
    a, b = np.array([1.0, -1.0]), np.array([2.0, 0.0, -2.0])
    e = 10.0 * np.outer([1.0, -1.0], [0.5, -1.0, 0.5])
    found = t.parts(a[:, None] + b[None, :] + e)  # mean squares 6, 8, 150
    assert (found.seed_variance, found.image_variance) == (0.0, 0.0)
    assert found.variance == pytest.approx(150 / 6)
    assert found.freedom == pytest.approx(2)  # of the rest alone
    found = t.parts(10 * a[:, None] + b[None, :] + e)  # 600, 8, 150
    assert found.image_variance == 0.0
    assert found.variance == pytest.approx(600 / 6)
    assert found.freedom == pytest.approx(1)  # of the seeds alone


@pytest.mark.parametrize("count", [8, 20])
def test_with_seeds_alone_it_is_student_s_interval_over_seeds(count):
    x = np.repeat(stats.norm.ppf((np.arange(count) + 0.5) / count)[:, None], 40, axis=1)
    found = t.parts(x)
    assert found.freedom == pytest.approx(count - 1)
    assert found.variance == pytest.approx(np.var(x[:, 0], ddof=1) / count)
    # Means of normal scores are near normal. The tails of 1 % to 2 % of so many resamples are known
    # to 1 % of the half-width; without the wider level it would be 17 % narrower for eight seeds,
    # with the spread of ddof 0 another 6 %.
    one, two = t.two_way_interval(x, resamples=60_000), student_interval(x[:, 0])
    assert one.half_width == pytest.approx(two.half_width, rel=0.035)


def test_the_resamples_have_the_estimated_variance():
    x = effects(1, 5, 20)(np.random.default_rng(3), 20, 200)
    found = t.parts(x)
    # an interval of so low a level reaches t(.75) standard errors to each side: no tail enters
    interval = t.two_way_interval(x, level=0.5, resamples=20_000)
    wanted = stats.t.ppf(0.75, found.freedom) * math.sqrt(found.variance)
    assert interval.half_width == pytest.approx(wanted, rel=0.04)


def test_it_is_seeded_and_mirrors():
    x = accuracies(np.random.default_rng(1), 10, 50)
    one, two = t.two_way_interval(x, seed=4), t.two_way_interval(x, seed=4)
    assert one == two
    mirrored = t.two_way_interval(-x, seed=4)
    assert mirrored.low == pytest.approx(-one.high, abs=0.1 * one.half_width)


def test_too_few_and_equal_values_give_nothing():
    assert t.two_way_interval(np.eye(2, 20)) is None
    assert t.two_way_interval(np.eye(20, 7)) is None
    assert t.two_way_interval(np.eye(3, 8)).method == "two-way Student t"
    assert t.two_way_interval(np.eye(8, 8)).method == "two-way bootstrap"
    assert t.two_way_interval(np.zeros((10, 20))) is None
    assert t.two_way_interval(np.full((10, 20), 0.1 + 0.2)) is None


def test_what_is_no_table_of_numbers_is_refused():
    with pytest.raises(ShapeError, match="seeds and images"):
        t.parts(np.zeros(5))
    with pytest.raises(ShapeError, match=r"shape \(1, 5\)"):
        t.parts(np.zeros((1, 5)))
    with pytest.raises(NotFiniteError, match="diverged"):
        t.two_way_interval(np.full((10, 20), np.nan))
    with pytest.raises(InvalidArgumentError, match="level"):
        t.two_way_interval(np.eye(10), level=95)


def test_coverage_on_accuracies():
    trials = 200
    found = coverage(ours, accuracies, 10, 60, trials)
    # two points for the approximation, beside the simulation's own error
    assert abs(found - 0.95) < 0.02 + four_errors(trials)
    # the interval over seeds takes the images as they are, and misses the mean over all images
    assert coverage(over_seeds, accuracies, 10, 60, trials) < found - 0.03


@pytest.mark.parametrize("name", ["seeds", "images", "all three", "accuracies"])
@pytest.mark.parametrize("s", [3, 5])
def test_coverage_with_few_seeds(name, s):
    trials = 1000
    found = coverage(ours, DRAWS[name], s, 60, trials, seed=s)
    # Of so few seeds the degrees of freedom themselves are estimates, and estimates of variances
    # below zero count as zero: wider than nominal where the seeds' own part is small.
    assert 0.95 - 0.02 - four_errors(trials) < found < 0.95 + 0.035 + four_errors(trials)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(("s", "i"), [(8, 60), (20, 359)])
def test_coverage(name, s, i):
    trials = 800
    found = coverage(ours, DRAWS[name], s, i, trials, seed=s)
    # Where neither seeds nor images have an effect of their own, estimates of their variances that
    # are below zero count as zero: the interval then is somewhat too wide.
    above = 0.035 if name == "rest" else 0.02
    assert 0.95 - 0.02 - four_errors(trials) < found < 0.95 + above + four_errors(trials)


@pytest.mark.slow
def test_resampling_rows_and_columns_alone_would_be_too_wide():
    """The pigeonhole bootstrap counts the rest three times: this is why it is not used."""
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        x = effects(0, 0, 1)(rng, 20, 100)
        means = [
            x[rng.integers(20, size=20)][:, rng.integers(100, size=100)].mean() for _ in range(300)
        ]
        found.append(np.var(means) * 20 * 100)
    assert np.mean(found) == pytest.approx(3.0, rel=0.1)
