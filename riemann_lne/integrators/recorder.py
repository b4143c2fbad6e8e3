"""Record of a flow: metrics in memory, in a store or the last one alone; observed numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import checks
from ..arrays import Array, to_numpy
from ..errors import DTypeError, InvalidArgumentError
from ..grids import Grid
from ..io import MetricStore, reading
from ..metrics import MetricField
from ..team import reduction_of
from .events import blame, on_its_own
from .files import files_of

Observables: TypeAlias = Mapping[str, Callable[[MetricField], float]]
Record: TypeAlias = tuple[str, int, float, np.ndarray]
"""Kind, index, time and array, as ``io.Journal`` takes them."""

_MEMORY_WARNING_BYTES = 2**31


@dataclass(frozen=True)
class Mark:
    """How much was recorded at some moment; the last metric if no other is kept."""

    last_times: list[float] | None
    last_kept: list[Array] | None
    times: int
    kept: int
    observed: int
    unsaved: int
    disk: tuple[int, int, int] | None


class Recorder:
    """Keeps metrics and observed values, and remembers those that a checkpoint has yet to write."""

    def __init__(
        self,
        grid: Grid,
        dtype: Any,
        store: str | PathLike[str],
        observe: Observables | None,
        observe_at: str,
        events: Sequence[str] = (),
    ) -> None:
        self.grid, self._dtype, self._events = grid, dtype, list(events)
        self.observe = _checked(observe)
        observe_at = checks.choice(observe_at, "observe_at", ["steps", "t_eval"])
        self.observes_steps = observe_at == "steps"
        self.times: list[float] = []
        self.kept: list[Array] = []
        self.observed_times: list[float] = []
        self.observed: list[tuple[float, ...]] = []
        self.unsaved: list[Record] = []
        self.journaled = False
        self.disk: MetricStore | None = None
        self.path = store_path(store)
        self.only_last = self.path is None and store == "last"
        self._warned = False

    def open(self, parameters: dict[str, Any], mode: str) -> None:
        """Make the store with how the flow was asked for; modes as in ``io.MetricStore``."""
        if self.path is not None:
            names = list(self.observe)
            self.disk = files_of(self.grid).stores(
                self.path, self.grid, self._dtype, names, self._events, mode
            )
            self.disk.describe({"parameters": parameters})

    def measure(self, t: float, metric: MetricField) -> tuple[float, ...]:
        """Values of all observables; an error names the one that is no number."""
        values, names = [], []
        which = [reduction_of(function) for function in self.observe.values()]
        apart = on_its_own(metric)
        for (name, function), kind in zip(self.observe.items(), which, strict=True):
            names.append(f"observable {name!r} at t = {t:.6g}")
            with blame(names[-1]):
                values.append(
                    checks.as_number(function(metric if kind is None else apart), names[-1])
                )
        return tuple(self.grid.team.combined(values, which, names))

    def keep(self, t: float, packed: Array) -> None:
        """Add a metric."""
        if self.only_last:
            self.times, self.kept = [t], [packed]
            return
        self.times.append(t)
        if self.disk is not None:
            self.disk.append(t, to_numpy(packed))
            return
        self.kept.append(packed)
        if self.journaled:
            self.unsaved.append(("m", 0, t, to_numpy(packed)))
        size = math.prod(packed.shape) * 8 * len(self.kept)
        if size > _MEMORY_WARNING_BYTES and not self._warned:
            self._warned = True
            warnings.warn(
                f"{len(self.kept)} metrics are kept and take over 2 GiB; pass t_eval to keep "
                "fewer, or store='name.zarr' to have them on disk",
                stacklevel=2,
            )

    def note(self, t: float, values: tuple[float, ...]) -> None:
        """Add a row of observed values."""
        if not self.observe:
            return
        self.observed_times.append(t)
        self.observed.append(values)
        if self.disk is not None:
            self.disk.observe(t, values)
        elif self.journaled:
            self.unsaved.append(("o", 0, t, np.array(values)))

    def occur(self, index: int, t: float, packed: Array) -> None:
        """Add an occurrence of an event to the store; the journal has it too."""
        if self.disk is not None:
            self.disk.occur(index, t, to_numpy(packed))

    def mark(self) -> Mark:
        """Where the record stands, for ``undo``."""
        return Mark(
            list(self.times) if self.only_last else None,
            list(self.kept) if self.only_last else None,
            len(self.times),
            len(self.kept),
            len(self.observed),
            len(self.unsaved),
            None if self.disk is None else self.disk.mark(),
        )

    def undo(self, mark: Mark) -> None:
        """Forget the entries added since a mark, except those that a store has written."""
        if mark.last_times is not None and mark.last_kept is not None:
            self.times, self.kept = mark.last_times, mark.last_kept
        del self.times[mark.times :], self.kept[mark.kept :], self.unsaved[mark.unsaved :]
        del self.observed_times[mark.observed :], self.observed[mark.observed :]
        if self.disk is not None and mark.disk is not None:
            self.disk.undo(mark.disk)

    def metrics(self) -> Sequence[MetricField]:
        """The metrics that were kept; those of a store are read when they are asked for."""
        if self.disk is not None:
            return files_of(self.grid).stored(self.disk.path)
        return [MetricField.from_packed(self.grid, p, check=False) for p in self.kept]

    def table(self) -> dict[str, np.ndarray]:
        """The observed values by name."""
        columns = np.array(self.observed).reshape(len(self.observed), len(self.observe))
        return {name: columns[:, k] for k, name in enumerate(self.observe)}

    def memory(self) -> dict[str, Any]:
        """Facts about the store for a checkpoint."""
        if self.disk is None:
            return {}
        self.disk.flush()
        return self.disk.written

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on with the store as it was; entries kept in memory come from the journal.

        Raises
        ------
        DamagedFileError
            If anything that the checkpoint counts on is not as it was written.
        """
        if self.path is None:
            return
        advice = "start the run anew with another checkpoint and store, or restore it from a copy"
        with reading(self.path, "the store of this run", advice):
            stored = files_of(self.grid).stored(self.path, memory)
            names = list(self.observe)
            if (stored.grid, stored.observed_names, stored.event_names) != (
                self.grid.whole,
                names,
                self._events,
            ) or np.dtype(stored.dtype) != np.dtype(self._dtype):
                raise ValueError("its grid, precision or names are not those of this run")
            self.disk = files_of(self.grid).stores.resume(
                self.path, self.grid, self._dtype, names, self._events, memory
            )
        times, values = stored.observed()
        self.times, self.observed_times = stored.t.tolist(), times.tolist()
        if names:
            self.observed = list(zip(*(values[name].tolist() for name in names), strict=True))


