"""Section 5: what the inverse of the LNE metric costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from riemann_lne import LNEMetric, auto_tau
from riemann_lne.lne import strong_inverse

from ..audit import Evidence, Line, Measurement, Plot, claim, require
from ..backends import Backend
from ..guards import known_metric
from ..parameters import require_number, require_numbers
from ..timing import geometric_sizes, growth, median, one_torch_thread, quartile_range, sample


@claim(
    "inverse-cost",
    "sec. 5.1",
    guard=partial(known_metric, dimensions=(10, 50)),
    cause="exact-inverse-overlooked",
    quick={
        "smallest": 100,
        "largest": 1000000,
        "dense": (100, 147, 215, 316, 464, 681, 1000),
        "rounds": 9,
        "seed": 0,
    },
    full={"largest": 10000000, "dense": (100, 147, 215, 316, 464, 681, 1000, 1468), "rounds": 15},
)
def inverse_cost(
    backend: Backend, smallest: int, largest: int, dense: Sequence[int], rounds: int, seed: int
) -> Evidence:
    """The inverse of the LNE metric is costly, as that of a general matrix, so that an approximate
    one is needed.

    Measured: processor seconds of g^-1 v by the exact O(n) formula, by the weak inverse, and by a
    dense solver (the matrix given), medians of interleaved runs, beside those of one plain pass
    v + c x over the same numbers, which is linear by counting and meets the same caches and
    page faults. The power p in overhead + factor pass^p is fitted with its interval. Predicted by
    the paper: the exact inverse grows as a dense one, n^3. What holds: it grows as n, and costs
    hardly more than the weak one. The cost of the trained inverse of Eq. 28 is measured in the
    check strong-inverse. Times differ from run to run: their scatter is the uncertainty.
    """
    require_number("smallest", smallest, above=1, whole=True)
    require_number("largest", largest, above=99 * smallest, whole=True)
    require_numbers("dense", dense, above=1, whole=True, count=5)
    require_number("rounds", rounds, above=2, whole=True)
    rng = np.random.default_rng(seed)
    sizes = geometric_sizes(smallest, largest)
    times = [_vector_times(rng.normal(size=(2, n)), rounds) for n in sizes]
    exact = [median(t["exact"]) for t in times]
    weak = [median(t["weak"]) for t in times]
    solver = [_dense_time(rng.normal(size=(2, n)), rounds) for n in dense]
    plain = [median(t["pass"]) for t in times]
    fits = {"exact": growth(plain, exact), "weak": growth(plain, weak)}
    general = growth(dense, solver, overhead=False)
    linear = max(abs(f.exponent - 1) for f in fits.values())
    pairs = times[-1]["exact"] / times[-1]["weak"]
    worst = max(f.half_width for f in fits.values())
    nearest = "half the distance to the next whole power: scatter and caches are the uncertainty"
    return Evidence(
        Measurement(
            f"power of n (of a plain pass) in the cost of the exact inverse, n = {smallest} to "
            f"{largest}",
            fits["exact"].exponent,
            3.0,
            abs(fits["exact"].exponent - 3),
            0.5,
            nearest,
            uncertainty=fits["exact"].half_width,
        ),
        also=[
            Measurement(
                "power of n (of a plain pass), exact and weak inverse",
                {name: fit.exponent for name, fit in fits.items()},
                1.0,
                linear,
                0.5,
                nearest,
                uncertainty=worst,
            ),
            Measurement(
                f"cost of the exact over that of the weak inverse at n = {sizes[-1]}, median",
                median(pairs),
                1.0,
                max(0.0, median(pairs) - 1),
                1.0,
                "the exact inverse needs |t|^2 besides t . v: less than twice the passes",
                uncertainty=quartile_range(pairs),
            ),
            Measurement(
                f"power of n, dense solver, n = {list(dense)}: between 2 and 4",
                general.exponent,
                3.0,
                abs(general.exponent - 3),
                1.0,
                "n^3 operations, whose speed changes with n by caches and blocking",
                uncertainty=general.half_width,
            ),
        ],
        plots=[
            Plot(
                "Processor seconds for g^-1 v",
                "n",
                "seconds",
                [
                    Line("exact", [float(n) for n in sizes], exact),
                    Line("weak", [float(n) for n in sizes], weak, "points"),
                    Line("one pass v + c x", [float(n) for n in sizes], plain, "dashed"),
                    Line("dense solver", [float(n) for n in dense], solver),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _vector_times(pair: np.ndarray, rounds: int) -> dict[str, np.ndarray]:
    x, v = pair
    lne = LNEMetric(float(auto_tau(x, 0.5)))
    functions = {
        "exact": lambda: lne.solve(x, v),
        "weak": lambda: lne.solve(x, v, method="weak"),
        "pass": lambda: v + 0.5 * x,
    }
    return sample(functions, rounds)


def _dense_time(pair: np.ndarray, rounds: int) -> float:
    x, v = pair
    g = LNEMetric(float(auto_tau(x, 0.5))).matrix(x)
    return median(sample({"dense": lambda: np.linalg.solve(g, v)}, rounds)["dense"])


@claim(
    "strong-inverse",
    "Eq. 28",
    guard=known_metric,
    quick={"dimensions": (2, 8, 12), "targets": (0.1, 0.5), "steps": 300, "seed": 0},
    full={"dimensions": (2, 4, 8, 16, 22), "targets": (0.1, 0.5, 0.9), "steps": 900},
)
def strong_inverse_error(
    backend: Backend, dimensions: Sequence[int], targets: Sequence[float], steps: int, seed: int
) -> Evidence:
    """A network with one hidden layer, trained on |I - g G|^2 from the entries of g to those of G,
    inverts the LNE metric.

    Measured: |I - g G| (Frobenius) after training at random weights, and after a third of the
    steps; its numbers to train; its time beside that of the exact formula for all n columns of the
    inverse, in the same run. Predicted: 0. It holds, at a price: the numbers to train grow as n^4,
    and the time is thousands of times that of the exact inverse, which is also more accurate. The
    width of the network and its training are the library's choice: the paper gives none.
    """
    require("torch", "torch", "strong-inverse")
    require_numbers("dimensions", dimensions, 1, 23, count=2, whole=True)
    require_numbers("targets", targets, 0.0, 1.0)
    require_number("steps", steps, above=29, whole=True)
    import torch

    residuals, early, exact, ratios, counts = {}, {}, [], [], {}
    for n in sorted(dimensions):
        x = np.random.default_rng((seed, n)).normal(size=n)
        for target in targets:
            lne = LNEMetric(float(auto_tau(x, target)))
            g, eye = lne.matrix(x), np.eye(n)
            columns = np.broadcast_to(x, (n, n))
            with one_torch_thread(torch):
                trained = strong_inverse(g, steps=steps, seed=seed)
                less = strong_inverse(g, steps=steps // 3, seed=seed)
            name = f"n = {n}, |t|^2 = {target:g}"
            residuals[name] = trained.residual
            early[name] = less.residual
            exact.append(float(np.linalg.norm(g @ lne.solve(columns, eye) - eye)))
            functions = {"exact": partial(lne.solve, columns, eye)}
            ratios.append(trained.seconds / median(sample(functions, 5)["exact"]))
            counts[n] = trained.parameters
    last, final = list(counts)[-2:]
    power = float(np.log(counts[final] / counts[last]) / np.log(final / last))
    largest = max(residuals.values())
    return Evidence(
        Measurement(
            f"|I - g G| after {steps} steps of training",
            residuals,
            0.0,
            largest,
            1e-3,
            "a tenth of the weak inverse's error |t|^4 at |t|^2 = 0.1",
        ),
        resolution=[
            Measurement(
                f"largest |I - g G| over that after {steps // 3} steps: training converges",
                largest / max(early.values()),
                0.0,
                largest / max(early.values()),
                0.1,
                "at least a factor ten from three times the steps",
            )
        ],
        also=[
            Measurement(
                f"power of n in the numbers to train, n = {last} to {final}",
                power,
                4.0,
                abs(power - 4),
                0.4,
                "2 m^2 + 2 m with m = n (n + 1) / 2 from n = 6 on: the power tends to 4 from below",
            ),
            Measurement(
                "time of the training over that of the exact inverse: above 100",
                {"smallest": min(ratios), "largest": max(ratios)},
                "above 100",
                max(0.0, 100 - min(ratios)),
                0.0,
                "an inequality that leaves a wide margin for the scatter of times",
            ),
            Measurement(
                "|I - g G| of the exact inverse",
                max(exact),
                0.0,
                max(exact),
                1e-13,
                "rounding, amplified by the condition number of at most 10",
            ),
        ],
    )
