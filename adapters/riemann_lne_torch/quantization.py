"""One verb for a model: quantize_, and its two ways back, dequantize_ and finalize_."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    NotFiniteError,
    RiemannLNEError,
    ShapeError,
)

from .channels import Channels, chosen_channels
from .config import QuantConfig, Settings
from .estimators import get_estimator
from .levels import check_bits, require_floating
from .quantizers import ActivationQuantizer, WeightQuantizer
from .selection import is_quantized

__all__ = [
    "QuantConfig",
    "dequantize_",
    "finalize_",
    "latent_parameters",
    "quantize_",
    "quantized_layers",
    "set_progress",
]

_INPUT = "activation_quantizer"


def quantize_(model: nn.Module, config: QuantConfig | None = None) -> nn.Module:
    """Quantise the weights, and the inputs if asked, of a model's layers in place.

    Each weight becomes a parametrisation (`torch.nn.utils.parametrize`): ``layer.weight`` is the
    discrete tensor, computed at each use, and the Parameter object that the optimiser holds
    stays the latent weight. In the state dict it is called ``parametrizations.weight.original``
    in place of ``weight``; a float checkpoint, with ``weight``, loads too. Estimators with a
    schedule add ``parametrizations.weight.0.progress`` (and ``activation_quantizer.progress``).
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
        1 to 16, or layers that share a weight have different settings. Names the layer.
    DTypeError, ShapeError, NotFiniteError
        If a weight is complex or integer, empty, or not finite. Names the layer.

    Warns
    -----
    UserWarning
        If layers are frozen (``requires_grad=False``): they are quantised, and will not train.

    Notes
    -----
    `nn.MultiheadAttention` keeps its input projections in parameters of its own, which are not
    quantised; it uses the weight of ``out_proj`` without calling the layer, so that its input is
    not quantised either.

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
    plan = [_prepare(name, layer, settings) for name, layer, settings in config.select(model)]
    _share(plan)
    frozen = [name for name, layer, *_ in plan if not layer.weight.requires_grad]
    for _, layer, weight_quantizer, activation_quantizer in plan:
        _attach(layer, weight_quantizer, activation_quantizer)
    if frozen:
        warnings.warn(
            f"these layers are frozen (requires_grad=False): quantised, but their latent weights "
            f"will not train: {', '.join(frozen)}",
            stacklevel=2,
        )
    return model


_Planned = tuple[str, Any, WeightQuantizer | None, ActivationQuantizer | None]


def _prepare(name: str, layer: Any, settings: Settings) -> _Planned:
    """Check one layer and make its quantisers; nothing of the model is changed."""
    where = f"layer {name!r}: "
    if _quantizer(layer) is not None or hasattr(layer, _INPUT):
        raise InvalidArgumentError(
            f"{where}it is quantised already; call dequantize_(model) first, or name it in skip"
        )
    if is_quantized(layer):
        raise InvalidArgumentError(
            f"{where}another library quantises its weight already (Brevitas, torchao, torch.ao); "
            "name it in skip. The corrector works on it as it is"
        )
    if parametrize.is_parametrized(layer, "weight") or "weight" not in layer._parameters:
        raise InvalidArgumentError(
            f"{where}its weight has another parametrisation (weight or spectral norm?); remove "
            "it first, or name the layer in skip"
        )
    _check_weight(layer.weight, where)
    channels = _channels(layer, settings, where)
    weight_quantizer = activation_quantizer = None
    try:
        if settings.weight_bits is not None:
            weight_quantizer = WeightQuantizer(
                check_bits(settings.weight_bits, "weight_bits: "),
                settings.estimator,
                settings.weight_scale,
                channels.axis,
                channels.groups,
            )
            weight_quantizer.value(layer.weight)  # whatever the estimator refuses, it does here
        if settings.activation_bits is not None:
            activation_quantizer = ActivationQuantizer(
                check_bits(settings.activation_bits, "activation_bits: "),
                settings.activation_estimator,
                settings.activation_scale,
            )
    except RiemannLNEError as error:
        kind = type(error) if type(error) in (DTypeError, ShapeError) else InvalidArgumentError
        raise kind(f"{where}{error}") from error
    if isinstance(layer, nn.Embedding):  # its input are row numbers
        activation_quantizer = None
    device = layer.weight.device
    for quantizer in (weight_quantizer, activation_quantizer):
        if quantizer is not None:
            quantizer.to(device=device).train(layer.training)
    return name, layer, weight_quantizer, activation_quantizer


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
        raise ShapeError(f"{where}its weight is empty, shape {tuple(weight.shape)}")
    if not weight.is_meta and not bool(torch.isfinite(weight.detach()).all()):
        raise NotFiniteError(f"{where}its weight has NaN or infinite values; repair them first")


