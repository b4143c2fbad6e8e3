"""Known metrics on the sphere: round ones in any conformal coordinates, and King and Rosenau's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import checks
from ..errors import DTypeError, InvalidArgumentError
from ..exact import rosenau
from .metric import ConformalMetric
from .surfaces import Sphere


def round_sphere(
    sphere: Sphere, radius: float = 1.0, boost: Any = (0.0, 0.0, 0.0)
) -> ConformalMetric:
    r"""A round metric, pulled back by a Moebius transformation of the sphere.

    e^u = r / (cosh \|b\| + sinh \|b\| b.x / \|b\|): of constant curvature 1 / r^2, although u is
    not constant. Under Ricci flow r^2 = r_0^2 - 2 t and b stays.

    Parameters
    ----------
    sphere : Sphere
    radius : float
        r, length.
    boost : (float, float, float)
        b, dimensionless: lengths vary by the factor e^(2 \|b\|) over the sphere. Larger ones need
        more degrees, about 20 \|b\| e^\|b\| for double precision.

    Raises
    ------
    DTypeError, InvalidArgumentError
        If an argument makes no sense, or the sphere does not resolve the factor.

    Examples
    --------
    >>> K = round_sphere(Sphere(32), 2.0, boost=(0.3, -0.2, 0.4)).curvature()
    >>> bool(abs(K - 0.25).max() < 1e-10)
    True
    """
    r = checks.number(radius, "radius", above=0)
    b = _vector(boost, "boost")
    size = math.hypot(*b)
    x = _require_sphere(sphere).coordinates
    if size > 50:
        raise InvalidArgumentError(f"boost = {b}; at most 50 in size")
    along = sum(c / (size or 1.0) * v for c, v in zip(b, x, strict=True))
    return ConformalMetric(sphere, math.log(r) - np.log(math.cosh(size) + math.sinh(size) * along))


def king_rosenau(sphere: Sphere, t: float, axis: Any = (0.0, 0.0, 1.0)) -> ConformalMetric:
    r"""The solution of King and Rosenau about any axis, for t < 0: a sausage that becomes round.

    e^(2u) = 4 sinh\|t\| / (2 + sin^2 (cosh t - 1)) with the angle from the axis. Its conformal
    factor stays of this form under Ricci flow; see ``rl.exact.rosenau`` for the same metric on a
    cylinder, and ``rl.symmetric.king_rosenau`` for it on a meridian.

    Parameters
    ----------
    sphere : Sphere
    t : float
        Time, negative, length^2.
    axis : (float, float, float)
        Along which the sausage is long; of any length but 0.

    Raises
    ------
    DTypeError, InvalidArgumentError
        If an argument makes no sense, or the sphere does not resolve the factor.

    Examples
    --------
    >>> g = king_rosenau(Sphere(24), -1.0, axis=(1, 2, 2))
    >>> round(g.area() / (8 * np.pi), 9)
    1.0
    """
    _require_sphere(sphere)
    a = _vector(axis, "axis")
    size = math.hypot(*a)
    if size == 0:
        raise InvalidArgumentError(f"axis = {axis!r} has no direction; give another vector")
    x = sphere.coordinates
    along = sum(c / size * v for c, v in zip(a, x, strict=True))
    square = np.clip((1 - along) * (1 + along), 0, 1)
    factor = rosenau().sphere_factor(checks.number(t, "t"), square)
    return ConformalMetric(sphere, 0.5 * np.log(factor))


def _require_sphere(sphere: Any) -> Sphere:
    if not isinstance(sphere, Sphere):
        raise DTypeError(f"sphere = {checks.shown(sphere)}; give a riemann_lne.conformal.Sphere")
    return sphere


def _vector(value: Any, name: str) -> list[float]:
    """Three finite numbers."""
    numbers = checks.numbers(value, name)
    if len(numbers) != 3:
        raise InvalidArgumentError(f"{name} = {checks.shown(value)}; give three numbers")
    return numbers
