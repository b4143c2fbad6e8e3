"""The numbers of the pages design-decisions, integrators, exact and closed-surfaces.

Run ``python docs/measurements.py [NAME ...]``. It reaches into private parts of the library to
measure what it does *not* do; it is no example of its use.
"""

from __future__ import annotations

import ast
import math
import sys
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import riemann_lne as rl
from riemann_lne import conformal, stencils
from riemann_lne.flows.base import Flow
from riemann_lne.integrators import RKG2, RKL2, semidiscrete, solve


def largest(a: np.ndarray) -> float:
    """Largest absolute entry."""
    return float(np.abs(a).max())


def run(known: Mapping[str, Callable[[], None]]) -> None:
    """Measure what the command line names, or all, each under its first line."""
    for name in sys.argv[1:] or known:
        print(f"\n{name}: {(known[name].__doc__ or '').splitlines()[0]}")
        known[name]()


def compact() -> None:
    """Ricci from compact second differences, and from differences of Christoffel symbols."""
    sausage = rl.exact.periodic_sausage((1, 0))
    for order in (2, 4):
        for points in (32, 64, 128):
            grid = sausage.grid(points)
            g, exact = sausage.field(1.0, grid), sausage.ricci(1.0, *grid.coordinates())
            gamma = g.christoffel(order)
            d = stencils.gradient(gamma, grid, order)
            through = (
                np.einsum("iijk...->jk...", d)
                - np.einsum("jiik...->jk...", d)
                + np.einsum("pjk...,iip...->jk...", gamma, gamma)
                - np.einsum("pik...,ijp...->jk...", gamma, gamma)
            )
            one, two = largest(g.ricci(order) - exact), largest(through - exact)
            print(f"order {order} N {points:3d}: compact {one:.2e}, through Gamma {two:.2e}")


def single() -> None:
    """Ricci in single precision: truncation falls, rounding grows as eps / h^2."""
    sausage = rl.exact.periodic_sausage((1, 0))
    eps = float(np.finfo(np.float32).eps)
    for points in (32, 64, 128, 256, 512):
        grid = sausage.grid(points)
        exact = sausage.ricci(1.0, *grid.coordinates())
        double = sausage.field(1.0, grid).ricci(4)
        half = sausage.field(1.0, grid, dtype=np.float32).ricci(4)
        noise = largest(half - double)
        print(
            f"N {points:3d}: float64 {largest(double - exact):.1e}, float32 "
            f"{largest(half - exact):.1e}, difference * h^2 / eps "
            f"{noise * grid.spacing[0] ** 2 / eps:.1f}"
        )


def tiles() -> None:
    """Time and memory of a right-hand side on 64^3 points for tiles of different size."""
    g = rl.perturbed_euclidean(rl.Grid.torus((64, 64, 64)), 0.2, modes=1)
    before = stencils._TILE_POINTS_CPU

    def call() -> None:
        rl.RicciDeTurckFlow().rhs(0.0, g.packed, g.grid, 4)

    for points in (4096, 16384, 65536, g.grid.size):
        stencils._TILE_POINTS_CPU = points
        call()
        seconds = []
        for _ in range(7):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1] / g.packed.nbytes
        tracemalloc.stop()
        print(f"{points:6d} points: {np.median(seconds):.2f} s, peak {peak:.1f} times the metric")
    stencils._TILE_POINTS_CPU = before


class _ExactStages(semidiscrete.SemiDiscreteFlow):
    """Every stage gets the exact boundary values instead of their rate."""

    def metric_rate(self, t: float, y: Any) -> Any:
        y = y.copy()
        self.boundary.set_values(t, y)
        rate = self.flow.rhs(t, y, self.grid, self.order)
        for axis in (1, 2):
            for end in (0, -1):
                rate[(slice(None),) * axis + (end,)] = 0.0
        return rate


