"""Flat metrics in moving coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from ..arrays import Array, like, namespace
from ..errors import InvalidArgumentError, ShapeError
from ..grids import Grid
from .base import ExactSolution, checked_dimension, checked_mode

# Random families take fewer than 20; modes along one line with a strength near 1 take the most.
_NEWTON_STEPS = 200


@dataclass(frozen=True)
class GaugeFamily(ExactSolution):
    """See ``gauge_family``."""

    n: int
    modes: tuple[tuple[int, ...], ...]
    vectors: tuple[tuple[float, ...], ...]
    t_min: float

    solves = ("ricci-deturck",)

    def _components(self, t: float, *x: Array) -> Any:
        xp = namespace(*x)
        target = xp.stack(list(x), axis=-1)
        inverse = xp.linalg.inv(self._jacobian(t, self._preimage(t, target)))
        # g = J^-T J^-1, the pull-back of the flat metric by F^-1; components to the front.
        g = xp.matmul(xp.matrix_transpose(inverse), inverse)
        last = len(x[0].shape)
        return xp.permute_dims(g, (last, last + 1, *range(last)))

    def _waves(self, t: float, y: Array) -> list[tuple[Array, Array, Array, float]]:
        """For each mode: a, m, m.y and e^(-|m|^2 t)."""
        xp = namespace(y)
        result = []
        for m, a in zip(self.modes, self.vectors, strict=True):
            vector, wave = like(list(a), y), like([float(k) for k in m], y)
            fade = math.exp(-sum(k * k for k in m) * t)
            result.append((vector, wave, xp.sum(y * wave, axis=-1), fade))
        return result

    def _image(self, t: float, y: Array) -> Array:
        """F(y, t), shape (..., n)."""
        xp = namespace(y)
        result = y
        for a, _, angle, fade in self._waves(t, y):
            result = result + fade * xp.expand_dims(xp.sin(angle), axis=-1) * a
        return result

    def _jacobian(self, t: float, y: Array) -> Array:
        """dF_i / dy_j, shape (..., n, n)."""
        xp = namespace(y)
        result = like(np.eye(self.n), y)
        for a, m, angle, fade in self._waves(t, y):
            slope = fade * xp.cos(angle)[..., None, None]
            result = result + slope * (a[:, None] * m[None, :])
        return result

    def _preimage(self, t: float, x: Array) -> Array:
        """F^-1(x), to rounding: Newton's method, safeguarded by the simple iteration.

        F - id is a contraction (sum |a_m| |m| < 1), so y <- y - (F(y) - x) shrinks the defect at
        every point in every step; where Newton's step overshoots, it is taken instead.
        """
        xp = namespace(x)
        if 0 in x.shape:
            return x
        limit = 32 * float(xp.finfo(x.dtype).eps) * max(1.0, float(xp.max(xp.abs(x))))
        y, defect = x, self._image(t, x) - x
        for _ in range(_NEWTON_STEPS):
            if float(xp.max(xp.abs(defect))) <= limit:
                return y
            step = xp.matmul(xp.linalg.inv(self._jacobian(t, y)), defect[..., None])[..., 0]
            y, defect = self._better(t, x, y - step, y - defect)
        raise InvalidArgumentError(
            f"F^-1 was not found in {_NEWTON_STEPS} steps at t = {t:g}: the modes are too strong "
            "there; lower the amplitude or take a later time"
        )

    def _better(self, t: float, x: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """At every point the candidate with the smaller defect F(y) - x, and that defect."""
        xp = namespace(x)
        d1, d2 = self._image(t, first) - x, self._image(t, second) - x
        closer = xp.sum(d1 * d1, axis=-1, keepdims=True) <= xp.sum(d2 * d2, axis=-1, keepdims=True)
        return xp.where(closer, first, second), xp.where(closer, d1, d2)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """Zero, shape of the coordinates: the metric is flat; 1 / length^2."""
        self._check(t, x)
        return namespace(*x).zeros_like(x[0])

    def ricci(self, t: float, *x: Array) -> Array:
        """Zero, (n, n, *shape): the metric is flat; 1 / length^2."""
        self._check(t, x)
        return namespace(*x).zeros_like(self.metric(t, *x))

    def grid(self, points: int) -> Grid:
        """Torus of side 2 pi."""
        return Grid.torus((points,) * self.n)


def gauge_family(
    ndim: int = 2,
    amplitude: float = 0.3,
    seed: int = 0,
    modes: Sequence[Sequence[int]] | None = None,
    vectors: Sequence[Sequence[float]] | None = None,
) -> GaugeFamily:
    """Flat metrics in moving coordinates: g = J^-T J^-1 at y = F^-1(x, t), with

    F(y, t) = y + sum_m a_m e^(-|m|^2 t) sin(m.y), J = dF/dy.

    F solves the heat equation, so g solves the Ricci-DeTurck flow with flat background; it is
    fully non-diagonal and Ric = 0. Under the Ricci flow itself it does not move.

    Parameters
    ----------
    ndim : int
        2 to 4.
    amplitude : float
        sum_m |a_m| |m| at t = 0, below 1: then F is invertible for t >= 0. Random directions.
    seed : int
        Of the directions a_m.
    modes, vectors : sequences of integer vectors m and of vectors a_m, optional
        In place of ``amplitude`` and ``seed``.

    Raises
    ------
    InvalidArgumentError
        If sum_m |a_m| |m| >= 1 (F might not be invertible), or the modes are not whole numbers.
    ShapeError
        If the vectors are not of length ndim or not as many as the modes.

    Examples
    --------
    >>> flat = gauge_family(ndim=2, amplitude=0.4)
    >>> g = flat.field(0.0, flat.grid(48))
    >>> bool(abs(g.ricci(order="fourier")).max() < 1e-6)
    True
    """
    n = checked_dimension(ndim, "the gauge family")
    if (modes is None) != (vectors is None):
        raise InvalidArgumentError("give modes and vectors together, or neither")
    if modes is None or vectors is None:
        modes, vectors = _random_modes(n, amplitude, seed)
    frequencies = tuple(checked_mode(m) for m in modes)
    directions = tuple(tuple(float(v) for v in a) for a in vectors)
    if len(frequencies) != len(directions) or any(len(v) != n for v in (*frequencies, *directions)):
        raise ShapeError(f"modes and vectors must be equally many vectors of length {n}")
    if not frequencies:
        raise InvalidArgumentError("give at least one mode")
    weights = [
        (math.hypot(*a) * math.hypot(*m), sum(k * k for k in m))
        for m, a in zip(frequencies, directions, strict=True)
    ]
    strength = sum(w for w, _ in weights)
    if not strength < 1 - 1e-12:  # at 1 itself rounding would decide
        raise InvalidArgumentError(
            f"sum |a_m| |m| = {strength:g}; below 1 is needed, or F may not be invertible"
        )
    return GaugeFamily(n, frequencies, directions, _earliest(weights))


def _random_modes(
    n: int, amplitude: float, seed: int
) -> tuple[list[tuple[int, ...]], list[list[float]]]:
    """The unit vectors and one diagonal mode, with random directions of equal strength."""
    modes = [tuple(int(i == j) for j in range(n)) for i in range(n)] + [(1, -1) + (1,) * (n - 2)]
    rng = np.random.default_rng(seed)
    vectors = []
    for m in modes:
        a = rng.normal(size=n)
        a *= amplitude / len(modes) / math.hypot(*m) / np.linalg.norm(a)
        vectors.append(a.tolist())
    return modes, vectors


def _earliest(weights: list[tuple[float, int]]) -> float:
    """The negative time at which sum |a_m| |m| e^(-|m|^2 t) reaches 1."""
    # Logarithms, since e^(|m|^2 |t|) overflows for quite ordinary modes.
    active = [(math.log(w), k) for w, k in weights if w > 0 and k > 0]
    if not active:
        return -math.inf

    def excess(t: float) -> float:
        return sum(math.exp(w - k * t) for w, k in active) - 1

    # There the first of the modes reaches 1 alone, and all of them together at least that.
    low = max(w / k for w, k in active)
    return float(brentq(excess, low, 0.0)) if excess(low) > 0 else low
