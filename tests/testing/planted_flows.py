"""Flows with one fault each, as a user's file would hold them."""

from __future__ import annotations

from typing import Any

import numpy as np

from riemann_lne import RicciDeTurckFlow
from riemann_lne.grids import Grid


class Faulty:
    """Ricci-DeTurck flow by array code, with a fault where a subclass puts one."""

    parabolic = True

    def __init__(self) -> None:
        self.true = RicciDeTurckFlow()

    def rhs(self, t: float, packed: Any, grid: Grid, order: Any) -> Any:
        return self.true.rhs(t, packed, grid, order)

    def spectral_radius(self, packed: Any, grid: Grid, order: Any) -> float:
        return self.true.spectral_radius(packed, grid, order)


class SignError(Faulty):
    """The terms of first derivatives have the wrong sign in one component."""

    def rhs(self, t: float, packed: Any, grid: Grid, order: Any) -> Any:
        result = np.array(super().rhs(t, packed, grid, order))
        second = laplacian(packed, grid, cross=True)
        result[0] = 2 * second[0] - result[0]
        return result


class NoCrossTerm(Faulty):
    """g^12 d_1 d_2 is left out of the Laplacian."""

    def rhs(self, t: float, packed: Any, grid: Grid, order: Any) -> Any:
        result = np.array(super().rhs(t, packed, grid, order))
        return result - laplacian(packed, grid, True) + laplacian(packed, grid, False)


class WrongSpacing(Faulty):
    """Every axis is taken to have the spacing of the first."""

    def rhs(self, t: float, packed: Any, grid: Grid, order: Any) -> Any:
        h = grid.spacing[0]
        upper = tuple(
            low + h * (size if wraps else size - 1)
            for low, size, wraps in zip(grid.lower, grid.shape, grid.periodic, strict=True)
        )
        return super().rhs(t, packed, Grid(grid.shape, grid.lower, upper, grid.periodic), order)


class SmallRadius(Faulty):
    """The bound on the spectral radius is too small: stabilised steps would blow up."""

    def spectral_radius(self, packed: Any, grid: Grid, order: Any) -> float:
        return 0.3 * super().spectral_radius(packed, grid, order)


class FasterLater(Faulty):
    """The rate grows with the time, which an autonomous equation has no place for."""

    def rhs(self, t: float, packed: Any, grid: Grid, order: Any) -> Any:
        return (1 + 1e-6 * t) * super().rhs(t, packed, grid, order)


class WritesToItsInput(Faulty):
    """The state is changed in place."""

    def rhs(self, t: float, packed: Any, grid: Grid, order: Any) -> Any:
        result = super().rhs(t, packed, grid, order)
        packed += 1e-3
        return result


def laplacian(packed: Any, grid: Grid, cross: bool) -> Any:
    """g^ab d_a d_b g_ij on a 2-D torus, by Fourier derivatives."""
    g11, g12, g22 = packed
    det = g11 * g22 - g12**2
    k = np.meshgrid(*grid.wavevectors(), indexing="ij")
    spectrum = np.fft.fft2(packed)

    def second(a: int, b: int) -> Any:
        return np.fft.ifft2(-k[a] * k[b] * spectrum).real

    result = (g22 * second(0, 0) + g11 * second(1, 1)) / det
    return result - 2 * g12 / det * second(0, 1) if cross else result
