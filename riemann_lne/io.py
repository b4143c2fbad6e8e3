"""Files that are written while a flow runs: whole or not at all, and read back without code.

``write_atomically`` and ``Journal`` serve checkpoints; ``MetricStore`` streams metrics to zarr,
``StoredMetrics`` reads them back one at a time. zarr is imported when it is first used.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np

from .atomic import storage_errors, write_atomically
from .errors import InvalidArgumentError, MissingDependencyError, StorageError
from .grids import Grid
from .metrics import MetricField
from .tensors import pairs

__all__ = [
    "Journal", "MetricStore", "StoredMetrics", "grid_from_record", "grid_record", "storage_errors",
    "write_atomically",
]  # fmt: skip

# Metrics of small grids are written together: one file each would make many thousand files.
_CHUNK_BYTES = 2**22


class Journal:
    """A file that only grows: records of a kind, an index, a time and an array.

    A checkpoint remembers how long it was (``mark``); what comes after that is cut off when a run
    is resumed, so that a record half written does no harm.
    """

    _HEADER = struct.Struct("<cidQ")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size, self._crc = 0, 0

    def begin(self) -> None:
        """Start empty."""
        self._size, self._crc = 0, 0
        self.path.write_bytes(b"")

    def append(self, records: Sequence[tuple[str, int, float, np.ndarray]]) -> None:
        """Add records and see that they are on the disk."""
        if not records:
            return
        size, crc = self._size, self._crc
        with open(self.path, "r+b") as file:
            # Not the end of the file: a write that failed half way may have left something there.
            file.seek(size)
            for kind, index, t, values in records:
                payload = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
                head = self._HEADER.pack(kind.encode(), index, t, payload.nbytes)
                for part in (head, payload.data):
                    file.write(part)
                    crc = zlib.crc32(part, crc)
                size += len(head) + payload.nbytes
            file.flush()
            os.fsync(file.fileno())
        self._size, self._crc = size, crc

    def mark(self) -> list[int]:
        """Length and checksum so far."""
        return [self._size, self._crc]

    def restore(self, mark: Sequence[int]) -> list[tuple[str, int, float, bytes]]:
        """The records up to a mark, what follows being cut off.

        Raises StorageError if they are not what was marked.
        """
        size, crc = int(mark[0]), int(mark[1])
        content = self.path.read_bytes()[:size] if self.path.exists() else b""
        if len(content) < size or zlib.crc32(content) != crc:
            raise StorageError(f"{self.path} is shorter than its checkpoint says, or damaged")
        if self.path.exists():
            os.truncate(self.path, size)
        self._size, self._crc = size, crc
        records, at = [], 0
        while at < size:
            kind, index, t, length = self._HEADER.unpack_from(content, at)
            at += self._HEADER.size
            records.append((kind.decode(), index, t, content[at : at + length]))
            at += length
        return records


def grid_record(grid: Grid) -> dict[str, Any]:
    """A grid as plain values."""
    record = asdict(grid)
    del record["mirrors"]
    return {name: list(value) for name, value in record.items()}


def grid_from_record(record: dict[str, Any]) -> Grid:
    """The grid that ``grid_record`` describes."""
    shape, lower, upper, periodic = (
        tuple(record[name]) for name in ("shape", "lower", "upper", "periodic")
    )
    return Grid(shape, lower, upper, periodic)


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError("zarr", "io", "storing to .zarr") from error
    return zarr


class MetricStore:
    """A zarr group to which metrics and observed values are appended while a flow runs.

    Arrays: ``t`` (t), ``packed`` (t, pair, x0, ...), the coordinates ``i``, ``j`` (pair) and
    ``x0``, ...; ``t_observed`` and ``observed_NAME`` (t_observed). What is not written yet is at
    most a chunk of a few MiB, or one metric if that is larger. Mode "w-" makes the group, and
    refuses if it exists; "w" replaces it; "r+" goes on with it.
    """

    def __init__(
        self, path: Path, grid: Grid, dtype: Any, names: Sequence[str], mode: str = "w-"
    ) -> None:
        self.path, self._grid, self._names = path, grid, tuple(names)
        self._waiting: list[tuple[float, np.ndarray]] = []
        self._observed: list[tuple[float, tuple[float, ...]]] = []
        zarr = _zarr()
        if mode == "r+":
            self._group = zarr.open_group(path, mode=mode)
            return
        if mode == "w-" and path.exists():
            raise InvalidArgumentError(
                f"{path} exists already; remove it, choose another name, or go on from its "
                "checkpoint with resume=True"
            )
        with storage_errors("the store", path):
            self._group = zarr.open_group(path, mode=mode)
            self.describe({"grid": grid_record(grid), "observed": list(self._names)})
            self._make_arrays(np.dtype(dtype))

    def _make_arrays(self, dtype: np.dtype[Any]) -> None:
        grid = self._grid
        axes = tuple(f"x{a}" for a in range(grid.ndim))
        count = len(pairs(grid.ndim))
        self._length = max(1, _CHUNK_BYTES // (count * grid.size * dtype.itemsize))
        row = (count, *grid.shape)
        self._array("packed", (0, *row), (self._length, *row), dtype, ("t", "pair", *axes))
        self._array("t", (0,), (4096,), np.dtype(np.float64), ("t",))
        for place, name in enumerate("ij"):
            values = np.array([pair[place] for pair in pairs(grid.ndim)])
            self._constant(name, values, "pair")
        for name, values in zip(axes, grid.axes(), strict=True):
            self._constant(name, values, name)
        for name in ("t_observed", *(f"observed_{n}" for n in self._names)):
            self._array(name, (0,), (4096,), np.dtype(np.float64), ("t_observed",))

    def _array(
        self,
        name: str,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        dtype: np.dtype[Any],
        dimensions: tuple[str, ...],
    ) -> Any:
        return self._group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            dtype=dtype,
            dimension_names=dimensions,
            fill_value=float("nan") if dtype.kind == "f" else 0,
        )

    def _constant(self, name: str, values: np.ndarray, dimension: str) -> None:
        self._array(name, values.shape, values.shape, values.dtype, (dimension,))[:] = values

    @property
    def count(self) -> int:
        """Metrics stored, those not written yet included."""
        return int(self._group["t"].shape[0]) + len(self._waiting)

    @property
    def observed_count(self) -> int:
        """Rows of observed values, those not written yet included."""
        return int(self._group["t_observed"].shape[0]) + len(self._observed)

    def append(self, t: float, packed: np.ndarray) -> None:
        """Add a metric."""
        self._waiting.append((t, packed))
        if len(self._waiting) >= self._group["packed"].chunks[0]:
            self.flush()

    def observe(self, t: float, values: Sequence[float]) -> None:
        """Add a row of observed values."""
        self._observed.append((t, tuple(values)))
        if len(self._observed) >= 4096:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        with storage_errors("the store", self.path):
            if self._waiting:
                # Times last: they say how many metrics there are.
                start = self._group["t"].shape[0]
                _write(self._group["packed"], start, np.stack([p for _, p in self._waiting]))
                _write(self._group["t"], start, np.array([t for t, _ in self._waiting]))
                self._waiting.clear()
            if self._observed:
                rows = np.array([values for _, values in self._observed]).reshape(
                    len(self._observed), -1
                )
                start = self._group["t_observed"].shape[0]
                for k, name in enumerate(self._names):
                    _write(self._group[f"observed_{name}"], start, rows[:, k])
                times = np.array([t for t, _ in self._observed])
                _write(self._group["t_observed"], start, times)
                self._observed.clear()

    def cut(self, count: int, observed_count: int) -> None:
        """Drop what comes after so many metrics and observed rows.

        Raises StorageError if there are fewer than that.
        """
        group = self._group
        if group["t"].shape[0] < count or group["t_observed"].shape[0] < observed_count:
            raise StorageError(f"{self.path} holds fewer metrics than its checkpoint says")
        for name in ("t", "packed"):
            group[name].resize((count, *group[name].shape[1:]))
        for name in ("t_observed", *(f"observed_{n}" for n in self._names)):
            group[name].resize((observed_count,))

    def describe(self, attributes: dict[str, Any]) -> None:
        """Write attributes: how the flow was asked for and how it went."""
        with storage_errors("the store", self.path):
            self._group.attrs.update(attributes)


def _write(array: Any, start: int, values: np.ndarray) -> None:
    """Make an array end with the values from a place on."""
    array.resize((start + len(values), *array.shape[1:]))
    array[start:] = values


class StoredMetrics(Sequence[MetricField]):
    """The metrics of a zarr store, read from it when they are asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        zarr = _zarr()
        try:
            self._group = zarr.open_group(self.path, mode="r")
            self.attributes: dict[str, Any] = dict(self._group.attrs)
            self.grid = grid_from_record(self.attributes["grid"])
            self._packed = self._group["packed"]
            t = np.asarray(self._group["t"][:])
        except (KeyError, ValueError, TypeError, FileNotFoundError) as error:
            if not self.path.exists():
                raise FileNotFoundError(f"there is no store at {self.path}") from error
            raise InvalidArgumentError(f"{self.path} is not a flow's store: {error}") from error
        # A run that was killed may have made room for more than it wrote.
        self.t = t[~np.isnan(t)]

    def observed(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Times and values of what was observed."""
        t = np.asarray(self._group["t_observed"][:])
        good = ~np.isnan(t)
        return t[good], {
            name: np.asarray(self._group[f"observed_{name}"][:])[good]
            for name in self.attributes["observed"]
        }

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
        packed = np.asarray(self._packed[index % len(self)])
        return MetricField.from_packed(self.grid, packed, check=False)
