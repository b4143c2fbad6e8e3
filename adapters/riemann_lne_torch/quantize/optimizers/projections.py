"""Methods that move the weights towards the discrete ones after each step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne import checks

from ..levels import quantize_binary
from ..quantization import latent_parameters
from .base import OptimizerWrapper, float_weights, require_quantized

__all__ = ["BinaryConnect", "ProxQuant", "proximal_binary"]


class BinaryConnect(OptimizerWrapper):
    """BinaryConnect: the model runs on Q(w), the step is taken on w, and w is kept in [-1, 1].

    Gradient: dL/dw := dL/dQ (the model's estimator, `STE`). After the step:
    w <- clip(w, -bound, bound).

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    params : nn.Module or iterable of nn.Parameter
        A quantised model, or its latent weights (`latent_parameters`).
    bound : float
        In the unit of w; 1 in the paper.

    Raises
    ------
    InvalidArgumentError
        If the model is not quantised, the optimiser does not hold the weights, or bound is not
        greater than 0.

    References
    ----------
    M. Courbariaux, Y. Bengio, J.-P. David, "BinaryConnect: training deep neural networks with
    binary weights during propagations", NeurIPS 2015.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import BinaryConnect
    >>> from riemann_lne_torch.quantization import quantize_
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> latent = layer.weight
    >>> _ = latent.data.fill_(0.9)
    >>> model = quantize_(layer)
    >>> optimizer = BinaryConnect(torch.optim.SGD(model.parameters(), lr=1.0), model)
    >>> model(torch.tensor([[-0.5]])).sum().backward()
    >>> optimizer.step()  # 0.9 + 0.5 is cut to 1
    >>> latent.item()
    1.0
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        params: nn.Module | Iterable[nn.Parameter],
        bound: float = 1.0,
    ) -> None:
        self.bound = checks.number(bound, "bound", above=0.0)
        if isinstance(params, nn.Module):
            params = latent_parameters(params)
            require_quantized(params, type(self).__name__)
        super().__init__(optimizer, params)

    def _after(self) -> None:
        for p in self.targets:
            p.clamp_(-self.bound, self.bound)


def proximal_binary(w: Tensor, strength: float) -> Tensor:
    """Proximal map of strength * | |w| - 1 |: soft thresholding towards -1 and 1.

    prox(w) = sgn(w) (1 + sgn(|w| - 1) max(| |w| - 1 | - strength, 0)), sgn(0) = +1.

    Parameters
    ----------
    w : Tensor, any shape
    strength : float
        In the unit of w, at least 0; from 1 on, every |w| <= 2 becomes its sign.

    Returns
    -------
    Tensor, shape of w

    Raises
    ------
    InvalidArgumentError
        If the strength is negative.
    DTypeError
        If w is not real floating point.

    References
    ----------
    Y. Bai, Y.-X. Wang, E. Liberty, ICLR 2019: see `ProxQuant`.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import proximal_binary
    >>> proximal_binary(torch.tensor([-0.5, 0.95, 1.5]), 0.1)
    tensor([-0.6000,  1.0000,  1.4000])
    """
    strength = checks.number(strength, "strength", least=0.0)
    # the same function without a cancellation, which would round small weights to 0
    return w + quantize_binary(w) * (1.0 - w.abs()).clamp(-strength, strength)


class ProxQuant(OptimizerWrapper):
    """ProxQuant: the model runs in float; after each step the weights are drawn towards -1 and 1.

    After the step: w <- prox(w) of `proximal_binary` with strength lambda = lr * rate * epoch, lr
    the learning rate of the group, epoch = (steps taken) // steps_per_epoch from 0. From epoch
    hard_after * epochs on, the weights are sign(w) and stay so; the other parameters go on
    training.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    params : nn.Module or iterable of nn.Parameter
        A model that is not quantised (its `quantizable_parameters`), or the weights themselves.
    epochs : int
        Length of the training.
    steps_per_epoch : int
        Usually ``len(loader)``.
    rate : float
        Growth of lambda / lr in an epoch; 1e-4 in the authors' code.
    hard_after : float
        Fraction of the epochs after which the weights are fixed, 2/3 there; 1: never, until
        `harden_` is called.
    clip : bool
        Also clip to [-1, 1] after the proximal map, as the authors' code does.

    Raises
    ------
    InvalidArgumentError
        If the model is quantised, the optimiser does not hold the weights, or a number is out of
        range.

    References
    ----------
    Y. Bai, Y.-X. Wang, E. Liberty, "ProxQuant: quantized neural networks via proximal
    operators", ICLR 2019.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import ProxQuant
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = model.weight.data.fill_(0.5)
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> optimizer = ProxQuant(sgd, model, epochs=9, steps_per_epoch=1, rate=1.0)
    >>> for _ in range(3):
    ...     model.weight.grad = torch.zeros(1, 1)
    ...     optimizer.step()
    ...     print(f"{model.weight.item():.1f}")  # lambda = 0, 0.1, 0.2
    0.5
    0.6
    0.8
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        params: nn.Module | Iterable[nn.Parameter],
        *,
        epochs: int,
        steps_per_epoch: int,
        rate: float = 1e-4,
        hard_after: float = 2.0 / 3.0,
        clip: bool = False,
    ) -> None:
        self.epochs = checks.count(epochs, "epochs", least=1)
        self.steps_per_epoch = checks.count(steps_per_epoch, "steps_per_epoch", least=1)
        self.rate = checks.number(rate, "rate", least=0.0)
        self.hard_after = checks.number(
            hard_after, "hard_after, a fraction of the epochs,", least=0.0, most=1.0
        )
        self.clip = checks.flag(clip, "clip")
        super().__init__(optimizer, float_weights(params))
        self.steps = 0
        self.hard = False

    @property
    def epoch(self) -> int:
        """Epoch of the next step, from 0."""
        return self.steps // self.steps_per_epoch

    @torch.no_grad()
    def harden_(self) -> None:
        """Replace the weights by their signs now, and keep them so."""
        for p in self.targets:
            p.copy_(quantize_binary(p))
        self.hard = True

    def _before(self) -> None:
        due = self.hard_after < 1.0 and self.epoch >= self.hard_after * self.epochs
        if due and not self.hard:
            self.harden_()
        if self.hard:
            # The inner optimiser passes over parameters without a gradient: no momentum, no
            # weight decay moves them.
            self._hold_back(self.targets)

    def _after(self) -> None:
        if not self.hard:
            for p in self.targets:
                strength = self._learning_rate(p) * self.rate * self.epoch
                p.copy_(proximal_binary(p, strength))
                if self.clip:
                    p.clamp_(-1.0, 1.0)
        self.steps += 1
        if (
            self.hard_after < 1.0
            and not self.hard
            and self.steps >= self.epochs * (self.steps_per_epoch)
        ):
            self.harden_()

    def _own_state(self) -> dict[str, Any]:
        return {"steps": self.steps, "hard": self.hard}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self.steps, self.hard = int(state["steps"]), bool(state["hard"])
