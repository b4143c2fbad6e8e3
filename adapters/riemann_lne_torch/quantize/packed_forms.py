"""Ways to store discrete weights in few bits: tables of values, or levels and scales."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError

from .integers import integer_form
from .levels import wide

__all__ = ["WIDTHS", "Form", "scaled", "tabled"]

WIDTHS = (1, 2, 4, 8)


class Form(NamedTuple):
    """A way to store a weight: its table, the number of each value in it, and scales."""

    table: Tensor
    number: Tensor
    scale: Tensor | None = None

    @property
    def bits(self) -> int:
        """Of a code."""
        return next(b for b in WIDTHS if self.table.shape[1] <= 2**b)

    @property
    def bytes(self) -> int:
        """Of all that is stored."""
        scales = 0 if self.scale is None else self.scale.nbytes
        return self.number.numel() * self.bits // 8 + self.table.nbytes + scales


# Rows of at least so many numbers are looked at one by one, shorter ones are sorted all at once.
_LONG = 1024
# Numbers of which the distinct ones are found first; the others are mostly among them.
_SAMPLE = 4096
_MOST = 2 ** WIDTHS[-1]


def tabled(rows: Tensor) -> Form | None:
    """A form with a table for each row, if 8 bits will do."""
    if rows.shape[1] >= _LONG:
        found = []
        for row in rows:
            one = _distinct(row)
            if one is None:
                return None
            found.append(one)
        most = max(len(values) for values, _ in found)
        # shorter tables are filled up with their last value
        tables = [torch.cat([t, t[-1:].expand(most - len(t))]) for t, _ in found]
        return Form(torch.stack(tables), torch.stack([number for _, number in found]))
    ordered, place = rows.sort(1)
    rank = nn.functional.pad((ordered.diff() != 0.0).cumsum(1), (1, 0))
    most = int(rank[:, -1].max()) + 1
    if most > _MOST:
        return None
    table = ordered[:, -1:].repeat(1, most).scatter_(1, rank, ordered)
    return Form(table, torch.empty_like(rank).scatter_(1, place, rank))


def _distinct(values: Tensor) -> tuple[Tensor, Tensor] | None:
    """The distinct values of a row, sorted, and the number of each; None if 8 bits will not do."""
    known, missing = values[:0], values
    number = torch.empty(0)
    while len(missing):
        known = torch.unique(torch.cat([known, _some(missing)]))
        if len(known) > _MOST:
            return None
        number = torch.searchsorted(known, values).clamp_(max=len(known) - 1)
        missing = values[known[number] != values]
    return known, number


def _some(values: Tensor) -> Tensor:
    """Values from all over a vector, twice `_SAMPLE` at most."""
    return values[:: max(1, len(values) // _SAMPLE)]


# Levels lie farther apart than this, and the rounding of a level is smaller.
_APART = 1e-3
# Units in the last place by which a ratio of two rounded numbers may miss the level.
_NEIGHBOURS = 4


def scaled(rows: Tensor, units: Tensor) -> Form | None:
    """A form with levels for all rows, and a scale a row, whose product is the value to the bit.

    None where there is none: the unit varies in a row, or products were rounded in another way.
    """
    scale = units[:, 0]
    if not bool((units == scale[:, None]).all()):
        return None
    found = _levels(rows, scale)
    if found is None:
        return None
    level, number = found
    if units.dtype == rows.dtype:
        return _products(rows, scale, level.to(rows.dtype), number)
    return _rounded_products(rows, scale, level, number)


def _levels(rows: Tensor, scale: Tensor) -> tuple[Tensor, Tensor] | None:
    """The values over the scales of their rows, up to rounding, and the number of each.

    None if 8 bits will not do.
    """
    zeros = scale == 0.0
    ratio = wide(rows) / wide(torch.where(zeros, 1.0, scale))[:, None]
    if bool(zeros.any() & ~zeros.all()):
        ratio[zeros] = ratio[~zeros][0, 0]  # any level will do there, and no level is added
    # values in half precision were rounded more coarsely, relative to their size
    apart = max(_APART, 4.0 * torch.finfo(rows.dtype).eps * float(ratio.abs().max()))
    level, missing = ratio.new_empty(0), ratio.reshape(-1)
    number = torch.empty(0)
    while len(missing):
        points = torch.unique(torch.cat([level, _some(missing)]))
        more = points[nn.functional.pad(points.diff() > apart, (1, 0), value=True)]
        if len(more) > _MOST or len(more) == len(level):  # too many, or no levels at all
            return None
        level = more
        number = torch.bucketize(ratio, 0.5 * (level[1:] + level[:-1]))
        missing = ratio[(ratio - level[number]).abs() > 0.5 * apart]
    if rows.dtype.itemsize < 4:  # by a mean the rounding of single values cancels
        place, part = _some(number.reshape(-1)), _some(ratio.reshape(-1))
        count = torch.bincount(place, minlength=len(level))
        mean = torch.zeros_like(level).index_add_(0, place, part) / count
        level = torch.where(count > 0, mean, level)
    return level, number


def _products(rows: Tensor, scale: Tensor, level: Tensor, number: Tensor) -> Form | None:
    """Levels that are changed by a few units in the last place, until all products are right."""
    table, up, down = level.clone(), level, level
    found = torch.zeros(len(level), dtype=torch.bool, device=rows.device)
    # of the levels that are not found yet
    place, size, wanted = number, scale[:, None].expand_as(rows), rows
    for step in range(_NEIGHBOURS + 1):
        for candidate in (up, down) if step else (level,):
            right = torch.ones_like(found)
            right[place[size * candidate[place] != wanted]] = False
            table = torch.where(right & ~found, candidate, table)
            found |= right
        if bool(found.all()):
            return Form(table[None], number, scale)
        if rows.dtype.itemsize < 4:  # has no `nextafter`
            break
        left = ~found[place]
        place, size, wanted = place[left], size[left], wanted[left]
        up = torch.nextafter(up, torch.full_like(up, torch.inf))
        down = torch.nextafter(down, torch.full_like(down, -torch.inf))
    return None


def _rounded_products(rows: Tensor, scale: Tensor, level: Tensor, number: Tensor) -> Form | None:
    """Whole numbers as levels, exact in half precision, and scales in float32, kept as their bits.

    The products are rounded to half precision once, as the values were. A scale is changed by a few
    units in the last place where a product lies between two numbers of half precision.
    """
    try:
        whole, _ = integer_form(level.to(rows.dtype)[None])
    except InvalidArgumentError:  # levels that are not evenly spaced, or too many
        return None
    levels = whole[0].float()[number]
    scale = (scale * _unit_of_products(rows, scale, levels)).float()
    wrong = ((scale[:, None] * levels).to(rows.dtype) != rows).any(1).nonzero()[:, 0]
    up = down = scale
    for _ in range(_NEIGHBOURS):
        up = torch.nextafter(up, torch.full_like(up, torch.inf))
        down = torch.nextafter(down, torch.full_like(down, -torch.inf))
        for candidate in (up, down):
            product = (candidate[wrong, None] * levels[wrong]).to(rows.dtype)
            right = (product == rows[wrong]).all(1)
            scale[wrong[right]] = candidate[wrong[right]]
            wrong = wrong[~right]
    return None if len(wrong) else Form(whole.to(rows.dtype), number, scale.view(torch.int32))


def _unit_of_products(rows: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
    """The u for which all scale * u * level round to the values: the middle of its interval."""
    product = scale[:, None].double() * levels
    used = product != 0.0
    if not bool(used.any()):
        return torch.ones_like(product[0, 0])
    product, (part, exponent) = product[used].abs(), rows[used].abs().double().frexp()
    step = torch.ldexp(torch.full_like(part, 0.25 * torch.finfo(rows.dtype).eps), exponent)
    size = torch.ldexp(part, exponent)
    # a power of two has a neighbour at half the distance below it
    low = ((size - torch.where(part == 0.5, 0.5 * step, step)) / product).max()
    return 0.5 * (low + ((size + step) / product).min())
