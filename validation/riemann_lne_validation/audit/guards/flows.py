"""Known answers for curvature and flows: formulas in full at each point, and exact solutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from riemann_lne import (
    Grid,
    MetricField,
    RicciDeTurckFlow,
    RicciFlow,
    conformal,
    curvature,
    curvature_max,
    exact,
    flat_metric,
)
from riemann_lne.arrays import to_numpy
from riemann_lne.coefficients import Order

from ..backends import Backend
from ..evidence import Measurement
from ..instruments.covariant import curvature_term, rough_laplacian
from ..instruments.flowing import SIDES, largest, rate, run
from ..instruments.rotational import flow, round_profile

# Fourier derivatives of the metric below are exact to rounding on this many points.
_POINTS = {2: 8, 3: 6, 4: 6}


def known_rates(
    backend: Backend, dimensions: Sequence[int], order: Order = "fourier", held: bool = False
) -> list[Measurement]:
    """Right-hand sides of both flows against the coordinate formula, with derivatives by hand.

    The metric is a sum of waves of all components and directions on a torus of uneven sides, so
    that every term of the formula and every spacing counts. ``held``: on a box, differences of
    the given order, with one-sided ends; there the order of accuracy is what is known.
    """
    errors = []
    for n in sorted(set(dimensions)):
        if held:
            continue
        grid = Grid.torus((_POINTS[n],) * n, SIDES[:n])
        errors.append(max(_rate_errors(backend, grid, "fourier")))
    found = []
    if errors:
        found.append(
            Measurement.vanishing(
                "right-hand sides of the Ricci and Ricci-DeTurck flow against the coordinate "
                f"formula written out, n = {sorted(set(dimensions))}; relative",
                max(errors),
                1e-10,
                "rounding: the derivatives are exact on both sides",
                samples=(),
            )
        )
    if isinstance(order, int):
        for n in sorted({min(d, 3) for d in dimensions}):
            sizes = (16, 24) if n == 2 else (12, 18)
            found.append(_order_of(backend, n, sizes, order, held))
    return found


def _order_of(
    backend: Backend, n: int, sizes: tuple[int, int], order: int, held: bool
) -> Measurement:
    """The order with which differences approach the formula: no less than the nominal one."""
    errors, steps = [], []
    for size in sizes:
        grid = (
            Grid.box(0.0, tuple(s / 4 for s in SIDES[:n]), (size,) * n)
            if held
            else Grid.torus((size,) * n, SIDES[:n])
        )
        errors.append(max(_rate_errors(backend, grid, order)))
        steps.append(grid.spacing[0])
    slope = math.log(errors[0] / errors[1]) / math.log(steps[0] / steps[1])
    where = "a box with one-sided ends" if held else "a torus"
    return Measurement(
        f"differences of order {order} on {where}, n = {n}: order with which the right-hand sides "
        "approach the formula",
        slope,
        float(order),
        max(0.0, order - slope),
        0.5,
        "two grids that are not fully in the asymptotic range",
    )


def _rate_errors(backend: Backend, grid: Grid, order: Order) -> list[float]:
    """Relative errors of both right-hand sides on a metric of waves."""
    waves = _Waves(grid.ndim)
    g, dg, ddg = waves.at(np.stack([x.ravel() for x in _mesh(grid)]))
    field = MetricField(grid, backend.asarray(g.reshape(*g.shape[:2], *grid.shape).copy()))
    ricci, deturck = _formula(g, dg, ddg)
    return [
        largest(rate(flow, field, order) - known.reshape(*g.shape[:2], *grid.shape))
        / largest(known)
        for flow, known in ((RicciFlow(), ricci), (RicciDeTurckFlow(), deturck))
    ]


def _mesh(grid: Grid) -> list[np.ndarray]:
    """Coordinates of the grid, each of the grid's shape."""
    return [np.broadcast_to(np.asarray(x), grid.shape) for x in grid.coordinates()]


