"""What every solve must respect: fixed points, invariants, symmetry, boundaries."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from riemann_lne import (
    Grid,
    MetricField,
    NormalizedRicciFlow,
    RicciDeTurckFlow,
    RicciFlow,
    ScaledFlow,
    flat_metric,
    perturbed_euclidean,
    solve_flow,
)
from riemann_lne.errors import DTypeError, InvalidArgumentError, UnknownNameError
from riemann_lne.tensors import pack

METHODS = ("rk4", "tsit5", "bs32", "rkl2", "etdrk4")
TORUS = Grid.torus((16, 14))


@pytest.fixture(scope="module")
def bumpy() -> MetricField:
    return perturbed_euclidean(TORUS, amplitude=0.3, seed=7)


def constant_metric(grid: Grid) -> MetricField:
    """A flat metric that is not the identity."""
    n = grid.ndim
    a = np.eye(n) + 0.3 * np.ones((n, n)) / n + np.diag(0.1 * np.arange(n))
    return MetricField(grid, a.reshape(n, n, *(1,) * n) * np.ones(grid.shape))


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("order", [2, 4, "fourier"])
@pytest.mark.parametrize("method", METHODS)
def test_flat_metrics_are_fixed_points_of_every_method(
    method: str, order: Any, adaptive: bool
) -> None:
    g = constant_metric(Grid.torus((8, 8, 7)))
    dt = None if adaptive else (0.01 if method in ("rk4", "tsit5", "bs32") else 0.25)
    solution = solve_flow(g, RicciDeTurckFlow(), (0, 0.5), method, order=order, dt=dt, t_eval=[0.5])
    assert solution.success
    assert np.max(np.abs(solution[-1].components - g.components)) < 1e-13


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2"])
@pytest.mark.parametrize("boundary", [None, "held", "free"])
def test_flat_metrics_are_fixed_on_a_box_whatever_the_boundary(
    method: str, boundary: str | None
) -> None:
    g = constant_metric(Grid.box(0, 1, (9, 8)))
    for flow in (RicciFlow(), RicciDeTurckFlow()):
        solution = solve_flow(g, flow, (0, 2e-3), method, boundary=boundary, dt=1e-3, t_eval=[2e-3])
        assert solution.success
        assert np.max(np.abs(solution[-1].components - g.components)) < 1e-13


@pytest.mark.parametrize("n", [2, 3])
def test_the_volume_changes_by_minus_the_integral_of_the_scalar_curvature(n: int) -> None:
    """dVol/dt = -integral R dV, along a run of the Ricci flow."""
    grid = Grid.torus((20,) * n if n == 2 else (12,) * n)
    g = perturbed_euclidean(grid, 0.3, seed=2, modes=1)
    h = 2e-3
    solution = solve_flow(
        g,
        RicciFlow(),
        (0, 4 * h),
        "rk4",
        t_eval=[0, h, 2 * h, 3 * h, 4 * h],
        dt=h / 2,
        order="fourier",
    )
    assert solution.success
    v = [m.volume() for m in solution.metrics]
    rate = (v[0] - 8 * v[1] + 8 * v[3] - v[4]) / (12 * h)
    middle = solution[2]
    integral = float(grid.integrate(middle.scalar_curvature("fourier") * middle.volume_element()))
    if n == 2:
        assert abs(rate) < 1e-6  # Gauss-Bonnet: the area of a torus is conserved
        assert abs(integral) < 1e-6
    else:
        assert abs(integral) > 1.0
        assert math.isclose(rate, -integral, rel_tol=1e-3)


def test_the_smallest_scalar_curvature_does_not_decrease_under_ricci_flow() -> None:
    grid = Grid.torus((32, 32))
    x, y = grid.coordinates()
    f = 0.3 * np.cos(x + y) + 0.2 * np.sin(2 * x) + 0.1 * np.cos(y)
    g = MetricField(grid, np.eye(2).reshape(2, 2, 1, 1) * np.exp(2 * f))
    solution = solve_flow(g, RicciFlow(), (0, 0.5), "tsit5", t_eval=np.linspace(0, 0.5, 11))
    assert solution.success
    lowest = [float(np.min(m.scalar_curvature())) for m in solution.metrics]
    assert lowest[0] < -1
    assert all(b > a for a, b in pairwise(lowest))
    areas = [m.volume() for m in solution.metrics]
    assert max(areas) - min(areas) < 2e-4 * areas[0]
    # A conformal start stays conformal: the components keep their ratio.
    end = solution[-1].components
    assert np.max(np.abs(end[0, 0] - end[1, 1])) < 1e-3
    assert np.max(np.abs(end[0, 1])) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_translated_start_gives_the_translated_flow(bumpy: MetricField, method: str) -> None:
    shift, axes = (3, 5), (-2, -1)
    moved = MetricField(TORUS, np.roll(bumpy.components, shift, axes))
    options: dict[str, Any] = {"method": method, "dt": 0.01, "t_eval": [0.1]}
    one = solve_flow(moved, RicciDeTurckFlow(), (0, 0.1), **options)[-1].components
    two = solve_flow(bumpy, RicciDeTurckFlow(), (0, 0.1), **options)[-1].components
    assert np.max(np.abs(two - bumpy.components)) > 0.01
    assert np.max(np.abs(one - np.roll(two, shift, axes))) < 1e-13


def test_scaling_the_metric_scales_time(bumpy: MetricField) -> None:
    """If g(t) is a Ricci flow, so is c g(t / c)."""
    c = 2.5
    options: dict[str, Any] = {"method": "rk4", "order": 4}
    one = solve_flow(bumpy, RicciFlow(), (0, 0.05), dt=0.005, t_eval=[0.05], **options)[-1]
    scaled = MetricField(TORUS, c * bumpy.components)
    two = solve_flow(scaled, RicciFlow(), (0, 0.05 * c), dt=0.005 * c, t_eval=[0.05 * c], **options)
    assert np.allclose(two[-1].components, c * one.components, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [2, 4, "fourier"])
def test_a_small_mode_decays_at_the_rate_of_the_differences(method: str, order: Any) -> None:
    grid = Grid.torus((12, 12))
    x, y = grid.coordinates()
    eps, t = 1e-6, 0.2
    h = np.array([[1.0, 0.4], [0.4, -0.7]]).reshape(2, 2, 1, 1) * np.cos(x + 2 * y)
    g = MetricField(grid, flat_metric(grid).components + eps * h)
    solution = solve_flow(
        g,
        RicciDeTurckFlow(),
        (0, t),
        method,
        order=order,
        t_eval=[t],
        rtol=1e-11,
        atol=1e-13,
        dt=0.005 if method == "rk4" else None,
    )
    a = grid.spacing[0]
    rate = {
        2: (2 - 2 * math.cos(a)) / a**2 + (2 - 2 * math.cos(2 * a)) / a**2,
        4: sum((30 - 32 * math.cos(m * a) + 2 * math.cos(2 * m * a)) / (12 * a**2) for m in (1, 2)),
        "fourier": 5.0,
    }[order]
    ratio = (solution[-1].components - flat_metric(grid).components) / (eps * h)
    assert np.max(np.abs(h)) > 0.5
    usable = np.abs(h) > 0.05
    # RKL2 steps as far as the tolerance allows, which is relative to g and not to the mode.
    tolerance = 5e-4 if method == "rkl2" else 2e-5
    assert np.allclose(ratio[usable], math.exp(-rate * t), rtol=tolerance)


def test_modes_beyond_two_thirds_decay_with_fourier_derivatives_too() -> None:
    """Dealiasing must not freeze what the start has there."""
    grid = Grid.torus((12, 12))
    i = np.arange(12).reshape(12, 1) * np.ones((12, 12))
    h = 1e-4 * np.array([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 2, 1, 1) * (-1.0) ** i
    g = MetricField(grid, flat_metric(grid).components + h)
    for method, dt in (("etdrk4", 0.01), ("tsit5", 0.01), ("rkl2", 0.01)):
        end = solve_flow(
            g, RicciDeTurckFlow(), (0, 0.1), method, order="fourier", dt=dt, t_eval=[0.1]
        )[-1]
        left = np.max(np.abs(end.components - flat_metric(grid).components))
        assert left < 0.05 * 1e-4
        # Wave number 6 decays at 36; RKL2 damps it, but not at its own rate at this step.
        if method != "rkl2":
            assert math.isclose(left, 1e-4 * math.exp(-3.6), rel_tol=0.02)


# ---- boundaries -----------------------------------------------------------------------------

BOX = Grid.box(-1, 1, (17, 15))


def conformal_start() -> MetricField:
    x, y = BOX.coordinates()
    v = 1 + 0.2 * np.cos(x) * np.cos(2 * y)
    return MetricField(BOX, np.eye(2).reshape(2, 2, 1, 1) * v + 0.05 * np.ones((2, 2, 1, 1)) * x)


def edges(f: np.ndarray) -> np.ndarray:
    return np.concatenate([f[..., 0, :], f[..., -1, :], f[..., :, 0], f[..., :, -1]], axis=-1)


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2"])
@pytest.mark.parametrize("flow", [RicciFlow(), RicciDeTurckFlow()], ids=["RF", "RDT"])
def test_a_held_boundary_keeps_every_bit_and_the_inside_moves(method: str, flow: Any) -> None:
    g = conformal_start()
    for boundary in (None, "held"):
        solution = solve_flow(
            g, flow, (0, 0.01), method, boundary=boundary, dt=5e-4, t_eval=[0, 0.005, 0.01]
        )
        assert solution.success
        for m in solution.metrics:
            assert np.array_equal(edges(m.components), edges(g.components))
        assert np.max(np.abs(solution[-1].components - g.components)) > 1e-3


def test_a_free_boundary_moves() -> None:
    g = conformal_start()
    end = solve_flow(g, RicciFlow(), (0, 2e-3), "rk4", boundary="free", dt=2e-4)[-1]
    assert np.max(np.abs(edges(end.components) - edges(g.components))) > 1e-3


def shrinking_sphere(t: float, x: Any, y: Any) -> list[list[Any]]:
    """The unit sphere in stereographic coordinates: g(t) = (1 - 2 t) g(0)."""
    v = 4 * (1 - 2 * t) / (1 + x**2 + y**2) ** 2
    return [[v, 0], [0, v]]


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2"])
def test_a_boundary_that_is_a_function_drives_the_flow(method: str) -> None:
    grid = Grid.box(-0.5, 0.5, (17, 17))
    g = MetricField.from_function(grid, lambda x, y: shrinking_sphere(0.0, x, y))
    solution = solve_flow(
        g,
        RicciFlow(),
        (0, 0.1),
        method,
        boundary=shrinking_sphere,
        order=6,
        rtol=1e-8,
        t_eval=[0.1],
    )
    assert solution.success
    exact = MetricField.from_function(grid, lambda x, y: shrinking_sphere(0.1, x, y)).components
    end = solution[-1].components
    assert np.max(np.abs(edges(end) - edges(exact))) < 1e-14
    assert np.max(np.abs(end - exact)) < 2e-4


def swinging(t: float, x: Any, y: Any) -> list[list[Any]]:
    """A metric that is no solution but has a curved course in time."""
    a, b = np.exp(-3 * t), np.sin(5 * t)
    v = 1 + 0.1 * a * (1 + x * y)
    return [[v, 0.05 * b * x], [0.05 * b * x, v + 0.1 * y]]


@pytest.mark.parametrize("driven", [False, True], ids=["held", "function"])
@pytest.mark.parametrize(("method", "order"), [("rk4", 4), ("bs32", 3), ("rkl2", 2)])
def test_boundary_values_do_not_lower_the_order_in_time(
    method: str, order: int, driven: bool
) -> None:
    """Stages must see the boundary's own course, not a step back to it after the step."""
    grid = Grid.box(-1, 1, (9, 8))
    g = MetricField.from_function(grid, lambda x, y: swinging(0.0, x, y))
    bump = 0.2 * np.prod([np.cos(np.pi * c / 2) for c in grid.coordinates()], axis=0)
    g = MetricField(grid, g.components + bump * np.eye(2).reshape(2, 2, 1, 1))
    t = 0.08

    def end(name: str, count: int) -> np.ndarray:
        solution = solve_flow(
            g,
            RicciDeTurckFlow(),
            (0, t),
            name,
            dt=t / count,
            order=2,
            boundary=swinging if driven else "held",
            t_eval=[t],
        )
        assert solution.success
        return solution[-1].components

    best = end("tsit5", 128)
    errors = [np.max(np.abs(end(method, count) - best)) for count in (16, 32)]
    assert math.log2(errors[0] / errors[1]) > order - 0.2


