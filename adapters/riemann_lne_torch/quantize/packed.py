"""Discrete weights in few bits: one code a weight, and a table of the values of each block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from riemann_lne.errors import InvalidArgumentError

from .channels import Channels

__all__ = ["PackedWeight", "load_packed_", "pack_layer"]

WIDTHS = (1, 2, 4, 8)
_CODES = "parametrizations.weight.original"
_TABLE = "parametrizations.weight.0.table"
_LAYOUT = "parametrizations.weight.0.layout"


class PackedWeight(nn.Module):
    """The weight of a layer from its codes: a parametrisation of ``layer.weight``.

    Value: table[block, code], computed at each use; the codes lie 8/bits in a byte, the first in
    the lowest bits. Made by `finalize_` with ``packed=True``.

    Parameters
    ----------
    table : Tensor, shape (blocks, values)
        The discrete values of each block, in the type of the weight.
    layout : Tensor of int64
        Bits of a code, axis of the output channels, their groups, then the shape of the weight.
        Blocks are rows of the weight whose channels come first.

    Raises
    ------
    InvalidArgumentError
        If the two do not fit together.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantize.packed import PackedWeight
    >>> weight = PackedWeight(torch.tensor([[-1.0, 1.0]]), torch.tensor([1, 0, 1, 2, 3]))
    >>> weight(torch.tensor([0b100110], dtype=torch.uint8))
    tensor([[-1.,  1.,  1.],
            [-1., -1.,  1.]])
    """

    table: Tensor
    layout: Tensor

    def __init__(self, table: Tensor, layout: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.register_buffer("layout", layout)
        numbers = [int(n) for n in layout.tolist()] if layout.ndim == 1 else []
        fine = len(numbers) >= 3 and not layout.is_floating_point() and min(numbers) >= 0
        self.bits, axis, groups, *shape = numbers if fine else [0, 0, 0]
        self.shape = torch.Size(shape)
        count = self.shape.numel()
        fine = fine and self.bits in WIDTHS and groups >= 1 and axis < max(len(shape), 1)
        fine = fine and table.ndim == 2 and 1 <= table.shape[-1] <= 2**self.bits
        if not (fine and len(table) and count % len(table) == 0):
            raise InvalidArgumentError(
                f"packed weights are damaged: the layout {layout.tolist()} (bits, channel axis, "
                f"groups, shape) and a table of shape {tuple(table.shape)} do not fit together; "
                "make "
                "the file anew"
            )
        self.channels = Channels(axis, groups)

    @property
    def bytes(self) -> int:
        """Length of the codes."""
        return -(-self.shape.numel() * self.bits // 8)

    def forward(self, codes: Tensor) -> Tensor:
        """The weight of these codes, in the shape and type that it had."""
        shifts = torch.arange(0, 8, self.bits, device=codes.device, dtype=torch.uint8)
        numbers = (codes[:, None] >> shifts) & (2**self.bits - 1)
        count = self.shape.numel()
        rows = numbers.reshape(-1)[:count].reshape(len(self.table), -1)
        values = self.table.gather(1, rows.long())
        return self.channels.back(values.reshape(self._first_shape()), self.shape)

    def _first_shape(self) -> torch.Size:
        with torch.device("meta"):
            return self.channels.first(torch.empty(self.shape)).shape

    def extra_repr(self) -> str:
        """Bits and shape."""
        return f"bits={self.bits}, shape={tuple(self.shape)}"


def pack(value: Tensor, channels: Channels, block: Any, where: str) -> tuple[Tensor, PackedWeight]:
    """Codes of a weight of discrete values, and what makes the weight of them again.

    A table holds the values of the whole layer, or of each channel, or each group of ``block``
    weights: of these the one that takes the fewest bytes.

    Raises InvalidArgumentError if each has more than 256 values. ``where`` names the layer.
    """
    first = channels.first(value.detach()).contiguous()
    sizes = [first.numel(), first[0].numel() if first.ndim > 1 else first.numel()]
    sizes += [block] if isinstance(block, int) else []
    found: list[tuple[int, int, Tensor, list[Tensor]]] = []
    fewest = first.numel()
    for size in dict.fromkeys(sizes):
        rows = first.reshape(-1, size)
        tables = [row.unique() for row in rows]
        most = max(len(t) for t in tables)
        fewest = min(fewest, most)
        if most <= 2 ** WIDTHS[-1]:
            bits = next(b for b in WIDTHS if most <= 2**b)
            cost = first.numel() * bits // 8 + len(tables) * most * first.element_size()
            found.append((cost, bits, rows, tables))
    if not found:
        raise InvalidArgumentError(
            f"{where}its values cannot be packed: a channel has {fewest} different ones, and 8 "
            "bits tell 256 apart (more bits, or values that have few levels in a rotated basis "
            "alone); call finalize_ without packed"
        )
    _, bits, rows, tables = min(found, key=lambda entry: entry[0])
    most = max(len(t) for t in tables)
    # shorter tables are filled up with their last value, which stays the largest
    table = torch.stack([torch.cat([t, t[-1:].expand(most - len(t))]) for t in tables])
    number = torch.searchsorted(table, rows).reshape(-1)
    per = 8 // bits
    padded = nn.functional.pad(number, (0, -len(number) % per)).reshape(-1, per)
    shifts = torch.arange(0, 8, bits, device=number.device)
    codes = (padded << shifts).sum(1).to(torch.uint8)
    layout = [bits, channels.axis, channels.groups, *value.shape]
    return codes, PackedWeight(table, torch.tensor(layout, device=value.device))


def pack_layer(layer: nn.Module, codes: Tensor, weight: PackedWeight) -> None:
    """Put packed weights in the place of a layer's parameter ``weight``."""
    del layer._parameters["weight"]
    layer.register_buffer("weight", codes)
    parametrize.register_parametrization(layer, "weight", weight, unsafe=True)


