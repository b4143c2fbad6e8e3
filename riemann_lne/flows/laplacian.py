"""The Laplacian of a constant metric as differenced: its symbol over the spectrum of a grid."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..coefficients import Order
from ..grids import Grid
from ..stencils import TileSlices, second_derivative_symbol
from ..tensors import inverse_and_determinant, pairs, table


def mean_metric(packed: Array, grid: Grid) -> np.ndarray:
    """Grid average of every packed component, on the host in double precision."""
    mean = grid.mean(packed)
    return np.array([float(mean[c]) for c in range(mean.shape[0])])


def mean_inverse(mean: np.ndarray, n: int) -> np.ndarray:
    """Inverse (n, n) of a packed constant metric."""
    inverse, _ = inverse_and_determinant(table(mean, n), n)
    return np.array([[float(inverse[a, b]) for b in range(n)] for a in range(n)])


def laplacian_symbol(
    mean: np.ndarray, grid: Grid, order: Order, part: TileSlices | None = None
) -> np.ndarray:
    """Symbol of gbar^ab d_a d_b (<= 0) for a constant metric gbar, over the real-FFT spectrum.

    Over a part of the spectrum, if one is given.
    """
    n = grid.ndim
    inverse = mean_inverse(mean, n)
    symbol = np.zeros(second_derivative_symbol(grid, order, 0, 0, part).shape)
    for a, b in pairs(n):
        weight = 1.0 if a == b else 2.0
        symbol -= weight * inverse[a, b] * second_derivative_symbol(grid, order, a, b, part)
    return symbol


def mean_laplacian_symbol(y: Array, grid: Grid, order: Order) -> np.ndarray:
    """The Laplacian's symbol for the mean of a packed metric."""
    return laplacian_symbol(mean_metric(y, grid), grid, order)
