"""Reports made of the records of runs: one entry an arm, one a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from riemann_lne.errors import InvalidArgumentError, UnknownNameError

from .arms import ArmSummary, summarise_arm
from .contracts import Dataset, Measure
from .identical import Same, same_arms
from .noise import LAST_BIT, NOT_MEASURED, Floor, noise_floor
from .paired import Paired, correct, pair
from .pairing import check_pairs
from .protocol import Arm
from .records import RunRecord
from .registered import all_datasets, find_dataset, metric_of
from .wording import answers, caution, coarse_inputs, result, short_result

#: Quantities that are compared: mean accuracy of a run's last epochs, or of its last one alone.
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
    primary_other : Paired or None
        As ``primary``, of the metric that is not the study's.
    """

    arm: str
    reference: str
    primary: Paired | None
    last: Paired
    final: Paired
    primary_other: Paired | None = None

    def of(self, metric: str) -> Paired:
        """The paired comparison in one metric."""
        return self.last if metric == "last" else self.final

    def both(self, metric: str) -> tuple[Paired, Paired]:
        """Conclusions in the study's metric and in the other one; the study's is the primary."""
        other = self.final if metric == "last" else self.last
        return self.primary or self.of(metric), self.primary_other or other

    def changes(self, metric: str) -> bool:
        """Whether the verdict of the study's metric is another one in the other metric."""
        one, two = self.both(metric)
        return one.verdict != two.verdict


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
    same : tuple of Same
        Arms that repeat an earlier one. They are in ``arms``, but in no comparison.
    measure : Measure
        Name, direction and unit of the metric of the data set or task.
    floor : Floor or None
        The noise floor, if an arm measured it.
    skipped : mapping from label to str
        Arms that were not run, with the reason: their method does not apply.
    broken : mapping from label to str
        Arms of which a run broke off, with the error. They are in no statistics.
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
    same: tuple[Same, ...] = ()
    measure: Measure = field(default_factory=Measure)
    floor: Floor | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def floor_line(self) -> str:
        """The noise floor in words."""
        return NOT_MEASURED if self.floor is None else self.floor.line(self.measure)

    @property
    def distinct(self) -> tuple[ArmSummary, ...]:
        """The arms without those that repeat an earlier one."""
        repeated = {s.label for s in self.same}
        return tuple(a for a in self.arms if a.label not in repeated)

    def cost_ratio(self, comparison: Comparison) -> float | None:
        """Cost of the arm over that of its reference; None where that had none."""
        reference = self.arm(comparison.reference).cost
        return self.arm(comparison.arm).cost / reference if reference > 0 else None

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

    @property
    def answers(self) -> list[str]:
        """The results in plain words, those that differ first; before them cautions."""
        chosen = [c for c in self.comparisons if c.primary] or self.comparisons
        told = answers([(c.arm, c.reference, c.both(self.metric)[0]) for c in chosen], self.measure)
        return [*self._cautions(), *told]

    def _cautions(self) -> list[str]:
        """A warning for each data set on which no discrete network learned much."""
        best: dict[str, float] = {}
        for a in self.arms:
            found = a.last if self.metric == "last" else a.final
            if found is not None and a.arm.method != "full-precision":
                best[a.arm.dataset] = max(found.mean, best.get(a.arm.dataset, found.mean))
        known = {name: find_dataset(name) for name in best if name in all_datasets()}
        lines = [
            caution(best[name], entry.classes)
            for name, entry in known.items()
            if isinstance(entry, Dataset)
        ]
        told = [line for line in lines if line]
        reason = coarse_inputs(a.arm for a in self.arms)
        return [*told, reason] if told and reason else told

    @property
    def setting(self) -> str:
        """Data set, network, bits, epochs, optimiser, seeds and cost, in words.

        A setting that differs between arms is given as the values that it has.
        """
        arms = [a.arm for a in self.arms]

        def told(values: Iterable[str]) -> str:
            return " or ".join(dict.fromkeys(values))

        def kept(number: int | None) -> str:
            return "in floats" if number is None else f"of {bits(number)}"

        def counted(number: str, noun: str) -> str:
            return f"{number} {noun}" + ("" if number == "1" else "s")

        def span(values: Iterable[float]) -> str:
            low, high = min(found := list(values)), max(found)
            one, two = f"{low:.3g}", f"{high:.3g}"
            return one if one == two else f"{one} to {two}"

        return (
            f"{told(a.dataset for a in arms)}, network {told(a.model for a in arms)}; weights of "
            f"{told(bits(a.weight_bits) for a in arms)}, activations "
            f"{told(kept(a.activation_bits) for a in arms)}; "
            f"{counted(told(str(a.epochs) for a in arms), 'epoch')} of "
            f"{told(a.optimizer for a in arms)} at a rate of "
            f"{span(a.learning_rate for a in arms)}; "
            f"{counted(span(len(a.seeds) for a in self.arms), 'seed')}. One run costs "
            f"{counted(span(a.cost for a in self.arms), 'epoch')} of plain training and "
            f"took {span(a.seconds for a in self.arms)} s."
        )

    def sentence(self, comparison: Comparison) -> str:
        """The result of a comparison in both metrics, in words that follow from the numbers."""
        found, other = comparison.both(self.metric)
        last = self.arm(comparison.arm).window
        names = {"last": f"mean of the last {last} epochs", "final": "last epoch"}
        if last == 1:
            names["last"] = "last epoch"
        second = names["final" if self.metric == "last" else "last"]
        ratio = self.cost_ratio(comparison)
        cost = "" if ratio is None or abs(ratio - 1) < 0.005 else f", at {ratio:.3g} times the cost"
        text = (
            f"{comparison.arm} against {comparison.reference} ({names[self.metric]}{cost}): "
            f"{result(found, self.alpha, self.measure)}"
        )
        if last == 1:
            return text  # one epoch is both metrics
        changed = "; the verdict changes with the metric" if comparison.changes(self.metric) else ""
        return f"{text}. {second.capitalize()}: {short_result(other, self.measure)}{changed}"


