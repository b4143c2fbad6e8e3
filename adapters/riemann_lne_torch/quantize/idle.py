"""Parameters of an optimiser that have no gradient on purpose."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_KEPT_AT = "_riemann_lne_idle"
"""Attribute of an optimiser."""


def leave_idle(optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor]) -> None:
    """Say that these parameters have no gradient on purpose, which is then no cause to warn."""
    setattr(optimizer, _KEPT_AT, frozenset(id(p) for p in parameters))


def idle_parameters(optimizer: torch.optim.Optimizer) -> frozenset[int]:
    """The ids of the parameters that `leave_idle` named."""
    found: frozenset[int] = vars(optimizer).get(_KEPT_AT, frozenset())
    return found
