"""The result of a paired comparison in words that follow from its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .contracts import Measure
from .paired import HELPS, NULL, UNDECIDED, Paired
from .protocol import Arm

__all__ = ["answers", "caution", "coarse_inputs", "result", "short_result"]

_POINTS = Measure()
# Up to so many bits STE on MNIST-1D was no better than a guess with the range of each batch.
_COARSE = 3


def answers(results: Sequence[tuple[str, str, Paired]], measure: Measure = _POINTS) -> list[str]:
    """Results of (arm, reference, comparison) in plain words, the best first.

    Arms that are not told from the same reference share a line. It ends with the true difference
    that a study of this size finds four times in five, the largest of these arms.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.paired import correct, pair
    >>> runs = pair({i: 90.0 + i % 3 for i in range(9)}, {i: 90.0 for i in range(9)})
    >>> same = pair({i: 90.0 + (-1) ** i for i in range(8)}, {i: 90.0 for i in range(8)})
    >>> found = correct([runs, same, same])
    >>> for line in answers(list(zip(("mine", "EDE", "RDFS"), ("STE",) * 3, found))):
    ...     print(line)
    mine does better than STE, by 1.00 points (0.33 to 1.67).
    No difference found between STE and EDE, RDFS: one of 1.55 points would have been seen in four \
of five studies like this one.
    """
    results = sorted(results, key=_worse)
    told, nulls, lost = [], dict[str, list[tuple[str, Paired]]](), []
    for arm, reference, found in results:
        if found.verdict == NULL:
            nulls.setdefault(reference, []).append((arm, found))
        elif found.verdict == UNDECIDED:
            lost.append(f"{arm} against {reference} is not decided: too few pairs finished.")
        else:
            told.append(_told_apart(arm, reference, found, measure))
    for reference, pairs in nulls.items():
        labels = [arm for arm, _ in pairs]
        arms = ("; " if any("," in label for label in labels) else ", ").join(labels)
        text = f"No difference found between {reference} and {arms}"
        seen = [found.detectable for _, found in pairs if found.detectable is not None]
        if seen:
            text += (
                f": one of {_with_unit(max(seen), measure)} would have been seen in four of five "
                "studies like this one"
            )
        told.append(f"{text}.")
    return told + lost


def _told_apart(arm: str, reference: str, found: Paired, measure: Measure) -> str:
    """One that helps or harms.

    Where runs diverged the verdict is that of all runs, and the difference that of those that
    finished: the two need not agree.
    """
    text = f"{arm} does {'better' if found.verdict == HELPS else 'worse'} than {reference}"
    count = len(found.seeds)
    causes = [
        f"{lost} of {count} runs of {label} diverged"
        for label, lost in ((arm, found.diverged), (reference, found.reference_diverged))
        if lost
    ]
    if found.description is not None:
        mean = found.description.mean
        size = _with_unit(abs(mean), measure)
        if found.student is not None:
            low, high = found.student.low, found.student.high
            low, high = (low, high) if mean > 0 else (-high, -low)
            size += f" ({measure.text(low)} to {measure.text(high)})"
        if not causes:
            return f"{text}, by {size}."
        side = "ahead" if mean * measure.sign > 0 else "behind"
        causes.append(f"where both finished it is {side} by {size}")
    return f"{text}: {'; '.join(causes)}."


def _worse(result: tuple[str, str, Paired]) -> float:
    """A number for sorting: the larger the gain, the smaller; 0 for what is not told apart."""
    found = result[2]
    if found.verdict in (NULL, UNDECIDED):
        return 0.0
    # no pair finished, as one of the two diverged throughout: as large as can be
    size = math.inf if found.description is None else abs(found.description.mean)
    return -size if found.verdict == HELPS else size


def caution(best: float, classes: int) -> str:
    """A warning where the best arm is less than a tenth of the way from a guess to 100 %; else "".

    Examples
    --------
    >>> from riemann_lne_validation.comparison.wording import caution
    >>> caution(12.5, 10)
    'No arm learned much: the best classified 12.5 %, where a guess among 10 classes has 10.0 %. \
What follows compares networks that do not work.'
    >>> caution(90.0, 10)
    ''
    """
    guess = 100.0 / classes
    if best >= guess + 0.1 * (100.0 - guess):
        return ""
    return (
        f"No arm learned much: the best classified {best:.1f} %, where a guess among {classes} "
        f"classes has {guess:.1f} %. What follows compares networks that do not work."
    )


def coarse_inputs(arms: Iterable[Arm]) -> str:
    """A warning where inputs have few levels, and a range that each batch sets anew; else "".

    Examples
    --------
    >>> from riemann_lne_validation.comparison.protocol import default_arm
    >>> from riemann_lne_validation.comparison.wording import coarse_inputs
    >>> coarse_inputs([default_arm("ste", activation_bits=2)])
    'Inputs of 2 bits with the range of each batch: networks hardly learn so. A learned range is \
better: activation_range = "learned".'
    >>> coarse_inputs([default_arm("ste", activation_bits=2, activation_range="learned")])
    ''
    """
    widths = {a.activation_bits for a in arms if a.activation_range == "batch"}
    found = sorted(b for b in widths if b is not None and b <= _COARSE)
    if not found:
        return ""
    return (
        f"Inputs of {' and '.join(map(str, found))} bits with the range of each batch: networks "
        'hardly learn so. A learned range is better: activation_range = "learned".'
    )


def _with_unit(value: float, measure: Measure) -> str:
    return f"{measure.text(value)} {measure.unit}".rstrip()


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
        parts.append(f"({found.finished} pair{'s' * (found.finished != 1)}, no interval)")
    if found.two_way:
        low, high = found.two_way.low, found.two_way.high
        parts.append(f"[{show(low)}, {show(high)}] (over seeds and items)")
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
