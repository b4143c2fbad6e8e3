"""Perelman's functionals F and W on a closed surface, over the basis in which u is held."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..analysis.perelman import entropy_of_integrals, function_of_points
from .surfaces import LOST, require_small

if TYPE_CHECKING:
    from .metric import ConformalMetric


def energy(metric: ConformalMetric, f: Any) -> float:
    """F(g, f); see ``ConformalMetric.perelman_f``.

    With v = e^(-f/2) it is the integral over g_0 of 4 |grad v|^2 + 2 (K_0 - Lap_0 u) v^2, the form
    whose least value is lambda.
    """
    return _energy(metric, function_of_points(f, metric.surface.shape))


def _energy(metric: ConformalMetric, f: np.ndarray) -> float:
    surface = metric.surface
    v = np.exp(-f / 2)
    c = surface.analysis(v)
    whole = surface.mean(v * v)
    lost = math.sqrt(surface.mean((v - surface.synthesis(c[None])[0]) ** 2) / whole)
    text = (
        f"f is not resolved: {surface!r} misses the part {lost:.3g} of e^(-f/2); take a finer "
        "surface, or an f that varies less"
    )
    # Past a functional of this file, a method of the metric, and its gate for finite results.
    require_small(lost, LOST, text, stacklevel=6)
    slopes = -4 * float((surface.laplacian * c * c).sum())
    bent = surface.synthesis((surface.laplacian * metric.coefficients)[None])[0]
    return surface.area * (slopes + surface.mean(2 * (surface.K_0 - bent) * v * v))


def entropy_w(metric: ConformalMetric, f: Any, tau: float) -> float:
    """W(g, f, tau); see ``ConformalMetric.perelman_w``."""
    tau = checks.number(tau, "tau", above=0)
    values = function_of_points(f, metric.surface.shape)
    rest = metric.integral((values - 2) * np.exp(-values))
    return entropy_of_integrals(_energy(metric, values), rest, tau, 2)
