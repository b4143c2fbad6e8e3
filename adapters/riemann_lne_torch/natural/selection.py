"""Which weights of a model are corrected, and under which names."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from riemann_lne.errors import DTypeError, InvalidArgumentError, ShapeError

from ..quantize.channels import Channels
from ..quantize.layers import (
    is_quantized,
    latent_parameter,
    layer_channels,
    weight_quantizer,
)
from ..quantize.leftover import float_weights

Select: TypeAlias = str | Sequence[str] | Callable[[str, nn.Module], bool] | None
"""Which layers: None (the quantised ones), "all", name patterns, or a predicate."""

Source: TypeAlias = nn.Module | Iterable[Tensor | tuple[str, Tensor]]

# The layers whose weights a float model would have quantised: "all" of `select`.
_WEIGHTED = (nn.Linear, nn.Embedding, nn.modules.conv._ConvNd)

_ADVICE = (
    "quantize the model first, or say which layers to take with select: name patterns such as "
    "('layer1.*',), a function of (name, module), or 'all' for every convolution, linear layer "
    "and embedding"
)

_FLAT = (
    "FullyShardedDataParallel (FSDP1) keeps weights in flat parameters, where they have neither "
    "their shape nor their place; use fully_shard (FSDP2)"
)


@dataclass(frozen=True, eq=False)
class Weight:
    """A latent weight: its layer's name, the parameter, and where its output channels lie.

    ``step`` is the parameter of a quantiser with learned steps, ``own_block`` what has one step or
    scale there: "layer", "channel", or the number of weights of a group.
    """

    name: str
    parameter: Tensor
    channels: Channels = field(default_factory=Channels)
    step: Tensor | None = None
    own_block: Any = "layer"

    @property
    def channel_axis(self) -> int:
        """Axis of the output channels."""
        return self.channels.axis


def find_weights(source: Source, select: Select = None) -> list[Weight]:
    """The latent weights to work on, each once, in the order of the model.

    Parameters
    ----------
    source : nn.Module, or iterable of tensors or of (name, tensor)
        All of an iterable is taken; of a model, the layers that `select` says.
    select : None, "all", sequence of str, or callable
        None takes the quantised layers: those of `quantize_`, Brevitas, torchao's fake
        quantisation and torch.ao's. Strings are fnmatch patterns of module names. A callable gets
        (name, module) and says whether the module's weight is taken.

    Raises
    ------
    InvalidArgumentError
        If nothing is selected, a pattern matches nothing, or FSDP1 has taken a weight.
    DTypeError, ShapeError
        If a weight is not real floating point, is a scalar, or has no entries. Names the layer.

    Warns
    -----
    UserWarning
        If a selected layer is frozen (``requires_grad=False``); it is left out.
    """
    if isinstance(source, nn.Module):
        found = list(_from_model(source, select))
    else:
        if select is not None:
            raise InvalidArgumentError(
                f"select = {select!r} chooses among the layers of a model; parameters were "
                "given, which are all "
                "taken: leave select out, or give the model"
            )
        found = list(_from_parameters(source))
    weights: list[Weight] = []
    seen: set[int] = set()
    frozen = []
    for weight in found:
        if id(weight.parameter) in seen:  # tied weights have one gradient
            continue
        seen.add(id(weight.parameter))
        _check(weight)
        if weight.parameter.requires_grad:
            weights.append(weight)
        else:
            frozen.append(weight.name)
    if frozen:
        warnings.warn(
            f"these layers are frozen (requires_grad=False) and left out: {', '.join(frozen)}; "
            "after unfreezing them, make this object anew",
            stacklevel=3,
        )
    if not weights:
        raise InvalidArgumentError(
            "every selected layer is frozen (requires_grad=False), so that there is nothing to "
            "correct"
            if frozen
            else f"there are no parameters to work on: {_ADVICE}"
        )
    return weights


def _from_model(model: nn.Module, select: Select) -> Iterator[Weight]:
    _refuse_flat(model)
    modules = [(name, m) for name, m in model.named_modules() if latent_parameter(m) is not None]
    wanted = _predicate(select, [name for name, _ in modules])
    none = True
    chosen: list[nn.Module] = []
    for name, module in modules:
        if wanted(name, module):
            parameter = latent_parameter(module)
            assert parameter is not None
            none = False
            chosen.append(module)
            quantizer = weight_quantizer(module)
            step = None if quantizer is None else quantizer.step
            own = "layer" if quantizer is None else quantizer.block
            channels = layer_channels(module, parameter)
            yield Weight(name or "weight", parameter, channels, step, own)
    if isinstance(select, str) and select == "all" and not none:
        _report_left_out(model, chosen)
    if none:
        kind = "quantised layers" if select is None else f"layers selected by {select!r}"
        names = ", ".join(name or "(the model itself)" for name, _ in modules) or "none"
        raise InvalidArgumentError(
            f"the model {type(model).__name__} has no {kind}: {_ADVICE}. "
            f"Its layers with a weight: {names}"
        )


def _refuse_flat(model: nn.Module) -> None:
    """Refuse models in FSDP1's wrappers, whose weights are parts of flat parameters."""
    if "torch.distributed.fsdp" not in sys.modules:
        return
    from torch.distributed.fsdp import FullyShardedDataParallel

    for name, module in model.named_modules():
        if isinstance(module, FullyShardedDataParallel):
            raise InvalidArgumentError(f"{name or 'the model'}: {_FLAT}")


