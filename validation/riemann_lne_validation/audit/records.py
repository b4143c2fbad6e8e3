"""Results of the audit as plain data: written to JSON, and read back where a run goes on."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from riemann_lne import __version__
from riemann_lne.atomic import storage_errors, write_atomically
from riemann_lne.errors import InvalidArgumentError

from ..lab import stored_json
from ..lab.stored_json import plain, reading, seal, unseal
from .frame import (
    Claim,
    Evidence,
    Line,
    Measurement,
    Outcome,
    Plot,
    Verdict,
    doubt,
    judge,
    parameters_of,
)

_KIND = "a results file of riemann-lne verify"
_ADVICE = "name another file, or remove it: its checks are then run anew"
_PACKAGES = ("riemann_lne", "riemann_lne_torch", "riemann_lne_validation")


@dataclass(frozen=True)
class Setting:
    """Settings of a run, other than the parameters of each check, that its results depend on.

    Attributes
    ----------
    full : bool
        Whether it is the full form.
    backend : str
        Name of the array library.
    """

    full: bool = False
    backend: str = "numpy"

    @property
    def length(self) -> str:
        """The form's name, "quick" or "full"."""
        return "full" if self.full else "quick"


@lru_cache(maxsize=1)
def source_fingerprint() -> str:
    """Hash of this library's source: results of another one are not results of this one."""
    digest = hashlib.sha256()
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _source_of(claim: Claim) -> str:
    """The source on which a claim's results depend: the library's, and the user's file if any."""
    return source_fingerprint() + (f"+{claim.origin}" if claim.origin else "")


def _measurement(m: Measurement) -> dict[str, Any]:
    return {
        "statement": m.statement,
        "measured": plain(m.measured),
        "predicted": plain(m.predicted),
        "error": plain(m.error),
        "tolerance": plain(m.tolerance),
        "reason": m.reason,
        "uncertainty": plain(m.uncertainty),
        "samples": plain(list(m.samples)),
        "same": m.same,
        "true": bool(m.true),
    }


def _plot(plot: Plot) -> dict[str, Any]:
    """A plot with six digits a number: more cannot be seen."""
    data = asdict(plot)
    for line in data["lines"]:
        for axis in ("x", "y"):
            line[axis] = [plain(float(f"{v:.6g}")) for v in line[axis]]
    return data


def as_record(outcome: Outcome, setting: Setting) -> dict[str, Any]:
    """One outcome as plain data; the keys that users rely on come first."""
    evidence = outcome.evidence
    main = _measurement(evidence.claim) if evidence else {}
    record: dict[str, Any] = {
        "id": outcome.claim.id,
        "where": outcome.claim.where,
        "statement": outcome.claim.statement,
        "verdict": str(outcome.verdict),
        "measured": main.get("measured"),
        "predicted": main.get("predicted"),
        "error": main.get("error"),
        "tolerance": main.get("tolerance"),
        "seconds": round(outcome.seconds, 3),
        "parameters": plain(outcome.parameters),
        "length": setting.length,
        "backend": setting.backend,
        "version": __version__,
        "source": _source_of(outcome.claim),
        "problem": outcome.problem,
        "repaired": outcome.claim.repaired or None,
        "cause": outcome.cause or None,
        "certificate": outcome.certificate or None,
    }
    if evidence:
        record["claim"] = main
        record["condition"] = _measurement(evidence.condition) if evidence.condition else None
        record["resolution"] = [_measurement(m) for m in evidence.resolution]
        record["also"] = [_measurement(m) for m in evidence.also]
        record["guard"] = [_measurement(m) for m in evidence.guard]
        record["plots"] = [_plot(p) for p in evidence.plots]
    return record


def write_json(path: Path, outcomes: Sequence[Outcome], setting: Setting) -> None:
    """The outcomes as a list of records. The file is whole at any time, also after a kill."""
    records = [seal(as_record(outcome, setting)) for outcome in outcomes]
    text = json.dumps(records, indent=1, allow_nan=False) + "\n"
    with storage_errors("the results", path):
        write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> list[dict[str, Any]]:
    """The records of a results file.

    Raises
    ------
    StorageError
        If it cannot be read.
    InvalidArgumentError
        If it is not one; the message says what to do.
    """
    with reading(path, _KIND, _ADVICE):
        records = stored_json.read_json(path)
        if not isinstance(records, list):
            raise ValueError("it is no list of results")
        for record in records:
            if not isinstance(record, dict) or not isinstance(record.get("id"), str):
                raise ValueError("an entry is no result with an id")
        ids = [r["id"] for r in records]
        if len(set(ids)) < len(ids):
            raise ValueError("it has two results of one claim")
        return records


