"""ETDRK4: exponential time differencing of order 4 in Fourier space.

Cox & Matthews, J. Comput. Phys. 176 (2002) 430; Kassam & Trefethen, SIAM J. Sci. Comput. 26 (2005)
1214. The constant-coefficient Laplacian of the mean metric is integrated exactly; the rest is
treated explicitly. The splitting follows the mean metric as it drifts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..arrays import Array, device, like, namespace
from ..errors import InvalidArgumentError
from ..flows.base import laplacian_spectral_radius
from ..fourier import Transform
from ..grids import Grid
from ..stencils import tile_points, tile_slices
from ..tensors import pairs
from .base import State, Step, System
from .blockwise import blockwise
from .semidiscrete import SemiDiscreteFlow, laplacian_symbol, mean_metric

# Below this the coefficients come from a power series, with as many terms as double precision has
# use for; above, the closed forms lose two digits at the most.
_NEAR_ZERO = 2.0
_PHI_3 = [1.0 / math.factorial(j + 3) for j in range(22)]
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
    returns_rate = False

    def __init__(self, system: System, y: Array) -> None:
        if not isinstance(system, SemiDiscreteFlow):
            raise InvalidArgumentError(
                "method 'etdrk4' splits off the Laplacian of a metric, which belongs to flows; use "
                "'rkl2' or 'tsit5'"
            )
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
        self._transform = grid.transform() or Transform(grid.shape)
        self._split(_splitting_metric(system, y), y)

    def _split(self, mean: np.ndarray, y: Array) -> None:
        """Take the Laplacian of a constant metric as the part that is integrated exactly."""
        self._mean = mean
        self._symbol = laplacian_symbol(mean, self._grid.whole, self._order, self._transform.part)
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

    def step(self, system: System, state: State, dt: float, estimate: bool) -> Step:
        assert isinstance(system, SemiDiscreteFlow)  # as it was when this was made
        t, y, rate = state.t, state.y, state.rate
        del state
        self._follow(system, y)
        v = self._forward(y)
        if rate is None:
            rate = system(t, y)
        start = self._nonlinear(rate, v)
        del rate
        if not estimate:
            return Step(self._back(self._advance(system, t, v, start, dt, keep=False)))
        coarse = self._advance(system, t, v, start, dt, keep=True)
        fine = self._advance(system, t, v, start, dt / 2, keep=False)
        del v, start
        middle = self._field(_copies(fine), fine)
        again = self._nonlinear(system(t + dt / 2, middle), fine)
        del middle
        fine = self._advance(system, t + dt / 2, fine, again, dt / 2, keep=False)
        del again
        gap = blockwise(lambda a, b: (a - b) * (1 / 15), (fine, coarse), out=coarse)
        return Step(self._back(fine), None, self._back(gap))

    def _forward(self, y: Array) -> Array:
        xp = namespace(y)
        kind = xp.complex64 if xp.finfo(y.dtype).bits == 32 else xp.complex128
        v = xp.empty((y.shape[0], *self._transform.spectrum), dtype=kind, device=device(y))
        for c in range(y.shape[0]):
            self._transform.forth(v[c, ...], y[c, ...])
        return v

    def _back(self, v: Array) -> Array:
        """The field of a transform, which is used up."""
        return self._field(lambda c: v[c, ...], v)

    def _nonlinear(self, rate: Array, v: Array) -> Array:
        """Transform of the right-hand side less the part that is integrated exactly."""
        result = namespace(v).empty_like(v)
        for c in range(v.shape[0]):
            self._remainder(rate[c, ...], v[c, ...], out=result[c, ...])
        return result

    def _remainder(self, rate: Array, v: Array, out: Array) -> None:
        """The same of one component."""
        self._transform.forth(out, rate)
        blockwise(_minus, (out, v, self._linear), out=out)

    def _advance(
        self, system: SemiDiscreteFlow, t: float, v: Array, n_v: Array, dt: float, keep: bool
    ) -> Array:
        """One step in Fourier space, from the state and its nonlinear part.

        These are used up unless they are to be kept. While the right-hand side is evaluated there
        are besides them, at the most, the part of the result that is known by then: the transforms
        of the stages b and c are not held but made again from their fields, which are there.
        """
        e_half, q, f2, f3 = self._weights(dt, v)
        components = range(v.shape[0])
        spare, other = (namespace(v).empty_like(v[0, ...]) for _ in range(2))

        def stage_of(n: Array) -> Callable[[int], Array]:
            """e_half v + q n: stage a from the state's nonlinear part, b from that of a."""
            return lambda c: blockwise(_pair, (v[c, ...], e_half, n[c, ...], q), out=spare)

        rate = system(t + dt / 2, self._field(stage_of(n_v), v))
        n_a = namespace(v).empty_like(v)
        for c in components:
            self._remainder(rate[c, ...], stage_of(n_v)(c), out=n_a[c, ...])
        del rate
        y = self._field(stage_of(n_a), v)
        result = n_a if keep else v
        for c in components:
            both = v[c, ...], n_v[c, ...]
            blockwise(_without_b_and_c, (*both, n_a[c, ...], e_half, q, f2, f3), out=n_a[c, ...])
            if not keep:
                blockwise(_without_b, (*both, e_half, q), out=n_v[c, ...])
                v[c, ...] = n_a[c, ...]
        del n_a
        rate = system(t + dt / 2, y)
        for c in components:
            self._transform.forth(other, y[c, ...])
            self._remainder(rate[c, ...], other, out=spare)
            blockwise(_plus, (result[c, ...], spare, f2), out=result[c, ...])
            if keep:
                both = v[c, ...], n_v[c, ...]
                blockwise(_without_b, (*both, e_half, q), out=other)
                blockwise(_plus_twice, (other, spare, q), out=other)
            else:
                blockwise(_plus_twice, (n_v[c, ...], spare, q), out=n_v[c, ...])
                other[...] = n_v[c, ...]
            self._transform.back(y[c, ...], other)
        del rate
        y = y[...]  # it holds the last stage now
        rate = system(t + dt, y)
        for c in components:
            if keep:
                self._transform.forth(other, y[c, ...])
            self._remainder(rate[c, ...], other if keep else n_v[c, ...], out=spare)
            blockwise(_plus, (result[c, ...], spare, f3), out=result[c, ...])
        return result

    def _field(self, stage: Callable[[int], Array], like: Array) -> Array:
        """The field whose transform has these components; they are made and used up one by one."""
        xp = namespace(like)
        real = xp.real(like[..., :1]).dtype
        y = xp.empty((like.shape[0], *self._grid.shape), dtype=real, device=device(like))
        for c in range(like.shape[0]):
            self._transform.back(y[c, ...], stage(c))
        return y

    def _weights(self, dt: float, v: Array) -> tuple[Array, ...]:
        """The coefficients e^(z/2), Q, f2 and f3 for a step; those of the last step are kept."""
        # Steps that differ by rounding alone share their coefficients, which are those of the
        # rounded step: they must not depend on which of them came first.
        key = float(f"{dt:.12e}")
        if key not in self._coefficients:
            self._coefficients.clear()  # one set: another is soon made
            xp = namespace(v)
            reference = xp.real(v[..., :1])
            _, e_half, q, _, f2, f3 = etdrk4_coefficients(self._symbol, key)
            self._coefficients[key] = tuple(like(c, reference) for c in (e_half, q, f2, f3))
        return self._coefficients[key]


