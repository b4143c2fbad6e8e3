"""Volume, total curvature, extremes of R, |Rm| and the Bianchi identity."""

import math

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import exact
from riemann_lne.errors import InvalidArgumentError


@pytest.fixture(scope="module")
def flow():
    """A perturbed 2-D and 3-D torus under both flows."""
    result = {}
    for n, points in ((2, 32), (3, 16)):
        start = rl.perturbed_euclidean(rl.Grid.torus((points,) * n), 0.4, seed=2, modes=1)
        times = np.linspace(0, 0.4, 9)
        for name, rule, method in (
            ("ricci", rl.RicciFlow(), "tsit5"),
            ("ricci-deturck", rl.RicciDeTurckFlow(), "etdrk4"),
        ):
            result[n, name] = rl.solve_flow(
                start, rule, (0, 0.4), method, times, rtol=1e-7, atol=1e-9, order="fourier"
            )
            assert result[n, name].success
    return result


CASES = [(2, "ricci"), (2, "ricci-deturck"), (3, "ricci"), (3, "ricci-deturck")]


@pytest.mark.parametrize("case", CASES)
def test_the_volume_changes_by_minus_the_total_curvature(flow, case):
    solution = flow[case]
    volumes = np.array([rl.volume(g) for g in solution.metrics])
    totals = np.array([rl.total_scalar_curvature(g, "fourier") for g in solution.metrics])
    # The integral over time by Simpson's rule, of order 4 in the distance of the output times.
    step = solution.t[1] - solution.t[0]
    change = (
        -step / 3 * (totals[0] + totals[-1] + 4 * totals[1:-1:2].sum() + 2 * totals[2:-1:2].sum())
    )
    assert volumes[-1] - volumes[0] == pytest.approx(change, abs=1e-4 * volumes[0])
    if case[0] == 3:  # in 2-D nothing changes: Gauss-Bonnet
        assert volumes[-1] - volumes[0] == pytest.approx(change, rel=2e-3)
        assert abs(change) > 1e-3 * volumes[0]


@pytest.mark.parametrize("case", CASES[:2])
def test_gauss_bonnet_holds_along_the_flow(flow, case):
    for g in flow[case].metrics:
        # The 2/3 rule leaves its mark on the metric, not on the identity.
        assert abs(rl.euler_characteristic(g, "fourier")) < 1e-9
    assert abs(rl.total_scalar_curvature(flow[case][0], 2)) > 1e-6  # of the differences


