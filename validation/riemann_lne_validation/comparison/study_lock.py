"""The lock of a study's folder: once a test run has been started, the plan does not change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError
from riemann_lne.io import storage_errors, write_atomically

from ..lab.stored_json import read_json, reading, seal, unseal

NAME = "study.lock.json"
_ADVICE = "restore it from a copy, or use another folder; the records of the runs are still good"


class StudyLockedError(RiemannLNEError, RuntimeError):
    """Test runs have begun under another configuration of the study."""


def table_digest(table: Mapping[str, Any]) -> str:
    """SHA-256 of a table's contents. Comments and the order of entries do not count.

    Examples
    --------
    >>> table_digest({"a": 1, "b": [1.0]}) == table_digest({"b": [1.0], "a": 1})
    True
    """
    text = json.dumps(table, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class StudyLock:
    """Record of the study that a folder belongs to.

    Attributes
    ----------
    path : Path
    data : dict
        "table", "revisions" (digest and time of every version), "final" (None, or the time, the
        chosen settings and the arms of the test runs).
    """

    path: Path
    data: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, table: Mapping[str, Any]) -> StudyLock:
        """The lock of a folder; made if there is none.

        Raises
        ------
        StudyLockedError
            If the study was changed after its first test run.
        InvalidArgumentError
            If the lock is damaged, or there are test runs without a lock.
        """
        path = Path(folder) / NAME
        digest = table_digest(table)
        if not path.exists():
            if any((Path(folder) / "final").glob("records/*")):
                raise InvalidArgumentError(
                    f"{folder} has test runs but no {NAME}: it cannot be known under which plan "
                    "they were made; use another folder"
                )
            lock = cls(path, {"table": dict(table), "revisions": [_stamp(digest)], "final": None})
            lock._write()
            return lock
        lock = cls(path, _load(path))
        if lock.digest != digest:
            if lock.data["final"] is not None:
                raise StudyLockedError(
                    f"the study was changed after its test runs began ({lock.final_since}). "
                    f"Changed: {', '.join(differences(lock.data['table'], table))}. Results chosen "
                    f"after a look at the test images are no results: undo the change, or start "
                    f"anew in another folder than {folder}"
                )
            lock.data["table"] = dict(table)
            lock.data["revisions"].append(_stamp(digest))
            lock._write()
        return lock

    @property
    def digest(self) -> str:
        """SHA-256 of the configuration that holds."""
        return str(self.data["revisions"][-1]["digest"])

    @property
    def revisions(self) -> int:
        """How many versions there were, the first included."""
        return len(self.data["revisions"])

    @property
    def final_since(self) -> str:
        """When the plan was fixed for good; empty before."""
        return self.data["final"]["since"] if self.data["final"] else ""

    def begin_final(
        self, chosen: Mapping[str, Mapping[str, Any]], arms: Sequence[Mapping[str, Any]]
    ) -> None:
        """Fix the plan, the chosen settings and the arms: test runs begin now, or go on.

        Raises
        ------
        StudyLockedError
            If test runs have begun with other settings, as after a change of tuning records or of
            what the defaults of an arm are.
        """
        fixed = json.loads(json.dumps({"chosen": dict(chosen), "arms": list(arms)}))
        before = self.data["final"]
        if before is None:
            self.data["final"] = {"since": _now(), **fixed}
            self._write()
            return
        for name, value in fixed.items():
            if before[name] != value:
                raise StudyLockedError(
                    f"test runs began ({before['since']}) with other settings: {name} was "
                    f"{before[name]!r} and is {value!r}; the tuning records of {self.path.parent} "
                    "or the defaults of the arms have changed. Start anew in another folder"
                )

    def _write(self) -> None:
        text = json.dumps(seal(self.data), indent=1, allow_nan=False) + "\n"
        with storage_errors("the lock of the study", self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, lambda file: file.write(text.encode()))


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """The entries in which two tables differ.

    Examples
    --------
    >>> differences({"final": {"seeds": [1]}, "x": 1}, {"final": {"seeds": [1, 2]}, "x": 1})
    ['final.seeds']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in [*old, *(k for k in new if k not in old)]:
            name = f"{where}.{key}" if where else str(key)
            if key not in old or key not in new:
                found.append(name)
            else:
                found += differences(old[key], new[key], name)
        return found
    if _tables(old) and _tables(new) and len(old) == len(new):
        return [
            d
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for d in differences(a, b, f"{where}[{a.get('label', i)}]")
        ]
    return [] if old == new else [where]


def _tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, Mapping) for v in value)


def _load(path: Path) -> dict[str, Any]:
    with reading(path, "the lock of a study", _ADVICE):
        data = unseal(read_json(path))
        if set(data) != {"table", "revisions", "final"}:
            raise InvalidArgumentError(f"it has the entries {', '.join(sorted(data))}")
        last = data["revisions"][-1]["digest"]
        if data["final"] is not None:
            for name in ("since", "chosen", "arms"):
                data["final"][name]
        if table_digest(data["table"]) != last:
            raise InvalidArgumentError("it was edited: its table does not have its digest")
        return data


def _stamp(digest: str) -> dict[str, str]:
    return {"digest": digest, "since": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
