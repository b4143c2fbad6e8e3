"""Orders in space and time on every exact solution, and checks that do not use the grid."""

import dataclasses
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import riemann_lne as rl
from riemann_lne import check_order, exact
from riemann_lne.tensors import pack, unpack

FLOWS = {"ricci": rl.RicciFlow(), "ricci-deturck": rl.RicciDeTurckFlow()}

# name: solution, time, points along each axis for a resolution p (axes along which nothing
# changes get few), resolutions. They are fine enough to be asymptotic, and coarse enough for
# the error of order 8 to be above rounding, which grows like eps / h^2.
SPACE = {
    "rosenau": (exact.rosenau(), -0.7, ("p", 9), (33, 49, 65)),
    "sol": (exact.sol(1.5), 0.2, (9, 9, "p"), (17, 21, 25)),
    "sol, tilted": (exact.sol(1.3, 0.7), 0.2, (9, 9, "p"), (17, 21, 25)),
    "berger": (exact.berger(1.0, 1.0, 0.4), 0.05, ("p", 9, 9), (17, 21, 25)),
    # psi, on which the metric depends by cos(2 psi), needs the most.
    "left-invariant on SU(2)": (exact.berger(1.0, 0.7, 0.5), 0.03, ("p/2", 9, "p"), (32, 40, 48)),
    "sphere": (exact.round_sphere(2), 0.2, ("p", "p"), (25, 33, 41)),
    "projective sphere": (exact.projective_sphere(2), 0.1, ("p", "p"), (33, 41, 49)),
    "hyperbolic": (exact.hyperbolic(2), 0.2, (10, "p"), (25, 33, 41)),
    "cigar": (exact.cigar(), 0.1, ("p", "p"), (41, 49, 65)),
    "sphere x line": (
        exact.product(exact.round_sphere(2), exact.flat(1)), 0.2, ("p", "p", 9), (25, 33, 41),
    ),
    "line x sausage": (
        exact.product(exact.flat(1), exact.periodic_sausage()), 0.8, (9, "p", 9), (193, 257, 321),
    ),
}  # fmt: skip
CLOSED = sorted({name for name in SPACE if hasattr(SPACE[name][0], "ricci")})


