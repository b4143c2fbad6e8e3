"""Rotationally symmetric Ricci flows g = phi(x)^2 dx^2 + psi(x)^2 g_(S^n), in one coordinate.

Dimension n + 1. With d_s = phi^-1 d_x the flow is phi' = n (psi_ss / psi) phi and psi' = psi_ss -
(n - 1)(1 - psi_s^2) / psi. As it stands that is not parabolic: the flow is followed in DeTurck's
gauge, W = phi_x / phi^3 - n psi_x / (psi phi^2) minus the same of a background. The background is
set to the present metric again and again, so that W stays small where a neck pinches. Geometric
quantities do not see the gauge.

Points lie at (i + 1/2) h. Both ends are poles (phi even, psi odd), or the outer end is flat space,
phi = 1 and psi = x - a, held as it was. Differences are central and of order 4; time steps are
SciPy's LSODA, implicit and banded, because the terms n / psi^2 next to a pole are stiff.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

from ..evidence import UnresolvedError

_BAND = 5  # two unknowns a point, two points to each side
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Profile:
    """A metric on points of [0, length].

    Attributes
    ----------
    phi, psi : array, shape (points,)
        In units of length over that of x, and of length.
    length : float
        Of the interval of x.
    n : int
        Dimension of the spheres.
    closed : bool
        Whether the far end is a pole too.
    """

    phi: np.ndarray
    psi: np.ndarray
    length: float
    n: int
    closed: bool

    @property
    def spacing(self) -> float:
        """Distance of the points in x."""
        return self.length / len(self.phi)

    def derivatives(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Phi_x, phi_xx, psi_x, psi_xx."""
        h = self.spacing
        return (
            *_differences(self._extended(self.phi, 1.0), h),
            *_differences(self._extended(self.psi, -1.0), h),
        )

    def _extended(self, values: np.ndarray, parity: float) -> np.ndarray:
        """With two ghosts at each end."""
        low = parity * values[1::-1]
        if self.closed:
            high = parity * values[:-3:-1]
        elif parity > 0:
            high = np.ones(2)
        else:
            high = self._outer + self.spacing * np.array([1.0, 2.0])
        return np.concatenate([low, values, high])

    @property
    def _outer(self) -> float:
        # Flat there: psi grows as x does. The last value is held, see ``_rates``.
        return float(self.psi[-1])

    def curvatures(self) -> tuple[np.ndarray, np.ndarray]:
        """K_0 = -psi_ss / psi and K_1 = (1 - psi_s^2) / psi^2, in 1 / length^2."""
        phi_x, _, psi_x, psi_xx = self.derivatives()
        bend = (psi_xx - psi_x * phi_x / self.phi) / self.phi**2
        return -bend / self.psi, (1 - (psi_x / self.phi) ** 2) / self.psi**2

    def riemann_max(self) -> float:
        """Sup |Rm|, |Rm|^2 = 4 n K_0^2 + 2 n (n - 1) K_1^2, in 1 / length^2."""
        k0, k1 = self.curvatures()
        return float(np.sqrt(4 * self.n * k0**2 + 2 * self.n * (self.n - 1) * k1**2).max())

    def neck(self) -> float:
        """Smallest local minimum of psi between the ends, or 0 where there is none."""
        p = self.psi
        inner = (p[1:-1] < p[:-2]) & (p[1:-1] <= p[2:])
        return float(p[1:-1][inner].min()) if inner.any() else 0.0

    def scaled(self, factor: float) -> Profile:
        """The metric g(x / factor): every length is multiplied."""
        return Profile(self.phi, factor * self.psi, factor * self.length, self.n, self.closed)


