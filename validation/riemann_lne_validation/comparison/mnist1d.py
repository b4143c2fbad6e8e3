"""MNIST-1D: ten classes of noisy signals with 40 values, generated; nothing is downloaded.

S. Greydanus, D. Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024. The recipe is theirs;
the random numbers are those of NumPy's PCG64, so that samples are others than in their package, of
the same distribution.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

__all__ = ["make_mnist1d"]

# A digit drawn as twelve heights, from left to right.
_DIGITS = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
_PADDING = (36, 60)  # zeros behind a digit: at least, at most
_LENGTH = 12 + _PADDING[1]
_SHIFT = 48
_SIZE, _SMOOTH_NOISE, _WHITE_NOISE, _SHEAR = 0.4, 0.25, 0.02, 0.75
_VALUES = 40


def _templates() -> np.ndarray:
    """The digits with mean 0 and deviation 1, moved to start at 0, over 6."""
    x = np.array(_DIGITS, dtype=np.float64)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    return (x - x[:, :1]) / 6.0


@lru_cache(maxsize=2)
def make_mnist1d(
    count: int = 5000, seed: int = 42
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training signals and labels, test signals and labels: four fifths and one fifth.

    Each signal is its digit behind which 36 to 60 zeros stand, stretched to 72 values, times a
    factor from 0.8 to 1.2, rotated by up to 47 values; smooth noise in place of the zeros, white
    noise on all, less a straight line of random slope; then 40 values of it. All together have
    mean 0 and deviation 1.

    Returns
    -------
    x, y, x_test, y_test : arrays
        Signals of float32, shape (items, 1, 40); labels of int64. Dimensionless.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.mnist1d import make_mnist1d
    >>> x, y, x_test, y_test = make_mnist1d(100)
    >>> x.shape, x_test.shape
    ((80, 1, 40), (20, 1, 40))
    """
    rng = np.random.default_rng(seed)
    templates = _templates()
    labels = np.repeat(np.arange(10), count // 10)
    signals = np.stack([_signal(templates[label], rng) for label in labels])
    order = rng.permutation(len(labels))
    x = signals[order, None]
    x = ((x - x.mean()) / x.std()).astype(np.float32)
    y = labels[order].astype(np.int64)
    split = len(y) * 4 // 5
    return x[:split], y[:split], x[split:], y[split:]


def _signal(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    low, high = _PADDING
    zeros = np.zeros(int(rng.integers(low, high + 1)))
    # next to nothing, but not zero: the digit itself is told from the padding by that
    signal = _stretched(np.concatenate([digit + 1e-8, zeros]), _LENGTH)
    signal = np.roll(signal * (1.0 + _SIZE * (rng.random() - 0.5)), int(rng.integers(_SHIFT)))
    smooth = gaussian_filter1d(_SMOOTH_NOISE * rng.standard_normal(_LENGTH), 2.0)
    signal = np.where(signal == 0.0, smooth, signal)
    signal = signal + _WHITE_NOISE * rng.standard_normal(_LENGTH)
    signal -= _SHEAR * (rng.random() - 0.5) * np.linspace(-0.5, 0.5, _LENGTH)
    return _stretched(signal, _VALUES)


def _stretched(signal: np.ndarray, length: int) -> np.ndarray:
    """Linear interpolation to another number of values; both ends stay."""
    places = np.linspace(0.0, len(signal) - 1.0, length)
    return np.interp(places, np.arange(len(signal)), signal)
