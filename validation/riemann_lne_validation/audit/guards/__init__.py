"""Known answers that the library must meet in the same run for a verdict of the audit to be given.

Each is a function of a Backend and of parameters of a claim, and returns Measurements. It compares
the library with an exact solution, or with a second code path that shares no line with it.
"""

from .flows import (
    known_flow,
    known_profiles,
    known_rates,
    known_spectrum,
    known_sphere,
    known_surfaces,
)
from .spheres import known_sphere_flow
from .tools import known_coefficients, known_fits, known_norms, known_orders
from .weights import (
    known_counts,
    known_defect,
    known_differences,
    known_divergence,
    known_metric,
    known_mirror_descent,
    known_potential,
    known_projections,
    known_ricci,
    known_searches,
)

__all__ = [
    "known_coefficients",
    "known_counts",
    "known_defect",
    "known_differences",
    "known_divergence",
    "known_fits",
    "known_flow",
    "known_metric",
    "known_mirror_descent",
    "known_norms",
    "known_orders",
    "known_potential",
    "known_profiles",
    "known_projections",
    "known_rates",
    "known_ricci",
    "known_searches",
    "known_spectrum",
    "known_sphere",
    "known_sphere_flow",
    "known_surfaces",
]
