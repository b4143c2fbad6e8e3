"""Section 4: the flow stays close to flat, in the sup norm and as a quadratic form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.signal import resample

from riemann_lne import (
    FlowSolution,
    MetricField,
    RicciDeTurckFlow,
    fit_decay_rate,
    flat_metric,
)
from riemann_lne.arrays import to_numpy
from riemann_lne.errors import InvalidArgumentError

from ..audit import Evidence, Line, Measurement, Plot, claim
from ..backends import Backend
from ..flowing import (
    heat_flow,
    perturbation,
    random_start,
    relative_eigenvalues,
    run,
    torus,
)
from ..guards import known_flow, known_rates
from ..parameters import require_number, require_numbers

FINE_POINTS = {2: 96, 3: 32, 4: 16}
"""Points along an axis, at least, among which a supremum is looked for."""


@claim(
    "linf-bound",
    "Lemma 14",
    guard=(known_flow, known_rates),
    quick={
        "dimensions": (2, 3),
        "points": (24, 12),
        "amplitudes": (0.05, 0.2, 0.8),
        "seeds": (0, 1),
        "until": 1.0,
    },
    full={
        "dimensions": (2, 3, 4),
        "points": (48, 16, 8),
        "amplitudes": (0.01, 0.05, 0.2, 0.4, 0.8),
        "seeds": (0, 1, 2, 3),
    },
)
def linf_bound(
    backend: Backend,
    dimensions: Sequence[int],
    points: Sequence[int],
    amplitudes: Sequence[float],
    seeds: Sequence[int],
    until: float,
) -> Evidence:
    """The sup norm of the perturbation stays below C times its start along the Ricci-DeTurck flow,
    one C for all starts that are close enough to flat.

    Measured: the largest sup |g(t) - delta| over sup |g(0) - delta| along flows of random starts;
    the first half of the seeds gives C, the second half is tested against it. Predicted: the linear
    flow is a heat equation for every component, for which the maximum principle gives C = 1, so
    that the excess over 1 is at most of first order in the amplitude.
    """
    require_numbers("amplitudes", amplitudes, 0.0, 1.0, count=2)
    require_numbers("seeds", seeds, -1, whole=True, count=2)
    require_number("until", until, 0.0)
    _paired("points", points, dimensions)
    half = len(seeds) // 2
    ratios: dict[float, list[float]] = {a: [] for a in amplitudes}
    test: list[float] = []
    for n, size in zip(dimensions, points, strict=True):
        for k, seed in enumerate(seeds if n == 2 else (seeds[0], seeds[half])):
            fitted = k < half if n == 2 else k == 0
            for amplitude in amplitudes:
                ratio, _ = _largest_ratio(backend, n, size, amplitude, seed, until)
                if fitted:
                    ratios[amplitude].append(ratio)
                else:
                    test.append(ratio)
    bound = max(max(v) for v in ratios.values())
    worst = {a: max(v) for a, v in ratios.items()}
    change, curves = [], []
    for amplitude in amplitudes:
        _, line = _largest_ratio(backend, 2, points[0], amplitude, seeds[0], until)
        _, finer = _largest_ratio(backend, 2, 3 * points[0] // 2, amplitude, seeds[0], until)
        # along the whole run: the largest ratio is often that of the start, 1 on every grid
        change.append(max(abs(a - b) for a, b in zip(line[1], finer[1], strict=True)))
        curves.append(Line(f"amplitude {amplitude:g}", *line))
    smallest = min(amplitudes)
    return Evidence(
        Measurement(
            f"sup_t sup |g - delta| over its start, starts that did not fix C, n = "
            f"{list(dimensions)}",
            max(test),
            f"at most C = {bound:.5g}",
            max(0.0, max(test) / bound - 1),
            2e-2,
            "C from other starts; the spread between seeds",
        ),
        resolution=[
            Measurement(
                "largest change of the ratio along the run on a grid of half as many points again",
                change,
                0.0,
                max(change),
                1e-2,
                "the truncation error of fourth order",
            )
        ],
        also=[
            Measurement(
                "C - 1 at each amplitude: at most the amplitude",
                {str(a): v - 1 for a, v in worst.items()},
                {str(a): a for a in worst},
                max(0.0, *(v - 1 - a for a, v in worst.items())),
                0.0,
                "the linear part has C = 1",
            ),
            Measurement(
                f"C of the linear flow, from the smallest amplitude {smallest:g}",
                worst[smallest],
                1.0,
                abs(worst[smallest] - 1),
                smallest,
                "what is left is of first order in the amplitude",
            ),
        ],
        plots=[
            Plot(
                "Sup norm of the perturbation over its start (2-D, first seed)",
                "t (length^2)",
                "ratio",
                curves,
                log_y=True,
            )
        ],
    )


def _paired(name: str, values: Sequence[Any], dimensions: Sequence[int]) -> None:
    if len(values) != len(dimensions):
        raise InvalidArgumentError(
            f"{name} = {values!r}; give one number for each of the dimensions {dimensions!r}"
        )
    require_numbers("dimensions", dimensions, 1, 5, whole=True)


def _largest_ratio(
    backend: Backend, n: int, points: int, amplitude: float, seed: int, until: float
) -> tuple[float, tuple[list[float], list[float]]]:
    """Largest sup norm of the perturbation along a flow over that of the start, and its curve."""
    start = random_start(backend, torus(n, points), amplitude, seed)
    times = until * np.linspace(0.0, 1.0, 25) ** 3  # whatever grows does so at once
    solution = run(start, RicciDeTurckFlow(), times, dense_output=True, rtol=1e-5)
    sizes = np.array([_sup_between_points(g) for g in solution.metrics])
    sizes /= sizes[0]
    return float(sizes.max()), (times.tolist(), sizes.tolist())


def _sup_between_points(g: MetricField) -> float:
    """Largest Frobenius norm of g - delta, of its trigonometric interpolant on a finer grid.

    At the grid's own points the supremum is read too low by O(spacing^2), and by another amount
    on every grid.
    """
    h = perturbation(g)
    for axis in range(2, h.ndim):
        h = resample(h, -(-FINE_POINTS[g.n] // h.shape[axis]) * h.shape[axis], axis=axis)
    return float(np.sqrt((h**2).sum(axis=(0, 1)).max()))


@claim(
    "epsilon-close",
    "Def. 21",
    guard=(known_flow, known_rates),
    cause="our-addition",
    quick={
        "dimensions": (2, 3),
        "points": (24, 12),
        "amplitudes": (0.05, 0.2, 0.6),
        "seeds": (0,),
        "until": 7.0,
    },
    full={"points": (32, 16), "amplitudes": (0.05, 0.1, 0.2, 0.4, 0.6, 0.8), "seeds": (0, 1, 2)},
)
def epsilon_close(
    backend: Backend,
    dimensions: Sequence[int],
    points: Sequence[int],
    amplitudes: Sequence[float],
    seeds: Sequence[int],
    until: float,
) -> Evidence:
    """A metric that starts epsilon-close to the flat one, (1 + eps)^-1 delta <= g <= (1 + eps)
    delta, stays so along the Ricci-DeTurck flow.

    Measured: the smallest eps at every time, from the eigenvalues of g, and that it is the
    smallest: the inequalities hold with eps and fail with 0.999 eps (by leading minors). Predicted:
    it never exceeds its start. With respect to the limit metric of the run eps tends to 0, at the
    rate that the linear flow (every mode at its own rate) gives to what is left at half of the run,
    neither slower nor faster; with respect to delta it stops at the drift of the mean.
    """
    require_numbers("amplitudes", amplitudes, 0.0, 1.0)
    require_number("until", until, 2.0)
    _paired("points", points, dimensions)
    growth, wrong, curves, refined = {}, 0, [], []
    rates: dict[str, float] = {}
    known: dict[str, float] = {}
    for n, size in zip(dimensions, points, strict=True):
        for seed in seeds:
            for amplitude in amplitudes:
                start = random_start(backend, torus(n, size), amplitude, seed)
                times = until * np.linspace(0.0, 1.0, 43)
                # At the end 1e-3 of the start is left, whose rate is wanted to a thousandth.
                solution = run(start, RicciDeTurckFlow(), times, dense_output=True, rtol=1e-9)
                flat, limit = flat_metric(start.grid, backend.xp), solution[-1].mean()
                eps = [_epsilon(g, flat) for g in solution.metrics]
                name = f"n = {n}, amplitude {amplitude:g}, seed {seed}"
                growth[name] = max(eps) / eps[0]
                wrong += sum(
                    not _is_least(g, e) for g, e in zip(solution.metrics, eps, strict=True)
                )
                to_limit = [_epsilon(g, limit) for g in solution.metrics]
                late = {"t_min": 0.6 * until, "t_max": 0.8 * until}
                rates[name] = fit_decay_rate(times, to_limit, **late).rate
                linear = _linear_epsilon(solution, limit, 0.5 * until)
                known[name] = fit_decay_rate(times, linear, **late).rate
                if seed == seeds[0] and n == dimensions[0]:
                    finer = run(
                        random_start(backend, torus(n, 3 * size // 2), amplitude, seed),
                        RicciDeTurckFlow(),
                        (0.0, 0.1 * until),
                    )[-1]
                    coarse = run(start, RicciDeTurckFlow(), (0.0, 0.1 * until))[-1]
                    one = _epsilon(finer, flat_metric(finer.grid, backend.xp))
                    refined.append(abs(one / _epsilon(coarse, flat) - 1))
                    curves += [
                        Line(f"to delta, amplitude {amplitude:g}", times.tolist(), eps),
                        Line("", times[:-8].tolist(), to_limit[:-8], "dashed"),
                    ]
    return Evidence(
        Measurement(
            "largest over the run of the smallest eps to delta, over that of the start",
            growth,
            "at most 1",
            max(0.0, *(v - 1 for v in growth.values())),
            1e-3,
            "eps is read at grid points, between which the start may be a little larger",
        ),
        resolution=[
            Measurement(
                f"relative change of eps at t = {0.1 * until:g} on a grid with 3 points for 2",
                max(refined),
                0.0,
                max(refined),
                2e-2,
                "eps is read at grid points",
            )
        ],
        also=[
            Measurement(
                "metrics for which the inequalities fail with eps or hold with 0.999 eps",
                wrong,
                0,
                float(wrong),
                0.0,
                "a count",
            ),
            Measurement(
                "late rate at which eps to the limit decays: that of the linear flow",
                rates,
                known,
                max(abs(rates[k] / known[k] - 1) for k in rates),
                1e-2,
                "other terms are smaller by what is left at half of the run, a hundredth or less",
            ),
        ],
        plots=[
            Plot(
                "Smallest eps: to delta (lines) and to the limit (dashed)",
                "t (length^2)",
                "eps",
                curves,
                log_y=True,
            )
        ],
    )


def _epsilon(g: MetricField, reference: MetricField) -> float:
    """The smallest eps with (1 + eps)^-1 r <= g <= (1 + eps) r."""
    low, high = relative_eigenvalues(g, reference)
    return max(high - 1, 1 / low - 1)


def _linear_epsilon(solution: FlowSolution, limit: MetricField, begin: float) -> list[float]:
    """Eps to the limit at all times, of the linear flow that agrees with a flow at ``begin``.

    Before that time it is that of the flow itself.
    """
    first = int(np.searchsorted(solution.t, begin))
    constant = to_numpy(limit.components)
    left = to_numpy(solution[first].components) - constant
    inverse = to_numpy(limit.inverse()).reshape(limit.n, limit.n, -1)[..., 0]
    result = []
    for t, g in zip(solution.t, solution.metrics, strict=True):
        if t > solution.t[first]:
            h = heat_flow(left, g.grid, float(t - solution.t[first]), inverse)
            g = MetricField(g.grid, constant + h)
        result.append(_epsilon(g, limit))
    return result


def _is_least(g: MetricField, eps: float) -> bool:
    """Whether g is close to delta with eps, up to rounding, but not with 0.999 eps."""
    return _within(g, eps * (1 + 1e-9) + 1e-14) and not _within(g, 0.999 * eps)


def _within(g: MetricField, eps: float) -> bool:
    matrices = np.moveaxis(to_numpy(g.components), (0, 1), (-2, -1))
    eye = np.eye(g.n)
    return _nonnegative((1 + eps) * eye - matrices) and _nonnegative(matrices - eye / (1 + eps))


def _nonnegative(a: np.ndarray) -> bool:
    """Whether matrices are positive definite everywhere, by their leading minors."""
    sizes = range(1, a.shape[-1] + 1)
    return all(bool(np.all(np.linalg.det(a[..., :k, :k]) > 0)) for k in sizes)
