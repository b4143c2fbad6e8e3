"""Mirror descent with the mirror map of tanh: MD-tanh."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError

from ..levels import quantize_binary
from .base import OptimizerWrapper, float_weights, placed

__all__ = ["MirrorDescentTanh"]


class MirrorDescentTanh(OptimizerWrapper):
    """MD-tanh: mirror descent in the open cube (-1, 1)^n, pushed to its corners by a growing beta.

    With eta d the step w - w' that the inner optimiser takes (d is the gradient for plain SGD):
    w <- (E - 1)/(E + 1), E = (1 + w)/(1 - w) exp(-2 beta eta d), that is
    w <- tanh(artanh(w) - beta eta d). beta is multiplied by `growth` every `every` steps.

    The model runs in float on w. At the end `harden_` replaces w by sign(w). artanh(w) is kept
    beside w, since w rounds to 1 in float32 from artanh(w) = 9 on and could not come back.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Adam in the authors' code. Its weight decay draws w to 0.
    params : nn.Module or iterable of nn.Parameter
        A model that is not quantised (its `quantizable_parameters`), or the weights themselves;
        all |w| < 1.
    beta : float
        At the start; dimensionless.
    growth : float
        At least 1.
    every : int
        Steps between two increases; 100.

    Raises
    ------
    InvalidArgumentError
        If a weight lies outside of (-1, 1), the model is quantised, the optimiser does not hold
        the weights, or a number is out of range.

    References
    ----------
    T. Ajanthan, K. Gupta, P. Torr, R. Hartley, P. Dokania, "Mirror descent view for neural
    network quantization", AISTATS 2021.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import MirrorDescentTanh
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = model.weight.data.fill_(0.5)
    >>> optimizer = MirrorDescentTanh(torch.optim.SGD(model.parameters(), lr=0.1), model)
    >>> model.weight.grad = torch.ones(1, 1)
    >>> optimizer.step()
    >>> print(round(model.weight.item(), 4))  # tanh(artanh(0.5) - 0.1)
    0.4213
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        params: nn.Module | Iterable[nn.Parameter],
        *,
        beta: float = 1.0,
        growth: float = 1.01,
        every: int = 100,
    ) -> None:
        self.start = checks.number(beta, "beta", above=0.0)
        self.growth = checks.number(growth, "growth", least=1.0)
        self.every = checks.count(every, "every", least=1)
        super().__init__(optimizer, float_weights(params))
        for i, p in enumerate(self.targets):
            if not bool((p.detach().abs() < 1.0).all()):
                raise InvalidArgumentError(
                    f"weight tensor {i}, shape {tuple(p.shape)}, has elements outside of (-1, 1); "
                    "map them there first, for instance with p.data.tanh_()"
                )
        self.steps = 0
        self.dual = [torch.atanh(_wide(p)) for p in self.targets]
        self._old: list[Tensor] = []

    @property
    def beta(self) -> float:
        """The factor beta of the next step."""
        return self.start * self.growth ** (self.steps // self.every)

    @torch.no_grad()
    def harden_(self) -> None:
        """Replace the weights by their signs, at the end of the training."""
        for p in self.targets:
            p.copy_(quantize_binary(p))

    def _before(self) -> None:
        self._old = []
        for i, p in enumerate(self.targets):
            # Weights that were changed from outside (a checkpoint was loaded) begin anew there.
            same = torch.tanh(self.dual[i]).to(p.dtype) == p
            limit = 1.0 - torch.finfo(p.dtype).eps
            fresh = torch.atanh(_wide(p).clamp(-limit, limit))
            self.dual[i] = torch.where(same, self.dual[i], fresh)
            self._old.append(p.clone())

    def _after(self) -> None:
        for old, dual, p in zip(self._old, self.dual, self.targets, strict=True):
            dual -= self.beta * (_wide(old) - _wide(p))
            p.copy_(torch.tanh(dual))
        self._old = []
        self.steps += 1

    def _own_state(self) -> dict[str, Any]:
        return {"steps": self.steps, "dual": [d.clone() for d in self.dual]}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self.steps = int(state["steps"])
        self.dual = placed(state["dual"], self.dual)


def _wide(p: Tensor) -> Tensor:
    p = p.detach()
    return p.float() if p.dtype in (torch.float16, torch.bfloat16) else p
