"""A comparison from a TOML file: arms, seeds, reference."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError, StorageError, UnknownNameError

from .protocol import Arm, default_arm

__all__ = ["Comparison", "load_config"]

_KEYS = ("seeds", "reference", "defaults", "arms")


@dataclass(frozen=True)
class Comparison:
    """Arms and seeds; ``reference`` is the label of the arm that the others are compared with."""

    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    reference: str | None = None


def load_config(path: Path) -> Comparison:
    """Read a comparison.

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
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path} is not a TOML file: {error}") from error
    for name in table:
        if name not in _KEYS:
            raise UnknownNameError(f"entry of {path.name}", name, _KEYS)
    defaults, arms = table.get("defaults", {}), table.get("arms", [])
    if not isinstance(defaults, dict) or not isinstance(arms, list) or not arms:
        raise InvalidArgumentError(f"{path} needs tables [[arms]], and [defaults] as one table")
    made = tuple(arm_of({**defaults, **arm}) for arm in arms)
    reference = table.get("reference")
    labels = [arm.label for arm in made]
    if reference is not None and reference not in labels:
        raise UnknownNameError("arm as reference", reference, labels)
    return Comparison(made, seeds_of(table.get("seeds", 5)), reference)


def arm_of(settings: Mapping[str, Any]) -> Arm:
    """An arm from a table that need not be complete."""
    rest = dict(settings)
    if "method" not in rest:
        raise InvalidArgumentError(f"an arm needs a method; given: {rest!r}")
    method = rest.pop("method")
    dataset, optimizer = rest.pop("dataset", "digits"), rest.pop("optimizer", "sgd")
    return default_arm(method, dataset, optimizer, rest.pop("model", None), **rest)


def seeds_of(value: Any) -> tuple[int, ...]:
    """Seeds from their number, or as they are."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return tuple(range(value))
    if isinstance(value, (list, tuple)) and value:
        return tuple(value)
    raise InvalidArgumentError(f"seeds must be a number of at least 1 or a list, got {value!r}")
