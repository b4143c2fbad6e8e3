"""Conformal coordinates of metrics on the torus: known answers, the flow, refusals."""

from contextlib import nullcontext

import numpy as np
import pytest

from riemann_lne import Grid, MetricField, RicciDeTurckFlow, solve_flow
from riemann_lne.conformal import ConformalMetric, Torus, solve, uniformize
from riemann_lne.conformal.uniformize import _Spectrum
from riemann_lne.errors import DTypeError, InvalidArgumentError, NotPositiveDefiniteError

FLAT = np.array([[1.3, 0.3], [0.3, 0.8]])


def factor(X, Y):
    return 0.2 * np.sin(X) * np.cos(Y) + 0.1 * np.cos(2 * X - Y)


def moved(x, y, size):
    """A diffeomorphism of the torus and its Jacobian."""
    X = x + size * np.sin(y) + 0.4 * size * np.cos(x + y)
    Y = y + 0.7 * size * np.sin(x - y)
    J = np.array(
        [
            [1 - 0.4 * size * np.sin(x + y), size * np.cos(y) - 0.4 * size * np.sin(x + y)],
            [0.7 * size * np.cos(x - y), 1 - 0.7 * size * np.cos(x - y)],
        ]
    )
    return X, Y, J


def pulled_back(points, size=0.25, flat=FLAT):
    def metric(x, y):
        X, Y, J = moved(x, y, size)
        return np.exp(2 * factor(X, Y)) * np.einsum("kl,kixy,ljxy->ijxy", flat, J, J)

    return MetricField.from_function(Grid.torus(points), metric)


@pytest.mark.parametrize("points", [(32, 32), (30, 45)])
def test_a_metric_in_bent_coordinates_is_found_conformal(points):
    found = uniformize(pulled_back(points))
    torus = Torus(Grid.torus((72, 72)), FLAT)
    known = ConformalMetric.from_function(torus, factor)
    assert found.residual < 1e-10
    assert found.tau == pytest.approx(torus.tau, abs=1e-12)
    assert found.metric.area() == pytest.approx(known.area(), rel=1e-12)
    moment = [g.integral(g.curvature() ** 2) for g in (found.metric, known)]
    assert moment[0] == pytest.approx(moment[1], rel=1e-9)
    # The map is the given one up to a translation.
    x, y = Grid.torus(points).coordinates()
    X, Y, _ = moved(x, y, 0.25)
    for mine, theirs in zip(found.coordinates, (X, Y), strict=True):
        shift = mine - theirs
        np.testing.assert_allclose(shift, shift.mean(), atol=1e-11)


def test_conformal_coordinates_carry_the_factor_to_the_right_place():
    field = pulled_back((32, 32))
    found = uniformize(field, shape=(48, 48))
    assert found.metric.surface.shape == (48, 48)
    R = field.scalar_curvature(order="fourier")
    spectrum = np.fft.fft2(found.metric.scalar_curvature()) / 48**2
    k = np.fft.fftfreq(48, 1 / 48)
    X, Y = found.coordinates
    waves = [np.exp(1j * np.multiply.outer(c, k)) for c in (X, Y)]
    there = np.einsum("xya,ab,xyb->xy", waves[0], spectrum, waves[1]).real
    np.testing.assert_allclose(there, R, atol=1e-5)


def test_the_conformal_flow_is_ricci_flow():
    """Quantities that no coordinates change agree with those of the flow of the metric field."""
    t, field = 0.2, pulled_back((24, 24), size=0.15)
    options = {"t_eval": [t], "rtol": 1e-7}
    end = solve_flow(field, RicciDeTurckFlow(), (0, t), order="fourier", **options)[-1]
    start = uniformize(field)
    mine = solve(start.metric, (0, t), **options)[-1]
    theirs = uniformize(end)
    assert theirs.tau == pytest.approx(start.tau, abs=1e-6)
    assert mine.area() == pytest.approx(end.volume(), rel=1e-8)
    R = end.scalar_curvature(order="fourier")
    grid = field.grid
    total = grid.integrate(end.volume_element() * R**2)
    assert 4 * mine.integral(mine.curvature() ** 2) == pytest.approx(total, rel=1e-6)
    assert mine.curvature().max() == pytest.approx(theirs.metric.curvature().max(), abs=1e-3)


@pytest.mark.parametrize("points", [(8, 10), (9, 10), (8, 9)])
def test_an_interpolant_has_the_values_at_the_points_also_of_the_highest_modes(points):
    grid = Grid.torus(points, (2.0, 3.0), (1.0, -1.0))
    values = np.random.default_rng(0).normal(size=(2, *points))
    there = np.stack([np.asarray(c).ravel() for c in grid.coordinates()])
    found = _Spectrum(grid).at(values, there)
    np.testing.assert_allclose(found.reshape(values.shape), values, atol=1e-13)


def test_a_metric_that_is_conformal_already_stays():
    torus = Torus(Grid.torus((24, 24), (2.0, 3.0), (1.0, -1.0)))
    g = ConformalMetric.from_function(torus, lambda x, y: 0.1 * np.cos(np.pi * x))
    found = uniformize(g.field(), shape=(24, 24))
    np.testing.assert_allclose(found.metric.u, g.u, atol=1e-13)
    np.testing.assert_allclose(found.metric.surface.flat, np.eye(2), atol=1e-13)


def not_periodic(x, y):
    return [[1 + x, 0.2 * y], [0.2 * y, 1 + y]]


@pytest.mark.parametrize(
    ("field", "error", "words"),
    [
        (3.0, DTypeError, "MetricField"),
        (MetricField.from_function(Grid.torus((12, 12, 12)), lambda *x: np.eye(3).tolist()),
         InvalidArgumentError, "two periodic axes"),
        (MetricField.from_function(Grid.box(0, 1, (12, 12)), lambda *x: np.eye(2).tolist()),
         InvalidArgumentError, "two periodic axes"),
        (MetricField.from_function(Grid.torus((12, 12)), lambda *x: [[-1.0, 0], [0, 1]],
                                   signature="lorentzian"),
         NotPositiveDefiniteError, "uniformize"),
        (MetricField.from_function(Grid.torus((32, 32)), not_periodic), InvalidArgumentError,
         r"differs from the given metric by 0\.\d+ of it.*periodic"),
    ],
)  # fmt: skip
def test_fields_that_have_no_conformal_form_here(field, error, words):
    with pytest.raises(error, match=words):
        uniformize(field)


def test_a_grid_that_is_almost_fine_enough_is_warned_about():
    def metric(x, y):
        return [[1 + 0.7 * np.sin(x + y), 0.1], [0.1, 1.3 + 0.7 * np.cos(x - 2 * y)]]

    residuals = []
    for points in (24, 36):
        field = MetricField.from_function(Grid.torus((points, points)), metric)
        with pytest.warns(UserWarning, match="differs") if points == 24 else nullcontext() as seen:
            residuals.append(uniformize(field, shape=(72, 72)).residual)
        assert [w.filename for w in seen or ()] == [__file__] * (points == 24)
    assert residuals[1] < 0.05 * residuals[0]
    assert residuals[0] > 1e-6
