"""Perelman's functionals: against other discretisations, their laws, and along flows."""

import math

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import analysis, exact
from riemann_lne.errors import InvalidArgumentError, NotFiniteError, ShapeError


def curved(points, n=2, amplitude=0.4):
    return rl.perturbed_euclidean(rl.Grid.torus((points,) * n), amplitude, seed=2, modes=1)


def test_lambda_is_the_lowest_eigenvalue_of_the_dense_operator():
    g = curved(12)
    size = g.grid.size
    # Built from the Laplace-Beltrami operator as it is differenced elsewhere, not symmetric.
    columns = [
        rl.curvature.laplacian(g.components, e.reshape(g.grid.shape), g.grid, "fourier").ravel()
        for e in np.eye(size)
    ]
    dense = -4 * np.array(columns).T + np.diag(g.scalar_curvature("fourier").ravel())
    values = np.linalg.eigvals(dense)
    # The two discretisations differ by the error of the grid.
    assert rl.perelman_lambda(g) == pytest.approx(values.real.min(), rel=1e-4)


def test_lambda_of_the_sausage_is_that_of_an_ordinary_differential_equation():
    # For v (dx^2 + dy^2) it is -4 u'' - (log v)'' u = lambda v u, here on 96 Fourier modes.
    t, points = 0.8, 96
    x = 2 * np.pi * np.arange(points) / points
    v = np.sinh(t) / (np.cosh(t) + np.cos(x))
    k = np.fft.fftfreq(points, 1 / points)
    second = np.fft.ifft(-(k**2)[:, None] * np.fft.fft(np.eye(points), axis=0), axis=0).real
    root = 1 / np.sqrt(v)
    form = root[:, None] * (-4 * second - np.diag(second @ np.log(v))) * root[None, :]
    expected = np.linalg.eigvalsh((form + form.T) / 2)[0]
    sausage = exact.periodic_sausage((1, 0))
    g = sausage.field(t, rl.Grid.torus((64, 8)))
    assert rl.perelman_lambda(g) == pytest.approx(expected, rel=1e-9)
    assert expected < -1e-3


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_lambda_has_the_order_of_the_differences(order):
    bent, sausage = exact.gauge_family(2, 0.2), exact.periodic_sausage((1, 1))

    def value(p, order):
        grid = bent.grid(p)
        mixed = bent.field(0.0, grid).components + sausage.field(0.8, grid).components
        return rl.perelman_lambda(rl.MetricField(grid, mixed), order)

    exactly = value(96, "fourier")
    points = (32, 48, 64)
    report = rl.check_order(
        [abs(value(p, order) - exactly) for p in points], [1 / p for p in points], order, 0.3
    )
    # 0.3: the error of one number is a sum of terms of either sign, not a largest one.
    assert report, str(report)


@pytest.mark.parametrize("n", [2, 3])
def test_the_ground_state_is_a_minimum_of_f_with_unit_mass(n, rng):
    g = curved(16, n, 0.3)
    state = analysis.perelman_ground_state(g)
    f = state.potential

    def mass(f):
        return float(g.grid.integrate(np.exp(-f) * g.volume_element()))

    assert mass(f) == pytest.approx(1, abs=1e-13)
    assert rl.perelman_f(g, f, "fourier") == pytest.approx(state.value, abs=1e-7)
    x = g.grid.coordinates()
    for wave in (np.cos(x[0]), np.sin(x[1] - x[0])):
        for size in (0.1, -0.1, 0.01):
            other = f + size * wave
            other = other + math.log(mass(other))
            assert rl.perelman_f(g, other, "fourier") > state.value + 1e-5 * size**2 / 0.01


def test_lambda_does_not_depend_on_coordinates_and_scales_like_curvature():
    g = curved(32)
    value = rl.perelman_lambda(g)
    # A translation and an exchange of the axes.
    moved = np.roll(g.components[::-1, ::-1].transpose(0, 1, 3, 2), 5, axis=2)
    assert rl.perelman_lambda(rl.MetricField(g.grid, moved)) == pytest.approx(value, rel=1e-9)
    scaled = rl.MetricField(g.grid, 2.5 * g.components)
    assert rl.perelman_lambda(scaled) == pytest.approx(value / 2.5, rel=1e-9)
    # Flat in bent coordinates.
    bent = exact.gauge_family(3, 0.3)
    assert abs(rl.perelman_lambda(bent.field(0.0, bent.grid(20)))) < 1e-7


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_lambda_is_negative_on_curved_tori(n, seed):
    g = rl.perturbed_euclidean(rl.Grid.torus((16,) * n), 0.3, seed=seed, modes=1)
    value = rl.perelman_lambda(g)
    assert value < -1e-4
    # A constant is a test function, and the smallest R a bound.
    mean = rl.total_scalar_curvature(g, "fourier") / rl.volume(g)
    assert rl.scalar_curvature_min(g, "fourier") < value < mean + 1e-12


