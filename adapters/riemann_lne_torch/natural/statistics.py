"""Statistics of the corrector's work on each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .block_sums import Blocks, Rows
from .block_updates import angle_and_change
from .blocks import by_row


@dataclass(frozen=True)
class LayerStatistics:
    """One layer at the last call of the corrector. All values are dimensionless but tau.

    Attributes
    ----------
    tau : float
        Scale, in one over the unit of the weights; the mean over the blocks, those of
        zeros aside (NaN if there are no others).
    norm2 : float
        |t|^2 = |tanh(tau w)|^2; the largest over the blocks.
    condition : float or None
        Condition number of the metric: 1/(1 - |t|^2) for Eq. 16, the ratio of the extreme
        sech^2(tau w) for diagonal metrics; the largest over the blocks. None for
        ``metric="flowed"``, whose eigenvalues have no closed form, and infinite where the metric
        is indefinite and the weak inverse stood in.
    relative_change : float
        |v' - v|/|v| for the gradient v and the corrected v', over the layer.
    angle : float
        Angle between v and v', over the layer, in radians; in single precision angles below 1e-3
        is rounding.
    indefinite : int
        Number of blocks in which the tau that was asked for made Eq. 16 indefinite.
    corrected : bool
        False where the gradient was not finite and was left as it was.
    """

    tau: float
    norm2: float
    condition: float | None
    relative_change: float
    angle: float
    indefinite: int
    corrected: bool

    def as_dict(self) -> dict[str, float]:
        """The values as numbers, for a logger, without those that are None.

        Examples
        --------
        >>> from riemann_lne_torch import LayerStatistics
        >>> LayerStatistics(0.5, 0.25, None, 0.01, 0.0, 0, True).as_dict()["norm2"]
        0.25
        """
        values: dict[str, Any] = vars(self)
        return {name: float(value) for name, value in values.items() if value is not None}


def of_layers(
    blocks: Blocks,
    tau: Rows,
    norm2: Rows,
    condition: Rows | None,
    change: Tensor,
    indefinite: Rows,
    finite: Rows,
) -> dict[str, LayerStatistics]:
    """Statistics of every layer, from values of every row of the blocks.

    ``change`` has the sums of `block_updates.measured_update`.
    """
    if not blocks.single_rows:
        change = torch.stack([change[layer.span].sum(0) for layer in blocks.layers])
    # one list each, as tensor operations a layer would take longer than the correction
    taus, norms, bad, whole = (a.tolist() for a in (tau, norm2, indefinite, finite))
    conditions = [1.0] * len(taus) if condition is None else condition.tolist()
    table = []
    for layer, sums in zip(blocks.layers, change.tolist(), strict=True):
        span = layer.span
        used = [t for t, n in zip(taus[span], norms[span], strict=True) if n != 0.0]
        counts = (len(used), sum(bad[span]), whole[span].count(False))
        ends = (max(norms[span], default=0.0), max(conditions[span], default=1.0))
        table.append([*sums, sum(used), *counts, *ends])
    if any(by_row(layer.weight, blocks.block) for layer in blocks.layers):
        # other channels of a layer may lie on other processes
        table = blocks.combine(table, added=7)
    statistics = {}
    for layer, row in zip(blocks.layers, table, strict=True):
        angle, relative = angle_and_change(*row[:3])
        statistics[layer.name] = LayerStatistics(
            tau=row[3] / row[4] if row[4] else math.nan,  # zeros: any tau
            norm2=row[7],
            condition=None if condition is None else row[8],
            relative_change=relative,
            angle=angle,
            indefinite=int(row[5]),
            corrected=row[6] == 0,
        )
    return statistics
