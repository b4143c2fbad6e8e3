"""What solve_flow returns, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..arrays import to_numpy
from ..errors import InvalidArgumentError, MissingDependencyError
from ..grids import Grid
from ..metrics import MetricField

_FORMAT = 1


@dataclass(frozen=True)
class FlowSolution:
    """Metrics along a flow, and how the integration went.

    Attributes
    ----------
    t : ndarray, (k,)
        Times at which a metric is kept.
    metrics : list of MetricField
        The metric at each time.
    success : bool
        Whether the end of ``t_span`` was reached.
    status : int
        0: the end was reached; -1: a step failed (the metric degenerated, or the step would have
        become too small); -2: interrupted. Everything up to there is kept, the last good metric
        too if it was not asked for.
    message : str
        Why the integration stopped and, if it failed, what to try.
    nfev : int
        Evaluations of the right-hand side.
    n_accepted, n_rejected : int
        Steps.
    method : str
        The integrator.
    """

    t: np.ndarray
    metrics: list[MetricField]
    success: bool
    status: int
    message: str
    nfev: int
    n_accepted: int
    n_rejected: int
    method: str

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

    def to_xarray(self) -> Any:
        """The metrics as an xarray.DataArray with dimensions (t, i, j, x0, x1, ...).

        Needs xarray (extra ``io``). How the integration went is in the attributes.
        """
        try:
            import xarray as xr
        except ImportError as error:
            raise MissingDependencyError("xarray", "io", "to_xarray") from error
        axes = [f"x{a}" for a in range(self.grid.ndim)]
        values = np.stack([to_numpy(g.components) for g in self.metrics])
        index = np.arange(self.grid.ndim)
        coordinates = {"t": self.t, "i": index, "j": index}
        coordinates |= dict(zip(axes, self.grid.axes(), strict=True))
        return xr.DataArray(
            values,
            dims=("t", "i", "j", *axes),
            coords=coordinates,
            name="metric",
            attrs=self._record(),
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to one .npz file (no pickle); ``load`` reads it back on NumPy."""
        grid = self.grid
        np.savez_compressed(
            _npz(path),
            format=np.int64(_FORMAT),
            t=self.t,
            packed=np.stack([to_numpy(g.packed) for g in self.metrics]),
            shape=np.array(grid.shape),
            lower=np.array(grid.lower),
            upper=np.array(grid.upper),
            periodic=np.array(grid.periodic),
            record=np.array(json.dumps(self._record())),
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FlowSolution:
        """Read a solution written by ``save``; runs no code from the file.

        Raises
        ------
        FileNotFoundError
            If there is no such file, with or without the ending .npz.
        InvalidArgumentError
            If it is not a solution that this version can read.
        """
        name = str(path) if Path(path).exists() else _npz(path)
        with open(name, "rb") as file:
            try:
                data = np.load(file, allow_pickle=False)
                if not isinstance(data, np.lib.npyio.NpzFile):
                    raise ValueError("it holds a single array")
            except (ValueError, EOFError, BadZipFile) as error:
                message = f"{name} is not a flow solution (.npz): {error}"
                raise InvalidArgumentError(message) from error
            missing = {"format", "t", "packed", "shape", "lower", "upper", "periodic", "record"}
            missing -= set(data.files)
            if missing or int(data["format"]) != _FORMAT:
                raise InvalidArgumentError(
                    f"{path} is not a flow solution this version can read "
                    f"(missing: {', '.join(sorted(missing)) or 'nothing, but another format'})"
                )
            grid = Grid(
                tuple(data["shape"].tolist()),
                tuple(data["lower"].tolist()),
                tuple(data["upper"].tolist()),
                tuple(data["periodic"].tolist()),
            )
            metrics = [MetricField.from_packed(grid, p) for p in data["packed"]]
            return cls(t=data["t"], metrics=metrics, **json.loads(str(data["record"])))

    def _record(self) -> dict[str, Any]:
        """How the integration went, as plain values."""
        return {
            "success": self.success,
            "status": self.status,
            "message": self.message,
            "nfev": self.nfev,
            "n_accepted": self.n_accepted,
            "n_rejected": self.n_rejected,
            "method": self.method,
        }


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