class _Waves:
    """A metric of full rank in every respect, with its derivatives; wave numbers 0 and 1."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(n)
        self.base = np.eye(n) + _of_size(rng, n, 0.2)
        self.terms = []
        for m in [*np.eye(n, dtype=int), np.ones(n, dtype=int), 1 - 2 * (np.arange(n) % 2)]:
            a = _of_size(rng, n, 0.5 / (n + 2))
            k = 2 * np.pi * m / np.array(SIDES[:n])
            self.terms.append((a, k, float(rng.uniform(0, 6))))

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """G_ij, d_a g_ij and d_a d_b g_ij at points x of shape (n, points)."""
        n, points = x.shape
        g = np.repeat(self.base[..., None], points, axis=-1)
        dg = np.zeros((n, n, n, points))
        ddg = np.zeros((n, n, n, n, points))
        for a, k, shift in self.terms:
            phase = k @ x + shift
            g = g + a[..., None] * np.cos(phase)
            dg -= np.einsum("a,ij,x->aijx", k, a, np.sin(phase))
            ddg -= np.einsum("a,b,ij,x->abijx", k, k, a, np.cos(phase))
        return g, dg, ddg


def _of_size(rng: np.random.Generator, n: int, size: float) -> np.ndarray:
    """A random symmetric matrix whose largest absolute eigenvalue is given."""
    a = rng.normal(size=(n, n))
    a = a + a.T
    return np.asarray(size * a / np.abs(np.linalg.eigvalsh(a)).max())


def _formula(g: np.ndarray, dg: np.ndarray, ddg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-2 Ric, and -2 Ric + L_W g with W^k = g^pq Gamma^k_pq, at all points."""
    up = np.moveaxis(np.linalg.inv(np.moveaxis(g, -1, 0)), 0, -1)
    lower = (
        np.einsum("iljx->lijx", dg) + np.einsum("jlix->lijx", dg) - np.einsum("lijx->lijx", dg)
    ) / 2
    dlower = (
        np.einsum("ailjx->alijx", ddg)
        + np.einsum("ajlix->alijx", ddg)
        - np.einsum("alijx->alijx", ddg)
    ) / 2
    dup = -np.einsum("kpx,apqx,qlx->aklx", up, dg, up, optimize=True)
    gamma = np.einsum("klx,lijx->kijx", up, lower)
    dgamma = np.einsum("aklx,lijx->akijx", dup, lower) + np.einsum("klx,alijx->akijx", up, dlower)
    ricci = (
        np.einsum("iijkx->jkx", dgamma)
        - np.einsum("jiikx->jkx", dgamma)
        + np.einsum("pjkx,iipx->jkx", gamma, gamma)
        - np.einsum("pikx,ijpx->jkx", gamma, gamma)
    )
    w = np.einsum("pqx,kpqx->kx", up, gamma)
    dw = np.einsum("apqx,kpqx->akx", dup, gamma) + np.einsum("pqx,akpqx->akx", up, dgamma)
    turned = np.einsum("kjx,ikx->ijx", g, dw)
    lie = np.einsum("kx,kijx->ijx", w, dg) + turned + np.swapaxes(turned, 0, 1)
    return -2 * ricci, -2 * ricci + lie


def known_flow(
    backend: Backend,
    dimensions: Sequence[int],
    method: str = "auto",
    dt: float | None = None,
) -> Measurement:
    """A Ricci-DeTurck flow that depends on one coordinate, followed by other code in that one.

    For g = diag(p, e^u_2, ..., e^u_n)(x) the flow is p' = p_xx / p - 3 p_x^2 / (2 p^2) + sum
    (u_i)_x^2 / 2, u_i' = (u_i)_xx / p. A linear map of the torus onto itself, which the flow does
    not notice, turns it into a metric with all components, of all coordinates, on uneven sides.
    """
    errors = {}
    for n in sorted({min(int(d), 4) for d in dimensions}):
        points, end = {2: 20, 3: 12, 4: 8}[n], 0.4
        grid = Grid.torus((points,) * n, SIDES[:n])
        lines = _one_coordinate(n, end)
        start, known = (_spread(grid, values) for values in lines)
        field = MetricField(grid, backend.asarray(start))
        options: dict[str, Any] = {"rtol": 1e-7} if dt is None else {"dt": dt}
        found = run(field, RicciDeTurckFlow(), (0.0, end), method, order="fourier", **options)[-1]
        change = largest(known - start)
        errors[f"n = {n}"] = largest(to_numpy(found.components) - known) / change
    worst = max(errors.values())
    return Measurement(
        "a Ricci-DeTurck flow of one coordinate, in sheared axes: the library against code for "
        "that coordinate alone, relative to the change",
        errors,
        0.0,
        worst,
        2e-4,
        "waves of third order in the amplitude are not resolved by the few points in 4-D",
    )


_LINE_POINTS = 32


