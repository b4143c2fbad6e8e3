"""Section 4: the closed forms of the curvature of Eq. 16, which other checks use."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from riemann_lne import Grid, LNEMetric, MetricField
from riemann_lne.arrays import to_numpy

from ..backends import Backend
from ..frame import Evidence, Measurement, claim
from ..guards import known_metric, known_ricci, known_sphere


@claim(
    "lne-scalar-curvature",
    "Eq. 16",
    quick={"taus": (0.5, 1.0, 2.0), "dimensions": (2, 3), "points": 13, "order": 6},
    full={"dimensions": (2, 3, 4)},
    guard=(known_metric, known_ricci, known_sphere),
)
def lne_scalar_curvature(
    backend: Backend, taus: Sequence[float], dimensions: Sequence[int], points: int, order: int
) -> Evidence:
    """The scalar curvature of Eq. 16 is R = -[T^2 - sum_ij (g^ij)^2 D_i D_j] / s, s = 1 - |t|^2,
    D_i = tau (1 - t_i^2), T = sum_i D_i (1 + t_i^2 / s).

    The paper has no such formula: it says that Eq. 16 is Ricci-flat. Measured: R on a small box by
    finite differences, which know nothing of the closed form, for several tau, as tau = 1 hides
    every power of it. Predicted: the closed form, and R(0) = -n (n - 1) tau^2.
    """
    errors, origin, known = {}, {}, {}
    for tau in taus:
        for n in dimensions:
            lne = LNEMetric(tau)
            centre = np.linspace(0.2, 0.5, n) / (tau * math.sqrt(n))
            grid = Grid.box(-0.15 / tau, 0.15 / tau, (points,) * n)
            x = centre + np.stack(grid.coordinates(), axis=-1)
            g = np.ascontiguousarray(np.moveaxis(lne.matrix(x), (-2, -1), (0, 1)))
            field = MetricField(grid, backend.asarray(g))
            measured = to_numpy(field.scalar_curvature(order))
            exact = lne.scalar_curvature(x)
            name = f"tau = {tau:g}, n = {n}"
            errors[name] = float(np.abs(measured / exact - 1).max())
            origin[name] = float(lne.scalar_curvature(np.zeros(n)))
            known[name] = -n * (n - 1) * tau**2
    return Evidence(
        Measurement(
            "R by differences against the closed form; largest relative error",
            errors,
            0.0,
            max(errors.values()),
            1e-4,
            f"error of differences of order {order} on this box",
            same="box and centre scale with 1 / tau, so that the errors are equal",
        ),
        also=[
            Measurement(
                "R at the origin",
                origin,
                known,
                max(abs(origin[k] / known[k] - 1) for k in origin),
                1e-12,
                "rounding",
            )
        ],
    )