def refined(name, p):
    """The solution's grid with p points along the axes that matter."""
    solution, _, axes, _ = SPACE[name]
    grid = solution.grid(p)
    shape = tuple({"p": p, "p/2": p // 2 + 1}.get(a, a) for a in axes)
    # One-sided ends take order + 2 points.
    shape = tuple(n if w else max(n, 10) for n, w in zip(shape, grid.periodic, strict=True))
    return dataclasses.replace(grid, shape=shape)


def step(name, grid):
    return grid.spacing[SPACE[name][2].index("p")]


def middle(grid):
    """The middle half of every bounded axis: stencils there are central."""
    return tuple(
        slice(None) if wraps else slice((n - 1) // 4, n - (n - 1) // 4)
        for n, wraps in zip(grid.shape, grid.periodic, strict=True)
    )


def residual(name, flow, p, order):
    """Right-hand side of the flow less the rate of the exact solution, and the grid."""
    solution, t, _, _ = SPACE[name]
    grid = refined(name, p)
    x = grid.coordinates()
    rate = unpack(FLOWS[flow].rhs(t, pack(solution.metric(t, *x)), grid, order), solution.n)
    return np.abs(rate + 2 * solution.ricci(t, *x)), grid


def report_of(name, flow, order, points, whole):
    steps, errors = [], []
    for p in points:
        defect, grid = residual(name, flow, p, order)
        where = (slice(None), slice(None)) + (() if whole else middle(grid))
        errors.append(float(defect[where].max()))
        steps.append(step(name, grid))
    return check_order(errors, steps, order)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize(
    ("name", "flow"), [(name, flow) for name in CLOSED for flow in SPACE[name][0].solves]
)
def test_the_residual_of_the_flow_has_its_order_in_space(name, flow, order):
    report = report_of(name, flow, order, SPACE[name][3], whole=False)
    assert report, str(report)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("name", CLOSED)
def test_ricci_has_its_order_in_space(name, order):
    solution, t, _, points = SPACE[name]
    errors, steps = [], []
    for p in points:
        grid = refined(name, p)
        defect = solution.field(t, grid).ricci(order) - solution.ricci(t, *grid.coordinates())
        errors.append(np.abs(defect[(slice(None), slice(None), *middle(grid))]).max())
        steps.append(step(name, grid))
    report = check_order(errors, steps, order)
    assert report, str(report)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("name", ["rosenau", "sol", "sol, tilted", "berger", "hyperbolic", "cigar"])
def test_one_sided_ends_do_not_lower_the_order(name, order):
    # At the ends the terms of higher order fade slowly, and at orders 6 and 8 not before rounding
    # takes over: the slope may be above the order (the Rosenau solution, 4.3), not below.
    report = report_of(name, "ricci", order, (97, 129, 161), whole=True)
    assert report.order > order - 0.2, str(report)


# name: solution, span, shape, steps of rkl2: its error has a factor that depends on the number of
# stages where they are few, so that the grids are fine enough for many.
TIME = {
    "rosenau": (exact.rosenau(), (-0.8, -0.4), (33, 9), (0.08, 0.04, 0.02)),
    "sol, tilted": (exact.sol(0.5, 1.0), (0.0, 0.2), (5, 5, 9), (0.004, 0.002, 0.001)),
    "left-invariant on SU(2)": (
        exact.berger(1.0, 0.8, 0.7), (0.0, 0.1), (9, 5, 12), (0.01, 0.005, 0.0025),
    ),
    "berger x line": (
        exact.product(exact.berger(), exact.flat(1)), (0.0, 0.1), (9, 5, 5, 5),
        (0.01, 0.005, 0.0025),
    ),
    "line x sausage": (
        exact.product(exact.flat(1), exact.periodic_sausage()), (0.8, 1.2), (5, 24, 5),
        (0.01, 0.005, 0.0025),
    ),
    "cigar": (exact.cigar(), (0.0, 0.2), (13, 13), (0.02, 0.01, 0.005)),
}  # fmt: skip


class WithoutErrorInSpace:
    """A flow whose differences are corrected by their error on an exact solution.

    The exact solution then solves the equations on the grid, so that what is left is the error of
    time alone. To correct by the difference of two right-hand sides leaves the stiffness as it is.
    """

    def __init__(self, flow, solution, grid):
        self.flow, self.solution, self.x = flow, solution, grid.coordinates()
        self.parabolic = flow.parabolic

    def rhs(self, t, packed, grid, order):
        exactly = pack(self.solution.metric(t, *self.x))
        defect = -2 * pack(self.solution.ricci(t, *self.x)) - self.flow.rhs(t, exactly, grid, order)
        return self.flow.rhs(t, packed, grid, order) + defect

    def spectral_radius(self, packed, grid, order):
        return self.flow.spectral_radius(packed, grid, order)


@pytest.mark.parametrize(
    ("name", "method", "nominal"),
    [(name, "rkl2", 2) for name in TIME] + [("sol, tilted", "bs32", 3)],
)
def test_the_flow_with_exact_boundary_values_has_its_order_in_time(name, method, nominal):
    solution, span, shape, steps = TIME[name]
    grid = dataclasses.replace(solution.grid(shape[0]), shape=shape)
    flow = WithoutErrorInSpace(FLOWS["ricci"], solution, grid)
    start, end = (solution.field(t, grid) for t in span)
    boundary = None if grid.is_torus else solution.metric
    if method != "rkl2":  # explicit: below their limits of stability
        steps = tuple(dt / 2 for dt in steps)

    def error(dt):
        result = rl.solve_flow(start, flow, span, method, [span[1]], dt, boundary=boundary)
        assert result.success, result.message
        return float(np.abs(result[-1].packed - end.packed).max())

    report = check_order(error, steps, nominal)
    assert report, str(report)


@pytest.mark.parametrize(
    ("name", "span", "points"),
    [
        ("rosenau", (-0.7, -0.6), (17, 21, 25)),
        ("sol, tilted", (0.0, 0.02), (17, 21, 25)),
        ("berger", (0.0, 0.003), (25, 33, 41)),
    ],
)
def test_the_flow_with_exact_boundary_values_converges(name, span, points):
    solution = SPACE[name][0]
    errors, steps = [], []
    for p in points:
        grid = refined(name, p)
        result = rl.solve_flow(
            solution.field(span[0], grid), rl.RicciFlow(), span, "tsit5", [span[1]],
            rtol=1e-9, atol=1e-11, order=4, boundary=solution.metric,
        )  # fmt: skip
        assert result.success, result.message
        errors.append(np.abs(result[-1].packed - solution.field(span[1], grid).packed).max())
        steps.append(step(name, grid))
    report = check_order(errors, steps, 4)
    # One-sided closures may converge faster than nominal; never slower.
    assert report.order > 3.7, str(report)
    assert errors[-1] < 1e-4


def test_what_is_linear_in_time_is_followed_without_error_in_time():
    solution = exact.sol(1.5)
    grid = dataclasses.replace(solution.grid(9), shape=(5, 5, 9))
    flow = WithoutErrorInSpace(FLOWS["ricci"], solution, grid)
    result = rl.solve_flow(
        solution.field(0.0, grid), flow, (0.0, 0.3), "rkl2", [0.3], 0.1, boundary=solution.metric
    )
    assert np.abs(result[-1].packed - solution.field(0.3, grid).packed).max() < 1e-12


@pytest.mark.parametrize(("c0", "tilt"), [(1.3, 0.7), (0.5, -1.2), (2.0, 0.05)])
def test_sol_solves_its_ordinary_differential_equation(c0, tilt):
    def rate(t, y):
        u, c = y
        return [-2 * np.sinh(2 * u) / c, 4 * np.cosh(u) ** 2]

    solution = exact.sol(c0, tilt)
    run = solve_ivp(rate, (0, 3), [tilt, c0], method="DOP853", rtol=1e-12, atol=1e-14)
    u, c = run.y[:, -1]
    assert solution.stretch(3.0) == pytest.approx(c, rel=1e-10)
    corner = solution.metric(3.0, *np.zeros((3, 1)))[:, :, 0]
    assert corner[0, 1] == pytest.approx(np.sinh(u), rel=1e-9)
    assert corner[0, 0] ** 2 - corner[0, 1] ** 2 == pytest.approx(1, abs=1e-14)


def test_sol_begins_where_its_fibre_has_no_length():
    solution = exact.sol(1.3, 0.7)
    just_after = solution.t_min * (1 - 1e-9)
    assert 0 < solution.stretch(just_after) < 1e-2 * solution.c0


def test_berger_lengths_agree_with_taylor_series_in_thirty_digits():
    mpmath.mp.dps = 30

    def rate(t, y):
        a, b, c = y
        return [
            -8 + 4 * (q * q + r * r - p * p) / (q * r)
            for p, q, r in ((a, b, c), (b, c, a), (c, a, b))
        ]

    reference = mpmath.odefun(rate, 0, [mpmath.mpf(1), mpmath.mpf("0.7"), mpmath.mpf("0.5")])
    solution = exact.berger(1.0, 0.7, 0.5)
    for t in (0.05, 0.15):
        expected = [float(v) for v in reference(mpmath.mpf(t))]
        assert solution.lengths(t) == pytest.approx(expected, rel=1e-13, abs=0)


def test_berger_spheres_keep_their_first_integral_to_the_end():
    # For A = B the equation integrates: (A - C) / (A C^2) = k is constant, and 4 t is the fall of
    # F(C) = C / (2 (1 - k C^2)) + artanh(sqrt(k) C) / (2 sqrt(k)).
    solution, k = exact.berger(1.0, 1.0, 0.5), 2.0

    def clock(c):
        return c / (2 * (1 - k * c * c)) + np.arctanh(np.sqrt(k) * c) / (2 * np.sqrt(k))

    assert solution.singular_time == pytest.approx(clock(0.5) / 4, rel=1e-14, abs=0)
    for t in (-1.0, 0.05, 0.1, 0.2, 0.999 * solution.t_max):
        a, b, c = solution.lengths(t)
        assert a == pytest.approx(b, rel=1e-13, abs=0)
        assert a == pytest.approx(c / (1 - k * c * c), rel=1e-12, abs=0)
        assert 4 * t == pytest.approx(clock(0.5) - clock(c), rel=1e-12, abs=0)


def test_berger_lengths_are_as_accurate_between_the_steps_of_the_integration():
    # At 60 times, wherever the steps were: 2e-14 measured, twenty times that with long steps.
    solution = exact.berger(1.0, 1.0, 0.5)
    for t in np.linspace(0.01, 0.99, 60) * solution.t_max:
        a, _, c = solution.lengths(t)
        assert a == pytest.approx(c / (1 - 2 * c * c), rel=1e-13, abs=0)


def test_berger_becomes_round_and_the_round_one_is_the_sphere():
    solution = exact.berger(1.0, 0.7, 0.3)
    uneven = [np.ptp(np.log(solution.lengths(f * solution.t_max))) for f in (0, 0.5, 0.9, 0.99)]
    assert all(later < earlier for earlier, later in pairwise(uneven))
    assert uneven[-1] < 1e-2 * uneven[0]
    x = exact.berger().grid(5).coordinates()
    # The unit sphere has R = 6 and shrinks like 1 - 4 t.
    np.testing.assert_allclose(
        exact.berger(1, 1, 1).scalar_curvature(0.1, *x), 6 / (1 - 0.4), rtol=1e-12
    )


def test_the_rosenau_solution_closes_up_to_a_sphere():
    solution, t = exact.rosenau(), -0.8
    grid = rl.Grid((401, 8), (-30.0, 0.0), (30.0, 4 * np.pi), (False, True))
    g = solution.field(t, grid)
    assert g.volume(order=8) == pytest.approx(-8 * np.pi * t, rel=1e-9)
    total = grid.integrate(
        solution.scalar_curvature(t, *grid.coordinates()) * g.volume_element(), 8
    )
    assert float(total) == pytest.approx(8 * np.pi, rel=1e-9)  # Gauss-Bonnet: 4 pi chi, chi = 2


def test_a_product_is_block_diagonal_in_the_order_of_its_factors():
    sphere, line = exact.round_sphere(2, 1.5), exact.flat(1)
    x = np.random.default_rng(0).uniform(-0.5, 0.5, size=(3, 7))
    g = exact.product(line, sphere).metric(0.3, *x)
    np.testing.assert_array_equal(g[0, 0], 1.0)
    np.testing.assert_array_equal(g[0, 1:], 0.0)
    np.testing.assert_array_equal(g[1:, 1:], sphere.metric(0.3, *x[1:]))
    both = exact.product(sphere, exact.product(line, line))
    assert both.n == 4
    assert both.t_max == sphere.t_max
