"""The core's compiled loops on weights, on the host, for layers of torch.

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
from riemann_lne.kernels.weights_loops import loops

CHOICES = ("auto", "plain", "fused")

# With fewer weights a call takes no time, and the first build of the loops half a second.
LEAST_WEIGHTS = 4096

_TYPES = {getattr(torch, name): name for name in DTYPES}
_log = logging.getLogger("riemann_lne.kernels")


class Compiled:
    """Compiled sums over rows of weights and gradients in the host's memory, and their updates.

    Parameters
    ----------
    kernel : WeightKernel
    opened : sequence of sequences of Tensor
        Of every layer the arrays of the loops, of one shape (rows, columns), without gaps.
    """

    def __init__(self, kernel: WeightKernel, opened: Sequence[Sequence[Tensor]]) -> None:
        self._kernel, self._opened = kernel, opened  # the addresses are those of the latter
        spans = [Span(tuple(a.data_ptr() for a in arrays), *arrays[0].shape) for arrays in opened]
        self._pieces = Pieces.cut(spans, opened[0][0].itemsize)

    def sums(self, name: str, *numbers: Tensor) -> Tensor:
        """Sums over every row: (rows, sums), float64. See `riemann_lne.kernels.weights_loops`."""
        values = [n.numpy() for n in numbers]
        return torch.from_numpy(
            self._kernel.sums(name, self._pieces, *values, threads=torch.get_num_threads())
        )

    def write_(self, name: str, *numbers: Tensor) -> None:
        """Write over the arrays that the loop writes to."""
        values = [n.numpy() for n in numbers]
        self._kernel.write(name, self._pieces, *values, threads=torch.get_num_threads())
        loop = loops()[name]
        for arrays in self._opened:
            for array, kind in zip(arrays, loop.arrays, strict=False):
                if kind in loop.written:  # as operations of torch that write do
                    increment_version(array)


def open_compiled(
    names: Sequence[str], opened: Sequence[Sequence[Tensor]], choice: str
) -> Compiled | None:
    """The loops for these layers; None where torch's own operations are to be taken.

    Raises
    ------
    KernelUnavailableError
        With "fused", where there are none; the message says why, and names the layer.
    """
    size = sum(arrays[0].numel() for arrays in opened)
    if choice == "plain" or (choice == "auto" and size < LEAST_WEIGHTS):
        return None
    reason = why_not(names, opened)
    if reason is None:
        kernel = _kernel_or_reason(_TYPES[opened[0][0].dtype])
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


def why_not(names: Sequence[str], opened: Sequence[Sequence[Tensor]]) -> str | None:
    """Why there are no compiled loops for these layers; None if there are."""
    first = opened[0][0]
    for name, arrays in zip(names, opened, strict=True):
        for array in arrays:
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


@cache
def _say_once(reason: str) -> None:
    """Log why. Not a warning: the results are as good."""
    _log.warning("running without compiled loops on weights, some times slower: %s", reason)
