"""The fit of a blow-up on data whose law is known, and on a sphere that shrinks to a point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import riemann_lne as rl
from riemann_lne.errors import InvalidArgumentError


@given(
    st.floats(0.3, 3.0),
    st.floats(-5.0, 5.0),
    st.floats(0.1, 10.0),
    st.floats(1e-3, 1e3),
    st.floats(0.3, 0.999),
)
def test_an_exact_power_law_is_found(exponent, start, span, amplitude, reach):
    end = start + span
    t = end - span * np.geomspace(1, 1 - reach, 12)
    fit = rl.fit_blow_up(t, amplitude * (end - t) ** -exponent)
    # T - t is rounded relative to t: close to T that is what limits the fit.
    slack = 1e-6 + 1e-12 * abs(end) / (span * (1 - reach))
    assert abs(fit.time - end) < slack * span
    assert fit.exponent == pytest.approx(exponent, rel=10 * slack)
    assert fit.n_points == 12


def test_standard_errors_are_those_of_repeated_noise(rng):
    t = 1 - np.geomspace(1, 0.01, 30)
    fits = [
        rl.fit_blow_up(t, 2 / (1 - t) * np.exp(0.01 * rng.normal(size=t.size))) for _ in range(300)
    ]
    # The scatter of 300 fits is known to 4 %, and the mean of the standard errors better.
    for value, error in (("time", "time_stderr"), ("exponent", "exponent_stderr")):
        scatter = np.std([getattr(f, value) for f in fits])
        claimed = np.mean([getattr(f, error) for f in fits])
        assert claimed == pytest.approx(scatter, rel=0.2)
    inside = [low <= 1 <= high for low, high in (f.confidence_interval() for f in fits)]
    assert 0.9 < np.mean(inside) < 0.99


def test_the_window_leaves_out_what_comes_before():
    t = np.linspace(0, 0.9, 30)
    k = 1 / (1 - t) + 5 * np.exp(-50 * t)
    assert abs(rl.fit_blow_up(t, k, t_min=0.5).exponent - 1) < 1e-6
    assert abs(rl.fit_blow_up(t, k + 1, t_min=0.5).exponent - 1) > 1e-2


SPHERES = [
    (2, 17, rl.RicciDeTurckFlow, 1e-8, 1e-5),
    pytest.param(3, 13, rl.RicciDeTurckFlow, 1e-6, 1e-4, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("n", "points", "flow", "time_error", "exponent_error"), SPHERES)
def test_a_sphere_followed_to_its_end_blows_up_as_it_must(
    n, points, flow, time_error, exponent_error
):
    sphere = rl.exact.round_sphere(n)
    end = sphere.singular_time
    grid = sphere.grid(points)
    start = sphere.field(0.0, grid)
    times = end * (1 - np.geomspace(1, 1e-3, 25)[1:])
    # With the sphere as background the DeTurck field vanishes: the Christoffel symbols of a metric
    # and of a multiple of it are the same. The Ricci flow itself does not damp errors of the
    # coordinates, which the singularity makes grow.
    solution = rl.solve_flow(
        start, flow(start), (0, times[-1]), "rkl2", times, order=4,
        rtol=1e-7, atol=1e-12, boundary=sphere.metric,
    )  # fmt: skip
    assert solution.success, solution.message
    assert solution.t[-1] == pytest.approx(0.999 * end)
    curvature = [rl.curvature_max(g, order=8) for g in solution.metrics]
    fit = rl.fit_blow_up(solution.t, curvature)
    assert fit.n_points == 24
    assert fit.time == pytest.approx(end, rel=time_error)
    assert fit.exponent == pytest.approx(1, abs=exponent_error)
    # |Rm| (T - t) is constant, (2 n (n - 1))^(1/2) / (2 (n - 1)); one-sided differences at the
    # corners are what it is off by.
    assert fit.amplitude == pytest.approx((2 * n * (n - 1)) ** 0.5 / (2 * (n - 1)), rel=0.03)
    assert curvature[-1] > 700 * curvature[0]


@pytest.mark.parametrize(
    ("t", "curvature", "message"),
    [
        ([0, 1, 2], [1, 2, 3], "at least 4"),
        ([0, 1, 2, 3], [1, 2, 3], "shapes"),
        ([0, 1, 1, 2], [1, 2, 3, 4], "rise strictly"),
        ([0, 1, 2, 3], [1, -2, 3, 4], "curvature = -2.0 at t = 1.0"),
        ([0, 1, 2, 3], [1, 2, np.nan, 4], "curvature = nan at t = 2.0"),
        ([0, 1, 2, 3], [4, 3, 2, 1], "does not blow up"),
        ([0, 1, 2, 3], np.exp([0.0, 1.0, 2.0, 3.0]), "does not blow up towards"),
    ],
)
def test_what_does_not_blow_up_is_refused(t, curvature, message):
    with pytest.raises(InvalidArgumentError, match=message):
        rl.fit_blow_up(t, curvature)
