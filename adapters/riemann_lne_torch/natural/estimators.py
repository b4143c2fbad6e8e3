"""Estimators that apply a natural gradient of weight space at the quantiser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from ..quantize.estimators.base import Estimator, Site, as_numbers
from ..quantize.estimators.registry import register_estimator
from ..quantize.layers import refuse_sharded
from .functional import BLOCKS, POLICIES, compilable, note_natural
from .metrics import INVERSES

__all__ = ["LNE", "DualLNE", "FlowedLNE", "HessianLNE"]


@dataclass(frozen=True)
class _Natural(Estimator):
    """Base class with tau, its choice, and the blocks."""

    tau: float | str = "auto"
    target: float = 0.5
    block: str = "layer"
    natural = True

    def __post_init__(self) -> None:
        automatic = isinstance(self.tau, str)
        if automatic and self.tau != "auto":
            raise InvalidArgumentError(f"tau must be 'auto' or a number, got {self.tau!r}")
        as_numbers(self, *(("target",) if automatic else ("tau", "target")))
        if not automatic and not float(self.tau) > 0.0:
            raise InvalidArgumentError(f"tau must be finite and greater than 0, got {self.tau}")
        if not 0.0 < self.target < 1.0:
            raise InvalidArgumentError(
                f"target is the wanted |t|^2 and must lie between 0 and 1, got {self.target}"
            )
        if self.block not in BLOCKS:
            raise UnknownNameError("block", self.block, BLOCKS)

    @property
    def per_channel(self) -> bool:  # type: ignore[override]
        """Whether a block is an output channel."""
        return self.block == "channel"

    def _solve(
        self,
        w: Tensor,
        grad: Tensor,
        site: Site,
        metric: str,
        inverse: str = "exact",
        flow_time: float = 0.0,
        largest_factor: float = 1.0,
        on_indefinite: str = "rescale",
    ) -> Tensor:
        refuse_sharded(w)
        tau = None if isinstance(self.tau, str) else float(self.tau)
        if not torch.compiler.is_compiling():
            note_natural(w)
        return compilable(
            w,
            grad,
            metric=metric,
            inverse=inverse,
            block=self.block,
            tau=tau,
            target=float(self.target),
            flow_time=float(flow_time),
            largest_factor=float(largest_factor),
            on_indefinite=on_indefinite,
            channel_axis=site.channel_axis,
        )


@register_estimator("lne")
@dataclass(frozen=True)
class LNE(_Natural):
    """Natural gradient of the LNE metric g = I - t t^T, t = tanh(tau w).

    Value: Q(w). Gradient: dL/dw := g(w)^-1 G = G + c t (t.G), with c = 1/(1 - |t|^2) (exact) or
    1 (weak).

    Registered as ``"lne"``, ``"lne-weak"`` and ``"lne-channel"``. The same correction applied
    after the backward pass, without a change of the model, is `LNECorrector`.

    Parameters
    ----------
    tau : float or "auto"
        In one over the unit of w. ``"auto"``: in each block, so that |t|^2 = target.
    target : float
        Wanted |t|^2, between 0 and 1; dimensionless.
    block : {"layer", "channel"}
        Which weights make up one w of the formula: the whole tensor, or each output channel.
    inverse : {"exact", "weak"}
    on_indefinite : {"rescale", "weak", "raise"}
        What to do where a given tau is too large: take `target` in those blocks, take the weak
        inverse, or raise. The first two warn.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If an option has no meaning.
    NotPositiveDefiniteError
        In the backward pass, with ``on_indefinite="raise"``.

    References
    ----------
    Eq. 5, 16, 26 to 29 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import LNE, estimate
    >>> w = torch.tensor([0.5, -0.5], requires_grad=True)
    >>> estimate(w, LNE(tau=1.0)).backward(torch.tensor([1.0, 0.0]))
    >>> w.grad
    tensor([ 1.3728, -0.3728])
    """

    inverse: str = "exact"
    on_indefinite: str = "rescale"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inverse not in INVERSES:
            raise UnknownNameError("inverse", self.inverse, INVERSES)
        if self.on_indefinite not in POLICIES:
            raise UnknownNameError("policy", self.on_indefinite, POLICIES)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """Natural gradient g^-1 G."""
        return self._solve(
            w, grad, site, "lne", inverse=self.inverse, on_indefinite=self.on_indefinite
        )


register_estimator("lne-weak")(partial(LNE, inverse="weak"))
register_estimator("lne-channel")(partial(LNE, block="channel"))


@register_estimator("lne-hessian")
@dataclass(frozen=True)
class HessianLNE(_Natural):
    """Natural gradient of the Hessian metric h = diag(sech^2(tau w)) of the LNE potential.

    Value: Q(w). Gradient: dL/dw_i := min(cosh^2(tau w_i), largest_factor) G_i.

    Parameters
    ----------
    tau, target, block
        As for `LNE`; here every tau is admissible.
    largest_factor : float
        Largest factor, at least 1; dimensionless. cosh^2 grows without bound.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If an option has no meaning.

    References
    ----------
    Hessian of Eq. 14 of arXiv 2302.03390 v3; Eq. 5.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import HessianLNE, estimate
    >>> w = torch.tensor([0.0, 1.0, 5.0], requires_grad=True)
    >>> estimate(w, HessianLNE(tau=1.0)).sum().backward()
    >>> w.grad
    tensor([ 1.0000,  2.3811, 10.0000])
    """

    largest_factor: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        as_numbers(self, "largest_factor")
        if not self.largest_factor >= 1.0:
            raise InvalidArgumentError(
                f"largest_factor must be at least 1, got {self.largest_factor}"
            )

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """min(cosh^2, largest_factor) G."""
        return self._solve(w, grad, site, "hessian", largest_factor=self.largest_factor)


@register_estimator("lne-dual")
@dataclass(frozen=True)
class DualLNE(_Natural):
    """Natural gradient of the metric dual to the Hessian one: large weights are held back.

    Value: Q(w). Gradient: dL/dw_i := sech^2(tau w_i) G_i.

    Parameters
    ----------
    tau, target, block
        As for `LNE`; here every tau is admissible.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If an option has no meaning.

    References
    ----------
    Inverse of the Hessian of Eq. 14 of arXiv 2302.03390 v3 (not in the paper).

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import DualLNE, estimate
    >>> w = torch.tensor([0.0, 1.0, 5.0], requires_grad=True)
    >>> estimate(w, DualLNE(tau=1.0)).sum().backward()
    >>> w.grad
    tensor([1.0000e+00, 4.1997e-01, 1.8158e-04])
    """

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """sech^2(tau w) G."""
        return self._solve(w, grad, site, "dual")


@register_estimator("lne-flowed")
@dataclass(frozen=True)
class FlowedLNE(_Natural):
    """Natural gradient of the LNE metric after one step of the Ricci flow, g - 2 T Ric(g).

    Value: Q(w). Gradient: dL/dw := (g - 2 T Ric)^-1 G, T = flow_time/(n tau^2) for a block of n
    weights. Near w = 0 that is G/(1 + 2 flow_time (n - 1)/n).

    Parameters
    ----------
    tau, target, block
        As for `LNE`; g itself must be positive definite.
    flow_time : float
        Length of the step, dimensionless, at least 0; 0 is `LNE`.
    on_indefinite : {"rescale", "raise"}
        What to do where a given tau is too large: take `target` in those blocks, with a warning,
        or raise.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If an option has no meaning.
    NotPositiveDefiniteError
        In the backward pass, with ``on_indefinite="raise"``.

    References
    ----------
    Eq. 16 of arXiv 2302.03390 v3 and the exact Ricci tensor of that metric: see
    `riemann_lne.lne.FlowedLNEMetric`.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import FlowedLNE, estimate
    >>> w = torch.zeros(4, requires_grad=True)
    >>> estimate(w, FlowedLNE(flow_time=2.0)).sum().backward()
    >>> w.grad
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    flow_time: float = 0.5
    on_indefinite: str = "rescale"

    def __post_init__(self) -> None:
        super().__post_init__()
        as_numbers(self, "flow_time")
        if not self.flow_time >= 0.0:
            raise InvalidArgumentError(
                f"flow_time must be finite and at least 0, got {self.flow_time}"
            )
        if self.on_indefinite not in ("rescale", "raise"):
            raise UnknownNameError("policy", self.on_indefinite, ("rescale", "raise"))

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """Natural gradient (g - 2 T Ric)^-1 G."""
        return self._solve(
            w,
            grad,
            site,
            "flowed",
            flow_time=self.flow_time,
            on_indefinite=self.on_indefinite,
        )
