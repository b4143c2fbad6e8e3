"""What a run of the audit shows: a table in the terminal, JSON, and an HTML page with plots."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import platform
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from riemann_lne import __version__
from riemann_lne.errors import MissingDependencyError

from .audit import Claim, Evidence, Measurement, Outcome, Plot, Verdict

_COLOURS = {
    Verdict.HOLDS: "green",
    Verdict.CONDITIONS: "yellow",
    Verdict.FAILS: "red",
    Verdict.UNRESOLVED: "magenta",
    Verdict.OUT_OF_REACH: "blue",
    Verdict.NOT_RUN: "dim",
    Verdict.ERROR: "bold red",
}

_STYLES: dict[str, dict[str, Any]] = {
    "points": {"marker": "o", "markersize": 4, "linestyle": "none"},
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": "--", "color": "0.45", "linewidth": 1, "zorder": 1},
}


def short(value: Any, entries: int = 3) -> str:
    """A number, list or dict in a few characters."""
    if isinstance(value, Mapping):
        parts = [f"{k}: {short(v)}" for k, v in list(value.items())[:entries]]
        return ", ".join(parts) + (", ..." if len(value) > entries else "")
    if isinstance(value, (list, tuple)):
        parts = [short(v) for v in value[:entries]]
        return "[" + ", ".join(parts) + (", ..." if len(value) > entries else "") + "]"
    if isinstance(value, (bool, str, int, np.integer)):
        return str(value)
    return f"{float(value):.5g}"


def labelled(evidence: Evidence) -> list[tuple[str, Measurement]]:
    """All measurements of a check, each with the part it plays."""
    condition = [("with the condition", evidence.condition)] if evidence.condition else []
    return [
        ("as the paper states it", evidence.claim),
        *condition,
        *(("also", m) for m in evidence.also),
        *(("resolution", m) for m in evidence.resolution),
    ]


class Terminal:
    """Prints the audit; needs rich (extra ``verify``)."""

    def __init__(self) -> None:
        try:
            from rich.console import Console
        except ImportError as error:
            raise MissingDependencyError("rich", "verify", "riemann-lne verify") from error
        self._console = Console()

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def list(self, claims: Sequence[Claim]) -> None:
        """The claims and the parameters that --set takes."""
        for claim in claims:
            self.say(f"{claim.id}  ({claim.where})\n    {claim.statement}")
            settings = ", ".join(f"{k}={v!r}" for k, v in claim.quick.items())
            self.say(f"    parameters: {settings}")

    @contextmanager
    def progress(self, count: int) -> Iterator[Callable[[Outcome], None]]:
        """A bar on a terminal, and a line for every check that is done."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task("", total=count)

            def advance(outcome: Outcome) -> None:
                bar.console.print(
                    f"{outcome.claim.id:32s} {outcome.verdict:22s} {outcome.seconds:6.1f} s",
                    highlight=False,
                )
                bar.advance(task)

            yield advance

    def table(self, outcomes: Sequence[Outcome]) -> None:
        """Every measurement, then the verdicts in one table."""
        from rich.table import Table

        table = Table(title="Theorem audit", title_justify="left")
        table.add_column("claim", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        table.add_column("error", justify="right", no_wrap=True)
        table.add_column("tolerance", justify="right", no_wrap=True)
        for outcome in outcomes:
            m = outcome.evidence.claim if outcome.evidence else None
            table.add_row(
                outcome.claim.id,
                f"[{_COLOURS[outcome.verdict]}]{outcome.verdict}[/]",
                *((f"{m.error:.2g}", f"{m.tolerance:.2g}") if m else ("", "")),
            )
        for outcome in outcomes:
            self._details(outcome)
        self._console.print(table)

    def _details(self, outcome: Outcome) -> None:
        """What was measured for one claim, with its numbers."""
        self.say(
            f"\n{outcome.claim.id}: {outcome.verdict}\n"
            f"  {outcome.claim.where}: {outcome.claim.statement}"
        )
        if outcome.problem:
            words = {Verdict.ERROR: "crashed", Verdict.NOT_RUN: "not run"}
            word = words.get(outcome.verdict, "could not be measured")
            self.say(f"  {word}:\n{outcome.problem}")
        for kind, m in labelled(outcome.evidence) if outcome.evidence else []:
            mark = "yes" if m.true else "no "
            self.say(
                f"    {mark} {kind}: {m.statement}\n          measured {short(m.measured)}; "
                f"predicted {short(m.predicted)}; error {m.error:.2g}, tolerance {m.tolerance:.2g}"
            )


def plain(value: Any) -> Any:
    """The value with what JSON knows: no NumPy types, non-finite numbers as text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _measurement(m: Measurement) -> dict[str, Any]:
    return {
        "statement": m.statement,
        "measured": plain(m.measured),
        "predicted": plain(m.predicted),
        "error": plain(m.error),
        "tolerance": plain(m.tolerance),
        "reason": m.reason,
        "uncertainty": plain(m.uncertainty),
        "true": m.true,
    }


def as_record(outcome: Outcome, backend: str) -> dict[str, Any]:
    """One outcome as plain data; the keys that design and users rely on come first."""
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
        "backend": backend,
        "version": __version__,
        "problem": outcome.problem,
    }
    if evidence:
        record["claim"] = main
        record["condition"] = _measurement(evidence.condition) if evidence.condition else None
        record["resolution"] = [_measurement(m) for m in evidence.resolution]
        record["also"] = [_measurement(m) for m in evidence.also]
    return record


def write_json(path: Path, outcomes: Sequence[Outcome], backend: str) -> None:
    """The outcomes as a list of records."""
    records = [as_record(outcome, backend) for outcome in outcomes]
    text = json.dumps(records, indent=2, allow_nan=False, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """A NumPy number or truth value as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written to JSON")


def command_for(outcome: Outcome, backend: str) -> str:
    """The command line that repeats one check with the same parameters."""
    words = ["riemann-lne", "verify", "--only", outcome.claim.id]
    if backend != "numpy":
        words += ["--backend", backend]
    for name, value in outcome.parameters.items():
        if value != outcome.claim.quick.get(name):
            words += ["--set", f"{name}={value!r}"]
    return shlex.join(words)


def write_html(folder: Path, outcomes: Sequence[Outcome], backend: str) -> Path:
    """One self-contained page, and every plot as a PNG beside it. Returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for outcome in outcomes:
        images = []
        for index, plot in enumerate(outcome.evidence.plots if outcome.evidence else []):
            data = render(plot)
            (folder / f"{outcome.claim.id}-{index}.png").write_bytes(data)
            images.append((plot.title, base64.b64encode(data).decode("ascii")))
        sections.append(_section(outcome, images, backend))
    rows = "\n".join(
        f'<tr><td><a href="#{o.claim.id}">{o.claim.id}</a></td>'
        f"<td>{html.escape(o.claim.where)}</td>"
        f'<td><span class="{_css(o.verdict)}">{o.verdict}</span></td>'
        f"<td>{o.seconds:.1f} s</td></tr>"
        for o in outcomes
    )
    page = Template(_PAGE).substitute(
        rows=rows,
        sections="\n".join(sections),
        setting=html.escape(
            f"riemann-lne {__version__}, backend {backend}, NumPy {np.__version__}, "
            f"Python {platform.python_version()}, {platform.machine()}"
        ),
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def render(plot: Plot) -> bytes:
    """A plot as PNG."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "verify", "--report") from error
    figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for line in plot.lines:
        style = _STYLES[line.style]
        axes.plot(line.x, line.y, label=line.label or None, **style)
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.title.set_fontsize(11)
    axes.grid(alpha=0.25)
    if any(line.label for line in plot.lines):
        axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _css(verdict: Verdict) -> str:
    return "v-" + str(verdict).replace(" ", "-")


def _section(outcome: Outcome, images: Sequence[tuple[str, str]], backend: str) -> str:
    """The part of the page for one claim."""
    parts = [
        f'<section id="{outcome.claim.id}"><h2>{outcome.claim.id} '
        f'<span class="{_css(outcome.verdict)}">{outcome.verdict}</span></h2>',
        f"<p><b>{html.escape(outcome.claim.where)}:</b> {html.escape(outcome.claim.statement)}</p>",
    ]
    if outcome.evidence:
        parts.append(_measurements(outcome.evidence))
    for title, data in images:
        parts.append(
            f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}" width="770">'
        )
    if outcome.problem:
        parts.append(f"<pre>{html.escape(outcome.problem)}</pre>")
    description = (outcome.claim.check.__doc__ or "").strip().split("\n\n", 1)
    if len(description) > 1:
        parts.append(f"<p>{html.escape(' '.join(description[1].split()))}</p>")
    command = html.escape(command_for(outcome, backend))
    parts.append(f"<p>{outcome.seconds:.1f} s. Repeat: <code>{command}</code></p></section>")
    return "\n".join(parts)


