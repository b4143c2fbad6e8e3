"""How large tau may be, and which tau puts a block of weights at a given |t|^2.

All root finding is done for sigma = tau * max|x| and the weights divided by max|x|, so that the
size of the weights does not matter, in a form of the equation in which nothing cancels where
the largest |t_i| is close to 1, and as Newton's method in log(sigma). In that variable the
functions below are convex and increasing (a logarithm of a sum of log-convex functions), so the
iteration from the right of the root decreases to it and needs no bracket.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..arrays import Array, detached, device, first_true, require_finite, runs_on_cpu
from ..checks import number
from ..errors import InvalidArgumentError, UnknownNameError
from ._common import column, log_cosh, prepare

# Without a look at the residual (a host round trip on a GPU) this many steps are always taken.
# Hard cases (one dominating weight, targets next to 0 or 1) were seen to need at most 8.
_STEPS = 14

_CONDITIONS = ("positive-definite", "diagonally-dominant")


def max_tau(x: Array, condition: str = "positive-definite") -> Any:
    """Supremum of the tau for which g = I - t t^T, t = tanh(tau x), satisfies a condition.

    - ``"positive-definite"``: |tanh(tau x)|^2 < 1 (Eq. 16 is a metric);
    - ``"diagonally-dominant"``: 1 - t_i^2 > sum_{j != i} |t_i t_j| in every row (Def. 17), that is
      max_i |t_i| * sum_j |t_j| < 1; it implies the first.

    The condition holds for tau below the result and fails at it and above. Infinite where at
    most one weight of the block is not zero.

    Parameters
    ----------
    x : array, shape (..., n)
        Weights.
    condition : str

    Returns
    -------
    float or array of shape (...)
        In one over the unit of the weights; a Python float for 1-D x. No gradient passes.

    Raises
    ------
    UnknownNameError
        If the condition has another name.
    NotFiniteError, DTypeError, ShapeError
        If x is not a finite, real floating-point array of shape (..., n).

    Notes
    -----
    Weights more than 10^305 times (10^35 in single precision) smaller than the block's largest
    one count as zero.

    References
    ----------
    Eq. 16, Def. 17 and 18 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import max_tau
    >>> print(round(max_tau(np.full(1000, 0.05)), 4))
    0.6327
    >>> max_tau(np.asarray([3.0, 0.0]))
    inf
    """
    if condition not in _CONDITIONS:
        raise UnknownNameError("condition", condition, _CONDITIONS)
    xp, (x,), _ = prepare(x=detached(x))
    require_finite(x, "x")
    tiny = 1e3 * float(xp.finfo(x.dtype).smallest_normal)
    largest, y, rest = _scaled(xp, x, tiny)
    second = xp.max(rest, axis=-1)
    single = second < tiny
    second = xp.where(single, xp.ones_like(second), second)
    # Everything but the largest weight, divided by the second largest: squares cannot underflow.
    ratio = rest / column(xp, second)
    # Blocks without a finite answer are given a harmless equation, with a root, meanwhile.
    spare = 0.25 * xp.astype(single, x.dtype)

    def positive_definite(sigma: Array) -> tuple[Array, Array]:
        # sech^2(sigma) = sum over the rest of tanh^2, as logarithms
        t = xp.tanh(rest * column(xp, sigma))
        h = t / column(xp, second)
        value = xp.sum(h * h, axis=-1) + spare
        slope = 2.0 * sigma * xp.sum(h * ratio * (1.0 - t * t), axis=-1)
        f = xp.log(value) + 2.0 * xp.log(second) + 2.0 * log_cosh(xp, sigma)
        return f, slope / value + 2.0 * sigma * xp.tanh(sigma)

    def diagonally_dominant(sigma: Array) -> tuple[Array, Array]:
        # sech^2(sigma) = tanh(sigma) * sum over the rest of tanh, as logarithms
        t = xp.tanh(rest * column(xp, sigma))
        value = xp.sum(t / column(xp, second), axis=-1) + spare
        slope = sigma * xp.sum(ratio * (1.0 - t * t), axis=-1)
        half_sinh = 2.0 * sigma + xp.log(-0.25 * xp.expm1(-4.0 * sigma))
        f = xp.log(value) + xp.log(second) + half_sinh
        return f, slope / value + 2.0 * sigma / xp.tanh(2.0 * sigma)

    ceiling = math.log(4.0) - xp.log(xp.tanh(second))
    ceiling = xp.where(ceiling > 1.0, ceiling, xp.ones_like(ceiling))
    if condition == "positive-definite":
        start = _right_of_root(xp, ceiling, 1.0 / xp.sqrt(xp.sum(y * y, axis=-1) + spare))
        sigma = _newton(xp, positive_definite, start)
    else:
        start = _right_of_root(xp, ceiling, 1.0 / xp.sqrt(xp.sum(y, axis=-1) + spare))
        sigma = _newton(xp, diagonally_dominant, start)
    tau = xp.where(single, xp.full_like(sigma, math.inf), sigma / largest)
    return float(tau) if x.ndim == 1 else tau


def auto_tau(x: Array, target: float, *, check: bool = True) -> Any:
    """The tau with |tanh(tau x)|^2 = target, to the precision of the input's type.

    Parameters
    ----------
    x : array, shape (..., n)
        Weights, not all zero in any block.
    target : float
        Wanted |t|^2, 0 < target < 1 (dimensionless); det g is then 1 - target.
    check : bool
        Look for infinite values and for blocks of zeros (waits for the device on a GPU). With
        False a block of zeros gets tau = 1: g is the identity there for every tau.

    Returns
    -------
    float or array of shape (...)
        In one over the unit of the weights; a Python float for 1-D x. No gradient passes.

    Raises
    ------
    InvalidArgumentError
        If target is not between 0 and 1, or a block holds zeros only (named by batch index).
    NotFiniteError, DTypeError, ShapeError
        If x is not a finite, real floating-point array of shape (..., n).

    References
    ----------
    Eq. 16 of arXiv 2302.03390 v3 needs |t|^2 < 1; the paper gives no value of tau.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import LNEMetric, auto_tau
    >>> x = np.linspace(-1, 1, 101)
    >>> print(round(float(LNEMetric(auto_tau(x, 0.5)).norm2(x)), 12))
    0.5
    """
    target = _valid_target(target)
    xp, (x,), _ = prepare(x=detached(x))
    tiny = 1e3 * float(xp.finfo(x.dtype).smallest_normal)
    largest, y, rest = _scaled(xp, x, tiny)
    if check:
        require_finite(x, "x")
        index = first_true(xp.max(xp.abs(x), axis=-1) < tiny)
        if index is not None:
            raise InvalidArgumentError(
                f"the block at batch index {index} holds only zeros, so |tanh(tau x)|^2 is 0 for "
                f"every tau and cannot be {target}; leave the block out or choose its tau by hand"
            )
    empty = xp.max(y, axis=-1) == 0.0
    spare = xp.astype(empty, x.dtype)
    norm = xp.sqrt(xp.sum(y * y, axis=-1) + spare)

    def small(sigma: Array) -> tuple[Array, Array]:
        # log(|t|^2/target) = 0, with sigma divided out of t so that a small target is no trouble
        t = xp.tanh(y * column(xp, sigma))
        h = t / column(xp, sigma)
        value = xp.sum(h * h, axis=-1) + spare
        slope = 2.0 * (xp.sum(h * y * (1.0 - t * t), axis=-1) + spare)
        return xp.log(value * (sigma / math.sqrt(target)) ** 2), slope / value

    def large(sigma: Array) -> tuple[Array, Array]:
        # sech^2(sigma) = (1 - target) + sum over the rest of tanh^2, as logarithms
        z = rest * column(xp, sigma)
        t = xp.tanh(z)
        value = xp.sum(t * t, axis=-1) + (1.0 - target)
        slope = 2.0 * xp.sum(t * (1.0 - t * t) * z, axis=-1)
        f = xp.log(value) + 2.0 * log_cosh(xp, sigma)
        return f, slope / value + 2.0 * sigma * xp.tanh(sigma)

    if target <= 0.5:
        # Here the slope in log(sigma) stays between 1.25 and 2, so Newton's method contracts.
        sigma = _newton(xp, small, math.sqrt(target) / norm)
    else:
        top = math.log((1.0 + math.sqrt(target)) / math.sqrt(1.0 - target))
        start = _right_of_root(xp, xp.full_like(norm, top), math.sqrt(target) / norm)
        sigma = _newton(xp, large, start)
    tau = xp.where(empty, xp.ones_like(sigma), sigma / largest)
    return float(tau) if x.ndim == 1 else tau


def _valid_target(target: Any) -> float:
    value = number(target, "target")
    if not 0.0 < value < 1.0:
        raise InvalidArgumentError(
            f"target is the wanted |t|^2 and must lie strictly between 0 and 1, got {target}"
        )
    return value


def _scaled(xp: Any, x: Array, tiny: float) -> tuple[Array, Array, Array]:
    """Largest |x| of each block (1 for zeros), |x| divided by it, the same without its largest."""
    size = xp.abs(x)
    largest = xp.max(size, axis=-1)
    zero = largest < tiny
    largest = xp.where(zero, xp.ones_like(largest), largest)
    y = size / column(xp, largest)
    y = xp.where(column(xp, zero), xp.zeros_like(y), y)
    position = xp.arange(x.shape[-1], device=device(x))
    top = xp.argmax(y, axis=-1, keepdims=True)
    return largest, y, xp.where(position == top, xp.zeros_like(y), y)


def _right_of_root(xp: Any, ceiling: Array, left: Array) -> Array:
    """A start above the root, from a lower bound that tanh z <= z gave.

    Below the ceiling tanh z >= z tanh(ceiling)/ceiling, which turns it into an upper bound.
    """
    start = left * ceiling / xp.tanh(ceiling)
    return xp.where(start < ceiling, start, ceiling)


def _newton(xp: Any, residual: Callable[[Array], tuple[Array, Array]], sigma: Array) -> Array:
    """Newton's method in log(sigma); residual gives the value and d/dlog(sigma)."""
    watch = runs_on_cpu(sigma)
    tolerance = 0.25 * math.sqrt(float(xp.finfo(sigma.dtype).eps))
    for _ in range(_STEPS):
        f, slope = residual(sigma)
        step = f / slope
        sigma = sigma * xp.exp(-step)
        # Convergence is quadratic: a step this small leaves an error below rounding.
        if watch and bool(xp.all(xp.abs(step) < tolerance)):
            break
    return sigma
