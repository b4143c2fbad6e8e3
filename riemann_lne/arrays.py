"""The array layer: namespace, device and dtype of the input, and the one contraction helper.

All numerical code of the core is written against the array API standard and asks here for the
namespace of its input. CuPy and torch are noticed only if the caller has already imported them
(array-api-compat looks at ``sys.modules``), so importing this library never imports either.
"""

from __future__ import annotations

import sys
import warnings
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


_PLAIN = ("float32", "float64")
_HALF = ("float16", "bfloat16")
# Libraries whose arrays pass for arrays here, but cannot do what the core does with them.
_UNSUPPORTED = {
    "dask": "dask arrays have no values yet that could be checked",
    "sparse": "sparse arrays cannot be written to in place, which the differences need",
}


@cache
def _objection(kind: Any) -> str | None:
    """The reason why arrays of a class are refused, with the advice; None if there is none."""
    if issubclass(kind, np.ma.MaskedArray):
        return (
            "masked arrays are not supported, as the mask would be lost: leave the masked points "
            "out, or give them values with filled(...)"
        )
    plain = kind in (np.ndarray, np.memmap) or getattr(kind, "only_numbers", False)
    if issubclass(kind, np.ndarray) and not plain:
        return (
            f"{kind.__module__}.{kind.__name__} is a subclass of numpy.ndarray, which may carry a "
            "shape, unit or labels that would be lost: give numpy.asarray(array)"
        )
    library = kind.__module__.partition(".")[0]
    if library in ("jax", "jaxlib") and any("Tracer" in c.__name__ for c in kind.__mro__):
        return (
            "inside of jax.jit, jax.grad and jax.vmap arrays have no values that could be checked: "
            "call this function outside of them, on arrays"
        )
    if library in _UNSUPPORTED:
        return f"{_UNSUPPORTED[library]}: give numpy.asarray(array)"
    return None


def require_supported(*arrays: Any) -> None:
    """The gate for classes of arrays: DTypeError for those that would be misread.

    Masked arrays, ``numpy.matrix`` and other subclasses of ``numpy.ndarray``, dask and sparse
    arrays, and JAX's tracers. ``namespace`` calls it, so that whatever asks for a namespace passes
    here. A subclass that carries nothing but its numbers says so by an attribute ``only_numbers =
    True``.
    """
    for a in arrays:
        kind: Any = type(a)
        objection = _objection(kind)
        if objection is not None:
            raise DTypeError(objection)


def namespace(*arrays: Array) -> Any:
    """Array namespace shared by the arguments (Python scalars and None are passed over).

    Raises
    ------
    DTypeError
        If no argument is an array, or one is of a class that is not supported (see
        ``require_supported``).
    InvalidArgumentError
        If the arrays belong to different libraries.
    """
    found = [a for a in arrays if a is not None and not isinstance(a, (int, float, complex))]
    require_supported(*found)
    try:
        return array_api_compat.array_namespace(*found)
    except TypeError as error:
        kinds = ", ".join(sorted({type(a).__name__ for a in found or arrays})) or "nothing"
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
        return np.asarray(x.detach().cpu().resolve_conj().resolve_neg())
    if array_api_compat.is_cupy_array(x):
        return np.asarray(x.get())
    return np.asarray(x)


def read_only(x: Array) -> Array:
    """The array as a view that cannot be written to; other libraries than NumPy have none."""
    if isinstance(x, np.ndarray):
        x = x.view()
        x.setflags(write=False)
    return x


def guarded(x: Array) -> Array:
    """An array for functions of the user: read-only, or a copy where it could be written to."""
    if isinstance(x, np.ndarray):
        return read_only(x)
    return namespace(x).asarray(x, copy=True) if writes(x) else x


@cache
def _kind_writes(kind: Any) -> bool:
    """Whether arrays of a class take values by index; JAX's have the method, which refuses."""
    library = kind.__module__.partition(".")[0]
    return hasattr(kind, "__setitem__") and library not in ("jax", "jaxlib")


def writes(x: Array) -> bool:
    """Whether the library's arrays can be written to, as all can but those of JAX and its like."""
    kind: Any = type(x)
    return isinstance(x, np.ndarray) or _kind_writes(kind)


def put(x: Array, where: Any, values: Any) -> Array:
    """The array with values at an index: written there, or a new array where it cannot be."""
    if writes(x):
        x[where] = values
        return x
    return x.at[where].set(values)


def runs_on_cpu(x: Array) -> bool:
    """Whether operations on the array run on the host's processor."""
    if array_api_compat.is_torch_array(x):
        return bool(x.device.type == "cpu")
    return not array_api_compat.is_cupy_array(x)


def like(values: Any, reference: Array) -> Array:
    """Array of the reference's library, dtype and device holding the given values."""
    xp = namespace(reference)
    return xp.asarray(values, dtype=reference.dtype, device=device(reference))


def dtype_name(x: Array) -> str:
    """Name of an array's element type without that of its library, for instance float64."""
    return str(getattr(x.dtype, "name", x.dtype)).rpartition(".")[2]


