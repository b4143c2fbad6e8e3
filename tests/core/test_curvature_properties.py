"""What must hold for every metric: symmetries, scaling and equivariance."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riemann_lne import Grid, MetricField, RicciDeTurckFlow, RicciFlow, curvature
from riemann_lne.tensors import pack
from riemann_lne.testing import grids, near_euclidean_metrics, spd_matrices

METRICS = near_euclidean_metrics(grids(2, 3, max_points=400, min_points=6), amplitude=0.5)
ORDERS = st.sampled_from([2, 4])


def curvature_scale(g: MetricField) -> float:
    """Size of second differences on this grid, which rounding is to be compared with."""
    return 1.0 / min(g.grid.spacing) ** 2


@given(METRICS, ORDERS)
def test_riemann_has_its_symmetries_and_the_first_bianchi_identity(
    g: MetricField, order: int
) -> None:
    riemann = g.riemann(order)
    low = np.einsum("lp...,pijk...->lijk...", g.components, riemann)
    tolerance = 1e-13 * curvature_scale(g)
    assert np.max(np.abs(riemann + riemann.swapaxes(1, 2))) < tolerance  # i, j
    assert np.max(np.abs(low + low.swapaxes(0, 3))) < tolerance  # l, k
    pair = np.moveaxis(low, (0, 3, 1, 2), (1, 2, 0, 3))
    assert np.max(np.abs(low - pair)) < tolerance  # (l, k) against (i, j)
    # R^l_ijk + R^l_jki + R^l_kij = 0.
    cyclic = (
        riemann + np.einsum("ljki...->lijk...", riemann) + np.einsum("lkij...->lijk...", riemann)
    )
    assert np.max(np.abs(cyclic)) < tolerance


@given(METRICS, ORDERS)
def test_contractions_agree(g: MetricField, order: int) -> None:
    riemann, ricci, inverse = g.riemann(order), g.ricci(order), g.inverse()
    tolerance = 1e-12 * curvature_scale(g)
    assert np.max(np.abs(np.einsum("iijk...->jk...", riemann) - ricci)) < tolerance
    scalar = np.einsum("ij...,ij...->...", inverse, ricci)
    assert np.max(np.abs(scalar - g.scalar_curvature(order))) < tolerance
    einstein = ricci - g.scalar_curvature(order) * g.components / 2
    assert np.max(np.abs(einstein - g.einstein(order))) < tolerance
    assert np.array_equal(ricci, ricci.swapaxes(0, 1))
    gamma = g.christoffel(order)
    assert np.array_equal(gamma, gamma.swapaxes(1, 2))


@given(METRICS, ORDERS, st.floats(0.01, 100.0))
def test_scaling_the_metric(g: MetricField, order: int, c: float) -> None:
    scaled = MetricField(g.grid, c * g.components)
    tolerance = 1e-12 * curvature_scale(g)
    assert np.max(np.abs(scaled.christoffel(order) - g.christoffel(order))) < tolerance
    assert np.max(np.abs(scaled.riemann(order) - g.riemann(order))) < tolerance
    assert np.max(np.abs(scaled.ricci(order) - g.ricci(order))) < tolerance
    gap = c * scaled.scalar_curvature(order) - g.scalar_curvature(order)
    assert np.max(np.abs(gap)) < tolerance
    assert np.allclose(scaled.inverse() * c, g.inverse(), rtol=1e-12)
    assert np.allclose(scaled.volume_element(), c ** (g.n / 2) * g.volume_element(), rtol=1e-12)


@given(METRICS, ORDERS, st.floats(0.1, 10.0))
def test_scaling_the_coordinates_is_scaling_lengths(g: MetricField, order: int, c: float) -> None:
    grid = g.grid
    stretched = Grid(
        grid.shape,
        tuple(c * a for a in grid.lower),
        tuple(c * b for b in grid.upper),
        grid.periodic,
    )
    other = MetricField(stretched, g.components)
    tolerance = 1e-11 * curvature_scale(g)
    assert np.max(np.abs(c * other.christoffel(order) - g.christoffel(order))) < tolerance
    assert np.max(np.abs(c**2 * other.ricci(order) - g.ricci(order))) < tolerance


@given(METRICS, ORDERS, st.data())
def test_permuting_axes_permutes_components(
    g: MetricField, order: int, data: st.DataObject
) -> None:
    n, grid = g.n, g.grid
    perm = data.draw(st.sampled_from(list(permutations(range(n)))))

    def move(tensor: np.ndarray, rank: int) -> np.ndarray:
        for slot in range(rank):
            tensor = np.take(tensor, perm, axis=slot)
        return tensor.transpose(*range(rank), *(rank + p for p in perm))

    turned = MetricField(
        Grid(
            *(
                tuple(part[p] for p in perm)
                for part in (grid.shape, grid.lower, grid.upper, grid.periodic)
            )
        ),
        move(g.components, 2),
    )
    tolerance = 1e-12 * curvature_scale(g)
    for name, rank in (("christoffel", 3), ("riemann", 4), ("ricci", 2), ("scalar_curvature", 0)):
        one = getattr(turned, name)(order)
        assert np.max(np.abs(one - move(getattr(g, name)(order), rank))) < tolerance
    for flow in (RicciFlow(), RicciDeTurckFlow()):
        one = MetricFieldRate(flow, turned, order)
        assert np.max(np.abs(one - move(MetricFieldRate(flow, g, order), 2))) < tolerance


def MetricFieldRate(flow: Any, g: MetricField, order: int) -> np.ndarray:
    from riemann_lne.tensors import unpack

    return unpack(flow.rhs(0.0, g.packed, g.grid, order), g.n)


@given(METRICS, ORDERS, st.data())
def test_reversing_an_axis_flips_the_signs_of_its_components(
    g: MetricField, order: int, data: st.DataObject
) -> None:
    """x -> -x: tensors change sign for every index on that axis, boxes included."""
    axis = data.draw(st.integers(0, g.n - 1))
    signs = np.ones(g.n)
    signs[axis] = -1.0

    def flip(tensor: np.ndarray, rank: int) -> np.ndarray:
        for slot in range(rank):
            shape = [1] * tensor.ndim
            shape[slot] = g.n
            tensor = tensor * signs.reshape(shape)
        return np.flip(tensor, rank + axis)

    mirrored = MetricField(g.grid, flip(g.components, 2))
    tolerance = 1e-12 * curvature_scale(g)
    for name, rank in (("christoffel", 3), ("riemann", 4), ("ricci", 2)):
        gap = getattr(mirrored, name)(order) - flip(getattr(g, name)(order), rank)
        assert np.max(np.abs(gap)) < tolerance


@given(
    near_euclidean_metrics(grids(2, 3, kind="torus", max_points=400, min_points=5), amplitude=0.5),
    st.sampled_from([2, 4, "fourier"]),
    st.data(),
)
def test_translating_the_grid_translates_everything(
    g: MetricField, order: Any, data: st.DataObject
) -> None:
    shift = tuple(data.draw(st.integers(0, s - 1)) for s in g.grid.shape)
    axes = tuple(range(-g.n, 0))
    moved = MetricField(g.grid, np.roll(g.components, shift, axes))
    tolerance = (1e-12 if order == "fourier" else 0.0) * curvature_scale(g)
    for name in ("christoffel", "ricci", "scalar_curvature"):
        gap = getattr(moved, name)(order) - np.roll(getattr(g, name)(order), shift, axes)
        # Differences see the same numbers at another place: not one bit may change.
        assert np.max(np.abs(gap)) <= tolerance
    for flow in (RicciFlow(), RicciDeTurckFlow()):
        one = flow.rhs(0.0, moved.packed, g.grid, order)
        assert np.max(
            np.abs(one - np.roll(flow.rhs(0.0, g.packed, g.grid, order), shift, axes))
        ) <= (tolerance)


def polynomial_metric(seed: int) -> Any:
    """Quadratic metric components on R^n: exact for differences in any linear coordinates."""
    rng = np.random.default_rng(seed)
    n = 2 + seed % 2
    coefficients = rng.uniform(-0.1, 0.1, (n, n, n, n))
    linear = rng.uniform(-0.1, 0.1, (n, n, n))

    def metric(x: np.ndarray) -> np.ndarray:
        a = np.einsum("ijkl,k...,l...->ij...", coefficients, x, x)
        a = a + np.einsum("ijk,k...->ij...", linear, x)
        return np.eye(n).reshape(n, n, *(1,) * (x.ndim - 1)) + (a + a.swapaxes(0, 1)) / 2

    return n, metric


@given(st.integers(0, 1000), st.data())
def test_linear_changes_of_coordinates(seed: int, data: st.DataObject) -> None:
    """x = A y: g' = A^T g(A y) A, and every tensor follows its indices."""
    n, metric = polynomial_metric(seed)
    entries = st.lists(st.floats(-0.4, 0.4), min_size=n * n, max_size=n * n)
    A = np.eye(n) + np.array(data.draw(entries)).reshape(n, n)
    if abs(np.linalg.det(A)) < 0.2:
        A = np.eye(n) + 0.1 * A
    inverse = np.linalg.inv(A)
    grid = Grid.box(-0.3, 0.3, (7,) * n)
    y = np.stack(grid.coordinates())
    old = metric(np.einsum("ab,b...->a...", A, y))
    new = np.einsum("ki,lj,kl...->ij...", A, A, old)
    # The old metric is known as a formula alone; its tensors at x = A y come from differences in
    # y of the new one, and directly from differences on a grid in x through the centre.
    centre = (slice(None),) * 2 + (3,) * n
    x = np.stack(grid.coordinates())
    direct = curvature.ricci(metric(x), grid, 4)[centre]
    through = curvature.ricci(new, grid, 4)[centre]
    assert np.allclose(through, A.T @ direct @ A, atol=1e-10)
    one = curvature.scalar_curvature(new, grid, 4)[centre[2:]]
    assert np.isclose(one, curvature.scalar_curvature(metric(x), grid, 4)[centre[2:]], atol=1e-10)
    gamma = curvature.christoffel(metric(x), grid, 4)[(slice(None), *centre)]
    moved = curvature.christoffel(new, grid, 4)[(slice(None), *centre)]
    assert np.allclose(moved, np.einsum("kc,cab,ai,bj->kij", inverse, gamma, A, A), atol=1e-10)


