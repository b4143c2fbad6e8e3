"""Section 3: what steepest and mirror descent do in the LNE divergence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.optimize import minimize

from riemann_lne import HessianLNEMetric, LNEMetric, auto_tau, check_order
from riemann_lne.lne import (
    Box,
    ConvexSet,
    LNEPotential,
    NegativeEntropy,
    Simplex,
    mirror_descent,
    mirror_descent_bound,
)

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, UnresolvedError, claim, relative
from ..guards import (
    known_divergence,
    known_metric,
    known_mirror_descent,
    known_potential,
    known_projections,
    known_searches,
)
from ..instruments.steepest import Smooth, angle, extrapolated, random_loss, sphere_minimum


@claim(
    "lne-steepest-descent",
    "Lemma 11, Eq. 17",
    guard=(known_metric, known_divergence, known_searches, known_potential),
    cause="eq-16-is-no-hessian",
    quick={
        "dimensions": (2, 3, 10),
        "targets": (0.9, 0.3, 0.1, 0.03),
        "seeds": (0, 1),
        "radii": (0.02, 0.01, 0.005, 0.0025),
    },
    full={"dimensions": (2, 3, 4, 10, 30), "seeds": (0, 1, 2, 3, 4)},
)
def lne_steepest_descent(
    backend: Backend,
    dimensions: Sequence[int],
    targets: Sequence[float],
    seeds: Sequence[int],
    radii: Sequence[float],
) -> Evidence:
    """On a ball of the LNE divergence, D[w + d : w] <= r^2 / 2, a loss falls fastest along
    -g^-1 dL with g = I - t t^T of Eq. 16, as the ball shrinks.

    Measured: the point of the ball at which a random convex loss is least, by a constrained search
    in D itself, and the limit of its direction as r tends to 0; tau is chosen for given |t|^2.
    Predicted by the paper: -g^-1 dL. What holds: -h^-1 dL with the Hessian metric h = diag(sech^2
    (tau w)), the second-order term of D. The two agree for n = 1, and for small |t| up to an angle
    of order |t|^2.
    """
    require_numbers("dimensions", dimensions, above=1, whole=True)
    require_numbers("targets", targets, 0.0, 1.0, count=2)
    require_numbers("radii", radii, 0.0, 0.1, count=3)
    paper = dict.fromkeys(targets, 0.0)
    hessian, orders, squares = [], [], []
    for seed in seeds:
        for n in dimensions:
            rng = np.random.default_rng((seed, n))
            w, loss = 0.3 * rng.normal(size=n), random_loss(rng, n)
            between = []
            for target in targets:
                tau = float(auto_tau(w, target))
                found = [sphere_minimum(loss, _ball(w, tau), w, r, rng) for r in radii]
                slope = loss.gradient(w)
                right = -HessianLNEMetric(tau).solve(w, slope)
                direction = extrapolated(found)
                between.append(angle(direction, -LNEMetric(tau).solve(w, slope)))
                paper[target] = max(paper[target], between[-1])
                hessian.append(angle(direction, right))
                orders.append(check_order([angle(u, right) for u in found], radii, 1).order)
            squares.append(np.square(between))
    # Over all problems: in a single one the term in |t|^2 may happen to be nearly zero.
    typical = np.sqrt(np.mean(squares, axis=0))[-2:].tolist()
    small = check_order(typical, [math.sqrt(s) for s in targets[-2:]], 2).order
    alone = _one_weight(targets[0])
    named = {f"|t|^2 = {target:g}": value for target, value in paper.items()}
    return Evidence(
        Measurement(
            f"angle in radians between -g^-1 dL and the steepest direction, n = {list(dimensions)}",
            named,
            0.0,
            max(paper.values()),
            1e-3,
            "ten times what is allowed to the form that holds",
            uncertainty=max(hessian),
        ),
        resolution=[
            Measurement.all_near(
                "order in the radius with which the direction reaches its limit",
                orders,
                1.0,
                0.2,
                "slope over the radii; the next order remains",
            )
        ],
        also=[
            Measurement.vanishing(
                "angle between -h^-1 dL, h = diag(sech^2(tau w)), and the steepest direction",
                max(hessian),
                1e-4,
                "what the extrapolation in the radius leaves (third order in it)",
            ),
            Measurement.near(
                "order in |t| of the root mean square of the angle to -g^-1 dL, last two |t|^2",
                small,
                2.0,
                0.2,
                "slope between two sizes; the next order, |t|^4, remains",
            ),
            Measurement.vanishing(
                "n = 1: g and h are the same number; relative difference of the steps",
                alone,
                1e-12,
                "rounding",
            ),
        ],
        plots=[
            Plot(
                "The steepest direction in D is not that of Eq. 16",
                "|t|",
                "angle (radians)",
                [
                    Line(
                        "to -g^-1 dL, largest",
                        [math.sqrt(s) for s in paper],
                        list(paper.values()),
                        "points",
                    ),
                    Line(
                        "to -h^-1 dL, largest",
                        [math.sqrt(s) for s in paper],
                        [max(hessian)] * len(paper),
                        "dashed",
                    ),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _ball(w: np.ndarray, tau: float) -> Smooth:
    """The divergence D[w + d : w] as a function of d, with its derivatives."""
    phi = LNEPotential(tau)
    return Smooth(
        lambda d: phi.divergence(w + d, w),
        lambda d: phi.gradient_difference(w + d, w),
        lambda d: np.diag(phi.hessian(w + d)),
    )


def _one_weight(target: float) -> float:
    w, slope = np.array([0.3]), np.array([1.7])
    tau = float(auto_tau(w, target))
    step = float(LNEMetric(tau).solve(w, slope)[0])
    return relative(step, float(HessianLNEMetric(tau).solve(w, slope)[0]))


def _known_simplex(backend: Backend, dimensions: Sequence[int]) -> list[Measurement]:
    """Known projections, by the search of the checks below and by the library."""
    return known_projections(_simplex_minimum)(backend, dimensions)


_SIMPLEX = {"dimensions": (2, 3, 10, 40), "taus": (0.5, 1.0, 3.0), "seeds": (0, 1, 2)}


@claim(
    "simplex-projection",
    "sec. 3.4",
    guard=(_known_simplex, known_potential),
    cause="entropy-carried-over",
    quick=_SIMPLEX,
    full={"dimensions": (2, 3, 10, 40, 100), "seeds": tuple(range(6))},
)
def simplex_projection(
    backend: Backend, dimensions: Sequence[int], taus: Sequence[float], seeds: Sequence[int]
) -> Evidence:
    """Projecting y onto the simplex in the LNE divergence is a renormalisation, y / sum y.

    Measured: the point of the simplex with the least D[z : y], by a constrained search, for random
    positive y. Predicted by the paper: y / sum y. What holds: z_i = max(0, atanh(tanh(tau y_i) +
    nu) / tau) with one number nu, which is what the library computes. The renormalisation belongs
    to the entropy.
    """
    require_numbers("dimensions", dimensions, above=1, whole=True)
    require_numbers("taus", taus, above=0.0)
    simplex = Simplex()
    off: dict[str, float] = {}
    ours, worse, entropy, cases = [], 0, [], 0
    for tau in taus:
        phi = LNEPotential(tau)
        for n in dimensions:
            for seed in seeds:
                y = np.random.default_rng((seed, n)).gamma(1.0, 2.0 / n, size=n) + 0.01 / n
                found = _simplex_minimum(phi, y)
                name = f"tau = {tau:g}, n = {n}"
                distance = float(np.linalg.norm(found - y / y.sum()))
                off[name] = max(distance, off.get(name, 0.0))
                mine = simplex.project(phi, y)
                ours.append(float(np.abs(mine - found).max()))
                worse += int(phi.divergence(y / y.sum(), y) <= phi.divergence(mine, y))
                kl = simplex.project(NegativeEntropy(), y)
                entropy.append(float(np.abs(kl - y / y.sum()).max()))
                cases += 1
    noise = max(ours)
    return Evidence(
        Measurement(
            "distance of the projection to y / sum y, largest over the seeds",
            off,
            0.0,
            max(off.values()),
            1e-3,
            "far above the accuracy of the search (uncertainty)",
            uncertainty=noise,
        ),
        resolution=[
            Measurement.vanishing(
                "the search against the library's projection, largest entry",
                noise,
                1e-5,
                "the search stops at a relative change of the divergence of 1e-15, which fixes the "
                "point to about the square root of that over its curvature",
            )
        ],
        also=[
            Measurement(
                f"cases (of {cases}) in which y / sum y is as near to y as the projection",
                worse,
                0,
                float(worse),
                0.0,
                "a count",
            ),
            Measurement.vanishing(
                "projection in the Kullback-Leibler divergence minus y / sum y, largest entry",
                max(entropy),
                1e-12,
                "rounding",
            ),
        ],
    )


@claim(
    "simplex-radius",
    "sec. 3.4",
    guard=(_known_simplex, known_divergence, known_potential),
    cause="entropy-carried-over",
    quick={"dimensions": _SIMPLEX["dimensions"], "taus": _SIMPLEX["taus"]},
    full={"dimensions": (2, 3, 10, 40, 100)},
)
def simplex_radius(backend: Backend, dimensions: Sequence[int], taus: Sequence[float]) -> Evidence:
    """The squared radius of the simplex in the LNE potential, max Phi - min Phi, is log cosh n.

    Measured: max Phi - min Phi over the simplex, by a search that starts anywhere and the corners.
    Predicted by the paper: log cosh n. What holds: (log cosh tau - n log cosh(tau / n)) / tau^2,
    at most 1 / 2 for every n, of which log cosh n is an upper bound only.
    """
    require_numbers("dimensions", dimensions, above=1, whole=True)
    require_numbers("taus", taus, above=0.0)
    measured, library, formula, stated = {}, [], [], {}
    for tau in taus:
        phi = LNEPotential(tau)
        for n in dimensions:
            name = f"tau = {tau:g}, n = {n}"
            measured[name], stated[name] = _squared_radius(phi, n), _log_cosh(n)
            known = (_log_cosh(tau) - n * _log_cosh(tau / n)) / tau**2
            formula.append(relative(measured[name], known))
            library.append(relative(Simplex().squared_radius(phi, n), known))
    spare = min(stated[name] - measured[name] for name in stated)
    return Evidence(
        Measurement(
            "R^2 against log cosh n; smallest relative error over n and tau",
            measured,
            stated,
            min(relative(measured[name], stated[name]) for name in stated),
            1e-3,
            "far above the accuracy of the search",
            uncertainty=max(formula),
        ),
        resolution=[
            Measurement.vanishing(
                "the library's R^2 against the closed form; relative error",
                max(library),
                1e-9,
                "rounding of differences of logarithms",
            )
        ],
        also=[
            Measurement.vanishing(
                "R^2 against (log cosh tau - n log cosh(tau / n)) / tau^2; relative error",
                max(formula),
                1e-6,
                "accuracy of the search",
            ),
            Measurement(
                "log cosh n is an upper bound: smallest difference to R^2",
                spare,
                "at least 0",
                max(0.0, -spare),
                0.0,
                "an inequality",
            ),
            Measurement(
                "largest R^2: Phi is 1-smooth, so at most half the squared distance 1",
                max(measured.values()),
                0.5,
                max(0.0, max(measured.values()) - 0.5),
                0.0,
                "an inequality",
            ),
        ],
    )


def _log_cosh(x: float) -> float:
    return x + math.log1p(math.exp(-2 * x)) - math.log(2)


def _simplex_minimum(phi: LNEPotential, y: np.ndarray) -> np.ndarray:
    """The z >= 0 with sum 1 and the least D[z : y], by SLSQP from the centre."""
    n = len(y)
    start = phi.divergence(np.full(n, 1 / n), y)
    found = minimize(
        lambda z: float(phi.divergence(z, y) / start),
        np.full(n, 1 / n),
        jac=lambda z: phi.gradient_difference(z, y) / start,
        bounds=[(0.0, 1.0)] * n,
        constraints={"type": "eq", "fun": lambda z: z.sum() - 1, "jac": lambda z: np.ones(n)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return np.asarray(found.x)


def _squared_radius(phi: LNEPotential, n: int) -> float:
    """Largest minus smallest Phi over the simplex: the corners (Phi is convex), and a search."""
    corners = phi.value(np.eye(n))
    found = minimize(
        lambda z: float(phi.value(z)),
        np.random.default_rng(n).dirichlet(np.ones(n)),
        jac=phi.gradient,
        bounds=[(0.0, 1.0)] * n,
        constraints={"type": "eq", "fun": lambda z: z.sum() - 1, "jac": lambda z: np.ones(n)},
        method="SLSQP",
        options={"ftol": 1e-16, "maxiter": 1000},
    )
    return float(corners.max() - found.fun)


@claim(
    "mirror-descent-rate",
    "Thm 12",
    guard=(known_mirror_descent, known_potential, partial(known_divergence, dimensions=(10,))),
    repaired="With the true modulus rho = sech^2(tau R) and R^2, in place of the rho = 1 and "
    "R^2 = log cosh n that section 3.4 gives: those are the check mirror-descent-own-bound.",
    quick={"n": 10, "steps": (10, 100, 300), "taus": (0.5, 1.0, 3.0), "seeds": (0, 1)},
    full={"n": 30, "steps": (10, 100, 1000, 5000), "seeds": (0, 1, 2, 3)},
)
def mirror_descent_rate(
    backend: Backend, n: int, steps: Sequence[int], taus: Sequence[float], seeds: Sequence[int]
) -> Evidence:
    """After t steps of mirror descent with a potential that is rho-strongly convex, the averaged
    point of an L-Lipschitz convex f is within R L sqrt(2 / (rho t)) of the minimum.

    Measured: f(average) - f(minimiser) over that bound, for f(x) = |A (x - c)|_1 with random A and
    a known minimiser c, on the simplex and on a box, with the LNE potential and the step of the
    theorem; rho is the true modulus sech^2(tau) of the potential on the set, R^2 the divergence of
    c from the start, L a bound on all subgradients. Predicted: at most 1 in every run. With the
    rho = 1 that section 3.4 gives the potential the same bound does not hold: f(x) = |x - 1| from
    0 and one step exceed it by the factor tau / sqrt(2 log cosh tau) for every tau.
    """
    require_number("n", n, above=1, whole=True)
    require_numbers("steps", steps, above=0, whole=True, count=2)
    require_numbers("taus", taus, 0.0, 50.0)
    sets: dict[str, ConvexSet] = {"simplex": Simplex(), "box": Box(-1.0, 1.0)}
    ratios: dict[str, float] = {}
    own: list[float] = []
    gaps: list[float] = []
    bounds: list[float] = []
    negative = 0.0
    for tau in taus:
        for name, constraint in sets.items():
            for seed in seeds:
                gaps, bounds = [], []
                for t in steps:
                    gap, bound, run = _run(LNEPotential(tau), constraint, n, t, seed)
                    gaps.append(gap)
                    bounds.append(bound)
                    own.append(gap / run)
                    negative = max(negative, -gap)
                key = f"{name}, tau = {tau:g}"
                here = max(g / b for g, b in zip(gaps, bounds, strict=True))
                ratios[key] = max(here, ratios.get(key, 0.0))
    largest = max(ratios.values())
    paper = [_rho_one(LNEPotential(tau)) for tau in taus]
    exceeded = [tau / math.sqrt(2 * _log_cosh(tau)) for tau in taus]
    return Evidence(
        Measurement(
            f"largest gap over the bound with the true rho, t = {list(steps)}, n = {n}",
            ratios,
            "at most 1",
            max(0.0, largest - 1),
            0.0,
            "an inequality; one run above 1 is a counterexample",
        ),
        resolution=[
            Measurement.vanishing(
                "f below its known minimum: largest amount",
                negative,
                1e-12,
                "rounding; more would mean that the minimiser is not one",
            )
        ],
        also=[
            Measurement(
                "largest gap over R^2 / (eta t) + eta L^2 / (2 rho) with what the run itself met",
                max(own),
                "at most 1",
                max(0.0, max(own) - 1),
                0.0,
                "an inequality that holds for every step eta",
            ),
            Measurement(
                "with rho = 1 in place of the true modulus: gap over the bound for |x - 1|, t = 1",
                paper,
                exceeded,
                max(relative(m, e) for m, e in zip(paper, exceeded, strict=True)),
                1e-10,
                "rounding; every ratio is above 1",
            ),
            Measurement(
                "of these the smallest: above 1, so that the bound with rho = 1 is exceeded",
                min(paper),
                "above 1",
                max(0.0, 1 - min(paper)) + float(min(paper) == 1),
                0.0,
                "an inequality",
            ),
        ],
        plots=[
            Plot(
                f"Last case: {list(ratios)[-1]}",
                "steps t",
                "f(average) - f(minimiser)",
                [
                    Line("measured", [float(t) for t in steps], gaps, "points"),
                    Line("R L sqrt(2 / (rho t))", [float(t) for t in steps], bounds, "dashed"),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


@claim(
    "mirror-descent-own-bound",
    "Thm 12, sec. 3.4",
    guard=(known_mirror_descent, known_potential, partial(known_divergence, dimensions=(10,))),
    cause="tanh-saturates",
    quick={"n": 10, "steps": (1, 60), "taus": (0.5, 1.0, 12.0)},
    full={"steps": (1, 10, 100, 400), "taus": (0.5, 1.0, 2.0, 12.0, 50.0)},
)
def mirror_descent_own_bound(
    backend: Backend, n: int, steps: Sequence[int], taus: Sequence[float]
) -> Evidence:
    """With the numbers that section 3.4 gives, the simplex, rho = 1 and R^2 = log cosh n, the
    averaged point of mirror descent in the LNE potential is within R L sqrt(2 / (rho t)) of the
    minimum after t steps.

    Measured: the gap over that bound, in dimensions 2 and n, for f(x) = |c - x|_2, whose minimum is
    at a point c, and for linear functions with their minimum at a corner, with the step that the
    theorem gives with these numbers. Predicted: at most 1. Here R^2 is an overestimate, and rho
    too: the true modulus on the simplex is sech^2(tau). Condition: tau at most 1, where log cosh n
    / 1 is not below the true R^2 / rho, so that the bound follows from the true one.
    """
    require_number("n", n, above=1, whole=True)
    require_numbers("steps", steps, above=0, whole=True, count=2)
    require_numbers("taus", taus, 0.0, 60.0, count=2)
    ratios: dict[str, float] = {}
    implied: dict[str, float] = {}
    for tau in taus:
        potential = LNEPotential(tau)
        for size in sorted({2, n}):
            name = f"n = {size}, tau = {tau:g}"
            ratios[name] = max(
                _own_ratio(potential, size, t, kind) for t in steps for kind in (0, 1)
            )
            true = Simplex().squared_radius(potential, size) / potential.modulus(1.0)
            implied[name] = true / _log_cosh(size)
    small = {k: v for k, v in implied.items() if float(k.split("= ")[-1]) <= 1.0}
    kept = max(ratios[k] for k in small)
    return Evidence(
        Measurement(
            f"largest gap over the bound with rho = 1, R^2 = log cosh n, t = {list(steps)}",
            ratios,
            "at most 1",
            max(0.0, max(ratios.values()) - 1),
            0.0,
            "an inequality; one run above 1 is a counterexample",
        ),
        condition=Measurement(
            "tau at most 1: the true R^2 / rho over log cosh n, and the largest gap over the bound",
            {**small, "largest gap": kept},
            "at most 1",
            max(0.0, max(small.values()) - 1, kept - 1),
            0.0,
            "an inequality",
        ),
    )


def _own_ratio(potential: LNEPotential, n: int, steps: int, kind: int) -> float:
    """Gap over the bound of section 3.4 for one objective with Lipschitz constant 1."""
    goal = np.zeros(n)
    goal[0], goal[-1] = (0.8, 0.2) if kind == 0 else (1.0, 0.0)
    direction = np.full(n, 1 / math.sqrt(n))
    direction[0] = -1 / math.sqrt(n)
    radius = math.sqrt(_log_cosh(n))

    def value(x: np.ndarray) -> float:
        if kind:
            return float(direction @ (x - goal))
        return float(np.linalg.norm(x - goal))

    def slope(x: np.ndarray) -> np.ndarray:
        if kind:
            return direction
        return (x - goal) / max(float(np.linalg.norm(x - goal)), 1e-300)

    run = mirror_descent(
        slope,
        np.full(n, 1 / n),
        potential=potential,
        steps=steps,
        step_size=radius * math.sqrt(2.0 / steps),
        constraint=Simplex(),
    )
    return value(run.average) / mirror_descent_bound(radius, 1.0, 1.0, steps)


def _rho_one(potential: LNEPotential) -> float:
    """Gap over the bound of the theorem with rho = 1, for f(x) = |x - 1| from 0 and one step."""
    goal, start = np.ones(1), np.zeros(1)
    radius = math.sqrt(float(potential.divergence(goal, start)))
    run = mirror_descent(
        lambda x: np.sign(x - goal),
        start,
        potential=potential,
        steps=1,
        step_size=radius * math.sqrt(2.0),
        constraint=Box(-1.0, 1.0),
    )
    gap = float(np.abs(run.average - goal).sum())
    return gap / mirror_descent_bound(radius, 1.0, 1.0, 1)


def _run(
    potential: LNEPotential, constraint: ConvexSet, n: int, steps: int, seed: int
) -> tuple[float, float, float]:
    """Gap, bound of the theorem and bound of the run for one random problem."""
    rng = np.random.default_rng((seed, n))
    a = rng.normal(size=(n, n)) / math.sqrt(n)
    if isinstance(constraint, Simplex):
        minimiser, start = rng.dirichlet(np.ones(n)), np.full(n, 1 / n)
    else:
        minimiser, start = rng.uniform(-1, 1, size=n), np.zeros(n)
    minimiser = np.where(np.arange(n) % 2 == 0, minimiser, 0.0)
    if isinstance(constraint, Simplex):
        minimiser = minimiser / minimiser.sum()
    lipschitz = math.sqrt(n) * float(np.linalg.norm(a, 2))  # |A^T sign|_2 <= |A|_2 sqrt(n)
    modulus = potential.modulus(1.0)
    radius = math.sqrt(float(potential.divergence(minimiser, start)))
    step = radius / lipschitz * math.sqrt(2 * modulus / steps)

    def objective(x: np.ndarray) -> float:
        return float(np.abs(a @ (x - minimiser)).sum())

    run = mirror_descent(
        lambda x: np.sign(a @ (x - minimiser)) @ a,
        start,
        potential=potential,
        steps=steps,
        step_size=step,
        constraint=constraint,
    )
    if not bool(constraint.contains(run.average)):
        raise UnresolvedError(f"the averaged point left {constraint!r}")
    bound = mirror_descent_bound(radius, lipschitz, modulus, steps)
    return objective(run.average), bound, run.bound(minimiser).run
