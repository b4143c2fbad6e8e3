"""Tools of the checks of flows: right-hand sides, derivatives of them, runs, eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from riemann_lne import (
    FlowSolution,
    Grid,
    MetricField,
    flat_metric,
    perturbed_euclidean,
    solve_flow,
)
from riemann_lne.arrays import like, to_numpy
from riemann_lne.coefficients import Order
from riemann_lne.flows.base import Flow
from riemann_lne.tensors import pack, unpack
from riemann_lne.testing import flow_checks, sizes

from ..backends import Backend
from ..evidence import UnresolvedError

SIDES = (2 * np.pi, 5.0, 7.0, 6.0)
"""Uneven sides of the tori: equal ones would hide an error that exchanges axes."""


# Of the kit: the right-hand side at a metric, the least and largest eigenvalue of one metric with
# respect to another, and the lengths of covariant derivatives at every point.
rate = flow_checks.rate
relative_eigenvalues = sizes.min_max
derivative_lengths = sizes.derivative_lengths


def torus(n: int, points: int) -> Grid:
    """Torus of uneven sides with as many points along every axis."""
    return Grid.torus((points,) * n, SIDES[:n])


def random_start(
    backend: Backend, grid: Grid, amplitude: float, seed: int, modes: int = 2
) -> MetricField:
    """Delta + h with h random and smooth, of largest absolute eigenvalue ``amplitude``."""
    return perturbed_euclidean(grid, amplitude, seed, modes, xp=backend.xp)


def run(
    start: MetricField,
    flow: Flow,
    times: Sequence[float] | np.ndarray,
    method: str = "auto",
    **options: Any,
) -> FlowSolution:
    """The flow at the given times, the first of which is the start.

    Raises
    ------
    UnresolvedError
        If it broke off: what a check wants to know of the rest it cannot measure.
    """
    times = [float(t) for t in times]
    options.setdefault("max_steps", 3000)  # several times what any of them takes
    solution = solve_flow(start, flow, (times[0], times[-1]), method, times, **options)
    if not solution.success:
        raise UnresolvedError(f"the flow broke off: {solution.message}")
    return solution


def derivative_along(
    flow: Flow, g: MetricField, h: np.ndarray, order: Order, step: float = 1e-3
) -> np.ndarray:
    """Derivative of a flow's right-hand side at g in the direction h, (n, n, *shape).

    Central differences in the direction, of fourth order in the step.
    """
    direction = like(to_numpy(pack(h)), g.packed)

    def at(size: float) -> Any:
        return to_numpy(flow.rhs(0.0, g.packed + size * direction, g.grid, order))

    near, far = at(step) - at(-step), at(2 * step) - at(-2 * step)
    return unpack((8 * near - far) / (12 * step), g.n)


def perturbation(g: MetricField) -> np.ndarray:
    """G - delta as (n, n, *shape), in NumPy."""
    return to_numpy(g.components) - to_numpy(flat_metric(g.grid).components)


def heat_flow(h: np.ndarray, grid: Grid, t: float, inverse: np.ndarray | None = None) -> np.ndarray:
    """The linearised Ricci-DeTurck flow about a constant metric, exactly: h after a time t.

    The Fourier coefficient of wave vector k falls as e^(-lambda t), lambda = g^ab k_a k_b with
    ``inverse`` = g^ab (the identity by default). h is (n, n, *shape) on a torus.
    """
    axes = tuple(range(2, h.ndim))
    k = np.meshgrid(
        *(
            2 * np.pi * np.fft.fftfreq(points, side / points)
            for points, side in zip(grid.shape, grid.lengths, strict=True)
        ),
        indexing="ij",
    )
    metric = np.eye(grid.ndim) if inverse is None else inverse
    rates = sum(metric[a, b] * k[a] * k[b] for a in range(grid.ndim) for b in range(grid.ndim))
    return np.fft.ifftn(np.fft.fftn(h, axes=axes) * np.exp(-rates * t), axes=axes).real


def largest(values: np.ndarray) -> float:
    """Largest absolute value."""
    return float(np.abs(values).max())
