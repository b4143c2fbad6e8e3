"""A comparison from a TOML file: arms, seeds, reference."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError, StorageError, UnknownNameError

from ..lab.stored_json import check_values
from .protocol import Arm, default_arm

__all__ = ["Comparison", "load_config"]

MOST_SEEDS = 100_000
"""Far more than anybody runs: a larger number is a mistake."""

_MOST_BYTES = 2**22
_KEYS = ("seeds", "reference", "defaults", "arms")


@dataclass(frozen=True)
class Comparison:
    """Arms and seeds; ``reference`` is the label of the arm that the others are compared with."""

    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    reference: str | None = None


def load_config(path: Path, changes: Mapping[str, Any] | None = None) -> Comparison:
    """Read a comparison; ``changes`` are settings of every arm in place of those of the file.

    The file has ``seeds`` (a number of seeds, from 0, or a list of them), ``reference`` (a label),
    a table ``[defaults]`` and tables ``[[arms]]``, both with the attributes of `Arm`. What an arm
    does not say it takes from the defaults, and what they do not say from `default_arm`; options
    of methods are not shared.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InvalidArgumentError, UnknownNameError
        If it is no TOML, or something in it makes no sense. Names the file.
    """
    path = Path(path)
    table = read_toml(path, "a comparison")
    for name in table:
        if name not in _KEYS:
            raise UnknownNameError(f"entry of {path.name}", name, _KEYS)
    defaults, arms = table.get("defaults", {}), table.get("arms", [])
    if not isinstance(defaults, dict) or not isinstance(arms, list) or not arms:
        raise InvalidArgumentError(f"{path} needs tables [[arms]], and [defaults] as one table")
    if not all(isinstance(arm, dict) for arm in arms):
        raise InvalidArgumentError(f"{path}: every entry of arms must be a table [[arms]]")
    made = tuple(arm_of({**defaults, **arm, **(changes or {})}) for arm in arms)
    reference = table.get("reference")
    labels = [arm.label for arm in made]
    if reference is not None and reference not in labels:
        raise UnknownNameError("arm as reference", reference, labels)
    return Comparison(made, seeds_of(table.get("seeds", 5)), reference)


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The tables of a TOML file with the values that JSON has as well.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InvalidArgumentError
        If it is no TOML, larger than any configuration, nested too deep, or holds infinities, NaN
        or times.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it is longer than {_MOST_BYTES} bytes")
        table = tomllib.loads(content.decode("utf-8"))
        check_values(table)
    except OSError as error:
        raise StorageError(f"cannot read {kind} from {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(
            f"{path} is not a TOML file with {kind}: {error}; correct it there"
        ) from error
    return table


def arm_of(settings: Mapping[str, Any]) -> Arm:
    """An arm from a table that need not be complete."""
    rest = dict(settings)
    for name in ("method", "dataset", "optimizer", "model"):
        if name in rest and not isinstance(rest[name], str):
            raise InvalidArgumentError(f"{name} must be a name, got {rest[name]!r:.100}")
    if "method" not in rest:
        raise InvalidArgumentError(f"an arm needs a method; given: {rest!r}")
    method = rest.pop("method")
    dataset, optimizer = rest.pop("dataset", "digits"), rest.pop("optimizer", None)
    return default_arm(method, dataset, optimizer, rest.pop("model", None), **rest)


def seeds_of(value: Any) -> tuple[int, ...]:
    """Seeds from their number, or as they are."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SEEDS:
        return tuple(range(value))
    if isinstance(value, (list, tuple)) and value:
        return tuple(value)
    raise InvalidArgumentError(
        f"seeds must be a number from 1 to {MOST_SEEDS}, or a list, got {value!r:.100}"
    )
