"""Flat metrics in moving coordinates, and single linear modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from ..arrays import Array, host_numbers, like, namespace, require_finite
from ..checks import count, number, numbers
from ..errors import InvalidArgumentError, ShapeError
from ..grids import Grid
from .base import ExactSolution, FlatTorus, dimension, wave_vector

_NEWTON_STEPS = 60


@dataclass(frozen=True)
class GaugeFamily(FlatTorus):
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
        for a, _, phase, fade in self._waves(t, y):
            result = result + fade * xp.expand_dims(xp.sin(phase), axis=-1) * a
        return result

    def _jacobian(self, t: float, y: Array) -> Array:
        """dF_i / dy_j, shape (..., n, n)."""
        xp = namespace(y)
        result = like(np.eye(self.n), y)
        for a, m, phase, fade in self._waves(t, y):
            slope = fade * xp.cos(phase)[..., None, None]
            result = result + slope * (a[:, None] * m[None, :])
        return result

    def _preimage(self, t: float, x: Array) -> Array:
        """F^-1(x) by Newton's method, to rounding."""
        xp = namespace(x)
        y = x
        limit = 32 * float(xp.finfo(x.dtype).eps) * max(1.0, float(xp.max(xp.abs(x))))
        for _ in range(_NEWTON_STEPS):
            defect = self._image(t, y) - x
            if float(xp.max(xp.abs(defect))) <= limit:
                return y
            step = xp.matmul(xp.linalg.inv(self._jacobian(t, y)), defect[..., None])[..., 0]
            y = y - step
        raise InvalidArgumentError(
            f"Newton's method did not find F^-1: the modes {self!r} are too strong; lower the "
            "amplitude"
        )


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
        If sum_m |a_m| |m| >= 1: F might not be invertible.
    ShapeError
        If the vectors are not of length ndim or not as many as the modes.

    Examples
    --------
    >>> flat = gauge_family(ndim=2, amplitude=0.4)
    >>> g = flat.field(0.0, flat.grid(48))
    >>> bool(abs(g.ricci(order="fourier")).max() < 1e-6)
    True
    """
    ndim = dimension(ndim, "the family", name="ndim")
    if (modes is None) != (vectors is None):
        raise InvalidArgumentError(
            f"modes = {modes!r}, vectors = {vectors!r}; give both together, or neither"
        )
    if modes is None or vectors is None:
        size = number(amplitude, "amplitude")
        modes, vectors = _random_modes(ndim, size, count(seed, "seed"))
    try:
        frequencies = tuple(wave_vector(m, f"modes[{i}]") for i, m in enumerate(modes))
        directions = tuple(tuple(numbers(a, f"vectors[{i}]")) for i, a in enumerate(vectors))
    except TypeError as error:
        raise InvalidArgumentError(f"modes and vectors must be sequences: {error}") from error
    if len(frequencies) != len(directions) or any(
        len(v) != ndim for v in (*frequencies, *directions)
    ):
        raise ShapeError(f"modes and vectors must be equally many vectors of length {ndim}")
    weights = [
        (math.hypot(*a) * math.hypot(*m), sum(k * k for k in m))
        for m, a in zip(frequencies, directions, strict=True)
    ]
    strength = sum(w for w, _ in weights)
    if not strength < 1 - 1e-12:  # at 1 itself rounding would decide
        raise InvalidArgumentError(
            f"sum |a_m| |m| = {strength:g}; below 1 is needed, or F may not be invertible"
        )
    return GaugeFamily(ndim, frequencies, directions, _earliest(weights))


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
    active = [(math.log(w), k) for w, k in weights if w > 0 and k > 0]
    if not active:
        return -math.inf

    def excess(t: float) -> float:
        return sum(math.exp(w - k * t) for w, k in active) - 1

    # The latest time at which one term alone reaches 1, and a little more for rounding: no other
    # term is larger there, and none overflows.
    low = max((w - 1e-9) / k for w, k in active)
    return float(scipy.optimize.brentq(excess, low, 0.0))


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
        xp = namespace(*x)
        phase = x[0] * float(self.m[0])
        for k, xa in zip(self.m[1:], x[1:], strict=True):
            phase = phase + xa * float(k)
        wave = self.amplitude * math.exp(-self.rate * t) * xp.cos(phase)
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

    Parameters
    ----------
    m : integer vector of length n, 2 to 4
    h : (n, n), symmetric
    amplitude : float
        Small.

    Raises
    ------
    ShapeError
        If h is not n by n.
    InvalidArgumentError
        If h is not symmetric or n not 2 to 4.

    Examples
    --------
    >>> linear_mode((1, 2), [[1, 0], [0, -1]]).rate
    5.0
    """
    wave = wave_vector(m)
    matrix, n = host_numbers(h, "h"), len(wave)
    if n not in (2, 3, 4):
        raise InvalidArgumentError(f"m = {wave}; a mode has 2 to 4 entries")
    if matrix.shape != (n, n):
        raise ShapeError(f"h has shape {matrix.shape}; m asks for {(n, n)}")
    require_finite(matrix, "h")
    if not np.array_equal(matrix, matrix.T):
        raise InvalidArgumentError(f"h = {h!r}; it must be symmetric")
    rows = tuple(tuple(float(v) for v in row) for row in matrix)
    return LinearMode(wave, rows, number(amplitude, "amplitude"))
