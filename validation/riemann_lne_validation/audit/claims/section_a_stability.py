"""Appendix: estimates of the flow near flat metrics: its drift, and how fast it can decay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.integrate import cumulative_simpson, simpson
from scipy.optimize import minimize

from riemann_lne import (
    MetricField,
    RicciDeTurckFlow,
    fit_decay_rate,
    predicted_decay_rates,
)

from ...lab.parameters import require_dimensions, require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_fits, known_flow, known_norms, known_rates
from ..instruments.covariant import derivative
from ..instruments.flowing import perturbation, random_start, rate, run, torus

_RUNS = {
    "dimensions": (2, 3),
    "points": (24, 12),
    "amplitudes": (0.05, 0.1, 0.2),
    "seeds": (0, 1),
    "until": 0.5,
}
_LONG = {
    "dimensions": (2, 3, 4),
    "points": (32, 16, 8),
    "amplitudes": (0.025, 0.05, 0.1, 0.2, 0.4),
    "seeds": (0, 1, 2, 3),
}


@claim("reference-drift", "Lemma 31", guard=(known_flow, known_rates), quick=_RUNS, full=_LONG)
def reference_drift(
    backend: Backend,
    dimensions: Sequence[int],
    points: Sequence[int],
    amplitudes: Sequence[float],
    seeds: Sequence[int],
    until: float,
) -> Evidence:
    """The reference d_0(t), the projection of the perturbation d = g - delta onto the kernel of the
    linearised flow, moves by |d_0'| <= C |nabla (d - d_0)|^2 in L2 norms, one C for all starts
    close enough to flat.

    Measured: on the torus d_0 is the mean of d; C V^(1/2) = |mean of g'| / mean of |nabla d|^2
    along Ricci-DeTurck flows of random starts (V the volume), and the power of |nabla d| that
    |d_0'| goes with as the amplitude changes. Predicted: power 2, since the mean of the linear part
    vanishes; and the largest C of the quadratic part of the flow, found by maximising over single
    waves with its formula, written apart from the core.
    """
    require_numbers("amplitudes", amplitudes, 0.0, 1.0, count=2)
    require_number("until", until, 0.0)
    require_dimensions(dimensions, points=points)
    ratios, powers, bounds, curves, change = {}, [], {}, [], []
    for n, size in zip(dimensions, points, strict=True):
        bounds[n] = _largest_drift(n)
        for seed in seeds if n < 4 else seeds[:1]:
            first = []
            for amplitude in amplitudes:
                start = random_start(backend, torus(n, size), amplitude, seed)
                solution = run(
                    start, RicciDeTurckFlow(), np.linspace(0, until, 9), dense_output=True
                )
                drift, slope = zip(*(_drift(g) for g in solution.metrics), strict=True)
                name = f"n = {n}, amplitude {amplitude:g}, seed {seed}"
                ratios[name] = max(a / b for a, b in zip(drift, slope, strict=True)) / bounds[n]
                first.append((math.sqrt(slope[0]), drift[0]))
            x, y = np.log(np.array(first[:2])).T
            powers.append(float((y[1] - y[0]) / (x[1] - x[0])))
            finer = random_start(backend, torus(n, size + size // 2), amplitudes[-1], seed)
            a, b = _drift(start), _drift(finer)
            change.append(abs(a[0] / a[1] * b[1] / b[0] - 1))
            xs, ys = np.array(first).T
            curves.append(Line(f"n = {n}, seed {seed}", xs.tolist(), ys.tolist(), "points"))
    return Evidence(
        Measurement(
            "C over the largest C of the quadratic part, along all flows",
            ratios,
            "at most 1",
            max(0.0, max(ratios.values()) - 1),
            5e-2,
            "the bound is that of the worst wave; what the grid may change (see resolution)",
        ),
        resolution=[
            Measurement.vanishing(
                "relative change of C at the start on a grid of half as many points again",
                max(change),
                5e-2,
                "small beside what is left to the bound",
            )
        ],
        also=[
            Measurement.near(
                "power of |nabla d| in |d_0'|, from the two smallest amplitudes",
                powers,
                2.0,
                0.1,
                "the next order in the amplitude",
            )
        ],
        plots=[
            Plot(
                "Drift of the reference against the gradient",
                "root mean square of |nabla d| (1 / length)",
                "|mean of g'| (1 / length^2)",
                curves,
                log_x=True,
                log_y=True,
            )
        ],
    )


def _drift(g: MetricField) -> tuple[float, float]:
    """|mean of g'| and mean of |nabla d|^2, both with the flat metric."""
    axes = tuple(range(2, g.n + 2))
    moved = rate(RicciDeTurckFlow(), g, 4).mean(axis=axes)
    return float(np.linalg.norm(moved)), _mean_square(derivative(perturbation(g), g.grid, 4), g.n)


