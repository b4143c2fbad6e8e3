"""The array layer: namespace, device and dtype of the input, and the one contraction helper.

All numerical code of the core is written against the array API standard and asks here for the
namespace of its input. CuPy and torch are noticed only if the caller has already imported them
(array-api-compat looks at ``sys.modules``), so importing this library never imports either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from .errors import DTypeError, InvalidArgumentError, NotFiniteError

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

Components: TypeAlias = dict[tuple[int, ...], Array]
"""A tensor as a table from component indices to arrays over the grid.

Components that are equal by symmetry are the same object, which is the packed storage used
inside the library: nothing is held twice.
"""


def namespace(*arrays: Array) -> Any:
    """Array namespace shared by the arguments (Python scalars and None are passed over).

    Raises
    ------
    DTypeError
        If no argument is an array.
    InvalidArgumentError
        If the arrays belong to different libraries.
    """
    found = [a for a in arrays if a is not None and not isinstance(a, (int, float, complex))]
    try:
        return array_api_compat.array_namespace(*found)
    except TypeError as error:
        kinds = ", ".join(sorted({type(a).__name__ for a in found})) or "nothing"
        if any(not array_api_compat.is_array_api_obj(a) for a in found) or not found:
            raise DTypeError(
                f"expected an array (NumPy, CuPy, torch, ...), got {kinds}; "
                "convert it first, for instance with numpy.asarray(..., dtype=float)"
            ) from error
        raise InvalidArgumentError(
            f"arrays of different libraries were mixed ({kinds}); convert them to one library first"
        ) from error


def device(x: Array) -> Any:
    """Device on which the array lives."""
    return array_api_compat.device(x)


def to_numpy(x: Array) -> np.ndarray:
    """Copy of the array in host memory as a NumPy array (detached from any gradient tape)."""
    if isinstance(x, np.ndarray):
        return x
    if array_api_compat.is_torch_array(x):
        return np.asarray(x.detach().cpu())
    if array_api_compat.is_cupy_array(x):
        return np.asarray(x.get())
    return np.asarray(x)


def read_only(x: Array) -> Array:
    """The array as a view that cannot be written to; other libraries than NumPy have none."""
    if isinstance(x, np.ndarray):
        x = x.view()
        x.setflags(write=False)
    return x


def runs_on_cpu(x: Array) -> bool:
    """Whether operations on the array run on the host's processor."""
    if array_api_compat.is_torch_array(x):
        return bool(x.device.type == "cpu")
    return not array_api_compat.is_cupy_array(x)


def like(values: Any, reference: Array) -> Array:
    """Array of the reference's library, dtype and device holding the given values."""
    xp = namespace(reference)
    return xp.asarray(values, dtype=reference.dtype, device=device(reference))


def require_real_floating(x: Array, name: str) -> Any:
    """Check that an array is real floating point and return its namespace.

    Raises
    ------
    DTypeError
        If it is not an array, or holds integers, booleans or complex numbers.
    """
    xp = namespace(x)
    if not xp.isdtype(x.dtype, "real floating"):
        raise DTypeError(
            f"{name} has dtype {x.dtype}; a real floating-point type is needed: "
            f"convert it, for instance to float64, before the call"
        )
    return xp


def first_true(mask: Array) -> tuple[int, ...] | None:
    """Index of the first true entry in C order, or None if there is none."""
    xp = namespace(mask)
    if not bool(xp.any(mask)):
        return None
    host = to_numpy(mask)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(host)), host.shape))


def require_finite(x: Array, name: str) -> None:
    """Raise NotFiniteError naming the first NaN or infinity, if there is one."""
    xp = namespace(x)
    index = first_true(~xp.isfinite(x))
    if index is not None:
        value = float(x[index])
        raise NotFiniteError(
            f"{name} is not finite: {value} at index {index}; "
            "remove NaN and infinite values before the call"
        )


