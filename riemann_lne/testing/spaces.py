"""Ranges of the parameters of an example: drawn at random, by Hypothesis, or varied by a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError


@dataclass(frozen=True)
class Reals:
    """Floats in [low, high], as nested tuples of a shape; a single float for the shape ()."""

    low: float
    high: float
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, checks.number(getattr(self, name), name))
        object.__setattr__(self, "shape", shape_of(self.shape))
        if self.low > self.high:
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
        for name in ("low", "high"):
            object.__setattr__(self, name, checks.count(getattr(self, name), name, least=None))
        object.__setattr__(self, "shape", shape_of(self.shape))
        if self.low > self.high:
            raise InvalidArgumentError(f"[{self.low}, {self.high}] is no range; give low <= high")

    def sample(self, rng: np.random.Generator) -> Any:
        """A uniform random choice."""
        return _nested(rng.integers(self.low, self.high, self.shape, endpoint=True).tolist())


@dataclass(frozen=True)
class Choice:
    """One of a few values; the first is the simplest."""

    values: Sequence[Any]

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Sequence) or not self.values:
            raise InvalidArgumentError(
                f"values = {checks.shown(self.values)}; give at least one, in a tuple or list"
            )

    def sample(self, rng: np.random.Generator) -> Any:
        """A uniform random choice."""
        return self.values[int(rng.integers(len(self.values)))]


Space = Reals | Whole | Choice


def shape_of(shape: Any) -> tuple[int, ...]:
    """The shape, from one number or several."""
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(checks.count(size, f"shape[{k}]", least=1) for k, size in enumerate(sizes))


def _nested(values: Any) -> Any:
    return tuple(_nested(v) for v in values) if isinstance(values, list) else values
