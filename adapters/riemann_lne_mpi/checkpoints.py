"""Checkpoints of several processes: each writes its block, then the first one says that they count.

In the folder lies ``commit.json``, which names a set of folders, one a process, and the generation
in them that counts. It is written when all processes have that generation on the disk, and nobody
writes the next one before it is there: whenever a process is killed, the generation that counts is
whole.

A run may go on with another number of processes. Every process then reads what lies in its block
from the folders of the earlier ones, and the next checkpoint goes to a new set of folders.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from riemann_lne import checks
from riemann_lne.arrays import Array, to_numpy
from riemann_lne.errors import DamagedFileError, InvalidArgumentError, StorageError
from riemann_lne.integrators.checkpoint import (
    COMMIT,
    GENERATIONS,
    STATES,
    Checkpoint,
    CheckpointFile,
    Snapshot,
    load_generation,
    remove_sets,
)
from riemann_lne.io import Journal, reading, storage_errors, write_atomically
from riemann_lne.io.damage import exists, field, read_text, seal, table_value

from .layouts import Box, Layout, common, extent, within

_FORMAT = 1
_KIND = "the commit record of a checkpoint of several processes"
_ADVICE = "restore it from a copy, or start the run anew with another checkpoint folder"


class SharedCheckpointFile(CheckpointFile):
    """Writes and reads the checkpoints of one run of several processes.

    Parameters
    ----------
    plan, identity
        As those of ``CheckpointFile``.
    grid : BlockGrid
        The block of this process.
    """

    def __init__(self, plan: Checkpoint, identity: Mapping[str, str], grid: Any) -> None:
        super().__init__(plan, identity)
        self._grid = grid
        _, self._layout, self._team = grid._parts
        self._set = 0
        self._enter()
        self._old: list[Path] = []

    def _enter(self) -> None:
        """The folder of this process in the current set."""
        self.folder = self._place(self._set, self._team.rank)
        self._journal = Journal(self.folder / "journal")

    def _place(self, number: int, rank: int) -> Path:
        return self.owned / f"set-{number}-process-{rank:05d}"

    @property
    def _commit(self) -> Path:
        return self.owned / COMMIT

    def claim(self, store: Path) -> bool:
        folder, self.folder = self.folder, self.owned
        try:
            with self._team.together():
                claimed = super().claim(store) if self._team.rank == 0 else False
        finally:
            self.folder = folder
        return self._team.decided(claimed)

    def begin(self) -> None:
        with self._team.together():
            if self._team.rank == 0:
                self._refuse_earlier(self.owned)
                # Of a run that was killed before its first checkpoint counted.
                remove_sets(self.owned)
        with self._team.together():
            super().begin()

    def due(self, steps: int, overdue: float | None = None) -> bool:
        if overdue is None and self.plan.seconds is not None:
            overdue = self._team.largest(self.overdue())
        return super().due(steps, overdue)

    def overdue(self) -> float:
        # Clocks differ: that of the first process decides.
        return super().overdue() if self._team.rank == 0 else 0.0

    def write(
        self,
        steps: int,
        plain: Mapping[str, Any],
        arrays: Mapping[str, Array],
        records: Sequence[tuple[str, int, float, np.ndarray]],
    ) -> None:
        """Write the older generation anew on all processes, then that it counts."""
        hosted = {name: to_numpy(values) for name, values in arrays.items()}
        team = self._team
        with team.together():
            most, fewest = team.reduced([steps, -steps])
            if most != -fewest:
                raise StorageError(
                    f"the processes stopped after different steps ({-fewest:.0f} to {most:.0f}); "
                    f"the checkpoint before in {self.owned} is whole"
                )
            with storage_errors("the checkpoint", self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            self._write(dict(plain), hosted, records)
        with team.together():
            if team.rank == 0:
                self._write_commit()
        self._written_at, self._written_steps = time.monotonic(), steps
        old, self._old = self._old, []
        if team.rank == 0:
            for folder in old:
                shutil.rmtree(folder, ignore_errors=True)

    def _write_commit(self) -> None:
        record = {
            "format": _FORMAT,
            "set": self._set,
            "count": self._count,
            "shape": list(self._layout.shape),
            "dims": list(self._layout.dims),
            "identity": self.identity,
        }
        text = json.dumps({**record, "seal": seal(record)}, indent=1)
        with storage_errors("the checkpoint", self._commit):
            write_atomically(self._commit, lambda file: file.write(text.encode()))

    def read(self) -> Snapshot | None:
        with self._team.together():
            result = self._read()
        # Before anything is written to the journals again.
        self._team.barrier()
        return result

    def _read(self) -> Snapshot | None:
        if not exists(self._commit):
            if any(exists(self.owned / g) for g in GENERATIONS):
                raise InvalidArgumentError(
                    f"{self.owned} is the checkpoint of a run without MPI; resume it with "
                    "riemann_lne.solve_flow, or choose another path"
                )
            return None
        with reading(self._commit, _KIND, _ADVICE):
            record = table_value(json.loads(read_text(self._commit)))
            given = record.pop("seal", None)
            if given != seal(record):
                raise ValueError("its values are not those that were written")
            if record.get("format") != _FORMAT:
                raise ValueError(f"its format is {record.get('format')}")
            number, wanted = (
                field(record, name, lambda v: checks.count(v, "a number"))
                for name in ("set", "count")
            )
            shape, dims = (
                field(record, name, lambda v: tuple(checks.count(n, "a size", least=1) for n in v))
                for name in ("shape", "dims")
            )
            identity = field(record, "identity", table_value)
        self._require_same(identity)
        layout = Layout(shape, dims)
        self._set, self._count = number, wanted
        if layout == self._layout:
            self._enter()
            return self._own(wanted)
        found = self._joined(layout, number, wanted)
        self._old = [self._place(number, rank) for rank in range(layout.size)]
        self._set = number + 1
        self._enter()
        with storage_errors("the checkpoint", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._journal.begin()
        return found

    def _own(self, wanted: int) -> Snapshot:
        record, arrays = _generation(self.folder, wanted)
        records = self._journal.restore(record["journal"])
        self._written_steps = record["plain"]["stepper"]["accepted"]
        return Snapshot(record["plain"], arrays, records)

    def _joined(self, layout: Layout, number: int, wanted: int) -> Snapshot:
        """Snapshot of this process's block, joined from the files of other blocks."""
        box: Box = self._grid.bounds
        plain: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        records: list[tuple[str, int, float, np.ndarray]] = []
        for rank in range(layout.size):
            theirs = layout.box(rank)
            part = common(theirs, box)
            if part is None:
                continue
            folder, place = self._place(number, rank), within(part, theirs)
            record, found = _generation(folder, wanted, extent(theirs), place)
            plain = record["plain"]
            for name, values in found.items():
                if name in STATES:
                    known = arrays.get(name)
                    arrays[name] = _pasted(known, values, within(part, box), extent(box))
                else:
                    arrays[name] = values
            dtype = found["y"].dtype
            del found
            marked = Journal(folder / "journal")
            more = marked.parts(record["journal"], extent(theirs), dtype, place)
            records = records or more
            for k, (kind, index, t, values) in enumerate(more):
                if kind != "o":
                    known = records[k][3] if records is not more else None
                    values = _pasted(known, values, within(part, box), extent(box))
                    records[k] = (kind, index, t, values)
        self._written_steps = plain["stepper"]["accepted"]
        buffers = [
            (*r[:3], np.ascontiguousarray(r[3]).reshape(-1).view("u1").data) for r in records
        ]
        return Snapshot(plain, arrays, buffers, anew=True)


def _generation(
    folder: Path, wanted: int, box: Sequence[int] = (), place: Sequence[slice] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The generation of a process that counts, or the part at a place of its block."""
    # They are written in turn. The other one is older, or was being written at the end.
    path = folder / GENERATIONS[(wanted - 1) % 2]
    if exists(path):
        record, arrays = load_generation(path, box, place)
        if record["count"] == wanted:
            return record, arrays
    raise DamagedFileError(
        f"{folder} does not hold generation {wanted}, which the commit record says is whole; "
        f"{_ADVICE}"
    )


def _pasted(
    known: np.ndarray | None, values: np.ndarray, place: tuple[slice, ...], shape: tuple[int, ...]
) -> np.ndarray:
    """The field on a block with values put into a place of it."""
    if known is None and values.shape[1:] == shape:
        return values
    if known is None:
        known = np.empty((values.shape[0], *shape), values.dtype)
    known[(slice(None), *place)] = values
    return known
