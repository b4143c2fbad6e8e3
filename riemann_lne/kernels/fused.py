"""Flows whose right-hand sides are kernels, and the choice between them and the plain ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import array_api_compat
import numpy as np

from ..arrays import Array
from ..coefficients import Order
from ..errors import KernelUnavailableError, RiemannLNEError, UnknownNameError
from ..flows.base import (
    Background,
    CompilableFlow,
    Flow,
    Formula,
    has_pointwise_bound,
    nyquist_symbols,
)
from ..grids import Grid
from ..threads import thread_count
from .agreement import require_agreement
from .cpu import FourierKernel, Kernel, compile_kernel, unsupported, why_no_fourier
from .gpu import DeviceKernel, device_kernel
from .layout import ResultMemory
from .reductions import Terms, reductions

CHOICES = ("auto", "plain", "fused")
"""The values of ``kernel`` in ``solve_flow``."""

# On smaller grids most flows are over in the time that the first build of a kernel takes.
LEAST_POINTS = 4096

_log = logging.getLogger("riemann_lne.kernels")


class FusedFlow:
    """A flow with a kernel in place of its right-hand side; all else is asked of the flow.

    Attributes
    ----------
    flow : Flow
        The flow as it was given.
    kernel : Kernel or DeviceKernel
        Its right-hand side.
    identity : str
        Everything that the last bit of results depends on.
    """

    def __init__(
        self,
        flow: Flow,
        kernel: Kernel | DeviceKernel,
        background: Background | None,
        threads: int | None,
    ) -> None:
        self.flow, self.kernel = flow, kernel
        self.identity = kernel.identity
        self._background, self._threads = background, threads

    @property
    def parabolic(self) -> bool:
        """As the flow."""
        return self.flow.parabolic

    def rhs(
        self, t: float, packed: Array, grid: Grid, order: Order, out: Array | None = None
    ) -> Array:
        """The right-hand side by the kernel."""
        background = self._packed_background(t, packed, grid)
        return self.kernel(packed, grid, background, out, self._threads)

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """As the flow."""
        return self.flow.spectral_radius(packed, grid, order)

    @property
    def pointwise_bound(self) -> bool:
        """As the flow."""
        return has_pointwise_bound(self.flow)

    def _packed_background(self, t: float, packed: Array, grid: Grid) -> Array | None:
        return None if self._background is None else self._background(t, packed, grid)

    def __repr__(self) -> str:
        return repr(self.flow)


class FusedHostFlow(FusedFlow):
    """A flow with a kernel of the host: updates and grid reductions are compiled as well."""

    kernel: Kernel

    def __init__(
        self,
        flow: Flow,
        kernel: Kernel,
        background: Background | None,
        laplacian_factor: float | None,
        threads: int | None,
    ) -> None:
        super().__init__(flow, kernel, background, threads)
        self._reductions = reductions(kernel.n, kernel.dtype)
        self._factor = laplacian_factor
        self.identity += f" {self._reductions.identity}"
        self._memory = ResultMemory()

    def rhs(
        self, t: float, packed: Array, grid: Grid, order: Order, out: Array | None = None
    ) -> Array:
        """The right-hand side by the kernel."""
        return super().rhs(t, packed, grid, order, self._given(packed, out))

    def _given(self, packed: Array, out: Array | None) -> Array:
        """The array for a result: the one given, or one like the state."""
        return self._memory.take(packed.shape, self.kernel.dtype) if out is None else out

    def update(
        self,
        t: float,
        packed: Array,
        grid: Grid,
        scale: float,
        terms: Terms,
        out: Array | None,
    ) -> Array:
        """``scale`` times the right-hand side plus the sum of coefficient times array."""
        background = self._packed_background(t, packed, grid)
        place = self._given(packed, out)
        return self.kernel.update(packed, grid, scale, terms, background, place, self._threads)

    def combination(self, terms: Terms, out: Array | None = None) -> Array:
        """The sum of coefficient times array."""
        place = self._given(terms[0][1], out)
        return self._reductions.combination(terms, place, self._threads)

    def spectral_radius(self, packed: Array, grid: Grid, order: Order) -> float:
        """As the flow; where that is a multiple of the Laplacian's bound, by a compiled maximum."""
        if self._factor is None:
            return super().spectral_radius(packed, grid, order)
        symbols = nyquist_symbols(grid, order)
        here = self._reductions.largest_bound(packed, symbols, self._threads)
        return grid.team.largest(here) * self._factor

    def is_metric(self, packed: Array) -> bool:
        """Whether all points hold a finite, positive-definite metric."""
        return self._reductions.is_metric(packed, self._threads)

    def largest_square(self, terms: Terms, packed: Array) -> float:
        """Largest |e|_g^2 over the grid of a sum of coefficient times array."""
        return self._reductions.largest_square(terms, packed, self._threads)


