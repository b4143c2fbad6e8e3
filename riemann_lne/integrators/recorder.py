"""What is kept of a flow: metrics in memory, in a store or the last one alone; observed numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, to_numpy
from ..errors import DTypeError, InvalidArgumentError, UnknownNameError
from ..grids import Grid
from ..io import MetricStore, StoredMetrics
from ..metrics import MetricField
from .events import as_number

Observables: TypeAlias = Mapping[str, Callable[[MetricField], float]]
Record: TypeAlias = tuple[str, int, float, np.ndarray]
"""Kind, index, time and array, as ``io.Journal`` takes them."""

_MEMORY_WARNING_BYTES = 2**31


class Recorder:
    """Keeps metrics and observed values, and remembers what a checkpoint has yet to write."""

    def __init__(
        self,
        grid: Grid,
        dtype: Any,
        store: str | PathLike[str],
        observe: Observables | None,
        observe_at: str,
    ) -> None:
        self.grid, self._dtype = grid, dtype
        self.observe = _checked(observe)
        if observe_at not in ("steps", "t_eval"):
            raise UnknownNameError("observe_at", observe_at, ["steps", "t_eval"])
        self.observes_steps = observe_at == "steps"
        self.times: list[float] = []
        self.kept: list[Array] = []
        self.observed_times: list[float] = []
        self.observed: list[tuple[float, ...]] = []
        self.unsaved: list[Record] = []
        self.journaled = False
        self.disk: MetricStore | None = None
        self.only_last = store == "last"
        self.path = Path(store) if str(store).endswith(".zarr") else None
        if self.path is None and store not in ("metrics", "last"):
            raise InvalidArgumentError(
                f"store = {str(store)!r}; give 'metrics', 'last' or a path that ends in .zarr"
            )
        self._warned = False

    def open(self, attributes: dict[str, Any], mode: str) -> None:
        """Make the store with how the flow was asked for, or open that of the run resumed.

        Modes as in ``io.MetricStore``.
        """
        if self.path is None:
            return
        self.disk = MetricStore(self.path, self.grid, self._dtype, list(self.observe), mode)
        if mode != "r+":
            self.disk.describe(attributes)

    def measure(self, t: float, metric: MetricField) -> tuple[float, ...]:
        """Values of all observables; an error names the one that is no number."""
        return tuple(
            as_number(function(metric), f"observable {name!r} at t = {t:.6g}")
            for name, function in self.observe.items()
        )

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

    def metrics(self) -> Sequence[MetricField]:
        """What was kept; the metrics of a store are read when they are asked for."""
        if self.disk is not None:
            return StoredMetrics(self.disk.path)
        return [MetricField.from_packed(self.grid, p, check=False) for p in self.kept]

    def table(self) -> dict[str, np.ndarray]:
        """The observed values by name."""
        columns = np.array(self.observed).reshape(len(self.observed), len(self.observe))
        return {name: columns[:, k] for k, name in enumerate(self.observe)}

    def memory(self) -> dict[str, Any]:
        """What a checkpoint must say about the store."""
        if self.disk is None:
            return {}
        self.disk.flush()
        return {"stored": self.disk.count, "stored_observed": self.disk.observed_count}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on with the store as it was; what is kept in memory comes from the journal."""
        if self.disk is not None:
            self.disk.cut(memory["stored"], memory["stored_observed"])
            stored = StoredMetrics(self.disk.path)
            times, values = stored.observed()
            self.times, self.observed_times = stored.t.tolist(), times.tolist()
            columns = [values[name] for name in self.observe]
            self.observed = list(zip(*(c.tolist() for c in columns), strict=True))


def _checked(observe: Observables | None) -> dict[str, Callable[[MetricField], float]]:
    if observe is None:
        return {}
    if not isinstance(observe, Mapping):
        raise DTypeError(
            f"observe is a {type(observe).__name__}; give a dict from names to functions of a "
            "metric"
        )
    for name, function in observe.items():
        if not isinstance(name, str) or not name or "/" in name:
            raise InvalidArgumentError(f"observe has the name {name!r}; give non-empty strings")
        if not callable(function):
            raise DTypeError(f"observable {name!r} is {function!r}; give a function of a metric")
    return dict(observe)
