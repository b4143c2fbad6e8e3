"""The sums and the last pass of the corrector in the core's compiled loops, on the host.

A network of some twenty layers takes a thousand small calls of torch a step, and each of them costs
more than its arithmetic. The loops of `riemann_lne.kernels.weights` take all layers in one call.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from riemann_lne.errors import KernelUnavailableError
from riemann_lne.kernels.weights import DTYPES, Pieces, Span, WeightKernel, weight_kernel

from .pieces import Local

CHOICES = ("auto", "plain", "fused")

# With fewer weights a call takes no time, and the first build of the loops a tenth of a second.
LEAST_WEIGHTS = 4096

_TYPES = {getattr(torch, name): name for name in DTYPES}
_log = logging.getLogger("riemann_lne.kernels")


class Compiled:
    """Sums over rows of weights and gradients in the host's memory, and the last pass."""

    def __init__(self, kernel: WeightKernel, opened: Sequence[Local]) -> None:
        self._kernel, self._opened = kernel, opened  # the addresses are those of the latter
        spans = [Span(o.weight.data_ptr(), o.gradient.data_ptr(), *o.weight.shape) for o in opened]
        self._pieces = Pieces.cut(spans, opened[0].weight.itemsize)

    def sums(self, name: str, tau: Tensor) -> Tensor:
        """Sums of a method of `PieceSums` over every row: (rows, sums), float64."""
        return torch.from_numpy(self._kernel.sums(name, self._pieces, tau.numpy(), _threads()))

    def finish_(self, tau: Tensor, coefficient: Tensor) -> None:
        """Write v + c t over every gradient v."""
        self._kernel.finish(self._pieces, tau.numpy(), coefficient.numpy(), _threads())
        for local in self._opened:  # as operations of torch that write do
            increment_version(local.gradient)


def open_compiled(names: Sequence[str], opened: Sequence[Local], choice: str) -> Compiled | None:
    """The loops for these layers; None where torch's own operations are to be taken.

    Raises
    ------
    KernelUnavailableError
        With "fused", where there are none; the message says why, and names the layer.
    """
    size = sum(local.weight.numel() for local in opened)
    if choice == "plain" or (choice == "auto" and size < LEAST_WEIGHTS):
        return None
    reason = why_not(names, opened)
    if reason is None:
        kernel = _kernel_or_reason(_TYPES[opened[0].weight.dtype])
        if isinstance(kernel, WeightKernel):
            return Compiled(kernel, opened)
        _say_once(kernel)
        reason = kernel
    if choice == "fused":
        raise KernelUnavailableError(reason)
    return None


@cache
def _kernel_or_reason(dtype: str) -> WeightKernel | str:
    """The loops, or why they cannot be built: a compiler that fails is not tried at every step."""
    try:
        return weight_kernel(dtype)
    except KernelUnavailableError as error:
        return str(error)


def why_not(names: Sequence[str], opened: Sequence[Local]) -> str | None:
    """Why there are no compiled loops for these layers; None if there are."""
    first = opened[0].weight
    for name, local in zip(names, opened, strict=True):
        for array in (local.weight, local.gradient):
            # a subclass may keep its numbers anywhere
            if array.device.type != "cpu" or type(array) is not Tensor:
                return f"layer {name!r}: compiled loops take plain tensors on the host"
            if array.dtype not in _TYPES or array.dtype is not first.dtype:
                return (
                    f"layer {name!r}: compiled loops take weights and gradients all of "
                    f"{' or all of '.join(DTYPES)}, not {array.dtype}"
                )
            if not array.is_contiguous():
                return f"layer {name!r}: compiled loops take weights without gaps in memory"
    return None


def _threads() -> int:
    return torch.get_num_threads()


@cache
def _say_once(reason: str) -> None:
    """Log why. Not a warning: the results are as good."""
    _log.warning("the corrector runs without compiled loops, some times slower: %s", reason)
