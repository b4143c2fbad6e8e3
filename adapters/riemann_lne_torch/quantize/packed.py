"""Discrete weights in few bits: one code a weight, and the values that the codes stand for."""

from __future__ import annotations

import copy
import zlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from riemann_lne.errors import InvalidArgumentError

from .channels import Channels
from .packed_forms import WIDTHS, Form, scaled, tabled

__all__ = ["PackedWeight", "load_packed_", "pack_layer"]

_CODES = "parametrizations.weight.original"
_PLACE = "parametrizations.weight.0."
_TABLE = f"{_PLACE}table"
_LAYOUT = f"{_PLACE}layout"
_SCALE = f"{_PLACE}scale"
_CHECKSUM = f"{_PLACE}checksum"
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class PackedWeight(nn.Module):
    """The weight of a layer from its codes: a parametrisation of ``layer.weight``.

    Value: table[block, code], or scale[block] table[0, code], computed at each use; the codes lie
    8/bits in a byte, the first in the lowest bits. Made by `finalize_` with ``packed=True``.

    Parameters
    ----------
    table : Tensor, shape (blocks, values) or (1, values)
        The discrete values of each block, in the type of the weight; with scales the levels that
        all blocks share.
    layout : Tensor of int64
        Bits of a code, axis of the output channels, their groups, then the shape of the weight.
        Blocks are rows of the weight whose channels come first.
    scale : Tensor, shape (blocks,), optional
        In the type of the table. Beside a table in half precision also int32, the bits of float32
        numbers, which stay what they are when a model is converted. Products are rounded to the
        type in which the weights were packed, so that a model that is converted to a wider type
        keeps its weights.
    checksum : Tensor of int32, shape (3,), optional
        By which `load_packed_` finds damaged bytes: CRC-32 of codes, layout and type, and of table
        and scale, both less 2^31, and the number of the table's type: a table that was converted
        since is not compared.

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
    scale: Tensor | None
    checksum: Tensor | None

    def __init__(
        self,
        table: Tensor,
        layout: Tensor,
        scale: Tensor | None = None,
        checksum: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.register_buffer("layout", layout)
        self.register_buffer("scale", scale)
        self.register_buffer("checksum", checksum)
        numbers = [int(n) for n in layout.tolist()] if layout.ndim == 1 else []
        fine = len(numbers) >= 3 and not layout.is_floating_point() and min(numbers) >= 0
        self.bits, axis, groups, *shape = numbers if fine else [0, 0, 0]
        self.shape = torch.Size(shape)
        count = self.shape.numel()
        fine = fine and self.bits in WIDTHS and groups >= 1 and axis < max(len(shape), 1)
        fine = fine and table.ndim == 2 and 1 <= table.shape[-1] <= 2**self.bits
        if scale is not None:
            bits = scale.dtype is torch.int32
            fine = fine and scale.ndim == 1 and len(table) == 1
            fine = fine and (bits or scale.dtype == table.dtype)
        blocks = table if scale is None else scale
        self.channels = Channels(axis, groups)
        # a model that was converted since goes on to round products as it did when it was packed
        self.packed_dtype = _packed_dtype(checksum, table.dtype)
        # of a grouped transposed convolution each group has its part of the first axis
        fine = fine and (groups == 1 or (axis == 1 and shape[0] % groups == 0))
        if not (fine and len(blocks) and count % len(blocks) == 0):
            scales = "" if scale is None else f", scales of shape {tuple(scale.shape)}"
            raise InvalidArgumentError(
                f"packed weights are damaged: the layout {layout.tolist()} (bits, channel axis, "
                f"groups, shape){scales} and a table of shape {tuple(table.shape)} do not fit "
                "together; make the file anew"
            )
        like = torch.empty(self.shape, device="meta")
        self._first = self.channels.first(like).shape

    @property
    def bytes(self) -> int:
        """Length of the codes."""
        return -(-self.shape.numel() * self.bits // 8)

    def forward(self, codes: Tensor) -> Tensor:
        """The weight of these codes, in the shape and type that it had."""
        flat = _numbers(codes, self.bits)[: self.shape.numel()]
        if self.scale is None:
            values = self.table.gather(1, flat.reshape(len(self.table), -1))
        else:
            bits = self.scale.dtype is torch.int32
            scale = self.scale.view(torch.float32) if bits else self.scale
            level = self.table[0].to(scale.dtype)[flat.reshape(len(scale), -1)]
            values = (scale[:, None] * level).to(self.packed_dtype).to(self.table.dtype)
        return self.channels.back(values.reshape(self._first), self.shape)

    def extra_repr(self) -> str:
        """Bits and shape."""
        return f"bits={self.bits}, shape={tuple(self.shape)}"


def pack(
    value: Tensor, channels: Channels, block: Any, where: str, *units: Tensor
) -> tuple[Tensor, PackedWeight]:
    """Codes of a weight of discrete values, and what makes the weight of them again.

    A table holds the values of the whole layer, or of each channel, or each group of ``block``
    weights; or there is one table of levels and a scale for each of these. Of these forms the one
    that takes the fewest bytes.

    Parameters
    ----------
    value : Tensor
    channels : Channels
    block : str or int
    where : str
        Names the layer.
    *units : Tensor
        What may be the scale of each value, in their type, or in float32 where the products were
        rounded to half precision; each broadcasts against them.

    Raises
    ------
    InvalidArgumentError
        If each table has more than 256 values.
    """
    first = channels.first(value.detach()).contiguous()
    sizes = [first.numel(), first[0].numel() if first.ndim > 1 else first.numel()]
    sizes += [block] if isinstance(block, int) else []
    every = [channels.first(unit.detach().expand_as(value)) for unit in units]
    found: list[Form] = []
    for size in dict.fromkeys(sizes):
        rows = first.reshape(-1, size)
        forms = (scaled(rows, unit.reshape(-1, size)) for unit in every)
        form = next((f for f in forms if f is not None), None)
        if form is not None:
            found.append(form)
            break  # tables of smaller blocks take more bytes
        form = tabled(rows)
        found += [] if form is None else [form]
    if not found:
        smallest = first.reshape(-1, min(sizes))
        fewest = max(len(row.unique()) for row in smallest)
        raise InvalidArgumentError(
            f"{where}its values cannot be packed: a channel has {fewest} different ones, and 8 "
            "bits tell 256 apart (more bits, or values that have few levels in a rotated basis "
            "alone); call finalize_ without packed"
        )
    form = min(found, key=lambda form: form.bytes)
    bits, number = form.bits, form.number.reshape(-1)
    per = 8 // bits
    padded = nn.functional.pad(number, (0, -len(number) % per)).reshape(-1, per)
    shifts = torch.arange(0, 8, bits, device=number.device)
    codes = (padded << shifts).sum(1).to(torch.uint8)
    numbers = [bits, channels.axis, channels.groups, *value.shape]
    layout = torch.tensor(numbers, device=value.device)
    checksum = _checksum(codes, form.table, layout, form.scale)
    return codes, PackedWeight(form.table, layout, form.scale, checksum)


def _checksum(codes: Tensor, table: Tensor, layout: Tensor, scale: Tensor | None) -> Tensor:
    """See `PackedWeight`."""
    numbers = (table,) if scale is None else (table, scale)
    kind = _FLOATS.index(table.dtype)
    first = zlib.crc32(bytes([kind]), _crc(codes, layout))
    found = [first - 2**31, _crc(*numbers) - 2**31, kind]
    return torch.tensor(found, dtype=torch.int32, device=codes.device)


def _packed_dtype(checksum: Tensor | None, now: torch.dtype) -> torch.dtype:
    """The type of the weight when it was packed; without a checksum that of the table."""
    known = checksum is not None and checksum.shape == (3,) and not checksum.is_meta
    number = int(checksum[2]) if known else -1  # type: ignore[index]
    return _FLOATS[number] if 0 <= number < len(_FLOATS) else now


def _numbers(codes: Tensor, bits: int) -> Tensor:
    """The codes one by one, from bytes."""
    # looked up byte by byte: shifts of unsigned bytes have no counterpart in ONNX
    powers = torch.tensor([2**k for k in range(0, 8, bits)], device=codes.device)
    table = torch.arange(256, device=codes.device)[:, None] // powers % 2**bits
    return table.index_select(0, codes.int()).reshape(-1)


def _crc(*tensors: Tensor) -> int:
    """CRC-32 of the bytes of tensors."""
    crc = 0
    for tensor in tensors:
        content = tensor.detach().cpu()
        if content.dtype is torch.bfloat16:  # a type that NumPy does not know
            content = content.view(torch.int16)
        crc = zlib.crc32(content.numpy().tobytes(), crc)
    return crc


def pack_layer(layer: nn.Module, codes: Tensor, weight: PackedWeight) -> None:
    """Put packed weights in the place of a layer's parameter ``weight``."""
    del layer._parameters["weight"]
    layer.register_buffer("weight", codes)
    parametrize.register_parametrization(layer, "weight", weight, unsafe=True)
    # the place that both lie in: a module sees of a state dict what is below it
    entry: Any = layer.parametrizations
    entry.weight.register_load_state_dict_pre_hook(_check_loaded)


