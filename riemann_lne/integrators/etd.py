"""ETDRK4: exponential time differencing of order 4 in Fourier space.

Cox & Matthews, J. Comput. Phys. 176 (2002) 430, with the coefficients by contour integrals of
Kassam & Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214. The constant-coefficient Laplacian of the
mean metric is integrated exactly; the rest is treated explicitly. The splitting follows the mean
metric as it drifts.
"""

from __future__ import annotations

import math

import numpy as np

from ..arrays import Array, like, namespace
from ..errors import InvalidArgumentError
from ..flows.base import laplacian_spectral_radius
from ..fourier import irfftn, rfftn
from ..grids import Grid
from ..stencils import tile_points, tile_slices
from ..tensors import pairs
from .base import Step
from .blockwise import blockwise
from .semidiscrete import SemiDiscreteFlow, laplacian_symbol, mean_metric

_CONTOUR_POINTS = 32
# Largest relative change of the splitting's metric before the splitting follows: a remainder of
# this size is far from unstable, and new coefficients cost about as much as a step.
_LARGEST_DRIFT = 0.1


class ETDRK4:
    """Exponential Runge-Kutta method of order 4 on a torus.

    The error estimate compares one step with two half steps, which are carried on.
    """

    name = "etdrk4"
    order = 4
    error_exponent = 5
    adaptive = True

    def __init__(self, system: SemiDiscreteFlow, y: Array) -> None:
        grid = system.grid
        if not grid.is_torus:
            raise InvalidArgumentError(
                "method 'etdrk4' works in Fourier space and needs every axis periodic; "
                "use 'rkl2' on a grid with bounded axes"
            )
        if not system.flow.parabolic:
            raise InvalidArgumentError(
                f"method 'etdrk4' splits off a Laplacian, which {system.flow!r} does not have on "
                "every component: long steps would be inaccurate; use RicciDeTurckFlow, or "
                "'rkl2', 'tsit5' or 'rk4'"
            )
        self._grid: Grid = grid
        self._order = system.order
        self._split(_splitting_metric(system, y), y)

    def _split(self, mean: np.ndarray, y: Array) -> None:
        """Take the Laplacian of a constant metric as the part that is integrated exactly."""
        self._mean = mean
        self._symbol = laplacian_symbol(mean, self._grid, self._order)
        self._linear = like(self._symbol, y)
        self._coefficients: dict[float, tuple[Array, ...]] = {}

    def _follow(self, system: SemiDiscreteFlow, y: Array) -> None:
        """Split anew where the metric has drifted away from that of the splitting."""
        mean = _splitting_metric(system, y)
        if _relative_drift(mean, self._mean, self._grid.ndim) > _LARGEST_DRIFT:
            self._split(mean, y)

    def memory(self) -> dict[str, np.ndarray]:
        """The metric of the splitting."""
        return {"mean": self._mean}

    def recall(self, memory: dict[str, np.ndarray]) -> None:
        """Split as it was; the coefficients follow from that."""
        self._split(memory["mean"], self._linear)

    def stable_step(self, radius: float) -> float:
        return math.inf

    def step(
        self,
        system: SemiDiscreteFlow,
        t: float,
        y: Array,
        rate: Array | None,
        dt: float,
        estimate: bool,
    ) -> Step:
        self._follow(system, y)
        v = self._forward(y)
        if rate is None:
            rate = system(t, y)
        start = self._nonlinear(rate, v, None)
        del rate
        coarse = self._advance(system, t, v, start, dt)
        if not estimate:
            return Step(self._back(coarse))
        fine = self._advance(system, t, v, start, dt / 2)
        del v, start
        again = self._nonlinear(system(t + dt / 2, self._back(fine)), fine, None)
        fine = self._advance(system, t + dt / 2, fine, again, dt / 2)
        del again
        gap = blockwise(lambda a, b: (a - b) * (1 / 15), (fine, coarse), out=coarse)
        return Step(self._back(fine), None, self._back(gap))

    def _forward(self, y: Array) -> Array:
        return rfftn(y, self._grid.ndim)

    def _back(self, v: Array) -> Array:
        return irfftn(v, self._grid.shape)

    def _nonlinear(self, rate: Array, v: Array, out: Array | None) -> Array:
        """Transform of the right-hand side less the part that is integrated exactly.

        ``out``, which may be the state's transform ``v``, is overwritten.
        """
        result = namespace(v).empty_like(v) if out is None else out
        # One component at a time: besides the result no transform is held in full.
        for c in range(v.shape[0]):
            result[c, ...] = self._forward(rate[c, ...]) - self._linear * v[c, ...]
        return result

    def _advance(
        self, system: SemiDiscreteFlow, t: float, v: Array, n_v: Array, dt: float
    ) -> Array:
        """One step in Fourier space, from the state and its nonlinear part.

        Besides these two it holds the result, to which every part is added as soon as it is known,
        and the stage, which becomes its nonlinear part and then the next stage.
        """
        e, e_half, q, f1, f2, f3 = self._weights(dt, v)
        result = blockwise(_pair, (v, e, n_v, f1))
        stage = blockwise(_pair, (v, e_half, n_v, q))  # a
        self._nonlinear(system(t + dt / 2, self._back(stage)), stage, out=stage)
        result = blockwise(_plus, (result, stage, f2), out=result)
        stage = blockwise(_pair, (v, e_half, stage, q), out=stage)  # b
        self._nonlinear(system(t + dt / 2, self._back(stage)), stage, out=stage)
        result = blockwise(_plus, (result, stage, f2), out=result)
        stage = blockwise(_last_stage, (v, n_v, stage, e_half, q), out=stage)  # c
        self._nonlinear(system(t + dt, self._back(stage)), stage, out=stage)
        return blockwise(_plus, (result, stage, f3), out=result)

    def _weights(self, dt: float, v: Array) -> tuple[Array, ...]:
        """Coefficients for a step, kept while they are in use."""
        # Steps that differ by rounding alone share their coefficients, which are those of the
        # rounded step: they must not depend on which of them came first.
        key = float(f"{dt:.12e}")
        if key not in self._coefficients:
            # Two: those of a step and of its halves.
            while len(self._coefficients) >= 2:
                self._coefficients.pop(next(iter(self._coefficients)))
            xp = namespace(v)
            reference = xp.real(v[..., :1])
            self._coefficients[key] = tuple(
                like(c, reference) for c in etdrk4_coefficients(self._symbol, key)
            )
        return self._coefficients[key]


