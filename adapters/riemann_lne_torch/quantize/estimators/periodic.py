"""Gradients that repeat from level to level: RDFS of StableQAT, and stacked sigmoids."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError

from ..levels import wide
from .base import Estimator, Site, as_numbers, largest
from .registry import register_estimator

__all__ = ["RDFS", "StackedSigmoid"]


def _position(w: Tensor, site: Site) -> Tensor:
    """Weights in units of the distance of two levels: level number i lies at i, from 0.

    In float32 or better: half precision does not tell places between two of many levels apart.
    """
    w = wide(w)
    return (2**site.bits - 1) * (0.5 * w / largest(w, site) + 0.5)


@register_estimator("rdfs")
@dataclass(frozen=True)
class RDFS(Estimator):
    """Rotated and damped Fourier surrogate of StableQAT: steep between levels, flat at them.

    Value: Q(w). Gradient: dL/dw := G (1 - S)/(1 + S), S = sqrt(2) pi a cos(pi (v + round v)), with
    v = (2^k - 1)(w/(2 max|w|) + 1/2) the weight in units of the distance of two levels, max held
    constant. The factor is 1 midway between two levels and (1 - sqrt(2) pi a)/(1 + sqrt(2) pi a)
    at them: 0.035 for a = 0.21. a = 0 is `STE`. Dimensionless.

    Parameters
    ----------
    amplitude : float
        a, at least 0 and below 1/(sqrt(2) pi) = 0.225, beyond which the factor changes its sign.

    Raises
    ------
    InvalidArgumentError
        If the amplitude is out of range.

    References
    ----------
    StableQAT, with the first term of its series alone; formula and a from its paper. The range of
    v follows from the largest weight, so that none is clipped.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import RDFS, estimate
    >>> w = torch.tensor([-1.0, -0.5, 0.0, 1.0], requires_grad=True)
    >>> estimate(w, RDFS()).sum().backward()
    >>> w.grad
    tensor([0.0347, 0.2050, 1.0000, 0.0347])
    """

    amplitude: float = 0.21

    def __post_init__(self) -> None:
        as_numbers(self, "amplitude")
        if not 0.0 <= self.amplitude < 1.0 / (math.sqrt(2.0) * math.pi):
            raise InvalidArgumentError(
                "amplitude must be at least 0 and below 1/(sqrt(2) pi) = 0.225, got "
                f"{self.amplitude}"
            )

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G (1 - S)/(1 + S)."""
        v = _position(w, site)
        # 2 round(v) less in the cosine, which has that period: a large angle loses its digits
        s = math.sqrt(2.0) * math.pi * self.amplitude * torch.cos(math.pi * (v - v.round()))
        return grad * ((1.0 - s) / (1.0 + s)).to(grad.dtype)


@register_estimator("stacked-sigmoid")
@dataclass(frozen=True)
class StackedSigmoid(Estimator):
    """The derivative of a stair of sigmoids, one between each two levels.

    Value: Q(w). Gradient: dL/dw := G sum_i alpha s(u_i)(1 - s(u_i)), u_i = alpha (v - i - 1/2), s
    the logistic function, v as in `RDFS`, i from 0 to 2^k - 2. A large alpha makes the stair
    sharp; a small one makes the gradient nearly constant. Dimensionless.

    Parameters
    ----------
    alpha : float
        Sharpness, above 0.

    Raises
    ------
    InvalidArgumentError
        If alpha is not above 0, or a quantiser has more than 8 bits.

    References
    ----------
    R. Gong and others, "Differentiable soft quantization: bridging full-precision and low-bit
    neural networks", ICCV 2019, has such a stair of tanh, each cut off at its two levels.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import StackedSigmoid, estimate
    >>> w = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    >>> estimate(w, StackedSigmoid(alpha=4.0)).sum().backward()
    >>> w.grad
    tensor([0.4200, 1.0000, 0.4200])
    """

    alpha: float = 1.0
    bits_needed = "needs 1 to 8 bits"

    def __post_init__(self) -> None:
        as_numbers(self, "alpha")
        if not self.alpha > 0.0:
            raise InvalidArgumentError(f"alpha must be above 0, got {self.alpha}")

    def admits(self, bits: int) -> bool:
        """Up to eight: there is a term for each two levels."""
        return bits <= 8

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G times the derivative of the stair."""
        v = _position(w, site)
        slope = torch.zeros_like(v)
        for i in range(2**site.bits - 1):
            s = torch.sigmoid(self.alpha * (v - i - 0.5))
            slope = slope + self.alpha * s * (1.0 - s)
        return grad * slope.to(grad.dtype)
