"""Section 2: Ricci flow, its symbol, its linearisation and DeTurck's trick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from riemann_lne import (
    Grid,
    MetricField,
    RicciDeTurckFlow,
    RicciFlow,
    check_order,
    curvature,
    perturbed_euclidean,
)
from riemann_lne.arrays import like, to_numpy
from riemann_lne.coefficients import Order
from riemann_lne.flows.base import Flow
from riemann_lne.tensors import pack, pairs

from ...lab.parameters import require_dimensions, require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_fits, known_rates, known_spectrum
from ..instruments.covariant import (
    contraction,
    curvature_term,
    lie_of_lower,
    nabla,
    rough_laplacian,
)
from ..instruments.flowing import derivative_along, largest, random_start, rate, torus


@claim(
    "ricci-not-parabolic",
    "Cor. 3",
    guard=known_rates,
    quick={
        "dimensions": (2, 3, 4),
        "seeds": (0, 1),
        "spread": 0.4,
        "amplitude": 0.3,
        "points": 48,
        "frequencies": (3, 6, 12),
    },
    full={"seeds": (0, 1, 2, 3), "points": 96, "frequencies": (3, 6, 12, 24)},
)
def ricci_not_parabolic(
    backend: Backend,
    dimensions: Sequence[int],
    seeds: Sequence[int],
    spread: float,
    amplitude: float,
    points: int,
    frequencies: Sequence[int],
) -> Evidence:
    """Ricci flow is not strictly parabolic: the symbol of the linearisation of -2 Ric vanishes on
    h = phi x v + v x phi for every covector v, a kernel of dimension n. With the DeTurck term it is
    |phi|^2 on every h, so that the Ricci-DeTurck flow is strictly parabolic.

    Measured: the symbol as a matrix on symmetric tensors, from the response of the flows' own
    right-hand sides to a wave h cos(k.x) on random constant metrics, where it is exact (all other
    terms of the linearisation have a derivative of the metric in them). Predicted: eigenvalue 0
    on the n gauge directions, |k|^2 on the others; |k|^2 on all with the DeTurck term. On a curved
    metric the response to waves of growing frequency N, over N^2, must tend to the symbol at order
    N^-2 (its odd orders cancel between sine and cosine).
    """
    require_numbers("dimensions", dimensions, 1, 5, whole=True)
    require_number("spread", spread, 0.0, 1.0)
    require_number("amplitude", amplitude, 0.0, 1.0)
    require_numbers("frequencies", frequencies, 0, points / 4 + 1, count=3, whole=True)
    gauge, kernels, spectra, full = [], {}, {}, []
    for n in dimensions:
        for seed in seeds:
            rng = np.random.default_rng((seed, n))
            at: Any = (..., *(0,) * n)
            g = _constant_metric(backend, n, spread, rng)
            k = rng.permutation(np.arange(n) % 2 + 1) * rng.choice([-1, 1], size=n)
            inverse = to_numpy(g.inverse())[at]
            square = float(k @ inverse @ k)
            ricci = _symbol(RicciFlow(), g, k, 1)[at] / square
            deturck = _symbol(RicciDeTurckFlow(), g, k, 1)[at] / square
            for v in np.eye(n):
                h = pack(np.outer(k, v) + np.outer(v, k))
                gauge.append(float(np.linalg.norm(ricci @ h) / np.linalg.norm(h)))
            values = np.sort(np.linalg.eigvals(ricci).real)
            kernels[n] = int(np.sum(np.linalg.svd(ricci, compute_uv=False) < 1e-6))
            wanted = np.array([0.0] * n + [1.0] * (len(values) - n))
            spectra[f"n = {n}, seed {seed}"] = float(np.abs(values - wanted).max())
            full.append(largest(deturck - np.eye(len(values))))
    errors = _approach(backend, amplitude, points, frequencies)
    steps = [1 / f for f in frequencies]
    orders = {name: check_order(e, steps, 2).order for name, e in errors.items()}
    return Evidence(
        Measurement.vanishing(
            "symbol of -2 Ric over |phi|^2 on phi x v + v x phi, largest over v, metrics and n",
            max(gauge),
            1e-8,
            "rounding, divided by the step 1e-3 of the derivative, and k^2 of at most 10",
        ),
        resolution=[
            Measurement.near(
                "order in 1 / N with which the response on a curved metric tends to the symbol",
                orders,
                2.0,
                0.1,
                "slope over the frequencies",
            )
        ],
        also=[
            Measurement(
                "dimension of the kernel (singular values below 1e-6)",
                kernels,
                {n: n for n in kernels},
                float(sum(abs(d - n) for n, d in kernels.items())),
                0.0,
                "a count",
            ),
            Measurement(
                "eigenvalues of the symbol of -2 Ric over |phi|^2: n times 0, else 1",
                spectra,
                0.0,
                max(spectra.values()),
                1e-6,
                "the kernel may be defective: eigenvalues see the root of rounding",
            ),
            Measurement.vanishing(
                "symbol with the DeTurck term over |phi|^2, less the identity",
                max(full),
                1e-8,
                "as for the first",
            ),
        ],
        plots=[
            Plot(
                "Response to waves on a curved metric approaches the symbol",
                "frequency N",
                "largest error / |phi|^2",
                [
                    *(Line(name, list(frequencies), e, "points") for name, e in errors.items()),
                    *(
                        Line(
                            "",
                            list(frequencies),
                            [e[0] * (frequencies[0] / f) ** 2 for f in frequencies],
                            "dashed",
                        )
                        for e in errors.values()
                    ),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _constant_metric(
    backend: Backend, n: int, spread: float, rng: np.random.Generator
) -> MetricField:
    """Random constant metric with eigenvalues within e^-spread and e^spread, on a small torus."""
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = q @ np.diag(np.exp(rng.uniform(-spread, spread, size=n))) @ q.T
    matrix = (matrix + matrix.T) / 2
    # Six points resolve wave numbers up to 2. What other harmonics alias to them is of even order
    # in the step of the derivative, or of an order that its differences remove.
    return backend.metric(Grid.torus((6,) * n), lambda *x: matrix.tolist())


def _symbol(flow: Flow, g: MetricField, k: np.ndarray, frequency: int) -> np.ndarray:
    """Symbol of a flow on packed symmetric tensors at every point, (p, p, *shape).

    Minus the real part of e^(-i N k.x) L[h e^(i N k.x)] / N^2, L the linearised right-hand side.
    """
    n = g.n
    phase = frequency * sum(
        2 * np.pi * m / side * x
        for m, side, x in zip(k, g.grid.lengths, g.grid.coordinates(), strict=True)
    )
    columns = []
    for i, j in pairs(n):
        e = np.zeros((n, n))
        e[i, j] = e[j, i] = 1.0
        shaped = e.reshape(n, n, *(1,) * n)
        parts = [
            wave * derivative_along(flow, g, shaped * wave, "fourier")
            for wave in (np.cos(phase), np.sin(phase))
        ]
        columns.append(pack(-(parts[0] + parts[1]) / frequency**2))
    return np.stack(columns, axis=1)


def _approach(
    backend: Backend, amplitude: float, points: int, frequencies: Sequence[int]
) -> dict[str, list[float]]:
    """Distance of the response at each frequency to the symbol, on a curved 2-D metric."""
    g = perturbed_euclidean(Grid.torus((points, points)), amplitude, 1, 1, xp=backend.xp)
    k, inverse = np.array([1, -1]), to_numpy(g.inverse())
    square = np.einsum("a,ab...,b->...", k, inverse, k)
    errors: dict[str, list[float]] = {}
    for flow in (RicciFlow(), RicciDeTurckFlow()):
        name = type(flow).__name__
        for frequency in frequencies:
            measured = _symbol(flow, g, k, frequency)
            for column, (i, j) in enumerate(pairs(2)):
                e = np.zeros((2, 2, 1, 1))
                e[i, j] = e[j, i] = 1.0
                expected = square * e
                if isinstance(flow, RicciFlow):
                    expected = expected + _gauge_part(e, k, inverse)
                measured[:, column] -= pack(np.broadcast_to(expected, (2, 2, points, points)))
            errors.setdefault(name, []).append(largest(measured / square))
    return errors


def _gauge_part(h: np.ndarray, k: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """k_i k_j tr h - k_i k^p h_pj - k_j k^p h_ip, what -2 Ric has besides |k|^2 h."""
    trace = np.einsum("ab...,ab...->...", inverse, h)
    up = np.einsum("ab...,b->a...", inverse, k)
    mixed = np.einsum("i,p...,pj...->ij...", k, up, h)
    return np.einsum("i,j->ij", k, k)[..., None, None] * trace - mixed - np.swapaxes(mixed, 0, 1)


@claim(
    "linearised-ricci",
    "Lemma 5, 23",
    guard=(known_rates, known_spectrum, known_fits),
    quick={
        "dimensions": (2, 3, 4),
        "points": (32, 18, 12),
        "amplitude": 0.1,
        "seeds": (0, 1),
        "epsilons": (0.04, 0.02, 0.01),
    },
    full={"seeds": (0, 1, 2), "points": (48, 24, 14)},
)
def linearised_ricci(
    backend: Backend,
    dimensions: Sequence[int],
    points: Sequence[int],
    amplitude: float,
    seeds: Sequence[int],
    epsilons: Sequence[float],
) -> Evidence:
    """The derivative of -2 Ric in the direction h is g^pq nabla_p nabla_q h_ij + nabla_i V_j +
    nabla_j V_i + (terms without derivatives of h), with V_i = g^pq (nabla_i h_pq / 2 - nabla_p
    h_qi).

    Measured: the derivative of the flow's right-hand side along random h at random curved metrics,
    and the stated operator, computed apart from the core in covariant derivatives, both with
    Fourier derivatives. Predicted: equal, the term without derivatives being 2 R_ipjq h^pq - R_ip
    h^p_j - R_jp h^p_i; and -2 Ric(g + eps h) differs from its linearisation at order eps^2. With
    the DeTurck term and the background g the terms in V cancel and the Lichnerowicz operator is
    left.
    """
    require_dimensions(dimensions, points=points)
    require_number("amplitude", amplitude, 0.0, 0.5)
    require_numbers("epsilons", epsilons, 0.0, 0.2, count=3)
    gaps, cores, sizes, spread, orders = {}, {}, {}, [], []
    for n, size in zip(dimensions, points, strict=True):
        for seed in seeds if n < 4 else seeds[:1]:
            g = random_start(backend, torus(n, size), amplitude, seed, 1)
            h = _direction(g, seed)
            full = derivative_along(RicciFlow(), g, h, "fourier")
            lower = curvature_term(h, g, "fourier")
            laplacian = rough_laplacian(h, g, "fourier")
            stated = laplacian + lie_of_lower(_potential(h, g), g, "fourier") + lower
            name, scale = f"n = {n}, seed {seed}", largest(full)
            gaps[name] = largest(full - stated) / scale
            sizes[name] = largest(lower) / scale
            gauged = derivative_along(RicciDeTurckFlow(background=g), g, h, "fourier")
            core = to_numpy(
                curvature.lichnerowicz(g.components, _as(backend, h), g.grid, "fourier")
            )
            cores[name] = max(largest(gauged - core), largest(core - laplacian - lower)) / scale
            spread.append(largest(full - stated + lower) / scale / sizes[name])
            remainders = [_remainder(g, h, full, e) for e in epsilons]
            orders.append(check_order(remainders, epsilons, 2).order)
    refined = _refinement(backend, amplitude)
    return Evidence(
        Measurement(
            "largest difference of the derivative of -2 Ric to the stated operator, relative",
            gaps,
            0.0,
            max(gaps.values()),
            1e-6,
            "what Fourier derivatives leave unresolved of products of smooth fields",
        ),
        resolution=[
            Measurement.near(
                "order with which the difference vanishes with differences of order 4",
                refined,
                4.0,
                0.3,
                "slope over grids of 24, 36 and 54 points",
            )
        ],
        also=[
            Measurement.all_near(
                "order in eps of -2 Ric(g + eps h) + 2 Ric(g) - eps (the derivative)",
                orders,
                2.0,
                0.1,
                "slope over eps; the next order remains",
            ),
            Measurement.all_near(
                "without the curvature term the difference is that term: their ratio",
                spread,
                1.0,
                1e-3,
                f"the term is {min(sizes.values()):.2g} of the whole or more; see the first",
            ),
            Measurement(
                "with the DeTurck term of background g: difference to the Lichnerowicz operator",
                cores,
                0.0,
                max(cores.values()),
                1e-6,
                "as for the first",
            ),
        ],
    )


def _as(backend: Backend, values: np.ndarray) -> Any:
    return backend.asarray(np.ascontiguousarray(values))


def _direction(g: MetricField, seed: int) -> np.ndarray:
    """A random smooth direction of unit size."""
    other = perturbed_euclidean(g.grid, 0.5, seed + 1000, 1)
    return 2 * (to_numpy(other.components) - np.eye(g.n).reshape(g.n, g.n, *(1,) * g.n))


def _potential(h: np.ndarray, g: MetricField, order: Order = "fourier") -> np.ndarray:
    """V_i = g^pq (nabla_i h_pq / 2 - nabla_p h_qi)."""
    slope = nabla(h, to_numpy(g.christoffel(order)), g.grid, order)
    inverse = to_numpy(g.inverse())
    trace = np.einsum("pq...,ipq...->i...", inverse, slope)
    return trace / 2 - contraction(inverse, slope)


def _remainder(g: MetricField, h: np.ndarray, derivative: np.ndarray, eps: float) -> float:
    """Size of -2 Ric(g + eps h) + 2 Ric(g) - eps derivative."""
    moved = MetricField(g.grid, g.components + eps * like(h, g.packed))
    change = rate(RicciFlow(), moved, "fourier") - rate(RicciFlow(), g, "fourier")
    return largest(change - eps * derivative)


def _refinement(backend: Backend, amplitude: float) -> float:
    """Order of the difference between derivative and operator on finer grids, differences of 4."""
    errors, steps = [], []
    for points in (24, 36, 54):
        g = random_start(backend, torus(2, points), amplitude, 0, 1)
        h = _direction(g, 0)
        stated = (
            rough_laplacian(h, g, 4)
            + lie_of_lower(_potential(h, g, 4), g, 4)
            + curvature_term(h, g, 4)
        )
        errors.append(largest(derivative_along(RicciFlow(), g, h, 4) - stated))
        steps.append(1 / points)
    return check_order(errors, steps, 4).order
