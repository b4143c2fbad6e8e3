"""Results as tables: in the terminal (with rich where it is installed) and as Markdown."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from riemann_lne.checks import printable

from .results import Result, Row

_QUARTILES = ", quartiles"
_COMPARED = ("times", "difference", "fused is faster")


def text_of(value: Any) -> str:
    """A figure in a few characters.

    >>> text_of(1234.567), text_of(True), text_of([0.5, 1.25]), text_of(None)
    ('1235', 'yes', '0.5 to 1.25', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " to ".join(text_of(v) for v in value)
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if 1000 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.3g}"


def columns(rows: Sequence[Row]) -> list[str]:
    """Names of the figures that any of the rows has, in the order in which they come."""
    names: dict[str, None] = {}
    for row in rows:
        for name in row.figures:
            if not name.endswith(_QUARTILES):
                names.setdefault(name)
    return list(names)


def cell(row: Row, name: str) -> str:
    """A figure, with its quartiles in brackets where it has them."""
    quartiles = row.figures.get(name + _QUARTILES)
    text = text_of(row.figures.get(name))
    return text if quartiles is None else f"{text} ({text_of(quartiles)})"


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with the same figures, together, so that a table has no empty columns."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        # Rows of one table may be compared with different versions.
        key = tuple(n for n in row.figures if not n.startswith(_COMPARED))
        found.setdefault(key, []).append(row)
    return list(found.values())


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; | in a cell is escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    rule = "|" + "---|" * len(head)
    return "\n".join([line(head), rule, *(line(row) for row in body)])


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and body of the table of some rows; a noisy time is marked with a tilde."""
    names = columns(rows)
    body = [
        [row.what + (" ~" if row.noisy else ""), *(cell(row, n) for n in names)] for row in rows
    ]
    return ["", *names], body


class Terminal:
    """Prints results as they come."""

    def __init__(self) -> None:
        try:
            from rich.console import Console
        except ImportError:
            self._console: Any = None
        else:
            # A log may be as wide as its tables need it.
            self._console = Console(width=None if sys.stdout.isatty() else 200)

    def say(self, text: str) -> None:
        """One line."""
        text = printable(text)
        if self._console is None:
            print(text, flush=True)
        else:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def status(self, text: str) -> None:
        """The name of the running measurement: on a terminal only, a log does not need it."""
        if self._console is not None and self._console.is_terminal:
            self._console.print(f"  {text}", style="dim", highlight=False, markup=False)

    def result(self, result: Result) -> None:
        """The table of one benchmark and its remarks."""
        self.say(f"\n{result.name}: {result.title} ({result.seconds:.0f} s)")
        for rows in groups(result.rows):
            self._show(rows)
        for note in result.notes:
            self.say(f"  {note}")
        if result.problem:
            self.say(f"  broke down:\n{result.problem}")

    def _show(self, rows: Sequence[Row]) -> None:
        head, body = table(rows)
        if self._console is None:
            for row in body:
                cells = zip(head[1:], row[1:], strict=True)
                self.say(f"  {row[0]}")
                self.say("      " + ", ".join(f"{name} {text}" for name, text in cells if text))
            return
        self._rich(head, body)

    def _rich(self, head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        shown = Table()
        for i, name in enumerate(head):
            shown.add_column(
                Text(name), justify="right" if i else "left", no_wrap=not head[0] and not i
            )
        for row in body:
            shown.add_row(*(Text(cell) for cell in row))
        self._console.print(shown)

    def requirements(self, judged: Sequence[dict[str, Any]]) -> None:
        """Targets, measured numbers, verdicts."""
        self.say("\ntargets (quartiles in brackets)")
        head, body = requirement_table(judged)
        if self._console is not None:
            self._rich(head, body)
            return
        for row in body:
            self.say("  " + "; ".join(text for text in row if text))


def requirement_table(judged: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and body of the table of targets."""
    body = [
        [
            entry["statement"],
            entry["bound"],
            text_of(entry["measured"])
            + (f" ({text_of(entry['quartiles'])})" if entry["quartiles"] else ""),
            entry["verdict"],
        ]
        for entry in judged
    ]
    return ["target", "bound", "measured", "verdict"], body
