"""Section 5: diagonal dominance of the LNE metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from riemann_lne import LNEMetric, max_tau

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Measurement, UnresolvedError, claim, relative
from ..guards import known_metric


@claim(
    "diagonal-dominance",
    "Def. 17, 18",
    guard=known_metric,
    quick={"dimensions": (2, 3, 10, 50), "draws": 30, "seed": 0, "scale": 0.5},
    full={"dimensions": (2, 3, 10, 50, 200), "draws": 100},
)
def diagonal_dominance(
    backend: Backend, dimensions: Sequence[int], draws: int, seed: int, scale: float
) -> Evidence:
    """Where the LNE metric g = I - t t^T is strictly diagonally dominant it is invertible.

    Measured: for random weights the largest tau with |g_ii| > sum_j |g_ij| in every row, bisected
    on the dense matrix, and the smallest singular value of g for tau at fractions of it. Predicted:
    never zero below that tau; and that tau is the root of max_i |t_i| sum_j |t_j| = 1, which
    ``max_tau`` solves in O(n). Dominance is not needed: between its limit and that of positive
    definiteness, |t|^2 = 1, g is invertible as well.
    """
    require_numbers("dimensions", dimensions, above=1, whole=True)
    require_number("draws", draws, above=0, whole=True)
    require_number("scale", scale, above=0.0)
    rng = np.random.default_rng(seed)
    smallest, limits, wrong, between, ratios = np.inf, [], 0, np.inf, {}
    for n in dimensions:
        here = []
        for _ in range(draws):
            x = scale * rng.normal(size=n)
            limit = float(max_tau(x, "diagonally-dominant"))
            limits.append(relative(limit, _bisected(x)))
            for factor in (0.1, 0.5, 0.9, 0.999, 1.001, 1.5):
                dominant = _dominant(x, factor * limit)
                wrong += int(dominant != (factor < 1))
                wrong += int(bool(LNEMetric(factor * limit).is_diagonally_dominant(x)) != dominant)
                if dominant:
                    smallest = min(smallest, _singular(x, factor * limit))
            definite = float(max_tau(x))
            here.append(definite / limit)
            between = min(between, _singular(x, (definite + limit) / 2))
        ratios[f"n = {n}"] = float(np.median(here))
    return Evidence(
        Measurement(
            f"smallest singular value of g over {draws} random weights for each n in "
            f"{list(dimensions)}, at tau where it is dominant",
            float(smallest),
            "above 0",
            1.0 if smallest < 1e-12 else 0.0,
            0.0,
            "1 if a singular value is below rounding (1e-12), else 0",
        ),
        resolution=[
            Measurement.vanishing(
                "largest tau with dominance: max_tau against bisection; relative error",
                max(limits),
                1e-9,
                "width of the bisection and rounding of the sums of a row",
            )
        ],
        also=[
            Measurement(
                "cases in which dominance of the dense matrix is not as the limit, or as "
                "is_diagonally_dominant, says",
                wrong,
                0,
                float(wrong),
                0.0,
                "a count",
            ),
            Measurement(
                "limit of positive definiteness over that of dominance, median for each n: above 1",
                ratios,
                "above 1",
                max(0.0, 1 - min(ratios.values())) + float(min(ratios.values()) == 1),
                0.0,
                "an inequality: dominance implies positive definiteness",
            ),
            Measurement(
                "smallest singular value half way between the limits: invertible, not dominant",
                float(between),
                "above 0",
                1.0 if between < 1e-12 else 0.0,
                0.0,
                "as for the claim",
            ),
        ],
    )


def _dominant(x: np.ndarray, tau: float) -> bool:
    """Strict diagonal dominance of the dense matrix, by its definition."""
    size = np.abs(LNEMetric(tau).matrix(x))
    diagonal = np.diag(LNEMetric(tau).matrix(x))
    return bool(np.all(np.abs(diagonal) > size.sum(axis=1) - np.diag(size)))


def _singular(x: np.ndarray, tau: float) -> float:
    return float(np.linalg.svd(LNEMetric(tau).matrix(x), compute_uv=False)[-1])


def _bisected(x: np.ndarray) -> float:
    """The tau up to which the dense matrix is dominant, known from its entries alone."""
    low, high = 0.0, 1e-3
    while _dominant(x, high):
        low, high = high, 2 * high
        if high > 1e9:
            raise UnresolvedError("the dense matrix is dominant for every tau: no limit to bisect")
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _dominant(x, middle) else (low, middle)
    return (low + high) / 2