def test_a_mixed_grid_holds_its_bounded_axis_alone() -> None:
    grid = Grid((12, 11), (0, 0), (2 * np.pi, 1), (True, False))
    g = perturbed_euclidean(grid, 0.2, seed=1)
    x, _ = grid.coordinates()
    bumped = MetricField(grid, g.components + 0.1 * np.cos(x) * np.eye(2).reshape(2, 2, 1, 1))
    end = solve_flow(bumped, RicciDeTurckFlow(), (0, 0.02), dt=0.01)[-1].components
    assert np.array_equal(end[..., 0], bumped.components[..., 0])
    assert np.array_equal(end[..., -1], bumped.components[..., -1])
    assert np.max(np.abs(end[..., 0, 1:-1] - bumped.components[..., 0, 1:-1])) > 1e-3


@pytest.mark.parametrize("grid", [BOX, TORUS], ids=["box", "torus"])
def test_an_unknown_boundary_lists_the_known_ones(grid: Grid) -> None:
    message = r"'heldd'; known: free, held, reflecting. Did you mean 'held'"
    with pytest.raises(UnknownNameError, match=message):
        solve_flow(flat_metric(grid), RicciFlow(), (0, 1), boundary="heldd")


def test_a_boundary_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="a function"):
        solve_flow(flat_metric(BOX), RicciFlow(), (0, 1), boundary=3)  # type: ignore[arg-type]


