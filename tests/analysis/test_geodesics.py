"""Geodesics on grids: great circles, orbits, light; what is refused."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.analysis import geodesic
from riemann_lne.errors import DTypeError, InvalidArgumentError, NotFiniteError, ShapeError


def sphere(points):
    def metric(x, y):
        v = 4 / (1 + x**2 + y**2) ** 2
        return [[v, 0], [0, v]]

    return rl.MetricField.from_function(rl.Grid.box(-1.5, 1.5, (points, points)), metric)


def test_great_circles_at_the_order_of_the_scheme():
    """Through (a, 0) at a right angle to the radius: a circle about a place on the axis."""
    errors = []
    for points in (25, 49):
        ray = geodesic(sphere(points), [[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.5], [0.3, 0.4]],
                       (0, 1.2), t_eval=[1.2], order=4, rtol=1e-10)  # fmt: skip
        x, y = ray.x[-1, 0]
        # It cuts the unit circle at two opposite places: x^2 + y^2 - 1 = 2 c x with c of the start.
        circle = (0.25 - 1) / (2 * 0.5)
        errors.append(abs(x**2 + y**2 - 1 - 2 * circle * x))
        straight = ray.x[-1, 1]
        length = 2 * np.arctan(np.hypot(*straight))
        assert length == pytest.approx(2 * 0.5 * 1.2, abs=1e-3)
        assert straight[0] / straight[1] == pytest.approx(0.75, abs=1e-4)
    assert np.log2(errors[0] / errors[1]) > 3.7


def test_a_geodesic_that_starts_at_the_end_of_an_axis_leaves_at_once_or_goes_in():
    g = sphere(25)
    out = geodesic(g, [-1.5, 0.2], [-1.0, 0.1], (0, 0.5))
    assert not out.success
    assert "left the grid at t = " in out.message
    assert abs(out.x - [-1.5, 0.2]).max() < 1e-9
    for start, velocity in (([-1.5, 0.2], [1.0, 0.1]), ([1.5, 1.5], [-1.0, -1.0])):
        ray = geodesic(g, start, velocity, (0, 0.5))
        assert ray.success
        assert abs(ray.x).max() <= 1.5


def test_lines_on_a_flat_torus_are_not_wrapped():
    flat = rl.flat_metric(rl.Grid.torus((8, 8), lengths=1.0))
    ray = geodesic(flat, [0.5, 0.5], [1.0, -2.0], (0, 3))
    np.testing.assert_allclose(ray.x[-1], [3.5, -5.5], atol=1e-12)
    assert ray.success


def schwarzschild():
    grid = rl.Grid((3, 40, 24, 3), (0, 4.0, 1.0, 0), (1, 12.0, 2.14, 1), (True, False, False, True))
    rows = lambda t, r, a, b: [  # noqa: E731
        [-(1 - 2 / r), 0, 0, 0],
        [0, 1 / (1 - 2 / r), 0, 0],
        [0, 0, r**2, 0],
        [0, 0, 0, (r * np.sin(a)) ** 2],
    ]
    return rl.MetricField.from_function(grid, rows, signature="lorentzian")


def test_orbits_and_light_around_a_black_hole():
    """A circular orbit has Omega^2 = 1 / r^3; light at r = 3 M would circle, at 8 M it leaves."""
    g, r = schwarzschild(), 8.0
    up = 1 / np.sqrt(1 - 3 / r)
    orbit = geodesic(g, [0, r, np.pi / 2, 0], [up, 0, 0, up * r**-1.5], (0, 60), t_eval=[30, 60],
                     order=6, rtol=1e-9)  # fmt: skip
    np.testing.assert_allclose(orbit.x[:, 1], r, rtol=1e-4)
    np.testing.assert_allclose(orbit.x[-1, 3] / orbit.x[-1, 0], r**-1.5, rtol=1e-4)
    np.testing.assert_allclose(orbit.norm2, -1, atol=1e-5)
    # Falling from rest at r = 8: dr/dtau = -(2 / r - 2 / 8)^(1/2).
    drop = geodesic(g, [0, r, np.pi / 2, 0], [1 / np.sqrt(1 - 2 / r), 0, 0, 0], (0, 15),
                    t_eval=[15.0], order=6, rtol=1e-9)  # fmt: skip
    end = drop.x[-1, 1]
    assert drop.v[-1, 1] == pytest.approx(-np.sqrt(2 / end - 0.25), rel=1e-4)
    f = 1 - 2 / r
    light = geodesic(g, [0, r, np.pi / 2, 0], [1 / f, 1.0, 0, 0], (0, 10), order=6)
    assert not light.success
    assert "left the grid" in light.message
    assert light.x[-1, 1] == pytest.approx(12, abs=1e-4)
    # t = r + 2 log(r / 2 - 1) + const along an outgoing ray.
    expected = 12 - 8 + 2 * np.log(5.0 / 3.0)
    assert light.x[-1, 0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(light.norm2, 0, atol=1e-5)


def test_what_is_refused():
    g = sphere(13)
    with pytest.raises(DTypeError):
        geodesic("sphere", [0, 0], [1, 0], (0, 1))
    with pytest.raises(InvalidArgumentError, match="outside"):
        geodesic(g, [[0.0, 0.0], [2.0, 0.0]], [[1, 0], [1, 0]], (0, 1))
    with pytest.raises(ShapeError):
        geodesic(g, [0.0, 0.0, 0.0], [1, 0, 0], (0, 1))
    with pytest.raises(ShapeError):
        geodesic(g, [[0.0, 0.0]], [1, 0], (0, 1))
    with pytest.raises(NotFiniteError):
        geodesic(g, [0.0, 0.0], [np.inf, 0], (0, 1))
    with pytest.raises(InvalidArgumentError, match="fourier"):
        geodesic(g, [0.0, 0.0], [1, 0], (0, 1), order="fourier")
    with pytest.raises(InvalidArgumentError):
        geodesic(g, [0.0, 0.0], [1, 0], (1, 0))
