"""One zarr store of all processes: each writes the chunk that is nearest to its block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from riemann_lne.atomic import storage_errors
from riemann_lne.grids import Grid
from riemann_lne.io import MetricStore, StoredMetrics, reading
from riemann_lne.io.store import KIND, checksum, chunk_slices, joined, zarr_module
from riemann_lne.tensors import packed_size

from .grids import BlockGrid
from .layouts import Box
from .team import MPITeam


def chunk_shape(grid: BlockGrid) -> tuple[int, ...]:
    """Points of a chunk along every axis, as many chunks as there are blocks, or fewer.

    All chunks of an array but the last ones are of one shape. Where blocks are equal they are the
    chunks.
    """
    whole, layout, _ = grid._parts
    return tuple(-(-n // d) for n, d in zip(whole.shape, layout.dims, strict=True))


def chunk_boxes(grid: BlockGrid, chunk: Sequence[int]) -> list[Box]:
    """The part of the grid that each process writes: whole chunks, near its block."""
    whole, layout, _ = grid._parts
    boxes = []
    for rank in range(layout.size):
        box = []
        for k, d, c, n in zip(layout.place(rank), layout.dims, chunk, whole.shape, strict=True):
            count = -(-n // c)
            box.append((min(count * k // d * c, n), min(count * (k + 1) // d * c, n)))
        boxes.append(tuple(box))
    return boxes


def read_through(stored: StoredMetrics, team: MPITeam) -> None:
    """Check all metrics of a store, of whose chunks each process reads its share.

    Raises
    ------
    DamagedFileError
        If one of them is not what was written.
    """
    chunk, shape = stored.chunk, stored.grid.shape
    places = [part[1:] for part in chunk_slices((1, *shape), (1, *chunk[1:]))]
    mine = range(team.rank, len(places), team.size)
    names, wanted, rows = [], [], []
    with team.together():
        for name, crc, found in stored.checksums([places[k] for k in mine]):
            names.append(name)
            wanted.append(crc)
            rows.append(np.zeros(len(places)))
            rows[-1][list(mine)] = found
    crcs = team.reduced(np.concatenate([*rows, [0.0]]))
    with reading(stored.path, KIND):
        for k, name in enumerate(names):
            row = [int(c) for c in crcs[k * len(places) : (k + 1) * len(places)]]
            if (row[0] if len(row) == 1 else joined(row)) != wanted[k]:
                raise ValueError(f"{name} is not what was written")


class SharedStore(MetricStore):
    """A store to which every process adds its part of a metric.

    The first process writes the numbers, and after all parts that they count.
    """

    _grid: Any
    # While the first process makes or opens the store, which the others then open.
    _alone = True

    def _make(self, mode: str) -> None:
        with self._team.together():
            exists = self.path.exists() if self._team.rank == 0 else False
            self._refuse_existing(self._team.decided(exists) and mode == "w-")
        self._team.barrier()
        with self._team.together():
            if self._team.rank == 0:
                super()._make("w")
        self._open()

    def _go_on(self, written: Mapping[str, Sequence[int]]) -> None:
        """Open the store of an earlier run, cut back to what its checkpoint has written."""
        with self._team.together(), self._errors():
            # Another number of processes may have made them.
            array = zarr_module().open_group(self.path, mode="r")["packed"]
            self._plan(self._grid, tuple(int(c) for c in array.chunks[2:]))
            self._cut = self._chunks
        with self._team.together():
            if self._team.rank == 0:
                super()._go_on(written)
        self._open()
        self._take_over(written)

    def _prepare(self, path: Path, grid: Any, *rest: Any) -> None:
        self._team = grid._parts[2]
        self._plan(grid, chunk_shape(grid))
        super()._prepare(path, grid, *rest)

    def _plan(self, grid: Any, chunk: tuple[int, ...]) -> None:
        """Decide on chunks, and who writes which."""
        self._chunks = (packed_size(grid.ndim), *chunk)
        self._boxes = chunk_boxes(grid, chunk)
        shape = grid.whole.shape
        parts = [c[1:] for c in chunk_slices((1, *shape), (1, *chunk))]
        mine = self._boxes[self._team.rank]
        # Number of each chunk that this process writes, and where it lies in what it writes.
        self._mine = [
            (k, tuple(slice(s.start - a, s.stop - a) for s, (a, _) in zip(part, mine, strict=True)))
            for k, part in enumerate(parts)
            if all(a <= s.start and s.stop <= b for s, (a, b) in zip(part, mine, strict=True))
        ]
        self._count = len(parts)

    def _chunk(self, grid: Grid) -> tuple[int, ...]:
        return self._chunks

    def _open(self) -> None:
        """The arrays, as the first process has made them."""
        self._alone = False
        with self._team.together(), self._errors():
            self._group = zarr_module().open_group(self.path, mode="r+")
            self._open_arrays()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with reading(self.path, KIND), storage_errors("the store", self.path):
            yield

    def flush(self) -> None:
        """Write what is waiting, all processes together."""
        if not (self._waiting or self._observed or self._events):
            return
        with self._team.together():
            super().flush()

    def _write_metrics(self, name: str, start: int, packed: list[np.ndarray]) -> list[int]:
        team, mine = self._team, self._boxes[self._team.rank]
        if team.rank == 0:
            array = self._arrays[name]
            array.resize((start + len(packed), *array.shape[1:]))
        team.barrier()
        crcs = np.zeros((len(packed), self._count))
        move = self._grid.move(
            self._grid._parts[1].boxes(), self._boxes, packed[0].shape[0], packed[0].dtype
        )
        parts = [move(np.ascontiguousarray(p)) for p in packed]
        if self._mine:
            # Of the size that the first process has just given it.
            array = zarr_module().open_group(self.path, mode="r+")[name]
            place = tuple(slice(a, b) for a, b in mine)
            array[(slice(start, start + len(packed)), slice(None), *place)] = np.stack(parts)
            for k, chunk in self._mine:
                crcs[:, k] = [checksum(p[(slice(None), *chunk)]) for p in parts]
        found = team.reduced(crcs.reshape(-1)).reshape(crcs.shape).astype(np.int64)
        if self._count == 1:
            return [int(row[0]) for row in found]
        return [joined([int(c) for c in row]) for row in found]

    def _extend(self, name: str, start: int, values: np.ndarray) -> None:
        if self._team.rank == 0:
            super()._extend(name, start, values)

    def _write_attributes(self, written: Mapping[str, Sequence[int]]) -> None:
        if self._team.rank == 0:
            super()._write_attributes(written)

    def describe(self, attributes: Mapping[str, Any]) -> None:
        super().describe(attributes)
        # Whoever reads the store next finds all of it.
        if not self._alone:
            self._team.barrier()
