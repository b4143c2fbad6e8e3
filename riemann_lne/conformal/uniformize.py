r"""Uniformisation of a torus: any metric on a periodic grid as e^(2u) times a flat one.

Let A^ij = det(g)^(1/2) g^ij, which a conformal factor does not change. The harmonic functions
phi^k = x^k + p^k, p^k periodic, d_i(A^ij d_j phi^k) = 0, are coordinates in which the class of g
has constant components H_kl: their differentials are the harmonic one-forms, and a holomorphic
one-form is a constant combination of them. So the matrix E^kl = mean of A^ij d_i phi^k d_j phi^l is
det(H)^(1/2) H^kl, and

    g = e^(2u) H_kl dphi^k dphi^l,    e^(2u) = det(g)^(1/2) / (det(H)^(1/2) det(d phi)).

All derivatives are Fourier ones. That the equation holds for all three components, of which the
last formula uses one, is measured and decides whether the grid resolves the metric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from .. import checks
from ..arrays import to_numpy
from ..errors import ConvergenceError, DTypeError, InvalidArgumentError
from ..finite import finite_result
from ..fourier import irfftn, rfftn
from ..grids import Grid
from ..metrics import MetricField
from .metric import ConformalMetric
from .surfaces import Torus, require_small

# Largest relative difference of g and e^(2u) H dphi dphi.
_INEXACT, _REFUSED = 1e-6, 1e-3
_MOST_ITERATIONS = 2000
_NEWTON_STEPS = 12
# Points at which an interpolant is evaluated at a time.
_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Uniformization:
    """A metric of a torus in conformal coordinates.

    Attributes
    ----------
    metric : ConformalMetric
        e^(2u) times the flat metric of its surface, in the coordinates phi.
    coordinates : ndarray, (2, *shape)
        phi^k at the points of the grid that the metric was given on. They differ from the given
        coordinates by periodic functions.
    residual : float
        Largest relative difference between the given metric and that of e^(2u), phi and the flat
        metric, over the grid; dimensionless.
    """

    metric: ConformalMetric
    coordinates: np.ndarray
    residual: float

    @property
    def tau(self) -> complex:
        """The conformal class, see ``Torus.tau``."""
        surface = self.metric.surface
        assert isinstance(surface, Torus)
        return surface.tau


@finite_result
def uniformize(field: MetricField, shape: Any = None) -> Uniformization:
    """Conformal coordinates of a metric that is given in any coordinates on a torus.

    Parameters
    ----------
    field : MetricField
        On a grid of two periodic axes, smooth and periodic.
    shape : (int, int), optional
        Points of the conformal grid; by default three halves of those of the field, which then hold
        all modes that the field has.

    Returns
    -------
    Uniformization

    Raises
    ------
    DTypeError, InvalidArgumentError, GridTooSmallError
        If ``field`` is no Riemannian MetricField on a grid of two periodic axes, or its grid does
        not resolve it, as where it is not periodic: the residual is above 1e-3. Above 1e-6 a
        warning says so.
    ConvergenceError
        If the harmonic coordinates are not found.

    Notes
    -----
    The interpolation between both grids takes about (points)^2 operations: seconds for 128^2.

    Examples
    --------
    A flat metric in bent coordinates is found to be flat, and of the class of the square:

    >>> from riemann_lne import Grid
    >>> def bent(x, y):
    ...     a = 1 + 0.2 * np.cos(x)
    ...     return [[a * a, 0], [0, 1]]
    >>> found = uniformize(MetricField.from_function(Grid.torus((24, 24)), bent))
    >>> bool(abs(found.metric.curvature()).max() < 1e-9), bool(abs(found.tau - 1j) < 1e-12)
    (True, True)
    """
    if not isinstance(field, MetricField):
        raise DTypeError(f"field = {checks.shown(field)}; give a MetricField on a torus")
    field.require_riemannian("uniformize")
    grid = Torus(field.grid).grid  # which refuses other grids
    finer = _shape(shape, grid)
    spectrum = _Spectrum(grid)
    g11, g12, g22 = (np.asarray(v, dtype=float) for v in to_numpy(field.packed))
    root = np.sqrt(g11 * g22 - g12 * g12)
    density = np.array([[g22, -g12], [-g12, g11]]) / root
    periodic = [_harmonic(spectrum, density, k) for k in range(2)]
    slopes = np.array([spectrum.gradient(p) for p in periodic])  # (k, i, *shape)
    slopes += np.eye(2)[:, :, None, None]
    whole = np.einsum("ijxy,kixy,ljxy->kl", density, slopes, slopes) / math.prod(grid.shape)
    flat = np.linalg.inv(whole / math.sqrt(float(np.linalg.det(whole))))
    stretch = slopes[0, 0] * slopes[1, 1] - slopes[0, 1] * slopes[1, 0]
    if not stretch.min() > 0:
        raise InvalidArgumentError(
            f"the grid of {grid.shape} points does not resolve the metric: its harmonic "
            "coordinates come out folded; give it on a finer grid, and see that it is periodic"
        )
    factor = root / stretch
    residual = _residual(np.array([[g11, g12], [g12, g22]]), factor, flat, slopes)
    _require_resolved(residual, grid)
    coordinates = np.stack([np.asarray(x) + p for x, p in zip(grid.coordinates(), periodic,
                                                              strict=True)])  # fmt: skip
    torus = Torus(finer, flat)
    u = _at_conformal_points(spectrum, np.log(factor) / 2, periodic, coordinates, finer)
    return Uniformization(ConformalMetric(torus, u), coordinates, residual)


def _shape(shape: Any, grid: Grid) -> Grid:
    """The conformal grid."""
    if shape is None:
        points = tuple(scipy.fft.next_fast_len(3 * n // 2 + 2, real=True) for n in grid.shape)
    else:
        points = tuple(checks.count(n, "shape") for n in checks.numbers(shape, "shape"))
    return Torus(Grid.torus(points, grid.lengths, grid.lower)).grid


class _Spectrum:
    """Fourier derivatives and interpolation on a periodic grid."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        (n, m), (one, two) = grid.shape, grid.lengths
        first, second = np.fft.fftfreq(n, 1 / n), np.fft.rfftfreq(m, 1 / m)
        self.k = [2 * np.pi / one * first, 2 * np.pi / two * second]
        # The derivative of the highest mode of an even number of points is not a real function.
        if n % 2 == 0:
            first = np.where(np.abs(first) == n // 2, 0, first)
        if m % 2 == 0:
            second = np.where(second == m // 2, 0, second)
        shape = (n, m // 2 + 1)
        self.factors = [
            np.broadcast_to(2j * np.pi / one * first[:, None], shape),
            np.broadcast_to(2j * np.pi / two * second[None, :], shape),
        ]

    def gradient(self, f: np.ndarray) -> np.ndarray:
        """d_i f, (2, *shape)."""
        hat = rfftn(f, 2)
        return np.stack([irfftn(hat * factor, self.grid.shape) for factor in self.factors])

    def divergence(self, v: np.ndarray) -> np.ndarray:
        """d_i v^i."""
        hat = sum(rfftn(v[i], 2) * self.factors[i] for i in range(2))
        return np.asarray(irfftn(hat, self.grid.shape))

    def at(self, fields: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Trigonometric interpolants of fields (c, *shape) at points (2, P): (c, P)."""
        hat = rfftn(fields, 2) / math.prod(self.grid.shape)
        hat[..., 1 : (self.grid.shape[1] + 1) // 2] *= 2
        c, n, m = hat.shape
        table = hat.transpose(1, 0, 2).reshape(n, c * m)
        found = np.empty((c, points.shape[1]))
        for start in range(0, points.shape[1], _CHUNK):
            x, y = points[:, start : start + _CHUNK] - np.array(self.grid.lower)[:, None]
            half = np.exp(1j * np.outer(x, self.k[0])) @ table
            wave = np.exp(1j * np.outer(y, self.k[1]))
            sums = (half.reshape(len(x), c, m) * wave[:, None, :]).sum(axis=2).real
            found[:, start : start + _CHUNK] = sums.T
        return found


def _harmonic(spectrum: _Spectrum, density: np.ndarray, k: int) -> np.ndarray:
    """The periodic p for which x^k + p is harmonic, by preconditioned conjugate gradients."""
    shape = spectrum.grid.shape
    mean = density.mean(axis=(2, 3))
    symbol = -sum(
        mean[i, j] * spectrum.factors[i] * spectrum.factors[j] for i in range(2) for j in range(2)
    ).real
    # Modes without a derivative, the constant among them, are no part of the solution.
    seen = symbol > 0
    inverse = np.where(seen, 1 / np.where(seen, symbol, 1), 0)

    def operator(p: np.ndarray) -> np.ndarray:
        flux = np.einsum("ijxy,jxy->ixy", density, spectrum.gradient(p.reshape(shape)))
        return -spectrum.divergence(flux).ravel()

    def precondition(r: np.ndarray) -> np.ndarray:
        return np.asarray(irfftn(rfftn(r.reshape(shape), 2) * inverse, shape)).ravel()

    size = math.prod(shape)
    source = spectrum.divergence(density[:, k]).ravel()
    if np.abs(source).max() < 1e-14 * np.abs(density).max() * max(np.abs(k).max() for k in
                                                                   spectrum.k):  # fmt: skip
        return np.zeros(shape)
    linear = scipy.sparse.linalg.LinearOperator
    solution, failed = scipy.sparse.linalg.cg(
        linear((size, size), operator, dtype=float),
        source,
        rtol=1e-12,
        maxiter=_MOST_ITERATIONS,
        M=linear((size, size), precondition, dtype=float),
    )
    if failed:
        rest = np.linalg.norm(source - operator(solution)) / np.linalg.norm(source)
        raise ConvergenceError(
            f"the harmonic coordinate {k} has the relative residual {rest:.3g} after "
            f"{_MOST_ITERATIONS} iterations: lengths differ too much between directions or places; "
            "give the metric in coordinates that stretch it less, or on a finer grid"
        )
    return np.asarray(solution.reshape(shape))


def _residual(g: np.ndarray, factor: np.ndarray, flat: np.ndarray, slopes: np.ndarray) -> float:
    """Largest |g - e^(2u) H dphi dphi| in units of g, over the grid."""
    found = factor * np.einsum("kl,kixy,ljxy->ijxy", flat, slopes, slopes)
    g, found = (np.moveaxis(v, (0, 1), (2, 3)) for v in (g, found))
    relative = np.linalg.solve(g, found - g)
    return float(np.sqrt(np.einsum("xyij,xyji->xy", relative, relative).max()))


def _require_resolved(residual: float, grid: Grid) -> None:
    """Raise InvalidArgumentError, or warn, where conformal coordinates are not exact enough."""
    text = (
        f"the conformal form differs from the given metric by {residual:.3g} of it: the grid of "
        f"{grid.shape} points does not resolve the metric; give it on a finer grid, and see that "
        "it is periodic"
    )
    # Past uniformize and its gate.
    require_small(residual, (_INEXACT, _REFUSED), text, stacklevel=5)


def _at_conformal_points(
    spectrum: _Spectrum,
    u: np.ndarray,
    periodic: list[np.ndarray],
    coordinates: np.ndarray,
    finer: Grid,
) -> np.ndarray:
    """U at the points of a grid in phi: where phi(x) = y is found by Newton's method."""
    lower, lengths = np.array(finer.lower)[:, None], np.array(finer.lengths)[:, None]
    y = np.stack([np.asarray(c).ravel() for c in finer.coordinates()])
    # Starts at the given point whose image is closest.
    tree = scipy.spatial.cKDTree(np.mod(coordinates.reshape(2, -1) - lower, lengths).T % lengths.T,
                                 boxsize=lengths[:, 0])  # fmt: skip
    nearest = tree.query((y - lower).T)[1]
    x = np.stack([np.asarray(c).ravel() for c in spectrum.grid.coordinates()])[:, nearest]
    slopes = np.concatenate([spectrum.gradient(p) for p in periodic])
    fields = np.concatenate([np.stack(periodic), slopes])
    for _ in range(_NEWTON_STEPS):
        p0, p1, a, b, c, d = spectrum.at(fields, x)
        miss = x + np.stack([p0, p1]) - y
        miss -= lengths * np.round(miss / lengths)  # on the torus
        a, d = 1 + a, 1 + d
        step = np.stack([d * miss[0] - b * miss[1], a * miss[1] - c * miss[0]]) / (a * d - b * c)
        x = x - step
        if np.abs(step / lengths).max() < 1e-13:
            break
    else:
        raise ConvergenceError(
            f"the inverse of the conformal coordinates is known to {np.abs(step).max():.3g} only "
            f"after {_NEWTON_STEPS} steps; give the metric on a finer grid"
        )
    return spectrum.at(u[None], x)[0].reshape(finer.shape)
