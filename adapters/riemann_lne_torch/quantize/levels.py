"""The discrete levels: Q1 and Qk of Eq. 37 and 38, and the scales that may multiply them.

Pure functions of tensors. They have no gradient of use; estimators give them one.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor

from riemann_lne.errors import DTypeError, InvalidArgumentError, ShapeError, UnknownNameError
from riemann_lne.lne.levels import MAX_BITS, check_bits, even_levels, sign_levels

from .channels import Channels

__all__ = [
    "MAX_BITS",
    "check_bits",
    "quantize_binary",
    "quantize_tensor",
    "quantize_uniform",
    "scale_factor",
]

Scale = Literal["none", "mean", "mean-channel", "max"]
SCALES = ("none", "mean", "mean-channel", "max")


def quantize_binary(w: Tensor) -> Tensor:
    """Q1(w) = sign(w) with sign(0) = +1, in {-1, +1}.

    Parameters
    ----------
    w : Tensor, any shape with at least one element
        Real floating point.

    Returns
    -------
    Tensor, shape of w
        Dimensionless. NaN stays NaN, so that a broken run is seen.

    Raises
    ------
    DTypeError, ShapeError
        If w is not real floating point (complex, integer, boolean), or empty.

    References
    ----------
    Eq. 37 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantize.levels import quantize_binary
    >>> quantize_binary(torch.tensor([-0.3, 0.0, 0.7]))
    tensor([-1.,  1.,  1.])
    """
    _require_weights(w)
    return cast(Tensor, sign_levels(w, torch))


def quantize_uniform(w: Tensor, bits: int, largest: float | None = None) -> Tensor:
    """Qk(w) = 2/(2^k - 1) round[(2^k - 1)(w/(2 max|w|) + 1/2)] - 1: 2^k levels on [-1, 1].

    The levels are evenly spaced and both ends are included; max is over the tensor. Ties go to
    the even level number (`torch.round`). A tensor of zeros is treated as if max|w| were 1: its
    elements lie midway between the two inner levels and become the positive one,
    1/(2^k - 1), as sign(0) = +1 does for one bit.

    Parameters
    ----------
    w : Tensor, any shape with at least one element
        Real floating point. Half precision is computed in float32 and rounded once.
    bits : int
        k, from 2 to 16.
    largest : float, optional
        In place of max|w|, above 0; no element may be larger.

    Returns
    -------
    Tensor, shape of w
        Dimensionless. NaN or infinity in w gives NaN.

    Raises
    ------
    InvalidArgumentError
        If bits is not an integer from 2 to 16.
    DTypeError, ShapeError
        If w is not real floating point, or empty.

    References
    ----------
    Eq. 38 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantize.levels import quantize_uniform
    >>> quantize_uniform(torch.tensor([-2.0, -0.5, 0.1, 2.0]), bits=2)
    tensor([-1.0000, -0.3333,  0.3333,  1.0000])
    """
    check_bits(bits)
    if bits == 1:
        raise InvalidArgumentError("Eq. 38 is for 2 bits or more; one bit is quantize_binary")
    levels: Tensor = even_levels(_normalized(w, largest), bits, torch)
    return levels.to(w.dtype)


def quantize_tensor(w: Tensor, bits: int, largest: float | None = None) -> Tensor:
    """Q1(w) for one bit, Qk(w) for more: see `quantize_binary` and `quantize_uniform`.

    Dimensionless, shape of w. Raises InvalidArgumentError for bits that are not an integer from
    1 to 16, DTypeError or ShapeError for w that is not real floating point or empty. Source: Eq.
    37 and 38 of arXiv 2302.03390 v3.

    >>> import torch
    >>> from riemann_lne_torch.quantize.levels import quantize_tensor
    >>> w = torch.tensor([-1.0, -0.1, 0.6])
    >>> quantize_tensor(w, 1)
    tensor([-1., -1.,  1.])
    >>> quantize_tensor(w, 2)
    tensor([-1.0000, -0.3333,  0.3333])
    """
    check_bits(bits)
    return quantize_binary(w) if bits == 1 else quantize_uniform(w, bits, largest)


def scale_factor(
    w: Tensor, scale: Scale, channel_axis: int = 0, channel_groups: int = 1
) -> Tensor | None:
    """The factor a that multiplies the levels: 1 (None), mean|w| or max|w|.

    Parameters
    ----------
    w : Tensor, any shape with at least one element
    scale : {"none", "mean", "mean-channel", "max"}
        ``"mean"`` and ``"max"`` are over the tensor; ``"mean-channel"`` over all axes but
        `channel_axis`.
    channel_axis : int
        Axis of the output channels.
    channel_groups : int
        Of a grouped transposed convolution the number of groups: see `Channels`.

    Returns
    -------
    Tensor or None
        In the unit of w; shape () or one that broadcasts against w. No gradient passes: a is
        held constant. Quantisers pass the gradient as it is where a = 0 (weights that are all
        zero), so that training can leave it.

    Raises
    ------
    UnknownNameError
        If the scale has another name.
    DTypeError, ShapeError
        If w is not real floating point, or empty.

    References
    ----------
    Mean: M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi, "XNOR-Net: ImageNet classification
    using binary convolutional neural networks", ECCV 2016.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantize.levels import scale_factor
    >>> scale_factor(torch.tensor([[1.0, -3.0], [0.5, 0.5]]), "mean-channel")
    tensor([[2.0000],
            [0.5000]])
    """
    if scale not in SCALES:
        raise UnknownNameError("scale", scale, SCALES)
    if scale == "none":
        return None
    size = wide(w.detach()).abs()
    if scale == "max":
        a = size.max()
    elif scale == "mean":
        a = size.mean()
    else:
        channels = Channels(channel_axis % max(w.ndim, 1), channel_groups)
        rows = channels.first(size)
        means = rows.mean(dim=tuple(range(1, rows.ndim))) if rows.ndim > 1 else rows
        a = channels.per_channel(means, w)
    return a.to(w.dtype)


def scaled(q: Tensor, a: Tensor | None) -> Tensor:
    """The product a q; where a is zero, the gradient of q passes as if a were 1.

    A mean of zero (a pruned channel, a matrix that starts at zero) makes the value zero. Multiplied
    by zero the gradient would be too, and such weights could never leave zero again.
    """
    if a is None:
        return q
    return scaled_gradient(q, a) - torch.where(a == 0.0, q.detach(), 0.0)


def scaled_gradient(grad: Tensor, a: Tensor) -> Tensor:
    """The product a G; G where a is zero."""
    return torch.where(a == 0.0, 1.0, a) * grad


def other_axes(w: Tensor, channel_axis: int) -> tuple[int, ...]:
    """All axes but that of the channels."""
    return tuple(axis for axis in range(w.ndim) if axis != channel_axis % w.ndim)


def max_magnitude(w: Tensor) -> Tensor:
    """The largest |w|, or 1 where all are zero, held constant; float32 for half precision."""
    largest = wide(w.detach()).abs().max()  # amax() has no ONNX form
    return torch.where(largest == 0.0, 1.0, largest)


def _normalized(w: Tensor, largest: float | None) -> Tensor:
    """Ratio w/max|w|, in [-1, 1]; zeros for a tensor of zeros."""
    return wide(w) / (max_magnitude(w) if largest is None else largest)


def wide(w: Tensor) -> Tensor:
    """The tensor in a type in which 2^16 numbers can be told apart."""
    _require_weights(w)
    return w.float() if w.dtype in (torch.float16, torch.bfloat16) else w


def _require_weights(w: Tensor) -> None:
    """Refuse tensors that are not real floating point, or empty."""
    require_floating(w)
    if w.numel() == 0:
        raise ShapeError(
            f"cannot quantise an empty tensor, shape {tuple(w.shape)}; give at least one weight"
        )


def require_floating(w: Tensor, where: str = "") -> None:
    """Refuse tensors that are not real floating point; `where` names the layer."""
    if not w.is_floating_point() or w.dtype.itemsize < 2:
        raise DTypeError(
            f"{where}cannot quantise a tensor of type {w.dtype}: a real floating-point type of 16 "
            "bits or more is needed"
        )
