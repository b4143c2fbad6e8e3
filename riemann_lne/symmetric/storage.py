"""Histories of flows with surgery as files."""

from __future__ import annotations

import math
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np

from .. import checks
from ..io import existing, reading
from .files import Stored, read_states, write_states
from .history import Piece, SurgeryHistory
from .metric import RotationalMetric
from .staggered import Staggered
from .surgery import Cap

_KIND = "history of a flow with surgery"


def save_history(history: SurgeryHistory, path: str | PathLike[str]) -> None:
    """Write a history to one .npz file; ``load_history`` reads it back.

    Raises
    ------
    InvalidArgumentError
        If the path does not end in .npz.
    StorageError
        If it cannot be written; a file that was there before is then intact.
    """
    record: dict[str, Any] = {
        "parameters": {k: "inf" if v == math.inf else v for k, v in history.parameters.items()},
        "success": history.success,
        "message": history.message,
        "nfev": history.nfev,
        "n_accepted": history.n_accepted,
        "pieces": [
            {
                "parent": p.parent,
                "space": p.metrics[0].space,
                "born": p.born,
                "end": p.end,
                "kept": len(p.metrics),
                "cap": None if p.cap is None else asdict(p.cap),
            }
            for p in history.pieces
        ],
    }
    metrics = [m for p in history.pieces for m in p.metrics]
    steps = np.concatenate([np.zeros(0), *(p.steps for p in history.pieces)])
    write_states(path, _KIND, record, metrics, steps)


def load_history(path: str | PathLike[str]) -> SurgeryHistory:
    """Read a history that ``save_history`` wrote; runs no code from the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFileError
        If it is not what ``save_history`` wrote.
    """
    source = existing(path)
    with reading(source, f"a {_KIND} (.npz)"):
        stored = read_states(source, _KIND)
        record = stored.record
        parameters = {k: math.inf if v == "inf" else v for k, v in record["parameters"].items()}
        return SurgeryHistory(
            _pieces(stored),
            bool(record["success"]),
            str(record["message"]),
            checks.count(record["nfev"], "nfev"),
            checks.count(record["n_accepted"], "n_accepted"),
            parameters,
        )


def _pieces(stored: Stored) -> list[Piece]:
    """The pieces of a file; ValueError if its arrays are not as many as its record says."""
    entries = stored.record["pieces"]
    kept = [checks.count(entry["kept"], "kept", least=1) for entry in entries]
    wanted = (sum(kept), sum(kept) - len(kept))
    if (len(stored.metrics), len(stored.numbers)) != wanted:
        raise ValueError(f"it should hold {sum(kept)} metrics and holds {len(stored.metrics)}")
    if not (stored.numbers > 0).all():
        raise ValueError("its steps are not positive")
    pieces, before = [], 0
    for index, (entry, count) in enumerate(zip(entries, kept, strict=True)):
        first = before - index
        metrics = _on(entry.get("space"), stored.metrics[before : before + count])
        pieces.append(
            Piece(
                index=index,
                parent=int(entry["parent"]),
                born=checks.number(entry["born"], "born"),
                steps=stored.numbers[first : first + count - 1],
                metrics=metrics,
                end=str(entry["end"]),
                cap=None if entry["cap"] is None else Cap(**entry["cap"]),
            )
        )
        before += count
    return pieces


def _on(space: str | None, metrics: list[RotationalMetric]) -> list[RotationalMetric]:
    """Metrics of a part on its space: a cut of S^n x S^1, which the file begins with, is a sphere.

    Files of before have no spaces: all parts are spheres.
    """
    like = metrics[0].operators
    if space is None or space == like.space:
        return metrics
    own = Staggered(space, like.points, order=like.order)
    return [RotationalMetric.from_state(own, metrics[0].n, m.state) for m in metrics]
