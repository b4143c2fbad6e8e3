"""The part of a flow that ETDRK4 integrates exactly: the Laplacian of a constant metric."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np

from ...arrays import Array
from ...coefficients import Order
from ...flows.base import Flow, laplacian_spectral_radius
from ...flows.laplacian import mean_metric
from ...grids import Grid
from ...tensors import pairs
from .base import System


@runtime_checkable
class FlowSystem(System, Protocol):
    """The system that a flow of metrics becomes on a grid, which has a Laplacian to split off."""

    grid: Grid
    order: Order
    flow: Flow

    def metric_part(self, y: Array) -> Array:
        """The packed metric of a state."""


def splitting_metric(system: FlowSystem, y: Array) -> np.ndarray:
    """Packed constant metric whose Laplacian is integrated exactly.

    The mean metric, unless the largest g^ab exceeds twice that of the mean: then scaled down such
    that its Laplacian is half as strong as the strongest. A remainder that is stronger than the
    part integrated exactly would be unstable in long steps.
    """
    n = system.grid.ndim
    mean = mean_metric(system.metric_part(y), system.grid)
    # Nothing is reduced: every process computes numbers that are the same on all of them.
    constant = mean.reshape(-1, *(1,) * n)
    strongest = system.spectral_radius(0.0, y)
    usual = laplacian_spectral_radius(constant, system.grid.whole, system.order)
    return mean / max(1.0, 0.5 * strongest / usual) if strongest < math.inf else mean


def relative_drift(mean: np.ndarray, reference: np.ndarray, n: int) -> float:
    """|mean - reference| in the norm of the reference: the largest relative change of a length^2.

    Zero where the mean is not finite: a broken state must not become the splitting.
    """
    matrix, change = (_matrix(v, n) for v in (reference, mean - reference))
    if not np.all(np.isfinite(change)):
        return 0.0
    root = np.linalg.cholesky(matrix)
    scaled = np.linalg.solve(root, np.linalg.solve(root, change).T)
    return float(np.max(np.abs(np.linalg.eigvalsh(scaled))))


def _matrix(packed: np.ndarray, n: int) -> np.ndarray:
    result = np.empty((n, n))
    for value, (i, j) in zip(packed, pairs(n), strict=True):
        result[i, j] = result[j, i] = value
    return result
