"""Section 3: the LNE metric, its divergence and its mirror map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from riemann_lne import HessianLNEMetric, LNEMetric, check_order, lne_divergence, max_tau

from ...lab.parameters import require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_differences, known_divergence, known_fits, known_metric
from ..instruments.differences import central_second_order, second_order_term


@claim(
    "lne-metric-of-divergence",
    "Thm 10",
    guard=(known_metric, known_divergence, known_differences, known_fits),
    cause="eq-16-is-no-hessian",
    quick={"taus": (0.4, 0.8, 2.0), "dimensions": (2, 3, 6), "seed": 0, "scale": 0.5},
    full={"taus": (0.2, 0.4, 0.8, 2.0), "dimensions": (2, 3, 6, 20)},
)
def lne_metric_of_divergence(
    backend: Backend, taus: Sequence[float], dimensions: Sequence[int], seed: int, scale: float
) -> Evidence:
    """The second-order term of the divergence D of Eq. 15 is the LNE metric I - t t^T of Eq. 16.

    Measured: the second-order term G of D[x + d : x] = d^T G d / 2 + O(|d|^3) by central
    differences of D itself, with Richardson extrapolation, at random points, for several tau.
    Predicted by the paper: I - t t^T. What holds: G = diag(sech^2(tau x_i)), the Hessian of the
    potential; the two agree for n = 1.
    """
    require_numbers("taus", taus, above=0.0)
    rng = np.random.default_rng(seed)
    paper, hessian, orders, alone = {}, {}, {}, {}
    for tau in taus:
        divergence = partial(lne_divergence, tau=tau)
        # The divergence varies over lengths of 1 / tau, and so do the steps.
        step = 0.04 / tau
        for n in dimensions:
            name = f"tau = {tau:g}, n = {n}"
            x = scale * rng.normal(size=n)
            measured = second_order_term(divergence, x, step)
            exact = HessianLNEMetric(tau).matrix(x)
            paper[name] = _largest(measured - LNEMetric(tau).matrix(x))
            hessian[name] = _largest(measured - exact)
            steps = [8 * step, 4 * step, 2 * step]
            errors = [_largest(central_second_order(divergence, x, h) - exact) for h in steps]
            orders[name] = check_order(errors, steps, 2).order
        one = scale * rng.normal(size=1)
        alone[f"tau = {tau:g}"] = _largest(
            second_order_term(divergence, one, step) - LNEMetric(tau).matrix(one)
        )
    noise = max(hessian.values())
    met = sum(error <= 1e-4 for error in paper.values())
    return Evidence(
        Measurement(
            f"largest entry of G - (I - t t^T), n = {list(dimensions)}, tau = {list(taus)}",
            paper,
            0.0,
            max(paper.values()),
            1e-4,
            "above the error of the differences (see uncertainty), far below the entries t_i t_j",
            uncertainty=noise,
        ),
        resolution=[
            Measurement.near(
                "order of the central differences",
                orders,
                2.0,
                0.2,
                "slope over steps of 0.32, 0.16, 0.08 / tau",
            )
        ],
        also=[
            Measurement(
                "largest entry of G - diag(sech^2(tau x_i))",
                hessian,
                0.0,
                noise,
                1e-7,
                "truncation error h^6 of the extrapolated differences and rounding eps / h^2",
            ),
            Measurement(
                "n = 1, where I - t t^T = sech^2: the difference to G",
                alone,
                0.0,
                max(alone.values()),
                1e-7,
                "as above",
            ),
            Measurement(
                "pairs of tau and n >= 2 at which I - t t^T is met after all",
                met,
                0,
                float(met),
                0.0,
                "a count: the difference is not that of one tau",
            ),
        ],
    )


def _largest(a: np.ndarray) -> float:
    return float(np.abs(a).max())


@claim(
    "lne-positive-definite",
    "Def. 2, Eq. 16",
    guard=known_metric,
    cause="eq-16-is-no-hessian",
    quick={"taus": (0.5, 1.0, 2.0), "dimensions": (2, 10, 50), "draws": 100, "seed": 0},
    full={"dimensions": (2, 10, 100, 400), "draws": 1000},
)
def lne_positive_definite(
    backend: Backend, taus: Sequence[float], dimensions: Sequence[int], draws: int, seed: int
) -> Evidence:
    """The LNE metric g = I - t t^T, t = tanh(tau xi), is a Riemannian metric (positive definite) on
    weight space.

    Measured: for several tau, eigenvalues of the dense matrix at random weights of standard
    deviation 1 / 2, and whether they are positive exactly where |t|^2 < 1. Predicted by the paper:
    always positive. What holds: positive definite exactly when |tanh(tau xi)|^2 < 1, that is for
    tau below ``max_tau``.
    """
    require_numbers("taus", taus, above=0.0)
    rng = np.random.default_rng(seed)
    lowest, wrong, checked = dict.fromkeys((f"tau = {tau:g}" for tau in taus), math.inf), 0, 0
    for n in dimensions:
        for _ in range(draws):
            x = 0.5 * rng.normal(size=n)
            limit = float(max_tau(x))
            for tau in taus:
                eigenvalue = _smallest_eigenvalue(x, tau)
                name = f"tau = {tau:g}"
                lowest[name] = min(lowest[name], eigenvalue)
                wrong += (eigenvalue > 0) != (tau < limit)
            # tau on both sides of the limit of this x, and close to it.
            for factor in (0.5, 0.999, 1.001, 2.0):
                wrong += _has_cholesky(LNEMetric(factor * limit).matrix(x)) != (factor < 1)
            checked += 4 + len(taus)
    weights = np.full(1000, 0.05)
    bisected = _bisected_limit(weights)
    return Evidence(
        Measurement(
            f"smallest eigenvalue of g over {draws} random weights for each n, for each tau",
            lowest,
            "positive",
            max(0.0, *(-v for v in lowest.values())),
            0.0,
            "a negative eigenvalue is a counterexample",
            uncertainty=1e-12,
        ),
        condition=Measurement(
            f"cases (of {checked}) in which g is positive definite and tau >= max_tau, or not and "
            "tau < max_tau, where |tanh(tau xi)|^2 = 1",
            wrong,
            0,
            float(wrong),
            0.0,
            "a count",
        ),
        also=[
            Measurement(
                "largest tau for 1000 weights of size 0.05: bisected on the matrix, and max_tau",
                bisected,
                float(max_tau(weights)),
                abs(bisected / float(max_tau(weights)) - 1),
                1e-9,
                "width of the bisection and rounding in the factorisation",
            )
        ],
    )


def _smallest_eigenvalue(x: np.ndarray, tau: float) -> float:
    return float(np.linalg.eigvalsh(LNEMetric(tau).matrix(x))[0])


def _bisected_limit(x: np.ndarray) -> float:
    """Largest tau for which the dense matrix is positive definite, known from the matrix alone."""
    low, high = 0.0, 1.0
    while _has_cholesky(LNEMetric(high).matrix(x)):
        low, high = high, 2 * high
    while high - low > 1e-11:
        middle = (low + high) / 2
        low, high = (middle, high) if _has_cholesky(LNEMetric(middle).matrix(x)) else (low, middle)
    return (low + high) / 2


def _has_cholesky(matrix: np.ndarray) -> bool:
    """Whether a symmetric matrix is positive definite; a tenth of the cost of its eigenvalues."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


