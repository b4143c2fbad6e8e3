"""Weights and quantisers of a layer, whichever library put them there."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import parametrize

from riemann_lne.errors import InvalidArgumentError

from .channels import Channels, chosen_channels
from .quantizers import WeightQuantizer


def latent_parameter(module: nn.Module) -> Tensor | None:
    """The parameter behind a module's weight: under a parametrisation, its original."""
    if parametrize.is_parametrized(module, "weight"):
        original = getattr(module.parametrizations["weight"], "original", None)  # type: ignore[index]
        return original if isinstance(original, Tensor) else None
    weight = module._parameters.get("weight")
    return weight if isinstance(weight, Tensor) else None


def layer_channels(module: nn.Module, weight: Tensor) -> Channels:
    """Where the output channels of a layer's weight lie.

    Of a layer of `quantize_` its quantiser knows (`QuantConfig` may have said it), of others their
    kind decides: see `register_channel_axis`. Axis 0 for kinds that are not known.
    """
    quantizer = weight_quantizer(module)
    if quantizer is not None:
        return quantizer.channels
    if isinstance(weight, nn.parameter.UninitializedParameter):
        return Channels()  # no shape yet, which is said later
    found = chosen_channels(module, weight, None, "")
    return Channels() if found is None else found


def weight_quantizer(module: nn.Module) -> WeightQuantizer | None:
    """The quantiser that `quantize_` put on a layer's weight, if any."""
    if not parametrize.is_parametrized(module, "weight"):
        return None
    chain = module.parametrizations["weight"]  # type: ignore[index]
    return next((step for step in chain if isinstance(step, WeightQuantizer)), None)


def is_quantized(module: nn.Module) -> bool:
    """Whether a layer's weight goes through a quantiser of a library that is known here."""
    if weight_quantizer(module) is not None:
        return True
    if getattr(getattr(module, "weight_quant", None), "is_quant_enabled", False):  # Brevitas
        return True
    # torchao, torch.ao
    for name in ("weight_fake_quantizer", "weight_fake_quant"):
        if getattr(module, name, None) is not None:
            return True
    return False


def refuse_sharded(w: Tensor, where: str = "") -> None:
    """Refuse weights that tensor parallelism has cut: blocks reach over processes.

    Raises InvalidArgumentError with the advice to use the corrector. FSDP2 hands out whole weights.
    """
    if isinstance(w, DTensor):
        raise InvalidArgumentError(
            f"{where}the LNE estimators need whole weights on every process, and tensor "
            "parallelism has cut this one (FSDP2 alone has not): quantise with estimator='ste' and "
            "use LNECorrector, which adds up the parts"
        )


def require_plain_weight(layer: Any, where: str) -> None:
    """Refuse a layer whose weight is computed from other parameters: InvalidArgumentError."""
    computed = _computed(layer)
    if computed is not None:
        raise InvalidArgumentError(
            f"{where}{computed}, so that there is no latent weight to quantise: make it a plain "
            "parameter first (remove_parametrizations, prune.remove), or name the layer in skip"
        )


def _computed(layer: Any) -> str | None:
    """How a layer's weight is computed from other parameters, if it is."""
    if parametrize.is_parametrized(layer, "weight"):
        kinds = [type(step).__name__ for step in layer.parametrizations["weight"]]
        return f"its weight has another parametrisation ({', '.join(kinds)})"
    if "weight" in layer._parameters:
        return None
    for name, by in (
        ("weight_g", "weight norm"),
        ("weight_u", "spectral norm"),
        ("weight_mask", "pruning"),
    ):
        if hasattr(layer, name):
            return f"its weight is computed by {by} (torch.nn.utils)"
    return "it has no parameter called 'weight'"
