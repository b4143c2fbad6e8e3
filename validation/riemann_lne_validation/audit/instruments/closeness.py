"""Metrics diag(1 + e, f(x)): how far epsilon-closeness is lost along the Ricci-DeTurck flow.

With p = g_11 and u = log f the flow is p' = p_xx / p - 3 p_x^2 / (2 p^2) + u_x^2 / 2 and
u' = u_xx / p. Two consequences are derived by hand:

- for small e, w = p - (1 + e) is (P_t(u_0^2) - (P_t u_0)^2) / 4 with the heat semigroup P_t, since
  d/ds P_(t-s)((P_s u_0)^2) = -2 P_(t-s)((d_x P_s u_0)^2): a quarter of a variance. For a cosine of
  size e that is at most e^2 / 8, for any f at most e^2 / 4, reached by a square wave.
- for every e: with P the largest p, the maximum of p + P u^2 / 4 does not rise (its rate is at most
  Laplacian + u_x^2 (1/2 - P / (2 p))), so P <= 1 + e + P log^2(1 + e) / 4, that is
  1 + eps <= (1 + e) / (1 - log^2(1 + e) / 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from riemann_lne import Grid, MetricField, RicciDeTurckFlow, flat_metric
from riemann_lne.testing import perturbation_size

from ..backends import Backend
from .flowing import run

Shape = Callable[[np.ndarray], np.ndarray]
"""A function of x with period 2 pi, largest value 1 and least value -1."""


def steep(sharpness: float) -> Shape:
    """A wave between cosine and square wave: tanh(sharpness cos x) over its largest value."""
    return lambda x: np.asarray(np.tanh(sharpness * np.cos(x)) / np.tanh(sharpness))


def eps_along(
    backend: Backend, e: float, points: int, until: float, shape: Shape | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Times, and the least eps of the flow from diag(1 + e, f(x)) at them; see ``wave_flow``."""
    times, metrics = wave_flow(backend, e, points, until, shape)
    return times, _sizes(metrics, "epsilon")


def sup_along(
    backend: Backend, e: float, points: int, until: float, shape: Shape | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The same for the largest absolute eigenvalue of g - I over the grid."""
    times, metrics = wave_flow(backend, e, points, until, shape)
    return times, _sizes(metrics, "spectral")


def _sizes(metrics: Sequence[MetricField], norm: str) -> np.ndarray:
    flat = flat_metric(metrics[0].grid)
    return np.array([perturbation_size(g, flat, norm) for g in metrics])


def wave_flow(
    backend: Backend, e: float, points: int, until: float, shape: Shape | None = None
) -> tuple[np.ndarray, Sequence[MetricField]]:
    """Times and metrics of the flow from diag(1 + e, f(x)).

    f = a + b cos x fills [1 / (1 + e), 1 + e]; with a shape f = exp(log(1 + e) shape).
    """
    grid = Grid.torus((points, 6), 2 * math.pi)
    x = 2 * np.pi * np.arange(points) / points
    low, high = 1 / (1 + e), 1 + e
    f = (low + high) / 2 + (high - low) / 2 * np.cos(x)
    if shape is not None:
        f = np.exp(math.log1p(e) * shape(x))
    start = np.zeros((2, 2, points, 6))
    start[0, 0], start[1, 1] = high, f[:, None]
    times = until * np.linspace(0.0, 1.0, 31) ** 2
    metric = MetricField(grid, backend.asarray(start))
    solution = run(metric, RicciDeTurckFlow(), times, order="fourier", rtol=1e-8)
    return times, solution.metrics


def eps_bound(e: float) -> float:
    """The eps that is never exceeded from diag(1 + e, f(x)): see the head of this module."""
    return (1 + e) / (1 - math.log1p(e) ** 2 / 4) - 1


def quarter_variance(shape: Shape, until: float) -> float:
    """Largest (P_t(u^2) - (P_t u)^2) / 4 over x and t <= until, for a wave u of size 1."""
    points = 256
    u = shape(2 * np.pi * np.arange(points) / points)
    k = np.fft.rfftfreq(points, 1 / points)

    def heated(values: np.ndarray, t: float) -> np.ndarray:
        return np.fft.irfft(np.fft.rfft(values) * np.exp(-(k**2) * t))

    times = until * np.linspace(0.0, 1.0, 31) ** 2
    return float(max((heated(u * u, t) - heated(u, t) ** 2).max() for t in times) / 4)
