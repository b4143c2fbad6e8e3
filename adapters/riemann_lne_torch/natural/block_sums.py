"""Sums over blocks, wherever their pieces lie, brought to the host in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .blocks import (
    Curvature,
    Local,
    block_of,
    by_row,
    joins,
    open_values,
    open_weight,
    piece_limit,
    piece_size,
    shard_groups,
)
from .compiled import Compiled, open_compiled
from .selection import Weight

P = ParamSpec("P")
R = TypeVar("R")

Rows: TypeAlias = Tensor
"""One number for each block of all layers: float64, on the host, shape (rows,)."""

PieceFunction: TypeAlias = Callable[..., Sequence[Tensor]]
"""From weights, gradients and row values of a piece to sums of shape (rows of the piece,)."""


class Fast(NamedTuple):
    """A `PieceFunction` for weights scaled by one known value, tau, in fewer operations."""

    grouped: Callable[..., Tensor] | None
    """For a list of pieces of one row each, with lists of floats: (pieces, sums); if there is."""
    compiled: str
    """The name of its compiled loop: see `Compiled.sums`."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A weight, opened: the rows that this process holds of it, or of which it holds a part."""

    weight: Weight
    local: Local
    span: slice
    """Its place among the rows of all layers."""

    groups: tuple[Any, ...]
    """Process groups over which its rows are spread; empty where every row is whole here."""

    @property
    def name(self) -> str:
        return self.weight.name

    @property
    def rows(self) -> int:
        return int(self.local.weight.shape[0])


