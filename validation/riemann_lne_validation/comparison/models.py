"""The networks of a comparison, from a seed to a quantised model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne_torch import Estimator, QuantConfig, quantize_
from riemann_lne_torch.natural.selection import find_weights
from riemann_lne_torch.quantize.config import QUANTIZABLE
from riemann_lne_torch.quantize.layers import (
    is_quantized,
    require_plain_weight,
    weight_quantizer,
)

from ..lab.networks import WEIGHTED, edge_layers
from .problems import problem_of
from .protocol import Arm

__all__ = [
    "build_model",
    "chosen_layers",
    "hash_tensors",
    "is_hosted",
    "is_weighted",
    "quantize_model",
]


def build_model(arm: Arm, seed: int) -> nn.Module:
    """The floating-point network of an arm with the weights of a seed.

    Of a data set's network they are those of He et al. (2015): normal with variance 2/fan-in. They
    depend on seed and architecture only, not on method or estimator. The global random state
    stays as it was.
    """
    return problem_of(arm).build(seed)


def is_hosted(model: nn.Module) -> bool:
    """Whether another library (Brevitas, torchao, torch.ao) quantises layers of the model."""
    return any(is_quantized(m) and weight_quantizer(m) is None for m in model.modules())


def is_weighted(module: nn.Module) -> bool:
    """Whether an arm may make the weight of a layer discrete: convolutions and linear layers."""
    return isinstance(module, WEIGHTED)


def chosen_layers(model: nn.Module, arm: Arm) -> dict[str, nn.Parameter]:
    """Name and weight of every layer that the arm makes discrete, in a model not yet quantised.

    Of a model that another library quantises: the layers that this library makes discrete.
    """
    if is_hosted(model):
        return {w.name: w.parameter for w in find_weights(model)}  # type: ignore[misc]
    if not any(is_weighted(m) for m in model.modules()):
        return {}
    first, last = edge_layers(model)
    left_out = {first} if not arm.quantize_first else set()
    left_out |= {last} if not arm.quantize_last else set()
    chosen = {n: m for n, m in model.named_modules() if is_weighted(m) and n not in left_out}
    for name, module in chosen.items():
        require_plain_weight(module, f"layer {name!r}: ")
    return {name: model.get_parameter(f"{name}.weight") for name in chosen}


def quantize_model(
    model: nn.Module, arm: Arm, estimator: Estimator | None, scale: str
) -> nn.Module:
    """Quantise the chosen layers in place: weights if there is an estimator, and activations.

    The images themselves, which are the input of the first layer, stay as they are.
    """
    bits = arm.weight_bits if estimator is not None else None
    if (bits is None and arm.activation_bits is None) or is_hosted(model):
        return model
    chosen = chosen_layers(model, arm)
    first, _ = edge_layers(model)
    # an embedding too, whose weight `quantize_` would take
    everything = [name for name, m in model.named_modules() if isinstance(m, QUANTIZABLE)]
    settings: dict[str, Any] = {"weight_scale": scale}
    if estimator is not None:
        settings["estimator"] = estimator
    skip = [name for name in everything if name not in chosen]
    overrides: Mapping[str, Any] = {}
    if arm.activation_bits is not None and first in chosen:
        if bits is None:
            skip.append(first)
        else:
            overrides = {first: {"activation_bits": None}}
    config = QuantConfig(
        weight_bits=bits,
        activation_bits=arm.activation_bits,
        activation_range=arm.activation_range,
        skip=skip,
        overrides=overrides,
        **settings,
    )
    return quantize_(model, config)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and values."""
    state = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        state.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        numbers = value.detach().cpu().contiguous()
        if numbers.dtype is torch.bfloat16:  # a type that NumPy does not know
            numbers = numbers.view(torch.int16)
        state.update(numbers.numpy().tobytes())
    return state.hexdigest()
