"""Translated copies of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from riemann_lne import checks
from riemann_lne.errors import InvalidArgumentError, ShapeError, UnknownNameError

Translate: TypeAlias = Callable[[Tensor, int, int], Tensor]
"""From an input, a shift in rows and a shift in columns to the translated input."""

FILLS = ("zero", "roll")


def check_shifts(shifts: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """The pairs (k1, k2) of row shifts and (j1, j2) of column shifts, as integers that differ."""
    try:
        (k1, k2), (j1, j2) = shifts
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"shifts must be ((k1, k2), (j1, j2)): two shifts in rows and two in columns, got "
            f"{shifts!r}"
        ) from error
    pixels: list[int] = []
    for axis, a, b in (("rows (k1, k2)", k1, k2), ("columns (j1, j2)", j1, j2)):
        for value in (a, b):
            pixels.append(checks.count(value, f"shift in {axis}, in pixels,", least=None))
        if pixels[-1] == pixels[-2]:
            raise InvalidArgumentError(
                f"the two shifts in {axis} are both {a}: their difference divides in Eq. 32, so "
                "that they must differ; use for instance (1, -1)"
            )
    return (pixels[0], pixels[1]), (pixels[2], pixels[3])


def translate(x: Tensor, rows: int, columns: int, fill: str = "zero") -> Tensor:
    """The images x, shape (..., height, width), moved down and to the right by whole pixels.

    Parameters
    ----------
    x : Tensor, shape (..., height, width)
    rows, columns : int
        In pixels; negative is up and to the left.
    fill : {"zero", "roll"}
        Values that come in at the edge: zeros, or those that left on the other side.

    Raises
    ------
    ShapeError
        If x has fewer than two axes, or a shift is as large as the image or larger.
    UnknownNameError
        If fill has another value.

    Examples
    --------
    >>> import torch
    >>> from riemann_lne_torch.penalty.shifts import translate
    >>> translate(torch.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([[0, 0],
            [1, 2]])
    """
    if fill not in FILLS:
        raise UnknownNameError("fill", fill, FILLS)
    if x.ndim < 2:
        raise ShapeError(
            f"the input has shape {tuple(x.shape)}, which has no rows and columns to shift; "
            "expected (..., height, width), or give translate=, a function (x, rows, columns) -> x"
        )
    for axis, shift, name in ((-2, rows, "rows"), (-1, columns, "columns")):
        if abs(shift) >= x.shape[axis]:
            raise ShapeError(
                f"a shift by {shift} {name} leaves nothing of an image of {x.shape[axis]}; use a "
                "smaller one, or translate= if the last two axes are not rows and columns"
            )
    moved = torch.roll(x, (rows, columns), (-2, -1))
    if fill == "zero":
        if moved is x:
            moved = x.clone()
        for axis, shift in ((-2, rows), (-1, columns)):
            start = 0 if shift >= 0 else x.shape[axis] + shift
            moved.narrow(axis, start, abs(shift)).zero_()
    return moved


def copies(
    x: Tensor, shifts: tuple[tuple[int, int], tuple[int, int]], move: Translate
) -> Sequence[Tensor]:
    """The four copies of Eq. 32: rows by k1 and by k2, columns by j1 and by j2."""
    (k1, k2), (j1, j2) = shifts
    return [move(x, k1, 0), move(x, k2, 0), move(x, 0, j1), move(x, 0, j2)]