def boundary() -> None:
    """Errors in time of RK4 on a box with moving ends: boundary rate against stage values."""
    cigar = rl.exact.cigar()
    grid, end = cigar.grid(17), 0.1

    def run(steps: int) -> np.ndarray:
        solution = rl.solve_flow(
            cigar.field(0.0, grid),
            rl.RicciFlow(),
            (0, end),
            "rk4",
            [end],
            end / steps,
            boundary=cigar.metric,
        )
        return solution[-1].packed

    counts = (123, 246, 492)
    reference = run(32 * counts[0])
    usual = solve.SemiDiscreteFlow
    for name, kind in (("rate", usual), ("stage values", _ExactStages)):
        solve.SemiDiscreteFlow = kind  # type: ignore[misc]
        errors = [largest(run(steps) - reference) for steps in counts]
        print(name, "steps", counts, "errors", [f"{e:.1e}" for e in errors])
    solve.SemiDiscreteFlow = usual  # type: ignore[misc]


def high_modes() -> None:
    """A mode above 2/3 of the Nyquist one: linear flow (the library), and rate zero."""
    grid, m = rl.Grid.torus((32, 32)), 12
    start = rl.MetricField.from_function(
        grid, lambda x, y: [[1 + 1e-3 * np.cos(m * x), 0], [0, 1 + 1e-3 * np.cos(m * x)]]
    )
    usual = semidiscrete._HighModes.__call__

    def frozen(self: Any, rate: Any, y: Any) -> Any:
        return stencils.dealias(rate, self._grid)

    for name, rule in (("linear flow", usual), ("rate zero", frozen)):
        semidiscrete._HighModes.__call__ = rule  # type: ignore[method-assign]
        solution = rl.solve_flow(
            start, rl.RicciDeTurckFlow(), (0, 0.05), t_eval=[0, 0.05], order="fourier"
        )
        sizes = [rl.mode_amplitude(g, (m, 0)) for g in solution.metrics]
        print(f"{name}: {sizes[0]:.3e} -> {sizes[1]:.3e}")
    semidiscrete._HighModes.__call__ = usual  # type: ignore[method-assign]
    print(f"e^(-m^2 t) times the start: {math.exp(-(m**2) * 0.05) * sizes[0]:.3e}")


class _Forced(rl.RicciFlow):
    """RicciFlow that says it is parabolic, so that etdrk4 takes it."""

    parabolic = True


def etdrk4_on_ricci_flow() -> None:
    """ETDRK4 on the Ricci flow, beside its work on the Ricci-DeTurck flow."""
    for shape, end in (((48, 48), 4.0), ((24, 24, 24), 1.0)):
        start = rl.perturbed_euclidean(rl.Grid.torus(shape), 0.3, modes=2)
        limit = 2.785 / rl.RicciFlow().spectral_radius(start.packed, start.grid, 4)
        cases: list[tuple[Flow, Flow]] = [
            (rl.RicciFlow(), _Forced()),
            (rl.RicciDeTurckFlow(), rl.RicciDeTurckFlow()),
        ]
        for plain, flow in cases:
            exact = rl.solve_flow(start, plain, (0, end), "tsit5", [end], rtol=1e-6)[-1].packed
            errors = []
            for factor in (5, 10, 20):
                run = rl.solve_flow(start, flow, (0, end), "etdrk4", [end], factor * limit)
                errors.append(f"{largest(run[-1].packed - exact):.1e}" if run.success else "failed")
            print(f"{shape} {plain!r}: errors at 5, 10, 20 times the limit of rk4: {errors}")


def methods() -> None:
    """Evaluations of the right-hand side from t = 1 to 4 on the sausage, rtol = 1e-6."""
    sausage = rl.exact.periodic_sausage((1, 0))
    for points in (64, 128):
        grid = sausage.grid(points)
        exact = sausage.metric(4.0, *grid.coordinates())
        for method in ("rk4", "bs32", "tsit5", "rkl2", "etdrk4"):
            run = rl.solve_flow(
                sausage.field(1.0, grid), rl.RicciDeTurckFlow(), (1, 4), method, [4.0]
            )
            error = largest(run[-1].components - exact)
            print(f"N {points:3d} {method:6s}: {run.nfev:6d} evaluations, error {error:.1e}")


