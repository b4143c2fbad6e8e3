"""Section 5: the gradient that the LNE metric gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from riemann_lne import LNEMetric, auto_tau, check_order

from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_fits, known_metric


@claim(
    "weak-inverse",
    "Cor. 19",
    guard=(lambda backend, n: known_metric(backend, (n,)), known_fits),
    cause="exact-inverse-overlooked",
    quick={"n": 50, "targets": (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.9), "seed": 0},
    full={"n": 400},
)
def weak_inverse(backend: Backend, n: int, targets: Sequence[float], seed: int) -> Evidence:
    """I + t t^T is the inverse of g = I - t t^T.

    Measured: the Frobenius norm of g (I + t t^T) - I, with the dense product, at random weights
    with tau chosen for given |t|^2. Predicted by the paper's form: zero (it neglects a term). What
    holds: the error is exactly -|t|^2 t t^T, of fourth order in |t|; the exact inverse is I + t t^T
    / s, s = 1 - |t|^2, at the same cost. Condition: weights so small that |t|^4 may be neglected.
    """
    x = np.random.default_rng(seed).normal(size=n)
    weak, remainder, exact = [], [], []
    eye = np.eye(n)
    for target in targets:
        lne = LNEMetric(float(auto_tau(x, target)))
        g = lne.matrix(x)
        t = np.tanh(lne.tau * x)
        # Columns of the inverses, as the optimiser would get them.
        columns = np.broadcast_to(x, (n, n))
        error = g @ lne.solve(columns, eye, method="weak").T - eye
        weak.append(float(np.linalg.norm(error)))
        remainder.append(float(np.abs(error + target * np.outer(t, t)).max()))
        exact.append(float(np.linalg.norm(g @ lne.solve(columns, eye, method="exact").T - eye)))
    sizes = [float(np.sqrt(s)) for s in targets]
    report = check_order(weak, sizes, 4)
    return Evidence(
        Measurement(
            f"|g (I + t t^T) - I|_F for |t|^2 = {list(targets)}",
            weak,
            0.0,
            max(weak),
            1e-10,
            "rounding of the dense product",
            uncertainty=1e-12,
        ),
        condition=Measurement.near(
            "order of the error in |t|: for small |t| the weak inverse is right to |t|^4",
            report.order,
            4.0,
            0.05,
            "slope over the targets",
        ),
        also=[
            Measurement(
                "largest entry of [g (I + t t^T) - I] + |t|^2 t t^T",
                remainder,
                0.0,
                max(remainder),
                1e-13,
                "rounding",
            ),
            Measurement(
                "|g (I + t t^T / s) - I|_F, the exact inverse",
                exact,
                0.0,
                max(exact),
                1e-12,
                "rounding, amplified by the condition number 1 / s of at most 10",
            ),
        ],
        plots=[
            Plot(
                "Error of the weak inverse",
                "|t|",
                "Frobenius norm",
                [
                    Line("measured", sizes, weak, "points"),
                    Line("|t|^4", sizes, [s**4 for s in sizes], "dashed"),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )
