"""Flows whose course is known, for tests of the machinery around the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest


class Pointwise:
    """g' = f(t, g) at every point by itself: an ordinary differential equation in disguise."""

    parabolic = False

    def __init__(self, f: Callable[[float, Any], Any], radius: float = 1e-3) -> None:
        self.f, self.radius = f, radius

    def rhs(self, t: float, packed: Any, grid: Any, order: Any) -> Any:
        return self.f(t, packed)

    def spectral_radius(self, packed: Any, grid: Any, order: Any) -> float:
        return self.radius

    def __repr__(self) -> str:
        return f"Pointwise({self.f.__qualname__})"


@pytest.fixture(scope="session")
def pointwise() -> type[Pointwise]:
    """A flow made of a function (t, packed) -> rate."""
    return Pointwise


@pytest.fixture(autouse=True)
def _strict_floating_point() -> Iterator[None]:
    """Overflow, division by zero and invalid operations are errors, as in the core's tests."""
    with np.errstate(all="raise", under="ignore"):
        yield