def held_ends() -> None:
    """The smallest entry of the matrix of one step for the heat equation with ends at zero."""
    points = 31
    spacing = 1.0 / (points + 1)

    def heat(t: float, u: np.ndarray) -> np.ndarray:
        padded = np.pad(u, 1)
        return np.asarray((padded[2:] - 2 * u + padded[:-2]) / spacing**2)

    radius = 4 / spacing**2
    for stages in (3, 5, 9, 15, 21, 51):
        found = []
        for kind in (RKL2, RKG2):
            dt = kind.reach(stages) / radius
            columns = [
                rl.integrate(heat, unit, (0, dt), kind(stages), [dt], dt, spectral_radius=radius).y
                for unit in np.eye(points)
            ]
            found.append(float(np.min(columns)))
        ratio = RKG2.reach(stages) / RKL2.reach(stages)
        print(f"| {stages} | {found[0]:.2g} | {found[1]:.2g} | {ratio:.2f} |")


def precision() -> None:
    """Error at t = 2 of the sausage from t = 1 in double and in single precision."""
    sausage = rl.exact.periodic_sausage((1, 0))
    for points in (32, 64, 128):
        for method, rtol in (("rk4", 1e-4), ("etdrk4", 1e-4), ("rkl2", 1e-4), ("rkl2", 1e-5)):
            found = []
            for dtype in (np.float64, np.float32):
                start = sausage.field(1.0, sausage.grid(points), dtype=dtype)
                run = rl.solve_flow(start, rl.RicciDeTurckFlow(), (1, 2), method, [2], rtol=rtol)
                exact = sausage.field(2.0, start.grid).packed
                error = largest(run[-1].packed.astype(float) - exact)
                found.append(f"{run.nfev:5d} evaluations, error {error:.1e}")
            print(
                f"N {points:3d} {method:6s} rtol {rtol:.0e}: double {found[0]}; single {found[1]}"
            )


def closures() -> None:
    """Steps of rkl2 to t = 20 with held and with reflecting ends, and eigenvalues of the former."""
    for order in (2, 4, 6, 8):
        for points in (13, 25):
            grid = rl.Grid.box(0, math.pi, (points, points))
            x, y = grid.coordinates()
            bump = 0.2 * np.cos(x) * np.cos(2 * y)
            even = rl.MetricField(grid, np.eye(2).reshape(2, 2, 1, 1) * (1 + bump))
            starts = {"held": rl.perturbed_euclidean(grid, 0.2, 6, 1), "reflecting": even}
            steps = {
                kind: rl.solve_flow(
                    start, rl.RicciDeTurckFlow(), (0, 20), "rkl2", [20], order=order, rtol=1e-5,
                    boundary=kind,
                ).n_accepted
                for kind, start in starts.items()
            }  # fmt: skip
            units = np.repeat(np.eye(points)[:, :, None], points, axis=2)
            second = stencils.hessian(units, grid, order)[0, 0, :, 1:-1, 0].T[:, 1:-1]
            values = np.linalg.eigvals(second) * grid.spacing[0] ** 2
            print(
                f"order {order} N {points}: steps {steps}; eigenvalues of h^2 D^2 between "
                f"{values.real.min():.2f} and {values.real.max():.3f}, imaginary parts up to "
                f"{np.abs(values.imag).max():.2f}"
            )


def checkpoints() -> None:
    """Cost of a checkpoint at every step at 64^3: pairs of steps with and without, in one run."""
    import tempfile

    from riemann_lne.integrators.checkpoint import CheckpointFile

    start = rl.perturbed_euclidean(rl.Grid.torus((64, 64, 64)), 0.2)
    due = CheckpointFile.due
    cases = (
        ("rk4", 1e-3, 0.04),
        ("tsit5", None, 10.0),
        ("rkl2", None, 10.0),
        ("etdrk4", 0.02, 0.8),
    )
    for method, dt, end in cases:
        stamps: list[float] = []

        def every_other_pair(self: CheckpointFile, steps: int, stamps: Any = stamps) -> bool:
            stamps.append(time.perf_counter())
            return (len(stamps) // 2) % 2 == 0

        CheckpointFile.due = every_other_pair  # type: ignore[method-assign]
        with tempfile.TemporaryDirectory() as folder:
            rl.solve_flow(
                start, rl.RicciDeTurckFlow(), (0, end), method, dt=dt, store="last", max_steps=40,
                checkpoint=rl.Checkpoint(folder, steps=1),
            )  # fmt: skip
        CheckpointFile.due = due  # type: ignore[method-assign]
        seconds = np.diff(stamps)
        with_one = ((np.arange(len(seconds)) + 1) // 2) % 2 == 0
        one, two = np.median(seconds[with_one]), np.median(seconds[~with_one])
        print(f"{method:6s}: {one:.3f} s a step with, {two:.3f} s without: {one / two - 1:+.1%}")


def streaming(gigabytes: float = 1.0) -> None:
    """Peak memory of a run on 64 x 64 points whose metrics are streamed to the disk."""
    import resource
    import tempfile

    class Fading(rl.RicciFlow):
        def rhs(self, t: float, packed: Any, grid: Any, order: Any) -> Any:
            return -0.1 * packed  # the disk is what is measured

    start = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.1)
    count = int(gigabytes * 1e9 / start.packed.nbytes)
    with tempfile.TemporaryDirectory() as folder:
        run = rl.solve_flow(
            start, Fading(), (0, 1), "bs32", dt=1 / count, store=f"{folder}/run.zarr",
            observe={"volume": lambda g: g.volume()}, max_steps=2 * count,
        )  # fmt: skip
        written = len(run) * start.packed.nbytes / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(run)} metrics, {written:.1f} GB: peak resident memory {peak:.2f} GB")


