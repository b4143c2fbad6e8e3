"""Outcomes of the runs of arms."""

from __future__ import annotations

import math
import statistics as plain_statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from riemann_lne.errors import InvalidArgumentError

from .image_hits import ImageHits
from .protocol import Arm
from .records import RunRecord
from .statistics import Description, describe, window


@dataclass(frozen=True)
class Curve:
    """Accuracy against epochs, over the seeds that reached the epoch; percentage points.

    ``deviation`` is the standard deviation (ddof = 1), None where only one seed is left. Epochs in
    which no run has a value are left out.
    """

    epoch: tuple[int, ...]
    mean: tuple[float, ...]
    deviation: tuple[float | None, ...]
    count: tuple[int, ...]


@dataclass(frozen=True)
class ArmSummary:
    """Outcome of the runs of one arm. Accuracies in percentage points.

    The metric of a task stands for the accuracy, in the task's unit.

    Attributes
    ----------
    arm : Arm
    seeds : tuple of int
    diverged : dict from seed to str
        Epoch and reason. These runs are in no mean below.
    window : int
        Number of last epochs: ten, or the last quarter of the run where that is fewer.
    last, final : Description or None
        Over seeds: of the mean accuracy of the last epochs; of the last one.
    last_by_seed, final_by_seed : dict from seed to float or None
        None where the run diverged.
    spread : float or None
        Standard deviation of the accuracy over the last epochs of a run, mean over runs.
    sign_flip_rate : float or None
        Fraction of quantised weights that change sign in one of the last epochs, mean over runs.
    gradient_angle : float or None
        Angle in degrees between the method's gradient and its reference, mean of all measurements.
    cost : float
        In epochs of plain training; mean over runs. Pretraining is not in it.
    pretraining_cost : float
    seconds : float
        Training, mean over runs.
    curve : Curve
    warnings : tuple of str
        Notes of the runs, each once.
    hits : dict from seed to ImageHits
        Of the runs that recorded them.
    """

    arm: Arm
    seeds: tuple[int, ...]
    diverged: Mapping[int, str]
    window: int
    last: Description | None
    final: Description | None
    last_by_seed: Mapping[int, float | None]
    final_by_seed: Mapping[int, float | None]
    spread: float | None
    sign_flip_rate: float | None
    gradient_angle: float | None
    cost: float
    pretraining_cost: float
    seconds: float
    curve: Curve
    warnings: tuple[str, ...] = ()
    hits: Mapping[int, ImageHits] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Label of the arm."""
        return self.arm.label

    def values(self, metric: str) -> Mapping[int, float | None]:
        """One accuracy for each seed."""
        return self.last_by_seed if metric == "last" else self.final_by_seed


def summarise_arm(records: Sequence[RunRecord], factor: float = 100.0) -> ArmSummary:
    """Statistics of the runs of one arm; ``factor`` makes the unit of tables of the metric."""
    runs = sorted(records, key=lambda r: r.seed)
    arm = runs[0].arm
    seeds = tuple(r.seed for r in runs)
    if len(set(seeds)) < len(seeds):
        raise InvalidArgumentError(
            f"arm {arm.label!r} has two runs of the same seed, remove one: {seeds}"
        )
    if any(r.arm.digest != arm.digest for r in runs):
        raise InvalidArgumentError(
            f"the runs of arm {arm.label!r} have different settings; give runs of one arm"
        )
    good = [r for r in runs if not r.diverged]
    length = max((len(r.epochs) for r in good), default=arm.epochs)
    last = window(length)
    by_last = {r.seed: _points(r.mean_of_last(last), factor) for r in runs}
    by_final = {r.seed: _points(r.final_accuracy, factor) for r in runs}
    return ArmSummary(
        arm=arm,
        seeds=seeds,
        diverged={
            r.seed: f"epoch {r.diverged.epoch}: {r.diverged.reason}" for r in runs if r.diverged
        },
        window=last,
        last=_describe(by_last.values()),
        final=_describe(by_final.values()),
        last_by_seed=by_last,
        final_by_seed=by_final,
        spread=_mean(_spread(r, last, factor) for r in good),
        sign_flip_rate=_mean(_mean(e.sign_flip_rate for e in r.epochs[-last:]) for r in good),
        gradient_angle=_degrees(_mean(_mean(e.gradient_angle for e in r.epochs) for r in good)),
        cost=float(_mean(r.cost for r in good or runs) or 0.0),
        pretraining_cost=float(_mean(r.pretraining_cost for r in runs) or 0.0),
        seconds=float(_mean(r.seconds for r in good or runs) or 0.0),
        curve=_curve(good, factor),
        warnings=tuple(dict.fromkeys(note for r in runs for note in r.notes)),
        hits=_hits(good),
    )


def _hits(runs: Sequence[RunRecord]) -> dict[int, ImageHits]:
    """Hits by seed; none where the items that runs are judged on depend on the seed."""
    known = {r.fingerprints["held_out"] for r in runs if "held_out" in r.fingerprints}
    if len(known) > 1:
        return {}
    return {r.seed: r.hits for r in runs if r.hits is not None}


def _points(accuracy: float | None, factor: float) -> float | None:
    return None if accuracy is None else factor * accuracy


def _degrees(angle: float | None) -> float | None:
    return None if angle is None else math.degrees(angle)


def _describe(values: Any) -> Description | None:
    kept = [v for v in values if v is not None]
    return describe(kept) if kept else None


def _mean(values: Any) -> float | None:
    kept = [v for v in values if v is not None]
    return math.fsum(kept) / len(kept) if kept else None


def _spread(record: RunRecord, last: int, factor: float) -> float | None:
    """Standard deviation over the last epochs, in points; needs two of them."""
    values = [factor * a for a in record.accuracies[-last:] if a is not None]
    return plain_statistics.stdev(values) if len(values) > 1 else None


def _curve(records: Sequence[RunRecord], factor: float) -> Curve:
    length = max((len(r.epochs) for r in records), default=0)
    rows = []
    for i in range(length):
        values = [r.accuracies[i] for r in records if len(r.epochs) > i]
        found = _describe(_points(v, factor) for v in values)
        if found:
            rows.append((i + 1, found.mean, found.standard_deviation, found.count))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return Curve(*columns)