def _mean_square(tensor: np.ndarray, n: int) -> float:
    """Grid mean of the square of a tensor, with the flat metric."""
    return float((tensor**2).sum() / math.prod(tensor.shape[-n:]))


def _quadratic_mean(h: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mean over x of the quadratic part of g' at delta + h cos(k.x), over the mean of sin^2(k.x).

    After integration by parts: d_a h_ab d_b h_ij + d_i h_pa d_j h_pa / 2 + d_a h_jp d_p h_ia
    - d_a h_jp d_a h_ip - d_j h_pa d_a h_ip - d_i h_pa d_a h_jp.
    """
    hk, hh = h @ k, h @ h
    mixed = np.outer(hh @ k, k)
    return (
        (k @ hk) * h
        + np.outer(k, k) * np.trace(hh) / 2
        + np.outer(hk, hk)
        - (k @ k) * hh
        - mixed
        - mixed.T
    )


def _largest_drift(n: int) -> float:
    """Largest |quadratic mean| / (|k|^2 |h|^2); k along the first axis, by rotation."""
    k, rng = np.eye(n)[0], np.random.default_rng(n)

    def value(x: np.ndarray) -> float:
        h = x.reshape(n, n) + x.reshape(n, n).T
        return -float(np.linalg.norm(_quadratic_mean(h, k)) / np.sum(h * h))

    return max(-minimize(value, rng.normal(size=n * n)).fun for _ in range(8))


@claim(
    "evolution-inequality",
    "Cor. 33",
    guard=(known_flow, known_rates),
    repaired="The integral runs from t on, not from 0 to T with T fixed: as written it does not "
    "hold, see the check evolution-inequality-literal.",
    quick={**_RUNS, "until": 16.0, "samples": 97},
    full={**_LONG, "samples": 193},
)
def evolution_inequality(
    backend: Backend,
    dimensions: Sequence[int],
    points: Sequence[int],
    amplitudes: Sequence[float],
    seeds: Sequence[int],
    until: float,
    samples: int,
) -> Evidence:
    """There is C > 0 with |d - d_0|^2 (t) >= C times the integral from t on of |nabla (d - d_0)|^2,
    in L2 norms, for all t: the perturbation less its reference can only decay as its gradient
    allows.

    Measured: the smallest quotient of the two over t, along Ricci-DeTurck flows of random starts on
    tori, for several amplitudes. Predicted: 2 alpha = 2 for the linear flow, in which the
    derivative of |d - d_0|^2 is -2 |nabla d|^2; so C = 2 (1 - O(amplitude)), and C tends to 2 with
    the amplitude.
    """
    require_numbers("amplitudes", amplitudes, 0.0, 1.0, count=2)
    require_number("until", until, 8.0)
    require_number("samples", samples, 16, whole=True)
    require_dimensions(dimensions, points=points)
    least, limits, change, rises, curves = {}, [], [], 0, []
    spatial: list[float] = []
    for n, size in zip(dimensions, points, strict=True):
        for seed in seeds if n < 4 else seeds[:1]:
            row = []
            for amplitude in amplitudes:
                start = random_start(backend, torus(n, size), amplitude, seed)
                times, quotient, error, up = _quotients(start, until, samples)
                if (n, seed) == (dimensions[0], seeds[0]):
                    finer = random_start(backend, torus(n, size + size // 2), amplitude, seed)
                    other = _quotients(finer, until, samples)[1]
                    spatial.append(float(np.abs(other / quotient - 1).max()))
                row.append(float(quotient.min()))
                least[f"n = {n}, amplitude {amplitude:g}, seed {seed}"] = row[-1]
                change.append(error)
                rises += up
                if seed == seeds[0]:
                    name = f"n = {n}, amplitude {amplitude:g}"
                    curves.append(Line(name, times.tolist(), quotient.tolist()))
            a, b = amplitudes[:2]
            limits.append((b * row[0] - a * row[1]) / (b - a))
    short = max(
        (1 - least[f"n = {n}, amplitude {a:g}, seed {s}"] / 2) / a
        for n in dimensions
        for s in (seeds if n < 4 else seeds[:1])
        for a in amplitudes
    )
    return Evidence(
        Measurement(
            "C over all starts and times, and the largest (1 - C / 2) / amplitude",
            {**least, "(1 - C / 2) / amplitude": short},
            "C positive, (1 - C / 2) / amplitude at most 1",
            max(0.0, short),
            1.0,
            "1 / (1 + amplitude), the least that g^ab can be in -2 g^ab d_a d . d_b d, allows this",
        ),
        resolution=[
            Measurement.vanishing(
                "relative change of the integral from half the samples",
                max(change),
                1e-2,
                "Simpson's rule is of fourth order: the integral itself is 15 times closer",
            ),
            Measurement(
                "relative change of the quotient, all times, on a grid of 3 points for 2",
                spatial,
                0.0,
                max(spatial),
                1e-3,
                "a fifth of the tolerance for C as the amplitude goes to 0",
            ),
        ],
        also=[
            Measurement.near(
                "C for amplitude to 0, from the first two",
                limits,
                2.0,
                5e-3,
                "second order in the amplitude, and what the grid changes",
            ),
            Measurement(
                "samples at which |d - d_0| rises",
                rises,
                0,
                float(rises),
                0.0,
                "a count",
            ),
        ],
        plots=[
            Plot(
                "|d - d_0|^2 over the integral of |nabla d|^2 from t on",
                "t (length^2)",
                "quotient",
                curves,
            )
        ],
    )


@claim(
    "evolution-inequality-literal",
    "Cor. 33, as written",
    guard=(known_flow, known_rates, known_fits, partial(known_norms, dimensions=(2, 3))),
    cause="fixed-integral",
    quick={
        "dimensions": (2, 3),
        "points": (24, 12),
        "amplitude": 0.1,
        "seeds": (0, 1),
        "times": (1.0, 3.0, 6.0),
        "samples": 65,
    },
    full={"points": (32, 16), "seeds": (0, 1, 2), "times": (1.0, 3.0, 6.0, 9.0)},
)
def evolution_inequality_literal(
    backend: Backend,
    dimensions: Sequence[int],
    points: Sequence[int],
    amplitude: float,
    seeds: Sequence[int],
    times: Sequence[float],
    samples: int,
) -> Evidence:
    """There is C > 0, the same for all T, with |d - d_0|^2 (t) >= C times the integral from 0 to T
    of |nabla (d - d_0)|^2, in L2 norms, for every t <= T.

    Measured: the quotient of the two at t = T, along Ricci-DeTurck flows of random starts, for
    several T. Predicted: bounded below by one C > 0. What holds in its place: the integral from 0
    to T tends to a positive limit and the left side to 0, so that the quotient falls at the rate at
    which |d - d_0|^2 does; with the integral from t on it stays near 2, see evolution-inequality.
    """
    require_numbers("times", times, 0.0, 20.0, count=3)
    require_number("amplitude", amplitude, 0.0, 0.6)
    require_number("samples", samples, 16, whole=True)
    require_dimensions(dimensions, points=points)
    ends = sorted(times)
    quotients: dict[str, float] = {}
    rates, known, rises, change, curves = {}, {}, 0, [], []
    for n, size in zip(dimensions, points, strict=True):
        for seed in seeds:
            name = f"n = {n}, seed {seed}"
            start = random_start(backend, torus(n, size), amplitude, seed)
            t, square, slope, limit = _history(start, ends[-1], samples)
            whole = cumulative_simpson(slope, x=t, initial=0.0)
            coarse = cumulative_simpson(slope[::2], x=t[::2], initial=0.0)
            change.append(float(abs(coarse[-1] / whole[-1] - 1)))
            values = [float(np.interp(T, t, square) / np.interp(T, t, whole)) for T in ends]
            quotients |= {f"{name}, T = {T:g}": v for T, v in zip(ends, values, strict=True)}
            rises += sum(b >= a for a, b in pairwise(values))
            window = {"t_min": ends[-2], "t_max": ends[-1]}
            rates[name] = fit_decay_rate(
                t[1:], (square / np.maximum(whole, 1e-300))[1:], **window
            ).rate
            known[name] = 2 * predicted_decay_rates(limit, max_mode=2)[0].rate
            curves.append(Line(name, t[2:].tolist(), (square[2:] / whole[2:]).tolist()))
    last = max(v for k, v in quotients.items() if k.endswith(f"T = {ends[-1]:g}"))
    first = min(v for k, v in quotients.items() if k.endswith(f"T = {ends[0]:g}"))
    return Evidence(
        Measurement(
            "|d - d_0|^2 (T) over the integral from 0 to T, for several T; largest at the last T "
            "over smallest at the first, for a C that serves all T: not small",
            quotients,
            "at least one C > 0",
            max(0.0, 0.05 - last / first),
            0.0,
            "a quotient that falls to less than a twentieth has no lower bound in sight",
        ),
        resolution=[
            Measurement.vanishing(
                "relative change of the integral from half the samples",
                max(change),
                1e-2,
                "Simpson's rule is of fourth order",
            )
        ],
        also=[
            Measurement(
                "steps to a larger T at which the quotient does not fall",
                rises,
                0,
                float(rises),
                0.0,
                "a count",
            ),
            Measurement(
                "late rate at which the quotient falls: twice that of the slowest mode, or more",
                rates,
                known,
                max(0.0, *(1 - rates[k] / known[k] for k in known)),
                5e-2,
                "faster modes in the window, and the growth of the integral",
            ),
        ],
        plots=[
            Plot(
                "Cor. 33 as written: the quotient at t = T has no lower bound",
                "T (length^2)",
                "|d - d_0|^2 (T) / integral from 0 to T",
                curves,
                log_y=True,
            )
        ],
    )


def _history(
    start: MetricField, until: float, samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, MetricField]:
    """Times, |d - d_0|^2 and |nabla d|^2 (means over the torus), and the last metric's mean."""
    n = start.n
    t = until * np.linspace(0.0, 1.0, samples + (1 - samples) % 4) ** 2
    solution = run(start, RicciDeTurckFlow(), t, dense_output=True, rtol=1e-8, order="fourier")
    return t, *_mean_squares(solution.metrics, n), solution[-1].mean()


def _mean_squares(metrics: Sequence[MetricField], n: int) -> tuple[np.ndarray, np.ndarray]:
    """|d - d_0|^2 and |nabla d|^2 of each metric, means over the torus."""
    axes = tuple(range(2, n + 2))
    square, slope = [], []
    for g in metrics:
        d = perturbation(g)
        square.append(_mean_square(d - d.mean(axis=axes, keepdims=True), n))
        slope.append(_mean_square(derivative(d, g.grid, "fourier"), n))
    return np.array(square), np.array(slope)


def _quotients(
    start: MetricField, until: float, samples: int
) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Times, the quotient there, error of the integral, and at how many samples |d - d_0| rises."""
    n = start.n
    # Dense where much happens, and an odd number of samples in both rules.
    s = np.linspace(0.0, 1.0, samples + (1 - samples) % 4)
    # Fourier throughout: the gradient then has the wave numbers at which the flow decays.
    solution = run(
        start, RicciDeTurckFlow(), until * s**3, dense_output=True, rtol=1e-9, order="fourier"
    )
    values, slope = _mean_squares(solution.metrics, n)
    speed = 3 * until * s**2 * slope * (s[1] - s[0])
    rest = np.array([simpson(speed[k:]) for k in range(0, len(s) - 2, 2)])
    coarse = 2 * float(simpson(speed[::2]))
    early = slice(0, len(rest) // 2)  # later what the end cuts off is felt
    return (
        (until * s**3)[::2][early],
        (values[:-2:2] / rest)[early],
        float(abs(coarse / rest[0] - 1)),
        int(np.sum(np.diff(values[: len(values) // 2]) > 0)),
    )
