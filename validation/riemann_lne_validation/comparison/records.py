"""Record of one run: a JSON file for every arm and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError, StorageError
from riemann_lne.io import storage_errors, write_atomically

from ..lab.stored_json import read_json, reading, seal, unseal
from .image_hits import ImageHits
from .protocol import Arm

__all__ = ["SCHEMA", "Divergence", "EpochRecord", "RunRecord", "load_record", "load_records"]

SCHEMA = 2
# Of records that can still be read: the first one has no hits of single images.
_READABLE = (1, SCHEMA)


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Values that were not measured, or are not finite, are None.

    Attributes
    ----------
    epoch : int
        1 after the first epoch.
    learning_rate : float
    train_loss, train_accuracy : float, optional
        Means over the batches as they were seen in training; the accuracy is a fraction.
    accuracy : float, optional
        Fraction of the images of the split that the discrete network classifies correctly.
    sign_flip_rate : float, optional
        Fraction of the quantised weights whose latent weight changed its sign in this epoch.
    gradient_angle : float, optional
        Angle in radians between the gradient that the method gives the optimiser and the
        reference, mean over layers.
    seconds : float
        Time of the training in this epoch, evaluation and measurements not included.
    """

    epoch: int
    learning_rate: float
    train_loss: float | None
    train_accuracy: float | None
    accuracy: float | None
    sign_flip_rate: float | None = None
    gradient_angle: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Divergence:
    """Where and why a run broke down: the epoch (from 1) in which it happened."""

    epoch: int
    reason: str


