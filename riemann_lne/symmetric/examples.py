"""Starts of flows: round spheres, dumbbells, corseted and random spheres, those of papers."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError
from .metric import RotationalMetric


def round_sphere(points: int, radius: float = 1.0, n: int = 2, order: int = 4) -> RotationalMetric:
    """The round sphere of dimension n + 1: phi = r, psi = r sin x.

    Raises
    ------
    InvalidArgumentError, GridTooSmallError
        If the radius is not positive, or the points are too few.

    Examples
    --------
    >>> float(round(round_sphere(20, 2.0, n=3).volume() * 3 / (8 * np.pi**2), 3))
    16.0
    """
    r = checks.number(radius, "radius", above=0)
    return RotationalMetric.from_function(
        points, lambda x: r + 0 * x, lambda x: r * np.sin(x), n, order=order
    )


def corseted_sphere(
    points: int, corset: float = 0.16, n: int = 2, order: int = 4
) -> RotationalMetric:
    """Two hemispheres of radius 1/2 joined by a waist of radius corset^(1/2), in arclength x.

    psi^2 = sin^2(2x) / 4 for |x - pi/2| >= pi/4, and sin^2(2x) / 4 + corset cos^2(2x) between;
    phi = 1. In the manner of the corseted spheres of Garfinkle and Isenberg (2003): for n = 2 a
    tight corset pinches, a loose one relaxes to a round sphere, and at one value between them, the
    critical one, both ends and the neck vanish together. The formula is ours, so that this value
    need not be theirs. psi has one continuous derivative; the flow is smooth at once.

    Parameters
    ----------
    points : int
    corset : float
        Squared radius of the waist, between 0 and 1/4 (at 1/4 a cylinder joins the hemispheres).
    n, order
        As for ``RotationalMetric``.

    Raises
    ------
    InvalidArgumentError
        If the corset is not between 0 and 1/4.
    GridTooSmallError
        If the points are too few.

    Notes
    -----
    D. Garfinkle and J. Isenberg, arXiv math/0306129.

    Examples
    --------
    >>> round(corseted_sphere(101, 0.16).neck_radius(), 4)
    0.4
    """
    value = checks.number(corset, "corset", above=0)
    if value > 0.25:
        raise InvalidArgumentError(f"corset = {corset}; give 0 < corset <= 1/4")

    def psi(x: np.ndarray) -> np.ndarray:
        waist = np.where(np.abs(x - np.pi / 2) < np.pi / 4, value, 0.0)
        return np.sqrt(np.sin(2 * x) ** 2 / 4 + waist * np.cos(2 * x) ** 2)

    return RotationalMetric.from_function(points, lambda x: 1.0 + 0 * x, psi, n, order=order)


def odd_sines(
    points: int, c3: float = 0.0, c5: float = 0.0, n: int = 1, order: int = 4
) -> RotationalMetric:
    """Rubinstein and Sinclair's surfaces of revolution: phi = 1 and

    psi = (sin x + c3 sin 3x + c5 sin 5x) / (1 + 3 c3 + 5 c5).

    The shapes from which their program Ricci_rot starts; symmetric about the equator.

    Parameters
    ----------
    points : int
    c3, c5 : float
        Coefficients, dimensionless; c3 > 0 makes a waist.
    n, order
        As for ``RotationalMetric``.

    Raises
    ------
    InvalidArgumentError
        If psi is not positive between the poles.
    GridTooSmallError
        If the points are too few.

    Notes
    -----
    J. H. Rubinstein and R. Sinclair, Experimental Mathematics 14 (2005) 257. The formula was read
    from the source text of the program.

    Examples
    --------
    >>> len(odd_sines(60, c3=0.8, c5=0.2).necks())
    1
    """
    a, b = checks.number(c3, "c3"), checks.number(c5, "c5")
    if not 1 + 3 * a + 5 * b > 0:
        raise InvalidArgumentError(f"1 + 3 c3 + 5 c5 = {1 + 3 * a + 5 * b}; it must be positive")

    def psi(x: np.ndarray) -> np.ndarray:
        return (np.sin(x) + a * np.sin(3 * x) + b * np.sin(5 * x)) / (1 + 3 * a + 5 * b)

    return RotationalMetric.from_function(points, lambda x: 1.0 + 0 * x, psi, n, order=order)


def random_sphere(
    points: int, amplitude: float = 0.2, seed: int = 0, n: int = 2, order: int = 4
) -> RotationalMetric:
    """A random sphere: phi = 1, psi = sin x exp(amplitude sin^2 x (a_0 + ... + a_4 cos 4x)).

    The numbers a_k are normal with variances 1 / (1 + k)^4.

    Parameters
    ----------
    points : int
    amplitude : float
        Between 0, the round sphere, and 10. At 0.2 and n = 2 most of them have positive Ricci
        curvature; see ``RotationalMetric.ricci``.
    seed : int
    n, order
        As for ``RotationalMetric``.

    Raises
    ------
    InvalidArgumentError, GridTooSmallError
        If an argument makes no sense, or the points are too few.

    Examples
    --------
    >>> random_sphere(40, seed=3) == random_sphere(40, seed=3)
    True
    """
    size = checks.number(amplitude, "amplitude", least=0)
    if size > 10:
        raise InvalidArgumentError(f"amplitude = {amplitude}; give at most 10")
    chance = np.random.default_rng(checks.count(seed, "seed"))
    a = chance.normal(size=5) / (1 + np.arange(5)) ** 2

    def psi(x: np.ndarray) -> np.ndarray:
        waves = sum(a[k] * np.cos(k * x) for k in range(5))
        return np.asarray(np.sin(x) * np.exp(size * np.sin(x) ** 2 * waves))

    return RotationalMetric.from_function(points, lambda x: 1.0 + 0 * x, psi, n, order=order)


def dumbbell(
    points: int, neck: float = 0.15, tilt: float = 0.0, n: int = 2, order: int = 4
) -> RotationalMetric:
    """Two bumps joined by a neck: phi = 1, psi = sin x (e + (1 - e) cos^2 x) (1 + a cos x sin^2 x).

    Parameters
    ----------
    points : int
    neck : float
        e, the radius of the neck at x = pi / 2, below 1; the neck pinches if it is thin: at 0.15
        it does for n = 2 and 3.
    tilt : float
        a, by how much the bumps differ, |a| <= 1.
    n, order
        As for ``RotationalMetric``.

    Raises
    ------
    InvalidArgumentError
        If the neck is not between 0 and 1, or the tilt not between -1 and 1.
    GridTooSmallError
        If the points are too few.

    Examples
    --------
    >>> round(dumbbell(101, 0.15).neck_radius(), 6)
    0.15
    """
    e = checks.number(neck, "neck", above=0)
    a = checks.number(tilt, "tilt", least=-1)
    if e >= 1 or a > 1:
        raise InvalidArgumentError(f"neck = {neck}, tilt = {tilt}; give 0 < neck < 1, |tilt| <= 1")

    def psi(x: np.ndarray) -> np.ndarray:
        c, s = np.cos(x), np.sin(x)
        return np.asarray(s * (e + (1 - e) * c * c) * (1 + a * c * s * s))

    return RotationalMetric.from_function(points, lambda x: 1.0 + 0 * x, psi, n, order=order)
