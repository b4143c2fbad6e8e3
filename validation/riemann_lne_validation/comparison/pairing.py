"""Whether the runs of one seed are paired: the same data, and the same first weights.

A record is known by the settings of its arm and the content of the user's file. A module that this
file imports, or the data that it reads, may change without a change of either; hashes in the record
tell.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from riemann_lne.errors import InvalidArgumentError

from .contracts import Task
from .datasets import Samples
from .models import hash_tensors
from .problems import reads_folder
from .protocol import Arm
from .records import RunRecord, record_path
from .registered import find_dataset

__all__ = ["check_pairs", "data_fingerprints", "require_unchanged"]


def _held_out(arm: Arm) -> Hashable:
    return arm.dataset, arm.split


def _training(arm: Arm) -> Hashable:
    return arm.dataset, arm.split, arm.train_on, arm.subset


def _first_weights(arm: Arm) -> Hashable | None:
    """None for networks of the package: random normal numbers may differ between processors."""
    if not arm.file:
        return None
    start = arm.pretraining().digest if arm.start == "fine-tune" else ""
    return arm.dataset, arm.model, arm.width, arm.depth, start


# By name of a hash: what it is taken of, in words, and the settings of an arm that decide it. Two
# runs with these settings and the same seed must have the same hash. A method that changes first
# weights on purpose does so after their hash is taken.
_KINDS: Mapping[str, tuple[str, Callable[[Arm], Hashable | None]]] = {
    "held_out": ("items that they are judged on", _held_out),
    "training": ("training items", _training),
    "initial_weights": ("first weights", _first_weights),
}


def data_fingerprints(arm: Arm, samples: Samples) -> dict[str, str]:
    """Hashes of the items of a run, where a file of the user's may change them; else nothing."""
    if not (isinstance(find_dataset(arm.dataset), Task) or reads_folder(arm)):
        return {}
    return {
        "held_out": hash_tensors({"x": samples.held_out, "y": samples.held_out_labels}),
        "training": hash_tensors({"x": samples.train, "y": samples.train_labels}),
    }


def check_pairs(records: Iterable[RunRecord]) -> None:
    """Refuse records of one seed that are not paired.

    Records of earlier versions, which lack a hash, are passed over.

    Raises
    ------
    InvalidArgumentError
        If two records of a seed had other data, or in the same network of the user's other first
        weights. Names arms, seed, what differs, and the files.
    """
    known: dict[Hashable, RunRecord] = {}
    for record in records:
        for kind, (words, key_of) in _KINDS.items():
            found, key = record.fingerprints.get(kind), key_of(record.arm)
            if found is None or key is None:
                continue
            first = known.setdefault((kind, key, record.seed), record)
            if first.fingerprints[kind] != found:
                raise InvalidArgumentError(
                    f"arms {first.label!r} and {record.label!r} are not paired: with seed "
                    f"{record.seed} the {words} of their runs differ. {_advice(first, record)}"
                )


def require_unchanged(record: RunRecord, now: Mapping[str, str]) -> None:
    """Refuse a record whose data or first weights are not those that a run would have now.

    Raises
    ------
    InvalidArgumentError
        Names arm, seed, what differs, and the file.
    """
    for kind, (words, key_of) in _KINDS.items():
        found = record.fingerprints.get(kind)
        if found is None or key_of(record.arm) is None:
            continue
        if now.get(kind, found) != found:
            raise InvalidArgumentError(
                f"arm {record.label!r}, seed {record.seed}: the {words} of its stored run are not "
                f"those of a run now, which would not be paired with it. {_advice(record)}"
            )


def _advice(*records: RunRecord) -> str:
    names = " or ".join(record_path("", r.arm, r.seed).name for r in records)
    return (
        "What a task file imports, or the data, changed since: give another --out, or delete the "
        f"earlier records ({names} and those made with it)"
    )
