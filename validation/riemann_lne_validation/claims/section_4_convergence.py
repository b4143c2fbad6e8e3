"""Section 4: smoothing of rough starts, and convergence for all time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from riemann_lne import (
    MetricField,
    RicciDeTurckFlow,
    fit_power_law,
    perturbed_euclidean,
    predicted_decay_rates,
    solve_flow,
)
from riemann_lne.arrays import to_numpy
from riemann_lne.errors import InvalidArgumentError, RiemannLNEError

from ..audit import Evidence, Line, Measurement, Plot, claim
from ..backends import Backend
from ..covariant import derivative
from ..flowing import perturbation, run, torus
from ..parameters import require_number, require_numbers


@claim(
    "smoothing",
    "Cor. 15",
    quick={
        "amplitude": 0.2,
        "points": 72,
        "cells": 3,
        "seeds": (0, 1),
        "smallest": 0.02,
        "points_3d": 0,
    },
    full={"points": 144, "seeds": (0, 1, 2, 3), "points_3d": 30, "smallest": 0.01},
)
def smoothing(
    backend: Backend,
    amplitude: float,
    points: int,
    cells: int,
    seeds: Sequence[int],
    smallest: float,
    points_3d: int,
) -> Evidence:
    """The Ricci-DeTurck flow smooths rough starts: |nabla^k d| <= C_k t^(-k/2) in the sup norm, for
    a start d_0 that need only be bounded, k = 1, 2, 3.

    Measured: starts that jump between random constant metrics on a chequered pattern; C_k, the
    largest t^(k/2) |nabla^k d| over sup |d_0|, from times at which the differences resolve the
    jumps (Fourier), on two grids; and the exponent of |nabla^k d| in t. Predicted: exponent -k/2
    for a jump, so that no smaller power would do, and C_k near what the heat equation makes of a
    jump J along a line: J / (2 pi^(1/2)) for k = 1, J / (2 (2 e pi)^(1/2)) for k = 2, J / (4
    pi^(1/2)) for k = 3.
    """
    require_number("amplitude", amplitude, 0.0, 0.6)
    require_number("smallest", smallest, 0.0, 0.2)
    require_number("cells", cells, 1, 17, whole=True)
    slopes: dict[str, float] = {}
    constants: dict[str, float] = {}
    change, ratios, lines = [], {}, []
    cases = [(2, seed, points, cells, smallest) for seed in seeds]
    if points_3d:  # 0: not at all. Coarser, so from later times on
        cases.append((3, seeds[0], points_3d, 2, 4 * smallest))
    for n, seed, size, across, begin in cases:
        fine, t, jump = _rough(backend, n, size, across, amplitude, seed, begin)
        coarse, _, _ = _rough(backend, n, 2 * size // 3, across, amplitude, seed, begin)
        for k in (1, 2, 3):
            name = f"n = {n}, seed {seed}, k = {k}"
            scaled = t ** (k / 2) * fine[k]
            constants[name] = float(scaled.max())
            # Of these the jumps are resolved best; the coarser grid tells how well.
            change.append(float(np.abs(coarse[k] / fine[k] - 1).max()))
            slopes[name] = fit_power_law(t, fine[k]).exponent + k / 2
            ratios[name] = constants[name] / (jump * _LINE[k])
            if n == 2 and seed == seeds[0]:
                lines.append(Line(f"k = {k}", t.tolist(), fine[k].tolist(), "points"))
                guide = (constants[name] * t ** (-k / 2)).tolist()
                lines.append(Line("", t.tolist(), guide, "dashed"))
    return Evidence(
        Measurement(
            "excess of the exponent of |nabla^k d| in t over -k/2: none below, where t is small",
            slopes,
            0.0,
            max(0.0, *(-v for v in slopes.values())),
            0.1,
            "a bound t^(-k/2) allows no steeper fall from t = 0; neighbouring jumps add at later t",
        ),
        resolution=[
            Measurement(
                "relative change of |nabla^k d| from a grid of two thirds of the points",
                max(change),
                0.0,
                max(change),
                0.1,
                "the third derivative of a jump whose place is known to half a spacing",
            )
        ],
        also=[
            Measurement(
                "C_k over that of the heat equation for the largest jump along a line",
                ratios,
                "between 0.5 and 2",
                max(max(r, 1 / r) for r in ratios.values()),
                2.0,
                "corners where cells meet, and terms of first order in the amplitude",
            ),
            Measurement(
                "C_k, largest t^(k/2) |nabla^k d| / sup |d_0|: not finite",
                constants,
                "finite",
                float(sum(not math.isfinite(c) for c in constants.values())),
                0.0,
                "a count",
            ),
        ],
        plots=[
            Plot(
                "Derivatives of a start with jumps (2-D, first seed); C_k t^(-k/2) dashed",
                "t (length^2)",
                "sup |nabla^k d| / sup |d_0|",
                lines,
                log_x=True,
                log_y=True,
            )
        ],
    )


_LINE = {
    1: 1 / (2 * math.sqrt(math.pi)),
    2: 1 / (2 * math.sqrt(2 * math.e * math.pi)),
    3: 1 / (4 * math.sqrt(math.pi)),
}
"""Sup of t^(k/2) |d^k/dx^k| of the heat flow of a unit jump, erf(x / (2 t^(1/2))) / 2."""


def _rough(
    backend: Backend, n: int, points: int, cells: int, amplitude: float, seed: int, smallest: float
) -> tuple[dict[int, np.ndarray], np.ndarray, float]:
    """Sup |nabla^k d| / sup |d_0| at times from ``smallest`` on, and the largest jump over sup."""
    grid = torus(n, points)
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, n, *(cells,) * n))
    h = h + np.swapaxes(h, 0, 1)
    values = np.abs(np.linalg.eigvalsh(np.moveaxis(h, (0, 1), (-2, -1))))
    h *= amplitude / values.max()
    sup = np.sqrt((h**2).sum(axis=(0, 1)).max())
    jumps = [np.sqrt(((h - np.roll(h, 1, a)) ** 2).sum(axis=(0, 1))) for a in range(2, n + 2)]
    # Jumps half-way between points, at the same place on every grid up to half a spacing.
    where = [(np.arange(points) * cells) // points for _ in range(n)]
    place: tuple[Any, ...] = (slice(None), slice(None), *np.ix_(*where))
    field = h[place]
    start = MetricField(grid, backend.asarray(field + np.eye(n).reshape(n, n, *(1,) * n)))
    # A jump is as wide as t^(1/2): up to a time at which it has not met the next one.
    cell = min(grid.lengths) / cells
    t = np.geomspace(smallest, max(2 * smallest, (cell / 6) ** 2), 7)
    solution = run(start, RicciDeTurckFlow(), [0.0, *t], order="fourier", rtol=1e-5)
    sizes: dict[int, list[float]] = {1: [], 2: [], 3: []}
    for g in solution.metrics[1:]:
        d = perturbation(g)
        for k in (1, 2, 3):
            d = derivative(d, grid, "fourier")
            square = (d**2).sum(axis=tuple(range(d.ndim - n)))
            sizes[k].append(float(np.sqrt(square.max()) / sup))
    largest_jump = float(max(j.max() for j in jumps) / sup)
    return {k: np.array(v) for k, v in sizes.items()}, t, largest_jump


@claim(
    "all-time-convergence",
    "Thm 16",
    quick={
        "sizes": (0.5, 1.0, 2.0, 4.0, 6.0),
        "ball": 1.0,
        "seeds": (0,),
        "points": 24,
        "points_3d": 8,
        "until": 12.0,
        "max_steps": 150,
    },
    full={
        "sizes": (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0),
        "seeds": (0, 1),
        "points": 32,
        "points_3d": 12,
        "max_steps": 400,
    },
)
def all_time_convergence(
    backend: Backend,
    sizes: Sequence[float],
    ball: float,
    seeds: Sequence[int],
    points: int,
    points_3d: int,
    until: float,
    max_steps: int,
) -> Evidence:
    """From every start in a ball around the flat metric the Ricci-DeTurck flow exists for all time
    and converges.

    Measured: starts g = exp(s h), h random and smooth with largest absolute eigenvalue 1 (so that g
    is a metric for every size s, with eigenvalues from e^-s to e^s), flowed to a time at which what
    is left has fallen below 1e-3 of the start, at the rate of the slowest mode or faster. s is
    swept upwards until convergence fails. Predicted: no failure for s <= ``ball``. The largest s
    that converged and the smallest that did not are reported. A failure counts only if it happens
    on a grid of half as many points again as well; the sizes at which only the coarser grid failed
    are reported too, for they say that it is the grid which gives way there and not the flow.
    """
    require_numbers("sizes", sizes, 0.0, 8.0, count=2)
    require_number("ball", ball, 0.0)
    require_number("until", until, 8.0)
    require_number("max_steps", max_steps, 0, whole=True)
    if min(sizes) > ball:
        raise InvalidArgumentError(f"no size of {sizes!r} is within the ball of {ball}; add one")
    rows: dict[str, list[float]] = {}
    reached: dict[str, float] = {}
    broken: dict[str, float] = {}
    grid_only: dict[str, list[float]] = {}
    doubtful, reasons, inside, lines = 0, {}, 0, []
    for n, size in ((2, points), (3, points_3d)):
        for seed in seeds if n == 2 else seeds[:1]:
            name = f"n = {n}, seed {seed}"
            rows[name] = []
            for s in sorted(sizes):
                end = _flowed(backend, n, size, s, seed, until, max_steps)
                if not end.converged:
                    finer = _flowed(backend, n, 3 * size // 2, s, seed, until, max_steps)
                    doubtful += finer.converged and s <= ball
                    if finer.converged:
                        grid_only.setdefault(name, []).append(s)
                        end = finer
                if not end.converged:
                    broken[name], reasons[name] = s, end.reason
                    inside += s <= ball
                    break
                reached[name] = s
                rows[name].append(end.left)
            lines.append(Line(name, sorted(sizes)[: len(rows[name])], rows[name], "points"))
    tried = sum(s <= ball for s in sizes) * len(rows)
    return Evidence(
        Measurement(
            f"starts (of {tried}) with s <= {ball:g} that did not converge; largest s that did, "
            "smallest that did not",
            {
                "failures": inside,
                "largest s": reached,
                "fails at": broken,
                "fails on the coarser grid alone": grid_only,
                "why": reasons,
            },
            0,
            float(inside),
            0.0,
            "a count",
        ),
        resolution=[
            Measurement(
                "starts in the ball whose convergence depends on the grid",
                doubtful,
                0,
                float(doubtful),
                0.0,
                "a count",
            )
        ],
        plots=[
            Plot(
                f"What is left of the distance to the limit at t = {until:g}, where it converged",
                "size s of the start exp(s h)",
                "distance / start",
                lines,
                log_y=True,
            )
        ],
    )


@dataclass(frozen=True)
class _End:
    """How a flow ended: whether it converged, what is left of the distance, and why not."""

    converged: bool
    left: float
    reason: str


def _flowed(
    backend: Backend, n: int, points: int, s: float, seed: int, until: float, max_steps: int
) -> _End:
    grid = torus(n, points)
    h = to_numpy(perturbed_euclidean(grid, 0.5, seed, 1).components)
    h = 2 * (np.moveaxis(h, (0, 1), (-2, -1)) - np.eye(n))
    values, vectors = np.linalg.eigh(h)
    g = (vectors * np.exp(s * values)[..., None, :]) @ np.swapaxes(vectors, -2, -1)
    g = (g + np.swapaxes(g, -2, -1)) / 2
    try:
        start = MetricField(grid, backend.asarray(np.moveaxis(g, (-2, -1), (0, 1)).copy()))
        times = [0.0, 0.7 * until, until]
        solution = solve_flow(
            start, RicciDeTurckFlow(), (0.0, until), t_eval=times, rtol=1e-4, max_steps=max_steps
        )
    except RiemannLNEError as error:
        return _End(False, math.inf, str(error))
    if not solution.success:
        return _End(False, math.inf, solution.message)
    limit = solution[-1].mean()
    first, middle, last = (m.l2_distance(limit) for m in solution.metrics)
    rate = math.log(middle / last) / (0.3 * until)
    slowest = predicted_decay_rates(limit, max_mode=1)[0].rate
    # Not exact: the mean of the last metric stands for the limit.
    settled = last < 1e-3 * first and rate > 0.9 * slowest
    return _End(settled, last / first, "" if settled else f"rate {rate:.3g}, slowest {slowest:.3g}")
