"""Every exact solution satisfies its equation, and its closed forms are those of its curvature."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import exact
from riemann_lne.arrays import to_numpy
from riemann_lne.errors import DTypeError, InvalidArgumentError, ShapeError
from riemann_lne.tensors import pack, unpack

H3 = [[1.0, 0.3, -0.2], [0.3, -0.5, 0.4], [-0.2, 0.4, 0.7]]

# name: solution, time, points, order, tolerance relative to the largest rate
CASES = {
    "sausage 2-D": (exact.periodic_sausage((2, 1)), 0.5, 64, "fourier", 1e-9),
    "sausage 3-D": (exact.periodic_sausage((1, -1), ndim=3), 0.6, 32, "fourier", 1e-4),
    "sausage 4-D": (exact.periodic_sausage((1, 0), ndim=4), 1.5, 16, "fourier", 1e-3),
    "gauge 2-D": (exact.gauge_family(2, 0.4), 0.1, 48, "fourier", 1e-6),
    "gauge 3-D": (exact.gauge_family(3, 0.4, seed=2), 0.0, 24, "fourier", 1e-5),
    "gauge 4-D": (exact.gauge_family(4, 0.2, seed=1), 0.1, 12, "fourier", 1e-5),
    "linear mode": (exact.linear_mode((1, 2, -1), H3, 1e-7), 0.1, 16, "fourier", 1e-5),
    "sphere 2-D": (exact.round_sphere(2, 1.5), 0.3, 33, 8, 1e-5),
    "sphere 3-D": (exact.round_sphere(3), 0.1, 25, 8, 1e-4),
    "sphere 4-D": (exact.round_sphere(4), 0.05, 13, 6, 1e-2),
    "hyperbolic 2-D": (exact.hyperbolic(2), 0.2, 33, 8, 1e-5),
    "hyperbolic 3-D": (exact.hyperbolic(3), -0.1, 25, 8, 1e-4),
    "hyperbolic 4-D": (exact.hyperbolic(4), 0.1, 13, 6, 1e-2),
    "cigar": (exact.cigar(), 0.1, 49, 8, 1e-5),
    "nil": (exact.nil(), 0.4, 9, 2, 1e-10),
    "uneven nil": (exact.nil(1.5, 0.8, 1.2), 0.4, 9, 2, 1e-10),
    "rosenau": (exact.rosenau(), -0.7, 49, 8, 1e-5),
    "sol": (exact.sol(1.5), 0.3, 25, 8, 1e-5),
    "sol, tilted": (exact.sol(1.3, -0.7), 0.3, 25, 8, 1e-5),
    "berger": (exact.berger(1.0, 1.0, 0.4), 0.05, 25, 8, 1e-5),
    "left-invariant on SU(2)": (exact.berger(1.0, 0.7, 0.5), 0.05, 25, 8, 1e-5),
    "flat": (exact.flat(3), 0.1, 8, "fourier", 1e-12),
    "sphere x line": (exact.product(exact.round_sphere(2), exact.flat(1)), 0.1, 33, 8, 1e-5),
    "line x sausage": (exact.product(exact.flat(1), exact.periodic_sausage()), 0.8, 32, 8, 5e-3),
    "sphere x sphere": (
        exact.product(exact.round_sphere(2), exact.round_sphere(2, 2.0)),
        0.1,
        13,
        6,
        1e-2,
    ),
}
FLOWS = {"ricci": rl.RicciFlow(), "ricci-deturck": rl.RicciDeTurckFlow()}


def time_derivative(solution, t, x):
    """Central differences of order 4 in time."""
    h = 1e-3
    near = solution.metric(t + h, *x) - solution.metric(t - h, *x)
    far = solution.metric(t + 2 * h, *x) - solution.metric(t - 2 * h, *x)
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("name", CASES)
def test_the_solution_satisfies_its_equations(name):
    solution, t, points, order, tolerance = CASES[name]
    grid = solution.grid(points)
    x = grid.coordinates()
    expected = time_derivative(solution, t, x)
    packed = pack(solution.metric(t, *x))
    assert solution.solves
    for flow in solution.solves:
        rate = unpack(FLOWS[flow].rhs(t, packed, grid, order), grid.ndim)
        # What does not move at all is judged by the rounding of a rate of order one.
        assert np.abs(rate - expected).max() < tolerance * (np.abs(expected).max() or 1.0)


@pytest.mark.parametrize(
    ("solution", "flow"),
    [
        (exact.gauge_family(2, 0.4), "ricci"),
        (exact.round_sphere(3), "ricci-deturck"),
        (exact.berger(1.0, 0.7, 0.5), "ricci-deturck"),
        (exact.product(exact.gauge_family(2, 0.4), exact.flat(1)), "ricci"),
    ],
)
def test_what_is_not_listed_is_not_solved(solution, flow):
    assert flow not in solution.solves
    grid = solution.grid(16)
    x = grid.coordinates()
    rate = unpack(FLOWS[flow].rhs(0.0, pack(solution.metric(0.0, *x)), grid, 6), grid.ndim)
    expected = time_derivative(solution, 0.0, x)
    assert np.abs(rate - expected).max() > 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("name", [n for n in CASES if hasattr(CASES[n][0], "scalar_curvature")])
def test_closed_curvatures_agree_with_the_grid(name):
    solution, t, points, order, tolerance = CASES[name]
    grid = solution.grid(points)
    g, x = solution.field(t, grid), grid.coordinates()
    closed = solution.scalar_curvature(t, *x)
    assert np.abs(g.scalar_curvature(order) - closed).max() < tolerance * (1 + abs(closed).max())
    if hasattr(solution, "ricci"):
        closed = solution.ricci(t, *x)
        assert np.abs(g.ricci(order) - closed).max() < tolerance * (np.abs(closed).max() or 1.0)


def test_the_sausage_is_flat_late_and_does_not_overflow():
    sausage = exact.periodic_sausage((3, 2))
    g = sausage.field(1000.0, sausage.grid(8))
    np.testing.assert_array_equal(g.components, rl.flat_metric(g.grid).components)


def test_the_linear_mode_misses_at_second_order_in_the_amplitude():
    def residual(amplitude):
        mode = exact.linear_mode((1, 1), [[1.0, 0.2], [0.2, -0.4]], amplitude)
        grid = mode.grid(16)
        x = grid.coordinates()
        rate = unpack(
            FLOWS["ricci-deturck"].rhs(0.0, pack(mode.metric(0.0, *x)), grid, "fourier"), 2
        )
        return float(np.abs(rate - time_derivative(mode, 0.0, x)).max())

    assert rl.check_order(residual, [0.04, 0.02, 0.01], expected=2, tolerance=0.1)


def test_factors_that_solve_no_common_flow_are_refused():
    sphere, moving = exact.round_sphere(3), exact.linear_mode((1,) * 2, np.eye(2))
    with pytest.raises(InvalidArgumentError, match="5 dimensions"):
        exact.product(sphere, moving)
    with pytest.raises(InvalidArgumentError, match="no common flow"):
        exact.product(OnlyRicci(), moving)


class OnlyRicci(exact.ExactSolution):
    n = 1
    solves = ("ricci",)

    def _components(self, t, *x):
        return [[1.0]]

    def grid(self, points):
        return rl.Grid.torus((points,))


def test_a_product_without_closed_curvature_says_where_to_take_it_from():
    mode = exact.product(exact.linear_mode((1, 0), np.eye(2)), exact.flat(1))
    with pytest.raises(InvalidArgumentError, match=r"LinearMode has no ricci .*field\(t, grid\)"):
        mode.ricci(0.1, *np.zeros((3, 4)))


def test_the_sphere_names_its_singular_time():
    sphere = exact.round_sphere(3, radius=2.0)
    assert sphere.singular_time == sphere.t_max == 1.0
    with pytest.raises(InvalidArgumentError, match=r"exists for -inf < t < 1, not at t = 1"):
        sphere.metric(1.0, *(np.zeros(2),) * 3)


@pytest.mark.parametrize("solution", [c[0] for c in CASES.values()], ids=CASES)
def test_the_metric_is_the_same_on_every_backend(solution, backend):
    t = 0.1 if solution.t_max > 0.1 else -0.1
    host = np.random.default_rng(0).uniform(0.5, 0.9, size=(solution.n, 5))
    there = solution.metric(t, *(backend.array(row) for row in host))
    here = solution.metric(t, *host)
    assert here.shape == (solution.n, solution.n, 5)
    np.testing.assert_allclose(backend.numpy(there), here, rtol=1e-12, atol=1e-14)
    single = solution.metric(t, *(backend.array(row, "float32") for row in host))
    assert single.dtype == backend.dtype("float32")
    np.testing.assert_allclose(to_numpy(single), here, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: exact.periodic_sausage((0, 0)), InvalidArgumentError, "not both zero"),
        (lambda: exact.periodic_sausage((1, 0.5)), InvalidArgumentError, "whole numbers"),
        (lambda: exact.periodic_sausage(ndim=5), InvalidArgumentError, "ndim = 5"),
        (lambda: exact.gauge_family(2, 1.0), InvalidArgumentError, "below 1 is needed"),
        (lambda: exact.gauge_family(2, modes=[(1, 0)]), InvalidArgumentError, "together"),
        (lambda: exact.gauge_family(3, modes=[(1, 0)], vectors=[(1, 0)]), ShapeError, "length 3"),
        (lambda: exact.linear_mode((1, 0), np.eye(3)), ShapeError, r"\(2, 2\)"),
        (lambda: exact.linear_mode((1, 0), [[1, 2], [0, 1]]), InvalidArgumentError, "symmetric"),
        (lambda: exact.round_sphere(5), InvalidArgumentError, "n = 5"),
        (lambda: exact.round_sphere(2, -1.0), InvalidArgumentError, "radius = -1"),
        (lambda: exact.cigar().metric(0.0, np.zeros(3)), ShapeError, "needs 2 coordinates, got 1"),
        (
            lambda: exact.cigar().metric(0.0, np.zeros(3), np.zeros(2)),
            ShapeError,
            "differ in shape",
        ),
        (lambda: exact.cigar().metric(0.0, *np.zeros((2, 3), int)), DTypeError, "floating"),
        (lambda: exact.periodic_sausage().metric(0.0, *np.zeros((2, 3))), ValueError, "0 < t"),
        (lambda: exact.rosenau().metric(0.0, *np.zeros((2, 3))), ValueError, "t < 0, not"),
        (lambda: exact.sol(0.0), InvalidArgumentError, "c0 = 0"),
        (lambda: exact.sol(1.0, float("nan")), InvalidArgumentError, "tilt = nan"),
        (lambda: exact.sol().metric(-0.25, *np.zeros((3, 2))), ValueError, "-0.25 < t"),
        (lambda: exact.berger(1, 1, 0), InvalidArgumentError, "positive"),
        (lambda: exact.berger(1, 1, 0.01), InvalidArgumentError, "times another"),
        (lambda: exact.berger(1, 1, 1).lengths(0.25), InvalidArgumentError, "not at t = 0.25"),
        (lambda: exact.flat(5), InvalidArgumentError, "n = 5"),
        (lambda: exact.product(exact.nil(), exact.nil()), InvalidArgumentError, "6 dimensions"),
        (lambda: exact.product(exact.nil(), rl.RicciFlow()), InvalidArgumentError, "no exact"),
        (
            lambda: exact.product(exact.rosenau(), exact.periodic_sausage()),
            InvalidArgumentError,
            "share no time",
        ),
        (lambda: exact.hyperbolic(2).metric(-0.5, *np.ones((2, 3))), ValueError, "-0.5 < t"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
