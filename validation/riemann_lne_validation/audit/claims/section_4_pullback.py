"""DeTurck's trick (section 2), and decay under the Ricci flow itself (section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from riemann_lne import (
    FlowSolution,
    MetricField,
    RicciDeTurckFlow,
    RicciFlow,
    check_order,
    exact,
    fit_decay_rate,
    flat_metric,
    predicted_decay_rates,
)
from riemann_lne.arrays import to_numpy

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim, relative
from ..guards import known_fits, known_flow, known_norms, known_rates
from ..instruments.flowing import largest, random_start, run, torus


@claim(
    "deturck-trick",
    "Eq. 8, 9",
    guard=(known_flow, known_rates, known_fits),
    quick={
        "dimensions": (2, 3),
        "points": ((12, 18, 27), (10, 14)),
        "amplitude": 0.2,
        "seed": 0,
        "until": 0.5,
        "order": 4,
    },
    full={"points": ((16, 24, 36), (12, 16, 22))},
)
def deturck_trick(
    backend: Backend,
    dimensions: Sequence[int],
    points: Sequence[Sequence[int]],
    amplitude: float,
    seed: int,
    until: float,
    order: int,
) -> Evidence:
    """If g solves the Ricci-DeTurck flow and phi its ordinary differential equation phi' = -W(phi),
    phi(0) = id, then the pulled-back metric phi* g solves the Ricci flow.

    Measured: phi integrated along the Ricci-DeTurck flow and phi* g, against the Ricci flow of the
    same start integrated as it stands, g' = -2 Ric, with an explicit method; random starts in 2-D
    and 3-D, differences of the given order. Predicted: the two agree, with an error that shrinks at
    that order with the grid. The flow without the pull-back must not agree. Where the exact answer
    is known, a flat metric in wavy coordinates, phi* g must stand still.
    """
    require_numbers("dimensions", dimensions, 1, 4, whole=True)
    require_number("amplitude", amplitude, 0.0, 0.6)
    require_number("until", until, 0.0)
    for row in points:
        require_numbers("points", row, order, whole=True, count=2)
    gaps, orders, moved = {}, {}, {}
    for n, sizes in zip(dimensions, points, strict=True):
        errors = []
        for size in sizes:
            start = random_start(backend, torus(n, size), amplitude, seed, 1)
            times = (0.0, until)
            pulled = run(start, RicciFlow(gauge="deturck"), times, order=order)[-1]
            direct = run(start, RicciFlow(), times, "rk4", order=order)[-1]
            errors.append(_distance(pulled, direct))
        alone = run(start, RicciDeTurckFlow(), times, order=order)[-1]
        name = f"n = {n}"
        gaps[name] = errors[-1]
        orders[name] = check_order(errors, [1 / s for s in sizes], order).order
        moved[name] = _distance(alone, direct)
    wavy = exact.gauge_family(ndim=2, amplitude=0.3, seed=seed)
    still = wavy.field(0.0, wavy.grid(24), xp=backend.xp)
    end = run(still, RicciFlow(gauge="deturck"), (0.0, 1.0), order="fourier")[-1]
    rest = _distance(end, still)
    return Evidence(
        Measurement(
            f"largest difference of phi* g to the Ricci flow at t = {until:g}, over that without "
            "the pull-back",
            {k: gaps[k] / moved[k] for k in gaps},
            0.0,
            max(gaps[k] / moved[k] for k in gaps),
            2e-2,
            "error of the differences on the finest grid (see resolution)",
        ),
        resolution=[
            Measurement(
                "order with which the difference vanishes",
                orders,
                order,
                max(0.0, *(order - o for o in orders.values())),
                0.7,
                "coarse grids are not fully in the asymptotic range",
            )
        ],
        also=[
            Measurement(
                "the same flow without the pull-back: largest difference to the Ricci flow",
                moved,
                "not small",
                max(0.0, *(0.01 - m for m in moved.values())),
                0.0,
                "far above every other error here",
            ),
            Measurement.vanishing(
                "a flat metric in wavy coordinates under phi* g: largest change until t = 1",
                rest,
                1e-4,
                "tolerances of the integrator and the interpolation along phi",
            ),
        ],
    )


def _distance(g: MetricField, other: MetricField) -> float:
    return largest(to_numpy(g.components) - to_numpy(other.components))


@claim(
    "pullback-decay",
    "sec. 4.4",
    guard=(
        partial(known_flow, dimensions=(2,)),
        partial(known_rates, dimensions=(2,)),
        known_fits,
        partial(known_norms, dimensions=(2,)),
    ),
    cause="gauge",
    quick={"amplitude": 0.2, "seeds": (0,), "points": 24, "until": 12.0, "samples": 25},
    full={"seeds": (0, 1, 2), "points": 32, "samples": 49},
)
def pullback_decay(
    backend: Backend,
    amplitude: float,
    seeds: Sequence[int],
    points: int,
    until: float,
    samples: int,
) -> Evidence:
    """By pulling back, the perturbation decays exponentially under the Ricci flow itself: g(t)
    tends to the flat background.

    Measured: the L2 distance of the Ricci flow g = phi* g_RDT to delta and to the nearest constant
    metric, from random starts and from a flat metric in wavy coordinates, which is pure gauge.
    Predicted by the paper: both tend to 0. Condition, under which it holds: distances are taken
    modulo a diffeomorphism, that is to the flow's own limit, as in the check on the torus. That
    limit is a flat metric in wavy coordinates; random starts tend to it at the rate of the slowest
    mode of the Ricci-DeTurck flow's limit, and the curvature, which does not see coordinates,
    decays at that rate. The pure-gauge start is stationary.
    """
    require_number("amplitude", amplitude, 0.0, 0.6)
    require_number("until", until, 8.0)
    require_number("samples", samples, 8, whole=True)
    times = np.linspace(0.0, until, samples)
    left, curved, own, known, flat_end, lines = {}, {}, {}, {}, {}, []
    for seed in seeds:
        start = random_start(backend, torus(2, points), amplitude, seed, 1)
        solution = _ricci_flow(start, times)
        gauged = run(start, RicciDeTurckFlow(), times, order="fourier", dense_output=True)
        name = f"random, seed {seed}"
        known[name] = predicted_decay_rates(gauged[-1].mean(), max_mode=2)[0].rate
        distance = [g.l2_distance(g.mean()) for g in solution.metrics]
        left[name] = distance[-1] / distance[0]
        sizes = [largest(to_numpy(g.scalar_curvature("fourier"))) for g in solution.metrics]
        curved[name] = fit_decay_rate(times, sizes, 0.4 * until, 0.8 * until).rate
        limit = solution[-1]
        to_limit = [g.l2_distance(limit) for g in solution.metrics]
        own[name] = fit_decay_rate(times, to_limit, 0.3 * until, 0.6 * until).rate
        flat_end[name] = sizes[-1] / sizes[0]
        if seed == seeds[0]:
            delta = flat_metric(start.grid, backend.xp)
            lines = [
                Line("to delta", times.tolist(), [g.l2_distance(delta) for g in solution.metrics]),
                Line("to its mean", times.tolist(), distance),
                Line("to its own limit", times[:-2].tolist(), to_limit[:-2]),
                Line("sup of curvature", times.tolist(), sizes),
            ]
    wavy = exact.gauge_family(ndim=2, amplitude=amplitude)
    still = wavy.field(0.0, wavy.grid(points), xp=backend.xp)
    after = _ricci_flow(still, times[[0, len(times) // 2]])[-1]
    delta = flat_metric(still.grid, backend.xp)
    left["pure gauge"] = after.l2_distance(delta) / still.l2_distance(delta)
    change = after.l2_distance(still) / still.l2_distance(delta)
    return Evidence(
        Measurement(
            "L2 distance at the end over that at the start: random starts to the nearest constant "
            "metric, pure gauge to delta",
            left,
            0.0,
            max(left.values()),
            1e-2,
            f"e^(-lambda t) is below 1e-4 at t = {until:g}",
            uncertainty=1e-3,
        ),
        condition=Measurement(
            "modulo a diffeomorphism: rate at which the Ricci flow approaches its own limit",
            own,
            known,
            max(relative(own[k], known[k]) for k in known),
            0.1,
            "faster modes in the window of the fit",
        ),
        resolution=[
            Measurement.vanishing(
                "change of the pure-gauge start, which is stationary, over its distance to delta",
                change,
                1e-3,
                "tolerances of the integrator and the interpolation along phi",
            )
        ],
        also=[
            Measurement(
                "rate at which sup |R| decays: that of the slowest mode or more",
                curved,
                known,
                max(0.0, *(1 - curved[k] / known[k] for k in known)),
                1e-2,
                "the slowest mode may be pure gauge, and is then not seen by the curvature",
            ),
            Measurement(
                "sup |R| at the end over that at the start",
                flat_end,
                0.0,
                max(flat_end.values()),
                1e-3,
                f"e^(-lambda t) at t = {until:g}",
            ),
        ],
        plots=[
            Plot(
                "Ricci flow of a random start: flat in the end, not delta",
                "t (length^2)",
                "L2 distance (length), curvature (1 / length^2)",
                lines,
                log_y=True,
            )
        ],
    )


def _ricci_flow(start: MetricField, times: np.ndarray) -> FlowSolution:
    """The Ricci flow by pulling back; what is integrated is parabolic, so long times are cheap."""
    return run(start, RicciFlow(gauge="deturck"), times, order="fourier", dense_output=True)
