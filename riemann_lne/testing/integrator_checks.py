"""check_integrator: order, restart, stability and fidelity of a time integrator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..analysis.convergence import check_order
from ..checks import count, number, shown
from ..errors import InvalidArgumentError, ShapeError
from ..exact import linear_mode
from ..flows import RicciDeTurckFlow
from ..flows.base import laplacian_spectral_radius
from ..grids import Grid
from ..integrators import FlowSolution, solve_flow
from ..metrics import MetricField, perturbed_euclidean
from .asking import answer
from .findings import CheckReport, attempted, chosen, largest, sequence
from .maps import components_of

CHECKS = ("order", "restart", "input", "mode", "stable")

Solver = Callable[[MetricField, Any, tuple[float, float], float], MetricField | FlowSolution]


def check_integrator(
    method: Any,
    order: float,
    *,
    steps: Sequence[float] | None = None,
    checks: str | Sequence[str] | None = None,
    seed: int = 0,
) -> CheckReport:
    """Check an integrator on the Ricci-DeTurck flow of a random metric on a small torus.

    "order": errors against a reference with far shorter steps fall as step**order, within 0.2.
    "restart": two runs of half the length give what one gives, to rounding. "input": the start is
    left as it was. "mode": a small Fourier mode decays at its rate m^2. "stable": with steps at
    nine tenths of the method's limit 20 times in a row nothing grows (for methods that choose
    their stages or treat the stiff part exactly: with the longest of ``steps``).

    Parameters
    ----------
    method : str, integrator object or callable
        A method for ``solve_flow(method=...)``, or ``solve(metric, flow, (t0, t1), dt)`` that
        returns the metric at t1, or a FlowSolution.
    order : float
        The order of accuracy that it claims.
    steps : sequence of float, optional
        At least two step sizes; by default fractions of the explicit limit.
    checks : str or sequence of str, optional
        Names as above; all by default.
    seed : int
        Of the metric.

    Returns
    -------
    CheckReport

    Raises
    ------
    CheckFailedError
        If a property fails; the message has all numbers.
    DTypeError, InvalidArgumentError, ShapeError, UnknownNameError
        If the arguments make no sense, the integrator breaks off in a first short run, or it
        returns something else than a metric on the grid of the start.

    Examples
    --------
    >>> len(check_integrator("rk4", order=4).failed)
    0
    """
    order, seed = number(order, "order", above=0), count(seed, "seed")
    wanted = chosen(checks, CHECKS, "check of an integrator")
    solve = method if callable(method) and not hasattr(method, "step") else _by_name(method)
    g = perturbed_euclidean(Grid.torus((12, 14), (2 * np.pi, 5.0)), 0.3, seed, modes=1)
    limit = 2.0 / laplacian_spectral_radius(g.packed, g.grid, 4)
    lengths = [limit, limit / 2, limit / 4]
    if steps is not None:
        given = enumerate(sequence(steps, "steps"))
        lengths = sorted((number(h, f"steps[{k}]", above=0) for k, h in given), reverse=True)
    if len(lengths) < 2:
        raise InvalidArgumentError(f"steps = {steps}; at least two step sizes are needed")
    report = CheckReport(f"integrator {shown(method)}")
    end = 8 * lengths[0]
    # One short run before all: that the method is no integrator at all is not a finding.
    _run(solve, g, 0.0, lengths[-1], lengths[-1])
    each: dict[str, tuple[Any, ...]] = {
        "order": (_order, solve, g, end, lengths, order),
        "restart": (_restart, solve, g, end, lengths),
        "input": (_input, solve, g, lengths[0]),
        "mode": (_mode, solve, lengths[-1], order),
        "stable": (_stable, solve, g, 0.9 * lengths[0]),
    }
    for name, (check, *rest) in each.items():
        if name in wanted:
            attempted(report, name, check, *rest)
    return report.require()


def _restart(
    report: CheckReport, solve: Any, g: MetricField, end: float, steps: Sequence[float]
) -> None:
    whole = _run(solve, g, 0.0, end, steps[0])
    middle = _run(solve, g, 0.0, end / 2, steps[0])
    again = _run(solve, middle, end / 2, end, steps[0])
    value, where = largest(components_of(again) - components_of(whole))
    # A method may choose something anew at a start (ETDRK4: the mean metric), within its error.
    own = largest(components_of(whole) - _reference(g, end, steps))[0]
    report.add("restart: halves and whole differ by", value, max(own, 1e-11), where)


def _input(report: CheckReport, solve: Any, g: MetricField, dt: float) -> None:
    before = components_of(g).copy()
    _run(solve, g, 0.0, dt, dt)
    report.add("input: the start was changed by", largest(components_of(g) - before)[0], 0.0)


def _stable(report: CheckReport, solve: Any, g: MetricField, dt: float) -> None:
    growth = _spread(_run(solve, g, 0.0, 20 * dt, dt)) / _spread(g)
    report.add("stable: spread of the components at the end over that at the start", growth, 1)


def _by_name(method: Any) -> Solver:
    def solve(g: MetricField, flow: Any, span: tuple[float, float], dt: float) -> FlowSolution:
        return solve_flow(
            g, flow, span, method, [span[1]], dt, order=4, kernel="plain", max_steps=10**6
        )

    return solve


def _run(solve: Any, g: MetricField, t0: float, t1: float, dt: float) -> MetricField:
    advice = "give solve(metric, flow, (t0, t1), dt) that returns the metric at t1"
    result = answer(solve, "the integrator", advice, g, RicciDeTurckFlow(), (t0, t1), dt)
    if isinstance(result, FlowSolution):
        if not result.success:
            raise InvalidArgumentError(
                f"the integrator stopped: {result.message}; give one that reaches the end"
            )
        result = result[-1]
    if not isinstance(result, MetricField):
        raise InvalidArgumentError(
            f"the integrator returned a {type(result).__name__}; return the MetricField at t1, or "
            "a FlowSolution"
        )
    if result.grid != g.grid:
        raise ShapeError(
            f"the integrator returned a metric on {result.grid}; the start is on {g.grid}: return "
            "the metric at t1 on the same grid"
        )
    return result


def _order(
    report: CheckReport,
    solve: Any,
    g: MetricField,
    end: float,
    steps: Sequence[float],
    order: float,
) -> None:
    reference = _reference(g, end, steps)
    errors = [largest(components_of(_run(solve, g, 0.0, end, h)) - reference)[0] for h in steps]
    where = ", ".join(f"{e:.3g} with {h:.3g}" for e, h in zip(errors, steps, strict=True))
    if not np.all(np.isfinite(errors)):
        report.add("order: largest error", np.inf, 0.0, where)
        return
    fit = check_order([max(e, 1e-16) for e in errors], list(steps), order)
    report.add("order: missed by", order - fit.order, 0.2, f"order {fit.order:.3f}: {where}")


def _reference(g: MetricField, end: float, steps: Sequence[float]) -> np.ndarray:
    """The state at the end by the classical method with far shorter steps."""
    fine = min(min(steps) / 8, 0.5 / laplacian_spectral_radius(g.packed, g.grid, 4))
    return components_of(_run(_by_name("rk4"), g, 0.0, end, fine))


def _mode(report: CheckReport, solve: Any, dt: float, order: float) -> None:
    """With Fourier-exact waves the differences damp at a rate that is known in closed form."""
    solution = linear_mode((1, 0), [[0.0, 0.0], [0.0, 1.0]], 1e-7)
    grid = solution.grid(16)
    start, end = solution.field(0.0, grid), 0.5
    later = components_of(_run(solve, start, 0.0, end, dt))[1, 1] - 1
    h = grid.spacing[0]
    symbol = (2.5 - 8 / 3 * np.cos(h) + np.cos(2 * h) / 6) / h**2  # of order 4
    expected = 1e-7 * np.exp(-symbol * end)
    error = abs(np.abs(later).max() / expected - 1)
    bound = max(10 * (symbol * dt) ** order * end * symbol, 1e-5)
    report.add("mode: relative error of its decay", error, bound, f"dt = {dt:.3g}")


def _spread(g: MetricField) -> float:
    values = components_of(g)
    mean = values.mean(axis=tuple(range(2, values.ndim)), keepdims=True)
    return float(np.abs(values - mean).max())
