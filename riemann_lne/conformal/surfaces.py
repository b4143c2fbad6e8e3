"""The closed surfaces of genus 0 and 1 with a metric of constant curvature, and their transforms.

A function is held by its values on a grid and by its coefficients in an orthonormal basis of
eigenfunctions of the Laplacian, scaled such that the sum of their squares is the mean square of the
function. The grid is finer than the basis by a factor of 3/2 along every axis: a product of two
functions of the basis is projected without aliasing. e^(-2u) is no polynomial; of it only the part
that the coefficients of a resolved u do not reach is aliased.
"""

from __future__ import annotations

import math
import warnings
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import scipy

from .. import checks
from ..arrays import host_numbers, read_only
from ..errors import (
    DTypeError,
    GridTooSmallError,
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    ShapeError,
)
from ..fourier import irfftn, rfftn
from ..grids import Grid
from ..io import grid_from_record, grid_record
from ..stencils import dealias_mask
from .harmonics import HarmonicTransform

# A table of Legendre functions of this degree takes 0.8 GB.
_MOST_DEGREES = 400
_FEWEST_POINTS = 8
# Of values given: the root mean square of the part that no function of the basis has, above which
# they are warned about and refused.
LOST = (1e-6, 1e-2)
# Degrees above this part of the largest one are the tail, by which resolution is judged.
_TAIL = 0.8


def require_small(part: float, limits: tuple[float, float], text: str, stacklevel: int) -> None:
    """Warn where the part that a surface misses is above the first limit.

    Raises
    ------
    InvalidArgumentError
        If it is above the second one.
    """
    warned, refused = limits
    if part > refused:
        raise InvalidArgumentError(text)
    if part > warned:
        warnings.warn(text, stacklevel=stacklevel)


@lru_cache(maxsize=4)
def _transform(lmax: int) -> HarmonicTransform:
    rows = 3 * lmax // 2 + 1
    return HarmonicTransform(lmax, rows, scipy.fft.next_fast_len(3 * lmax + 1, real=True))


class Sphere:
    """The round sphere of radius 1, with spherical harmonics up to a degree.

    The grid has 3 lmax / 2 + 1 Gauss-Legendre latitudes, from the north pole down (no point lies on
    a pole), and at least 3 lmax + 1 longitudes.

    Parameters
    ----------
    lmax : int
        Largest degree, 2 to 400. The table of Legendre functions takes 12 lmax^3 bytes.

    Raises
    ------
    InvalidArgumentError
        If the degree is no whole number in this range.

    Examples
    --------
    >>> sphere = Sphere(16)
    >>> sphere.shape
    (25, 50)
    >>> x, y, z = sphere.coordinates
    >>> bool(abs(sphere.mean(x * x) - 1 / 3) < 1e-14)
    True
    """

    K_0 = 1.0
    euler = 2

    def __init__(self, lmax: int) -> None:
        self._lmax = checks.count(lmax, "lmax", least=2)
        if self._lmax > _MOST_DEGREES:
            raise InvalidArgumentError(
                f"lmax = {lmax}; degrees up to {_MOST_DEGREES} are held: give at most that"
            )
        rows = 3 * self._lmax // 2 + 1
        self.shape = (rows, scipy.fft.next_fast_len(3 * self._lmax + 1, real=True))

    @property
    def lmax(self) -> int:
        """The largest degree."""
        return self._lmax

    @property
    def area(self) -> float:
        """4 pi."""
        return 4 * math.pi

    @cached_property
    def _degrees(self) -> np.ndarray:
        return np.arange(self._lmax + 1.0)[:, None]

    @property
    def laplacian(self) -> np.ndarray:
        """-l (l + 1), (lmax + 1, 1)."""
        return -self._degrees * (self._degrees + 1)

    @property
    def high(self) -> np.ndarray:
        """Whether a degree is above 4/5 of the largest, (lmax + 1, 1)."""
        return self._degrees > _TAIL * self._lmax

    @cached_property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """The points x, y, z on the unit sphere, each of the grid's shape; read-only."""
        z = np.broadcast_to(_transform(self._lmax).z[:, None], self.shape)
        angle = 2 * np.pi * np.arange(self.shape[1]) / self.shape[1]
        sine = np.sqrt((1 - z) * (1 + z))
        return tuple(read_only(v) for v in (sine * np.cos(angle), sine * np.sin(angle), z))

    def synthesis(self, coefficients: np.ndarray) -> np.ndarray:
        """Values of functions with given coefficients.

        Parameters
        ----------
        coefficients : ndarray, (k, 2, lmax + 1 [l], lmax + 1 [m])
            Of P_lm cos(m phi) and P_lm sin(m phi), each of mean square 1; those with m > l are
            passed over.

        Returns
        -------
        ndarray, (k, *shape)
        """
        return _transform(self._lmax).synthesis(coefficients)

    def analysis(self, values: np.ndarray) -> np.ndarray:
        """Coefficients (2, lmax + 1, lmax + 1) of values (*shape)."""
        return _transform(self._lmax).analysis(values)

    def mean(self, values: np.ndarray) -> float:
        """Mean over the round sphere, exact for polynomials of degree 3 lmax."""
        return float(_transform(self._lmax).weights @ values.mean(axis=1))

    def record(self) -> dict[str, Any]:
        """Plain values that stand for the surface in files."""
        return {"surface": "sphere", "lmax": self._lmax}

    def __repr__(self) -> str:
        return f"Sphere({self._lmax})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sphere) and other.lmax == self._lmax

    def __hash__(self) -> int:
        return hash(("Sphere", self._lmax))


