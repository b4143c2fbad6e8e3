"""The audit's pages, from its functions and a recorded run: nothing in them is typed twice.

``conf.py`` calls ``write_pages`` when the documentation is built. The recorded run is
``audit/results.json``, as ``riemann-lne verify --full --json docs/audit/results.json`` wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from formulas import typeset

from riemann_lne_validation.audit import (
    Measurement,
    Outcome,
    Verdict,
    known_claims,
    parameters_of,
    register_certificate,
)
from riemann_lne_validation.audit.causes import CAUSES
from riemann_lne_validation.audit.page import command_for, render
from riemann_lne_validation.audit.records import Setting, outcome_of, read_json
from riemann_lne_validation.audit.report import labelled, remarks
from riemann_lne_validation.certificates import provable, write

RECORDED = Path(__file__).parent / "audit" / "results.json"


def plain(text: str) -> str:
    """Plain text as Markdown that reads the same."""
    parts = re.split(r"(``.*?``)", text)
    return "".join(
        p[1:-1] if p.startswith("``") else re.sub(r"([*_|\[\]<>~#`\\$])", r"\\\1", p) for p in parts
    )


def markdown(text: str) -> str:
    """Plain text as Markdown, with its formulas typeset."""
    return typeset(text, plain, lambda formula: f"${formula}$")


def recorded_run(path: Path = RECORDED) -> tuple[list[Outcome], Setting, str]:
    """Outcomes of the recorded run in the order of the claims, its setting, its version."""
    records = {r["id"]: r for r in read_json(path)}
    one = next(iter(records.values()))
    setting = Setting(one["length"] == "full", one["backend"])
    for id, record in records.items():
        if record.get("certificate"):
            register_certificate(id, Path(record["certificate"]).name)
    outcomes = [
        outcome_of(records[id], claim, parameters_of(claim, setting.full, {}))
        for id, claim in known_claims().items()
        if id in records  # a claim that is newer than the recorded run has no page yet
    ]
    return outcomes, setting, one["version"]


def write_pages(folder: Path, included: Path) -> None:
    """A page for each claim into ``folder``, and what other pages include into ``included``."""
    outcomes, setting, version = recorded_run()
    folder.mkdir(parents=True, exist_ok=True)
    included.mkdir(parents=True, exist_ok=True)
    for outcome in outcomes:
        text = _page(outcome, setting, version, folder)
        (folder / f"{outcome.claim.id}.md").write_text(text, encoding="utf-8")
    parts = {
        "recorded": f"{setting.length} form, backend {setting.backend}, version {version}",
        "count": f"{len(outcomes)}",
        "counts": _counts(outcomes),
        "causes": _causes(outcomes),
        "table": _overview(outcomes),
        "certificates": _certificates(),
        "toctree": _toctree(outcomes),
        "holds": _bullets(outcomes, Verdict.HOLDS),
        "conditions": _sections(outcomes, Verdict.CONDITIONS),
        "fails": _sections(outcomes, Verdict.FAILS),
        "open": _bullets(outcomes, Verdict.UNRESOLVED, Verdict.NOT_RUN) or "None in this run.",
    }
    for name, text in parts.items():
        (included / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def _link(outcome: Outcome) -> str:
    return f"[`{outcome.claim.id}`](/claims/{outcome.claim.id}.md)"


def _paragraphs(outcome: Outcome) -> list[str]:
    """The check's docstring after the statement."""
    paragraphs = (outcome.claim.check.__doc__ or "").strip().split("\n\n")[1:]
    return [markdown(" ".join(p.split())) for p in paragraphs]


def badge(verdict: Verdict) -> str:
    """A verdict in its colour, which is that of the report."""
    return f'<span class="verdict {str(verdict).replace(" ", "-")}">{verdict}</span>'


