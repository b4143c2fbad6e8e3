"""The convex dual of the LNE potential, and the divergence that belongs to it."""

from __future__ import annotations

from typing import Any

from ..arrays import Array, first_true
from ..errors import InvalidArgumentError
from ..finite import finite_result
from ._common import fit_tau, prepare, validate_tau

# (1 + z) log(1 + z) - z = z^2 sum_k (-z)^k/((k + 1)(k + 2)), to 1e-17 for |z| <= 1/10.
_NEAR = 0.1
_SERIES = tuple(1.0 / ((k + 1) * (k + 2)) for k in range(16))


@finite_result
def lne_dual_potential(p: Array, tau: Any, *, check: bool = True) -> Array:
    """Conjugate Phi*(p) = sum_i [(1+u_i) log(1+u_i) + (1-u_i) log(1-u_i)] / (2 tau^2), u = tau p.

    The largest value of p.x - Phi(x) over x, Phi the potential of Eq. 14, reached at
    x = atanh(tau p)/tau: p is in the dual coordinates p = tanh(tau x)/tau.

    Parameters
    ----------
    p : array, shape (..., n)
        Dual coordinates, in the unit of the weights, |tau p_i| <= 1.
    tau : float or array that broadcasts against the batch shape
        Scale, one over the unit of the weights.

    Returns
    -------
    array, shape (...)
        In the square of the weights' unit.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive, or |tau p_i| > 1 somewhere: Phi* is infinite there.
    DTypeError, ShapeError
        If p is not a real floating-point array of shape (..., n), or tau does not fit.

    References
    ----------
    Convex conjugate of Eq. 14 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import lne_dual_potential, lne_potential
    >>> x = np.asarray([0.4, -1.5])
    >>> p = np.tanh(0.7 * x) / 0.7
    >>> print(np.isclose(lne_dual_potential(p, 0.7) + lne_potential(x, 0.7), x @ p))
    True
    """
    tau = validate_tau(tau)
    xp, (p,), _ = prepare(check=check, p=p)
    block, weight = fit_tau(tau, p)
    u = p * weight
    _require_dual(xp, xp.abs(u) <= 1.0, "p", "at most")
    return xp.sum(_excess(xp, u) + _excess(xp, -u), axis=-1) / (2.0 * block * block)


@finite_result
def lne_dual_divergence(p: Array, q: Array, tau: Any, *, check: bool = True) -> Array:
    """Bregman divergence D*[p : q] of the dual potential.

    D*[p : q] = Phi*(p) - Phi*(q) - (p - q) . x(q), x(q) = atanh(tau q)/tau. It is the divergence
    of Eq. 15 with the arguments exchanged, D*[p : q] = D[x(q) : x(p)], and tau^2 D* is the
    Kullback-Leibler divergence between coins with the expectations tau p_i and tau q_i.

    Parameters
    ----------
    p, q : array, shape (..., n)
        Dual coordinates, |tau p_i| <= 1, |tau q_i| < 1, in the unit of the weights.
    tau : float or array that broadcasts against the batch shape
        Scale, one over the unit of the weights.

    Returns
    -------
    array, shape (...)
        In the square of the weights' unit; every term has a small relative error.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive, or p or q lies outside of its range.
    DTypeError, ShapeError
        If p or q is not a real floating-point array of shape (..., n), or shapes do not fit.

    References
    ----------
    Dual of Eq. 15 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import lne_divergence, lne_dual_divergence
    >>> x, y = np.asarray([0.4, -1.5]), np.asarray([0.1, 0.3])
    >>> there = lne_dual_divergence(np.tanh(x), np.tanh(y), 1.0)
    >>> print(np.isclose(there, lne_divergence(y, x, 1.0)))
    True
    """
    tau = validate_tau(tau)
    xp, (p, q), _ = prepare(check=check, p=p, q=q)
    block, weight = fit_tau(tau, p, q)
    _require_dual(xp, xp.abs(p * weight) <= 1.0, "p", "at most")
    w = q * weight
    _require_dual(xp, xp.abs(w) < 1.0, "q", "less than")
    step = (p - q) * weight
    up, down = 1.0 + w, 1.0 - w
    terms = up * _excess(xp, step / up) + down * _excess(xp, -step / down)
    return xp.sum(terms, axis=-1) / (2.0 * block * block)


def _excess(xp: Any, z: Array) -> Array:
    """The function (1 + z) log(1 + z) - z for z >= -1, with a small relative error."""
    near = xp.minimum(xp.maximum(z, -_NEAR), _NEAR)
    value = _SERIES[-2] - near * _SERIES[-1]
    for c in _SERIES[-3::-1]:
        value = c - near * value
    above = xp.maximum(1.0 + z, float(xp.finfo(z.dtype).smallest_normal))
    far = (1.0 + z) * xp.log(above) - z
    return xp.where(xp.abs(z) < _NEAR, near * near * value, far)


def _require_dual(xp: Any, inside: Array, name: str, bound: str) -> None:
    index = first_true(~inside)
    if index is not None:
        raise InvalidArgumentError(
            f"{name} lies outside of the dual domain at index {index}: |tau {name}_i| must be "
            f"{bound} 1; dual coordinates are tanh(tau x)/tau"
        )