def exact_solutions() -> None:
    """Largest |g' + 2 Ric - L_W g| of the exact solutions, g' by differences in time of order 6."""
    cases = {
        "periodic_sausage((2, 1))": (rl.exact.periodic_sausage((2, 1)), 0.5, 96, "fourier"),
        "gauge_family()": (rl.exact.gauge_family(), 0.1, 96, "fourier"),
        "linear_mode, amplitude 1e-6": (
            rl.exact.linear_mode((1, 2), [[1, 0.5], [0.5, -1]]),
            0.1,
            96,
            "fourier",
        ),
        "round_sphere(3)": (rl.exact.round_sphere(3), 0.1, 33, 8),
        "hyperbolic(3)": (rl.exact.hyperbolic(3), 0.1, 33, 8),
        "cigar()": (rl.exact.cigar(), 0.1, 65, 8),
        "nil()": (rl.exact.nil(), 0.1, 9, 2),
    }
    for name, (solution, t, points, order) in cases.items():
        grid = solution.grid(points)
        x = grid.coordinates()
        h = 1e-2
        rate = sum(
            (c / (60 * h)) * (solution.metric(t + j * h, *x) - solution.metric(t - j * h, *x))
            for j, c in ((1, 45), (2, -9), (3, 1))
        )
        g = solution.metric(t, *x)
        flow = rl.RicciFlow() if "ricci" in solution.solves else rl.RicciDeTurckFlow()
        right = rl.MetricField.from_packed(
            grid, flow.rhs(t, rl.MetricField(grid, g).packed, grid, order), check=False
        ).components
        print(
            f"{name}: {type(flow).__name__}, order {order}, N {points}: {largest(rate - right):.0e}"
        )


