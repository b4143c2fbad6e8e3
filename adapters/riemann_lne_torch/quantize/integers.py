"""Discrete weights as whole numbers times a scale, for the integer types of torchao and ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError, MissingDependencyError

from .levels import wide

__all__ = ["onnx_integers", "torchao_weight"]

_LEAST, _MOST = -128, 127
_TORCHAO_LAYERS = (nn.Linear, nn.Embedding)


def integer_form(rows: Tensor, where: str = "") -> tuple[Tensor, Tensor]:
    """Whole numbers k and a unit s a row with s k equal to the values, up to rounding.

    Parameters
    ----------
    rows : Tensor, shape (rows, columns)
        Values that lie on evenly spaced levels s k, k from -128 to 127, in each row.
    where : str
        For messages.

    Returns
    -------
    numbers : Tensor of int8, shape of rows
    units : Tensor, shape (rows, 1), type of rows

    Raises
    ------
    InvalidArgumentError
        If the values of a row are no such levels.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantize.integers import integer_form
    >>> integer_form(torch.tensor([[-0.3, 0.1, 0.3], [0.5, 0.0, -0.5]]))
    (tensor([[-3,  1,  3],
            [ 1,  0, -1]], dtype=torch.int8), tensor([[0.1000],
            [0.5000]]))
    """
    # a number in half precision was rounded once or twice, and so was the largest, which the unit
    # comes from
    rounded = 2.0 * torch.finfo(rows.dtype).eps if rows.dtype.itemsize < 4 else 0.0
    values = wide(rows)
    units = torch.stack([_unit(row, rounded, where) for row in values])[:, None]
    return (values / units).round().to(torch.int8), units.to(rows.dtype)


def _unit(row: Tensor, rounded: float, where: str) -> Tensor:
    """The largest number of which all values are multiples.

    Each value may miss its multiple by ``rounded`` times itself.
    """
    sizes: Tensor = torch.unique(row.abs())
    sizes = sizes[sizes > 0.0]
    if not len(sizes):
        return torch.ones((), dtype=row.dtype, device=row.device)
    if len(sizes) <= -_LEAST:
        # parts of the largest value, whose rounding counts least
        units = sizes[-1] / torch.arange(1, -_LEAST + 1, dtype=row.dtype, device=row.device)
        numbers = (sizes / units[:, None]).round()
        # levels are computed with a rounding relative to the largest one
        tolerance = 8.0 * torch.finfo(row.dtype).eps * sizes[-1] + rounded * sizes
        fits = ((units[:, None] * numbers - sizes).abs() <= tolerance).all(1)
        fits &= (numbers[:, 0] >= 1.0) & ((row.max() / units).round() <= _MOST)
        if bool(fits.any()):
            return units[fits][0]
    raise InvalidArgumentError(
        f"{where}its values are not whole multiples, from {_LEAST} to {_MOST}, of one number: more "
        "than 7 bits, a rotated basis, or a float weight; call finalize_ without form"
    )


def _width(numbers: Tensor) -> int:
    """Bits of a two's complement number that hold all of them; 1 for zeros."""
    low, high = int(numbers.min()), int(numbers.max())
    return next(b for b in range(1, 9) if -(2 ** (b - 1)) <= low and high < 2 ** (b - 1))


