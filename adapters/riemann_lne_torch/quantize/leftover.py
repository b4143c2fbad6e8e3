"""Weights that stay float because they do not lie in layers of the kinds that are quantised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from .quantizers import WeightQuantizer

# Layers whose parameters scale or shift, one number a feature: nobody quantises them here.
_AFFINE = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.PReLU,
)


class Leftover(NamedTuple):
    """A weight that stays float: its name, the module that holds it, and that module's name."""

    name: str
    owner: str
    module: nn.Module

    def __str__(self) -> str:
        return f"{self.name} ({type(self.module).__name__.removeprefix('Parametrized')})"


def float_weights(model: nn.Module, taken: Iterable[nn.Module]) -> list[Leftover]:
    """The weights of a model, of two axes or more, but the ``weight`` of the modules taken."""
    known = {id(module) for module in taken}
    return [
        left
        for left in _weights(model)
        if id(left.module) not in known or left.name.rpartition(".")[2] != "weight"
    ]


def _weights(model: nn.Module) -> Iterator[Leftover]:
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if isinstance(module, _AFFINE):
            continue
        owner, holder, attribute = name, module, None
        if isinstance(module, parametrize.ParametrizationList):  # "fc.parametrizations.weight"
            if any(isinstance(step, WeightQuantizer) for step in module):
                continue
            owner, _, attribute = name.rpartition("parametrizations.")
            owner = owner.rstrip(".")
            holder = modules[owner]
        weights = [key for key, p in module._parameters.items() if _is_weight(p)]
        for key in weights[:1] if attribute else weights:
            yield Leftover(".".join(filter(None, (owner, attribute or key))), owner, holder)


def _is_weight(p: Tensor | None) -> bool:
    if p is None or isinstance(p, UninitializedParameter):
        return False
    return p.is_floating_point() and sum(size > 1 for size in p.shape) >= 2
