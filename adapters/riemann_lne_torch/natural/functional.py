"""The natural gradient of a tensor of weights, by the core's metrics, block by block."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from riemann_lne import lne

from .metrics import NEAR_ONE, Diagonal, flow_step

__all__ = ["natural_gradient"]

_NATURAL: Any = WeakTensorKeyDictionary()

BLOCKS = ("layer", "channel")
POLICIES = ("rescale", "weak", "raise")


def natural_gradient(
    w: Tensor,
    v: Tensor,
    *,
    metric: str = "lne",
    inverse: str = "exact",
    block: str = "layer",
    tau: float | None = None,
    target: float = 0.5,
    flow_time: float = 0.5,
    largest_factor: float = 10.0,
    on_indefinite: str = "rescale",
    channel_axis: int = 0,
) -> Tensor:
    """Product g(w)^-1 v with a metric of weight space, one block of weights at a time, in O(n).

    Parameters
    ----------
    w, v : Tensor, any shape
        Weights and gradient.
    metric : {"lne", "hessian", "dual", "flowed"}
        g = I - t t^T of Eq. 16; h = diag(sech^2(tau w)); the inverse of h; or g after one step
        of the Ricci flow.
    inverse : {"exact", "weak"}
        Of ``"lne"``: v + t (t.v)/s or v + t (t.v).
    block : {"layer", "channel"}
        Which weights make up one xi of Eq. 16.
    tau : float, optional
        In one over the unit of w; by default it is chosen in each block so that
        |tanh(tau w)|^2 = target.
    target : float
        Between 0 and 1.
    flow_time : float
        Of ``"flowed"``, dimensionless, at least 0: the step of the flow is
        T = flow_time/(n tau^2) for a block of n weights.
    largest_factor : float
        Largest factor of ``"hessian"``, which else grows without bound.
    on_indefinite : {"rescale", "weak", "raise"}
        What to do where a given tau is too large for g to be positive definite: take `target` in
        those blocks, the weak inverse for all, or raise. The first two give a warning.
    channel_axis : int
        Axis of the output channels.

    Returns
    -------
    Tensor, shape and type of v
        In the unit of v.

    Raises
    ------
    NotPositiveDefiniteError
        With ``on_indefinite="raise"``.
    DTypeError, ShapeError
        As the core's metrics.

    References
    ----------
    Eq. 5, 16, 26 to 29 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.natural.functional import natural_gradient
    >>> w, v = torch.tensor([0.5, -0.5]), torch.tensor([1.0, 0.0])
    >>> natural_gradient(w, v, tau=1.0)
    tensor([ 1.3728, -0.3728])
    """
    blocks = _blocks(w, block, channel_axis)
    given = tau is not None
    if metric in ("lne", "flowed") and v.device.type != "mps":
        norm2 = lne.LNEMetric(tau).norm2(blocks) if given else target
        if w.dtype is not torch.float64 and bool(torch.as_tensor(norm2 > NEAR_ONE).any()):
            blocks = blocks.double()  # the inverse divides by 1 - |t|^2
    rows = _blocks(v, block, channel_axis).to(torch.promote_types(v.dtype, blocks.dtype))
    scale: Any = tau if given else lne.auto_tau(blocks, target, check=False)
    if given and metric in ("lne", "flowed") and (inverse == "exact" or metric == "flowed"):
        scale, inverse = _admissible(blocks, scale, inverse, metric, target, on_indefinite)
    if metric == "lne":
        result = lne.LNEMetric(scale).solve(blocks, rows, method=inverse, check=False)
    elif metric in ("hessian", "dual"):
        result = Diagonal(metric, "exact", largest_factor).finish(blocks, rows, scale)
    else:
        time = flow_step(flow_time, blocks.shape[-1], scale)
        result = lne.FlowedLNEMetric(scale, time).solve(blocks, rows, check=False)
    return _unblocked(result.to(v.dtype), v, block, channel_axis)


def note_natural(w: Tensor) -> None:
    """Remember a parameter whose gradient is made natural here."""
    if w.is_leaf and w.requires_grad:
        _NATURAL[w] = True


def is_natural(parameter: Tensor) -> bool:
    """Whether an estimator has made the gradient of this parameter natural."""
    return len(_NATURAL) > 0 and parameter in _NATURAL  # mostly there are none: a quick look


def _blocks(w: Tensor, block: str, channel_axis: int) -> Tensor:
    """The tensor as (blocks, weights of a block).

    A single block keeps its axis: for a plain vector `auto_tau` reads a number back from the
    device.
    """
    if block == "layer" or w.ndim == 0:
        return w.reshape(1, -1)
    rows = w.movedim(channel_axis, 0)
    return rows.reshape(len(rows), rows.numel() // max(len(rows), 1))


def _unblocked(rows: Tensor, like: Tensor, block: str, channel_axis: int) -> Tensor:
    if block == "layer" or like.ndim == 0:
        return rows.reshape(like.shape)
    moved = like.movedim(channel_axis, 0)
    return rows.reshape(moved.shape).movedim(0, channel_axis).contiguous()


def _admissible(
    blocks: Tensor, tau: float, inverse: str, metric: str, target: float, policy: str
) -> tuple[Any, str]:
    """A tau, and a form of the inverse, for which the metric can be inverted.

    Waits for the device, which is the price of a tau given by hand.
    """
    g = lne.LNEMetric(tau)
    indefinite = ~g.is_positive_definite(blocks.detach())
    if not bool(indefinite.any()):
        return tau, inverse
    if policy == "raise":
        g.determinant(blocks.detach())  # raises, naming block, |t|^2 and the largest tau
    if policy == "weak" and metric == "lne":
        warnings.warn(
            "tau is too large for I - t t^T to be positive definite: the weak inverse is taken; "
            "choose a smaller tau, or tau='auto'",
            stacklevel=3,
        )
        return tau, "weak"
    warnings.warn(
        "tau is too large for I - t t^T to be positive definite in some blocks: there the tau "
        "with |tanh(tau w)|^2 = target is taken; choose a smaller tau, or tau='auto'",
        stacklevel=3,
    )
    automatic = lne.auto_tau(blocks, target, check=False)
    return torch.where(indefinite, automatic, tau), inverse


# A compiler sees one operation and not the core's array code, which looks at values in places.
@torch.library.custom_op("riemann_lne::natural_gradient", mutates_args=())
def _operation(
    w: Tensor,
    v: Tensor,
    metric: str,
    inverse: str,
    block: str,
    tau: float | None,
    target: float,
    flow_time: float,
    largest_factor: float,
    on_indefinite: str,
    channel_axis: int,
) -> Tensor:
    result = natural_gradient(
        w,
        v,
        metric=metric,
        inverse=inverse,
        block=block,
        tau=tau,
        target=target,
        flow_time=flow_time,
        largest_factor=largest_factor,
        on_indefinite=on_indefinite,
        channel_axis=channel_axis,
    )
    return result.contiguous()


@_operation.register_fake
def _(w: Tensor, v: Tensor, *options: Any) -> Tensor:
    return torch.empty_like(v, memory_format=torch.contiguous_format)


def compilable(w: Tensor, v: Tensor, **options: Any) -> Tensor:
    """`natural_gradient`, as one operation of its own while a model is compiled."""
    if torch.compiler.is_compiling():
        return _operation(
            w,
            v,
            options["metric"],
            options["inverse"],
            options["block"],
            options["tau"],
            options["target"],
            options["flow_time"],
            options["largest_factor"],
            options["on_indefinite"],
            options["channel_axis"],
        )
    return natural_gradient(w, v, **options)
