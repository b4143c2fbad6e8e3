"""Derivatives: exact where they must be, of the right order elsewhere, and with a safe spectrum."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne import Grid, flat_metric, perturbed_euclidean
from riemann_lne.errors import DTypeError, ShapeError
from riemann_lne.flows import RicciDeTurckFlow, RicciFlow
from riemann_lne.stencils import (
    dealias,
    dealias_mask,
    difference,
    gradient,
    hessian,
    nyquist_bounds,
    pad,
    second_derivative_symbol,
    symbols,
    tile_slices,
)

ORDERS = (2, 4, 6, 8)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("derivative", [1, 2])
def test_closures_are_exact_up_to_the_boundary(derivative: int, order: int) -> None:
    """Degree <= order + 1 for the second derivative; <= order for the first, as in the interior."""
    size, h = order + 3, 0.25
    grid = Grid.box(-0.5, -0.5 + h * (size - 1), (size,))
    (x,) = grid.axes()
    for degree in range(order + derivative):
        padded = pad((x**degree)[None], grid, order)
        assert padded.shape == (1, size + order)
        result = difference(padded, 1, derivative, order, h)[0]
        factor = math.prod(range(degree - derivative + 1, degree + 1))
        exact = factor * x ** max(degree - derivative, 0)
        scale = max(1.0, np.max(np.abs(exact))) / h**derivative
        assert np.max(np.abs(result - exact)) < 2e-12 * scale, degree


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("derivative", [1, 2])
def test_closures_are_of_the_full_order_up_to_the_boundary(derivative: int, order: int) -> None:
    errors = []
    for size in (21, 41):
        grid = Grid.box(0.0, 1.0, (size,))
        (x,) = grid.axes()
        f = np.sin(3 * x + 0.4)
        exact = 3 * np.cos(3 * x + 0.4) if derivative == 1 else -9 * f
        result = difference(pad(f[None], grid, order), 1, derivative, order, grid.spacing[0])
        errors.append(np.max(np.abs(result[0] - exact)))
    assert math.log2(errors[0] / errors[1]) > order - 0.3


@pytest.mark.parametrize("order", ORDERS)
def test_periodic_padding_wraps(order: int) -> None:
    grid = Grid.torus((12, 9))
    f = np.arange(12 * 9, dtype=float).reshape(1, 12, 9)
    w = order // 2
    assert np.array_equal(pad(f, grid, order), np.pad(f, [(0, 0), (w, w), (w, w)], mode="wrap"))


def test_mixed_axes_are_padded_each_in_its_own_way() -> None:
    grid = Grid((8, 7), (0, 0), (2 * np.pi, 3), (True, False))
    x, y = grid.coordinates()
    f = np.cos(x) * (1 + y + y**2)
    d = hessian(f, grid, order=2)
    s = 2 * np.sin(grid.spacing[0] / 2) / grid.spacing[0]
    assert np.allclose(d[0, 0], -(s**2) * f, atol=1e-13)
    assert np.allclose(d[1, 1], 2 * np.cos(x), atol=1e-12)
    mixed = -np.sin(grid.spacing[0]) / grid.spacing[0] * np.sin(x) * (1 + 2 * y)
    assert np.allclose(d[0, 1], mixed, atol=1e-12)


@pytest.mark.parametrize("shape", [(7,), (8,), (6, 9), (5, 4, 6), (3, 4, 5, 4)])
def test_fourier_derivatives_are_exact_below_the_nyquist_wave_number(
    shape: tuple[int, ...],
) -> None:
    n = len(shape)
    grid = Grid.torus(shape, (2.0, 3.0, 1.5, 2.5)[:n], origin=0.7)
    x = grid.coordinates()
    rng = np.random.default_rng(n)
    for _ in range(6):
        m = [int(rng.integers(-((s - 1) // 2), (s - 1) // 2 + 1)) for s in shape]
        k = [2 * np.pi * a / length for a, length in zip(m, grid.lengths, strict=True)]
        phase = sum(a * b for a, b in zip(k, x, strict=True)) + 0.3
        f = np.cos(phase)
        scale = 1 + max(map(abs, k)) ** 2
        for a in range(n):
            error = gradient(f, grid, "fourier")[a] + k[a] * np.sin(phase)
            assert np.max(np.abs(error)) < 1e-13 * scale
        second = hessian(f, grid, "fourier")
        for a, b in product(range(n), repeat=2):
            assert np.max(np.abs(second[a, b] + k[a] * k[b] * f)) < 1e-13 * scale


@pytest.mark.parametrize("order", [*ORDERS, "fourier"])
@pytest.mark.parametrize("shape", [(12,), (12, 10), (13, 9)])
def test_symbols_are_the_eigenvalues_of_the_differences(order: Any, shape: tuple[int, ...]) -> None:
    grid = Grid.torus(shape, (3.0, 2.0)[: len(shape)])
    h, x = grid.spacing, grid.coordinates()
    for m in product(*(range(s // 2 + 1) for s in shape)):
        phase = sum(2 * np.pi * a * c / L for a, c, L in zip(m, x, grid.lengths, strict=True))
        f = np.cos(phase)
        first, second = gradient(f, grid, order), hessian(f, grid, order)
        for a in range(len(shape)):
            s1, s2 = symbols(np.array([2 * np.pi * m[a] / shape[a]]), order)
            at_nyquist = 2 * m[a] == shape[a]
            scale = 1e-12 / h[a] ** 2
            # The Nyquist cosine is seen only by the compact second difference.
            expected = 0.0 * f if at_nyquist else -s1[0] / h[a] * np.sin(phase)
            assert np.max(np.abs(first[a] - expected)) < scale
            assert np.max(np.abs(second[a, a] + s2[0] / h[a] ** 2 * f)) < scale


@pytest.mark.parametrize("order", [*ORDERS, "fourier"])
def test_second_derivative_symbol_is_what_the_hessian_does_in_fourier_space(order: Any) -> None:
    grid = Grid.torus((9, 10, 12), (2.0, 3.0, 4.0))
    f = np.random.default_rng(3).normal(size=grid.shape)
    second = hessian(f, grid, order)
    for a, b in product(range(3), repeat=2):
        symbol = second_derivative_symbol(grid, order, a, b)
        image = np.fft.irfftn(-symbol * np.fft.rfftn(f), s=grid.shape, axes=(0, 1, 2))
        assert np.max(np.abs(image - second[a, b])) < 1e-11 * np.max(np.abs(second[a, b]))


@pytest.mark.parametrize("order", [*ORDERS, "fourier"])
def test_the_nyquist_mode_is_damped_by_the_compact_second_difference(order: Any) -> None:
    grid = Grid.torus((10,), 1.0)
    f = np.cos(np.pi * np.arange(10))
    rate = -hessian(f, grid, order)[0, 0] / f * grid.spacing[0] ** 2
    expected = {2: 4.0, 4: 16 / 3, 6: 272 / 45, 8: 2048 / 315, "fourier": math.pi**2}[order]
    assert np.allclose(rate, expected, rtol=1e-12)
    assert np.isclose(nyquist_bounds(order)[1], expected)


@pytest.mark.parametrize("order", [*ORDERS, "fourier"])
def test_nyquist_bounds_bound_the_symbols_at_every_wave_number(order: Any) -> None:
    first, second = symbols(np.linspace(0, np.pi, 100_001), order)
    b1, b2 = nyquist_bounds(order)
    assert np.max(np.abs(first)) <= b1 * (1 + 1e-6)
    assert np.max(second) <= b2 * (1 + 1e-12)
    assert np.min(second) >= 0


def _dirichlet_matrix(order: int, size: int) -> np.ndarray:
    """Second difference between the inner points of a box, held at zero at its ends; h = 1."""
    grid = Grid.box(0.0, size - 1.0, (size,))
    columns = hessian(np.eye(size), grid, order)[0, 0]
    return columns[1:-1, 1:-1].T  # row: column's image


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [12, 20, 41])
def test_closures_keep_the_spectrum_of_the_held_second_difference_in_bounds(
    order: int, size: int
) -> None:
    eigenvalues = np.linalg.eigvals(_dirichlet_matrix(order, size))
    assert np.max(eigenvalues.real) < 0
    assert np.max(np.abs(eigenvalues)) <= nyquist_bounds(order)[1]
    smallest = np.min(np.abs(eigenvalues)) * (size - 1) ** 2
    assert abs(smallest / np.pi**2 - 1) < 0.02  # the slowest mode is the sine


@pytest.mark.parametrize("shape", [(12,), (9, 12), (6, 8, 10)])
def test_dealiasing_keeps_modes_below_a_third_and_removes_the_others(
    shape: tuple[int, ...],
) -> None:
    grid = Grid.torus(shape)
    x = grid.coordinates()
    for m in product(*(range(s // 2 + 1) for s in shape)):
        f = np.cos(sum(a * c for a, c in zip(m, x, strict=True)) + 0.2)[None]
        kept = all(a < s / 3 for a, s in zip(m, shape, strict=True))
        assert np.max(np.abs(dealias(f, grid) - (f if kept else 0 * f))) < 1e-13
    assert set(np.unique(dealias_mask(grid))) == {0.0, 1.0}


def test_a_product_of_kept_modes_does_not_alias_into_kept_modes() -> None:
    grid = Grid.torus((12,))
    (x,) = grid.axes()
    f = dealias(np.cos(3 * x)[None] + np.sin(2 * x)[None], grid)
    square = np.fft.rfft(dealias(f * f, grid)[0]) / 12
    fine = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    exact = np.fft.rfft((np.cos(3 * fine) + np.sin(2 * fine)) ** 2) / 48
    assert np.max(np.abs(square[:4] - exact[:4])) < 1e-14


@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    points=st.integers(1, 200),
)
def test_tiles_cover_the_grid_once_and_never_cut_the_last_axis(
    shape: tuple[int, ...], points: int
) -> None:
    count = np.zeros(shape, dtype=int)
    for tile in tile_slices(shape, points):
        assert len(shape) == 1 or tile[-1] == slice(0, shape[-1])
        count[tile] += 1
        assert count[tile].size <= max(points, shape[-1])
    assert np.all(count == 1)


@pytest.mark.parametrize("order", [2, 4])
def test_cutting_into_tiles_changes_nothing(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid((9, 8, 7), (0, 0, 0), (1, 2, 3), (True, False, True))
    f = np.random.default_rng(0).normal(size=(2, *grid.shape))
    whole = hessian(f, grid, order)
    monkeypatch.setattr("riemann_lne.stencils._TILE_POINTS_CPU", 10)
    assert np.array_equal(hessian(f, grid, order), whole)


def test_derivatives_keep_leading_axes_library_and_precision(backend: Any) -> None:
    grid = Grid.torus((8, 8))
    x, y = grid.coordinates()
    values = np.stack([np.sin(x), np.sin(y), np.cos(x + y)])
    for dtype, tolerance in (("float64", 1e-13), ("float32", 1e-5)):
        for order in (4, "fourier"):
            f = backend.array(values, dtype)
            first, second = gradient(f, grid, order), hessian(f, grid, order)
            assert first.dtype == second.dtype == backend.dtype(dtype)
            assert tuple(first.shape) == (2, 3, 8, 8)
            assert tuple(second.shape) == (2, 2, 3, 8, 8)
            exact = gradient(values, grid, order)
            assert np.max(np.abs(backend.numpy(first) - exact)) < tolerance
            exact = hessian(values, grid, order)
            assert np.max(np.abs(backend.numpy(second) - exact)) < 10 * tolerance


def test_fields_that_do_not_fit_the_grid_or_hold_integers_are_refused() -> None:
    grid = Grid.torus((8, 8))
    with pytest.raises(ShapeError, match=r"\(8, 9\).*\(8, 8\)"):
        gradient(np.zeros((8, 9)), grid)
    with pytest.raises(ShapeError, match="does not end"):
        gradient(np.zeros(8), grid)
    with pytest.raises(DTypeError, match="int"):
        hessian(np.zeros((8, 8), dtype=int), grid)


def _jacobian(flow: Any, grid: Grid, order: Any, base: np.ndarray) -> np.ndarray:
    """Derivative of the right-hand side at a metric, by central differences, as a dense matrix."""
    flat, eps = base.ravel(), 1e-5
    columns = []
    for k in range(flat.size):
        step = np.zeros_like(flat)
        step[k] = eps
        up = flow.rhs(0.0, (flat + step).reshape(base.shape), grid, order)
        down = flow.rhs(0.0, (flat - step).reshape(base.shape), grid, order)
        columns.append((up - down).ravel() / (2 * eps))
    return np.stack(columns, axis=1)


def _eigenvalues(flow: Any, grid: Grid, order: Any, base: np.ndarray) -> np.ndarray:
    """All eigenvalues of the same derivative at a constant metric.

    It commutes with translations, so the answer to an impulse at one point says everything: its
    Fourier transform is a small matrix for each wave vector.
    """
    eps, axes = 1e-5, tuple(range(1, grid.ndim + 1))
    columns = []
    for c in range(len(base)):
        step = np.zeros_like(base)
        step[(c, *(0,) * grid.ndim)] = eps
        answer = flow.rhs(0.0, base + step, grid, order) - flow.rhs(0.0, base - step, grid, order)
        columns.append(np.fft.fftn(answer / (2 * eps), axes=axes))
    return np.linalg.eigvals(np.moveaxis(np.stack(columns, axis=1), (0, 1), (-2, -1))).ravel()


RADIUS_GRIDS = [
    (Grid.torus((8, 6), (3.0, 2.0)), (2, 4, "fourier")),
    (Grid.torus((17, 17), 1.0), (2, 4, 6, 8, "fourier")),
    (Grid.torus((16, 16), (1.0, 9.0)), (2, 4, "fourier")),
    (Grid.torus((10, 10, 10), 1.0), (2, 4, "fourier")),
    (Grid.torus((8, 7, 9), (1.0, 2.0, 1.0)), (2, 4, "fourier")),
]
RADIUS_CASES = [
    pytest.param(grid, order, id=f"{'x'.join(map(str, grid.shape))}-{order}")
    for grid, orders in RADIUS_GRIDS
    for order in orders
]


@pytest.mark.parametrize("flow", [RicciFlow(), RicciDeTurckFlow()], ids=["RF", "RDT"])
@pytest.mark.parametrize(("grid", "order"), RADIUS_CASES)
def test_the_bound_of_a_flow_bounds_its_spectral_radius_about_the_flat_metric(
    grid: Grid, order: Any, flow: Any
) -> None:
    base = flat_metric(grid).packed
    eigenvalues = _eigenvalues(flow, grid, order, base)
    radius = float(np.max(np.abs(eigenvalues)))
    bound = flow.spectral_radius(base, grid, order)
    assert radius <= bound * (1 + 1e-6)
    assert radius >= 0.4 * bound  # a bound that is far too large would waste steps
    assert np.max(eigenvalues.real) < 1e-6 * radius  # nothing grows


@pytest.mark.parametrize("flow", [RicciFlow(), RicciDeTurckFlow()], ids=["RF", "RDT"])
@pytest.mark.parametrize("order", [2, 4, "fourier"])
def test_the_bound_holds_about_constant_oblique_metrics(flow: Any, order: Any) -> None:
    grid = Grid.torus((12, 11), (2.0, 3.0))
    for a, b, c in ((1.0, 0.6, 1.0), (1.0, -0.9, 2.0), (0.2, 0.3, 1.5)):
        base = np.ones((3, *grid.shape)) * np.array([a, b, c]).reshape(3, 1, 1)
        radius = np.max(np.abs(_eigenvalues(flow, grid, order, base)))
        assert radius <= flow.spectral_radius(base, grid, order) * (1 + 1e-6)


def test_the_impulse_answer_gives_the_eigenvalues_of_the_whole_jacobian() -> None:
    grid = Grid.torus((5, 6), (1.0, 2.0))
    base = flat_metric(grid).packed
    whole = np.linalg.eigvals(_jacobian(RicciFlow(), grid, 2, base))
    quick = _eigenvalues(RicciFlow(), grid, 2, base)
    scale = np.max(np.abs(whole))
    assert np.allclose(np.sort(whole.real), np.sort(quick.real), atol=1e-6 * scale)


def test_the_bound_takes_the_worst_place_of_a_metric_that_varies() -> None:
    grid = Grid.torus((6, 6), 1.0)
    flow = RicciDeTurckFlow()
    base = perturbed_euclidean(grid, 0.4, seed=5).packed
    radius = np.max(np.abs(np.linalg.eigvals(_jacobian(flow, grid, 2, base))))
    assert radius <= flow.spectral_radius(base, grid, 2)
