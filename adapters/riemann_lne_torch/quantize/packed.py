"""Discrete weights in few bits: one code a weight, and the values that the codes stand for."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from riemann_lne.errors import InvalidArgumentError

from .channels import Channels
from .integers import integer_form
from .levels import wide

__all__ = ["PackedWeight", "load_packed_", "pack_layer"]

WIDTHS = (1, 2, 4, 8)
_CODES = "parametrizations.weight.original"
_TABLE = "parametrizations.weight.0.table"
_LAYOUT = "parametrizations.weight.0.layout"
_SCALE = "parametrizations.weight.0.scale"


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
        numbers: products are then rounded to the type of the table. As bits they stay what they
        are when a model is converted.

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

    def __init__(self, table: Tensor, layout: Tensor, scale: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.register_buffer("layout", layout)
        self.register_buffer("scale", scale)
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
        # of a grouped transposed convolution each group has its part of the first axis
        fine = fine and (groups == 1 or (axis == 1 and shape[0] % groups == 0))
        if not (fine and len(blocks) and count % len(blocks) == 0):
            scales = "" if scale is None else f", scales of shape {tuple(scale.shape)}"
            raise InvalidArgumentError(
                f"packed weights are damaged: the layout {layout.tolist()} (bits, channel axis, "
                f"groups, shape){scales} and a table of shape {tuple(table.shape)} do not fit "
                "together; make the file anew"
            )

    @property
    def bytes(self) -> int:
        """Length of the codes."""
        return -(-self.shape.numel() * self.bits // 8)

    def forward(self, codes: Tensor) -> Tensor:
        """The weight of these codes, in the shape and type that it had."""
        shifts = torch.arange(0, 8, self.bits, device=codes.device, dtype=torch.uint8)
        numbers = (codes[:, None] >> shifts) & (2**self.bits - 1)
        count = self.shape.numel()
        flat = numbers.reshape(-1)[:count].long()
        if self.scale is None:
            values = self.table.gather(1, flat.reshape(len(self.table), -1))
        elif self.scale.dtype is torch.int32:
            level = self.table[0].float()[flat.reshape(len(self.scale), -1)]
            values = (self.scale.view(torch.float32)[:, None] * level).to(self.table.dtype)
        else:
            values = self.scale[:, None] * self.table[0][flat.reshape(len(self.scale), -1)]
        return self.channels.back(values.reshape(self._first_shape()), self.shape)

    def _first_shape(self) -> torch.Size:
        with torch.device("meta"):
            return self.channels.first(torch.empty(self.shape)).shape

    def extra_repr(self) -> str:
        """Bits and shape."""
        return f"bits={self.bits}, shape={tuple(self.shape)}"


class _Form(NamedTuple):
    """A way to store a weight: its table, the number of each value in it, and scales."""

    table: Tensor
    number: Tensor
    scale: Tensor | None = None

    @property
    def bits(self) -> int:
        """Of a code."""
        return next(b for b in WIDTHS if self.table.shape[1] <= 2**b)

    @property
    def bytes(self) -> int:
        """Of all that is stored."""
        scales = 0 if self.scale is None else self.scale.nbytes
        return self.number.numel() * self.bits // 8 + self.table.nbytes + scales


# Rows of at least so many numbers are looked at one by one, shorter ones are sorted all at once.
_LONG = 1024
# Numbers of which the distinct ones are found first; the others are mostly among them.
_SAMPLE = 4096
_MOST = 2 ** WIDTHS[-1]


def _tabled(rows: Tensor) -> _Form | None:
    """A form with a table for each row, if 8 bits will do."""
    if rows.shape[1] >= _LONG:
        found = []
        for row in rows:
            one = _distinct(row)
            if one is None:
                return None
            found.append(one)
        most = max(len(values) for values, _ in found)
        # shorter tables are filled up with their last value
        tables = [torch.cat([t, t[-1:].expand(most - len(t))]) for t, _ in found]
        return _Form(torch.stack(tables), torch.stack([number for _, number in found]))
    ordered, place = rows.sort(1)
    rank = nn.functional.pad((ordered.diff() != 0.0).cumsum(1), (1, 0))
    most = int(rank[:, -1].max()) + 1
    if most > _MOST:
        return None
    table = ordered[:, -1:].repeat(1, most).scatter_(1, rank, ordered)
    return _Form(table, torch.empty_like(rank).scatter_(1, place, rank))


def _distinct(values: Tensor) -> tuple[Tensor, Tensor] | None:
    """The distinct values of a row, sorted, and the number of each; None if 8 bits will not do."""
    known, missing = values[:0], values
    number = torch.empty(0)
    while len(missing):
        known = torch.cat([known, _some(missing)]).unique()
        if len(known) > _MOST:
            return None
        number = torch.searchsorted(known, values).clamp_(max=len(known) - 1)
        missing = values[known[number] != values]
    return known, number


def _some(values: Tensor) -> Tensor:
    """Values from all over a vector, twice `_SAMPLE` at most."""
    return values[:: max(1, len(values) // _SAMPLE)]


# Levels lie farther apart than this, and the rounding of a level is smaller.
_APART = 1e-3
# Units in the last place by which a ratio of two rounded numbers may miss the level.
_NEIGHBOURS = 4


def _scaled(rows: Tensor, units: Tensor) -> _Form | None:
    """A form with levels for all rows, and a scale a row, whose product is the value to the bit.

    None where there is none: the unit varies in a row, or products were rounded in another way.
    """
    scale = units[:, 0]
    if not bool((units == scale[:, None]).all()):
        return None
    found = _levels(rows, scale)
    if found is None:
        return None
    level, number = found
    if units.dtype == rows.dtype:
        return _products(rows, scale, level.to(rows.dtype), number)
    return _rounded_products(rows, scale, level, number)


def _levels(rows: Tensor, scale: Tensor) -> tuple[Tensor, Tensor] | None:
    """The values over the scales of their rows, up to rounding, and the number of each.

    None if 8 bits will not do.
    """
    zeros = scale == 0.0
    ratio = wide(rows) / wide(torch.where(zeros, 1.0, scale))[:, None]
    if bool(zeros.any() & ~zeros.all()):
        ratio[zeros] = ratio[~zeros][0, 0]  # any level will do there, and no level is added
    # values in half precision were rounded more coarsely, relative to their size
    apart = max(_APART, 4.0 * torch.finfo(rows.dtype).eps * float(ratio.abs().max()))
    level, missing = ratio.new_empty(0), ratio.reshape(-1)
    number = torch.empty(0)
    while len(missing):
        points = torch.cat([level, _some(missing)]).unique()
        more = points[nn.functional.pad(points.diff() > apart, (1, 0), value=True)]
        if len(more) > _MOST or len(more) == len(level):  # too many, or no levels at all
            return None
        level = more
        number = torch.bucketize(ratio, 0.5 * (level[1:] + level[:-1]))
        missing = ratio[(ratio - level[number]).abs() > 0.5 * apart]
    if rows.dtype.itemsize < 4:  # by a mean the rounding of single values cancels
        place, part = _some(number.reshape(-1)), _some(ratio.reshape(-1))
        count = torch.bincount(place, minlength=len(level))
        mean = torch.zeros_like(level).index_add_(0, place, part) / count
        level = torch.where(count > 0, mean, level)
    return level, number


def _products(rows: Tensor, scale: Tensor, level: Tensor, number: Tensor) -> _Form | None:
    """Levels that are changed by a few units in the last place, until all products are right."""
    table, up, down = level.clone(), level, level
    found = torch.zeros(len(level), dtype=torch.bool, device=rows.device)
    # of the levels that are not found yet
    place, size, wanted = number, scale[:, None].expand_as(rows), rows
    for step in range(_NEIGHBOURS + 1):
        for candidate in (up, down) if step else (level,):
            right = torch.ones_like(found)
            right[place[size * candidate[place] != wanted]] = False
            table = torch.where(right & ~found, candidate, table)
            found |= right
        if bool(found.all()):
            return _Form(table[None], number, scale)
        if rows.dtype.itemsize < 4:  # has no `nextafter`
            break
        left = ~found[place]
        place, size, wanted = place[left], size[left], wanted[left]
        up = torch.nextafter(up, torch.full_like(up, torch.inf))
        down = torch.nextafter(down, torch.full_like(down, -torch.inf))
    return None


def _rounded_products(rows: Tensor, scale: Tensor, level: Tensor, number: Tensor) -> _Form | None:
    """Whole numbers as levels, exact in half precision, and scales in float32, kept as their bits.

    The products are rounded to half precision once, as the values were. A scale is changed by a few
    units in the last place where a product lies between two numbers of half precision.
    """
    try:
        whole, _ = integer_form(level.to(rows.dtype)[None])
    except InvalidArgumentError:  # levels that are not evenly spaced, or too many
        return None
    levels = whole[0].float()[number]
    scale = (scale * _unit_of_products(rows, scale, levels)).float()
    wrong = ((scale[:, None] * levels).to(rows.dtype) != rows).any(1).nonzero()[:, 0]
    up = down = scale
    for _ in range(_NEIGHBOURS):
        up = torch.nextafter(up, torch.full_like(up, torch.inf))
        down = torch.nextafter(down, torch.full_like(down, -torch.inf))
        for candidate in (up, down):
            product = (candidate[wrong, None] * levels[wrong]).to(rows.dtype)
            right = (product == rows[wrong]).all(1)
            scale[wrong[right]] = candidate[wrong[right]]
            wrong = wrong[~right]
    return None if len(wrong) else _Form(whole.to(rows.dtype), number, scale.view(torch.int32))


def _unit_of_products(rows: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
    """The u for which all scale * u * level round to the values: the middle of its interval."""
    product = scale[:, None].double() * levels
    used = product != 0.0
    if not bool(used.any()):
        return torch.ones_like(product[0, 0])
    product, (part, exponent) = product[used].abs(), rows[used].abs().double().frexp()
    step = torch.ldexp(torch.full_like(part, 0.25 * torch.finfo(rows.dtype).eps), exponent)
    size = torch.ldexp(part, exponent)
    # a power of two has a neighbour at half the distance below it
    low = ((size - torch.where(part == 0.5, 0.5 * step, step)) / product).max()
    return 0.5 * (low + ((size + step) / product).min())


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
    found: list[_Form] = []
    for size in dict.fromkeys(sizes):
        rows = first.reshape(-1, size)
        scaled = (_scaled(rows, unit.reshape(-1, size)) for unit in every)
        form = next((f for f in scaled if f is not None), None)
        if form is not None:
            found.append(form)
            break  # tables of smaller blocks take more bytes
        form = _tabled(rows)
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
    layout = [bits, channels.axis, channels.groups, *value.shape]
    return codes, PackedWeight(form.table, torch.tensor(layout, device=value.device), form.scale)


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
        codes, table, layout, scale = _entries(name, state_dict)
        key = codes.data_ptr()
        if key not in made:  # layers that share a weight go on sharing it
            scale = None if scale is None else scale.clone()
            made[key] = codes.clone(), PackedWeight(table.clone(), layout.clone(), scale)
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


def _entries(name: str, state_dict: Any) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Codes, table, layout and scales of a layer, checked one by one."""
    kinds = (_CODES, _TABLE, _LAYOUT, _SCALE)
    codes, table, layout, scale = found = [state_dict.get(f"{name}{key}") for key in kinds]
    for key, entry in zip(kinds, found, strict=True):
        if entry is None and key == _SCALE:
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
    return codes, table, layout, scale


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
    if own.dtype != weight.table.dtype:
        raise InvalidArgumentError(
            f"{where}its weight is {own.dtype}, the packed one {weight.table.dtype}: convert the "
            f"model first, model.to({weight.table.dtype})"
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