def _report_left_out(model: nn.Module, chosen: list[nn.Module]) -> None:
    """Warn about the weights that "all" does not reach."""
    left = [str(weight) for weight in float_weights(model, chosen)]
    if left:
        warnings.warn(
            f"select='all' leaves out the weights that are not the parameter 'weight' of a "
            f"convolution, linear layer or embedding: {', '.join(left)}. Select layers by name "
            "to say that this is meant; packed weights can be given as (name, parameter) pairs",
            stacklevel=5,
        )


def _predicate(select: Select, names: list[str]) -> Callable[[str, nn.Module], bool]:
    if select is None:
        return lambda name, module: is_quantized(module)
    if callable(select):
        return select
    if isinstance(select, str):
        if select == "all":
            return lambda name, module: isinstance(module, _WEIGHTED)
        select = (select,)
    patterns = tuple(select)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InvalidArgumentError(
                f"no layer matches the pattern {pattern!r} of select; choose from: "
                f"{', '.join(names) or 'none'}"
            )
    return lambda name, module: any(fnmatchcase(name, pattern) for pattern in patterns)


def _from_parameters(source: Any) -> Iterator[Weight]:
    if isinstance(source, Tensor):
        source = [source]
    for position, item in enumerate(source):
        name, parameter = item if isinstance(item, tuple) else (f"parameter {position}", item)
        if not isinstance(parameter, Tensor):
            raise InvalidArgumentError(
                f"expected tensors or (name, tensor) pairs, got {type(parameter).__name__} as "
                f"{name!r}; parameter groups are lists of tensors under their key 'params'"
            )
        yield Weight(name, parameter)


def _is_leaf(p: Tensor) -> bool:
    try:
        return p.is_leaf
    except RuntimeError:  # a view of a tensor that was written to: FSDP1 leaves such views behind
        return False


def _check(weight: Weight) -> None:
    p, where = weight.parameter, f"layer {weight.name!r}: "
    if getattr(p, "_fsdp_flattened", False):
        raise InvalidArgumentError(f"{where}{_FLAT}")
    if isinstance(p, nn.parameter.UninitializedParameter):
        raise ShapeError(f"{where}its weight has no shape yet; run the model once on an input")
    if not _is_leaf(p):
        raise InvalidArgumentError(
            f"{where}its weight is computed from other tensors, so that no optimiser holds it; "
            "give the parameter that it is computed from. In a model that FSDP1 has wrapped: use "
            "fully_shard (FSDP2)"
        )
    if not p.dtype.is_floating_point or p.dtype.itemsize < 2:
        raise DTypeError(
            f"{where}its weight has dtype {p.dtype}; the LNE metric is one of real floating-point "
            "weights (float64, float32, bfloat16 or float16): leave the layer out with select"
        )
    if p.ndim == 0 or p.numel() == 0:
        kind = "is a scalar" if p.ndim == 0 else f"has shape {tuple(p.shape)}, no entries"
        raise ShapeError(f"{where}its weight {kind}; leave the layer out with select")
    if p.layout is not torch.strided:
        raise DTypeError(f"{where}its weight has layout {p.layout}; a dense one is needed")
