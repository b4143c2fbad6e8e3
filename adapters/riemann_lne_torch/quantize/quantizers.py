"""Quantisers as modules: what `quantize_` puts on weights and in front of layers."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from .channels import Channels
from .estimators import STE, ClippedSTE, Estimator, Site, estimate, get_estimator
from .estimators.base import Wrapping, checked
from .levels import (
    SCALES,
    Scale,
    check_bits,
    quantize_binary,
    quantize_tensor,
    quantize_uniform,
    require_floating,
    scale_factor,
    scaled,
)

__all__ = [
    "ActivationQuantizer",
    "WeightQuantizer",
    "quantize_binary",
    "quantize_tensor",
    "quantize_uniform",
    "scale_factor",
]

ACTIVATION_SCALES = ("none", "max")
ACTIVATION_RANGES = ("batch", "running", "learned")


class _Quantizer(nn.Module):
    """Base of both quantisers: bits, estimator, the progress that schedules need."""

    progress: Tensor | None

    def __init__(self, bits: int, estimator: Estimator | str, scale: Scale) -> None:
        super().__init__()
        self.bits = check_bits(bits)
        self.estimator = get_estimator(estimator)
        if not self.estimator.admits(self.bits):
            raise InvalidArgumentError(
                f"{self.estimator!r} {self.estimator.bits_needed}, got bits = {self.bits}; change "
                "one of them"
            )
        if self.estimator.scales and scale != "none":
            raise InvalidArgumentError(
                f"{self.estimator!r} has a scale of its own; leave the other one at 'none'"
            )
        self.scale: Scale = scale
        self.fraction = 0.0  # of the training: what a checkpoint without progress leaves
        # in a buffer, and only where it matters: training resumes where it was
        # on the host, whatever the default device is: the quantiser moves with its layer
        progress = torch.zeros((), device="cpu") if self.estimator.scheduled else None
        self.register_buffer("progress", progress)

    def set_progress(self, fraction: float) -> None:
        """Set the fraction of training that is done, for estimators with a schedule.

        Raises InvalidArgumentError if it is not between 0 and 1.

        >>> from riemann_lne_torch.quantizers import WeightQuantizer
        >>> quantizer = WeightQuantizer(1, "ede")
        >>> quantizer.set_progress(0.5)
        >>> quantizer.progress
        tensor(0.5000)
        """
        value = checks.number(fraction, "progress, the fraction of training done, from 0 to 1,")
        if not 0.0 <= value <= 1.0:
            raise InvalidArgumentError(
                f"progress is the fraction of training done, from 0 to 1, got {fraction}"
            )
        self.fraction = value
        if self.progress is not None:
            self.progress.fill_(value)

    def site(self, training: bool = False) -> Site:
        """The estimator's information beside the tensor: see `Site`."""
        progress = 0.0 if self.progress is None else self.progress
        return Site(self.bits, 0, progress, None, training)

    def value(self, x: Tensor) -> Tensor:
        """The discrete values of x, without a gradient."""
        site = self.site()
        with torch.no_grad():
            q = self.estimator.forward(x, site)
            return scaled(q, self.factor(x))

    def factor(self, x: Tensor) -> Tensor | None:
        """The factor a of the levels of x: see `scale_factor`."""
        return scale_factor(x, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """The discrete values of x, with the estimator's gradient; shape and type of x."""
        return scaled(estimate(x, self.estimator, self.site(self.training)), self.factor(x))

    def extra_repr(self) -> str:
        """Bits, estimator and scale."""
        return f"bits={self.bits}, estimator={self.estimator!r}, scale={self.scale!r}"


@dataclass(frozen=True)
class _ByGroup(Wrapping):
    """An estimator that works by channel, on a weight whose channels do not lie along one axis."""

    channels: Channels
    per_channel = True

    def unit(self, w: Tensor, site: Site) -> Tensor | None:
        unit = self.inner.unit(self.channels.first(w), self._first(site))
        if unit is None:
            return None
        first = self.channels.first(w)
        return self.channels.back(unit.expand_as(first).contiguous(), w.shape)

    def first_step(self, w: Tensor, site: Site) -> Tensor:
        return self.inner.first_step(self.channels.first(w), self._first(site))

    def backward_step(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        first = self.channels.first
        return self.inner.backward_step(first(w), first(q), first(grad), self._first(site))

    def _first(self, site: Site) -> Site:
        return replace(site, channel_axis=0)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        q = self.inner.forward(self.channels.first(w), self._first(site))
        return self.channels.back(q, w.shape)

    def transformed(self, w: Tensor, site: Site) -> Tensor:
        z = self.inner.transformed(self.channels.first(w), self._first(site))
        return self.channels.back(z, w.shape)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        first = self.channels.first
        result = self.inner.backward(first(w), first(q), first(grad), self._first(site))
        return self.channels.back(result, w.shape)


class WeightQuantizer(_Quantizer):
    """Quantiser of a weight tensor: a Q(w), with an estimator for the gradient.

    A parametrisation in the sense of `torch.nn.utils.parametrize`. a is 1 or the scale, held
    constant, so that the estimator is given dL/dQ = a dL/d(a Q).

    Parameters
    ----------
    bits : int
        From 1 to 16.
    estimator : Estimator or str
    scale : {"none", "mean", "mean-channel", "max"}
        ``"none"`` is the paper's form; the others bring the levels to the size of the weights:
        see `scale_factor`.
    channel_axis : int
        Axis of the output channels.
    channel_groups : int
        Of a grouped transposed convolution the number of groups: see `Channels`.

    Raises
    ------
    InvalidArgumentError
        If bits is not an integer from 1 to 16, or the estimator has a scale of its own and
        another one is asked for.
    UnknownNameError
        If the estimator or the scale is not known.

    References
    ----------
    Eq. 37 and 38 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantizers import WeightQuantizer
    >>> quantizer = WeightQuantizer(1, "ste", scale="mean")
    >>> quantizer(torch.tensor([1.0, -3.0]))
    tensor([ 2., -2.])
    """

    step: nn.Parameter | None

    def __init__(
        self,
        bits: int = 1,
        estimator: Estimator | str = STE(),  # noqa: B008  a frozen value
        scale: Scale = "none",
        channel_axis: int = 0,
        channel_groups: int = 1,
    ) -> None:
        if scale not in SCALES:
            raise UnknownNameError("scale of weights", scale, SCALES)
        super().__init__(bits, estimator, scale)
        self.channels = Channels(channel_axis, channel_groups)
        self.guarded = False  # set once it is on a layer
        self.register_parameter("step", None)
        if channel_groups > 1 and self.estimator.per_channel:
            self.estimator = _ByGroup(self.estimator, self.channels)

    @property
    def channel_axis(self) -> int:
        """Axis of the output channels."""
        return self.channels.axis

    @property
    def block(self) -> str | int:
        """The weights that share a scale or step: "layer", "channel", or the number in a group.

        >>> from riemann_lne_torch.quantizers import WeightQuantizer
        >>> WeightQuantizer(2, "rms").block, WeightQuantizer(1, "ste", "mean").block
        ('channel', 'layer')
        """
        inner = self.estimator
        while isinstance(inner, _ByGroup):
            inner = inner.inner
        own = getattr(inner, "block", None) if inner.scales or inner.learned else None
        if own is not None:
            return own
        return "channel" if inner.per_channel or self.scale == "mean-channel" else "layer"

    @torch.no_grad()
    def unit(self, w: Tensor) -> Tensor | None:
        """The unit of each value: the estimator's own, or the factor; None where neither is.

        >>> import torch
        >>> from riemann_lne_torch.quantizers import WeightQuantizer
        >>> WeightQuantizer(1, "ste", "mean").unit(torch.tensor([0.2, -0.4]))
        tensor(0.3000)
        """
        own = self.estimator.unit(w, self.site())
        return self.factor(w) if own is None else own

    @torch.no_grad()
    def level(self, w: Tensor) -> Tensor:
        """The discrete values without their scale: equal numbers are one level."""
        site = self.site()
        q, unit = self.estimator.forward(w, site), self.estimator.unit(w, site)
        return q if unit is None else q / torch.where(unit == 0.0, 1.0, unit)

    def factor(self, x: Tensor) -> Tensor | None:
        """The factor a of the levels, with one value a channel for ``"mean-channel"``."""
        return scale_factor(x, self.scale, self.channels.axis, self.channels.groups)

    def site(self, training: bool = False) -> Site:
        """The estimator's information beside the weights."""
        progress = 0.0 if self.progress is None else self.progress
        return Site(self.bits, self.channel_axis, progress, self.step, training)

    def start_step(self, w: Tensor) -> None:
        """Make the parameter ``step`` of an estimator with a learned step, from the weights."""
        if self.estimator.learned:
            first = self.estimator.first_step(w.detach(), self.site())
            checked(self.estimator, "first_step", first, None)
            self.step = nn.Parameter(first.clone(), requires_grad=w.requires_grad)

    def forward(self, x: Tensor) -> Tensor:
        """The discrete values of the weights, with the estimator's gradient."""
        q = super().forward(x)
        if not torch.compiler.is_compiling():
            q._riemann_lne_discrete = True  # type: ignore[attr-defined]
        return q

    def right_inverse(self, w: Tensor) -> Tensor:
        """Assigning to ``layer.weight`` sets the latent weights.

        Raises
        ------
        InvalidArgumentError
            If w is the weight of a quantised layer or was computed from it: its discrete values
            would replace the latent ones.

        Warns
        -----
        UserWarning
            If w holds discrete values only.
        """
        if not self.guarded:
            return w
        if w.grad_fn is not None or getattr(w, "_riemann_lne_discrete", False):
            raise InvalidArgumentError(
                "what is assigned to this layer's weight comes from a quantised layer or another "
                "computation, and would replace the latent weights by discrete ones. To tie "
                "weights, call dequantize_(model), tie, then quantize_ again; to set the latent "
                "weights, assign a tensor without a graph (latent_parameters(model) are those of "
                "other layers)"
            )
        if not w.is_meta and self._is_discrete(w):
            warnings.warn(
                "the tensor assigned to a quantised layer's weight holds discrete values only, "
                "which now are its latent weights; if it came from a quantised layer, take the "
                "latent ones: latent_parameters(model)",
                stacklevel=5,
            )
        return w

    def _is_discrete(self, w: Tensor) -> bool:
        """Whether quantising would leave the values as they are, up to rounding."""
        if not w.is_floating_point() or w.numel() < 2:
            return False
        rounding = 8.0 * torch.finfo(w.dtype).eps
        return torch.allclose(self.value(w.detach()), w.detach(), rtol=rounding, atol=0.0)

    def settings(self) -> tuple[Any, ...]:
        """Settings that must agree between layers that share one weight."""
        by_channel = self.estimator.per_channel or self.scale == "mean-channel"
        channels = self.channels if by_channel else None
        return self.bits, repr(self.estimator), self.scale, channels


class ActivationQuantizer(_Quantizer):
    """Quantiser of the input of a layer: a Q(x), over the range of a batch or one that is kept.

    With a range r that is kept, running or learned, the value is Q(u), u = clip(x/r, -1, 1), the
    levels of Q evenly spaced in [-1, 1], times r for scale "max". The gradient is the estimator's
    at u, and zero outside of the range. A learned r gets the derivative of the value: for the
    straight-through estimator and scale "max" dL/dr = sum G (Q(u) - u in range, Q(u) outside)
    over sqrt(N L), N the numbers of one sample and L = (2^k - 1)/2, as `LSQ` scales it.

    Parameters
    ----------
    bits : int
        From 1 to 16.
    estimator : Estimator or str, optional
        By default the clipped straight-through estimator for one bit, Eq. 25, and the plain one
        for more: Qk is scaled to the largest input and clips nothing.
    scale : {"none", "max"}
        ``"none"``: levels on [-1, 1] as in Eq. 38. ``"max"``: times max|x| (or r), so that the
        values keep their size.
    range : {"batch", "running", "learned"}
        ``"batch"``: max|x| of the tensor at hand. ``"running"``: r is a running mean of max|x| over
        the batches of training, r <- r + momentum (max|x| - r), a buffer. ``"learned"``: r is a
        parameter; it starts at max|x| of the first batch of training.
    momentum : float
        Of ``"running"``, above 0, at most 1.

    Raises
    ------
    InvalidArgumentError
        If bits is not an integer from 1 to 16, the estimator has a scale of its own and a range is
        to be kept, or momentum is out of range.
    UnknownNameError
        If the estimator, the scale or the range is not known.

    Notes
    -----
    With ``"batch"`` and more than one bit the result for one sample depends on the others of its
    batch, in evaluation too. A range that is kept does not: before the first batch of training it
    is that of the tensor at hand. Under DistributedDataParallel a running range is that of
    process 0, which broadcasts its buffers, as for batch norm; a learned one starts at the largest
    of all processes, and is averaged as any parameter.

    References
    ----------
    Eq. 37 and 38 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantizers import ActivationQuantizer
    >>> ActivationQuantizer(2, scale="max")(torch.tensor([0.2, 1.8, 3.0]))
    tensor([1., 1., 3.])
    >>> quantizer = ActivationQuantizer(2, scale="max", range="running")
    >>> _ = quantizer(torch.tensor([0.0, 3.0]))  # in training: r = 3
    >>> quantizer.eval()(torch.tensor([0.2, 1.8, 6.0]))
    tensor([1., 1., 3.])
    """

    range: Tensor | None

    def __init__(
        self,
        bits: int = 1,
        estimator: Estimator | str | None = None,
        scale: Scale = "none",
        range: str = "batch",
        momentum: float = 0.1,
    ) -> None:
        if range not in ACTIVATION_RANGES:
            raise UnknownNameError("range of activations", range, ACTIVATION_RANGES)
        if scale not in ACTIVATION_SCALES:
            raise UnknownNameError("scale of activations", scale, ACTIVATION_SCALES)
        if estimator is None:
            estimator = ClippedSTE() if bits == 1 else STE()
        super().__init__(bits, estimator, scale)
        if self.estimator.learned:
            raise InvalidArgumentError(
                f"{self.estimator!r} learns a step from the weights of a layer, and an input has "
                "none; take another activation_estimator"
            )
        if self.estimator.scales and range != "batch":
            raise InvalidArgumentError(
                f"{self.estimator!r} has a scale of its own, and range={range!r} gives it another; "
                "take another activation_estimator, or activation_range='batch'"
            )
        self.kind, self.momentum = range, checks.number(momentum, "momentum", above=0, most=1)
        # not a scalar, which FSDP2 does not shard; 0 until the first batch of training
        start = torch.zeros(1, device="cpu")
        self.register_buffer("range", start if range == "running" else None)
        if range == "learned":
            del self._buffers["range"]
            self.register_parameter("range", nn.Parameter(start))
        self.started = False
        self.frozen = False
        self.arguments: tuple[tuple[str, int | None], ...] | None = (("input", 0),)
        self.reached = False

    def forward(self, x: Tensor) -> Tensor:
        """The discrete values of x; without a gradient once the model is finalised.

        An empty batch is passed on as it is.
        """
        if x.numel() == 0:
            require_floating(x)
            return x.detach() if self.frozen else x
        if self.range is not None:
            return self._in_range(x)
        return self.value(x) if self.frozen else super().forward(x)

    def require_range(self, where: str = "") -> None:
        """Refuse a kept range that no batch has set yet: InvalidArgumentError."""
        # a learned range may become negative: its size counts
        if self.range is not None and not bool(self.range.abs() > 0.0):
            raise InvalidArgumentError(
                f"{where}the range of its input is not known yet (activation_range={self.kind!r}): "
                "run a batch through the model in training mode first"
            )

    def _in_range(self, x: Tensor) -> Tensor:
        require_floating(x)
        if self.training and not self.frozen:
            self._observe(x)
        r = self._present(x)
        u = (x / r).clamp(-1.0, 1.0)
        if self.frozen:
            with torch.no_grad():
                q = self.estimator.forward(u, self._unit_site(False))
        else:
            q = estimate(u, self.estimator, self._unit_site(self.training))
        result = q * r if self.scale == "max" else q
        return result.detach() if self.frozen else result

    def _unit_site(self, training: bool) -> Site:
        progress = 0.0 if self.progress is None else self.progress
        return Site(self.bits, 0, progress, None, training, 1.0)

    def _present(self, x: Tensor) -> Tensor:
        """The range for this tensor, in its type."""
        r = self.range
        assert r is not None
        if self.frozen:
            return r.detach().abs().to(x.dtype)
        largest = x.detach().abs().max().to(r.dtype)
        largest = torch.where(largest > 0.0, largest, 1.0)
        if self.kind == "learned":
            # the size of its gradient, as LSQ's: the value stays what it is
            share = 1.0 / math.sqrt(x[:1].numel() * (2**self.bits - 1) / 2.0)
            unknown = r.detach() == 0.0
            r = r * share + (r - r * share).detach()
            r = r.abs().clamp(min=torch.finfo(r.dtype).tiny)
            return torch.where(unknown, largest, r).to(x.dtype)
        # a copy: the next batch writes to the buffer, and the backward pass needs this one
        return torch.where(r > 0.0, r, largest).to(x.dtype)

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        """Take a batch of training into the range."""
        r = self.range
        assert r is not None
        if self.kind == "running":
            largest = x.abs().max().to(r.dtype)
            new = torch.where(r > 0.0, torch.lerp(r, largest.expand(1), self.momentum), largest)
            r.copy_(torch.where(torch.isfinite(largest), new, r))
        elif not self.started:
            self.started = bool(r != 0.0)  # a checkpoint was loaded
            if not self.started:
                largest = x.abs().max().to(r.dtype).reshape(1)
                if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
                    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
                if bool(torch.isfinite(largest) & (largest > 0.0)):
                    r.copy_(largest)
                    self.started = True
