"""The recorded comparisons for the documentation: tables and pages from their JSON files.

Nothing is typed in: every number on the page comes from a file in ``docs/results``, which
``riemann-lne compare ... --json docs/results/NAME.json`` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from riemann_lne_validation.comparison import report, tables
from riemann_lne_validation.comparison.stored import read_summary
from riemann_lne_validation.comparison.summary import Summary

_MOST_SENTENCES = 10


def write_results(source: Path, target: Path, pages: Path) -> None:
    """Write ``target``, a piece of Markdown, and one page for each file of ``source``."""
    parts = []
    summaries = {path.stem: read_summary(path) for path in sorted(source.glob("*.json"))}
    for name, summary in summaries.items():
        report.write_report(pages / name, summary)
        parts.append(_section(summary, f"{pages.name}/{name}/index.html"))
    if not parts:
        parts = ["This version of the library comes without recorded results."]
    shared = shared_runs(summaries)
    if shared:
        lines = "\n".join(f"- {_text(line)}" for line in shared)
        parts.append(
            "### Arms of two studies with the same runs\n\nThey are one piece of evidence, not "
            f"two.\n\n{lines}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def shared_runs(summaries: Mapping[str, Summary]) -> list[str]:
    """A line for every group of arms of different studies that have the same runs."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, summary in summaries.items():
        for arm in summary.distinct:
            key = (*arm.last_by_seed.items(), *arm.final_by_seed.items(), arm.curve)
            groups.setdefault(key, []).append(f"{arm.label} ({name})")
    return [" = ".join(labels) for labels in groups.values() if len(labels) > 1]


def _section(summary: Summary, link: str) -> str:
    counts = report.counts(summary)
    environment = summary.environment
    # of many comparisons, none of them primary, the table says the same in less space
    sentences = summary.sentences if len(summary.sentences) <= _MOST_SENTENCES else ()
    return "\n\n".join([
        f"### {_text(summary.title)}",
        "\n".join(f"- {_text(a)}" for a in summary.answers),
        _text(f"{summary.setting} {summary.floor_line}"),
        "\n".join(f"- {_text(s)}" for s in sentences),
        _table(tables.COMPARISON_COLUMNS, tables.comparison_rows(summary)),
        _text(tables.family_line(summary)),
        "\n".join(
            f"- {_text(line)}"
            for line in (tables.changing_line(summary), *(s.line for s in summary.same))
        ),
        _table(tables.ARM_COLUMNS, tables.arm_rows(summary)),
        "\n".join(f"- {_text(n)}" for n in summary.notes),
        f"{counts['runs']} runs on test images ({counts['diverged']} diverged), "
        f"{counts['configurations_tried']} configurations tried in {counts['tuning_runs']} runs on "
        f"validation images. Command: `{summary.command or 'not recorded'}`. Commit and machine: "
        f"`{json.dumps({k: environment[k] for k in sorted(environment)})}`.",
        f'<a href="{link}">All figures, settings, learning curves</a>',
    ])  # fmt: skip


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_text(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(text: str) -> str:
    """Text in which Markdown finds no markup."""
    for character in "\\*_[]<>|`$":
        text = text.replace(character, "\\" + character)
    return text.replace("sech^2", "sech²")
