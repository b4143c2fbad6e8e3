"""The result of a paired comparison in words that follow from its numbers."""

from __future__ import annotations

from .contracts import Measure
from .paired import UNDECIDED, Paired

__all__ = ["result", "short_result"]

_POINTS = Measure()


def short_result(found: Paired, measure: Measure = _POINTS) -> str:
    """Difference, interval, adjusted p and verdict, for the second metric.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.paired import correct, pair
    >>> runs = pair({i: 90.0 + i % 3 for i in range(9)}, {i: 90.0 for i in range(9)})
    >>> print(short_result(correct([runs, runs])[0]))
    +1.00 points [0.33, 1.67], adjusted p 0.017: helps
    """
    if found.description is None:
        return f"no pair of runs finished: {found.verdict}"
    show = measure.text
    text = f"{show(found.description.mean, '+')} {measure.unit}".rstrip()
    if found.student:
        text += f" [{show(found.student.low)}, {show(found.student.high)}]"
    if found.adjusted is not None:
        text += f", adjusted p {found.adjusted:.2g}"
    return f"{text}: {found.verdict}"


def result(found: Paired, alpha: float = 0.05, measure: Measure = _POINTS) -> str:
    """Difference, intervals, p, and the verdict, as one line.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.paired import correct, pair
    >>> runs = pair({i: 90.0 + i % 3 for i in range(9)}, {i: 90.0 for i in range(9)})
    >>> print(result(correct([runs, runs])[0]))
    +1.00 points [0.33, 1.67] (95 % Student t, 9 pairs), p = 0.0085, adjusted 0.017 \
(Holm over 2; paired t), sign flips p = 0.031: helps at the corrected level
    """
    parts, show = [], measure.text
    if found.description:
        parts.append(f"{show(found.description.mean, '+')} {measure.unit}".rstrip())
    if found.student:
        low, high = found.student.low, found.student.high
        parts.append(f"[{show(low)}, {show(high)}] (95 % Student t, {found.finished} pairs)")
    elif found.description:
        parts.append(f"({found.finished} pairs, no interval)")
    if found.two_way:
        low, high = found.two_way.low, found.two_way.high
        parts.append(f"[{show(low)}, {show(high)}] (over seeds and images)")
    text = " ".join(parts) or "no pair of runs finished"
    if found.p is not None and found.adjusted is not None:
        text += (
            f", p = {found.p:.2g}, adjusted {found.adjusted:.2g} (Holm over {found.comparisons}; "
            f"{found.test})"
        )
        if found.test == "paired t" and found.p_sign_flip is not None:
            text += f", sign flips p = {found.p_sign_flip:.2g}"
    text += f": {found.verdict}" + ("" if found.verdict == UNDECIDED else " at the corrected level")
    if found.verdict == "null" and found.resolves:
        text += f"; differences below {show(found.resolves)} are not told from zero"
    told = ("diverged", "more seeds", "rests on")
    kept = [note for note in found.notes if any(word in note for word in told)]
    return text + "".join(f"; {note}" for note in kept)
