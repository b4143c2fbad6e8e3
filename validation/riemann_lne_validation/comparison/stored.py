"""A comparison back from the JSON file that `report.write_json` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError

from ..lab.stored_json import read_json, reading, unseal
from .arms import ArmSummary, Curve
from .contracts import Measure
from .identical import Same
from .image_hits import ImageHits
from .noise import Floor
from .paired import Paired
from .protocol import Arm
from .report import SCHEMA
from .statistics import Description, Interval
from .summary import Comparison, Summary, summarise_arms

_KIND = "the results of a comparison"
_ADVICE = (
    "restore it from a copy, or write it anew: the command that made it takes the runs from its "
    "folder"
)
_ENTRIES = {
    "schema", "title", "version", "command", "metric", "alpha", "sentences", "comparisons", "arms",
    "same", "measure", "noise_floor", "skipped", "broken", "counts", "tuning", "notes", "study",
    "environment",
}  # fmt: skip


def read_summary(path: str | Path) -> Summary:
    """The summary of a JSON file, to print or to draw it again.

    Files of schema 1 have neither hits of single images nor the marks of arms that repeat others:
    their comparisons are computed anew from the accuracies of every seed.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InvalidArgumentError
        If it is not such a file, or of another schema.
    """
    path = Path(path)
    with reading(path, _KIND, _ADVICE):
        data = read_json(path)
        known = isinstance(data, Mapping) and data.get("schema") in (1, SCHEMA)
        if not known or "comparisons" not in data:
            raise InvalidArgumentError(f"it holds no comparison of schema 1 to {SCHEMA}")
        data = unseal(data)
        odd = sorted(set(data) - _ENTRIES)
        if odd:
            raise InvalidArgumentError(f"it has entries that are not known: {', '.join(odd)}")
        return _summary(data)


def _summary(data: Mapping[str, Any]) -> Summary:
    arms = tuple(_arm(a) for a in data["arms"])
    more: dict[str, Any] = {
        "title": data["title"],
        "command": data["command"],
        "metric": data["metric"],
        "alpha": data["alpha"],
        "environment": data["environment"],
        "study": data["study"],
        "tuning": tuple(data["tuning"]),
        "notes": tuple(data["notes"]),
    }
    # not in files that were written before there were tasks
    more["measure"] = Measure(**data.get("measure", {}))
    more["skipped"] = dict(data.get("skipped", {}))
    more["broken"] = dict(data.get("broken", {}))
    floor = data.get("noise_floor")
    if data["schema"] == 1:
        return _anew(data, arms, more)
    return Summary(
        arms=arms,
        comparisons=tuple(
            Comparison(
                c["arm"],
                c["reference"],
                _paired(c["primary"]) if c["primary"] else None,
                _paired(c["last"]),
                _paired(c["final"]),
                _paired(c["primary_other"]) if c["primary_other"] else None,
            )
            for c in data["comparisons"]
        ),
        same=tuple(Same(**s) for s in data["same"]),
        floor=None if floor is None else Floor.from_dict(floor),
        **more,
    )


def _anew(data: Mapping[str, Any], arms: tuple[ArmSummary, ...], more: dict[str, Any]) -> Summary:
    """Comparisons of a file of schema 1, by the arms and references that it compares."""
    stored = data["comparisons"]
    primary = [(c["arm"], c["reference"]) for c in stored if c["primary"]]
    # an arm without a comparison of its own was its own reference
    references = {a.label: a.label for a in arms}
    references |= dict(reversed(primary))
    references |= {c["arm"]: c["reference"] for c in stored if not c["primary"]}
    test = data["study"].get("study", {}).get("test", "t")
    return summarise_arms(arms, references=references, primary=primary, test=test, **more)


def _arm(data: Mapping[str, Any]) -> ArmSummary:
    found = {k: v for k, v in data.items() if k != "label"}
    found["arm"] = Arm.from_dict(data["arm"])
    for name in ("diverged", "last_by_seed", "final_by_seed"):
        found[name] = {int(seed): value for seed, value in data[name].items()}
    for name in ("seeds", "warnings"):
        found[name] = tuple(data[name])
    for name in ("last", "final"):
        found[name] = Description(**data[name]) if data[name] else None
    hits = data.get("hits", {})  # not in schema 1
    found["hits"] = {int(seed): ImageHits.from_dict(table) for seed, table in hits.items()}
    found["curve"] = Curve(**{name: tuple(values) for name, values in data["curve"].items()})
    return ArmSummary(**found)


def _paired(data: Mapping[str, Any]) -> Paired:
    found = dict(data)
    for name in ("seeds", "differences", "missing", "notes"):
        found[name] = tuple(data[name])
    for name in ("student", "bootstrap", "family", "two_way"):
        found[name] = Interval(**data[name]) if data[name] else None
    found["description"] = Description(**data["description"]) if data["description"] else None
    return Paired(**found)
