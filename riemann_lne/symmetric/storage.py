"""Histories of flows with surgery as .npz files, without pickle."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError
from ..io import NpzReader, reading, storage_errors, write_atomically
from ..io.damage import table_value
from .history import Piece, SurgeryHistory
from .metric import RotationalMetric
from .staggered import Staggered
from .surgery import Cap

_FORMAT = 1
_KIND = "a history of a flow with surgery (.npz)"


def save_history(history: SurgeryHistory, path: str | PathLike[str]) -> None:
    """Write a history to one .npz file; ``load_history`` reads it back.

    Raises
    ------
    InvalidArgumentError
        If the path does not end in .npz.
    StorageError
        If it cannot be written; a file that was there before is then intact.
    """
    target = _path(path)
    space = history.pieces[0].metrics[0].operators
    record: dict[str, Any] = {
        "parameters": {k: _plain(v) for k, v in history.parameters.items()},
        "space": [space.space, space.points, space.length, space.order],
        "n": history.pieces[0].metrics[0].n,
        "success": history.success,
        "message": history.message,
        "nfev": history.nfev,
        "n_accepted": history.n_accepted,
        "pieces": [
            {
                "parent": p.parent,
                "born": p.born,
                "end": p.end,
                "kept": len(p.metrics),
                "cap": None if p.cap is None else asdict(p.cap),
            }
            for p in history.pieces
        ],
    }
    content: dict[str, Any] = {
        "format": np.int64(_FORMAT),
        "record": np.array(json.dumps(record)),
        "states": np.stack([m.state for p in history.pieces for m in p.metrics]),
        "steps": np.concatenate([np.zeros(0), *(p.steps for p in history.pieces)]),
    }
    with storage_errors("the history", target):
        write_atomically(target, lambda file: np.savez_compressed(file, **content))


def load_history(path: str | PathLike[str]) -> SurgeryHistory:
    """Read a history that ``save_history`` wrote; runs no code from the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFileError
        If it is not what ``save_history`` wrote.
    """
    source = _path(path)
    if not source.exists():
        raise FileNotFoundError(f"there is no file {source}")
    with reading(source, _KIND), NpzReader(source) as file:
        file.require(["format", "record", "states", "steps"])
        file.expect("format", "iu", ())
        version = int(file.read("format")[()])
        if version != _FORMAT:
            raise ValueError(f"its format is {version}, this version reads {_FORMAT}")
        record = table_value(json.loads(file.text("record")))
        name, points, length, order = record["space"]
        space = Staggered(name, points, None if name == "sphere" else length, order)
        file.expect("states", "f", (None, 2, points))
        file.expect("steps", "f", (None,))
        states, steps = file.read("states"), file.read("steps")
        if not (np.all(np.isfinite(states)) and np.all(steps > 0)):
            raise ValueError("its states are not finite, or its steps not positive")
        pieces = _pieces(record, space, states, steps)
        parameters = {k: math.inf if v == "inf" else v for k, v in record["parameters"].items()}
        counts = checks.count(record["nfev"], "nfev"), checks.count(record["n_accepted"], "steps")
        return SurgeryHistory(
            pieces, bool(record["success"]), str(record["message"]), *counts, parameters
        )


def _pieces(
    record: dict[str, Any], space: Staggered, states: np.ndarray, steps: np.ndarray
) -> list[Piece]:
    """The pieces of a record; ValueError if the arrays are not as many as it says."""
    kept = [checks.count(entry["kept"], "kept", least=1) for entry in record["pieces"]]
    if sum(kept) != len(states) or sum(kept) - len(kept) != len(steps):
        raise ValueError(f"it should hold {sum(kept)} metrics and holds {len(states)}")
    n = checks.count(record["n"], "n", least=1)
    pieces, metrics_before = [], 0
    for index, (entry, count) in enumerate(zip(record["pieces"], kept, strict=True)):
        mine = states[metrics_before : metrics_before + count]
        first = metrics_before - index
        cap = None if entry["cap"] is None else Cap(**entry["cap"])
        pieces.append(
            Piece(
                index=index,
                parent=int(entry["parent"]),
                born=checks.number(entry["born"], "born"),
                steps=steps[first : first + count - 1],
                metrics=[RotationalMetric.from_state(space, n, y) for y in mine],
                end=str(entry["end"]),
                cap=cap,
            )
        )
        metrics_before += count
    return pieces


def _plain(value: Any) -> Any:
    return "inf" if value == math.inf else value


def _path(path: str | PathLike[str]) -> Path:
    place = checks.path(path, "path")
    if place.suffix != ".npz":
        raise InvalidArgumentError(f"path = {place}; give a file that ends in .npz")
    return place
