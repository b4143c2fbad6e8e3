"""Spheres without symmetry by two overlapping stereographic patches."""

from .sphere import Atlas
from .transition import Transition

__all__ = ["Atlas", "Transition"]
