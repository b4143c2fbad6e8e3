"""STE from the start, and at the rate, at which it should train as another estimator does.

Schoenbauer and others (arXiv 2405.05171) say: an estimator whose gradient is f(w) G, with f > 0 a
function of the latent weight alone, trains for small steps as STE does from other first weights and
at another rate. `adapt` computes both, the method ``ste-adapted`` trains with them; `trajectories`
compares two trainings weight by weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_torch import Estimator, get_estimator
from riemann_lne_torch.estimators import STE, Site

from .methods import Context, DoesNotApplyError, Method, register_method
from .protocol import Arm

__all__ = ["Adaptation", "AdaptedStraightThrough", "adapt"]

# Points between -R and R, R the largest weight: f is smooth between two levels.
_POINTS = 40_001
# Relative difference of the means of 1/f over the bins, up to which one rate serves them all.
_EQUAL_BINS = 1e-3


@dataclass(frozen=True)
class Adaptation:
    """The change of variable M and the rate at which STE trains as an estimator does.

    Attributes
    ----------
    rate : float
        Factor a of the learning rate. Dimensionless.
    estimator : Estimator
    site : Site
        With the range of the weights at the start, which f is held at.
    """

    rate: float
    estimator: Estimator
    site: Site

    def __call__(self, w: Tensor) -> Tensor:
        """M(w) = a int_0^w dv/f(v), shape and unit of w."""
        points, total = _integral(self.estimator, self.site, float(w.detach().abs().max()))
        found = self.rate * np.interp(w.detach().cpu().double().numpy(), points, total)
        return torch.from_numpy(found).to(w)


def adapt(estimator: Estimator, w: Tensor, bits: int = 1) -> Adaptation:
    """The start M(w) and the rate a at which STE should train as ``estimator`` does from w.

    With dL/dw := f(w) G and steps of dt, dw = -f(w) G dt. So y = M(w) = a int_0^w dv/f(v) has
    dy = -a G dt, a step of STE at a times the rate. The network sees the same if M leaves the
    boundaries between the levels where they are. One bit has the boundary 0, and any a will do: it
    is the one with |M(w)| = |w| over the tensor. With more bits 1/a is the mean of 1/f over
    a bin, which must be the same in all bins, the half ones at both ends of the range included.

    Parameters
    ----------
    estimator : Estimator
        Whose gradient is f(w) G with f > 0; f is held as it is at these weights.
    w : Tensor
        First latent weights of a layer.
    bits : int

    Returns
    -------
    Adaptation

    Raises
    ------
    InvalidArgumentError
        If f is not above 0 everywhere, or depends on G or on other weights; if the levels are not
        those of STE, or the means of 1/f over the bins differ.

    References
    ----------
    M. Schoenbauer, D. Moro, L. Lew, A. Howard, "Custom gradient estimators are straight-through
    estimators in disguise", 2024, arXiv 2405.05171.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import RDFS
    >>> from riemann_lne_validation.comparison.adapted import adapt
    >>> w = torch.linspace(-1.0, 1.0, 101)
    >>> found = adapt(RDFS(), w, bits=2)  # bins end at -2/3, 0, 2/3
    >>> round(found.rate, 4), found(torch.tensor([2 / 3])).item().__round__(4)
    (0.1135, 0.6667)
    """
    largest = float(w.detach().abs().max())
    if not largest > 0.0:
        raise InvalidArgumentError(
            f"weights of shape {tuple(w.shape)} are all zero: there is no range to hold f at; "
            "leave such a layer out"
        )
    site = Site(bits=bits, largest=largest)
    _require_factor(estimator, w.detach(), site)
    points, total = _integral(estimator, site, largest)
    if bits == 1:
        mapped = np.interp(w.detach().cpu().double().numpy(), points, total)
        rate = float(w.detach().double().norm()) / float(np.linalg.norm(mapped))
        return Adaptation(rate, estimator, site)
    steps = 2**bits - 1
    ends = largest * (2.0 * (np.arange(steps) + 0.5) / steps - 1.0)
    ends = np.concatenate([[-largest], ends, [largest]])
    means = np.diff(np.interp(ends, points, total)) / np.diff(ends)
    if float(np.ptp(means)) > _EQUAL_BINS * float(means.mean()):
        raise InvalidArgumentError(
            f"the means of 1/f of {estimator!r} over the bins are from {means.min():.4g} to "
            f"{means.max():.4g}: no single rate of STE serves all of them; take bits=1"
        )
    return Adaptation(1.0 / float(means.mean()), estimator, site)


def _factor(estimator: Estimator, w: Tensor, site: Site) -> Tensor:
    """f(w), from a G of ones."""
    assert site.largest is not None
    q = estimator.forward(w.clamp(-site.largest, site.largest), site)
    return estimator.backward(w, q, torch.ones_like(w), site)


def _require_factor(estimator: Estimator, w: Tensor, site: Site) -> None:
    w = w.double().reshape(-1, 1)
    if not torch.equal(estimator.forward(w, site), STE().forward(w, site)):
        raise InvalidArgumentError(
            f"the levels of {estimator!r} are not those of STE, which {site.bits} bits would give "
            "the same weights; take bits=1, or an estimator that differs in its gradient alone"
        )
    f = _factor(estimator, w, site)
    other = torch.linspace(-2.0, 1.0, w.numel(), dtype=w.dtype).reshape_as(w)
    given = estimator.backward(w, estimator.forward(w, site), other, site)
    half = _factor(estimator, w[::2], site)
    if not (bool((f > 0.0).all()) and torch.allclose(given, f * other)
            and torch.allclose(half, f[::2])):  # fmt: skip
        raise InvalidArgumentError(
            f"the gradient of {estimator!r} is not f(w) G with f > 0 a function of the single "
            "weight; take 'rdfs', 'stacked-sigmoid' or 'dorefa'"
        )


def _integral(estimator: Estimator, site: Site, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Points from -R to R, R the largest weight, and int_0^w dv/f(v) there."""
    points = np.linspace(-largest, largest, _POINTS)
    middle = torch.from_numpy(0.5 * (points[1:] + points[:-1]))
    f = _factor(estimator, middle, site).numpy()
    total = np.concatenate([[0.0], np.cumsum(np.diff(points) / f)])
    return points, total - total[_POINTS // 2]


@register_method("ste-adapted")
@dataclass
class AdaptedStraightThrough(Method):
    """STE from the first weights and at the rate at which it should train as estimator ``of`` does.

    The prediction of arXiv 2405.05171, for estimators whose gradient is f(w) G. The rate of each
    layer is a factor of its gradient, so that it is for SGD; under Adam such a factor cancels.
    """

    of: str = "rdfs"

    def check(self, arm: Arm) -> None:
        """The estimator must know the bits, and its gradient must be a factor times G."""
        try:
            adapt(get_estimator(self.of), torch.linspace(-1.0, 1.0, 101), arm.weight_bits)
        except InvalidArgumentError as error:
            raise DoesNotApplyError(f"arm {arm.label!r}: {error}") from error

    def begin(self, context: Context) -> None:
        """Move the first weights."""
        super().begin(context)
        self.adaptations = {
            name: adapt(get_estimator(self.of), p, context.arm.weight_bits)
            for name, p in context.latents.items()
        }
        with torch.no_grad():
            for name, p in context.latents.items():
                p.copy_(self.adaptations[name](p))

    def correct(self) -> None:
        """The rate of each layer, as a factor of its gradient."""
        for name, p in self.context.latents.items():
            if p.grad is not None:
                p.grad.mul_(self.adaptations[name].rate)

    def state(self) -> dict[str, Any]:
        """The range that f is held at, and the rate."""
        return {n: [a.rate, a.site.largest] for n, a in self.adaptations.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take it up: the first weights of a resumed run are not there any more."""
        for name, (rate, largest) in state.items():
            old = self.adaptations[name]
            site = Site(bits=old.site.bits, largest=float(largest))
            self.adaptations[name] = Adaptation(float(rate), old.estimator, site)
