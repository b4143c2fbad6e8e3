"""Integrators over the same time: evaluations, and what large steps do."""

from __future__ import annotations

import time

from riemann_lne import Grid, RicciDeTurckFlow, perturbed_euclidean, solve_flow

from .results import Result, Row, Settings


def bench_integrators(settings: Settings) -> Result:
    """Right-hand sides of RKL2 and RK4 over the same time, and ETDRK4 beyond RK4's limit."""
    result = Result("integrators", "")
    points = 32 if settings.quick else 128
    grid = Grid.torus((points, points))
    start, flow, end = perturbed_euclidean(grid, 0.3), RicciDeTurckFlow(), 0.2
    reference = solve_flow(start, flow, (0, end), "etdrk4", [end], rtol=1e-9, atol=1e-12)
    counts: dict[str, int] = {}
    for method, dt in (("rk4", None), ("rkl2", 0.02), ("rkl2", None), ("etdrk4", None)):
        name = f"{method}, dt {'chosen' if dt is None else dt}"
        settings.say(name)
        began = time.perf_counter()
        solution = solve_flow(start, flow, (0, end), method, [end], dt, rtol=1e-5)
        counts[name] = solution.nfev
        row = Row(f"{points}^2 to t = {end}: {name}", {"method": method, "dt": dt})
        row.figures = {
            "right-hand sides": solution.nfev,
            "share of rk4": solution.nfev / counts["rk4, dt chosen"],
            "seconds": time.perf_counter() - began,
            "error in time": solution[-1].l2_distance(reference[-1]),
        }
        result.rows.append(row)
    size = 16 if settings.quick else 48
    result.rows += _large_steps(Grid.torus((size,) * 3), flow, settings)
    return result


def _large_steps(grid: Grid, flow: RicciDeTurckFlow, settings: Settings) -> list[Row]:
    """RK4 at and above its stability limit, ETDRK4 at ten times that."""
    start = perturbed_euclidean(grid, 0.3)
    limit = 2.785 / flow.spectral_radius(start.packed, grid, 4)
    rows = []
    for method, factor, steps in (("rk4", 0.95, 40), ("rk4", 1.5, 60), ("etdrk4", 10.0, 48)):
        span = (0, factor * limit * steps)
        name = f"{grid.shape[0]}^3: {method} at {factor} times rk4's limit ({factor * limit:.4f})"
        settings.say(name)
        solution = solve_flow(start, flow, span, method, [span[1]], factor * limit)
        last = solution[-1]
        row = Row(name, {"method": method, "factor": factor})
        row.figures = {
            "reached t": float(solution.t[-1]),
            "stable": solution.success,
            "distance to the mean": last.l2_distance(last.mean()),
            "right-hand sides": solution.nfev,
        }
        rows.append(row)
    return rows