@given(st.integers(2, 4).flatmap(spd_matrices), st.sampled_from([2, 4, "fourier"]))
@settings(max_examples=30)
def test_constant_metrics_are_flat_whatever_they_are(a: np.ndarray, order: Any) -> None:
    n = len(a)
    grid = Grid.torus((5,) * n)
    g = MetricField(grid, a.reshape(n, n, *(1,) * n) * np.ones(grid.shape))
    if order != "fourier":  # first differences cancel to the last bit
        assert np.max(np.abs(g.christoffel(order))) == 0.0
    for tensor in (g.christoffel(order), g.riemann(order)):
        assert np.max(np.abs(tensor)) < 1e-12
    assert np.max(np.abs(RicciDeTurckFlow().rhs(0.0, g.packed, grid, order))) < 1e-12


@given(METRICS, ORDERS)
def test_a_metric_is_its_own_background(g: MetricField, order: int) -> None:
    """With the background g the DeTurck field of g vanishes, and the flow is the Ricci flow."""
    w = curvature.deturck_vector(g.components, g.grid, g.components, order)
    tolerance = 1e-11 * curvature_scale(g)
    assert np.max(np.abs(w)) < tolerance
    rate = RicciDeTurckFlow(g).rhs(0.0, g.packed, g.grid, order)
    assert np.max(np.abs(rate - RicciFlow().rhs(0.0, g.packed, g.grid, order))) < tolerance


