"""Curvature against formulas derived by SymPy, on data for which the differences are exact.

Trigonometric polynomials below the Nyquist wave number (Fourier) and polynomials of low degree
(finite differences on a box, closures included) have exact derivatives, so that a wrong sign, a
wrong factor or a swapped index cannot hide behind a truncation error: tolerances are rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp

from riemann_lne import Grid, MetricField, RicciDeTurckFlow, RicciFlow, curvature
from riemann_lne.errors import (
    DTypeError,
    GridTooSmallError,
    InvalidArgumentError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    ShapeError,
)
from riemann_lne.tensors import pack, unpack


def assert_close(value: np.ndarray, exact: np.ndarray, tolerance: float = 2e-12) -> None:
    assert value.shape == exact.shape
    scale = max(1.0, float(np.max(np.abs(exact))))
    assert float(np.max(np.abs(value - exact))) < tolerance * scale
    assert float(np.max(np.abs(exact))) > 1e-3  # the comparison must not be of nothing


# ---- the reference itself ------------------------------------------------------------------


def symbolic_ricci(metric: sp.Matrix, symbols: tuple[sp.Symbol, ...]) -> sp.Matrix:
    """Ric from the definition, in symbols from beginning to end."""
    n, inverse = len(symbols), metric.inv()
    rng = range(n)

    def gamma(k: int, i: int, j: int) -> sp.Expr:
        return sum(
            inverse[k, p]
            * (
                sp.diff(metric[p, j], symbols[i])
                + sp.diff(metric[p, i], symbols[j])
                - sp.diff(metric[i, j], symbols[p])
            )
            / 2
            for p in rng
        )

    G = [[[gamma(k, i, j) for j in rng] for i in rng] for k in rng]

    def riemann(l: int, i: int, j: int, k: int) -> sp.Expr:
        value = sp.diff(G[l][j][k], symbols[i]) - sp.diff(G[l][i][k], symbols[j])
        return value + sum(G[p][j][k] * G[l][i][p] - G[p][i][k] * G[l][j][p] for p in rng)

    return sp.Matrix(n, n, lambda j, k: sum(riemann(i, i, j, k) for i in rng))


def test_the_reference_knows_the_round_spheres(geometry_of: type) -> None:
    a, b, _ = symbols = sp.symbols("a b c")
    points = [np.array([0.7, 1.1]), np.array([0.9, 1.4]), np.array([0.2, 2.0])]
    sphere2 = np.array([[1, 0], [0, sp.sin(a) ** 2]], dtype=object)
    two = geometry_of(sphere2, symbols[:2], points[:2])
    assert np.allclose(two.ricci, two.g)
    sphere3 = np.array(
        [[1, 0, 0], [0, sp.sin(a) ** 2, 0], [0, 0, sp.sin(a) ** 2 * sp.sin(b) ** 2]], dtype=object
    )
    three = geometry_of(sphere3, symbols, points)
    assert np.allclose(three.ricci, 2 * three.g)
    assert np.allclose(three.scalar, 6)
    assert sp.simplify(symbolic_ricci(sp.Matrix(sphere2), symbols[:2]) - sp.Matrix(sphere2)) == (
        sp.zeros(2, 2)
    )


def test_ricci_agrees_with_a_derivation_in_symbols_from_end_to_end() -> None:
    x, y = symbols = sp.symbols("x y")
    metric = sp.Matrix(
        [
            [2 + sp.cos(x + y) / 3, sp.sin(x) / 4 + sp.cos(y) / 5],
            [sp.sin(x) / 4 + sp.cos(y) / 5, 1 + sp.sin(x - y) / 4],
        ]
    )
    grid = Grid.torus((7, 6), origin=0.2)
    points = grid.coordinates()
    exact = np.array(sp.lambdify(symbols, symbolic_ricci(metric, symbols))(*points))
    g = np.array(sp.lambdify(symbols, metric)(*points))
    assert_close(curvature.ricci(g, grid, "fourier"), exact)


# ---- every function against the reference, dimensions 2 to 4, all kinds of differences -------


def test_inverse_and_volume_element(exact: SimpleNamespace) -> None:
    ref = exact.geometry
    assert_close(curvature.inverse(exact.g, exact.grid), ref.on_grid(ref.inv))
    assert_close(curvature.volume_element(exact.g, exact.grid), ref.on_grid(np.sqrt(ref.det)))


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("christoffel", "gamma"),
        ("riemann", "riemann"),
        ("ricci", "ricci"),
        ("scalar_curvature", "scalar"),
    ],
)
def test_curvature_functions(exact: SimpleNamespace, name: str, attribute: str) -> None:
    ref = exact.geometry
    value = getattr(curvature, name)(exact.g, exact.grid, exact.order)
    assert_close(value, ref.on_grid(getattr(ref, attribute)), exact.noise)
    method = getattr(MetricField(exact.grid, exact.g), name)(exact.order)
    assert np.array_equal(method, value)


def test_einstein(exact: SimpleNamespace) -> None:
    value = curvature.einstein(exact.g, exact.grid, exact.order)
    reference = exact.geometry.on_grid(exact.geometry.einstein)
    if exact.n == 2:  # the Einstein tensor of every surface vanishes
        assert np.max(np.abs(value)) < exact.noise
        assert np.max(np.abs(reference)) < 1e-13
    else:
        assert_close(value, reference, exact.noise)


def test_lie_derivative(exact: SimpleNamespace) -> None:
    jet = exact.geometry.jet(exact.vector_symbolic)
    reference = exact.geometry.on_grid(exact.geometry.lie(jet.value, jet.d))
    v = exact.geometry.on_grid(jet.value)
    assert_close(curvature.lie_derivative(exact.g, v, exact.grid, exact.order), reference)


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved background"])
def test_deturck_vector(exact: SimpleNamespace, curved: bool) -> None:
    w, _ = exact.geometry.deturck(exact.background if curved else None)
    value = curvature.deturck_vector(
        exact.g, exact.grid, exact.gbar if curved else None, exact.order
    )
    assert_close(value, exact.geometry.on_grid(w))


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved background"])
def test_ricci_deturck_flow_is_minus_two_ric_plus_the_lie_derivative_along_w(
    exact: SimpleNamespace, curved: bool
) -> None:
    ref = exact.geometry
    w, dw = ref.deturck(exact.background if curved else None)
    reference = ref.on_grid(-2 * ref.ricci + ref.lie(w, dw))
    background = MetricField(exact.grid, exact.gbar) if curved else None
    rate = RicciDeTurckFlow(background).rhs(0.0, pack(exact.g), exact.grid, exact.order)
    assert_close(unpack(rate, exact.n), reference, exact.noise)


def test_ricci_flow_is_minus_two_ric(exact: SimpleNamespace) -> None:
    rate = RicciFlow().rhs(0.0, pack(exact.g), exact.grid, exact.order)
    reference = exact.geometry.on_grid(-2 * exact.geometry.ricci)
    assert_close(unpack(rate, exact.n), reference, exact.noise)


def test_laplace_beltrami(exact: SimpleNamespace) -> None:
    entries = np.array(exact.scalar_symbolic, dtype=object)
    jet = exact.geometry.jet(entries)
    value = curvature.laplacian(exact.g, exact.geometry.on_grid(jet.value), exact.grid, exact.order)
    reference = exact.geometry.on_grid(exact.geometry.laplacian(entries))
    assert_close(value, reference, exact.noise)


def test_lichnerowicz(exact: SimpleNamespace) -> None:
    h = exact.geometry.on_grid(exact.geometry.jet(exact.h_symbolic).value)
    value = curvature.lichnerowicz(exact.g, h, exact.grid, exact.order)
    reference = exact.geometry.on_grid(exact.geometry.lichnerowicz(exact.h_symbolic))
    assert_close(value, reference, exact.noise)
    # The operator commutes with traces: the metric itself is in its kernel.
    kernel = curvature.lichnerowicz(exact.g, exact.g, exact.grid, exact.order)
    assert np.max(np.abs(kernel)) < 10 * exact.noise


# ---- linearisation --------------------------------------------------------------------------


def derivative(f: Callable[[float], np.ndarray], eps: float = 2e-3) -> np.ndarray:
    """f'(0) by central differences of order 6."""
    return (
        45 * (f(eps) - f(-eps)) - 9 * (f(2 * eps) - f(-2 * eps)) + (f(3 * eps) - f(-3 * eps))
    ) / (60 * eps)


