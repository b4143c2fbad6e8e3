"""Hugging Face models while they are quantised: saving, tying and resizing go by float names.

Their ``save_pretrained``, ``tie_weights`` and ``resize_token_embeddings`` look for parameters
called ``weight``, of which a quantised layer has none. Nothing of transformers is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import nn

from .checkpoints import float_names

_METHODS = ("save_pretrained", "tie_weights", "resize_token_embeddings")


def attach_pretrained(model: nn.Module) -> None:
    """Give every Hugging Face model in there methods that know of quantised layers.

    Attributes of the instance, made of functions of this module: copies of the model have them too,
    each its own.
    """
    for module in _pretrained(model):
        for name, function in (
            ("save_pretrained", _save),
            ("tie_weights", _tie),
            ("resize_token_embeddings", _resize),
        ):
            setattr(module, name, partial(function, module))


def detach_pretrained(model: nn.Module) -> None:
    """Undo `attach_pretrained`."""
    for module in _pretrained(model):
        for name in _METHODS:
            module.__dict__.pop(name, None)


def _pretrained(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if all(callable(getattr(type(module), name, None)) for name in _METHODS):
            yield module


def _save(model: Any, *args: Any, state_dict: Any = None, **options: Any) -> Any:
    """save_pretrained: latent weights under the names of the float model."""
    state = model.state_dict() if state_dict is None else state_dict
    return type(model).save_pretrained(model, *args, state_dict=float_names(state), **options)


def _tie(model: Any, *args: Any, **options: Any) -> Any:
    """tie_weights, on latent weights."""
    return _on_float(model, lambda: type(model).tie_weights(model, *args, **options))


def _resize(model: Any, *args: Any, **options: Any) -> Any:
    """resize_token_embeddings, on latent weights."""
    return _on_float(model, lambda: type(model).resize_token_embeddings(model, *args, **options))


def _on_float(model: Any, action: Callable[[], Any]) -> Any:
    """Do something to the model with its quantisers taken off, then put them on again."""
    from .quantization import attach_layers, detach_layers

    kept = detach_layers(model)
    for module in _pretrained(model):  # methods call one another
        for name in _METHODS:
            module.__dict__.pop(name, None)
    try:
        return action()
    finally:
        attach_layers(model, kept)
        attach_pretrained(model)
