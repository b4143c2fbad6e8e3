"""ConformalMetric: e^(2u) g_0 on a surface whose metric g_0 has constant curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from .. import checks
from ..analysis.perelman import lowest_eigenpair
from ..arrays import host_numbers, read_only
from ..errors import DTypeError, InvalidArgumentError, NotFiniteError, ShapeError
from ..finite import finite_result
from ..identity import same_values
from ..metrics import MetricField
from .functionals import energy, entropy_w
from .surfaces import LOST, Sphere, Torus, require_small

# e^(2u) and its square are floats.
_LARGEST = 150.0


class ConformalMetric:
    r"""The metric g = e^(2u) g_0 on a closed surface of genus 0 or 1, without any symmetry.

    Parameters
    ----------
    surface : Sphere or Torus
        Carries g_0, of Gauss curvature K_0.
    u : array or sequence, the surface's shape
        The logarithm of the conformal factor at the points of its grid, dimensionless: lengths are
        multiplied by e^u. float64 on the host. Held by its projection on the surface's basis.

    Raises
    ------
    DTypeError, ShapeError, NotFiniteError
        If u is no array of finite real numbers of the surface's shape.
    InvalidArgumentError
        If \|u\| exceeds 150, or the basis misses a part of u with a root mean square above 1e-2.
        Above 1e-6 a warning says by how much.

    Notes
    -----
    K = e^(-2u) (K_0 - Lap_0 u). Besse, Einstein Manifolds (1987), theorem 1.159.

    Examples
    --------
    >>> from riemann_lne.conformal import Sphere
    >>> g = ConformalMetric.from_function(Sphere(12), lambda x, y, z: 0.1 * x * y + 0.2 * z)
    >>> g.curvature().shape
    (19, 40)
    >>> round(g.total_curvature() / (4 * np.pi), 12)         # Gauss and Bonnet
    1.0
    """

    def __init__(self, surface: Sphere | Torus, u: Any) -> None:
        self._hold(surface, u)

    def _hold(self, surface: Sphere | Torus, u: Any) -> None:
        """Check u and hold its coefficients; for public functions, whose caller is warned."""
        self._surface = require_surface(surface)
        values = host_numbers(u, "u", integers=False)
        if values.shape != surface.shape:
            raise ShapeError(
                f"u has shape {values.shape}; {surface!r} has the grid {surface.shape}: give "
                "values at its coordinates, or use ConformalMetric.from_function"
            )
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            where = tuple(int(k) for k in bad[0])
            raise NotFiniteError(f"u is {values[where]} at index {where}; give finite values")
        if np.abs(values).max() > _LARGEST:
            where = tuple(int(k) for k in np.unravel_index(np.abs(values).argmax(), values.shape))
            raise InvalidArgumentError(
                f"u = {values[where]:.6g} at index {where}: e^(4u) leaves the range of floats; "
                "take another unit of length, which adds a constant to u"
            )
        self._coefficients = surface.analysis(values)
        lost = math.sqrt(surface.mean((values - self.u) ** 2))
        text = (
            f"u is not resolved: the part of it that {surface!r} cannot hold has the root mean "
            f"square {lost:.3g}, and its highest modes {self.tail():.3g}; take a finer surface"
        )
        require_small(lost, LOST, text, stacklevel=4)

    @classmethod
    def from_function(
        cls, surface: Sphere | Torus, function: Callable[..., Any]
    ) -> ConformalMetric:
        """The metric of a function u(x, y, z) of points on the unit sphere, or u(x, y) on a torus.

        The function gets one array of the grid's shape for each coordinate.
        """
        checks.require_function(function, "function", "points")
        surface = require_surface(surface)
        values = host_numbers(function(*surface.coordinates), "the result of the function")
        if values.shape not in ((), surface.shape):
            raise ShapeError(
                f"the function returned the shape {values.shape}; it was given points of the shape "
                f"{surface.shape}: return one value for each"
            )
        result = cls.__new__(cls)
        result._hold(surface, np.array(np.broadcast_to(values, surface.shape)))
        return result

    @classmethod
    def from_coefficients(cls, surface: Sphere | Torus, coefficients: np.ndarray) -> Any:
        """The metric of coefficients of u as ``coefficients`` gives them; not checked."""
        result = cls.__new__(cls)
        result._surface, result._coefficients = surface, coefficients
        return result

    # ---- what is held --------------------------------------------------------------------------

    @property
    def surface(self) -> Sphere | Torus:
        """The surface with its metric of constant curvature."""
        return self._surface

    @property
    def coefficients(self) -> np.ndarray:
        """Coefficients of u: (2, lmax + 1 [l], lmax + 1 [m]) on a sphere, cosines and sines of
        m phi; (2, N, M // 2 + 1) on a torus, real and imaginary parts. Read-only.
        """
        return read_only(self._coefficients)

    @cached_property
    def u(self) -> np.ndarray:
        """The logarithm of the conformal factor on the grid; read-only."""
        return read_only(self._surface.synthesis(self._coefficients[None])[0])

    def field(self) -> MetricField:
        """The metric of a torus as a MetricField, e^(2u) times the constant metric.

        Raises
        ------
        InvalidArgumentError
            On a sphere, which no grid of one chart covers.
        """
        if not isinstance(self._surface, Torus):
            raise InvalidArgumentError(
                "a sphere has no coordinates that cover it: no MetricField; take the patches of "
                "an Atlas"
            )
        factor = np.exp(2 * self.u)
        return MetricField(self._surface.grid, self._surface.flat[:, :, None, None] * factor)

    def __repr__(self) -> str:
        return f"ConformalMetric({self._surface!r}, area {self.area():.6g})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConformalMetric):
            return NotImplemented
        same = self._surface == other._surface
        return same and same_values(self._coefficients, other._coefficients)

    def __hash__(self) -> int:
        return hash(("ConformalMetric", self._surface))

    # ---- its geometry --------------------------------------------------------------------------

    @finite_result
    def curvature(self) -> np.ndarray:
        """Gauss curvature K = e^(-2u) (K_0 - Lap_0 u) on the grid; 1 / length^2. R = 2 K."""
        surface = self._surface
        lap = surface.synthesis((surface.laplacian * self._coefficients)[None])[0]
        return np.asarray(np.exp(-2 * self.u) * (surface.K_0 - lap))

    def scalar_curvature(self) -> np.ndarray:
        """R = 2 K on the grid; 1 / length^2."""
        return np.asarray(2 * self.curvature())

    @finite_result
    def integral(self, values: Any) -> float:
        """Integral of a function on the grid over the surface, in the area of g."""
        values = host_numbers(values, "values")
        if values.shape not in ((), self._surface.shape):
            raise ShapeError(
                f"values has shape {values.shape}; the surface needs {self._surface.shape}"
            )
        whole = np.broadcast_to(values * np.exp(2 * self.u), self._surface.shape)
        return self._surface.area * self._surface.mean(whole)

    def area(self) -> float:
        """Area, the integral of e^(2u) over g_0; length^2."""
        return float(self.integral(1.0))

    def total_curvature(self) -> float:
        """Integral of K over the area: 2 pi chi by Gauss and Bonnet, 4 pi or 0."""
        return float(self.integral(self.curvature()))

    def mean_curvature(self) -> float:
        """Mean of K over the area, 2 pi chi / area; 1 / length^2."""
        return 2 * math.pi * self._surface.euler / self.area()

    @finite_result
    def distance_to_constant_curvature(self) -> float:
        """Largest abs(K A - 2 pi chi) / (4 pi): 0 exactly on round spheres and flat tori.

        Dimensionless, the same for all units of length and all coordinates; on a sphere the
        largest relative difference of K from its mean.
        """
        departure = self.curvature() * self.area() - 2 * math.pi * self._surface.euler
        return float(np.abs(departure).max() / (4 * math.pi))

    @finite_result
    def entropy(self) -> float:
        r"""Hamilton's entropy of a sphere of positive curvature, the integral of R log(R A / 8 pi).

        The same for all units of length, at least 0, and 0 exactly on round spheres: R A / (8 pi)
        has the mean 1. It falls along Ricci flow, normalised or not.

        Raises
        ------
        InvalidArgumentError
            On a torus, and where R is not positive.

        Notes
        -----
        R. S. Hamilton, The Ricci flow on surfaces, Contemp. Math. 71 (1988) 237.
        """
        R = self.scalar_curvature()
        if self._surface.euler <= 0 or not R.min() > 0:
            raise InvalidArgumentError(
                f"the entropy is for R > 0; the least R of {self._surface!r} is {R.min():.6g}"
            )
        return float(self.integral(R * np.log(R * (self.area() / (8 * math.pi)))))

    @finite_result
    def perelman_f(self, f: Any) -> float:
        r"""Perelman's F(g, f), the integral of (R + \|df\|^2_g) e^(-f) dA; dimensionless.

        Parameters
        ----------
        f : array or sequence, the surface's shape
            Dimensionless, at the points of the grid.

        Raises
        ------
        DTypeError, ShapeError, NotFiniteError
            If f is no function on the grid.
        InvalidArgumentError
            If the basis misses more than 1e-2 of e^(-f/2). Above 1e-6 a warning says by how much.

        Notes
        -----
        G. Perelman (2002), section 1; ``riemann_lne.analysis.perelman_f`` is the same on grids.

        Examples
        --------
        The integral of R is 8 pi by Gauss and Bonnet:

        >>> from riemann_lne.conformal import Sphere
        >>> sphere = Sphere(12)
        >>> g = ConformalMetric.from_function(sphere, lambda x, y, z: 0.1 * x * y)
        >>> round(g.perelman_f(np.zeros(sphere.shape)) / np.pi, 12)
        8.0
        """
        return energy(self, f)

    @finite_result
    def perelman_w(self, f: Any, tau: float) -> float:
        r"""Perelman's W(g, f, tau), dimensionless: the integral of

        (tau (R + \|df\|^2_g) + f - 2) (4 pi tau)^(-1) e^(-f) dA.

        Arguments and errors as for ``perelman_f``; ``tau`` is positive, in length^2.

        Notes
        -----
        G. Perelman (2002), section 3; ``riemann_lne.analysis.perelman_w`` is the same on grids.
        """
        return entropy_w(self, f, tau)

    @finite_result
    def perelman_lambda(self) -> float:
        r"""Perelman's lambda, the lowest eigenvalue of -4 Lap + R; 1 / length^2.

        It never falls along Ricci flow. On a round sphere of radius r it is R = 2 / r^2, on a flat
        torus 0, and at most the mean of R on any surface.

        Raises
        ------
        analysis.SpectrumError
            If the eigenvalue does not settle: the surface does not resolve u.

        Notes
        -----
        With g = e^(2u) g_0 it is the least quotient of the integrals over g_0 of
        4 \|grad v\|^2 + 2 (K_0 - Lap_0 u) v^2 and of e^(2u) v^2, here over all v of the basis, as
        ``riemann_lne.perelman_lambda`` is on grids. G. Perelman (2002), section 2.
        """
        surface, lap = self._surface, self._surface.laplacian
        potential = 2 * (surface.K_0 - surface.synthesis((lap * self._coefficients)[None])[0])
        mass = np.exp(2 * self.u)
        gap = float(np.min(-lap[lap < 0]))
        mean = surface.mean(mass)

        def projected(values: np.ndarray) -> np.ndarray:
            return np.asarray(surface.synthesis(surface.analysis(values)[None])[0])

        def operator(v: np.ndarray) -> np.ndarray:
            c = surface.analysis(potential * v) - 4 * lap * surface.analysis(v)
            return np.asarray(surface.synthesis(c[None])[0])

        def precondition(r: np.ndarray) -> np.ndarray:
            c = surface.analysis(r) / (4 * (gap - lap))
            return np.asarray(surface.synthesis(c[None])[0])

        value, _ = lowest_eigenpair(
            operator,
            lambda v: projected(mass * v),
            precondition,
            lambda a, b: surface.mean(a * b),
            lambda r: math.sqrt(surface.mean(r * r) / mean),
            np.ones(surface.shape),
            # The error of the eigenvalue is of second order in that of the function.
            1e-8 * gap / mean,
        )
        return value

    def extinction_time(self) -> float:
        """The time A / (8 pi) at which Ricci flow ends in a round point; infinite on a torus."""
        euler = self._surface.euler
        return self.area() / (4 * math.pi * euler) if euler > 0 else math.inf

    def tail(self) -> float:
        """Root mean square of the part of u in the upper fifth of the degrees; dimensionless.

        The errors of the geometry are about as large. It falls exponentially with the degree where
        u is smooth and resolved.
        """
        high = self._coefficients * self._surface.high
        return float(np.sqrt((high * high).sum()))


def require_surface(surface: Any) -> Sphere | Torus:
    """The surface itself; raises DTypeError if it is none."""
    if not isinstance(surface, (Sphere, Torus)):
        raise DTypeError(
            f"surface = {checks.shown(surface)}; give Sphere(lmax) or Torus(grid) of "
            "riemann_lne.conformal"
        )
    return surface
