"""Starts of flows: round spheres and dumbbells."""

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
