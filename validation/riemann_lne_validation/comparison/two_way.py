"""A confidence interval over seeds and images: how a difference would vary with both drawn anew.

An interval over seeds takes the test images as they are: it says nothing about others. Here both
are samples, the values are one difference for each seed and image, and the model is

    d_si = mu + a_s + b_i + e_si

with independent effects of the seed, of the image, and of the two together. The mean over S seeds
and I images then has variance va/S + vb/I + ve/(S I).

To resample rows and columns independently (the pigeonhole bootstrap of Owen) counts ve three
times: for two accuracies ve is the largest part, and the interval would be 1.7 times too wide. As
Menzel proposes, the three parts are resampled one by one, each with its own estimated variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from riemann_lne.errors import InvalidArgumentError, NotFiniteError, ShapeError

from .statistics import FEWEST_FOR_BOOTSTRAP, FEWEST_FOR_T, RESAMPLES, Interval, constant

__all__ = ["FEWEST_IMAGES", "Parts", "parts", "two_way_interval"]

#: Fewest images: as for seeds, a resample of fewer does not reach far enough.
FEWEST_IMAGES = FEWEST_FOR_BOOTSTRAP

# Resamples at a time, so that 10,000 images fit into memory.
_AT_ONCE = 500


@dataclass(frozen=True)
class Parts:
    """Effects of seeds and images, and their variances; an estimate below zero is zero.

    Attributes
    ----------
    mean : float
    seeds : ndarray of shape (S,)
        a_s: mean of the seed less the mean of all.
    images : ndarray of shape (I,)
        b_i.
    rest : ndarray of shape (S, I)
        e_si.
    seed_variance, image_variance, rest_variance : float
        va, vb, ve, from the mean squares of the two-way analysis of variance.
    variance : float
        Of the mean: va/S + vb/I + ve/(S I).
    freedom : float
        Degrees of freedom of that variance (Satterthwaite).
    """

    mean: float
    seeds: np.ndarray
    images: np.ndarray
    rest: np.ndarray
    seed_variance: float
    image_variance: float
    rest_variance: float
    variance: float
    freedom: float


def parts(values: np.ndarray) -> Parts:
    """The two-way analysis of variance of one value for each seed (row) and image (column).

    Raises
    ------
    ShapeError
        Unless there are two axes with two values each at least.
    NotFiniteError
        If a value is NaN or infinite.

    Examples
    --------
    >>> found = parts(np.array([[1.0, 2.0], [3.0, 4.0]]))  # rows and columns add up, nothing rests
    >>> found.mean, found.seed_variance, found.image_variance, found.rest_variance
    (2.5, 2.0, 0.5, 0.0)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ShapeError(
            f"expected a table of seeds and images, two of each at least, got shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise NotFiniteError(
            f"differences of shape {x.shape} must be finite: take diverged runs out first"
        )
    s, i = x.shape
    mean = float(x.mean())
    a, b = x.mean(1) - mean, x.mean(0) - mean
    rest = x - mean - a[:, None] - b[None, :]
    free = (s - 1, i - 1, (s - 1) * (i - 1))
    squares = [
        float(total) / n
        for total, n in zip((i * (a @ a), s * (b @ b), np.square(rest).sum()), free, strict=True)
    ]
    va, vb = (max(0.0, (squares[k] - squares[2]) / n) for k, n in ((0, i), (1, s)))
    variance = va / s + vb / i + squares[2] / (s * i)
    # weights of the mean squares in that variance, times S I
    weights = (va > 0, vb > 0, 1 - (va > 0) - (vb > 0))
    spread = sum((w * q) ** 2 / n for w, q, n in zip(weights, squares, free, strict=True))
    freedom = (variance * s * i) ** 2 / spread if spread > 0 else math.inf
    return Parts(mean, a, b, rest, va, vb, squares[2], variance, freedom)


def two_way_interval(
    values: np.ndarray, level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Interval of the mean over seeds and images: a bootstrap that resamples both.

    In every resample the effects of seeds and of images are drawn with replacement, scaled to
    their estimated variances, and the rest has its signs flipped by random signs of the seeds times
    random signs of the images. Percentiles are taken at the level
    1 - 2 Phi(-t), with t the quantile of Student's t for the degrees of freedom of the variance, as
    `statistics.bootstrap_interval` does for seeds alone.

    It holds for other seeds and other test images of the same kind. Training images stay the same:
    it does not say how the difference would vary with them.

    With fewer than `FEWEST_FOR_BOOTSTRAP` seeds the interval is mean +- t sqrt(variance) of the
    same parts, which assumes normal effects. None with fewer than `FEWEST_FOR_T` seeds or
    `FEWEST_IMAGES` images, and where all values are equal.

    Parameters
    ----------
    values : array of shape (seeds, images)
        Differences, in the unit of the interval.

    References
    ----------
    A. B. Owen, "The pigeonhole bootstrap", Ann. Appl. Stat. 1 (2007).
    K. Menzel, "Bootstrap with cluster-dependence in two or more dimensions", Econometrica 89
    (2021).

    Examples
    --------
    >>> values = np.add.outer(np.arange(10.0), np.arange(20.0))
    >>> interval = two_way_interval(values)
    >>> interval.low < 14.0 < interval.high  # the mean
    True
    >>> two_way_interval(values[:5]).method, two_way_interval(values[:2])
    ('two-way Student t', None)
    """
    if not 0.0 < level < 1.0:
        raise InvalidArgumentError(f"a level lies between 0 and 1, got {level!r}")
    x = np.asarray(values, dtype=np.float64)
    if x.ndim == 2 and (x.shape[0] < FEWEST_FOR_T or x.shape[1] < FEWEST_IMAGES):
        return None
    found = parts(x)
    if constant(x.reshape(-1)):
        return None
    s, i = x.shape
    quantile = float(stats.t.ppf(0.5 + level / 2, found.freedom))
    if s < FEWEST_FOR_BOOTSTRAP:
        half = quantile * math.sqrt(found.variance)
        return Interval(found.mean - half, found.mean + half, level, "two-way Student t")
    a = found.seeds * _scale(found.seed_variance, found.seeds)
    b = found.images * _scale(found.image_variance, found.images)
    e = found.rest * math.sqrt(s * i / ((s - 1) * (i - 1)))
    rng = np.random.default_rng(seed)
    means = []
    for begin in range(0, resamples, _AT_ONCE):
        n = min(_AT_ONCE, resamples - begin)
        rows = a[rng.integers(s, size=(n, s))].mean(1)
        columns = b[rng.integers(i, size=(n, i))].mean(1)
        signs = [rng.integers(2, size=(n, k)) * 2.0 - 1.0 for k in (s, i)]
        rest = ((signs[0] @ e) * signs[1]).sum(1) / (s * i)
        means.append(found.mean + rows + columns + rest)
    tail = float(stats.norm.sf(quantile))
    low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail])
    return Interval(float(low), float(high), level, "two-way bootstrap")


def _scale(variance: float, effects: np.ndarray) -> float:
    """Factor that gives effects, drawn with replacement, this variance."""
    own = float(np.square(effects).mean())
    return math.sqrt(variance / own) if own > 0 else 0.0