def test_lichnerowicz_is_the_linearised_ricci_deturck_flow_about_its_background(
    exact: SimpleNamespace,
) -> None:
    """About every g, Ricci-flat or not: W vanishes at h = 0, so that what -2 Ric lacks is L_W'.

    d(-2 Ric)[h] = Delta_L h - L_W' g with W'^k = g^pq dGamma^k_pq[h], and d(L_W g)[h] = L_W' g.
    """
    h = exact.geometry.on_grid(exact.geometry.jet(exact.h_symbolic).value)
    h = h / np.max(np.abs(h))
    flow = RicciDeTurckFlow(MetricField(exact.grid, exact.g))
    change = derivative(lambda e: flow.rhs(0.0, pack(exact.g + e * h), exact.grid, exact.order))
    image = curvature.lichnerowicz(exact.g, h, exact.grid, exact.order)
    assert_close(unpack(change, exact.n), image, 1e-8)


def test_without_the_deturck_term_the_linearisation_is_another() -> None:
    """The gauge directions h = L_V delta are in the kernel of linearised Ricci, not of Delta_L."""
    grid = Grid.torus((8, 8))
    x, y = grid.coordinates()
    flat = np.eye(2).reshape(2, 2, 1, 1) + np.zeros((2, 2, *grid.shape))
    v = np.stack([np.sin(x + y), np.cos(y)])
    h = curvature.lie_derivative(flat, v, grid, "fourier")
    change = derivative(lambda e: RicciFlow().rhs(0.0, pack(flat + e * h), grid, "fourier"), 1e-3)
    assert np.max(np.abs(change)) < 1e-9
    assert np.max(np.abs(curvature.lichnerowicz(flat, h, grid, "fourier"))) > 1.0


