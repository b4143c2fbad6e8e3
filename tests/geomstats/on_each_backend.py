"""The geomstats metrics, in whichever backend this process has: see ``test_backends.py``."""

import inspect

import geomstats.backend as gs
import numpy as np
import pytest
from geomstats.geometry.euclidean import Euclidean
from geomstats.learning.frechet_mean import FrechetMean
from geomstats.learning.pca import TangentPCA
from geomstats.test_cases.geometry.base import VectorSpaceOpenSetTestCase, VectorSpaceTestCase
from geomstats.test_cases.geometry.riemannian_metric import RiemannianMetricTestCase

import riemann_lne as rl
from riemann_lne.errors import InvalidArgumentError, NotPositiveDefiniteError, ShapeError
from riemann_lne_geomstats import HessianLNEMetric, HessianLNESpace, LNEMetric, LNESpace

TAU, DIM = 0.8, 3
SPACES = [LNESpace(DIM, TAU), HessianLNESpace(DIM, TAU)]
CORES = {LNESpace: rl.LNEMetric(TAU), HessianLNESpace: rl.HessianLNEMetric(TAU)}
# What geomstats' own tests take that need no data of ours.
GENERIC = {"n_points", "n_reps", "n_times", "n_vectors", "atol"}


@pytest.fixture(autouse=True)
def _seed():
    gs.random.seed(7)


def generic_tests(case):
    for name, function in inspect.getmembers(case, inspect.isfunction):
        names = list(inspect.signature(function).parameters)[1:]
        if name.startswith("test_") and names and set(names) <= GENERIC:
            yield pytest.param(case, name, names, id=f"{case.__name__}-{name}")


METRIC_TESTS = list(generic_tests(RiemannianMetricTestCase))


def run_generic(case, name, names, space):
    test = case()
    test.space = space
    test.setup_method()
    # torch is slow on small arrays
    for n in (3,) if gs.__name__.endswith("pytorch") else (1, 3):
        values = {"n_points": n, "n_reps": 2, "n_times": 1 + n, "n_vectors": n, "atol": 1e-7}
        getattr(test, name)(**{key: values[key] for key in names})


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(("case", "name", "names"), METRIC_TESTS)
def test_geomstats_own_tests_of_metrics(case, name, names, space):
    run_generic(case, name, names, space)


@pytest.mark.parametrize(("case", "name", "names"), generic_tests(VectorSpaceOpenSetTestCase))
def test_geomstats_own_tests_of_open_sets(case, name, names):
    run_generic(case, name, names, SPACES[0])


@pytest.mark.parametrize(("case", "name", "names"), generic_tests(VectorSpaceTestCase))
def test_geomstats_own_tests_of_vector_spaces(case, name, names):
    run_generic(case, name, names, SPACES[1])


