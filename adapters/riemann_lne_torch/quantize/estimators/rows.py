"""Weights as rows, one row a block: the whole tensor, an output channel, or a group of weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, ShapeError

from ..levels import wide
from .base import Estimator, Site

__all__ = ["Blockwise", "checked_block", "from_rows", "to_rows"]

Block = str | int
_NAMES = ("layer", "channel")


def checked_block(block: Block) -> Block:
    """The block as a name or a whole number.

    Raises InvalidArgumentError if it is neither "layer" nor "channel" nor at least 1.
    """
    if block in _NAMES:
        return block
    if isinstance(block, str):
        raise InvalidArgumentError(
            f"block must be 'layer', 'channel' or the number of weights of a group, got {block!r}"
        )
    return checks.count(block, "block, the number of weights of a group,", least=1)


def to_rows(w: Tensor, site: Site, block: Block) -> Tensor:
    """The weights in shape (blocks, weights of a block), in float32 or better.

    Raises ShapeError if a group does not divide the weights of a channel, and what `wide` raises.
    """
    numbers = wide(w)
    if block == "layer" or w.ndim < 2:
        return numbers.reshape(1, -1)
    rows = numbers.movedim(site.channel_axis, 0).flatten(1)
    if isinstance(block, str):
        return rows
    if rows.shape[1] % block:
        raise ShapeError(
            f"a weight of shape {tuple(w.shape)} has {rows.shape[1]} numbers in a channel, which "
            f"groups of {block} do not divide; take another group, or block='channel'"
        )
    return rows.reshape(-1, block)


def from_rows(rows: Tensor, w: Tensor, site: Site) -> Tensor:
    """Back to the shape and type of w."""
    if w.ndim < 2 or len(rows) == 1:  # one row has the order of w, wherever the channels are
        return rows.reshape(w.shape).to(w.dtype)
    first = w.movedim(site.channel_axis, 0)
    return rows.reshape(first.shape).movedim(0, site.channel_axis).to(w.dtype)


@dataclass(frozen=True)
class Blockwise(Estimator):
    """An estimator whose scale or step belongs to a block."""

    block: Block = "channel"
    scales = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "block", checked_block(self.block))

    @property
    def per_channel(self) -> bool:  # type: ignore[override]
        """Whether a block lies within a channel."""
        return self.block != "layer"
