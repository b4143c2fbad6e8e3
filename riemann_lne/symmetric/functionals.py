"""Perelman's functionals F and W of rotationally symmetric metrics, for functions of x."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..analysis.perelman import entropy_of_integrals, function_of_points

if TYPE_CHECKING:
    from .metric import RotationalMetric


def energy(metric: RotationalMetric, f: Any) -> float:
    """F(g, f) with v = e^(-f/2): the integral of 4 v_s^2 + R v^2."""
    v = np.exp(-function_of_points(f, (metric.points,)) / 2)
    space = metric.operators
    # From faces to cells, as the derivatives of the metric are: even at the poles.
    delta = (space.at_cells @ (space.delta_at_faces @ v))[: space.points]
    slope = space.S * delta / metric.phi
    return float(metric.integrals(4 * slope**2 + metric.scalar_curvature() * v**2).sum())


def entropy_w(metric: RotationalMetric, f: Any, tau: float) -> float:
    """W(g, f, tau) in dimension n + 1."""
    tau, dimension = checks.number(tau, "tau", above=0), metric.n + 1
    values = function_of_points(f, (metric.points,))
    rest = float(metric.integrals((values - dimension) * np.exp(-values)).sum())
    return entropy_of_integrals(energy(metric, values), rest, tau, dimension)
