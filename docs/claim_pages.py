"""The audit's pages, from its functions and a recorded run: nothing in them is typed twice.

``conf.py`` calls ``write_pages`` when the documentation is built. The recorded run is
``audit/results.json``, as ``riemann-lne verify --full --json docs/audit/results.json`` wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

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
from riemann_lne_validation.audit.report import labelled, remarks, short
from riemann_lne_validation.certificates import provable, write

RECORDED = Path(__file__).parent / "audit" / "results.json"


def markdown(text: str) -> str:
    """Plain text with formulas as Markdown that reads the same."""
    parts = re.split(r"(``.*?``)", text)
    return "".join(
        p[1:-1] if p.startswith("``") else re.sub(r"([*_|\[\]<>~#`\\])", r"\\\1", p) for p in parts
    )


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
    return f"[`{outcome.claim.id}`](/_build/claims/{outcome.claim.id}.md)"


def _paragraphs(outcome: Outcome) -> list[str]:
    """The check's docstring after the statement."""
    paragraphs = (outcome.claim.check.__doc__ or "").strip().split("\n\n")[1:]
    return [markdown(" ".join(p.split())) for p in paragraphs]


def _page(outcome: Outcome, setting: Setting, version: str, folder: Path) -> str:
    claim = outcome.claim
    parts = [
        f"# {claim.id}",
        f"*{markdown(claim.where)}.* {markdown(claim.statement)}",
        f"**Verdict of the recorded run: {outcome.verdict}** ({setting.length} form, "
        f"{setting.backend}, version {version}, {outcome.seconds:.0f} s).",
        *(f"**{markdown(heading)}.** {markdown(text)}" for heading, text in remarks(outcome)),
        *_certificate_link(outcome),
        "## What is measured, what is predicted",
        *_paragraphs(outcome),
    ]
    if outcome.evidence:
        rows = [_row(kind, m) for kind, m in labelled(outcome.evidence)]
        head = "| part | quantity | measured | predicted | error | tolerance | true |"
        parts += ["## Figures", "\n".join([head, "|---|---|---|---|---|---|---|", *rows])]
        reasons = [
            f"- {markdown(m.statement)}: {m.tolerance:.3g}, for: {markdown(m.reason)}"
            for _, m in labelled(outcome.evidence)
        ]
        parts += ["Why these tolerances:", "\n".join(reasons)]
        for i, plot in enumerate(outcome.evidence.plots):
            name = f"{claim.id}-{i}.png"
            (folder / name).write_bytes(render(plot))
            parts.append(f"![{markdown(plot.title)}]({name})")
    if outcome.problem:
        parts.append(f"```\n{outcome.problem.strip()}\n```")
    return "\n\n".join([*parts, *_repeat(outcome)]) + "\n"


def _certificate_link(outcome: Outcome) -> list[str]:
    if not outcome.certificate:
        return []
    link = f'<a href="../../certificates/{outcome.certificate}">The certificate</a>'
    return [f"{link} is explained in [](/certificates.md)."]


def _row(kind: str, m: Measurement) -> str:
    uncertainty = f" +- {m.uncertainty:.2g}" if m.uncertainty else ""
    cells = (
        kind,
        markdown(m.statement),
        markdown(short(m.measured, 8)),
        markdown(short(m.predicted, 8)),
        f"{m.error:.3g}{uncertainty}",
        f"{m.tolerance:.3g}",
        "yes" if m.true else "no",
    )
    return "| " + " | ".join(cells) + " |"


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
    lines = [f"| {verdict} | {count} |" for verdict, count in rows if count]
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
        f"| {_link(o)} | {markdown(o.claim.where)} | {o.verdict} | {markdown(o.claim.statement)} |"
        for o in outcomes
    ]
    return "\n".join(["| claim | where | verdict | statement |", "|---|---|---|---|", *lines])


def write_certificates(folder: Path) -> None:
    """The certificates and their checker, as files beside the pages."""
    write(folder)


def _certificates() -> str:
    """The certificates: whose verdict they are about, what they prove, and their files."""
    rows = [
        f"| [`{c.claim}`](/_build/claims/{c.claim}.md) | {markdown(c.proves)} "
        f'| <a href="certificates/{c.claim}.json">{c.claim}.json</a> |'
        for c in provable()
        if c.claim in known_claims()
    ]
    return "\n".join(["| claim | what is proved | certificate |", "|---|---|---|", *rows])


def _toctree(outcomes: Sequence[Outcome]) -> str:
    names = [f"/_build/claims/{o.claim.id}" for o in outcomes]
    return "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])


def _bullets(outcomes: Sequence[Outcome], *verdicts: Verdict) -> str:
    return "\n".join(
        f"- {_link(o)} ({markdown(o.claim.where)}). {markdown(o.claim.statement)}"
        for o in outcomes
        if o.verdict in verdicts
    )


def _sections(outcomes: Sequence[Outcome], verdict: Verdict) -> str:
    """Statement, what was measured against it, and what was confirmed besides or in its place."""
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
    measured, predicted = markdown(short(m.measured)), markdown(short(m.predicted))
    return f"{markdown(m.statement)}: measured {measured}, predicted {predicted}."
