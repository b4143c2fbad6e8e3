"""Levels as classes: a softmax over them, ever harder (HESTIA), or drawn from (ReinMax)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError

from .base import Site, as_numbers
from .registry import register_estimator
from .rows import from_rows, to_rows
from .scaled_levels import RMSLevels

__all__ = ["Hestia", "ReinMax"]


@dataclass(frozen=True)
class _Softmax(RMSLevels):
    """Probabilities of the levels of `RMSLevels`, p_j ~ exp(-(v - j)^2/T).

    v is the weight in units of the distance of two levels, from the lowest one.
    """

    @property
    def bits_needed(self) -> str:  # type: ignore[override]
        """In words."""
        return "has three levels and needs 2 bits" if self.ternary else "needs 1 to 4 bits"

    def admits(self, bits: int) -> bool:
        """Two bits with three levels, else up to four: there is a term for each level."""
        return bits == 2 if self.ternary else bits <= 4

    def _position(self, w: Tensor, site: Site) -> tuple[Tensor, Tensor, int]:
        """By row: the scale s, v = n (w/s + 1)/2, and the number n of the last level."""
        rows = to_rows(w, site, self.block)
        s = self._of_rows(rows, site)[0]
        n = self._levels(site) - 1
        return s, 0.5 * n * (rows / torch.where(s == 0.0, 1.0, s) + 1.0), n

    def _value(self, s: Tensor, number: Tensor, n: int, w: Tensor, site: Site) -> Tensor:
        """The weights of these numbers of levels."""
        return from_rows(s * ((2.0 * number - n) / n), w, site)


def _near(v: Tensor, n: int) -> Tensor:
    """The number of the nearest level; ties up, as for `RMSLevels`."""
    return torch.floor(v + 0.5).clamp(0.0, float(n))


def _moments(v: Tensor, n: int, temperature: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest level r, and the mean and mean square of j - r under the softmax."""
    r = _near(v, n)
    # all levels at once: with the few that there are, a loop over them costs more in calls
    d = torch.arange(n + 1, dtype=v.dtype, device=v.device) - r[..., None]
    # (v - j)^2 less (v - r)^2: the nearest level has weight 1, and nothing overflows
    weight = torch.exp((2.0 * (v - r)[..., None] - d) * d / temperature)
    total, first = weight.sum(-1), (weight * d).sum(-1)
    return r, first / total, (weight * d * d).sum(-1) / total


