"""Flows whose course is known, for tests of the machinery around the steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _strict_floating_point() -> Iterator[None]:
    """Overflow, division by zero and invalid operations are errors, as in the core's tests."""
    with np.errstate(all="raise", under="ignore"):
        yield