class Blocks:
    """The opened layers of one call, and sums over their blocks."""

    def __init__(
        self,
        weights: Sequence[Weight],
        block: Any,
        kernel: str = "plain",
        opened: Sequence[Local] | None = None,
        steps: str = "apart",
        curvature: Sequence[Curvature | None] | None = None,
    ) -> None:
        self.block, self.steps = block, steps
        self.whole = block == "network"
        self.limit = piece_limit(weights)
        self.layers: list[Layer] = []
        start = 0
        if opened is None:
            thirds = [None] * len(weights) if curvature is None else curvature
            opened = [
                open_weight(weight, block, steps, third)
                for weight, third in zip(weights, thirds, strict=True)
            ]
        for weight, local in zip(weights, opened, strict=True):
            span = slice(start, start + int(local.weight.shape[0]))
            groups = () if by_row(weight, block) else tuple(shard_groups(weight))
            self.layers.append(Layer(weight, local, span, groups))
            start = span.stop
        self.rows = start
        self._cuts: dict[int, list[tuple[slice, tuple[Tensor, ...]]]] = {}
        self.layout = tuple((layer.name, layer.rows) for layer in self.layers)
        self.device = self.layers[0].local.weight.device
        names, arrays = [w.name for w in weights], [o.arrays for o in opened]
        self.compiled = open_compiled(names, arrays, kernel)
        self.wide = False

    @classmethod
    def of_values(cls, weights: Sequence[Weight], kernel: str = "plain") -> Blocks:
        """Whole layers, for sums in which no gradient comes: they need not have one."""
        return cls(weights, "layer", kernel, [open_values(weight) for weight in weights])

    @property
    def double(self) -> bool:
        """Whether all weights and gradients are in double precision."""
        arrays = (a for la in self.layers for a in (la.local.weight, la.local.gradient))
        return all(a.dtype is torch.float64 for a in arrays)

    def widen(self) -> None:
        """Take sums in double precision from now on, if the device has it."""
        self.wide = self.device.type != "mps" and not self.double

    @property
    def largest_curvature(self) -> float:
        """The largest number that the running curvature of every layer can hold."""
        held = (layer.local.curvature for layer in self.layers)
        return min(torch.finfo(a.dtype).max for a in held if a is not None)

    def sizes(self) -> Rows:
        """Number of weights in the block of every row."""
        totals = [self._size(layer.weight) for layer in self.layers]
        counts: list[int] = []
        for layer, total in zip(self.layers, totals, strict=True):
            size = sum(totals) if self.whole else total
            if by_row(layer.weight, self.block):
                size //= self._row_total(layer.weight)
            counts += [size] * layer.rows
        return torch.tensor(counts, dtype=torch.float64)

    def _size(self, weight: Weight) -> int:
        """Numbers in all blocks of a weight, on all processes."""
        own = weight.parameter.numel()
        return own + (weight.step.numel() if joins(weight, self.steps) else 0)  # type: ignore[union-attr]

    def _row_total(self, weight: Weight) -> int:
        """Blocks of a weight on all processes."""
        own = block_of(weight, self.block)
        shape = weight.parameter.shape
        return weight.channels.count(shape) if own == "channel" else shape.numel() // int(own)

    def row_name(self, row: int) -> str:
        """The layer, and the channel if it has several rows, for messages."""
        layer = next(la for la in self.layers if la.span.start <= row < la.span.stop)
        kind = "channel" if block_of(layer.weight, self.block) == "channel" else "group"
        channel = f", {kind} {row - layer.span.start}" if layer.rows > 1 else ""
        return f"layer {layer.name!r}{channel}"

    def collect(
        self,
        function: PieceFunction,
        *known: Rows,
        fast: Fast | None = None,
        width: int,
        held: int = 3,
        largest: bool = False,
        whole: bool | None = None,
        writes: bool = False,
        third: bool = False,
    ) -> Tensor:
        """Sums (or maxima) over every block: (rows, width), float64, on the host.

        Parameters
        ----------
        function : callable
            ``function(x, v, *values)`` of a piece, with the known values of its rows.
        *known : Rows
        fast : Fast, optional
            The same in fewer operations, taken where there are compiled loops, or where every
            piece is one row.
        width : int
            Number of sums.
        held : int
            Arrays of a piece's size that the function holds at a time: pieces are smaller by that.
        largest : bool
            Maxima in place of sums.
        whole : bool, optional
            Whether to add the rows of all layers; by default if the block is the network.
        writes : bool
            Whether the function writes to the gradients: it then gets them as they are, and not
            copies in double precision.
        third : bool
            Whether the function takes the curvature after x and v.
        """
        if fast is not None and self.compiled is not None:
            total = self.added(self.compiled, fast.compiled, *known)
        else:
            total = self._collect(function, known, fast, width, held, largest, writes, third)
            self._add_over_processes(total, largest)
            total = total.cpu().double()
        if self.whole if whole is None else whole:
            total = total.amax(0) if largest else total.sum(0)
            total = total.expand(self.rows, width)
        return total

    def added(self, compiled: Compiled, name: str, *known: Rows) -> Tensor:
        """Sums over every row by a compiled loop, of all processes."""
        total = compiled.sums(name, *known)
        self._add_over_processes(total, largest=False)
        return total

    def _collect(
        self,
        function: PieceFunction,
        known: Sequence[Rows],
        fast: Fast | None,
        width: int,
        held: int,
        largest: bool,
        writes: bool,
        third: bool,
    ) -> Tensor:
        """This process's part of the sums, by torch's operations."""
        fill = -torch.inf if largest else 0.0
        wide = torch.float32 if self.device.type == "mps" else torch.float64
        total = torch.full((self.rows, width), fill, dtype=wide, device=self.device)
        copied = self.wide and not writes
        if fast is not None and fast.grouped is not None and self.single_rows:
            for places, xs, vs in self.groups_of_pieces(self.held(held) if copied else held):
                if copied:
                    xs, vs = ([a.double() for a in arrays] for arrays in (xs, vs))
                index = torch.tensor(places)
                values = [k[index].tolist() for k in known]
                total.index_add_(0, index.to(self.device), fast.grouped(xs, vs, *values).to(total))
            return total
        held = max(held, 3)  # the core's functions hold up to three
        for rows, arrays in self.pieces(self.held(held) if copied else held):
            arrays = arrays if third else arrays[:2]
            if copied:
                arrays = tuple(a.double() for a in arrays)
            values = [at_rows(k, rows, arrays[0]) for k in known]
            sums = torch.stack(list(function(*arrays, *values)), -1).to(total)
            total[rows] = torch.maximum(total[rows], sums) if largest else total[rows] + sums
        return total

    def held(self, arrays: int) -> int:
        """Memory of ``arrays`` arrays of a piece's size, in units of such an array.

        With sums in double precision they are wider, and there are two copies more.
        """
        size = min(layer.local.weight.dtype.itemsize for layer in self.layers)
        return (arrays + 2) * 8 // size if self.wide else arrays

    @property
    def single_rows(self) -> bool:
        # not by their total: of a sharded layer this process may hold two channels or none
        return all(layer.rows == 1 for layer in self.layers)

    def pieces(self, held: int) -> list[tuple[slice, tuple[Tensor, ...]]]:
        """Rows of every piece, and its weights, gradients and curvature if there is one."""
        return self._cut(piece_size(self.limit, held, self.layers[0].local.curvature is not None))

    def _cut(self, longest: int) -> list[tuple[slice, tuple[Tensor, ...]]]:
        if longest not in self._cuts:
            self._cuts[longest] = [
                (slice(layer.span.start + part.start, layer.span.start + part.stop), arrays)
                for layer in self.layers
                for part, arrays in layer.local.pieces(max(longest, 1))
            ]
        return self._cuts[longest]

    def groups_of_pieces(self, held: int) -> Iterator[tuple[list[int], list[Tensor], list[Tensor]]]:
        """Pieces of one row each, gathered up to the size of the largest piece."""
        rows: list[int] = []
        xs: list[Tensor] = []
        vs: list[Tensor] = []
        size = 0
        limit = piece_size(self.limit, held)
        for part, (x, v, *_) in self.pieces(held):
            other = xs and (x.dtype is not xs[0].dtype or x.device != xs[0].device)
            if other or (xs and size + x.numel() > limit):
                yield rows, xs, vs
                rows, xs, vs, size = [], [], [], 0
            rows.append(part.start)
            xs.append(x)
            vs.append(v)
            size += x.numel()
        if xs:
            yield rows, xs, vs

    def combine(self, table: list[list[float]], added: int) -> list[list[float]]:
        """Values of every layer, from all processes that hold channels or groups of it.

        The first columns are added, of the others the largest is taken: one collective a mesh.
        """
        meshes: dict[tuple[Any, ...], list[int]] = {}
        for index, layer in enumerate(self.layers):
            groups = tuple(shard_groups(layer.weight))
            if groups and by_row(layer.weight, self.block):
                meshes.setdefault(groups, []).append(index)
        for groups, places in meshes.items():
            part = torch.tensor([table[i] for i in places], dtype=torch.float64).to(self.device)
            for group in groups:
                every = [torch.empty_like(part) for _ in range(dist.get_world_size(group))]
                dist.all_gather(every, part, group=group)
                stack = torch.stack(every)
                part = torch.cat([stack[..., :added].sum(0), stack[..., added:].amax(0)], -1)
            for i, row in zip(places, part.tolist(), strict=True):
                table[i] = row
        return table

    def _add_over_processes(self, total: Tensor, largest: bool) -> None:
        """One collective for each mesh that the layers are sharded over."""
        meshes: dict[tuple[Any, ...], list[int]] = {}
        for layer in self.layers:
            if layer.groups:
                rows = range(layer.span.start, layer.span.stop)
                meshes.setdefault(layer.groups, []).extend(rows)
        for groups, places in meshes.items():
            part = total[places]
            for group in groups:
                add_over(part, group, largest)
            total[places] = part


def on_host(function: Callable[P, R]) -> Callable[P, R]:
    """Numbers of rows lie on the host, also where another device is the default for new tensors."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.get_default_device().type == "cpu":
            return function(*args, **kwargs)
        with torch.device("cpu"):
            return function(*args, **kwargs)

    return call


def add_over(total: Tensor, group: Any, largest: bool = False) -> None:
    """All-reduce in place."""
    operation = dist.ReduceOp.MAX if largest else dist.ReduceOp.SUM
    dist.all_reduce(total, op=operation, group=group)


def at_rows(values: Rows, rows: slice, like: Tensor) -> Any:
    """Values for the rows of a piece: a Python float for a single row, else an array."""
    if rows.stop - rows.start == 1:
        return float(values[rows.start])
    dtype = like.dtype if like.dtype.itemsize >= 4 else torch.float32
    return values[rows].to(device=like.device, dtype=dtype)
