"""FlowSolution as a file: one .npz, or the zarr store that a run streamed to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import to_numpy
from ..checks import count, flag
from ..grids import Grid
from ..io import (
    NpzReader,
    StoredMetrics,
    grid_from_record,
    grid_record,
    reading,
    storage_errors,
    write_atomically,
)
from ..io.damage import field, names_value, table_value, text_value
from ..metrics import MetricField
from ..tensors import pairs

if TYPE_CHECKING:
    from .solution import FlowSolution

# 3 names the observed values, so that a lost one is noticed. 2 is still read.
_FORMAT, _FORMATS = 3, (2, 3)
_KIND = "a flow solution (.npz)"
_PRECISIONS = ("float32", "float64")
_REQUIRED = (
    "t", "packed", "grid", "record", "parameters", "t_observed", "event_counts", "t_events",
)  # fmt: skip

UNFINISHED: dict[str, Any] = {
    "success": False,
    "status": -3,
    "message": "the run did not end by itself; this is what it wrote",
    "nfev": 0,
    "n_accepted": 0,
    "n_rejected": 0,
    "method": "",
}
"""How the integration went, for a store whose run was killed."""


def record_of(solution: FlowSolution) -> dict[str, Any]:
    """How the integration went, as plain values."""
    return {name: getattr(solution, name) for name in UNFINISHED}


def save(solution: FlowSolution, target: Path) -> None:
    """Write a solution to one .npz file; see ``FlowSolution.save``."""
    grid = solution.grid
    grid.require_whole(
        "saving a solution", 'give solve_flow(..., store="run.zarr"), which all processes write'
    )
    nothing = np.zeros((0, len(pairs(grid.ndim)), *grid.shape))
    at_events = [to_numpy(g.packed) for group in solution.metrics_events for g in group]
    record = {**record_of(solution), "observed": list(solution.observed)}
    content: dict[str, Any] = {
        "format": np.int64(_FORMAT),
        "t": solution.t,
        "packed": np.stack([to_numpy(g.packed) for g in solution.metrics]),
        "grid": np.array(json.dumps(grid_record(grid))),
        "record": np.array(json.dumps(record)),
        "parameters": np.array(json.dumps(solution.parameters)),
        "t_observed": solution.t_observed,
        "event_counts": np.array([len(t) for t in solution.t_events], dtype=np.int64),
        "t_events": np.concatenate([np.zeros(0), *solution.t_events]),
        "packed_events": np.stack(at_events) if at_events else nothing,
    }
    content |= {f"observed_{name}": values for name, values in solution.observed.items()}
    with storage_errors("the solution", target):
        write_atomically(target, lambda file: np.savez_compressed(file, **content))


def load_npz(path: Path) -> dict[str, Any]:
    """Fields of the solution in an .npz file; all of it is checked.

    Raises
    ------
    DamagedFileError
        If it is not what ``save`` wrote.
    """
    with reading(path, _KIND), NpzReader(path) as file:
        file.require(["format", *_REQUIRED])
        file.expect("format", "iu", ())
        version = int(file.read("format")[()])
        if version not in _FORMATS:
            raise ValueError(f"its format is {version}, this version reads {_FORMATS}")
        record, names = _record(file, version)
        grid = field({"grid": json.loads(file.text("grid"))}, "grid", grid_from_record)
        _expect_arrays(file, grid, names)
        times, counts = file.read("t"), file.read("event_counts")
        _require_rising(times, "t")
        t_observed, t_events = file.read("t_observed"), file.read("t_events")
        _require_rising(t_observed, "t_observed")
        observed = {name: file.read(f"observed_{name}") for name in names}
        for name, values in (("t_events", t_events), *observed.items()):
            if not np.all(np.isfinite(values)):
                raise ValueError(f"{name} is not finite")
        if counts.min(initial=0) < 0 or counts.sum() != len(t_events):
            raise ValueError(f"event_counts do not add up to the {len(t_events)} times of events")
        ends = np.cumsum(counts)[:-1]
        has_events = "packed_events" in file.names
        at_events = _metrics(grid, file.read("packed_events")) if has_events else []
        groups = np.split(np.arange(len(at_events)), ends) if len(counts) else []
        return {
            "t": times,
            "metrics": _metrics(grid, file.read("packed")),
            "t_events": np.split(t_events, ends) if len(counts) else [],
            "metrics_events": [[at_events[k] for k in group] for group in groups],
            "t_observed": t_observed,
            "observed": observed,
            "parameters": table_value(json.loads(file.text("parameters"))),
            **record,
        }


def load_store(path: Path) -> dict[str, Any]:
    """Fields of the solution that a run streamed, as far as it came before it was killed."""
    stored = StoredMetrics(path)
    t_observed, observed = stored.observed()
    events: list[list[tuple[float, MetricField]]] = [[] for _ in stored.event_names]
    for index, t, packed in stored.events():
        events[index].append((t, MetricField.from_packed(stored.grid, packed, check=False)))
    with reading(path, "a flow's store"):
        record = UNFINISHED if stored.record is None else checked_record(stored.record)
    return {
        "t": stored.t,
        "metrics": stored,
        "t_events": [np.array([t for t, _ in group]) for group in events],
        "metrics_events": [[metric for _, metric in group] for group in events],
        "t_observed": t_observed,
        "observed": observed,
        "parameters": stored.parameters,
        **record,
    }


def checked_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """How an integration went, from a file: every value of its kind."""
    status = field(record, "status", lambda v: count(v, "status", least=-3))
    if status > 1:
        raise ValueError(f"its status is {status}")
    result: dict[str, Any] = {
        "success": field(record, "success", lambda v: flag(v, "success")),
        "status": status,
    }
    result |= {name: field(record, name, text_value) for name in ("message", "method")}
    for name in ("nfev", "n_accepted", "n_rejected"):
        result[name] = field(record, name, partial(count, name=name))
    return result


def _record(file: NpzReader, version: int) -> tuple[dict[str, Any], list[str]]:
    """How it went, and the names of the observed values."""
    content = table_value(json.loads(file.text("record")))
    if version == 2:
        found = [n.removeprefix("observed_") for n in file.names if n.startswith("observed_")]
        return checked_record(content), found
    return checked_record(content), field(content, "observed", names_value)


def _expect_arrays(file: NpzReader, grid: Grid, names: list[str]) -> None:
    """Compare what all arrays claim to be, before any of them is read."""
    row = (len(pairs(grid.ndim)), *grid.shape)
    (kept,) = file.expect("t", "f", (None,)).shape
    (seen,) = file.expect("t_observed", "f", (None,)).shape
    (occurred,) = file.expect("t_events", "f", (None,)).shape
    file.expect("event_counts", "iu", (None,))
    metrics = [file.expect("packed", "f", (kept, *row))]
    used = ["t", "t_observed", "t_events", "event_counts", "packed"]
    if occurred or "packed_events" in file.names:
        metrics.append(file.expect("packed_events", "f", (occurred, *row)))
        used.append("packed_events")
    for header in metrics:
        if header.dtype.name not in _PRECISIONS:
            raise ValueError(f"its metrics are {header.dtype}")
    for name in names:
        file.expect(f"observed_{name}", "f", (seen,))
        used.append(f"observed_{name}")
    file.require_memory(used)


def _metrics(grid: Grid, values: np.ndarray) -> list[MetricField]:
    return [MetricField.from_packed(grid, packed) for packed in values]


def _require_rising(times: np.ndarray, name: str) -> None:
    if not (np.all(np.isfinite(times)) and np.all(np.diff(times) > 0)):
        raise ValueError(f"{name} does not hold rising times")
