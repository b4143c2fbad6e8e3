"""Writing a flow to a zarr group while it runs.

Layout, version 2; 3 where a metric is cut into several chunks. Metrics: ``t``, ``checksum`` (t),
``packed`` (t, pair, x0, ...). Observed values: ``t_observed``, ``observed_NAME`` (t_observed).
Events: ``t_event``, ``event``, ``checksum_event`` (event_number), ``packed_event`` (event_number,
pair, x0, ...). Coordinates: ``i``, ``j`` (pair), ``x0``, ... Chunks are not compressed, so that
their sizes are known, and carry a crc32c.

The attribute ``written`` says how many rows of each kind there are, with a CRC-32 of them; it is
written after the rows, and rows beyond it do not count. A metric is in it by its own CRC-32, so
that one metric can be checked without the others. ``seal`` is a CRC-32 of the other attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from ..atomic import storage_errors
from ..errors import InvalidArgumentError, MissingDependencyError
from ..grids import Grid
from ..tensors import pairs
from .damage import reading, seal
from .grids import grid_record

FORMAT = 2
CUT = 3
"""Format of a store whose metrics are cut into several chunks, which several processes wrote."""
KIND = "a flow's store"
# Metrics of small grids are written together: one file each would make many thousand files.
_CHUNK_BYTES = 2**20
SHORT = 4096
"""Chunk of the arrays of numbers."""
ROWS = {
    "metrics": np.dtype([("t", "<f8"), ("crc", "<u4")]),
    "events": np.dtype([("index", "<i8"), ("t", "<f8"), ("crc", "<u4")]),
}
"""Input of the checksum of each kind of rows; observed values are rows of float64."""
SEALED = ("format", "grid", "dtype", "observed", "events", "parameters", "record", "written")
"""Attributes that the seal covers."""
_LEFTOVER = re.compile(r".*\.[0-9a-f]{32}\.partial")


def zarr_module() -> Any:
    """zarr, or an error that names the extra."""
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError("zarr", "io", "storing to .zarr", error) from error
    return zarr


def checksum(packed: np.ndarray, chunk: Sequence[int] | None = None) -> int:
    """CRC-32 of a packed metric, little-endian.

    Of a metric that is cut into chunks of a shape: that of the CRC-32 of all of its chunks.
    """
    if chunk is not None and any(c < s for c, s in zip(chunk, packed.shape, strict=True)):
        return joined([checksum(packed[part]) for part in chunk_slices(packed.shape, chunk)])
    plain = np.ascontiguousarray(packed, dtype=packed.dtype.newbyteorder("<"))
    return crc32(plain.reshape(-1).view(np.uint8).data)


def joined(checksums: Sequence[int]) -> int:
    """CRC-32 of those of chunks, in C order of their places."""
    return crc32(np.array(checksums, dtype="<u4").tobytes())


def chunk_slices(shape: Sequence[int], chunk: Sequence[int]) -> list[tuple[slice, ...]]:
    """The parts of an array that lie in its chunks, in C order."""
    along = [
        [slice(k, min(k + c, size)) for k in range(0, size, c)]
        for size, c in zip(shape, chunk, strict=True)
    ]
    return list(product(*along))


def array_names(ndim: int, observed: Sequence[str]) -> list[str]:
    """All arrays of a store."""
    return [
        "t", "checksum", "packed", "t_event", "event", "checksum_event", "packed_event", "i", "j",
        "t_observed", *(f"x{a}" for a in range(ndim)), *(f"observed_{n}" for n in observed),
    ]  # fmt: skip


class MetricStore:
    """A zarr group to which metrics, observed values and events are appended while a flow runs.

    At most a chunk of a MiB is not written yet, or one metric if that is larger.

    Parameters
    ----------
    path : Path
        Of the group.
    grid : Grid
        Where the metrics live.
    dtype : dtype
        Of the metrics.
    observed, events : sequence of str
        Names.
    mode : "w-" or "w"
        Make the group and refuse if it exists, or replace it. ``resume`` goes on with one.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        dtype: Any,
        observed: Sequence[str],
        events: Sequence[str] = (),
        mode: str = "w-",
    ) -> None:
        self._prepare(path, grid, dtype, observed, events)
        self._make(mode)

    def _prepare(
        self, path: Path, grid: Grid, dtype: Any, observed: Sequence[str], events: Sequence[str]
    ) -> None:
        self.path, self._grid, self._names = path, grid, tuple(observed)
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._row = (len(pairs(grid.ndim)), *grid.whole.shape)
        self._cut = self._chunk(grid)
        row_bytes = int(np.prod(self._row)) * self._dtype.itemsize
        self._length = max(1, _CHUNK_BYTES // row_bytes)
        self._waiting: list[tuple[float, np.ndarray]] = []
        self._observed: list[tuple[float, tuple[float, ...]]] = []
        self._events: list[tuple[int, float, np.ndarray]] = []
        self._written = {"metrics": [0, 0], "observed": [0, 0], "events": [0, 0]}
        self._attributes: dict[str, Any] = {
            "format": FORMAT if self._cut == self._row else CUT,
            "grid": grid_record(grid.whole),
            "dtype": self._dtype.name,
            "observed": list(observed),
            "events": list(events),
            "parameters": {},
            "record": None,
        }

    def _chunk(self, grid: Grid) -> tuple[int, ...]:
        """Shape of a chunk of a metric: all of it."""
        return self._row

    @classmethod
    def resume(
        cls,
        path: Path,
        grid: Grid,
        dtype: Any,
        observed: Sequence[str],
        events: Sequence[str],
        written: Mapping[str, Sequence[int]],
    ) -> MetricStore:
        """Go on with a store from what a checkpoint says was written; the rest is dropped.

        The caller has checked it (``StoredMetrics(path, written)``).
        """
        self = cls.__new__(cls)
        self._prepare(path, grid, dtype, observed, events)
        self._go_on(written)
        return self

    def _make(self, mode: str) -> None:
        """Make the group with its arrays."""
        zarr = zarr_module()
        if mode == "w-":
            self._refuse_existing(self.path.exists())
        with reading(self.path, KIND), storage_errors("the store", self.path):
            self._group = zarr.open_group(self.path, mode=mode)
            self._make_arrays()
            self._open_arrays()
            self.describe({})

    def _refuse_existing(self, exists: bool) -> None:
        if exists:
            raise InvalidArgumentError(
                f"{self.path} exists already; remove it, choose another name, or go on from its "
                "checkpoint with resume=True"
            )

    def _go_on(self, written: Mapping[str, Sequence[int]]) -> None:
        """Open the group, and drop what does not count."""
        zarr = zarr_module()
        with reading(self.path, KIND), storage_errors("the store", self.path):
            for leftover in self.path.rglob("*.partial"):
                if _LEFTOVER.fullmatch(leftover.name):
                    leftover.unlink()  # of a killed run; this one owns the store
            self._group = zarr.open_group(self.path, mode="r+")
            self._take_over(written)
            self._open_arrays()
            # First what counts, then the arrays: a run that is killed in between loses nothing.
            self.describe({})
            for name, array in self._arrays.items():
                count = self._written[_kind_of(name)][0]
                array.resize((count, *array.shape[1:]))

    def _take_over(self, written: Mapping[str, Sequence[int]]) -> None:
        """Go by the attributes of the opened group, and by what counts."""
        attributes = dict(self._group.attrs)
        self._attributes |= {name: attributes[name] for name in ("format", "parameters")}
        self._written = {name: list(values) for name, values in written.items()}

    def _make_arrays(self) -> None:
        grid = self._grid.whole
        axes = tuple(f"x{a}" for a in range(grid.ndim))
        double, whole = np.dtype("<f8"), np.dtype("<i8")
        for ending, dimension, time in (("", "t", "t"), ("_event", "event_number", "t_event")):
            chunks = (self._length, *self._cut)
            names = (dimension, "pair", *axes)
            self._array(f"packed{ending}", chunks, self._dtype, names, row=self._row)
            self._array(f"checksum{ending}", (SHORT,), whole, (dimension,))
            self._array(time, (SHORT,), double, (dimension,))
        self._array("event", (SHORT,), whole, ("event_number",))
        for place, name in enumerate("ij"):
            values = np.array([pair[place] for pair in pairs(grid.ndim)])
            self._constant(name, values, "pair")
        for name, values in zip(axes, grid.axes(), strict=True):
            self._constant(name, values, name)
        for name in ("t_observed", *(f"observed_{n}" for n in self._names)):
            self._array(name, (SHORT,), double, ("t_observed",))

    def _array(
        self,
        name: str,
        chunks: tuple[int, ...],
        dtype: np.dtype[Any],
        dimensions: tuple[str, ...],
        length: int = 0,
        row: tuple[int, ...] = (),
    ) -> Any:
        from zarr.codecs import Crc32cCodec

        return self._group.create_array(
            name,
            shape=(length, *row),
            chunks=chunks,
            dtype=dtype,
            filters=None,
            compressors=[Crc32cCodec()],
            dimension_names=dimensions,
            # No value that occurs: a chunk that holds nothing else would not be written.
            fill_value=float("nan") if dtype.kind == "f" else -1,
        )

    def _constant(self, name: str, values: np.ndarray, dimension: str) -> None:
        values = values.astype("<f8" if values.dtype.kind == "f" else "<i8")
        self._array(name, values.shape, values.dtype, (dimension,), len(values))[:] = values

    def _open_arrays(self) -> None:
        """The arrays that grow, by name."""
        constant = {"i", "j", *(f"x{a}" for a in range(self._grid.ndim))}
        names = array_names(self._grid.ndim, self._names)
        self._arrays = {name: self._group[name] for name in names if name not in constant}

    @property
    def written(self) -> dict[str, list[int]]:
        """Rows that are in the store, and the checksum of each kind; for ``resume``."""
        return {name: list(values) for name, values in self._written.items()}

    def append(self, t: float, packed: np.ndarray) -> None:
        """Add a metric."""
        self._waiting.append((t, packed))
        if len(self._waiting) >= self._length:
            self.flush()

    def observe(self, t: float, values: Sequence[float]) -> None:
        """Add a row of observed values."""
        self._observed.append((t, tuple(values)))
        if len(self._observed) >= SHORT:
            self.flush()

    def occur(self, index: int, t: float, packed: np.ndarray) -> None:
        """Add an occurrence of the event of an index."""
        self._events.append((index, t, packed))
        if len(self._events) >= self._length:
            self.flush()

    def mark(self) -> tuple[int, int, int]:
        """How much there is, for ``undo``."""
        return (
            self._written["metrics"][0] + len(self._waiting),
            self._written["observed"][0] + len(self._observed),
            self._written["events"][0] + len(self._events),
        )

    def undo(self, mark: tuple[int, int, int]) -> None:
        """Drop what was added since a mark and is not written yet."""
        kinds = (("metrics", self._waiting), ("observed", self._observed), ("events", self._events))
        for wanted, (kind, waiting) in zip(mark, kinds, strict=True):
            keep: Any = max(0, wanted - self._written[kind][0])
            del waiting[keep:]  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Write what is waiting, and then that it counts."""
        if not (self._waiting or self._observed or self._events):
            return
        with reading(self.path, KIND), storage_errors("the store", self.path):
            metrics = [("t", [t for t, _ in self._waiting])]
            written = {
                "metrics": self._flush("metrics", metrics, [p for _, p in self._waiting]),
                "observed": self._flush_observed(),
                "events": self._flush(
                    "events",
                    [
                        ("index", [index for index, _, _ in self._events]),
                        ("t", [t for _, t, _ in self._events]),
                    ],
                    [p for _, _, p in self._events],
                ),
            }
            self._write_attributes(written)
        self._written = written
        self._waiting, self._observed, self._events = [], [], []

    def _flush(
        self, kind: str, columns: list[tuple[str, list[Any]]], packed: list[np.ndarray]
    ) -> list[int]:
        start, crc = self._written[kind]
        if not packed:
            return [start, crc]
        ending, names = ("", {"t": "t"}) if kind == "metrics" else ("_event", _EVENT_COLUMNS)
        rows = np.empty(len(packed), ROWS[kind])
        rows["crc"] = self._write_metrics(f"packed{ending}", start, packed)
        self._extend(f"checksum{ending}", start, rows["crc"].astype("<i8"))
        for name, values in columns:
            rows[name] = values
            self._extend(names[name], start, np.ascontiguousarray(rows[name]))
        return [start + len(packed), crc32(rows.tobytes(), crc)]

    def _write_metrics(self, name: str, start: int, packed: list[np.ndarray]) -> list[int]:
        """Make an array end with metrics; their checksums."""
        self._extend(name, start, np.stack(packed))
        return [checksum(p) for p in packed]

    def _extend(self, name: str, start: int, values: np.ndarray) -> None:
        """Make an array end with the values from a place on."""
        _write(self._arrays[name], start, values)

    def _flush_observed(self) -> list[int]:
        start, crc = self._written["observed"]
        if not self._observed:
            return [start, crc]
        rows = np.array([(t, *values) for t, values in self._observed], dtype="<f8")
        names = ("t_observed", *(f"observed_{name}" for name in self._names))
        for name, values in zip(names, rows.T, strict=True):
            self._extend(name, start, values)
        return [start + len(rows), crc32(rows.tobytes(), crc)]

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Write attributes: "parameters", how the flow was asked for; "record", how it went."""
        self._attributes.update(attributes)
        with reading(self.path, KIND), storage_errors("the store", self.path):
            self._write_attributes(self._written)

    def _write_attributes(self, written: Mapping[str, Sequence[int]]) -> None:
        """All attributes in one file that is replaced as a whole."""
        values = {**self._attributes, "written": {k: list(v) for k, v in written.items()}}
        # Not attrs.update, which replaces the file once for every name.
        self._group = self._group.update_attributes({**values, "seal": seal(values)})


_EVENT_COLUMNS = {"index": "event", "t": "t_event"}


def _kind_of(name: str) -> str:
    """The kind of rows that an array belongs to."""
    if name.startswith("observed_") or name == "t_observed":
        return "observed"
    return "metrics" if name in ("t", "checksum", "packed") else "events"


def _write(array: Any, start: int, values: np.ndarray) -> None:
    """Make an array end with the values from a place on."""
    array.resize((start + len(values), *array.shape[1:]))
    array[start:] = values