def harmonics() -> None:
    """Spherical harmonics by matrix products, and by ducc0 where it is installed."""
    try:
        import ducc0
    except ImportError:
        ducc0 = None

    def least(f: Callable[[], Any]) -> float:
        times = []
        for _ in range(9):
            start = time.process_time()
            for _ in range(5):
                f()
            times.append((time.process_time() - start) / 5)
        return min(times)

    print("| lmax | grid | two syntheses and one analysis, ms | by ducc0 | table, MB | error |")
    for lmax in (16, 32, 64, 128):
        sphere = conformal.Sphere(lmax)
        c = np.random.default_rng(0).standard_normal((2, 2, lmax + 1, lmax + 1))
        c *= np.tril(np.ones((lmax + 1, lmax + 1)))
        c[:, 1, :, 0] = 0
        values = sphere.synthesis(c)
        error = largest(sphere.analysis(values[0]) - c[0])

        def ours(c: Any = c, sphere: Any = sphere) -> None:
            sphere.analysis(sphere.synthesis(c)[0])

        theirs = "-"
        if ducc0 is not None:
            alm = np.ones((1, (lmax + 1) * (lmax + 2) // 2), dtype=complex)
            options = {"spin": 0, "lmax": lmax, "geometry": "GL", "nthreads": 1}
            size = {"ntheta": sphere.shape[0], "nphi": sphere.shape[1]}

            def other(alm: Any = alm, options: Any = options, size: Any = size) -> None:
                for _ in range(2):
                    field = ducc0.sht.synthesis_2d(alm=alm, **options, **size)
                ducc0.sht.analysis_2d(map=field, **options)

            theirs = f"{1e3 * least(other):.2g}"
        print(f"| {lmax} | {sphere.shape[0]} x {sphere.shape[1]} | {1e3 * least(ours):.2g} | "
              f"{theirs} | {12e-6 * lmax**3:.2g} | {error:.0e} |")  # fmt: skip


def closed_surfaces() -> None:
    """King and Rosenau's solution about an oblique axis: errors in space and in time."""
    axis = (1.0, -2.0, 0.7)
    for lmax in (8, 12, 16, 20):
        sphere = conformal.Sphere(lmax)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start, end = (conformal.king_rosenau(sphere, t, axis) for t in (-1.5, -1.0))
        found = conformal.solve(start, (-1.5, -1.0), method="tsit5", rtol=1e-12, t_eval=[-1.0])[-1]
        print(f"| {lmax} | {largest(found.curvature() / end.curvature() - 1):.1e} |")
    sphere = conformal.Sphere(32)
    start, end = (conformal.king_rosenau(sphere, t, axis) for t in (-2.0, -0.2))
    for method, rtol in (("etdrk4", 1e-4), ("etdrk4", 1e-6), ("etdrk4", 1e-8), ("rkl2", 1e-4),
                         ("rkl2", 1e-6), ("tsit5", 1e-6)):  # fmt: skip
        begun = time.process_time()
        flow = conformal.solve(start, (-2.0, -0.2), method=method, rtol=rtol, t_eval=[-0.2])
        took = time.process_time() - begun
        print(f"| {method} | {rtol:g} | {flow.nfev} | {largest(flow[-1].u - end.u):.1e} | "
              f"{took:.2g} |")  # fmt: skip
    sphere = conformal.Sphere(12)
    for degree in (2, 3, 4, 6, 8):
        c, rate = np.zeros((2, 13, 13)), degree * (degree + 1) - 2
        c[1, degree, 1] = 1e-5
        g = conformal.ConformalMetric.from_coefficients(sphere, c)
        flow = conformal.solve(g, (0, 2 / rate), normalized=True, t_eval=[0, 2 / rate], rtol=1e-9)
        k = [sphere.analysis(g.curvature())[1, degree, 1] for g in flow]
        print(f"| {degree} | {rate} | {math.log(k[0] / k[1]) / 2 * rate:.6f} |")


def lines() -> None:
    """Lines of Python by room: code, docstrings, comments, blank lines, all; without tests."""
    root, rooms = Path(__file__).parents[1], Counter[tuple[str, str]]()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for top in ("riemann_lne", "adapters", "validation", "docs"):
        for path in sorted((root / top).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            strings: set[int] = set()
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, documented) and ast.get_docstring(node) is not None:
                    first = node.body[0]
                    strings.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
            parts = path.relative_to(root).parts[:-1]
            room = "/".join(
                parts[1 if parts[0] in ("adapters", "validation") else 0 :][:2] or parts
            )
            for number, line in enumerate(text.splitlines(), 1):
                comment = "comment" if line.lstrip().startswith("#") else "code"
                kind = "blank" if not line.strip() else comment
                rooms[room, "docstring" if number in strings else kind] += 1
    kinds = ("code", "docstring", "comment", "blank")
    names = sorted({room for room, _ in rooms}, key=lambda r: -sum(rooms[r, k] for k in kinds))
    for name in [*names, "all"]:
        counts = [sum(rooms[r, k] for r in (names if name == "all" else [name])) for k in kinds]
        print(f"| {name} | {' | '.join(map(str, counts))} | {sum(counts)} |")


ALL: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        compact,
        single,
        tiles,
        boundary,
        high_modes,
        etdrk4_on_ricci_flow,
        methods,
        held_ends,
        precision,
        closures,
        checkpoints,
        streaming,
        exact_solutions,
        harmonics,
        closed_surfaces,
        lines,
    )
}

if __name__ == "__main__":
    run(ALL)
