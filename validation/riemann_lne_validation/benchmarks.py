"""Benchmarks: each figure is measured next to a plain version in the same run.

Times are medians of repeated runs on one process; the machine's noise is in the spread that is
printed with them. Nothing here asserts anything.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import platform
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from riemann_lne import (
    Grid,
    LNEMetric,
    RicciDeTurckFlow,
    __version__,
    auto_tau,
    perturbed_euclidean,
    solve_flow,
)
from riemann_lne.errors import UnknownNameError
from riemann_lne.tensors import pack

Row = dict[str, Any]

_ALTERNATIONS = 7


def timed(function: Callable[[], Any], repeats: int = _ALTERNATIONS) -> tuple[float, float]:
    """Median seconds, and half the spread between the quartiles, after one warm-up call."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return float(middle), float(high - low) / 2


def peak_bytes(function: Callable[[], Any]) -> int:
    """Largest memory that NumPy arrays made inside the call take at a time."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def textbook_right_hand_side(g: np.ndarray, grid: Grid) -> np.ndarray:
    """Ricci-DeTurck right-hand side as one would first write it: einsum, roll, linalg.inv.

    g^ab d_a d_b g_ij plus the quadratic terms in the order of the index formula; order 4.
    """
    n = grid.ndim
    axes = tuple(range(-n, 0))

    def first(f: np.ndarray, a: int) -> np.ndarray:
        axis, h = axes[a], grid.spacing[a]
        near = np.roll(f, -1, axis) - np.roll(f, 1, axis)
        far = np.roll(f, -2, axis) - np.roll(f, 2, axis)
        return (8 * near - far) / (12 * h)

    def second(f: np.ndarray, a: int) -> np.ndarray:
        axis, h = axes[a], grid.spacing[a]
        near = np.roll(f, -1, axis) + np.roll(f, 1, axis)
        far = np.roll(f, -2, axis) + np.roll(f, 2, axis)
        return (16 * near - far - 30 * f) / (12 * h**2)

    inverse = np.moveaxis(np.linalg.inv(np.moveaxis(g, (0, 1), (-2, -1))), (-2, -1), (0, 1))
    d = np.stack([first(g, a) for a in range(n)])
    dd = np.stack(
        [np.stack([second(g, a) if a == b else first(d[a], b) for b in range(n)]) for a in range(n)]
    )
    gg = "ab...,pq...,"
    return (
        np.einsum("ab...,abij...->ij...", inverse, dd)
        + 0.5 * np.einsum(gg + "ipa...,jqb...->ij...", inverse, inverse, d, d, optimize=True)
        + np.einsum(gg + "ajp...,qib...->ij...", inverse, inverse, d, d, optimize=True)
        - np.einsum(gg + "ajp...,biq...->ij...", inverse, inverse, d, d, optimize=True)
        - np.einsum(gg + "jpa...,biq...->ij...", inverse, inverse, d, d, optimize=True)
        - np.einsum(gg + "ipa...,bjq...->ij...", inverse, inverse, d, d, optimize=True)
    )


def bench_right_hand_side() -> list[Row]:
    """Points per second of the Ricci-DeTurck right-hand side, next to the textbook version."""
    rows = []
    for shape in ((512, 512), (64, 64, 64), (16, 16, 16, 16)):
        grid = Grid.torus(shape)
        metric = perturbed_euclidean(grid, 0.2, modes=1)
        flow = RicciDeTurckFlow()
        slow, _ = timed(partial(textbook_right_hand_side, metric.components, grid), 3)
        exact = pack(textbook_right_hand_side(metric.components, grid))
        for order, dtype in ((2, "float64"), (4, "float64"), (6, "float64"), (4, "float32")):
            packed = metric.packed.astype(dtype)
            call = partial(flow.rhs, 0.0, packed, grid, order)
            seconds, spread = timed(call)
            row = {
                "what": f"right-hand side {len(shape)}-D, order {order}, {dtype}",
                "million points/s": grid.size / seconds / 1e6,
                "spread %": 100 * spread / seconds,
                "peak memory / metric": peak_bytes(call) / packed.nbytes,
            }
            if order == 4:
                row["times the textbook version"] = slow / seconds
                row["difference to it"] = float(np.abs(call() - exact).max() / np.abs(exact).max())
            rows.append(row)
    return rows


def bench_integrators() -> list[Row]:
    """Right-hand sides of RKL2 and RK4 over the same time, and ETDRK4 beyond RK4's limit."""
    grid = Grid.torus((128, 128))
    start, flow, end = perturbed_euclidean(grid, 0.3), RicciDeTurckFlow(), 0.2
    reference = solve_flow(start, flow, (0, end), "etdrk4", [end], rtol=1e-10, atol=1e-12)
    rows = []
    counts = {}
    for method, dt in (("rk4", None), ("rkl2", 0.02), ("rkl2", None), ("etdrk4", None)):
        began = time.perf_counter()
        solution = solve_flow(start, flow, (0, end), method, [end], dt, rtol=1e-5)
        name = f"{method}, dt {'chosen' if dt is None else dt}"
        counts[name] = solution.nfev
        rows.append(
            {
                "what": f"128^2 to t = {end}: {name}",
                "right-hand sides": solution.nfev,
                "share of rk4": solution.nfev / counts["rk4, dt chosen"],
                "seconds": time.perf_counter() - began,
                "error in time": solution[-1].l2_distance(reference[-1]),
            }
        )
    rows += _large_steps(Grid.torus((48, 48, 48)), flow)
    return rows