@dataclass(frozen=True)
class RunRecord:
    """One run, complete: an arm, a seed, and what came of it.

    Attributes
    ----------
    arm : Arm
        Method and all settings.
    seed : int
    epochs : tuple of EpochRecord
        Every epoch that was completed, in order. A diverged run ends early.
    diverged : Divergence or None
    cost : float
        The number of epochs of plain training (STE) that take the same floating-point operations
        in matrix products and convolutions, counted while the method's step runs: extra forward
        and backward passes, of any order, are in it. Evaluation is not, re-estimation of
        batch-norm statistics is.
    pretraining_cost : float
        The same for the full-precision start; 0 from scratch.
    seconds : float
        Wall time of the training alone, on the machine of `environment`.
    total_seconds : float
        With evaluation, measurements, checkpoints.
    environment : mapping
        Versions of Python, NumPy, PyTorch and this package, processor, device, commit.
    fingerprints : mapping
        "initial_weights", "data" (the order of the items) and, where a user's file may change
        them, "held_out" and "training": hashes by which `pairing` checks that runs are paired.
    notes : tuple of str
        Warnings of the run, each once: a hard gate that is shut in all layers, say.
    hits : ImageHits or None
        Which images of the split were classified correctly in the last epochs. None for a run that
        diverged, and for records of schema 1.
    """

    arm: Arm
    seed: int
    epochs: tuple[EpochRecord, ...]
    diverged: Divergence | None
    cost: float
    pretraining_cost: float
    seconds: float
    total_seconds: float
    environment: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    hits: ImageHits | None = None

    @property
    def label(self) -> str:
        """Label of the arm."""
        return self.arm.label

    @property
    def accuracies(self) -> list[float | None]:
        """Accuracy after each epoch."""
        return [e.accuracy for e in self.epochs]

    @property
    def final_accuracy(self) -> float | None:
        """Accuracy after the last epoch; None if the run diverged."""
        return None if self.diverged else self.epochs[-1].accuracy

    def mean_of_last(self, count: int = 10) -> float | None:
        """Mean accuracy of the last epochs (of all, if there are fewer); None if diverged."""
        last = [a for a in self.accuracies[-count:] if a is not None]
        return None if self.diverged or not last else math.fsum(last) / len(last)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "schema": SCHEMA,
            "arm": self.arm.to_dict(),
            "seed": self.seed,
            "epochs": {
                f.name: [getattr(e, f.name) for e in self.epochs] for f in fields(EpochRecord)
            },
            "diverged": asdict(self.diverged) if self.diverged else None,
            **{
                name: getattr(self, name)
                for name in ("cost", "pretraining_cost", "seconds", "total_seconds")
            },
            "environment": dict(self.environment),
            "fingerprints": dict(self.fingerprints),
            "notes": list(self.notes),
            "hits": self.hits.to_dict() if self.hits else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """The record of such data.

        Raises
        ------
        InvalidArgumentError
            If something is missing, of another schema, or does not fit together.
        """
        if not isinstance(data, Mapping) or data.get("schema") not in _READABLE:
            found = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
            raise InvalidArgumentError(f"expected a run record of schema {SCHEMA}, found {found!r}")
        try:
            _check_kinds(data)
            columns = data["epochs"]
            names = [f.name for f in fields(EpochRecord)]
            if len({len(columns[name]) for name in names}) != 1:
                raise InvalidArgumentError("the columns of epochs differ in length")
            rows = zip(*(columns[name] for name in names), strict=True)
            epochs = tuple(EpochRecord(*row) for row in rows)
            if [e.epoch for e in epochs] != list(range(1, len(epochs) + 1)):
                raise InvalidArgumentError("the epochs are not 1, 2, 3, ...")
            diverged = data["diverged"]
            if diverged is None and not epochs:
                raise InvalidArgumentError("a run that did not diverge has no epochs")
            numbers = ("cost", "pretraining_cost", "seconds", "total_seconds")
            return cls(
                arm=Arm.from_dict(data["arm"]),
                seed=data["seed"],
                epochs=epochs,
                diverged=None if diverged is None else Divergence(**diverged),
                environment=data["environment"],
                fingerprints=data["fingerprints"],
                notes=tuple(data["notes"]),
                hits=_hits(data, epochs),
                **{name: float(data[name]) for name in numbers},
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise InvalidArgumentError(f"incomplete run record: {error!r}") from error

    def save(self, folder: Path) -> Path:
        """Write the record into the folder; it appears when it is complete. Returns its path."""
        path = record_path(folder, self.arm, self.seed)
        text = json.dumps(seal(self.to_dict()), allow_nan=False) + "\n"
        with storage_errors("a run record", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda file: file.write(text.encode()))
        return path


# Entries of a record, and the types of JSON that they may have.
_KINDS: dict[str, Any] = {
    "schema": int, "arm": dict, "seed": int, "epochs": dict, "diverged": (dict, type(None)),
    "cost": (int, float), "pretraining_cost": (int, float), "seconds": (int, float),
    "total_seconds": (int, float), "environment": dict, "fingerprints": dict, "notes": list,
    "hits": (dict, type(None)),
}  # fmt: skip


def _check_kinds(data: Mapping[str, Any]) -> None:
    """Raise InvalidArgumentError for entries that do not exist, or of another type."""
    for name, value in data.items():
        if name not in _KINDS:
            raise InvalidArgumentError(f"a run record has no entry {name!r}")
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
            raise InvalidArgumentError(f"{name} is {type(value).__name__}: {value!r:.60}")
    if data["seed"] < 0:
        raise InvalidArgumentError(f"seed is {data['seed']}")
    for name, column in data["epochs"].items():
        if not isinstance(column, list) or not all(
            v is None or (isinstance(v, (int, float)) and not isinstance(v, bool)) for v in column
        ):
            raise InvalidArgumentError(f"the column {name} of epochs is no list of numbers")
    for note in data["notes"]:
        if not isinstance(note, str):
            raise InvalidArgumentError(f"a note is {note!r:.60}")


def _hits(data: Mapping[str, Any], epochs: tuple[EpochRecord, ...]) -> ImageHits | None:
    """The hits of single images, which have to give the accuracies of the epochs."""
    table = data["hits"] if data["schema"] > 1 else None
    if table is None:
        return None
    hits = ImageHits.from_dict(table)
    last = [e.accuracy for e in epochs[-hits.window :]]
    sums = {"final": last[-1:], "last": last}
    for name, accuracies in sums.items():
        count = sum(getattr(hits, name))
        expected = math.fsum(a for a in accuracies if a is not None) * len(hits.final)
        if None in accuracies or abs(count - expected) > 1e-6 * len(hits.final):
            raise InvalidArgumentError(
                f"{count} images are hits in {name!r}, but the accuracies say {expected:g}"
            )
    return hits


def record_path(folder: str | Path, arm: Arm, seed: int) -> Path:
    """Where the record of an arm and a seed is kept."""
    return Path(folder) / f"{arm.key}-seed{seed:04d}.json"


def load_record(path: Path) -> RunRecord:
    """Read one record.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InvalidArgumentError
        If it is not a complete record. Names the file.
    """
    with reading(path, "a run record", "delete it, and the run is done anew"):
        return RunRecord.from_dict(unseal(read_json(path)))


def load_records(folder: Path) -> list[RunRecord]:
    """All records of a folder, in the order of their file names.

    Raises
    ------
    StorageError, InvalidArgumentError
        As `load_record`; StorageError if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StorageError(f"there is no folder {folder} with run records; check the path")
    return [load_record(path) for path in sorted(folder.glob("*-seed*.json"))]
