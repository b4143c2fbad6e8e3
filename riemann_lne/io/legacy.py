"""Stores of the first layout, which had no checksums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_RECORD = ("success", "status", "message", "nfev", "n_accepted", "n_rejected", "method")


@dataclass(frozen=True)
class LegacyStore:
    """Contents of such a store."""

    t: np.ndarray
    observed: tuple[np.ndarray, dict[str, np.ndarray]]
    packed: Any
    parameters: dict[str, Any]
    record: dict[str, Any] | None


def open_legacy(
    group: Any, attributes: Mapping[str, Any], row: tuple[int, ...], names: Sequence[str]
) -> LegacyStore:
    """Read the numbers of a store and compare them with one another.

    Raises
    ------
    ValueError
        If they do not fit together. A run that was killed may have made room for more than it
        wrote, so the last times may be missing; one amid others may not.
    """
    t = _whole_part(_column(group, "t"), "t")
    packed = group["packed"]
    if tuple(packed.shape[1:]) != row or packed.shape[0] < len(t):
        raise ValueError(f"packed has shape {packed.shape} for {len(t)} times")
    if packed.dtype.kind != "f":
        raise ValueError(f"packed has the type {packed.dtype}")
    if not np.all(np.diff(t) > 0):
        raise ValueError("its times do not rise")
    t_observed = _whole_part(_column(group, "t_observed"), "t_observed")
    columns = {name: _column(group, f"observed_{name}") for name in names}
    for name, values in columns.items():
        if len(values) < len(t_observed) or not np.all(np.isfinite(values[: len(t_observed)])):
            raise ValueError(f"observed values of {name!r} are missing")
        columns[name] = values[: len(t_observed)]
    ended = all(name in attributes for name in _RECORD)
    parameters = {
        name: value
        for name, value in attributes.items()
        if name == "method" or name not in (*_RECORD, "grid", "observed")
    }
    record = {name: attributes[name] for name in _RECORD} if ended else None
    return LegacyStore(t, (t_observed, columns), packed, parameters, record)


def _column(group: Any, name: str) -> np.ndarray:
    array = group[name]
    if array.ndim != 1 or array.dtype.kind != "f" or array.shape[0] > 2**28:
        raise ValueError(f"{name} has shape {array.shape} and type {array.dtype}")
    return np.asarray(array[:])


def _whole_part(values: np.ndarray, name: str) -> np.ndarray:
    good = ~np.isnan(values)
    count = int(good.sum())
    if not good[:count].all() or not np.all(np.isfinite(values[:count])):
        raise ValueError(f"values of {name} are missing amid others")
    return values[:count]
