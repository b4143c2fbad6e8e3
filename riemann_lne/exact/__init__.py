"""Exact solutions of the flows, to test against. Each is made by a function:

``solution.metric(t, *coordinates)``, ``solution.field(t, grid)``, ``solution.grid(points)``, and,
where it is known, ``solution.scalar_curvature(t, *coordinates)`` and ``solution.ricci(...)``.
``solution.solves`` names the flows, and the open interval (``t_min``, ``t_max``) the times.
"""

from .base import ExactSolution
from .cigar import cigar
from .gauge import gauge_family
from .homogeneous import nil, sol
from .linear import linear_mode
from .rosenau import rosenau
from .sausage import periodic_sausage
from .space_forms import hyperbolic, round_sphere

__all__ = [
    "ExactSolution",
    "cigar",
    "gauge_family",
    "hyperbolic",
    "linear_mode",
    "nil",
    "periodic_sausage",
    "rosenau",
    "round_sphere",
    "sol",
]
