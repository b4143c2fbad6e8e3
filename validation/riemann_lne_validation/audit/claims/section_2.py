"""Section 2: natural gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from riemann_lne import HessianLNEMetric, LNEMetric, auto_tau, check_order

from ...lab.parameters import require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_fits, known_metric, known_searches
from ..instruments.steepest import Smooth, angle, extrapolated, random_loss, sphere_minimum


@claim(
    "natural-gradient",
    "Def. 1",
    guard=(known_metric, known_searches, known_fits),
    quick={
        "dimensions": (2, 3, 10),
        "targets": (0.1, 0.5, 0.9),
        "seeds": (0, 1),
        "radii": (0.02, 0.01, 0.005, 0.0025),
        "draws": 2000,
    },
    full={"dimensions": (2, 3, 4, 10, 30), "seeds": (0, 1, 2, 3, 4), "draws": 20000},
)
def natural_gradient(
    backend: Backend,
    dimensions: Sequence[int],
    targets: Sequence[float],
    seeds: Sequence[int],
    radii: Sequence[float],
    draws: int,
) -> Evidence:
    """In a Riemannian metric g the direction of steepest descent of L for steps of unit g-length is
    -g^-1 dL.

    Measured: the step d of g-length r at which a random convex loss is least, by a constrained
    search that does not know the prediction, and its direction as r tends to 0; for Eq. 16 with
    several |t|^2, and for the Hessian metric at the same weights. Predicted: -g^-1 dL, with g^-1
    as the library applies it. Of random directions of unit g-length none may descend faster.
    """
    require_numbers("dimensions", dimensions, above=0, whole=True)
    require_numbers("targets", targets, 0.0, 1.0)
    require_numbers("radii", radii, 0.0, 0.1, count=3)
    angles: dict[str, float] = {}
    faster, orders = 0, []
    curve: list[float] = []
    for seed in seeds:
        for n in dimensions:
            rng = np.random.default_rng((seed, n))
            w, loss = 0.3 * rng.normal(size=n), random_loss(rng, n)
            slope = loss.gradient(w)
            for target in targets:
                tau = float(auto_tau(w, target))
                for metric in (LNEMetric(tau), HessianLNEMetric(tau)):
                    g = metric.matrix(w)
                    predicted = -metric.solve(w, slope)
                    found = [sphere_minimum(loss, _quadratic(g), w, r, rng) for r in radii]
                    curve = [angle(u, predicted) for u in found]
                    orders.append(check_order(curve, radii, 1).order)
                    name = f"{type(metric).__name__}, n = {n}"
                    here = angle(extrapolated(found), predicted)
                    angles[name] = max(here, angles.get(name, 0.0))
                    faster += _faster(g, slope, predicted, draws, rng)
    return Evidence(
        Measurement(
            f"angle in radians between -g^-1 dL and the steepest step as its length tends to 0; "
            f"largest over |t|^2 in {list(targets)} and {len(seeds)} seeds",
            angles,
            0.0,
            max(angles.values()),
            1e-4,
            "well above what the extrapolation in the length leaves (third order in it), and far "
            "below the angle at the shortest length",
        ),
        resolution=[
            Measurement.all_near(
                "order in the length of the step with which the angle vanishes",
                orders,
                1.0,
                0.2,
                "slope over the lengths; the next order remains",
            )
        ],
        also=[
            Measurement(
                f"random directions of unit g-length (of {draws} in each case) that descend faster",
                faster,
                0,
                float(faster),
                0.0,
                "a count",
            )
        ],
        plots=[
            Plot(
                "The steepest step turns to -g^-1 dL as it shortens (last case)",
                "length of the step",
                "angle (radians)",
                [
                    Line("measured", list(radii), curve, "points"),
                    Line(
                        "first order",
                        list(radii),
                        [curve[0] * r / radii[0] for r in radii],
                        "dashed",
                    ),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _quadratic(g: np.ndarray) -> Smooth:
    """Half the square of the g-length."""
    return Smooth(lambda d: 0.5 * d @ g @ d, lambda d: g @ d, lambda d: g)


def _faster(
    g: np.ndarray, slope: np.ndarray, predicted: np.ndarray, draws: int, rng: np.random.Generator
) -> int:
    """How many random directions of unit g-length have a more negative slope than the predicted."""
    u = rng.normal(size=(draws, len(slope)))
    u /= np.sqrt(np.sum(u * (u @ g), axis=1, keepdims=True))
    unit = predicted / np.sqrt(predicted @ g @ predicted)
    return int(np.sum(u @ slope < unit @ slope - 1e-12 * abs(unit @ slope)))
