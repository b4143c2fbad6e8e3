"""Quantisers whose step is trained with the weights: LSQ and SEQ."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from riemann_lne import checks

from .base import Site
from .registry import register_estimator
from .rows import Block, Blockwise, from_rows, to_rows

__all__ = ["LSQ", "SEQ"]


@dataclass(frozen=True)
class _LearnedStep(Blockwise):
    """Base class with the step of each block, a parameter of the quantiser."""

    block: Block = "layer"
    learned = True

    def _step(self, w: Tensor, site: Site) -> Tensor:
        """|s| by row, kept away from 0."""
        step = self.first_step(w, site) if site.step is None else site.step
        return step.abs().clamp(min=torch.finfo(step.dtype).tiny).reshape(-1, 1)

    def _parts(self, w: Tensor, site: Site) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """By row: step, v = w/s, Q/s, and whether the gradient passes to w."""
        rows = to_rows(w, site, self.block)
        s = self._step(w, site).to(rows.dtype)
        v = rows / s
        return s, v, *self._rounded(v, site)

    @abstractmethod
    def _rounded(self, v: Tensor, site: Site) -> tuple[Tensor, Tensor]:
        """Q/s of v = w/s, and whether the gradient passes to w."""

    @abstractmethod
    def _largest(self, site: Site) -> float:
        """L of the gradient's scale 1 / sqrt(L N), N the number of weights in a block."""

    def unit(self, w: Tensor, site: Site) -> Tensor:
        """The step."""
        rows = to_rows(w.detach(), site, self.block)
        return from_rows(self._step(w, site).detach().to(rows.dtype).expand_as(rows), w, site)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """The nearest level."""
        s, _, level, _ = self._parts(w, site)
        return from_rows(s * level, w, site)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G 1[in range]."""
        passes = self._parts(w, site)[3]
        return grad * from_rows(passes.to(w.dtype), w, site)

    def backward_step(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """Sum of G (Q/s - v in range, Q/s outside) over the block, over sqrt(N largest level)."""
        assert site.step is not None
        _, v, level, passes = self._parts(w, site)
        g = to_rows(grad, site, self.block)
        total = (g * torch.where(passes, level - v, level)).sum(1)
        total = total / math.sqrt(v.shape[1] * self._largest(site))
        signed = torch.where(site.step < 0.0, -1.0, 1.0) * total.reshape(site.step.shape)
        return signed.to(site.step.dtype)


@register_estimator("lsq")
@dataclass(frozen=True)
class LSQ(_LearnedStep):
    """Learned step size quantisation.

    Value: s round(clip(v, -Qn, Qp)), v = w/s, Qn = 2^(k-1), Qp = 2^(k-1) - 1, s a parameter of the
    layer, of each channel or group. Gradients: dL/dw := G 1[-Qn <= v <= Qp];
    dL/ds := sum G (round v - v in range, -Qn below, Qp above) / sqrt(N Qp), N the weights of a
    block. In the unit of w.

    `quantize_` gives the quantiser a parameter ``step``, which starts at 2 mean|w|/sqrt(Qp): make
    the optimiser after it. Without one (in `estimate`) the step is that start, held constant.

    Parameters
    ----------
    block : "layer", "channel" or int
        Weights that share one step; a number is the size of groups.

    Raises
    ------
    InvalidArgumentError
        If the block has another name, or a quantiser has fewer than 2 bits.
    ShapeError
        If groups do not divide a channel.

    References
    ----------
    S. Esser, J. McKinstry, D. Bablani, R. Appuswamy, D. Modha, "Learned step size quantization",
    ICLR 2020.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import LSQ, Site, estimate
    >>> w = torch.tensor([-2.5, -0.6, 0.6, 2.5], requires_grad=True)
    >>> step = torch.tensor([1.0], requires_grad=True)
    >>> q = estimate(w, LSQ(), Site(bits=2, step=step))
    >>> q.detach()
    tensor([-2., -1.,  1.,  1.])
    >>> q.sum().backward()
    >>> w.grad, step.grad  # (-2 - 0.4 + 0.4 + 1)/sqrt(4 * 1)
    (tensor([0., 1., 1., 0.]), tensor([-0.5000]))
    """

    bits_needed = "needs 2 to 16 bits"

    def admits(self, bits: int) -> bool:
        """Two or more: with one there is no positive level."""
        return bits >= 2

    def first_step(self, w: Tensor, site: Site) -> Tensor:
        """2 mean|w|/sqrt(Qp) of each block; 1 for zeros."""
        mean = to_rows(w.detach(), site, self.block).abs().mean(1)
        start = 2.0 * mean / math.sqrt(max(self._largest(site), 1.0))
        return torch.where(start == 0.0, 1.0, start)

    def _largest(self, site: Site) -> float:
        return float(2 ** (site.bits - 1) - 1)

    def _rounded(self, v: Tensor, site: Site) -> tuple[Tensor, Tensor]:
        low, high = -float(2 ** (site.bits - 1)), self._largest(site)
        return v.clamp(low, high).round(), (v >= low) & (v <= high)


@register_estimator("seq")
@dataclass(frozen=True)
class SEQ(_LearnedStep):
    """Stretched elastic quantisation of ParetoQ: 2^k levels around zero, none at it.

    Value: s (round(n clip(v, -c, c) - 1/2) + 1/2)/n, v = w/s, n = 2^(k-1), c = 0.99; with
    ``ternary`` s round(3/2 clip(v))/(3/2), which has a zero. Gradients: dL/dw := G 1[|v| <= c];
    dL/ds as in `LSQ`, with n for Qp. In the unit of w.

    `quantize_` gives the quantiser a parameter ``step``, which starts at max|w| (at 2 mean|w| for
    one bit, whose levels are +-s/2): make the optimiser after it.

    Parameters
    ----------
    block : "layer", "channel" or int
    ternary : bool
        Three levels; for 2 bits.

    Raises
    ------
    InvalidArgumentError
        If an option is out of range.
    ShapeError
        If groups do not divide a channel.

    References
    ----------
    Z. Liu and others, "ParetoQ: scaling laws in extremely low-bit LLM quantization", 2025. The
    start of the step is ours.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import SEQ, Site, estimate
    >>> w = torch.tensor([-1.5, -0.3, 0.3, 0.6], requires_grad=True)
    >>> step = torch.tensor([1.0], requires_grad=True)
    >>> q = estimate(w, SEQ(), Site(bits=2, step=step))
    >>> q.detach()
    tensor([-0.7500, -0.2500,  0.2500,  0.7500])
    >>> q.sum().backward()
    >>> w.grad, step.grad  # (-0.75 + 0.05 - 0.05 + 0.15)/sqrt(4 * 2)
    (tensor([0., 1., 1., 1.]), tensor([-0.2121]))
    """

    ternary: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ternary", checks.flag(self.ternary, "ternary"))

    @property
    def bits_needed(self) -> str:  # type: ignore[override]
        """In words; empty where all numbers will do."""
        return "has three levels and needs 2 bits" if self.ternary else ""

    def admits(self, bits: int) -> bool:
        """Two bits with three levels, else all."""
        return bits == 2 or not self.ternary

    def first_step(self, w: Tensor, site: Site) -> Tensor:
        """max|w| of each block, 2 mean|w| for one bit; 1 for zeros."""
        size = to_rows(w.detach(), site, self.block).abs()
        start = 2.0 * size.mean(1) if site.bits == 1 else size.amax(1)
        return torch.where(start == 0.0, 1.0, start)

    def _largest(self, site: Site) -> float:
        return 1.5 if self.ternary else float(2 ** (site.bits - 1))

    def _rounded(self, v: Tensor, site: Site) -> tuple[Tensor, Tensor]:
        clip, n = 0.99, self._largest(site)
        shift = 0.0 if self.ternary else 0.5
        # beyond 7 bits the last level lies beyond the clip
        number = torch.floor(n * v.clamp(-clip, clip) - shift + 0.5)
        if not self.ternary:
            number = number.clamp(-n, n - 1.0)
        return (number + shift) / n, v.abs() <= clip
