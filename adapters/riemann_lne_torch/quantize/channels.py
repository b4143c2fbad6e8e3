"""Where the output channels of a weight lie: one answer for scales, estimators and blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError

__all__ = ["Channels", "register_channel_axis"]


@dataclass(frozen=True)
class Channels:
    """The output channels of a weight tensor.

    Attributes
    ----------
    axis : int
        Axis of the output channels.
    groups : int
        Number of parts into which axis 0 is divided, each with channels of its own along `axis`.
        It exceeds 1 for grouped transposed convolutions only: their weight has the shape
        (inputs, outputs/groups, ...), so that ``weight[:, k]`` holds channel k of every group.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantize.channels import Channels
    >>> weight = torch.nn.ConvTranspose1d(4, 6, 3, groups=2).weight  # (4, 3, 3)
    >>> Channels(1, groups=2).first(weight).shape
    torch.Size([6, 2, 3])
    """

    axis: int = 0
    groups: int = 1

    def count(self, shape: Sequence[int]) -> int:
        """Number of output channels."""
        return int(shape[self.axis]) * self.groups

    def view(self, w: Tensor) -> tuple[Tensor, int]:
        """A view of w whose first axes count the channels, and the number of these axes."""
        if self.groups == 1:
            return w.movedim(self.axis, 0), 1
        parts = w.reshape(self.groups, -1, *w.shape[1:])  # a view: one axis is cut in two
        return parts.movedim(self.axis + 1, 1), 2

    def first(self, w: Tensor) -> Tensor:
        """The tensor with its channels along axis 0; with groups a copy."""
        view, axes = self.view(w)
        return view.flatten(0, axes - 1)

    def back(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The inverse of `first`, for a tensor of that shape."""
        if self.groups == 1:
            return x.movedim(0, self.axis)
        parts = x.reshape(self.groups, -1, *x.shape[1:])
        return parts.movedim(1, self.axis + 1).reshape(tuple(shape))

    def per_channel(self, values: Tensor, w: Tensor) -> Tensor:
        """One value a channel, shape (channels,), in a shape that broadcasts against w."""
        if self.groups == 1:
            shape = [1] * w.ndim
            shape[self.axis] = -1
            return values.reshape(shape)
        each = values.reshape(self.groups, 1, -1).expand(-1, w.shape[0] // self.groups, -1)
        return each.reshape(w.shape[0], -1, *[1] * (w.ndim - 2))


_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_FIRST = (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding, nn.EmbeddingBag, nn.Bilinear)
# Classes by their module and name: the library need not be installed.
_ELSEWHERE = {("transformers.pytorch_utils", "Conv1D"): 1}
_REGISTERED: dict[type[nn.Module], int] = {}


def register_channel_axis(kind: type[nn.Module], axis: int) -> None:
    """Say which axis of the weight holds the output channels, for a class of layers.

    Scales and estimators that work by channel, and `LNECorrector` with ``block="channel"``, take
    it for this class and its subclasses. Convolutions, transposed and grouped ones too, linear
    layers, embeddings (one channel a row) and the Conv1D of GPT-2 are known.

    Parameters
    ----------
    kind : type of module
    axis : int

    Raises
    ------
    InvalidArgumentError
        If the axis is not a whole number, or `kind` is no class of modules.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import register_channel_axis
    >>> class InOut(torch.nn.Module):  # weight of shape (inputs, outputs)
    ...     pass
    >>> register_channel_axis(InOut, 1)
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InvalidArgumentError(f"kind must be a class of modules, got {checks.shown(kind)}")
    _REGISTERED[kind] = checks.count(axis, "axis", least=-8)


def known_channels(module: nn.Module) -> Channels | None:
    """The output channels of a layer's weight by its kind; None for kinds that are not known."""
    for kind in type(module).__mro__:
        if kind in _REGISTERED:
            return Channels(_REGISTERED[kind])
        axis = _ELSEWHERE.get((kind.__module__, kind.__name__))
        if axis is not None:
            return Channels(axis)
    if isinstance(module, _TRANSPOSED):
        return Channels(1, module.groups)
    return Channels() if isinstance(module, _FIRST) else None


def chosen_channels(module: nn.Module, weight: Tensor, axis: Any, where: str) -> Channels | None:
    """As `known_channels`, with the axis that was asked for, if any; checked against the shape."""
    known = known_channels(module)
    if axis is not None and weight.ndim:
        number = checks.count(axis, f"{where}channel_axis", least=-weight.ndim)
        if known is None or number not in (known.axis, known.axis - weight.ndim):
            known = Channels(number)
    if weight.ndim == 0:
        return None
    if known is not None and not -weight.ndim <= known.axis < weight.ndim:
        raise InvalidArgumentError(
            f"{where}channel_axis = {known.axis}, but its weight has the shape "
            f"{tuple(weight.shape)}; give an axis from 0 to {weight.ndim - 1}"
        )
    return None if known is None else Channels(known.axis % weight.ndim, known.groups)
