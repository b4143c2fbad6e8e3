"""Estimators whose gradient is that of a smooth function: DoReFa, EDE, ReSTE; standardisation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError, ShapeError

from ..levels import other_axes, quantize_tensor, wide
from .base import Estimator, Site, Wrapping, as_numbers, largest
from .registry import register_estimator
from .straight_through import STE

__all__ = ["EDE", "DoReFa", "ReSTE", "Standardized"]


@register_estimator("dorefa")
@dataclass(frozen=True)
class DoReFa(Estimator):
    """DoReFa-Net's weights: tanh squeezes the weights before they are rounded.

    Value: Qk(tanh w); the division by max|tanh w| is in Qk. Gradient:
    dL/dw := G (1 - tanh^2 w)/max|tanh w|, max held constant.

    For one bit the value is sign(w), without DoReFa-Net's scale E|w| (as in MetaQuant's code,
    with which the paper compares); ``weight_scale="mean"`` of `QuantConfig` adds it. Dimensionless.
    Raises what `quantize_tensor` raises.

    References
    ----------
    S. Zhou, Y. Wu, Z. Ni, X. Zhou, H. Wen, Y. Zou, "DoReFa-Net: training low bitwidth
    convolutional neural networks with low bitwidth gradients", 2016, arXiv 1606.06160.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import DoReFa, estimate
    >>> w = torch.tensor([-2.0, 0.0, 1.0], requires_grad=True)
    >>> estimate(w, DoReFa()).sum().backward()
    >>> w.grad
    tensor([0.0733, 1.0373, 0.4356])
    """

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """Value Qk(tanh w)."""
        squeezed = None if site.largest is None else math.tanh(site.largest)
        return quantize_tensor(torch.tanh(w), site.bits, squeezed)

    def transformed(self, w: Tensor, site: Site) -> Tensor:
        """tanh(w)/(2 max|tanh w|) + 1/2, in [0, 1]."""
        t = torch.tanh(w)
        return 0.5 * t / self._largest(t, site) + 0.5

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G (1 - tanh^2 w)/max|tanh w|."""
        t = torch.tanh(w)
        return grad * (1.0 - t * t) / self._largest(t, site)

    @staticmethod
    def _largest(t: Tensor, site: Site) -> Tensor | float:
        """max|tanh w|."""
        return largest(t, site) if site.largest is None else math.tanh(site.largest)


def _as_tensor(progress: float | Tensor) -> Tensor:
    """The progress for arithmetic: as it is, or in double precision from a Python number."""
    if isinstance(progress, Tensor):
        return progress
    return torch.tensor(progress, dtype=torch.float64, device="cpu")


