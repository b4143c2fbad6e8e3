"""How far a comparison is: a line for every run, and an estimate of the time left."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol, TextIO

from riemann_lne.checks import printable

from ..lab.words import duration
from .records import RunRecord
from .registered import metric_of
from .units import Unit

__all__ = ["Progress", "TerminalProgress", "TimeLeft", "duration"]


class Progress(Protocol):
    """Listener to which `run_arms` reports its progress."""

    def begin(self, units: Sequence[Unit], found: int, jobs: int) -> None:
        """The units that ``jobs`` processes will run; ``found`` records were there already."""

    def running(self, fractions: Mapping[Unit, float]) -> None:
        """Now and then: the fraction that is done of every unit that runs."""

    def done(self, unit: Unit, record: RunRecord | None, problem: str) -> None:
        """A unit has ended, with a record or a problem."""

    def end(self) -> None:
        """Nothing more will come, whatever the reason."""


class TimeLeft:
    """Estimate of the time left, from the times of the units so far.

    A unit of an arm is expected to take as long as the mean of that arm's; of an arm of which none
    has ended, the mean time an epoch of all units times its epochs. Units that run count by their
    fraction, and before the first has ended they are all that is known.
    """

    def __init__(self, units: Sequence[Unit], jobs: int) -> None:
        self.left = list(units)
        self.jobs = jobs
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.epochs = self.total = 0.0
        self.fractions: Mapping[Unit, float] = {}
        self.since: dict[Unit, float] = {}

    def running(self, fractions: Mapping[Unit, float], now: float) -> None:
        """The runs in progress at the time ``now``, in seconds."""
        self.fractions = dict(fractions)
        for unit in fractions:
            self.since.setdefault(unit, now)

    def done(self, unit: Unit, seconds: float | None) -> None:
        """A unit has ended; it took ``seconds``, or broke off and says nothing of the others."""
        self.left.remove(unit)
        self.fractions = {u: f for u, f in self.fractions.items() if u != unit}
        if seconds is None:
            return
        self.seconds[unit.arm.digest].append(seconds)
        self.epochs += unit.arm.epochs
        self.total += seconds

    def estimate(self, now: float) -> float | None:
        """Seconds until all are done; None while nothing is known."""
        an_epoch = self._seconds_an_epoch(now)
        if an_epoch is None:
            return None
        work = 0.0
        for unit in self.left:
            known = self.seconds.get(unit.arm.digest)
            expected = sum(known) / len(known) if known else an_epoch * unit.arm.epochs
            work += expected * (1.0 - self.fractions.get(unit, 0.0))
        return work / max(1, min(self.jobs, len(self.left)))

    def _seconds_an_epoch(self, now: float) -> float | None:
        if self.epochs:
            return self.total / self.epochs
        epochs = sum(u.arm.epochs * f for u, f in self.fractions.items())
        spent = sum(now - self.since[u] for u in self.fractions)
        return spent / epochs if epochs > 0.0 else None


class TerminalProgress:
    """Lines in a terminal or a log file.

    Parameters
    ----------
    file : text file, optional
        Standard error by default, so that standard output has the results alone.
    every : float
        Seconds between two lines about runs that have not ended.
    """

    def __init__(self, file: TextIO | None = None, every: float = 60.0) -> None:
        self.file, self.every = file or sys.stderr, every
        self.total = self.count = 0
        self.left = TimeLeft([], 1)
        self.last = 0.0

    def begin(self, units: Sequence[Unit], found: int, jobs: int) -> None:
        """Say how much there is to do."""
        self.total, self.count = len(units), 0
        self.left = TimeLeft(units, jobs)
        self.last = time.monotonic()
        if found:
            self._say(f"{found} run{'s are' if found > 1 else ' is'} there already")
        if units:
            runs = f"{len(units)} run{'s' * (len(units) != 1)}"
            self._say(f"{runs} in {jobs} process{'es' if jobs > 1 else ''}")

    def running(self, fractions: Mapping[Unit, float]) -> None:
        """A line now and then, while runs are long."""
        now = time.monotonic()
        self.left.running(fractions, now)
        if now - self.last >= self.every and fractions:
            self.last = now
            parts = ", ".join(
                f"{u.arm.label} seed {u.seed} {100 * f:.0f} %" for u, f in fractions.items()
            )
            self._say(f"{self._count()} running: {parts}{self._rest()}")

    def done(self, unit: Unit, record: RunRecord | None, problem: str) -> None:
        """A line for the unit."""
        self.count += 1
        self.last = time.monotonic()
        self.left.done(unit, None if record is None else record.total_seconds)
        name = f"{unit.arm.label} seed {unit.seed}"
        if record is None:
            lines = problem.strip().splitlines()
            # a traceback ends with the error; our own messages begin with it
            told = lines[-1] if lines[0].startswith("Traceback") else lines[0]
            outcome = f"BROKE OFF: {told}"
        elif record.diverged is not None:
            outcome = f"diverged in epoch {record.diverged.epoch}: {record.diverged.reason}"
        else:
            accuracy = record.final_accuracy
            measure = metric_of(record.arm.dataset).measure
            shown = (
                ""
                if accuracy is None
                else f"{measure.text(measure.factor * accuracy)} {measure.column}"
            )
            outcome = f"{shown}  {duration(record.total_seconds)}"
        self._say(f"{self._count()} {name:32s} {outcome}{self._rest()}")

    def end(self) -> None:
        """Nothing to put away."""

    def _count(self) -> str:
        return f"[{self.count:{len(str(self.total))}d}/{self.total}]"

    def _rest(self) -> str:
        seconds = self.left.estimate(time.monotonic())
        return f"   left: {duration(seconds)}" if seconds else ""

    def _say(self, text: str) -> None:
        print(printable(text), file=self.file, flush=True)
