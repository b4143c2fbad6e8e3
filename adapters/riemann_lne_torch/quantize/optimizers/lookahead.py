"""Lookahead: slow weights that follow the optimiser's every few steps."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from riemann_lne import checks

from .base import OptimizerWrapper

__all__ = ["Lookahead"]


class Lookahead(OptimizerWrapper):
    """After every k-th step all weights go back part of their way: x <- x + a (y - x), y <- x.

    y are the weights of the optimiser, x those of k steps before. A stabiliser for noisy
    gradients; on latent weights it acts before they are rounded. It is linear interpolation, and
    moves all parameters of the optimiser. The first x are the weights before the first step.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    every : int
        k, at least 1; 5 in the paper.
    alpha : float
        a, above 0 and at most 1; 0.5 in the paper. 1 changes nothing.

    Raises
    ------
    InvalidArgumentError
        If a number is out of range.

    References
    ----------
    M. Zhang, J. Lucas, G. Hinton, J. Ba, "Lookahead optimizer: k steps forward, 1 step back",
    NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import Lookahead
    >>> w = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Lookahead(torch.optim.SGD([w], lr=0.1), every=2)
    >>> for _ in range(2):
    ...     w.grad = torch.tensor([1.0])
    ...     optimizer.step()
    ...     print(w.data)  # 1 - 0.1, then halfway back from 0.8 to 1
    tensor([0.9000])
    tensor([0.9000])
    """

    _kept: ClassVar[tuple[str, ...]] = ("_slow",)

    def __init__(
        self, optimizer: torch.optim.Optimizer, every: int = 5, alpha: float = 0.5
    ) -> None:
        groups = getattr(optimizer, "param_groups", [])
        super().__init__(optimizer, [p for group in groups for p in group["params"]])
        self.every = checks.count(every, "every", least=1)
        self.alpha = checks.number(alpha, "alpha", above=0, most=1)
        self.steps = 0
        self._slow = [p.detach().clone() for p in self.targets]

    def _before(self) -> None:
        if self.steps == 0:
            # again: the first batch has set the learned ranges of inputs, which were 0
            for x, y in zip(self._slow, self.targets, strict=True):
                x.copy_(y)

    def _after(self) -> None:
        self.steps += 1
        if self.steps % self.every == 0:
            for x, y in zip(self._slow, self.targets, strict=True):
                if self.alpha < 1.0:
                    y.copy_(x.lerp(y, self.alpha))
                x.copy_(y)

    def _own_state(self) -> dict[str, Any]:
        return {"steps": self.steps, "slow": [x.clone() for x in self._slow]}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        for x, saved in zip(self._slow, state["slow"], strict=True):
            x.copy_(saved)