@pytest.mark.parametrize(
    ("n", "flow", "method"),
    [
        (2, rl.RicciFlow(), "tsit5"),
        (2, rl.RicciDeTurckFlow(), "etdrk4"),
        (3, rl.RicciDeTurckFlow(), "etdrk4"),
    ],
)
def test_lambda_grows_along_the_flow_at_its_rate(n, flow, method):
    times = np.linspace(0, 0.4, 9)
    start = curved({2: 32, 3: 16}[n], n)
    solution = rl.solve_flow(
        start, flow, (0, 0.4), method, times, rtol=1e-7, atol=1e-9, order="fourier"
    )
    assert solution.success, solution.message
    values = np.array([rl.perelman_lambda(g) for g in solution.metrics])
    rates = np.array([rl.perelman_lambda_rate(g) for g in solution.metrics])
    assert np.all(np.diff(values) > 0)
    assert np.all(rates > 0)
    assert values[-1] < 0
    # The integral of the rate by Simpson's rule: the law d lambda / dt is met, not its sign alone.
    step = times[1]
    growth = step / 3 * (rates[0] + rates[-1] + 4 * rates[1:-1:2].sum() + 2 * rates[2:-1:2].sum())
    assert values[-1] - values[0] == pytest.approx(growth, rel=1e-2)


def test_lambda_rests_where_the_metric_is_flat_though_it_moves():
    flat = exact.gauge_family(2, 0.4)
    start = flat.field(0.0, flat.grid(32))
    later = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.3), t_eval=[0.3], order="fourier")[-1]
    assert np.abs(later.packed - start.packed).max() > 0.01
    assert abs(rl.perelman_lambda(start)) < 1e-9
    assert abs(rl.perelman_lambda(later)) < 1e-9
    assert rl.perelman_lambda_rate(later) < 1e-7


def test_f_of_a_plane_wave_is_known():
    # On the flat torus F is the integral of |df|^2 e^(-f), with f = a cos x: 2 pi times that in x.
    grid = rl.Grid.torus((64, 8))
    f = 0.7 * np.cos(grid.coordinates()[0])
    x = np.linspace(0, 2 * np.pi, 2001)[:-1]
    expected = 2 * np.pi * np.mean((0.7 * np.sin(x)) ** 2 * np.exp(-0.7 * np.cos(x))) * 2 * np.pi
    assert rl.perelman_f(rl.flat_metric(grid), f, "fourier") == pytest.approx(expected, rel=1e-12)
    doubled = rl.MetricField(grid, 4 * rl.flat_metric(grid).components)
    assert rl.perelman_f(doubled, f, "fourier") == pytest.approx(expected, rel=1e-12)


def test_w_vanishes_on_gaussians():
    tau = 0.8
    grid = rl.Grid.torus((48, 48, 48), lengths=18.0, origin=-9.0)
    f = sum(x**2 for x in grid.coordinates()) / (4 * tau)
    flat = rl.flat_metric(grid)
    assert abs(rl.perelman_w(flat, f, tau, 8)) < 1e-5


@pytest.mark.parametrize("n", [2, 3])
def test_w_is_invariant_under_scaling_and_agrees_with_f(n):
    tau = 0.8
    g = curved(16, n)
    h = np.cos(g.grid.coordinates()[1])
    scaled = rl.MetricField(g.grid, 3.0 * g.components)
    value = rl.perelman_w(g, h, tau, "fourier")
    assert rl.perelman_w(scaled, h, 3 * tau, "fourier") == pytest.approx(value, rel=1e-12)
    # W against F, written out: tau F + the integral of f - n, with the weight.
    weight = np.exp(-h) * g.volume_element()
    rest = float(g.grid.integrate((h - n) * weight))
    expected = (tau * rl.perelman_f(g, h, "fourier") + rest) / (4 * math.pi * tau) ** (n / 2)
    assert value == pytest.approx(expected, rel=1e-12)


def test_what_is_no_function_is_refused():
    g = curved(12)
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        rl.perelman_f(g, np.zeros(3))
    with pytest.raises(NotFiniteError, match="f is not finite"):
        rl.perelman_w(g, np.full(g.grid.shape, np.nan), 1.0)
    with pytest.raises(InvalidArgumentError, match="tau = 0"):
        rl.perelman_w(g, np.zeros(g.grid.shape), 0.0)
    with pytest.raises(InvalidArgumentError, match="on tori"):
        rl.perelman_lambda(rl.flat_metric(rl.Grid.box(0.0, 1.0, (9, 9))))


def test_a_grid_that_does_not_resolve_the_curvature_is_named():
    rng = np.random.default_rng(0)
    grid = rl.Grid.torus((8, 8))
    v = np.exp(3 * rng.normal(size=grid.shape))
    rough = rl.MetricField(grid, np.eye(2)[:, :, None, None] * v)
    with pytest.raises(analysis.SpectrumError, match="did not settle in 500 steps"):
        rl.perelman_lambda(rough)


def test_a_ground_state_that_changes_sign_is_refused(monkeypatch):
    # Its logarithm would be NaN without a word.
    g = curved(12)
    wave = np.cos(g.grid.coordinates()[0])
    monkeypatch.setattr(analysis.perelman, "lowest_eigenpair", lambda *a: (-1.0, wave))
    with pytest.raises(analysis.SpectrumError, match="changes sign"):
        rl.perelman_lambda(g)