def _differences(values: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivatives of order 4, from values with two ghosts at each end."""
    a, b, c, d, e = (values[k : len(values) - 4 + k] for k in range(5))
    return (a - 8 * b + 8 * d - e) / (12 * h), (-a + 16 * b - 30 * c + 16 * d - e) / (12 * h * h)


def _rates(g: Profile, background: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Phi' and psi' in the gauge of a background; see ``_background``."""
    n, p, q = g.n, g.phi, g.psi
    p1, p2, q1, q2 = g.derivatives()
    a, a1, b, b1 = background
    bend = (q2 - q1 * p1 / p) / p**2
    w = p1 / p**3 - n * q1 / (q * p**2) - a / p**2 + n * b / q**2
    w1 = (
        p2 / p**3
        - 3 * p1**2 / p**4
        - n * (q2 / (q * p**2) - q1**2 / (q * p) ** 2 - 2 * q1 * p1 / (q * p**3))
        - a1 / p**2
        + 2 * a * p1 / p**3
        + n * (b1 / q**2 - 2 * b * q1 / q**3)
    )
    dp = n * bend / q * p + w1 * p + w * p1
    dq = bend - (n - 1) * (1 - (q1 / p) ** 2) / q + w * q1
    if not g.closed:
        dp[-1] = dq[-1] = 0.0
    return dp, dq


def _background(g: Profile) -> tuple[np.ndarray, ...]:
    """Phi_x / phi and psi psi_x / phi^2 of a metric, each with its derivative."""
    p, q = g.phi, g.psi
    p1, p2, q1, q2 = g.derivatives()
    return (
        p1 / p,
        p2 / p - (p1 / p) ** 2,
        q * q1 / p**2,
        (q1**2 + q * q2) / p**2 - 2 * q * q1 * p1 / p**3,
    )


def flow(
    start: Profile,
    shrink: Callable[[Profile], float],
    until: float,
    every: float = 0.9,
    end: float = np.inf,
) -> tuple[np.ndarray, list[Profile]]:
    """The Ricci flow from a metric, until a size has shrunk to a share of its start.

    Parameters
    ----------
    start : Profile
    shrink : callable
        The size that is watched: the neck's radius, say, or the largest psi.
    until : float
        Share of the start at which the run ends.
    every : float
        Share of the last stop at which the metric is kept and becomes the background.
    end : float
        Time at which the run ends at the latest.

    Returns
    -------
    times, metrics
        At the start and at every stop.

    Raises
    ------
    UnresolvedError
        If the integration breaks off, or the size does not shrink.
    """
    times, metrics = [0.0], [start]
    first = shrink(start)
    scale = first**2
    while shrink(metrics[-1]) > until * first and times[-1] < end:
        g = metrics[-1]
        fixed, size, points = _background(g), shrink(g), len(g.phi)

        def unpacked(y: np.ndarray, g: Profile = g) -> Profile:
            return Profile(y[0::2], y[1::2], g.length, g.n, g.closed)

        def rates(
            t: float, y: np.ndarray, fixed: tuple[np.ndarray, ...] = fixed, points: int = points
        ) -> np.ndarray:
            result = np.empty(2 * points)
            result[0::2], result[1::2] = _rates(unpacked(y), fixed)
            return result

        def stop(t: float, y: np.ndarray, size: float = size) -> float:
            return shrink(unpacked(y)) - every * size

        stop.terminal = True  # type: ignore[attr-defined]
        y = np.empty(2 * points)
        y[0::2], y[1::2] = g.phi, g.psi
        last = min(end, times[-1] + scale)
        with np.errstate(all="ignore"):  # a trial step may leave the metrics; it is refused then
            found = solve_ivp(
                rates,
                (times[-1], last),
                y,
                "LSODA",
                rtol=_TOLERANCE,
                atol=_TOLERANCE * 1e-2,
                lband=_BAND,
                uband=_BAND,
                events=stop,
            )
        if found.status < 0 or not np.all(np.isfinite(found.y[:, -1])):
            raise UnresolvedError(f"the flow of the profile broke off: {found.message}")
        if found.status == 0 and last < end:
            raise UnresolvedError(f"the size did not shrink by t = {last:g}")
        times.append(float(found.t[-1]))
        metrics.append(unpacked(found.y[:, -1].copy()))
    return np.array(times), metrics


def round_profile(n: int, radius: float, points: int) -> Profile:
    """The round sphere of dimension n + 1."""
    x = (np.arange(points) + 0.5) * np.pi / points
    return Profile(np.full(points, radius), radius * np.sin(x), np.pi, n, True)


def dumbbell(n: int, neck: float, points: int) -> Profile:
    """Two round ends joined by a neck: psi = sin x (1 - (1 - neck) sin^2 x) on [0, pi]."""
    x = (np.arange(points) + 0.5) * np.pi / points
    s = np.sin(x)
    return Profile(np.ones(points), s * (1 - (1 - neck) * s * s), np.pi, n, True)


def bubble(n: int, neck: float, points: int, length: float = 5.0) -> Profile:
    """Flat space with a bubble on a neck inside of a ball: psi_s = 1 - 1.93 b, b a smooth bump.

    phi = 1. psi = s next to the pole, rises to a bubble, falls to the neck, and is s - a from
    ``flat_from`` on, where the metric is exactly that of flat space.
    """
    fine = np.linspace(-1.0, 1.0, 4001)
    centre = neck - float((fine - _DEPTH * _fallen(fine)).min())
    s = (np.arange(points) + 0.5) * length / points
    return Profile(np.ones(points), s - _DEPTH * _fallen(s - centre), length, n, False)


_DEPTH = 1.93
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def _fallen(z: np.ndarray) -> np.ndarray:
    """The integral from -1 to z of the bump exp(1 - 1 / (1 - z^2))."""
    half = (np.clip(z, -1.0, 1.0) + 1) / 2
    inside = -1 + half[:, None] * (1 + _NODES)
    with np.errstate(under="ignore"):
        bump = np.exp(1 - 1 / np.maximum(1 - inside**2, 1e-12))
    return np.asarray(half * (bump @ _WEIGHTS))
