"""check_flow: whether a flow object is a flow of metrics, and the one that it claims to be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from ..analysis.convergence import check_order
from ..analysis.invariants import scalar_curvature_min
from ..analysis.perelman import perelman_lambda
from ..arrays import to_numpy
from ..checks import count, shown
from ..errors import InvalidArgumentError
from ..exact import ExactSolution, gauge_family, nil, periodic_sausage, round_sphere, sol
from ..flows.base import Flow, require_flow
from ..grids import Grid
from ..integrators import solve_flow
from ..metrics import MetricField, perturbed_euclidean
from ..tensors import unpack
from .findings import (
    CheckReport,
    attempted,
    chosen,
    dimensions_of,
    equation,
    is_number,
    largest,
)
from .maps import components_of, field_on, permute, permuted_grid, shear, translate

CHECKS = (
    "rhs",
    "translation",
    "axes",
    "shear",
    "scaling",
    "time",
    "exact",
    "radius",
    "restart",
    "monotone",
)
_GEOMETRIC = ("scaling", "time", "exact", "monotone")
"""Checks of what a flow claims to be; without ``solves`` they are left out."""

_ROUNDING = 1e-9
"""Of a right-hand side in double precision on the coarse grids used here, relative."""


def check_flow(
    flow: Flow,
    *,
    solves: str | None = None,
    dimensions: int | Sequence[int] = (2, 3),
    order: int = 4,
    checks: str | Sequence[str] | None = None,
    seed: int = 0,
) -> CheckReport:
    """Check a flow object on tori of uneven shape, without its author's own tests.

    "rhs": shape and precision of the result, finite, its input left alone. "translation", "axes",
    "shear": the right-hand side moves with the metric when the torus is shifted by whole points,
    the axes change places, or x_b -> x_b + x_a (that one up to the order of the differences).
    "radius": ``spectral_radius`` is not below what power iteration finds, so that explicit and
    stabilised integrators are safe. "restart": two halves give what the whole gives.

    With ``solves`` also: "scaling": F(c g) = F(g). "time": the right-hand side does not depend on
    the time, so that a flow that starts later is the same flow. "exact": the time derivative of
    exact solutions is met at the order of the differences. "monotone": along a short flow min R and
    Perelman's lambda do not decrease and, in 2-D, the area stays.

    Parameters
    ----------
    flow : Flow
        Its methods are called on NumPy arrays, float64.
    solves : {"ricci", "ricci-deturck"}, optional
        The flow that it claims to be; "ricci-deturck" with the flat background.
    dimensions : int or sequence of int
        2 to 4.
    order : int
        Of the differences, 2, 4, 6 or 8.
    checks : str or sequence of str, optional
        Names as above; all that apply by default.
    seed : int
        Of the random metrics.

    Returns
    -------
    CheckReport

    Raises
    ------
    CheckFailedError
        If a property fails, or the flow breaks off; the message has all numbers and places.
    DTypeError
        If ``flow`` is no flow of metrics on grids. Spheres: see ``check_stability``.
    InvalidArgumentError, UnknownNameError
        If the arguments make no sense.

    Examples
    --------
    >>> from riemann_lne import RicciDeTurckFlow
    >>> report = check_flow(RicciDeTurckFlow(), solves="ricci-deturck", dimensions=[2])
    >>> bool(report)
    True
    """
    solves = equation(solves)
    if is_number(order) and order in (2, 4, 6, 8):
        order = int(order)
    else:
        raise InvalidArgumentError(f"order = {order!r}; give 2, 4, 6 or 8")
    sizes, seed = dimensions_of(dimensions), count(seed, "seed")
    require_flow(flow)
    wanted = chosen(checks, CHECKS, "check of a flow")
    if solves is None:
        wanted = tuple(name for name in wanted if name not in _GEOMETRIC)
    report = CheckReport(f"flow {shown(flow)}")
    for n in sizes:
        if not _checked_in(report, flow, n, order, seed, str(solves), wanted):
            break
    return report.require()


def _checked_in(
    report: CheckReport,
    flow: Flow,
    n: int,
    order: int,
    seed: int,
    solves: str,
    wanted: Sequence[str],
) -> bool:
    """The checks in one dimension; False if the right-hand side fails: no other means much then."""
    g = _uneven(n, order, seed)
    if "rhs" in wanted:
        known = len(report.failed)
        attempted(report, f"rhs in {n}-D", _right_hand_side, flow, g, order)
        if len(report.failed) > known:
            return False  # the other checks give it arrays that are read-only
    each: dict[str, tuple[Any, ...]] = {
        "translation": (_translation, flow, g, order),
        "axes": (_axes, flow, g, order),
        "shear": (_shear, flow, n, order, seed),
        "scaling": (_scaling, flow, g, order),
        "time": (_time, flow, g, order),
        "exact": (_exact, flow, n, order, solves),
        "radius": (_radius, flow, g, order, seed),
        "restart": (_restart, flow, g, order),
        "monotone": (_monotone, flow, n, seed),
    }
    for name, (check, *given) in each.items():
        if name in wanted:
            attempted(report, f"{name} in {n}-D", check, *given)
    return True


def _uneven(n: int, order: int, seed: int) -> MetricField:
    """A smooth metric on a torus whose points and sides differ from axis to axis."""
    least = order + 4
    shape = tuple(least + 2 * a for a in range(n))
    sides = (2 * np.pi, 5.0, 7.0, 6.0)[:n]
    return perturbed_euclidean(Grid.torus(shape, sides), 0.3, seed, modes=1)


def rate(flow: Flow, g: MetricField, order: Any, t: float = 0.0) -> np.ndarray:
    """The right-hand side at a metric, (n, n, *shape), in NumPy."""
    return np.asarray(unpack(to_numpy(flow.rhs(t, g.packed, g.grid, order)), g.n))


def _right_hand_side(report: CheckReport, flow: Flow, g: MetricField, order: int) -> None:
    packed = np.array(to_numpy(g.packed))
    before = packed.copy()
    result = flow.rhs(0.0, packed, g.grid, order)
    shape, kind = getattr(result, "shape", None), getattr(result, "dtype", None)
    where = f"shape {shape}, dtype {kind}; {before.shape}, {before.dtype} is right"
    fits = shape == before.shape and kind == before.dtype
    report.add(f"rhs in {g.n}-D: shape and dtype differ", 0.0 if fits else 1.0, 0.0, where)
    if not fits:
        return
    changed = largest(packed - before)[0]
    report.add(f"rhs in {g.n}-D: its input was changed by", changed, 0.0)
    bad = int(np.sum(~np.isfinite(to_numpy(result))))
    report.add(f"rhs in {g.n}-D: values that are not finite", bad, 0)


def _translation(report: CheckReport, flow: Flow, g: MetricField, order: int) -> None:
    steps = [1 + a for a in range(g.n)]
    moved = field_on(g.grid, translate(components_of(g), steps), g)
    expected = translate(rate(flow, g, order), steps)
    value, where = largest(rate(flow, moved, order) - expected)
    bound = _ROUNDING * max(largest(expected)[0], 1.0)
    report.add(f"translation in {g.n}-D: change of the rate", value, bound, where)


def _axes(report: CheckReport, flow: Flow, g: MetricField, order: int) -> None:
    known = rate(flow, g, order)
    bound = _ROUNDING * max(largest(known)[0], 1.0)
    for take in list(permutations(range(g.n)))[1:]:
        turned = field_on(permuted_grid(g.grid, take), permute(components_of(g), take), g)
        value, where = largest(rate(flow, turned, order) - permute(known, take))
        report.add(f"axes {take}: change of the rate", value, bound, where)


def _shear(report: CheckReport, flow: Flow, n: int, order: int, seed: int) -> None:
    """Two grids: what is left must shrink at the order of the differences."""
    points = {2: (24, 48), 3: (16, 32), 4: (12, 18)}[n]
    for axis, along in [(0, 1), (1, 0)] + ([(0, n - 1), (n - 1, 1)] if n > 2 else []):
        errors = []
        for size in points:
            grid = Grid.torus((size,) * n)
            g = perturbed_euclidean(grid, 0.2, seed, modes=1)
            moved = field_on(grid, shear(components_of(g), grid, axis, along), g)
            expected = shear(rate(flow, g, order), grid, axis, along)
            errors.append(largest(rate(flow, moved, order) - expected)[0])
        ratio = points[1] / points[0]
        # Half of the order: the coarser grid need not be in the asymptotic range.
        bound = max(errors[0] * ratio ** (-order / 2), 1e-9)
        report.add(
            f"shear of axis {along} by {axis} in {n}-D: change of the rate",
            errors[1],
            bound,
            f"{points[1]} points along an axis; {errors[0]:.3g} with {points[0]}",
        )


def _scaling(report: CheckReport, flow: Flow, g: MetricField, order: int) -> None:
    known = rate(flow, g, order)
    scaled = MetricField.from_packed(g.grid, 3.0 * to_numpy(g.packed), check=False)
    value, where = largest(rate(flow, scaled, order) - known)
    bound = _ROUNDING * max(largest(known)[0], 1.0)
    report.add(f"scaling in {g.n}-D: |F(3 g) - F(g)|", value, bound, where)


def solutions(solves: str, n: int) -> list[tuple[ExactSolution, float]]:
    """Exact solutions of a flow on closed or bounded grids, each with a time to look at."""
    found: list[tuple[ExactSolution, float]] = [(periodic_sausage((1, 1), n), 0.8)]
    if solves == "ricci-deturck":
        found.append((gauge_family(n, 0.2, seed=1), 0.05))
    else:
        found.append((round_sphere(n, 2.0), 0.1))
        if n == 3:
            found += [(nil(), 0.2), (sol(1.0, 0.4), 0.2)]
    return [(s, t) for s, t in found if solves in s.solves]


def _exact(report: CheckReport, flow: Flow, n: int, order: int, solves: str) -> None:
    # On coarse grids the next term of the error is as large as that of a high order.
    finer = {6: 1.5, 8: 2.25}.get(order, 1.0)
    sizes = [int(finer * size) for size in {2: (16, 24, 36), 3: (14, 20, 28), 4: (10, 14)}[n]]
    for solution, t in solutions(solves, n):
        errors = [_defect(flow, solution, t, size, order) for size in sizes]
        name = f"exact {type(solution).__name__} in {n}-D"
        if max(errors) < 1e-8:  # differences are exact on some of them
            report.add(f"{name}: error of the rate", max(errors), 1e-8)
            continue
        fit = check_order([max(e, 1e-16) for e in errors], [1 / s for s in sizes], order)
        where = ", ".join(f"{e:.3g} at {s}" for e, s in zip(errors, sizes, strict=True))
        report.add(f"{name}: order of the rate missed by", order - fit.order, 0.6, where)


def _defect(flow: Flow, solution: ExactSolution, t: float, points: int, order: int) -> float:
    """Largest |F(g) - dg/dt| of an exact solution, away from ends that need boundary data."""
    plain = solution.grid(points)
    shape = tuple(points + 2 * a for a in range(plain.ndim))
    grid = Grid(shape, plain.lower, plain.upper, plain.periodic)
    g = solution.field(t, grid)
    step = 1e-3
    near, far = (
        components_of(solution.field(t + k * step, grid))
        - components_of(solution.field(t - k * step, grid))
        for k in (1, 2)
    )
    error = rate(flow, g, order, t) - (8 * near - far) / (12 * step)
    return largest(error)[0]


def _radius(report: CheckReport, flow: Flow, g: MetricField, order: int, seed: int) -> None:
    """Power iteration on the linearised right-hand side."""
    packed = to_numpy(g.packed)
    base = to_numpy(flow.rhs(0.0, packed, g.grid, order))
    h = np.random.default_rng(seed).normal(size=packed.shape)
    step, found = 1e-6, 0.0
    for _ in range(60):
        h /= np.linalg.norm(h)
        scaled = step * np.sqrt(h.size)
        image = (to_numpy(flow.rhs(0.0, packed + scaled * h, g.grid, order)) - base) / scaled
        found, h = float(np.linalg.norm(image)), image
        if not np.isfinite(found) or found == 0:
            break
    bound = float(flow.spectral_radius(packed, g.grid, order))
    # The differenced operator is not normal: its norm exceeds its radius by a little.
    report.add(f"radius in {g.n}-D: power iteration finds", found, 1.1 * bound, "1.1 times bound")


def _time(report: CheckReport, flow: Flow, g: MetricField, order: int) -> None:
    moved = largest(rate(flow, g, order, 7.5) - rate(flow, g, order))[0]
    report.add(f"time in {g.n}-D: change of the rate with t", moved, 0.0)


def _restart(report: CheckReport, flow: Flow, g: MetricField, order: int) -> None:
    radius = float(flow.spectral_radius(to_numpy(g.packed), g.grid, order))
    dt = 1.0 / radius
    options: dict[str, Any] = {"method": "rk4", "dt": dt, "order": order, "kernel": "plain"}
    whole = solve_flow(g, flow, (0.0, 8 * dt), t_eval=[4 * dt, 8 * dt], **options)
    half = whole.metrics[0]
    again = solve_flow(half, flow, (4 * dt, 8 * dt), t_eval=[8 * dt], **options)
    if not (whole.success and again.success):
        report.add(f"restart in {g.n}-D: {whole.message}; {again.message}", np.inf, 0.0)
        return
    value, where = largest(components_of(again.metrics[-1]) - components_of(whole.metrics[-1]))
    report.add(f"restart in {g.n}-D: halves and whole differ by", value, 1e-12, where)


def _monotone(report: CheckReport, flow: Flow, n: int, seed: int) -> None:
    points = {2: 24, 3: 16, 4: 10}[n]
    g = perturbed_euclidean(Grid.torus((points,) * n), 0.2, seed, modes=1)
    times = [0.0, 0.02, 0.04, 0.06]
    solution = solve_flow(
        g, flow, (0.0, 0.06), "tsit5", times, order=6, rtol=1e-9, atol=1e-11, kernel="plain"
    )
    if not solution.success:
        report.add(f"monotone in {n}-D: {solution.message}", np.inf, 0.0)
        return
    noise = abs(scalar_curvature_min(g, 8) - scalar_curvature_min(g, 6)) + 1e-9
    for name, values in (
        ("min R", [scalar_curvature_min(m, 6) for m in solution.metrics]),
        ("Perelman's lambda", [perelman_lambda(m, "fourier") for m in solution.metrics]),
    ):
        fall = max(a - b for a, b in pairwise(values))
        where = ", ".join(f"{v:.6g}" for v in values)
        report.add(f"monotone in {n}-D: {name} falls by", fall, 2 * noise, where)
    if n == 2:
        areas = [m.volume() for m in solution.metrics]
        # Gauss-Bonnet: the integral of R vanishes on a torus.
        report.add("monotone in 2-D: the area changes by", np.ptp(areas), 2 * noise * areas[0])