def test_gauss_bonnet_is_met_at_the_order_of_the_differences():
    def error(points):
        g = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.2, seed=2, modes=1)
        coarse = rl.MetricField(
            rl.Grid.torus((points, points)), g.components[:, :, :: 64 // points, :: 64 // points]
        )
        return abs(rl.euler_characteristic(coarse, 2))

    assert rl.check_order([error(p) for p in (16, 32, 64)], [1 / 16, 1 / 32, 1 / 64], 2)


@pytest.mark.parametrize("case", CASES)
def test_the_smallest_scalar_curvature_does_not_fall(flow, case):
    low = np.array([rl.scalar_curvature_min(g, "fourier") for g in flow[case].metrics])
    # On the points of the grid the minimum may be missed by the square of the spacing.
    assert np.all(np.diff(low) > -1e-4 * abs(low[0]))
    assert low[-1] > 0.5 * low[0]
    high = [rl.scalar_curvature_max(g, "fourier") for g in flow[case].metrics]
    assert all(a > b for a, b in zip(high, low, strict=True))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_norm_of_riemann_is_that_of_the_sphere(n):
    sphere = exact.round_sphere(n, radius=1.5)
    points = {2: 33, 3: 17, 4: 9}[n]
    g = sphere.field(0.0, sphere.grid(points))
    expected = math.sqrt(2 * n * (n - 1)) / 1.5**2
    # One-sided differences at the corners of the box make the largest value.
    assert rl.curvature_max(g, order=6) == pytest.approx(
        expected, rel={2: 1e-4, 3: 0.02, 4: 0.2}[n]
    )


def test_the_norm_of_riemann_is_that_of_its_full_contraction(rng):
    g = rl.perturbed_euclidean(rl.Grid.torus((8, 8, 8)), 0.4, modes=1)
    up, inverse, down = g.riemann(), g.inverse(), g.components
    full = np.einsum(
        "lijk...,mabc...,lm...,ia...,jb...,kc...->...", up, up, down, inverse, inverse, inverse,
        optimize=True,
    )  # fmt: skip
    assert rl.curvature_max(g) == pytest.approx(math.sqrt(full.max()), rel=1e-12)


def test_in_two_dimensions_the_norm_of_riemann_is_that_of_r():
    g = exact.periodic_sausage((1, 1)).field(0.5, rl.Grid.torus((32, 32)))
    assert rl.curvature_max(g) == pytest.approx(abs(g.scalar_curvature()).max(), rel=1e-12)
    flat = rl.flat_metric(g.grid)
    assert rl.curvature_max(flat) == 0.0


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("n", [2, 3])
def test_the_bianchi_residual_falls_at_the_order_of_the_differences(n, order):
    points = {2: (64, 96, 128), 3: (32, 40, 48)}[n]
    bent = exact.gauge_family(n, 0.1)
    sausage = exact.periodic_sausage((1, 1), ndim=n)

    def metric(p):
        grid = bent.grid(p)
        mixed = bent.field(0.0, grid).components + sausage.field(1.6, grid).components
        return rl.MetricField(grid, mixed)

    report = rl.check_order(
        [rl.bianchi_residual(metric(p), order) for p in points], [1 / p for p in points], order
    )
    assert report, str(report)


def test_the_bianchi_residual_is_that_of_the_identity_written_out():
    g = rl.perturbed_euclidean(rl.Grid.torus((16, 16, 16)), 0.4, seed=1, modes=1)
    ricci, gamma, inverse = g.ricci(2), g.christoffel(2), g.inverse()
    scalar = np.einsum("ij...,ij...->...", inverse, ricci)
    d = rl.stencils.gradient(ricci, g.grid, 2)
    nabla = (
        d
        - np.einsum("pik...,pj...->ikj...", gamma, ricci)
        - np.einsum("pij...,kp...->ikj...", gamma, ricci)
    )
    b = np.einsum("ik...,ikj...->j...", inverse, nabla)
    b -= 0.5 * rl.stencils.gradient(scalar, g.grid, 2)
    size = np.sqrt(np.einsum("ij...,i...,j...->...", inverse, b, b).max())
    assert rl.bianchi_residual(g, 2) == pytest.approx(size, rel=1e-10)


def test_a_ricci_tensor_of_no_metric_would_be_seen():
    # With Fourier derivatives the residual is that of rounding; were Ric off by a percent in one
    # component, the residual would be of that size.
    g = rl.perturbed_euclidean(rl.Grid.torus((32, 32)), 0.1, seed=1, modes=1)
    scale = rl.curvature_max(g, "fourier")
    assert rl.bianchi_residual(g, "fourier") < 1e-6 * scale


def test_the_euler_characteristic_is_refused_elsewhere():
    with pytest.raises(InvalidArgumentError, match="2-D tori"):
        rl.euler_characteristic(rl.flat_metric(rl.Grid.torus((8, 8, 8))))
    with pytest.raises(InvalidArgumentError, match="2-D tori"):
        rl.euler_characteristic(rl.flat_metric(rl.Grid.box(0.0, 1.0, (9, 9))))


OBSERVABLES = [
    rl.volume, rl.total_scalar_curvature, rl.euler_characteristic, rl.scalar_curvature_min,
    rl.scalar_curvature_max, rl.curvature_max, rl.bianchi_residual, rl.perelman_lambda,
    rl.analysis.perelman_lambda_rate,
]  # fmt: skip


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda f: f.__name__)
def test_every_backend_gives_the_same_float(observable, backend):
    g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.3, modes=1)
    there = observable(rl.MetricField(g.grid, backend.array(g.components)))
    assert isinstance(there, float)
    assert there == pytest.approx(observable(g), rel=1e-9, abs=1e-13)
    single = rl.MetricField(g.grid, backend.array(g.components, "float32"))
    # Rounding of float32, amplified by second and third differences at this spacing.
    assert observable(single) == pytest.approx(observable(g), rel=1e-3, abs=2e-4)


def test_every_observable_can_be_watched_along_a_flow():
    g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.2, modes=1)
    solution = rl.solve_flow(
        g, rl.RicciDeTurckFlow(), (0, 0.5), t_eval=[0, 0.25, 0.5],
        observe={f.__name__: f for f in OBSERVABLES},
    )  # fmt: skip
    assert solution.success
    for f in OBSERVABLES:
        watched = solution.observed[f.__name__]
        assert len(watched) == len(solution.t_observed)
        assert solution.t_observed[-1] == solution.t[-1]
        assert watched[-1] == f(solution[-1])
