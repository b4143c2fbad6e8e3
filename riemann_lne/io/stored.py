"""Reading what a flow wrote to a zarr group, every metric checked when it is read."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload
from zlib import crc32

import numpy as np

from ..checks import count
from ..grids import Grid
from ..metrics import MetricField
from ..tensors import pairs
from .damage import exists, field, names_value, reading, seal, table_value
from .grids import grid_from_record
from .legacy import open_legacy
from .store import (
    CUT,
    FORMAT,
    KIND,
    ROWS,
    SEALED,
    SHORT,
    array_names,
    checksum,
    zarr_module,
)

# Stores up to this size are read through when they are opened.
_CHECKED_BYTES = 2**28
# A larger chunk has been edited: ours hold a MiB, or one metric.
_LARGEST_CHUNK = 2**26
_CRC = 4


class StoredMetrics(Sequence[MetricField]):
    """The metrics of a zarr store, read from it when they are asked for.

    Structure, attributes, numbers and the presence of all chunks are checked at once; metrics when
    they are read, and at once too if they take at most 256 MiB.

    Parameters
    ----------
    path : path
        Of the store.
    upto : mapping, optional
        Entries that a checkpoint counted (``MetricStore.written``): later ones are not looked at,
        and all of it is read through.
    read_through : bool
        False to read no metric at once, however small the store is.

    Attributes
    ----------
    path, grid, t
        Where it lies, the grid, the times.
    parameters, record : dict
        How the flow was asked for, and how it went (None if the run did not end itself).

    Raises
    ------
    FileNotFoundError
        If there is no store.
    DamagedFileError
        If it is not what a flow wrote.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        upto: Mapping[str, Sequence[int]] | None = None,
        read_through: bool = True,
    ) -> None:
        self.path = Path(path)
        if not exists(self.path):
            raise FileNotFoundError(f"there is no store at {self.path}")
        zarr = zarr_module()
        self._block_number, self._block = -1, np.zeros(0)
        with reading(self.path, KIND):
            if not (self.path / "zarr.json").is_file():
                raise ValueError("it has no zarr.json")
            self._group = zarr.open_group(self.path, mode="r")
            attributes = dict(self._group.attrs)
            self.checked = "format" in attributes
            self.grid: Grid = field(attributes, "grid", grid_from_record)
            self.observed_names = field(attributes, "observed", names_value)
            self._row = (len(pairs(self.grid.ndim)), *self.grid.shape)
            if self.checked:
                self._open(attributes, upto)
            else:
                self._open_old(attributes)
        small = upto is not None or self.nbytes <= _CHECKED_BYTES
        if self.checked and read_through and small:
            self.verify()

    def _open(self, attributes: dict[str, Any], upto: Any) -> None:
        values = {name: field(attributes, name, lambda v: v) for name in SEALED}
        if values["format"] not in (FORMAT, CUT):
            raise ValueError(
                f"its format is {values['format']}, this version reads {FORMAT} and {CUT}"
            )
        self._may_be_cut = values["format"] == CUT
        if attributes.get("seal") != seal(values):
            raise ValueError("its attributes are not those that were written")
        self.parameters = table_value(values["parameters"])
        self.record = None if values["record"] is None else table_value(values["record"])
        self.event_names = names_value(values["events"])
        self._dtype = np.dtype(values["dtype"]).newbyteorder("<")
        self._written = {
            name: [count(v, name) for v in field(values["written"], name, list)]
            for name in ("metrics", "observed", "events")
        }
        self._there = {name: values[0] for name, values in self._written.items()}
        if upto is not None:
            for name, (wanted, _) in upto.items():
                if self._written[name][0] < wanted:
                    raise ValueError(f"it holds fewer {name} than its checkpoint says")
            self._written = {name: [int(v) for v in upto[name]] for name in self._written}
        self._require_arrays()
        self.t = self._numbers("t", "metrics")
        self._checksums = self._numbers("checksum", "metrics")
        rows = np.empty(len(self.t), ROWS["metrics"])
        rows["t"], rows["crc"] = self.t, self._checksums
        self._require("metrics", rows)
        if not (np.all(np.isfinite(self.t)) and np.all(np.diff(self.t) > 0)):
            raise ValueError("its times do not rise")
        self._packed = self._metrics_array("packed", "metrics")
        self._open_observed()
        self._open_events()
        self._require_constants()

    def _open_observed(self) -> None:
        names = ("t_observed", *(f"observed_{name}" for name in self.observed_names))
        columns = [self._numbers(name, "observed") for name in names]
        rows = np.ascontiguousarray(np.stack(columns, axis=1), dtype="<f8")
        self._require("observed", rows)
        if not np.all(np.isfinite(rows)):
            raise ValueError("observed values are not finite")
        self._observed = (
            columns[0],
            dict(zip(self.observed_names, columns[1:], strict=True)),
        )

    def _open_events(self) -> None:
        index = self._numbers("event", "events")
        rows = np.empty(len(index), ROWS["events"])
        rows["index"], rows["t"] = index, self._numbers("t_event", "events")
        rows["crc"] = self._numbers("checksum_event", "events")
        self._require("events", rows)
        if len(index) and not (index.min() >= 0 and index.max() < len(self.event_names)):
            raise ValueError("an event has a number that no event has")
        self._packed_event = self._metrics_array("packed_event", "events")
        self._event_rows = rows

    def _open_old(self, attributes: dict[str, Any]) -> None:
        """Of a version that wrote no checksums: numbers are compared, no more can be done."""
        old = open_legacy(self._group, attributes, self._row, self.observed_names)
        self.t, self._observed, self._packed = old.t, old.observed, old.packed
        self.parameters, self.record, self.event_names = old.parameters, old.record, []
        self._dtype = self._packed.dtype
        self._checksums = np.zeros(0)
        self._written = {"metrics": [len(self.t), 0], "events": [0, 0]}
        self._event_rows = np.zeros(0, ROWS["events"])
        self._packed_event = None
        warnings.warn(
            f"{self.path} was written without checksums by an earlier version: lost and changed "
            "values can only be seen where they are not finite or do not fit together. Load and "
            "save it to have them",
            stacklevel=5,
        )

    # ---- what must be so --------------------------------------------------------------------

    def _require_arrays(self) -> None:
        there = {p.name for p in self.path.iterdir() if (p / "zarr.json").exists()}
        wanted = set(array_names(self.grid.ndim, self.observed_names))
        if there != wanted:
            raise ValueError(
                f"arrays are missing ({', '.join(sorted(wanted - there)) or 'none'}) or foreign "
                f"({', '.join(sorted(there - wanted)) or 'none'})"
            )

    def _require(self, kind: str, rows: np.ndarray) -> None:
        if crc32(rows.tobytes()) != self._written[kind][1]:
            raise ValueError(f"the checksum of its {kind} is not the one that was written")

    def _array(
        self, name: str, dtype: Any, rest: tuple[int, ...], needed: int, there: int = 0
    ) -> Any:
        """An array, its type, shape, chunks and files checked before any is read."""
        array = self._group[name]
        chunks = tuple(int(c) for c in array.chunks)
        codecs = [codec.to_dict()["name"] for codec in array.metadata.codecs]
        if array.dtype != np.dtype(dtype) or tuple(array.shape[1:]) != rest:
            raise ValueError(f"{name} has shape {array.shape} and type {array.dtype}")
        size = math.prod(chunks) * array.dtype.itemsize
        row = math.prod(rest) * array.dtype.itemsize
        cut = name.startswith("packed") and self._may_be_cut and chunks[1:2] == rest[:1]
        fits = all(0 < c <= r for c, r in zip(chunks[1:], rest, strict=True)) if cut else (
            chunks[1:] == rest
        )  # fmt: skip
        if not fits or chunks[0] < 1 or size > max(row, _LARGEST_CHUNK):
            raise ValueError(f"{name} has chunks of shape {chunks}")
        if codecs != ["bytes", "crc32c"] or array.shards is not None:
            raise ValueError(f"{name} is packed by {', '.join(map(str, codecs))}")
        # A run that was killed may have made room for what it was about to write.
        if not needed <= array.shape[0] <= max(needed, there) + max(SHORT, chunks[0]):
            raise ValueError(f"{name} holds {array.shape[0]} of {needed} rows")
        counts = [math.ceil(n / c) for n, c in zip((needed, *rest), chunks, strict=True)]
        for place in np.ndindex(*counts):
            file = self.path / name / "/".join(["c", *map(str, place)])
            found = file.stat().st_size if file.is_file() else -1
            if found != size + _CRC:
                state = "is missing" if found < 0 else f"has {found} of {size + _CRC} bytes"
                raise ValueError(f"{file.relative_to(self.path)} {state}")
        return array

    def _numbers(self, name: str, kind: str) -> np.ndarray:
        """The rows that count of an array of numbers."""
        whole = name.startswith(("event", "checksum"))
        needed = self._written[kind][0]
        array = self._array(name, "<i8" if whole else "<f8", (), needed, self._there[kind])
        if tuple(array.chunks) != (SHORT,):
            raise ValueError(f"{name} has chunks of shape {array.chunks}")
        return np.asarray(array[:needed])

    def _metrics_array(self, name: str, kind: str) -> Any:
        needed, there = self._written[kind][0], self._there[kind]
        return self._array(name, self._dtype, self._row, needed, there)

    def _require_constants(self) -> None:
        expected = {f"x{a}": x for a, x in enumerate(self.grid.axes())}
        for place, name in enumerate("ij"):
            expected[name] = np.array([pair[place] for pair in pairs(self.grid.ndim)])
        for name, values in expected.items():
            kind = "<f8" if values.dtype.kind == "f" else "<i8"
            array = self._array(name, kind, (), len(values))
            if array.shape != values.shape or not np.array_equal(array[:], values):
                raise ValueError(f"{name} is not what the grid says")

    # ---- reading ----------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Size of all metrics in memory."""
        rows = self._written["metrics"][0] + self._written["events"][0]
        return rows * math.prod(self._row) * self._dtype.itemsize

    @property
    def dtype(self) -> Any:
        """Precision of the metrics."""
        return self._dtype

    def verify(self) -> None:
        """Read all metrics through.

        Raises
        ------
        DamagedFileError
            If one of them is not what was written.
        """
        length = self._packed.chunks[0]
        for k in range(0, len(self), length):
            self.packed(k)
        for _ in self.events():
            pass

    def observed(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Times and values of the observables."""
        return self._observed

    def events(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """Index, time and packed metric of every occurrence, in the order of time."""
        for k, row in enumerate(self._event_rows):
            with reading(self.path, KIND):
                packed = np.asarray(self._packed_event[k])
                self._require_metric(packed, int(row["crc"]), f"event {k}")
            yield int(row["index"]), float(row["t"]), packed

    def packed(self, index: int) -> np.ndarray:
        """A packed metric (n (n + 1) / 2, *shape), read-only."""
        length = self._packed.chunks[0]
        number, place = divmod(index, length)
        if number != self._block_number:
            start, stop = number * length, min((number + 1) * length, len(self))
            with reading(self.path, KIND):
                block = np.asarray(self._packed[start:stop])
                for k, packed in enumerate(block, start):
                    crc = int(self._checksums[k]) if self.checked else None
                    self._require_metric(packed, crc, f"metric {k} (t = {self.t[k]:.6g})")
            self._block_number, self._block = number, block
        return self._block[place]

    def part(self, index: int, place: Sequence[slice]) -> np.ndarray:
        """A part of a packed metric, from the chunks in which it lies, their checksums compared."""
        with reading(self.path, KIND):
            values = np.asarray(self._packed[(index, slice(None), *place)])
            if not np.all(np.isfinite(values)):
                raise ValueError(f"metric {index} is not finite")
        return values

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape (c, ...) of a chunk of a metric."""
        return tuple(int(n) for n in self._packed.chunks[1:])

    def checksums(self, parts: Sequence[tuple[slice, ...]]) -> Iterator[tuple[str, int, list[int]]]:
        """Name, checksum and those of some chunks of each metric and event; one chunk is held.

        A process that reads some of the chunks can so check the store with others that read the
        rest (``store.joined``).

        Parameters
        ----------
        parts : sequence of tuple of slice
            Places of chunks in the grid.
        """
        crcs = [int(row["crc"]) for row in self._event_rows]
        sources = [("metric", self._packed, [int(c) for c in self._checksums])]
        sources.append(("event", self._packed_event, crcs))
        for kind, array, wanted in sources:
            for k, crc in enumerate(wanted):
                found = []
                with reading(self.path, KIND):
                    for part in parts:
                        values = np.asarray(array[(k, slice(None), *part)])
                        if not np.all(np.isfinite(values)):
                            raise ValueError(f"{kind} {k} is not finite")
                        found.append(checksum(values))
                yield f"{kind} {k}", crc, found

    def _require_metric(self, packed: np.ndarray, crc: int | None, name: str) -> None:
        if crc is not None and checksum(packed, self._packed.chunks[1:]) != crc:
            raise ValueError(f"{name} is not what was written")
        if not np.all(np.isfinite(packed)):
            raise ValueError(f"{name} is not finite")

    def __len__(self) -> int:
        return len(self.t)

    @overload
    def __getitem__(self, index: int) -> MetricField: ...

    @overload
    def __getitem__(self, index: slice) -> list[MetricField]: ...

    def __getitem__(self, index: int | slice) -> MetricField | list[MetricField]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index}; the store holds {len(self)} metrics")
        # A copy: a block is not to live for as long as one of its metrics.
        packed = self.packed(index % len(self)).copy()
        return MetricField.from_packed(self.grid, packed, check=False)
