"""Profiles of surfaces of revolution, against surfaces that are known."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import exact
from riemann_lne.analysis import embedding_profile
from riemann_lne.errors import InvalidArgumentError


def sphere(points, radius=1.5, turned=False):
    """A round sphere without its poles, in latitude and longitude."""
    low, high, wraps = (-1.2, 0.0), (1.2, 2 * np.pi), (False, True)
    shape = (points, 12)
    if turned:
        grid = rl.Grid(shape[::-1], low[::-1], high[::-1], wraps[::-1])
        return rl.MetricField.from_function(
            grid, lambda y, x: [[(radius * np.cos(x)) ** 2, 0], [0, radius**2]]
        )
    return rl.MetricField.from_function(
        rl.Grid(shape, low, high, wraps),
        lambda x, y: [[radius**2, 0], [0, (radius * np.cos(x)) ** 2]],
    )


@pytest.mark.parametrize("turned", [False, True])
def test_the_profile_of_a_sphere_is_a_circle(turned):
    profile = embedding_profile(sphere(65, turned=turned), axis=int(turned), order=6)
    assert profile.embeddable.all()
    np.testing.assert_allclose(np.hypot(profile.r, profile.z), 1.5, rtol=1e-6)
    np.testing.assert_allclose(profile.z, 1.5 * np.sin(profile.x), atol=1e-6)
    np.testing.assert_allclose(profile.slope, -np.sin(profile.x), atol=1e-6)


def test_the_profile_converges_at_the_order_of_its_differences():
    def error(points):
        profile = embedding_profile(sphere(points), order=2)
        return float(np.abs(profile.z - 1.5 * np.sin(profile.x)).max())

    assert rl.check_order([error(p) for p in (33, 65, 129)], [1 / 32, 1 / 64, 1 / 128], 2)


def test_the_sausage_can_be_embedded_from_the_time_that_is_predicted():
    # dr/ds = sin x / (2 (cosh t + cos x)) is at most 1 / (2 sinh t): 1 at t = arsinh(1/2).
    sausage, critical = exact.periodic_sausage((1, 0)), np.arcsinh(0.5)
    grid = rl.Grid.torus((256, 8))
    for t in (0.98 * critical, 1.02 * critical):
        profile = embedding_profile(sausage.field(t, grid))
        assert bool(profile.embeddable.all()) == (t > critical)
        assert abs(profile.slope).max() == pytest.approx(1 / (2 * np.sinh(t)), rel=1e-3)
    profile = embedding_profile(sausage.field(0.3, grid))
    # Left out are the flanks; the bulge, and the neck on both sides of the period, stay.
    assert len(profile.stretches()) == 3
    assert all(profile.embeddable[part].all() for part in profile.stretches())
    gap = profile.stretches()[0].stop
    assert profile.z[gap + 1] == pytest.approx(profile.z[gap + 2], abs=1e-3)


def test_the_period_of_a_closed_axis_is_complete_and_the_area_is_that_of_the_metric():
    g = exact.periodic_sausage((1, 0)).field(1.0, rl.Grid.torus((128, 8)))
    profile = embedding_profile(g, order="fourier")
    assert profile.x[-1] == pytest.approx(2 * np.pi)
    assert profile.r[0] == profile.r[-1]
    assert profile.z[0] == pytest.approx(-profile.z[-1])
    # Frustums between neighbouring circles have the area of the surface, up to h^2.
    lengths = np.hypot(np.diff(profile.r), np.diff(profile.z))
    area = np.sum(np.pi * (profile.r[1:] + profile.r[:-1]) * lengths)
    assert area == pytest.approx(g.volume(), rel=1e-3)


def test_the_rosenau_solution_is_a_closed_surface():
    solution = exact.rosenau()
    grid = rl.Grid((401, 12), (-14.0, 0.0), (14.0, 4 * np.pi), (False, True))
    profile = embedding_profile(solution.field(-2.0, grid))
    assert profile.embeddable[20:-20].all()
    assert profile.r[[0, -1]].max() < 1e-2 * profile.r.max()
    # At a pole the slope is 1: no cone. The period 4 pi of the angle is what does it.
    assert abs(profile.slope[40]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("metric", "axis", "message"),
    [
        (rl.flat_metric(rl.Grid.torus((8, 8, 8))), 0, "2 dimensions"),
        (rl.flat_metric(rl.Grid.torus((8, 8))), 2, "axis = 2"),
        (rl.flat_metric(rl.Grid.box(0.0, 1.0, (9, 9))), 0, "axis 1 is bounded"),
        (sphere(17), 1, "axis 0 is bounded"),
        (exact.periodic_sausage((1, 0)).field(1.0, rl.Grid.torus((16, 16))), 1, "along axis 0"),
        (exact.gauge_family(2, 0.3).field(0.0, rl.Grid.torus((16, 16))), 0, "g_01 is up to"),
    ],
)
def test_what_is_not_rotationally_symmetric_is_refused(metric, axis, message):
    with pytest.raises(InvalidArgumentError, match=message):
        embedding_profile(metric, axis)
