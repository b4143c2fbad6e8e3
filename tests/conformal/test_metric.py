"""Conformal metrics on closed surfaces: curvature against known ones, invariants, refusals."""

import sys

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import Grid, exact
from riemann_lne.conformal import ConformalMetric, Sphere, Torus, king_rosenau, round_sphere, solve
from riemann_lne.errors import DTypeError, InvalidArgumentError, NotFiniteError, ShapeError

AXIS = (1.0, -2.0, 0.7)


def bumpy(x, y, z):
    return 0.2 * x * y + 0.15 * z**3 - 0.1 * y + 0.1 * np.exp(x)


def test_a_round_metric_in_moved_coordinates_has_constant_curvature_to_spectral_accuracy():
    """The error falls by the same factor for every eight degrees more."""
    errors = []
    for lmax in (8, 16, 24):
        g = round_sphere(Sphere(lmax), 2.0, (0.3, -0.2, 0.4))
        errors.append(abs(4 * g.curvature() - 1).max())
    ratios = np.array(errors[:-1]) / errors[1:]
    assert ratios.min() > 100
    assert abs(np.log(ratios[0] / ratios[1])) < 1
    g = round_sphere(Sphere(40), 2.0, (0.3, -0.2, 0.4))
    np.testing.assert_allclose(4 * g.curvature(), 1, rtol=1e-10)
    assert g.area() == pytest.approx(16 * np.pi, rel=1e-13)
    assert g.distance_to_constant_curvature() < 1e-10
    assert abs(g.entropy()) < 1e-10
    assert g.extinction_time() == pytest.approx(2.0, rel=1e-13)


def test_king_and_rosenau_about_any_axis_have_the_curvature_of_the_cylinder():
    sphere, t = Sphere(40), -1.5
    g = king_rosenau(sphere, t, AXIS)
    height = np.einsum("i,ixy->xy", np.array(AXIS) / np.linalg.norm(AXIS), sphere.coordinates)
    x = 2 * np.arctanh(height)
    expected = exact.rosenau().scalar_curvature(t, x, 0 * x)
    np.testing.assert_allclose(g.scalar_curvature(), expected, rtol=1e-9)


def test_curvature_of_a_torus_is_that_of_the_metric_field():
    torus = Torus(Grid.torus((48, 48)), [[1.2, 0.3], [0.3, 0.9]])
    g = ConformalMetric.from_function(torus, lambda x, y: 0.3 * np.sin(x) * np.cos(2 * y))
    expected = g.field().scalar_curvature(order="fourier")
    np.testing.assert_allclose(g.scalar_curvature(), expected, atol=1e-9)
    assert g.area() == pytest.approx(g.field().volume(), rel=1e-12)


@pytest.mark.parametrize(
    ("g", "expected"),
    [
        (ConformalMetric.from_function(Sphere(30), bumpy), 4 * np.pi),
        (ConformalMetric.from_function(Torus(Grid.torus((24, 24))), lambda x, y: np.sin(x)), 0),
    ],
    ids=["sphere", "torus"],
)
def test_gauss_and_bonnet(g, expected):
    assert g.total_curvature() == pytest.approx(expected, abs=1e-11)
    assert g.mean_curvature() * g.area() == pytest.approx(expected, abs=1e-11)


def test_measures_do_not_depend_on_the_unit_of_length():
    sphere = Sphere(24)
    g = ConformalMetric.from_function(sphere, lambda *x: 0.3 * bumpy(*x))
    h = ConformalMetric(sphere, g.u + np.log(5.0))
    assert g.entropy() > 0
    assert h.entropy() == pytest.approx(g.entropy(), rel=1e-9)
    assert h.distance_to_constant_curvature() == pytest.approx(
        g.distance_to_constant_curvature(), rel=1e-9
    )
    assert h.extinction_time() == pytest.approx(25 * g.extinction_time(), rel=1e-12)
    assert h != g
    assert g == ConformalMetric.from_function(sphere, lambda *x: 0.3 * bumpy(*x))
    assert g != ConformalMetric.from_function(Sphere(25), lambda *x: 0.3 * bumpy(*x))


def test_the_tail_says_how_far_a_metric_is_resolved():
    tails = [king_rosenau(Sphere(n), -3.0).tail() for n in (40, 60)]
    assert 1e-9 < tails[0] < 1e-6
    assert tails[1] < 1e-3 * tails[0]


