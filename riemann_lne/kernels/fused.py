"""Flows whose right-hand sides are kernels, and the choice between them and the plain ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import Array
from ..errors import KernelUnavailableError, UnknownNameError
from ..flows.base import Flow, nyquist_symbols
from ..flows.ricci import Bound, RicciDeTurckFlow, RicciFlow
from ..flows.scaled import NormalizedRicciFlow, ScaledFlow
from ..grids import Grid
from ..weights import Order
from .cpu import Kernel, compile_kernel, unsupported
from .gpu import DeviceKernel, device_kernel
from .reductions import Terms, reductions

CHOICES = ("auto", "plain", "fused")
"""What ``solve_flow`` takes as ``kernel``."""

# On smaller grids most flows are over in the time that the first build of a kernel takes.
LEAST_POINTS = 4096

_log = logging.getLogger("riemann_lne.kernels")


class _Fused:
    """What flows with a kernel have besides: updates in one pass, where the kernel has them."""

    kernel: Kernel | DeviceKernel
    _threads: int | None
    _bound: Bound
    largest_square: Callable[[Terms, np.ndarray], float] | None
    """Largest |e|_g^2 over the grid of a sum of coefficient times array, NaN if there is one; None
    on a device."""
    is_metric: Callable[[np.ndarray], bool] | None
    """Whether all points hold a finite metric; None on a device."""

    def _take(self, kernel: Kernel | DeviceKernel, threads: int | None) -> None:
        """Take a kernel for the right-hand side, and on the host those for the size of a step."""
        self.kernel, self._threads = kernel, threads
        self.largest_square = self.is_metric = None
        self.identity = kernel.identity  # what results depend on to the last bit
        if not isinstance(kernel, Kernel):
            return
        found = reductions(kernel.n, kernel.dtype)
        self.identity += f" {found.identity}"
        self.largest_square = partial(found.largest_square, threads=threads)
        self.is_metric = partial(found.is_metric, threads=threads)

        def bound(packed: Array, grid: Grid, order: Order) -> float:
            return found.largest_bound(packed, nyquist_symbols(grid, order), threads)

        self._bound = bound

    def updates(self) -> bool:
        """Whether there is `update`."""
        return isinstance(self.kernel, Kernel)

    def update(
        self,
        t: float,
        packed: Array,
        grid: Grid,
        scale: float,
        terms: Sequence[tuple[float, Array]],
        out: Array | None,
    ) -> Array:
        """``scale`` times the right-hand side plus the sum of coefficient times array."""
        assert isinstance(self.kernel, Kernel)
        background = self._background(t, packed, grid)
        return self.kernel.update(packed, grid, scale, terms, background, out, self._threads)

    def _background(self, t: float, packed: Array, grid: Grid) -> Array | None:
        return None


class FusedRicciFlow(_Fused, RicciFlow):
    """Ricci flow whose right-hand side is a kernel."""

    def __init__(self, flow: RicciFlow, order: int, like: Array, threads: int | None) -> None:
        self.deturck = flow.deturck
        self._take(_kernel_for("ricci_flow", order, like), threads)

    def rhs(
        self, t: float, packed: Array, grid: Grid, order: Order, out: Array | None = None
    ) -> Array:
        """-2 R_ij, packed."""
        return self.kernel(packed, grid, None, out, self._threads)


class FusedRicciDeTurckFlow(_Fused, RicciDeTurckFlow):
    """Ricci-DeTurck flow whose right-hand side is a kernel."""

    def __init__(
        self, flow: RicciDeTurckFlow, order: int, like: Array, threads: int | None
    ) -> None:
        super().__init__(flow.background)
        name = "ricci_deturck" if flow.background is None else "ricci_deturck_background"
        self._take(_kernel_for(name, order, like), threads)

    def rhs(
        self, t: float, packed: Array, grid: Grid, order: Order, out: Array | None = None
    ) -> Array:
        """-2 R_ij + (L_W g)_ij, packed."""
        return self.kernel(packed, grid, self._background(t, packed, grid), out, self._threads)

    def _background(self, t: float, packed: Array, grid: Grid) -> Array | None:
        return self.packed_background(t, packed, grid)


def why_not(flow: Flow, grid: Grid, order: Order, array: Array) -> str | None:
    """The sentence that says why a flow has no kernel here; None if it has one.

    Whether a compiler is there is not looked at.
    """
    inner = _innermost(flow)
    if type(inner) not in (RicciFlow, RicciDeTurckFlow):
        return (
            f"{inner!r} has no fused kernel; RicciFlow and RicciDeTurckFlow have, also inside "
            "ScaledFlow and NormalizedRicciFlow"
        )
    if not (isinstance(array, np.ndarray) or array_api_compat.is_cupy_array(array)):
        return f"kernels take arrays of NumPy and CuPy, not {type(array).__name__}"
    return unsupported(grid.ndim, order, array.dtype)


def _innermost(flow: Flow) -> Flow:
    while type(flow) in (ScaledFlow, NormalizedRicciFlow):
        flow = flow.flow  # type: ignore[attr-defined]
    return flow


def fused_flow(
    flow: Flow, grid: Grid, order: Order, array: Array, threads: int | None = None
) -> Flow:
    """The flow with its right-hand side fused; everything else is as it was.

    Raises
    ------
    KernelUnavailableError
        If there is no kernel for it, or it cannot be built; the message says why.
    """
    reason = why_not(flow, grid, order, array)
    if reason is not None:
        raise KernelUnavailableError(f"{reason}; use kernel='plain'")
    return _replaced(flow, int(order), array, threads)


def _replaced(flow: Any, order: int, like: Array, threads: int | None) -> Any:
    if isinstance(flow, ScaledFlow):
        return ScaledFlow(_replaced(flow.flow, order, like, threads), flow.c)
    if isinstance(flow, NormalizedRicciFlow):
        return NormalizedRicciFlow(_replaced(flow.flow, order, like, threads))
    if isinstance(flow, RicciDeTurckFlow):
        return FusedRicciDeTurckFlow(flow, order, like, threads)
    return FusedRicciFlow(flow, order, like, threads)


def _kernel_for(name: str, order: int, like: Array) -> Kernel | DeviceKernel:
    """The kernel for packed metrics like this one."""
    n, dtype = like.ndim - 1, like.dtype.name
    if isinstance(like, np.ndarray):
        return compile_kernel(name, n, order, dtype)
    return device_kernel(name, n, order, dtype, like.device.id)


def choose(kernel: str, flow: Flow, grid: Grid, order: Order, array: Array) -> tuple[Flow, str]:
    """The flow that ``solve_flow`` integrates for a choice, and a name for its kernel.

    The name is "plain", or "fused" with what results depend on to the last bit.

    Raises
    ------
    UnknownNameError
        If the choice is not known.
    KernelUnavailableError
        With "fused", if there is none; the message says why.
    """
    if kernel not in CHOICES:
        raise UnknownNameError("kernel", kernel, CHOICES)
    if kernel == "plain":
        return flow, "plain"
    if kernel == "auto" and (
        grid.size < LEAST_POINTS or why_not(flow, grid, order, array) is not None
    ):
        return flow, "plain"
    try:
        result = fused_flow(flow, grid, order, array)
    except KernelUnavailableError as error:
        if kernel == "fused":
            raise
        _say_once(str(error))
        return flow, "plain"
    fused: Any = _innermost(result)
    return result, f"fused {fused.identity}"


@cache
def _say_once(reason: str) -> None:
    """Log why flows run on the plain version. Not a warning: the results are as good."""
    _log.warning("flows run without fused kernels, many times slower: %s", reason)
