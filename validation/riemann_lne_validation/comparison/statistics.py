"""Statistics of paired runs: intervals, tests, correction for multiplicity. Arrays in, numbers out.

All functions take one value for each seed. They work in the unit of that value (accuracies:
percentage points). Where there are too few values for a statement, they return None instead of a
number; nothing returns NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, ShapeError

#: Fewest values for a Student-t interval. Two would give one with a factor of 12.7.
FEWEST_FOR_T = 3
#: Fewest values for a bootstrap interval. It cannot leave the range of the data, and that range
#: misses the median of five draws with probability 2/2^5 = 6 %, of eight with 0.8 %.
FEWEST_FOR_BOOTSTRAP = 8
#: Resamples and random sign flips; smallest two-sided p of the latter: 2/(count + 1).
RESAMPLES = 9999


@dataclass(frozen=True)
class Description:
    """Location and spread of one value per seed, in the unit of the values.

    Attributes
    ----------
    count : int
    mean : float
    standard_deviation : float or None
        With ddof = 1: the square root of sum (x - mean)^2/(count - 1). Not a variance, not a
        standard error. None for one value.
    """

    count: int
    mean: float
    standard_deviation: float | None


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the values; ``level`` is its nominal coverage."""

    low: float
    high: float
    level: float
    method: str

    @property
    def half_width(self) -> float:
        """Half of high - low."""
        return (self.high - self.low) / 2


