"""A method against its reference over the same seeds, diverged runs included."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from riemann_lne.errors import InvalidArgumentError

from .statistics import (
    FEWEST_FOR_BOOTSTRAP,
    FEWEST_FOR_T,
    RESAMPLES,
    Description,
    Interval,
    bootstrap_interval,
    constant,
    describe,
    detectable,
    holm,
    resolution,
    sign_flip_test,
    student_interval,
    t_test,
    worst_ranks,
)
from .two_way import two_way_interval

#: Verdicts of a comparison.
HELPS, HARMS, NULL, UNDECIDED = "helps", "harms", "null", "undecided"


@dataclass(frozen=True)
class Paired:
    """Differences method - reference, one for each seed, and what follows from them.

    In the unit of the values (percentage points for accuracies).

    Attributes
    ----------
    seeds : tuple of int
        The seeds that both have run.
    differences : tuple of float or None
        Of these seeds; None where one of the two diverged.
    finished : int
        Pairs in which both finished. Mean, spread and intervals are over these alone.
    diverged, reference_diverged : int
        How many of the runs of the method, and of the reference, diverged.
    missing : tuple of int
        Seeds that only one of the two has run; they are left out.
    description : Description or None
    student, bootstrap : Interval or None
        95 % intervals of the mean difference.
    family : Interval or None
        Student's interval at level 1 - alpha/m, m the number of comparisons: all m of them hold at
        once with probability 1 - alpha (Bonferroni).
    p_t, p_sign_flip : float or None
        Of the paired t test and of the sign-flip permutation test, not corrected.
    p : float or None
        The p that the verdict uses, not corrected; ``test`` says which one it is.
    adjusted : float or None
        Holm's, within the family of ``comparisons``.
    adjusted_sign_flip : float or None
        Holm's for the p of the sign-flip test, within the same family.
    two_way : Interval or None
        95 % interval over seeds and images (`two_way.two_way_interval`), the others being over
        seeds alone. None if runs did not record the hits of single images.
    comparisons : int
    corrected_level : float
        alpha/m, with which the smallest raw p of the family is compared.
    resolves : float or None
        Half-width of the 95 % Student interval.
    detectable : float or None
        True difference that a test at the corrected level finds with power 0.8.
    verdict : {"helps", "harms", "null", "undecided"}
    notes : tuple of str
        Warnings for the reader: too few seeds, diverged runs, and how they were counted.
    """

    seeds: tuple[int, ...]
    differences: tuple[float | None, ...]
    finished: int
    diverged: int
    reference_diverged: int
    missing: tuple[int, ...]
    description: Description | None
    student: Interval | None
    bootstrap: Interval | None
    p_t: float | None
    p_sign_flip: float | None
    p: float | None
    test: str
    direction: int
    notes: tuple[str, ...]
    family: Interval | None = None
    adjusted: float | None = None
    comparisons: int = 1
    corrected_level: float = 0.05
    resolves: float | None = None
    detectable: float | None = None
    verdict: str = UNDECIDED
    adjusted_sign_flip: float | None = None
    two_way: Interval | None = None


def pair(
    method: Mapping[int, float | None],
    reference: Mapping[int, float | None],
    level: float = 0.95,
    test: str = "t",
    images: Mapping[int, np.ndarray] | None = None,
    sign: int = 1,
) -> Paired:
    """The paired comparison of two sets of runs.

    Parameters
    ----------
    method, reference : mapping from seed to value
        None for a run that diverged.
    level : float
        Nominal coverage of the intervals.
    test : {"t", "sign-flip"}
        Which p the verdict uses. Where a run diverged there is no difference to average, and the
        verdict uses the sign-flip test on signed ranks, the diverged run the worst of all. Where
        all differences are equal there is no t, and it uses the sign-flip test.
    images : mapping from seed to array, optional
        Differences of single images, in the unit of the values and with these as means. Needed
        of every pair that finished for an interval over seeds and images.
    sign : {1, -1}
        -1 where a smaller value is the better one: the verdict is then of -difference.

    Raises
    ------
    InvalidArgumentError
        If there is no seed in common, or no such test.

    Examples
    --------
    >>> found = pair({0: 91.0, 1: 92.0, 2: 93.5}, {0: 90.0, 1: 90.0, 2: 90.5})
    >>> found.differences, found.description.mean
    ((1.0, 2.0, 3.0), 2.0)
    >>> pair({0: 91.0, 1: None}, {0: 90.0, 1: 90.0}).notes[0]
    '1 of 2 runs diverged: the mean difference is over the other 1 pair'
    """
    if test not in ("t", "sign-flip"):
        raise InvalidArgumentError(f"test must be 't' or 'sign-flip', got {test!r}")
    seeds = sorted(method.keys() & reference.keys())
    if not seeds:
        raise InvalidArgumentError(
            f"no seed in common: {sorted(method)[:5]} of the method, {sorted(reference)[:5]} of "
            "the reference; run both on the same seeds"
        )
    missing = tuple(sorted(method.keys() ^ reference.keys()))
    signed = [_gain(method[s], reference[s], sign) for s in seeds]
    kept = [None if method[s] is None or reference[s] is None else sign * signed[i]
            for i, s in enumerate(seeds)]  # fmt: skip
    values = [d for d in kept if d is not None]
    lost = sum(method[s] is None for s in seeds)
    lost_reference = sum(reference[s] is None for s in seeds)
    p_flip = sign_flip_test(values) if values else None
    p_t = t_test(values) if values else None
    p, used, direction = _decide(
        signed, values, p_t, p_flip, test, bool(lost or lost_reference), sign
    )
    found = describe(values) if values else None
    spread = found.standard_deviation if found else None
    return Paired(
        seeds=tuple(seeds),
        differences=tuple(kept),
        finished=len(values),
        diverged=lost,
        reference_diverged=lost_reference,
        missing=missing,
        description=found,
        student=student_interval(values, level) if values else None,
        bootstrap=bootstrap_interval(values, level) if values else None,
        p_t=p_t,
        p_sign_flip=p_flip,
        p=p,
        test=used,
        direction=direction,
        notes=_notes(len(seeds), values, lost, lost_reference, missing),
        two_way=_over_images(seeds, kept, images or {}, level),
        resolves=None if spread is None else resolution(spread, len(values), level),
    )


def correct(comparisons: Sequence[Paired], alpha: float = 0.05) -> list[Paired]:
    """Holm's correction over one family of comparisons, with the verdicts that follow.

    A comparison without a p (too few seeds) still counts as one: leaving it out would make the
    correction milder after the fact.

    Examples
    --------
    >>> runs = pair({i: 90.0 + 0.1 * i for i in range(10)}, {i: 90.0 for i in range(10)})
    >>> [round(c.adjusted / c.p) for c in correct([runs, runs])]
    [2, 2]
    >>> correct([runs])[0].verdict
    'helps'
    """
    m = len(comparisons)
    adjusted = holm([1.0 if c.p is None else c.p for c in comparisons])
    flips = holm([1.0 if c.p_sign_flip is None else c.p_sign_flip for c in comparisons])
    return [
        replace(
            _with_family(c, q, m, alpha),
            adjusted_sign_flip=None if c.p_sign_flip is None else f,
        )
        for c, q, f in zip(comparisons, adjusted, flips, strict=True)
    ]


def smallest_p(c: Paired) -> float:
    """The smallest p that the test of a comparison can give with its seeds."""
    return 0.0 if c.test == "paired t" else max(2.0 / 2 ** len(c.seeds), 2.0 / (RESAMPLES + 1))


def _with_family(c: Paired, adjusted: float, m: int, alpha: float) -> Paired:
    level = alpha / m
    values = [d for d in c.differences if d is not None]
    spread = c.description.standard_deviation if c.description else None
    verdict, notes = UNDECIDED, c.notes
    if c.p is not None and c.direction and smallest_p(c) > level:
        notes = (
            *notes,
            f"the {c.test} test of {len(c.seeds)} seeds cannot give a p below {smallest_p(c):.2g}, "
            f"which is above the corrected level {level:.2g}: more seeds are needed",
        )
    elif c.p is not None and (values or c.direction):  # not where both diverged throughout
        verdict = NULL
        if adjusted <= alpha and c.direction:
            verdict = HELPS if c.direction > 0 else HARMS
            fewest = 2.0 / 2 ** len(values)
            if c.test == "paired t" and fewest > level:
                notes = (
                    *notes,
                    f"rests on Student's t, that is on normal differences: the sign-flip test of "
                    f"{len(values)} pairs, which assumes less, cannot give a p below "
                    f"{fewest:.2g}, and the corrected level is {level:.2g}",
                )
    return replace(
        c,
        notes=notes,
        family=student_interval(values, 1.0 - level) if values else None,
        adjusted=None if c.p is None else adjusted,
        comparisons=m,
        corrected_level=level,
        detectable=None if spread is None else detectable(spread, len(values), level),
        verdict=verdict,
    )


def _over_images(
    seeds: Sequence[int],
    differences: Sequence[float | None],
    images: Mapping[int, np.ndarray],
    level: float,
) -> Interval | None:
    """The interval over seeds and images, if every pair that finished has images."""
    finished = [s for s, d in zip(seeds, differences, strict=True) if d is not None]
    if not finished or any(s not in images for s in finished):
        return None
    if len({len(images[s]) for s in finished}) > 1:
        raise InvalidArgumentError(
            f"the runs of the seeds {list(finished)} have different numbers of images; compare "
            "runs on the same"
        )
    if len(finished) < 2:
        return None
    return two_way_interval(np.stack([images[s] for s in finished]), level)


def _gain(method: float | None, reference: float | None, sign: int) -> float:
    """How much better the method is; -inf where only the method diverged, 0 where both did."""
    if method is None:
        return 0.0 if reference is None else -math.inf
    return math.inf if reference is None else sign * (float(method) - float(reference))


def _decide(
    signed: list[float],
    values: list[float],
    p_t: float | None,
    p_flip: float | None,
    test: str,
    diverged: bool,
    sign: int,
) -> tuple[float | None, str, int]:
    """The p for the verdict, the test it comes from, and the sign of the effect."""
    if len(signed) < FEWEST_FOR_T:
        return None, "none", 0
    if diverged:
        ranks = worst_ranks(signed)
        return sign_flip_test(ranks.tolist()), "sign-flip on worst ranks", _sign(ranks.sum())
    direction = sign * _sign(float(np.mean(values)))
    if test == "t" and p_t is not None:
        return p_t, "paired t", direction
    return p_flip, "sign-flip", direction


def _sign(x: float) -> int:
    return int(x > 0) - int(x < 0)


def _notes(
    count: int, values: list[float], lost: int, lost_reference: int, missing: tuple[int, ...]
) -> tuple[str, ...]:
    notes = []
    over = f"the mean difference is over the other {len(values)} {_pairs(len(values))}"
    if lost:
        notes.append(f"{lost} of {count} runs diverged: {over}")
    if lost_reference:
        notes.append(f"{lost_reference} of {count} runs of the reference diverged: {over}")
    if lost or lost_reference:
        notes.append("p is that of signed ranks in which a diverged run is worse than any other")
    if missing:
        notes.append(f"seeds {list(missing)} were run for only one of the two and are left out")
    if values and constant(np.asarray(values)):
        notes.append(f"all {len(values)} differences are {values[0]:g}: no spread, no interval")
    elif len(values) < FEWEST_FOR_T:
        notes.append(f"{len(values)} {_pairs(len(values))}: too few for an interval or a test")
    elif len(values) < FEWEST_FOR_BOOTSTRAP:
        notes.append(f"{len(values)} pairs: too few for a bootstrap interval")
    return tuple(notes)


def _pairs(count: int) -> str:
    return "pair" if count == 1 else "pairs"
