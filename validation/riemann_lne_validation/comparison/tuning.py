"""Choice of settings on the validation images: the same budget for every arm, nothing hidden."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from riemann_lne.errors import InvalidArgumentError

from .protocol import Arm
from .records import RunRecord
from .registered import metric_of
from .statistics import describe, window


@dataclass(frozen=True)
class Candidate:
    """One configuration of one arm, to be tried on the validation images.

    Attributes
    ----------
    owner : str
        Label of the arm it may become.
    settings : dict
        Settings that it changes, by name; options of the method as "options.NAME".
    arm : Arm
        With split="validation" and a label that tells candidates apart.
    """

    owner: str
    settings: Mapping[str, Any]
    arm: Arm


@dataclass(frozen=True)
class Trial:
    """A candidate and what came of it.

    Attributes
    ----------
    candidate : Candidate
    seeds : tuple of int
    diverged : int
        Runs that diverged.
    mean, standard_deviation : float or None
        Validation accuracy in percentage points: over the runs that finished, of the mean of the
        last epochs.
    chosen : bool
    cost : float
        Of all its runs, in epochs of plain training.
    """

    candidate: Candidate
    seeds: tuple[int, ...]
    diverged: int
    mean: float | None
    standard_deviation: float | None
    cost: float
    chosen: bool = False
    by_seed: Mapping[int, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "arm": self.candidate.owner,
            "method": self.candidate.arm.method,
            "settings": dict(self.candidate.settings),
            "seeds": list(self.seeds),
            "diverged": self.diverged,
            "validation_mean": self.mean,
            "validation_standard_deviation": self.standard_deviation,
            "validation_by_seed": {str(s): v for s, v in self.by_seed.items()},
            "cost": self.cost,
            "chosen": self.chosen,
        }


def configurations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of a grid, the last name fastest.

    Examples
    --------
    >>> configurations({"learning_rate": [0.1, 0.3], "options.alpha": [1, 10]})[1]
    {'learning_rate': 0.1, 'options.alpha': 10}
    >>> configurations({})
    [{}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def configured(arm: Arm, settings: Mapping[str, Any]) -> Arm:
    """The arm with these settings; "options.NAME" sets an option of the method.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        As `Arm`.

    Examples
    --------
    >>> configured(Arm("a", "ste"), {"learning_rate": 0.3, "options.alpha": 2}).options
    {'alpha': 2}
    """
    table = arm.to_dict()
    options = dict(table["options"])
    for name, value in settings.items():
        if name.startswith("options."):
            options[name.removeprefix("options.")] = value
        elif name in ("label", "split", "train_on", "dataset", "subset"):
            raise InvalidArgumentError(
                f"arm {arm.label!r}: {name!r} cannot be tuned; leave it the same for all arms"
            )
        else:
            table[name] = value
    return Arm.from_dict({**table, "options": options})


def candidates(arm: Arm, settings: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    """One candidate for each configuration, measured on the validation images only."""
    found = []
    for i, chosen in enumerate(settings, start=1):
        tried = replace(configured(arm, chosen), split="validation", train_on="train")
        found.append(Candidate(arm.label, dict(chosen), replace(tried, label=f"{arm.label} #{i}")))
    return found


def judge(candidate: Candidate, records: Sequence[RunRecord]) -> Trial:
    """Outcome of a candidate's runs.

    Raises
    ------
    InvalidArgumentError
        If a record is not of this candidate, or was measured on test images.
    """
    for record in records:
        if record.arm.digest != candidate.arm.digest or record.arm.split != "validation":
            raise InvalidArgumentError(
                f"the run of {record.label!r} (split {record.arm.split!r}) does not belong to the "
                f"candidate {candidate.arm.label!r}; settings are chosen on validation images only"
            )
    good = [r for r in records if not r.diverged]
    factor = metric_of(candidate.arm.dataset).factor
    last = window(max((len(r.epochs) for r in good), default=candidate.arm.epochs))
    by_seed = {r.seed: None if (a := r.mean_of_last(last)) is None else factor * a for r in records}
    values = [v for v in by_seed.values() if v is not None]
    found = describe(values) if values else None
    return Trial(
        candidate=candidate,
        seeds=tuple(r.seed for r in records),
        diverged=len(records) - len(good),
        mean=found.mean if found else None,
        standard_deviation=found.standard_deviation if found else None,
        cost=sum(r.cost for r in records),
        by_seed=by_seed,
    )


def choose(trials: Sequence[Trial]) -> int:
    """Index of the configuration to take, among those of one arm.

    The one with the fewest diverged runs; among these, with the best mean accuracy (the highest,
    or of another metric the best) on the validation images; among these, the first.

    Raises
    ------
    InvalidArgumentError
        If every run of every configuration diverged.
    """
    if all(t.mean is None for t in trials):
        raise InvalidArgumentError(
            f"every run of every configuration of {trials[0].candidate.owner!r} diverged: give it "
            "smaller learning rates"
        )
    sign = metric_of(trials[0].candidate.arm.dataset).measure.sign
    order = [
        (t.diverged, math.inf if t.mean is None else -sign * t.mean, i)
        for i, t in enumerate(trials)
    ]
    return min(order)[2]


def edges(trials: Sequence[Trial]) -> list[str]:
    """Settings whose chosen value is the smallest or largest tried: the optimum may lie beyond.

    Zero is no edge: there is nothing below it that could be tried. Nor is a value of an arm that
    had no other.
    """
    chosen = next((t for t in trials if t.chosen), None)
    if chosen is None:
        return []
    found = []
    for name, value in chosen.candidate.settings.items():
        tried = sorted({
            v for t in trials if isinstance(v := t.candidate.settings.get(name), (int, float))
        })  # fmt: skip
        if len(tried) > 1 and value in (tried[0], tried[-1]) and value != 0:
            found.append(f"{chosen.candidate.owner}, {name} = {value:g}")
    return found


def tune(groups: Mapping[str, Sequence[Candidate]], records: Sequence[RunRecord]) -> list[Trial]:
    """Judge all candidates from the records of their runs and mark the chosen ones."""
    by_label: dict[str, list[RunRecord]] = {}
    for record in records:
        by_label.setdefault(record.label, []).append(record)
    result = []
    for group in groups.values():
        trials = [judge(c, by_label[c.arm.label]) for c in group]
        best = choose(trials)
        result += [replace(t, chosen=i == best) for i, t in enumerate(trials)]
    return result
