"""The size of a perturbation of a metric, in the norms in which stability is stated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ..analysis.norms import l2_norm, sup_norm
from ..arrays import to_numpy
from ..checks import choice, shown
from ..coefficients import Order
from ..errors import DTypeError, InvalidArgumentError, ShapeError
from ..metrics import MetricField
from ..stencils import gradient
from .asking import answer

Norm: TypeAlias = str | tuple[str, int] | Callable[[MetricField, MetricField], float]
"""A name, ("ck", k), ("sobolev", k), or a function (metric, background) -> float."""

NAMES = ("sup", "l2", "epsilon", "spectral", "ck", "sobolev")


def relative_eigenvalues(
    metric: MetricField, background: MetricField
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest eigenvalue of gbar^-1 g at every grid point, dimensionless.

    Raises
    ------
    DTypeError, ShapeError
        If one of the two is no metric, or the grids differ.

    Examples
    --------
    >>> from riemann_lne import Grid, MetricField, flat_metric
    >>> grid = Grid.torus((4, 4))
    >>> g = MetricField.from_function(grid, lambda x, y: [[2.0, 0.0], [0.0, 0.5]])
    >>> [float(v.max()) for v in relative_eigenvalues(g, flat_metric(grid))]
    [0.5, 2.0]
    """
    _require_alike(metric, background)
    one, two = (np.moveaxis(to_numpy(g.components), (0, 1), (-2, -1)) for g in (metric, background))
    root = np.linalg.inv(np.linalg.cholesky(two))
    values = np.linalg.eigvalsh(root @ one @ np.swapaxes(root, -2, -1))
    return values[..., 0], values[..., -1]


def perturbation_size(
    metric: MetricField, background: MetricField, norm: Norm = "sup", order: Order = 4
) -> float:
    """Size of h = g - gbar in a norm of the background gbar.

    "sup": largest |h|_gbar (Frobenius) over the grid. "spectral": largest absolute eigenvalue of
    gbar^-1 h. "l2": (integral of |h|^2 dVbar)^(1/2), in length^(n/2). "epsilon": the smallest
    eps with (1 + eps)^-1 gbar <= g <= (1 + eps) gbar. ("ck", k): the largest of
    sup |nabla^j h|, j <= k. ("sobolev", k): (sum over j <= k of the integral of
    |nabla^j h|^2 dVbar)^(1/2). nabla is the background's connection; all but "l2" and "sobolev" are
    dimensionless where lengths are (each derivative brings 1 / length).

    Parameters
    ----------
    metric, background : MetricField
        On the same grid.
    norm : str, tuple or callable
        One of the above, or a function (metric, background) -> float.
    order : int or "fourier"
        Of the differences, for "ck" and "sobolev".

    Raises
    ------
    UnknownNameError, InvalidArgumentError, DTypeError, ShapeError
        If there is no such norm, a function given as norm breaks off or returns no number, one of
        the two is no metric, or the grids differ.

    Examples
    --------
    >>> from riemann_lne import Grid, MetricField, flat_metric
    >>> grid = Grid.torus((16, 16))
    >>> g = MetricField.from_function(grid, lambda x, y: [[1 + 0.1 * np.sin(x), 0], [0, 1]])
    >>> round(perturbation_size(g, flat_metric(grid)), 12)
    0.1
    >>> round(perturbation_size(g, flat_metric(grid), ("ck", 1), "fourier"), 12)
    0.1
    """
    _require_alike(metric, background)
    if callable(norm):
        return _number_of(norm, metric, background)
    name, degree = _split(norm)
    if name in ("epsilon", "spectral"):
        low, high = (float(v) for v in (min_max(metric, background)))
        if name == "spectral":
            return max(high - 1.0, 1.0 - low)
        return max(high, 1.0 / low) - 1.0 if low > 0 else math.inf
    h = metric.components - background.components
    if name == "sup":
        return sup_norm(h, background)
    if name == "l2":
        return l2_norm(h, background)
    lengths = derivative_lengths(h, background, degree, order)
    if name == "ck":
        return max(float(values.max()) for values in lengths)
    density = sum(values**2 for values in lengths) * to_numpy(background.volume_element())
    return math.sqrt(float(background.grid.integrate(density)))


