"""A comparison back from the JSON file that `report.write_json` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError, StorageError

from .arms import ArmSummary, Curve
from .paired import Paired
from .protocol import Arm
from .report import SCHEMA
from .statistics import Description, Interval
from .summary import Comparison, Summary


def read_summary(path: str | Path) -> Summary:
    """The summary of a JSON file, to print or to draw it again.

    Raises
    ------
    StorageError
        If the file cannot be read.
    InvalidArgumentError
        If it is not such a file, or of another schema.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read the results {path}: {error}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA or "comparisons" not in data:
        raise InvalidArgumentError(f"{path} holds no comparison of schema {SCHEMA}")
    try:
        return _summary(data)
    except (KeyError, TypeError) as error:
        raise InvalidArgumentError(f"{path} is not complete: {error!r}") from error


def _summary(data: Mapping[str, Any]) -> Summary:
    return Summary(
        title=data["title"],
        command=data["command"],
        arms=tuple(_arm(a) for a in data["arms"]),
        comparisons=tuple(
            Comparison(
                c["arm"],
                c["reference"],
                _paired(c["primary"]) if c["primary"] else None,
                _paired(c["last"]),
                _paired(c["final"]),
            )
            for c in data["comparisons"]
        ),
        metric=data["metric"],
        alpha=data["alpha"],
        environment=data["environment"],
        study=data["study"],
        tuning=tuple(data["tuning"]),
        notes=tuple(data["notes"]),
    )


def _arm(data: Mapping[str, Any]) -> ArmSummary:
    found = {k: v for k, v in data.items() if k != "label"}
    found["arm"] = Arm.from_dict(data["arm"])
    for name in ("diverged", "last_by_seed", "final_by_seed"):
        found[name] = {int(seed): value for seed, value in data[name].items()}
    for name in ("seeds", "warnings"):
        found[name] = tuple(data[name])
    for name in ("last", "final"):
        found[name] = Description(**data[name]) if data[name] else None
    found["curve"] = Curve(**{name: tuple(values) for name, values in data["curve"].items()})
    return ArmSummary(**found)


def _paired(data: Mapping[str, Any]) -> Paired:
    found = dict(data)
    for name in ("seeds", "differences", "missing", "notes"):
        found[name] = tuple(data[name])
    for name in ("student", "bootstrap", "family"):
        found[name] = Interval(**data[name]) if data[name] else None
    found["description"] = Description(**data["description"]) if data["description"] else None
    return Paired(**found)
