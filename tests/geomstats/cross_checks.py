"""Curvature both ways: our grids against geomstats' spaces, our closed forms against autograd."""

import geomstats.backend as gs
import numpy as np
import pytest
from geomstats.geometry.euclidean import Euclidean
from geomstats.geometry.hypersphere import Hypersphere
from geomstats.geometry.poincare_ball import PoincareBall
from geomstats.geometry.riemannian_metric import RiemannianMetric
from geomstats.geometry.spd_matrices import SPDAffineMetric, SPDMatrices

import riemann_lne as rl
from riemann_lne_geomstats import HessianLNESpace, LNESpace


class Charted(RiemannianMetric):
    """A metric on R^n given by a function of points in geomstats' own operations."""

    def __init__(self, n, matrix):
        super().__init__(Euclidean(n, equip=False))
        self._matrix = matrix

    def metric_matrix(self, base_point=None):
        return self._matrix(base_point)


# --- our grids against geomstats' spaces: in a chart, at the middle of a box ---


def sphere_chart(x):
    """The stereographic chart of the unit sphere and its tangent vectors, shape (..., n, n + 1)."""
    r2 = gs.sum(x**2, axis=-1)[..., None]
    point = gs.concatenate([2 * x, r2 - 1], axis=-1) / (1 + r2)
    n = x.shape[-1]
    tangents = []
    for i in range(n):
        e = gs.array(np.eye(n + 1)[i])
        pole = gs.array(np.eye(n + 1)[n])
        xi = x[..., i : i + 1]
        tangents.append((2 * e + 2 * xi * pole - 2 * xi * point) / (1 + r2))
    return point, gs.stack(tangents, axis=-2)


def sphere(n):
    metric = Hypersphere(n).metric

    def matrix(x):
        _, v = sphere_chart(x)
        rows = [
            gs.stack([metric.inner_product(v[..., i, :], v[..., j, :]) for j in range(n)], axis=-1)
            for i in range(n)
        ]
        return gs.stack(rows, axis=-2)

    def curvature(x):
        """<R(d_i, d_j) d_k, d_l> by geomstats' closed form."""
        point, v = sphere_chart(x)
        r = np.zeros((n,) * 4)
        for i, j, k, l in np.ndindex(*r.shape):
            r[i, j, k, l] = metric.inner_product(
                metric.curvature(v[i], v[j], v[k], point), v[l], point
            )
        return r

    return matrix, curvature


def by_autograd(n, matrix):
    charted = Charted(n, matrix)

    def curvature(x):
        # geomstats: [i, j, k, l] is dx^l(R(X_j, X_k) X_i)
        return np.einsum("kijm,ml->ijkl", charted.riemann_tensor(x), charted.metric_matrix(x))

    return curvature


def hyperbolic(n):
    def matrix(x):
        return PoincareBall(n).metric.metric_matrix(x)

    return matrix, by_autograd(n, matrix)


def spd():
    space = SPDMatrices(2, equip=False)
    metric = SPDAffineMetric(space)
    basis = gs.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])

    def matrix(x):
        point = gs.eye(2) + gs.einsum("...i,ijk->...jk", x, basis)
        rows = [
            gs.stack([metric.inner_product(a, b, point) for b in basis], axis=-1) for a in basis
        ]
        return gs.stack(rows, axis=-2)

    return matrix, by_autograd(3, matrix)


CASES = {
    "sphere 2": (2, sphere(2)),
    "sphere 3": (3, sphere(3)),
    "hyperbolic 2": (2, hyperbolic(2)),
    "hyperbolic 3": (3, hyperbolic(3)),
    "SPD matrices": (3, spd()),
}


