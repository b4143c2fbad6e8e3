"""Section 4: decay on a box with its boundary held, bounds in the sup norm, smoothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from riemann_lne import (
    Grid,
    MetricField,
    RicciDeTurckFlow,
    check_order,
    fit_decay_rate,
    flat_metric,
)
from riemann_lne.errors import InvalidArgumentError

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim, relative
from ..guards import known_fits, known_norms, known_rates
from ..instruments.flowing import SIDES, perturbation, random_start, run


@claim(
    "exponential-decay-box",
    "sec. 4.4",
    guard=(
        partial(known_rates, dimensions=(2, 3), order=4, held=True),
        known_fits,
        partial(known_norms, dimensions=(2, 3)),
    ),
    quick={
        "amplitude": 0.3,
        "seed": 0,
        "modes": ((1, 1), (2, 1), (1, 3), (1, 1, 1)),
        "points": (25, 13),
        "order": 4,
        "rough": 1,
    },
    full={
        "modes": ((1, 1), (2, 1), (1, 2), (1, 3), (2, 2), (3, 2), (1, 1, 1), (2, 1, 1), (1, 2, 1)),
        "points": (49, 19),
        "rough": 4,
    },
)
def exponential_decay_box(
    backend: Backend,
    amplitude: float,
    seed: int,
    modes: Sequence[Sequence[int]],
    points: Sequence[int],
    order: int,
    rough: int,
) -> Evidence:
    """On a box with the metric held at delta on the boundary the Ricci-DeTurck perturbation decays
    exponentially in L2.

    Measured: the rate, with its 95 % confidence interval, of random starts with many modes late in
    the flow, in 2-D and 3-D; and mode by mode: a start h prod sin(pi m_a x_a / L_a), h random, and
    its projection on that mode. The held metric is flat, so that the limit is delta itself: no
    drift. Predicted: sum_a (pi m_a / L_a)^2, all m_a = 1 for the random starts. Single modes are
    started at 1e-4 of the amplitude, because the nonlinear terms change them, and feed slower ones,
    at second order.
    """
    require_number("amplitude", amplitude, 0.0, 1.0)
    require_number("rough", rough, 0, whole=True)
    require_numbers("points", points, order + 2, count=2, whole=True)
    if not all(len(m) in (2, 3) and all(k >= 1 for k in m) for m in modes):
        raise InvalidArgumentError(f"modes = {modes!r}; give vectors of 2 or 3 positive numbers")
    size = {2: points[0], 3: points[1]}
    rates, intervals, predicted, lines = {}, {}, {}, []
    for n in (2, 3):
        slowest = sum((math.pi / side) ** 2 for side in SIDES[:n])
        for start_seed in range(seed, seed + (rough if n == 2 else 1)):
            name = f"random, n = {n}, seed {start_seed}"
            fit, line = _late(backend, n, size[n], amplitude, start_seed, order, slowest)
            rates[name], predicted[name] = fit.rate, slowest
            intervals[name] = list(fit.confidence_interval())
            lines.append(Line(name, line[0], line[1], "points"))
        x = np.linspace(0.0, 7.0, 15)
        lines.append(
            Line("" if n == 3 else "e^(-lambda t)", x.tolist(), np.exp(-x).tolist(), "dashed")
        )
    by_mode, known = {}, {}
    for m in modes:
        by_mode[str(tuple(m))], known[str(tuple(m))] = _one_mode(
            backend, m, size[len(m)], 1e-4 * amplitude, seed, order
        )
    errors = [
        relative(*_one_mode(backend, (3, 3), p, 1e-4 * amplitude, seed, order)) for p in (9, 13, 19)
    ]
    slope = check_order(errors, [1 / 8, 1 / 12, 1 / 18], order).order
    return Evidence(
        Measurement(
            f"late L2 decay rate of random starts of amplitude {amplitude}, in 1 / length^2",
            rates,
            predicted,
            max(relative(rates[k], predicted[k]) for k in rates),
            1e-2,
            "the accuracy this audit asks for on boxes",
        ),
        resolution=[
            Measurement(
                "order with which the rate of mode (3, 3) approaches its value",
                slope,
                float(order),
                max(0.0, order - slope),
                0.5,
                "coarse grids of 9, 13 and 19 points; closures at the ends may do better",
            )
        ],
        also=[
            Measurement(
                "rate mode by mode",
                by_mode,
                known,
                max(relative(by_mode[k], known[k]) for k in by_mode),
                1e-2,
                "as above",
            ),
            Measurement(
                "95 % confidence intervals of the rates of the random starts: largest half width "
                "over the rate",
                intervals,
                0.0,
                max((b - a) / 2 / rates[k] for k, (a, b) in intervals.items()),
                1e-2,
                "as above",
            ),
        ],
        plots=[
            Plot(
                "Distance to the flat metric, boundary held",
                "lambda t",
                "L2 distance / start",
                lines,
                log_y=True,
            )
        ],
    )


def _box(n: int, points: int) -> Grid:
    return Grid.box(0.0, SIDES[:n], (points,) * n)


def _late(
    backend: Backend, n: int, points: int, amplitude: float, seed: int, order: int, slowest: float
) -> Any:
    """Fit of the late L2 decay of a random start, and its curve."""
    start = random_start(backend, _box(n, points), amplitude, seed)
    times = np.linspace(0.0, 7.0 / slowest, 36)
    solution = run(start, RicciDeTurckFlow(), times, order=order)
    flat = flat_metric(start.grid, backend.xp)
    sizes = np.array([g.l2_distance(flat) for g in solution.metrics])
    fit = fit_decay_rate(times, sizes, t_min=0.7 * times[-1])
    return fit, ((slowest * times).tolist(), (sizes / sizes[0]).tolist())


def _one_mode(
    backend: Backend, mode: Sequence[int], points: int, amplitude: float, seed: int, order: int
) -> tuple[float, float]:
    """Fitted and predicted rate of one mode, followed by its projection."""
    n = len(mode)
    grid = _box(n, points)
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, n))
    h = amplitude * (h + h.T) / np.abs(np.linalg.eigvalsh(h + h.T)).max()
    wave = math.prod(
        np.sin(math.pi * m * x / side)
        for m, x, side in zip(mode, grid.coordinates(), grid.lengths, strict=True)
    )
    shaped = np.eye(n).reshape(n, n, *(1,) * n) + h.reshape(n, n, *(1,) * n) * wave
    known = sum((math.pi * m / side) ** 2 for m, side in zip(mode, grid.lengths, strict=True))
    times = np.linspace(0.0, 2.0 / known, 9)
    start = MetricField(grid, backend.asarray(shaped))
    solution = run(start, RicciDeTurckFlow(), times, order=order, rtol=1e-9, atol=1e-12)
    axes = tuple(range(2, n + 2))
    sizes = [
        float(np.linalg.norm((perturbation(g) * wave).sum(axis=axes))) for g in solution.metrics
    ]
    return fit_decay_rate(times, sizes).rate, known
