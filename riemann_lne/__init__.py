"""Ricci flow of metric fields on grids, and the LNE geometry of weight space."""

from . import curvature
from .flows import RicciDeTurckFlow, RicciFlow
from .grids import Grid
from .integrators import FlowSolution, solve_flow
from .metrics import MetricField, flat_metric, perturbed_euclidean

__version__ = "0.1.0"

__all__ = [
    "FlowSolution",
    "Grid",
    "MetricField",
    "RicciDeTurckFlow",
    "RicciFlow",
    "curvature",
    "flat_metric",
    "perturbed_euclidean",
    "solve_flow",
]
