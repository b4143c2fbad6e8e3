"""The gate at the end of public functions: a result is finite, or an error says that it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, TypeVar, cast

import array_api_compat
import numpy as np

from .arrays import detached, dtype_name, first_true, namespace
from .errors import InvalidArgumentError, NotFiniteError

F = TypeVar("F", bound=Callable[..., Any])


def finite_result(function: F) -> F:
    """A public function whose result is checked: NotFiniteError if NaN or infinity is in it.

    Arguments have been checked by then, so that what is not finite comes from the arithmetic:
    products of large numbers that overflow, or quotients by numbers that vanished. NumPy's
    warnings about it are silenced inside, as the error takes their place. With ``check=False``
    among the keyword arguments the result is returned as it is. Python's own errors for numbers
    out of range become InvalidArgumentError.

    Examples
    --------
    >>> @finite_result
    ... def square(x):
    ...     return x * x
    >>> square(np.asarray([1.0, 1e200]))
    Traceback (most recent call last):
    riemann_lne.errors.NotFiniteError: the result of square is not finite: inf at index (1,); the \
arguments are too large or too small for float64: give them in another unit
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                result = function(*args, **kwargs)
        except (OverflowError, ZeroDivisionError, np.linalg.LinAlgError) as error:
            raise InvalidArgumentError(
                f"{function.__qualname__}: with these arguments numbers on the way leave the range "
                f"of floats ({error}); give them in another unit"
            ) from error
        if kwargs.get("check", True):
            require_finite_result(result, function.__qualname__)
        return result

    return cast(F, call)


def quiet(function: F) -> F:
    """A function whose infinite results have a meaning: without NumPy's warnings about them."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return function(*args, **kwargs)

    return cast(F, call)


def require_finite_result(result: Any, name: str) -> None:
    """Raise NotFiniteError if a number or array (or one of several) is not finite."""
    if isinstance(result, (tuple, list)):
        for part in result:
            require_finite_result(part, name)
        return
    if is_dataclass(result):
        for field in fields(result):
            require_finite_result(getattr(result, field.name), f"{name}, {field.name},")
        return
    if isinstance(result, float):
        result = np.asarray(result)
    if not array_api_compat.is_array_api_obj(result) or not dtype_name(result).startswith(
        ("float", "bfloat")
    ):
        return
    xp, result = namespace(result), detached(result)
    try:
        with np.errstate(all="ignore"):
            if bool(xp.isfinite(xp.sum(result))):
                return
        index = first_true(~xp.isfinite(result))
    except RuntimeError:
        if array_api_compat.is_torch_array(result):
            return  # inside of vmap or torch.compile there are no values to look at
        raise
    if index is not None:
        where = f" at index {index}" if index else ""
        raise NotFiniteError(
            f"the result of {name} is not finite: {float(result[index])}{where}; the arguments "
            f"are too large or too small for {dtype_name(result)}: give them in another unit"
        )
