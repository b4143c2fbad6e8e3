"""Events are found, located to the tolerance, recorded, and end the flow if they should."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import events
from riemann_lne.errors import DTypeError, InvalidArgumentError, NotFiniteError

GRID = rl.Grid.torus((6, 6))
FLAT = rl.flat_metric(GRID)
METHODS = ("rk4", "tsit5", "bs32", "rkl2")


def g00(metric: rl.MetricField) -> float:
    return float(metric.packed[0, 0, 0])


def decay(t: float, y: Any) -> Any:
    return -y


def swing(t: float, y: Any) -> Any:
    """g = (2 + sin t) / 2 times the start."""
    return math.cos(t) / (2 + math.sin(t)) * y


def below(threshold: float, terminal: bool | int = False, direction: int = 0) -> Any:
    def falls(t: float, metric: rl.MetricField) -> float:
        return g00(metric) - threshold

    falls.terminal, falls.direction = terminal, direction  # type: ignore[attr-defined]
    return falls


@pytest.mark.parametrize("method", METHODS)
def test_the_time_of_an_event_is_as_good_as_the_tolerance(pointwise: Any, method: str) -> None:
    """g = e^-t falls to 0.3 at t = -log 0.3."""
    for rtol in (1e-4, 1e-7):
        solution = rl.solve_flow(
            FLAT, pointwise(decay), (0, 3), method, rtol=rtol, atol=0.0, events=below(0.3),
            dt=rtol**0.25 if method == "rk4" else None,
        )  # fmt: skip
        assert solution.status == 0
        assert solution.t[-1] == 3
        (times,) = solution.t_events
        assert times.shape == (1,)
        # Relative errors of rtol a step add up to an error of log g, which is one of the time.
        assert abs(times[0] + math.log(0.3)) < rtol * solution.n_accepted
        # The metric that belongs to it is on the event, to the bracket of the search.
        assert abs(g00(solution.metrics_events[0][0]) - 0.3) < rtol * 0.3


def test_the_time_of_an_event_converges_with_the_order_of_the_method(pointwise: Any) -> None:
    errors = []
    for dt in (0.4, 0.2):
        solution = rl.solve_flow(
            FLAT, pointwise(decay), (0, 2.4), "rk4", dt=dt, rtol=1e-13, events=below(0.3)
        )
        errors.append(abs(solution.t_events[0][0] + math.log(0.3)))
    assert abs(math.log2(errors[0] / errors[1]) - 4) < 0.5  # steps start at other distances


def test_a_terminal_event_ends_the_flow_with_its_metric_last(pointwise: Any) -> None:
    for outputs in (None, [0.5, 1.0, 2.5]):
        solution = rl.solve_flow(
            FLAT, pointwise(decay), (0, 3), "tsit5", outputs, events=below(0.3, terminal=True)
        )
        assert (solution.success, solution.status) == (True, 1)
        assert solution.message == f"event falls ended the flow at t = {solution.t[-1]:.6g}"
        assert solution.t[-1] == solution.t_events[0][0]
        assert np.array_equal(solution[-1].packed, solution.metrics_events[0][0].packed)
        if outputs is not None:
            assert solution.t.tolist()[:-1] == [0.5, 1.0]


def test_directions_and_counts_are_those_of_scipy(pointwise: Any) -> None:
    """g00 = (2 + sin t) / 2 passes 1.2 upwards at asin 0.4 and downwards at pi - asin 0.4."""
    rise = math.asin(0.4)
    fall = math.pi - rise

    def times(**options: Any) -> list[float]:
        solution = rl.solve_flow(
            FLAT, pointwise(swing), (0, 13), "tsit5", rtol=1e-9, events=[below(1.2, **options)]
        )
        return solution.t_events[0].tolist()

    turns = [rise, fall, rise + 2 * math.pi, fall + 2 * math.pi, rise + 4 * math.pi]
    assert np.allclose(times(), turns, atol=1e-7)
    assert np.allclose(times(direction=1), turns[::2], atol=1e-7)
    assert np.allclose(times(direction=-1), turns[1::2], atol=1e-7)
    assert np.allclose(times(terminal=3), turns[:3], atol=1e-7)


def test_scipy_finds_the_same_times(pointwise: Any) -> None:
    integrate = pytest.importorskip("scipy.integrate")
    theirs = integrate.solve_ivp(
        swing, (0, 13), [1.0], rtol=1e-10, atol=1e-12, events=lambda t, y: y[0] - 1.2
    )
    ours = rl.solve_flow(FLAT, pointwise(swing), (0, 13), "tsit5", rtol=1e-10, events=below(1.2))
    assert np.allclose(ours.t_events[0], theirs.t_events[0], atol=1e-8)


def test_events_in_one_step_are_ordered_and_those_after_a_terminal_one_are_dropped(
    pointwise: Any,
) -> None:
    list_of = [below(0.5), below(0.7, terminal=True), below(0.6), below(0.8)]
    solution = rl.solve_flow(FLAT, pointwise(decay), (0, 1), "rk4", dt=1.0, events=list_of)
    assert [len(t) for t in solution.t_events] == [0, 1, 0, 1]
    assert solution.t_events[3][0] < solution.t_events[1][0] == solution.t[-1]


def test_an_event_that_is_zero_at_the_start_has_not_happened(pointwise: Any) -> None:
    solution = rl.solve_flow(
        FLAT, pointwise(decay), (0, 1), "tsit5", events=below(1.0, terminal=True)
    )
    assert solution.status == 0
    assert len(solution.t_events[0]) == 0


def test_an_event_that_never_occurs_is_no_error_but_said(pointwise: Any) -> None:
    solution = rl.solve_flow(FLAT, pointwise(decay), (0, 1), "tsit5", events=below(0.1))
    assert solution.status == 0
    assert solution.message == "reached the end of t_span; event falls never changed sign"
    solution = rl.solve_flow(
        FLAT, pointwise(decay), (0, 3), "tsit5", events=below(0.1, direction=1)
    )
    assert solution.message.endswith("event falls never changed sign in its direction")


def wrong_nan(t: float, metric: rl.MetricField) -> float:
    return math.nan


def wrong_array(t: float, metric: rl.MetricField) -> Any:
    return metric.packed[0]


def wrong_none(t: float, metric: rl.MetricField) -> Any:
    return None


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (wrong_nan, NotFiniteError),
        (wrong_array, InvalidArgumentError),
        (wrong_none, DTypeError),
    ],
)
def test_an_event_that_is_no_number_is_named(event: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"event {event.__name__} at t = 0 is"):
        rl.solve_flow(FLAT, rl.RicciFlow(), (0, 1), events=[event])
    with pytest.raises(DTypeError, match="event 3 is not callable"):
        rl.solve_flow(FLAT, rl.RicciFlow(), (0, 1), events=[3])  # type: ignore[list-item]


def test_an_event_that_breaks_later_ends_the_flow_and_keeps_the_past(pointwise: Any) -> None:
    def breaks(t: float, metric: rl.MetricField) -> float:
        return math.nan if t > 0.5 else 1.0

    solution = rl.solve_flow(FLAT, pointwise(decay), (0, 1), "rk4", dt=0.1, events=breaks)
    assert solution.status == -1
    assert "stopped at t = 0.5: event breaks at t = 0.6 is nan" in solution.message
    assert len(solution) == 6


def test_events_do_not_change_the_flow(pointwise: Any) -> None:
    one = rl.solve_flow(FLAT, pointwise(swing), (0, 5), "tsit5")
    two = rl.solve_flow(FLAT, pointwise(swing), (0, 5), "tsit5", events=below(1.2))
    assert np.array_equal(one.t, two.t)
    assert all(
        np.array_equal(a.packed, b.packed) for a, b in zip(one.metrics, two.metrics, strict=True)
    )


# ---- ready-made events ----------------------------------------------------------------------

SPHERE = rl.exact.round_sphere(2)
START = SPHERE.field(0.0, SPHERE.grid(13))


def sphere_until(event: Any, **options: Any) -> rl.FlowSolution:
    return rl.solve_flow(
        START, rl.RicciFlow(), (0, 0.49), "rkl2", boundary=SPHERE.metric, events=event, order=8,
        rtol=1e-5, **options,
    )  # fmt: skip


@pytest.mark.parametrize("measure", ["scalar", "ricci"])
def test_curvature_above_a_threshold(measure: str) -> None:
    """The round 2-sphere has R = 2 / (1 - 2 t) and |Ric| = R / sqrt 2."""
    factor = 1 if measure == "scalar" else math.sqrt(2)
    event = events.CurvatureAbove(8.0 / factor, measure, order=8)
    solution = sphere_until(event)
    assert solution.status == 1
    assert abs(float(np.max(solution[-1].scalar_curvature(8))) / 8.0 - 1) < 1e-5
    # Differences on 13 points see R with an error of 0.12 % at the start already.
    assert abs(solution.t[-1] - 0.375) < 1e-3
    assert not events.CurvatureAbove(8.0, terminal=False).terminal


def test_loss_of_definiteness() -> None:
    """g = (1 - 2 t) g(0) falls to a tenth of the start at t = 0.45."""
    floor = 0.1 * float(np.min(START.packed[0]))
    solution = sphere_until(events.Degenerate(floor))
    assert solution.status == 1
    assert abs(solution.t[-1] - 0.45) < 1e-4


def test_a_steady_state_ends_the_flow_and_its_rates_cost_nothing() -> None:
    g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.1, seed=1)
    event = events.SteadyState(1e-4)
    solution = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 50), "etdrk4", events=event)
    assert solution.status == 1
    flow = rl.RicciDeTurckFlow()

    def speed(metric: rl.MetricField) -> float:
        rate = flow.rhs(0.0, metric.packed, metric.grid, 4)
        return rl.sup_norm(rate, metric)

    assert abs(speed(solution[-1]) / 1e-4 - 1) < 1e-4
    assert all(speed(m) > 1e-4 for m in solution.metrics[:-1])
    # The rate at the end of a step is the first stage of the next: only the search costs.
    plain = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, solution.t[-2]), "tsit5")
    watched = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, solution.t[-2]), "tsit5", events=event)
    assert watched.nfev == plain.nfev


@pytest.mark.parametrize(
    "make",
    [
        lambda: events.Degenerate(0.0),
        lambda: events.CurvatureAbove(-1.0),
        lambda: events.CurvatureAbove(1.0, "riemann"),
        lambda: events.SteadyState(0.0),
    ],
)
def test_events_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        make()


@pytest.mark.parametrize("event", [events.Degenerate(0.1), events.CurvatureAbove(3.0)])
def test_events_of_metric_fields_say_so_in_flows_of_other_things(event: Any) -> None:
    """Every door that takes events and shows them something else than a MetricField."""
    sphere = rl.conformal.round_sphere(rl.conformal.Sphere(4))
    for call in (
        lambda: rl.symmetric.solve(rl.symmetric.round_sphere(16), (0, 0.01), events=event),
        lambda: rl.symmetric.solve_in_parts(
            rl.symmetric.round_sphere(16), [0, 0.01], "nowhere.npz", events=event
        ),
        lambda: rl.conformal.solve(sphere, (0, 0.01), events=[event]),
        lambda: rl.integrate(decay, np.ones(3), (0, 1), events=event),
    ):
        with pytest.raises(
            DTypeError, match=f"{type(event).__name__} is an event of a MetricField"
        ):
            call()


def test_a_steady_state_without_a_flow_says_so() -> None:
    with pytest.raises(DTypeError, match="solve_flow"):
        events.SteadyState(1.0)(0.0, FLAT)


# ---- dense output ---------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "order"), [("rk4", 4), ("tsit5", 5), ("bs32", 3), ("rkl2", 2)])
def test_dense_output_has_the_order_of_the_method(pointwise: Any, method: str, order: int) -> None:
    errors = []
    times = np.linspace(0.03, 1.97, 41)
    for dt in (0.05, 0.025):
        flow = pointwise(lambda t, y: -2 * math.cos(3 * t) * y, radius=1.0)
        solution = rl.solve_flow(FLAT, flow, (0, 2), method, times, dt, dense_output=True)
        assert solution.t.tolist() == times.tolist()
        assert solution.n_accepted == round(2 / dt)
        exact = np.exp(-2 / 3 * np.sin(3 * times))
        errors.append(np.max(np.abs([g00(m) for m in solution.metrics] - exact)))
    # RK4's own error happens to fall faster here.
    assert order - 0.2 < math.log2(errors[0] / errors[1]) < order + 0.6


@pytest.mark.parametrize("method", ["tsit5", "rkl2", "etdrk4"])
def test_dense_output_does_not_change_the_steps(method: str) -> None:
    g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.2, seed=2)
    free = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1), method)
    times = np.linspace(0, 1, 101)
    dense = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1), method, times, dense_output=True)
    cut = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1), method, times, rtol=1e-8)
    assert dense.n_accepted == free.n_accepted < cut.n_accepted
    assert np.array_equal(dense[-1].packed, free[-1].packed)
    gap = max(
        np.max(np.abs(a.packed - b.packed)) for a, b in zip(dense.metrics, cut.metrics, strict=True)
    )
    assert gap < 2e-5


def test_dense_output_has_the_boundary_values_of_its_time() -> None:
    times = [0.013, 0.04]
    solution = rl.solve_flow(
        START, rl.RicciFlow(), (0, 0.05), "rkl2", times, boundary=SPHERE.metric, dense_output=True
    )
    for t, metric in zip(times, solution.metrics, strict=True):
        exact = SPHERE.field(t, START.grid)
        assert np.array_equal(metric.packed[:, 0], exact.packed[:, 0])
        assert np.max(np.abs(metric.packed - exact.packed)) < 1e-3