def store_path(store: str | PathLike[str]) -> Path | None:
    """The path of a zarr store; None for "metrics" and "last".

    Raises
    ------
    InvalidArgumentError
        If it is neither.
    """
    if isinstance(store, str) and store in ("metrics", "last"):
        return None
    path = None
    if isinstance(store, (str, PathLike)) and str(store):
        path = checks.path(store, "store")
    if path is None or not path.name.endswith(".zarr"):
        raise InvalidArgumentError(
            f"store = {checks.shown(store)}; give 'metrics', 'last' or a path that ends in .zarr"
        )
    return path


def _checked(observe: Observables | None) -> dict[str, Callable[[MetricField], float]]:
    if observe is None:
        return {}
    if not isinstance(observe, Mapping):
        raise DTypeError(
            f"observe is a {type(observe).__name__}; give a dict from names to functions of a "
            "metric"
        )
    for name, function in observe.items():
        fits = isinstance(name, str) and name.isprintable() and not set(name) & set("/\\")
        if not fits or not name:
            raise InvalidArgumentError(
                f"observe has the name {name!r}; give non-empty strings that can be printed, "
                "without slashes"
            )
        if not callable(function):
            raise DTypeError(f"observable {name!r} is {function!r}; give a function of a metric")
    return dict(observe)
