"""Training in floating point on weights that are drawn to their levels: PARQ and BinaryRelax."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from riemann_lne import checks
from riemann_lne.errors import UnknownNameError

from ..levels import check_bits
from .base import ScheduledWrapper, float_weights

__all__ = ["AnnealedLevels", "annealed"]

FORMS = ("parq", "relax")
SCALES = ("none", "mean", "max")


def annealed(u: Tensor, bits: int, scale: Tensor, rho: float, form: str = "parq") -> Tensor:
    """Weights between themselves (rho = 1) and the nearest of 2^k even levels in +-scale (rho = 0).

    "parq": clip(c + (u - c)/rho, lo, hi), with lo and hi the levels around u and c midway between
    them; beyond the last level u is cut off there, for every rho. "relax": rho u + (1 - rho) Q(u),
    which tends to the last level there.

    Parameters
    ----------
    u : Tensor
    bits : int
    scale : Tensor
        The largest level, broadcast against u, above 0.
    rho : float
        From 0 to 1.
    form : {"parq", "relax"}

    Returns
    -------
    Tensor, shape of u

    References
    ----------
    See `AnnealedLevels`.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import annealed
    >>> u = torch.tensor([-1.0, -0.2, 0.5])
    >>> annealed(u, 1, torch.tensor(1.0), 0.5)
    tensor([-1.0000, -0.4000,  1.0000])
    >>> annealed(u, 1, torch.tensor(1.0), 0.5, "relax")
    tensor([-1.0000, -0.6000,  0.7500])
    """
    steps = 2**bits - 1
    t = steps * (0.5 * u / scale + 0.5)  # level number i lies at i
    if form == "relax":
        nearest = torch.floor(t + 0.5).clamp(0.0, steps)
        t = rho * t + (1.0 - rho) * nearest
    else:
        low = torch.floor(t).clamp(0.0, steps - 1.0)
        middle = low + 0.5
        inside = torch.minimum(torch.maximum(middle + (t - middle) / max(rho, 1e-12), low), low + 1)
        t = inside
    return scale * ((2.0 * t - steps) / steps)


class AnnealedLevels(ScheduledWrapper):
    """PARQ and BinaryRelax: the model runs in float on weights that become discrete by and by.

    Latent weights u are kept beside the weights w that the model has. In a step the inner optimiser
    moves u by the gradient at w; then w <- `annealed` (u), with rho from 1 to 0 by a sigmoid:
    rho = (s(k (1/2 - p)) - s(-k/2))/(s(k/2) - s(-k/2)), p the fraction of the steps, s the logistic
    function, k the steepness.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    params : nn.Module or iterable of nn.Parameter
        A model that is not quantised (its `quantizable_parameters`), or the weights themselves.
    form : {"parq", "relax"}
    bits : int
    scale : {"mean", "max", "none"}
        The largest level: mean|u| (of one bit the best), max|u|, or 1.
    steepness : float
        k, above 0; 10.
    steps : int
        Steps of the whole training.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If the model is quantised, the optimiser does not hold the weights, or an option is out of
        range.

    References
    ----------
    PARQ: piecewise-affine regularised quantisation, as torchao has it in its prototypes.
    P. Yin, S. Zhang, J. Lyu, S. Osher, Y. Qi, J. Xin, "BinaryRelax: a relaxation approach for
    training deep neural networks with quantized weights", SIAM J. Imaging Sci. 2018.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.optimizers import AnnealedLevels
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[0.5, -0.3]]))
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> optimizer = AnnealedLevels(sgd, model, steps=2)
    >>> for _ in range(2):
    ...     model.weight.grad = torch.zeros(1, 2)
    ...     optimizer.step()
    ...     print(model.weight.data)  # mean|u| = 0.4
    tensor([[ 0.4000, -0.4000]])
    tensor([[ 0.4000, -0.4000]])
    """

    _kept: ClassVar[tuple[str, ...]] = ("_latent", "_written")

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        params: nn.Module | Iterable[nn.Parameter],
        form: str = "parq",
        bits: int = 1,
        scale: str = "mean",
        steepness: float = 10.0,
        *,
        steps: int,
    ) -> None:
        if form not in FORMS:
            raise UnknownNameError("form", form, FORMS)
        if scale not in SCALES:
            raise UnknownNameError("scale of annealed levels", scale, SCALES)
        super().__init__(optimizer, float_weights(params), steps)
        self.form, self.bits, self.scale = form, check_bits(bits), scale
        self.steepness = checks.number(steepness, "steepness", above=0)
        self._latent = [p.detach().clone() for p in self.targets]
        self._written = [p.detach().clone() for p in self.targets]

    @property
    def rho(self) -> float:
        """How float the weights are: 1 at the start, 0 at the end."""
        k, p = self.steepness, self.progress
        top, bottom = _logistic(0.5 * k), _logistic(-0.5 * k)
        return (_logistic(k * (0.5 - p)) - bottom) / (top - bottom)

    @torch.no_grad()
    def harden_(self) -> None:
        """Give the model the levels themselves, at the end of the training."""
        self._write(0.0)

    @torch.no_grad()
    def restore_(self) -> None:
        """Give the model the weights of the present rho again, after `harden_`."""
        self._write(self.rho if self.steps else 1.0)

    def _write(self, rho: float) -> None:
        for i, (p, u) in enumerate(zip(self.targets, self._latent, strict=True)):
            if rho < 1.0:
                p.copy_(annealed(u, self.bits, self._size(u), rho, self.form))
            else:
                p.copy_(u)
            self._written[i] = p.detach().clone()

    def _size(self, u: Tensor) -> Tensor:
        size = u.abs().mean() if self.scale == "mean" else u.abs().max()
        size = torch.ones_like(size) if self.scale == "none" else size
        return torch.where(size == 0.0, 1.0, size)

    def _before(self) -> None:
        for p, u, w in zip(self.targets, self._latent, self._written, strict=True):
            # weights that were changed from outside (a checkpoint was loaded) begin anew there
            p.copy_(torch.where(p == w, u, p))

    def _after(self) -> None:
        self._latent = [p.detach().clone() for p in self.targets]
        super()._after()
        self._write(self.rho)


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -500.0 else 0.0