def _standardize(w: Tensor, site: Site, center: bool) -> tuple[Tensor, Tensor]:
    """Weights less the mean (if asked) over the standard deviation of each channel, and that.

    The unbiased standard deviation, as the codes of IR-Net and ReSTE take it; 1 for a channel of
    equal weights.
    """
    numbers = wide(w)
    axes = other_axes(w, site.channel_axis) if w.ndim else ()
    if not axes or w.numel() == w.shape[site.channel_axis]:
        raise ShapeError(
            f"a tensor of shape {tuple(w.shape)} has one weight in each channel, which has no "
            "standard deviation; use another estimator for this layer, or skip it"
        )
    mean = numbers.mean(dim=axes, keepdim=True)
    spread = (numbers - mean).square().sum(dim=axes, keepdim=True)
    deviation = (spread / (w.numel() // w.shape[site.channel_axis] - 1)).sqrt()
    # Equal weights can leave a rounding error of the mean behind, which must not be blown up.
    floor = 4.0 * torch.finfo(numbers.dtype).eps * mean.abs()
    deviation = torch.where(deviation <= floor, 1.0, deviation)
    centred = numbers - mean if center else numbers
    return (centred / deviation).to(w.dtype), deviation.to(w.dtype)


@register_estimator("standardized")
@dataclass(frozen=True)
class Standardized(Wrapping):
    """Another estimator on weights of unit standard deviation in each output channel.

    Value: Q(z^), z^ = scale (w - mean)/sd, or scale w/sd without `center`. Gradient: that of the
    inner estimator at z^. With ``differentiate=True`` it is carried back to w through the
    standardisation, u -> scale (u - mean(u) - z (z.u)/(n - 1))/sd with z = z^/scale and n weights
    in a channel (without center: z w-centred instead, and no mean is subtracted).

    Estimators with thresholds at fixed |w| (`ReSTE`, `ClippedSTE`) need weights of known size.

    Parameters
    ----------
    inner : Estimator
    scale : float
        Dimensionless, greater than 0.
    center : bool
        Subtract the mean of the channel. It changes the value: sign(w - mean).
    differentiate : bool
        Whether the gradient is carried back through the standardisation.

    Raises
    ------
    InvalidArgumentError
        If scale is not greater than 0, or inner is no estimator.
    ShapeError
        For a layer with one weight in each channel.

    References
    ----------
    H. Qin, R. Gong, X. Liu, M. Shen, Z. Wei, F. Yu, J. Song, "Forward and backward information
    retention for accurate binary neural networks" (IR-Net), CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import ClippedSTE, Standardized, estimate
    >>> w = torch.tensor([[0.01, 0.02, 0.03, 0.10]], requires_grad=True)
    >>> q = estimate(w, Standardized(ClippedSTE()))
    >>> q.detach()
    tensor([[-1., -1., -1.,  1.]])
    >>> q.sum().backward()
    >>> w.grad
    tensor([[1., 1., 1., 0.]])
    """

    inner: Estimator = field(default_factory=STE)
    scale: float = 1.0
    center: bool = True
    differentiate: bool = False
    per_channel = True

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Estimator):
            raise InvalidArgumentError(f"inner must be an estimator, got {self.inner!r}")
        as_numbers(self, "scale")
        if not self.scale > 0.0:
            raise InvalidArgumentError(f"scale must be greater than 0, got {self.scale}")

    def unit(self, w: Tensor, site: Site) -> Tensor | None:
        """As the inner estimator."""
        return self.inner.unit(self.transformed(w, site), site)

    def first_step(self, w: Tensor, site: Site) -> Tensor:
        """As the inner estimator at z^."""
        return self.inner.first_step(self.transformed(w, site), site)

    def backward_step(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """As the inner estimator at z^."""
        return self.inner.backward_step(self.transformed(w, site), q, grad, site)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """Value Q(z^)."""
        return self.inner.forward(self.transformed(w, site), site)

    def transformed(self, w: Tensor, site: Site) -> Tensor:
        """z^."""
        return self.scale * _standardize(w, site, self.center)[0]

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """The inner gradient at z^, carried back to w if asked."""
        z, deviation = _standardize(w, site, self.center)
        u = self.inner.backward(self.scale * z, q, grad, site)
        if not self.differentiate:
            return u
        axes = other_axes(w, site.channel_axis)
        n = w.numel() // w.shape[site.channel_axis]
        along = (z * u).sum(dim=axes, keepdim=True) / (n - 1)
        # d sd/dw_i = (w_i - mean)/((n - 1) sd), whether or not the mean is subtracted from w
        direction = z - z.mean(dim=axes, keepdim=True)
        result = u - direction * along
        if self.center:
            result = result - u.mean(dim=axes, keepdim=True)
        return self.scale * result / deviation


@register_estimator("ede")
@dataclass(frozen=True)
class EDE(Estimator):
    """Error decay estimator of IR-Net: the gradient of k tanh(t z), which sharpens in training.

    Value: Q(z^), z^ = (w - mean)/sd of each output channel. Gradient:
    dL/dw := G k t (1 - tanh^2(t z^)), with t = t_min (t_max/t_min)^progress and k = max(1/t, 1).

    The factor dz^/dw is left out by default: it is carried along with ``differentiate=True``, as
    autograd does in the authors' code (the gradient then scales like 1/sd). IR-Net's scale, a
    power of two, is ``weight_scale`` of `QuantConfig` here. Dimensionless.

    Parameters
    ----------
    t_min, t_max : float
        Sharpness at progress 0 and 1; 0.1 and 10 in the paper.
    standardize : bool
        False: z^ = w.
    differentiate : bool
        Carry the gradient through the standardisation: see `Standardized`.

    Raises
    ------
    InvalidArgumentError
        If not 0 < t_min <= t_max.
    ShapeError
        For a layer with one weight in each channel.

    References
    ----------
    H. Qin, R. Gong, X. Liu, M. Shen, Z. Wei, F. Yu, J. Song, "Forward and backward information
    retention for accurate binary neural networks" (IR-Net), CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import EDE, Site, estimate
    >>> for progress in (0.0, 1.0):
    ...     w = torch.tensor([[-1.0, -0.1, 0.1, 1.0]], requires_grad=True)
    ...     estimate(w, EDE(), Site(progress=progress)).sum().backward()
    ...     print(w.grad)
    tensor([[0.9853, 0.9999, 0.9999, 0.9853]])
    tensor([[1.0396e-09, 2.9564e+00, 2.9564e+00, 1.0396e-09]])
    """

    t_min: float = 0.1
    t_max: float = 10.0
    standardize: bool = True
    differentiate: bool = False
    scheduled = True

    def __post_init__(self) -> None:
        as_numbers(self, "t_min", "t_max")
        if not 0.0 < self.t_min <= self.t_max:
            raise InvalidArgumentError(
                f"t_min and t_max must satisfy 0 < t_min <= t_max, got {self.t_min}, {self.t_max}"
            )

    @property
    def per_channel(self) -> bool:  # type: ignore[override]
        """Whether weights are standardised."""
        return self.standardize

    def schedule(self, progress: float | Tensor) -> tuple[Tensor, Tensor]:
        """The sharpness t and the factor k at that progress."""
        t = self.t_min * (self.t_max / self.t_min) ** _as_tensor(progress)
        return t, (1.0 / t).clamp(min=1.0)

    def _chain(self) -> Estimator:
        core = _TanhDecay(self)
        if not self.standardize:
            return core
        return Standardized(core, differentiate=self.differentiate)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """Value Q(z^)."""
        return self._chain().forward(w, site)

    def transformed(self, w: Tensor, site: Site) -> Tensor:
        """z^."""
        return self._chain().transformed(w, site)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G k t (1 - tanh^2(t z^))."""
        return self._chain().backward(w, q, grad, site)


class _TanhDecay(Estimator):
    """EDE on weights that are already standardised."""

    def __init__(self, options: EDE) -> None:
        self.options = options

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        t, k = (a.to(w.dtype) for a in self.options.schedule(site.progress))
        # sech^2 from cosh: 1 - tanh^2 loses all digits in the tails; 40 keeps cosh^2 finite
        slope = torch.cosh((t * w).clamp(-40.0, 40.0)).square().reciprocal()
        return grad * (k * t) * slope


@register_estimator("reste")
@dataclass(frozen=True)
class ReSTE(Estimator):
    """Rectified straight-through estimator: the gradient of sign(w)|w|^(1/o), o growing.

    Value: Q(w). Gradient: dL/dw := m^(1/o)/m G for |w| <= m (a difference quotient, where the
    derivative would grow without bound), |w|^((1 - o)/o)/o G for m < |w| <= bound, 0 beyond. o
    goes from 1 (the clipped STE) to o_max by half a cosine:
    o = 1 + (o_max - 1)(1 - cos(pi progress))/2.

    The thresholds are in the unit of w. The authors standardise the weights first, which is
    ``Standardized(ReSTE())`` here. The spread of 0.05 that fresh layers have lies below m.

    Parameters
    ----------
    o_max : float
        Power at the end, at least 1; 3 in the paper.
    bound : float
        1.5 in the paper.
    small : float
        m, 0.1 in the paper.

    Raises
    ------
    InvalidArgumentError
        If not o_max >= 1 and 0 < small < bound.

    References
    ----------
    X.-M. Wu, D. Zheng, Z. Liu, W.-S. Zheng, "Estimator meets equilibrium perspective: a rectified
    straight through estimator for binary neural networks training", ICCV 2023.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import ReSTE, Site, estimate
    >>> w = torch.tensor([0.05, 0.5, 1.0, 2.0], requires_grad=True)
    >>> estimate(w, ReSTE(), Site(progress=1.0)).sum().backward()
    >>> w.grad
    tensor([4.6416, 0.5291, 0.3333, 0.0000])
    """

    o_max: float = 3.0
    bound: float = 1.5
    small: float = 0.1
    scheduled = True

    def __post_init__(self) -> None:
        as_numbers(self, "o_max", "small")
        as_numbers(self, "bound", unbounded=True)
        if not (self.o_max >= 1.0 and 0.0 < self.small < self.bound):
            raise InvalidArgumentError(
                "ReSTE needs o_max >= 1 and 0 < small < bound, got "
                f"o_max={self.o_max}, small={self.small}, bound={self.bound}"
            )

    def schedule(self, progress: float | Tensor) -> Tensor:
        """The power o at that progress."""
        angle = math.pi * _as_tensor(progress)
        return 1.0 + 0.5 * (self.o_max - 1.0) * (1.0 - torch.cos(angle))

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """The piecewise factor above, times G."""
        o = self.schedule(site.progress).to(w.dtype)
        size = w.abs()
        # the smallest |w| is raised to m before the power is taken, so that 0 gives no infinity
        slope = size.clamp(min=self.small).pow((1.0 - o) / o) / o
        slope = torch.where(size <= self.small, self.small ** (1.0 / o) / self.small, slope)
        return grad * torch.where(size <= self.bound, slope, 0.0)