def _large_steps(grid: Grid, flow: RicciDeTurckFlow) -> list[Row]:
    """RK4 at and above its stability limit, ETDRK4 at ten times that."""
    start = perturbed_euclidean(grid, 0.3)
    limit = 2.785 / flow.spectral_radius(start.packed, grid, 4)
    rows = []
    for method, factor, steps in (("rk4", 0.95, 40), ("rk4", 1.5, 60), ("etdrk4", 10.0, 48)):
        span = (0, factor * limit * steps)
        solution = solve_flow(start, flow, span, method, [span[1]], factor * limit)
        last = solution[-1]
        rows.append(
            {
                "what": f"48^3: {method} at {factor} times rk4's limit ({factor * limit:.4f})",
                "reached t": float(solution.t[-1]),
                "stable": solution.success,
                "distance to the mean": last.l2_distance(last.mean()),
                "right-hand sides": solution.nfev,
            }
        )
    return rows


def bench_lne() -> list[Row]:
    """Time and memory of the LNE operations at n = 10^7, next to one pass over the data."""
    n = 10**7
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=n), rng.normal(size=n)
    lne = LNEMetric(float(auto_tau(x, 0.5)))
    one_pass, _ = timed(lambda: x + v)
    tanh, _ = timed(lambda: np.tanh(x))
    rows = []
    for name, call in (
        ("apply", lambda: lne.apply(x, v)),
        ("solve exact", lambda: lne.solve(x, v)),
        ("solve weak", lambda: lne.solve(x, v, method="weak")),
        ("ricci apply", lambda: lne.ricci(x).apply(v)),
        ("scalar curvature", lambda: lne.scalar_curvature(x)),
        ("auto_tau", lambda: auto_tau(x, 0.5)),
    ):
        seconds, spread = timed(call, 5)
        rows.append(
            {
                "what": f"{name}, n = 10^7",
                "seconds": seconds,
                "spread %": 100 * spread / seconds,
                "times one pass x + v": seconds / one_pass,
                "times tanh(x)": seconds / tanh,
                "peak memory / x": peak_bytes(call) / x.nbytes,
            }
        )
    return rows


def bench_torch(name: str) -> list[Row]:
    """A benchmark of the torch adapter, or a row that says why it was not run."""
    if importlib.util.find_spec("torch") is None:
        return [{"what": "not run: torch is not installed (extra 'torch')"}]
    module = importlib.import_module(".torch_benchmarks", __package__)
    return list(getattr(module, name)())


def bench_corrector() -> list[Row]:
    """The gradient corrector on a ResNet-20 training step: share of the step, and memory."""
    return bench_torch("bench_corrector")


def bench_regularizer() -> list[Row]:
    """The discrete-flow regulariser on a ResNet-20 training step: multiple of the step."""
    return bench_torch("bench_regularizer")


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "right-hand-side": bench_right_hand_side,
    "integrators": bench_integrators,
    "lne": bench_lne,
    "corrector": bench_corrector,
    "regularizer": bench_regularizer,
}


def run_benchmarks(only: list[str] | None, report: Path | None) -> None:
    """Run benchmarks by name (or all), print them, and write bench.json into a folder.

    Raises
    ------
    UnknownNameError
        For a name that is not known.
    """
    for name in only or []:
        if name not in BENCHMARKS:
            raise UnknownNameError("benchmark", name, BENCHMARKS)
    results: dict[str, Any] = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "riemann_lne": __version__,
    }
    for name, function in BENCHMARKS.items():
        if only and name not in only:
            continue
        print(f"\n{name}: {(function.__doc__ or '').strip().splitlines()[0]}")
        results[name] = function()
        for row in results[name]:
            print("  " + row["what"])
            print("      " + ", ".join(f"{k} {_text(v)}" for k, v in row.items() if k != "what"))
    if report:
        report.mkdir(parents=True, exist_ok=True)
        path = report / "bench.json"
        path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        print(f"\nresults: {path}")


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if math.isfinite(value) else str(value)
