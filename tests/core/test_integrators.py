"""Methods, step control and the ways in which a solve can end."""

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
from riemann_lne.integrators.controller import PIController
from riemann_lne.integrators.etd import etdrk4_coefficients
from riemann_lne.integrators.rkl import RKL2, stage_count
from riemann_lne.integrators.runge_kutta import BS32, RK4, TSIT5, ExplicitRungeKutta, Tableau
from riemann_lne.integrators.semidiscrete import SemiDiscreteFlow

TABLEAUS = {"rk4": RK4, "bs32": BS32, "tsit5": TSIT5}
GRID = Grid.torus((8, 8))
NAMED = [m for m in METHODS if m != "auto"]


class Pointwise:
    """g' = f(t, g) at every point by itself: an ordinary differential equation in disguise."""

    parabolic = False

    def __init__(self, f: Any, radius: float = 1.0) -> None:
        self.f, self.radius = f, radius
        self.times: list[float] = []

    def rhs(self, t: float, packed: Any, grid: Grid, order: Any) -> Any:
        self.times.append(t)
        return self.f(t, packed)

    def spectral_radius(self, packed: Any, grid: Grid, order: Any) -> float:
        return self.radius


@pytest.fixture(scope="module")
def bumpy() -> MetricField:
    return perturbed_euclidean(Grid.torus((12, 12)), amplitude=0.3, seed=3)


# ---- tableaus -------------------------------------------------------------------------------


def tree_conditions(t: Tableau) -> dict[str, tuple[int, tuple[float, ...], float]]:
    """The 17 rooted trees of order <= 5: order, elementary weights by stage, 1 / density."""
    s = len(t.b)
    A = np.zeros((s, s))
    for i, row in enumerate(t.a):
        A[i, : len(row)] = row
    c = np.array(t.c)
    one = np.ones(s)
    return {
        "t1": (1, one, 1),
        "t21": (2, c, 1 / 2),
        "t31": (3, c**2, 1 / 3),
        "t32": (3, A @ c, 1 / 6),
        "t41": (4, c**3, 1 / 4),
        "t42": (4, c * (A @ c), 1 / 8),
        "t43": (4, A @ c**2, 1 / 12),
        "t44": (4, A @ A @ c, 1 / 24),
        "t51": (5, c**4, 1 / 5),
        "t52": (5, c**2 * (A @ c), 1 / 10),
        "t53": (5, c * (A @ c**2), 1 / 15),
        "t54": (5, c * (A @ A @ c), 1 / 30),
        "t55": (5, (A @ c) ** 2, 1 / 20),
        "t56": (5, A @ c**3, 1 / 20),
        "t57": (5, A @ (c * (A @ c)), 1 / 40),
        "t58": (5, A @ A @ c**2, 1 / 60),
        "t59": (5, A @ A @ A @ c, 1 / 120),
    }


@pytest.mark.parametrize("name", TABLEAUS)
def test_order_conditions_of_every_rooted_tree(name: str) -> None:
    t = TABLEAUS[name]
    conditions = tree_conditions(t)
    assert len(conditions) == 17
    b = np.array(t.b)
    for tree, (order, phi, density) in conditions.items():
        gap = abs(b @ phi - density)
        if order <= t.order:
            assert gap < 5e-15, tree
    beyond = [abs(b @ phi - d) for o, phi, d in conditions.values() if o == t.order + 1]
    assert not beyond or max(beyond) > 1e-4  # and not of a higher order than claimed


@pytest.mark.parametrize("name", ["bs32", "tsit5"])
def test_the_embedded_method_is_one_order_lower_and_the_estimate_has_its_exponent(
    name: str,
) -> None:
    t = TABLEAUS[name]
    assert t.error is not None
    error = np.array(t.error)
    assert error.shape == (len(t.b),)
    for tree, (order, phi, _) in tree_conditions(t).items():
        if order < t.error_exponent:
            assert abs(error @ phi) < 5e-15, tree
    at = [abs(error @ phi) for o, phi, _ in tree_conditions(t).values() if o == t.error_exponent]
    assert max(at) > 1e-4