# ---- backgrounds ---------------------------------------------------------------------------


def test_the_deturck_flow_with_the_flat_background_is_that_with_none(bumpy: MetricField) -> None:
    for background in (flat_metric(TORUS), constant_metric(TORUS)):
        for order in (2, 4, "fourier"):
            one = RicciDeTurckFlow().rhs(0.0, bumpy.packed, TORUS, order)
            two = RicciDeTurckFlow(background).rhs(0.0, bumpy.packed, TORUS, order)
            assert np.max(np.abs(one - two)) < 1e-11


def test_ricci_and_ricci_deturck_flow_are_the_same_geometry() -> None:
    """They differ by a change of coordinates, so integrals of curvature agree along both."""
    grid = Grid.torus((32, 32))
    g = perturbed_euclidean(grid, 0.2, seed=4, modes=1)
    integrals = []
    for flow in (RicciFlow(), RicciDeTurckFlow()):
        end = solve_flow(g, flow, (0, 0.1), "rk4", order=8, t_eval=[0.1])[-1]
        R = end.scalar_curvature(8)
        integrals.append(float(grid.integrate(R**2 * end.volume_element())))
    assert integrals[0] > 0.01
    assert math.isclose(*integrals, rel_tol=1e-4)


def test_the_flows_say_what_they_are() -> None:
    assert repr(RicciFlow()) == "RicciFlow()"
    assert repr(RicciDeTurckFlow()) == "RicciDeTurckFlow(background=None)"
    assert RicciDeTurckFlow().parabolic
    assert not RicciFlow().parabolic


