"""Known answers in weight space: dense matrices and sums written out, in plain Python and NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from riemann_lne import (
    EuclideanPotential,
    HessianLNEMetric,
    LNEMetric,
    NegativeEntropy,
    lne_divergence,
    mirror_descent,
)
from riemann_lne.lne import (
    Box,
    LNEPotential,
    Simplex,
    discrete_flow_defect,
    discrete_flow_defect_of_steps,
    mirror_descent_bound,
)

from ..backends import Backend
from ..evidence import Measurement
from ..instruments.counting import eliminated, operations
from ..instruments.differences import second_order_term
from ..instruments.steepest import Smooth, angle, sphere_minimum

_TAUS = (0.4, 1.0, 2.5)
"""More than one: tau = 1 hides every power of tau."""
_LARGEST = 60
"""Dense matrices beyond this size cost more than they tell."""


def _points(dimensions: Sequence[int], largest: int = _LARGEST) -> list[tuple[np.ndarray, float]]:
    """A random point with |tanh(tau x)|^2 of about 1/2 or less, and tau, in every dimension."""
    result = []
    for n in sorted({min(int(n), largest) for n in dimensions}):
        for tau in _TAUS:
            rng = np.random.default_rng((n, round(10 * tau)))
            result.append((0.6 * rng.uniform(-1, 1, size=n) / (tau * math.sqrt(n)), tau))
    return result


def _tanh(x: np.ndarray, tau: float) -> list[float]:
    """Hyperbolic tangents from exponentials."""
    return [1 - 2 / (math.exp(2 * tau * float(v)) + 1) for v in x]


def _dense(x: np.ndarray, tau: float) -> np.ndarray:
    """Eq. 16, entry by entry."""
    t = _tanh(x, tau)
    return np.array([[float(i == j) - t[i] * t[j] for j in range(len(t))] for i in range(len(t))])


def _off(a: Any, b: Any) -> float:
    """Largest difference over the largest entry of the second."""
    one, two = np.asarray(a), np.asarray(b)
    error = float(np.abs(one - two).max() / np.abs(two).max())
    return error if math.isfinite(error) else math.inf


def known_metric(backend: Backend, dimensions: Sequence[int]) -> list[Measurement]:
    """Matrices and solves of both metrics against dense ones and NumPy's solver."""
    matrix, solve, hessian = [], [], []
    for x, tau in _points(dimensions):
        n, lne, flat = len(x), LNEMetric(tau), HessianLNEMetric(tau)
        v = np.random.default_rng(n).normal(size=n)
        dense = _dense(x, tau)
        diagonal = np.array([4 / (math.exp(tau * a) + math.exp(-tau * a)) ** 2 for a in x])
        matrix.append(_off(lne.matrix(x), dense))
        solve.append(_off(lne.solve(x, v), np.linalg.solve(dense, v)))
        weak = (2 * np.eye(n) - dense) @ v
        solve.append(_off(lne.solve(x, v, method="weak"), weak))
        hessian.append(_off(flat.matrix(x), np.diag(diagonal)))
        hessian.append(_off(flat.solve(x, v), v / diagonal))
    return [
        _rounding("I - t t^T against the matrix entry by entry, several tau", matrix),
        _rounding("its exact and weak solves against dense ones", solve),
        _rounding("diag(sech^2) and its solve against the diagonal written out", hessian),
    ]


def _rounding(statement: str, errors: Sequence[float], allowed: float = 1e-10) -> Measurement:
    """A guard that is met to rounding."""
    largest = max(errors)
    return Measurement.vanishing(statement, largest, allowed, "rounding of sums of n terms")


def known_ricci(backend: Backend, dimensions: Sequence[int]) -> list[Measurement]:
    """Christoffel symbols, Ricci and scalar curvature against the coordinate formula in full."""
    symbols, ricci, scalar = [], [], []
    for x, tau in _points(dimensions, 5):
        if len(x) < 2:
            continue
        lne, n = LNEMetric(tau), len(x)
        gamma, tensor, trace = _curvature(x, tau)
        u, v = np.random.default_rng(n).normal(size=(2, n))
        symbols.append(_off(lne.christoffel(x, u, v), np.einsum("kij,i,j->k", gamma, u, v)))
        ricci.append(_off(lne.ricci(x).matrix(), tensor))
        scalar.append(_off(lne.scalar_curvature(x), trace))
    return [
        _rounding("Christoffel symbols of Eq. 16 against the dense formula, n <= 5", symbols),
        _rounding("Ricci tensor of Eq. 16 against the dense formula, n <= 5", ricci, 1e-9),
        _rounding("scalar curvature of Eq. 16 against the dense trace, n <= 5", scalar, 1e-9),
    ]


