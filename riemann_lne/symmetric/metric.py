"""RotationalMetric: phi^2 dx^2 + psi^2 g_(S^n) on an interval, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from .. import checks
from ..arrays import host_numbers, read_only
from ..errors import InvalidArgumentError, NotFiniteError, ShapeError
from ..finite import finite_result
from ..identity import same_values
from .functionals import energy, entropy_w
from .geometry import Jet, jet, log_ratio, pole_curvature
from .smoothness import require_smooth_poles
from .staggered import Staggered


class RotationalMetric:
    r"""A rotationally symmetric metric g = phi(x)^2 dx^2 + psi(x)^2 g_(S^n), of dimension n + 1.

    Parameters
    ----------
    phi, psi : array or sequence, (N,)
        Positive values at the N points x_j = (j + 1/2) h, the centres of equal cells of
        (0, length): no point lies on a pole. Lengths, in any unit. float64 on the host.
    n : int
        Dimension of the spheres of symmetry, at least 1.
    space : "sphere", "euclidean" or "cylinder"
        S^(n+1), poles at x = 0 and pi; R^(n+1), a pole at x = 0 and an outer end at ``length``; or
        S^n x S^1, x periodic.
    length : float, optional
        Of the coordinate interval: pi on a sphere, 1 by default elsewhere.
    order : 4, 6 or 8
        Order of accuracy of all differences, up to and at the poles.

    Raises
    ------
    ShapeError, DTypeError, NotFiniteError
        If the values are no two arrays of one length, not numbers, or not finite.
    InvalidArgumentError
        If phi or psi is not positive, or the metric is not smooth at a pole: psi must be odd there
        with psi_s = 1, phi even. The message says which condition fails, and by how much.
    GridTooSmallError
        If there are fewer than 2 * order points.

    Notes
    -----
    Held as U = log(psi / S) and b = log(phi S / psi) / S^2 with S(x) = sin x, x or 1, which are
    smooth and even at a pole exactly if the metric is smooth: see ``geometry``.

    Examples
    --------
    >>> g = RotationalMetric.from_function(40, lambda x: 0 * x + 2.0, lambda x: 2 * np.sin(x), n=3)
    >>> bool(abs(g.scalar_curvature() - 3.0).max() < 1e-10)         # 12 / radius^2
    True
    """

    def __init__(
        self,
        phi: Any,
        psi: Any,
        n: int = 2,
        space: str = "sphere",
        length: float | None = None,
        order: int = 4,
    ) -> None:
        phi, psi = _values(phi, "phi"), _values(psi, "psi")
        if phi.shape != psi.shape:
            raise ShapeError(f"phi has {len(phi)} values and psi {len(psi)}; give as many of both")
        self._space = Staggered(space, len(phi), length, order)
        self._n = checks.count(n, "n", least=1)
        for name, values in (("phi", phi), ("psi", psi)):
            if not values.min() > 0:
                j = int(values.argmin())
                raise InvalidArgumentError(
                    f"{name} = {values[j]:.6g} at point {j}, x = {self._space.x[j]:.6g}; it must "
                    "be positive between the poles"
                )
        require_smooth_poles(self._space, phi, psi)
        U = np.log(psi) - np.log(self._space.S)
        A = np.log(phi) - U
        self._state = np.stack([U, A / self._space.S**2 if self._space.poles else A])

    @classmethod
    def from_function(
        cls,
        points: int,
        phi: Callable[[np.ndarray], Any],
        psi: Callable[[np.ndarray], Any],
        n: int = 2,
        space: str = "sphere",
        length: float | None = None,
        order: int = 4,
    ) -> RotationalMetric:
        """The metric of two functions of x, which get the points as an array (N,)."""
        named = {"phi": phi, "psi": psi}
        for name, function in named.items():
            checks.require_function(function, name, "x")
        x = Staggered(space, points, length, order).x
        values = [_on_points(f(x.copy()), f"{name}(x)", x) for name, f in named.items()]
        return cls(values[0], values[1], n, space, length, order)

    @classmethod
    def from_state(cls, space: Staggered, n: int, state: np.ndarray) -> RotationalMetric:
        """The metric of the rows (U, b), (2, N), on the operators of an interval; not checked."""
        result = cls.__new__(cls)
        result._space, result._n, result._state = space, n, state
        return result

    # ---- the metric ---------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Dimension of the spheres of symmetry; that of the manifold is n + 1."""
        return self._n

    @property
    def operators(self) -> Staggered:
        """The interval with its differences."""
        return self._space

    @property
    def space(self) -> str:
        """The space: "sphere", "euclidean" or "cylinder"."""
        return self._space.space

    @property
    def points(self) -> int:
        """The number of points."""
        return self._space.points

    @property
    def x(self) -> np.ndarray:
        """The points, (N,)."""
        return read_only(self._space.x)

    @property
    def state(self) -> np.ndarray:
        """The rows U and b, (2, N); read-only."""
        return read_only(self._state)

    @cached_property
    def psi(self) -> np.ndarray:
        """Radius of the spheres of symmetry, (N,)."""
        return read_only(np.exp(self._state[0]) * self._space.S)

    @cached_property
    def phi(self) -> np.ndarray:
        """The speed ds / dx of the coordinate, (N,)."""
        return read_only(np.exp(self._state[0] + log_ratio(self._space, self._state[1])))

    @cached_property
    def _jet(self) -> Jet:
        return jet(self._space, self._state)

    def __repr__(self) -> str:
        name = {"sphere": "S^{}", "euclidean": "R^{}", "cylinder": "S^{0} x S^1"}[self.space]
        dimension = self._n if self.space == "cylinder" else self._n + 1
        return f"RotationalMetric({name.format(dimension)}, {self.points} points)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RotationalMetric):
            return NotImplemented
        same = (self.space, self.n, self._space.length, self._space.order) == (
            other.space, other.n, other._space.length, other._space.order,
        )  # fmt: skip
        return same and same_values(self._state, other._state)

    def __hash__(self) -> int:
        return hash((self.space, self.n, self.points, self._space.length))

    # ---- curvature ----------------------------------------------------------------------------

    @finite_result
    def sectional_curvatures(self) -> tuple[np.ndarray, np.ndarray]:
        """K_0 = -psi_ss / psi and K_1 = (1 - psi_s^2) / psi^2, each (N,); 1 / length^2.

        K_0 is that of planes that contain d_s, K_1 that of planes tangent to S^n (of none if
        n = 1).
        """
        return self._jet.radial(self._space), self._jet.K1

    @finite_result
    def pole_curvature(self) -> np.ndarray:
        """K_0 = K_1 = -psi_sss at each pole, by its limit: (2,) on a sphere, (1,) or (0,)."""
        return pole_curvature(self._space, self._state)

    @finite_result
    def scalar_curvature(self) -> np.ndarray:
        """R = 2 n K_0 + n (n - 1) K_1, (N,)."""
        K0, K1 = self.sectional_curvatures()
        return 2 * self.n * K0 + self.n * (self.n - 1) * K1

    @finite_result
    def ricci(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of Ric, each (N,): n K_0 along d_s, K_0 + (n - 1) K_1 along the spheres."""
        K0, K1 = self.sectional_curvatures()
        return self.n * K0, K0 + (self.n - 1) * K1

    @finite_result
    def psi_s(self) -> np.ndarray:
        """The slope d psi / ds, (N,)."""
        j, space = self._jet, self._space
        return np.sqrt(j.E) * np.exp(j.U) * (space.S**2 * j.lam + space.C)

    # ---- lengths ------------------------------------------------------------------------------

    @finite_result
    def arclength(self) -> np.ndarray:
        """Arclength s of the points from the end x = 0, (N,); order 4."""
        integrals = self._space.cell_integrals(self.phi)
        # From the middle of a cell to its face: half of the cell, and the odd part of phi.
        before = np.concatenate([[0.0], np.cumsum(integrals)[:-1]])
        steps = self._space.central_steps(self.phi)
        return before + integrals / 2 - steps * self._space.h / 8

    @finite_result
    def total_length(self) -> float:
        """Length of a meridian, the integral of phi."""
        return float(self._space.cell_integrals(self.phi).sum())

    @finite_result
    def volume(self) -> float:
        """Volume, omega_n times the integral of psi^n phi; length^(n+1)."""
        return float(self.integrals(np.ones(self.points)).sum())

    @finite_result
    def integrals(self, values: Any) -> np.ndarray:
        """Integrals of a function (N,) over the shells of the points, each of volume > 0."""
        area = 2 * math.pi ** ((self.n + 1) / 2) / math.gamma((self.n + 1) / 2)
        odd = bool(self._space.poles and self.n % 2)
        values = _values(values, "values")
        if len(values) != self.points:
            raise ShapeError(
                f"values has {len(values)} entries; give one for each of {self.points} points"
            )
        return area * self._space.cell_integrals(values * self.psi**self.n * self.phi, odd)

    @finite_result
    def perelman_f(self, f: Any) -> float:
        r"""Perelman's F(g, f), the integral of (R + f_s^2) e^(-f) dV; length^(n - 1).

        Parameters
        ----------
        f : array or sequence, (N,)
            A function of x alone, smooth on the manifold: even at the poles. Dimensionless.

        Raises
        ------
        DTypeError, ShapeError, NotFiniteError
            If f is no function of the points.

        Notes
        -----
        G. Perelman (2002), section 1. On R^(n+1) the integral is over what the points cover.

        Examples
        --------
        >>> from riemann_lne.symmetric import round_sphere
        >>> round(round_sphere(40, n=1).perelman_f(np.zeros(40)) / np.pi, 6)    # Gauss and Bonnet
        8.0
        """
        return energy(self, f)

    @finite_result
    def perelman_w(self, f: Any, tau: float) -> float:
        r"""Perelman's W(g, f, tau), dimensionless: the integral of

        (tau (R + f_s^2) + f - n - 1) (4 pi tau)^(-(n + 1) / 2) e^(-f) dV.

        Arguments and errors as for ``perelman_f``; ``tau`` is positive, in length^2.

        Notes
        -----
        G. Perelman (2002), section 3.
        """
        return entropy_w(self, f, tau)

    def mean_scalar_curvature(self) -> float:
        """Integral of R over the volume."""
        return float(self.integrals(self.scalar_curvature()).sum() / self.volume())

    def necks(self) -> list[int]:
        """Indices of the points where psi has an interior minimum."""
        psi = self.psi
        if self._space.periodic:
            left, right = np.roll(psi, 1), np.roll(psi, -1)
            return [int(j) for j in np.flatnonzero((psi < left) & (psi <= right))]
        return [int(j) for j in 1 + np.flatnonzero((psi[1:-1] < psi[:-2]) & (psi[1:-1] <= psi[2:]))]

    def bumps(self) -> list[int]:
        """Indices of the points where psi has an interior maximum."""
        psi = self.psi
        if self._space.periodic:
            left, right = np.roll(psi, 1), np.roll(psi, -1)
            return [int(j) for j in np.flatnonzero((psi > left) & (psi >= right))]
        return [int(j) for j in 1 + np.flatnonzero((psi[1:-1] > psi[:-2]) & (psi[1:-1] >= psi[2:]))]

    def neck_radius(self) -> float:
        """The smallest psi of a neck, by the parabola through three points; infinite if none."""
        psi = self.psi
        return min((_lowest(psi, j) for j in self.necks()), default=math.inf)

    def resolution(self) -> float:
        """Largest distance of points in units of the radius of curvature; dimensionless.

        h phi max(|K_0|, |K_1|)^(1/2). Around 0.1 the differences are exact to several digits; above
        1 the points do not see the curvature.
        """
        K0, K1 = self.sectional_curvatures()
        return float(self._space.h * (self.phi * np.sqrt(np.maximum(abs(K0), abs(K1)))).max())

    def largest_curvature(self) -> float:
        """The largest of |K_0| and |K_1|, 1 / length^2."""
        return float(np.abs(self.sectional_curvatures()).max())

    def roundness(self) -> float:
        """Smallest over largest of all sectional curvatures: 1 on a round sphere."""
        K0, K1 = self.sectional_curvatures()
        all_of_them = K0 if self.n == 1 else np.concatenate([K0, K1])
        return float(all_of_them.min() / all_of_them.max())


def _lowest(psi: np.ndarray, j: int) -> float:
    """The minimum of the parabola through a point and its neighbours."""
    a, b, c = psi[j - 1], psi[j], psi[(j + 1) % len(psi)]
    curve = a - 2 * b + c
    return float(b - (c - a) ** 2 / (8 * curve)) if curve > 0 else float(b)


def _on_points(values: Any, name: str, x: np.ndarray) -> np.ndarray:
    """Values that a function returned, one for each point or one for all, at every point."""
    result = host_numbers(values, name)
    if result.shape not in ((), x.shape):
        raise ShapeError(
            f"{name} has shape {result.shape}; give one value for each point, {x.shape}"
        )
    return np.array(np.broadcast_to(result, x.shape))


def _values(values: Any, name: str) -> np.ndarray:
    """Finite numbers in one dimension, as float64."""
    result = host_numbers(values, name, integers=False)
    if result.ndim != 1 or result.size == 0:
        raise ShapeError(f"{name} has shape {result.shape}; give one value for each point")
    bad = np.flatnonzero(~np.isfinite(result))
    if bad.size:
        raise NotFiniteError(f"{name} is {result[bad[0]]} at index {bad[0]}; give finite values")
    return result
