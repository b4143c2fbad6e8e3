"""The networks of a comparison, from a seed to a quantised model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from riemann_lne_torch import Estimator, QuantConfig, quantize_

from ..networks import cifar_resnet, edge_layers, mlp
from .datasets import SHAPES
from .protocol import Arm

__all__ = ["build_model", "chosen_layers", "hash_tensors", "quantize_model"]

_WEIGHTED = (nn.Conv2d, nn.Linear)


def build_model(arm: Arm, seed: int) -> nn.Module:
    """The floating-point network of an arm with the weights of a seed.

    The weights are those of He et al. (2015): normal with variance 2/fan-in. They depend on seed
    and architecture only, not on method or estimator. The global random state stays as it was.
    """
    channels, height, width, classes = SHAPES[arm.dataset]
    assert arm.width is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if arm.model == "mlp":
            model = mlp(channels * height * width, classes, arm.width, arm.depth)
        else:
            depth = int(arm.model.removeprefix("resnet"))
            model = cifar_resnet(depth, classes, arm.width, channels)
        for module in model.modules():
            if isinstance(module, _WEIGHTED):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    return model


def chosen_layers(model: nn.Module, arm: Arm) -> dict[str, nn.Parameter]:
    """Name and weight of every layer that the arm makes discrete; the model is a float one."""
    first, last = edge_layers(model)
    left_out = {first} if not arm.quantize_first else set()
    left_out |= {last} if not arm.quantize_last else set()
    return {
        name: model.get_parameter(f"{name}.weight")
        for name, module in model.named_modules()
        if isinstance(module, _WEIGHTED) and name not in left_out
    }


def quantize_model(
    model: nn.Module, arm: Arm, estimator: Estimator | None, scale: str
) -> nn.Module:
    """Quantise the chosen layers in place: weights if there is an estimator, and activations.

    The images themselves, which are the input of the first layer, stay as they are.
    """
    bits = arm.weight_bits if estimator is not None else None
    if bits is None and arm.activation_bits is None:
        return model
    chosen = chosen_layers(model, arm)
    first, _ = edge_layers(model)
    everything = [name for name, m in model.named_modules() if isinstance(m, _WEIGHTED)]
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
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