def _check_loaded(
    module: Any, state_dict: Any, prefix: str, _: Any, strict: bool, *lists: list[str]
) -> None:
    """Let ``load_state_dict`` of a packed model refuse what does not fit it or is damaged."""
    name = prefix.removesuffix("parametrizations.weight.")
    if f"{name}{_CODES}" not in state_dict or f"{name}{_TABLE}" not in state_dict:
        return  # torch says what is missing
    where = f"layer {name.rstrip('.')!r}: "
    try:
        codes, *entries = _entries(name, state_dict)
        found = PackedWeight(*entries)
        _check_codes(where, codes, found)
        own = module[0].layout.tolist()
        if found.packed_dtype != module[0].packed_dtype:
            raise InvalidArgumentError(
                f"{where}its weights were packed in {found.packed_dtype}, those of this model in "
                f"{module[0].packed_dtype}: load them into the float network by load_packed_"
            )
        if found.layout.tolist() != own:
            raise InvalidArgumentError(
                f"{where}its packed weights have the layout {found.layout.tolist()} (bits, channel "
                f"axis, groups, shape), those of this model {own}: load them into the float "
                "network by load_packed_"
            )
    except InvalidArgumentError as error:
        lists[-1].append(str(error))


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
        If nothing is packed there, a layer is missing, of another shape or without memory, codes
        are damaged, or the rest does not load. The model is then as it was, unless the rest did not
        load. Later ``load_state_dict`` of the packed model finds the same faults.

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
        codes, *entries = _entries(name, state_dict)
        weight = PackedWeight(*entries)
        own = _check(name, layer, codes, weight)
        key = codes.data_ptr(), own.device
        if key not in made:  # layers that share a weight go on sharing it
            made[key] = (
                codes.to(own.device, copy=True),
                copy.deepcopy(weight).to(own.device),
            )
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