def pulled_back(grid: Grid, amplitude: float) -> np.ndarray:
    """J^T J with J = dF/dx, F a wave on top of the identity: the flat metric, other coordinates."""
    n, x = grid.ndim, grid.coordinates()
    J = np.zeros((n, n, *grid.shape))
    for k in range(n):
        J[k, k] += 1.0
        for i in range(n):
            phase = x[k] + x[(k + 1) % n] if i in (k, (k + 1) % n) else None
            if phase is not None:
                J[k, i] += amplitude * np.cos(phase + k)
    return np.einsum("ki...,kj...->ij...", J, J)


@pytest.mark.parametrize(("n", "size", "tolerance"), [(2, 12, 1e-13), (3, 8, 1e-13)])
def test_a_pulled_back_flat_metric_is_ricci_flat(n: int, size: int, tolerance: float) -> None:
    grid = Grid.torus((size,) * n)
    g = pulled_back(grid, 0.2)
    assert np.max(np.abs(g - np.eye(n).reshape(n, n, *(1,) * n))) > 0.3
    # J^T J holds modes up to 2 in each direction: its Fourier derivatives are exact.
    assert np.max(np.abs(curvature.riemann(g, grid, "fourier"))) < 100 * tolerance
    rate = RicciFlow().rhs(0.0, pack(g), grid, "fourier")
    assert np.max(np.abs(rate)) < 100 * tolerance


# ---- orders of convergence -----------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("box", [False, True], ids=["torus", "box"])
def test_ricci_converges_at_the_order_claimed(order: int, box: bool) -> None:
    x, y = symbols = sp.symbols("x y")
    metric = sp.Matrix(
        [
            [sp.exp(sp.cos(x + y) / 3), sp.sin(x + 2 * y) / 4],
            [sp.sin(x + 2 * y) / 4, sp.exp(sp.sin(x - y) / 4)],
        ]
    )
    ricci = sp.lambdify(symbols, symbolic_ricci(metric, symbols), cse=True)
    components = sp.lambdify(symbols, metric)
    errors = []
    # Coarser grids are not asymptotic yet; finer ones of high order end in rounding.
    if box:
        side, sizes = {2: (1, (33, 65)), 4: (1, (33, 65)), 6: (1, (25, 33)), 8: (3, (25, 33))}[
            order
        ]
    else:
        side, sizes = None, {2: (48, 96), 4: (48, 96), 6: (48, 96), 8: (40, 60)}[order]
    for size in sizes:
        grid = Grid.box(0.0, side, (size, size)) if box else Grid.torus((size, size))
        points = grid.coordinates()
        value = curvature.ricci(np.array(components(*points)), grid, order)
        errors.append(np.max(np.abs(value - np.array(ricci(*points)))))
    ratio = (sizes[1] - box) / (sizes[0] - box)
    slope = math.log(errors[0] / errors[1]) / math.log(ratio)
    assert abs(slope - order) < 0.2