def test_many_of_them_were_found():
    assert len(METRIC_TESTS) > 30


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
def test_the_numbers_are_the_cores(space):
    x, y = space.random_point(4), space.random_point(4)
    u, v, w = (gs.random.normal(size=(4, DIM)) for _ in range(3))
    host = [gs.to_numpy(a) for a in (x, y, u, v, w)]
    core, metric = CORES[type(space)], space.metric
    a, b, c, d, e = host
    pairs = [
        (metric.metric_matrix(x), core.matrix(a)),
        (metric.log(y, x), core.log(a, b)),
        (metric.exp(0.3 * metric.log(y, x), x), core.exp(a, 0.3 * core.log(a, b))),
        (metric.dist(x, y), core.distance(a, b)),
        (metric.squared_dist(x, y), core.distance(a, b) ** 2),
        (metric.curvature(u, v, w, x), core.riemann(a, c, d, e)),
        (metric.scalar_curvature(x), core.scalar_curvature(a)),
        (metric.sectional_curvature(u, v, x), core.sectional_curvature(a, c, d)),
        (metric.inner_product(u, v, x), np.sum(c * core.apply(a, d), axis=-1)),
    ]
    for ours, expected in pairs:
        assert type(ours) is type(x) or np.isscalar(ours)
        np.testing.assert_allclose(gs.to_numpy(ours), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
def test_tensors_fit_together(space):
    x, metric = space.random_point(2), space.metric
    g, inverse = metric.metric_matrix(x), metric.cometric_matrix(x)
    np.testing.assert_allclose(gs.to_numpy(gs.matmul(g, inverse)), [np.eye(DIM)] * 2, atol=1e-12)
    riemann = gs.to_numpy(metric.riemann_tensor(x))
    # geomstats: Ric_ik = R_ijk^j with its index order
    np.testing.assert_allclose(
        np.einsum("...ijkj->...ik", riemann), gs.to_numpy(metric.ricci_tensor(x)), atol=1e-10
    )
    u, v, w = (gs.to_numpy(gs.random.normal(size=(DIM,))) for _ in range(3))
    np.testing.assert_allclose(
        np.einsum("...ijkl,j,k,i->...l", riemann, u, v, w),
        gs.to_numpy(metric.curvature(gs.array(u), gs.array(v), gs.array(w), x)),
        atol=1e-11,
    )
    # the derivative of the metric by differences
    h = 1e-5
    derivative = gs.to_numpy(metric.inner_product_derivative_matrix(x))
    for k in range(DIM):
        e = gs.array(h * np.eye(DIM)[k])
        difference = (metric.metric_matrix(x + e) - metric.metric_matrix(x - e)) / (2 * h)
        np.testing.assert_allclose(derivative[..., k], gs.to_numpy(difference), atol=1e-8)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
def test_frechet_mean(space):
    points = space.random_point(8)
    estimator = FrechetMean(space).set(max_iter=200, epsilon=1e-13)
    mean = estimator.fit(points).estimate_
    assert bool(gs.all(space.belongs(mean)))
    gradient = gs.mean(space.metric.log(points, mean), axis=0)
    assert float(space.metric.norm(gradient, mean)) < 1e-6
    if isinstance(space, HessianLNESpace):
        core = CORES[HessianLNESpace]
        flat = np.mean(core.to_flat(gs.to_numpy(points)), axis=0)
        np.testing.assert_allclose(gs.to_numpy(mean), core.from_flat(flat), atol=1e-7)
    else:
        assert float(gs.sum(gs.abs(mean - gs.mean(points, axis=0)))) > 1e-4


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
def test_tangent_pca(space):
    """Points along one geodesic have one principal component."""
    try:
        TangentPCA(Euclidean(2)).fit(gs.random.normal(size=(5, 2)))
    except TypeError as error:
        pytest.skip(f"geomstats' TangentPCA fails on its own Euclidean space here: {error}")
    x, y = space.random_point(2)
    points = space.metric.geodesic(x, end_point=y)(gs.linspace(0.0, 1.0, 9))
    pca = TangentPCA(space, n_components=2)
    pca.fit(points, base_point=x)
    assert float(pca.explained_variance_ratio_[0]) > 1.0 - 1e-8
    again = pca.inverse_transform(pca.transform(points))
    np.testing.assert_allclose(gs.to_numpy(again), gs.to_numpy(points), atol=1e-6)


def test_injectivity_radius_of_the_hessian_metric():
    space = SPACES[1]
    x = space.random_point()
    radius = float(space.metric.injectivity_radius(x))
    flat = CORES[HessianLNESpace].to_flat(gs.to_numpy(x))
    k = int(np.argmax(np.abs(flat)))
    v = np.zeros(DIM)
    v[k] = np.sign(flat[k])
    v = gs.array(v)
    v = v / space.metric.norm(v, x)
    space.metric.exp(0.999 * radius * v, x)
    with pytest.raises(InvalidArgumentError, match="leaves"):
        space.metric.exp(1.001 * radius * v, x)


def test_bad_input():
    space = LNESpace(2, 1.0)
    good, outside = gs.array([0.1, 0.2]), gs.array([[0.1, 0.1], [2.0, 2.0]])
    with pytest.raises(NotPositiveDefiniteError, match=r"batch index \(1,\)"):
        space.metric.log(good, outside)
    with pytest.raises(InvalidArgumentError, match="leaves weight space"):
        space.metric.exp(30.0 * good, good)
    with pytest.raises(ShapeError):
        space.metric.log(gs.array([0.1, 0.2, 0.3]), good)
    with pytest.raises(InvalidArgumentError, match="either a direction or an end_point"):
        space.metric.parallel_transport(good, good)
    for tau in (0.0, -1.0, float("nan")):
        for make in (LNESpace, HessianLNESpace):
            with pytest.raises(InvalidArgumentError, match="tau must be"):
                make(2, tau)
    with pytest.raises(InvalidArgumentError, match="bound"):
        space.random_point(2, bound=1.0)
    for metric in (LNEMetric, HessianLNEMetric):
        with pytest.raises(InvalidArgumentError, match="has no tau"):
            metric(Euclidean(2))
    assert not bool(gs.all(space.belongs(gs.array([1.0, 1.0, 1.0]))))
    assert bool(gs.all(space.belongs(space.projection(outside))))