def test_a_metric_that_the_surface_cannot_hold_is_refused_with_figures():
    with pytest.raises(InvalidArgumentError, match=r"mean square 0\.0\d+, and its highest modes"):
        king_rosenau(Sphere(8), -6.0)
    with pytest.warns(UserWarning, match="take a finer surface"):
        king_rosenau(Sphere(16), -3.0)


SPHERE = Sphere(6)
FLAT = np.zeros(SPHERE.shape)


def with_entry(value):
    u = FLAT.copy()
    u[2, 3] = value
    return u


@pytest.mark.parametrize(
    ("u", "error", "words"),
    [
        (FLAT[:-1], ShapeError, r"Sphere\(6\) has the grid \(10, 20\)"),
        (FLAT.ravel(), ShapeError, "from_function"),
        (with_entry(np.nan), NotFiniteError, r"nan at index \(2, 3\)"),
        (with_entry(np.inf), NotFiniteError, r"inf at index \(2, 3\)"),
        (FLAT + 200, InvalidArgumentError, "another unit of length"),
        (FLAT.astype(int), DTypeError, "real numbers"),
        ("u", DTypeError, "u"),
        (with_entry(1.0), InvalidArgumentError, "not resolved"),
    ],
)
def test_bad_values(u, error, words):
    with pytest.raises(error, match=words):
        ConformalMetric(SPHERE, u)