def torchao_weight(layer: nn.Module, value: Tensor, block: Any, where: str) -> Tensor | None:
    """The discrete weight of a layer as torchao's tensor of whole numbers.

    `torchao.quantization.IntxUnpackedToInt8Tensor`: a byte a weight, of type int1 to int8, with a
    scale a channel, or a group of ``block`` weights. None for layers that are neither linear nor
    embeddings, for which torchao has no such type.

    Raises
    ------
    MissingDependencyError
        If torchao is not installed.
    InvalidArgumentError
        If the values are not evenly spaced. ``where`` names the layer.
    """
    try:
        from torchao.quantization import IntxUnpackedToInt8Tensor
    except ImportError as error:
        raise MissingDependencyError(
            "torchao", "hosts", "finalize_(form='torchao')", error
        ) from error
    if not isinstance(layer, _TORCHAO_LAYERS):
        return None
    group = block if isinstance(block, int) else value.shape[1]
    numbers, units = integer_form(value.detach().reshape(-1, group), where)
    shape = (value.shape[0], value.shape[1] // group)
    tensor: Tensor = IntxUnpackedToInt8Tensor(
        numbers.reshape(value.shape),
        units.reshape(shape),
        torch.zeros(shape, dtype=torch.int8, device=value.device),
        getattr(torch, f"int{_width(numbers)}"),
        (1, group),
        value.dtype,
        None,
    )
    return tensor


def onnx_integers(model: Any, widths: Sequence[int] = (4, 8)) -> list[str]:
    """Store the discrete weights of an ONNX model as whole numbers, in place.

    Of a model that was finalised and exported. Every float initialiser of two axes or more whose
    values are s k in each slice along axis 0, or along axis 1, with whole numbers k, becomes a
    tensor of INT2, INT4 or INT8 and a scale a slice, which the operator `DequantizeLinear`
    multiplies; values stay equal up to the rounding of s k. Others stay as they are. The channels
    lie along axis 1 in transposed convolutions, and where an exporter turns weights round.

    Parameters
    ----------
    model : onnx.ModelProto
    widths : sequence of int
        Of 2, 4 and 8: the types that may be used. INT4 needs operator set 21, INT2 25, to which
        the model is brought; not every runtime has them.

    Returns
    -------
    list of str
        Names of the initialisers that were changed.

    Raises
    ------
    MissingDependencyError
        If onnx is not installed.
    InvalidArgumentError
        If widths are others, or the model holds no discrete weight.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise MissingDependencyError("onnx", "hosts", "onnx_integers", error) from error
    chosen = sorted(set(widths))
    if not chosen or not set(chosen) <= {2, 4, 8}:
        raise InvalidArgumentError(f"widths = {list(widths)}; give some of 2, 4 and 8")
    kinds = {b: getattr(TensorProto, f"INT{b}") for b in chosen}
    graph, changed, nodes, most = model.graph, [], [], 0
    for initializer in list(graph.initializer):
        if initializer.data_type != TensorProto.FLOAT or len(initializer.dims) < 2:
            continue
        value = torch.from_numpy(numpy_helper.to_array(initializer).copy())
        form = _by_slices(value)
        if form is None:
            continue
        axis, numbers, units = form
        width = next((b for b in chosen if b >= _width(numbers)), None)
        if width is None:
            continue
        name, most = initializer.name, max(most, {2: 25, 4: 21, 8: 13}[width])
        flat = numbers.reshape(-1)
        graph.initializer.remove(initializer)
        graph.initializer.extend(
            [
                helper.make_tensor(
                    f"{name}_integers", kinds[width], list(value.shape), _packed(flat, width), True
                ),
                numpy_helper.from_array(units[:, 0].numpy(), f"{name}_scale"),
            ]
        )
        inputs = [f"{name}_integers", f"{name}_scale"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [name], axis=axis))
        changed.append(name)
    if not changed:
        raise InvalidArgumentError(
            "no weight of this ONNX model has evenly spaced values in whole multiples; export a "
            "model after finalize_, without constant folding into other operations"
        )
    for node in reversed(nodes):
        graph.node.insert(0, node)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version < most:
            entry.version = most
    model.ir_version = max(model.ir_version, 10 if most < 25 else 13)
    onnx.checker.check_model(model)
    return changed


def _by_slices(value: Tensor) -> tuple[int, Tensor, Tensor] | None:
    """The first of the axes 0 and 1 along which slices have units; whole numbers, and the units."""
    for axis in (0, 1):
        moved = value.movedim(axis, 0)
        try:
            numbers, units = integer_form(moved.flatten(1))
        except InvalidArgumentError:
            continue
        return axis, numbers.reshape(moved.shape).movedim(0, axis), units
    return None


def _packed(numbers: Tensor, width: int) -> bytes:
    """Two's complement numbers of ``width`` bits in bytes, the first in the lowest bits."""
    per = 8 // width
    padded = nn.functional.pad(numbers, (0, -len(numbers) % per)).reshape(-1, per)
    codes = padded.to(torch.int32) & (2**width - 1)
    packed = (codes << torch.arange(0, 8, width)).sum(1)
    return bytes(packed.to(torch.uint8).numpy().tobytes())
