"""Plots of a comparison as SVG that takes its text colour from the page, light or dark.

The figures are narrow, so that they can be read on a telephone. Text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from riemann_lne.checks import printable
from riemann_lne.errors import MissingDependencyError

from .arms import ArmSummary
from .paired import HARMS, HELPS, Paired
from .statistics import student_interval
from .summary import Comparison, Summary

_INK = "#010203"  # becomes the page's text colour
_WIDTH = 5.2  # inches; 374 points, which a telephone shows at about its natural size
_BLUE, _GREY = "#3b7dd8", "#8a8f98"
_VERDICTS = {HELPS: "#2e9e4f", HARMS: "#d64545"}


def forest(summary: Summary) -> str:
    """Paired differences to the reference with their intervals; primary comparisons in bold."""
    comparisons = list(summary.comparisons)
    with _figure(0.9 + 0.36 * len(comparisons)) as (figure, axes):
        for row, c in enumerate(comparisons):
            _forest_row(axes, -row, c, summary)
        axes.axvline(0.0, color=_INK, linewidth=0.8, alpha=0.7)
        axes.set_ylim(-len(comparisons) + 0.4, 0.75)
        axes.set_yticks([])
        unit = summary.measure.unit
        unit = "percentage points" if unit == "points" else unit
        axes.set_xlabel(", ".join(filter(None, ("difference to the reference", printable(unit)))))
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        return _svg(figure, "forest")


def _forest_row(axes: Any, y: float, c: Comparison, summary: Summary) -> None:
    found = c.primary or c.of(summary.metric)
    colour = _VERDICTS.get(found.verdict, _BLUE)
    text = printable(f"{c.arm}  vs  {c.reference}")
    axes.text(
        0.0, y + 0.28, text, transform=axes.get_yaxis_transform(), fontsize=8,
        fontweight="bold" if c.primary else "normal", color=_INK, va="center",
        parse_math=False,  # a label is no formula, and no broken one
    )  # fmt: skip
    axes.axhline(y - 0.14, color=_GREY, linewidth=0.4, alpha=0.3)
    if found.description is None:
        axes.text(0.5, y - 0.14, "no pair finished", transform=axes.get_yaxis_transform(),
                  fontsize=8, color=_GREY, va="center", ha="center")  # fmt: skip
        return
    _interval(axes, y - 0.14, found, colour)


def _interval(axes: Any, y: float, found: Paired, colour: str) -> None:
    """The 95 % interval thick, the simultaneous one thin, the mean a dot."""
    assert found.description is not None
    if found.family:
        axes.plot([found.family.low, found.family.high], [y, y], color=colour, linewidth=1)
    if found.student:
        axes.plot([found.student.low, found.student.high], [y, y], color=colour, linewidth=3,
                  solid_capstyle="butt")  # fmt: skip
    axes.plot([found.description.mean], [y], "o", color=colour, markersize=5)


def curves(summary: Summary) -> str:
    """Accuracy against epochs: every arm over its reference, mean and standard deviation."""
    pairs = [(summary.arm(c.arm), summary.arm(c.reference)) for c in summary.comparisons]
    panels = [p for p in pairs if p[0].curve.epoch] or [(a, a) for a in summary.arms[:1]]
    rows = -(-len(panels) // 2)
    floor, top = _limits(summary)
    with _figure(0.4 + 1.55 * rows, rows, 2) as (figure, axes):
        flat = np.atleast_1d(axes).ravel()
        for ax, (arm, reference) in zip(flat, panels, strict=False):
            _curve(ax, reference, _GREY)
            _curve(ax, arm, _BLUE)
            title = printable(f"{arm.label}\nvs {reference.label}")
            ax.set_title(title, fontsize=7, color=_INK, parse_math=False)
            ax.set_ylim(floor, top)
            ax.tick_params(labelsize=7)
            ax.grid(alpha=0.25)
        for ax in flat[len(panels) :]:
            ax.set_axis_off()
        figure.supxlabel("epoch", fontsize=9, color=_INK)
        figure.supylabel(_axis(summary), fontsize=9, color=_INK)
        return _svg(figure, "curves")


def _curve(ax: Any, arm: ArmSummary, colour: str) -> None:
    mean = np.array(arm.curve.mean)
    deviation = np.array([d or 0.0 for d in arm.curve.deviation])
    ax.plot(arm.curve.epoch, mean, color=colour, linewidth=1.2)
    ax.fill_between(arm.curve.epoch, mean - deviation, mean + deviation, color=colour, alpha=0.2,
                    linewidth=0)  # fmt: skip


def _axis(summary: Summary) -> str:
    measure = summary.measure
    return printable(", ".join(filter(None, (measure.name, measure.column))))


def _limits(summary: Summary) -> tuple[float, float]:
    """One accuracy range for all panels: the second half of the runs is what matters."""
    late = [v for a in summary.arms for v in a.curve.mean[len(a.curve.mean) // 4 :]]
    if not late:
        return 0.0, 100.0
    low, high = float(np.quantile(late, 0.02)), max(late)
    if summary.measure.unit != "points":
        margin = 0.15 * (high - low) or 1.0
        return low - margin, high + margin
    margin = 0.15 * (high - low) + 0.5
    return max(0.0, low - margin), min(100.0, high + margin)


def cost(summary: Summary) -> str:
    """Accuracy against cost in epochs of plain training; numbers are those of the table."""
    with _figure(3.4) as (figure, axes):
        for number, arm in enumerate(summary.distinct, start=1):
            values = [v for v in arm.values(summary.metric).values() if v is not None]
            if not values:
                continue
            interval = student_interval(values)
            y = float(np.mean(values))
            if interval:
                axes.plot([arm.cost] * 2, [interval.low, interval.high], color=_GREY, linewidth=1)
            axes.plot([arm.cost], [y], "o", color=_BLUE, markersize=4)
            axes.annotate(str(number), (arm.cost, y), xytext=(4, 3), textcoords="offset points",
                          fontsize=8, color=_INK)  # fmt: skip
        axes.set_xscale("log")
        ticks = sorted({float(f"{a.cost:.2g}") for a in summary.arms if a.cost > 0})
        if ticks and ticks[-1] / ticks[0] < 100:
            from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

            kept = [t for i, t in enumerate(ticks) if not i or t > 1.25 * ticks[i - 1]]
            axes.xaxis.set_major_locator(FixedLocator(kept))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlabel("cost, epochs of plain training")
        axes.set_ylabel(_axis(summary))
        axes.grid(alpha=0.25)
        return _svg(figure, "cost")


@contextmanager
def _figure(height: float, rows: int = 1, columns: int = 1) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, in the style of this module."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "matplotlib", "verify", "the report of a comparison", error
        ) from error
    style: Any = {
        "svg.fonttype": "none",
        "text.usetex": False,
        "svg.hashsalt": "riemann-lne",  # the same figure gives the same text
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.facecolor": "none",
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        figure.patch.set_alpha(0.0)
        yield figure, figure.subplots(rows, columns)


def _svg(figure: Any, name: str) -> str:
    """The figure as an SVG element that scales with the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # the ids of several figures share one page
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return text.replace(_INK, "currentColor")
