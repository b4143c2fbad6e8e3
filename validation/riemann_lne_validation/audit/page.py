"""The audit as one HTML page, with its plots inside: no network, light and dark, phone and desk."""

from __future__ import annotations

import base64
import html
import inspect
import io
import platform
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from riemann_lne import __version__
from riemann_lne.checks import printable
from riemann_lne.errors import MissingDependencyError
from riemann_lne.io import storage_errors, write_atomically

from .frame import Evidence, Outcome, Plot, Verdict, parameters_of
from .records import Setting
from .report import counts, labelled, remarks, short

_STYLES: dict[str, dict[str, Any]] = {
    "points": {"marker": "o", "markersize": 4, "linestyle": "none"},
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": "--", "color": "0.45", "linewidth": 1, "zorder": 1},
}


def command_for(outcome: Outcome, setting: Setting) -> str:
    """The command line that repeats one check with the same parameters."""
    words = ["riemann-lne", "verify", "--only", outcome.claim.id]
    if outcome.claim.origin:  # a claim of the user: the command needs the file again
        words += ["--claims", inspect.getfile(inspect.unwrap(outcome.claim.check))]
    words += ["--full"] if setting.full else []
    if setting.backend != "numpy":
        words += ["--backend", setting.backend]
    usual = parameters_of(outcome.claim, setting.full, {})
    for name, value in outcome.parameters.items():
        if value != usual[name]:
            words += ["--set", f"{name}={value!r}"]
    return shlex.join(words)


def write_html(folder: Path, outcomes: Sequence[Outcome], setting: Setting) -> Path:
    """One self-contained page, and every plot as a PNG beside it. Returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for outcome in outcomes:
        images = []
        for index, plot in enumerate(outcome.evidence.plots if outcome.evidence else []):
            data = render(plot)
            name = re.sub(r"[^\w.-]", "_", outcome.claim.id)
            _write(folder / f"{name}-{index}.png", data)
            images.append((plot.title, base64.b64encode(data).decode("ascii")))
        sections.append(_section(outcome, images, setting))
    rows = "\n".join(
        f'<tr><td><a href="#{_e(o.claim.id)}">{_e(o.claim.id)}</a></td>'
        f"<td>{_e(o.claim.where)}</td>"
        f'<td><span class="{_css(o.verdict)}">{_e(o.verdict)}</span>{_marks(o)}</td>'
        f"<td>{o.seconds:.1f} s</td></tr>"
        for o in outcomes
    )
    page = Template(_PAGE).substitute(
        rows=rows,
        counts=_e(", ".join(counts(outcomes))),
        sections="\n".join(sections),
        setting=_e(
            f"riemann-lne {__version__}, {setting.length} form, backend {setting.backend}, "
            f"NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()}"
        ),
    )
    path = folder / "index.html"
    _write(path, page.encode())
    return path


def require_plots() -> None:
    """Raise MissingDependencyError without matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "verify", "--report", error) from error


def render(plot: Plot) -> bytes:
    """A plot as PNG."""
    require_plots()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for line in plot.lines:
        axes.plot(line.x, line.y, label=printable(line.label) or None, **_STYLES[line.style])
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    # Plain text: what looks like a formula may be a broken one, and would end the report.
    axes.set_title(printable(plot.title), fontsize=11, parse_math=False)
    axes.set_xlabel(printable(plot.x_label), parse_math=False)
    axes.set_ylabel(printable(plot.y_label), parse_math=False)
    axes.grid(alpha=0.25)
    if any(line.label for line in plot.lines):
        for text in axes.legend(fontsize=8).get_texts():
            text.set_parse_math(False)
    buffer = io.BytesIO()
    with rc_context({"text.usetex": False}):
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    with storage_errors("the report", path):
        write_atomically(path, lambda file: file.write(data))


def _e(text: object) -> str:
    """Text as a page shows it."""
    return html.escape(printable(text))


def _css(verdict: Verdict) -> str:
    return _e("v-" + str(verdict).replace(" ", "-"))


def _marks(outcome: Outcome) -> str:
    """The text beside a verdict in the table."""
    words = ["proved"] * bool(outcome.certificate) + ["repaired"] * bool(outcome.claim.repaired)
    return f" {', '.join(words)}" if words else ""


