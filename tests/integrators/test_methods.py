"""The methods by themselves: tableaus, orders in time, RKL2, ETDRK4."""

from __future__ import annotations

import math
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
    InvalidArgumentError,
)
from riemann_lne.integrators import State
from riemann_lne.integrators.methods.etd import ETDRK4
from riemann_lne.integrators.methods.etd_coefficients import etdrk4_coefficients
from riemann_lne.integrators.methods.etd_in_place import StepInPlace
from riemann_lne.integrators.methods.rkl import RKL2, stage_count
from riemann_lne.integrators.methods.runge_kutta import (
    BS32,
    RK4,
    TSIT5,
    ExplicitRungeKutta,
    Tableau,
)
from riemann_lne.integrators.semidiscrete import SemiDiscreteFlow

TABLEAUS = {"rk4": RK4, "bs32": BS32, "tsit5": TSIT5}
GRID = Grid.torus((8, 8))


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


def test_a_flow_without_a_stability_limit_can_be_integrated(pointwise: Any) -> None:
    for method in ("rk4", "tsit5", "bs32", "rkl2"):
        flow = pointwise(lambda t, y: 0.0 * y, radius=0.0)
        solution = solve_flow(flat_metric(GRID), flow, (0, 1), method)
        assert solution.success


# ---- orders of accuracy in time -------------------------------------------------------------


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2"])
def test_time_dependent_right_hand_sides_are_evaluated_at_the_right_times(
    method: str, pointwise: Any
) -> None:
    """g' = -2 t g: stages at wrong times would lower the order."""
    order = {"rk4": 4, "tsit5": 5, "bs32": 3, "rkl2": 2}[method]
    errors = []
    for dt in (0.05, 0.025):
        flow = pointwise(lambda t, y: -2 * t * y)
        end = solve_flow(flat_metric(GRID), flow, (0.3, 1.3), method, dt=dt)[-1]
        exact = math.exp(0.3**2 - 1.3**2)
        errors.append(abs(float(end.components[0, 0, 0, 0]) - exact))
        assert min(flow.times) >= 0.3
        assert max(flow.times) <= 1.3 + 1e-12
    assert abs(math.log2(errors[0] / errors[1]) - order) < 0.2


def test_linear_rates_of_time_are_integrated_exactly_by_rkl2(pointwise: Any) -> None:
    flow = pointwise(lambda t, y: 2 * t * np.ones_like(y) * np.array([1, 0, 1]).reshape(3, 1, 1))
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


def rkl2_amplification(pointwise: Any, z: float, stages: int) -> float:
    """What one step of RKL2 does to g' = (z / dt) g."""
    grid = Grid.torus((2, 2))
    y = np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1) * np.ones((3, 2, 2))
    system = SemiDiscreteFlow(pointwise(lambda t, u: z * u), grid, 2, None, y, (0.0, 1.0))
    return float(RKL2(stages).step(system, State(0.0, y), 1.0, False).y[0, 0, 0])


@pytest.mark.parametrize("stages", [2, 3, 4, 5, 9, 21])
def test_rkl2_is_the_shifted_legendre_polynomial_and_stable_on_its_interval(
    stages: int, pointwise: Any
) -> None:
    """R(z) = 1 - b_s + b_s P_s(1 + w z), and |R| <= 1 for -z <= (s^2 + s - 2) / 2."""
    w = 4 / (stages**2 + stages - 2)
    b = (stages**2 + stages - 2) / (2 * stages * (stages + 1))
    end = (stages**2 + stages - 2) / 2
    for z in -np.linspace(0.0, end, 60):
        legendre = np.polynomial.legendre.Legendre.basis(stages)(1 + w * z)
        value = rkl2_amplification(pointwise, float(z), stages)
        assert math.isclose(value, 1 - b + b * legendre, abs_tol=1e-11)
        assert abs(value) <= 1 + 1e-12
    z = 1e-2
    assert abs(rkl2_amplification(pointwise, -z, stages) - math.exp(-z)) < z**3  # of second order


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
    z = -np.concatenate([[0.0], np.logspace(-12, 3, 241), [1.9999999, 2.0, 2.0000001, 0.5]])
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
                # Their argument is 0.7 * (x / 0.7), which rounds.
                true = 0.7 * exact(name, mp.mpf(0.7 * float(x / 0.7)))
                assert abs(v - true) < 1e-15, (name, x)
                # f1 has a zero at -1.9, next to which nothing but that holds.
                assert abs(v - true) < 2e-13 * abs(true), (name, x)
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


@pytest.mark.parametrize("estimate", [False, True])
@pytest.mark.parametrize("order", [4, "fourier"])
def test_the_scheme_and_the_step_with_the_least_memory_agree(
    bumpy: MetricField, estimate: bool, order: Any
) -> None:
    y = bumpy.packed
    system = SemiDiscreteFlow(RicciDeTurckFlow(), bumpy.grid, order, None, y, (0.0, 1.0))
    method = ETDRK4(system, y)
    for dt in (0.01, 0.3):
        plain = method._step(system, State(0.0, y), dt, estimate)
        lean = StepInPlace(method)(system, State(0.0, y), dt, estimate)
        assert np.max(np.abs(plain.y - lean.y)) < 1e-13
        if estimate:
            assert np.max(np.abs(plain.error[...] - lean.error[...])) < 1e-13  # type: ignore[index]
        else:
            assert plain.error is lean.error is None


def test_etdrk4_needs_a_torus_and_a_parabolic_flow() -> None:
    box = flat_metric(Grid.box(0, 1, (8, 8)))
    with pytest.raises(InvalidArgumentError, match=r"every axis periodic; use 'rkl2'"):
        solve_flow(box, RicciDeTurckFlow(), (0, 1), "etdrk4")
    with pytest.raises(InvalidArgumentError, match=r"RicciFlow\(\).*RicciDeTurckFlow"):
        solve_flow(flat_metric(GRID), RicciFlow(), (0, 1), "etdrk4")


def test_a_runge_kutta_step_of_its_own_tableau_can_be_made(pointwise: Any) -> None:
    """Heun's method, from its tableau alone."""
    heun = Tableau(((), (1.0,)), (0.5, 0.5), (0.0, 1.0), None, 2, 3, 2.0)
    method = ExplicitRungeKutta("heun", heun)
    y = np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1) * np.ones((3, 8, 8))
    system = SemiDiscreteFlow(pointwise(lambda t, u: -u), GRID, 2, None, y, (0.0, 1.0))
    step = method.step(system, State(0.0, y), 0.1, True)
    assert np.allclose(step.y[0], 1 - 0.1 + 0.005, rtol=1e-15)
    assert step.rate is None
    assert step.error is None
    assert method.stable_step(4.0) == 0.5