def default_reference(arms: Sequence[Arm]) -> str:
    """The label of the arm that others are compared with where nobody names one.

    Raises InvalidArgumentError if no arm has the method "ste".

    >>> from riemann_lne_validation.comparison.protocol import default_arm
    >>> from riemann_lne_validation.comparison.summary import default_reference
    >>> default_reference([default_arm("lsq", weight_bits=2), default_arm("ste", label="plain")])
    'plain'
    """
    for arm in arms:
        if arm.method == "ste":
            return arm.label
    raise InvalidArgumentError(
        "there is no arm with method 'ste' to compare with: add one, or name another reference "
        f"(--reference LABEL); arms: {', '.join(arm.label for arm in arms)}"
    )


def bits(count: int | None) -> str:
    """Number of bits in words; None are floating-point numbers.

    >>> bits(1), bits(4), bits(None)
    ('1 bit', '4 bits', 'floats')
    """
    if count is None:
        return "floats"
    return "1 bit" if count == 1 else f"{count} bits"


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
        If there are no records, two for the same arm and seed, or no reference; if runs of one
        seed are not paired (`pairing.check_pairs`).
    UnknownNameError
        If a reference is not among the arms.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(record.label, []).append(record)
    if not groups:
        raise InvalidArgumentError(
            f"records = {list(records)!r}: there are no runs to summarise; give at least one"
        )
    check_pairs(records)
    measures = {metric_of(record.arm.dataset).measure for record in records}
    if len(measures) > 1:
        names = ", ".join(sorted(m.name for m in measures))
        raise InvalidArgumentError(
            f"the runs are judged by different metrics ({names}), which have no common table; "
            "compare arms of one data set or task"
        )
    (measure,) = measures
    arms = tuple(summarise_arm(runs, measure.factor) for runs in groups.values())
    return summarise_arms(
        arms,
        reference,
        references=references,
        primary=primary,
        metric=metric,
        alpha=alpha,
        test=test,
        title=title,
        command=command,
        environment=common_environment(records),
        measure=measure,
        **more,
    )


def summarise_arms(
    arms: Sequence[ArmSummary],
    reference: str | None = None,
    *,
    references: Mapping[str, str] | None = None,
    primary: Sequence[tuple[str, str]] = (),
    metric: str = "last",
    alpha: float = 0.05,
    test: str = "t",
    **more: Any,
) -> Summary:
    """As `summarise`, from the results of each arm's runs.

    An arm that repeats an earlier one (`identical.same_arms`) is compared with nothing, and nothing
    with it: its comparisons are those of the earlier arm, and to count them again would make the
    correction stricter without another hypothesis. ``same`` of the summary names it.
    """
    same = same_arms(arms)
    first = {s.label: s.first for s in same}
    measure: Measure = more.pop("measure", Measure())
    every = _pairs(arms, reference, dict(references or {}), primary)
    # the noise floor is no hypothesis: it is measured beside the comparisons
    noise = {a.label for a in arms if a.arm.method == LAST_BIT}
    pairs = [p for p in every if p[0] not in noise or p in primary]
    once = [(first.get(a, a), first.get(b, b)) for a, b in pairs]
    chosen = [p for p in dict.fromkeys(once) if p[0] != p[1]]
    starred = list(dict.fromkeys((first.get(a, a), first.get(b, b)) for a, b in primary))
    return Summary(
        arms=tuple(arms),
        comparisons=_compare(arms, chosen, starred, metric, alpha, test, measure),
        metric=metric,
        alpha=alpha,
        same=same,
        measure=measure,
        floor=noise_floor(arms, dict(reversed(every)), metric),
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
    if reference is None and any(label not in references for label in labels):
        reference = default_reference([a.arm for a in arms])
    elif reference is None:
        reference = labels[0]  # nobody's
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
    measure: Measure,
) -> tuple[Comparison, ...]:
    by_label = {a.label: a for a in arms}
    raw = {
        m: [_pair(by_label[a], by_label[b], m, test, measure) for a, b in pairs] for m in METRICS
    }
    every = {m: correct(raw[m], alpha) for m in METRICS}
    confirmed = {
        m: iter(correct([f for p, f in zip(pairs, raw[m], strict=True) if p in primary], alpha))
        for m in METRICS
    }
    other = "final" if metric == "last" else "last"
    return tuple(
        Comparison(
            arm=a,
            reference=b,
            primary=next(confirmed[metric]) if (a, b) in primary else None,
            last=every["last"][i],
            final=every["final"][i],
            primary_other=next(confirmed[other]) if (a, b) in primary else None,
        )
        for i, (a, b) in enumerate(pairs)
    )


def _pair(
    arm: ArmSummary, reference: ArmSummary, metric: str, test: str, measure: Measure
) -> Paired:
    """One comparison in one metric, over images too where both arms recorded them."""
    unit = measure.factor / 100.0  # of hits, which are told in percentage points
    images = {
        seed: unit * (hits.points(metric) - reference.hits[seed].points(metric))
        for seed, hits in arm.hits.items()
        if seed in reference.hits and len(hits.final) == len(reference.hits[seed].final)
    }
    return pair(
        arm.values(metric), reference.values(metric), test=test, images=images, sign=measure.sign
    )
