"""Terminal output of the audit: progress, every measurement, a table."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from riemann_lne.checks import printable
from riemann_lne.errors import MissingDependencyError

from .causes import CAUSES
from .frame import Claim, Evidence, Measurement, Outcome, Verdict

_COLOURS = {
    Verdict.HOLDS: "green",
    Verdict.CONDITIONS: "yellow",
    Verdict.FAILS: "red",
    Verdict.UNRESOLVED: "magenta",
    Verdict.NOT_RUN: "dim",
    Verdict.ERROR: "bold red",
}

_WIDE = 110  # columns, from which on verdicts have one of their own beside the claims


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


def first_sentence(text: str, most: int = 110) -> str:
    """The beginning of a statement: its first sentence, or as much of it as has room."""
    # Neither the point of "Eq. 15" nor the colon of D[x : y] ends one.
    sentence = re.split(r"\.\s+(?=[A-Z])|(?<=\S):\s", text, maxsplit=1)[0].rstrip(".")
    if len(sentence) <= most:
        return sentence
    return sentence[:most].rsplit(" ", 1)[0] + " ..."


def labelled(evidence: Evidence, own: bool = False) -> list[tuple[str, Measurement]]:
    """All measurements of a check, each with the part it plays; ``own``: of a user's claim."""
    condition = [("with the condition", evidence.condition)] if evidence.condition else []
    return [
        ("as stated" if own else "as the paper states it", evidence.claim),
        *condition,
        *(("also", m) for m in evidence.also),
        *(("resolution", m) for m in evidence.resolution),
        *(("guard: a known answer", m) for m in evidence.guard),
    ]


def counts(outcomes: Sequence[Outcome]) -> list[str]:
    """How many of each verdict, in words, in the order of the verdicts: "29 hold"."""
    found = Counter(outcome.verdict for outcome in outcomes)
    plurals = {"holds": "hold", "holds with conditions": "hold with conditions"}
    plurals |= {"does not hold": "do not hold", "error": "errors"}
    return [f"{found[v]} {plurals.get(v, v) if found[v] > 1 else v}" for v in Verdict if found[v]]


def remarks(outcome: Outcome) -> list[tuple[str, str]]:
    """Texts that belong to a verdict in addition to the measurements, each with its heading."""
    claim = outcome.claim
    found = []
    if claim.repaired:
        found.append(("Repaired in the paper's favour", claim.repaired))
    if outcome.cause:
        found.append((f"Root cause ({outcome.cause})", CAUSES[outcome.cause]))
    if outcome.certificate:
        found.append(("Proved", f"certificate {outcome.certificate}"))
    return found


class Terminal:
    """Prints the audit; needs rich (extra ``verify``)."""

    def __init__(self) -> None:
        try:
            from rich.console import Console
        except ImportError as error:
            raise MissingDependencyError("rich", "verify", "riemann-lne verify", error) from error
        self._console = Console()

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def list(self, claims: Sequence[Claim]) -> None:
        """The claims and the parameters that --set takes."""
        for claim in claims:
            self.say(f"{claim.id}  ({claim.where})\n    {claim.statement}")
            settings = ", ".join(f"{k}={v!r}" for k, v in claim.quick.items())
            self.say(f"    parameters: {settings}")

    @contextmanager
    def progress(self, count: int, done: int = 0) -> Iterator[Callable[[Outcome], None]]:
        """A bar on a terminal, and a line for every check that is done."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task("", total=count, completed=done)
            number = itertools.count(done + 1)

            def advance(outcome: Outcome) -> None:
                line = (
                    f"[{next(number):{len(str(count))}d}/{count}] {outcome.claim.id:32s} "
                    f"{outcome.verdict:22s} {outcome.seconds:6.1f} s"
                )
                bar.console.print(printable(line), highlight=False, markup=False)
                bar.advance(task)

            yield advance

    def table(self, outcomes: Sequence[Outcome], details: bool = False) -> None:
        """The verdicts in one table, with their counts; before it every measurement, if wanted.

        A check that broke down, or was not run, is told of in any case.
        """
        from rich.table import Table
        from rich.text import Text

        narrow = self._console.width < _WIDE
        table = Table(title="Theorem audit", title_justify="left", show_lines=narrow)
        table.add_column("claim, verdict" if narrow else "claim", no_wrap=True)
        if not narrow:
            table.add_column("verdict", no_wrap=True)
        table.add_column("statement", ratio=1)
        for outcome in outcomes:
            name = Text(printable(outcome.claim.id))
            verdict = Text.assemble(
                (printable(outcome.verdict), _COLOURS[outcome.verdict]),
                " (proved)" if outcome.certificate else "",
            )
            first = [Text("\n").join([name, verdict])] if narrow else [name, verdict]
            table.add_row(*first, Text(printable(first_sentence(outcome.claim.statement))))
        for outcome in outcomes:
            if details or outcome.problem:
                self._details(outcome)
        self._console.print(table)
        word = "claim" if len(outcomes) == 1 else "claims"
        self.say(f"{len(outcomes)} {word}: {', '.join(counts(outcomes))}")

    def _details(self, outcome: Outcome) -> None:
        """The measurements of one claim, with their numbers."""
        self.say(
            f"\n{outcome.claim.id}: {outcome.verdict}\n"
            f"  {outcome.claim.where}: {outcome.claim.statement}"
        )
        if outcome.problem:
            words = {Verdict.ERROR: "crashed", Verdict.NOT_RUN: "not run"}
            word = words.get(outcome.verdict, "could not be measured")
            self.say(f"  {word}:\n{outcome.problem}")
        for heading, text in remarks(outcome):
            self.say(f"  {heading}: {text}")
        own = bool(outcome.claim.origin)
        for kind, m in labelled(outcome.evidence, own) if outcome.evidence else []:
            mark = "yes" if m.true else "no "
            self.say(
                f"    {mark} {kind}: {m.statement}\n          measured {short(m.measured)}; "
                f"predicted {short(m.predicted)}; error {m.error:.2g}, tolerance {m.tolerance:.2g}"
            )
