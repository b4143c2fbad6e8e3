"""Norms of symmetric tensors with the measure of a metric."""

from __future__ import annotations

from ..arrays import Array, namespace, require_finite, require_real_floating
from ..errors import DTypeError, ShapeError
from ..finite import finite_result
from ..metrics import MetricField
from ..tensors import (
    inverse_and_determinant,
    l2_norm_of_packed,
    packed_size,
    packed_symmetric,
    squared_norm,
    table,
)


def _packed(h: Array, metric: MetricField) -> Array:
    """A symmetric tensor in packed form, from either form."""
    if not isinstance(metric, MetricField):
        raise DTypeError(f"metric is a {type(metric).__name__}; give a MetricField")
    metric.require_riemannian("a norm of tensors")
    require_real_floating(h, "tensor")
    namespace(h, metric.packed)
    n, shape = metric.n, tuple(h.shape)
    if shape == (packed_size(n), *metric.grid.shape):
        require_finite(h, "tensor")
        return h
    if shape == (n, n, *metric.grid.shape):
        return packed_symmetric(h, metric.grid, "tensor")
    raise ShapeError(f"tensor of shape {shape} does not fit {metric!r}; give (n, n, *shape)")


@finite_result
def pointwise_norm(h: Array, metric: MetricField) -> Array:
    """|h|_g = (g^ik g^jl h_ij h_kl)^(1/2) at every grid point.

    ``h`` is (n, n, *shape), symmetric, or packed; the result has the grid's shape and the unit of
    h (dimensionless for a difference of metrics).
    """
    packed, n = _packed(h, metric), metric.n
    inverse, _ = inverse_and_determinant(table(metric.packed, n), n)
    xp = namespace(packed)
    square = squared_norm(table(packed, n), inverse, n)
    return xp.sqrt(xp.where(square > 0, square, xp.zeros_like(square)))


@finite_result
def sup_norm(h: Array, metric: MetricField) -> float:
    """Largest |h|_g over the grid."""
    norm = pointwise_norm(h, metric)
    return metric.grid.team.largest(float(namespace(norm).max(norm)))


@finite_result
def l2_norm(h: Array, metric: MetricField, order: int = 4) -> float:
    """(integral of |h|^2_g sqrt(det g) dx)^(1/2), in the unit of h times length^(n/2).

    The quadrature is that of ``Grid.integrate``: spectrally accurate on a torus, of the given
    order on bounded axes.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne import Grid, flat_metric
    >>> g = flat_metric(Grid.torus((8, 8), lengths=1.0))
    >>> round(l2_norm(0.1 * g.components, g), 12)
    0.141421356237
    """
    return l2_norm_of_packed(_packed(h, metric), metric.packed, metric.grid, order)
