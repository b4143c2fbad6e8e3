"""The geomstats metrics, in whichever backend this process has: see ``test_backends.py``."""

import copy
import inspect

import geomstats.backend as gs
import numpy as np
import pytest
from geomstats.geometry.euclidean import Euclidean
from geomstats.geometry.hypersphere import Hypersphere
from geomstats.geometry.nfold_manifold import NFoldManifold
from geomstats.geometry.product_manifold import ProductManifold
from geomstats.learning.frechet_mean import FrechetMean
from geomstats.learning.geodesic_regression import GeodesicRegression
from geomstats.learning.kmeans import RiemannianKMeans
from geomstats.learning.pca import TangentPCA
from geomstats.test_cases.geometry.base import VectorSpaceOpenSetTestCase, VectorSpaceTestCase
from geomstats.test_cases.geometry.riemannian_metric import RiemannianMetricTestCase

import riemann_lne as rl
from riemann_lne.errors import (
    ConvergenceError,
    InvalidArgumentError,
    NotPositiveDefiniteError,
    ShapeError,
)
from riemann_lne_geomstats import (
    HessianLNEMetric,
    HessianLNESpace,
    LNEFrechetMean,
    LNEGeodesicRegression,
    LNEMetric,
    LNESpace,
)

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


def gradient(space, points, mean, weights=None):
    """The length of the mean logarithm."""
    weights = gs.ones(len(points)) if weights is None else weights
    logs = space.metric.log(points, mean)
    return float(gs.linalg.norm(gs.einsum("n,n...->...", weights, logs))) / len(points)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
def test_frechet_mean(space):
    """The usual call: no step, tolerance or start is given."""
    points = space.random_point(5)
    mean = FrechetMean(space).fit(points).estimate_
    assert bool(gs.all(space.belongs(mean)))
    assert gradient(space, points, mean) < 1e-9
    if isinstance(space, HessianLNESpace):
        core = CORES[HessianLNESpace]
        flat = np.mean(core.to_flat(gs.to_numpy(points)), axis=0)
        np.testing.assert_allclose(gs.to_numpy(mean), core.from_flat(flat), atol=1e-7)
    else:
        assert float(gs.sum(gs.abs(mean - gs.mean(points, axis=0)))) > 1e-4


@pytest.mark.parametrize("space", SPACES, ids=lambda s: type(s).__name__)
def test_means_of_every_method(space):
    points, weights = space.random_point(3), gs.array([1.0, 0.5, 2.0])
    mean = FrechetMean(space).fit(points, weights=weights).estimate_
    assert gradient(space, points, mean, weights) < 1e-9
    other = FrechetMean(space, method="adaptive").set(init_point=points[1])
    again = other.fit(points, weights=weights).estimate_
    np.testing.assert_allclose(gs.to_numpy(again), gs.to_numpy(mean), atol=1e-8)
    columns = gs.stack([points, points[[1, 2, 0]]], axis=1)
    both = gs.stack([weights, weights[[1, 2, 0]]], axis=1)
    means = FrechetMean(space, method="batch").fit(columns, weights=both).estimate_
    np.testing.assert_allclose(gs.to_numpy(means), [gs.to_numpy(mean)] * 2, atol=1e-8)
    one = FrechetMean(space).fit(points[:1]).estimate_
    np.testing.assert_allclose(gs.to_numpy(one), gs.to_numpy(points[0]))
    assert isinstance(copy.deepcopy(other), LNEFrechetMean)
    assert not isinstance(FrechetMean(Hypersphere(2)), LNEFrechetMean)


def test_a_mean_with_few_steps_is_said(caplog):
    space = SPACES[0]
    FrechetMean(space).set(max_iter=1).fit(space.random_point(3))
    assert "Maximum number of iterations 1 reached" in caplog.text


def test_clusters():
    space = SPACES[1]
    ends = gs.array([[0.2, 0.3, -0.2], [-0.5, 0.1, 0.4]])
    points = gs.concatenate([e + 0.05 * space.random_point(4) for e in ends])
    found = RiemannianKMeans(space, n_clusters=2, init=ends).fit(points)
    for k, center in enumerate(found.cluster_centers_):
        assert gradient(space, points[4 * k : 4 * k + 4], center) < 1e-9


STARTS = [
    pytest.param(
        space,
        start,
        marks=[pytest.mark.slow] if space is SPACES[0] and start != "frechet" else [],
        id=f"{type(space).__name__}-{start}",
    )
    for space in SPACES
    for start in ("random", "data", "frechet", "warm_start")
]