@pytest.mark.parametrize("name", TABLEAUS)
def test_rows_sum_to_the_nodes_and_stages_are_explicit(name: str) -> None:
    t = TABLEAUS[name]
    for i, (row, c) in enumerate(zip(t.a, t.c, strict=True)):
        assert len(row) == i
        assert abs(sum(row) - c) < 2e-15


def stability_polynomial(t: Tableau, z: float) -> float:
    s = len(t.b)
    A = np.zeros((s, s))
    for i, row in enumerate(t.a):
        A[i, : len(row)] = row
    return float(1 + z * np.array(t.b) @ np.linalg.solve(np.eye(s) - z * A, np.ones(s)))


@pytest.mark.parametrize("name", TABLEAUS)
def test_the_real_stability_interval_is_what_the_tableau_gives(name: str) -> None:
    t = TABLEAUS[name]
    inside = [abs(stability_polynomial(t, -z)) for z in np.linspace(1e-3, t.real_stability, 2000)]
    assert max(inside) <= 1 + 1e-9
    assert abs(stability_polynomial(t, -1.02 * t.real_stability)) > 1  # and not much is given away


def test_a_flow_without_a_stability_limit_can_be_integrated() -> None:
    for method in ("rk4", "tsit5", "bs32", "rkl2"):
        flow = Pointwise(lambda t, y: 0.0 * y, radius=0.0)
        solution = solve_flow(flat_metric(GRID), flow, (0, 1), method)
        assert solution.success


# ---- orders of accuracy in time -------------------------------------------------------------


@pytest.mark.parametrize("method", NAMED)
def test_order_of_accuracy_on_a_flow(bumpy: MetricField, method: str) -> None:
    """Against a run with far smaller steps, the differences in space being the same."""
    t, steps = {
        "rk4": (0.16, (8, 16)),
        "tsit5": (0.2, (8, 16)),
        "bs32": (0.16, (10, 20)),
        "rkl2": (0.4, (8, 16)),
        "etdrk4": (0.4, (8, 16)),
    }[method]
    order = {"rk4": 4, "tsit5": 5, "bs32": 3, "rkl2": 2, "etdrk4": 4}[method]

    def end(name: str, count: int) -> np.ndarray:
        solution = solve_flow(
            bumpy, RicciDeTurckFlow(), (0, t), name, dt=t / count, order=2, t_eval=[t]
        )
        assert solution.success
        assert solution.n_accepted == count
        return solution[-1].components

    best = end("rk4", 400) if method == "tsit5" else end("tsit5", 100)
    errors = [np.max(np.abs(end(method, count) - best)) for count in steps]
    assert errors[1] > 1e-13  # not rounding
    slope = math.log2(errors[0] / errors[1])
    if method == "tsit5":
        # Its leading error nearly vanishes for linear problems, and a flow is nearly linear.
        assert 4.8 < slope < 6.2
    else:
        assert abs(slope - order) < 0.2


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2"])
def test_time_dependent_right_hand_sides_are_evaluated_at_the_right_times(method: str) -> None:
    """g' = -2 t g: stages at wrong times would lower the order."""
    order = {"rk4": 4, "tsit5": 5, "bs32": 3, "rkl2": 2}[method]
    errors = []
    for dt in (0.05, 0.025):
        flow = Pointwise(lambda t, y: -2 * t * y)
        end = solve_flow(flat_metric(GRID), flow, (0.3, 1.3), method, dt=dt)[-1]
        exact = math.exp(0.3**2 - 1.3**2)
        errors.append(abs(float(end.components[0, 0, 0, 0]) - exact))
        assert min(flow.times) >= 0.3
        assert max(flow.times) <= 1.3 + 1e-12
    assert abs(math.log2(errors[0] / errors[1]) - order) < 0.2


