"""The defect N of the discrete Ricci flow, in O(n) and without cancellation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, like
from ..errors import InvalidArgumentError
from ._common import fit_tau, inner, prepare, validate_tau


def discrete_flow_defect(
    t_next_k1: Array,
    t_k1: Array,
    t_k2: Array,
    t_j1: Array,
    t_j2: Array,
    dk: float,
    dj: float,
    *,
    center: Array | None = None,
) -> Array:
    """Squared Frobenius norm of the defect of one step of the discrete Ricci flow.

    N = | g(t+1)|k1 - g|k1 - (g|k1 - g|k2)/dk + (g|j1 - g|j2)/dj |_F^2 with g|c = I - t_c t_c^T.

    Every g is the identity minus a rank-one matrix and the identities cancel, so that
    N = sum_ab c_a c_b (t_a . t_b)^2 over the five vectors, c = (1, -1 - 1/dk, 1/dk, 1/dj, -1/dj).
    The five vectors are nearly equal in use, and that sum then cancels: in float32 nothing is
    left of it. Because sum_a c_a = 0, with u_a = t_a - t_0 and p = sum_a c_a u_a the matrix is
    t_0 p^T + p t_0^T + sum_a c_a u_a u_a^T for any centre t_0, and its norm

    N = 2 |t_0|^2 |p|^2 + 2 (t_0 . p)^2 + 4 sum_a c_a (t_0 . u_a)(p . u_a)
    + sum_ab c_a c_b (u_a . u_b)^2

    has no large terms. p is summed from differences of the t_a themselves. The error of N is a
    few roundings of |t_0|^2 |p|^2 and of the |u_a|^4.

    Parameters
    ----------
    t_next_k1, t_k1, t_k2, t_j1, t_j2 : array, shape (..., n)
        t = tanh(tau w) for the weights w after the virtual updates (dimensionless).
    dk, dj : float
        Differences of the shifts, k1 - k2 and j1 - j2, not zero.
    center : array, shape (..., n), optional
        t_0; by default t_k1. N does not depend on it but for rounding: give the t of the current
        weights where the virtual steps are large.

    Returns
    -------
    array, shape (...)
        N >= 0, dimensionless; float32 for half-precision inputs.

    Raises
    ------
    InvalidArgumentError
        If dk or dj is zero or not finite.
    DTypeError, ShapeError
        If an input is not a real floating-point array of shape (..., n), or shapes do not fit.

    References
    ----------
    Eq. 32, 34 and 35 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import discrete_flow_defect
    >>> t = np.asarray([0.1, 0.2])
    >>> print(float(discrete_flow_defect(t, t, t, t, t, 2, 2)))
    0.0
    >>> print(round(float(discrete_flow_defect(2 * t, t, t, t, t, 2, 2)), 12))
    0.0225
    """
    _check_differences(dk, dj)
    named = {
        "t_next_k1": t_next_k1,
        "t_k1": t_k1,
        "t_k2": t_k2,
        "t_j1": t_j1,
        "t_j2": t_j2,
    }
    if center is not None:
        named["center"] = center
    xp, vectors, _ = prepare(**named)
    following, k1, k2, j1, j2 = vectors[:5]
    p = (following - k1) - (k1 - k2) / dk + (j1 - j2) / dj
    origin = k1 if center is None else vectors[5]
    # the difference of k1 to itself is zero, and left out
    kept = (following, None if center is None else k1, k2, j1, j2)
    return _defect(xp, origin, p, [None if t is None else t - origin for t in kept], dk, dj)


def discrete_flow_defect_of_steps(
    x: Array,
    step_next_k1: Array,
    step_k1: Array,
    step_k2: Array,
    step_j1: Array,
    step_j2: Array,
    dk: float,
    dj: float,
    tau: Any,
) -> Array:
    """`discrete_flow_defect` from weights and the steps that lead from them to the virtual ones.

    With t_a = tanh(tau (x + step_a)) and t_0 = tanh(tau x) the differences are

    u_a = t_a - t_0 = tanh(tau step_a) (1 - t_a t_0),

    in which nothing cancels: N keeps its relative precision however small the steps are, while the
    t_a themselves, once rounded, have lost theirs (in float32, at relative steps of 1e-4, all but
    four digits).

    Parameters
    ----------
    x : array, shape (..., n)
        Weights.
    step_next_k1, step_k1, step_k2, step_j1, step_j2 : array, shape (..., n)
        Virtual weights minus x, in the unit of x.
    dk, dj : float
        Differences of the shifts, not zero.
    tau : float or array that broadcasts against the batch shape
        Scale in one over the unit of the weights.

    Returns
    -------
    array, shape (...)
        N >= 0, dimensionless; float32 for half-precision inputs.

    Raises
    ------
    InvalidArgumentError
        If dk or dj is zero or not finite, or tau is not finite and positive.
    DTypeError, ShapeError
        As `discrete_flow_defect`.

    References
    ----------
    Eq. 32, 34 and 35 of arXiv 2302.03390 v3; the addition theorem of tanh.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import discrete_flow_defect, discrete_flow_defect_of_steps
    >>> x = np.asarray([0.1, -0.2])
    >>> steps = [c * np.asarray([0.01, 0.02]) for c in (2.0, 1.0, -1.0, 0.5, -0.5)]
    >>> n = discrete_flow_defect_of_steps(x, *steps, 2, 2, tau=1.0)
    >>> print(np.allclose(n, discrete_flow_defect(*(np.tanh(x + s) for s in steps), 2, 2)))
    True
    """
    _check_differences(dk, dj)
    tau = validate_tau(tau)
    xp, (x, *steps), _ = prepare(
        x=x,
        step_next_k1=step_next_k1,
        step_k1=step_k1,
        step_k2=step_k2,
        step_j1=step_j1,
        step_j2=step_j2,
    )
    weight = fit_tau(tau, x)[1]
    origin = xp.tanh(x * weight)
    step = _stacked(xp, steps)
    u = xp.tanh(step * weight) * (1.0 - xp.tanh((x + step) * weight) * origin)
    following, k1, k2, j1, j2 = (u[a, ...] for a in range(5))
    p = (following - k1) - (k1 - k2) / dk + (j1 - j2) / dj
    return _norm2(xp, origin, p, _weights(dk, dj), u)


def _check_differences(dk: float, dj: float) -> None:
    for name, value in (("dk", dk), ("dj", dj)):
        if not math.isfinite(value) or value == 0:
            raise InvalidArgumentError(
                f"{name} is the difference of two shifts and must be finite and not zero, "
                f"got {value}; choose two different shifts along that axis"
            )


def _defect(xp: Any, origin: Array, p: Array, u: list[Array | None], dk: float, dj: float) -> Array:
    """N from the centre, p and the differences u to the centre (None where zero)."""
    kept = [(c, v) for c, v in zip(_weights(dk, dj), u, strict=True) if v is not None]
    return _norm2(xp, origin, p, [c for c, _ in kept], _stacked(xp, [v for _, v in kept]))


def _weights(dk: float, dj: float) -> list[float]:
    """The c of the five vectors, which add up to zero."""
    return [1.0, -1.0 - 1.0 / dk, 1.0 / dk, 1.0 / dj, -1.0 / dj]


def _stacked(xp: Any, arrays: Sequence[Array]) -> Array:
    """The arrays along a new first axis, brought to one shape where they differ."""
    if len({tuple(a.shape) for a in arrays}) > 1:
        arrays = xp.broadcast_arrays(*arrays)
    return xp.stack(list(arrays), axis=0)


def _norm2(xp: Any, origin: Array, p: Array, c: Sequence[float], u: Array) -> Array:
    """|origin p^T + p origin^T + sum c u u^T|_F^2 for vectors u, shape (len(c), ..., n).

    In few operations on all of the u: of a small layer each costs more than its arithmetic.
    """
    along = inner(xp, origin, p)
    value = 2.0 * inner(xp, origin, origin) * inner(xp, p, p) + 2.0 * along * along
    value = value + 4.0 * _weighted(xp, c, inner(xp, u, origin) * inner(xp, u, p))
    for a in range(len(c)):
        products = inner(xp, u[a:, ...], u[a, ...])
        twice = [c[a] * c[a], *(2.0 * c[a] * d for d in c[a + 1 :])]
        value = value + _weighted(xp, twice, products * products)
    # A sum of squares in exact arithmetic; rounding must not make it negative.
    return xp.maximum(value, xp.zeros_like(value))


def _weighted(xp: Any, weights: Sequence[float], values: Array) -> Array:
    """The sum of weight times value over the first axis."""
    column = np.asarray(weights).reshape(-1, *(1,) * (values.ndim - 1))
    return xp.sum(like(column, values) * values, axis=0)
