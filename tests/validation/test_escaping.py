"""Text from files and users is shown as it is, wherever it goes: page, terminal, picture.

Looked at: labels and titles of plots (mathtext), the report of verify (HTML), the terminal (rich
markup and escape sequences), a comparison's table, forest plot and curves.
"""

from __future__ import annotations

import io

import pytest

from riemann_lne.checks import printable
from riemann_lne_validation.audit.evidence import Line, Plot
from riemann_lne_validation.audit.page import _e, render

HOSTILE = [
    r"$\frac{$",
    "$$",
    "<script>alert(1)</script>",
    "[bold red]x[/]",
    "[/not-open]",
    "\x1b[2J\x1b]0;title\x07",
    "\u202etxt.exe",
    "\ud800",
    "a\r\nb",
]


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_a_plot_with_any_label_is_drawn(label: str) -> None:
    plot = Plot(label, label, label, [Line(label=label, x=[0.0, 1.0], y=[1.0, 2.0])])
    assert render(plot).startswith(b"\x89PNG")


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_a_page_and_a_terminal_show_text_that_does_nothing(label: str) -> None:
    shown = _e(label)
    assert "<" not in shown
    for text in (shown, printable(label)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        text.encode("utf-8")


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_rich_prints_a_label_and_does_not_read_it(label: str) -> None:
    rich = pytest.importorskip("rich.console")
    from rich.table import Table
    from rich.text import Text

    stream = io.StringIO()
    console = rich.Console(file=stream, width=200, force_terminal=True)
    table = Table(title=Text(printable(label)))
    table.add_column(Text(printable(label)))
    table.add_row(Text(printable(label)))
    console.print(table)
    console.print(printable(label), markup=False, highlight=False)
    assert "\x1b[2J" not in stream.getvalue()
    assert printable(label).splitlines()[0] in stream.getvalue()