def _pair(x: Array, a: Array, y: Array, b: Array) -> Array:
    return a * x + b * y


def _plus(x: Array, y: Array, b: Array) -> Array:
    return x + b * y


def _last_stage(v: Array, n_v: Array, n_b: Array, e_half: Array, q: Array) -> Array:
    """Stage c = e_half a + q (2 n_b - n_v); a = e_half v + q n_v is made again, not held."""
    return e_half * (e_half * v + q * n_v) + q * (2.0 * n_b - n_v)


def _splitting_metric(system: SemiDiscreteFlow, y: Array) -> np.ndarray:
    """Packed constant metric whose Laplacian is integrated exactly.

    The mean metric, unless the largest g^ab exceeds twice that of the mean: then scaled down such
    that its Laplacian is half as strong as the strongest. A remainder that is stronger than the
    part integrated exactly would be unstable in long steps.
    """
    n = system.grid.ndim
    mean = mean_metric(system.metric_part(y), n)
    constant = mean.reshape(-1, *(1,) * n)
    strongest = system.spectral_radius(y)
    usual = laplacian_spectral_radius(constant, system.grid, system.order)
    return mean / max(1.0, 0.5 * strongest / usual) if strongest < math.inf else mean


def _relative_drift(mean: np.ndarray, reference: np.ndarray, n: int) -> float:
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


def etdrk4_coefficients(symbol: np.ndarray, dt: float) -> tuple[np.ndarray, ...]:
    """exp(z), exp(z/2) and dt times the functions Q, f1, f2, f3 of z = dt * symbol (real).

    Q = (e^(z/2) - 1) / z, f1 = (-4 - z + e^z (4 - 3 z + z^2)) / z^3,
    f2 = 2 (2 + z + e^z (z - 2)) / z^3, f3 = (-4 - 3 z - z^2 + e^z (4 - z)) / z^3,
    each as its mean over a unit circle around z, where nothing cancels. For real z the mean over
    the upper half of the circle, real part taken, is enough.
    """
    z = dt * symbol
    angles = np.pi * (np.arange(_CONTOUR_POINTS) + 0.5) / _CONTOUR_POINTS
    q, f1, f2, f3 = (np.zeros_like(z) for _ in range(4))
    for block in tile_slices(z.shape, tile_points(z)):
        for root in np.exp(1j * angles):
            w = z[block] + root
            e = np.exp(w)
            q[block] += ((np.exp(w / 2) - 1) / w).real
            f1[block] += ((-4 - w + e * (4 - 3 * w + w**2)) / w**3).real
            f2[block] += (2 * (2 + w + e * (w - 2)) / w**3).real
            f3[block] += ((-4 - 3 * w - w**2 + e * (4 - w)) / w**3).real
    scale = dt / _CONTOUR_POINTS
    return np.exp(z), np.exp(z / 2), scale * q, scale * f1, scale * f2, scale * f3