def test_the_right_hand_side_does_not_depend_on_time(bumpy: MetricField) -> None:
    packed = pack(bumpy.components)
    for flow in (RicciFlow(), RicciDeTurckFlow()):
        assert np.array_equal(flow.rhs(0.0, packed, TORUS, 4), flow.rhs(9.0, packed, TORUS, 4))


# Looked at: every flow that is made from another object (Ricci-DeTurck, scaled, normalised), and
# what solve_flow takes as a flow.
@pytest.mark.parametrize(
    "make",
    [
        lambda: RicciDeTurckFlow([[1.0, 0.0], [0.0, 1.0]]),
        lambda: RicciDeTurckFlow(background="flat"),
        lambda: RicciDeTurckFlow(MetricField),
        lambda: ScaledFlow("ricci", 1.0),
        lambda: ScaledFlow(RicciFlow, 1.0),
        lambda: NormalizedRicciFlow(3.0),
        lambda: solve_flow(flat_metric(TORUS), RicciFlow, (0, 1)),
    ],
)
def test_a_flow_made_of_the_wrong_object_is_refused_when_it_is_made(make: Any) -> None:
    with pytest.raises(DTypeError, match="give a"):
        make()


@pytest.mark.parametrize("c", [math.nan, math.inf, "2", True, None, [1.0, 2.0]])
def test_the_factor_of_a_scaled_flow_is_a_number_or_a_function(c: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"c .*give a finite number"):
        ScaledFlow(RicciFlow(), c)