def load_packed_(model: nn.Module, state_dict: dict[str, Tensor]) -> nn.Module:
    """Load the state dict of a model of packed weights into a float model, in place.

    The layers whose weights are packed there are packed here too; the others load as they are.

    Parameters
    ----------
    model : nn.Module
        As it was before `quantize_`.
    state_dict : mapping from str to Tensor
        Of a model that `finalize_` packed: from ``torch.load(path, weights_only=True)``,
        safetensors, ...

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    InvalidArgumentError
        If nothing is packed there, a layer is missing or of another shape, codes are damaged, or
        the rest does not load. The model is then as it was, unless the rest did not load.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch import finalize_, load_packed_, quantize_
    >>> model = finalize_(quantize_(torch.nn.Linear(16, 4)), packed=True)
    >>> state = model.state_dict()
    >>> codes = state["parametrizations.weight.original"]
    >>> codes.dtype, len(codes)  # 64 weights of one bit
    (torch.uint8, 8)
    >>> other = load_packed_(torch.nn.Linear(16, 4), state)
    >>> torch.equal(other.weight, model.weight)
    True
    """
    names = [key[: -len(_CODES)] for key in state_dict if key.endswith(_CODES)]
    names = [name for name in names if f"{name}{_LAYOUT}" in state_dict]
    if not names:
        raise InvalidArgumentError(
            "there are no packed weights in this state dict; make them by "
            "finalize_(model, packed=True), or load it with load_state_dict"
        )
    plan, made = [], {}
    modules = dict(model.named_modules())
    for name in names:
        layer = modules.get(name.rstrip("."))
        codes = state_dict[f"{name}{_CODES}"]
        table, layout = state_dict[f"{name}{_TABLE}"], state_dict[f"{name}{_LAYOUT}"]
        key = codes.data_ptr()
        if key not in made:  # layers that share a weight go on sharing it
            made[key] = codes.clone(), PackedWeight(table.clone(), layout.clone())
        weight = made[key][1]
        _check(name, layer, codes, weight)
        plan.append((layer, *made[key]))
    for layer, codes, weight in plan:
        assert layer is not None
        pack_layer(layer, codes, weight)
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise InvalidArgumentError(
            f"the rest of the state dict does not load, use that of this model: {error}"
        ) from error
    return model


def _check(name: str, layer: nn.Module | None, codes: Tensor, weight: PackedWeight) -> None:
    where = f"layer {name.rstrip('.')!r}: "
    own = None if layer is None else layer._parameters.get("weight")
    if own is None:
        raise InvalidArgumentError(
            f"{where}the model has no such layer with a float weight; load it into the network "
            "it was made from"
        )
    if own.shape != weight.shape:
        raise InvalidArgumentError(
            f"{where}its weight has shape {tuple(own.shape)}, the packed one "
            f"{tuple(weight.shape)}: it is another network; load the file into the one it was "
            "made from"
        )
    if codes.dtype != torch.uint8 or codes.shape != (weight.bytes,):
        raise InvalidArgumentError(
            f"{where}its codes are {codes.dtype} of shape {tuple(codes.shape)}, and "
            f"{weight.bytes} bytes are needed: they are damaged"
        )
    shifts = torch.arange(0, 8, weight.bits, dtype=torch.uint8, device=codes.device)
    numbers = (codes[:, None] >> shifts) & (2**weight.bits - 1)
    if int(numbers.reshape(-1)[: weight.shape.numel()].max()) >= weight.table.shape[1]:
        raise InvalidArgumentError(
            f"{where}a code lies beyond the table of {weight.table.shape[1]} values: it is "
            "damaged; make the file anew"
        )