def finite(values: Sequence[float], least: int = 1) -> np.ndarray:
    """The values as a float64 array of one axis.

    Raises
    ------
    ShapeError
        If there is more than one axis, or fewer than ``least`` values.
    NotFiniteError
        If one is NaN or infinite: a diverged run has no place in a mean.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size < least:
        raise ShapeError(f"expected one axis with at least {least} values, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise NotFiniteError(
            f"value {int(np.argmin(np.isfinite(x)))} is {x[np.argmin(np.isfinite(x))]}: take "
            "diverged runs out first, and count them"
        )
    return x


def describe(values: Sequence[float]) -> Description:
    """Count, mean and standard deviation (ddof = 1).

    Examples
    --------
    >>> describe([1.0, 2.0, 3.0])
    Description(count=3, mean=2.0, standard_deviation=1.0)
    """
    x = finite(values)
    return Description(x.size, float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else None)


def student_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's interval of the mean, mean +- t_(n-1) sd/sqrt(n).

    Exact for normal values. None below `FEWEST_FOR_T` values, and where all are equal.

    Examples
    --------
    >>> interval = student_interval([1.0, 2.0, 3.0])
    >>> round(interval.low, 3), round(interval.high, 3)
    (-0.484, 4.484)
    """
    x = finite(values)
    _check_level(level)
    if x.size < FEWEST_FOR_T or constant(x):
        return None
    half = _quantile(level, x.size) * float(x.std(ddof=1)) / math.sqrt(x.size)
    mean = float(x.mean())
    return Interval(mean - half, mean + half, level, "Student t")


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Bias-corrected and accelerated (BCa) bootstrap interval of the mean, at an expanded level.

    The bootstrap takes sd with ddof = 0 and normal quantiles, which is too narrow for few values:
    with ten normal ones a nominal 95 % covers 89 %. As Hesterberg (2015) proposes for the
    percentile interval, the level is expanded to 1 - 2 Phi(-sqrt(n/(n-1)) t_(n-1)); the measured
    coverage then is that of Student's interval for normal values, and closer to the nominal one
    for skewed ones. None below `FEWEST_FOR_BOOTSTRAP` values, and where all are equal.

    References
    ----------
    B. Efron, "Better bootstrap confidence intervals", J. Amer. Statist. Assoc. 82 (1987).
    T. Hesterberg, "What teachers should know about the bootstrap", Amer. Statist. 69 (2015).

    Examples
    --------
    >>> bootstrap_interval([1.0, 2.0, 3.0]) is None
    True
    >>> interval = bootstrap_interval([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    >>> interval.low < 5.5 < interval.high
    True
    """
    x = finite(values)
    _check_level(level)
    if x.size < FEWEST_FOR_BOOTSTRAP or constant(x):
        return None
    factor = math.sqrt(x.size / (x.size - 1))
    expanded = 1.0 - 2.0 * float(stats.norm.sf(factor * _quantile(level, x.size)))
    found = stats.bootstrap(
        (x,),
        np.mean,
        confidence_level=expanded,
        n_resamples=resamples,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high), level, "BCa bootstrap")


def t_test(differences: Sequence[float]) -> float | None:
    """Two-sided p of the paired t test that the mean difference is zero.

    None below `FEWEST_FOR_T` values, and where all are equal: no spread, no t.

    Examples
    --------
    >>> round(t_test([1.0, 2.0, 3.0]), 4)  # t = 2 sqrt(3), two degrees of freedom
    0.0742
    """
    x = finite(differences)
    if x.size < FEWEST_FOR_T or constant(x):
        return None
    return float(stats.ttest_1samp(x, 0.0).pvalue)


def sign_flip_test(
    differences: Sequence[float], seed: int = 0, resamples: int = RESAMPLES
) -> float:
    """Two-sided p of the sign-flip permutation test that differences are symmetric about zero.

    All 2^n flips where these are at most ``resamples``, else as many random ones. No assumption of
    normality. The smallest p that n differences can give is 2/2^n.

    Examples
    --------
    >>> sign_flip_test([1.0, 2.0, 3.0, 4.0, 5.0]) == 2 / 2**5
    True
    """
    x = finite(differences)
    if not x.any():
        return 1.0
    if x.size == 1:
        return 1.0
    found = stats.permutation_test(
        (x,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def worst_ranks(differences: Sequence[float]) -> np.ndarray:
    """Signed ranks of differences of which some are infinite: -inf where only the method diverged.

    A diverged run is worse than any other (worst-rank score, Lachin 1999): its pair has the largest
    rank, with its sign. Where both diverged (difference 0) the pair says nothing and has rank 0.

    References
    ----------
    J. M. Lachin, "Worst-rank score analysis with informatively missing observations in clinical
    trials", Controlled Clinical Trials 20 (1999).

    Examples
    --------
    >>> worst_ranks([0.5, -0.1, 0.2, float("-inf")])
    array([ 3., -1.,  2., -4.])
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or np.isnan(d).any():
        raise NotFiniteError(
            f"differences of shape {d.shape} must be numbers or +-inf on one axis, without NaN"
        )
    # Differences of accuracies that are multiples of 1/count are tied; round-off must not rank them
    ranks = stats.rankdata(np.round(np.abs(d), 9))
    return np.sign(d) * ranks


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: with p sorted, the running maximum of (m - i) p_i, at most 1.

    The family-wise error stays below alpha if those with an adjusted p of at most alpha are
    rejected, whatever their dependence. The smallest raw p is compared with alpha/m.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InvalidArgumentError(f"p-values must lie between 0 and 1, got {p_values!r}")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate((p.size - np.arange(p.size)) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(a) for a in adjusted]


def resolution(standard_deviation: float, count: int, level: float = 0.95) -> float | None:
    """Half-width of Student's interval: a smaller mean difference is not told from zero.

    Examples
    --------
    >>> [round(resolution(0.45, n), 2) for n in (5, 10, 30)]
    [0.56, 0.32, 0.17]
    """
    _check_level(level)
    if count < FEWEST_FOR_T:
        return None
    return _quantile(level, count) * standard_deviation / math.sqrt(count)


def detectable(
    standard_deviation: float, count: int, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """True difference that a two-sided paired t test at level alpha finds with this power.

    Found means: rejected in the right direction. From the noncentral t distribution.

    Examples
    --------
    >>> round(detectable(1.0, 34), 2)  # the textbook's effect of 0.5 needs 34 pairs
    0.5
    """
    if count < FEWEST_FOR_T:
        return None
    if standard_deviation == 0.0:
        return 0.0
    critical = _quantile(1.0 - alpha, count)

    def shortfall(effect: float) -> float:
        return float(stats.nct.sf(critical, count - 1, effect * math.sqrt(count))) - power

    # Beyond three critical values the power is 1 to many digits.
    upper = 3.0 * (critical + 1.0) / math.sqrt(count)
    return standard_deviation * float(optimize.brentq(shortfall, 1e-9, upper))


def window(epochs: int, most: int = 10) -> int:
    """How many epochs count as the last ones: ten, or the last quarter where that is fewer.

    Examples
    --------
    >>> window(200), window(40), window(20), window(3)
    (10, 10, 5, 1)
    """
    if epochs < 1:
        raise InvalidArgumentError(f"a run has at least one epoch, got {epochs}")
    return min(most, max(1, epochs // 4))


def constant(x: np.ndarray) -> bool:
    """Whether all values are equal up to round-off: then they have no spread to go by."""
    return bool(np.ptp(x) <= 1e-12 * max(1.0, float(np.abs(x).max())))


def _quantile(level: float, count: int) -> float:
    """Two-sided quantile of Student's t with count - 1 degrees of freedom."""
    return float(stats.t.ppf(0.5 + level / 2, count - 1))


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise InvalidArgumentError(f"a level lies between 0 and 1, got {level!r}")
