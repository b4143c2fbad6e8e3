"""Section 4: convergence of the flow near LNE metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from riemann_lne import (
    FlowSolution,
    Grid,
    LNEMetric,
    MetricField,
    RicciDeTurckFlow,
    fit_decay_rate,
    fit_power_law,
    flat_metric,
    mode_amplitude,
    perturbed_euclidean,
    predicted_decay_rates,
    solve_flow,
)
from riemann_lne.arrays import to_numpy

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, UnresolvedError, claim, relative
from ..guards import (
    known_coefficients,
    known_fits,
    known_flow,
    known_norms,
    known_orders,
    known_rates,
    known_ricci,
    known_sphere,
)

_SIDES = (2 * math.pi, 5.0, 7.0, 6.0)
"""Uneven sides of the tori: equal ones would hide an error that exchanges axes."""


@claim(
    "lne-ricci-flat",
    "sec. 4.1",
    guard=(known_ricci, known_sphere),
    cause="eq-16-is-no-hessian",
    quick={
        "taus": (0.6, 1.0, 2.5),
        "dimensions": (2, 3),
        "half_width": 0.4,
        "points": 25,
        "order": 4,
    },
    full={"dimensions": (2, 3, 4), "points": 21},
)
def lne_ricci_flat(
    backend: Backend,
    taus: Sequence[float],
    dimensions: Sequence[int],
    half_width: float,
    points: int,
    order: int,
) -> Evidence:
    """The LNE metric g = I - t t^T, t = tanh(tau xi), is Ricci-flat.

    Measured: the Ricci tensor of Eq. 16 on a box of half width ``half_width`` / tau about a random
    point next to the origin, for several tau, by finite differences, which know nothing of the
    closed form. Predicted by the paper: zero. What holds is the closed form
    Ric = -[(tr / s) A - A^2 / s - (D t)(D t)^T / s^2], against which the differences are compared.
    """
    require_numbers("taus", taus, above=0.0)
    require_number("half_width", half_width, 0.0, 0.5)
    largest, closed, orders, origin, known = {}, {}, {}, {}, {}
    rng = np.random.default_rng(0)
    coarse = max(order + 3, (2 * points) // 3)
    for tau in taus:
        lne = LNEMetric(tau)
        for n in dimensions:
            name, errors = f"tau = {tau:g}, n = {n}", []
            centre = 0.05 * rng.uniform(-1, 1, size=n) / tau
            for size in (coarse, points):
                grid = Grid.box(-half_width / tau, half_width / tau, (size,) * n)
                x = centre + np.stack(grid.coordinates(), axis=-1)
                g = MetricField(grid, backend.asarray(np.moveaxis(lne.matrix(x), (-2, -1), (0, 1))))
                measured = to_numpy(g.ricci(order))
                exact = np.moveaxis(lne.ricci(x).matrix(), (-2, -1), (0, 1))
                errors.append(float(np.abs(measured - exact).max() / np.abs(exact).max()))
            largest[name] = float(np.abs(measured).max()) / tau**2
            closed[name] = errors[-1]
            steps = math.log((points - 1) / (coarse - 1))
            orders[name] = math.log(errors[0] / errors[1]) / steps
            origin[name] = float(lne.ricci(np.zeros(n)).matrix()[0, 0]) / tau**2
            known[name] = -(n - 1.0)
    noise = max(closed[name] * largest[name] for name in closed)
    least = min(largest.values())
    return Evidence(
        Measurement(
            f"largest |Ric_ij| / tau^2 on the box, n = {list(dimensions)}, tau = {list(taus)}",
            largest,
            0.0,
            max(largest.values()),
            1e-3,
            "far below the curvature scale tau^2, far above the error of the differences",
            uncertainty=noise,
        ),
        resolution=[
            Measurement(
                f"order with which the differences of order {order} approach the closed form",
                orders,
                order,
                max(0.0, order - min(orders.values())),
                0.5,
                "the ends of a box this small are not fully in the asymptotic range",
            )
        ],
        also=[
            Measurement(
                "the closed form Ric = -[(tr/s) A - A^2/s - (Dt)(Dt)^T/s^2] against differences",
                closed,
                0.0,
                max(closed.values()),
                1e-3,
                "error of the differences on this grid; it shrinks with their order (see above)",
            ),
            Measurement(
                "at the origin Ric = -(n - 1) tau^2 I: its first entry over tau^2",
                origin,
                known,
                max(abs(origin[name] - known[name]) for name in known),
                1e-12,
                "rounding",
                same="it is the same for every tau, by the formula",
            ),
            Measurement(
                "smallest of the largest |Ric_ij| / tau^2: at no tau and no n is Eq. 16 flat",
                least,
                "above 0.5",
                max(0.0, 0.5 - least),
                0.0,
                "half of (n - 1) at n = 2, its value at the origin",
            ),
        ],
    )


@claim(
    "exponential-decay-torus",
    "sec. 4.4",
    guard=(
        partial(known_flow, dimensions=(2, 3, 4), method="etdrk4", dt=0.05),
        partial(known_rates, dimensions=(2, 3, 4)),
        known_fits,
        partial(known_norms, dimensions=(2, 3, 4)),
        known_coefficients,
        partial(known_orders, methods=("etdrk4",)),
    ),
    quick={
        "amplitude": 0.3,
        "seed": 0,
        "modes_2d": ((1, 0), (0, 1), (1, 1), (2, -1)),
        "points_2d": 40,
        "modes_3d": ((1, 0, 0), (1, 1, -1)),
        "points_3d": 18,
        "modes_4d": ((0, 1, 0, 0),),
        "points_4d": 8,
        "order": 6,
        "duration": 10.0,
    },
    full={
        "modes_2d": ((1, 0), (0, 1), (1, 1), (1, -1), (2, -1), (2, 2), (3, 1)),
        "modes_3d": ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, -1), (2, 0, 1)),
        "points_3d": 24,
        "modes_4d": ((1, 0, 0, 0), (0, 0, 1, 0), (1, 0, 0, 1)),
        "points_4d": 10,
    },
)
def exponential_decay_torus(
    backend: Backend,
    amplitude: float,
    seed: int,
    modes_2d: Sequence[Sequence[int]],
    points_2d: int,
    modes_3d: Sequence[Sequence[int]],
    points_3d: int,
    modes_4d: Sequence[Sequence[int]],
    points_4d: int,
    order: int,
    duration: float,
) -> Evidence:
    """Near a flat torus the Ricci-DeTurck perturbation decays exponentially in L2, mode by mode.

    Measured: a flat torus with uneven sides is perturbed in one Fourier mode with a random
    polarisation (so that no slower mode feeds the one that is watched), flowed, and the rate of the
    mode fitted late; and a random start with many modes, whose L2 distance to the limit is fitted.
    Predicted: lambda_m = g_inf^ab k_a k_b with the limit metric g_inf of the run, k_a = 2 pi m_a /
    L_a; the slowest of them for the random start. Distances are taken to the limit: the mean of the
    metric drifts at second order in the amplitude, so that the identity is not the limit.
    """
    cases = [
        (m, points)
        for modes, points in ((modes_2d, points_2d), (modes_3d, points_3d), (modes_4d, points_4d))
        for m in modes
    ]
    measured, predicted, errors, lines = {}, {}, [], []
    for m, points in cases:
        fit, rate, line = _mode_rate(backend, m, points, amplitude, seed, order, duration)
        name = str(tuple(m))
        measured[name], predicted[name] = fit, rate
        errors.append(relative(fit, rate))
        lines.append(line)
    first = modes_2d[0]
    half = _mode_rate(backend, first, points_2d // 2, amplitude, seed, order, duration)
    change = abs(half[0] / half[1] - measured[str(tuple(first))] / predicted[str(tuple(first))])
    l2_rate, slowest, drifts = _random_start(backend, points_2d, amplitude, seed, order)
    return Evidence(
        Measurement(
            f"decay rate of each mode in 1 / length^2, amplitude {amplitude}; relative error",
            measured,
            predicted,
            max(errors),
            1e-3,
            "the accuracy this audit asks for; space and time errors are below 1e-4 (resolution)",
        ),
        resolution=[
            Measurement.vanishing(
                f"change of rate / prediction of mode {tuple(first)} from half the grid points",
                change,
                2e-4,
                "well below the tolerance, so that the grid does not decide the verdict",
            )
        ],
        also=[
            Measurement(
                "L2 distance of a random start to its limit decays at the slowest rate",
                l2_rate,
                slowest,
                relative(l2_rate, slowest),
                2e-3,
                "what faster modes leave in the window of the fit",
            ),
            Measurement.near(
                "the limit is not the start's mean: power of the amplitude in |g_inf - mean|",
                drifts,
                2.0,
                0.2,
                "slope between amplitude and half of it; the next order in the amplitude remains",
            ),
        ],
        plots=[
            Plot(
                "One mode at a time: measured (points) and e^(-lambda t) predicted (dashed)",
                "lambda t",
                "mode amplitude / start",
                [curve for pair in lines for curve in pair],
                log_y=True,
            )
        ],
    )


def _mode_rate(
    backend: Backend,
    mode: Sequence[int],
    points: int,
    amplitude: float,
    seed: int,
    order: int,
    duration: float,
) -> tuple[float, float, tuple[Line, Line]]:
    """Fitted and predicted rate of one mode, and the curves to draw."""
    n = len(mode)
    grid = Grid.torus((points,) * n, _SIDES[:n])
    k = [2 * math.pi * m / side for m, side in zip(mode, grid.lengths, strict=True)]
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, n))
    h = h + h.T
    h *= amplitude / np.abs(np.linalg.eigvalsh(h)).max()

    def start(*x: np.ndarray) -> list[list[np.ndarray]]:
        wave = backend.xp.cos(sum(ka * xa for ka, xa in zip(k, x, strict=True)))
        return [[float(i == j) + float(h[i, j]) * wave for j in range(n)] for i in range(n)]

    unit = 1 / sum(ka**2 for ka in k)  # 1 / rate about the identity: the time scale of the mode
    times = np.linspace(0.0, duration * unit, 41)
    solution = _flow(backend.metric(grid, start), times, 0.2 * unit, order)
    sizes = np.array([mode_amplitude(g, mode) for g in solution.metrics])
    # The third-order correction dies as e^(-2 lambda t): it is below 1e-5 in the last two fifths.
    fit = fit_decay_rate(solution.t, sizes, t_min=0.6 * times[-1])
    rate = predicted_decay_rates(solution[-1], [mode])[0].rate
    x = (rate * solution.t).tolist()
    return (
        fit.rate,
        rate,
        (
            Line(str(tuple(mode)), x, (sizes / sizes[0]).tolist(), "points"),
            Line("", x, (sizes[-1] / sizes[0] * np.exp(x[-1] - np.array(x))).tolist(), "dashed"),
        ),
    )


def _random_start(
    backend: Backend, points: int, amplitude: float, seed: int, order: int
) -> tuple[float, float, float]:
    """L2 rate, slowest predicted rate, and the power of the amplitude in the drift of the mean."""
    grid = Grid.torus((points, points), _SIDES[:2])
    drifts = []
    for size in (amplitude / 2, amplitude):
        start = perturbed_euclidean(grid, size, seed, modes=2, xp=backend.xp)
        solution = _flow(start, np.linspace(0.0, 14.0, 57), 0.1, order)
        limit = solution[-1].mean()
        identity = to_numpy(start.mean().packed)[:, 0, 0]
        drifts.append(float(np.linalg.norm(to_numpy(limit.packed)[:, 0, 0] - identity)))
    distance = [g.l2_distance(limit) for g in solution.metrics]
    fit = fit_decay_rate(solution.t, distance, t_min=9.0, t_max=13.0)
    slowest = predicted_decay_rates(limit, max_mode=2)[0].rate
    return fit.rate, slowest, math.log2(drifts[1] / drifts[0])


def _flow(start: MetricField, times: np.ndarray, dt: float, order: int) -> FlowSolution:
    """Ricci-DeTurck flow by ETDRK4; a flow that breaks off leaves the claim unresolved."""
    span = (0.0, float(times[-1]))
    solution = solve_flow(
        start, RicciDeTurckFlow(), span, "etdrk4", times.tolist(), dt, order=order
    )
    if not solution.success:
        raise UnresolvedError(f"the flow broke off: {solution.message}")
    return solution


@claim(
    "exponential-decay-noncompact",
    "sec. 4.4, Def. 13",
    guard=(
        partial(known_flow, dimensions=(2, 3), method="etdrk4"),
        partial(known_rates, dimensions=(2, 3)),
        known_fits,
        partial(known_norms, dimensions=(2, 3)),
        known_coefficients,
        partial(known_orders, methods=("etdrk4",)),
    ),
    cause="scaling-of-rn",
    quick={
        "amplitude": 0.1,
        "periods_2d": (24.0, 48.0, 96.0),
        "periods_3d": (20.0, 32.0),
        "spacing": 0.75,
        "spacing_3d": 1.0,
        "width": 2.0,
        "order": 6,
    },
    full={
        "periods_2d": (24.0, 48.0, 96.0, 192.0),
        "periods_3d": (20.0, 32.0, 48.0),
    },
)
def exponential_decay_noncompact(
    backend: Backend,
    amplitude: float,
    periods_2d: Sequence[float],
    periods_3d: Sequence[float],
    spacing: float,
    spacing_3d: float,
    width: float,
    order: int,
) -> Evidence:
    """On R^n a localised perturbation of the flat metric decays exponentially in L2.

    Measured: Ricci-DeTurck flow of a Gaussian bump, exp(-r^2 / (4 t0)), on tori of growing period.
    Once the bump fills the torus the decay is exponential; before, the torus is R^n to it.
    Predicted by the paper: a rate, so one that does not depend on the period. What holds: the rate
    is that of the gap (2 pi / L)^2, which closes, and before that the L2 norm falls as (t +
    t0)^(-n/4).
    """
    rates, gaps, lines = {}, {}, []
    slopes: dict[int, list[float]] = {2: [], 3: []}
    t0 = width**2 / 2
    for n, periods, h in ((2, periods_2d, spacing), (3, periods_3d, spacing_3d)):
        for period in periods:
            gap = (2 * math.pi / period) ** 2
            solution = _bump(backend, n, period, h, amplitude, t0, order)
            limit = solution[-1].mean()
            norms = np.array([g.l2_distance(limit) for g in solution.metrics])
            name = f"n = {n}, L = {period:g}"
            late = fit_decay_rate(solution.t, norms, t_min=3.5 / gap)
            rates[name] = late.rate
            gaps[name] = predicted_decay_rates(limit)[0].rate
            # Early enough that the images are not felt, e^(-L^2 / (8 (t + t0))) < 1e-5 or so.
            identity = flat_metric(solution.grid, backend.xp)
            whole = [g.l2_distance(identity) for g in solution.metrics]
            end = period**2 / 90
            early = fit_power_law(solution.t, whole, 0.25 * end, end, offset=t0)
            slopes[n].append(early.exponent)
            lines.append(Line(name, (solution.t + t0).tolist(), norms.tolist()))
    final = {n: values[-1] for n, values in slopes.items()}
    two = [rates[f"n = 2, L = {p:g}"] for p in periods_2d]
    ratio = two[-1] / two[0]
    return Evidence(
        Measurement.near(
            f"rate on period {periods_2d[-1]:g} over the rate on period {periods_2d[0]:g} (n = 2)",
            ratio,
            1.0,
            0.1,
            "a rate on R^n would be reached by all large periods",
            uncertainty=0.01,
        ),
        resolution=[
            Measurement(
                "exponent of (t + t0) on R^n: change between the two largest periods",
                {n: abs(b - a) for n, (a, b) in ((n, v[-2:]) for n, v in slopes.items())},
                0.0,
                max(abs(v[-1] - v[-2]) for v in slopes.values()),
                0.03,
                "the accuracy asked of the exponent",
            )
        ],
        also=[
            Measurement(
                "late rate on each period against the gap of the torus, min g_inf^aa (2 pi / L)^2",
                rates,
                gaps,
                max(relative(rates[name], gaps[name]) for name in rates),
                0.02,
                "what the nonlinear terms and the faster modes leave in the window of the fit",
            ),
            Measurement(
                "the rate falls with every larger period (count of exceptions)",
                two,
                "falling",
                float(sum(b >= a for a, b in pairwise(two))),
                0.0,
                "a count",
            ),
            Measurement(
                "exponent of (t + t0) before the torus is felt, largest period: -n/4",
                final,
                {n: -n / 4 for n in final},
                max(abs(v + n / 4) for n, v in final.items()),
                0.03,
                "the accuracy asked of the exponent",
            ),
        ],
        plots=[
            Plot(
                "A bump on tori of growing period: algebraic, then exponential",
                "t + t0 (length^2)",
                "L2 distance to the limit (length^(n/2))",
                lines,
                log_x=True,
                log_y=True,
            )
        ],
    )


def _bump(
    backend: Backend, n: int, period: float, h: float, amplitude: float, t0: float, order: int
) -> FlowSolution:
    """Flow of a Gaussian bump in every component, until six times the slowest time scale."""
    points = 2 * round(period / h / 2)
    grid = Grid.torus((points,) * n, period, origin=-period / 2)
    polarisation = np.random.default_rng(n).normal(size=(n, n))
    polarisation = polarisation + polarisation.T
    polarisation *= amplitude / np.abs(np.linalg.eigvalsh(polarisation)).max()

    def start(*x: np.ndarray) -> list[list[np.ndarray]]:
        bump = backend.xp.exp(-sum(xa**2 for xa in x) / (4 * t0))
        return [
            [float(i == j) + float(polarisation[i, j]) * bump for j in range(n)] for i in range(n)
        ]

    scale = (period / (2 * math.pi)) ** 2  # 1 / gap
    # Evenly in log t for the power, evenly in t for the rate: every time asked for is a step.
    early, late = np.geomspace(0.25, 3.0 * scale, 24), np.linspace(3.5, 6.0, 8) * scale
    times, end = np.concatenate([[0.0], early, late]), 6.0 * scale
    solution = solve_flow(
        backend.metric(grid, start),
        RicciDeTurckFlow(),
        (0.0, end),
        "etdrk4",
        times.tolist(),
        rtol=1e-6,
        order=order,
    )
    if not solution.success:
        raise UnresolvedError(f"the flow broke off: {solution.message}")
    return solution
