"""Flows that are run by the core in one process and by several processes, for comparison.

A case takes ``solve`` and ``share``, which makes the grid of a run from a whole one, and returns
the solution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

import riemann_lne as rl
from riemann_lne import analysis, events, exact

Case = Callable[[Any, Any], Any]
DETURCK = rl.RicciDeTurckFlow()
OBSERVE: dict[str, Any] = {
    "volume": analysis.volume,
    "largest": analysis.scalar_curvature_max,
    "smallest": analysis.scalar_curvature_min,
    "riemann": analysis.curvature_max,
    "bianchi": analysis.bianchi_residual,
    "distance": lambda metric: metric.l2_distance(metric.mean()),
    "entropy": lambda metric: analysis.perelman_w(
        metric, np.sin(metric.grid.coordinates()[-1]), 0.5
    ),
}


def torus(shape: tuple[int, ...], method: str, **options: Any) -> Case:
    def run(solve: Any, share: Any) -> Any:
        g = rl.perturbed_euclidean(share(rl.Grid.torus(shape, origin=0.3)), 0.2, seed=3)
        return solve(g, DETURCK, (0.0, 0.04), method, **options)

    return run


def sphere(solve: Any, share: Any) -> Any:
    """Every end driven, of order 6, an event that ends it."""
    solution = exact.round_sphere(2)
    g = solution.field(0.0, share(solution.grid(33)))
    stop = events.CurvatureAbove(2.2, measure="ricci", order=6)
    return solve(g, rl.RicciFlow(), (0, 0.1), "rkl2", order=6, kernel="plain", events=stop,
                 boundary=solution.metric, observe={"volume": OBSERVE["volume"]})  # fmt: skip


def channel(kernel: str, method: str) -> Case:
    """A periodic axis, one with reflecting ends, one held and free."""

    def run(solve: Any, share: Any) -> Any:
        grid = rl.Grid((18, 17, 16), (0, 0, 0), (2 * np.pi, np.pi, 1), (True, False, False))

        def metric(x: Any, y: Any, z: Any) -> Any:
            a = 1 + 0.1 * np.cos(x) * np.cos(y)
            b = 0.05 * np.sin(x) * np.sin(y)
            return [[a, b, 0.02], [b, a + 0.1 * z, b], [0.02, b, a]]

        g = rl.MetricField.from_function(share(grid), metric)
        return solve(g, DETURCK, (0, 0.01), method, kernel=kernel, order=4, t_eval=[0.004, 0.01],
                     boundary={1: "reflecting", (2, "upper"): "free"}, observe=OBSERVE,
                     dense_output=True)  # fmt: skip

    return run


def with_background(kernel: str) -> Case:
    """A background that is a function of time and place; driven ends in three dimensions."""

    def run(solve: Any, share: Any) -> Any:
        solution = exact.hyperbolic(3)
        grid = share(solution.grid(16))
        g = solution.field(0.0, grid)
        flow = rl.RicciDeTurckFlow(background=solution.metric)
        return solve(g, flow, (0, 0.004), "bs32", kernel=kernel, boundary=solution.metric,
                     max_steps=3)  # fmt: skip

    return run


def normalized(solve: Any, share: Any) -> Any:
    """The mean of a curvature in every right-hand side; a background field; a steady state."""
    grid = share(rl.Grid.torus((24, 25)))
    g = rl.perturbed_euclidean(grid, 0.2, seed=5)
    flow = rl.NormalizedRicciFlow(rl.RicciDeTurckFlow(background=g.mean()))
    ends = [events.SteadyState(0.05), events.Degenerate(0.5)]
    return solve(g, flow, (0, 0.6), "tsit5", events=ends, observe=OBSERVE)


def fourier(shape: tuple[int, ...], method: str, **options: Any) -> Case:
    """Fourier derivatives, which need whole axes."""

    def run(solve: Any, share: Any) -> Any:
        g = rl.perturbed_euclidean(share(rl.Grid.torus(shape)), 0.2, seed=11, modes=1)
        stop = events.CurvatureAbove(50.0, order="fourier")
        return solve(g, DETURCK, (0, 0.02), method, order="fourier", events=stop, max_steps=4,
                     **options)  # fmt: skip

    return run


def gauged(order: Any, method: str) -> Case:
    """Ricci flow by way of the DeTurck flow: the map reaches far beyond a block."""

    def run(solve: Any, share: Any) -> Any:
        wavy = exact.gauge_family(ndim=2, amplitude=0.5)
        g = wavy.field(0.0, share(rl.Grid.torus((24, 26))))
        return solve(g, rl.RicciFlow("deturck"), (0, 0.3), method, order=order, t_eval=[0.1, 0.3],
                     observe={"largest": OBSERVE["largest"]}, events=events.Degenerate(1e-3),
                     max_steps=8)  # fmt: skip

    return run


def gauged_channel(solve: Any, share: Any) -> Any:
    """The same between mirrors, with the volume kept."""
    grid = rl.Grid((20, 18), (0, 0), (2 * np.pi, np.pi), (True, False))

    def metric(x: Any, y: Any) -> Any:
        a, b = 1 + 0.2 * np.cos(x) * np.cos(y), 0.1 * np.sin(x) * np.sin(y)
        return [[a, b], [b, 1 + 0.1 * np.cos(y)]]

    g = rl.MetricField.from_function(share(grid), metric)
    flow = rl.NormalizedRicciFlow(rl.RicciFlow("deturck"))
    return solve(g, flow, (0, 0.1), "rkl2", boundary="reflecting", max_steps=6)


def single(solve: Any, share: Any) -> Any:
    grid = share(rl.Grid.torus((40, 36)))
    g = rl.perturbed_euclidean(grid, 0.1, seed=7, dtype=np.float32)
    return solve(g, DETURCK, (0, 0.2), "rkl2", kernel="fused", rtol=1e-3)


CASES: dict[str, Case] = {
    "plain rk4, order 2": torus((13, 12, 11), "rk4", order=2, kernel="plain", dt=0.01),
    "plain rkl2": torus((13, 14, 12), "rkl2", kernel="plain", observe=OBSERVE, t_eval=[0.04]),
    "fused rk4": torus((31, 26, 17), "rk4", kernel="fused", max_steps=4),
    "fused tsit5": torus((31, 26, 17), "tsit5", kernel="fused", max_steps=4),
    "fused bs32, order 6": torus((31, 27, 25), "bs32", kernel="fused", order=6, max_steps=2),
    "fused rkl2, 2-D": torus((70, 67), "rkl2", kernel="fused"),
    "fused rkl2, order 2": torus((26, 25, 33), "rkl2", kernel="fused", order=2, max_steps=3),
    "fused rkl2, 4-D": torus((14, 9, 8, 11), "rkl2", kernel="fused", order=2, max_steps=2),
    "etdrk4": torus((14, 15, 13), "etdrk4", observe=OBSERVE),
    "etdrk4, 2-D": torus((30, 21), "etdrk4", dt=0.02),
    "etdrk4, 4-D": torus((9, 8, 8, 9), "etdrk4", order=2, dt=0.02),
    "sphere": sphere,
    "channel, plain": channel("plain", "tsit5"),
    "channel, fused": channel("fused", "rkl2"),
    "background, plain": with_background("plain"),
    "background, fused": with_background("fused"),
    "normalised": normalized,
    "single precision": single,
    "fourier": fourier((12, 13, 10), "rkl2"),
    "fourier, 2-D": fourier((20, 18), "tsit5", observe={"v": OBSERVE["volume"]}),
    "fourier, fused": fourier((20, 18), "tsit5", kernel="fused"),
    "fourier, fused, 3-D": fourier((12, 13, 10), "rkl2", kernel="fused"),
    "fourier, fused, etdrk4": fourier((16, 15), "etdrk4", kernel="fused", dt=0.005),
    "fourier, etdrk4": fourier((16, 15), "etdrk4", dt=0.005),
    "gauge": gauged(4, "rkl2"),
    "gauge, fourier": gauged("fourier", "etdrk4"),
    "gauge, mirrors": gauged_channel,
}


def digest(solution: Any, gather: Any = lambda metric: metric) -> dict[str, str]:
    """What a run gives, each in as many digits as there are."""

    def text(values: Any) -> str:
        return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]

    return {
        "t": text(solution.t),
        "metrics": text(np.stack([gather(g).packed for g in solution.metrics])),
        "counts": str((solution.status, solution.nfev, solution.n_accepted, solution.n_rejected)),
        "message": solution.message,
        "events": str([t.tolist() for t in solution.t_events]),
        "at events": text([gather(g).packed for group in solution.metrics_events for g in group]),
        "observed": str({name: v.tolist() for name, v in solution.observed.items()}),
    }
