"""Choice of a method, step control and the ways in which a solve can end."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne import (
    Grid,
    MetricField,
    RicciDeTurckFlow,
    RicciFlow,
    ScaledFlow,
    flat_metric,
    perturbed_euclidean,
    solve_flow,
)
from riemann_lne.errors import (
    GridTooSmallError,
    InvalidArgumentError,
    UnknownNameError,
)
from riemann_lne.integrators import METHODS
from riemann_lne.integrators.methods.controller import PIController

GRID = Grid.torus((8, 8))
NAMED = [m for m in METHODS if m != "auto"]


@pytest.fixture(scope="module")
def bumpy() -> MetricField:
    return perturbed_euclidean(Grid.torus((12, 12)), amplitude=0.3, seed=3)


# ---- choice of the method and arguments -----------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "flow", "name"),
    [
        (GRID, RicciDeTurckFlow(), "etdrk4"),
        (Grid.box(0, 1, (8, 8)), RicciDeTurckFlow(), "rkl2"),
        (GRID, RicciFlow(), "tsit5"),
    ],
)
def test_auto_chooses_what_applies(grid: Grid, flow: Any, name: str) -> None:
    assert solve_flow(flat_metric(grid), flow, (0, 1e-3)).method == name


@pytest.mark.parametrize("wrap", [lambda flow: flow, lambda flow: ScaledFlow(flow, 0.0)])
def test_auto_leaves_an_explicit_method_where_stability_binds_its_steps(wrap: Any) -> None:
    g = perturbed_euclidean(Grid.torus((16, 16)), 0.1, seed=1)
    flow, options = wrap(RicciFlow()), {"t_eval": [15.0], "rtol": 1e-4}
    chosen = solve_flow(g, flow, (0, 15.0), **options)
    explicit = solve_flow(g, flow, (0, 15.0), "tsit5", **options)
    assert (chosen.method, "stiff" in chosen.message) == ("rkl2", False)
    assert 3 * chosen.nfev < explicit.nfev
    difference = abs(chosen[-1].components - explicit[-1].components).max()
    assert difference < 1e-3  # ten times the tolerance of a step
    # A step that the user gives is kept, and so is the method for a tolerance out of reach of rkl2.
    for kept in ({"dt": 1e-3}, {"rtol": 1e-12, "atol": 0.0, "t_eval": [0.02]}):
        assert solve_flow(g, flow, (0, 0.02), **kept).method == "tsit5"


def test_auto_chooses_an_explicit_method_for_flows_it_does_not_know(pointwise: Any) -> None:
    flow = pointwise(lambda t, y: 0 * y)
    assert solve_flow(flat_metric(GRID), flow, (0, 1e-3)).method == "tsit5"


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'rk45'; known: .*Did you mean 'rk4'") as caught:
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), "rk45")
    for known in ("auto", "bs32", "etdrk4", "rk4", "rkg2", "rkl2", "tsit5"):
        assert f" {known}," in str(caught.value) or f" {known}." in str(caught.value)


@pytest.mark.parametrize(
    "span", [(0,), (0, 1, 2), (1, 0), (0, 0), (0, math.nan), (0, math.inf), None, "ab", 3.0]
)
def test_bad_spans_are_refused(span: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="t_span"):
        solve_flow(flat_metric(GRID), RicciFlow(), span)


@pytest.mark.parametrize(
    "times", [[], [0.5, 0.2], [0.2, 0.2], [-0.1, 0.5], [0.5, 1.5], [math.nan], [0.1, math.nan]]
)
def test_bad_output_times_are_refused(times: list[float]) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"t_eval must rise strictly within.*\(0.0, 1.0\)"
    ):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), t_eval=times)


@pytest.mark.parametrize("dt", [0.0, -0.1, math.nan, math.inf])
def test_bad_steps_are_refused(dt: float) -> None:
    with pytest.raises(InvalidArgumentError, match="dt ="):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), dt=dt)


@pytest.mark.parametrize(
    ("rtol", "atol"), [(-1e-6, 1e-9), (1e-6, -1.0), (0.0, 0.0), (math.nan, 1e-9), (1e-6, math.inf)]
)
def test_bad_tolerances_are_refused(rtol: float, atol: float) -> None:
    with pytest.raises(InvalidArgumentError, match="tol ="):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), rtol=rtol, atol=atol)


def test_grids_that_are_too_small_and_wrong_orders_are_refused_at_once() -> None:
    with pytest.raises(GridTooSmallError, match="8 points; differences of order 8"):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), order=8)
    with pytest.raises(InvalidArgumentError, match="every axis periodic"):
        solve_flow(flat_metric(Grid.box(0, 1, (8, 8))), RicciFlow(), (0, 1), order="fourier")
    with pytest.raises(UnknownNameError, match="fourier"):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), order="spectral")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", NAMED)
@pytest.mark.parametrize("dt", [None, 0.013])
def test_output_times_are_met_exactly_and_only_they_are_kept(
    bumpy: MetricField, method: str, dt: float | None
) -> None:
    times = [0.0, 0.01, 0.05, 0.1]
    solution = solve_flow(bumpy, RicciDeTurckFlow(), (0, 0.1), method, t_eval=times, dt=dt)
    assert solution.t.tolist() == times
    assert len(solution) == 4
    assert np.array_equal(solution[0].components, bumpy.components)
    later = solve_flow(bumpy, RicciDeTurckFlow(), (0, 0.1), method, t_eval=times[1:], dt=dt)
    assert later.t.tolist() == times[1:]
    assert np.array_equal(later[-1].components, solution[-1].components)


@pytest.mark.parametrize("dt", [None, 0.03])
def test_without_output_times_every_step_is_kept(bumpy: MetricField, dt: float | None) -> None:
    solution = solve_flow(bumpy, RicciDeTurckFlow(), (0.5, 0.6), "rkl2", dt=dt)
    assert len(solution) == solution.n_accepted + 1 == len(solution.t)
    assert (solution.t[0], solution.t[-1]) == (0.5, 0.6)
    assert all(a < b for a, b in pairwise(solution.t))
    if dt is not None:
        assert np.allclose(np.diff(solution.t), 0.025)  # equal steps of at most dt


def test_the_flow_runs_to_the_end_of_its_span_also_past_the_last_output_time(
    pointwise: Any,
) -> None:
    """A sphere collapses at t = 1/2: success must not be claimed for times never reached."""
    flow = pointwise(lambda t, y: -2.0 * np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1) + 0 * y)
    solution = solve_flow(flat_metric(GRID), flow, (0, 1), "tsit5", t_eval=[0.1])
    assert not solution.success
    assert solution.t[0] == 0.1
    assert solution.t[1] == pytest.approx(0.5)  # the last good metric
    fine = solve_flow(flat_metric(GRID), flow, (0, 0.4), "tsit5", t_eval=[0.1])
    assert fine.success
    assert fine.t.tolist() == [0.1]


# ---- adaptivity -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tsit5", "bs32", "rkl2", "etdrk4"])
def test_the_error_falls_with_the_tolerance_and_stays_near_it(method: str) -> None:
    # A long enough first stretch that accuracy, not stability, decides on the steps.
    g = perturbed_euclidean(Grid.torus((8, 8)), amplitude=0.4, seed=3, modes=1)
    best = solve_flow(g, RicciDeTurckFlow(), (0, 0.5), "rk4", dt=5e-4, t_eval=[0.5], order=2)
    errors, counts = [], []
    tolerances = (1e-3, 1e-5, 1e-7)
    for rtol in tolerances:
        solution = solve_flow(
            g, RicciDeTurckFlow(), (0, 0.5), method, rtol=rtol, atol=0.0, t_eval=[0.5], order=2
        )
        assert solution.success
        errors.append(np.max(np.abs(solution[-1].components - best[-1].components)))
        counts.append(solution.n_accepted)
    assert errors[2] < errors[1] < errors[0] or errors[0] < 1e-6
    assert all(e < 20 * rtol for e, rtol in zip(errors, tolerances, strict=True))
    assert counts[0] <= counts[1] <= counts[2]
    assert counts[2] > counts[0]


def test_rejected_steps_are_counted_and_cost_right_hand_sides(pointwise: Any) -> None:
    """A pulse in time that the first, long steps cannot have foreseen."""
    flow = pointwise(lambda t, y: y * 3 * math.exp(-((t - 5) ** 2)), radius=1e-3)
    solution = solve_flow(flat_metric(GRID), flow, (0, 10), "tsit5", rtol=1e-8, atol=1e-10)
    assert solution.success
    assert solution.n_rejected >= 1
    # First same as last: 6 new stages a step, accepted or not, and one to begin with.
    assert solution.nfev == 1 + 6 * (solution.n_accepted + solution.n_rejected)
    exact = math.exp(3 * math.sqrt(math.pi))
    assert math.isclose(float(solution[-1].components[0, 0, 0, 0]), exact, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("method", "per_step", "extra"), [("rk4", 4, 0), ("tsit5", 6, 1), ("bs32", 3, 1)]
)
def test_right_hand_sides_are_counted(method: str, per_step: int, extra: int) -> None:
    solution = solve_flow(flat_metric(GRID), RicciFlow(), (0, 0.1), method, dt=0.02)
    assert (solution.n_accepted, solution.n_rejected) == (5, 0)
    assert solution.nfev == 5 * per_step + extra


def test_the_controller_shrinks_grows_and_waits_after_a_rejection() -> None:
    control = PIController(exponent=5)
    assert control.after_accepted(1e-20) == 5.0
    assert control.after_accepted(1.0) < 0.9
    assert control.after_rejected(math.inf) == 0.2
    assert control.after_accepted(1e-20) == 1.0  # not at once after a rejection
    assert control.after_accepted(1e-20) > 1.0
    assert 0.2 <= control.after_rejected(2.0) <= 0.9
    assert control.after_rejected(1.0 + 1e-12) <= 0.9
    assert control.after_rejected(1e30) == 0.2


@given(st.lists(st.floats(1e-14, 1e14), min_size=1, max_size=20))
def test_the_controllers_factors_stay_in_bounds(errors: list[float]) -> None:
    control = PIController(exponent=4)
    for e in errors:
        factor = control.after_accepted(e) if e <= 1 else control.after_rejected(e)
        assert 0.2 <= factor <= 5.0
        assert e <= 1 or factor <= 0.9


# ---- how a solve ends -----------------------------------------------------------------------


def test_an_unstable_step_ends_the_flow_with_the_limit_named_and_keeps_the_past() -> None:
    g = perturbed_euclidean(Grid.torus((16, 16)), amplitude=0.3, seed=0)
    radius = RicciDeTurckFlow().spectral_radius(g.packed, g.grid, 4)
    dt = 5 * 2.785 / radius
    solution = solve_flow(g, RicciDeTurckFlow(), (0, 500 * dt), "rk4", dt=dt)
    assert (solution.success, solution.status) == (False, -1)
    assert "above the stability limit" in solution.message
    assert "'rkl2' or 'etdrk4'" in solution.message
    assert "stopped being positive definite" in solution.message
    assert len(solution) == solution.n_accepted + 1 < 500
    for m in solution.metrics:  # all that is kept is a metric
        MetricField(m.grid, m.components)


def test_a_collapse_ends_an_adaptive_flow_near_its_time_and_keeps_the_past(pointwise: Any) -> None:
    """g' = -2 g / g_00 collapses like a round sphere: 1 - 2 t, at t = 1/2."""
    flow = pointwise(lambda t, y: -2.0 * y / y[0, ...])
    for method in ("tsit5", "bs32", "rkl2"):
        solution = solve_flow(flat_metric(GRID), flow, (0, 1), method)
        assert solution.status == -1
        assert "singular" in solution.message
        assert 0.4 < solution.t[-1] <= 0.5 + 1e-9
        assert np.allclose(
            [m.components[0, 0, 0, 0] for m in solution.metrics], 1 - 2 * solution.t, atol=1e-5
        )


