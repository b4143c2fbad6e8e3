"""The sums that the defect N of layers is made of: by torch's operations, or compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from riemann_lne.kernels.weights import WeightKernel
from riemann_lne.lne.discrete_flow import defect_products, flow_weights

from ..natural.block_sums import Rows
from ..natural.compiled import Compiled, find_kernel

_ARRAYS = 6  # of a layer: the weights, and five steps


def layer_products(
    names: Sequence[str],
    layers: Sequence[Sequence[Tensor]],
    dk: float,
    dj: float,
    tau: Rows,
    kernel: str,
) -> Tensor:
    """The sums of `riemann_lne.lne.discrete_flow.defect_products` for every layer.

    Parameters
    ----------
    names : sequence of str
    layers : sequence of (x, step_next_k1, step_k1, step_k2, step_j1, step_j2)
        Of one axis. Derivatives pass to all that ask for them.
    dk, dj : float
    tau : Rows
        Of each layer; constant under differentiation.
    kernel : {"auto", "plain", "fused"}
        See `LNECorrector`.

    Returns
    -------
    Tensor, shape (28, layers)

    Raises
    ------
    KernelUnavailableError
        With "fused", where there are no loops for these layers.
    """
    layers = [[a.contiguous() for a in arrays] for arrays in layers]
    loops = find_kernel(names, [[a.detach() for a in arrays] for arrays in layers], kernel)
    if loops is None:
        return _by_torch(layers, dk, dj, tau)
    flat = [a for arrays in layers for a in arrays]
    found: Tensor = _Compiled.apply(loops, dk, dj, tau, *flat)  # type: ignore[no-untyped-call]
    return found


def _by_torch(layers: Sequence[Sequence[Tensor]], dk: float, dj: float, tau: Rows) -> Tensor:
    device = layers[0][0].device
    columns = [
        defect_products(x, steps, dk, dj, scale).to(device)
        for (x, *steps), scale in zip(layers, tau.tolist(), strict=True)
    ]
    wide = columns[0].dtype
    for column in columns[1:]:
        wide = torch.promote_types(wide, column.dtype)
    return torch.stack([column.to(wide) for column in columns], -1)


class _Compiled(torch.autograd.Function):
    """The same by the compiled loops, in double precision."""

    @staticmethod
    def forward(
        ctx: Any, kernel: WeightKernel, dk: float, dj: float, tau: Rows, *flat: Tensor
    ) -> Tensor:
        """The sums, (28, layers), from the six arrays of every layer one after the other."""
        ctx.save_for_backward(*flat)
        ctx.known = kernel, dk, dj, tau
        rows = Compiled(kernel, _opened(flat))
        return rows.sums("defect", *_numbers(dk, dj, tau)).T

    @staticmethod
    def backward(ctx: Any, by_products: Tensor) -> Any:
        """Derivatives by weights and, if one of them asks for it, by steps."""
        kernel, dk, dj, tau = ctx.known
        flat, wanted = ctx.saved_tensors, ctx.needs_input_grad[4:]
        if torch.is_grad_enabled():  # a derivative of this one is asked for
            return None, None, None, None, *_differentiable(flat, wanted, dk, dj, tau, by_products)
        of_steps = any(w for k, w in enumerate(wanted) if k % _ARRAYS)
        count = _ARRAYS if of_steps else 1
        found = [[torch.empty_like(a) for a in arrays[:count]] for arrays in _layers(flat)]
        rows = [
            (*arrays, *(a[None] for a in new))
            for arrays, new in zip(_opened(flat), found, strict=True)
        ]
        name = "defect_gradients" if of_steps else "defect_gradient"
        numbers = (*_numbers(dk, dj, tau), *by_products.double().unbind())
        Compiled(kernel, rows).write_(name, *numbers)
        missing = [None] * (_ARRAYS - count)
        every = [value for new in found for value in (*new, *missing)]
        return None, None, None, None, *every


def _numbers(dk: float, dj: float, tau: Rows) -> tuple[Tensor, ...]:
    """Arguments of a compiled loop for every layer."""
    c = flow_weights(dk, dj)
    return tau, torch.full_like(tau, c[2]), torch.full_like(tau, c[3])


def _layers(flat: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    return [tuple(flat[k : k + _ARRAYS]) for k in range(0, len(flat), _ARRAYS)]


def _opened(flat: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """The arrays of every layer as one row each."""
    return _layers([a.detach()[None] for a in flat])


def _differentiable(
    flat: Sequence[Tensor],
    wanted: Sequence[bool],
    dk: float,
    dj: float,
    tau: Rows,
    by_products: Tensor,
) -> list[Tensor | None]:
    """The derivatives as torch's operations, with a graph of their own."""
    products = _by_torch(_layers(flat), dk, dj, tau)
    inputs = [a for a, w in zip(flat, wanted, strict=True) if w]
    found = iter(
        torch.autograd.grad(products, inputs, by_products.to(products.dtype), create_graph=True)
    )
    return [next(found) if w else None for w in wanted]