def outcome_of(record: Mapping[str, Any], claim: Claim, parameters: dict[str, Any]) -> Outcome:
    """The outcome that a record tells of; its verdict is judged anew from the measurements."""
    evidence = evidence_of(record)
    verdict = judge(evidence) if evidence else Verdict(record["verdict"])
    problem = doubt(evidence) if evidence else record["problem"]
    return Outcome(claim, verdict, evidence, parameters, float(record["seconds"]), problem)


def evidence_of(record: Mapping[str, Any]) -> Evidence | None:
    """The evidence in a record, if the check came so far."""
    if not record.get("claim"):
        return None
    return Evidence(
        _read_measurement(record["claim"]),
        [_read_measurement(m) for m in record["resolution"]],
        _read_measurement(record["condition"]) if record["condition"] else None,
        [_read_measurement(m) for m in record["also"]],
        [_read_plot(p) for p in record["plots"]],
        # Files from before there were guards have none; their measurements are judged alone.
        [_read_measurement(m) for m in record.get("guard", [])],
    )


def _read_measurement(data: Mapping[str, Any]) -> Measurement:
    return Measurement(
        data["statement"],
        data["measured"],
        data["predicted"],
        float(data["error"]),
        float(data["tolerance"]),
        data["reason"],
        float(data["uncertainty"]),
        tuple(float(v) for v in data.get("samples", ())),
        data.get("same", ""),
    )


def _read_plot(data: Mapping[str, Any]) -> Plot:
    lines = [
        Line(d["label"], [float(v) for v in d["x"]], [float(v) for v in d["y"]], d["style"])
        for d in data["lines"]
    ]
    return Plot(**{**data, "lines": lines})


@dataclass(frozen=True)
class Resumed:
    """Outcomes that a run which goes on takes from an earlier one.

    Attributes
    ----------
    taken : list of Outcome
        Finished checks, as recorded.
    refused : dict
        Ids of recorded checks that have to be run again, and why.
    """

    taken: list[Outcome]
    refused: dict[str, str]


def resume(
    path: Path, claims: Sequence[Claim], setting: Setting, overrides: Mapping[str, Any]
) -> Resumed:
    """Entries of a results file that stand for running the same checks again.

    Only results of the same source, form, backend and parameters do; and none of a check that broke
    down or was not run.

    Raises
    ------
    InvalidArgumentError
        If the file is not one of results, or has results of other claims, which would be lost.
    """
    records = read_json(path) if path.exists() else []
    known = {claim.id: claim for claim in claims}
    others = sorted(str(r["id"]) for r in records if r["id"] not in known)
    if others:
        raise InvalidArgumentError(
            f"{path} also has the results of {', '.join(others)}, which this run would drop: name "
            "them in --only too, or another file"
        )
    taken, refused = [], {}
    for record in records:
        claim = known[record["id"]]
        parameters = parameters_of(claim, setting.full, overrides)
        reason = _why_not(record, claim, setting, parameters)
        if reason:
            refused[claim.id] = reason
            continue
        try:
            # Only this version's records come so far, and those have a checksum.
            taken.append(outcome_of(unseal(record, needed=True), claim, parameters))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            refused[claim.id] = "the record is damaged"
    return Resumed(taken, refused)


def _why_not(
    record: Mapping[str, Any], claim: Claim, setting: Setting, parameters: Mapping[str, Any]
) -> str | None:
    """Why a record does not stand for a run with this setting; None if it does."""
    wanted = {
        "version": __version__,
        "source": _source_of(claim),
        "length": setting.length,
        "backend": setting.backend,
    }
    for name, value in wanted.items():
        if record.get(name) != value:
            return f"{name} {record.get(name)!s}, not {value}"
    there, here = record.get("parameters"), plain(parameters)
    if there != here:
        if not isinstance(there, Mapping):
            return "it has no parameters"
        changed = sorted(k for k in {*there, *here} if there.get(k) != here.get(k))
        return f"other {', '.join(changed)}"
    if record.get("verdict") in (Verdict.NOT_RUN, Verdict.ERROR):
        return f"its outcome was {record['verdict']!r}"
    return None
