"""Section 6: the defect N of one step of the discrete Ricci flow, as it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from riemann_lne import LNEMetric, discrete_flow_defect
from riemann_lne.lne import discrete_flow_defect_of_steps

from ..backends import Backend
from ..frame import Evidence, Measurement, claim
from ..guards import known_defect, known_metric


def _exact_defect(backend: Backend) -> Measurement:
    """N of rational vectors by fractions, from the dense matrix of Eq. 35."""
    errors = []
    for n in (1, 2, 5):
        five = [[Fraction((3 * i + 2 * a) % 7 - 3, 10 + a) for i in range(n)] for a in range(5)]
        for dk, dj in ((2, 3), (-1, 2), (2, -4)):
            total = Fraction(0)
            for i in range(n):
                for j in range(n):
                    p, k1, k2, j1, j2 = (int(i == j) - t[i] * t[j] for t in five)
                    total += (p - k1 - (k1 - k2) / dk + (j1 - j2) / dj) ** 2
            a, b, c, d, e = (np.array(t, dtype=float) for t in five)
            for centre in (None, np.array(five[3], dtype=float)):
                found = float(discrete_flow_defect(a, b, c, d, e, dk, dj, center=centre))
                errors.append(abs(found / float(total) - 1))
    return Measurement.vanishing(
        "N of rational vectors against fractions, n = 1, 2, 5; relative error",
        max(errors),
        1e-12,
        "rounding",
    )


@claim(
    "flow-defect",
    "Eq. 35",
    quick={
        "dimensions": (1, 3, 10, 40),
        "taus": (0.5, 1.0, 2.0),
        "shifts": ((2, 3), (-1, 2), (2, -4)),
        "seed": 0,
    },
    full={"dimensions": (1, 3, 10, 40, 200)},
    guard=(_exact_defect, known_defect, known_metric),
)
def flow_defect(
    backend: Backend,
    dimensions: Sequence[int],
    taus: Sequence[float],
    shifts: Sequence[Sequence[int]],
    seed: int,
) -> Evidence:
    """The regulariser N of Eq. 35, a squared norm of n by n matrices, is a sum of inner products of
    five vectors, at the cost of O(n).

    Measured: N by the library's two forms, from tanh and from the virtual steps, against the
    Frobenius norm of the dense matrices of Eq. 35, for several tau and shifts; and how both grow
    when the steps are halved. Predicted: the same number, and the second power of the steps.
    """
    direct, stepped, halved = [], [], []
    for n in dimensions:
        for tau in taus:
            rng = np.random.default_rng((seed, n))
            lne = LNEMetric(tau)
            w = rng.normal(size=n) / (2 * tau * np.sqrt(n))
            steps = 0.3 * rng.normal(size=(5, n)) / (tau * np.sqrt(n))
            for dk, dj in shifts:
                after, k1, k2, j1, j2 = (lne.matrix(w + step) for step in steps)
                dense = float(np.sum((after - k1 - (k1 - k2) / dk + (j1 - j2) / dj) ** 2))
                a, b, c, d, e = np.tanh(tau * (w + steps))
                direct.append(abs(float(discrete_flow_defect(a, b, c, d, e, dk, dj)) / dense - 1))
                small = []
                for size in (1.0, 1e-3, 5e-4):
                    a, b, c, d, e = size * steps
                    found = discrete_flow_defect_of_steps(w, a, b, c, d, e, dk, dj, tau)
                    small.append(float(found))
                stepped.append(abs(small[0] / dense - 1))
                halved.append(float(np.log2(small[1] / small[2])))
    worst = max(*direct, *stepped)
    return Evidence(
        Measurement(
            f"N in O(n) against dense matrices, {len(direct)} cases, tau = {list(taus)}; relative",
            {"from tanh": max(direct), "from steps": max(stepped)},
            0.0,
            worst,
            1e-10,
            "rounding of the dense sum",
        ),
        also=[
            Measurement.all_near(
                "power of the virtual steps in N",
                halved,
                2.0,
                0.05,
                "steps of 1e-3 and half of it; the next order remains",
            )
        ],
    )