def test_bad_arguments():
    g = round_sphere(SPHERE)
    torus = ConformalMetric(Torus(Grid.torus((8, 8))), np.zeros((8, 8)))
    for call, error, words in (
        (lambda: ConformalMetric(6, FLAT), DTypeError, "Sphere"),
        (lambda: ConformalMetric.from_function(SPHERE, 3), DTypeError, "function"),
        (lambda: ConformalMetric.from_function(SPHERE, lambda *x: FLAT[1:]), ShapeError, "shape"),
        (lambda: round_sphere(SPHERE, boost=(1, 2)), InvalidArgumentError, "three numbers"),
        (lambda: round_sphere(SPHERE, boost=(99, 2, 0)), InvalidArgumentError, "at most 50"),
        (lambda: king_rosenau(SPHERE, 1.0), InvalidArgumentError, "-600 <= t < 0"),
        (lambda: king_rosenau(SPHERE, -1.0, (0, 0, 0)), InvalidArgumentError, "direction"),
        (lambda: king_rosenau(torus.surface, -1.0), DTypeError, "Sphere"),
        (lambda: g.field(), InvalidArgumentError, "no MetricField"),
        (lambda: g.integral(FLAT[1:]), ShapeError, "values has shape"),
        (lambda: torus.entropy(), InvalidArgumentError, "R > 0"),
        (lambda: ConformalMetric.from_function(Sphere(20), lambda x, y, z: x * y).entropy(),
         InvalidArgumentError, "least R"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            call()
    assert torus.extinction_time() == np.inf


def test_perelman_lambda_of_round_spheres_in_any_coordinates():
    g = round_sphere(Sphere(40), 2.0, (0.3, -0.2, 0.4))
    assert g.perelman_lambda() == pytest.approx(0.5, rel=1e-10)
    flat = ConformalMetric(Torus(Grid.torus((8, 8))), np.zeros((8, 8)))
    assert flat.perelman_lambda() == pytest.approx(0.0, abs=1e-12)


def test_perelman_lambda_is_that_of_the_metric_on_a_grid():
    torus = Torus(Grid.torus((24, 24)))
    g = ConformalMetric.from_function(
        torus, lambda x, y: 0.2 * np.sin(x) * np.cos(y) + 0.1 * np.cos(x)
    )
    expected = rl.perelman_lambda(g.field())
    assert expected < -0.01
    assert g.perelman_lambda() == pytest.approx(expected, rel=1e-8)


def test_perelman_lambda_rises_with_the_flow_from_below_the_mean_curvature():
    start = ConformalMetric.from_function(Sphere(24), bumpy)
    found = solve(start, (0.0, 0.4 * start.extinction_time()), t_eval=[0.0, 0.05, 0.1, 0.15])
    values = [g.perelman_lambda() for g in found.metrics]
    assert np.all(np.diff(values) > 0)
    assert all(v < 2 * g.mean_curvature() for v, g in zip(values, found.metrics, strict=True))


def test_the_tail_of_a_torus_is_that_of_both_axes():
    torus = Torus(Grid.torus((24, 30)))
    for k, m, size in ((7, 0, 1.0), (0, 9, 1.0), (6, 0, 0.0), (0, 8, 0.0)):
        g = ConformalMetric.from_function(
            torus, lambda x, y, k=k, m=m: 1e-3 * np.cos(k * x + m * y)
        )
        assert g.tail() == pytest.approx(size * 1e-3 / np.sqrt(2), abs=1e-15)


def test_perelman_lambda_takes_few_steps_also_where_little_is_resolved(monkeypatch):
    monkeypatch.setattr(sys.modules["riemann_lne.analysis.perelman"], "_MAX_STEPS", 20)
    found = [
        ConformalMetric.from_function(Sphere(lmax), lambda *x: 2 * bumpy(*x)).perelman_lambda()
        for lmax in (8, 32)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_perelmans_functionals_are_those_of_the_metric_on_a_grid():
    torus = Torus(Grid.torus((32, 32)), [[1.2, 0.3], [0.3, 0.9]])
    g = ConformalMetric.from_function(
        torus, lambda x, y: 0.2 * np.sin(x) * np.cos(y) + 0.1 * np.cos(x)
    )
    x, y = torus.coordinates
    f, tau = 0.4 * np.cos(x + y) - 0.3 * np.sin(2 * x) + 0.7, 0.6
    field, order = g.field(), "fourier"
    expected = rl.analysis.perelman_f(field, f, order), rl.analysis.perelman_w(field, f, tau, order)
    assert g.perelman_f(f) == pytest.approx(expected[0], rel=1e-9)
    assert g.perelman_w(f, tau) == pytest.approx(expected[1], rel=1e-9)


def test_perelmans_functionals_of_round_spheres():
    """F of constants and of a moved mode by hand; W of the shrinking sphere is constant in t."""
    sphere = Sphere(24)
    z = sphere.coordinates[2]
    g = round_sphere(sphere)
    # e^(-f) = (1 + z / 2)^2: v = 1 + z / 2 has |grad v|^2 = (1 - z^2) / 4.
    f = -2 * np.log(1 + z / 2)
    assert g.perelman_f(f) == pytest.approx(4 * np.pi * (4 / 6 + 2 * (1 + 1 / 12)), rel=1e-12)
    assert round_sphere(sphere, 3.0).perelman_f(f) == pytest.approx(g.perelman_f(f), rel=1e-12)
    values = []
    for square in (1.0, 0.2):  # r^2 = 2 tau: (4 pi tau)^(-1) e^(-f) has the integral 1
        constant = np.full(sphere.shape, np.log(2.0))
        values.append(round_sphere(sphere, square**0.5).perelman_w(constant, square / 2))
    assert values == pytest.approx([np.log(2.0) - 1] * 2, rel=1e-12)


def test_lambda_is_the_least_f_of_functions_with_unit_integral():
    g = ConformalMetric.from_function(Sphere(20), bumpy)
    x, y, z = g.surface.coordinates
    least = g.perelman_lambda()
    for h in (0 * x, 0.3 * x, 0.5 * x * y - z):
        f = h + np.log(g.integral(np.exp(-h)))
        assert g.perelman_f(f) > least
    for bad, error, words in (
        (x[0], ShapeError, "one value for each point"),
        (np.where(x > 0.9, np.nan, x), NotFiniteError, "f is"),
        (np.ones(x.shape, int), DTypeError, "f holds"),
        (np.sign(z), InvalidArgumentError, "f is not resolved"),
        (x - 700, InvalidArgumentError, "the least value of f is -7"),
        (x + 700, InvalidArgumentError, "add a constant to f"),
    ):
        for call in (g.perelman_f, lambda f: g.perelman_w(f, 1.0)):
            with pytest.raises(error, match=words):
                call(bad)
    with pytest.raises(InvalidArgumentError, match="tau = 0"):
        g.perelman_w(z, 0)


def test_a_warning_that_a_surface_misses_something_names_the_line_of_the_caller():
    sphere = Sphere(20)
    g, z = round_sphere(sphere), sphere.coordinates[2]
    rough = abs(z) ** 3
    c = np.array(g.coefficients)
    c[0, 19, 3] = 1e-3
    coarse = ConformalMetric.from_coefficients(sphere, c)
    for call in (
        lambda: ConformalMetric(sphere, 0.1 * rough),
        lambda: ConformalMetric.from_function(sphere, lambda x, y, z: 0.1 * abs(z) ** 3),
        lambda: g.perelman_f(rough),
        lambda: g.perelman_w(rough, 1.0),
        lambda: solve(coarse, (0, 1e-6)),
    ):
        with pytest.warns(UserWarning, match="resolve") as caught:
            call()
        assert [w.filename for w in caught] == [__file__]
