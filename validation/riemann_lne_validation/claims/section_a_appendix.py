"""Appendix: blow-up of curvature and linear stability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from riemann_lne import (
    Grid,
    MetricField,
    RicciFlow,
    exact,
    fit_power_law,
    lichnerowicz_spectrum,
    solve_flow,
)
from riemann_lne.arrays import to_numpy

from ..audit import Evidence, Line, Measurement, Plot, UnresolvedError, claim, relative
from ..backends import Backend
from ..guards import known_spectrum, known_sphere


@claim(
    "curvature-blow-up",
    "Thm 28",
    guard=known_sphere,
    quick={
        "radius": 1.0,
        "dimensions": (2, 3),
        "half_width": 0.2,
        "points": 11,
        "order": 6,
        "until": 0.95,
    },
    full={"points": 13, "until": 0.99},
)
def curvature_blow_up(
    backend: Backend,
    radius: float,
    dimensions: Sequence[int],
    half_width: float,
    points: int,
    order: int,
    until: float,
) -> Evidence:
    """If the Ricci flow exists only up to a finite time T, sup |Rm| tends to infinity there.

    Measured: the round sphere of radius r0 in stereographic coordinates on a box, flowed by the
    Ricci flow itself; sup |Rm| from the grid, |Rm|^2 = R_lijk R^lijk. 1 / sup |Rm| is followed to
    zero: the extrapolated zero is the measured T, and the exponent of sup |Rm| against T - t is
    fitted. Predicted: T = r0^2 / (2 (n - 1)), |Rm| (T - t) constant, so exponent -1.
    """
    times, predictions, exponents, spreads, lines, changes = [], [], [], [], [], []
    for n in dimensions:
        fine = _blow_up(backend, n, radius, half_width, points, order, until)
        coarse = _blow_up(backend, n, radius, half_width, points - 2, order, until)
        times.append(fine[0])
        changes.append(abs(fine[0] - coarse[0]) / fine[0])
        predictions.append(exact.round_sphere(n, radius).singular_time)
        left, size = fine[1], fine[2]
        exponents.append(fit_power_law(left, size).exponent)
        product = size * left
        spreads.append(float(product.max() / product.min() - 1))
        lines.append(Line(f"n = {n}", left.tolist(), size.tolist(), "points"))
    return Evidence(
        Measurement(
            "exponent of sup |Rm| in T - t, T the measured singular time",
            exponents,
            -1.0,
            max(abs(e + 1) for e in exponents),
            1e-3,
            "the error of T is amplified where T - t is small",
        ),
        resolution=[
            Measurement(
                "relative change of T from a coarser grid",
                changes,
                0.0,
                max(changes),
                1e-4,
                "the tolerance on T",
            )
        ],
        also=[
            Measurement(
                f"singular time T for r0 = {radius}, n = {list(dimensions)}, in length^2",
                times,
                predictions,
                max(relative(m, p) for m, p in zip(times, predictions, strict=True)),
                1e-4,
                "the accuracy asked of T",
            ),
            Measurement(
                "largest over smallest |Rm| (T - t), less 1",
                spreads,
                0.0,
                max(spreads),
                1e-2,
                "relative error of T over the last (T - t) / T",
            ),
        ],
        plots=[
            Plot(
                "Curvature of the shrinking sphere",
                "T - t (length^2)",
                "sup |Rm| (1 / length^2)",
                lines,
                log_x=True,
                log_y=True,
            )
        ],
    )


def _blow_up(
    backend: Backend,
    n: int,
    radius: float,
    half_width: float,
    points: int,
    order: int,
    until: float,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Measured singular time, and T - t with sup |Rm| along the flow."""
    sphere = exact.round_sphere(n, radius)
    grid = Grid.box(-half_width, half_width, (points,) * n)
    end = until * sphere.singular_time
    outputs = sphere.singular_time * (1 - np.geomspace(1.0, 1 - until, 12))
    outputs[0], outputs[-1] = 0.0, end
    solution = solve_flow(
        sphere.field(0.0, grid, xp=backend.xp),
        RicciFlow(),
        (0.0, end),
        "rkl2",  # the metric is linear in time: the steps are long where the grid allows it
        outputs.tolist(),
        rtol=1e-6,
        order=order,
        boundary=sphere.metric,
        max_steps=2000,  # ten times what it takes
    )
    if not solution.success:
        raise UnresolvedError(f"the flow broke off: {solution.message}")
    size = np.array([_largest_riemann(g, order) for g in solution.metrics])
    # 1 / |Rm| is linear in t: the last stretch, closest to the singular time, is extrapolated.
    slope = (1 / size[-1] - 1 / size[-2]) / (solution.t[-1] - solution.t[-2])
    singular = float(solution.t[-1] - 1 / size[-1] / slope)
    return singular, singular - solution.t, size


