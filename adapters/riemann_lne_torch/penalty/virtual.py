"""Gradients at virtual weights, which leave no trace in the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.func import functional_call

from riemann_lne.errors import InvalidArgumentError

from ..natural.selection import Weight


class VirtualPasses:
    """Forward and backward passes of a model at other weights.

    Buffers are copies, so that batch-norm statistics do not move; every pass starts from the same
    random state, so that dropout drops the same units in each, and the caller's random state is
    as it was afterwards; `Parameter.grad` is not touched.

    Parameters
    ----------
    model : nn.Module
        Not wrapped: of DistributedDataParallel the ``module``.
    loss_fn : callable (output, y) -> scalar Tensor
    weights : sequence of Weight
        The latent weights that take virtual values.

    Raises
    ------
    InvalidArgumentError
        If a weight is sharded, or is not a parameter of the model.
    """

    def __init__(
        self, model: nn.Module, loss_fn: Callable[[Any, Any], Tensor], weights: Sequence[Weight]
    ) -> None:
        names = {id(p): name for name, p in model.named_parameters()}
        self.model, self.loss_fn = model, loss_fn
        self.weights = list(weights)
        for weight in weights:
            if isinstance(weight.parameter, DTensor):
                raise InvalidArgumentError(
                    f"layer {weight.name!r} is sharded; virtual passes need whole parameters on "
                    "every process (DistributedDataParallel, not FSDP or tensor parallelism)"
                )
        self.names = [names[id(w.parameter)] for w in weights]

    def gradients(
        self, x: Any, y: Any, values: Sequence[Tensor], *, create_graph: bool = False
    ) -> list[Tensor]:
        """dL/dw at the given values of the weights; a layer that is not used has zeros."""
        leaves = list(values)
        if not create_graph:
            leaves = [v.detach().requires_grad_() for v in values]
        buffers = {name: b.clone() for name, b in self.model.named_buffers()}
        state = {
            # of half-precision weights the virtual values are wider; the model takes its own type
            name: leaf.to(weight.parameter.dtype)
            for name, leaf, weight in zip(self.names, leaves, self.weights, strict=True)
        }
        devices = sorted({v.device.index for v in leaves if v.device.type == "cuda"})
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            output = functional_call(self.model, {**buffers, **state}, (x,))
            loss = self.loss_fn(output, y)
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise InvalidArgumentError(f"loss_fn must return a scalar tensor, got {shape}")
            found = torch.autograd.grad(
                loss, leaves, create_graph=create_graph, materialize_grads=True
            )
        return list(found)