def _one_coordinate(n: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """(p, f_2, ..., f_n) on points of [0, 2 pi) at the start and the end, (n, points)."""
    x = 2 * np.pi * np.arange(_LINE_POINTS) / _LINE_POINTS
    k = np.fft.rfftfreq(_LINE_POINTS, 1 / _LINE_POINTS)

    def derivatives(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turned = np.fft.rfft(values)
        return np.fft.irfft(1j * k * turned), np.fft.irfft(-(k**2) * turned)

    def rates(t: float, y: np.ndarray) -> np.ndarray:
        p, u = y.reshape(n, -1)[0], y.reshape(n, -1)[1:]
        slope, bend = derivatives(p)
        dp = bend / p - 1.5 * (slope / p) ** 2
        du = np.empty_like(u)
        for i, row in enumerate(u):
            slope, bend = derivatives(row)
            dp = dp + slope**2 / 2
            du[i] = bend / p
        return np.concatenate([dp[None], du]).ravel()

    u = [0.04 * (1 + i) / n * np.cos(x + i) for i in range(1, n)]
    y = np.concatenate([1 + 0.03 * np.sin(x), *u])
    last = solve_ivp(rates, (0.0, end), y, "DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    both = [np.vstack([v.reshape(n, -1)[:1], np.exp(v.reshape(n, -1)[1:])]) for v in (y, last)]
    return both[0], both[1]


def _spread(grid: Grid, line: np.ndarray) -> np.ndarray:
    """The diagonal metric of one coordinate in the axes y of a torus, x = sum +-2 pi y_a / L_a.

    With signs in turns: with equal ones a derivative along a wrong axis would be the right one.
    """
    n = grid.ndim
    turns = np.diag(2 * np.pi / np.array(grid.lengths))
    shear = np.eye(n)
    shear[0] = signs = 1.0 - 2.0 * (np.arange(n) % 2)
    j = shear @ turns
    phase = sum(signs[a] * x * turns[a, a] for a, x in enumerate(_mesh(grid)))
    coefficients = np.fft.rfft(line) / line.shape[1]
    waves = np.arange(coefficients.shape[1])
    # The Nyquist wave counts once, all others but the constant twice.
    coefficients[:, 1:-1] *= 2
    values = np.einsum(
        "im,m...->i...", coefficients, np.exp(1j * np.multiply.outer(waves, phase))
    ).real
    return np.einsum("ia,i...,ib->ab...", j, values, j)


def known_sphere(backend: Backend, dimensions: Sequence[int], order: int = 6) -> Measurement:
    """Round spheres in stereographic coordinates, two radii: |Rm| = sqrt(2 n (n - 1)) / r^2,

    Ric = (n - 1) g / r^2 and R = n (n - 1) / r^2.
    """
    errors = []
    for n in sorted(set(dimensions)):
        for radius in (1.0, 1.7):
            grid = Grid.box(-0.2, 0.2, (13,) * n)
            g = exact.round_sphere(n, radius).field(0.0, grid, xp=backend.xp)
            known = math.sqrt(2 * n * (n - 1)) / radius**2
            errors.append(abs(curvature_max(g, order) / known - 1))
            ricci = (n - 1) / radius**2 * to_numpy(g.components)
            errors.append(largest(to_numpy(g.ricci(order)) - ricci) / largest(ricci))
            scalar = to_numpy(g.scalar_curvature(order))
            errors.append(largest(scalar * radius**2 / (n * (n - 1)) - 1))
    return Measurement.vanishing(
        f"|Rm|, Ric and R of round spheres of two radii, n = {list(dimensions)}; relative error",
        max(errors),
        1e-4,
        f"differences of order {order} on a small box",
        samples=(),
    )


def known_surfaces(backend: Backend) -> list[Measurement]:
    """King and Rosenau's solution about an oblique axis: curvature, and the conformal flow."""
    sphere, axis = conformal.Sphere(24), np.array([1.0, -2.0, 0.7])
    height = sum(a * x for a, x in zip(axis / np.linalg.norm(axis), sphere.coordinates,
                                       strict=True))  # fmt: skip
    x = 2 * np.arctanh(height)
    start, middle = -1.5, -0.4
    flow = conformal.solve(
        conformal.king_rosenau(sphere, start, axis), (start, middle), t_eval=[start, middle],
        rtol=1e-8,
    )  # fmt: skip
    errors = []
    for t, g in zip(flow.t, flow.metrics, strict=True):
        known = exact.rosenau().scalar_curvature(float(t), x, 0 * x)
        errors.append(largest(g.scalar_curvature() / known - 1))
        errors.append(abs(g.area() / (-8 * math.pi * t) - 1))
    return [
        Measurement.vanishing(
            "R and area of King and Rosenau's sausage about an oblique axis; relative error",
            max(errors),
            1e-5,
            "the tolerance of the steps; in space the error is below 1e-9",
            samples=(),
        )
    ]


def known_spectrum(backend: Backend, dimensions: Sequence[int]) -> list[Measurement]:
    """The Lichnerowicz operator on flat waves, -|k|^2 h, and where the metric is curved."""
    flat, bent = [], []
    for n in sorted(set(dimensions)):
        grid = Grid.torus((6,) * n, SIDES[:n])
        rng = np.random.default_rng(n)
        h = rng.normal(size=(n, n))
        k = 2 * np.pi * np.ones(n) / np.array(SIDES[:n])
        wave = np.cos(sum(a * x for a, x in zip(k, _mesh(grid), strict=True)))
        tensor = (h + h.T).reshape(n, n, *(1,) * n) * wave
        found = _lichnerowicz(backend, flat_metric(grid, backend.xp), tensor)
        flat.append(largest(found + float(k @ k) * tensor) / largest(tensor))
        if n <= 3:
            fine = Grid.torus((16 if n == 2 else 10,) * n, SIDES[:n])
            waves = _Waves(n)
            g = waves.at(np.stack([x.ravel() for x in _mesh(fine)]))[0]
            g = np.eye(n)[..., None] + 0.2 * (g - np.eye(n)[..., None])
            curved = MetricField(fine, backend.asarray(g.reshape(n, n, *fine.shape).copy()))
            start = (h + h.T).reshape(n, n, *(1,) * n) * np.cos(
                2 * np.pi * _mesh(fine)[0] / 2 / np.pi
            )
            apart = rough_laplacian(start, curved, "fourier") + curvature_term(
                start, curved, "fourier"
            )
            found = _lichnerowicz(backend, curved, start)
            bent.append(largest(found - apart) / largest(apart))
    measurements = [
        Measurement.vanishing(
            "Lichnerowicz operator on waves about flat metrics: -|k|^2; relative error",
            max(flat),
            1e-10,
            "rounding",
        )
    ]
    if bent:
        measurements.append(
            Measurement.vanishing(
                "on curved metrics: against covariant derivatives written apart; relative",
                max(bent),
                1e-4,
                "waves of higher order that the grid does not resolve",
            )
        )
    return measurements


def _lichnerowicz(backend: Backend, g: MetricField, h: np.ndarray) -> np.ndarray:
    shaped = backend.asarray(np.ascontiguousarray(np.broadcast_to(h, (g.n, g.n, *g.grid.shape))))
    return to_numpy(curvature.lichnerowicz(g.components, shaped, g.grid, "fourier"))


def known_profiles(backend: Backend, dimensions: Sequence[int] = (3,)) -> list[Measurement]:
    """The one-coordinate code for rotational symmetry: round spheres, and curvature on a grid.

    Round spheres shrink as r^2 = r_0^2 - 2 (N - 1) t. The curvatures K_0, K_1 of a dumbbell, by
    hand, are those that the library finds from the same metric's components in Cartesian axes.
    """
    shrunk, bent = [], []
    for dimension in sorted(set(dimensions)):
        n = dimension - 1
        times, metrics = flow(round_profile(n, 1.0, 40), lambda g: float(g.psi.max()), 0.4)
        sizes = np.array([float(g.psi.max()) / float(metrics[0].psi.max()) for g in metrics])
        shrunk.append(largest(sizes**2 - (1 - 2 * n * times)))
        if 2 <= dimension <= 3:
            bent.append(_curvature_on_a_grid(backend, dimension))
    found = [
        Measurement.vanishing(
            "round spheres by the code for rotational symmetry: r^2 - (1 - 2 (N - 1) t)",
            max(shrunk),
            1e-4,
            "differences of order 4 on 40 points",
        )
    ]
    if bent:
        found.append(
            Measurement.vanishing(
                "|Rm| of a dumbbell: K_0 and K_1 by hand against the library's on a grid, relative",
                max(bent),
                1e-3,
                "differences of order 6 on a small box",
            )
        )
    return found


def _curvature_on_a_grid(backend: Backend, dimension: int) -> float:
    """Relative difference of sup |Rm| on a box that does not meet the pole."""
    n, thin = dimension - 1, 0.6

    def metric(*x: Any) -> list[list[Any]]:
        r = sum(a * a for a in x) ** 0.5
        s = backend.xp.sin(r)
        square = (s * (1 - thin * s * s) / r) ** 2
        return [
            [a * b / r**2 * (1 - square) + (square if i == j else 0.0) for j, b in enumerate(x)]
            for i, a in enumerate(x)
        ]

    low = (0.7,) + (0.2,) * n
    grid = Grid.box(low, tuple(a + 0.3 for a in low), (11,) * dimension)
    r = np.sqrt(sum(x**2 for x in _mesh(grid)))
    s, c = np.sin(r), np.cos(r)
    psi = s * (1 - thin * s * s)
    slope = c * (1 - 3 * thin * s * s)
    bend = -s * (1 - 3 * thin * s * s) - 6 * thin * s * c * c
    k0, k1 = -bend / psi, (1 - slope**2) / psi**2
    known = float(np.sqrt(4 * n * k0**2 + 2 * n * (n - 1) * k1**2).max())
    return abs(curvature_max(backend.metric(grid, metric), 6) / known - 1)
