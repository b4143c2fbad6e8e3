"""Ricci flow by way of DeTurck's, curved and moving backgrounds, scaled and normalised flows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import (
    InvalidArgumentError,
    NotPositiveDefiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne.flows import Flow
from riemann_lne.flows.describe import describe
from riemann_lne.flows.diffeomorphism import interpolate, pull_back

WAVY = rl.exact.gauge_family(ndim=2, amplitude=0.3, seed=1)
PULLED = rl.RicciFlow(gauge="deturck")


def gap(one: rl.MetricField, two: rl.MetricField) -> float:
    return float(np.max(np.abs(one.components - two.components)))


# ---- interpolation and pull-back ------------------------------------------------------------


def wave(x: Any, y: Any) -> Any:
    return np.exp(np.sin(x) * np.cos(y + 0.3))


def shift(x: Any, y: Any, size: float) -> np.ndarray:
    """Larger than a cell, and than half the torus if size is."""
    return size * np.stack([np.sin(x + y), np.cos(x) - 0.4])


@pytest.mark.parametrize(("order", "sizes"), [(2, (32, 64)), (4, (32, 64)), (6, (32, 64))])
@pytest.mark.parametrize("size", [0.03, 0.5, 8.0])
def test_interpolation_has_two_orders_more_than_the_differences(
    order: int, sizes: tuple[int, int], size: float
) -> None:
    errors = []
    for points in sizes:
        grid = rl.Grid.torus((points, points + 2))
        x, y = grid.coordinates()
        u = shift(x, y, size)
        exact = wave(x + u[0], y + u[1])
        errors.append(np.max(np.abs(interpolate(wave(x, y)[None], u, grid, order)[0] - exact)))
    # Displacements u well below a cell have errors u h^(order + 1).
    assert math.log2(errors[0] / errors[1]) > order + (1 if size < 0.1 else 2) - 0.7


@pytest.mark.parametrize("shape", [(32, 32), (31, 33)])
def test_fourier_interpolation_is_as_good_as_it_claims(shape: tuple[int, int]) -> None:
    grid = rl.Grid.torus(shape, lengths=(2 * math.pi, 4.0))
    x, y = grid.coordinates()
    u = shift(x, y, 0.4)
    k = 2 * math.pi / 4.0
    for m, limit in ((2, 1e-12), (5, 1e-7)):
        field = np.cos(m * x + 0.1) * np.sin(m * k * y)
        exact = np.cos(m * (x + u[0]) + 0.1) * np.sin(m * k * (y + u[1]))
        assert np.max(np.abs(interpolate(field[None], u, grid, "fourier")[0] - exact)) < limit


def test_interpolation_at_the_points_themselves_changes_nothing() -> None:
    grid = rl.Grid.torus((12, 10))
    field = np.random.default_rng(0).normal(size=(3, 12, 10))
    still = np.zeros((2, 12, 10))
    moved = still + np.array([3 * grid.spacing[0], -2 * grid.spacing[1]]).reshape(2, 1, 1)
    for order in (2, 4):
        assert np.max(np.abs(interpolate(field, still, grid, order) - field)) < 1e-14
        rolled = np.roll(field, (-3, 2), (1, 2))
        assert np.max(np.abs(interpolate(field, moved, grid, order) - rolled)) < 1e-12


def test_interpolation_between_mirrors() -> None:
    """Even and odd functions on half a torus, up to the mirrors."""
    torus = rl.Grid.torus((48, 24))
    box = rl.Grid((25, 24), (0, 0), (math.pi, 2 * math.pi), (False, True))
    x, y = box.coordinates()
    u = np.stack([0.3 * np.sin(x) * np.cos(y), 0.2 * np.cos(2 * x)])
    X, Y = torus.coordinates()
    U = np.stack([0.3 * np.sin(X) * np.cos(Y), 0.2 * np.cos(2 * X)])
    field = np.stack([np.cos(X) + 0 * Y, np.sin(X) * np.sin(Y), np.cos(2 * X) * np.cos(Y)])
    mirrored = box.with_mirrors([(0, 0), (0, 1)])
    whole = interpolate(field, U, torus, 4)
    part = interpolate(field[:, :25], u, mirrored, 4)
    assert np.max(np.abs(whole[:, :25] - part)) < 1e-13
    assert np.max(np.abs(part - field[:, :25])) > 0.05


def test_the_pull_back_of_a_metric_is_the_metric_in_other_coordinates() -> None:
    """Curvature is carried along: R(phi^* g) = R(g) o phi."""
    grid = rl.Grid.torus((40, 40))
    x, y = grid.coordinates()
    g = rl.perturbed_euclidean(grid, 0.2, seed=2, modes=1)
    u = 0.1 * np.stack([np.sin(y) + np.cos(x), np.sin(x + y)])
    pulled = rl.MetricField.from_packed(grid, pull_back(g.packed, u, grid, "fourier"))
    there = interpolate(g.scalar_curvature("fourier")[None], u, grid, "fourier")[0]
    assert np.max(np.abs(there)) > 0.1
    assert np.max(np.abs(pulled.scalar_curvature("fourier") - there)) < 1e-6
    assert abs(pulled.volume() - g.volume()) < 1e-9


# ---- the Ricci flow pulled back -------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "sizes"), [(2, (32, 64)), (4, (32, 64)), (6, (32, 64)), ("fourier", (24, 48))]
)
def test_a_flat_metric_in_any_coordinates_is_stationary_to_the_order_in_space(
    order: Any, sizes: tuple[int, int]
) -> None:
    errors = []
    for points in sizes:
        start = WAVY.field(0.0, WAVY.grid(points))
        options: dict[str, Any] = {"order": order, "t_eval": [0.4], "rtol": 1e-9}
        end = rl.solve_flow(start, PULLED, (0, 0.4), "etdrk4", **options)[-1]
        errors.append(gap(end, start))
    gauged = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.4), **options)[-1]
    assert gap(gauged, start) > 0.1  # in DeTurck gauge it moves
    if order == "fourier":
        assert errors[1] < 1e-8
    else:
        assert abs(math.log2(errors[0] / errors[1]) - order) < 0.3 + 0.1 * order


@pytest.mark.parametrize(
    ("method", "order", "steps"),
    [("rk4", 4, (16, 32)), ("bs32", 3, (16, 32)), ("rkl2", 2, (16, 32)), ("etdrk4", 4, (16, 32))],
)
def test_the_map_is_integrated_to_the_order_of_the_method(
    method: str, order: int, steps: tuple[int, int]
) -> None:
    start = WAVY.field(0.0, WAVY.grid(16))

    def end(name: str, count: int) -> np.ndarray:
        solution = rl.solve_flow(start, PULLED, (0, 0.4), name, [0.4], 0.4 / count)
        assert solution.status == 0
        return solution[-1].components

    best = end("tsit5", 200)
    errors = [np.max(np.abs(end(method, count) - best)) for count in steps]
    assert abs(math.log2(errors[0] / errors[1]) - order) < 0.2


def test_it_is_the_ricci_flow_of_a_curved_metric() -> None:
    """Against the Ricci flow integrated as it stands, component by component."""
    grid = rl.Grid.torus((32, 32))
    start = rl.perturbed_euclidean(grid, 0.15, seed=4, modes=1)
    options: dict[str, Any] = {"t_eval": [0.1, 0.3], "order": 6, "rtol": 1e-8}
    direct = rl.solve_flow(start, rl.RicciFlow(), (0, 0.3), "tsit5", **options)
    pulled = rl.solve_flow(start, PULLED, (0, 0.3), **options)
    assert pulled.method == "etdrk4"
    assert pulled.nfev < direct.nfev
    for one, two in zip(direct.metrics, pulled.metrics, strict=True):
        assert gap(one, start) > 0.005
        assert gap(one, two) < 1e-5
    background = rl.perturbed_euclidean(grid, 0.1, seed=9, modes=1)
    other = rl.solve_flow(
        start, rl.RicciFlow(gauge="deturck", background=background), (0, 0.3), **options
    )
    assert gap(other[-1], direct[-1]) < 1e-5  # whatever the gauge


def test_it_reflects() -> None:
    """phi maps a reflecting box to itself."""
    torus = rl.Grid.torus((24, 20))
    x, y = torus.coordinates()
    g = np.empty((2, 2, 24, 20))
    g[0, 0], g[1, 1] = 1 + 0.1 * np.cos(x) * np.cos(y), 1 + 0.1 * np.cos(2 * x) + 0.05 * np.sin(y)
    g[0, 1] = g[1, 0] = 0.1 * np.sin(x) * np.cos(y)
    box = rl.Grid((13, 20), (0, 0), (math.pi, 2 * math.pi), (False, True))
    options: dict[str, Any] = {"method": "rk4", "dt": 2e-3, "t_eval": [0.04]}
    whole = rl.solve_flow(rl.MetricField(torus, g), PULLED, (0, 0.04), **options)[-1]
    part = rl.solve_flow(
        rl.MetricField(box, g[:, :, :13].copy()), PULLED, (0, 0.04), boundary=["reflecting", None],
        **options,
    )[-1]  # fmt: skip
    assert np.max(np.abs(whole.components[:, :, :13] - part.components)) < 1e-11


def test_events_observables_and_outputs_see_the_ricci_flow() -> None:
    start = WAVY.field(0.0, WAVY.grid(24))

    def moved(t: float, metric: rl.MetricField) -> float:
        return gap(metric, start) - 1e-2

    solution = rl.solve_flow(
        start, PULLED, (0, 0.2), order=6, events=moved, observe={"gap": lambda g: gap(g, start)}
    )
    assert len(solution.t_events[0]) == 0
    assert np.max(solution.observed["gap"]) < 1e-3
    assert [gap(m, start) for m in solution.metrics] == solution.observed["gap"].tolist()


def test_every_library_pulls_back(backend: Any) -> None:
    start = WAVY.field(0.0, WAVY.grid(12), xp=backend.xp)
    end = rl.solve_flow(start, PULLED, (0, 0.1), "rkl2", [0.1], 0.05)[-1]
    expected = rl.solve_flow(WAVY.field(0.0, WAVY.grid(12)), PULLED, (0, 0.1), "rkl2", [0.1], 0.05)[
        -1
    ]
    assert np.max(np.abs(backend.numpy(end.packed) - expected.packed)) < 1e-12


def test_what_cannot_be_pulled_back_is_refused() -> None:
    box = rl.flat_metric(rl.Grid.box(0, 1, (9, 9)))
    with pytest.raises(InvalidArgumentError, match=r"periodic or reflecting .*'held'"):
        rl.solve_flow(box, PULLED, (0, 1))
    with pytest.raises(UnknownNameError, match="deturck"):
        rl.RicciFlow(gauge="harmonic")
    with pytest.raises(InvalidArgumentError, match="gauge='deturck'"):
        rl.RicciFlow(background=box)


def test_a_map_that_folds_is_an_error_and_not_a_metric() -> None:
    from riemann_lne.integrators.solve import make_system

    start = rl.flat_metric(rl.Grid.torus((16, 16)))
    system = make_system(PULLED, start, 4, None, (0, 1))
    y = system.start(start.packed)
    x, _ = start.grid.coordinates()
    y[3] = 0.9 * np.sin(x)
    system.output(0.0, y)
    y = y.copy()
    y[3] = 1.1 * np.sin(x)  # phi_x = 1 + 1.1 cos x, below zero about x = pi
    with pytest.raises(NotPositiveDefiniteError, match=r"no longer one at t = 0.5.*\(7, 0\)"):
        system.output(0.5, y)


# ---- backgrounds ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "solution", [rl.exact.round_sphere(2), rl.exact.hyperbolic(2), rl.exact.cigar()], ids=str
)
def test_with_the_solution_as_its_background_deturcks_flow_is_riccis(solution: Any) -> None:
    """W vanishes: the background is curved and, but for a factor, changes in time."""
    errors = []
    for points in (9, 17):
        start = solution.field(0.0, solution.grid(points))
        end = rl.solve_flow(
            start, rl.RicciDeTurckFlow(solution.metric), (0, 0.05), "rkl2", [0.05],
            boundary=solution.metric, rtol=1e-8,
        )[-1]  # fmt: skip
        errors.append(gap(end, solution.field(0.05, start.grid)))
    assert math.log2(errors[0] / errors[1]) > 3.7


def test_a_background_follows_the_time() -> None:
    """At every time it is the background that the function gives there, asked in any order."""
    grid = rl.Grid.torus((12, 12))
    g = rl.perturbed_euclidean(grid, 0.2, seed=3)

    def background(t: float, x: Any, y: Any) -> Any:
        return [[1 + 0.3 * np.sin(x + t), 0], [0, 1 + 0.2 * t * np.cos(y)]]

    flow = rl.RicciDeTurckFlow(background)
    rates = []
    for t in (0.0, 0.7, 0.7, 0.2):
        fixed = rl.MetricField.from_function(grid, lambda x, y, t=t: background(t, x, y))
        rates.append(flow.rhs(t, g.packed, grid, 4))
        assert np.array_equal(rates[-1], rl.RicciDeTurckFlow(fixed).rhs(9.0, g.packed, grid, 4))
    assert np.max(np.abs(rates[0] - rates[1])) > 0.1
    # On another grid the same function is asked again.
    other = rl.perturbed_euclidean(rl.Grid.torus((12, 14)), 0.2, seed=3)
    assert flow.rhs(0.2, other.packed, other.grid, 4).shape == (3, 12, 14)


def test_a_background_that_changes_in_time_is_asked_at_the_times_of_the_stages() -> None:
    """A moving gauge: pulled back, it is the same Ricci flow; and orders in time are kept."""
    grid = rl.Grid.torus((24, 24))
    start = rl.perturbed_euclidean(grid, 0.1, seed=2, modes=1)

    def background(t: float, x: Any, y: Any) -> Any:
        a = 0.2 * math.sin(20 * t)
        return [[1 + a * np.cos(y), 0.1 * np.sin(x)], [0.1 * np.sin(x), 1 - a * np.sin(x + y)]]

    flow = rl.RicciFlow(gauge="deturck", background=background)
    end = rl.solve_flow(start, flow, (0, 0.1), "tsit5", [0.1], order=8)[-1]
    direct = rl.solve_flow(start, rl.RicciFlow(), (0, 0.1), "tsit5", [0.1], order=8)[-1]
    assert gap(end, direct) < 2e-6
    errors = []
    best = rl.solve_flow(
        start, rl.RicciDeTurckFlow(background), (0, 0.1), "tsit5", [0.1], 5e-4, order=2
    )[-1]
    for dt in (4e-3, 2e-3):
        coarse = rl.solve_flow(
            start, rl.RicciDeTurckFlow(background), (0, 0.1), "rk4", [0.1], dt, order=2
        )[-1]
        errors.append(gap(coarse, best))
    assert abs(math.log2(errors[0] / errors[1]) - 4) < 0.2


def test_backgrounds_that_are_no_metric_are_named_with_their_time() -> None:
    start = rl.flat_metric(rl.Grid.torus((8, 8)))
    flow = rl.RicciDeTurckFlow(lambda t, x, y: [[1, 0], [0, -1]])
    with pytest.raises(NotPositiveDefiniteError, match="DeTurck background at t = 0"):
        rl.solve_flow(start, flow, (0, 1))
    other = rl.RicciDeTurckFlow(rl.flat_metric(rl.Grid.torus((9, 8))))
    with pytest.raises(ShapeError, match="another grid"):
        rl.solve_flow(start, other, (0, 1))


def test_flows_say_what_they_are_in_the_same_way_in_every_process() -> None:
    grid = rl.Grid.torus((8, 8))
    one, two = (rl.perturbed_euclidean(grid, 0.1, seed=s) for s in (0, 1))
    assert describe(rl.RicciDeTurckFlow(one)) == describe(rl.RicciDeTurckFlow(one))
    assert describe(rl.RicciDeTurckFlow(one)) != describe(rl.RicciDeTurckFlow(two))
    sphere = rl.exact.round_sphere(2)
    assert " at 0x" not in describe(rl.RicciDeTurckFlow(sphere.metric))
    assert "round_sphere" in describe(sphere.metric).lower().replace("roundsphere", "round_sphere")
    assert repr(PULLED) == "RicciFlow(gauge='deturck')"
    assert repr(rl.ScaledFlow(PULLED, 2)) == "ScaledFlow(RicciFlow(gauge='deturck'), c=2.0)"
    assert repr(rl.NormalizedRicciFlow()) == "NormalizedRicciFlow(RicciFlow())"


# ---- scaled and normalised flows ------------------------------------------------------------


@pytest.mark.parametrize("c", [2.0, -1.0, 0.5])
@pytest.mark.parametrize("name", ["sphere", "hyperbolic"])
def test_scaled_flows_are_rescaled_exact_solutions(name: str, c: float) -> None:
    """g(t) = e^(c t) gbar(s), s = (1 - e^(-c t)) / c; at c = 2 the unit 2-sphere stands still."""
    solution = rl.exact.round_sphere(2) if name == "sphere" else rl.exact.hyperbolic(2)

    def exact(t: float, *x: Any) -> Any:
        return math.exp(c * t) * solution.metric(-math.expm1(-c * t) / c, *x)

    errors = []
    for points in (9, 17):
        grid = solution.grid(points)
        start = rl.MetricField.from_function(grid, lambda *x: exact(0.0, *x))
        end = rl.solve_flow(
            start, rl.ScaledFlow(rl.RicciFlow(), c), (0, 0.04), "tsit5", [0.04], boundary=exact,
            rtol=1e-7,
        )[-1]  # fmt: skip
        errors.append(gap(end, rl.MetricField.from_function(grid, lambda *x: exact(0.04, *x))))
    assert math.log2(errors[0] / errors[1]) > 3.7
    if name == "sphere" and c == 2.0:
        assert gap(end, start) < errors[1] + 1e-12


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2", "etdrk4"])
def test_a_flat_metric_grows_exponentially_in_every_method(method: str) -> None:
    """g = e^(c t) g(0); the splitting of etdrk4 follows."""
    start = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.0)
    end = rl.solve_flow(
        start, rl.ScaledFlow(rl.RicciDeTurckFlow(), 1.5), (0, 2), method, [2.0], rtol=1e-7,
        dt=0.01 if method == "rk4" else None,
    )[-1]  # fmt: skip
    assert np.allclose(end.components[0, 0], math.exp(3.0), rtol=1e-4)


def test_a_factor_may_depend_on_time() -> None:
    start = rl.flat_metric(rl.Grid.torus((8, 8)))
    flow = rl.ScaledFlow(rl.RicciFlow(), math.cos)
    end = rl.solve_flow(start, flow, (0, 1), "tsit5", [1.0], rtol=1e-9)[-1]
    assert np.allclose(end.components[0, 0], math.exp(math.sin(1.0)), rtol=1e-8)
    for bad in (math.inf, math.nan):
        with pytest.raises(InvalidArgumentError, match="finite"):
            rl.ScaledFlow(rl.RicciFlow(), bad)


START_3D = rl.perturbed_euclidean(rl.Grid.torus((10, 10, 10)), 0.3, seed=2, modes=1)


@pytest.mark.parametrize(
    ("flow", "method", "order", "dt"),
    [
        (rl.NormalizedRicciFlow(), "rk4", 4, 0.02),
        (rl.NormalizedRicciFlow(), "bs32", 3, 0.02),
        (rl.NormalizedRicciFlow(rl.RicciDeTurckFlow()), "rkl2", 2, 0.05),
        (rl.NormalizedRicciFlow(rl.RicciDeTurckFlow()), "etdrk4", 4, 0.1),
    ],
    ids=lambda v: str(v),
)
def test_the_normalised_flow_conserves_the_volume_to_the_order_in_time(
    flow: Flow, method: str, order: int, dt: float
) -> None:
    drifts = []
    for step in (dt, dt / 2):
        end = rl.solve_flow(START_3D, flow, (0, 0.4), method, [0.4], step)[-1]
        drifts.append(abs(end.volume() / START_3D.volume() - 1))
    plain = rl.solve_flow(START_3D, rl.RicciFlow(), (0, 0.4), "rk4", [0.4], 0.02)[-1]
    assert drifts[0] < 0.1 * abs(plain.volume() / START_3D.volume() - 1)
    # Volume is one function of the error: its order is at least that of the method.
    assert drifts[1] < 1e-12 or math.log2(drifts[0] / drifts[1]) > order - 0.2


def test_the_normalised_flow_is_the_rescaled_ricci_flow() -> None:
    """Same geometry up to scale: R^(n/2) dV has the same integral at corresponding times."""
    normal = rl.solve_flow(START_3D, rl.NormalizedRicciFlow(), (0, 0.3), "rk4", [0.3], 0.01)[-1]
    plain = rl.solve_flow(START_3D, rl.RicciFlow(), (0, 0.6), "rk4", dt=0.01)

    def shape(metric: rl.MetricField) -> float:
        R = metric.scalar_curvature()
        density = np.abs(R) ** 1.5 * metric.volume_element()
        return float(metric.grid.integrate(density))

    course = [shape(m) for m in plain.metrics]
    assert min(course) < shape(normal) < max(course)
    k = int(np.argmin(np.abs(np.array(course) - shape(normal))))
    ratio = (normal.volume() / plain[k].volume()) ** (2 / 3)
    # One of the discrete times of the plain run: its steps of 0.01 leave that much.
    assert np.max(np.abs(normal.packed - ratio * plain[k].packed)) < 2e-3


def test_a_sphere_stands_still_in_the_normalised_flow() -> None:
    """The box's mean of R is that of the sphere, so that g' = 0 up to the differences."""
    sphere = rl.exact.round_sphere(2)
    rates = []
    for points in (17, 33):
        grid = sphere.grid(points)
        g = sphere.field(0.0, grid)
        rates.append(np.max(np.abs(rl.NormalizedRicciFlow().rhs(0.0, g.packed, grid, 4))))
    assert rates[0] < 5e-2
    assert math.log2(rates[0] / rates[1]) > 3.0
    end = rl.solve_flow(g, rl.NormalizedRicciFlow(), (0, 0.2), "rkl2", [0.2])[-1]
    assert gap(end, g) < 1e-4


def test_normalised_and_scaled_flows_are_pulled_back_too() -> None:
    start = rl.perturbed_euclidean(rl.Grid.torus((24, 24)), 0.1, seed=3, modes=1)
    for wrap in (rl.NormalizedRicciFlow, lambda flow: rl.ScaledFlow(flow, 0.7)):
        options: dict[str, Any] = {"t_eval": [0.1], "order": 6, "rtol": 1e-8}
        direct = rl.solve_flow(start, wrap(rl.RicciFlow()), (0, 0.1), "tsit5", **options)[-1]
        pulled = rl.solve_flow(start, wrap(PULLED), (0, 0.1), **options)[-1]
        gauged = rl.solve_flow(start, wrap(rl.RicciDeTurckFlow()), (0, 0.1), **options)[-1]
        assert gap(direct, pulled) < 1e-5
        assert gap(direct, gauged) > 1e-3