def test_linear_rates_of_time_are_integrated_exactly_by_rkl2() -> None:
    flow = Pointwise(lambda t, y: 2 * t * np.ones_like(y) * np.array([1, 0, 1]).reshape(3, 1, 1))
    end = solve_flow(flat_metric(GRID), flow, (0, 2), "rkl2", dt=1.0)[-1]
    assert np.allclose(end.components[0, 0], 5.0, rtol=1e-14)


# ---- RKL2 ----------------------------------------------------------------------------------


@given(st.floats(1e-3, 1e8), st.floats(1e-8, 1e3))
def test_the_stage_count_is_odd_enough_and_the_smallest(radius: float, dt: float) -> None:
    s = stage_count(radius, dt)
    assert s % 2 == 1
    assert s >= 3

    def reach(k: int) -> float:
        return 2 / radius * (k * k + k - 2) / 4

    assert dt <= reach(s) * (1 + 1e-12)
    assert s == 3 or dt > reach(s - 2) * (1 - 1e-12)


def test_the_stage_count_is_enough_for_every_product_of_radius_and_step() -> None:
    """A fine sweep, since a count that is too small by one shows in narrow windows alone."""
    for product in np.linspace(0.05, 300, 20_001):
        s = stage_count(float(product), 1.0)
        assert product <= (s * s + s - 2) / 2 * (1 + 1e-12)


def rkl2_amplification(z: float, stages: int) -> float:
    """What one step of RKL2 does to g' = (z / dt) g."""
    grid = Grid.torus((2, 2))
    y = np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1) * np.ones((3, 2, 2))
    system = SemiDiscreteFlow(Pointwise(lambda t, u: z * u), grid, 2, None, y, 1.0)
    return float(RKL2(stages).step(system, 0.0, y, None, 1.0, False).y[0, 0, 0])


@pytest.mark.parametrize("stages", [2, 3, 4, 5, 9, 21])
def test_rkl2_is_the_shifted_legendre_polynomial_and_stable_on_its_interval(stages: int) -> None:
    """R(z) = 1 - b_s + b_s P_s(1 + w z), and |R| <= 1 for -z <= (s^2 + s - 2) / 2."""
    w = 4 / (stages**2 + stages - 2)
    b = (stages**2 + stages - 2) / (2 * stages * (stages + 1))
    end = (stages**2 + stages - 2) / 2
    for z in -np.linspace(0.0, end, 60):
        legendre = np.polynomial.legendre.Legendre.basis(stages)(1 + w * z)
        value = rkl2_amplification(float(z), stages)
        assert math.isclose(value, 1 - b + b * legendre, abs_tol=1e-11)
        assert abs(value) <= 1 + 1e-12
    z = 1e-2
    assert abs(rkl2_amplification(-z, stages) - math.exp(-z)) < z**3  # of second order


def evaluations(size: int, t: float) -> tuple[int, int, float]:
    """Right-hand sides of RKL2 and RK4 for the same interval, and the gap of their ends."""
    g = perturbed_euclidean(Grid.torus((size, size)), amplitude=0.2, seed=1)
    options: dict[str, Any] = {"order": 2, "t_eval": [t]}
    one = solve_flow(g, RicciDeTurckFlow(), (0, t), "rkl2", rtol=1e-4, **options)
    two = solve_flow(g, RicciDeTurckFlow(), (0, t), "rk4", **options)
    assert one.success
    assert two.success
    gap = float(np.max(np.abs(one[-1].components - two[-1].components)))
    return one.nfev, two.nfev, gap


@pytest.mark.parametrize(
    ("size", "t", "gain"),
    [
        (64, 0.5, 4),
        (128, 0.1, 5),
        pytest.param(128, 0.5, 8, marks=pytest.mark.slow),
    ],
)
def test_rkl2_needs_a_fraction_of_the_right_hand_sides_of_rk4(
    size: int, t: float, gain: float
) -> None:
    """The gain grows with the number of points along an axis."""
    rkl2, rk4, gap = evaluations(size, t)
    assert rkl2 <= rk4 / gain
    assert gap < 1e-4