def _section(outcome: Outcome, images: Sequence[tuple[str, str]], setting: Setting) -> str:
    """The part of the page for one claim."""
    parts = [
        f'<section id="{_e(outcome.claim.id)}"><h2>{_e(outcome.claim.id)} '
        f'<span class="{_css(outcome.verdict)}">{_e(outcome.verdict)}</span></h2>',
        f"<p><b>{_e(outcome.claim.where)}:</b> {_e(outcome.claim.statement)}</p>",
    ]
    parts += [f"<p><b>{_e(heading)}:</b> {_e(text)}</p>" for heading, text in remarks(outcome)]
    if outcome.certificate:
        file = _e(outcome.certificate)
        parts.append(f'<p><a href="{file}">The certificate</a>, to be checked by check.py</p>')
    if outcome.evidence:
        parts.append(_measurements(outcome.evidence, bool(outcome.claim.origin)))
    for title, data in images:
        parts.append(f'<img alt="{_e(title)}" src="data:image/png;base64,{data}" width="770">')
    if outcome.problem:
        parts.append(f"<pre>{_e(outcome.problem)}</pre>")
    description = (outcome.claim.check.__doc__ or "").strip().split("\n\n", 1)
    if len(description) > 1:
        parts.append(f"<p>{_e(' '.join(description[1].split()))}</p>")
    command = _e(command_for(outcome, setting))
    parts.append(f"<p>{outcome.seconds:.1f} s. Repeat: <code>{command}</code></p>")
    parts.append('<p><a href="#summary">All claims</a></p></section>')
    return "\n".join(parts)


def _measurements(evidence: Evidence, own: bool) -> str:
    """Table of everything that was measured for a claim."""
    rows = "".join(
        f"<tr><td>{kind}</td><td>{_e(m.statement)}</td>"
        f"<td data-name='measured'>{_values(m.measured)}</td>"
        f"<td data-name='predicted'>{_values(m.predicted)}</td>"
        f"<td data-name='error' class='number'>{m.error:.3g}</td>"
        f"<td data-name='tolerance'><span class='number'>{m.tolerance:.3g}</span>: "
        f"{_e(m.reason)}</td><td data-name='true'>{'yes' if m.true else 'no'}</td></tr>"
        for kind, m in labelled(evidence, own)
    )
    return (
        '<table class="measured"><thead><tr><th></th><th>quantity</th><th>measured</th>'
        "<th>predicted</th><th>error</th><th>tolerance and why</th><th>true</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _values(value: Any) -> str:
    """A quantity: what is long behind a line that opens it."""
    begin = _e(short(value))
    if isinstance(value, (str, int, float)) or (whole := _e(short(value, 1000))) == begin:
        return begin
    return f"<details><summary>{begin}</summary>{whole}</details>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Theorem audit</title>
<style>
:root { color-scheme: light dark; --line: #8884; --back: #fff; --ink: #1c1e21;
  --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181b; --ink: #e6e6e6; --link: #8ab4f8; }
  img { filter: invert(.9) hue-rotate(180deg); }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
  background: var(--back); color: var(--ink); }
table { border-collapse: collapse; font-size: .85rem; }
td, th { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left;
  vertical-align: top; }
td { overflow-wrap: anywhere; }
th, .number { white-space: nowrap; overflow-wrap: normal; }
td:first-child { overflow-wrap: normal; }
a { color: var(--link); }
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
@media (max-width: 44rem) { /* a phone: every measurement as a card, and no sideways scrolling */
  .measured, .measured tbody, .measured tr, .measured td { display: block; }
  .measured thead { display: none; }
  .measured tr { border: 1px solid var(--line); margin: .5rem 0; padding: .25rem .5rem; }
  .measured td { border: 0; padding: .1rem 0; white-space: normal; }
  .measured td:first-child { font-weight: bold; }
  .measured td[data-name]::before { content: attr(data-name) ": "; opacity: .7; }
  .measured details { display: inline; }
  .summary { width: 100%; }
  .summary td:nth-child(4), .summary th:nth-child(4) { display: none; }
  .summary td, .summary th { padding: .25rem .3rem; }
  .summary [class^="v-"] { white-space: normal; display: inline-block; }
}
</style></head><body>
<h1>Theorem audit</h1>
<p>Statements of <i>Learning Discretized Neural Networks under Ricci Flow</i> (arXiv 2302.03390v3),
each checked by running it. Every verdict is computed from the measurements shown: a statement
holds where its error stays within the tolerance, does not hold where a counterexample was
measured, and is unresolved where the numbers do not decide. Every verdict needs a guard: a known
answer that the library met in the same run and dimension. Proved: an exact computation, without
rounding, proves the verdict too. Repaired: the statement was completed, in its favour, before it
could be run; how is said with the claim.</p>
<p>$counts.</p>
<p>$setting</p>
<table class="summary" id="summary"><thead><tr>
<th>claim</th><th>where</th><th>verdict</th><th>time</th></tr>
</thead><tbody>
$rows
</tbody></table>
$sections
</body></html>
"""
