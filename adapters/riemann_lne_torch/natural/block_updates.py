"""The last pass over the pieces, which writes the new gradients, and how much it changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import grouped
from .block_sums import Blocks, Rows, at_rows
from .metrics import RankOne, Shifted


def update(blocks: Blocks, finite: Rows, finish: Any, *known: Rows, held: int = 3) -> None:
    """New gradients ``finish(x, v, *values)`` in the rows whose sums are finite.

    Parameters
    ----------
    blocks : Blocks
    finite : Rows
        Where to write: a gradient that is not finite stays as it is.
    finish : callable
        Of a piece, with the known values of its rows.
    *known : Rows
    held : int
        Arrays of a piece's size that it takes.
    """
    for rows, (x, v, *_) in blocks.pieces(blocks.held(held)):
        _update_piece(rows, x, v, finite, finish, known, blocks.wide)


def rank_one_update(blocks: Blocks, finite: Rows, tau: Rows, coefficient: Rows) -> None:
    """`update` with `RankOne.finish`, in fewer operations where that can be."""
    if not bool(finite.all()) or not (blocks.compiled or blocks.single_rows):
        update(blocks, finite, RankOne.finish, tau, coefficient)
    elif blocks.compiled:
        blocks.compiled.write_("finish", tau, coefficient)
    else:
        for places, xs, vs in blocks.groups_of_pieces(held=1):
            grouped.finish_(xs, vs, tau[places].tolist(), coefficient[places].tolist())


def measured_update(
    blocks: Blocks, finite: Rows, finish: Any, *known: Rows, held: int = 3
) -> Tensor:
    """`update`, and the sums v . v, v . d and d . d of every row for the change d: (rows, 3)."""
    position = torch.arange(blocks.rows, dtype=torch.float64)

    def change(x: Tensor, v: Tensor, row: Any) -> tuple[Tensor, ...]:
        start = int(row) if isinstance(row, float) else int(row[0])
        before = v.clone()
        rows = slice(start, start + x.shape[0])
        _update_piece(rows, x, v, finite, finish, known, blocks.wide)
        return _change_sums(before, v)

    held = blocks.held(held + 5)
    return blocks.collect(change, position, width=3, held=held, whole=False, writes=True)


def shifted_update(
    blocks: Blocks, finite: Rows, method: Shifted, *known: Rows, keep: float | None, measured: bool
) -> Tensor | None:
    """New gradients by `Shifted.finish` in the finite rows; if asked the sums of `measured_update`.

    With ``keep`` the curvature becomes keep D + (1 - keep) v^2 with the gradient v from before.
    """
    if blocks.compiled is not None and bool(finite.all()):
        gain = torch.full_like(known[0], 0.0 if keep is None else 1.0 - keep)
        known = (*known, torch.full_like(gain, method.size))
        found = blocks.added(blocks.compiled, "shifted_change", *known) if measured else None
        blocks.compiled.write_("shifted_finish", *known, gain)
        return found
    position = torch.arange(blocks.rows, dtype=torch.float64)

    def change(x: Tensor, v: Tensor, curvature: Tensor, row: Any) -> tuple[Tensor, ...]:
        start = int(row) if isinstance(row, float) else int(row[0])
        before = v.clone()
        write(slice(start, start + x.shape[0]), x, v, curvature)
        return _change_sums(before, v)

    def write(rows: slice, x: Tensor, v: Tensor, curvature: Tensor) -> None:
        here = finite[rows]
        if not bool(here.any()):
            return
        whole, mask = bool(here.all()), here.to(v.device)[:, None]
        arrays = [a.double() for a in (x, v, curvature)] if blocks.wide else [x, v, curvature]
        new = method.finish(*arrays, *(at_rows(k, rows, arrays[0]) for k in known))
        if keep is not None:
            running = curvature.lerp(v.to(curvature.dtype).square(), 1.0 - keep)
            curvature.copy_(running if whole else torch.where(mask, running, curvature))
        v.copy_(new if whole else torch.where(mask, new.to(v.dtype), v))

    held = blocks.held(method.held + 4)
    if not measured:
        for rows, (x, v, curvature) in blocks.pieces(held):
            write(rows, x, v, curvature)
        return None
    return blocks.collect(
        change, position, width=3, held=held, whole=False, writes=True, third=True
    )


def angle_and_change(square: float, along: float, change: float) -> tuple[float, float]:
    """Angle between v and v + d, in radians, and |d|/|v|, from v . v, v . d and d . d."""
    if not 0.0 < square < math.inf:
        return 0.0, 0.0
    across = math.sqrt(max(change - along * along / square, 0.0))
    angle = math.atan2(across, math.sqrt(square) + along / math.sqrt(square))
    return angle, math.sqrt(change / square)


def _update_piece(
    rows: slice,
    x: Tensor,
    v: Tensor,
    finite: Rows,
    finish: Any,
    known: Sequence[Rows],
    wide: bool,
) -> None:
    here = finite[rows]
    if not bool(here.any()):
        return
    x, old = (x.double(), v.double()) if wide else (x, v)
    new = finish(x, old, *(at_rows(k, rows, x) for k in known))
    v.copy_(new if bool(here.all()) else torch.where(here.to(v.device)[:, None], new, old))


def _change_sums(before: Tensor, after: Tensor) -> tuple[Tensor, ...]:
    wide = torch.promote_types(before.dtype, torch.float32)
    v = before.to(wide)
    d = after.to(wide) - v
    return (v * v).sum(-1), (v * d).sum(-1), (d * d).sum(-1)
