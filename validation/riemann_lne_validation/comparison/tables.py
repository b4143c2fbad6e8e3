"""The table of a comparison in the terminal: rich if it is installed, plain text otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, Any

from riemann_lne.checks import printable

from .arms import ArmSummary
from .paired import HARMS, HELPS, NULL, Paired
from .statistics import Description
from .summary import Summary

_COLOURS = {HELPS: "green", HARMS: "red", NULL: "dim"}


def number(value: float | None, form: str = ".2f") -> str:
    """The number, or a dash where there is none.

    >>> number(1.234), number(None), number(-0.5, "+.1f")
    ('1.23', '-', '-0.5')
    """
    return "-" if value is None else format(value, form)


def mean_and_deviation(found: Description | None, digits: int = 2) -> tuple[str, str]:
    """Mean and standard deviation (ddof = 1), each as text."""
    if found is None:
        return "-", "-"
    return f"{found.mean:.{digits}f}", number(found.standard_deviation, f".{digits}f")


def interval(found: Paired, kind: str = "student", digits: int = 2) -> str:
    """An interval as text: student, bootstrap, two_way or family."""
    value = getattr(found, kind)
    return "-" if value is None else f"[{value.low:.{digits}f}, {value.high:.{digits}f}]"


def runs(arm: ArmSummary) -> str:
    """Number of runs, and of diverged ones if there are any."""
    lost = len(arm.diverged)
    return f"{len(arm.seeds)} ({lost} diverged)" if lost else str(len(arm.seeds))


def arm_rows(summary: Summary) -> list[list[str]]:
    """One row an arm, in the order of `ARM_COLUMNS`; an arm that repeats another has none.

    An arm whose method does not apply, or of which a run broke off, has a row that says so.
    """
    digits = summary.measure.digits
    rows = [
        [
            arm.label,
            runs(arm),
            *mean_and_deviation(arm.last, digits),
            *mean_and_deviation(arm.final, digits),
            f"{arm.cost:.4g}",
        ]
        for arm in summary.distinct
    ]
    rows += [[label, "skipped", *["-"] * 5] for label in summary.skipped]
    return rows + [[label, "broke off", *["-"] * 5] for label in summary.broken]


def comparison_rows(summary: Summary) -> list[list[str]]:
    """Two rows a comparison, one for each metric, in the order of `COMPARISON_COLUMNS`.

    The study's metric comes first. A primary comparison is starred and corrected within its own
    family. "(changes)" marks a verdict that is another one in the other metric.
    """
    rows = []
    names = (summary.metric, "final" if summary.metric == "last" else "last")
    digits = summary.measure.digits
    for c in summary.comparisons:
        ratio = summary.cost_ratio(c)
        mark = " (changes)" if c.changes(summary.metric) else ""
        for name, found in zip(names, c.both(summary.metric), strict=True):
            mean = found.description.mean if found.description else None
            rows.append([
                ("* " if c.primary else "") + c.arm,
                c.reference,
                number(ratio, ".3g"),
                name,
                number(mean, f"+.{digits}f"),
                interval(found, digits=digits),
                interval(found, "two_way", digits),
                number(found.p, ".2g"),
                number(found.adjusted, ".2g"),
                number(found.p_sign_flip, ".2g"),
                found.verdict + mark,
            ])  # fmt: skip
    return rows


ARM_COLUMNS = ("arm", "runs", "last", "sd", "final", "sd", "cost")
COMPARISON_COLUMNS = (
    "arm", "reference", "cost ratio", "metric", "difference", "95 % interval", "seeds and items",
    "p", "adjusted", "sign flip", "verdict",
)  # fmt: skip
_WORDS = ("arm", "reference", "metric", "verdict")


def print_table(summary: Summary, file: IO[str] | None = None) -> None:
    """Print arms, comparisons, and what follows from them.

    Parameters
    ----------
    summary : Summary
    file : text stream, optional
        By default the standard output.
    """
    stream = file or sys.stdout
    if summary.floor is not None:
        stream.write(f"{printable(summary.floor_line)}\n")
    _print(stream, summary.title, ARM_COLUMNS, arm_rows(summary))
    stream.write(
        f"last: mean {printable(summary.measure.name)} of the last 10 epochs, or the last quarter; "
        f"final: of the last epoch; both in {printable(summary.measure.column) or 'its own unit'}, "
        f"mean over seeds; {summary.measure.better} is better.\n"
        "sd: standard deviation over seeds (ddof 1). cost: epochs of plain training.\n"
    )
    for label, reason in summary.skipped.items():
        stream.write(f"{printable(label)} was skipped: {printable(reason)}\n")
    for label, reason in summary.broken.items():
        stream.write(f"{printable(label)} broke off: {printable(reason)}\n")
    stream.write(f"\n{printable(summary.floor_line)}\n")
    rows = comparison_rows(summary)
    lines = [s.line for s in summary.same]
    if rows:
        _print(stream, "Paired differences", COMPARISON_COLUMNS, rows)
        lines = [family_line(summary), changing_line(summary), *lines]
    else:
        lines.insert(
            0,
            "Nothing to compare: the other arm of every pair broke off."
            if summary.broken
            else "Nothing to compare: give another method beside the reference.",
        )
    for line in lines:
        stream.write(f"{printable(line)}\n")
    for sentence in summary.sentences:
        stream.write(f"\n{printable(sentence)}")
    stream.write("\n")
    for note in summary.notes:
        stream.write(f"\nnote: {printable(note)}")
    stream.write("\n" if summary.notes else "")


def _unit(summary: Summary) -> str:
    unit = summary.measure.unit
    return "Percentage points" if unit == "points" else f"Differences in {unit or 'its own unit'}"


def family_line(summary: Summary) -> str:
    """The number of comparisons, and the correction for it."""
    primary = [c.primary for c in summary.comparisons if c.primary]
    count = len(summary.comparisons)
    parts = [
        f"{_unit(summary)}; Student's interval over seeds, bootstrap over seeds and items; p "
        "two-sided, of the t test and of sign flips; cost ratio: cost of the arm over that of the "
        "reference; (changes): another verdict in the other metric; adjusted: Holm over "
        f"{count} comparison{'' if count == 1 else 's'} (smallest p against "
        f"{summary.alpha / max(1, count):.2g})"
    ]
    if primary:
        parts.append(
            f"; * primary, fixed before the runs: Holm over {len(primary)} "
            f"({summary.alpha / len(primary):.2g})"
        )
    return "".join(parts) + "."


def changing_line(summary: Summary) -> str:
    """Which verdicts are others in the other metric."""
    other = "final" if summary.metric == "last" else "last"
    found = []
    for c in summary.comparisons:
        if c.changes(summary.metric):
            one, two = c.both(summary.metric)
            found.append(
                f"{c.arm} against {c.reference} ({summary.metric}: {one.verdict}, {other}: "
                f"{two.verdict})"
            )
    if not found:
        return "No verdict changes with the metric."
    return f"Verdicts that change with the metric: {'; '.join(found)}."


def _print(
    stream: IO[str], title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    title, rows = printable(title), [[printable(cell) for cell in row] for row in rows]
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        _print_plain(stream, title, columns, rows)
        return
    table = Table(title=Text(title), title_justify="left")
    for i, column in enumerate(columns):
        words = column in _WORDS
        table.add_column(column, justify="left" if words else "right", no_wrap=i > 0 and not words)
    for row in rows:
        table.add_row(*(_coloured(cell) for cell in row))
    console = Console(file=stream)
    if not console.is_terminal:
        # into a file or pipe: as wide as the table needs, nothing wrapped or cut off
        console = Console(file=stream, width=250)
    console.print(table)


def _coloured(cell: str) -> Any:
    from rich.text import Text

    return Text(cell, style=_COLOURS.get(cell.removesuffix(" (changes)"), ""))


def _print_plain(
    stream: IO[str], title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    widths = [max(len(r[i]) for r in (columns, *rows)) for i in range(len(columns))]
    stream.write(f"{title}\n")
    for row in (columns, ["-" * w for w in widths], *rows):
        cells = [
            cell.ljust(w) if columns[i] in _WORDS else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        stream.write("  ".join(cells).rstrip() + "\n")
