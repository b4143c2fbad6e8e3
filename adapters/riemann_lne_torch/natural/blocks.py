"""A parameter and its gradient seen as blocks, in pieces small enough to compute with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard, placement_types

from riemann_lne.errors import DTypeError, InvalidArgumentError

from ..quantize.channels import Channels
from .selection import Weight

BLOCKS = ("layer", "channel", "network", "weight")

# A piece is at most this many numbers: a few MiB of temporaries, whatever the layer's size.
_LARGEST_PIECE = 1 << 18
_SMALLEST_PIECE = 1 << 12

# FSDP2 over tensor parallelism cuts an axis that is cut already, in a kind of shard of its own.
_CUT = (Shard, getattr(placement_types, "_StridedShard", Shard))


@dataclass(frozen=True)
class Local:
    """This process's part of a weight and its gradient, as (rows, columns), both writable.

    A row is a block, or a part of one; `write_back` brings a gradient that could not be seen as
    such without a copy back into place.
    """

    weight: Tensor
    gradient: Tensor
    target: Tensor | None = None

    def write_back(self) -> None:
        if self.target is not None:
            self.target.copy_(self.gradient.view(self.target.shape))

    def pieces(self, limit: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Rows that a piece covers, and its weights and gradients.

        Whole rows where they are short; else parts of one row.
        """
        rows, columns = self.weight.shape
        if not self.weight.numel():  # a process may hold nothing of a sharded layer
            return
        if columns <= limit:
            step = max(1, limit // max(columns, 1))
            for start in range(0, rows, step):
                part = slice(start, min(start + step, rows))
                yield part, self.weight[part], self.gradient[part]
            return
        for row in range(rows):
            for start in range(0, columns, limit):
                part = slice(row, row + 1)
                columns_part = slice(start, start + limit)
                yield part, self.weight[part, columns_part], self.gradient[part, columns_part]


def piece_limit(weights: Sequence[Weight]) -> int:
    """Size of what is held at a time: less than the largest layer, within bounds."""
    largest = max(_local(w.parameter).numel() for w in weights)
    return min(max(3 * largest // 4, _SMALLEST_PIECE), _LARGEST_PIECE)


def open_weight(weight: Weight, block: str) -> Local:
    """This process's part of a weight and of its gradient as rows: one a channel, or one in all.

    Raises
    ------
    DTypeError
        If the gradient is sparse.
    InvalidArgumentError
        If the gradient of a sharded parameter is laid out differently from the parameter.
    """
    parameter, gradient = weight.parameter.detach(), weight.parameter.grad
    assert gradient is not None
    if gradient.layout is not torch.strided:
        raise DTypeError(
            f"layer {weight.name!r}: its gradient has layout {gradient.layout}; make it dense "
            "(for an embedding: sparse=False)"
        )
    placements = getattr(parameter, "placements", None)
    if placements is not None and getattr(gradient, "placements", None) != placements:
        raise InvalidArgumentError(
            f"layer {weight.name!r}: its gradient is not sharded as the parameter is; call "
            "the corrector after the backward pass has reduced the gradients"
        )
    channels = weight.channels if block == "channel" else None
    return _rows(_local(parameter), _local(gradient.detach()), channels)


def open_values(weight: Weight) -> Local:
    """A weight as one row, which stands for its gradient too."""
    values = weight.parameter.detach().reshape(1, -1)
    return Local(values, values)


def _rows(parameter: Tensor, gradient: Tensor, channels: Channels | None) -> Local:
    """The weights and gradients of each channel as a row; of the whole tensor without channels."""
    first, rows = min(parameter.ndim, 1), 1
    if channels is not None:
        rows = channels.count(parameter.shape)
        (parameter, first), (gradient, _) = channels.view(parameter), channels.view(gradient)
    target: Tensor | None = None
    # In memory order of the weight, so that channels-last layers need no copy either.
    strides = parameter.stride()
    inner = sorted(range(first, parameter.ndim), key=lambda axis: -strides[axis])
    order = [*range(first), *inner]
    w, g = parameter.permute(order), gradient.permute(order)
    if not g.is_contiguous():
        target = g
    columns = parameter.numel() // max(rows, 1)
    return Local(
        w.reshape(rows, columns),
        g.reshape(rows, columns) if target is None else g.contiguous().view(rows, columns),
        target,
    )


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def row_count(weight: Weight, block: str) -> int:
    """Number of rows that this process holds of a weight, or of which it holds a part."""
    return int(_local(weight.parameter).shape[weight.channel_axis]) if block == "channel" else 1


def shard_groups(weight: Weight) -> list[Any]:
    """Process groups over which sums of this parameter's parts have to be added."""
    parameter = weight.parameter
    if not isinstance(parameter, DTensor):
        return []
    mesh, placements = parameter.device_mesh, parameter.placements
    return [mesh.get_group(axis) for axis, p in enumerate(placements) if isinstance(p, _CUT)]


def require_layout(weight: Weight, block: str) -> None:
    """Refuse sharded parameters whose blocks cannot be added up from the processes' parts.

    Raises
    ------
    InvalidArgumentError
        If a parameter is neither cut nor whole on the processes of a mesh (partial sums), or
        channels are cut by the sharding. Names the layer.
    """
    parameter = weight.parameter
    if not isinstance(parameter, DTensor):
        return
    for placement in parameter.placements:
        if not isinstance(placement, (*_CUT, Replicate)):
            raise InvalidArgumentError(
                f"layer {weight.name!r}: its placement {placement} is neither a shard nor a "
                "replica; redistribute the parameter before the optimiser and the corrector are "
                "made"
            )
    axes = {p.dim for p in parameter.placements if isinstance(p, _CUT)}
    place = weight.channels
    if block == "channel" and (axes - {place.axis} or (axes and place.groups > 1)):
        raise InvalidArgumentError(
            f"layer {weight.name!r}: sharded along axes {sorted(axes)}, which cuts its output "
            f"channels (axis {place.axis}); use block='layer'"
        )
