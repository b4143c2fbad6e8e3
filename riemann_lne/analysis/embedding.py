"""A rotationally symmetric surface as a surface of revolution in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from ..arrays import namespace, to_numpy
from ..coefficients import Order
from ..errors import InvalidArgumentError
from ..identity import ByValue
from ..metrics import MetricField, of_metric
from ..stencils import gradient

# Deviations from the symmetry that differences and rounding of a flow leave are below this.
_SYMMETRY = 1e-6


@dataclass(frozen=True, eq=False)
class EmbeddingProfile(ByValue):
    """Result of ``embedding_profile``: the curve (z, r) whose rotation about the z axis is g.

    Attributes
    ----------
    x : ndarray, (k,)
        Coordinate along the profile.
    r, z : ndarray, (k,)
        Distance from the axis and place along it, length. Where ``embeddable`` is false z is kept
        constant: there is no place along the axis.
    slope : ndarray, (k,)
        dr/ds, s the length along the profile; dimensionless.
    embeddable : ndarray of bool, (k,)
        Where |dr/ds| <= 1: a circle cannot grow faster than the length along the surface.
    """

    x: np.ndarray
    r: np.ndarray
    z: np.ndarray
    slope: np.ndarray
    embeddable: np.ndarray

    def stretches(self) -> list[slice]:
        """The connected stretches that can be embedded, of at least two points each."""
        padded = np.concatenate([[False], self.embeddable, [False]]).astype(int)
        starts, stops = (np.flatnonzero(np.diff(padded) == d) for d in (1, -1))
        return [slice(a, b) for a, b in zip(starts, stops, strict=True) if b - a >= 2]


@of_metric
def embedding_profile(metric: MetricField, axis: int = 0, order: Order = 4) -> EmbeddingProfile:
    """The profile of the surface of revolution in R^3 that has the given metric.

    g = E(x) dx^2 + G(x) dtheta^2, theta periodic with the period L, is the surface with the radius
    r = L G^(1/2) / (2 pi) and (dz/dx)^2 = E - (dr/dx)^2, wherever that is not negative. On an axis
    x that is periodic the profile is one period, closed by its first point at the end.

    Parameters
    ----------
    metric : MetricField
        2-D; along the other axis periodic, and independent of it.
    axis : 0 or 1
        Which coordinate is x.
    order : int or "fourier"
        Of dr/dx.

    Raises
    ------
    InvalidArgumentError
        If the metric is not rotationally symmetric like this.

    Examples
    --------
    >>> from riemann_lne.exact import periodic_sausage      # embeddable where sinh t >= 1/2
    >>> sausage = periodic_sausage((1, 0))
    >>> [bool(embedding_profile(sausage.field(t, sausage.grid(64))).embeddable.all())
    ...  for t in (0.4, 0.6)]
    [False, True]
    """
    grid = metric.grid
    grid.require_whole("a profile")
    if metric.n != 2 or axis not in (0, 1):
        raise InvalidArgumentError(
            f"axis = {axis} of {metric!r}; give 0 or 1, for a metric in 2 dimensions"
        )
    other = 1 - axis
    if not grid.periodic[other]:
        raise InvalidArgumentError(
            f"axis {other} is bounded; the angle of a surface of revolution must be periodic"
        )
    _require_symmetry(metric, axis)
    xp, g = namespace(metric.packed), metric.packed
    radius = xp.sqrt(g[2 * other, ...]) * (grid.lengths[other] / (2 * np.pi))
    # dr/dx is a function on the grid; one line of it is the profile.
    line = (slice(None), 0) if axis == 0 else (0, slice(None))
    r = to_numpy(radius)[line].astype(float)
    dr = to_numpy(gradient(radius, grid, order)[axis, ...])[line].astype(float)
    e = to_numpy(g[2 * axis, ...])[line].astype(float)
    x = grid.axes()[axis]
    if grid.periodic[axis]:
        x = np.append(x, grid.upper[axis])
        r, dr, e = (np.append(v, v[0]) for v in (r, dr, e))
    rise = e - dr**2
    # A pole has slope 1, and rounding puts it on either side.
    good = rise >= -1e-9 * e
    z = scipy.interpolate.CubicSpline(x, np.sqrt(np.where(rise > 0, rise, 0.0))).antiderivative()(x)
    return EmbeddingProfile(x, r, z - 0.5 * (z[0] + z[-1]), dr / np.sqrt(e), good)


def _require_symmetry(metric: MetricField, axis: int) -> None:
    """Raise unless g_01 = 0 and nothing depends on the angle."""
    g = to_numpy(metric.packed)
    scale = float(np.max(np.abs(g)))
    spread = float(np.max(np.ptp(g, axis=2 - axis)))
    mixed = float(np.max(np.abs(g[1])))
    for what, size in (("g_01 is up to", mixed), ("the components change by up to", spread)):
        if size > _SYMMETRY * scale:
            raise InvalidArgumentError(
                f"the metric is not rotationally symmetric about axis {axis}: {what} {size:.3g} "
                f"{'' if what.startswith('g') else f'along axis {1 - axis} '}(components are up to "
                f"{scale:.3g}); give the axis along which it changes"
            )