def test_a_right_hand_side_that_is_not_finite_ends_the_flow(pointwise: Any) -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        return np.full_like(y, np.nan) if t > 0.25 else -0.1 * y

    for dt in (None, 0.1):
        solution = solve_flow(flat_metric(GRID), pointwise(f), (0, 1), "tsit5", dt=dt)
        assert solution.status == -1
        assert solution.t[-1] <= 0.25
        assert all(np.all(np.isfinite(m.components)) for m in solution.metrics)
        if dt is not None:
            assert "not finite" in solution.message


@pytest.mark.parametrize("method", ["rk4", "tsit5", "rkl2", "bs32"])
@pytest.mark.parametrize("calls", [1, 7, 40])
def test_an_interrupt_leaves_what_was_computed(method: str, calls: int, pointwise: Any) -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        if len(flow.times) >= calls:
            raise KeyboardInterrupt
        return -0.1 * y

    flow = pointwise(f)
    solution = solve_flow(flat_metric(GRID), flow, (0, 5), method, dt=0.1)
    assert (solution.success, solution.status) == (False, -2)
    assert "interrupted" in solution.message
    assert solution.nfev == calls
    assert len(solution) == solution.n_accepted + 1
    assert solution.t[-1] < 5
    assert np.allclose(solution[-1].components[0, 0], math.exp(-0.1 * solution.t[-1]), rtol=1e-4)
    assert f"t = {solution.t[-1]:.6g}" in solution.message


