"""The defect N of the discrete Ricci flow, in O(n) and without cancellation."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

from ..arrays import Array
from ..errors import InvalidArgumentError
from ._common import inner, prepare


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
    for name, value in (("dk", dk), ("dj", dj)):
        if not math.isfinite(value) or value == 0:
            raise InvalidArgumentError(
                f"{name} is the difference of two shifts and must be finite and not zero, "
                f"got {value}; choose two different shifts along that axis"
            )
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
    weighted = [(1.0, following), (1.0 / dk, k2), (1.0 / dj, j1), (-1.0 / dj, j2)]
    if center is None:
        origin = k1
    else:
        origin = vectors[5]
        weighted.append((-1.0 - 1.0 / dk, k1))
    return _norm2(xp, origin, p, [(c, t - origin) for c, t in weighted])


def _norm2(xp: Any, origin: Array, p: Array, terms: list[tuple[float, Array]]) -> Array:
    """|origin p^T + p origin^T + sum c u u^T|_F^2 for terms (c, u)."""
    along = inner(xp, origin, p)
    value = 2.0 * inner(xp, origin, origin) * inner(xp, p, p) + 2.0 * along * along
    for c, u in terms:
        square = inner(xp, u, u)
        mixed = 4.0 * inner(xp, origin, u) * inner(xp, p, u)
        value = value + c * mixed + (c * c) * square * square
    for (c, u), (d, v) in combinations(terms, 2):
        product = inner(xp, u, v)
        value = value + (2.0 * c * d) * product * product
    # A sum of squares in exact arithmetic; rounding must not make it negative.
    return xp.maximum(value, xp.zeros_like(value))