def require_real_floating(x: Array, name: str, *, half: bool = False) -> Any:
    """Check that an array holds float32 or float64 numbers and return its namespace.

    The gate for element types. Half precision passes with ``half=True`` alone, for functions that
    compute in float32 inside: differences of numbers with three digits are rounding.

    Raises
    ------
    DTypeError
        If it is not an array of a supported class, holds another type (half precision, long
        double, integers, truth values, complex numbers, objects, text), or is a torch tensor
        without plain storage (sparse, quantised, nested, on the device "meta").

    Examples
    --------
    >>> require_real_floating(np.ones(3, dtype=np.float16), "g")
    Traceback (most recent call last):
    riemann_lne.errors.DTypeError: g has dtype float16; a real floating-point type is \
needed, float32 or float64: convert it, for instance to float64, before the call
    """
    if isinstance(x, (int, float, complex)):
        raise DTypeError(f"{name} is {x!r}: expected an array, got a number")
    xp = namespace(x)
    kind = dtype_name(x)
    if kind not in _PLAIN and not (half and kind in _HALF):
        raise DTypeError(
            f"{name} has dtype {x.dtype}; a real floating-point type is needed, float32 or "
            "float64: convert it, for instance to float64, before the call"
        )
    storage = _storage(x)
    if storage is not None:
        raise DTypeError(
            f"{name} is a {storage} torch tensor; a dense one with values is needed: "
            "convert it before the call, for instance with to_dense() or dequantize()"
        )
    return xp


def _storage(x: Array) -> str | None:
    """The word for how a torch tensor is stored, if not as plain numbers; None otherwise."""
    if isinstance(x, np.ndarray) or not array_api_compat.is_torch_array(x):
        return None
    if x.is_quantized:
        return "quantised"
    if x.is_nested:
        return "nested"
    if x.is_meta:
        return "meta"
    layout = str(x.layout)
    return None if layout == "torch.strided" else layout.removeprefix("torch.")


def wants_gradient(x: Any) -> bool:
    """Whether a gradient tape records what is done to the array: torch's, unless switched off."""
    if isinstance(x, np.ndarray) or not array_api_compat.is_torch_array(x):
        return False
    return bool(x.requires_grad) and bool(sys.modules["torch"].is_grad_enabled())


def detached(x: Array) -> Array:
    """The array without its gradient tape, where its library has one."""
    return x.detach() if hasattr(x, "detach") else x


def first_true(mask: Array) -> tuple[int, ...] | None:
    """Index of the first true entry in C order, or None if there is none."""
    xp = namespace(mask)
    if not bool(xp.any(mask)):
        return None
    host = to_numpy(mask)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(host)), host.shape))


def require_finite(x: Array, name: str) -> None:
    """Raise NotFiniteError naming the first NaN or infinity, if there is one.

    An integer or boolean array is finite. Inside of a transformation of torch (``vmap``,
    ``torch.compile``) there are no values to look at, and nothing is checked.
    """
    xp = namespace(x)
    x = detached(x)
    try:
        # NaN and infinity survive a sum, which needs no memory. It may also overflow.
        with np.errstate(all="ignore"):
            if bool(xp.isfinite(xp.sum(x))):
                return
    except RuntimeError:
        if array_api_compat.is_torch_array(x):
            return
        raise
    index = first_true(~xp.isfinite(x))
    if index is not None:
        value = float(x[index])
        where = f"at index {index}" if index else "(a single number)"
        raise NotFiniteError(
            f"{name} is not finite: {value} {where}; remove NaN and infinite values before the call"
        )


def host_numbers(values: Any, name: str, *, integers: bool = True) -> np.ndarray:
    """Real numbers from a sequence or an array of any library, as float64 in host memory.

    For data that are few and not differentiated: times, norms. Half precision and integers are
    converted (integers only if allowed); NaN and infinity pass, for the caller to judge.

    Raises
    ------
    DTypeError
        For masked arrays (also inside of a list) and other classes that are not supported, and
        for entries that are no real numbers: complex ones, truth values, objects, text.

    Examples
    --------
    >>> host_numbers([1, 2.5], "t")
    array([1. , 2.5])
    """
    _require_supported_inside(values)
    if array_api_compat.is_array_api_obj(values):
        storage = _storage(values)
        if storage is not None:
            raise DTypeError(f"{name} is a {storage} torch tensor; a dense one is needed")
        if dtype_name(values) in _HALF:
            values = namespace(values).astype(values, namespace(values).float32)
        values = to_numpy(values)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = np.asarray(values)
    except Exception as error:  # of whatever the entries are: ragged rows, foreign objects
        raise DTypeError(f"{name} must be an array of numbers: {error}") from error
    if result.size == 0:
        return result.astype(float, copy=False) if result.dtype.kind in "iuf" else np.empty(0)
    if result.dtype.kind not in ("iuf" if integers else "f"):
        raise DTypeError(f"{name} holds entries of type {result.dtype}; real numbers are needed")
    with np.errstate(over="ignore"):  # a long double that becomes infinite is not finite
        return np.asarray(result, dtype=np.float64)


def _require_supported_inside(values: Any) -> None:
    """``require_supported`` for a value and, where it is a list or tuple, its entries."""
    if isinstance(values, (list, tuple)):
        for entry in values:
            _require_supported_inside(entry)
    else:
        require_supported(values)


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
