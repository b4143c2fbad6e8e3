"""Certificates as data: the form that ``checker.py`` reads, one step a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..audit.evidence import Verdict

Text = Any
"""An expression such as "t1*(1 - t2**2)/s", a number, or nested lists of them."""


@dataclass
class Part:
    """Symbols with their derivatives, given objects, and steps that are computed from them.

    Attributes
    ----------
    note : str
        The argument, in words.
    symbols : sequence of str
    slopes : sequence of dicts
        For each coordinate the derivatives of the symbols along it.
    given : dict
        Definitions and abbreviations, in order; later ones may use earlier ones.
    steps : list of dicts
    """

    note: str
    symbols: Sequence[str]
    slopes: Sequence[Mapping[str, str]] = ()
    given: dict[str, Text] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def step(
        self, name: str, step: str, *of: Text, equals: Text = None, sign: str | None = None
    ) -> str:
        """Add a step and return its name; ``equals`` is what the checker compares with."""
        record: dict[str, Any] = {"name": name, "step": step, "of": text(list(of))}
        if equals is not None:
            record["equals"] = text(equals)
        if sign is not None:
            record["sign"] = sign
        self.steps.append(record)
        return name


@dataclass
class Certificate:
    """The proof of a claim of the audit, with its parts.

    Attributes
    ----------
    claim : str
        Id of the claim.
    verdicts : tuple of Verdict
        Verdicts that the audit may reach if the proof is right.
    proves : str
        The statement that is proved, in words.
    parts : list of Part
    """

    claim: str
    verdicts: tuple[Verdict, ...]
    proves: str
    parts: list[Part]

    def json(self) -> str:
        """The certificate as JSON with one step a line, so that a line can be named."""
        lines = [
            "{",
            f' "claim": {json.dumps(self.claim)},',
            f' "proves": {json.dumps(self.proves)},',
            ' "parts": [',
        ]
        for part in self.parts:
            lines += [
                "  {",
                f'   "note": {json.dumps(part.note)},',
                f'   "symbols": {json.dumps(" ".join(part.symbols))},',
                f'   "slopes": {json.dumps(list(map(dict, part.slopes)))},',
                '   "given": {',
                ",\n".join(
                    f"    {json.dumps(k)}: {json.dumps(text(v))}" for k, v in part.given.items()
                ),
                "   },",
                '   "steps": [',
                ",\n".join(f"    {json.dumps(step)}" for step in part.steps),
                "   ]",
                "  }" + ("," if part is not self.parts[-1] else ""),
            ]
        return "\n".join([*lines, " ]", "}"]) + "\n"


def text(value: Text) -> Any:
    """Numbers as text, inside of lists and dicts too: JSON's own numbers are not exact."""
    if isinstance(value, Mapping):
        return {str(k): text(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [text(v) for v in value]
    return str(value) if isinstance(value, (int, Fraction)) else value


def table(n: int, entry: Callable[[int, int], Text]) -> list[list[Text]]:
    """The n by n matrix of entry(i, j)."""
    return [[entry(i, j) for j in range(n)] for i in range(n)]


def identity(n: int) -> list[list[int]]:
    """The unit matrix."""
    return table(n, lambda i, j: int(i == j))


def total(terms: Sequence[str]) -> str:
    """The sum of expressions."""
    return " + ".join(terms) if terms else "0"
