"""States of rotationally symmetric metrics in .npz files, without pickle: what all files share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError
from ..io import NpzReader, storage_errors, write_atomically
from ..io.damage import table_value
from .metric import RotationalMetric
from .staggered import Staggered

_FORMAT = 1


@dataclass(frozen=True)
class Stored:
    """The content of a file.

    Attributes
    ----------
    record : dict
        Plain values.
    metrics : list of RotationalMetric
    numbers : ndarray, one-dimensional
        The times, or the steps between them.
    """

    record: dict[str, Any]
    metrics: list[RotationalMetric]
    numbers: np.ndarray


def write_states(
    path: str | PathLike[str],
    kind: str,
    record: Mapping[str, Any],
    metrics: Sequence[RotationalMetric],
    numbers: np.ndarray,
) -> None:
    """Write metrics on one interval with a record of plain values; see ``read_states``.

    Raises
    ------
    InvalidArgumentError
        If the path does not end in .npz.
    StorageError
        If it cannot be written; a file that was there before is then intact.
    """
    target = npz_path(path)
    space = metrics[0].operators
    whole = {
        **record,
        "kind": kind,
        "space": [space.space, space.points, space.length, space.order],
        "n": metrics[0].n,
    }
    content: dict[str, Any] = {
        "format": np.int64(_FORMAT),
        "record": np.array(json.dumps(whole)),
        "states": np.stack([m.state for m in metrics]),
        "numbers": np.asarray(numbers, dtype=float),
    }
    with storage_errors(f"the {kind}", target):
        write_atomically(target, lambda file: np.savez_compressed(file, **content))


def read_states(path: Path, kind: str) -> Stored:
    """Read what ``write_states`` wrote; to be called within ``io.reading``, which names the file.

    Raises ValueError or KeyError where the file is not what it should be.
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
        name, points, length, order = record["space"]
        space = Staggered(name, points, None if name == "sphere" else length, order)
        file.expect("states", "f", (None, 2, points))
        file.expect("numbers", "f", (None,))
        states, numbers = file.read("states"), file.read("numbers")
    if not (np.all(np.isfinite(states)) and np.all(np.isfinite(numbers)) and len(states)):
        raise ValueError("its states or times are not finite, or there are none")
    n = checks.count(record["n"], "n", least=1)
    return Stored(record, [RotationalMetric.from_state(space, n, y) for y in states], numbers)


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
