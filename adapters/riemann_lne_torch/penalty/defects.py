"""The sums that the defect N of layers is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from riemann_lne.lne.discrete_flow import defect_products

from ..natural.block_sums import Rows


def layer_products(layers: Sequence[Sequence[Tensor]], dk: float, dj: float, tau: Rows) -> Tensor:
    """The sums of `riemann_lne.lne.discrete_flow.defect_products` for every layer.

    Parameters
    ----------
    layers : sequence of (x, step_next_k1, step_k1, step_k2, step_j1, step_j2)
        Of one axis. Derivatives pass to all that ask for them.
    dk, dj : float
    tau : Rows
        Of each layer; constant under differentiation.

    Returns
    -------
    Tensor, shape (28, layers)
    """
    device = layers[0][0].device
    columns = [
        defect_products(x, steps, dk, dj, scale).to(device)
        for (x, *steps), scale in zip(layers, tau.tolist(), strict=True)
    ]
    wide = columns[0].dtype
    for column in columns[1:]:
        wide = torch.promote_types(wide, column.dtype)
    return torch.stack([column.to(wide) for column in columns], -1)