def _share(plan: list[_Planned]) -> None:
    """Give layers that share one weight the same quantiser, after a check that they may."""
    first: dict[int, _Planned] = {}
    for i, (name, layer, quantizer, activation) in enumerate(plan):
        key = id(layer.weight)
        if key not in first:
            first[key] = plan[i]
            continue
        other, _, earlier, _ = first[key]
        same = (quantizer is None) == (earlier is None)
        if same and quantizer is not None and earlier is not None:
            same = quantizer.settings() == earlier.settings()
        if not same:
            raise InvalidArgumentError(
                f"layers {other!r} and {name!r} share one weight, but their settings differ; "
                "give both the same bits, estimator and scale"
            )
        plan[i] = (name, layer, earlier, activation)


def _attach(
    layer: nn.Module,
    weight_quantizer: WeightQuantizer | None,
    activation_quantizer: ActivationQuantizer | None,
) -> None:
    if weight_quantizer is not None:
        parametrize.register_parametrization(layer, "weight", weight_quantizer)
    if activation_quantizer is not None:
        layer.add_module(_INPUT, activation_quantizer)
        layer.register_forward_pre_hook(_quantize_input)
    # A hook of the class's own making and not a closure: copies of the model keep working.
    layer.register_load_state_dict_pre_hook(_accept_float_checkpoint)  # type: ignore[no-untyped-call]


def _quantize_input(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    quantizer = getattr(layer, _INPUT)
    return (quantizer(args[0]), *args[1:]) if args else args


def _accept_float_checkpoint(
    layer: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any
) -> None:
    """Read a checkpoint of the unquantised layer: ``weight`` is the latent weight."""
    quantizer = _quantizer(layer)
    float_key = f"{prefix}weight"
    if quantizer is not None and float_key in state_dict:
        state_dict[f"{prefix}parametrizations.weight.original"] = state_dict.pop(float_key)
        if quantizer.progress is not None:
            key = f"{prefix}parametrizations.weight.0.progress"
            state_dict.setdefault(key, quantizer.progress.detach().clone())
        activation = getattr(layer, _INPUT, None)
        if activation is not None and activation.progress is not None:
            key = f"{prefix}{_INPUT}.progress"
            state_dict.setdefault(key, activation.progress.detach().clone())


def _quantizer(layer: nn.Module) -> WeightQuantizer | None:
    """The weight quantiser of a layer, if it has one."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    found = [m for m in layer.parametrizations.weight if isinstance(m, WeightQuantizer)]  # type: ignore[union-attr]
    return found[0] if found else None


def _quantized(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, layer in model.named_modules():
        if _quantizer(layer) is not None or hasattr(layer, _INPUT):
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
        if _quantizer(layer) is not None:
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
    for _, layer in list(_quantized(model)):
        _detach_weight(layer)
        if hasattr(layer, _INPUT):
            delattr(layer, _INPUT)
            _remove(layer._forward_pre_hooks, _quantize_input)
        _remove(layer._load_state_dict_pre_hooks, _accept_float_checkpoint)
    return model


def finalize_(model: nn.Module) -> nn.Module:
    """Bake the discrete weights in: plain layers with plain parameters that hold them.

    In place. The outputs are those of the quantised model, to the last bit. A model with
    quantised weights only then needs nothing of this package: it saves, loads and exports
    (`torch.export`, ONNX) as any other. Latent weights are lost: keep a checkpoint.

    Quantised activations are computed when the model runs, so their quantisers stay in the
    model, without estimator. What is exported (`torch.export`, ONNX) has them as plain
    operations and needs nothing of this package; the Python module itself still does, and a
    state dict alone does not carry them.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    InvalidArgumentError
        If the model is not quantised.
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
    values: dict[str, tuple[nn.Parameter, Tensor]] = {}
    for name, layer in layers.items():
        quantizer = _quantizer(layer)
        if quantizer is not None:
            original: Any = layer.parametrizations.weight.original  # type: ignore[union-attr]
            _check_weight(original, f"layer {name!r}: ")
            values[name] = (original, quantizer.value(original.detach()))
    # All values before the first is stored: layers may share a weight.
    for original, value in values.values():
        original.data = value
    for layer in layers.values():
        _detach_weight(layer)
        _remove(layer._load_state_dict_pre_hooks, _accept_float_checkpoint)
        if hasattr(layer, _INPUT):
            getattr(layer, _INPUT).frozen = True
    return model


def _detach_weight(layer: Any) -> None:
    if _quantizer(layer) is not None:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        # Optimisers number parameters by their order: the weight comes before the bias again.
        for name in [n for n in layer._parameters if n != "weight"]:
            layer._parameters[name] = layer._parameters.pop(name)


def _remove(hooks: dict[int, Any], function: Any) -> None:
    """Take a function off a dictionary of hooks, wrapped or not."""
    for key, hook in list(hooks.items()):
        if getattr(hook, "hook", hook) is function:
            del hooks[key]
