"""One verb for a model: quantize_, and its two ways back, dequantize_ and finalize_."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from riemann_lne import checks
from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    NotFiniteError,
    RiemannLNEError,
    ShapeError,
    UnknownNameError,
)

from .channels import Channels, chosen_channels
from .checkpoints import LATENT, accept_checkpoint
from .config import QuantConfig, Settings
from .estimators import get_estimator
from .inputs import INPUT, attach_input, detach_input, find_inputs, remove_hook
from .integers import onnx_integers, torchao_weight
from .layers import is_quantized, refuse_sharded, require_plain_weight, weight_quantizer
from .levels import check_bits, require_floating, wide
from .packed import PackedWeight, load_packed_, pack, pack_layer
from .pretrained import attach_pretrained, detach_pretrained
from .quantizers import ActivationQuantizer, WeightQuantizer

__all__ = [
    "QuantConfig",
    "dequantize_",
    "finalize_",
    "latent_parameters",
    "load_packed_",
    "onnx_integers",
    "quantize_",
    "quantized_layers",
    "set_progress",
]

FORMS = ("plain", "packed", "torchao")

# Linear layers that are used without being called.
_UNCALLED = nn.modules.linear.NonDynamicallyQuantizableLinear


def quantize_(model: nn.Module, config: QuantConfig | None = None) -> nn.Module:
    """Quantise the weights, and the inputs if asked, of a model's layers in place.

    Each weight becomes a parametrisation (`torch.nn.utils.parametrize`): ``layer.weight`` is the
    discrete tensor, computed at each use, and the Parameter object that the optimiser holds
    stays the latent weight. In the state dict it is called ``parametrizations.weight.original``
    in place of ``weight``; a float checkpoint, with ``weight``, loads too. Estimators with a
    schedule add ``parametrizations.weight.0.progress`` (and ``activation_quantizer.progress``),
    those with a learned step the parameter ``parametrizations.weight.0.step``, and ranges of
    inputs that are kept ``activation_quantizer.range``, a parameter if it is learned.
    In the order of ``model.parameters()``, by which state dicts of optimisers number them, a
    layer's weight now comes after its bias, until `dequantize_` or `finalize_`.

    If an error is raised the model is as it was.

    Parameters
    ----------
    model : nn.Module
        A single layer is a model too.
    config : QuantConfig, optional
        One bit for the weights, straight-through, by default.

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    InvalidArgumentError
        If there is no layer to quantise, a pattern of `skip` or `overrides` matches none, a
        layer is quantised already or has another parametrisation, bits are not an integer from
        1 to 16, layers that share a weight have different settings, it cannot be told which
        argument of a layer's forward is the input or which axis holds its channels, or the
        model is sharded by FSDP already. Names the layer.
    DTypeError, ShapeError, NotFiniteError
        If a weight is complex or integer, empty, or not finite. Names the layer.

    Warns
    -----
    UserWarning
        If layers are frozen (``requires_grad=False``): they are quantised, and will not train. If
        weights stay float.

    Notes
    -----
    Weights of two axes or more that lie in no layer of the kinds in ``QuantConfig.layers`` stay
    float and are named in a warning, unless ``skip`` names them: GPT-2's ``Conv1D``, and the input
    projections of `nn.MultiheadAttention`, which also uses the weight of ``out_proj`` without
    calling the layer, so that its input is not quantised either. A weight that is computed from
    others (weight norm, pruning, another parametrisation) is an error.

    Layers that share a weight get one quantiser. Tie them before, or after `dequantize_`:
    assigning the discrete ``weight`` of one layer to another is refused.

    Inputs are quantised by position and by keyword; where it cannot be told which argument of
    ``forward`` is the input, give ``activation_input``. Output channels follow from the kind of
    layer; for other kinds give ``channel_axis``, or call `register_channel_axis`.

    Float checkpoints, and those of models that are quantised otherwise, load with ``strict=True``.
    Order with other libraries: tensor parallelism before, ``fully_shard`` (FSDP2) after.

    References
    ----------
    Eq. 37 and 38 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantization import QuantConfig, quantize_
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> model = quantize_(model, QuantConfig(weight_bits=1, skip=("2",)))
    >>> model[0].weight.abs().detach()
    tensor([[1., 1.],
            [1., 1.],
            [1., 1.]])
    >>> [name for name in model.state_dict() if "weight" in name]
    ['0.parametrizations.weight.original', '2.weight']
    """
    config = QuantConfig() if config is None else config
    require_whole(model, "quantize_")
    plan = [_prepare(name, layer, settings) for name, layer, settings in config.select(model)]
    _share(model, plan)
    _report(model, plan, config)  # before anything is changed: a warning may be an error
    for planned in plan:
        _attach(planned.layer, planned.weight, planned.activation)
    attach_pretrained(model)
    return model


class _Planned(NamedTuple):
    """A layer and the quantisers that it gets."""

    name: str
    layer: Any
    weight: WeightQuantizer | None
    activation: ActivationQuantizer | None


def _report(model: nn.Module, plan: list[_Planned], config: QuantConfig) -> None:
    """Warn about what stays float, and about layers that will not train."""
    said = [str(left) for left in config.unnamed(model)]
    if said:
        warnings.warn(
            f"these weights stay float: {_listing(said)}. quantize_ takes layers with one "
            "parameter 'weight': name further kinds in QuantConfig(layers=(*QuantConfig().layers, "
            "...)), or name these weights in skip if they are meant to stay as they are",
            stacklevel=3,
        )
    uncalled = [
        planned.name
        for planned in plan
        if planned.activation is not None and isinstance(planned.layer, _UNCALLED)
    ]
    if uncalled:
        warnings.warn(
            f"the inputs of these layers stay float: {_listing(uncalled)}; MultiheadAttention uses "
            "their weight without calling them; leave activation_bits out for them",
            stacklevel=3,
        )
    frozen = [planned.name for planned in plan if not planned.layer.weight.requires_grad]
    if frozen:
        warnings.warn(
            f"these layers are frozen (requires_grad=False): quantised, but their latent weights "
            f"will not train, name them in skip if that is meant: {', '.join(frozen)}",
            stacklevel=3,
        )


def _listing(names: list[str], most: int = 20) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _prepare(name: str, layer: Any, settings: Settings) -> _Planned:
    """Check one layer and make its quantisers; nothing of the model is changed."""
    where = f"layer {name!r}: "
    if weight_quantizer(layer) is not None or hasattr(layer, INPUT):
        raise InvalidArgumentError(
            f"{where}it is quantised already; call dequantize_(model) first, or name it in skip"
        )
    if is_quantized(layer):
        raise InvalidArgumentError(
            f"{where}another library quantises its weight already (Brevitas, torchao, torch.ao); "
            "name it in skip. The corrector works on it as it is"
        )
    require_plain_weight(layer, where)
    _check_weight(layer.weight, where)
    channels = _channels(layer, settings, where)
    quantizer: WeightQuantizer | None = None
    activation: ActivationQuantizer | None = None
    try:
        if settings.weight_bits is not None:
            quantizer = WeightQuantizer(
                check_bits(settings.weight_bits, "weight_bits: "),
                settings.estimator,
                settings.weight_scale,
                channels.axis,
                channels.groups,
            )
            quantizer.start_step(layer.weight)
            quantizer.value(layer.weight)  # whatever the estimator refuses, it does here
            if quantizer.estimator.natural:
                refuse_sharded(layer.weight)
        if settings.activation_bits is not None:
            activation = ActivationQuantizer(
                check_bits(settings.activation_bits, "activation_bits: "),
                settings.activation_estimator,
                settings.activation_scale,
                settings.activation_range,
            )
    except RiemannLNEError as error:
        kind = type(error) if type(error) in (DTypeError, ShapeError) else InvalidArgumentError
        raise kind(f"{where}{error}") from error
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):  # its input are row numbers
        activation = None
    if activation is not None:
        activation.arguments = find_inputs(layer, settings.activation_input, where)
    device = layer.weight.device
    for part in (quantizer, activation):
        if part is not None:
            part.to(device=device).train(layer.training)
    return _Planned(name, layer, quantizer, activation)


def _channels(layer: Any, settings: Settings, where: str) -> Channels:
    """Where the output channels lie; an error where that matters and is not known."""
    found = chosen_channels(layer, layer.weight, settings.channel_axis, where)
    if found is not None:
        return found
    by_channel = settings.weight_scale == "mean-channel" or (
        settings.weight_bits is not None and get_estimator(settings.estimator).per_channel
    )
    if by_channel and layer.weight.ndim > 1:
        raise InvalidArgumentError(
            f"{where}which axis of its weight, shape {tuple(layer.weight.shape)}, holds the output "
            f"channels is not known for a {type(layer).__name__}, and its scale or estimator works "
            "by channel; give channel_axis in QuantConfig or its overrides, or call "
            "register_channel_axis"
        )
    return Channels()


def _check_weight(weight: Tensor, where: str) -> None:
    if isinstance(weight, UninitializedParameter):
        raise InvalidArgumentError(
            f"{where}it is lazy and has no weight yet; run a batch through the model first"
        )
    require_floating(weight, where)
    if weight.numel() == 0:
        raise ShapeError(
            f"{where}its weight is empty, shape {tuple(weight.shape)}; name it in skip"
        )
    if not weight.is_meta and not bool(torch.isfinite(weight.detach()).all()):
        raise NotFiniteError(f"{where}its weight has NaN or infinite values; repair them first")


def _share(model: nn.Module, plan: list[_Planned]) -> None:
    """Give layers that share one weight the same quantiser, after a check that they may."""
    first = {
        id(layer.parametrizations.weight.original): (name, weight_quantizer(layer))
        for name, layer in _quantized(model)
        if weight_quantizer(layer) is not None
    }
    for i, planned in enumerate(plan):
        key, quantizer = id(planned.layer.weight), planned.weight
        if key not in first:
            first[key] = (planned.name, quantizer)
            continue
        other, earlier = first[key]
        same = (quantizer is None) == (earlier is None)
        if same and quantizer is not None and earlier is not None:
            same = quantizer.settings() == earlier.settings()
        if not same:
            raise InvalidArgumentError(
                f"layers {other!r} and {planned.name!r} share one weight, but their settings "
                "differ; give both the same bits, estimator, scale and output channels"
            )
        plan[i] = planned._replace(weight=earlier)


def _attach(
    layer: nn.Module,
    weight_quantizer: WeightQuantizer | None,
    activation_quantizer: ActivationQuantizer | None,
) -> None:
    if activation_quantizer is not None:
        attach_input(layer, activation_quantizer)
    if weight_quantizer is not None:
        weight_quantizer.guarded = False
        parametrize.register_parametrization(layer, "weight", weight_quantizer)
        weight_quantizer.guarded = True
        if activation_quantizer is not None:  # in the state dict the latent weight comes first
            layer._modules[INPUT] = layer._modules.pop(INPUT)
    # A hook of the class's own making and not a closure: copies of the model keep working.
    layer.register_load_state_dict_pre_hook(accept_checkpoint)  # type: ignore[no-untyped-call]


def require_whole(model: nn.Module, verb: str) -> None:
    """Refuse models that FSDP2 has sharded, which keeps its own list of parameters."""
    if "torch.distributed.fsdp" not in sys.modules:
        return
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    for name, module in model.named_modules():
        if isinstance(module, (FSDPModule, FullyShardedDataParallel)):
            raise InvalidArgumentError(
                f"{verb}: {name or 'the model'} is sharded by FSDP, which keeps its own list of "
                "parameters. Quantise before fully_shard; to go back, load the full state dict "
                "(torch.distributed.checkpoint.state_dict) into a copy that is not sharded"
            )


def _quantized(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, layer in model.named_modules():
        if weight_quantizer(layer) is not None or hasattr(layer, INPUT):
            yield name, layer


def quantized_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that `quantize_` changed, by name, in the order of the model.

    >>> import torch
    >>> from riemann_lne_torch.quantization import quantize_, quantized_layers
    >>> model = quantize_(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()))
    >>> list(quantized_layers(model))
    ['0']
    """
    return dict(_quantized(model))


