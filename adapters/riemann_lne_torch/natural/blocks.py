"""A parameter and its gradient seen as blocks, in pieces small enough to compute with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard, placement_types

from riemann_lne import checks
from riemann_lne.errors import DTypeError, InvalidArgumentError, ShapeError, UnknownNameError

from .selection import Weight

BLOCKS = ("layer", "channel", "network", "weight", "quantizer")
STEPS = ("apart", "together")

# With these a layer is one row, or, weight by weight, as good as one.
_ONE_ROW = ("layer", "network", "weight")

# A piece is at most this many numbers: a few MiB of temporaries, whatever the layer's size.
_LARGEST_PIECE = 1 << 18
_SMALLEST_LIMIT = 1 << 12
# No shorter, even for functions of a dozen arrays: a call of torch costs more than its work on some
# thousand numbers. (With the curvature all functions take so many.)
_SMALLEST_PIECE = 1 << 11
_SMALLEST_WITH_CURVATURE = 1 << 14

# Where FSDP2 cuts an axis that tensor parallelism has cut already, the shard has another class.
_CUT = (Shard, getattr(placement_types, "_StridedShard", Shard))


class Curvature(NamedTuple):
    """The running curvature along each weight of a layer, and along its learned steps."""

    weight: Tensor
    step: Tensor | None


def checked_block(block: Any) -> Any:
    """A name of `BLOCKS`, or the number of weights of a group.

    Raises
    ------
    UnknownNameError, InvalidArgumentError
        If it is neither.
    """
    if isinstance(block, str):
        if block not in BLOCKS:
            raise UnknownNameError("block", block, BLOCKS)
        return block
    return checks.count(block, "block, the number of weights of a group,", least=1)


def block_of(weight: Weight, block: Any) -> Any:
    """The block of a weight; "quantizer" stands for the block that shares a scale or step."""
    return weight.own_block if block == "quantizer" else block


def by_row(weight: Weight, block: Any) -> bool:
    """Whether a weight has several blocks: its output channels, or groups of them."""
    own = block_of(weight, block)
    return own == "channel" or not isinstance(own, str)


@dataclass(frozen=True)
class Local:
    """This process's part of a weight and its gradient, as (rows, columns), both writable.

    A row is a block, or a part of one; `write_back` brings arrays that could not be seen as
    such without a copy back into place. ``curvature`` is a third array of the same shape.
    """

    weight: Tensor
    gradient: Tensor
    curvature: Tensor | None = None
    returns: tuple[Callable[[], Any], ...] = ()

    @property
    def arrays(self) -> tuple[Tensor, ...]:
        """The arrays that a piece is cut from."""
        three = (self.weight, self.gradient, self.curvature)
        return tuple(a for a in three if a is not None)

    def write_back(self) -> None:
        for bring in self.returns:
            bring()

    def pieces(self, limit: int) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        """Rows that a piece covers, and its weights, gradients and curvature if there is one.

        Whole rows where they are short; else parts of one row.
        """
        rows, columns = self.weight.shape
        arrays = self.arrays
        if not self.weight.numel():  # a process may hold nothing of a sharded layer
            return
        if columns <= limit:
            step = max(1, limit // max(columns, 1))
            for start in range(0, rows, step):
                part = slice(start, min(start + step, rows))
                yield part, tuple(a[part] for a in arrays)
            return
        for row in range(rows):
            for start in range(0, columns, limit):
                part = slice(row, row + 1)
                columns_part = slice(start, start + limit)
                yield part, tuple(a[part, columns_part] for a in arrays)


def piece_limit(weights: Sequence[Weight]) -> int:
    """Numbers of all pieces that are held at a time: fewer than the largest layer has."""
    largest = max(_local(w.parameter).numel() for w in weights)
    return min(max(3 * largest // 4, _SMALLEST_LIMIT), _LARGEST_PIECE)


def piece_size(limit: int, held: int, curvature: bool = False) -> int:
    """Size of the pieces for a function that holds so many arrays of it at a time."""
    return max(limit // held, _SMALLEST_WITH_CURVATURE if curvature else _SMALLEST_PIECE)


def open_weight(
    weight: Weight, block: Any, steps: str = "apart", curvature: Curvature | None = None
) -> Local:
    """This process's part of a weight and of its gradient as rows: one a block.

    With ``steps="together"`` a row ends with the learned steps of its weights: copies, which
    `Local.write_back` brings back.

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
    own = block_of(weight, block)
    arrays = [parameter, gradient.detach()] + ([] if curvature is None else [curvature.weight])
    if own in _ONE_ROW and not joins(weight, steps) and all(map(_is_plain, arrays)):
        # A short way for one row: the code below gives the same, in a dozen operations.
        weights, gradients, *curved = (a.view(1, a.numel()) for a in arrays)
        return Local(weights, gradients, curved[0] if curved else None)
    opened = [_Opened(weight, own, parameter), _Opened(weight, own, gradient.detach(), True)]
    if curvature is not None:
        opened.append(_Opened(weight, own, curvature.weight, True))
    if joins(weight, steps):
        assert weight.step is not None
        assert weight.step.grad is not None
        opened[0].join(weight.step.detach())
        opened[1].join(weight.step.grad.detach())
        if curvature is not None:
            assert curvature.step is not None
            opened[2].join(curvature.step)
    returns = [bring for o in opened for bring in o.returns]
    third = opened[2].rows if curvature is not None else None
    return Local(opened[0].rows, opened[1].rows, third, tuple(returns))


