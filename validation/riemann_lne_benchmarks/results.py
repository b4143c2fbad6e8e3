"""Result of a benchmark, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from riemann_lne.atomic import write_atomically
from riemann_lne.errors import InvalidArgumentError
from riemann_lne_validation.lab.stored_json import plain, read_json, reading, seal, unseal

from .samples import NOISY, Samples, statistics

FORMAT = 1
_ENTRIES = {"format", "environment", "settings", "benchmarks", "requirements"}


@dataclass
class Row:
    """One thing measured.

    Attributes
    ----------
    what : str
        For people.
    parameters : dict
        Problem that was measured, for programs that look a row up: version, shape, order, dtype,
        threads, ...
    figures : dict
        Results, in the order in which they are shown; the units are in the names.
    samples : Samples or None
        The times behind the figures.
    note : str
        A reason or a warning.
    """

    what: str
    parameters: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    samples: Samples | None = None
    note: str = ""

    @property
    def noisy(self) -> bool:
        """Whether the quartiles of the wall time lie far apart."""
        if self.samples is None or len(self.samples.wall) < 3:
            return False
        return statistics(self.samples.wall).spread > NOISY


@dataclass
class Result:
    """The outcome of one benchmark: its rows, remarks, and, if it broke down, why."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Settings:
    """How a run measures.

    Attributes
    ----------
    quick : bool
        Small sizes, to see that all works; no target can be judged by it.
    repeats : int
        Rounds of everything that takes turns.
    peer_python : str
        Interpreter in which other people's libraries are looked for.
    say : callable
        Takes a line about the progress.
    instructions : str
        One of ``instructions.SETS``.
    """

    quick: bool
    repeats: int
    peer_python: str
    say: Callable[[str], None] = lambda text: None
    instructions: str = "native"

    def as_dict(self) -> dict[str, Any]:
        """Facts that have to be equal for results to stand in one file."""
        more = {} if self.instructions == "native" else {"instructions": self.instructions}
        return {"quick": self.quick, "repeats": self.repeats, **more}


@dataclass
class Record:
    """All results of a run, as they are kept in a file."""

    environment: dict[str, Any]
    settings: dict[str, Any]
    results: dict[str, Result] = field(default_factory=dict)

    def rows(self, name: str, **parameters: Any) -> list[Row]:
        """Rows of a benchmark with these parameters."""
        result = self.results.get(name)
        return [
            row
            for row in (result.rows if result else [])
            if all(row.parameters.get(key) == value for key, value in parameters.items())
        ]

    def write(self, path: Path, requirements: Sequence[dict[str, Any]]) -> None:
        """The record as JSON, written beside and moved in place: never half a file."""
        data = {
            "format": FORMAT,
            "environment": self.environment,
            "settings": self.settings,
            "benchmarks": {name: asdict(result) for name, result in self.results.items()},
            "requirements": list(requirements),
        }
        text = json.dumps(seal(plain(data)), indent=1, allow_nan=False) + "\n"
        try:
            write_atomically(path, lambda file: file.write(text.encode()))
        except OSError as error:
            raise InvalidArgumentError(f"cannot write {path}: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Record:
        """A record from its file.

        Raises
        ------
        StorageError
            If it cannot be read.
        InvalidArgumentError
            If it is not such a file.
        """
        with reading(path, "a file of riemann-lne bench", "name another file, or remove it"):
            data = unseal(read_json(path))
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']}, this version reads {FORMAT}")
            if set(data) != _ENTRIES:
                raise ValueError(f"it has the entries {', '.join(sorted(data))}")
            record = cls(dict(data["environment"]), dict(data["settings"]))
            for name, entry in data["benchmarks"].items():
                rows = [_row(row) for row in entry.pop("rows")]
                record.results[name] = Result(**entry, rows=rows)
            return record


def _row(entry: dict[str, Any]) -> Row:
    samples = entry.pop("samples")
    return Row(**entry, samples=None if samples is None else Samples(**samples))