class TestRegression:
    """geomstats' GeodesicRegression with its own starts, methods and weights."""

    T = np.linspace(-0.5, 0.5, 4)

    def data(self, space, size, noise=0.0):
        p, v = gs.array([0.1, -0.1, 0.2]), size * gs.array([1.0, 0.5, -0.5])
        y = space.metric.geodesic(p, initial_tangent_vec=v)(gs.array(self.T))
        return p, v, y + noise * gs.random.normal(size=y.shape)

    @pytest.mark.parametrize(("space", "start"), STARTS)
    def test_on_a_geodesic(self, space, start):
        p, v, y = self.data(space, 0.5)
        method = "riemannian" if start == "data" else "extrinsic"
        fit = GeodesicRegression(
            space,
            center_X=False,
            method=method,
            initialization=start,
            compute_training_score=True,
        )
        fit.fit(gs.array(self.T), y)
        np.testing.assert_allclose(gs.to_numpy(fit.intercept_), gs.to_numpy(p), atol=1e-8)
        np.testing.assert_allclose(gs.to_numpy(fit.coef_), gs.to_numpy(v), atol=1e-8)
        assert float(fit.training_score_) == pytest.approx(1.0, abs=1e-12)
        predicted = fit.predict(gs.array(self.T))
        np.testing.assert_allclose(gs.to_numpy(predicted), gs.to_numpy(y), atol=1e-8)

    @pytest.mark.parametrize("space", SPACES[1:], ids=lambda s: type(s).__name__)
    def test_beside_a_geodesic(self, space):
        """The loss does not decrease in any direction; its gradient is zero."""
        _, _, y = self.data(space, 0.4, noise=0.1)
        weights = gs.array([1.0, 2.0, 0.5, 1.5])
        times = gs.array(self.T)
        fit = GeodesicRegression(space, center_X=False, initialization="frechet")
        fit.fit(times, y, weights=weights)

        def loss(row):
            row = gs.array(row)
            ends = space.metric.exp(times[:, None] * row[DIM:], row[:DIM])
            return float(0.5 * gs.sum(weights * space.metric.squared_dist(ends, y)))

        best = np.concatenate([gs.to_numpy(fit.intercept_), gs.to_numpy(fit.coef_)])
        slopes = [(loss(best + s) - loss(best - s)) / 2e-4 for s in 1e-4 * np.eye(2 * DIM)]
        assert np.abs(slopes).max() < 1e-6
        assert loss(best) > 1e-3

    def test_what_is_refused(self):
        space = SPACES[0]
        _, _, y = self.data(space, 0.4)
        times = gs.array(self.T)
        far = gs.array([0.1, 0.1, 0.1]), gs.array([40.0, 0.0, 0.0])
        with pytest.raises(InvalidArgumentError, match="leaves weight space"):
            GeodesicRegression(space, initialization=far).fit(times, y)
        with pytest.raises(ConvergenceError, match=r"set\(max_iter=...\)"):
            GeodesicRegression(space).set(max_iter=1).fit(times, y)
        with pytest.raises(ValueError, match="initialization"):
            GeodesicRegression(space, initialization="far").fit(times, y)
        for other in (Hypersphere(2), ProductManifold([space, Hypersphere(2)])):
            assert not isinstance(GeodesicRegression(other), LNEGeodesicRegression)


PRODUCTS = {
    "equal shapes": lambda: ProductManifold([LNESpace(2, TAU), HessianLNESpace(2, TAU)]),
    "other shapes": lambda: ProductManifold([LNESpace(2, TAU), Euclidean(3), LNESpace(1, TAU)]),
    "with a sphere": lambda: ProductManifold([LNESpace(2, TAU), Hypersphere(2)]),
    "powers": lambda: NFoldManifold(LNESpace(2, TAU), 2),
}


@pytest.mark.parametrize("kind", PRODUCTS)
def test_products(kind):
    """Points, vectors, geodesics, means."""
    space = PRODUCTS[kind]()
    points, base = space.random_point(2), space.random_point()
    assert bool(gs.all(space.belongs(points)))
    assert space.random_tangent_vec(base, 2).shape == (2, *space.shape)
    vectors = space.metric.log(points, base)
    again = space.metric.exp(vectors, base)
    np.testing.assert_allclose(gs.to_numpy(again), gs.to_numpy(points), atol=1e-8)
    lengths = space.metric.norm(vectors, base)
    np.testing.assert_allclose(
        gs.to_numpy(space.metric.dist(points, base)), gs.to_numpy(lengths), rtol=1e-8
    )
    path = space.metric.geodesic(base, end_point=points[0])(gs.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(gs.to_numpy(path[-1]), gs.to_numpy(points[0]), atol=1e-8)
    mean = FrechetMean(space).fit(points).estimate_
    assert gradient(space, points, mean) < 1e-9


@pytest.mark.parametrize(
    "kind",
    [
        "other shapes",
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("equal shapes", "powers")),
    ],
)
def test_regressions_on_products(kind):
    space = PRODUCTS[kind]()
    base, vector = space.random_point(), 0.3 * space.random_point()
    times = gs.array([0.0, 0.5, 1.0])
    y = space.metric.geodesic(base, initial_tangent_vec=vector)(times)
    fit = GeodesicRegression(space, center_X=False, initialization="frechet").fit(times, y)
    assert isinstance(fit, LNEGeodesicRegression)
    np.testing.assert_allclose(gs.to_numpy(fit.intercept_), gs.to_numpy(base), atol=1e-7)
    np.testing.assert_allclose(gs.to_numpy(fit.coef_), gs.to_numpy(vector), atol=1e-7)


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
            with pytest.raises(InvalidArgumentError, match=r"tau = .*; give a finite number"):
                make(2, tau)
    with pytest.raises(InvalidArgumentError, match=r"dim = 2\.5"):
        LNESpace(2.5, 1.0)
    with pytest.raises(InvalidArgumentError, match="needs a base_point"):
        space.random_tangent_vec()
    with pytest.raises(InvalidArgumentError, match="at one base point alone"):
        space.random_tangent_vec(space.random_point(2), 2)
    with pytest.raises(InvalidArgumentError, match="bound"):
        space.random_point(2, bound=0.0)
    for metric in (LNEMetric, HessianLNEMetric):
        with pytest.raises(InvalidArgumentError, match="has no tau"):
            metric(Euclidean(2))
    assert not bool(gs.all(space.belongs(gs.array([1.0, 1.0, 1.0]))))
    assert bool(gs.all(space.belongs(space.projection(outside))))