def _page(outcome: Outcome, setting: Setting, version: str, folder: Path) -> str:
    claim = outcome.claim
    parts = [
        f"# {claim.id}",
        f":::{{div}} statement\n**{markdown(claim.where)}.** {markdown(claim.statement)}\n:::",
        badge(outcome.verdict),
        *(f"**{markdown(heading)}.** {markdown(text)}" for heading, text in remarks(outcome)),
        *_certificate_link(outcome),
        "## What is measured, what is predicted",
        *_paragraphs(outcome),
    ]
    if outcome.evidence:
        guards = [m for kind, m in labelled(outcome.evidence) if kind.startswith("guard")]
        shown = [(k, m) for k, m in labelled(outcome.evidence) if not k.startswith("guard")]
        parts += [
            "## Figures",
            f"From the recorded run: {setting.length} form, {setting.backend}, version {version}, "
            f"{_duration(outcome.seconds)}. Numbers without a unit are dimensionless.",
            "\n".join(_entry(kind, m) for kind, m in shown),
        ]
        for i, plot in enumerate(outcome.evidence.plots):
            name = f"{claim.id}-{i}.png"
            (folder / name).write_bytes(render(plot))
            parts.append(f"![{plain(plot.title)}]({name})")
        if guards:
            parts += [
                "### Guards",
                "Known answers, computed in the same run in another way. Without them there is no "
                "verdict.",
                "\n".join(_entry("", m) for m in guards),
            ]
    if outcome.problem:
        parts.append(f"```\n{outcome.problem.strip()}\n```")
    return "\n\n".join([*parts, *_repeat(outcome)]) + "\n"


