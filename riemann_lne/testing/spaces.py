"""Ranges of the parameters of an example: drawn at random, by Hypothesis, or varied by a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidArgumentError


@dataclass(frozen=True)
class Reals:
    """Floats in [low, high], as nested tuples of a shape; a single float for the shape ()."""

    low: float
    high: float
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InvalidArgumentError(
                f"[{self.low}, {self.high}] is no range; give finite numbers, low <= high"
            )

    def sample(self, rng: np.random.Generator) -> Any:
        """A uniform random choice."""
        return _nested(rng.uniform(self.low, self.high, self.shape).tolist())


@dataclass(frozen=True)
class Whole:
    """Integers in [low, high], as nested tuples of a shape."""

    low: int
    high: int
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise InvalidArgumentError(f"[{self.low}, {self.high}] is no range; give low <= high")

    def sample(self, rng: np.random.Generator) -> Any:
        """A uniform random choice."""
        return _nested(rng.integers(self.low, self.high, self.shape, endpoint=True).tolist())


@dataclass(frozen=True)
class Choice:
    """One of a few values; the first is the simplest."""

    values: Sequence[Any]

    def sample(self, rng: np.random.Generator) -> Any:
        """A uniform random choice."""
        return self.values[int(rng.integers(len(self.values)))]


Space = Reals | Whole | Choice


def _nested(values: Any) -> Any:
    return tuple(_nested(v) for v in values) if isinstance(values, list) else values