class Torus:
    """A flat torus: a periodic grid with a constant metric, and Fourier modes |m_a| < N_a / 3.

    Parameters
    ----------
    grid : Grid
        Two periodic axes of at least 8 points.
    flat : array, (2, 2), optional
        Components of the constant metric in the coordinates of the grid, dimensionless; the unit
        matrix by default.

    Raises
    ------
    DTypeError, InvalidArgumentError, GridTooSmallError
        If ``grid`` is no periodic grid of two axes, or has fewer than 8 points along one.
    ShapeError, NotFiniteError, NotSymmetricError, NotPositiveDefiniteError
        If ``flat`` is no metric.

    Examples
    --------
    >>> from riemann_lne import Grid
    >>> hexagonal = Torus(Grid.torus((24, 24)), [[1.0, 0.5], [0.5, 1.0]])
    >>> round(hexagonal.tau.real, 12), round(hexagonal.tau.imag**2, 12)
    (0.5, 0.75)
    """

    K_0 = 0.0
    euler = 0

    def __init__(self, grid: Grid, flat: Any = None) -> None:
        if not isinstance(grid, Grid):
            raise DTypeError(f"grid = {checks.shown(grid)}; give a Grid, as Grid.torus((64, 64))")
        grid.require_whole("a conformal metric")
        if grid.ndim != 2 or not grid.is_torus:
            raise InvalidArgumentError(
                f"a torus has two periodic axes; this grid has the shape {grid.shape} and "
                f"periodic = {grid.periodic}; make it by Grid.torus((N, M))"
            )
        if min(grid.shape) < _FEWEST_POINTS:
            raise GridTooSmallError(
                f"the grid has the shape {grid.shape}; at least {_FEWEST_POINTS} points along each "
                "axis are needed"
            )
        self.grid, self.shape = grid, grid.shape
        self._flat = np.eye(2) if flat is None else _constant_metric(flat)

    @property
    def flat(self) -> np.ndarray:
        """The constant metric, (2, 2); read-only."""
        return read_only(self._flat)

    @property
    def area(self) -> float:
        """Area of the flat metric, length^2."""
        return math.sqrt(float(np.linalg.det(self._flat))) * math.prod(self.grid.lengths)

    @property
    def tau(self) -> complex:
        """The conformal class: the period ratio in |Re tau| <= 1/2, |tau| >= 1, Im tau > 0.

        Two flat tori are conformal, up to orientation, exactly if their tau agree up to the sign of
        the real part. A square has i, a hexagonal one 1/2 + i 3^(1/2) / 2; Re tau = -1/2 is given
        as 1/2, and |tau| = 1 with Re tau >= 0.
        """
        one, two = self.grid.lengths
        a, b = self._flat[0, 0] * one**2, self._flat[0, 1] * one * two
        area = self.area
        return reduced(complex(b / a, area / a))

    @cached_property
    def _mask(self) -> np.ndarray:
        return dealias_mask(self.grid)

    @cached_property
    def _scale(self) -> np.ndarray:
        """Factors by which a real transform has the mean square of its field."""
        # The column of zero holds both of two conjugate modes, the others one. The highest column
        # of an even count, which would hold both too, is never reached.
        twice = np.full(self._mask.shape[-1], math.sqrt(2))
        twice[0] = 1.0
        return twice

    @cached_property
    def laplacian(self) -> np.ndarray:
        """-g^ab k_a k_b over the real-FFT spectrum; 1 / length^2."""
        k, inverse = self._wavenumbers(), np.linalg.inv(self._flat)
        first, second = np.meshgrid(*k, indexing="ij")
        return -(
            inverse[0, 0] * first**2
            + 2 * inverse[0, 1] * first * second
            + inverse[1, 1] * second**2
        ) * self._mask  # fmt: skip

    def _wavenumbers(self) -> list[np.ndarray]:
        (n, m), (one, two) = self.shape, self.grid.lengths
        return [
            2 * np.pi / one * np.fft.fftfreq(n, 1 / n),
            2 * np.pi / two * np.fft.rfftfreq(m, 1 / m),
        ]

    @cached_property
    def high(self) -> np.ndarray:
        """Whether a mode is above 4/5 of the highest along an axis."""
        (n, m) = self.shape
        first = np.abs(np.fft.fftfreq(n, 1 / n)) > _TAIL * n / 3
        second = np.fft.rfftfreq(m, 1 / m) > _TAIL * m / 3
        return first[:, None] | second[None, :]

    @property
    def coordinates(self) -> tuple[np.ndarray, ...]:
        """The points x, y, each of the grid's shape."""
        return tuple(self.grid.coordinates())

    def synthesis(self, coefficients: np.ndarray) -> np.ndarray:
        """Values (k, *shape) of coefficients (k, 2, N, M // 2 + 1): real and imaginary parts."""
        hat = (coefficients[:, 0] + 1j * coefficients[:, 1]) / self._scale
        return np.asarray(irfftn(hat * math.prod(self.shape), self.shape))

    def analysis(self, values: np.ndarray) -> np.ndarray:
        """Coefficients (2, N, M // 2 + 1) of values (*shape): real and imaginary parts."""
        hat = rfftn(values, 2) * (self._mask * self._scale / math.prod(self.shape))
        return np.stack([hat.real, hat.imag])

    def mean(self, values: np.ndarray) -> float:
        """Mean over the flat torus."""
        return float(values.mean())

    def record(self) -> dict[str, Any]:
        """Plain values that stand for the surface in files."""
        return {
            "surface": "torus",
            "grid": grid_record(self.grid),
            "flat": self._flat.tolist(),
        }

    def __repr__(self) -> str:
        flat = "" if np.array_equal(self._flat, np.eye(2)) else f", flat={self._flat.tolist()}"
        return f"Torus({self.grid!r}{flat})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Torus)
            and other.grid == self.grid
            and np.array_equal(other.flat, self._flat)
        )

    def __hash__(self) -> int:
        return hash(("Torus", self.grid))


