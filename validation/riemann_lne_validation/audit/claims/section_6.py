"""Section 6: the discrete Ricci flow on the weights of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from riemann_lne import (
    Grid,
    LNEMetric,
    MetricField,
    auto_tau,
    check_order,
    fit_decay_rate,
    fit_power_law,
)
from riemann_lne.arrays import to_numpy
from riemann_lne.lne import discrete_flow_defect_of_steps

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, UnresolvedError, claim, relative
from ..guards import known_defect, known_fits, known_ricci
from ..instruments.images import HiddenLayer, PowerLoss, Shifts, copies, smooth_images

_CLASSES = 4
_QUADRATIC = 500
"""Iterations that end exponential decay at rounding."""


@claim(
    "translation-curvature",
    "Eq. 30-32",
    guard=(partial(known_ricci, dimensions=(2, 3, 4)), known_fits),
    cause="translations-are-no-directions",
    quick={
        "hidden": (1, 2, 4),
        "pixels": 6,
        "targets": (0.1, 0.5, 0.9),
        "steps": (0.1, 0.05, 0.025, 0.0125),
        "shifts": ((1, -1), (1, -1)),
        "seeds": (0, 1, 2),
    },
    full={"hidden": (1, 2, 4, 8), "pixels": 8, "seeds": (0, 1, 2, 3, 4)},
)
def translation_curvature(
    backend: Backend,
    hidden: Sequence[int],
    pixels: int,
    targets: Sequence[float],
    steps: Sequence[float],
    shifts: Shifts,
    seeds: Sequence[int],
) -> Evidence:
    """The difference of metrics after virtual steps on translated inputs, E = (g|k1 - g|k2) / (k1 -
    k2) - (g|j1 - g|j2) / (j1 - j2), is -2 Ric of the LNE metric.

    Measured: E for the first layer of a small classifier of images with random weights, against
    -2 Ric of Eq. 16 at the same weights in closed form: |E + 2 Ric| / |2 Ric| in the Frobenius
    norm, and the cosine of the angle between both. Predicted by the paper: 0, and 1. What holds: E
    is, to first order in the virtual step eta, the derivative of g in the direction u = -eta
    [(dL_k1 - dL_k2) / (k1 - k2) - (dL_j1 - dL_j2) / (j1 - j2)]: it vanishes with eta and changes
    its sign when the axes are exchanged, neither of which Ric does.
    """
    require_numbers("hidden", hidden, above=0, whole=True)
    require_numbers("targets", targets, 0.0, 1.0)
    require_numbers("steps", steps, 0.0, 1.0, count=2)
    require_number("pixels", pixels, above=2, whole=True)
    off, cosines, first, vanish, exchanged = [], [], [], [], []
    sizes: list[float] = []
    for seed in seeds:
        for units in hidden:
            rng = np.random.default_rng((seed, units))
            x = smooth_images(rng, 32, pixels)
            head = rng.normal(size=(_CLASSES, units))
            layer = HiddenLayer(rng.integers(_CLASSES, size=len(x)), head)
            w = rng.normal(size=units * pixels**2) / pixels
            slopes = [layer.gradient(w, c) for c in copies(x, shifts)]
            for target in targets:
                lne = LNEMetric(float(auto_tau(w, target)))
                curvature = -2 * lne.ricci(w).matrix()
                differences = [_difference(lne, w, slopes, eta, shifts) for eta in steps]
                sizes = [float(np.linalg.norm(e)) for e in differences]
                for e in differences:
                    off.append(float(np.linalg.norm(e - curvature) / np.linalg.norm(curvature)))
                    product = float(np.sum(e * curvature))
                    cosines.append(product / float(np.linalg.norm(e) * np.linalg.norm(curvature)))
                vanish.append(check_order(sizes, steps, 1).order)
                along = [_derivative(lne, w, slopes, eta, shifts) for eta in steps]
                rest = [
                    float(np.linalg.norm(e - d) / np.linalg.norm(d))
                    for e, d in zip(differences, along, strict=True)
                ]
                first.append(check_order(rest, steps, 1).order)
                swapped = [slopes[i] for i in (2, 3, 0, 1)]
                other = _difference(lne, w, swapped, steps[0], (shifts[1], shifts[0]))
                exchanged.append(float(np.abs(other + differences[0]).max()))
    errors = [_ricci_by_differences(n, points) for n in (2, 3) for points in (9, 17)]
    orders = [math.log(a / b) / math.log(2) for a, b in (errors[:2], errors[2:])]
    return Evidence(
        Measurement(
            "|E + 2 Ric| / |2 Ric|, smallest and largest over "
            f"{len(off)} cases (layers, |t|^2, steps, seeds)",
            {"smallest": min(off), "largest": max(off)},
            0.0,
            min(off),
            0.1,
            "an approximation that deserves the name would be within a tenth in some case",
            samples=off,
        ),
        resolution=[
            Measurement.near(
                "closed form of Ric against differences of order 4 of the metric, n = 2 and 3: "
                "order in the spacing",
                orders,
                4.0,
                0.5,
                "two spacings, at the centre of a small box",
            )
        ],
        also=[
            Measurement(
                "nor is E a multiple of -2 Ric: largest |cosine| of the angle between them",
                max(abs(c) for c in cosines),
                "below 1",
                max(abs(c) for c in cosines),
                0.9,
                "1 for matrices that are proportional",
            ),
            Measurement.all_near(
                "power of the virtual step in |E|; Ric does not depend on the step",
                vanish,
                1.0,
                0.2,
                "slope over the steps; the next order remains",
            ),
            Measurement.all_near(
                "power of the step in the relative difference of E and the derivative of g along u",
                first,
                1.0,
                0.3,
                "as above: so E is that derivative to first order",
            ),
            Measurement.vanishing(
                "rows and columns exchanged: largest entry of the sum of both E",
                max(exchanged),
                1e-14,
                "rounding: E changes its sign",
            ),
        ],
        plots=[
            Plot(
                "E shrinks with the virtual step, Ric does not (last case)",
                "virtual step",
                "Frobenius norm",
                [
                    Line("|E|", list(steps), sizes, "points"),
                    Line("|2 Ric|", list(steps), [float(np.linalg.norm(curvature))] * len(steps)),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _difference(
    lne: LNEMetric, w: np.ndarray, slopes: list[np.ndarray], eta: float, shifts: Shifts
) -> np.ndarray:
    """Right-hand side of Eq. 32, from the metrics after the virtual steps."""
    k1, k2, j1, j2 = (lne.matrix(w - eta * slope) for slope in slopes)
    (a, b), (c, d) = shifts
    return np.asarray((k1 - k2) / (a - b) - (j1 - j2) / (c - d))


def _derivative(
    lne: LNEMetric, w: np.ndarray, slopes: list[np.ndarray], eta: float, shifts: Shifts
) -> np.ndarray:
    """Derivative of g along the direction u that belongs to Eq. 32."""
    k1, k2, j1, j2 = slopes
    (a, b), (c, d) = shifts
    u = -eta * ((k1 - k2) / (a - b) - (j1 - j2) / (c - d))
    h = 1e-4 / float(np.linalg.norm(u))
    return np.asarray((lne.matrix(w + h * u) - lne.matrix(w - h * u)) / (2 * h))


def _ricci_by_differences(n: int, points: int) -> float:
    """Largest error of the closed form at the centre of a small box, against differences."""
    w = np.linspace(0.2, 0.5, n)
    lne = LNEMetric(float(auto_tau(w, 0.5)))
    grid = Grid.box(-0.1, 0.1, (points,) * n)
    x = w + np.stack(grid.coordinates(), axis=-1)
    g = MetricField(grid, np.ascontiguousarray(np.moveaxis(lne.matrix(x), (-2, -1), (0, 1))))
    centre = to_numpy(g.ricci(4)).reshape(n, n, -1)[..., points**n // 2]
    return float(np.abs(centre - lne.ricci(w).matrix()).max())


@claim(
    "discrete-flow-decay",
    "sec. 6.2",
    guard=(partial(known_defect, dimensions=(9, 16)), known_fits),
    cause="translations-are-no-directions",
    quick={
        "pixels": (3, 4),
        "seeds": (0, 1),
        "iterations": 20000,
        "target": 0.5,
        "shifts": ((1, -1), (1, -1)),
    },
    full={"seeds": (0, 1, 2), "iterations": 60000},
)
def discrete_flow_decay(
    backend: Backend,
    pixels: Sequence[int],
    seeds: Sequence[int],
    iterations: int,
    target: float,
    shifts: Shifts,
) -> Evidence:
    """Along training in which the defect N of the discrete Ricci flow tends to 0, the metric g(t)
    of the weights tends to a fixed g0 exponentially.

    Measured: gradient descent on images whose targets do not change under translation, so that all
    four virtual gradients, and N, tend to 0; |g(t) - g0| with g0 at the minimum, and its decay rate
    in an early and a late window. Predicted by the paper: the same rate. For the loss mean |w . x -
    b|^4 / 4 the distance falls as t^(-1/2) and N as t^-3, though N tends to 0. Where the loss is
    strongly convex, here the quadratic one, the distance does fall exponentially; but the rate is
    that of gradient descent, -log(1 - eta lambda) with the smallest eigenvalue lambda of the loss:
    N is not in the update and plays no part, so that this is no condition under which the statement
    about N would hold. In neither is g0 the identity.
    """
    require_numbers("pixels", pixels, above=1, below=9, whole=True)
    require_number("iterations", iterations, above=1999, whole=True)
    require_number("target", target, 0.0, 1.0)
    quartic, quadratic = [], []
    for seed in seeds:
        for size in pixels:
            rng = np.random.default_rng((seed, size))
            quartic.append(_train(rng, size, 4, iterations, target, shifts))
            quadratic.append(_train(rng, size, 2, _QUADRATIC, target, shifts))
    ratios, slopes, defects = [], [], []
    for run in quartic:
        early = fit_decay_rate(run["t"], run["distance"], iterations / 100, iterations / 50)
        late = fit_decay_rate(run["t"], run["distance"], iterations / 2)
        ratios.append(late.rate / early.rate)
        slopes.append(_limit_power(run["t"], run["distance"]))
        defects.append(_limit_power(run["t"], run["defect"]))
    rates, predicted = [], []
    for run in quadratic:
        # Late, when faster modes are gone; rounding ends the decay at 1e-15 or so.
        inside = (run["distance"] < 1e-8) & (run["distance"] > 1e-13)
        if inside.sum() < 5:
            raise UnresolvedError("the quadratic loss has a mode too slow to be seen")
        rates.append(fit_decay_rate(run["t"][inside], run["distance"][inside]).rate)
        predicted.append(run["rate"])
    vanished = [run["defect"][-1] / run["defect"][0] for run in quartic + quadratic]
    remain = [run["identity"] for run in quartic + quadratic]
    off = max(relative(m, p) for m, p in zip(rates, predicted, strict=True))
    best = max(ratios)
    show = quartic[-1], quadratic[-1]
    return Evidence(
        Measurement(
            "decay rate of |g - g0| in the second half of the run over that between 1 % and 2 % of "
            "it, quartic loss: 1 for exponential decay",
            ratios,
            1.0,
            abs(1 - best),
            0.1,
            "an exponential has one rate; a power law would give 1 / 50",
        ),
        resolution=[
            Measurement(
                "N at the end over N at the start, all runs: the premise",
                vanished,
                0.0,
                max(vanished),
                1e-6,
                "six orders of magnitude count as tending to 0",
            )
        ],
        also=[
            Measurement(
                "quadratic loss: decay rate of |g - g0| against -log(1 - eta lambda), relative",
                rates,
                predicted,
                off,
                0.02,
                "what faster modes and the second order of g in w - w* leave in the window",
            ),
            Measurement.near(
                "quartic loss: power of t in |g - g0|",
                slopes,
                -0.5,
                0.05,
                "slopes over the last two decades of t, extrapolated in t^(-1/2), the size of the "
                "next term; what is left is of its square and of the scatter",
            ),
            Measurement.near(
                "quartic loss: power of t in N",
                defects,
                -3.0,
                0.1,
                "as above; N is quadratic in the virtual steps, which are cubic in the distance",
            ),
            Measurement(
                "|g - I| at the end: the limit is not the identity but keeps |t|^2",
                remain,
                target,
                max(relative(r, target) for r in remain),
                0.05,
                "what is left of the distance to g0",
            ),
        ],
        plots=[
            Plot(
                "N tends to 0 in both; g tends to g0 as the loss lets it",
                "t (iterations)",
                "distance, N",
                [
                    Line("|g - g0|, quartic", show[0]["t"].tolist(), show[0]["distance"].tolist()),
                    Line("N, quartic", show[0]["t"].tolist(), show[0]["defect"].tolist()),
                    Line("|g - g0|, quadratic", *_positive(show[1], "distance")),
                    Line("N, quadratic", *_positive(show[1], "defect")),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _limit_power(t: np.ndarray, values: np.ndarray) -> float:
    """Power of t in the limit, from two decades: corrections fall as t^(-1/2)."""
    end = float(t[-1])
    before = fit_power_law(t, values, end / 100, end / 10).exponent
    last = fit_power_law(t, values, end / 10).exponent
    return last + (last - before) / (math.sqrt(10) - 1)


def _positive(run: dict[str, Any], name: str) -> tuple[list[float], list[float]]:
    inside = run[name] > 1e-28
    return run["t"][inside].tolist(), run[name][inside].tolist()


def _train(
    rng: np.random.Generator, size: int, power: int, iterations: int, target: float, shifts: Shifts
) -> dict[str, Any]:
    """Gradient descent; at times spaced as powers the distance of g to its limit, and N."""
    n = size**2
    goal = np.full(n, 1 / size)
    start = rng.normal(size=n)
    x = rng.normal(size=(16 * n, size, size))
    if power == 4:
        # Orthogonal images, and a start with equal parts of all: no mode is slower than another,
        # so that the power of t shows early. Other images turn slowly towards the weakest one.
        basis = np.linalg.qr(x[:n].reshape(n, n))[0]
        x, start = size * basis.reshape(n, size, size), np.sign(start) @ basis
    w = goal + 0.3 * start / size
    batches = copies(x, shifts)
    loss = PowerLoss(goal, power)
    lne = LNEMetric(float(auto_tau(goal, target)))
    # A quarter of the longest stable step at the start, where the quartic loss is steepest.
    modes = np.linalg.eigvalsh(loss.hessian(w, x))
    eta = 0.5 / float(modes[-1])
    limit = lne.matrix(goal)
    times = np.arange(1, iterations + 1)
    if power == 4:
        times = np.unique(np.geomspace(1, iterations, 120).astype(int))
    wanted = set(times.tolist())
    distance, defect = [], []
    for t in range(iterations + 1):
        if t in wanted:
            distance.append(float(np.linalg.norm(lne.matrix(w) - limit)))
            a, b, c, d = (-eta * loss.gradient(w, batch) for batch in batches)
            again = a - eta * loss.gradient(w + a, batches[0])
            (k1, k2), (j1, j2) = shifts
            value = discrete_flow_defect_of_steps(w, again, a, b, c, d, k1 - k2, j1 - j2, lne.tau)
            defect.append(float(value))
        w = w - eta * loss.gradient(w, x)
    return {
        "t": times.astype(float),
        "distance": np.array(distance),
        "defect": np.array(defect),
        "identity": float(np.linalg.norm(lne.matrix(w) - np.eye(len(w)))),
        "rate": -math.log(1 - eta * float(modes[0])),
    }
