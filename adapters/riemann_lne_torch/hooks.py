"""The corrector in front of an optimiser's step."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch.utils.hooks import RemovableHandle

from riemann_lne.errors import InvalidArgumentError

from .selection import Weight


class Corrects(Protocol):
    """What can be attached: it holds weights and corrects their gradients."""

    weights: list[Weight]

    def correct_(self) -> None: ...


def innermost(optimizer: Any) -> torch.optim.Optimizer:
    """The optimiser whose step updates the latent weights, inside of others that wrap it.

    torchao's PARQ puts the latent weights in place before the step of its ``base_optimizer``;
    Accelerate's and Lightning's wrappers, with ``optimizer``, keep no hooks of their own.

    Raises
    ------
    InvalidArgumentError
        If it is not an optimiser.
    """
    for name in ("base_optimizer", "optimizer"):
        while isinstance(inner := getattr(optimizer, name, None), torch.optim.Optimizer):
            optimizer = inner
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InvalidArgumentError(
            f"expected a torch.optim.Optimizer, got {type(optimizer).__name__}; for anything else "
            "call correct_() between the backward pass and the step"
        )
    return optimizer


def held_weights(corrector: Corrects, optimizer: torch.optim.Optimizer) -> list[Weight]:
    """The corrected weights that the optimiser updates."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return [w for w in corrector.weights if id(w.parameter) in held]


def require_held(corrector: Corrects, optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimiser that updates none of the corrected weights."""
    if not held_weights(corrector, optimizer):
        raise InvalidArgumentError(
            "the optimiser holds none of the corrected parameters; was it made from another "
            "model, or before the model was quantised, moved or sharded?"
        )


def attach(corrector: Corrects, optimizer: torch.optim.Optimizer) -> RemovableHandle:
    """Run ``corrector.correct_()`` before each step of the optimiser: its step pre-hook."""
    optimizer = innermost(optimizer)
    require_held(corrector, optimizer)

    def before_step(opt: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # args may or may not begin with the optimiser itself, depending on who calls the hook
        given = [a for a in (*args, kwargs.get("closure")) if a is not None and a is not opt]
        if given:
            raise InvalidArgumentError(
                "optimizer.step was called with a closure: the corrector would run before the "
                "backward pass that the closure holds, on stale gradients. Call correct_() at the "
                "end of the closure instead; with Lightning, which steps with a closure, use "
                "riemann_lne_torch.lightning.LNECallback, and with the Hugging Face Trainer "
                "riemann_lne_torch.transformers.LNECallback"
            )
        corrector.correct_()

    return optimizer.register_step_pre_hook(before_step)
