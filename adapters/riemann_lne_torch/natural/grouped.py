"""The sums of `riemann_lne.lne.pieces.PieceSums`, and its last pass, for many pieces at once.

The same formulas in torch's grouped operations, which take a list of tensors: on a device a network
of many small layers costs a handful of launches. Checked against the plain form in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Pieces = Sequence[Tensor]
Values = Sequence[float]


def powers(xs: Pieces, vs: Pieces, taus: Values) -> Tensor:
    """Sums of z^2, z^4 and z^6 of every piece, z = tau x."""
    z = torch._foreach_mul(_wide(xs), taus)
    cubes = torch._foreach_mul(z, z)
    norms = [torch._foreach_norm(z), torch._foreach_norm(cubes)]
    torch._foreach_mul_(cubes, z)
    norms.append(torch._foreach_norm(cubes))
    return torch.stack([_square(n) for n in norms], -1)


def scale_sums(xs: Pieces, vs: Pieces, taus: Values) -> Tensor:
    """Sums t . t and z t (1 - t^2) of every piece, z = tau x: `PieceSums.scale`."""
    z = torch._foreach_mul(_wide(xs), taus)
    t = torch._foreach_tanh(z)
    norm2 = torch._foreach_norm(t)
    torch._foreach_mul_(z, t)
    torch._foreach_mul_(t, t)
    torch._foreach_addcmul_(z, z, t, -1.0)
    slope = torch.stack([a.sum() for a in z]).double()
    return torch.stack([_square(norm2), slope], -1)


def solve_sums(xs: Pieces, vs: Pieces, taus: Values) -> Tensor:
    """Sums t . t, t . v and v . v of every piece: `PieceSums.solve`."""
    vs = _wide(vs)
    t = _tanh(xs, taus)
    norm2, square = torch._foreach_norm(t), torch._foreach_norm(vs)
    torch._foreach_mul_(t, vs)
    along = torch.stack([a.sum() for a in t]).double()
    return torch.stack([_square(norm2), along, _square(square)], -1)


def finish_(xs: Pieces, vs: Pieces, taus: Values, coefficients: Values) -> None:
    """The sum v + c t, written to the v: `PieceSums.finish`."""
    t = _tanh(xs, taus)
    torch._foreach_mul_(t, coefficients)
    if vs[0].dtype is t[0].dtype:
        torch._foreach_add_(list(vs), t)
    else:
        torch._foreach_add_(t, _wide(vs))
        torch._foreach_copy_(list(vs), t)


def _tanh(xs: Pieces, taus: Values) -> list[Tensor]:
    t = list(torch._foreach_mul(_wide(xs), taus))
    torch._foreach_tanh_(t)
    return t


def _wide(xs: Pieces) -> list[Tensor]:
    """Half precision is summed in float32."""
    if xs[0].dtype.itemsize >= 4:
        return list(xs)
    return [x.float() for x in xs]


def _square(norms: Pieces) -> Tensor:
    return torch.stack(list(norms)).double().square()
