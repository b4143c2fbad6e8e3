"""Hypothesis, or an error that says how to install it."""

from __future__ import annotations

from ..errors import MissingDependencyError

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError as missing:  # pragma: no cover - run in a subprocess by the tests
    raise MissingDependencyError("hypothesis", "strategies", "riemann_lne.testing") from missing

__all__ = ["hypothesis", "st"]
