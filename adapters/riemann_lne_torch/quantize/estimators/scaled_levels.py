"""Quantisers whose scale follows from the weights: ternary, and levels at the RMS (QuEST)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError

from .base import Site, as_numbers
from .registry import register_estimator
from .rows import Block, Blockwise, from_rows, to_rows

__all__ = ["QuEST", "RMSLevels", "Ternary", "gaussian_clip"]


@register_estimator("ternary")
@dataclass(frozen=True)
class Ternary(Blockwise):
    """Three levels, as in BitNet b1.58: -a, 0 and a, with a = mean|w|.

    Value: a clip(round(w/a), -1, 1), the mean over the layer, each output channel, or groups of
    weights. Gradient: dL/dw := G, a held constant. In the unit of w.

    Parameters
    ----------
    block : "layer", "channel" or int
        Weights that share one scale; a number is the size of groups. "layer" is BitNet's.

    Raises
    ------
    InvalidArgumentError
        If the block has another name, or a quantiser has other than 2 bits.
    ShapeError
        If groups do not divide a channel.

    References
    ----------
    S. Ma and others, "The era of 1-bit LLMs: all large language models are in 1.58 bits", 2024,
    arXiv 2402.17764.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import Site, Ternary, estimate
    >>> w = torch.tensor([-2.0, -0.4, 0.4, 1.2], requires_grad=True)  # mean|w| = 1
    >>> q = estimate(w, Ternary(), Site(bits=2))
    >>> q.detach()
    tensor([-1., -0.,  0.,  1.])
    >>> q.sum().backward()
    >>> w.grad
    tensor([1., 1., 1., 1.])
    """

    block: Block = "layer"
    bits_needed = "has three levels and needs 2 bits"

    def admits(self, bits: int) -> bool:
        """Two bits alone: three of their four levels."""
        return bits == 2

    def unit(self, w: Tensor, site: Site) -> Tensor:
        """The mean a."""
        rows = to_rows(w.detach(), site, self.block)
        return from_rows(rows.abs().mean(1, keepdim=True).expand_as(rows), w, site)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """Value a clip(round(w/a), -1, 1)."""
        rows = to_rows(w, site, self.block)
        a = rows.detach().abs().mean(1, keepdim=True)
        number = (rows / torch.where(a == 0.0, 1.0, a)).round().clamp(-1.0, 1.0)
        return from_rows(a * number, w, site)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G."""
        return grad


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _normal_density(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _gaussian_error(clip: float, levels: int) -> float:
    """E (Q(x) - x)^2 of a standard normal x, Q the nearest of evenly spaced levels in +-clip."""
    step = 2.0 * clip / (levels - 1)
    error = 1.0
    for i in range(levels):
        q = -clip + i * step
        low = -math.inf if i == 0 else q - 0.5 * step
        high = math.inf if i == levels - 1 else q + 0.5 * step
        mass = _normal_cdf(high) - _normal_cdf(low)
        first = (0.0 if low == -math.inf else _normal_density(low)) - (
            0.0 if high == math.inf else _normal_density(high)
        )
        error += q * q * mass - 2.0 * q * first
    return error


def gaussian_clip(levels: int) -> float:
    """Half-width c of evenly spaced levels with the least mean squared error on normal numbers.

    In standard deviations. Found by golden-section search: the error has one minimum.

    Examples
    --------
    >>> from riemann_lne_torch.quantize.estimators.scaled_levels import gaussian_clip
    >>> [round(gaussian_clip(levels), 3) for levels in (2, 3, 4, 16)]
    [0.798, 1.224, 1.494, 2.514]
    """
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    low, high = 0.3, 8.0
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _gaussian_error(left, levels) < _gaussian_error(right, levels):
            high = right
        else:
            low = left
    return 0.5 * (low + high)


@lru_cache(maxsize=1)
def _clips() -> dict[int, float]:
    """`gaussian_clip` of all numbers of levels that are used; made once, in some 0.1 s."""
    return {levels: gaussian_clip(levels) for levels in (3, *(2**k for k in range(1, 9)))}


def _nearest(rows: Tensor, levels: int, clip: float) -> tuple[Tensor, Tensor]:
    """Scale s of each row, and the nearest of the levels in +-s."""
    steps = levels - 1
    s = clip * rows.detach().square().mean(1, keepdim=True).sqrt()
    ratio = (rows / torch.where(s == 0.0, 1.0, s)).clamp(-1.0, 1.0)
    number = torch.floor(steps * (0.5 * ratio + 0.5) + 0.5)  # ties up, as sign(0) = +1
    return s, s * ((2.0 * number - steps) / steps)


@register_estimator("rms")
@dataclass(frozen=True)
class RMSLevels(Blockwise):
    """Evenly spaced levels in +-s, s = c times the root mean square: the best for normal weights.

    Value: the nearest of L = 2^k levels, evenly spaced from -s to s, s = c RMS(w) of the layer,
    each channel or group; c is that of `gaussian_clip` (0.798, 1.494, 2.514 for 1, 2, 4 bits).
    With ``ternary`` there are three levels, c = 1.224. Gradient: dL/dw := G, s held constant. In
    the unit of w.

    Parameters
    ----------
    block : "layer", "channel" or int
        Weights that share one scale; a number is the size of groups.
    ternary : bool
        Three levels, with a zero; for 2 bits.

    Raises
    ------
    InvalidArgumentError
        If the block has another name, or a quantiser has more than 8 bits.
    ShapeError
        If groups do not divide a channel.

    References
    ----------
    A. Panferov and others, "QuEST: stable training of LLMs with 1-bit weights and activations",
    ICML 2025, arXiv 2502.05003.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import RMSLevels, Site, estimate
    >>> w = torch.tensor([-1.5, -0.5, 0.5, 1.118], requires_grad=True)  # RMS = 1
    >>> q = estimate(w, RMSLevels("layer"), Site(bits=2))
    >>> q.detach()
    tensor([-1.4935, -0.4978,  0.4978,  1.4935])
    >>> q.sum().backward()
    >>> w.grad
    tensor([1., 1., 1., 1.])
    """

    ternary: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ternary", checks.flag(self.ternary, "ternary"))
        object.__setattr__(self, "_clip_of", _clips())  # not in compiled code

    @property
    def bits_needed(self) -> str:  # type: ignore[override]
        """In words."""
        return "has three levels and needs 2 bits" if self.ternary else "needs 1 to 8 bits"

    def admits(self, bits: int) -> bool:
        """Two bits with three levels, else up to eight."""
        return bits == 2 if self.ternary else bits <= 8

    def _levels(self, site: Site) -> int:
        return 3 if self.ternary else 2**site.bits

    def _of_rows(self, rows: Tensor, site: Site) -> tuple[Tensor, Tensor]:
        levels = self._levels(site)
        return _nearest(rows, levels, self._clip_of[levels])  # type: ignore[attr-defined]

    def unit(self, w: Tensor, site: Site) -> Tensor:
        """The scale s."""
        rows = to_rows(w.detach(), site, self.block)
        return from_rows(self._of_rows(rows, site)[0].expand_as(rows), w, site)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """The nearest level."""
        return from_rows(self._of_rows(to_rows(w, site, self.block), site)[1], w, site)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G."""
        return grad


@register_estimator("quest")
@dataclass(frozen=True)
class QuEST(RMSLevels):
    """QuEST: levels at the RMS, and a gradient that trusts only weights near their level.

    Value: that of `RMSLevels`. Gradient: dL/dw := G 1[|Q(w) - w| <= T], T = s/(L - 1) half the
    distance of two levels: weights beyond the last level get none.

    With ``hadamard`` both are taken in a rotated basis: w is H w in blocks, value H^T Q(H w),
    gradient H^T (1[...] (H G)), H the Hadamard matrix over the root of its size. Weights there are
    closer to normal ones; the values have low bits in that basis only.

    Registered as ``"quest"``, and as ``"quest-hadamard"`` with blocks of 128.

    Parameters
    ----------
    block : "layer", "channel" or int
    ternary : bool
    trust : float
        T in units of half the distance of two levels, above 0; infinity: `RMSLevels`.
    hadamard : int
        Size of the rotated blocks, a power of two; 0 or 1: no rotation. Where it does not divide a
        row, the largest power of two that does is taken; a row of odd length is not rotated.

    Raises
    ------
    InvalidArgumentError
        If an option is out of range.
    ShapeError
        If groups do not divide a channel.

    References
    ----------
    A. Panferov and others, "QuEST: stable training of LLMs with 1-bit weights and activations",
    ICML 2025, arXiv 2502.05003.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.estimators import QuEST, Site, estimate
    >>> w = torch.tensor([-0.1, 0.2, 0.9, 3.0], requires_grad=True)  # s = 1.25, T = s
    >>> estimate(w, QuEST("layer"), Site(bits=1)).sum().backward()
    >>> w.grad
    tensor([1., 1., 1., 0.])
    """

    hadamard: int = 0
    trust: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        as_numbers(self, "trust", unbounded=True)
        if not self.trust > 0.0:
            raise InvalidArgumentError(f"trust must be above 0, got {self.trust}")
        size = checks.count(self.hadamard, "hadamard", least=0)
        if size & (size - 1):
            raise InvalidArgumentError(f"hadamard must be a power of two or 0, got {size}")
        object.__setattr__(self, "hadamard", size)

    def unit(self, w: Tensor, site: Site) -> Tensor:
        """The scale s; there is none where values have few levels in a rotated basis alone."""
        if self.hadamard > 1:
            raise InvalidArgumentError(
                f"the values of {self!r} have few levels in a rotated basis alone; take hadamard=0"
            )
        return super().unit(w, site)

    def _rotated(self, rows: Tensor) -> Tensor:
        """Rows times the Hadamard matrix, which is its own inverse."""
        size = math.gcd(self.hadamard, rows.shape[1]) if self.hadamard else 1
        if size <= 1:
            return rows
        h = torch.ones(1, 1, dtype=rows.dtype, device=rows.device)
        while len(h) < size:
            h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
        parts = rows.reshape(-1, size) @ (h / math.sqrt(size))
        return parts.reshape(rows.shape)

    def forward(self, w: Tensor, site: Site) -> Tensor:
        """The nearest level, in the rotated basis if there is one."""
        if self.hadamard <= 1:
            return super().forward(w, site)
        turned = self._rotated(to_rows(w, site, self.block))
        return from_rows(self._rotated(self._of_rows(turned, site)[1]), w, site)

    def backward(self, w: Tensor, q: Tensor, grad: Tensor, site: Site) -> Tensor:
        """G 1[|Q(w) - w| <= T]."""
        rows = self._rotated(to_rows(w, site, self.block))
        s, value = self._of_rows(rows, site)
        # half a step is met exactly between two levels: rounding must not decide there
        trust = self.trust * s / (self._levels(site) - 1)
        if self.trust == math.inf:  # for a row of zeros too
            trust = torch.full_like(s, math.inf)
        trust = trust * (1.0 + 8.0 * torch.finfo(rows.dtype).eps)
        kept = (value - rows).abs() <= trust
        g = self._rotated(to_rows(grad, site, self.block))
        return from_rows(self._rotated(g * kept), w, site)


register_estimator("quest-hadamard")(partial(QuEST, hadamard=128))
