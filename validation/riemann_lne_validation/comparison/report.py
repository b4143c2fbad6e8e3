"""A comparison as JSON with everything in it, and as one HTML page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

from riemann_lne import __version__
from riemann_lne.checks import printable
from riemann_lne.io import storage_errors, write_atomically

from ..lab.stored_json import seal
from . import plots
from .arms import ArmSummary
from .page import PAGE
from .paired import Paired
from .summary import METRICS, Summary
from .tables import changing_line, family_line, interval, mean_and_deviation, number, runs

SCHEMA = 2


def to_dict(summary: Summary) -> dict[str, Any]:
    """The whole summary in the types of JSON: accuracies in percentage points, None for none.

    The differences, intervals, p-values and verdicts can be computed anew from ``by_seed`` and
    ``hits`` alone.
    """
    return {
        "schema": SCHEMA,
        "title": summary.title,
        "version": __version__,
        "command": summary.command,
        "metric": summary.metric,
        "alpha": summary.alpha,
        "sentences": summary.sentences,
        "comparisons": [
            {
                "arm": c.arm,
                "reference": c.reference,
                "primary": asdict(c.primary) if c.primary else None,
                "last": asdict(c.last),
                "final": asdict(c.final),
                "primary_other": asdict(c.primary_other) if c.primary_other else None,
                "changes_with_metric": c.changes(summary.metric),
                "cost_ratio": summary.cost_ratio(c),
            }
            for c in summary.comparisons
        ],
        "arms": [_arm(a) for a in summary.arms],
        "same": [asdict(s) for s in summary.same],
        "measure": asdict(summary.measure),
        "noise_floor": asdict(summary.floor) if summary.floor else None,
        "skipped": dict(summary.skipped),
        "broken": dict(summary.broken),
        "counts": counts(summary),
        "tuning": [dict(t) for t in summary.tuning],
        "notes": list(summary.notes),
        "study": dict(summary.study),
        "environment": dict(summary.environment),
    }


def counts(summary: Summary) -> dict[str, int]:
    """How much was tried: runs, diverged runs, configurations, comparisons."""
    return {
        "arms": len(summary.arms),
        "runs": sum(len(a.seeds) for a in summary.arms),
        "diverged": sum(len(a.diverged) for a in summary.arms),
        "configurations_tried": len(summary.tuning),
        "tuning_runs": sum(len(t["seeds"]) for t in summary.tuning),
        "comparisons": len(summary.comparisons),
        "primary_comparisons": sum(c.primary is not None for c in summary.comparisons),
    }


def write_json(path: str | Path, summary: Summary) -> Path:
    """Write `to_dict` to a file, which appears when it is complete.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    path = Path(path)
    text = json.dumps(seal(to_dict(summary)), indent=1, allow_nan=False) + "\n"
    with storage_errors("the results", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(text.encode()))
    return path


def write_report(folder: str | Path, summary: Summary) -> Path:
    """One self-contained page, index.html. Returns its path.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    StorageError
        If it cannot be written.
    """
    path = Path(folder) / "index.html"
    page = render(summary)
    with storage_errors("the report", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(page.encode()))
    return path


def render(summary: Summary) -> str:
    """The page as text."""
    return Template(PAGE).substitute(
        title=_e(summary.title),
        notes=_items(summary.notes),
        answers=_items(summary.answers) or "<li>nothing was compared</li>",
        setting=_e(summary.setting),
        sentences=_items(summary.sentences),
        family=_e(
            " ".join(
                [family_line(summary), changing_line(summary), *(s.line for s in summary.same)]
            )
        ),
        counts=_e(_counts_line(summary)),
        floor=_e(summary.floor_line),
        measure=_e(summary.measure.name),
        column=_e(summary.measure.column),
        better=_e(summary.measure.better),
        unit="Percentage points" if summary.measure.unit == "points" else _e(summary.measure.unit),
        forest=plots.forest(summary) if summary.comparisons else "",
        cost=plots.cost(summary),
        curves=plots.curves(summary),
        arms=_arms(summary),
        comparisons=_comparisons(summary),
        tuning=_tuning(summary),
        settings=_settings(summary),
        remarks=_remarks(summary),
        study=_e(json.dumps(summary.study, indent=1)) if summary.study else "no study file",
        environment=_table([k, json.dumps(v)] for k, v in summary.environment.items()),
        command=_e(summary.command or "not recorded"),
        version=_e(__version__),
    )


def _arm(a: ArmSummary) -> dict[str, Any]:
    found = asdict(a)
    found["arm"] = a.arm.to_dict()
    for name in ("last_by_seed", "final_by_seed", "diverged"):
        found[name] = {str(k): v for k, v in found[name].items()}
    found["hits"] = {str(seed): hits.to_dict() for seed, hits in a.hits.items()}
    return {"label": a.label, **found}


def _e(text: Any) -> str:
    return html.escape(printable(text))


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{_e(line)}</li>" for line in lines)


def _counts_line(summary: Summary) -> str:
    c = counts(summary)
    text = f"{c['runs']} runs of {c['arms']} arms on test items, {c['diverged']} of them diverged"
    if c["configurations_tried"]:
        text += (
            f"; before that {c['tuning_runs']} runs of {c['configurations_tried']} configurations "
            "on validation items"
        )
    return text + "."