def _duration(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"{seconds:.0f} s"


def number(value: float, digits: int = 2) -> str:
    """A number as Markdown: powers of ten are typeset."""
    mantissa, _, power = f"{value:.{digits}g}".partition("e")
    if not power:
        return mantissa
    factor = "" if mantissa == "1" else rf"{mantissa} \cdot "
    return f"${factor}10^{{{int(power)}}}$"


def values(value: Any, most: int = 8) -> str:
    """A measured or predicted quantity as Markdown: several numbers by name, or by their range."""
    if isinstance(value, Mapping):
        kept = list(value.items())
        if len(kept) > most and all(isinstance(v, (int, float)) for _, v in kept):
            return _range([float(v) for _, v in kept])
        parts = [f"{markdown(str(k))}: {values(v)}" for k, v in kept[:most]]
        return "; ".join(parts) + ("; ..." if len(kept) > most else "")
    if isinstance(value, (list, tuple)):
        if len(value) > most and all(isinstance(v, (int, float)) for v in value):
            return _range([float(v) for v in value])
        return ", ".join(values(v) for v in value[:most]) + (", ..." if len(value) > most else "")
    if isinstance(value, str):
        return markdown(value)
    if isinstance(value, (bool, int)):
        return str(value)
    return number(float(value), 4)


def _range(numbers: Sequence[float]) -> str:
    low, high = number(min(numbers), 3), number(max(numbers), 3)
    return f"{low} to {high} ({len(numbers)} values)" if low != high else f"{low}, each time"


def judged(m: Measurement) -> str:
    """Error and tolerance of a measurement in words."""
    known = f" (measured to within {number(m.uncertainty)})" if m.uncertainty else ""
    off = number(m.error, 3) + known
    if m.true and m.error == 0 == m.tolerance:
        return "exactly as predicted"
    if m.true and m.error == 0:
        return "as predicted, to the last digit"
    if m.tolerance == 0:
        return f"misses the prediction by {off}"
    allowed = f"{number(m.tolerance, 3)} is allowed"
    if m.true:
        return f"as predicted: off by {off}, and {allowed}"
    if not m.false:
        return f"not decided: off by {off}, and {allowed}"
    ratio = m.error / m.tolerance
    times = f", {number(ratio)} times what is allowed" if ratio < 1e4 else ""
    return f"misses the prediction by {off}{times or f', and {allowed}'}"


def _entry(kind: str, m: Measurement) -> str:
    """A measurement as an item of a list: quantity, numbers, judgement, and why the tolerance."""
    mark = "true" if m.true else "false" if m.false else "open"
    label = f"**{kind[:1].upper()}{kind[1:]}.** " if kind else ""
    lines = [
        f'- <span class="mark {mark}"></span>{label}{markdown(m.statement)}',
        f"  <br>measured {values(m.measured)}; predicted {values(m.predicted)}",
        f"  <br>{judged(m)}. *Tolerance:* {markdown(m.reason)}.",
    ]
    return "\n".join(lines)


def _certificate_link(outcome: Outcome) -> list[str]:
    if not outcome.certificate:
        return []
    link = f'<a href="../../certificates/{outcome.certificate}">The certificate</a>'
    return [f"{link} is explained in [](/certificates.md)."]


def _repeat(outcome: Outcome) -> list[str]:
    claim = outcome.claim
    made = [Outcome(claim, outcome.verdict, None, dict(p), 0.0) for p in (claim.quick, claim.full)]
    commands = [command_for(o, Setting(full)) for o, full in zip(made, (False, True), strict=True)]
    rows = [
        f"| `{name}` | `{claim.quick[name]!r}` | `{claim.full[name]!r}` |" for name in claim.quick
    ]
    head = ["| parameter | quick form | full form |", "|---|---|---|"]
    return [
        "## Repeat it",
        "```\n" + "\n".join(commands) + "\n```",
        "`--set name=value` changes a parameter:",
        "\n".join([*head, *rows]),
    ]


def _counts(outcomes: Sequence[Outcome]) -> str:
    rows = [(v, sum(o.verdict is v for o in outcomes)) for v in Verdict]
    lines = [f"| {badge(verdict)} | {count} |" for verdict, count in rows if count]
    return "\n".join(["| verdict | statements |", "|---|---|", *lines])


def _causes(outcomes: Sequence[Outcome]) -> str:
    """The root causes with the claims that rest on each, the one behind most claims first."""
    behind = {
        cause: [o for o in outcomes if o.claim.cause == cause and o.verdict is not Verdict.HOLDS]
        for cause in CAUSES
    }
    found = sorted((c for c in behind if behind[c]), key=lambda c: -len(behind[c]))
    claims = sum(len(behind[c]) for c in found)
    head = f'{claims} verdicts other than "holds" rest on {len(found)} causes:'
    lines = [
        f"- {markdown(CAUSES[c])} ({len(behind[c])}: {', '.join(_link(o) for o in behind[c])})"
        for c in found
    ]
    return "\n".join([head, "", *lines])


def _overview(outcomes: Sequence[Outcome]) -> str:
    lines = [
        f"| {_link(o)} | {markdown(o.claim.where)} | {badge(o.verdict)} "
        f"| {markdown(o.claim.statement)} |"
        for o in outcomes
    ]
    return "\n".join(["| claim | where | verdict | statement |", "|---|---|---|---|", *lines])


def write_certificates(folder: Path) -> None:
    """The certificates and their checker, as files beside the pages."""
    write(folder)


def _certificates() -> str:
    """The certificates: whose verdict they are about, what they prove, and their files."""
    rows = [
        f"| [`{c.claim}`](/claims/{c.claim}.md) | {markdown(c.proves)} "
        f'| <a href="certificates/{c.claim}.json">{c.claim}.json</a> |'
        for c in provable()
        if c.claim in known_claims()
    ]
    return "\n".join(["| claim | what is proved | certificate |", "|---|---|---|", *rows])


def _toctree(outcomes: Sequence[Outcome]) -> str:
    names = [f"/claims/{o.claim.id}" for o in outcomes]
    return "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])


def _bullets(outcomes: Sequence[Outcome], *verdicts: Verdict) -> str:
    return "\n".join(
        f"- {_link(o)} ({markdown(o.claim.where)}). {markdown(o.claim.statement)}"
        for o in outcomes
        if o.verdict in verdicts
    )


def _sections(outcomes: Sequence[Outcome], verdict: Verdict) -> str:
    """Statement, the measurement against it, and statements confirmed with it or in its place."""
    parts = []
    for outcome in outcomes:
        if outcome.verdict is not verdict or outcome.evidence is None:
            continue
        evidence = outcome.evidence
        parts.append(f"### {outcome.claim.id}\n\n*{markdown(outcome.claim.where)}.*")
        parts.append(f"{markdown(outcome.claim.statement)} {_link(outcome)}")
        parts.append(f"Against it as it stands: {_found(evidence.claim)}")
        confirmed = [evidence.condition] if evidence.condition else []
        lines = [f"- {_found(m)}" for m in (*confirmed, *evidence.also)]
        if lines:
            parts += ["Confirmed in the same run:", "\n".join(lines)]
    return "\n\n".join(parts)


def _found(m: Measurement) -> str:
    return (
        f"{markdown(m.statement)}: measured {values(m.measured)}, predicted {values(m.predicted)}; "
        f"{judged(m)}."
    )