def reduced(tau: complex) -> complex:
    """The point of the modular group's usual domain that a period ratio is equivalent to."""
    # Boundaries within rounding count as reached: a hexagonal torus has |tau| = 1, Re tau = 1/2.
    close = 1e-9
    while True:
        tau = complex(tau.real - math.ceil(tau.real - 0.5 - close), tau.imag)
        if abs(tau) >= 1 - close:
            break
        tau = -1 / tau
    return -tau.conjugate() if tau.real < -close and abs(tau) < 1 + close else tau


def _constant_metric(flat: Any) -> np.ndarray:
    """A constant metric, checked."""
    matrix = host_numbers(flat, "flat")
    if matrix.shape != (2, 2):
        raise ShapeError(f"flat has shape {matrix.shape}; give (2, 2)")
    if not np.isfinite(matrix).all():
        raise NotFiniteError(f"flat = {matrix.tolist()}; give finite numbers")
    if abs(matrix[0, 1] - matrix[1, 0]) > 1e-12 * np.abs(matrix).max():
        raise NotSymmetricError(f"flat = {matrix.tolist()} is not symmetric; symmetrise it first")
    matrix = (matrix + matrix.T) / 2
    least = float(np.linalg.eigvalsh(matrix)[0])
    if not least > 1e-12 * np.abs(matrix).max():
        raise NotPositiveDefiniteError(
            f"flat = {matrix.tolist()} is not positive definite beyond rounding: least "
            f"eigenvalue {least:.3g}",
            eigenvalue=least,
        )
    return matrix


def surface_from_record(record: dict[str, Any]) -> Sphere | Torus:
    """The surface of plain values; ValueError, KeyError or an error of the family if wrong."""
    if record["surface"] == "sphere":
        return Sphere(record["lmax"])
    if record["surface"] == "torus":
        return Torus(grid_from_record(record["grid"]), record["flat"])
    raise ValueError(f"its surface is {record['surface']!r}, not a sphere or a torus")