def on_a_grid(n, matrix, points, order):
    """<R(d_i, d_j) d_k, d_l> at the middle of a box around (0.1, ..., 0.1), from our grids."""
    grid = rl.Grid.box(-0.2, 0.4, (points,) * n)
    x = np.stack([np.broadcast_to(c, grid.shape) for c in grid.coordinates()], axis=-1)
    g = np.moveaxis(np.asarray(matrix(x)), (-2, -1), (0, 1)).copy()
    middle = (slice(None),) * 4 + (points // 2,) * n
    # ours: R^l_ijk is the l-th component of R(d_i, d_j) d_k
    riemann = rl.curvature.riemann(g, grid, order=order)[middle]
    return np.einsum("mijk,ml->ijkl", riemann, g[(slice(None),) * 2 + (points // 2,) * n])


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("name", CASES)
def test_grid_curvature(name, order):
    n, (matrix, curvature) = CASES[name]
    x = gs.array(np.full(n, 0.1))
    expected = np.asarray(curvature(x))
    sizes = (13, 25) if n == 3 else (17, 33)
    errors = [np.max(np.abs(on_a_grid(n, matrix, points, order) - expected)) for points in sizes]
    assert np.max(np.abs(expected)) > 0.1
    assert errors[1] < 3e-2 * np.max(np.abs(expected))
    slope = np.log2(errors[0] / errors[1])
    # fine enough for the leading term, coarse enough for rounding not to matter
    assert abs(slope - order) < 0.35, (slope, errors)


def test_scalar_curvature_of_known_spaces():
    for name, value in (("sphere 3", 6.0), ("hyperbolic 3", -6.0)):
        n, (matrix, _) = CASES[name]
        grid = rl.Grid.box(-0.2, 0.4, (25,) * n)
        x = np.stack([np.broadcast_to(c, grid.shape) for c in grid.coordinates()], axis=-1)
        g = np.moveaxis(np.asarray(matrix(x)), (-2, -1), (0, 1)).copy()
        scalar = rl.curvature.scalar_curvature(g, grid, order=6)
        assert scalar[12, 12, 12] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", ["hyperbolic 2", "hyperbolic 3"])
def test_christoffel_symbols_against_closed_form_geodesics(name):
    """x'' = -Gamma(v, v) along geomstats' closed-form exponential map."""
    n, (matrix, _) = CASES[name]
    points = 25
    grid = rl.Grid.box(-0.2, 0.4, (points,) * n)
    x = np.stack([np.broadcast_to(c, grid.shape) for c in grid.coordinates()], axis=-1)
    g = np.moveaxis(np.asarray(matrix(x)), (-2, -1), (0, 1)).copy()
    gamma = rl.curvature.christoffel(g, grid, order=6)[(slice(None),) * 3 + (points // 2,) * n]
    v = np.random.default_rng(0).standard_normal(n)
    start, h = np.full(n, 0.1), 1e-3
    metric = PoincareBall(n).metric
    ends = [np.asarray(metric.exp(gs.array(s * h * v), gs.array(start))) for s in (1, -1)]
    acceleration = (ends[0] - 2 * start + ends[1]) / h**2
    np.testing.assert_allclose(acceleration, -np.einsum("kij,i,j->k", gamma, v, v), rtol=1e-4)


# --- our closed forms against geomstats' derivatives of the same matrix ---


def lne_matrix(tau):
    def matrix(x):
        t = gs.tanh(tau * x)
        return gs.eye(x.shape[-1]) - t[..., :, None] * t[..., None, :]

    return matrix


def hessian_matrix(tau):
    def matrix(x):
        return gs.eye(x.shape[-1]) / gs.cosh(tau * x)[..., None] ** 2

    return matrix


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize(
    ("make", "matrix"), [(LNESpace, lne_matrix), (HessianLNESpace, hessian_matrix)]
)
def test_closed_forms_against_autograd(make, matrix, n):
    tau = 0.9
    space = make(n, tau)
    gs.random.seed(n)
    x = space.random_point()
    ours, auto = space.metric, Charted(n, matrix(tau))
    np.testing.assert_allclose(ours.metric_matrix(x), auto.metric_matrix(x), atol=1e-15)
    for name in (
        "cometric_matrix",
        "inner_product_derivative_matrix",
        "christoffels",
        "riemann_tensor",
        "covariant_riemann_tensor",
        "ricci_tensor",
        "scalar_curvature",
    ):
        expected = np.asarray(getattr(auto, name)(x))
        np.testing.assert_allclose(getattr(ours, name)(x), expected, atol=1e-10, err_msg=name)
        if make is LNESpace:
            assert np.max(np.abs(expected)) > 0.05, name
    u, v, w = (gs.random.normal(size=(n,)) for _ in range(3))
    np.testing.assert_allclose(ours.curvature(u, v, w, x), auto.curvature(u, v, w, x), atol=1e-10)
    np.testing.assert_allclose(
        ours.sectional_curvature(u, v, x), auto.sectional_curvature(u, v, x), atol=1e-10
    )
    state = gs.stack([x, u])
    np.testing.assert_allclose(
        ours.geodesic_equation(state), auto.geodesic_equation(state), atol=1e-10
    )
