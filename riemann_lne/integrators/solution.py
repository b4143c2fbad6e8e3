"""What solve_flow returns, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..arrays import to_numpy
from ..errors import InvalidArgumentError, MissingDependencyError, UnknownNameError
from ..grids import Grid
from ..io import (
    StoredMetrics,
    grid_from_record,
    grid_record,
    storage_errors,
    write_atomically,
)
from ..metrics import MetricField
from ..tensors import pairs

_FORMAT = 2


@dataclass(frozen=True)
class FlowSolution:
    """Metrics along a flow, and how the integration went.

    Attributes
    ----------
    t : ndarray, (k,)
        Times at which a metric is kept.
    metrics : sequence of MetricField
        The metric at each time; read from the disk one by one if they were streamed there.
    success : bool
        Whether the end of ``t_span`` was reached or an event ended the flow.
    status : int
        0: the end was reached; 1: a terminal event ended the flow; -1: a step failed (the metric
        degenerated, or the step would have become too small), or writing did; -2: interrupted.
        Everything up to there is kept, the last good metric too if it was not asked for.
    message : str
        Why the integration stopped and, if it failed, what to try; events that did not occur.
    nfev : int
        Evaluations of the right-hand side.
    n_accepted, n_rejected : int
        Steps.
    method : str
        The integrator.
    t_events, metrics_events : list of ndarray, list of lists of MetricField
        For each event in the order given, the times at which it occurred and the metrics there.
    t_observed : ndarray, (m,)
        Times of the observed values.
    observed : dict of ndarray, each (m,)
        The observed values by name.
    parameters : dict
        How the flow was asked for: version, flow, method, tolerances, order, boundary, ...
    """

    t: np.ndarray
    metrics: Sequence[MetricField]
    success: bool
    status: int
    message: str
    nfev: int
    n_accepted: int
    n_rejected: int
    method: str
    t_events: list[np.ndarray] = field(default_factory=list)
    metrics_events: list[list[MetricField]] = field(default_factory=list)
    t_observed: np.ndarray = field(default_factory=lambda: np.zeros(0))
    observed: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.metrics)

    def __getitem__(self, index: int) -> MetricField:
        return self.metrics[index]

    def __repr__(self) -> str:
        return (
            f"FlowSolution({len(self)} metrics, t = {self.t[0]:g} .. {self.t[-1]:g}, "
            f"status {self.status}: {self.message})"
        )

    @property
    def grid(self) -> Grid:
        """The grid of every metric."""
        return self.metrics[0].grid

    def to_xarray(self, what: str = "metrics") -> Any:
        """The metrics as an xarray.DataArray with dimensions (t, i, j, x0, x1, ...).

        With ``what="observed"`` the observed values as an xarray.Dataset over (t). How the
        integration was asked for and how it went is in the attributes. Metrics that were streamed
        are opened, not read: only what is selected comes into memory. Needs xarray (extra ``io``).
        """
        try:
            import xarray as xr
        except ImportError as error:
            raise MissingDependencyError("xarray", "io", "to_xarray") from error
        attributes = {**self.parameters, **self._record()}
        if what == "observed":
            columns = {name: ("t", values) for name, values in self.observed.items()}
            return xr.Dataset(columns, coords={"t": self.t_observed}, attrs=attributes)
        if what != "metrics":
            raise UnknownNameError("kind of data", what, ["metrics", "observed"])
        n, axes = self.grid.ndim, [f"x{a}" for a in range(self.grid.ndim)]
        place = {pair: c for c, pair in enumerate(pairs(n))}
        index = np.array([[place[min(i, j), max(i, j)] for j in range(n)] for i in range(n)])
        if isinstance(self.metrics, StoredMetrics):
            stored = xr.open_dataset(self.metrics.path, engine="zarr", consolidated=False)
            packed = stored["packed"].isel(t=slice(len(self)))
        else:
            values = np.stack([to_numpy(g.packed) for g in self.metrics])
            packed = xr.DataArray(values, dims=("t", "pair", *axes), coords={"t": self.t})
        # Both orders of the indices from the one that is stored, without reading it.
        full = packed.isel(pair=xr.DataArray(index, dims=("i", "j")))
        full = full.transpose("t", "i", "j", *axes).assign_coords(
            {"i": np.arange(n), "j": np.arange(n)} | dict(zip(axes, self.grid.axes(), strict=True))
        )
        full.name, full.attrs = "metric", attributes
        return full

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to one .npz file (no pickle); ``load`` reads it back on NumPy.

        Raises StorageError if it cannot be written; a file that was there before is then intact.
        """
        counts = np.array([len(times) for times in self.t_events], dtype=np.int64)
        at_events = [to_numpy(g.packed) for group in self.metrics_events for g in group]
        content: dict[str, Any] = {
            "format": np.int64(_FORMAT),
            "t": self.t,
            "packed": np.stack([to_numpy(g.packed) for g in self.metrics]),
            "grid": np.array(json.dumps(grid_record(self.grid))),
            "record": np.array(json.dumps(self._record())),
            "parameters": np.array(json.dumps(self.parameters)),
            "t_observed": self.t_observed,
            "event_counts": counts,
            "t_events": np.concatenate([np.zeros(0), *self.t_events]),
        }
        content |= {f"observed_{name}": values for name, values in self.observed.items()}
        if at_events:
            content["packed_events"] = np.stack(at_events)
        target = Path(_npz(path))
        with storage_errors("the solution", target):
            write_atomically(target, lambda file: np.savez_compressed(file, **content))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FlowSolution:
        """Read a solution written by ``save`` or streamed to .zarr; runs no code from the file.

        Raises
        ------
        FileNotFoundError
            If there is no such file, with or without the ending .npz.
        InvalidArgumentError
            If it is not a solution that this version can read.
        """
        if str(path).endswith(".zarr"):
            return cls._from_store(StoredMetrics(path))
        name = str(path) if Path(path).exists() else _npz(path)
        with open(name, "rb") as file:
            try:
                data = np.load(file, allow_pickle=False)
                if not isinstance(data, np.lib.npyio.NpzFile):
                    raise ValueError("it holds a single array")
            except (ValueError, EOFError, BadZipFile) as error:
                message = f"{name} is not a flow solution (.npz): {error}"
                raise InvalidArgumentError(message) from error
            missing = {"format", "t", "packed", "grid", "record", "parameters"} - set(data.files)
            if missing or int(data["format"]) != _FORMAT:
                raise InvalidArgumentError(
                    f"{path} is not a flow solution this version can read "
                    f"(missing: {', '.join(sorted(missing)) or 'nothing, but another format'})"
                )
            return cls._from_arrays({key: data[key] for key in data.files})

    @classmethod
    def _from_arrays(cls, data: dict[str, np.ndarray]) -> FlowSolution:
        grid = grid_from_record(json.loads(str(data["grid"])))
        ends = np.cumsum(data["event_counts"])[:-1]
        at_events = list(data.get("packed_events", ()))
        groups = np.split(np.arange(len(at_events)), ends) if len(data["event_counts"]) else []
        return cls(
            t=data["t"],
            metrics=[MetricField.from_packed(grid, p) for p in data["packed"]],
            t_events=np.split(data["t_events"], ends) if len(data["event_counts"]) else [],
            metrics_events=[
                [MetricField.from_packed(grid, at_events[k]) for k in group] for group in groups
            ],
            t_observed=data["t_observed"],
            observed={
                key.removeprefix("observed_"): values
                for key, values in data.items()
                if key.startswith("observed_")
            },
            parameters=json.loads(str(data["parameters"])),
            **json.loads(str(data["record"])),
        )

    @classmethod
    def _from_store(cls, stored: StoredMetrics) -> FlowSolution:
        """What was streamed; of a run that did not end itself, what it wrote."""
        attributes = stored.attributes
        record = {name: attributes.get(name, value) for name, value in _UNFINISHED.items()}
        t_observed, observed = stored.observed()
        return cls(
            t=stored.t,
            metrics=stored,
            t_observed=t_observed,
            observed=observed,
            parameters={
                name: value
                for name, value in attributes.items()
                if name == "method" or name not in (*_UNFINISHED, "grid", "observed")
            },
            **record,
        )

    def _record(self) -> dict[str, Any]:
        """How the integration went, as plain values."""
        return {name: getattr(self, name) for name in _UNFINISHED}


