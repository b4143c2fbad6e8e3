"""Kernels on the host: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..coefficients import Order, half_width
from ..errors import DTypeError, InvalidArgumentError, KernelUnavailableError, ShapeError
from ..flows.base import Formula
from ..grids import Grid
from ..stencils import along
from ..tensors import packed_size
from .blocks import run_on_block
from .build import load
from .emit import difference_flops, flops
from .emit_c import emit_c
from .emit_spectral import (
    LONGEST,
    emit_spectral,
    filters,
    kinds_of,
    matrices,
    rows_at_a_time,
)
from .layout import PAST_CACHES, address, addresses, bounded_part, empty, offsets, with_ghosts
from .reductions import reductions
from .thread_pool import pool, slabs
from .trace import Program, formula, trace
from .units import unit_factors, units

ORDERS = (2, 4, 6)
"""Orders of the differences that kernels come in."""

DTYPES = ("float64", "float32")
_WITHOUT_MEMORY = -2
# Values behind the derivatives of a block: the last vector of them may run over the end.
_ROOM = 64


class Kernel:
    """A fused formula on the host, for one dimension, order and precision.

    Arguments are not checked for being metrics: see the functions ``ricci``, ``ricci_deturck`` and
    ``scalar_curvature`` for that.

    Attributes
    ----------
    name, n, order, dtype
        The formula that the kernel computes, its dimension, the order of the differences, the type.
    source : str
        The C source.
    path : Path
        The shared library.
    build_seconds : float
        How long it took to build; 0 if it was in the cache.
    identity : str
        Everything that the last bit of results depends on: source, compiler, flags and processor.
    flops_per_point : int
        Additions, multiplications and divisions, differences included (those of halos are not).
    bytes_per_point : int
        The least traffic: each field read and each result written once.
    """

    def __init__(self, name: str | Formula, n: int, order: int, dtype: str) -> None:
        program, source = trace(name, n, units(order).ratio), emit_c(name, n, order, dtype)
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._set(name, order, dtype, program, source, (
            *(pointer,) * 4, number, pointer, number, number, number, pointer, pointer, number
        ))  # fmt: skip
        self.flops_per_point += difference_flops(program, half_width(order))

    def _set(
        self,
        name: str | Formula,
        order: Order,
        dtype: str,
        program: Program,
        source: str,
        arguments: tuple[type, ...],
    ) -> None:
        """Build the source, whose function ``run`` takes the arguments."""
        self.formula = formula(name)
        self.name, self.n, self.order, self.dtype = program.name, program.n, order, dtype
        self._program, self.source = program, source
        what = "Fourier derivatives" if order == "fourier" else f"order {order}"
        self._library = load(source, f"{self.name} ({self.n}-D, {what}, {dtype})")
        self._run = self._library.handle.run
        self._run.restype, self._run.argtypes = ctypes.c_int64, arguments
        self.flops_per_point = flops(program.nodes)
        self.bytes_per_point = np.dtype(dtype).itemsize * (
            program.components + len(program.outputs)
        )

    @property
    def path(self) -> Path:
        """The shared library."""
        return self._library.path

    @property
    def build_seconds(self) -> float:
        """Seconds that building took in this process."""
        return self._library.seconds

    @property
    def identity(self) -> str:
        """Text of all that changes the last bits of results."""
        return self._library.key

    def __repr__(self) -> str:
        return f"Kernel({self.name!r}, n={self.n}, order={self.order}, dtype={self.dtype!r})"

    def __call__(
        self,
        packed: np.ndarray,
        grid: Grid,
        background: np.ndarray | None = None,
        out: np.ndarray | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """Evaluate on packed components.

        Parameters
        ----------
        packed, background : (n (n + 1) / 2, *shape)
            Metric and background, of the kernel's type. Arrays that are not C-contiguous or not in
            the machine's byte order are copied first.
        out : array, optional
            Where the result goes: C-contiguous, writable, not overlapping the arguments.
        threads : int, optional
            See ``thread_count``. The result does not depend on it.

        Returns
        -------
        (n (n + 1) / 2, *shape), or (1, *shape) for a scalar.

        Raises
        ------
        ShapeError, DTypeError, GridTooSmallError, InvalidArgumentError, MemoryError
        """
        return self.evaluate(packed, grid, background, out, threads)[0]

    def evaluate(
        self,
        packed: np.ndarray,
        grid: Grid,
        background: np.ndarray | None = None,
        out: np.ndarray | None = None,
        threads: int | None = None,
    ) -> tuple[np.ndarray, bool]:
        """The result of a call, and whether the metric was positive definite at every point."""
        fields = self._fields(packed, background, grid)
        result = self._result(out, grid, fields)
        return result, self._run_slabs(fields, grid, result, threads, None, ())

    def update(
        self,
        packed: np.ndarray,
        grid: Grid,
        scale: float,
        terms: Sequence[tuple[float, np.ndarray]],
        background: np.ndarray | None = None,
        out: np.ndarray | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """``scale`` times the result of a call, plus the sum of coefficient times array.

        A stage of a Runge-Kutta method in one pass: the right-hand side is never stored.

        Parameters
        ----------
        scale : float
        terms : sequence of (coefficient, array like the result)
        out : array, optional
            As in a call. May be one of the terms.

        Raises
        ------
        ShapeError, DTypeError, GridTooSmallError, InvalidArgumentError, MemoryError
        """
        fields = self._fields(packed, background, grid)
        result = self._result(out, grid, fields)
        arrays = [self._term(array, result) for _, array in terms]
        factors = np.array([scale, *(c for c, _ in terms)], dtype=self.dtype)
        self._run_slabs(fields, grid, result, threads, factors, arrays)
        return result

    def _run_slabs(
        self,
        fields: list[np.ndarray],
        grid: Grid,
        result: np.ndarray,
        threads: int | None,
        factors: np.ndarray | None,
        terms: Sequence[np.ndarray],
    ) -> bool:
        """Fill the result, in slabs shared by threads; whether the metric was one everywhere."""
        grid.require_stencil(self.order)
        order = int(self.order)
        evaluate = partial(self._evaluate, spacing=grid.spacing, factors=factors, threads=threads)

        frames = grid.frames(fields, order)
        if frames:
            return run_on_block(evaluate, fields, frames, grid, order, result, terms)
        prepared = [np.ascontiguousarray(with_ghosts(f, grid, order)) for f in fields]
        ghosts = bounded_part(grid, order)
        return evaluate(prepared, grid.shape, ghosts, result, terms, (0, grid.shape[0]))

    def _evaluate(
        self,
        fields: Sequence[np.ndarray],
        shape: tuple[int, ...],
        ghosts: tuple[int, ...],
        result: np.ndarray,
        terms: Sequence[np.ndarray],
        rows: tuple[int, int],
        first: np.ndarray | None = None,
        *,
        spacing: tuple[float, ...],
        factors: np.ndarray | None,
        threads: int | None,
    ) -> bool:
        """Fill some rows of the first axis of the result from fields with ghost points.

        ``first``: where the rows of the fields lie, ghost points included, if elsewhere than in
        the fields themselves.
        """
        order = int(self.order)
        place = _place(shape, ghosts, spacing, order, self.dtype, self._program.tensor)
        tables = place.at_tables if first is None else addresses((first, *place.tables[1:]))
        given = addresses(fields), address(result), tables, place.at_sizes, place.stride
        scales = None if factors is None else address(factors)
        last = result.nbytes >= PAST_CACHES, addresses(terms), scales, len(terms)

        def slab(ends: tuple[int, int]) -> int:
            return self._run(*given, place.at_unit, rows[0] + ends[0], rows[0] + ends[1], *last)

        # A slab along the row axis begins with the filling of its ring.
        least = 8 * half_width(order) if self.n == 2 else 1
        return _shared_out(slab, rows[1] - rows[0], threads, least)

    def _term(self, array: Any, result: np.ndarray) -> np.ndarray:
        """A term of an update as a native array that is the result or apart from it."""
        if not isinstance(array, np.ndarray) or array.shape != result.shape:
            raise ShapeError(
                f"a term has shape {getattr(array, 'shape', None)}; the result needs {result.shape}"
            )
        if array.dtype != result.dtype:
            raise DTypeError(f"a term has dtype {array.dtype}; {self!r} takes {self.dtype}")
        term = np.ascontiguousarray(array)
        if np.may_share_memory(term, result) and address(term) != address(result):
            raise InvalidArgumentError(
                f"out of shape {result.shape} overlaps a term without being that term; give "
                "another "
                "array"
            )
        return term

    def _fields(
        self, packed: np.ndarray, background: np.ndarray | None, grid: Grid
    ) -> list[np.ndarray]:
        """The arguments as native arrays, or an error."""
        if grid.ndim != self.n:
            raise ShapeError(f"{self!r} is for grids of {self.n} axes; this one has {grid.ndim}")
        wanted = self.formula.fields
        given = [packed] if background is None else [packed, background]
        if len(given) != wanted:
            raise InvalidArgumentError(
                f"{self!r} takes {'a' if wanted == 2 else 'no'} background; that is the kernel "
                f"'ricci_deturck{'' if wanted == 2 else '_background'}'"
            )
        return [
            self._checked(f, grid, n) for f, n in zip(given, ("metric", "background"), strict=False)
        ]

    def _checked(self, field: Any, grid: Grid, name: str) -> np.ndarray:
        if not isinstance(field, np.ndarray):
            raise DTypeError(
                f"{name} is a {type(field).__name__}; kernels on the host take NumPy arrays"
            )
        expected = (packed_size(self.n), *grid.shape)
        if field.shape != expected:
            raise ShapeError(f"{name} has shape {field.shape}; packed components need {expected}")
        if field.dtype.newbyteorder("=") != self.dtype:
            raise DTypeError(f"{name} has dtype {field.dtype}; {self!r} takes {self.dtype}")
        return np.ascontiguousarray(field, dtype=self.dtype)

    def _result(self, out: np.ndarray | None, grid: Grid, fields: list[np.ndarray]) -> np.ndarray:
        shape = (len(self._program.outputs), *grid.shape)
        if out is None:
            return empty(shape, self.dtype)
        good = isinstance(out, np.ndarray) and out.shape == shape and out.dtype == self.dtype
        if not (good and out.dtype.isnative and out.flags.c_contiguous and out.flags.writeable):
            raise InvalidArgumentError(
                f"out must be a writable C-contiguous {self.dtype} array of shape {shape}"
            )
        if any(np.may_share_memory(out, f) for f in fields):
            raise InvalidArgumentError(
                "out overlaps an argument: neighbours are still to be read; give another array of "
                f"the shape {shape}"
            )
        return out


def _shared_out(
    slab: Callable[[tuple[int, int]], int], rows: int, threads: int | None, least: int
) -> bool:
    """Do all rows, in slabs shared by threads; whether the metric was one everywhere."""
    parts = slabs(rows, threads, least)
    states = [slab(parts[0])] if len(parts) == 1 else list(pool(len(parts)).map(slab, parts))
    if _WITHOUT_MEMORY in states:
        raise MemoryError(
            "no memory for the rows of a kernel (up to a few megabytes for each thread)"
        )
    return all(state < 0 for state in states)


class FourierKernel(Kernel):
    """A fused formula on the host with Fourier derivatives, on tori of up to ``LONGEST`` points.

    As ``Kernel``. Of the operations ``flops_per_point`` has those that do not depend on the grid.

    Examples
    --------
    >>> from riemann_lne import Grid, kernels, perturbed_euclidean
    >>> grid = Grid.torus((16, 16))
    >>> kernel = kernels.compile_kernel("ricci_deturck", 2, "fourier")   # doctest: +SKIP
    >>> kernel(perturbed_euclidean(grid, 0.1).packed, grid).shape        # doctest: +SKIP
    (3, 16, 16)
    """

    def __init__(self, name: str | Formula, n: int, dtype: str) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._set(name, "fourier", dtype, trace(name, n), emit_spectral(name, n, dtype), (
            *(pointer,) * 4, *(number,) * 3, *(pointer,) * 2
        ))  # fmt: skip
        self._along = self._library.handle["along"]
        self._along.restype = None
        self._along.argtypes = (pointer, *(number,) * 3, pointer, pointer)
        self._algebra = self._library.handle["algebra"]
        self._algebra.restype = number
        self._algebra.argtypes = (*(pointer,) * 3, *(number,) * 3, *(pointer,) * 2)
        self._filter = self._library.handle["filter"]
        self._filter.restype = number
        self._filter.argtypes = (*(pointer,) * 4, *(number,) * 2)

    def update(
        self,
        packed: np.ndarray,
        grid: Grid,
        scale: float,
        terms: Sequence[tuple[float, np.ndarray]],
        background: np.ndarray | None = None,
        out: np.ndarray | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """As ``Kernel.update``, in two passes."""
        rate = self(packed, grid, background, None, threads)
        result = self._result(out, grid, self._fields(packed, background, grid))
        arrays = [(c, self._term(array, result)) for c, array in terms]
        return reductions(self.n, self.dtype).combination([*arrays, (scale, rate)], result, threads)

    def without_high_modes(
        self,
        packed: np.ndarray,
        grid: Grid,
        inverse: np.ndarray,
        background: np.ndarray | None = None,
        out: np.ndarray | None = None,
        linear: np.ndarray | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """The result R of a call, its upper third of modes replaced by a linear flow's rate.

        P (R - L g) + L g with L = inverse^ab d_a d_b and P, which leaves out the modes
        |m_a| >= N_a / 3 of any axis a: the 2/3 rule (Orszag 1971).

        Parameters
        ----------
        inverse : (n, n)
            The inverse of a constant metric.
        out, linear : array like the result, optional
            Where the result and L g go; apart from one another and from the arguments.

        Returns
        -------
        (n (n + 1) / 2, *shape)

        Raises
        ------
        ShapeError, DTypeError, GridTooSmallError, InvalidArgumentError, MemoryError
        """
        fields = self._fields(packed, background, grid)
        result, values = self._result(out, grid, fields), self._result(linear, grid, fields)
        if np.shape(inverse) != (self.n, self.n):
            raise ShapeError(f"inverse has shape {np.shape(inverse)}; give {(self.n, self.n)}")
        weights = [
            0.0 if len(axes) == 1 else (1 + (axes[0] != axes[1])) * inverse[axes]
            for axes in kinds_of(self.n)
        ]
        if np.may_share_memory(result, values):
            raise InvalidArgumentError(
                f"linear of shape {values.shape} overlaps out; give an array of its own memory"
            )
        operator = np.array(weights, dtype=self.dtype), values
        self._fill(fields, grid, result, threads, operator)
        place = self._place(grid)
        if grid.whole is not grid:
            filtered = result
            for axis, table in enumerate(place.filters):
                multiply = partial(self._derivative, axis=axis + 1, table=table)
                (filtered,) = along(filtered, grid, axis, multiply, 1)
            return np.add(filtered, values, out=result)
        given = address(result), address(values), place.at_filters, place.at_sizes
        _shared_out(lambda ends: self._filter(*given, *ends), len(result), threads, 1)
        return result

    def _run_slabs(
        self,
        fields: list[np.ndarray],
        grid: Grid,
        result: np.ndarray,
        threads: int | None,
        factors: np.ndarray | None,
        terms: Sequence[np.ndarray],
    ) -> bool:
        """Fill the result, in slabs shared by threads; whether the metric was one everywhere."""
        return self._fill(fields, grid, result, threads, None)

    def _fill(
        self,
        fields: list[np.ndarray],
        grid: Grid,
        result: np.ndarray,
        threads: int | None,
        operator: tuple[np.ndarray, np.ndarray] | None,
    ) -> bool:
        """Fill the result; less a linear operator, if its weights and place are given."""
        grid.require_stencil(self.order)
        reason = why_no_fourier(grid)
        if reason is not None:
            raise InvalidArgumentError(f"{reason}; use the plain version")
        place = self._place(grid)
        linear = (None, None) if operator is None else tuple(map(address, operator))
        if grid.whole is not grid:
            return self._run_on_block(fields, grid, place.matrices, result, linear)
        given = addresses(fields), address(result), place.at_matrices, place.at_sizes

        def slab(ends: tuple[int, int]) -> int:
            return self._run(*given, *ends, place.rows, *linear)

        return _shared_out(slab, grid.shape[0], threads, place.rows)

    def _place(self, grid: Grid) -> _FourierPlace:
        whole = grid.whole
        return _fourier_place(whole.shape, whole.lengths, self.dtype, self._program.components)

    def _run_on_block(
        self,
        fields: list[np.ndarray],
        grid: Grid,
        tables: Sequence[np.ndarray],
        result: np.ndarray,
        linear: tuple[int | None, ...],
    ) -> bool:
        """Fill the result on a block: the same sums, along axes that are brought together."""
        kinds, points, per = kinds_of(self.n), math.prod(grid.shape), packed_size(self.n)
        memory = np.zeros((len(fields), per, len(kinds), points + _ROOM), self.dtype)
        for field, places in zip(fields, memory, strict=True):
            for place, kind in enumerate(kinds):
                axis, mixed = kind[-1], len(set(kind)) == 2
                start = field
                if mixed:
                    known = places[:, kinds.index(kind[:1]), :points]
                    start = np.ascontiguousarray(known).reshape(field.shape)
                table = tables[axis][0 if mixed else 2 * len(kind) - 2 :]
                derive = partial(self._derivative, axis=axis + 1, table=table)
                (found,) = along(start, grid, axis, derive, 1)
                places[:, place, :points] = np.reshape(found, (per, points))
        lengths = points, points + _ROOM, points
        given = addresses(fields), address(memory), address(result), *lengths
        return bool(self._algebra(*given, *linear) < 0)

    def _derivative(self, part: np.ndarray, axis: int, table: np.ndarray) -> list[np.ndarray]:
        """The product of a matrix with an array along one of its axes, the only result."""
        part, shape = np.ascontiguousarray(part), part.shape
        found = empty(shape, self.dtype)
        outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        self._along(address(table), outer, shape[axis], inner, address(part), address(found))
        return [found]


def why_no_fourier(grid: Grid) -> str | None:
    """Why there is no kernel with Fourier derivatives on a grid; None if there is one."""
    longest = max(grid.whole.shape)
    if longest > LONGEST:
        return (
            f"kernels with Fourier derivatives are for axes of up to {LONGEST} points, not "
            f"{longest}"
        )
    return None


class _Place:
    """The arrays by which compiled code knows a grid, with their addresses; made once a grid."""

    def __init__(
        self,
        shape: tuple[int, ...],
        ghosts: tuple[int, ...],
        spacing: tuple[float, ...],
        order: int,
        dtype: str,
        tensor: bool,
    ) -> None:
        self.tables, self.stride = offsets(shape, ghosts, half_width(order))
        self._sizes = np.array(shape, dtype=np.int64)
        self._unit = unit_factors(spacing, order, dtype, tensor)
        self.at_tables, self.at_sizes = addresses(self.tables), address(self._sizes)
        self.at_unit = address(self._unit)


class _FourierPlace:
    """The same where derivatives are products with matrices, of a grid that is no block."""

    def __init__(
        self, shape: tuple[int, ...], lengths: tuple[float, ...], dtype: str, components: int
    ) -> None:
        self.matrices = [
            matrices(s, length, dtype) for s, length in zip(shape, lengths, strict=True)
        ]
        self.filters = [filters(size, dtype) for size in shape]
        self._sizes = np.array(shape, dtype=np.int64)
        self.rows = rows_at_a_time(components, shape)
        self.at_matrices, self.at_filters = addresses(self.matrices), addresses(self.filters)
        self.at_sizes = address(self._sizes)


_place = lru_cache(maxsize=256)(_Place)
_fourier_place = lru_cache(maxsize=64)(_FourierPlace)


@lru_cache(maxsize=256)
def _kernel(name: str | Formula, n: int, order: Order, dtype: str) -> Kernel:
    if order == "fourier":
        return FourierKernel(name, n, dtype)
    return Kernel(name, n, order, dtype)


def compile_kernel(name: str | Formula, n: int, order: Order = 4, dtype: str = "float64") -> Kernel:
    """The fused kernel of a formula; built at the first call on a machine.

    Parameters
    ----------
    name : str or Formula
        One of FORMULAS, or a user's formula.
    n : int
        Dimension, 2 to 4.
    order : int or "fourier"
        2, 4 or 6, or Fourier derivatives.
    dtype : str
        "float64" or "float32".

    Raises
    ------
    UnknownNameError
        If there is no such formula.
    KernelUnavailableError
        If there is no kernel for these values, or it cannot be built; the message says why.

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> grid = Grid.torus((8, 8))
    >>> kernel = compile_kernel("ricci", 2)                              # doctest: +SKIP
    >>> kernel(flat_metric(grid).packed, grid).max()                     # doctest: +SKIP
    np.float64(0.0)
    """
    formula(name)
    reason = unsupported(n, order, dtype)
    if reason is not None:
        raise KernelUnavailableError(reason)
    order = order if order == "fourier" else int(order)
    return _kernel(name, int(n), order, np.dtype(dtype).name)


def unsupported(n: int, order: Any, dtype: Any) -> str | None:
    """Why there is no kernel for these values; None if there is one."""
    if n not in (2, 3, 4):
        return f"kernels are for grids of 2 to 4 axes, not {n}"
    if order not in (*ORDERS, "fourier"):
        return f"kernels are for differences of order 2, 4, 6 and 'fourier', not {order!r}"
    if str(dtype).rpartition(".")[2] not in DTYPES:
        return f"kernels are for float64 and float32, not {dtype}"
    return None


__all__ = ["DTYPES", "ORDERS", "Kernel", "Program", "compile_kernel", "unsupported"]
