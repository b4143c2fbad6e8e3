"""The recorded comparisons for the documentation: tables and pages from their JSON files.

Nothing is typed in: every number on the page comes from a file in ``docs/results``, which
``riemann-lne compare ... --json docs/results/NAME.json`` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from riemann_lne_validation.comparison import report, tables
from riemann_lne_validation.comparison.paired import HARMS, HELPS, NULL, Paired
from riemann_lne_validation.comparison.stored import read_summary
from riemann_lne_validation.comparison.summary import Summary

_MOST_SENTENCES = 10
BITS = {
    "mnist1d-1bit-20": "one bit",
    "mnist1d-158-20": "three levels",
    "mnist1d-2bit": "two bits",
    "mnist1d-4bit-20": "four bits",
}
"""Studies that ask the same at other numbers of bits, with the heads of their columns."""

AGAIN = "-20"
"""Ends the name of a study that asks another one's question again, on more and new seeds."""


def write_results(source: Path, target: Path, pages: Path) -> None:
    """Write ``target``, a piece of Markdown, and one page for each file of ``source``."""
    parts = []
    summaries = {path.stem: read_summary(path) for path in sorted(source.glob("*.json"))}
    for name, summary in summaries.items():
        report.write_report(pages / name, summary)
        link = f"{pages.name}/{name}/index.html"
        again = summaries.get(name + AGAIN)
        parts.append(
            _section(summary, link) if again is None else _first_look(summary, link, again)
        )
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


def write_bits(source: Path, target: Path) -> None:
    """Write ``target``: the arms that two and more of the studies `BITS` share, in one table."""
    target.parent.mkdir(parents=True, exist_ok=True)
    found = {n: read_summary(p) for n in BITS if (p := source / f"{n}.json").exists()}
    target.write_text(bits_table(found) + "\n", encoding="utf-8")


def bits_table(summaries: Mapping[str, Summary]) -> str:
    """Differences to STE in the studies' metric, by arm and number of bits, as a table."""
    by_arm: dict[str, dict[str, Paired]] = {}
    for name, summary in summaries.items():
        for c in summary.comparisons:
            if c.reference == "STE":
                by_arm.setdefault(c.arm, {})[name] = c.last
    shared = {arm: found for arm, found in by_arm.items() if len(found) > 1}
    rows = [
        [f"**{arm}**", *(_bits_cell(found.get(name)) for name in summaries)]
        for arm, found in sorted(shared.items(), key=lambda item: -_mean_of(item[1].values()))
    ]
    seeds = ["seeds", *(str(len(s.arm("STE").seeds)) for s in summaries.values())]
    ste = ["STE, %", *(f"{s.arm('STE').last.mean:.1f}" for s in summaries.values())]
    seen = ["seen four times in five", *(_seen(s) for s in summaries.values())]
    head = ["arm", *(BITS[name] for name in summaries)]
    lines = [head, ["---"] * len(head), seeds, ste, *rows, seen]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mean_of(found: Iterable[Paired]) -> float:
    means = [f.description.mean for f in found if f.description is not None]
    return sum(means) / len(means)


def _bits_cell(found: Paired | None) -> str:
    if found is None or found.description is None or found.student is None:
        return ""
    words = {HELPS: " better", HARMS: " worse"}
    mean, (low, high) = found.description.mean, (found.student.low, found.student.high)
    return f"{mean:+.1f} [{low:.1f}, {high:.1f}]{words.get(found.verdict, '')}"


def _seen(summary: Summary) -> str:
    """The largest of the differences that comparisons without a finding would have shown."""
    sizes = [c.last.detectable for c in summary.comparisons if c.last.verdict == NULL]
    known = [size for size in sizes if size is not None]
    return f"{max(known):.1f}" if known else ""


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


def _first_look(summary: Summary, link: str, again: Summary) -> str:
    """In place of the section of a study that was asked again."""
    return (
        f"### {_text(summary.title)}\n\nAsked again on {len(again.arms[0].seeds)} new seeds, see "
        f'above. <a href="{link}">All figures, settings, learning curves</a>'
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_text(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(text: str) -> str:
    """Text in which Markdown finds no markup."""
    for character in "\\*_[]<>|`$":
        text = text.replace(character, "\\" + character)
    return text.replace("sech^2", "sech²")
