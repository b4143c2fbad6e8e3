"""Algorithms 1 and 2 of the paper as one training step each, to be read and copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne import checks

from ..natural.corrector import LNECorrector
from .regularizer import RicciFlowRegularizer


@dataclass(frozen=True)
class StepResult:
    """Loss L and penalty N of one training step, as detached tensors."""

    loss: Tensor
    penalty: Tensor


def algorithm_1_step(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    optimizer: torch.optim.Optimizer,
    corrector: LNECorrector,
    x: Any,
    y: Any,
) -> StepResult:
    """One step with corrected gradients: forward, backward, dL/dw := g^-1 dL/dQ, update.

    Parameters
    ----------
    model : nn.Module
    loss_fn : callable (output, y) -> scalar Tensor
    optimizer : Optimizer
        Without the corrector attached: it would correct twice.
    corrector : LNECorrector
    x, y : the batch

    References
    ----------
    Algorithm 1 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import LNECorrector, algorithm_1_step, quantize_
    >>> _ = torch.manual_seed(0)
    >>> model = quantize_(torch.nn.Linear(4, 2))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> corrector = LNECorrector(model, inverse="weak")
    >>> loss_fn = torch.nn.functional.cross_entropy
    >>> batch = torch.randn(8, 4), torch.randint(2, (8,))
    >>> losses = [algorithm_1_step(model, loss_fn, optimizer, corrector, *batch).loss
    ...           for _ in range(20)]
    >>> bool(losses[-1] < losses[0])
    True
    """
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    torch.autograd.backward(loss)
    corrector.correct_()
    optimizer.step()
    return StepResult(loss.detach(), torch.zeros_like(loss))


def algorithm_2_step(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    optimizer: torch.optim.Optimizer,
    corrector: LNECorrector,
    penalty: RicciFlowRegularizer,
    alpha: float,
    x: Any,
    y: Any,
    *,
    max_ratio: float | None = None,
) -> StepResult:
    """One step of RF-DNN: the gradient of L + alpha N, corrected, gated, and the update.

    Parameters
    ----------
    model, loss_fn, optimizer, corrector, x, y
        As `algorithm_1_step`.
    penalty : RicciFlowRegularizer
        Not attached to the optimiser: the gate is applied here.
    alpha : float
        Weight of N, at least 0. The paper gives no value.
    max_ratio : float, optional
        In every layer the gradient of alpha N is scaled down to at most this multiple of the
        length of the gradient of L: N has spikes at which it would take over. By default it is
        not.

    Raises
    ------
    InvalidArgumentError
        If alpha is negative or max_ratio is not above 0.

    References
    ----------
    Algorithm 2, Eq. 35 and 36 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import (
    ...     LNECorrector, RicciFlowRegularizer, algorithm_2_step, quantize_)
    >>> _ = torch.manual_seed(0)
    >>> model = quantize_(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    >>> loss_fn = torch.nn.functional.cross_entropy
    >>> corrector = LNECorrector(model, inverse="weak")
    >>> penalty = RicciFlowRegularizer(model, loss_fn, step=optimizer)
    >>> batch = torch.randn(8, 1, 8, 8), torch.randint(2, (8,))
    >>> losses = [algorithm_2_step(model, loss_fn, optimizer, corrector, penalty, 1e-3, *batch)
    ...           for _ in range(20)]
    >>> bool(losses[-1].loss < losses[0].loss)
    True
    """
    alpha = checks.number(alpha, "alpha", least=0.0)
    if max_ratio is not None:
        max_ratio = checks.number(max_ratio, "max_ratio", above=0.0)
    optimizer.zero_grad()
    n = penalty(x, y)  # first: its passes then need not share the memory with the graph of the loss
    loss = loss_fn(model(x), y)
    if max_ratio is None:
        torch.autograd.backward(loss + alpha * n)
    else:
        torch.autograd.backward(loss)
        if n.requires_grad:
            _add_clamped(penalty, alpha * n, max_ratio)
    corrector.correct_()
    penalty.gate_()
    optimizer.step()
    return StepResult(loss.detach(), n.detach())


def _add_clamped(penalty: RicciFlowRegularizer, value: Tensor, max_ratio: float) -> None:
    """Add the gradient of alpha N, in each layer at most max_ratio times as long as that of L."""
    parameters = [w.parameter for w in penalty.weights]
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    for parameter, extra in zip(parameters, gradients, strict=True):
        if extra is None:
            continue
        if parameter.grad is None:  # no gradient of L: there is nothing to be a multiple of
            continue
        parameter.grad.add_(clamped(extra, parameter.grad, max_ratio))


def clamped(extra: Tensor, gradient: Tensor, max_ratio: float) -> Tensor:
    """``extra``, at most max_ratio |gradient| long; zeros where its length is not finite."""
    length, limit = extra.norm(), max_ratio * gradient.norm()
    factor = torch.where(length > limit, limit / length, torch.ones_like(length))
    factor = torch.where(torch.isfinite(length), factor, torch.zeros_like(factor))
    return torch.nan_to_num(extra) * factor
