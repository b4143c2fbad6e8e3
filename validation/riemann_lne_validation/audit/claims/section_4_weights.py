"""Section 4: the LNE metric of Eq. 16 far away from the origin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from riemann_lne import LNEMetric, check_order, fit_power_law, max_tau

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim, relative
from ..guards import known_fits, known_metric
from ..instruments.differences import richardson


@claim(
    "lne-asymptotics",
    "Def. 13",
    guard=(known_metric, known_fits),
    cause="tanh-saturates",
    quick={
        "taus": (0.5, 1.0, 3.0),
        "dimensions": (2, 3, 10),
        "rays": 20,
        "radii": (1e2, 1e3, 1e4, 1e5, 1e6),
        "seed": 0,
        "step": 0.1,
    },
    full={"dimensions": (2, 3, 4, 10, 30), "rays": 200},
)
def lne_asymptotics(
    backend: Backend,
    taus: Sequence[float],
    dimensions: Sequence[int],
    rays: int,
    radii: Sequence[float],
    seed: int,
    step: float,
) -> Evidence:
    """Eq. 16 is asymptotically flat: gamma = g - I satisfies |d^k gamma| = O(r^(-iota - k)) with
    some iota > 0.

    Measured: the Frobenius norm of gamma on random rays, at distances r up to 1e6 / tau, for
    several tau, and of its first and second derivatives along a coordinate axis, by differences.
    Predicted by the paper: all of them vanish for large r, gamma as r^-iota. What holds:
    |gamma| = |t|^2 tends to n on all rays that lie in no coordinate plane; along an axis the
    derivatives tend to tau sqrt(2 (n - 1)) and tau^2 sqrt(2 n (n - 1)); and each of these rays
    leaves the region |t|^2 < 1 in which g is a metric at a finite r, so that g has no infinity to
    be flat at.
    """
    require_numbers("taus", taus, above=0.0)
    require_numbers("dimensions", dimensions, above=1, whole=True)
    require_numbers("radii", radii, above=1.0, count=3)
    require_number("rays", rays, above=0, whole=True)
    require_number("step", step, 0.0, 1.0)
    rng = np.random.default_rng(seed)
    sizes: dict[str, list[float]] = {}
    lines, exponents, first, second, orders = [], {}, {}, {}, {}
    reach: dict[str, float] = {}
    dimension: dict[str, int] = {}
    for tau in taus:
        lne, distances = LNEMetric(tau), [r / tau for r in sorted(radii)]
        near = (np.geomspace(0.1, 1e3, 33) / tau).tolist()
        for n in dimensions:
            name = f"tau = {tau:g}, n = {n}"
            dimension[name] = n
            u = rng.normal(size=(rays, n))
            u /= np.linalg.norm(u, axis=-1, keepdims=True)
            sizes[name] = [_mean_size(lne, r * u) for r in distances]
            lines.append(Line(name, near, [_mean_size(lne, r * u) for r in near]))
            far = distances[len(distances) // 2 :]
            if len(far) >= 3:
                exponents[name] = fit_power_law(far, sizes[name][-len(far) :]).exponent
            reach[name] = float(np.max(max_tau(u))) / tau
            one, two = _on_axis(lne, n, distances[-1], step / tau)
            first[name] = relative(one, tau * math.sqrt(2 * (n - 1)))
            second[name] = relative(two, tau**2 * math.sqrt(2 * n * (n - 1)))
            orders[name] = _order(lne, n, distances[-1], step / tau)
    last = {name: values[-1] for name, values in sizes.items()}
    return Evidence(
        Measurement(
            f"mean |gamma| over {rays} rays at r = {radii[-1]:g} / tau",
            last,
            0.0,
            max(last.values()),
            0.1,
            "an iota as small as 1 / 6 would bring it there from 1 at r = 1 / tau",
            same="it tends to n, whatever tau is",
        ),
        resolution=[
            Measurement.near(
                "order of the differences of gamma on the axis",
                orders,
                2.0,
                0.2,
                "slope over steps h, h / 2, h / 4",
            )
        ],
        also=[
            Measurement(
                "mean |gamma| there against n; relative error",
                last,
                dimension,
                max(relative(last[name], n) for name, n in dimension.items()),
                1e-3,
                "rays within 1e-5 of a coordinate plane, of which there are few, are not there yet",
                same="it tends to n, whatever tau is",
            ),
            Measurement(
                "power of r in the mean |gamma| over the farther half of the distances",
                exponents,
                0.0,
                max((abs(e) for e in exponents.values()), default=0.0),
                1e-3,
                "as above: an iota > 0 would be its negative",
            ),
            Measurement(
                "|d gamma| on an axis against tau sqrt(2 (n - 1)); relative error",
                first,
                0.0,
                max(first.values()),
                1e-6,
                "sixth power of the step times tau, after two Richardson steps",
                same="steps scale with 1 / tau, so that the errors are equal",
            ),
            Measurement(
                "|d^2 gamma| on an axis against tau^2 sqrt(2 n (n - 1)); relative error",
                second,
                0.0,
                max(second.values()),
                1e-6,
                "as above",
                same="steps scale with 1 / tau, so that the errors are equal",
            ),
            Measurement(
                "largest r at which a ray is still in the region where g is a metric",
                reach,
                "finite",
                0.0 if all(math.isfinite(r) for r in reach.values()) else math.inf,
                0.0,
                "an infinite one would be a ray on which the question could be asked",
            ),
        ],
        plots=[
            Plot(
                "Eq. 16 does not approach the identity",
                "r",
                "|gamma|, mean over rays",
                [
                    *lines,
                    Line("r^-1, as an example", near, [near[0] / r for r in near], "dashed"),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _mean_size(lne: LNEMetric, x: np.ndarray) -> float:
    """Mean over points of the Frobenius norm of gamma."""
    return float(_frobenius(lne.matrix(x) - np.eye(x.shape[-1])).mean())


def _frobenius(a: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(a, axis=(-2, -1)))


def _gamma(lne: LNEMetric, x: np.ndarray) -> np.ndarray:
    return np.asarray(lne.matrix(x) - np.eye(x.shape[-1]))


def _central(lne: LNEMetric, n: int, r: float, h: float) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivatives of gamma at distance r on the first axis, O(h^2)."""
    x = np.zeros(n)
    x[0] = r
    e = h * np.eye(n)
    first = np.stack([(_gamma(lne, x + d) - _gamma(lne, x - d)) / (2 * h) for d in e])
    second = np.empty((n, n, n, n))
    for a, b in product(range(n), repeat=2):
        if a == b:
            term = _gamma(lne, x + e[a]) - 2 * _gamma(lne, x) + _gamma(lne, x - e[a])
            second[a, a] = term / h**2
        else:
            p, q = e[a] + e[b], e[a] - e[b]
            term = _gamma(lne, x + p) - _gamma(lne, x + q) - _gamma(lne, x - q) + _gamma(lne, x - p)
            second[a, b] = term / (4 * h**2)
    return first, second


def _on_axis(lne: LNEMetric, n: int, r: float, h: float) -> tuple[float, float]:
    """Norms of the first and second derivatives, from three steps."""
    first, second = zip(*(_central(lne, n, r, h / 2**k) for k in range(3)), strict=True)
    a, b = richardson(*first), richardson(*second)
    return float(np.linalg.norm(a)), float(np.linalg.norm(b))


def _order(lne: LNEMetric, n: int, r: float, h: float) -> float:
    """Order with which |d gamma| approaches its limit."""
    exact = lne.tau * math.sqrt(2 * (n - 1))
    steps = [h, h / 2, h / 4]
    errors = [abs(float(np.linalg.norm(_central(lne, n, r, s)[0])) - exact) for s in steps]
    return check_order(errors, steps, 2).order
