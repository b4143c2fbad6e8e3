"""The tools that measure: what every figure about decay in this audit rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from riemann_lne import Grid, MetricField, RicciDeTurckFlow, exact, fit_decay_rate
from riemann_lne.analysis import l2_norm
from riemann_lne.arrays import to_numpy

from ..backends import Backend
from ..frame import Evidence, Measurement, claim
from ..guards import (
    known_coefficients,
    known_fits,
    known_flow,
    known_norms,
    known_orders,
    known_rates,
)
from ..instruments.flowing import largest, run

_METHODS = ("rk4", "tsit5", "bs32", "rkl2", "etdrk4")


@claim(
    "tool-decay-fit",
    "tool of the audit",
    quick={"rates": (0.3, 1.0, 2.5), "noise": 1e-3, "points": 41, "draws": 200, "seed": 0},
    guard=known_fits,
)
def decay_fit(
    backend: Backend, rates: Sequence[float], noise: float, points: int, draws: int, seed: int
) -> Evidence:
    """The fit of a decay rate finds the rate of an exponential with noise, and says how sure it is.

    Measured: the fitted rate of a e^(-r t) times noise, against r, and how often r lies in the
    interval of 95 %. Predicted: r within the scatter of least squares, and 95 % of the draws. The
    guard compares fits in several windows of a curve with sums written out.
    """
    rng = np.random.default_rng(seed)
    t = np.linspace(0.0, 4.0, points)
    scatter = noise / math.sqrt(float(np.sum((t - t.mean()) ** 2)))
    found, inside = {}, 0
    for r in rates:
        fits = [
            fit_decay_rate(t, 0.3 * np.exp(-r * t + noise * rng.normal(size=points)))
            for _ in range(draws)
        ]
        found[f"{r:g}"] = float(np.mean([fit.rate for fit in fits]))
        bounds = [fit.confidence_interval() for fit in fits]
        inside += sum(low <= r <= high for low, high in bounds)
    off = max(abs(found[f"{r:g}"] - r) for r in rates)
    share = inside / (draws * len(rates))
    spread = math.sqrt(0.95 * 0.05 / (draws * len(rates)))
    return Evidence(
        Measurement(
            f"mean of {draws} fitted rates, with noise of relative size {noise:g}",
            found,
            {f"{r:g}": r for r in rates},
            off,
            4 * scatter / math.sqrt(draws),
            "four standard errors of the mean of the draws",
        ),
        also=[
            Measurement.near(
                "share of the draws whose interval of 95 % holds the rate",
                share,
                0.95,
                4 * spread,
                "four standard deviations of the share",
            )
        ],
    )


@claim(
    "tool-l2-norm",
    "tool of the audit",
    quick={"dimensions": (2, 3, 4), "points": (12, 10, 8), "seed": 0},
    guard=known_norms,
)
def l2_norm_of_a_metric(
    backend: Backend, dimensions: Sequence[int], points: Sequence[int], seed: int
) -> Evidence:
    """The L2 norm does not change with the coordinates, and grows with the scale of the metric as
    length^(n/2).

    Measured: the norm of the metric itself, which is (n times the volume)^(1/2), for the flat
    metric in shifted, unevenly spread coordinates x -> x + a sin x; and of g multiplied by a
    number. Predicted: the volume of the torus, and the factor c^(n/4) for c g. Without the weight
    sqrt(det g) both would be missed. The guard sums over the points with dense matrices.
    """
    volumes, powers = {}, {}
    for n, size in zip(dimensions, points, strict=True):
        grid = Grid.torus((size,) * n)
        rng = np.random.default_rng((seed, n))
        spread = 0.2 + 0.2 * rng.uniform(size=n)
        x = [np.broadcast_to(np.asarray(c), grid.shape) for c in grid.coordinates()]
        slopes = [1 + a * np.cos(c + 0.3) for a, c in zip(spread, x, strict=True)]
        g = np.zeros((n, n, *grid.shape))
        for i, slope in enumerate(slopes):
            g[i, i] = slope**2
        field = MetricField(grid, backend.asarray(g))
        norm = l2_norm(field.components, field)
        volumes[f"n = {n}"] = norm / math.sqrt(n * (2 * math.pi) ** n) - 1
        double = MetricField(grid, backend.asarray(2 * g))
        powers[f"n = {n}"] = math.log2(l2_norm(double.components, double) / norm)
    off = max(abs(v) for v in volumes.values())
    wanted = {f"n = {n}": n / 4 for n in dimensions}
    wrong = max(abs(powers[name] - wanted[name]) for name in wanted)
    return Evidence(
        Measurement(
            "norm of the flat metric in other coordinates, relative to (n volume)^(1/2), minus 1",
            volumes,
            0.0,
            off,
            1e-10,
            "rounding: the trapezoidal rule is exact for these waves",
        ),
        also=[
            Measurement(
                "power of 2 in the norm of 2 g",
                powers,
                wanted,
                wrong,
                1e-12,
                "rounding",
            )
        ],
    )


@claim(
    "tool-integrators",
    "tool of the audit",
    quick={"methods": _METHODS, "points": 12, "steps": (16, 32), "amplitude": 0.15, "until": 0.3},
    full={"steps": (32, 64)},
    guard=(
        known_coefficients,
        partial(known_orders, methods=_METHODS),
        partial(known_flow, dimensions=(2,), method="etdrk4", dt=0.05),
        partial(known_rates, dimensions=(2,)),
    ),
)
def integrators(
    backend: Backend,
    methods: Sequence[str],
    points: int,
    steps: Sequence[int],
    amplitude: float,
    until: float,
) -> Evidence:
    """Every integrator that the audit uses follows an exact solution of the Ricci-DeTurck flow.

    Measured: the error of each method on a flat metric in moving coordinates, an exact solution
    with all components, relative to the change of the metric, after few and after many steps.
    Predicted: not more than the waves that the grid does not resolve. The guards test the order of
    every method against SciPy's DOP853, and the coefficients of ETDRK4 against the integrals that
    define them.
    """
    family = exact.gauge_family(2, amplitude)
    grid = family.grid(points)
    start = family.field(0.0, grid, xp=backend.xp)
    known = to_numpy(family.field(until, grid, xp=backend.xp).components)
    change = largest(to_numpy(start.components) - known)
    errors: dict[str, list[float]] = {method: [] for method in methods}
    for method in methods:
        for count in steps:
            last = run(
                start, RicciDeTurckFlow(), (0.0, until), method, order="fourier", dt=until / count
            )[-1]
            errors[method].append(largest(to_numpy(last.components) - known) / change)
    last_errors = {method: values[-1] for method, values in errors.items()}
    return Evidence(
        Measurement(
            f"error of each method after {steps[-1]} steps, relative to the change of the metric",
            last_errors,
            0.0,
            max(last_errors.values()),
            3e-3,
            "waves that the grid does not resolve, and the error in time of order 2",
        )
    )