def latent_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of the quantised layers, each once, as the optimiser holds them.

    >>> import torch
    >>> from riemann_lne_torch.quantization import latent_parameters, quantize_
    >>> layer = torch.nn.Linear(2, 2)
    >>> weight = layer.weight
    >>> latent_parameters(quantize_(layer))[0] is weight
    True
    """
    found: dict[int, nn.Parameter] = {}
    for _, layer in _quantized(model):
        if weight_quantizer(layer) is not None:
            original = layer.parametrizations.weight.original
            found[id(original)] = original
    return list(found.values())


def set_progress(model: nn.Module, fraction: float) -> int:
    """Tell all quantisers which fraction of the training is done, for estimators with a schedule.

    Call it once an epoch, or at every step. The number is in the state dict.

    Parameters
    ----------
    model : nn.Module
    fraction : float
        From 0 to 1.

    Returns
    -------
    int
        How many quantisers have a schedule; 0 is no error, so that a training script need not
        know its estimator.

    Raises
    ------
    InvalidArgumentError
        If the fraction is not between 0 and 1, or the model is not quantised.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantization import QuantConfig, quantize_, set_progress
    >>> model = quantize_(torch.nn.Linear(2, 2), QuantConfig(estimator="ede"))
    >>> set_progress(model, 0.25)
    1
    """
    kinds = (WeightQuantizer, ActivationQuantizer)
    quantizers = [m for m in model.modules() if isinstance(m, kinds)]
    if not quantizers:
        raise InvalidArgumentError("the model is not quantised; call quantize_(model, ...) first")
    for quantizer in quantizers:
        quantizer.set_progress(fraction)
    return sum(quantizer.progress is not None for quantizer in quantizers)


def dequantize_(model: nn.Module) -> nn.Module:
    """Undo `quantize_`: ``weight`` is the latent weight again, inputs are no longer quantised.

    In place; the Parameter objects stay the same. Returns the model. A model that is not
    quantised is left as it is.

    >>> import torch
    >>> from riemann_lne_torch.quantization import dequantize_, quantize_
    >>> layer = torch.nn.Linear(2, 2)
    >>> before = layer.weight.detach().clone()
    >>> torch.equal(dequantize_(quantize_(layer)).weight, before)
    True
    """
    if quantized_layers(model):
        require_whole(model, "dequantize_")
        detach_layers(model)
        detach_pretrained(model)
    return model


Quantizers = tuple[WeightQuantizer | None, ActivationQuantizer | None]


def detach_layers(model: nn.Module) -> dict[str, Quantizers]:
    """Take the quantisers off all layers, and return them by the names of these."""
    kept: dict[str, Quantizers] = {}
    for name, layer in list(_quantized(model)):
        kept[name] = weight_quantizer(layer), getattr(layer, INPUT, None)
        _detach_weight(layer)
        if hasattr(layer, INPUT):
            detach_input(layer)
        remove_hook(layer._load_state_dict_pre_hooks, accept_checkpoint)
    return kept


def attach_layers(model: nn.Module, kept: dict[str, Quantizers]) -> None:
    """Put them on again, on the layers that now have these names.

    Raises InvalidArgumentError, after that, if layers now share a weight and differ in settings.
    """
    plan = [_Planned(name, model.get_submodule(name), *pair) for name, pair in kept.items()]
    try:
        _share(model, plan)
    finally:
        for planned in plan:
            _attach(planned.layer, planned.weight, planned.activation)


def finalize_(model: nn.Module, *, packed: bool = False, form: str = "plain") -> nn.Module:
    """Bake the discrete weights in: plain layers with plain parameters that hold them.

    In place. The outputs are those of the quantised model, to the last bit. A model with
    quantised weights only then needs nothing of this package: it saves, loads and exports
    (`torch.export`, ONNX) as any other. Latent weights are lost: keep a checkpoint.

    Quantised activations are computed when the model runs, so their quantisers stay in the
    model, without estimator. What is exported (`torch.export`, ONNX) has them as plain
    operations and needs nothing of this package; the Python module itself still does, and a
    state dict alone does not carry them.

    With ``packed=True`` the discrete weights are stored in 1, 2, 4 or 8 bits, the fewest that tell
    their values apart, with a table of these values, or of the levels and a scale for each channel
    or group, whichever is smaller. They are unpacked at each use, to the same last bit; they do not
    train any more. The state dict is small, and `load_packed_` reads it into a float model.

    Parameters
    ----------
    model : nn.Module
    packed : bool
        The same as ``form="packed"``.
    form : {"plain", "packed", "torchao"}
        "torchao": weights of linear layers and embeddings are torchao's tensors of whole numbers
        (`IntxUnpackedToInt8Tensor`, int1 to int8, one byte a weight) with a scale a channel or
        group. Their values are equal up to the rounding of scale times number, and need torchao
        where the model runs, but nothing of this package. Other layers stay plain, with a warning.

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    InvalidArgumentError
        If the model is not quantised, two forms are asked for, the values of a layer are too many
        to be packed, or, for torchao, are not evenly spaced.
    UnknownNameError
        If there is no such form.
    MissingDependencyError
        If torchao is asked for and not installed.
    NotFiniteError
        If a latent weight is NaN or infinite. Names the layer; the model is then as it was.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.quantization import finalize_, quantize_
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[0.3, -0.2]]))
    >>> finalize_(quantize_(layer)).weight
    Parameter containing:
    tensor([[ 1., -1.]], requires_grad=True)
    """
    layers = quantized_layers(model)
    if not layers:
        raise InvalidArgumentError("the model is not quantised; call quantize_(model, ...) first")
    if form not in FORMS:
        raise UnknownNameError("form", form, FORMS)
    packed = checks.flag(packed, "packed") or form == "packed"
    if packed and form == "torchao":
        raise InvalidArgumentError(
            "packed=True and form='torchao' are two ways to store one weight; give one of them"
        )
    require_whole(model, "finalize_")
    baked = _bake(layers, form, packed)
    if baked.plain:
        warnings.warn(
            f"torchao has no type of whole numbers for the weights of {_listing(baked.plain)}: "
            "they stay floats that hold the discrete values; use form='packed' where size counts",
            stacklevel=2,
        )
    _report_untied(model, set(baked.values))
    for layer in layers.values():
        _put(layer, baked)
    detach_pretrained(model)
    return model


class _Baked(NamedTuple):
    """The replacements of latent weights, by the ``id`` of each, and the names of plain weights."""

    values: dict[int, nn.Parameter]
    codes: dict[int, tuple[Tensor, PackedWeight]]
    plain: list[str]


def _bake(layers: dict[str, Any], form: str, packed: bool) -> _Baked:
    """The discrete weights of quantised layers; nothing of the layers is changed."""
    baked = _Baked({}, {}, [])
    for name, layer in layers.items():
        where = f"layer {name!r}: "
        if hasattr(layer, INPUT):
            getattr(layer, INPUT).require_range(where)
        quantizer = weight_quantizer(layer)
        if quantizer is None:
            continue
        original = layer.parametrizations.weight.original
        key = id(original)
        if key in baked.values:  # layers that share a weight go on sharing it
            continue
        _check_weight(original, where)
        value = quantizer.value(original.detach())
        baked.values[key] = _like(original, value)
        if packed:
            units: list[Tensor] = []
            with suppress(InvalidArgumentError):  # values in a rotated basis have none
                # estimators compute in float32 or better, and round their products once
                latent = original.detach()
                kinds = [latent] if wide(latent) is latent else [latent, wide(latent)]
                found = [quantizer.unit(kind) for kind in kinds]
                units = [unit for unit in found if unit is not None]
            baked.codes[key] = pack(value, quantizer.channels, quantizer.block, where, *units)
        if form == "torchao":
            tensor = torchao_weight(layer, value, quantizer.block, where)
            if tensor is None:
                baked.plain.append(name)
            else:
                baked.values[key] = nn.Parameter(tensor, requires_grad=False)
    return baked


def _put(layer: Any, baked: _Baked) -> None:
    """Make a quantised layer a plain one that holds its discrete weight."""
    key = 0
    if weight_quantizer(layer) is not None:
        key = id(layer.parametrizations.weight.original)
    _detach_weight(layer)
    if key:
        layer.weight = baked.values[key]
    if key in baked.codes:
        pack_layer(layer, *baked.codes[key])
    remove_hook(layer._load_state_dict_pre_hooks, accept_checkpoint)
    if hasattr(layer, INPUT):
        getattr(layer, INPUT).frozen = True


def _like(original: nn.Parameter, value: Tensor) -> nn.Parameter:
    """A Parameter of that value, with the attributes of the original one."""
    new = nn.Parameter(value, requires_grad=original.requires_grad)
    new.__dict__.update(original.__dict__)
    return new


def _report_untied(model: nn.Module, latent: set[int]) -> None:
    """Warn about float layers that shared a latent weight."""
    alone = [
        name
        for name, p in model.named_parameters(remove_duplicate=False)
        if id(p) in latent and not name.endswith(LATENT)
    ]
    if alone:
        warnings.warn(
            f"{_listing(alone)} shared a weight with quantised layers and is float: it keeps the "
            "latent weight, they get the discrete one, and the two are no longer tied (a Hugging "
            "Face model: set config.tie_word_embeddings = False before you save it)",
            stacklevel=3,
        )


def _detach_weight(layer: Any) -> None:
    if weight_quantizer(layer) is not None:
        # Copies of a layer have its class, and PyTorch takes the property off the class.
        kind = type(layer)
        layer.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        # Optimisers number parameters by their order: the weight comes before the bias again.
        for name in [n for n in layer._parameters if n != "weight"]:
            layer._parameters[name] = layer._parameters.pop(name)
