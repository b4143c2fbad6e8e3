"""What the corrector did to each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerStatistics:
    """One layer at the last call of the corrector. All values are dimensionless but tau.

    Attributes
    ----------
    tau : float
        Scale, in one over the unit of the weights; the mean over the blocks.
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
        Angle between v and v', over the layer, in radians.
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
        """The values as numbers, for a logger; what is None is left out.

        Examples
        --------
        >>> from riemann_lne_torch import LayerStatistics
        >>> LayerStatistics(0.5, 0.25, None, 0.01, 0.0, 0, True).as_dict()["norm2"]
        0.25
        """
        values: dict[str, Any] = vars(self)
        return {name: float(value) for name, value in values.items() if value is not None}