# ---- ETDRK4 --------------------------------------------------------------------------------


def test_etd_coefficients_agree_with_high_precision() -> None:
    mp = pytest.importorskip("mpmath")
    z = -np.concatenate([[0.0], np.logspace(-12, 3, 241), [0.9999999, 1.0, 1.0000001, 0.5, 2.0]])
    values = etdrk4_coefficients(z / 0.7, 0.7)

    def exact(name: str, x: Any) -> Any:
        if x == 0:
            return {
                "q": mp.mpf(1) / 2,
                "f1": mp.mpf(1) / 6,
                "f2": mp.mpf(1) / 3,
                "f3": mp.mpf(1) / 6,
            }[name]
        e = mp.exp(x)
        return {
            "q": (mp.exp(x / 2) - 1) / x,
            "f1": (-4 - x + e * (4 - 3 * x + x**2)) / x**3,
            "f2": 2 * (2 + x + e * (x - 2)) / x**3,
            "f3": (-4 - 3 * x - x**2 + e * (4 - x)) / x**3,
        }[name]

    with mp.workdps(80):
        for name, found in zip(("q", "f1", "f2", "f3"), values[2:], strict=True):
            for x, v in zip(z, found, strict=True):
                # The argument of the contour is 0.7 * (x / 0.7), which rounds.
                true = 0.7 * exact(name, mp.mpf(float(x / 0.7)) * mp.mpf(0.7))
                assert abs(v - true) < 1e-13, (name, x)
                assert abs(v - true) < 2e-10 * abs(true) + 1e-15, (name, x)
    assert np.allclose(values[0], np.exp(z), rtol=1e-13)
    assert np.allclose(values[1], np.exp(z / 2), rtol=1e-13)


def test_etdrk4_integrates_the_linear_part_exactly() -> None:
    grid = Grid.torus((16, 16))
    x, y = grid.coordinates()
    eps = 1e-9
    h = np.array([[1.0, 0.2], [0.2, 1.0]]).reshape(2, 2, 1, 1) * np.cos(2 * x + y)
    g = MetricField(grid, flat_metric(grid).components + eps * h)
    end = solve_flow(g, RicciDeTurckFlow(), (0, 3), "etdrk4", dt=1.0, order="fourier")[-1]
    left = (end.components - flat_metric(grid).components) / eps
    assert np.max(np.abs(left - math.exp(-15.0) * h)) < 1e-6


def test_etdrk4_needs_a_torus_and_a_parabolic_flow() -> None:
    box = flat_metric(Grid.box(0, 1, (8, 8)))
    with pytest.raises(InvalidArgumentError, match=r"every axis periodic; use 'rkl2'"):
        solve_flow(box, RicciDeTurckFlow(), (0, 1), "etdrk4")
    with pytest.raises(InvalidArgumentError, match=r"RicciFlow\(\).*RicciDeTurckFlow"):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), "etdrk4")


# ---- choice of the method and arguments -----------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "flow", "name"),
    [
        (GRID, RicciDeTurckFlow(), "etdrk4"),
        (Grid.box(0, 1, (8, 8)), RicciDeTurckFlow(), "rkl2"),
        (GRID, RicciFlow(), "tsit5"),
        (GRID, Pointwise(lambda t, y: 0 * y), "tsit5"),
    ],
)
def test_auto_chooses_what_applies(grid: Grid, flow: Any, name: str) -> None:
    assert solve_flow(flat_metric(grid), flow, (0, 1e-3)).method == name


def test_an_unknown_method_lists_the_known_ones() -> None:
    known = "auto, bs32, etdrk4, rk4, rkl2, tsit5"
    with pytest.raises(UnknownNameError, match=rf"'rk45'; known: {known}.*Did you mean 'rk4'"):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), "rk45")


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