def _copies(v: Array) -> Callable[[int], Array]:
    """The components of an array that is still needed, each as a copy to be used up."""
    out = namespace(v).empty_like(v[0, ...])

    def copy(c: int) -> Array:
        out[...] = v[c, ...]
        return out

    return copy


def _pair(x: Array, a: Array, y: Array, b: Array) -> Array:
    return a * x + b * y


def _plus(x: Array, y: Array, b: Array) -> Array:
    return x + b * y


def _minus(x: Array, y: Array, b: Array) -> Array:
    return x - b * y


def _plus_twice(x: Array, y: Array, b: Array) -> Array:
    return x + 2.0 * (b * y)


def _without_b_and_c(
    v: Array, n_v: Array, n_a: Array, e_half: Array, q: Array, f2: Array, f3: Array
) -> Array:
    """The step but for the parts of the stages b and c: e v + f1 n_v + f2 n_a.

    The weights of a constant add up to its integral, f1 + 2 f2 + f3 = dt (e^z - 1)/z = q (e_half +
    1): f1 need not be held.
    """
    f1 = q * (e_half + 1.0) - 2.0 * f2 - f3
    return e_half * (e_half * v) + f1 * n_v + f2 * n_a


def _without_b(v: Array, n_v: Array, e_half: Array, q: Array) -> Array:
    """Stage c, e_half a + q (2 n_b - n_v) with a = e_half v + q n_v, but for 2 q n_b."""
    return e_half * (e_half * v + q * n_v) - q * n_v


def _splitting_metric(system: SemiDiscreteFlow, y: Array) -> np.ndarray:
    """Packed constant metric whose Laplacian is integrated exactly.

    The mean metric, unless the largest g^ab exceeds twice that of the mean: then scaled down such
    that its Laplacian is half as strong as the strongest. A remainder that is stronger than the
    part integrated exactly would be unstable in long steps.
    """
    n = system.grid.ndim
    mean = mean_metric(system.metric_part(y), system.grid)
    constant = mean.reshape(-1, *(1,) * n)
    strongest = system.flow.spectral_radius(system.metric_part(y), system.grid, system.order)
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
    f2 = 2 (2 + z + e^z (z - 2)) / z^3, f3 = (-4 - 3 z - z^2 + e^z (4 - z)) / z^3.

    Near zero, where these cancel, f1 = phi_1 - 3 phi_2 + 4 phi_3, f2 = 2 phi_2 - 4 phi_3 and
    f3 = 4 phi_3 - phi_2, with phi_3 = sum_j z^j / (j + 3)!, phi_2 = 1/2 + z phi_3 and
    phi_1 = 1 + z phi_2.
    """
    z = dt * symbol
    e, half = np.exp(z), np.exp(z / 2)
    q, f1, f2, f3 = (np.empty_like(z) for _ in range(4))
    for block in tile_slices(z.shape, tile_points(z)):
        w = z[block]
        zero, near = w == 0.0, np.abs(w) < _NEAR_ZERO
        q[block] = np.where(zero, 0.5, np.expm1(w / 2) / np.where(zero, 1.0, w))
        small, large = np.where(near, w, 0.0), np.where(near, 1.0, w)
        square = large * large
        cube = square * large
        phi_3 = np.polynomial.polynomial.polyval(small, _PHI_3)
        phi_2 = 0.5 + small * phi_3
        phi_1 = 1.0 + small * phi_2
        parts = (
            (f1, phi_1 - 3 * phi_2 + 4 * phi_3, -4 - large, 4 - 3 * large + square),
            (f2, 2 * phi_2 - 4 * phi_3, 4 + 2 * large, 2 * large - 4),
            (f3, 4 * phi_3 - phi_2, -4 - 3 * large - square, 4 - large),
        )
        for f, series, without, with_e in parts:
            f[block] = np.where(near, series, (without + e[block] * with_e) / cube)
    for f in (q, f1, f2, f3):
        f *= dt
    return e, half, q, f1, f2, f3
