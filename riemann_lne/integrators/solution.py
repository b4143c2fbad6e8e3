"""Result of solve_flow, and its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..arrays import to_numpy
from ..errors import InvalidArgumentError
from ..grids import Grid
from ..io import StoredMetrics
from ..io.damage import exists
from ..metrics import MetricField
from .solution_files import load_npz, load_store, save
from .solution_xarray import to_xarray


@dataclass(frozen=True, eq=False)
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
        times = f", t = {self.t[0]:g} .. {self.t[-1]:g}" if len(self) else ""
        return f"FlowSolution({len(self)} metrics{times}, status {self.status}: {self.message})"

    @property
    def grid(self) -> Grid:
        """The grid of every metric."""
        if isinstance(self.metrics, StoredMetrics):
            return self.metrics.grid
        return self.metrics[0].grid

    def to_xarray(self, what: str = "metrics") -> Any:
        """The metrics as an xarray.DataArray with dimensions (t, i, j, x0, x1, ...).

        With ``what="observed"`` the observed values as an xarray.Dataset over (t). How the
        integration was asked for and how it went is in the attributes, as numbers and texts (JSON
        where there are parts), so that ``to_netcdf`` can write them. Metrics that were streamed
        are opened, not read: only the selected part comes into memory, and is checked then. Needs
        xarray (extra ``io``).
        """
        return to_xarray(self, what)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to one .npz file (no pickle); ``load`` reads it back on NumPy.

        Raises StorageError if it cannot be written; a file that was there before is then intact.
        """
        save(self, Path(_npz(checks.path(path, "path"))))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FlowSolution:
        """Read a solution written by ``save`` or streamed to .zarr; runs no code from the file.

        Raises
        ------
        FileNotFoundError
            If there is no such file, with or without the ending .npz.
        DamagedFileError
            If it is not a solution that this version can read, or any of it is not as it was
            written. Metrics of a store of more than 256 MiB are checked when they are read.
        StorageError
            If the system does not let it be read, or it needs more memory than there is.
        """
        place = checks.path(path, "path")
        if place.suffix == ".zarr":
            return cls(**load_store(place))
        if not exists(place):
            place = Path(_npz(place))
        if not exists(place):
            raise FileNotFoundError(f"there is no file {place}")
        return cls(**load_npz(place))

    def __eq__(self, other: object) -> bool:
        """Whether two solutions have the same values in all fields, wherever they are stored."""
        if not isinstance(other, FlowSolution):
            return NotImplemented
        numbers = ("t", "t_observed")
        lists = ("metrics", "t_events", "metrics_events", "observed")
        if any(
            getattr(self, f.name) != getattr(other, f.name)
            for f in fields(self)
            if f.name not in (*numbers, *lists)
        ):
            return False
        return (
            all(np.array_equal(getattr(self, n), getattr(other, n)) for n in numbers)
            and self.observed.keys() == other.observed.keys()
            and all(np.array_equal(v, other.observed[k]) for k, v in self.observed.items())
            and _same(self.t_events, other.t_events, np.array_equal)
            and _same(self.metrics, other.metrics, _same_metric)
            and _same(
                self.metrics_events,
                other.metrics_events,
                lambda a, b: _same(a, b, _same_metric),
            )
        )

    def __hash__(self) -> int:
        """Of the times and counts; equal solutions have the same."""
        counts = (self.status, self.nfev, self.n_accepted, self.n_rejected)
        return hash((tuple(self.t.tolist()), self.message, self.method, *counts))


def _same(one: Sequence[Any], two: Sequence[Any], same: Callable[[Any, Any], bool]) -> bool:
    return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))


def _same_metric(one: MetricField, two: MetricField) -> bool:
    a, b = to_numpy(one.packed), to_numpy(two.packed)
    return one.grid == two.grid and a.dtype == b.dtype and np.array_equal(a, b)


def _npz(path: str | PathLike[str]) -> str:
    """The path as NumPy will write it: with its ending, under which the file will be found."""
    text = str(path)
    return text if text.endswith(".npz") else text + ".npz"


def as_times(
    t_span: Sequence[float],
    t_eval: Sequence[float] | None,
    backwards: str = "Ricci flow is parabolic and cannot be run backwards",
) -> tuple[float, float, list[float] | None]:
    """Checked start, end and output times; ``backwards`` says why the times must rise.

    Raises
    ------
    InvalidArgumentError
        If the span is not two finite increasing times or an output time lies outside of it.
    """
    wanted = "two times (start, end)"
    span = checks.numbers(t_span, "t_span", wanted=wanted)
    if len(span) != 2:
        raise InvalidArgumentError(f"t_span = {checks.shown(t_span)}; give {wanted}")
    t0, t1 = span
    if not t0 < t1:
        raise InvalidArgumentError(
            f"t_span = ({t0}, {t1}); finite times with start < end are needed: {backwards}"
        )
    if t_eval is None:
        return t0, t1, None
    rule = f"t_eval must rise strictly within t_span = ({t0}, {t1}) and hold at least one time"
    try:
        times = checks.numbers(t_eval, "t_eval", wanted="a sequence of rising times")
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{rule}: {error}") from error
    rising = all(a < b for a, b in pairwise(times))
    if not (times and rising and t0 <= times[0] and times[-1] <= t1):
        raise InvalidArgumentError(rule)
    return t0, t1, times