@claim(
    "mirror-map-convexity",
    "sec. 3.4",
    guard=lambda backend, n: known_divergence(backend, (n,)),
    cause="tanh-saturates",
    quick={
        "taus": (0.5, 1.0, 2.0),
        "radii": (0.25, 0.5, 1.0, 2.0, 4.0),
        "draws": 5000,
        "seed": 0,
        "n": 4,
    },
    full={"draws": 100000},
)
def mirror_map_convexity(
    backend: Backend, taus: Sequence[float], radii: Sequence[float], draws: int, seed: int, n: int
) -> Evidence:
    """The potential Phi = sum log cosh(tau xi_i) / tau^2 is 1-strongly convex.

    Measured: the smallest 2 D[x : y] / |x - y|^2 over random pairs with |x_i|, |y_i| <= R, drawn
    also close to the corners, where it is least, for several tau; D is the Bregman divergence of
    Phi. Predicted by the paper: at least 1. What holds: strong convexity on bounded sets alone,
    with modulus sech^2(tau R), which tends to 0; and 1-smoothness, so that the ratio is at most 1.
    """
    require_numbers("taus", taus, above=0.0)
    require_numbers("radii", radii, above=0.0)
    rng = np.random.default_rng(seed)
    ratios: dict[str, list[float]] = {}
    moduli: dict[str, list[float]] = {}
    gaps, largest, lines = {}, {}, []
    for tau in taus:
        name, highest = f"tau = {tau:g}", 0.0
        ratios[name], moduli[name] = [], []
        for radius in radii:
            x = radius * rng.uniform(-1, 1, size=(draws, n))
            y = radius * rng.uniform(-1, 1, size=(draws, n))
            corner = radius * (1 - 1e-4 * rng.uniform(0, 1, size=(draws, n)))
            near = corner - 1e-4 * radius * rng.uniform(0, 1, size=(draws, n))
            values = np.concatenate([_ratio(x, y, tau), _ratio(near, corner, tau)])
            ratios[name].append(float(values.min()))
            highest = max(highest, float(values.max()))
            moduli[name].append(float(1 / np.cosh(tau * radius) ** 2))
        pairs = zip(ratios[name], moduli[name], strict=True)
        gaps[name] = max(abs(r / m - 1) for r, m in pairs) / (2e-3 * tau * max(radii))
        largest[name] = highest
        lines.append(Line(f"measured, {name}", list(radii), ratios[name], "points"))
        lines.append(Line(f"sech^2(tau R), {name}", list(radii), moduli[name], "dashed"))
    return Evidence(
        Measurement(
            f"smallest 2 D[x : y] / |x - y|^2 for |x_i| <= R, R = {list(radii)}, for each tau",
            ratios,
            1.0,
            max(0.0, *(1 - r for values in ratios.values() for r in values)),
            1e-6,
            "rounding of the ratio",
            uncertainty=1e-6,
        ),
        also=[
            Measurement(
                "the smallest ratio is sech^2(tau R), reached at the corners of the cube: relative "
                "difference, over 2e-3 tau R",
                ratios,
                moduli,
                max(gaps.values()),
                1.0,
                "pairs lie within 2e-4 R of a corner, where the modulus varies by 4 tau R 1e-4",
            ),
            Measurement(
                "largest ratio: Phi is 1-smooth",
                largest,
                1.0,
                max(0.0, *(v - 1 for v in largest.values())),
                1e-6,
                "rounding of the ratio",
            ),
        ],
        plots=[
            Plot(
                "Modulus of strong convexity on |xi_i| <= R",
                "R",
                "modulus",
                [*lines, Line("the paper: 1", list(radii), [1.0] * len(radii), "line")],
                log_y=True,
            )
        ],
    )


def _ratio(x: np.ndarray, y: np.ndarray, tau: float) -> np.ndarray:
    """2 D[x : y] / |x - y|^2, row by row."""
    return 2 * lne_divergence(x, y, tau) / np.sum((x - y) ** 2, axis=-1)
