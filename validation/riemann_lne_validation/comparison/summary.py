"""From the records of runs to what is reported: one entry an arm, one a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from .arms import ArmSummary, summarise_arm
from .paired import UNDECIDED, Paired, correct, pair
from .records import RunRecord

#: What is compared: mean accuracy of the last epochs of a run, or that of the last one alone.
METRICS = ("last", "final")


@dataclass(frozen=True)
class Comparison:
    """One arm against its reference.

    Attributes
    ----------
    arm, reference : str
        Labels.
    primary : Paired or None
        Of the study's metric, corrected within the primary comparisons; None for others.
    last, final : Paired
        Of both metrics, corrected over all comparisons.
    """

    arm: str
    reference: str
    primary: Paired | None
    last: Paired
    final: Paired

    def of(self, metric: str) -> Paired:
        """The paired comparison in one metric."""
        return self.last if metric == "last" else self.final


@dataclass(frozen=True)
class Summary:
    """All that a report shows.

    Attributes
    ----------
    title, command : str
    arms : tuple of ArmSummary
    comparisons : tuple of Comparison
    metric : {"last", "final"}
    alpha : float
        Family-wise level.
    environment : dict
        Of the runs; values that differ between runs are listed.
    study : dict
        The study's configuration, empty without one.
    tuning : tuple of dict
        Every configuration that was tried, with its validation accuracy.
    notes : tuple of str
    """

    title: str
    command: str
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]
    metric: str = "last"
    alpha: float = 0.05
    environment: Mapping[str, Any] = field(default_factory=dict)
    study: Mapping[str, Any] = field(default_factory=dict)
    tuning: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def arm(self, label: str) -> ArmSummary:
        """The arm of this label."""
        for arm in self.arms:
            if arm.label == label:
                return arm
        raise UnknownNameError("arm", label, [a.label for a in self.arms])

    @property
    def sentences(self) -> list[str]:
        """One sentence for each primary comparison, or for each comparison if none is primary."""
        primary = [c for c in self.comparisons if c.primary]
        return [self.sentence(c) for c in primary or self.comparisons]

    def sentence(self, comparison: Comparison) -> str:
        """The result of a comparison, in words that follow from the numbers."""
        found = comparison.primary or comparison.of(self.metric)
        last = self.arm(comparison.arm).window
        what = f"mean of the last {last} epochs" if self.metric == "last" else "last epoch"
        if self.metric == "last" and last == 1:
            what = "last epoch"
        return (
            f"{comparison.arm} against {comparison.reference} ({what}): {result(found, self.alpha)}"
        )


def result(found: Paired, alpha: float = 0.05) -> str:
    """Difference, interval, p, and the verdict, as one line.

    Examples
    --------
    >>> runs = pair({i: 90.0 + i % 3 for i in range(9)}, {i: 90.0 for i in range(9)})
    >>> print(result(correct([runs, runs])[0]))
    +1.00 points [0.33, 1.67] (95 % Student t, 9 pairs), p = 0.0085, adjusted 0.017 \
