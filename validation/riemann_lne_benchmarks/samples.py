"""Samples of a time: medians, quartiles, and ratios of what ran in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

import numpy as np

from riemann_lne.errors import InvalidArgumentError

NOISY = 0.15
"""Distance of the quartiles over the median from which a figure is marked as noisy: a ratio of two
such figures can be off by a fifth by chance, which is what the smaller targets are about."""


@dataclass(frozen=True)
class Statistics:
    """Median of some samples with their quartiles, in the unit of the samples."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Distance of the quartiles over the median, dimensionless."""
        return (self.high - self.low) / self.median if self.median else 0.0

    def as_dict(self) -> dict[str, float]:
        """The three numbers as plain data."""
        return {"median": self.median, "low": self.low, "high": self.high}


def statistics(samples: Sequence[float]) -> Statistics:
    """Median and quartiles.

    >>> statistics([4.0, 1.0, 2.0, 3.0, 5.0])
    Statistics(median=3.0, low=2.0, high=4.0)
    """
    low, middle, high = np.quantile(np.asarray(samples, dtype=float), [0.25, 0.5, 0.75])
    return Statistics(float(middle), float(low), float(high))


@dataclass
class Samples:
    """Seconds a call of one thing, one entry a round.

    Attributes
    ----------
    wall : list of float
        By the clock.
    cpu : list of float
        Of the process, all its threads together.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, wall: float, cpu: float) -> None:
        """One round more."""
        self.wall.append(wall)
        self.cpu.append(cpu)


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Statistics:
    """Ratio of two times from rounds in which they took turns: the median over the rounds.

    An influence on one round (a neighbour on the machine, a clock that changes) slows both, and
    cancels.

    Raises
    ------
    InvalidArgumentError
        If the numbers of rounds differ: then they did not take turns.

    Examples
    --------
    >>> ratio([2.0, 4.0, 6.2], [1.0, 2.0, 3.1]).median
    2.0
    """
    if len(numerator) != len(denominator) or not len(numerator):
        raise InvalidArgumentError(
            f"{len(numerator)} and {len(denominator)} samples; a ratio needs one of each a round"
        )
    return statistics([a / b for a, b in zip(numerator, denominator, strict=True)])


def timed(function: Callable[[], Any], count: int = 1) -> tuple[float, float]:
    """Wall and process seconds a call, over ``count`` calls."""
    wall, cpu = perf_counter(), process_time()
    for _ in range(count):
        function()
    return (perf_counter() - wall) / count, (process_time() - cpu) / count


def calls_for(seconds: float, shortest: float) -> int:
    """Number of calls that together last about ``shortest`` seconds."""
    return max(1, min(10_000, round(shortest / max(seconds, 1e-9))))
