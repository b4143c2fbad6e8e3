"""The LNE potential and its Bregman divergence, without overflow and without cancellation."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import Array
from ..finite import finite_result
from ._common import fit_tau, log_cosh, prepare, validate_tau

# Below this |tau (x - y)| the closed form would cancel and Taylor series are used; above it the
# closed form keeps all but one digit.
_NEAR = 0.125

# e^w - 1 - w = w^2 sum_k w^k/(k+2)!, |w| <= 1/4, and
# log(1+u) - u = -r u + 2 r^3 sum_k r^(2k)/(2k+3), r = u/(2+u), |r| <= 0.07: both to 1e-17.
_EXP_SERIES = tuple(1.0 / math.factorial(k + 2) for k in range(13))
_LOG_SERIES = tuple(1.0 / (2 * k + 3) for k in range(8))


@finite_result
def lne_potential(x: Array, tau: Any, *, check: bool = True) -> Array:
    """Phi(x) = sum_i log cosh(tau x_i) / tau^2, the convex potential of the LNE divergence.

    Parameters
    ----------
    x : array, shape (..., n)
        Weights.
    tau : float or array that broadcasts against the batch shape
        Scale, one over the unit of the weights.

    Returns
    -------
    array, shape (...)
        In the square of the weights' unit; float32 for half-precision weights.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive.
    DTypeError, ShapeError
        If x is not a real floating-point array of shape (..., n), or tau does not fit.

    References
    ----------
    Eq. 14 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import lne_potential
    >>> print(round(float(lne_potential(np.asarray([1.0, -1.0]), 1.0)), 12))
    0.867561660966
    >>> print(lne_potential(np.asarray([1e6]), 1.0).round())
    999999.0
    """
    tau = validate_tau(tau)
    xp, (x,), _ = prepare(check=check, x=x)
    block, weight = fit_tau(tau, x)
    return xp.sum(log_cosh(xp, x * weight), axis=-1) / block / block


@finite_result
def lne_divergence(x: Array, y: Array, tau: Any, *, check: bool = True) -> Array:
    """Bregman divergence D[x : y] of the LNE potential.

    D[x : y] = sum_i log(cosh(tau x_i)/cosh(tau y_i))/tau^2 - (x_i - y_i) tanh(tau y_i)/tau >= 0,
    zero only where x = y. To second order it is half the square of x - y in the metric
    diag(sech^2(tau y)), which is `HessianLNEMetric`.

    Parameters
    ----------
    x, y : array, shape (..., n)
        The first and the second argument (xi' and xi in the paper); D is not symmetric.
    tau : float or array that broadcasts against the batch shape
        Scale, one over the unit of the weights.

    Returns
    -------
    array, shape (...)
        In the square of the weights' unit; float32 for half-precision weights.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive.
    DTypeError, ShapeError
        If x or y is not a real floating-point array of shape (..., n), or shapes do not fit.

    Notes
    -----
    Every term has a small relative error, for x next to y and for arguments of any size. With
    the signs chosen such that b = tau y >= 0, d = tau (x - y) and p = (1 - tanh b)/2, the linear
    parts of log cosh drop out and a term is log(1 + p (e^(-2d) - 1)) + 2 p d.

    References
    ----------
    Eq. 15 (Theorem 10) of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import lne_divergence
    >>> x, y = np.asarray([0.3 + 1e-7]), np.asarray([0.3])
    >>> half_square = 0.5 * (x - y) ** 2 / np.cosh(0.3) ** 2
    >>> print(abs(lne_divergence(x, y, 1.0) / half_square[0] - 1) < 1e-6)
    True
    """
    tau = validate_tau(tau)
    xp, (x, y), _ = prepare(check=check, x=x, y=y)
    return bregman(xp, x, y, tau)


def bregman(xp: Any, x: Array, y: Array, tau: Any) -> Array:
    """The divergence of arguments that have been checked, or may be NaN in some blocks."""
    block, weight = fit_tau(tau, x, y)
    terms = _terms(xp, x * weight, y * weight, (x - y) * weight)
    return xp.sum(terms, axis=-1) / block / block


def _terms(xp: Any, a: Array, b: Array, d: Array) -> Array:
    """Terms log(cosh a/cosh b) - d tanh b; d = a - b is given apart, being known better."""
    sign = xp.where(b < 0.0, -xp.ones_like(b), xp.ones_like(b))
    a, b, d = a * sign, b * sign, d * sign
    q = xp.exp(-2.0 * b)
    p = q / (1.0 + q)
    # Each branch sees only arguments of its own range, so that neither it nor its derivative
    # can overflow where it is not the one chosen.
    near = _near(xp, p, xp.minimum(xp.maximum(d, -_NEAR), _NEAR))
    up = xp.maximum(d, _NEAR)
    down = xp.minimum(d, -_NEAR)
    above = xp.log1p(p * xp.expm1(-2.0 * up)) + 2.0 * p * up
    below = xp.logaddexp(xp.zeros_like(a), -2.0 * a) - xp.log1p(q) + 2.0 * p * down
    return xp.where(xp.abs(d) < _NEAR, near, xp.where(d > 0.0, above, below))


def _near(xp: Any, p: Array, d: Array) -> Array:
    """Terms log(1 + p (e^w - 1)) - p w for small w = -2 d, from two parts of order w^2."""
    w = -2.0 * d
    excess = w * w * _horner(_EXP_SERIES, w)
    u = p * (w + excess)
    r = u / (2.0 + u)
    return p * excess - r * u + 2.0 * r * r * r * _horner(_LOG_SERIES, r * r)


def _horner(coefficients: tuple[float, ...], z: Array) -> Array:
    """sum_k coefficients[k] z^k."""
    value = z * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        value = value * z + c
    return value
