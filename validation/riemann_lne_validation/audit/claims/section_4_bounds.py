"""Section 4: the flow stays close to flat, in the sup norm and as a quadratic form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from riemann_lne.testing import perturbation_size

from ...lab.parameters import require_dimensions, require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_fits, known_flow, known_rates
from ..instruments.closeness import Shape, eps_along, eps_bound, quarter_variance, steep, sup_along
from ..instruments.flowing import heat_flow, perturbation, random_start, run, torus

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

    Measured: the largest sup |g(t) - delta| over sup |g(0) - delta| along flows of starts whose sup
    norm first grows, diag(1 + e, f(x)) with smooth and steep waves f that fill [1 / (1 + e), 1 + e]
    (norm: the largest absolute eigenvalue), and of random starts (Frobenius norm), which decay at
    once. Predicted: at most C = [(1 + e) / (1 - log^2(1 + e) / 4) - 1] / e for the largest e tried,
    derived by hand for the first family (see epsilon-close); the linear flow alone has C = 1, so
    that the excess over 1 is of first order in the amplitude.
    """
    require_numbers("amplitudes", amplitudes, 0.0, 1.0, count=2)
    require_numbers("seeds", seeds, -1, whole=True, count=2)
    require_number("until", until, 0.0)
    require_dimensions(dimensions, points=points)
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
    grown = {
        f"e = {e:g}, {name}": _growth(backend, e, shape, until)
        for e in amplitudes
        for name, shape in (("cosine", None), ("steep", steep(2.0)), ("steeper", steep(4.0)))
    }
    bound = eps_bound(max(amplitudes)) / max(amplitudes)
    found = {**grown, "random starts, largest": max(test + [r for v in ratios.values() for r in v])}
    worst = {
        a: max([*ratios[a], *(v for k, v in grown.items() if k.startswith(f"e = {a:g},"))])
        for a in amplitudes
    }
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
            f"sup_t sup |g - delta| over its start, waves in 2-D and random starts, n = "
            f"{list(dimensions)}",
            found,
            f"at most C = {bound:.5g}",
            max(0.0, max(found.values()) / bound - 1),
            1e-6,
            "an inequality; rounding",
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
                "waves whose sup norm does not grow at first",
                sum(v <= 1 for v in grown.values()),
                0,
                float(sum(v <= 1 for v in grown.values())),
                0.0,
                "a count: starts that only decay would tell nothing of C",
            ),
            Measurement.near(
                "(C - 1) / amplitude of the smooth waves, smallest amplitude: 1 / 8",
                (grown[f"e = {smallest:g}, cosine"] - 1) / smallest,
                0.125,
                0.25 * smallest + 0.005,
                "the next order in the amplitude; the growth is complete up to e^(-4 t)",
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


def _growth(backend: Backend, e: float, shape: Shape | None, until: float) -> float:
    """Largest sup norm over its start along the flow from diag(1 + e, f(x))."""
    sizes = sup_along(backend, e, 48, max(until, 1.5), shape)[1]
    return float(sizes.max() / sizes[0])


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
    guard=(known_flow, known_rates, known_fits),
    cause="our-addition",
    repaired="Def. 21 defines closeness of two metrics and does not say that a flow keeps it; the "
    "paper uses it along flows, so that the audit added the statement that it is kept.",
    quick={
        "eccentricities": (0.05, 0.2, 0.6),
        "wave_points": (24, 48),
        "sharpness": (1.0, 4.0),
        "dimensions": (2, 3),
        "points": (24, 12),
        "amplitudes": (0.2,),
        "seeds": (0,),
        "until": 7.0,
    },
    full={
        "eccentricities": (0.025, 0.05, 0.1, 0.2, 0.4, 0.6),
        "wave_points": (24, 48, 96),
        "sharpness": (1.0, 2.0, 4.0),
        "points": (32, 16),
        "amplitudes": (0.05, 0.2, 0.6),
        "seeds": (0, 1),
    },
)
def epsilon_close(
    backend: Backend,
    eccentricities: Sequence[float],
    wave_points: Sequence[int],
    sharpness: Sequence[float],
    dimensions: Sequence[int],
    points: Sequence[int],
    amplitudes: Sequence[float],
    seeds: Sequence[int],
    until: float,
) -> Evidence:
    """A metric that starts epsilon-close to the flat one, (1 + eps)^-1 delta <= g <= (1 + eps)
    delta, stays so with the same eps along the Ricci-DeTurck flow.

    Measured: the smallest eps along the flow from g = diag(1 + e, f(x)) on a torus, f = a + b cos x
    filling [1 / (1 + e), 1 + e], where g_11' = f'^2 / (2 f^2) > 0 at the start; on two grids.
    Predicted: never above its start. What holds: 1 + eps becomes at most (1 + eps)(1 + O(eps)).
    The constant is derived by hand: for small e the excess over e is a quarter of the variance of
    log f under the heat kernel, e^2 / 8 for a cosine and at most e^2 / 4; and for every e, by the
    maximum principle, 1 + eps <= (1 + e) / (1 - log^2(1 + e) / 4). With respect to the limit metric
    of the run eps tends to 0, at the rate that the linear flow gives to what is left at half of the
    run: measured from random starts in 2-D and 3-D, where every mode decays at once.
    """
    require_numbers("eccentricities", eccentricities, 0.0, 1.0, count=2)
    require_numbers("wave_points", wave_points, 11, count=2, whole=True)
    require_numbers("sharpness", sharpness, 0.0, 6.0)
    require_numbers("amplitudes", amplitudes, 0.0, 1.0)
    require_number("until", until, 2.0)
    require_dimensions(dimensions, points=points)
    waves = _waves_of(backend, sorted(eccentricities), sorted(wave_points)[-2:], sharpness)
    wrong, curves = 0, list(waves.curves)
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
                eps = [perturbation_size(g, flat, "epsilon") for g in solution.metrics]
                name = f"n = {n}, amplitude {amplitude:g}, seed {seed}"
                wrong += sum(
                    not _is_least(g, e) for g, e in zip(solution.metrics, eps, strict=True)
                )
                to_limit = [perturbation_size(g, limit, "epsilon") for g in solution.metrics]
                late = {"t_min": 0.6 * until, "t_max": 0.8 * until}
                rates[name] = fit_decay_rate(times, to_limit, **late).rate
                linear = _linear_epsilon(solution, limit, 0.5 * until)
                known[name] = fit_decay_rate(times, linear, **late).rate
                if seed == seeds[0] and n == dimensions[0]:
                    curves.append(
                        Line(f"random, amplitude {amplitude:g}", times.tolist(), eps, "dashed")
                    )
    return Evidence(
        Measurement(
            "largest eps over the run over that of the start, g = diag(1 + e, f(x))",
            waves.growth,
            "at most 1",
            max(0.0, *(v - 1 for v in waves.growth.values())),
            1e-3,
            "far above what the grids differ by for the smallest e",
        ),
        resolution=[
            Measurement(
                "relative change of that on a coarser grid",
                waves.change,
                0.0,
                max(waves.change.values()),
                1e-3,
                "a sixth of the growth for e = 0.05, whose own change is far smaller",
            )
        ],
        also=[
            Measurement(
                "largest eps over the bound (1 + e) / (1 - log^2(1 + e) / 4) - 1, derived by hand",
                waves.of_bound,
                "at most 1",
                max(0.0, *(v - 1 for v in waves.of_bound.values())),
                1e-9,
                "an inequality; rounding",
            ),
            Measurement.near(
                "(growth - 1) / e as e tends to 0, from the two smallest e: 1 / 8 for a cosine",
                waves.constant,
                0.125,
                5e-3,
                "the next order in e, left by extrapolation from two sizes",
            ),
            Measurement(
                "the same for steeper waves: a quarter of their largest variance under heat, at "
                "most 1 / 4",
                waves.steep,
                waves.variance,
                max(abs(waves.steep[k] / waves.variance[k] - 1) for k in waves.steep),
                3e-2,
                "terms of the next order in e = 0.02, and the samples in time",
            ),
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
                "Smallest eps to delta over its start",
                "t (length^2)",
                "eps / start",
                curves,
            )
        ],
    )