def total(terms: Iterable[tuple[float, Sequence[Array]]]) -> Array:
    """Sum of coefficient times product, accumulated in place; None for an empty sum.

    ``total([(2.0, (a, b)), (-1.0, (c,))])`` is 2 a b - c with as few temporaries as array code
    without fused operations allows. The inputs are never written to.
    """
    acc: Any = None
    for coefficient, factors in terms:
        value = factors[0]
        for factor in factors[1:]:
            value = value * factor
        fresh = len(factors) > 1
        if acc is None:
            # A lone factor is copied even if the coefficient is 1: the sum is written to.
            acc = value if fresh and coefficient == 1.0 else value * coefficient
        elif coefficient == 1.0:
            acc += value
        elif coefficient == -1.0:
            acc -= value
        else:
            acc += value * coefficient
    return acc


@cache
def _plan(
    spec: str, n: int, symmetric: tuple[tuple[int, ...], ...]
) -> tuple[tuple[tuple[int, ...], tuple[tuple[tuple[int, ...], ...], ...]], ...]:
    """For each independent output index, the operand indices of every term of the sum."""
    inputs, output = spec.split("->")
    operands = inputs.split(",")
    summed = sorted(set("".join(operands)) - set(output))
    plan = []
    for out in product(range(n), repeat=len(output)):
        if canonical(out, symmetric) != out:
            continue
        terms = []
        for values in product(range(n), repeat=len(summed)):
            at = dict(zip(output, out, strict=True)) | dict(zip(summed, values, strict=True))
            terms.append(tuple(tuple(at[c] for c in operand) for operand in operands))
        plan.append((out, tuple(terms)))
    return tuple(plan)


def canonical(index: tuple[int, ...], symmetric: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """The index with the entries at each group of interchangeable positions sorted."""
    result = list(index)
    for group in symmetric:
        for position, value in zip(group, sorted(index[p] for p in group), strict=True):
            result[position] = value
    return tuple(result)


@cache
def _expansion(
    n: int, rank: int, symmetric: tuple[tuple[int, ...], ...]
) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Every index with the independent one that it is equal to by symmetry."""
    return tuple((index, canonical(index, symmetric)) for index in product(range(n), repeat=rank))


def expand(
    independent: Mapping[Any, Array],
    n: int,
    rank: int,
    symmetric: tuple[tuple[int, ...], ...],
) -> Components:
    """All n**rank components from the independent ones, sharing the arrays."""
    return {index: independent[known] for index, known in _expansion(n, rank, symmetric)}


def contract(
    spec: str, *operands: Components, n: int, symmetric: tuple[tuple[int, ...], ...] = ()
) -> Components:
    """Contraction of component tables in Einstein notation, by explicit products.

    ``contract("kp,pij->kij", inverse, lowered, n=3, symmetric=((1, 2),))`` is
    sum_p inverse[k, p] * lowered[p, i, j] at every grid point.

    ``einsum`` is not in the array API standard and is slow for tiny contractions. Terms that
    are equal because their factors are the same objects (stored symmetry) are computed once and
    multiplied by their number.

    Parameters
    ----------
    spec : str
        Index letters of the operands and of the result, as for ``einsum``.
    *operands : Components
        Tables with all their components.
    n : int
        Range of every index.
    symmetric : tuple of tuples of int
        Groups of positions of the result in which it is symmetric; only one of each group of
        equal components is computed, and the array is shared.

    Returns
    -------
    Components
        The result, with all its components.
    """
    independent: Components = {}
    rank = len(spec.split("->")[1])
    for out, terms in _plan(spec, n, symmetric):
        counted: Counter[tuple[int, ...]] = Counter()
        factors: dict[tuple[int, ...], tuple[Array, ...]] = {}
        for term in terms:
            values = tuple(operand[index] for operand, index in zip(operands, term, strict=True))
            key = tuple(sorted(id(v) for v in values))
            counted[key] += 1
            factors[key] = values
        independent[out] = total((float(c), factors[key]) for key, c in counted.items())
    return expand(independent, n, rank, symmetric)