(Holm over 2; paired t): helps at the corrected level
    """
    parts = []
    if found.description:
        parts.append(f"{found.description.mean:+.2f} points")
    if found.student:
        low, high = found.student.low, found.student.high
        parts.append(f"[{low:.2f}, {high:.2f}] (95 % Student t, {found.finished} pairs)")
    elif found.description:
        parts.append(f"({found.finished} pairs, no interval)")
    text = " ".join(parts) or "no pair of runs finished"
    if found.p is not None and found.adjusted is not None:
        text += (
            f", p = {found.p:.2g}, adjusted {found.adjusted:.2g} (Holm over {found.comparisons}; "
            f"{found.test})"
        )
    text += f": {found.verdict}" + ("" if found.verdict == UNDECIDED else " at the corrected level")
    if found.verdict == "null" and found.resolves:
        text += f"; differences below {found.resolves:.2f} are not told from zero"
    lost = [note for note in found.notes if "diverged" in note or "more seeds" in note]
    return text + "".join(f"; {note}" for note in lost)


def summarise(
    records: Sequence[RunRecord],
    reference: str | None = None,
    *,
    references: Mapping[str, str] | None = None,
    primary: Sequence[tuple[str, str]] = (),
    metric: str = "last",
    alpha: float = 0.05,
    test: str = "t",
    title: str = "Estimators side by side",
    command: str = "",
    **more: Any,
) -> Summary:
    """Statistics of a set of runs.

    Parameters
    ----------
    records : sequence of RunRecord
        In any order; arms are reported in the order in which they first appear.
    reference : str, optional
        Label of the arm that the others are compared with; by default the first with method "ste".
    references : mapping from label to label, optional
        Another reference for some arms. An arm that is its own reference is compared with none.
    primary : sequence of (label, reference label)
        Corrected as a family of their own. They count among all comparisons as well.
    metric, alpha, test
        See `Summary` and `paired.pair`.
    **more
        Further attributes of `Summary`.

    Raises
    ------
    InvalidArgumentError
        If there are no records, two for the same arm and seed, or no reference.
    UnknownNameError
        If a reference is not among the arms.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(record.label, []).append(record)
    if not groups:
        raise InvalidArgumentError("there are no runs to summarise")
    arms = tuple(summarise_arm(runs) for runs in groups.values())
    pairs = _pairs(arms, reference, dict(references or {}), primary)
    return Summary(
        title=title,
        command=command,
        arms=arms,
        comparisons=_compare(arms, pairs, list(primary), metric, alpha, test),
        metric=metric,
        alpha=alpha,
        environment=common_environment(records),
        **more,
    )


def common_environment(records: Sequence[RunRecord]) -> dict[str, Any]:
    """The environment of the runs; a value that differs between them becomes a list."""
    found: dict[str, list[Any]] = {}
    for record in records:
        for key, value in record.environment.items():
            values = found.setdefault(key, [])
            if value not in values:
                values.append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _pairs(
    arms: Sequence[ArmSummary],
    reference: str | None,
    references: dict[str, str],
    primary: Sequence[tuple[str, str]],
) -> list[tuple[str, str]]:
    """All comparisons, the primary ones first."""
    labels = [a.label for a in arms]
    if reference is None:
        plain = [a.label for a in arms if a.arm.method == "ste"]
        if not plain and any(label not in references for label in labels):
            raise InvalidArgumentError(
                "there is no arm with method 'ste' to compare with: name a reference; arms: "
                + ", ".join(labels)
            )
        reference = plain[0] if plain else labels[0]
    pairs = [(a, b) for a, b in primary]
    for label in labels:
        pairs.append((label, references.get(label, reference)))
    for pair_ in pairs:
        for label in pair_:
            if label not in labels:
                raise UnknownNameError("arm", label, labels)
    return [p for p in dict.fromkeys(pairs) if p[0] != p[1]]


def _compare(
    arms: Sequence[ArmSummary],
    pairs: list[tuple[str, str]],
    primary: list[tuple[str, str]],
    metric: str,
    alpha: float,
    test: str,
) -> tuple[Comparison, ...]:
    by_label = {a.label: a for a in arms}
    raw = {
        m: [pair(by_label[a].values(m), by_label[b].values(m), test=test) for a, b in pairs]
        for m in METRICS
    }
    every = {m: correct(raw[m], alpha) for m in METRICS}
    family = [found for p, found in zip(pairs, raw[metric], strict=True) if p in primary]
    confirmed = iter(correct(family, alpha))
    return tuple(
        Comparison(
            arm=a,
            reference=b,
            primary=next(confirmed) if (a, b) in primary else None,
            last=every["last"][i],
            final=every["final"][i],
        )
        for i, (a, b) in enumerate(pairs)
    )