_UNFINISHED: dict[str, Any] = {
    "success": False,
    "status": -3,
    "message": "the run did not end by itself; this is what it wrote",
    "nfev": 0,
    "n_accepted": 0,
    "n_rejected": 0,
    "method": "",
}
"""How the integration went, for a store whose run was killed."""


def _npz(path: str | PathLike[str]) -> str:
    """The path as NumPy will write it: with its ending, so that what is written can be found."""
    text = str(path)
    return text if text.endswith(".npz") else text + ".npz"


def as_times(
    t_span: Sequence[float], t_eval: Sequence[float] | None
) -> tuple[float, float, list[float] | None]:
    """Checked start, end and output times.

    Raises
    ------
    InvalidArgumentError
        If the span is not two finite increasing times or an output time lies outside of it.
    """
    try:
        t0, t1 = (float(t) for t in t_span)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"t_span = {t_span!r}; give two times (start, end)") from error
    if not (np.isfinite(t0) and np.isfinite(t1) and t0 < t1):
        raise InvalidArgumentError(
            f"t_span = ({t0}, {t1}); finite times with start < end are needed: "
            "Ricci flow is parabolic and cannot be run backwards"
        )
    if t_eval is None:
        return t0, t1, None
    times = [float(t) for t in t_eval]
    rising = all(a < b for a, b in pairwise(times))
    if not (times and rising and t0 <= times[0] and times[-1] <= t1):
        raise InvalidArgumentError(
            f"t_eval must rise strictly within t_span = ({t0}, {t1}) and hold at least one time"
        )
    return t0, t1, times