def _table(
    rows: Iterable[Sequence[Any]],
    names: Sequence[str] = (),
    numbers_from: int = 99,
    css: str = "wide",
) -> str:
    """A table; cells from this column on are numbers. A cell may be ready markup.

    On a narrow screen the name of a column stands beside each of its cells.
    """
    parts = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            kind = " class=number" if i >= numbers_from else ""
            name = f' data-name="{_e(names[i])}"' if 0 < i < len(names) and names[i] else ""
            text = cell if isinstance(cell, _Markup) else _e(cell)
            cells.append(f"<td{kind}{name}>{text}</td>")
        parts.append(f"<tr>{''.join(cells)}</tr>")
    if not parts:
        return ""
    head = "".join(f"<th>{_e(name)}</th>" for name in names)
    body = "\n".join(parts)
    return (
        f'<div class="{css}"><table>{f"<thead><tr>{head}</tr></thead>" if head else ""}<tbody>\n'
        f"{body}\n</tbody></table></div>"
    )


class _Markup(str):
    """Text that is HTML already."""


def _verdict(found: Paired) -> _Markup:
    return _Markup(f'<span class="v-{_e(found.verdict)}">{_e(found.verdict)}</span>')


def _arms(summary: Summary) -> str:
    rows, digits = [], summary.measure.digits
    for i, a in enumerate(summary.distinct, start=1):
        flips = None if a.sign_flip_rate is None else 100 * a.sign_flip_rate
        rows.append([
            i, a.label, runs(a), *mean_and_deviation(a.last, digits),
            *mean_and_deviation(a.final, digits), number(a.spread, f".{digits}f"),
            number(flips), number(a.gradient_angle, ".1f"),
            f"{a.cost:.4g}", number(a.pretraining_cost, ".4g"), number(a.seconds, ".3g"),
        ])  # fmt: skip
    for label, reason in summary.skipped.items():
        rows.append(["", label, f"skipped: {reason}", *["-"] * 10])
    for label, reason in summary.broken.items():
        rows.append(["", label, f"broke off: {reason}", *["-"] * 10])
    column = summary.measure.column
    names = (
        "", "arm", "runs", f"last, {column}", "sd", f"final, {column}", "sd", "spread", "flips, %",
        "angle, deg", "cost", "start", "seconds",
    )  # fmt: skip
    return _table(rows, names, 2, "wide narrow")


def _comparisons(summary: Summary) -> str:
    """Two rows a comparison, the study's metric first."""
    rows, digits = [], summary.measure.digits
    form = f".{digits}f"
    names = (summary.metric, "final" if summary.metric == "last" else "last")
    for c in summary.comparisons:
        ratio = number(summary.cost_ratio(c), ".3g")
        changes = "changes" if c.changes(summary.metric) else ""
        for name, first in zip(names, (c.primary, c.primary_other), strict=True):
            found = c.of(name)
            mean = found.description.mean if found.description else None
            spread = found.description.standard_deviation if found.description else None
            rows.append([
                c.arm, c.reference, name,
                _verdict(first) if first else "", number(first.adjusted, ".2g") if first else "",
                _verdict(found), changes, ratio, number(mean, f"+{form}"), number(spread, form),
                interval(found, digits=digits), interval(found, "bootstrap", digits),
                interval(found, "two_way", digits), interval(first or found, "family", digits),
                number(found.p, ".2g"), number(found.adjusted, ".2g"),
                number(found.p_sign_flip, ".2g"), number(found.adjusted_sign_flip, ".2g"),
                number(found.resolves, form), number(found.detectable, form),
            ])  # fmt: skip
    columns = (
        "arm", "reference", "metric", "primary", "adjusted p", "of all", "with the metric",
        "cost ratio", "difference", "sd", "Student 95 %", "bootstrap 95 %", "seeds and items 95 %",
        "simultaneous", "p", "adjusted p", "p, sign flip", "adjusted", "resolves", "power .8",
    )  # fmt: skip
    return _table(rows, columns, 7)


def _remarks(summary: Summary) -> str:
    found = list(
        dict.fromkeys(
            f"{c.arm}: {note}"
            for c in summary.comparisons
            for m in METRICS
            for note in c.of(m).notes
        )
    )
    for a in summary.arms:
        found += [f"{a.label}, seed {s}: diverged in {why}" for s, why in a.diverged.items()]
        found += [f"{a.label}: {warning}" for warning in a.warnings]
    return "".join(f"<li>{_e(f)}</li>" for f in found) or "<li>none</li>"


def _tuning(summary: Summary) -> str:
    rows, form = [], f".{summary.measure.digits}f"
    for t in summary.tuning:
        chosen = _Markup("<b>chosen</b>") if t["chosen"] else ""
        lost = f" ({t['diverged']} diverged)" if t["diverged"] else ""
        rows.append([
            t["arm"], _settings_text(t["settings"]), chosen,
            number(t["validation_mean"], form), number(t["validation_standard_deviation"], form),
            f"{len(t['seeds'])}{lost}", number(t["cost"], ".4g"),
        ])  # fmt: skip
    column = f"validation, {summary.measure.column}"
    names = ("arm", "settings", "", column, "sd", "runs", "cost")
    return _table(rows, names, 3) or "<p>Nothing was tuned.</p>"


def _settings_text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} = {v}" for k, v in settings.items())


def _settings(summary: Summary) -> str:
    """Settings that differ between arms as a table; those that all share in one row."""
    tables = [a.arm.to_dict() for a in summary.arms]
    names = list(dict.fromkeys(n for t in tables for n in t if n != "label"))
    shared = [n for n in names if all(t.get(n) == tables[0].get(n) for t in tables)]
    rows = [[a.label, _settings_text({n: t.get(n, "") for n in names if n not in shared})]
            for a, t in zip(summary.arms, tables, strict=True)]  # fmt: skip
    rows.append(["all arms", _settings_text({n: tables[0].get(n, "") for n in shared})])
    return _table(rows)
