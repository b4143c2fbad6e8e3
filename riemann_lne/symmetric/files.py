"""States of rotationally symmetric metrics in .npz files, without pickle: what all files share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError
from ..io import npz_path, read_stored_states, write_stored_states
from ..locks import hold
from .metric import RotationalMetric
from .staggered import Staggered


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


@contextmanager
def own_checkpoint(file: Path, resume: bool) -> Iterator[bool]:
    """Own the file of a run while it is written; whether there is one to go on from.

    Raises
    ------
    InvalidArgumentError
        If an earlier run's would be written over.
    FolderInUseError
        If another run is writing it.
    """
    with hold(file, "the checkpoint of a flow", inside=False):
        there = file.exists()
        if there and not resume:
            raise InvalidArgumentError(
                f"{file} is there already; pass resume=True to go on with it, remove it, or choose "
                "another path"
            )
        yield there


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
        "space": [space.space, space.points, space.length, space.order],
        "n": metrics[0].n,
    }
    write_stored_states(target, kind, whole, [m.state for m in metrics], numbers)


def read_states(path: Path, kind: str) -> Stored:
    """Read what ``write_states`` wrote; to be called within ``io.reading``, which names the file.

    Raises ValueError or KeyError where the file is not what it should be.
    """
    record, states, numbers = read_stored_states(path, kind)
    name, points, length, order = record["space"]
    space = Staggered(name, points, None if name == "sphere" else length, order)
    if states.shape[1:] != (2, points):
        raise ValueError(f"its states have the shape {states.shape[1:]}, not {(2, points)}")
    n = checks.count(record["n"], "n", least=1)
    return Stored(record, [RotationalMetric.from_state(space, n, y) for y in states], numbers)