class FusedFourierFlow(FusedHostFlow):
    """A flow with a kernel that has Fourier derivatives, and can do the 2/3 rule on the way."""

    kernel: FourierKernel

    def without_high_modes(self, t: float, packed: Array, grid: Grid, inverse: np.ndarray) -> Array:
        """The right-hand side, with the upper third of its modes by a linear flow."""
        background = self._packed_background(t, packed, grid)
        out, linear = (self._given(packed, None) for _ in range(2))
        return self.kernel.without_high_modes(
            packed, grid, inverse, background, out, linear, self._threads
        )


class _Compiler:
    """Makes the compiled forms of flows for a grid, an order and a kind of array.

    With ``dry`` nothing is built: flows come back as they are where there would be a kernel.
    """

    def __init__(
        self, grid: Grid, order: Order, array: Array, threads: int | None, dry: bool = False
    ) -> None:
        self.n, self._grid = grid.ndim, grid
        self._order, self._array, self._threads, self._dry = order, array, threads, dry
        self.identities: list[str] = []

    def __call__(self, flow: Flow) -> Flow:
        """The compiled form of a flow."""
        if not isinstance(flow, CompilableFlow):
            raise KernelUnavailableError(
                f"{flow!r} has no fused kernel; RicciFlow and RicciDeTurckFlow have, also inside "
                "ScaledFlow and NormalizedRicciFlow, and so has a flow made of "
                "riemann_lne.flows.LocalFlow; use kernel='plain'"
            )
        return flow.compiled(self)

    def fused(
        self,
        flow: Flow,
        formula: str | Formula,
        background: Background | None = None,
        laplacian_factor: float | None = None,
    ) -> Flow:
        """The flow with a kernel in place of its right-hand side."""
        array, n = self._array, self.n
        on_host = isinstance(array, np.ndarray)
        if not (on_host or array_api_compat.is_cupy_array(array)):
            raise KernelUnavailableError(
                f"kernels take arrays of NumPy and CuPy, not {type(array).__name__}; use "
                "kernel='plain'"
            )
        reason = unsupported(n, self._order, array.dtype)
        if reason is None and self._order == "fourier":
            reason = why_no_fourier(self._grid)
            if not on_host:
                reason = "kernels with Fourier derivatives are for NumPy arrays"
        if reason is not None:
            raise KernelUnavailableError(reason)
        if self._dry:
            return flow
        thread_count(self._threads)  # refuses a bad number also where one thread does all
        order, dtype = self._order, array.dtype.name
        kernel: Kernel | DeviceKernel
        with _own_formula(flow, formula):
            if on_host:
                kernel = compile_kernel(formula, n, order, dtype)
            else:
                kernel = device_kernel(formula, n, int(order), dtype, array.device.id)
        made: FusedFlow
        if isinstance(kernel, Kernel):
            if isinstance(formula, Formula):
                require_agreement(kernel, formula, n, order, dtype, np.asarray, _WHAT_IS_NEEDED)
            host = FusedFourierFlow if isinstance(kernel, FourierKernel) else FusedHostFlow
            made = host(flow, kernel, background, laplacian_factor, self._threads)
        else:
            made = FusedFlow(flow, kernel, background, self._threads)
        self.identities.append(made.identity)
        return made


_WHAT_IS_NEEDED = (
    "a kernel's formula must give a packed symmetric tensor, and every term of it must have two "
    "derivatives of the metric, as curvature has: put what has none into ScaledFlow"
)


@contextmanager
def _own_formula(flow: Flow, formula: str | Formula) -> Iterator[None]:
    """Errors of a formula that cannot be run on symbols, as reasons why there is no kernel."""
    try:
        yield
    except RiemannLNEError:
        raise
    except Exception as error:
        if isinstance(formula, str):
            raise
        raise KernelUnavailableError(
            f"the formula of {flow!r} cannot be run on symbols ({type(error).__name__}: {error}); "
            "for a kernel it must be written with +, -, *, / and abs"
        ) from error


def why_not(flow: Flow, grid: Grid, order: Order, array: Array) -> str | None:
    """The sentence that says why a flow has no kernel here; None if it has one.

    Whether a compiler is there is not looked at.
    """
    try:
        _Compiler(grid, order, array, None, dry=True)(flow)
    except KernelUnavailableError as error:
        return str(error)
    return None


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
    return _Compiler(grid, order, array, threads)(flow)


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
        grid.whole.size < LEAST_POINTS or why_not(flow, grid, order, array) is not None
    ):
        return flow, "plain"
    compiler = _Compiler(grid, order, array, None)
    try:
        reason = why_not(flow, grid, order, array)
        if reason is not None:
            raise KernelUnavailableError(f"{reason}; use kernel='plain'")
        result = compiler(flow)
    except KernelUnavailableError as error:
        if kernel == "fused":
            raise
        _say_once(str(error))
        return flow, "plain"
    return result, f"fused {' '.join(compiler.identities)}"


@cache
def _say_once(reason: str) -> None:
    """Log why flows run on the plain version. Not a warning: the results are as good."""
    _log.warning("flows run without fused kernels, many times slower: %s", reason)
