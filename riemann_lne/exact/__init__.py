"""Exact solutions of the flows, to test against. Each is made by a function:

``solution.metric(t, *coordinates)``, ``solution.field(t, grid)``, ``solution.grid(points)``, and,
where it is known, ``solution.scalar_curvature(t, *coordinates)`` and ``solution.ricci(...)``.
"""

from .base import ExactSolution
from .gauge import gauge_family, linear_mode
from .homogeneous import cigar, hyperbolic, nil, round_sphere
from .products import flat, product
from .projective import projective_sphere
from .sausage import periodic_sausage, rosenau
from .solvable import sol
from .su2 import berger

__all__ = [
    "ExactSolution",
    "berger",
    "cigar",
    "flat",
    "gauge_family",
    "hyperbolic",
    "linear_mode",
    "nil",
    "periodic_sausage",
    "product",
    "projective_sphere",
    "rosenau",
    "round_sphere",
    "sol",
]
