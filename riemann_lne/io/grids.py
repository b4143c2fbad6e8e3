"""Grids as plain values."""

from __future__ import annotations

from typing import Any

from ..atlas import Atlas
from ..checks import count, flag, numbers
from ..grids import Grid
from .damage import field


def grid_record(grid: Grid) -> dict[str, Any]:
    """A grid as plain values."""
    names = ("shape", "lower", "upper", "periodic")
    record: dict[str, Any] = {name: list(getattr(grid, name)) for name in names}
    if isinstance(grid, Atlas):
        record["atlas"] = grid.order
    return record


def grid_from_record(record: dict[str, Any]) -> Grid:
    """The grid that ``grid_record`` describes.

    Raises
    ------
    InvalidArgumentError, ValueError
        If an entry is missing or of another kind.
    """
    shape = [count(v, "shape", least=2) for v in field(record, "shape", _list)]
    lower, upper = (numbers(field(record, name, _list), name) for name in ("lower", "upper"))
    periodic = [flag(v, "periodic") for v in field(record, "periodic", _list)]
    if "atlas" in record:
        order = count(record["atlas"], "atlas", least=2)
        atlas = Atlas.sphere(len(shape), shape[-1], -lower[0], order)
        if grid_record(atlas) != record:
            raise ValueError("its grid is no atlas of a sphere")
        return atlas
    return Grid(tuple(shape), tuple(lower), tuple(upper), tuple(periodic))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{type(value).__name__} in place of a list")
    return list(value)
