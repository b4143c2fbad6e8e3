"""Straight-through estimators and those that differ from them by a factor: STE, BWN, EWGS."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from ..levels import quantize_tensor, scale_factor, scaled, scaled_gradient
from .base import Estimator, Site, as_numbers, largest
from .registry import register_estimator

__all__ = ["BWN", "EWGS", "STE", "ClippedSTE"]

_BLOCKS = ("layer", "channel")


@register_estimator("ste")
@dataclass(frozen=True)
class STE(Estimator):
    """Straight-through estimator: the gradient is copied.

    Value: Q(w), Q1 or Qk of Eq. 37 and 38. Gradient: dL/dw := G, with G = dL/dQ.

    Same shapes and units throughout. Raises what `quantize_tensor` raises.

    References
    ----------
    Y. Bengio, N. Leonard, A. Courville, "Estimating or propagating gradients through stochastic
    neurons for conditional computation", 2013, arXiv 1308.3432.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import STE, estimate
    >>> w = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    >>> estimate(w, STE()).sum().backward()
    >>> w.grad
    tensor([1., 1., 1., 1.])
    """

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G."""
        return grad


@register_estimator("clipped-ste")
@dataclass(frozen=True)
class ClippedSTE(Estimator):
    """Straight-through estimator that stops outside of [-bound, bound].

    Value: Q(w). Gradient: dL/dw := G 1[|w| <= bound].

    Parameters
    ----------
    bound : float
        In the unit of w, greater than 0; 1 in the paper.

    Raises
    ------
    InvalidArgumentError
        If the bound is not greater than 0.

    References
    ----------
    I. Hubara, M. Courbariaux, D. Soudry, R. El-Yaniv, Y. Bengio, "Binarized neural networks",
    NeurIPS 2016; Eq. 1 and 25 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import ClippedSTE, estimate
    >>> w = torch.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
    >>> estimate(w, ClippedSTE()).sum().backward()
    >>> w.grad
    tensor([0., 1., 1., 0.])
    """

    bound: float = 1.0

    def __post_init__(self) -> None:
        as_numbers(self, "bound", unbounded=True)
        if not self.bound > 0.0:
            raise InvalidArgumentError(f"bound must be greater than 0, got {self.bound}")

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G 1[|w| <= bound]."""
        return grad * (w.abs() <= self.bound)


@register_estimator("bwn")
@dataclass(frozen=True)
class BWN(Estimator):
    """Binary weight network: levels times the mean magnitude.

    Value: a Q(w), a = mean|w| over the layer or each output channel. Gradient:
    dL/dw := a G 1[|w| <= 1], a held constant.

    Parameters
    ----------
    block : {"layer", "channel"}
        Weights that share one mean: those of the layer, or of an output channel.

    Raises
    ------
    UnknownNameError
        If the block has another name.

    References
    ----------
    M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi, "XNOR-Net: ImageNet classification using
    binary convolutional neural networks", ECCV 2016. The term 1/n that its gradient has
    beside a is left out. Where a = 0 the gradient is G: see `scale_factor`.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import BWN, estimate
    >>> w = torch.tensor([-2.0, -0.5, 0.5, 1.0], requires_grad=True)
    >>> q = estimate(w, BWN())
    >>> q.detach()
    tensor([-1., -1.,  1.,  1.])
    >>> q.sum().backward()
    >>> w.grad
    tensor([0., 1., 1., 1.])
    """

    block: str = "layer"
    scales = True

    def __post_init__(self) -> None:
        if self.block not in _BLOCKS:
            raise UnknownNameError("block", self.block, _BLOCKS)

    @property
    def per_channel(self) -> bool:  # type: ignore[override]
        """Whether the mean is over each channel."""
        return self.block == "channel"

    def _a(self, w: Tensor, site: Site) -> Tensor:
        kind = "mean-channel" if self.per_channel else "mean"
        a = scale_factor(w, kind, site.channel_axis)  # type: ignore[arg-type]
        assert a is not None
        return a

    def unit(self, w: Tensor, site: Site) -> Tensor:
        """The mean a."""
        return self._a(w, site)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """Value a Q(w)."""
        return scaled(quantize_tensor(w, site.bits), self._a(w, site))

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """Gradient a G 1[|w| <= 1]."""
        return scaled_gradient(grad, self._a(w, site)) * (w.abs() <= 1.0)


@register_estimator("ewgs")
@dataclass(frozen=True)
class EWGS(Estimator):
    """Element-wise gradient scaling: larger steps for weights that must cross to another level.

    Value: Q(w). Gradient: dL/dw := G (1 + delta sign(G) (x - x_q)), with x = w/(2 max|w|) + 1/2
    and x_q = (Q + 1)/2 both in [0, 1].

    Parameters
    ----------
    delta : float
        Dimensionless, at least 0; 0 is `STE`. The default is that of the authors' code.

    Raises
    ------
    InvalidArgumentError
        If delta is negative.

    References
    ----------
    J. Lee, D. Kim, B. Ham, "Network quantization with element-wise gradient scaling", CVPR 2021.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import EWGS, estimate
    >>> w = torch.tensor([-1.0, -0.5, 0.5, 1.0], requires_grad=True)
    >>> estimate(w, EWGS(delta=0.2)).sum().backward()
    >>> w.grad
    tensor([1.0000, 1.0500, 0.9500, 1.0000])
    """

    delta: float = 1e-3

    def __post_init__(self) -> None:
        as_numbers(self, "delta")
        if not self.delta >= 0.0:
            raise InvalidArgumentError(f"delta must be at least 0, got {self.delta}")

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G (1 + delta sign(G) (x - x_q)), written with x - x_q = (w/max|w| - Q)/2."""
        gap = 0.5 * (w / largest(w, site) - q)
        return grad + self.delta * grad.abs() * gap
