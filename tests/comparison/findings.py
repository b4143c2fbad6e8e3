"""Records, page and words that the tests of the findings on docs/comparison.md share."""

import re
from functools import cache
from pathlib import Path

from riemann_lne_validation.comparison.stored import read_summary

DOCS = Path(__file__).parents[2] / "docs"
RATES, FIXED = "regulariser-n-rates", "regulariser-n-fixed"
STABLE, LEARNED = "stableqat-2bit", "stableqat-2bit-learned"
RATES_ONE_GRID = "stableqat-2bit-rates"
TUNED_AGAIN = "mnist1d-2bit-tuned-20"
OSCILLATION, TUNED, CHARACTERS = "oscillation-2bit", "mnist1d-2bit-tuned", "characters-158"
ONE_TUNED, ONE_TUNED_AGAIN = "mnist1d-1bit-tuned", "mnist1d-1bit-tuned-20"
ONE_CONFIRM = "mnist1d-1bit-confirm"
ONE_AGAIN, THREE_AGAIN = "mnist1d-1bit-20", "mnist1d-158-20"
FOUR_AGAIN = "mnist1d-4bit-20"
DIGITS_CONFIRM = "digits-1bit-confirm"
THREE_TUNED, FOUR_TUNED = "mnist1d-158-tuned", "mnist1d-4bit-tuned"
ONE, THREE, FOUR = "mnist1d-1bit", "mnist1d-158", "mnist1d-4bit"
CHANGES = ": **changes with the metric**"
HELPS, HARMS, NULLS = ("helps",) * 2, ("harms",) * 2, ("null",) * 2


@cache
def summary(name):
    return read_summary(DOCS / "results" / f"{name}.json")


@cache
def page():
    """The page with its formulas and links to the glossary as plain text."""
    text = (DOCS / "comparison.md").read_text(encoding="utf-8")
    text = re.sub(r"\$([^$]*)\$", lambda formula: formula[1].replace("\\", ""), text)
    text = re.sub(r"{term}`(.*?)(?: <.*?>)?`", r"\1", text)
    return text.replace("operatorname{sech}", "sech").replace("\u00d7", "x")


@cache
def section():
    found = re.search(r"## Which method\?\n(.*?)```\{include\}", page(), re.DOTALL)
    return " ".join(found.group(1).split())


@cache
def section_of(title):
    found = re.search(rf"## {re.escape(title)}\n(.*?)\n## ", page(), re.DOTALL)
    return " ".join(found.group(1).split())


def unchecked(text, pieces):
    """Pieces that are missing, and numbers outside of them."""
    missing = [piece for piece in pieces if piece not in text]
    for piece in pieces:
        text = text.replace(piece, " ")
    return missing, re.findall(r".{0,40}\d.{0,40}", text)


def comparison(study, arm, reference=None):
    (found,) = [
        c for c in summary(study).comparisons
        if c.arm == arm and reference in (None, c.reference)
    ]  # fmt: skip
    return found


def both(study, arm, reference=None):
    return comparison(study, arm, reference).both("last")


def verdicts(study, arm, reference=None):
    return tuple(f.verdict for f in both(study, arm, reference))


def interval(found, digits=1):
    low, high = found.student.low, found.student.high
    return f"{found.description.mean:+.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def mean(found):
    return f"{found.description.mean:+.1f}"


def lost(found):
    return f"{-found.description.mean:.1f}"


def p(found):
    """Adjusted p with two significant digits, as .018."""
    digits = 3 if found.adjusted < 0.1 else 2
    return f"p {found.adjusted:.{digits if found.adjusted >= 0.01 else 4}f}".replace(" 0.", " .")


def pair(study, arm, reference=None, with_p=(False, False)):
    parts = []
    for found, wanted in zip(both(study, arm, reference), with_p, strict=True):
        parts.append(interval(found) + (f", {p(found)}" if wanted else ""))
    return (", and " if with_p[0] else " and ").join(parts)


def marked(study, arm, reference=None, with_p=(False, False)):
    assert comparison(study, arm, reference).changes("last")
    return pair(study, arm, reference, with_p) + CHANGES


def rate_of(study, arm):
    return summary(study).arm(arm).arm.learning_rate


def setting(study):
    return summary(study).arms[0].arm
