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

from ...lab.parameters import require_number
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, UnresolvedError, claim, relative
from ..guards import known_fits, known_profiles, known_spectrum, known_sphere, known_surfaces
from ..instruments.closed import berger_flow, berger_riemann
from ..instruments.curved import curved_eigenvalues, held_eigenvalue
from ..instruments.rotational import Profile, dumbbell, flow
from ..instruments.surfaces import shrinking_sphere


@claim(
    "curvature-blow-up",
    "Thm 28",
    guard=(known_sphere, partial(known_profiles, dimensions=(3,)), known_surfaces, known_fits),
    quick={
        "radius": 1.0,
        "dimensions": (2, 3),
        "berger": ((1.0, 1.0, 1.0), (0.3, 1.0, 1.0), (0.6, 1.0, 1.8)),
        "neck": 0.15,
        "points": 1200,
        "cells": 4.0,
        "until": 0.95,
        "degree": 24,
        "seeds": (0, 1),
    },
    full={"points": 2400, "until": 0.99, "degree": 36, "seeds": (0, 1, 2, 3)},
)
def curvature_blow_up(
    backend: Backend,
    radius: float,
    dimensions: Sequence[int],
    berger: Sequence[Sequence[float]],
    neck: float,
    points: int,
    cells: float,
    until: float,
    degree: int,
    seeds: Sequence[int],
) -> Evidence:
    """If the Ricci flow exists only up to a finite time T, sup |Rm| tends to infinity there.

    Measured on closed manifolds, so that no boundary value can carry T into the run: left-invariant
    metrics on S^3 (Berger spheres) by their ordinary differential equation; random metrics on S^2,
    without symmetry and with negative curvature in places, by the library's conformal flow; and a
    dumbbell on S^3 that pinches off, in the coordinate along its axis, up to where its neck's
    radius is ``cells`` spacings of the grid: beyond, the grid and not the flow decides. T is the
    zero of 1 / sup |Rm|, extrapolated; the exponent of sup |Rm| against T - t is fitted. Predicted:
    sup |Rm| has no bound, exponent -1. T of the Berger spheres is compared with the library's own
    solution, that of the spheres S^2 with area / (8 pi), by Gauss and Bonnet, that of the dumbbell
    with a coarser grid. On S^2 the least R, Perelman's lambda and Hamilton's entropy must be
    monotone. The library's Ricci flow of round spheres in stereographic coordinates, which needs
    boundary values, is compared with T = r0^2 / (2 (n - 1)) besides.
    """
    require_number("points", points, 299, whole=True)
    require_number("cells", cells, 1.0, 10.0)
    require_number("neck", neck, 0.02, 0.5)
    require_number("until", until, 0.5, 1.0)
    exponents: dict[str, float] = {}
    growth: dict[str, float] = {}
    singular, known, lines = {}, {}, []
    for lengths in berger:
        name = f"Berger {tuple(lengths)}"
        t, squares = berger_flow(lengths, 1e-4)
        size = np.array([berger_riemann(s) for s in squares])
        singular[name] = _zero_of_inverse(t, size)
        known[name] = exact.berger(*lengths).singular_time
        exponents[name], growth[name] = _exponent(t, size, singular[name]), size[-1] / size[0]
        lines.append(Line(name, (singular[name] - t)[:-1].tolist(), size[:-1].tolist()))
    wrong_way, defined, changes = {}, {}, []
    for seed in seeds:
        name = f"S^2, seed {seed}"
        run = shrinking_sphere(degree, seed, 0.9998)
        singular[name], known[name] = _zero_of_inverse(run.t, run.riemann), run.end
        exponents[name] = _exponent(run.t, run.riemann, singular[name])
        growth[name] = run.riemann[-1] / run.riemann[0]
        wrong_way[name], defined[name] = run.wrong_way, run.positive
        coarse = shrinking_sphere(2 * degree // 3, seed, 0.9998)
        changes.append(abs(_zero_of_inverse(coarse.t, coarse.riemann) / singular[name] - 1))
    if len(lines) == len(berger):
        left = (singular[name] - run.t)[:-1]
        lines.append(Line(name, left.tolist(), run.riemann[:-1].tolist(), "points"))
    pinched = {}
    for count in (2 * points // 3, points):
        start = dumbbell(2, neck, count)
        share = min(0.5, cells * math.pi / points / start.neck())  # the same for both grids
        t, metrics = flow(start, Profile.neck, share)
        size = np.array([g.riemann_max() for g in metrics])
        pinched[count] = _zero_of_inverse(t, size)
    name = "dumbbell on S^3"
    exponents[name], growth[name] = _exponent(t, size, pinched[points]), size[-1] / size[0]
    lines.append(Line(name, (pinched[points] - t)[:-1].tolist(), size[:-1].tolist(), "points"))
    change = abs(pinched[2 * points // 3] / pinched[points] - 1)
    times, predictions = [], []
    for n in dimensions:
        times.append(_blow_up(backend, n, radius, 0.2, 11, 6, until)[0])
        predictions.append(exact.round_sphere(n, radius).singular_time)
    return Evidence(
        Measurement.near(
            "exponent of sup |Rm| in T - t, T the measured singular time",
            exponents,
            -1.0,
            0.05,
            "at the neck |Rm| (T - t) approaches its limit as a logarithm of T - t",
        ),
        resolution=[
            Measurement.vanishing(
                "relative change of the dumbbell's T from two thirds of the points",
                change,
                1e-2,
                "T changes by what the neck's last stretch, which is extrapolated, is off",
            ),
            Measurement.vanishing(
                "relative change of T of the spheres S^2 from two thirds of the degree",
                max(changes),
                1e-4,
                "well below what T is compared to",
            ),
        ],
        also=[
            Measurement(
                "sup |Rm| at the end of the run over that at the start: above 100",
                growth,
                "above 100",
                max(0.0, 100 - min(growth.values())),
                0.0,
                "an inequality",
            ),
            Measurement(
                "T in length^2: Berger spheres against the library's solution, S^2 against "
                "area / (8 pi)",
                singular,
                known,
                max(relative(singular[k], known[k]) for k in known),
                1e-4,
                "the extrapolation over the last samples",
            ),
            Measurement(
                "S^2: rise of Hamilton's entropy, fall of the least R or of Perelman's lambda over "
                "the largest |R|",
                wrong_way,
                0.0,
                max(wrong_way.values()),
                1e-5,
                "the steps' tolerance 1e-9 of u, times l (l + 1) and a few; entropy defined at "
                f"{min(defined.values())} of 24 times or more",
            ),
            Measurement(
                f"T of the library's flow of round spheres, r0 = {radius}, n = {list(dimensions)}",
                times,
                predictions,
                max(relative(m, p) for m, p in zip(times, predictions, strict=True)),
                1e-4,
                "the accuracy asked of T",
            ),
        ],
        plots=[
            Plot(
                "Curvature before a singularity, closed manifolds",
                "T - t (length^2)",
                "sup |Rm| (1 / length^2)",
                lines,
                log_x=True,
                log_y=True,
            )
        ],
    )


def _zero_of_inverse(t: np.ndarray, size: np.ndarray) -> float:
    """Where 1 / sup |Rm|, extrapolated from the last two samples, is zero."""
    slope = (1 / size[-1] - 1 / size[-2]) / (t[-1] - t[-2])
    return float(t[-1] - 1 / size[-1] / slope)


def _exponent(t: np.ndarray, size: np.ndarray, end: float) -> float:
    """Of sup |Rm| in T - t over the second half of the samples, the last left out."""
    half = slice(len(t) // 2, len(t) - 1)
    return fit_power_law(end - t[half], size[half]).exponent


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
    that of the parallel tensors, of dimension n (n + 1) / 2. Where the curvature term matters the
    operator is tested on tensors whose eigenvalue is known: on S^2 x R, on the round S^3 (conformal
    ones, and transverse traceless ones), at points, so that no boundary enters; under the
    normalised flow of S^3, which adds 4, the conformal constant grows, so that the round sphere is
    not linearly stable in this sense though it is stable up to its size. On Eq. 16 itself, on a box
    with held boundary, the largest eigenvalue must be negative.
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
    curved, curved_known = curved_eigenvalues(backend)
    held = {f"{p} points": held_eigenvalue(backend, p) for p in (9, 13)}
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
            ),
            Measurement(
                "eigenvalues of known tensors on S^2 x R and S^3, where the curvature counts",
                curved,
                curved_known,
                max(abs(curved[k] - curved_known[k]) for k in curved_known),
                1e-3,
                "differences of order 6 at the centre of a small box",
            ),
            Measurement(
                "largest eigenvalue on Eq. 16, n = 2, box with held boundary, two grids: negative",
                held,
                "below 0",
                max(0.0, *held.values()),
                0.0,
                "an inequality",
            ),
        ],
    )


def _flat_spectrum(grid: Grid, count: int) -> list[float]:
    """The largest eigenvalues on a flat torus: -|k|^2, n (n + 1) / 2 times each, largest first."""
    squares = np.zeros(())
    for k in grid.wavevectors():
        squares = np.add.outer(squares, k**2)
    lowest = np.sort(squares.ravel())[:count]
    return (-np.repeat(lowest, grid.ndim * (grid.ndim + 1) // 2)[:count]).tolist()
