"""Checks of the callbacks for training frameworks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from riemann_lne.errors import InvalidArgumentError

from ..natural.corrector import LNECorrector
from ..natural.hooks import held_weights, innermost, refuse_second


def refuse_both(corrector: LNECorrector | None, options: Mapping[str, Any]) -> None:
    """A corrector that was given has its options already."""
    if corrector is not None and not isinstance(corrector, LNECorrector):
        raise InvalidArgumentError(
            f"expected an LNECorrector, got {type(corrector).__name__}; options go by name: "
            "LNECallback(target=0.5)"
        )
    if corrector is not None and options:
        raise InvalidArgumentError(
            f"give a corrector or its options, not both: {', '.join(sorted(options))}"
        )


def refuse_attached(corrector: LNECorrector, optimizer: torch.optim.Optimizer) -> None:
    """Refuse a cut block, or an optimiser whose hook corrects the callback's weights already.

    Raises
    ------
    InvalidArgumentError
        Names the layers.
    """
    inner = innermost(optimizer)
    corrector.require_whole_blocks([w.parameter for w in held_weights(corrector, inner)])
    refuse_second(corrector, inner, "corrector")


def refuse_shared(
    corrector: LNECorrector, others: Iterable[LNECorrector | None], optimizer: torch.optim.Optimizer
) -> None:
    """Refuse several callbacks on one weight of the optimiser.

    Raises
    ------
    InvalidArgumentError
        Names the layers.
    """
    held = {id(w.parameter): w.name for w in held_weights(corrector, innermost(optimizer))}
    for other in others:
        weights = [] if other is None else other.weights
        names = [held[id(w.parameter)] for w in weights if id(w.parameter) in held]
        if names:
            raise InvalidArgumentError(
                f"two LNECallbacks correct {', '.join(names)}: give each other layers, with select"
            )