def joins(weight: Weight, steps: str) -> bool:
    """Whether the learned step of a weight belongs to its blocks now: it needs a gradient."""
    step = weight.step
    return steps == "together" and step is not None and step.grad is not None


def open_values(weight: Weight) -> Local:
    """A weight as one row, which stands for its gradient too."""
    values = weight.parameter.detach().reshape(1, -1)
    return Local(values, values)


class _Opened:
    """The blocks of an array of a weight's shape as rows, and the ways back from copies."""

    def __init__(self, weight: Weight, block: Any, array: Tensor, written: bool = False) -> None:
        local, channels = _local(array), weight.channels
        self.written = written
        self.returns: list[Callable[[], Any]] = []
        place = _local(weight.parameter)
        rows = 1
        if not isinstance(block, str):
            # in the order in which quantisers count groups
            count = channels.count(place.shape)
            target, _ = channels.view(local)
            rows = count * _groups(weight, block, place.numel() // max(count, 1))
            order, first = list(range(target.ndim)), target.ndim
        elif block == "channel":
            rows = channels.count(place.shape)
            (target, first), (like, _) = channels.view(local), channels.view(place)
            order = _memory_order(like, first)
        else:
            target, first = local, min(local.ndim, 1)
            order = _memory_order(place, first)
        target = target.permute(order)
        columns = local.numel() // max(rows, 1)
        self.rows = target.reshape(rows, columns)
        if written and not target.is_contiguous():
            self.rows = target.contiguous().view(rows, columns)
            self._back(target, self.rows)

    def join(self, step: Tensor) -> None:
        """End every row with the steps that belong to it."""
        rows, before = len(self.rows), self.rows
        ends = step.reshape(rows, -1).to(before.dtype)
        self.rows = torch.cat([before, ends], 1)
        if self.written:
            joined, width = self.rows, before.shape[1]
            # before the array itself goes back, which may be a copy too
            self.returns.insert(0, lambda: before.copy_(joined[:, :width]))
            self.returns.append(lambda: step.copy_(joined[:, width:].reshape(step.shape)))

    def _back(self, target: Tensor, rows: Tensor) -> None:
        self.returns.append(lambda: target.copy_(rows.view(target.shape)))


def _memory_order(like: Tensor, first: int) -> list[int]:
    """The axes in memory order, so that channels-last layers need no copy either."""
    strides = like.stride()
    inner = sorted(range(first, like.ndim), key=lambda axis: -strides[axis])
    return [*range(first), *inner]


def _groups(weight: Weight, block: int, columns: int) -> int:
    """Number of groups in a channel."""
    if columns % block:
        raise ShapeError(
            f"layer {weight.name!r}: a channel has {columns} weights, which groups of {block} do "
            "not divide; take another group, or block='channel'"
        )
    return columns // block


def _is_plain(array: Tensor) -> bool:
    """Whether an array is whole here and lies in memory in the order of its axes."""
    return not isinstance(array, DTensor) and array.is_contiguous()


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def row_count(weight: Weight, block: Any) -> int:
    """Number of rows that this process holds of a weight, or of which it holds a part."""
    if not by_row(weight, block):
        return 1
    own, shape = block_of(weight, block), _local(weight.parameter).shape
    if own == "channel":
        return int(shape[weight.channel_axis]) * weight.channels.groups
    return int(shape.numel()) // int(own)


def shard_groups(weight: Weight) -> list[Any]:
    """Process groups over which sums of this parameter's parts have to be added."""
    parameter = weight.parameter
    if not isinstance(parameter, DTensor):
        return []
    mesh, placements = parameter.device_mesh, parameter.placements
    return [mesh.get_group(axis) for axis, p in enumerate(placements) if isinstance(p, _CUT)]


def require_layout(weight: Weight, block: Any, steps: str = "apart") -> None:
    """Refuse groups that divide no channel, and blocks that processes' parts do not add up to.

    Raises
    ------
    InvalidArgumentError
        If a parameter is neither cut nor whole on the processes of a mesh (partial sums), or
        channels are cut by the sharding; or learned steps are to be joined to sharded weights,
        or to blocks smaller than theirs. Names the layer.
    ShapeError
        If groups do not divide a channel.
    """
    parameter = weight.parameter
    own = block_of(weight, block)
    count = weight.channels.count(parameter.shape)
    rows = count if own == "channel" else 1
    if not isinstance(own, str):
        rows = count * _groups(weight, own, parameter.numel() // max(count, 1))
    if steps == "together" and weight.step is not None:
        if isinstance(parameter, DTensor):
            raise InvalidArgumentError(
                f"layer {weight.name!r}: its weight is sharded, and so is its learned step, which "
                "cannot be joined to it; take steps='apart'"
            )
        if own == "weight" or weight.step.numel() % rows:
            raise InvalidArgumentError(
                f"layer {weight.name!r} has {weight.step.numel()} learned steps and {rows} blocks "
                f"of the corrector (block={own!r}): a step cannot be divided. Take "
                "block='quantizer' or 'layer', or steps='apart'"
            )
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
    if by_row(weight, block) and (axes - {place.axis} or (axes and place.groups > 1)):
        raise InvalidArgumentError(
            f"layer {weight.name!r}: sharded along axes {sorted(axes)}, which cuts its output "
            f"channels (axis {place.axis}); use block='layer'"
        )