def test_an_interrupt_before_any_output_time_leaves_the_start(pointwise: Any) -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    g = flat_metric(GRID)
    solution = solve_flow(g, pointwise(f), (0, 1), "rk4", t_eval=[0.5, 1.0], dt=0.1)
    assert solution.status == -2
    assert solution.t.tolist() == [0.0]
    assert np.array_equal(solution[0].components, g.components)


def test_other_errors_of_a_flow_are_not_swallowed(pointwise: Any) -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        solve_flow(flat_metric(GRID), pointwise(f), (0, 1), "rk4", dt=0.1)


def test_success_says_so() -> None:
    solution = solve_flow(flat_metric(GRID), RicciFlow(), (0, 1e-3))
    assert (solution.success, solution.status) == (True, 0)
    assert solution.message == "reached the end of t_span"


@pytest.mark.parametrize("method", NAMED)
@pytest.mark.parametrize("dt", [None, 0.02])
def test_the_start_is_not_written_to_and_kept_states_are_their_own(
    bumpy: MetricField, method: str, dt: float | None
) -> None:
    before = bumpy.packed.copy()
    g = MetricField.from_packed(bumpy.grid, bumpy.packed.copy(), check=False)
    g.packed.setflags(write=False)
    solution = solve_flow(g, RicciDeTurckFlow(), (0, 0.06), method, dt=dt)
    assert np.array_equal(g.packed, before)
    ids = {id(m.packed.base if m.packed.base is not None else m.packed) for m in solution.metrics}
    assert len(ids) == len(solution)
    assert not any(np.shares_memory(m.packed, g.packed) for m in solution.metrics)
    assert all(not np.array_equal(a.packed, b.packed) for a, b in pairwise(solution.metrics))
