"""Geodesics of the LNE metric: against references, and by properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from riemann_lne.errors import (
    ConvergenceError,
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    RiemannLNEError,
    ShapeError,
)
from riemann_lne.lne import HessianLNEMetric, LNEMetric

TAU = 0.8


def points(rng, shape, highest=0.9, tau=TAU):
    """Weights with |tanh(tau x)|^2 spread over (0, highest): every second block near an axis."""
    z = rng.standard_normal(shape)
    z[..., ::2] *= rng.integers(1, 30, size=(*shape[:-1], 1)) ** 0.5
    r = np.sqrt(highest * rng.uniform(0.01, 1.0, size=shape[:-1]))
    t = z / np.linalg.norm(z, axis=-1, keepdims=True) * r[..., None]
    return np.arctanh(t) / tau


def length(metric, x, v):
    return np.sqrt(np.sum(v * metric.apply(x, v), axis=-1))


def test_exp_against_scipy():
    x, v = np.asarray([0.3, -0.2, 0.5]), np.asarray([0.25, 0.2, -0.3])
    metric = LNEMetric(TAU)

    def rhs(_, state):
        point, velocity = state[:3], state[3:]
        return np.concatenate([velocity, -metric.christoffel(point, velocity, velocity)])

    path = solve_ivp(
        rhs, (0.0, 1.0), np.concatenate([x, v]), method="DOP853", rtol=1e-13, atol=1e-15
    )
    np.testing.assert_allclose(metric.exp(x, v), path.y[:3, -1], rtol=1e-10)
    assert np.max(np.abs(path.y[:3, -1] - (x + v))) > 1e-2


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_speed_is_constant(n):
    """Along the geodesic, by differences that know nothing of the velocity inside."""
    rng = np.random.default_rng(n)
    x, y = points(rng, (2, 5, n))
    metric = LNEMetric(TAU)
    v = metric.log(x, y)
    speed = length(metric, x, v)
    for share in (0.25, 0.5, 1.0):
        # transport takes the velocity to the velocity
        there = metric.exp(x, share * v)
        velocity = metric.transport(x, share * v, v)
        np.testing.assert_allclose(length(metric, there, velocity), speed, rtol=1e-9)
    h = 1e-4
    at = metric.geodesic(x, v, [0.5 - h, 0.5 + h])
    np.testing.assert_allclose(
        length(metric, metric.exp(x, 0.5 * v), (at[:, 1] - at[:, 0]) / (2 * h)), speed, rtol=1e-5
    )


@pytest.mark.parametrize("n", [2, 3, 10, 200])
@pytest.mark.parametrize("highest", [0.5, 0.95])
def test_log_undoes_exp_and_exp_undoes_log(n, highest):
    rng = np.random.default_rng(n)
    x, y = points(rng, (2, 10, n), highest)
    metric = LNEMetric(TAU)
    v = metric.log(x, y)
    np.testing.assert_allclose(metric.exp(x, v), y, rtol=1e-8, atol=1e-8)
    share = 0.9 * v
    again = metric.log(x, metric.exp(x, share))
    error = np.linalg.norm(again - share, axis=-1) / np.linalg.norm(share, axis=-1)
    assert np.max(error) < 1e-8


def test_next_to_each_other_and_at_the_same_point():
    rng = np.random.default_rng(0)
    x = points(rng, (6, 4))
    v = rng.standard_normal((6, 4))
    metric = LNEMetric(TAU)
    for size in (1e-3, 1e-7):
        y = x + size * v
        np.testing.assert_allclose(metric.log(x, y), y - x, rtol=20 * size, atol=5 * size**2)
        np.testing.assert_allclose(metric.distance(x, y), length(metric, x, y - x), rtol=10 * size)
    np.testing.assert_array_equal(metric.log(x, x), 0.0 * x)
    np.testing.assert_array_equal(metric.distance(x, x), 0.0)
    np.testing.assert_array_equal(metric.exp(x, 0.0 * x), x)


@settings(max_examples=10)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_the_distance_is_a_distance(n, seed):
    """Symmetry and the triangle inequality: 10 times 100 random triples."""
    x, y, z = points(np.random.default_rng(seed), (3, 100, n), 0.7)
    metric = LNEMetric(TAU)
    xy, yz, xz = metric.distance(x, y), metric.distance(y, z), metric.distance(x, z)
    np.testing.assert_array_equal(metric.distance(y, x), xy)
    assert np.all(xy > 0.0)
    # the error of a distance is that of shooting, 3e-11
    assert np.all(xz <= (xy + yz) * (1.0 + 1e-10))
    # shorter than any other path: the straight line in the coordinates t, where it is inside
    share = np.linspace(0.0, 1.0, 201)[:, None, None]
    path = np.arctanh((1 - share) * np.tanh(TAU * x) + share * np.tanh(TAU * y)) / TAU
    middle, step = (path[1:] + path[:-1]) / 2, np.diff(path, axis=0)
    assert np.all(xy <= np.sum(length(metric, middle, step), axis=0) * (1.0 + 1e-3))


def test_equality_in_the_triangle_along_a_geodesic():
    x, y = points(np.random.default_rng(5), (2, 8, 6))
    metric = LNEMetric(TAU)
    middle = metric.geodesic(x, metric.log(x, y), [0.3])[:, 0]
    parts = metric.distance(x, middle) + metric.distance(middle, y)
    np.testing.assert_allclose(parts, metric.distance(x, y), rtol=1e-10)


def test_on_the_axis_it_is_the_geometry_of_one_weight():
    x, y = np.zeros((2, 5))
    x[2], y[2] = -1.3, 0.9
    one = HessianLNEMetric(TAU)
    assert LNEMetric(TAU).distance(x, y) == pytest.approx(one.distance(x, y), rel=1e-10, abs=0.0)
    np.testing.assert_allclose(LNEMetric(TAU).log(x, y), one.log(x, y), rtol=1e-9, atol=1e-12)
    for function in ("log", "distance"):
        np.testing.assert_array_equal(
            getattr(LNEMetric(TAU), function)(x[2:3], y[2:3]),
            getattr(one, function)(x[2:3], y[2:3]),
        )


def test_radial_geodesics_of_equal_weights():
    """Equal weights lie on a curve of fixed points: an integral of one variable."""
    n = 16
    ends = np.asarray([-0.25, 0.3])
    nodes, weights = np.polynomial.legendre.leggauss(60)
    a = 0.5 * (ends[1] - ends[0]) * nodes + 0.5 * (ends[0] + ends[1])
    integrand = np.sqrt(n * (1.0 - n * np.tanh(TAU * a) ** 2))
    expected = 0.5 * (ends[1] - ends[0]) * (weights @ integrand)
    x, y = (np.full(n, end) for end in ends)
    assert LNEMetric(TAU).distance(x, y) == pytest.approx(expected, rel=1e-9, abs=0.0)


# |t|^2 of ends next to the boundary, up to that of the public case.
EDGES = [0.98, 0.999, 0.9999]


def at_the_edge(rng, shape, norm2):
    """Directions spread as in points, all with one |t|^2."""
    t = np.tanh(points(rng, shape, tau=1.0))
    t *= np.sqrt(norm2) / np.linalg.norm(t, axis=-1, keepdims=True)
    return np.arctanh(t) / TAU


@pytest.mark.parametrize("edge", EDGES)
def test_distance_next_to_the_boundary_against_an_integral(edge):
    """Equal weights, as above, the end at the edge; by substitution of |t|^2 = sin^2 no root."""
    for n in (2, 16):
        angles = np.asarray([-0.7, np.arcsin(np.sqrt(edge))])
        nodes, weights = np.polynomial.legendre.leggauss(100)
        half = 0.5 * (angles[1] - angles[0])
        angle = half * nodes + np.mean(angles)
        # a = artanh(sin(angle)/sqrt n)/tau, the speed is sqrt(n) cos(angle)
        slope = np.cos(angle) / np.sqrt(n) / (1.0 - np.sin(angle) ** 2 / n) / TAU
        expected = half * (weights @ (np.sqrt(n) * np.cos(angle) * slope))
        x, y = (np.full(n, np.arctanh(np.sin(a) / np.sqrt(n)) / TAU) for a in angles)
        metric = LNEMetric(TAU)
        assert metric.distance(x, y) == pytest.approx(expected, rel=1e-10, abs=0.0)
        # x(end) moves like the root of the gap: exp cannot be better than that
        np.testing.assert_allclose(metric.exp(x, metric.log(x, y)), y, rtol=1e-8)


@pytest.mark.parametrize("edge", EDGES[1:])
@pytest.mark.parametrize("n", [2, 10])
def test_log_next_to_the_boundary(n, edge):
    """Both ends at the edge, one of them, and a weight near infinity (a narrow corner)."""
    rng = np.random.default_rng([n, int(1e4 * edge)])
    x = at_the_edge(rng, (5, n), edge)
    y = np.concatenate([at_the_edge(rng, (3, n), edge), points(rng, (2, n))])
    corner = np.full(n, 0.3 * np.sqrt((1.0 - edge) / (n - 1)))
    corner[0] = -np.sqrt(edge - (n - 1) * corner[1] ** 2)
    x[1] = np.arctanh(corner) / TAU
    metric = LNEMetric(TAU)
    v = metric.log(x, y)
    there = metric.exp(x, v)
    # measured: 3e-10 of the length of the geodesic, in g as in the plain norm
    assert np.max(np.linalg.norm(there - y, axis=-1)) < 1e-8
    distance = metric.distance(x, y)
    np.testing.assert_array_equal(metric.distance(y, x), distance)
    np.testing.assert_allclose(distance, length(metric, x, v), rtol=1e-9)


def test_newton_and_secants_find_the_same_geodesics(monkeypatch):
    """Two solvers that share the first guess alone, with one tau for each block too."""
    rng = np.random.default_rng(11)
    x, y = points(rng, (2, 4, 5), 0.97)
    tau = TAU * np.asarray([1.0, 0.5, 0.9, 1.0])
    by_newton = [LNEMetric(t).log(x, y) for t in (TAU, tau)]
    monkeypatch.setattr("riemann_lne.lne._halves._MOST_WEIGHTS", 0)
    for t, v in zip((TAU, tau), by_newton, strict=True):
        np.testing.assert_allclose(v, LNEMetric(t).log(x, y), rtol=1e-8, atol=1e-8)


def test_work_next_to_the_boundary_is_bounded(monkeypatch):
    """Evaluations of t, D counted: about 2000 at |t|^2 = 0.9999."""
    calls = []
    t_and_d = LNEMetric._t_and_d

    def counted(self, xp, x):
        calls.append(1)
        return t_and_d(self, xp, x)

    monkeypatch.setattr(LNEMetric, "_t_and_d", counted)
    for edge in EDGES:
        calls.clear()
        ends = (np.arctanh(np.sqrt(edge / 2) * np.asarray([1.0, s])) for s in (1.0, -1.0))
        LNEMetric(1.0).log(*ends)
        assert len(calls) < 5000


def test_a_path_with_a_cusp_is_no_geodesic():
    """Halves that meet behind a cusp satisfy all equations; the angle tells."""
    from riemann_lne.arrays import namespace
    from riemann_lne.lne._halves import _Pairs, _polished

    # outwards to the boundary and back from there: shot so, and seen from its end
    metric, xp = LNEMetric(TAU), namespace(np.zeros(1))
    x = np.arctanh(np.asarray([[0.6, 0.5]])) / TAU
    pairs = _Pairs.of(metric, xp, x, x)
    out = np.asarray([[0.9, 0.3]])
    for size, straight in ((0.3, True), (2.5, False)):
        w = size * np.stack([out, out])
        u, m, _, _ = pairs.halves(w[:, None], 1e-12, 0.1)
        y, back = x + u[0, 0], -m[0, 0]
        # the momentum at y as a velocity in the frame there, over the second half of nothing
        far = _Pairs.of(metric, xp, x, y)
        t = np.tanh(TAU * y)
        frame = back + t * np.sum(t * back) / np.sqrt(1 - np.sum(t * t)) / (
            1 + np.sqrt(1 - np.sum(t * t))
        )
        w = np.stack([0.5 * w[0], 0.5 * frame])
        found = _polished(far, w, 1e-11)
        assert bool(np.isfinite(found.misfit[0])) is straight


def test_transport_is_an_isometry_and_comes_back():
    rng = np.random.default_rng(2)
    x, y = points(rng, (2, 6, 7))
    u, w = rng.standard_normal((2, 6, 7))
    metric = LNEMetric(TAU)
    v = metric.log(x, y)
    a, b = metric.transport(x, v, u), metric.transport(x, v, w)
    np.testing.assert_allclose(
        np.sum(a * metric.apply(y, b), axis=-1), np.sum(u * metric.apply(x, w), axis=-1), atol=1e-9
    )
    assert np.max(np.abs(a - u)) > 1e-2
    back = metric.transport(y, -metric.transport(x, v, v), a)
    np.testing.assert_allclose(back, u, atol=1e-8)


def test_transport_around_a_small_square_shows_the_curvature():
    """Holonomy e^2 R(u, v) w, the definition of curvature; nothing else in common with it."""
    metric = LNEMetric(TAU)
    x = np.asarray([0.3, -0.4, 0.5])
    u, v, w = np.eye(3)[[0, 1, 0]]
    errors = []
    for size in (0.04, 0.02):
        a = w
        for leg in (u, v, -u, -v):
            a, x = _along(metric, x, size * leg, a)
        errors.append((a - w) / size**2)
    # the loop is traced as u, v, -u, -v: the vector turns by -R(u, v) w
    expected = -metric.riemann(x, u, v, w)
    extrapolated = 2 * errors[1] - errors[0]
    assert np.max(np.abs(expected)) > 0.1
    np.testing.assert_allclose(extrapolated, expected, atol=0.02 * np.max(np.abs(expected)))


def _along(metric, x, step, w):
    """Parallel transport along the straight coordinate line from x, by small geodesic pieces."""
    pieces = 20
    for _ in range(pieces):
        y = x + step / pieces
        w = metric.transport(x, metric.log(x, y), w)
        x = y
    return w, x


def test_times_of_a_geodesic():
    x, v = np.asarray([0.3, -0.2, 0.5]), np.asarray([0.25, 0.2, -0.3])
    for metric in (LNEMetric(TAU), HessianLNEMetric(TAU)):
        times = [0.7, -0.4, 0.0, 0.2]
        path = metric.geodesic(x, v, times)
        assert path.shape == (4, 3)
        for time_, point in zip(times, path, strict=True):
            np.testing.assert_allclose(point, metric.exp(x, time_ * v), rtol=1e-9)
        assert metric.geodesic(np.stack([x, x]), v, times).shape == (2, 4, 3)


def test_hessian_transport_against_its_equation():
    x, v, w = np.random.default_rng(3).standard_normal((3, 4))
    metric = HessianLNEMetric(TAU)
    v = 0.5 * v

    def rhs(_, state):
        point, velocity, vector = np.split(state, 3)
        turn = -metric.christoffel(point, velocity, vector)
        return np.concatenate([velocity, -metric.christoffel(point, velocity, velocity), turn])

    path = solve_ivp(rhs, (0.0, 1.0), np.concatenate([x, v, w]), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(metric.transport(x, v, w), path.y[8:, -1], atol=1e-8)


def a_million():
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 1_000_000))
    x *= np.sqrt(0.4) / np.linalg.norm(x) / TAU
    v *= 0.3 / np.linalg.norm(v) / TAU
    return x, v


def test_a_million_weights():  # a matrix of this size would take 8 terabytes
    x, v = a_million()
    metric = LNEMetric(TAU)
    y = metric.exp(x, v)
    assert length(metric, y, metric.transport(x, v, v)) == pytest.approx(
        length(metric, x, v), rel=1e-9, abs=0.0
    )
    assert np.linalg.norm(y - x - v) > 1e-3


@pytest.mark.slow
def test_log_of_a_million_weights():
    x, v = a_million()
    metric = LNEMetric(TAU)
    back = metric.log(x, metric.exp(x, v))
    assert np.linalg.norm(back - v) < 1e-8 * np.linalg.norm(v)


def test_leaving_weight_space_is_an_error(backend):
    metric = LNEMetric(TAU)
    x = np.asarray([[0.1, 0.2], [0.3, -0.1]])
    v = np.asarray([[0.1, 0.0], [3.0, 1.0]])
    with pytest.raises(
        InvalidArgumentError, match=r"batch index \(1,\) leaves .* at about 0\.[1-9]"
    ):
        metric.exp(backend(x), backend(v))
    with pytest.raises(InvalidArgumentError, match="shorter step"):
        metric.transport(backend(x), backend(v), backend(v))
    result = np.asarray(metric.exp(backend(x), backend(v), check=False))
    assert np.all(np.isnan(result[1]))
    np.testing.assert_allclose(result[0], metric.exp(x[0], v[0]), rtol=1e-9)
    assert np.all(np.isfinite(metric.exp(x[1], 0.1 * v[1])))


def test_the_time_of_leaving_is_where_the_gap_closes():
    metric = LNEMetric(TAU)
    x, v = np.zeros(2), np.asarray([1.0, 1.0])
    with pytest.raises(InvalidArgumentError) as caught:
        metric.exp(x, 10.0 * v)
    named = float(str(caught.value).split("at about ")[1].split()[0])
    # on the diagonal the length to the boundary is an integral of one variable
    end = np.arctanh(np.sqrt(0.5)) / TAU
    nodes, weights = np.polynomial.legendre.leggauss(400)
    a = 0.5 * end * (nodes + 1)
    whole = 0.5 * end * (weights @ np.sqrt(2 * (1 - 2 * np.tanh(TAU * a) ** 2)))
    assert named == pytest.approx(whole / (10 * np.sqrt(2)), rel=2e-3, abs=0.0)
    assert np.all(np.isfinite(metric.exp(x, 0.99 * v * whole / np.sqrt(2))))


def test_bad_input():
    metric = LNEMetric(1.0)
    good, outside = np.full((2, 3), 0.2), np.full((2, 3), 0.2)
    outside[1] = 3.0
    for call in (
        lambda: metric.exp(outside, good),
        lambda: metric.log(outside, good),
        lambda: metric.log(good, outside),
        lambda: metric.distance(good, outside),
        lambda: metric.transport(outside, good, good),
        lambda: metric.geodesic(outside, good, [0.5]),
    ):
        with pytest.raises(NotPositiveDefiniteError, match=r"batch index \(1,\)"):
            call()
    broken = good.copy()
    broken[1, 2] = np.nan
    with pytest.raises(NotFiniteError, match=r"v is not finite: nan at index \(1, 2\)"):
        metric.exp(good, broken)
    with pytest.raises(NotFiniteError, match=r"y is not finite"):
        metric.log(good, broken)
    with pytest.raises(ShapeError, match="differ in length"):
        metric.log(good, np.ones(4))
    with pytest.raises(InvalidArgumentError, match="times must be"):
        metric.geodesic(good, good, [])
    with pytest.raises(InvalidArgumentError, match="rtol must lie"):
        metric.exp(good, good, rtol=0.0)


@pytest.mark.parametrize("most", [0, 256], ids=["secants", "newton"])
def test_shooting_that_does_not_arrive_says_so(most, monkeypatch):
    monkeypatch.setattr("riemann_lne.lne._shooting._ITERATIONS", 1)
    monkeypatch.setattr("riemann_lne.lne._halves._ITERATIONS", 1)
    monkeypatch.setattr("riemann_lne.lne._halves._MOST_WEIGHTS", most)
    x, y = np.asarray([[0.1, 0.2], [0.3, -0.8]]), np.asarray([[0.1, 0.2], [-0.7, 0.2]])
    with pytest.raises(ConvergenceError, match=r"batch index \(1,\).*missed by 0.*\|t\|\^2"):
        LNEMetric(1.0).log(x, y)
    assert issubclass(ConvergenceError, RiemannLNEError)
    lost = LNEMetric(1.0).log(x, y, check=False)
    assert np.all(np.isnan(lost[1]))
    np.testing.assert_array_equal(lost[0], 0.0)


def test_gradient_of_the_distance(torch):
    x, y = (torch.asarray(a).requires_grad_() for a in points(np.random.default_rng(1), (2, 3, 4)))
    metric = LNEMetric(TAU)
    metric.distance(x, y).sum().backward()
    host_x, host_y = x.detach().numpy(), y.detach().numpy()
    direction = np.random.default_rng(2).standard_normal((2, 3, 4))
    h = 1e-5
    ends = [
        np.sum(metric.distance(host_x + s * h * direction[0], host_y + s * h * direction[1]))
        for s in (1, -1)
    ]
    slope = np.sum(x.grad.numpy() * direction[0] + y.grad.numpy() * direction[1])
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-8)


def test_sets_of_bounded_norm2_are_convex():
    """The gap has no minimum inside a geodesic, which is why log exists everywhere."""
    x, y = points(np.random.default_rng(8), (2, 40, 5), 0.97)
    metric = LNEMetric(TAU)
    path = metric.geodesic(x, metric.log(x, y), np.linspace(0.0, 1.0, 21))
    inside = metric.norm2(path)
    ends = np.maximum(inside[:, 0], inside[:, -1])
    assert np.all(np.max(inside, axis=1) <= ends * (1.0 + 1e-9))
    # and the height of the graph is a convex function along it
    height = metric.embedding(path)[..., -1]
    assert np.all(np.diff(height, 2, axis=1) > 0.0)
