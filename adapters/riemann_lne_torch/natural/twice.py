"""Notes of gradients that were corrected, so that a second correction does not go unseen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import ref

from torch import nn
from torch.nn.utils import parametrize
from torch.utils.weak import WeakTensorKeyDictionary

from riemann_lne.errors import InvalidArgumentError

from ..quantize.layers import latent_parameter
from ..quantize.quantizers import WeightQuantizer
from .functional import is_natural
from .selection import Weight


class _Note(NamedTuple):
    """The corrector of a gradient, its caller, and the version of the tensor afterwards."""

    corrector: Any
    optimizer: int | None
    version: int


# By the tensor itself, and not as its attributes, which would be copied and pickled with it.
_CORRECTED: Any = WeakTensorKeyDictionary()


def refuse_natural_estimators(model: nn.Module, weights: Sequence[Weight]) -> None:
    """Refuse layers whose quantiser's estimator is a natural gradient already.

    Raises
    ------
    InvalidArgumentError
        Names the layers and their estimators.
    """
    chosen = {id(w.parameter) for w in weights}
    found = []
    for name, module in model.named_modules():
        if id(latent_parameter(module)) not in chosen:
            continue
        if not parametrize.is_parametrized(module, "weight"):
            continue
        for step in module.parametrizations["weight"]:
            if isinstance(step, WeightQuantizer) and step.estimator.natural:
                found.append(f"{name or 'weight'} ({step.estimator!r})")
    if found:
        raise InvalidArgumentError(
            f"the estimator of these layers applies a natural gradient in the backward pass: "
            f"{', '.join(found)}; a corrector would apply it a second time. Use another estimator, "
            "such as 'ste', or leave the layers out with select"
        )


def note_corrected(weights: Sequence[Weight], corrector: Any, optimizer: Any) -> None:
    """Remember that these gradients are corrected now."""
    caller = None if optimizer is None else id(optimizer)
    for weight in weights:
        gradient = weight.parameter.grad
        if gradient is not None and not gradient.is_inference():
            _CORRECTED[gradient] = _Note(ref(corrector), caller, gradient._version)


def find_second(weights: Sequence[Weight], corrector: Any, optimizer: Any) -> list[tuple[str, str]]:
    """The layers whose gradients are corrected already, and who did it, in words.

    By another corrector that is still there, from the hook of another optimiser, by a hook as
    well as by hand, or by the estimator of the layer's quantiser. (The same call again, as in a
    benchmark, is taken to be meant.)
    """
    caller = None if optimizer is None else id(optimizer)
    found = [(w.name, _first(w, corrector, caller)) for w in weights]
    return [(name, first) for name, first in found if first is not None]


def warn_of_second(second: Sequence[tuple[str, str]], warned: set[tuple[str, str]]) -> None:
    """Warn, once a layer, of what `find_second` found."""
    new = [(name, first) for name, first in second if ("twice", name) not in warned]
    warned.update(("twice", name) for name, _ in new)
    for first in dict.fromkeys(first for _, first in new):
        names = ", ".join(name for name, f in new if f == first)
        warnings.warn(
            f"corrected a second time: the gradient of {names} had been corrected already by "
            f"{first}; correct each gradient once (said once a layer)",
            stacklevel=5,
        )


def _first(weight: Weight, corrector: Any, caller: int | None) -> str | None:
    """The earlier corrector of the gradient, in words; None if there was none."""
    if is_natural(weight.parameter):
        return "the LNE estimator of the layer's quantiser, in the backward pass"
    gradient = weight.parameter.grad
    if gradient is None or gradient.is_inference():
        return None
    note = _CORRECTED.get(gradient)
    if note is None or note.version != gradient._version:
        return None
    other = note.corrector()
    if other is None:  # it is gone
        return None
    if other is not corrector:
        return f"another corrector, {other!r}"
    if note.optimizer == caller:
        return None
    if note.optimizer is None:
        return "a call of correct_() by hand"
    return "the hook of an optimiser" if caller is None else "the hook of another optimiser"


__all__ = ["find_second", "note_corrected", "refuse_natural_estimators", "warn_of_second"]
