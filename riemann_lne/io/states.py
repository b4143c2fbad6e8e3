"""States of a system with a record of plain values in one .npz file, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..atomic import storage_errors, write_atomically
from ..errors import InvalidArgumentError
from .damage import table_value
from .npz import NpzReader

_FORMAT = 1


def write_stored_states(
    target: Path,
    kind: str,
    record: Mapping[str, Any],
    states: Sequence[np.ndarray],
    numbers: np.ndarray,
) -> None:
    """Write states of one shape, numbers beside them and a record; see ``read_stored_states``.

    Raises
    ------
    StorageError
        If the file cannot be written; one that was there before is then intact.
    """
    content: dict[str, Any] = {
        "format": np.int64(_FORMAT),
        "record": np.array(json.dumps({**record, "kind": kind})),
        "states": np.stack(list(states)),
        "numbers": np.asarray(numbers, dtype=float),
    }
    with storage_errors(f"the {kind}", target):
        write_atomically(target, lambda file: np.savez_compressed(file, **content))


def read_stored_states(path: Path, kind: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Record, states (k, *shape) and numbers that ``write_stored_states`` wrote.

    To be called within ``io.reading``, which names the file: raises ValueError or KeyError where
    the file is not what it should be.
    """
    with NpzReader(path) as file:
        file.require(["format", "record", "states", "numbers"])
        file.expect("format", "iu", ())
        version = int(file.read("format")[()])
        if version != _FORMAT:
            raise ValueError(f"its format is {version}, this version reads {_FORMAT}")
        record = table_value(json.loads(file.text("record")))
        if record["kind"] != kind:
            raise ValueError(f"it is a {record['kind']}, not a {kind}")
        dimension = len(file.header("states").shape)
        file.expect("states", "f", (None,) * dimension)
        file.expect("numbers", "f", (None,))
        states, numbers = file.read("states"), file.read("numbers")
    if not (np.all(np.isfinite(states)) and np.all(np.isfinite(numbers)) and len(states)):
        raise ValueError("its states or times are not finite, or there are none")
    return record, states, numbers


def existing(path: str | PathLike[str]) -> Path:
    """The path of a file that is there.

    Raises
    ------
    FileNotFoundError, InvalidArgumentError
        If there is no such file, or its name does not end in .npz.
    """
    source = npz_path(path)
    if not source.exists():
        raise FileNotFoundError(f"there is no file {source}")
    return source


def npz_path(path: str | PathLike[str]) -> Path:
    """A path that ends in .npz, or InvalidArgumentError."""
    place = checks.path(path, "path")
    if place.suffix != ".npz":
        raise InvalidArgumentError(f"path = {place}; give a file that ends in .npz")
    return place


def field_value(record: dict[str, Any], name: str, kind: type) -> Any:
    """A plain value of a record; ValueError if it is of another type."""
    if type(record[name]) is not kind:
        raise ValueError(f"its {name} is not of type {kind.__name__}")
    return record[name]
