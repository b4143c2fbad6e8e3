"""Wrappers that act on the distance of latent weights from their levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from riemann_lne import checks

from ..layers import latent_parameter, weight_quantizer
from ..quantizers import WeightQuantizer
from .base import ScheduledWrapper, require_quantized

__all__ = ["CAGE", "OscillationDamping", "OscillationFreezing"]


def quantized_weights(model: nn.Module, name: str) -> dict[nn.Parameter, WeightQuantizer]:
    """The latent weights of a quantised model, each once, with their quantisers.

    Raises InvalidArgumentError if there are none.
    """
    found: dict[nn.Parameter, WeightQuantizer] = {}
    for layer in model.modules():
        quantizer = weight_quantizer(layer)
        if quantizer is not None:
            original: Any = latent_parameter(layer)
            found[original] = quantizer
    require_quantized(found, name)
    return found


class _Leveled(ScheduledWrapper):
    """A scheduled wrapper of a quantised model, with the quantiser of each weight."""

    def __init__(self, optimizer: torch.optim.Optimizer, model: nn.Module, steps: int) -> None:
        found = quantized_weights(model, type(self).__name__)
        super().__init__(optimizer, found, steps)
        self.quantizers = list(found.values())

    def _pairs(self) -> Iterator[tuple[nn.Parameter, WeightQuantizer]]:
        return zip(self.targets, self.quantizers, strict=True)


class OscillationDamping(_Leveled):
    """Oscillation damping: a term that draws the weights to the middle of their levels.

    The loss gets lambda sum (Q(w) - w)^2, Q held constant, over the weights that lie between the
    smallest and the largest value of their tensor. Before the step:
    dL/dw := dL/dw + 2 lambda (w - Q(w)), lambda from 0 to ``strength`` by half a cosine.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    model : nn.Module
        Quantised; with a scale of the size of the weights, as Q(w) is to be near w.
    strength : float
        lambda at the end, at least 0; 0.1 in the paper.
    steps : int
        Steps of the whole training.

    Raises
    ------
    InvalidArgumentError
        If the model is not quantised, the optimiser does not hold its weights, or a number is out
        of range.

    References
    ----------
    M. Nagel, M. Fournarakis, Y. Bondarenko, T. Blankevoort, "Overcoming oscillations in
    quantization-aware training", ICML 2022.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import OscillationDamping, QuantConfig, quantize_
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> latent = layer.weight
    >>> _ = latent.data.copy_(torch.tensor([[0.5, -1.0]]))
    >>> model = quantize_(layer, QuantConfig(weight_scale="mean"))  # values +-0.75
    >>> sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> optimizer = OscillationDamping(sgd, model, strength=0.1, steps=1)
    >>> optimizer.steps = 1  # the end of the training
    >>> latent.grad = torch.zeros(1, 2)
    >>> optimizer.step()
    >>> latent.data  # 0.5 + 2 * 0.1 * 0.25; -1 lies beyond the values
    tensor([[ 0.5500, -1.0000]])
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        strength: float = 0.1,
        *,
        steps: int,
    ) -> None:
        super().__init__(optimizer, model, steps)
        self.strength = checks.number(strength, "strength", least=0)

    @property
    def factor(self) -> float:
        """Lambda of the next step."""
        return 0.5 * self.strength * (1.0 - math.cos(math.pi * self.progress))

    def _before(self) -> None:
        factor = self.factor
        if factor == 0.0:
            return
        for p, quantizer in self._pairs():
            if p.grad is not None:
                q = quantizer.value(p)
                inside = (p >= q.min()) & (p <= q.max())
                p.grad.add_((p - q) * inside, alpha=2.0 * factor)


