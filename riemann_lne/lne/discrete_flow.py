"""The defect N of the discrete Ricci flow, in O(n) and without cancellation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, like, namespace
from ..checks import number
from ..errors import InvalidArgumentError
from ..finite import finite_result
from ._common import fit_tau, inner, prepare, validate_tau


@finite_result
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
    check: bool = True,
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
    c = flow_weights(dk, dj)
    named = {
        "t_next_k1": t_next_k1,
        "t_k1": t_k1,
        "t_k2": t_k2,
        "t_j1": t_j1,
        "t_j2": t_j2,
    }
    if center is not None:
        named["center"] = center
    xp, vectors, _ = prepare(check=check, **named)
    vectors = _of_one_shape(xp, vectors)
    p = weighted_sum(vectors[:5], *c[2:4])
    if center is None:  # the difference of k1 to itself is zero, and left out
        origin = vectors.pop(1)
        del c[1]
    else:
        origin = vectors.pop()
    u = xp.stack([t - origin for t in vectors])
    return defect_of_products(_products(xp, origin, p, u), c)


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
    products = defect_products(x, (step_next_k1, step_k1, step_k2, step_j1, step_j2), dk, dj, tau)
    return defect_of_products(products, flow_weights(dk, dj))


@finite_result
def defect_products(
    x: Array, steps: Sequence[Array], dk: float, dj: float, tau: Any, *, check: bool = True
) -> Array:
    """The 28 sums over a block of weights from which `discrete_flow_defect_of_steps` works.

    With u_a and p as there, the inner products of t_0, p, u_0, ..., u_4, every pair once: first
    those of t_0 with all, then those of p with the rest, and so on. Whoever holds a block in pieces
    adds them up.

    Parameters
    ----------
    x, steps, dk, dj, tau
        As `discrete_flow_defect_of_steps`; the five steps in its order.

    Returns
    -------
    array, shape (28, ...)
        Dimensionless. The first is |t_0|^2.

    Raises
    ------
    InvalidArgumentError, DTypeError, ShapeError
        As `discrete_flow_defect_of_steps`.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne.discrete_flow import (
    ...     defect_of_products, defect_products, discrete_flow_defect_of_steps, flow_weights)
    >>> x = np.asarray([0.1, -0.2])
    >>> steps = [c * np.asarray([0.01, 0.02]) for c in (2.0, 1.0, -1.0, 0.5, -0.5)]
    >>> products = defect_products(x, steps, 2, 2, tau=1.0)
    >>> halves = [defect_products(x[k:k + 1], [s[k:k + 1] for s in steps], 2, 2, tau=1.0)
    ...           for k in range(2)]
    >>> print(products.shape, np.allclose(sum(halves), products))
    (28,) True
    >>> n = discrete_flow_defect_of_steps(x, *steps, 2, 2, tau=1.0)
    >>> print(np.allclose(defect_of_products(products, flow_weights(2, 2)), n))
    True
    """
    c = flow_weights(dk, dj)
    tau = validate_tau(tau)
    names = ("step_next_k1", "step_k1", "step_k2", "step_j1", "step_j2")
    xp, (x, *given), _ = prepare(check=check, x=x, **dict(zip(names, steps, strict=True)))
    weight = fit_tau(tau, x, *given)[1]
    if isinstance(weight, float):
        x, *given = _of_one_shape(xp, [x, *given])
    else:
        weight, x, *given = _of_one_shape(xp, [weight, x, *given])
    origin = xp.tanh(x * weight)
    step = xp.stack(given)
    u = difference(xp.tanh(step * weight), xp.tanh((x + step) * weight), origin)
    p = weighted_sum([u[a, ...] for a in range(5)], *c[2:4])
    return _products(xp, origin, p, u)


def flow_weights(dk: float, dj: float) -> list[float]:
    """The c of the five metrics, which add up to zero: 1, -1 - 1/dk, 1/dk, 1/dj, -1/dj.

    Raises
    ------
    InvalidArgumentError
        If dk or dj is zero or not finite.

    Examples
    --------
    >>> flow_weights(2, -4)
    [1.0, -1.5, 0.5, -0.25, 0.25]
    """
    for name, value in (("dk", dk), ("dj", dj)):
        try:
            fine = math.isfinite(1.0 / number(value, name))
        except (InvalidArgumentError, ZeroDivisionError):
            fine = False
        if not fine:
            raise InvalidArgumentError(
                f"{name} is the difference of two shifts and must be finite and not zero, "
                f"got {value}; choose two different shifts along that axis"
            )
    dk, dj = float(dk), float(dj)
    return [1.0, -1.0 - 1.0 / dk, 1.0 / dk, 1.0 / dj, -1.0 / dj]


def difference(tanh_of_step: Any, t: Any, origin: Any) -> Any:
    """The difference u of t = tanh(z + tau step) to the origin tanh(z): the addition theorem."""
    return tanh_of_step * (1.0 - t * origin)


def weighted_sum(vectors: Sequence[Any], per_k: Any, per_j: Any) -> Any:
    """The sum p of the c times the five vectors, from differences; per_k = 1/dk, per_j = 1/dj."""
    following, k1, k2, j1, j2 = vectors
    return (following - k1) - (k1 - k2) * per_k + (j1 - j2) * per_j


def _products(xp: Any, origin: Array, p: Array, u: Array) -> Array:
    """The inner products of `defect_products`, u of shape (m, ..., n).

    In few operations on all of the u: of a small layer each costs more than its arithmetic.
    """
    rows = [xp.stack([inner(xp, origin, origin), inner(xp, origin, p)]), inner(xp, u, origin)]
    rows += [xp.stack([inner(xp, p, p)]), inner(xp, u, p)]
    rows += [inner(xp, u[a:, ...], u[a, ...]) for a in range(u.shape[0])]
    return xp.concat(rows, axis=0)


def defect_of_products(products: Array, c: Sequence[float]) -> Array:
    """N = |t_0 p^T + p t_0^T + sum c u u^T|_F^2 from the sums of `defect_products`.

    Parameters
    ----------
    products : array, shape ((m + 2)(m + 3)/2, ...)
    c : sequence of m floats
        See `flow_weights`.

    Returns
    -------
    array, shape (...)
        At least 0, dimensionless.
    """
    xp, m = namespace(products), len(c)
    of_origin, of_p = products[: m + 2, ...], products[m + 2 : 2 * m + 3, ...]
    value = 2.0 * of_origin[0, ...] * of_p[0, ...] + 2.0 * of_origin[1, ...] ** 2
    value = value + 4.0 * _weighted(xp, c, of_origin[2:, ...] * of_p[1:, ...])
    pairs = [(1.0 if a == b else 2.0) * c[a] * c[b] for a in range(m) for b in range(a, m)]
    value = value + _weighted(xp, pairs, products[2 * m + 3 :, ...] ** 2)
    # A sum of squares in exact arithmetic; rounding must not make it negative.
    return xp.maximum(value, xp.zeros_like(value))


def _of_one_shape(xp: Any, arrays: list[Array]) -> list[Array]:
    if len({tuple(a.shape) for a in arrays}) > 1:
        return list(xp.broadcast_arrays(*arrays))
    return arrays


def _weighted(xp: Any, weights: Sequence[float], values: Array) -> Array:
    """The sum of weight times value over the first axis."""
    column = np.asarray(weights).reshape(-1, *(1,) * (values.ndim - 1))
    return xp.sum(like(column, values) * values, axis=0)
