"""Section 3: divergences and the metrics that belong to them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import rel_entr

from riemann_lne import check_order, lne_divergence
from riemann_lne.lne import EuclideanPotential, NegativeEntropy, Potential

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim, relative
from ..guards import known_differences, known_divergence
from ..instruments.differences import central_gradient, gradient, second_order_term


@claim(
    "euclidean-divergence",
    "Eq. 12, 13",
    guard=known_differences,
    quick={"dimensions": (1, 2, 3, 10), "seeds": (0, 1, 2), "scale": 1.0},
    full={"dimensions": (1, 2, 3, 10, 40), "seeds": (0, 1, 2, 3, 4)},
)
def euclidean_divergence(
    backend: Backend, dimensions: Sequence[int], seeds: Sequence[int], scale: float
) -> Evidence:
    """Half the squared distance, D[x : y] = |x - y|^2 / 2, is a divergence whose metric is the
    identity: D[x + d : x] = d^T I d / 2.

    Measured: the second-order term of D by central differences, as in the check of Thm 10, at
    random points in several dimensions; and D itself against d^T d / 2 for steps that are not
    small, because here the expansion is exact. Predicted: the identity, no higher terms.
    """
    require_numbers("dimensions", dimensions, above=0, whole=True)
    require_number("scale", scale, above=0.0)
    potential = EuclideanPotential()
    step = 0.1 * scale
    off, halved, exact = [], [], []
    for n in dimensions:
        for seed in seeds:
            rng = np.random.default_rng((seed, n))
            x, d = scale * rng.normal(size=(2, n))
            eye = np.eye(n)
            term = second_order_term(potential.divergence, x, step)
            again = second_order_term(potential.divergence, x, step / 2)
            off.append(float(np.abs(term - eye).max()))
            halved.append(float(np.abs(again - term).max()))
            exact.append(relative(float(potential.divergence(x + d, x)), float(d @ d / 2)))
    # (x + h) - x is wrong by eps |x|, so h^2 by eps |x| h; the shortest step is step / 8.
    rounding = 4 * np.finfo(float).eps * 5 * scale / (step / 8) * 10
    return Evidence(
        Measurement.vanishing(
            f"largest entry of G - I, n = {list(dimensions)}, {len(seeds)} seeds",
            max(off),
            rounding,
            "rounding of x + d - x over the shortest step, ten times for the sums; no truncation "
            "error, since D is quadratic",
        ),
        resolution=[
            Measurement.vanishing(
                "change of G when all steps are halved",
                max(halved),
                rounding,
                "as above: nothing but rounding may depend on the step",
            )
        ],
        also=[
            Measurement.vanishing(
                "D[x + d : x] over |d|^2 / 2 for random d of the size of x; relative error",
                max(exact),
                1e-12,
                "rounding",
            )
        ],
    )


@claim(
    "bregman-examples",
    "Def. 8, Rem. 9",
    guard=known_divergence,
    quick={"dimensions": (2, 3, 10), "seeds": (0, 1, 2), "step": 0.05},
    full={"dimensions": (2, 3, 10, 100), "seeds": tuple(range(20))},
)
def bregman_examples(
    backend: Backend, dimensions: Sequence[int], seeds: Sequence[int], step: float
) -> Evidence:
    """The Bregman divergence of sum xi^2 / 2 is half the squared distance, and that of the negative
    entropy sum p log p on probabilities is the Kullback-Leibler divergence.

    Measured: D[x : y] = Phi(x) - Phi(y) - (x - y) . grad Phi(y) from values of Phi alone, the
    gradient by differences, at random probability vectors and random weights. Predicted:
    |x - y|^2 / 2, and sum p log(p / q) from SciPy. On positive vectors of different sums the
    divergence of the entropy is sum p log(p / q) - p + q: the plain sum is not one there. The
    library's closed forms are compared as well.
    """
    require_numbers("dimensions", dimensions, above=1, whole=True)
    require_number("step", step, 0.0, 0.5)
    square, entropy = EuclideanPotential(), NegativeEntropy()
    errors: dict[str, list[float]] = {"Euclidean": [], "Kullback-Leibler": []}
    closed, unequal, gap, negative = [], [], [], []
    orders = []
    for n in dimensions:
        for seed in seeds:
            rng = np.random.default_rng((seed, n))
            x, y = rng.normal(size=(2, n))
            half = float((x - y) @ (x - y) / 2)
            errors["Euclidean"].append(relative(_bregman(square, x, y, step), half))
            p, q = (rng.dirichlet(np.full(n, 2.0)) for _ in "pq")
            kl = float(rel_entr(p, q).sum())
            errors["Kullback-Leibler"].append(relative(_bregman(entropy, p, q, step), kl))
            closed.append(relative(float(square.divergence(x, y)), half))
            closed.append(relative(float(entropy.divergence(p, q)), kl))
            c = float(np.exp(rng.normal()))
            plain = float(rel_entr(p, c * q).sum())
            unequal.append(relative(_bregman(entropy, p, c * q, step), plain - 1 + c))
            gap.append(abs(c - 1))
            negative.append(plain)
            orders.append(_gradient_order(entropy, q, step))
    largest = {name: max(values) for name, values in errors.items()}
    reason = (
        "sixth power of the relative step of the differences: their error after two Richardson "
        "steps is a fraction of it, times the ratio of (x - y) . grad Phi to D"
    )
    tolerance = max(step**6, 1e-10)
    return Evidence(
        Measurement(
            f"relative error of the Bregman divergence, n = {list(dimensions)}, {len(seeds)} seeds",
            largest,
            0.0,
            max(largest.values()),
            tolerance,
            reason,
        ),
        resolution=[
            Measurement.all_near(
                "order of the central differences of the entropy",
                orders,
                2.0,
                0.2,
                "slope over steps h, h / 2, h / 4",
            )
        ],
        also=[
            Measurement.vanishing(
                "the library's closed forms against half the squared distance and SciPy's entropy",
                max(closed),
                1e-12,
                "rounding, and the cancellation in sum p log(p / q) for p next to q",
            ),
            Measurement.vanishing(
                "sums that differ: D against sum p log(p / q) - p + q; relative error",
                max(unequal),
                tolerance,
                reason,
            ),
            Measurement(
                "there the plain sum p log(p / q) is negative for some pairs: smallest value",
                min(negative),
                "below 0",
                max(0.0, min(negative)),
                0.0,
                "one negative value shows that it is no divergence off the simplex",
            ),
        ],
    )


def _bregman(potential: Potential, x: np.ndarray, y: np.ndarray, step: float) -> float:
    """D[x : y] by its definition, from values of the potential alone."""
    slope = gradient(potential.value, y, step)
    return float(potential.value(x) - potential.value(y) - (x - y) @ slope)


def _gradient_order(potential: Potential, y: np.ndarray, step: float) -> float:
    exact = np.log(y)
    steps = [step, step / 2, step / 4]
    errors = [float(np.abs(central_gradient(potential.value, y, h) - exact).max()) for h in steps]
    return check_order(errors, steps, 2).order


@claim(
    "divergence-criteria",
    "Def. 7",
    guard=(known_divergence, known_differences),
    quick={
        "dimensions": (1, 2, 10, 1000),
        "taus": (0.1, 1.0, 10.0),
        "reach": 8.0,
        "draws": 300,
        "seed": 0,
        "nodes": 20,
    },
    full={"dimensions": (1, 2, 10, 1000, 100000), "taus": (0.01, 0.1, 1.0, 10.0, 100.0)},
)
def divergence_criteria(
    backend: Backend,
    dimensions: Sequence[int],
    taus: Sequence[float],
    reach: float,
    draws: int,
    seed: int,
    nodes: int,
) -> Evidence:
    """The LNE divergence D is a divergence: D >= 0, D = 0 only where both arguments are equal, and
    its second-order term is a positive definite matrix.

    Measured: D at random pairs with |tau xi_i| up to `reach`, from far apart to 1e-8 apart, with
    the signs counted; D against the integral of (1 - s) sech^2(tau (y + s (x - y))) (x - y)^2 over
    s from 0 to 1, whose integrand is positive and which is Taylor's formula; and the smallest
    eigenvalue of the second-order term, by differences. Predicted: no exception, and the integral.
    """
    require_numbers("dimensions", dimensions, above=0, whole=True)
    require_numbers("taus", taus, above=0.0)
    # From 350 on sech^2 leaves the range of double precision, and D underflows to zero.
    require_number("reach", reach, 0.0, 300.0)
    require_number("nodes", nodes, above=3, whole=True)
    rng = np.random.default_rng(seed)
    wrong = {"D < 0 or not a number": 0, "D = 0 for x different from y": 0, "D[x : x] not 0": 0}
    errors, coarse, eigenvalues = [], [], []
    checked = 0
    for tau in taus:
        for n in dimensions:
            count = max(2, min(draws, 200000 // n))
            y = reach / tau * rng.uniform(-1, 1, size=(count, n))
            size = 10.0 ** rng.uniform(-8, 0, size=(count, 1))
            x = y + size * (reach / tau * rng.uniform(-1, 1, size=(count, n)) - y)
            d = lne_divergence(x, y, tau)
            differs = np.any(x != y, axis=-1)
            wrong["D < 0 or not a number"] += int(np.sum(~(d >= 0)))
            wrong["D = 0 for x different from y"] += int(np.sum((d == 0) & differs))
            wrong["D[x : x] not 0"] += int(np.sum(lne_divergence(x, x, tau) != 0))
            checked += count
            few = slice(0, max(1, min(count, 5000 // n)))
            exact = _integral(x[few], y[few], tau, nodes * math.ceil(reach))
            less = _integral(x[few], y[few], tau, nodes * math.ceil(reach) // 2)
            errors.append(float(np.abs(d[few] / exact - 1).max()))
            coarse.append(float(np.abs(less / exact - 1).max()))
            if n <= 10:
                eigenvalues.append(_smallest_eigenvalue(y[0] / reach, tau))
    total = sum(wrong.values())
    lowest = min(e for e, _ in eigenvalues)
    agreement = max(abs(e / exact - 1) for e, exact in eigenvalues)
    return Evidence(
        Measurement(
            f"exceptions among {checked} pairs, n = {list(dimensions)}, tau = {list(taus)}; and "
            "whether the smallest eigenvalue of the second-order term is positive",
            {**wrong, "smallest eigenvalue": lowest},
            "no exception, positive",
            float(total) + max(0.0, -lowest) + float(lowest == 0.0),
            0.0,
            "a count; a negative value or eigenvalue is a counterexample",
        ),
        resolution=[
            Measurement.vanishing(
                f"the integral with half as many nodes as {nodes} times the reach; relative change",
                max(coarse),
                1e-10,
                "Gauss's rule converges exponentially; poles of sech^2 lie pi / 2 from the path",
            )
        ],
        also=[
            Measurement.vanishing(
                "D against the integral of a positive function; relative error",
                max(errors),
                1e-10,
                "rounding, summed over the nodes; pairs are down to 1e-8 apart, where a difference "
                "of logarithms would have lost all digits",
            ),
            Measurement.vanishing(
                "smallest eigenvalue of the second-order term (differences) against the smallest "
                "sech^2(tau x_i), |tau x_i| <= 1; relative error",
                agreement,
                1e-6,
                "truncation error h^6 of the extrapolated differences, and rounding eps / h^2",
            ),
        ],
        plots=[_divergence_plot(reach)],
    )


def _integral(x: np.ndarray, y: np.ndarray, tau: float, nodes: int) -> np.ndarray:
    """Taylor's formula for D in integral form, by Gauss's rule, row by row."""
    s, weights = np.polynomial.legendre.leggauss(nodes)
    total = np.zeros(len(x))
    for node, weight in zip((s + 1) / 2, weights / 2, strict=True):
        bend = np.cosh(tau * (y + node * (x - y))) ** -2.0
        total += weight * (1 - node) * np.sum(bend * (x - y) ** 2, axis=-1)
    return total


def _smallest_eigenvalue(x: np.ndarray, tau: float) -> tuple[float, float]:
    """Of the second-order term by differences, and the closed form's."""

    def divergence(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return lne_divergence(a, b, tau)

    measured = second_order_term(divergence, x, 0.1 / tau)
    return float(np.linalg.eigvalsh(measured)[0]), float(np.min(np.cosh(tau * x) ** -2.0))


def _divergence_plot(reach: float) -> Plot:
    """D of one weight from 1 / 2, next to half the squared distance."""
    x = np.linspace(-reach / 2, reach / 2, 81)
    base = np.full((81, 1), 0.5)

    def lne(tau: float) -> list[float]:
        return lne_divergence(x[:, None], base, tau).tolist()

    return Plot(
        "D[x : 1/2] for one weight: positive but at 1/2",
        "x",
        "D",
        [
            Line("tau = 1", x.tolist(), lne(1.0)),
            Line("tau = 3", x.tolist(), lne(3.0)),
            Line("half the squared distance", x.tolist(), ((x - 0.5) ** 2 / 2).tolist(), "dashed"),
        ],
    )
