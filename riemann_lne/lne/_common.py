"""Tools of all of weight space: checked inputs, tau, inner products, hyperbolic functions."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import (
    Array,
    first_true,
    like,
    namespace,
    require_finite,
    require_real_floating,
    to_numpy,
)
from ..checks import numbers
from ..errors import InvalidArgumentError, ShapeError
from ..identity import ByValue


def prepare(*, check: bool = True, **arrays: Array) -> tuple[Any, list[Array], Any]:
    """Check weight-space arrays and bring them to one working type.

    Returns the namespace, the arrays in the working type and the type results should have.
    The working type is that of the inputs, or float32 where they are half precision: a sum over
    a layer's weights in bfloat16 stops growing after a few hundred terms. ``check=False`` leaves
    NaN and infinity in (to look for them waits for the device on a GPU).

    Raises
    ------
    NotFiniteError
        If an argument holds NaN or infinity; the message names the place.
    DTypeError
        If an argument is not a real floating-point array.
    ShapeError
        If an argument has no last axis or an empty one, the last axes differ, or the batch
        dimensions do not broadcast.
    """
    for name, a in arrays.items():
        require_real_floating(a, name, half=True)
    xp = namespace(*arrays.values())
    shapes = {name: tuple(a.shape) for name, a in arrays.items()}
    for name in arrays:
        if not shapes[name] or shapes[name][-1] == 0:
            raise ShapeError(
                f"{name} has shape {shapes[name]}; expected (..., n) with n >= 1: "
                "batch dimensions first, the n weights of a block last"
            )
    listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    if len({shape[-1] for shape in shapes.values()}) > 1:
        raise ShapeError(
            f"the last axes (the n weights of a block) differ in length: {listing}; give equal ones"
        )
    try:
        np.broadcast_shapes(*(shape[:-1] for shape in shapes.values()))
    except ValueError as error:
        raise ShapeError(
            f"the batch dimensions do not broadcast: {listing}; give equal ones, or 1"
        ) from error
    if check:
        for name, a in arrays.items():
            require_finite(a, name)
    out_dtype = xp.result_type(*arrays.values())
    dtype = out_dtype if xp.finfo(out_dtype).bits >= 32 else xp.float32
    return xp, [xp.astype(a, dtype, copy=False) for a in arrays.values()], out_dtype


class WithTau(ByValue):
    """A metric or another object that has a scale tau and nothing else; equal if the taus are."""

    def __init__(self, tau: Any) -> None:
        self.tau = validate_tau(tau)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(tau={self.tau})"


def validate_tau(tau: Any) -> Any:
    """Tau as a Python float, or the array it is, after checking that it is finite and positive."""
    return validate_scale(tau, "tau")


def validate_scale(value: Any, name: str, *, zero: bool = False) -> Any:
    """A finite number above 0 (or, with ``zero``, at least 0) for all blocks or for each.

    Returned as a Python float, or the array it is. Raises InvalidArgumentError, or DTypeError for
    an array of another type.
    """
    bound = "not negative" if zero else "greater than 0"
    if isinstance(value, (bool, np.bool_)) or value is None:
        raise InvalidArgumentError(f"{name} must be a number {bound}, got {value!r}")
    if isinstance(value, Real):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not (math.isfinite(number) and (number >= 0.0 if zero else number > 0.0)):
            raise InvalidArgumentError(f"{name} must be finite and {bound}, got {value}")
        return number
    xp = require_real_floating(value, name, half=True)
    index = first_true(~(xp.isfinite(value) & (value >= 0.0 if zero else value > 0.0)))
    if index is not None:
        raise InvalidArgumentError(
            f"{name} must be finite and {bound}, got {float(value[index])} at index {index}"
        )
    return value


def valid_times(times: Any) -> list[float]:
    """Times along a geodesic as floats; InvalidArgumentError unless finite and at least one."""
    values = numbers(times, "times")
    if not values:
        raise InvalidArgumentError(f"times must be finite and at least one, got {times!r}")
    return values


def fit_tau(tau: Any, *arrays: Array) -> tuple[Any, Any]:
    """Tau for one value a block and, with a last axis of length 1, for one value a weight.

    Raises
    ------
    ShapeError
        If an array tau does not broadcast against the batch shapes of the arrays.
    """
    if isinstance(tau, float):
        return tau, tau
    batches = [tuple(a.shape[:-1]) for a in arrays]
    try:
        np.broadcast_shapes(tuple(tau.shape), *batches)
    except ValueError as error:
        raise ShapeError(
            f"tau has shape {tuple(tau.shape)}, which does not broadcast against the batch "
            f"shape {np.broadcast_shapes(*batches)} of the weights; give one tau for each block"
        ) from error
    xp = namespace(arrays[0])
    same = namespace(tau) is xp
    block = tau if same else like(to_numpy(tau), arrays[0])
    block = xp.astype(block, arrays[0].dtype, copy=False)
    return block, xp.expand_dims(block, axis=-1)


def inner(xp: Any, a: Array, b: Array) -> Array:
    """Inner product over the last axis.

    A product followed by a sum and not ``vecdot``: sums are pairwise, while the dot products of
    BLAS lose up to four digits in float32 at ten million weights.
    """
    return xp.sum(a * b, axis=-1)


def column(xp: Any, scalar: Array) -> Array:
    """One value a block, made ready to multiply the block's weights."""
    return xp.expand_dims(scalar, axis=-1)


def spread(xp: Any, scalar: Any) -> Any:
    """As `column`, with a Python number for all blocks left as it is."""
    return scalar if isinstance(scalar, float) else column(xp, scalar)


def cosh_saturated(xp: Any, x: Array, tau: Any) -> Array:
    """The function cosh(tau x), held at its value at |tau x| = log(max)/2 for larger |tau x|.

    That is at 355 in double and at 44 in single precision. The square of the
    result and its inverse are then finite and not zero.
    """
    limit = 0.5 * math.log(float(xp.finfo(x.dtype).max))
    # one name throughout, so that no step holds more than its argument and its result
    z = x * tau
    z = xp.maximum(z, -limit)
    z = xp.minimum(z, limit)
    return xp.cosh(z)


def sech2(xp: Any, x: Array, tau: Any) -> Array:
    """sech^2(tau x) with small relative error for large |tau x|, where 1 - tanh^2 cancels."""
    c = cosh_saturated(xp, x, tau)
    c = c * c
    return 1.0 / c


def log_cosh(xp: Any, z: Array) -> Array:
    """Logarithm of cosh z with small relative error both near 0 and for huge |z|."""
    near = xp.sinh(xp.minimum(xp.maximum(z, -1.0), 1.0))
    far = xp.logaddexp(z, -z) - math.log(2.0)
    return xp.where(xp.abs(z) < 1.0, 0.5 * xp.log1p(near * near), far)