def _curvature(x: np.ndarray, tau: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Gamma^k_ij, R_jk and R of I - t t^T, from its derivatives written out."""
    n, t = len(x), np.array(_tanh(x, tau))
    d, eye = tau * (1 - t * t), np.eye(n)
    bend = -2 * tau * t * d
    slope = np.diag(d)  # d_a t_i
    second = np.zeros((n, n, n))  # d_a d_b t_i
    second[range(n), range(n), range(n)] = bend
    dg = -(np.einsum("ai,j->aij", slope, t) + np.einsum("i,aj->aij", t, slope))
    ddg = -(
        np.einsum("abi,j->abij", second, t)
        + np.einsum("ai,bj->abij", slope, slope)
        + np.einsum("bi,aj->abij", slope, slope)
        + np.einsum("i,abj->abij", t, second)
    )
    return contracted(np.linalg.inv(eye - np.outer(t, t)), dg, ddg)


def contracted(
    inverse: np.ndarray, dg: np.ndarray, ddg: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Gamma^k_ij, R_jk and R from g^ij, d_a g_ij and d_a d_b g_ij at one point.

    R_jk = d_i Gamma^i_jk - d_j Gamma^i_ik + Gamma^p_jk Gamma^i_ip - Gamma^p_ik Gamma^i_jp.
    """
    lower = (np.einsum("ilj->lij", dg) + np.einsum("jli->lij", dg) - dg) / 2
    dlower = (np.einsum("ailj->alij", ddg) + np.einsum("ajli->alij", ddg) - ddg) / 2
    gamma = np.einsum("kl,lij->kij", inverse, lower)
    dinverse = -np.einsum("kp,apq,ql->akl", inverse, dg, inverse)
    dgamma = np.einsum("akl,lij->akij", dinverse, lower) + np.einsum(
        "kl,alij->akij", inverse, dlower
    )
    ricci = (
        np.einsum("iijk->jk", dgamma)
        - np.einsum("jiik->jk", dgamma)
        + np.einsum("pjk,iip->jk", gamma, gamma)
        - np.einsum("pik,ijp->jk", gamma, gamma)
    )
    return gamma, ricci, float(np.einsum("jk,jk->", inverse, ricci))


def known_divergence(backend: Backend, dimensions: Sequence[int]) -> Measurement:
    """The divergence against the sum of Eq. 15 as it stands, where it loses no digits."""
    errors = []
    for x, tau in _points(dimensions):
        y = np.flip(x) + 0.5 / tau
        total = sum(
            math.log(math.cosh(tau * a) / math.cosh(tau * b)) / tau**2
            - (a - b) * math.tanh(tau * b) / tau
            for a, b in zip(x.tolist(), y.tolist(), strict=True)
        )
        errors.append(_off(lne_divergence(x, y, tau), total))
    return _rounding("divergence of Eq. 15 against its sum written out, several tau", errors)


def known_differences(backend: Backend, dimensions: Sequence[int]) -> Measurement:
    """The differences of the check on a divergence whose second-order term is a known matrix."""
    errors = []
    for n in sorted({min(int(n), 20) for n in dimensions}):
        rng = np.random.default_rng(n)
        a, cubic = rng.normal(size=(n, n)), rng.normal(size=n)
        matrix = a @ a.T / n + np.eye(n)

        def divergence(
            x: np.ndarray, y: np.ndarray, m: np.ndarray = matrix, c: np.ndarray = cubic
        ) -> float:
            d = x - y
            return float(d @ m @ d / 2 + c @ d**3 + np.sum(d**4))

        errors.append(_off(second_order_term(divergence, rng.normal(size=n), 0.05), matrix))
    return _rounding("second-order term of a polynomial, by the check's differences", errors, 1e-8)


def known_searches(backend: Backend, dimensions: Sequence[int]) -> Measurement:
    """The search of the check, on the problem whose solution is -M^-1 c."""
    angles = []
    for n in sorted({int(n) for n in dimensions}):
        rng = np.random.default_rng(n)
        a, c = rng.normal(size=(n, n)), rng.normal(size=n)
        m = a @ a.T / n + np.eye(n)
        linear = Smooth(partial(np.dot, c), partial(_always, c), partial(_always, np.zeros((n, n))))
        half = Smooth(partial(_half_square, m), partial(np.matmul, m), partial(_always, m))
        found = sphere_minimum(linear, half, rng.normal(size=n), 0.01, rng)
        angles.append(angle(found, -np.linalg.solve(m, c)))
    return _rounding("steepest step of a linear loss: angle to -M^-1 c", angles, 1e-6)


def _always(value: np.ndarray, w: np.ndarray) -> np.ndarray:
    return value


def _from(goal: np.ndarray, w: np.ndarray) -> np.ndarray:
    return w - goal


def _half_square(m: np.ndarray, d: np.ndarray) -> float:
    return float(d @ m @ d) / 2


def known_projections(
    search: Callable[[Any, np.ndarray], np.ndarray],
) -> Callable[[Backend, Sequence[int]], list[Measurement]]:
    """Projections with a closed form, by the search of a check and by the library.

    In the Kullback-Leibler divergence it is y / sum y; in the Euclidean distance it is the
    threshold max(0, y - nu), found by sorting.
    """

    def guard(backend: Backend, dimensions: Sequence[int]) -> list[Measurement]:
        searched, library = [], []
        for n in dimensions:
            y = np.random.default_rng(n).gamma(1.0, 2.0 / n, size=n) + 0.01 / n
            threshold = _threshold(y)
            searched.append(float(np.abs(search(EuclideanPotential(), y) - threshold).max()))
            library.append(_off(Simplex().project(EuclideanPotential(), y), threshold))
            library.append(_off(Simplex().project(NegativeEntropy(), y), y / y.sum()))
        return [
            _rounding(
                "the check's search finds the Euclidean projection",
                searched,
                1e-5,
            ),
            _rounding(
                "the library's Euclidean projection and that of the entropy, y / sum y",
                library,
                1e-10,
            ),
        ]

    return guard


def _threshold(y: np.ndarray) -> np.ndarray:
    """Euclidean projection onto the simplex: subtract one number, cut off at zero."""
    ordered = np.sort(y)[::-1]
    sums = np.cumsum(ordered) - 1
    count = np.arange(1, len(y) + 1)
    last = int(np.nonzero(ordered - sums / count > 0)[0][-1])
    return np.maximum(y - sums[last] / (last + 1), 0.0)


def known_mirror_descent(backend: Backend, n: int) -> Measurement:
    """Mirror descent with the Euclidean potential is the projected gradient, in plain NumPy."""
    rng = np.random.default_rng(n)
    a, goal = rng.normal(size=(n, n)), rng.uniform(-2, 2, size=n)
    step, errors = 0.05 / n, []
    for constraint, project, x in (
        (Box(-1.0, 1.0), lambda z: np.clip(z, -1.0, 1.0), np.zeros(n)),
        (Simplex(), _threshold, np.full(n, 1 / n)),
    ):
        run = mirror_descent(
            lambda z: np.sign(a @ (z - goal)) @ a,
            x,
            potential=EuclideanPotential(),
            steps=20,
            step_size=step,
            constraint=constraint,
        )
        visited = []
        for _ in range(20):
            visited.append(x)
            x = project(x - step * np.sign(a @ (x - goal)) @ a)
        errors.append(
            min(
                float(np.abs(run.average - np.mean(points, axis=0)).max())
                for points in (visited, [*visited[1:], x])
            )
        )
    return _rounding("Euclidean mirror descent against the projected gradient", errors)


def known_potential(backend: Backend) -> list[Measurement]:
    """The potential of Eq. 14 and the bound of Thm 12, number by number with Python's functions.

    Gradient, its inverse and its differences, Hessian, modulus, and four free steps of mirror
    descent; points near each other, far apart, and on both sides of 0.
    """
    errors, steps, rng = [], [], np.random.default_rng(0)
    for tau in _TAUS:
        phi, x = LNEPotential(tau), rng.normal(size=6) / tau
        for far in (0.01, 1.0, 4.0):
            y = x + far * rng.normal(size=6) / tau
            slopes = [[math.tanh(tau * v) / tau for v in z] for z in (x.tolist(), y.tolist())]
            errors.append(_off(phi.gradient(x), slopes[0]))
            errors.append(_off(phi.inverse_gradient(np.array(slopes[0])), x))
            difference = np.array(slopes[0]) - np.array(slopes[1])
            errors.append(_off(phi.gradient_difference(x, y), difference))
            errors.append(abs(phi.modulus(far) * math.cosh(tau * far) ** 2 - 1))
        errors.append(_off(phi.hessian(x), [math.cosh(tau * v) ** -2 for v in x.tolist()]))
        goal, z = 0.3 * x, x
        run = mirror_descent(partial(_from, goal), x, potential=phi, steps=4, step_size=0.1)
        for _ in range(4):
            dual = [math.tanh(tau * a) / tau - 0.1 * (a - b) for a, b in zip(z, goal, strict=True)]
            z = np.array([math.atanh(tau * d) / tau for d in dual])
        steps.append(_off(run.x, z))
    bounds = [
        abs(mirror_descent_bound(r, 3.0, rho, t) / (r * 3.0 * math.sqrt(2 / (rho * t))) - 1)
        for r, rho, t in ((0.7, 0.2, 5), (2.0, 1.0, 400))
    ]
    return [
        _rounding("the potential of Eq. 14 by Python's hyperbolic functions", errors, 1e-9),
        _rounding("mirror descent with it, four free steps, written out", steps),
        _rounding("the bound R L sqrt(2 / (rho t)), written out", bounds, 1e-12),
    ]


def known_defect(backend: Backend, dimensions: Sequence[int]) -> Measurement:
    """N of Eq. 35 against the Frobenius norm of dense matrices, in which nothing cancels."""
    errors = []
    for x, tau in _points(dimensions, 40):
        n = len(x)
        rng = np.random.default_rng(n)
        five = [x * rng.uniform(0.5, 1.5, size=n) for _ in range(5)]
        after, k1, k2, j1, j2 = (_dense(v, tau) for v in five)
        for dk, dj in ((2, 3), (-1, 2)):
            defect = after - k1 - (k1 - k2) / dk + (j1 - j2) / dj
            a, b, c, d, e = (np.array(_tanh(v, tau)) for v in five)
            found = discrete_flow_defect(a, b, c, d, e, dk, dj)
            errors.append(_off(found, float((defect**2).sum())))
            a, b, c, d, e = (v - x for v in five)
            stepped = discrete_flow_defect_of_steps(x, a, b, c, d, e, dk, dj, tau)
            errors.append(_off(stepped, float((defect**2).sum())))
    return _rounding("N of Eq. 35 in O(n), both forms, against dense matrices, several tau", errors)


def known_counts(backend: Backend) -> Measurement:
    """Counts that are known: sums of n, products of matrices, and Gauss's elimination."""
    n, m = 12, 5
    x = np.ones(n)
    found = [
        operations(lambda a: a + 1, x),
        operations(lambda a: (a * a).sum(), x),
        operations(lambda a, b: a @ b, np.ones((m, n)), np.ones((n, m))),
        operations(lambda a: np.tanh(2 * a), x),
        operations(eliminated, np.eye(n) + 0.1, x),
    ]
    # A step of the elimination with r rows left below: r divisions, twice r^2 and twice r more;
    # going back r products, r sums, a difference and a division.
    solved = sum(r + 2 * r * r + 2 * r + 2 * r + 2 for r in range(n))
    known = [n, 2 * n, 2 * m * n * m, 2 * n, solved]
    wrong = sum(abs(a - b) for a, b in zip(found, known, strict=True))
    return Measurement(
        "counted operations of five short programs against those counted by hand",
        found,
        known,
        float(wrong),
        0.0,
        "a count",
    )