@dataclass(frozen=True)
class _Grown:
    """Growth of eps from diag(1 + e, f(x)), by name of the start."""

    growth: dict[str, float]
    change: dict[str, float]
    of_bound: dict[str, float]
    constant: float
    steep: dict[str, float]
    variance: dict[str, float]
    curves: list[Line]


_SMALL, _WAVES_END = 0.02, 3.0


def _waves_of(
    backend: Backend,
    eccentricities: Sequence[float],
    grids: Sequence[int],
    sharpness: Sequence[float],
) -> _Grown:
    growth, change, of_bound, curves, shares = {}, {}, {}, [], []
    for e in eccentricities:
        name = f"e = {e:g}"
        coarse, fine = (eps_along(backend, e, size, _WAVES_END) for size in grids)
        growth[name] = float(fine[1].max() / fine[1][0])
        change[name] = abs(float(coarse[1].max() / coarse[1][0]) / growth[name] - 1)
        of_bound[name] = float(fine[1].max() / eps_bound(e))
        shares.append((growth[name] - 1) / e)
        curves.append(Line(name, fine[0].tolist(), (fine[1] / fine[1][0]).tolist()))
    a, b = eccentricities[:2]
    steeper, variance = {}, {}
    for s in sharpness:
        eps = eps_along(backend, _SMALL, 2 * grids[-1], _WAVES_END, steep(s))[1]
        name = f"tanh({s:g} cos x)"
        steeper[name] = float(eps.max() / _SMALL - 1) / _SMALL
        variance[name] = quarter_variance(steep(s), _WAVES_END)
    limit = (b * shares[0] - a * shares[1]) / (b - a)
    return _Grown(growth, change, of_bound, limit, steeper, variance, curves)


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
        result.append(perturbation_size(g, limit, "epsilon"))
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