def test_the_curved_background_flow_agrees_with_differences_of_differences() -> None:
    """-2 ricci + lie_derivative(deturck_vector) differences W once more: equal as N grows."""
    gaps = []
    for size in (24, 48, 96):
        grid = Grid.torus((size, size))
        x, y = grid.coordinates()
        z = np.zeros_like(x)
        g = np.array([[np.exp(0.3 * np.cos(x + y)), 0.2 * np.sin(x)], [z, 1 + 0.2 * np.cos(y)]])
        g[1, 0] = g[0, 1]
        bar = np.array([[1.5 + 0.4 * np.sin(y), z + 0.1], [z + 0.1, 1 + 0.3 * np.sin(x - y)]])
        rate = RicciDeTurckFlow(MetricField(grid, bar)).rhs(0.0, pack(g), grid, 4)
        w = curvature.deturck_vector(g, grid, bar, 4)
        other = -2 * curvature.ricci(g, grid, 4) + curvature.lie_derivative(g, w, grid, 4)
        gaps.append(np.max(np.abs(unpack(rate, 2) - other)))
    assert abs(math.log2(gaps[1] / gaps[2]) - 4) < 0.2


@pytest.mark.parametrize("n", [2, 3])
def test_the_contracted_bianchi_identity(n: int) -> None:
    """nabla^i R_ij = d_j R / 2: one more difference of the result, so it holds as N grows."""
    gaps = []
    for size in {2: (16, 24, 32), 3: (12, 16, 20)}[n]:
        grid = Grid.torus((size,) * n)
        x = grid.coordinates()
        g = np.zeros((n, n, *grid.shape))
        for i in range(n):
            g[i, i] = 1 + 0.1 * np.cos(x[(i + 1) % n]) + 0.05 * np.sin(x[i] + x[(i + 1) % n])
            for j in range(i):
                g[i, j] = g[j, i] = 0.08 * np.sin(x[i] - x[j])
        from riemann_lne.stencils import gradient

        inverse, gamma = curvature.inverse(g, grid), curvature.christoffel(g, grid, "fourier")
        ric = curvature.ricci(g, grid, "fourier")
        nabla = (
            gradient(ric, grid, "fourier")
            - np.einsum("pai...,pj...->aij...", gamma, ric)
            - np.einsum("paj...,ip...->aij...", gamma, ric)
        )
        divergence = np.einsum("ai...,aij...->j...", inverse, nabla)
        half = gradient(curvature.scalar_curvature(g, grid, "fourier"), grid, "fourier") / 2
        assert np.max(np.abs(half)) > 0.01
        gaps.append(np.max(np.abs(divergence - half)))
    assert gaps[2] < {2: 2e-11, 3: 2e-6}[n]
    assert gaps[2] < 0.1 * gaps[1] < 0.01 * gaps[0]  # spectral: every refinement buys digits


def test_gauss_bonnet_on_the_torus_holds_to_rounding_with_fourier_derivatives() -> None:
    grid = Grid.torus((48, 48), (2 * np.pi, 3.0))
    x, y = grid.coordinates()
    k = 2 * np.pi / 3.0
    off = 0.15 * np.sin(x + k * y)
    g = np.array([[1.2 + 0.3 * np.cos(x - k * y), off], [off, 1 + 0.3 * np.sin(x)]])
    R = curvature.scalar_curvature(g, grid, "fourier")
    assert np.max(np.abs(R)) > 0.5
    assert abs(float(grid.integrate(R * curvature.volume_element(g, grid)))) < 1e-12


@pytest.mark.parametrize("n", [2, 3, 4])
def test_round_spheres_and_hyperbolic_spaces_are_einstein(n: int) -> None:
    """Ric = +-(n - 1) g in stereographic and Poincare coordinates; only these signs are right."""
    size, tolerance = {2: (21, 1e-6), 3: (13, 1e-4), 4: (10, 1e-3)}[n]
    for sign in (1, -1):
        grid = Grid.box(-0.2, 0.15, (size,) * n)
        r2 = sum(x**2 for x in grid.coordinates())
        g = np.eye(n).reshape(n, n, *(1,) * n) * 4 / (1 + sign * r2) ** 2
        assert np.max(np.abs(curvature.ricci(g, grid, 8) - sign * (n - 1) * g)) < tolerance
        R = curvature.scalar_curvature(g, grid, 8)
        assert np.max(np.abs(R - sign * n * (n - 1))) < 10 * tolerance


