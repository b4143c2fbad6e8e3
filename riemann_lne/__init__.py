"""Ricci flow of metric fields on grids, and the LNE geometry of weight space."""

from . import analysis, curvature, exact
from .analysis import (
    check_order,
    fit_decay_rate,
    fit_power_law,
    l2_norm,
    lichnerowicz_spectrum,
    mode_amplitude,
    predicted_decay_rates,
    sup_norm,
)
from .errors import RiemannLNEError
from .flows import RicciDeTurckFlow, RicciFlow
from .grids import Grid
from .integrators import FlowSolution, solve_flow
from .lne import (
    FlowedLNEMetric,
    HessianLNEMetric,
    LNEMetric,
    auto_tau,
    discrete_flow_defect,
    lne_divergence,
    lne_potential,
    max_tau,
)
from .metrics import MetricField, flat_metric, perturbed_euclidean

__version__ = "0.1.0"

__all__ = [
    "FlowSolution",
    "FlowedLNEMetric",
    "Grid",
    "HessianLNEMetric",
    "LNEMetric",
    "MetricField",
    "RicciDeTurckFlow",
    "RicciFlow",
    "RiemannLNEError",
    "analysis",
    "auto_tau",
    "check_order",
    "curvature",
    "discrete_flow_defect",
    "exact",
    "fit_decay_rate",
    "fit_power_law",
    "flat_metric",
    "l2_norm",
    "lichnerowicz_spectrum",
    "lne_divergence",
    "lne_potential",
    "max_tau",
    "mode_amplitude",
    "perturbed_euclidean",
    "predicted_decay_rates",
    "solve_flow",
    "sup_norm",
]
