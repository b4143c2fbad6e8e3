"""Single modes of the linearised Ricci-DeTurck flow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, namespace
from ..errors import InvalidArgumentError, ShapeError
from ..grids import Grid
from .base import ExactSolution, checked_dimension, checked_mode, phase


@dataclass(frozen=True)
class LinearMode(ExactSolution):
    """See ``linear_mode``."""

    m: tuple[int, ...]
    h: tuple[tuple[float, ...], ...]
    amplitude: float

    solves = ("ricci-deturck",)

    @property
    def n(self) -> int:  # type: ignore[override]
        """Dimension."""
        return len(self.m)

    @property
    def rate(self) -> float:
        """|m|^2, in 1 / time."""
        return float(sum(k * k for k in self.m))

    def _components(self, t: float, *x: Array) -> Any:
        wave = self.amplitude * math.exp(-self.rate * t) * namespace(*x).cos(phase(self.m, x))
        n = self.n
        return [[float(i == j) + self.h[i][j] * wave for j in range(n)] for i in range(n)]

    def grid(self, points: int) -> Grid:
        """Torus of side 2 pi."""
        return Grid.torus((points,) * self.n)


def linear_mode(
    m: Sequence[int], h: Sequence[Sequence[float]], amplitude: float = 1e-6
) -> LinearMode:
    """One Fourier mode of the linearised flow: delta_ij + amplitude h_ij cos(m.x) e^(-|m|^2 t).

    Solves the Ricci-DeTurck flow to first order in the amplitude; what is left is of second order.
    With second-order differences of spacing s_a the rate |m|^2 becomes
    sum_a (2 - 2 cos(m_a s_a)) / s_a^2.

    Parameters
    ----------
    m : integer vector of length n, 2 to 4
    h : (n, n), symmetric
        Dimensionless, as the amplitude.
    amplitude : float
        Small.

    Raises
    ------
    ShapeError
        If h is not n by n.
    InvalidArgumentError
        If m is not a vector of 2 to 4 whole numbers, h is not symmetric, or something is not
        finite.

    Examples
    --------
    >>> linear_mode((1, 2), [[1, 0], [0, -1]]).rate
    5.0
    """
    mode, matrix = checked_mode(m), np.asarray(h, dtype=float)
    n = checked_dimension(len(mode), "a mode")
    if matrix.shape != (n, n):
        raise ShapeError(f"h has shape {matrix.shape}; m asks for {(n, n)}")
    if not (np.all(np.isfinite(matrix)) and math.isfinite(amplitude)):
        raise InvalidArgumentError("h and the amplitude must be finite")
    if not np.array_equal(matrix, matrix.T):
        raise InvalidArgumentError("h must be symmetric")
    rows = tuple(tuple(float(v) for v in row) for row in matrix)
    return LinearMode(mode, rows, float(amplitude))