def _require_alike(metric: Any, background: Any) -> None:
    """Raise DTypeError or ShapeError unless both are metrics on one grid."""
    for name, value in (("metric", metric), ("background", background)):
        if not isinstance(value, MetricField):
            raise DTypeError(f"{name} = {shown(value)}; give a MetricField")
    if metric.grid != background.grid:
        raise ShapeError(f"metric on {metric.grid}, background on {background.grid}: use one grid")


def min_max(metric: MetricField, background: MetricField) -> tuple[float, float]:
    """Smallest and largest eigenvalue of gbar^-1 g over the grid."""
    low, high = relative_eigenvalues(metric, background)
    return float(low.min()), float(high.max())


def require_bound(norm: Norm, background: MetricField, size: float) -> Norm:
    """The norm, if perturbations can be given a size in it.

    Raises
    ------
    UnknownNameError, InvalidArgumentError
        If it is no norm, or a function that is above the size at the background itself.
    """
    if not callable(norm):
        _split(norm)
        return norm
    rest = _number_of(norm, background, background)
    if not 0 <= rest <= size:
        raise InvalidArgumentError(
            f"the norm {norm!r} of no perturbation is {rest:.6g}; a size of at most {size:.6g} "
            "cannot be met: give a function (metric, background) that vanishes where they are equal"
        )
    return norm


def _number_of(norm: Any, metric: MetricField, background: MetricField) -> float:
    advice = "give a function (metric, background) that returns a number for every metric"
    value = answer(norm, f"the norm {shown(norm)}", advice, metric, background)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"the norm {norm!r} returned a {type(value).__name__}; a number is needed"
        ) from error


def _split(norm: Any) -> tuple[str, int]:
    name, degree = norm if isinstance(norm, (tuple, list)) and len(norm) == 2 else (norm, 0)
    choice(name, "norm", NAMES)
    whole = isinstance(degree, (int, np.integer)) and not isinstance(degree, bool)
    if name in ("ck", "sobolev") and not (whole and 1 <= degree <= 4):
        raise InvalidArgumentError(
            f"norm = {norm!r}; give the number of derivatives, 1 to 4, as in ({name!r}, 2)"
        )
    return name, int(degree)


def derivative_lengths(
    h: Any, background: MetricField, degree: int, order: Order
) -> list[np.ndarray]:
    """|nabla^j h|_gbar at every grid point for j = 0 to ``degree``."""
    n, grid = background.n, background.grid
    gamma = to_numpy(background.christoffel(order)) if n > 1 else None
    inverse = to_numpy(background.inverse())
    tensor, result = to_numpy(h), []
    for j in range(degree + 1):
        if j:
            slope = to_numpy(gradient(np.ascontiguousarray(tensor), grid, order))
            if gamma is not None:
                slope = slope - _connection(tensor, gamma, n)
            tensor = slope
        result.append(_length(tensor, inverse, n))
    return result


def _connection(tensor: np.ndarray, gamma: np.ndarray, n: int) -> np.ndarray:
    """Sum over the slots of Gamma^p_ai T_..p.., the new index a first."""
    rank = tensor.ndim - n
    total = np.zeros((n, *tensor.shape))
    for slot in range(rank):
        moved = np.moveaxis(tensor, slot, 0)
        between = (slice(None), slice(None), *(None,) * (rank - 1))
        term = sum(gamma[p][between] * moved[p][None, None] for p in range(n))
        total += np.moveaxis(term, 1, slot + 1)
    return total


def _length(tensor: np.ndarray, inverse: np.ndarray, n: int) -> np.ndarray:
    rank = tensor.ndim - n
    upper = tensor
    for slot in range(rank):
        moved = np.moveaxis(upper, slot, 0)
        raised = np.stack(
            [
                sum(inverse[a, b][(None,) * (rank - 1)] * moved[b] for b in range(n))
                for a in range(n)
            ]
        )
        upper = np.moveaxis(raised, 0, slot)
    square = np.sum(tensor * upper, axis=tuple(range(rank)))
    return np.sqrt(np.maximum(square, 0.0))
