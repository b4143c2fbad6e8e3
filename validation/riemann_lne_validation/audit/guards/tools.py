"""Known answers for the tools that measure: fits, norms, predicted rates and integrators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.integrate import solve_ivp

from riemann_lne import (
    Grid,
    MetricField,
    RicciDeTurckFlow,
    check_order,
    fit_decay_rate,
    fit_power_law,
    mode_amplitude,
    predicted_decay_rates,
)
from riemann_lne.analysis import l2_norm
from riemann_lne.arrays import to_numpy
from riemann_lne.integrators.methods import etd

from ..backends import Backend
from ..evidence import Measurement
from ..instruments.flowing import SIDES, largest, rate, run

ORDERS = {"rk4": 4, "tsit5": 5, "bs32": 3, "rkl2": 2, "etdrk4": 4}
"""Order of accuracy of each method of ``solve_flow``."""


def metric_of_waves(grid: Grid, seed: int) -> np.ndarray:
    """A metric with all components, of all coordinates, of the lowest waves."""
    n, rng = grid.ndim, np.random.default_rng(seed)
    g = np.eye(n).reshape(n, n, *(1,) * n)
    for m in [*np.eye(n, dtype=int), np.ones(n, dtype=int)]:
        a = rng.normal(size=(n, n))
        a = (a + a.T) * 0.3 / (n + 1) / np.abs(np.linalg.eigvalsh(a + a.T)).max()
        phase = np.asarray(rng.uniform(0, 6))
        for k, x, side in zip(m, grid.coordinates(), grid.lengths, strict=True):
            phase = phase + 2 * np.pi * int(k) / side * np.asarray(x)
        g = g + a.reshape(n, n, *(1,) * n) * np.cos(phase)
    return np.ascontiguousarray(np.broadcast_to(g, (n, n, *grid.shape)))


def known_fits(backend: Backend) -> list[Measurement]:
    """Fits of a decay that is no straight line, so that the window matters, by sums written out."""
    t = np.linspace(0.5, 9.5, 37)
    y = np.exp(-0.7 * t + 0.03 * t**2 + 0.1 * np.sin(3 * t))
    errors, counts = [], 0
    for low, high in ((None, None), (2.0, None), (None, 6.0), (2.0, 6.0)):
        inside = [
            (float(a), math.log(float(b)))
            for a, b in zip(t, y, strict=True)
            if (low is None or a >= low) and (high is None or a <= high)
        ]
        slope, level, spread = _straight_line(inside)
        found = fit_decay_rate(t, y, low, high)
        errors += [abs(found.rate + slope), abs(math.log(found.amplitude) - level)]
        errors.append(abs(found.stderr - spread))
        counts += found.n_points != len(inside)
        offset = 1.25
        slope, level, spread = _straight_line([(math.log(a + offset), b) for a, b in inside])
        power = fit_power_law(t, y, low, high, offset=offset)
        errors += [abs(power.exponent - slope), abs(math.log(power.amplitude) - level)]
        errors.append(abs(power.stderr - spread))
        counts += power.n_points != len(inside)
    for order in (1, 2, 4):  # a convergence that is a power to the last digit
        steps = [0.4, 0.2, 0.1]
        found_order = check_order([3 * h**order for h in steps], steps, order).order
        errors.append(abs(found_order - order))
    return [
        Measurement.vanishing(
            "fits in four windows, of exponentials and of powers, against sums written out: "
            "slope, intercept, standard error; and the order of powers",
            max(errors),
            1e-9,
            "rounding",
        ),
        Measurement(
            "fits that took other points than those of the window",
            counts,
            0,
            float(counts),
            0.0,
            "a count",
        ),
    ]


def _straight_line(points: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Slope, intercept and standard error of the slope of the least-squares line."""
    n = len(points)
    x, y = sum(a for a, _ in points) / n, sum(b for _, b in points) / n
    square = sum((a - x) ** 2 for a, _ in points)
    slope = sum((a - x) * (b - y) for a, b in points) / square
    level = y - slope * x
    rest = sum((b - level - slope * a) ** 2 for a, b in points)
    return slope, level, math.sqrt(rest / (n - 2) / square)