@register_estimator("hestia")
@dataclass(frozen=True)
class Hestia(_Softmax):
    """HESTIA's softmax over the levels: soft in training, harder and harder, hard in the end.

    Value in training: s (2 E j - n)/n, E j = sum_j j p_j, p_j ~ exp(-(v - j)^2/T), with
    v = n (w/s + 1)/2 the weight in units of the distance of two levels, n the number of the last
    one, s that of `RMSLevels`. In evaluation, and for what is stored, the nearest level. Gradient:
    its derivative, dL/dw := G (2/T) Var j, s held constant. T = t_start (t_end/t_start)^(p^delay),
    p the progress.

    In the unit of w. The paper takes three levels and lets a tensor-wise Hessian trace slow the
    annealing of sensitive tensors; the exact logits, schedule and numbers here are our reading.
    ``delay`` above 1 keeps a layer soft for longer: give it by layer in ``overrides`` of
    `QuantConfig`, for instance from `hessian_traces`.

    Parameters
    ----------
    block : "layer", "channel" or int
    ternary : bool
    t_start, t_end : float
        T at progress 0 and 1, in squared distances of two levels.
    delay : float
        Above 0.

    Raises
    ------
    InvalidArgumentError
        If not 0 < t_end <= t_start, another option is out of range, or there are more than 4 bits.
    ShapeError
        If groups do not divide a channel.

    References
    ----------
    G. Wang and others, "Hestia: a Hessian-guided differentiable quantization-aware training
    framework for extremely low-bit LLMs", 2026, arXiv 2601.20745.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import Hestia, Site, estimate
    >>> for progress in (0.0, 1.0):
    ...     w = torch.tensor([-1.0, -0.1, 0.1, 1.4], requires_grad=True)
    ...     site = Site(bits=1, progress=progress, training=True)
    ...     q = estimate(w, Hestia("layer"), site)
    ...     q.sum().backward()
    ...     print(q.detach(), w.grad.round(decimals=4))
    tensor([-0.4274, -0.0499,  0.0499,  0.5292]) tensor([0.3074, 0.4974, 0.4974, 0.2048])
    tensor([-0.6887, -0.6171,  0.6171,  0.6887]) tensor([0.0000, 1.9701, 1.9701, 0.0000])
    """

    t_start: float = 1.0
    t_end: float = 0.05
    delay: float = 1.0
    scheduled = True

    def __post_init__(self) -> None:
        super().__post_init__()
        as_numbers(self, "t_start", "t_end", "delay")
        if not 0.0 < self.t_end <= self.t_start:
            raise InvalidArgumentError(
                "t_start and t_end must satisfy 0 < t_end <= t_start, got "
                f"{self.t_start}, {self.t_end}"
            )
        if not self.delay > 0.0:
            raise InvalidArgumentError(f"delay must be above 0, got {self.delay}")

    def temperature(self, progress: float | Tensor) -> float | Tensor:
        """T at that progress."""
        return self.t_start * (self.t_end / self.t_start) ** (progress**self.delay)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """The mean level in training, else the nearest one."""
        if not site.training:
            return super().forward(w, site)
        s, v, n = self._position(w, site)
        r, mean, _ = _moments(v, n, self.temperature(site.progress))
        return self._value(s, r + mean, n, w, site)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G (2/T) Var j."""
        _, v, n = self._position(w, site)
        t = self.temperature(site.progress)
        _, mean, square = _moments(v, n, t)
        return grad * from_rows((square - mean * mean) * (2.0 / t), w, site)


@register_estimator("reinmax")
@dataclass(frozen=True)
class ReinMax(_Softmax):
    """ReinMax: levels are drawn in training, with a gradient of second order.

    Value in training: level B, drawn with the probabilities p_j ~ exp(-(v - j)^2/T) of `Hestia`;
    in evaluation, and for what is stored, the nearest level. Gradient: with p' = (p + e_B)/2,
    dL/dw := G (2/T) (2 Var_p' j - Var_p j/2), which is the derivative of 2 p' - p/2 with p'
    written as a softmax, s held constant. With ``sample=False`` B is the nearest level in training
    too: the estimator's second order is then lost, as nothing is drawn. In the unit of w.

    ReinMax is for classes that are drawn. Its use on the levels of a weight, and T, are ours.

    Parameters
    ----------
    block : "layer", "channel" or int
    ternary : bool
    temperature : float
        T, above 0, in squared distances of two levels.
    sample : bool

    Raises
    ------
    InvalidArgumentError
        If an option is out of range, or there are more than 4 bits.
    ShapeError
        If groups do not divide a channel.

    References
    ----------
    L. Liu, C. Dong, X. Liu, B. Yu, J. Gao, "Bridging discrete and backpropagation:
    straight-through and beyond", NeurIPS 2023, arXiv 2304.08612.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import ReinMax, Site, estimate
    >>> w = torch.tensor([-1.0, -0.1, 0.1, 1.4], requires_grad=True)
    >>> q = estimate(w, ReinMax("layer", sample=False), Site(bits=1, training=True))
    >>> q.sum().backward()
    >>> q.detach(), w.grad.round(decimals=1)
    (tensor([-0.6887, -0.6887,  0.6887,  0.6887]), tensor([0.0000, 1.4000, 1.4000, 0.0000]))
    """

    temperature: float = 0.25
    sample: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        as_numbers(self, "temperature")
        object.__setattr__(self, "sample", checks.flag(self.sample, "sample"))
        if not self.temperature > 0.0:
            raise InvalidArgumentError(f"temperature must be above 0, got {self.temperature}")

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """A level that is drawn in training, else the nearest one."""
        if not (site.training and self.sample):
            return super().forward(w, site)
        s, v, n = self._position(w, site)
        levels = torch.arange(n + 1, dtype=v.dtype, device=v.device)
        logits = -(v[..., None] - levels).square() / self.temperature
        summed = torch.softmax(logits, -1).cumsum(-1)[..., :-1]
        number = (torch.rand_like(v)[..., None] > summed).sum(-1)
        return self._value(s, number.to(v.dtype), n, w, site)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G (2/T) (2 Var_p' j - Var_p j/2)."""
        s, v, n = self._position(w, site)
        r, mean, square = _moments(v, n, self.temperature)
        ratio = to_rows(q, site, self.block) / torch.where(s == 0.0, 1.0, s)
        drawn = (0.5 * n * (ratio + 1.0)).round() - r
        both = 0.5 * (mean + drawn)
        slope = 2.0 * (0.5 * (square + drawn * drawn) - both * both) - 0.5 * (square - mean * mean)
        return grad * from_rows(slope * (2.0 / self.temperature), w, site)
