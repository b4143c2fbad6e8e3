"""The metrics of the corrector, as solves that may be done piece by piece.

Each works in rounds: sums over every block, from which come the values that the next round or
the last pass needs. The formulas are the core's; here is only the order of the work.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from riemann_lne.lne import (
    FlowedLNEMetric,
    HessianLNEMetric,
    LNEMetric,
    ShiftedLNEMetric,
    auto_tau,
)
from riemann_lne.lne.pieces import PieceSums, inverse_coefficient
from riemann_lne.lne.shifted import relative_shift

METRICS = ("lne", "hessian", "dual", "flowed")
INVERSES = ("exact", "weak")
CURVATURES = ("none", "fisher", "hutchinson")

NEAR_ONE = 0.6
"""Above this |t|^2 sums are taken in double precision: the exact inverse divides by 1 - |t|^2."""


class RankOne:
    """g^-1 v = v + c t for g = I - t t^T: the metric of Eq. 16 on blocks of several weights."""

    @staticmethod
    def sums(x: Tensor, v: Tensor, tau: Any) -> tuple[Tensor, ...]:
        return PieceSums(tau).solve(x, v)

    @staticmethod
    def coefficient(sums: Tensor, exact: Tensor) -> Tensor:
        """The c of every row: of the exact inverse where asked, of the weak one elsewhere."""
        norm2, along = sums[:, 0], sums[:, 1]
        weak = inverse_coefficient(norm2, along, "weak")
        return torch.where(exact, inverse_coefficient(norm2, along, "exact"), weak)

    @staticmethod
    def finish(x: Tensor, v: Tensor, tau: Any, coefficient: Any) -> Tensor:
        return PieceSums(tau).finish(x, v, coefficient)

    @staticmethod
    def change(sums: Tensor, coefficient: Tensor) -> Tensor:
        """Sums v . v, v . d and d . d for the change d = c t, without another pass."""
        norm2, along, square = sums[:, 0], sums[:, 1], sums[:, 2]
        return torch.stack([square, coefficient * along, coefficient**2 * norm2], -1)


def flow_step(flow_time: float, count: Any, tau: Any) -> Any:
    """The step T = flow_time/(n tau^2) of the Ricci flow on a block of n weights.

    So the step's size does not depend on that of the block: at the origin the metric becomes
    (1 + 2 flow_time (n - 1)/n) I.
    """
    return flow_time / (count * tau**2)


class Flowed:
    """The metric after one step of the Ricci flow: two rounds of sums."""

    @staticmethod
    def curvature_sums(x: Tensor, v: Tensor, tau: Any, time: Any) -> tuple[Tensor, ...]:
        return (
            *FlowedLNEMetric(tau, time).curvature_sums(x, check=False),
            (v.to(x.dtype) * v).sum(-1),
        )

    @staticmethod
    def solve_sums(x: Tensor, v: Tensor, tau: Any, time: Any, *known: Any) -> tuple[Tensor, ...]:
        return FlowedLNEMetric(tau, time).solve_sums(x, v, known[:3], check=False)

    @staticmethod
    def finish(x: Tensor, v: Tensor, tau: Any, time: Any, *known: Any) -> Tensor:
        first = (known[0], known[1], known[2])
        return FlowedLNEMetric(tau, time).finish(x, v, first, tuple(known[3:]), check=False)


class Shifted:
    """Eq. 16 and the running curvature of the loss: k (I + diag(d) - t t^T), one round of sums.

    Of a block with the mean curvature m, d = max(D, 0)/(damping m) and k = damping/(1 + damping),
    so that equal curvature gives I - k t t^T: the size of a step stays. Where no curvature is known
    yet (m = 0) it counts as equal.

    Parameters
    ----------
    damping : float
    """

    held: ClassVar[int] = 6
    """Arrays of a piece's size that its functions take."""

    def __init__(self, damping: float) -> None:
        self.damping = damping
        self.size = 1.0 + 1.0 / damping  # 1/k

    @staticmethod
    def total(x: Tensor, v: Tensor, curvature: Tensor) -> tuple[Tensor]:
        """The sum of the positive entries of the curvature."""
        return (curvature.clamp(min=0.0).sum(-1),)

    def factors(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """The f and the constant of every row with d = f max(D, 0) + constant."""
        known = mean > 0.0
        factor = torch.where(known, 1.0 / (self.damping * mean), 0.0)
        return factor, torch.where(known, 0.0, 1.0 / self.damping)

    @staticmethod
    def _metric(curvature: Tensor, tau: Any, factor: Any, constant: Any) -> ShiftedLNEMetric:
        if isinstance(factor, Tensor):
            factor, constant = factor[..., None], constant[..., None]
        shift = relative_shift(curvature.clamp(min=0.0), factor, constant)
        return ShiftedLNEMetric(tau, shift, check=False)

    def sums(
        self, x: Tensor, v: Tensor, curvature: Tensor, tau: Any, factor: Any, constant: Any
    ) -> tuple[Tensor, ...]:
        """See `ShiftedLNEMetric.solve_sums`."""
        return self._metric(curvature, tau, factor, constant).solve_sums(x, v, check=False)

    def finish(
        self,
        x: Tensor,
        v: Tensor,
        curvature: Tensor,
        tau: Any,
        factor: Any,
        constant: Any,
        coefficient: Any,
    ) -> Tensor:
        """The new gradient of a piece."""
        metric = self._metric(curvature, tau, factor, constant)
        return self.size * metric.finish(x, v, coefficient, check=False)


class Diagonal:
    """Metrics that act on every weight by itself.

    The Hessian metric, its dual, and Eq. 16 on blocks of one weight, where it is sech^2(tau w).

    Parameters
    ----------
    metric : str
        "lne" or "flowed" (blocks of one weight, on which the flow does nothing), "hessian", "dual".
    inverse : str
        Of "lne" only.
    largest_factor : float
        Bound on the factor cosh^2(tau w) of "hessian".
    """

    held: ClassVar[int] = 3
    """Arrays of a piece's size that `finish` takes."""

    def __init__(self, metric: str, inverse: str, largest_factor: float) -> None:
        self.metric, self.inverse = metric, inverse
        self.reach = float(torch.tensor(largest_factor, dtype=torch.float64).sqrt().arccosh())

    @staticmethod
    def extremes(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The largest |w| and minus the smallest one."""
        size = x.abs()
        return size.amax(-1), -size.amin(-1)

    @staticmethod
    def square(x: Tensor, v: Tensor) -> tuple[Tensor]:
        v = v.to(torch.promote_types(v.dtype, torch.float32))
        return ((v * v).sum(-1),)

    def finish(self, x: Tensor, v: Tensor, tau: Any) -> Tensor:
        if self.metric == "hessian":
            limit = self.reach / tau
            if isinstance(limit, Tensor):
                limit = limit[..., None]
            # cosh^2 grows with |x|: to bound the argument is to bound the factor
            return HessianLNEMetric(tau).solve(x.clamp(-limit, limit), v, check=False)
        if self.metric == "dual":
            return HessianLNEMetric(tau).apply(x, v, check=False)
        x, v = x.unsqueeze(-1), v.unsqueeze(-1)
        if isinstance(tau, Tensor):
            tau = tau[..., None]
        return LNEMetric(tau).solve(x, v, self.inverse, check=False).squeeze(-1)


class Weightwise(Diagonal):
    """A diagonal metric with one tau for each weight: |tanh(tau w)|^2 is the target.

    A weight of zero gets tau = 1, where the metric is the identity for every tau.
    """

    held: ClassVar[int] = 15  # most of them are `auto_tau`'s

    def __init__(self, metric: str, inverse: str, largest_factor: float, target: float) -> None:
        super().__init__(metric, inverse, largest_factor)
        self.target = target

    def finish(self, x: Tensor, v: Tensor, tau: Any) -> Tensor:
        one = x.unsqueeze(-1)
        own = auto_tau(one, self.target, check=False)
        shape = x.shape
        result = super().finish(one.flatten(0, -2), v.reshape(-1, 1), own.reshape(-1))
        return result.reshape(shape)