def _largest_riemann(g: MetricField, order: int) -> float:
    """Largest |Rm|_g over the grid."""
    rm, metric = to_numpy(g.riemann(order)), to_numpy(g.components)
    inverse = np.moveaxis(np.linalg.inv(np.moveaxis(metric, (0, 1), (-2, -1))), (-2, -1), (0, 1))
    # R^l_ijk R^a_bcd g_la g^ib g^jc g^kd, in two halves to keep the sums short.
    half = np.einsum("lijk...,la...,ib...->abjk...", rm, metric, inverse)
    square = np.einsum("abjk...,abcd...,jc...,kd...->...", half, rm, inverse, inverse)
    return float(np.sqrt(square.max()))


@claim(
    "linear-stability",
    "Def. 29",
    guard=partial(known_spectrum, dimensions=(2, 3)),
    quick={"points": 20, "count": 12, "bend": 0.3, "points_3d": 8},
    full={"points": 40, "count": 30, "points_3d": 16},
)
def linear_stability(
    backend: Backend, points: int, count: int, bend: float, points_3d: int
) -> Evidence:
    """The Lichnerowicz operator of the flat background has its spectrum in (-inf, 0].

    Measured: the largest eigenvalues on flat tori with uneven sides, in 2-D also in curved
    coordinates (a pulled-back flat metric, where nothing is constant), by Arnoldi iteration with
    Fourier derivatives. Predicted: -|k|^2, each n (n + 1) / 2 times; none positive; the kernel is
    that of the parallel tensors, of dimension n (n + 1) / 2.
    """
    flat2, flat3 = Grid.torus((points,) * 2, (2 * math.pi, 5.0)), Grid.torus((points_3d,) * 3)
    bent = exact.gauge_family(ndim=2, amplitude=bend)
    cases = {
        "flat, 2-D": backend.metric(flat2, lambda *x: [[1.0, 0.0], [0.0, 1.0]]),
        "pulled-back flat, 2-D": bent.field(0.0, bent.grid(points), xp=backend.xp),
        "flat, 3-D": backend.metric(
            flat3, lambda *x: [[float(i == j) for j in range(3)] for i in range(3)]
        ),
    }
    spectra, expected = {}, {}
    for name, g in cases.items():
        spectra[name] = lichnerowicz_spectrum(g, count).tolist()
        expected[name] = _flat_spectrum(g.grid, count)
    largest = max(values[0] for values in spectra.values())
    error = max(
        abs(a - b) for name in cases for a, b in zip(spectra[name], expected[name], strict=True)
    )
    kernels = {name: sum(abs(v) < 1e-3 for v in values) for name, values in spectra.items()}
    dimensions = {name: g.n * (g.n + 1) // 2 for name, g in cases.items()}
    return Evidence(
        Measurement(
            "largest eigenvalue, in 1 / length^2",
            largest,
            0.0,
            max(0.0, largest),
            1e-6,
            "the accuracy with which the known eigenvalues are met",
        ),
        resolution=[
            Measurement(
                "largest difference to -|k|^2",
                spectra,
                expected,
                error,
                1e-6,
                "Fourier derivatives on smooth metrics; what is left is their resolution",
            )
        ],
        also=[
            Measurement(
                "dimension of the kernel",
                kernels,
                dimensions,
                float(sum(abs(kernels[c] - dimensions[c]) for c in cases)),
                0.0,
                "a count",
            )
        ],
    )


def _flat_spectrum(grid: Grid, count: int) -> list[float]:
    """The largest eigenvalues on a flat torus: -|k|^2, n (n + 1) / 2 times each, largest first."""
    squares = np.zeros(())
    for k in grid.wavevectors():
        squares = np.add.outer(squares, k**2)
    lowest = np.sort(squares.ravel())[:count]
    return (-np.repeat(lowest, grid.ndim * (grid.ndim + 1) // 2)[:count]).tolist()