class CAGE(_Leveled):
    """A pull of the weights to their levels, decoupled from the gradient, as weight decay can be.

    After the step: w <- w - lr lambda (w - Q(w)), lr the learning rate of the group, lambda 0 for
    the fraction ``silent`` of the steps, then growing evenly to ``strength``.

    The paper adds lambda (w - Q(w)) to the straight-through gradient, with a correction for
    curvature; schedule and defaults here are ours, and have not been checked against its code.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    model : nn.Module
        Quantised; with a scale of the size of the weights, as Q(w) is to be near w.
    strength : float
        lambda at the end, at least 0.
    silent : float
        From 0 to 1.
    steps : int
        Steps of the whole training.

    Raises
    ------
    InvalidArgumentError
        If the model is not quantised, the optimiser does not hold its weights, or a number is out
        of range.

    References
    ----------
    CAGE, arXiv 2510.18784.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import CAGE, QuantConfig, quantize_
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> latent = layer.weight
    >>> _ = latent.data.copy_(torch.tensor([[0.5, -1.0]]))
    >>> model = quantize_(layer, QuantConfig(weight_scale="mean"))  # values +-0.75
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> optimizer = CAGE(sgd, model, strength=1.0, silent=0.0, steps=1)
    >>> optimizer.steps = 1  # the end of the training
    >>> latent.grad = torch.zeros(1, 2)
    >>> optimizer.step()
    >>> latent.data
    tensor([[ 0.5250, -0.9750]])
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        strength: float = 1.0,
        silent: float = 0.5,
        *,
        steps: int,
    ) -> None:
        super().__init__(optimizer, model, steps)
        self.strength = checks.number(strength, "strength", least=0)
        self.silent = checks.number(silent, "silent, a fraction of the steps,", least=0, most=1)

    @property
    def factor(self) -> float:
        """Lambda of the next step."""
        if self.progress <= self.silent:
            return 0.0
        return self.strength * (self.progress - self.silent) / (1.0 - self.silent)

    def _after(self) -> None:
        factor = self.factor
        for p, quantizer in self._pairs():
            if factor > 0.0:
                p.sub_(p - quantizer.value(p), alpha=self._learning_rate(p) * factor)
        super()._after()


class OscillationFreezing(_Leveled):
    """Iterative freezing: weights that go to and fro between two levels are held in one.

    A weight oscillates in a step in which its level changes, in the direction opposite to its last
    change. f <- m o + (1 - m) f is the frequency of that, with o = 1 in such a step, else 0. Where
    f passes the threshold the weight is frozen on that side of the last change which is nearer to
    the running mean of its level, and stays there. The threshold goes from ``threshold`` to
    ``last_threshold`` by half a cosine.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    model : nn.Module
        Quantised.
    momentum : float
        m, above 0, at most 1; 0.01 in the paper.
    threshold, last_threshold : float
        At least 0; 0.1 and 0.01 in the paper, whose threshold differs with the network.
    steps : int
        Steps of the whole training.

    Raises
    ------
    InvalidArgumentError
        If the model is not quantised, the optimiser does not hold its weights, or a number is out
        of range.

    References
    ----------
    M. Nagel, M. Fournarakis, Y. Bondarenko, T. Blankevoort, "Overcoming oscillations in
    quantization-aware training", ICML 2022.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import OscillationFreezing, quantize_
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> latent = layer.weight
    >>> _ = latent.data.fill_(0.5)
    >>> model = quantize_(layer)
    >>> sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> optimizer = OscillationFreezing(sgd, model, momentum=1.0, steps=10)
    >>> for sign in (1.0, -1.0, 1.0, -1.0):
    ...     latent.grad = torch.full((1, 1), sign)
    ...     optimizer.step()
    ...     print(latent.item(), optimizer.frozen)
    -0.5 0.0
    -0.5 1.0
    -0.5 1.0
    -0.5 1.0
    """

    _kept: ClassVar[tuple[str, ...]] = ("_frequency", "_mean", "_direction", "_frozen", "_held")

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        momentum: float = 0.01,
        threshold: float = 0.1,
        last_threshold: float = 0.01,
        *,
        steps: int,
    ) -> None:
        super().__init__(optimizer, model, steps)
        self.momentum = checks.number(momentum, "momentum", above=0, most=1)
        self.threshold = checks.number(threshold, "threshold", least=0)
        self.last_threshold = checks.number(last_threshold, "last_threshold", least=0)
        self._mean = [q.level(p) for p, q in self._pairs()]
        self._frequency = [torch.zeros_like(p) for p in self.targets]
        self._direction = [torch.zeros_like(p) for p in self.targets]
        self._frozen = [torch.zeros_like(p, dtype=torch.bool) for p in self.targets]
        self._held = [p.detach().clone() for p in self.targets]
        self._old: list[tuple[Tensor, Tensor]] = []

    @property
    def frozen(self) -> float:
        """Fraction of the weights that are frozen."""
        count = sum(int(mask.sum()) for mask in self._frozen)
        return count / sum(mask.numel() for mask in self._frozen)

    @property
    def limit(self) -> float:
        """The threshold of the next step."""
        share = 0.5 * (1.0 + math.cos(math.pi * self.progress))
        return self.last_threshold + (self.threshold - self.last_threshold) * share

    def _before(self) -> None:
        self._old = [(p.detach().clone(), q.level(p)) for p, q in self._pairs()]

    def _after(self) -> None:
        m, limit = self.momentum, self.limit
        for i, (p, quantizer) in enumerate(self._pairs()):
            p.copy_(torch.where(self._frozen[i], self._held[i], p))
            before, level = self._old[i]
            now = quantizer.level(p)
            # levels are at least 2^(1 - bits) apart; less is rounding of the scale
            change = torch.where((now - level).abs() > 0.5**quantizer.bits, now - level, 0.0).sign()
            swings = (change * self._direction[i] < 0.0) & ~self._frozen[i]
            self._frequency[i].lerp_(swings.to(p.dtype), m)
            self._direction[i] = torch.where(change == 0.0, self._direction[i], change)
            fresh = swings & (self._frequency[i] > limit)
            back = (level - self._mean[i]).abs() < (now - self._mean[i]).abs()
            self._held[i] = torch.where(fresh, torch.where(back, before, p), self._held[i])
            self._frozen[i] |= fresh
            p.copy_(torch.where(self._frozen[i], self._held[i], p))
            self._mean[i].lerp_(now, m)
        self._old = []
        super()._after()