def test_the_flow_runs_to_the_end_of_its_span_also_past_the_last_output_time() -> None:
    """A sphere collapses at t = 1/2: success must not be claimed for times never reached."""
    flow = Pointwise(lambda t, y: -2.0 * np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1) + 0 * y)
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


def test_rejected_steps_are_counted_and_cost_right_hand_sides() -> None:
    """A pulse in time that the first, long steps cannot have foreseen."""
    flow = Pointwise(lambda t, y: y * 3 * math.exp(-((t - 5) ** 2)), radius=1e-3)
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


def test_a_collapse_ends_an_adaptive_flow_near_its_time_and_keeps_the_past() -> None:
    """g' = -2 g / g_00 collapses like a round sphere: 1 - 2 t, at t = 1/2."""
    flow = Pointwise(lambda t, y: -2.0 * y / y[0, ...])
    for method in ("tsit5", "bs32", "rkl2"):
        solution = solve_flow(flat_metric(GRID), flow, (0, 1), method)
        assert solution.status == -1
        assert "singular" in solution.message
        assert 0.4 < solution.t[-1] <= 0.5 + 1e-9
        assert np.allclose(
            [m.components[0, 0, 0, 0] for m in solution.metrics], 1 - 2 * solution.t, atol=1e-5
        )


def test_a_right_hand_side_that_is_not_finite_ends_the_flow() -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        return np.full_like(y, np.nan) if t > 0.25 else -0.1 * y

    for dt in (None, 0.1):
        solution = solve_flow(flat_metric(GRID), Pointwise(f), (0, 1), "tsit5", dt=dt)
        assert solution.status == -1
        assert solution.t[-1] <= 0.25
        assert all(np.all(np.isfinite(m.components)) for m in solution.metrics)
        if dt is not None:
            assert "not finite" in solution.message


@pytest.mark.parametrize("method", ["rk4", "tsit5", "rkl2", "bs32"])
@pytest.mark.parametrize("calls", [1, 7, 40])
def test_an_interrupt_leaves_what_was_computed(method: str, calls: int) -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        if len(flow.times) >= calls:
            raise KeyboardInterrupt
        return -0.1 * y

    flow = Pointwise(f)
    solution = solve_flow(flat_metric(GRID), flow, (0, 5), method, dt=0.1)
    assert (solution.success, solution.status) == (False, -2)
    assert "interrupted" in solution.message
    assert solution.nfev == calls
    assert len(solution) == solution.n_accepted + 1
    assert solution.t[-1] < 5
    assert np.allclose(solution[-1].components[0, 0], math.exp(-0.1 * solution.t[-1]), rtol=1e-4)
    assert f"t = {solution.t[-1]:.6g}" in solution.message


def test_an_interrupt_before_any_output_time_leaves_the_start() -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    g = flat_metric(GRID)
    solution = solve_flow(g, Pointwise(f), (0, 1), "rk4", t_eval=[0.5, 1.0], dt=0.1)
    assert solution.status == -2
    assert solution.t.tolist() == [0.0]
    assert np.array_equal(solution[0].components, g.components)


def test_other_errors_of_a_flow_are_not_swallowed() -> None:
    def f(t: float, y: np.ndarray) -> np.ndarray:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        solve_flow(flat_metric(GRID), Pointwise(f), (0, 1), "rk4", dt=0.1)


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


def test_a_runge_kutta_step_of_its_own_tableau_can_be_made() -> None:
    """Heun's method, from its tableau alone."""
    heun = Tableau(((), (1.0,)), (0.5, 0.5), (0.0, 1.0), None, 2, 3, 2.0)
    method = ExplicitRungeKutta("heun", heun)
    y = np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1) * np.ones((3, 8, 8))
    system = SemiDiscreteFlow(Pointwise(lambda t, u: -u), GRID, 2, None, y, 1.0)
    step = method.step(system, 0.0, y, None, 0.1, True)
    assert np.allclose(step.y[0], 1 - 0.1 + 0.005, rtol=1e-15)
    assert step.rate is None
    assert step.error is None
    assert method.stable_step(4.0) == 0.5