@given(METRICS, ORDERS)
def test_nothing_writes_to_its_input(g: MetricField, order: int) -> None:
    components = g.components.copy()
    components.setflags(write=False)
    before = components.copy()
    vector = np.ones((g.n, *g.grid.shape))
    vector.setflags(write=False)
    curvature.ricci(components, g.grid, order)
    curvature.riemann(components, g.grid, order)
    curvature.lichnerowicz(components, components, g.grid, order)
    curvature.lie_derivative(components, vector, g.grid, order)
    curvature.laplacian(components, vector[0], g.grid, order)
    packed = pack(components)
    packed.setflags(write=False)
    kept = packed.copy()
    for flow in (RicciFlow(), RicciDeTurckFlow(), RicciDeTurckFlow(g)):
        flow.rhs(0.0, packed, g.grid, order)
        flow.spectral_radius(packed, g.grid, order)
    assert np.array_equal(components, before)
    assert np.array_equal(packed, kept)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_conformally_flat_metrics_have_the_scalar_curvature_of_the_textbook(n: int) -> None:
    """g = e^(2f) delta: R = -e^(-2f) (2 (n-1) Lap f + (n-2)(n-1) |df|^2)."""
    size = {2: 40, 3: 24, 4: 14}[n]
    grid = Grid.torus((size,) * n)
    x = grid.coordinates()
    f = 0.05 * np.cos(x[0] + x[1]) + 0.05 * np.sin(x[-1])
    df0 = -0.05 * np.sin(x[0] + x[1])
    lap = -0.1 * np.cos(x[0] + x[1]) - 0.05 * np.sin(x[-1])
    square = df0**2 * (n >= 3) + (df0 + (n == 2) * 0.05 * np.cos(x[-1])) ** 2
    square = square + ((0.05 * np.cos(x[-1])) ** 2 if n >= 3 else df0**2)
    exact = -np.exp(-2 * f) * (2 * (n - 1) * lap + (n - 2) * (n - 1) * square)
    g = np.eye(n).reshape(n, n, *(1,) * n) * np.exp(2 * f)
    value = curvature.scalar_curvature(g, grid, "fourier")
    assert np.max(np.abs(value - exact)) < {2: 1e-10, 3: 1e-10, 4: 1e-8}[n]
