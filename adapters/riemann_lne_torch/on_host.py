"""The sums of `riemann_lne.lne.pieces.PieceSums`, and its last pass, on the host.

The same formulas as there, for pieces that go through one scratch array, which stays in the cache:
what counts on a processor is memory traffic, and the fixed cost of a call for a layer of some
thousand weights. Checked against the plain form in the tests.

A piece is z = tau x, in the scratch array, and the gradient v: (rows, m) each. Sums are (rows,).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

# What is held of a piece stays in the cache next to the core.
LONGEST_PIECE = 1 << 15
Cut = Sequence[tuple[slice, Tensor, Tensor]]


def scaled(cut: Cut, tau: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows, z = tau x and v of one piece after the other; z always in the same memory."""
    # of a sharded layer a process may hold nothing
    longest = max((x.numel() for _, x, _ in cut), default=0)
    single, memory = tau.tolist(), {}
    for rows, x, v in cut:
        wide = torch.promote_types(x.dtype, torch.float32)
        if wide not in memory:
            memory[wide] = torch.empty(longest, dtype=wide), tau.to(wide)[:, None]
        scratch, column = memory[wide]
        z = scratch[: x.numel()].view(x.shape)
        factor: Any = single[rows.start] if len(x) == 1 else column[rows]
        yield rows, torch.mul(x if x.dtype is wide else z.copy_(x), factor, out=z), v


def powers(z: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Sums of z^2, z^4 and z^6."""
    z.mul_(z)
    fourth = z * z
    return z.sum(-1), fourth.sum(-1), _dot(fourth, z)


def scale_sums(z: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Sums t . t and z t (1 - t^2): `PieceSums.scale`."""
    t = z.tanh()
    norm2 = _dot(t, t)
    z.mul_(t)
    t.mul_(t)
    return norm2, z.sum(-1) - _dot(z, t)


def solve_sums(z: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Sums t . t, t . v and v . v: `PieceSums.solve`."""
    t, v = z.tanh_(), v.to(z.dtype)
    return _dot(t, t), _dot(t, v), _dot(v, v)


def finish_(z: Tensor, v: Tensor, coefficient: Any) -> None:
    """The sum v + c t, written to v: `PieceSums.finish`."""
    t = z.tanh_()
    if isinstance(coefficient, float):
        v.add_(t, alpha=coefficient)
    else:
        v.addcmul_(t, coefficient)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    # not a dot product of BLAS: that one adds up in single precision, this one pairwise
    return torch.linalg.vecdot(a, b)
