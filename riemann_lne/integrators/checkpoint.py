"""Checkpoints: files from which a killed run goes on as if nothing had happened.

A checkpoint is a folder with two generations of the state, ``a.npz`` and ``b.npz``, and the
``journal`` of the recorded values. The older generation is written anew each time, to a temporary
file that is renamed when it is on the disk, so that at every moment one of them is whole. Each has
a seal, a CRC-32 of all its values, which is compared when it is read, and remembers length and
CRC-32 of the journal. Nothing in it is code. A run holds the folder's lock while it uses it.
"""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

from .. import checks
from ..arrays import Array, to_numpy
from ..errors import DamagedFileError, InvalidArgumentError
from ..io import Journal, NpzReader, reading, storage_errors, write_atomically
from ..io.damage import exists, field, read_text, table_value, text_value

_FORMAT = 2
GENERATIONS = ("a.npz", "b.npz")
"""Files written in turn, so that the one before is whole while the next is written."""
COMMIT = "commit.json"
"""Record of a checkpoint of several processes, which lies beside their folders."""
FILES = (*GENERATIONS, "journal", "store", COMMIT)
"""All that a run puts into its folder."""
_KIND = "a checkpoint of this library"
_ADVICE = "restore it from a copy, or start the run anew with another checkpoint folder"


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often ``solve_flow`` saves its state, to go on after a crash.

    Parameters
    ----------
    path : str or path
        A folder; made if it does not exist.
    steps : int, optional
        Accepted steps from one checkpoint to the next.
    seconds : float, optional
        Time from one checkpoint to the next, looked at after every step. By default 60 if
        ``steps`` is not given. With both, whichever comes first.

    A checkpoint is also written at the start, at the end, and after Ctrl-C.

    Examples
    --------
    >>> Checkpoint("run.checkpoint", steps=100)
    Checkpoint(path='run.checkpoint', steps=100, seconds=None)
    """

    path: str | PathLike[str]
    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        checks.path(self.path, "checkpoint path")
        if self.steps is None and self.seconds is None:
            object.__setattr__(self, "seconds", 60.0)
        if self.steps is not None:
            object.__setattr__(self, "steps", checks.count(self.steps, "steps", least=1))
        if self.seconds is not None:
            object.__setattr__(self, "seconds", checks.number(self.seconds, "seconds", least=0))


def remove_sets(folder: Path) -> None:
    """Remove the folders of several processes, and their commit record."""
    with suppress(OSError):
        (folder / COMMIT).unlink(missing_ok=True)
    for place in folder.glob("set-*-process-*"):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)


Buffer: TypeAlias = "bytes | memoryview[Any]"


@dataclass(frozen=True)
class Snapshot:
    """Everything a run consists of: plain values, and arrays by name.

    With ``anew`` the records must be written once more, to the journal that comes next.
    """

    plain: dict[str, Any]
    arrays: dict[str, np.ndarray]
    records: Sequence[tuple[str, int, float, Buffer]]
    anew: bool = False


class CheckpointFile:
    """Writes and reads the checkpoints of one run.

    Parameters
    ----------
    plan : Checkpoint
        Where and how often.
    identity : dict of str
        Texts that identify the run; a checkpoint of another run is refused.

    Attributes
    ----------
    folder, owned : Path
        Where the files lie, and the folder that the run owns.
    """

    def __init__(self, plan: Checkpoint, identity: Mapping[str, str]) -> None:
        self.plan, self.identity = plan, dict(identity)
        self.folder = self.owned = Path(fspath(plan.path))
        self._journal = Journal(self.folder / "journal")
        self._count = 0
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None
        self._written_at, self._written_steps = time.monotonic(), 0

    def claim(self, store: Path) -> bool:
        """Note that this run is about to make a store; True if that was noted before.

        A run that is killed before its first checkpoint leaves a store that nothing else can tell
        from that of another run.
        """
        note = self.folder / "store"
        # As ASCII, since a path may hold bytes that are no text.
        name = ascii(str(store.resolve()))
        with reading(note, _KIND, _ADVICE):
            if exists(note) and read_text(note) == name:
                return True
        if not exists(store):
            with storage_errors("the checkpoint", self.folder):
                write_atomically(note, lambda file: file.write(name.encode()))
        return False

    def begin(self) -> None:
        """Prepare the folder for a new run; one that holds another run's work is left alone."""
        self._refuse_earlier(self.folder)
        with storage_errors("the checkpoint", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._journal.begin()

    @staticmethod
    def _refuse_earlier(folder: Path) -> None:
        """InvalidArgumentError if a folder has the checkpoint of another run, also under MPI."""
        if any(exists(folder / name) for name in (COMMIT, *GENERATIONS)):
            raise InvalidArgumentError(
                f"{folder} holds the checkpoint of an earlier run; pass resume=True to go on with "
                "it, remove it, or choose another path"
            )

    def due(self, steps: int, overdue: float | None = None) -> bool:
        """Whether a checkpoint is due after ``steps`` accepted steps.

        ``overdue``: what ``overdue()`` gave, if it has been asked for already.
        """
        plan = self.plan
        if plan.steps is not None and steps - self._written_steps >= plan.steps:
            return True
        return (self.overdue() if overdue is None else overdue) > 0

    def overdue(self) -> float:
        """1.0 if the plan's time has passed since the last checkpoint, else 0.0."""
        seconds = self.plan.seconds
        if seconds is None:
            return 0.0
        return float(time.monotonic() - self._written_at >= seconds)

    def write(
        self,
        steps: int,
        plain: Mapping[str, Any],
        arrays: Mapping[str, Array],
        records: Sequence[tuple[str, int, float, np.ndarray]],
    ) -> None:
        """Add to the journal and write the older generation anew, while the run goes on.

        The files on the disk are thus at most one checkpoint behind. The arrays must not be written
        to any more. Raises StorageError if the checkpoint before could not be written.
        """
        self.wait()
        hosted = {name: to_numpy(values) for name, values in arrays.items()}
        self._pending = self._writer.submit(self._write, dict(plain), hosted, records)
        self._written_at, self._written_steps = time.monotonic(), steps

    def wait(self) -> None:
        """Wait until the checkpoint that is being written is on the disk.

        Raises StorageError if it cannot be; the generation before is then intact.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Let the writing thread finish and go; errors have been raised by ``wait``."""
        self._writer.shutdown()

    def _write(
        self,
        plain: dict[str, Any],
        arrays: dict[str, np.ndarray],
        records: Sequence[tuple[str, int, float, np.ndarray]],
    ) -> None:
        with storage_errors("the checkpoint", self.folder):
            self._journal.append(records)
            record = json.dumps(
                {
                    "format": _FORMAT,
                    "count": self._count + 1,
                    "identity": self.identity,
                    "journal": self._journal.mark(),
                    "plain": plain,
                }
            )
            content: dict[str, Any] = {
                "record": np.array(record),
                "seal": np.uint32(_seal(record, arrays)),
                **arrays,
            }
            # Stored, not compressed: random digits do not shrink, and it would take longer than
            # a step.
            write_atomically(
                self.folder / GENERATIONS[self._count % 2],
                lambda file: np.savez(file, **content),
            )
        self._count += 1

    def read(self) -> Snapshot | None:
        """The newest checkpoint that is whole; None if there is none at all.

        Warns where the newest is damaged and the one before it is used.

        Raises
        ------
        StorageError
            If there are checkpoints and none of them can be read.
        InvalidArgumentError
            If it belongs to another run; the message says what differs. Also if it is that of
            several processes.
        """
        if exists(self.folder / COMMIT):
            raise InvalidArgumentError(
                f"{self.folder} is the checkpoint of a run under MPI; resume it there, with any "
                "number of processes (mpiexec -n 1 is enough), or choose another path"
            )
        found, damaged = [], []
        for name in GENERATIONS:
            path = self.folder / name
            if not exists(path):
                continue
            try:
                found.append(load_generation(path))
            except DamagedFileError as error:
                damaged.append(str(error))
        found.sort(key=lambda item: item[0]["count"], reverse=True)
        for record, arrays in found:
            self._require_same(record["identity"])
            try:
                records = self._journal.restore(record["journal"])
            except DamagedFileError as error:
                damaged.append(str(error))
                continue
            if damaged:
                warnings.warn(
                    f"damaged: {'; '.join(damaged)}; going on from the checkpoint before, at "
                    f"t = {record['plain']['stepper']['t']:.6g}; check the disk",
                    stacklevel=2,
                )
            self._count = record["count"]
            self._written_steps = record["plain"]["stepper"]["accepted"]
            return Snapshot(record["plain"], arrays, records)
        if damaged:
            raise DamagedFileError(
                f"no checkpoint in {self.folder} can be read: {'; '.join(damaged)}; delete it and "
                "start anew"
            )
        return None

    def _require_same(self, theirs: dict[str, Any]) -> None:
        different = [
            f"{name} is {theirs.get(name)} there and {self.identity.get(name)} here"
            for name in {**theirs, **self.identity}
            if theirs.get(name) != self.identity.get(name)
        ]
        if different:
            raise InvalidArgumentError(
                f"{self.owned} is the checkpoint of another run: {'; '.join(different)}; use the "
                "same arguments, or another folder"
            )


def _seal(record: str, arrays: Mapping[str, np.ndarray]) -> int:
    """CRC-32 of everything in a generation, names, types and shapes included."""
    result = crc32(record.encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        result = crc32(_title(name, values.dtype, arrays[name].shape), result)
        result = crc32(values.reshape(-1).view(np.uint8).data, result)
    return result


STATES = ("y", "rate")
"""Arrays of a generation that are fields on the grid."""


def _title(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Name, type and shape of an array, which the seal holds beside its values."""
    return f"{name} {dtype.str} {shape}".encode()


def load_generation(
    path: Path, box: Sequence[int] = (), place: Sequence[slice] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Plain values and arrays of a generation, as they were sealed.

    With a place in the box of the grid that was saved, only this part of the fields.
    """
    with reading(path, _KIND, _ADVICE), NpzReader(path) as file:
        text = file.text("record")
        record = table_value(json.loads(text))
        if record.get("format") != _FORMAT:
            raise ValueError(f"its format is {record.get('format')}, this version reads {_FORMAT}")
        file.expect("seal", "u", ())
        names = [name for name in file.names if name not in ("record", "seal")]
        arrays: dict[str, np.ndarray] = {}
        if place is None:
            file.require_memory(names)
        found = crc32(text.encode())
        for name in sorted(names):
            header = file.header(name)
            found = crc32(_title(name, header.dtype, header.shape), found)
            if place is not None and name in STATES:
                arrays[name], found = file.read_part(name, box, place, found)
            else:
                arrays[name] = file.read(name)
                plain = np.ascontiguousarray(arrays[name])
                found = crc32(plain.reshape(-1).view(np.uint8).data, found)
        if int(file.read("seal")[()]) != found:
            raise ValueError("its values are not those that were written")
        field(record, "count", lambda v: checks.count(v, "count", least=1))
        field(record, "journal", lambda v: [checks.count(n, "mark") for n in v])
        for value in field(record, "identity", table_value).values():
            text_value(value)
        field(record, "plain", table_value)
    return record, arrays
