"""Kernels on the GPU: CuPy arrays in, CuPy arrays out; nothing waits for the host.

CuPy is looked for among what the caller has imported; this module never imports it itself.
"""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np

from ..arrays import Array
from ..coefficients import half_width
from ..errors import DTypeError, InvalidArgumentError, KernelUnavailableError, ShapeError
from ..flows.base import Formula
from ..grids import Grid
from ..tensors import packed_size
from .agreement import require_agreement
from .cache import digest
from .emit_cuda import THREADS, cuda_plan, emit_cuda
from .layout import bounded_part, offsets, with_ghosts
from .trace import formula
from .units import unit_factors

# Offsets on the device are 32 bit.
_LARGEST = 2**31 - 1


class DeviceKernel:
    """A fused formula on the GPU; called as ``Kernel``, with CuPy arrays.

    When it is made it is compared with the plain version on a small grid, once a process and
    device.

    Raises
    ------
    KernelUnavailableError
        If it cannot be built, or does not agree with the plain version.
    """

    def __init__(self, name: str | Formula, n: int, order: int, dtype: str) -> None:
        self.formula = formula(name)
        self.name, self.n, self.order, self.dtype = self.formula.name, n, order, dtype
        self.source = emit_cuda(name, n, order, dtype)
        plan = cuda_plan(name, n, order)
        self._stored = plan.stored
        self._cupy = sys.modules["cupy"]
        try:
            module = self._cupy.RawModule(code=self.source, options=("--std=c++14",))
            self._functions = [module.get_function(function) for function in plan.functions]
            require_agreement(
                self,
                self.formula,
                n,
                order,
                dtype,
                self._cupy.asarray,
                "use kernel='plain', and report it",
            )
        except KernelUnavailableError:
            raise
        except Exception as error:
            # NVRTC, the driver and CuPy have families of errors of their own.
            raise KernelUnavailableError(
                f"the kernel {self.name} ({n}-D, order {order}, {dtype}) could not be built for "
                f"this GPU: {type(error).__name__}: {error}; use kernel='plain'"
            ) from error

    @property
    def identity(self) -> str:
        """Text of all that changes the last bits of results."""
        device = self._cupy.cuda.Device()
        version = self._cupy.cuda.runtime.runtimeGetVersion()
        return digest(f"{self.source}{device.compute_capability}{version}".encode())

    def __repr__(self) -> str:
        return f"DeviceKernel({self.name!r}, n={self.n}, order={self.order}, dtype={self.dtype!r})"

    def __call__(
        self,
        packed: Array,
        grid: Grid,
        background: Array | None = None,
        out: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Evaluate on packed components; ``threads`` is for the kernels of the host."""
        return self.evaluate(packed, grid, background, out)[0]

    def evaluate(
        self,
        packed: Array,
        grid: Grid,
        background: Array | None = None,
        out: Array | None = None,
    ) -> tuple[Array, Array]:
        """The result of a call, and the first point where the metric is not positive definite.

        The point is a number on the device, at least the grid's size if there is no such point.
        """
        cupy = self._cupy
        grid.require_stencil(self.order)
        fields = [packed] if background is None else [packed, background]
        self._require(fields, grid)
        count = packed_size(self.n) if self.formula.tensor else 1
        shape = (count, *grid.shape)
        result = cupy.empty(shape, dtype=self.dtype) if out is None else out
        prepared = [cupy.ascontiguousarray(with_ghosts(f, grid, self.order)) for f in fields]
        tables, stride, unit = _tables(
            cupy.cuda.Device().id,
            grid.shape,
            bounded_part(grid, self.order),
            grid.spacing,
            self.order,
            self.dtype,
            self.formula.tensor,
        )
        bad = cupy.full((), np.iinfo(np.int64).max, dtype=cupy.int64)
        arguments = (
            *prepared, result, tables, unit, bad, np.int64(stride), np.int64(grid.size),
            *(np.int32(size) for size in grid.shape),
        )  # fmt: skip
        if self._stored:
            arguments += (cupy.empty((self._stored, grid.size), dtype=self.dtype),)
        for function in self._functions:
            function(((grid.size + THREADS - 1) // THREADS,), (THREADS,), arguments)
        return result, bad

    def _require(self, fields: list[Array], grid: Grid) -> None:
        if grid.ndim != self.n or len(fields) != self.formula.fields:
            raise InvalidArgumentError(
                f"{self!r} is for {self.n} axes and {self.formula.fields} field(s)"
            )
        expected = (packed_size(self.n), *grid.shape)
        for field in fields:
            if tuple(field.shape) != expected:
                raise ShapeError(f"a field has shape {tuple(field.shape)}, needs {expected}")
            if field.dtype != self.dtype:
                raise DTypeError(f"a field has dtype {field.dtype}; {self!r} takes {self.dtype}")


@lru_cache(maxsize=16)
def _tables(
    device: int,
    shape: tuple[int, ...],
    ghosts: tuple[int, ...],
    spacing: tuple[float, ...],
    order: int,
    dtype: str,
    tensor: bool,
) -> tuple[Array, int, Array]:
    """Offsets and scales on a device, copied there once."""
    cupy = sys.modules["cupy"]
    tables, stride = offsets(shape, ghosts, half_width(order))
    if stride > _LARGEST:
        raise KernelUnavailableError(
            f"a component of {stride} points is beyond the 32-bit offsets of the kernels on GPUs; "
            "use kernel='plain'"
        )
    joined = cupy.asarray(np.concatenate(tables).astype(np.int32))
    return joined, stride, cupy.asarray(unit_factors(spacing, order, dtype, tensor))


@lru_cache(maxsize=256)
def device_kernel(name: str | Formula, n: int, order: int, dtype: str, device: int) -> DeviceKernel:
    """The kernel of a formula for a GPU."""
    return DeviceKernel(name, n, order, dtype)
