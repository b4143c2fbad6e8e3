"""Checkpoints of float models and of differently quantised ones, read by quantised models."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from riemann_lne.errors import InvalidArgumentError

from .inputs import INPUT
from .layers import weight_quantizer

LATENT = "parametrizations.weight.original"
_WEIGHT_PROGRESS = "parametrizations.weight.0.progress"
_INPUT_PROGRESS = f"{INPUT}.progress"
_STEP = "parametrizations.weight.0.step"
_RANGE = f"{INPUT}.range"


def accept_checkpoint(
    layer: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any
) -> None:
    """Bring the entries of one layer into the form that the layer has, before they are read.

    The latent weight is called ``weight`` where weights are float. The progress of a schedule
    stays as it is where the checkpoint has none, and is left out where no schedule asks for it;
    so does the range of an input. A learned step starts from the weights of the checkpoint where
    that has none.
    """
    quantizer = weight_quantizer(layer)
    names = (f"{prefix}weight", f"{prefix}{LATENT}")
    wanted, other = names if quantizer is None else names[::-1]
    if other in state_dict and wanted not in state_dict:
        state_dict[wanted] = state_dict.pop(other)
    step = None if quantizer is None else quantizer.step
    if step is None:
        state_dict.pop(prefix + _STEP, None)
    elif prefix + _STEP not in state_dict and quantizer is not None:
        like = state_dict.get(wanted)
        if isinstance(like, torch.Tensor):  # where it would have started with these weights
            first = quantizer.estimator.first_step(like, quantizer.site())
            state_dict[prefix + _STEP] = first.to(step.dtype)
    kept = getattr(getattr(layer, INPUT, None), "range", None)
    if kept is None:
        state_dict.pop(prefix + _RANGE, None)
    else:
        state_dict.setdefault(prefix + _RANGE, kept.detach().clone())
    places = ((quantizer, _WEIGHT_PROGRESS), (getattr(layer, INPUT, None), _INPUT_PROGRESS))
    for part, name in places:
        key = prefix + name
        if part is None or part.progress is None:
            state_dict.pop(key, None)
        elif key not in state_dict:
            like = state_dict.get(wanted)
            device = "cpu" if not isinstance(like, torch.Tensor) else like.device
            state_dict[key] = torch.full((), part.fraction, device=device)
        else:
            part.fraction = _checked(state_dict[key], key, part.fraction)


def _checked(value: Any, key: str, now: float) -> float:
    """The progress that a checkpoint holds."""
    if not isinstance(value, torch.Tensor) or value.is_meta:
        return now
    if value.numel() != 1 or not 0.0 <= float(value) <= 1.0:
        raise InvalidArgumentError(
            f"the checkpoint has {key} = {value.tolist()}; progress is a number from 0 to 1: the "
            "checkpoint is damaged"
        )
    return float(value)


def float_names(state_dict: dict[str, Any]) -> dict[str, Any]:
    """The entries under the names of the float model: latent weights are called ``weight``.

    Tied layers share one progress; each entry gets its own, as safetensors takes no shared ones.
    """
    renamed = {}
    for key, value in state_dict.items():
        if key.endswith(LATENT):
            renamed[key.removesuffix(LATENT) + "weight"] = value
        elif key.endswith((_WEIGHT_PROGRESS, _INPUT_PROGRESS)):
            renamed[key] = value.clone()
        else:
            renamed[key] = value
    return renamed