def _entries(name: str, state_dict: Any) -> list[Any]:
    """Codes, table, layout, scales and checksum of a layer, checked one by one.

    There may be no scales, and in files of earlier versions no checksum.
    """
    kinds = (_CODES, _TABLE, _LAYOUT, _SCALE, _CHECKSUM)
    found = [state_dict.get(f"{name}{key}") for key in kinds]
    for key, entry in zip(kinds, found, strict=True):
        if entry is None and key in (_SCALE, _CHECKSUM):
            continue
        problem = ""
        if not isinstance(entry, Tensor):
            problem = (
                "is missing" if entry is None else f"is no tensor but a {type(entry).__name__}"
            )
        elif key in (_TABLE, _SCALE):
            if key == _SCALE and entry.dtype is torch.int32:
                entry = entry.view(torch.float32)
            fine = entry.is_floating_point() and bool(entry.isfinite().all())
            problem = "" if fine else f"must hold finite floating-point numbers, got {entry.dtype}"
        if problem:
            raise InvalidArgumentError(
                f"packed weights are damaged: the entry {name + key!r} {problem}; make the file "
                "anew"
            )
    return found


def _check(name: str, layer: nn.Module | None, codes: Tensor, weight: PackedWeight) -> Tensor:
    """The float weight of the layer that takes these packed ones, if all is well."""
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
    if own.dtype != weight.table.dtype:
        raise InvalidArgumentError(
            f"{where}its weight is {own.dtype}, the packed one {weight.table.dtype}: convert the "
            f"model first, model.to({weight.table.dtype})"
        )
    if own.is_meta:
        raise InvalidArgumentError(
            f"{where}its weight is on the meta device, which holds no numbers: give it memory "
            'first, model.to_empty(device="cpu")'
        )
    _check_codes(where, codes, weight)
    return own


def _check_codes(where: str, codes: Tensor, weight: PackedWeight) -> None:
    """Refuse codes of another length or beyond the table, and what the checksum does not fit."""
    if codes.dtype != torch.uint8 or codes.shape != (weight.bytes,):
        raise InvalidArgumentError(
            f"{where}its codes are {codes.dtype} of shape {tuple(codes.shape)}, and "
            f"{weight.bytes} bytes are needed: they are damaged"
        )
    numbers = _numbers(codes, weight.bits)[: weight.shape.numel()]
    if int(numbers.max()) >= weight.table.shape[1]:
        raise InvalidArgumentError(
            f"{where}a code lies beyond the table of {weight.table.shape[1]} values: it is "
            "damaged; make the file anew"
        )
    if weight.checksum is not None and not _is_whole(codes, weight, weight.checksum):
        raise InvalidArgumentError(
            f"{where}its packed weights do not have the checksum that they were made with: bytes "
            "of the file are damaged; make it anew"
        )


def _is_whole(codes: Tensor, weight: PackedWeight, checksum: Tensor) -> bool:
    """Whether the checksum is that of the packed weights, as far as they were not converted."""
    if checksum.shape != (3,) or checksum.dtype is not torch.int32:
        return False
    known = checksum.tolist()
    if not 0 <= known[2] < len(_FLOATS):
        return False
    if _FLOATS[known[2]] == weight.table.dtype:
        now = _checksum(codes, weight.table, weight.layout, weight.scale)
        return bool(now.tolist() == known)
    # the numbers of a model that was converted are others
    converted = weight.table.to(_FLOATS[known[2]])
    now = _checksum(codes, converted, weight.layout, weight.scale)
    return bool(int(now[0]) == known[0])