def _measurements(evidence: Evidence) -> str:
    """Table of everything that was measured for a claim."""
    rows = "".join(
        f"<tr><td>{kind}</td><td>{html.escape(m.statement)}</td>"
        f"<td>{html.escape(short(m.measured, 8))}</td><td>{html.escape(short(m.predicted, 8))}</td>"
        f"<td class='number'>{m.error:.3g}</td>"
        f"<td class='number' title='{html.escape(m.reason, quote=True)}'>{m.tolerance:.3g}"
        f"</td><td>{'yes' if m.true else 'no'}</td></tr>"
        for kind, m in labelled(evidence)
    )
    return (
        '<div class="wide"><table><thead><tr><th></th><th>quantity</th><th>measured</th>'
        "<th>predicted</th><th>error</th><th>tolerance</th><th>true</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Theorem audit</title>
<style>
:root { color-scheme: light dark; --line: #8884; --back: #fff; --ink: #1c1e21; }
@media (prefers-color-scheme: dark) { :root { --back: #16181b; --ink: #e6e6e6; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
  background: var(--back); color: var(--ink); }
table { border-collapse: collapse; font-size: .85rem; }
td, th { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left;
  vertical-align: top; }
th, .number { white-space: nowrap; }
.wide { overflow-x: auto; }
img { max-width: 100%; height: auto; border-radius: 4px; margin: .75rem 0; }
pre, code { overflow-wrap: anywhere; white-space: pre-wrap; font-size: .85rem; }
section { border-top: 1px solid var(--line); margin-top: 2rem; }
h2 { font-size: 1.2rem; }
[class^="v-"] { padding: .05rem .45rem; border-radius: .6rem; color: #fff; font-size: .85rem;
  white-space: nowrap; }
.v-holds { background: #2e7d32; } .v-holds-with-conditions { background: #8a6100; }
.v-does-not-hold { background: #b3261e; } .v-unresolved { background: #6a1b9a; }
.v-out-of-numerical-reach { background: #1558a8; } .v-error { background: #000; }
.v-not-run { background: #5f6368; }
</style></head><body>
<h1>Theorem audit</h1>
<p>Statements of <i>Learning Discretized Neural Networks under Ricci Flow</i> (arXiv 2302.03390v3),
each checked by running it. Every verdict is computed from the measurements shown: a statement
holds where its error stays within the tolerance, does not hold where a counterexample was measured,
and is unresolved where the numbers do not decide.</p>
<p>$setting</p>
<div class="wide"><table><thead><tr><th>claim</th><th>where</th><th>verdict</th><th>time</th></tr>
</thead><tbody>
$rows
</tbody></table></div>
$sections
</body></html>
"""