# ---- damping of the Nyquist mode ------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 4, 6, 8, "fourier"])
def test_the_deturck_flow_damps_the_nyquist_mode_at_the_compact_rate(order: Any) -> None:
    grid = Grid.torus((12, 10), (3.0, 2.0))
    s2 = {2: 4.0, 4: 16 / 3, 6: 272 / 45, 8: 2048 / 315, "fourier": math.pi**2}[order]
    i, j = np.meshgrid(np.arange(12), np.arange(10), indexing="ij")
    eps = 1e-7
    for signs, rate in (
        ((-1.0) ** i, s2 / grid.spacing[0] ** 2),
        ((-1.0) ** j, s2 / grid.spacing[1] ** 2),
        ((-1.0) ** (i + j), s2 / grid.spacing[0] ** 2 + s2 / grid.spacing[1] ** 2),
    ):
        h = np.array([1.0, 0.5, -0.3]).reshape(3, 1, 1) * signs
        base = np.array([1.0, 0.0, 1.0]).reshape(3, 1, 1)
        change = RicciDeTurckFlow().rhs(0.0, base + eps * h, grid, order) / eps
        assert np.max(np.abs(change + rate * h)) < 1e-5 * rate


def test_the_ricci_tensor_sees_the_nyquist_mode() -> None:
    """Through first differences of Christoffel symbols the answer would be zero."""
    grid = Grid.torus((8, 8))
    h2 = grid.spacing[0] ** 2
    signs = (-1.0) ** np.arange(8).reshape(8, 1) * np.ones((8, 8))
    packed = np.stack([np.ones((8, 8)), np.zeros((8, 8)), 1 + 1e-7 * signs])
    ric = curvature.ricci(unpack(packed, 2), grid, 2)
    # Ric_xx = -d_x d_x g_yy / 2 to first order, and -4 / h^2 is what the difference makes of d_x^2.
    assert np.allclose(ric[0, 0] / 1e-7, 2 / h2 * signs, rtol=1e-5)


# ---- bad input -----------------------------------------------------------------------------

FLAT = np.eye(2).reshape(2, 2, 1, 1) * np.ones((2, 2, 8, 8))
GRID = Grid.torus((8, 8))
METRIC_FUNCTIONS = ["christoffel", "riemann", "ricci", "scalar_curvature", "einstein"]


@pytest.mark.parametrize("name", [*METRIC_FUNCTIONS, "inverse", "volume_element"])
def test_functions_refuse_what_is_no_metric(name: str) -> None:
    function = getattr(curvature, name)
    with pytest.raises(NotPositiveDefiniteError):
        function(-FLAT, GRID)
    with pytest.raises(DTypeError):
        function(FLAT.astype(int), GRID)
    with pytest.raises(DTypeError):
        function(FLAT.astype(complex), GRID)
    with pytest.raises(ShapeError):
        function(FLAT[..., :7], GRID)
    skew = FLAT.copy()
    skew[0, 1] = 0.1
    with pytest.raises(NotSymmetricError):
        function(skew, GRID)


@pytest.mark.parametrize("name", METRIC_FUNCTIONS)
def test_functions_refuse_dimension_one_small_grids_and_odd_orders(name: str) -> None:
    function = getattr(curvature, name)
    with pytest.raises(InvalidArgumentError, match="2 to 4"):
        function(np.ones((1, 1, 8)), Grid.torus(8))
    with pytest.raises(GridTooSmallError, match="9"):
        function(FLAT, GRID, order=8)
    with pytest.raises(InvalidArgumentError, match="even"):
        function(FLAT, GRID, order=3)
    with pytest.raises(InvalidArgumentError, match=r"array\(\[2, 4\]\); give 2, 4"):
        function(FLAT, GRID, order=np.array([2, 4]))


def test_second_arguments_are_checked_by_name() -> None:
    with pytest.raises(ShapeError, match="vector"):
        curvature.lie_derivative(FLAT, np.ones((3, 8, 8)), GRID)
    with pytest.raises(ShapeError, match="scalar"):
        curvature.laplacian(FLAT, np.ones((8, 9)), GRID)
    with pytest.raises(DTypeError, match="scalar"):
        curvature.laplacian(FLAT, np.ones((8, 8), dtype=int), GRID)
    with pytest.raises(ShapeError, match="h has shape"):
        curvature.lichnerowicz(FLAT, np.ones((8, 8)), GRID)
    with pytest.raises(NotPositiveDefiniteError, match="background"):
        curvature.deturck_vector(FLAT, GRID, background=-FLAT)
    other = MetricField(Grid.torus((9, 9)), np.eye(2).reshape(2, 2, 1, 1) * np.ones((2, 2, 9, 9)))
    with pytest.raises(ShapeError, match="another grid"):
        RicciDeTurckFlow(other).rhs(0.0, pack(FLAT), GRID, 4)