def known_norms(backend: Backend, dimensions: Sequence[int]) -> list[Measurement]:
    """L2 norms, mode amplitudes and predicted rates, point by point with dense matrices.

    In a metric with all components whose volume varies, on sides that differ.
    """
    norms, modes, rates = [], [], []
    for n in sorted({min(int(d), 4) for d in dimensions}):
        grid = Grid.torus((6, 7, 5, 4)[:n], SIDES[:n])
        g, other = metric_of_waves(grid, n), metric_of_waves(grid, n + 10)
        weight = np.exp(0.8 * np.cos(2 * np.pi * np.asarray(grid.coordinates()[0]) / SIDES[0]))
        g = g * weight  # the volume varies by more than a factor of 2
        field, second = (MetricField(grid, backend.asarray(v)) for v in (g, other))
        cell = math.prod(grid.lengths) / math.prod(grid.shape)
        h = (other - g).reshape(n, n, -1)
        total = 0.0
        for k, point in enumerate(np.moveaxis(g.reshape(n, n, -1), -1, 0)):
            mixed = np.linalg.solve(point, h[..., k])
            total += float(np.trace(mixed @ mixed)) * math.sqrt(float(np.linalg.det(point))) * cell
        known = math.sqrt(total)
        norms.append(abs(l2_norm(second.components - field.components, field) / known - 1))
        norms.append(abs(second.l2_distance(field) / known - 1))
        mode = (1,) * n
        phase = sum(
            m * np.asarray(x) / side
            for m, x, side in zip(mode, grid.coordinates(), SIDES[:n], strict=True)
        )
        axes = tuple(range(2, n + 2))
        coefficients = np.mean(g * np.exp(-2j * np.pi * phase), axis=axes)
        amplitude = math.sqrt(float(np.sum(np.abs(coefficients) ** 2)))
        modes.append(abs(mode_amplitude(field, mode) / amplitude - 1))
        wave = [2 * math.pi * m / side for m, side in zip(mode, SIDES[:n], strict=True)]
        mean = np.mean(g, axis=axes)
        expected = float(np.asarray(wave) @ np.linalg.solve(mean, np.asarray(wave)))
        rates.append(abs(predicted_decay_rates(field, [mode])[0].rate / expected - 1))
    listed = sorted({min(int(d), 4) for d in dimensions})
    return [
        Measurement.vanishing(
            f"{name}, n = {listed}: against sums over all points with dense matrices; relative",
            max(errors),
            1e-10,
            "rounding",
        )
        for name, errors in (
            ("L2 norm with the volume of a metric whose volume varies", norms),
            ("amplitude of a mode", modes),
            ("predicted rate of a mode, g^ab k_a k_b with the mean metric", rates),
        )
    ]


def known_coefficients(backend: Backend) -> Measurement:
    """Coefficients of ETDRK4 against the integrals that define them, by Gauss's quadrature.

    phi_k(z) is the integral of e^((1 - s) z) s^(k-1) / (k-1)! over s from 0 to 1.
    """
    dt = 0.3
    z = np.concatenate([[0.0], -np.geomspace(1e-6, 40.0, 30)])
    nodes, weights = np.polynomial.legendre.leggauss(80)
    s, w = (nodes + 1) / 2, weights / 2

    def phi(k: int, at: np.ndarray) -> np.ndarray:
        power = s ** (k - 1) / math.factorial(k - 1)
        return np.asarray(np.exp(np.multiply.outer(at, 1 - s)) @ (w * power))

    one, two, three = (phi(k, z) for k in (1, 2, 3))
    known = [
        np.exp(z),
        np.exp(z / 2),
        dt * phi(1, z / 2) / 2,
        dt * (one - 3 * two + 4 * three),
        dt * (2 * two - 4 * three),
        dt * (4 * three - two),
    ]
    found = etd.etdrk4_coefficients(z / dt, dt)
    worst = max(float(np.max(np.abs(a - b))) for a, b in zip(found, known, strict=True))
    return Measurement.vanishing(
        "the six coefficients of ETDRK4 against the integrals that define them, -40 <= z <= 0",
        worst,
        1e-12,
        "rounding",
    )


def known_orders(backend: Backend, methods: Sequence[str] = tuple(ORDERS)) -> list[Measurement]:
    """Order of accuracy in time of each integrator, on a flow that SciPy's DOP853 follows too."""
    grid = Grid.torus((8, 7), SIDES[:2])
    flow = RicciDeTurckFlow()
    start = metric_of_waves(grid, 2)
    end = 0.24

    def rates(t: float, y: np.ndarray) -> np.ndarray:
        field = MetricField(grid, backend.asarray(y.reshape(start.shape)))
        return rate(flow, field, 4).ravel()

    known = solve_ivp(rates, (0.0, end), start.ravel(), "DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    known = known.reshape(start.shape)
    change, slopes, errors = largest(known - start), {}, {}
    for method in methods:
        off = []
        for steps in (4, 8):
            field = MetricField(grid, backend.asarray(start))
            last = run(field, flow, (0.0, end), method, order=4, dt=end / steps)[-1]
            off.append(largest(to_numpy(last.components) - known) / change)
        slopes[method] = math.log2(off[0] / off[1])
        errors[method] = off[-1]
    missing = {method: ORDERS[method] - slopes[method] for method in methods}
    return [
        Measurement(
            "order of accuracy of each integrator in time, from 4 and 8 steps of a flow",
            slopes,
            {method: ORDERS[method] for method in methods},
            max(0.0, *missing.values()),
            0.5,
            "two steps that are not small; an order that is lost costs 1 or more",
        ),
        Measurement(
            "error of each integrator after 8 steps, relative to the change of the metric",
            errors,
            0.0,
            max(errors.values()),
            1e-3,
            "that of the method of second order",
        ),
    ]
