from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from riemann_lne import Grid
from riemann_lne.errors import (
    DTypeError,
    GridTooSmallError,
    InvalidArgumentError,
    ShapeError,
)
from riemann_lne.testing import grids


def test_a_periodic_axis_leaves_its_end_out_and_a_bounded_one_holds_it() -> None:
    grid = Grid((4, 5), (1.0, -1.0), (3.0, 1.0), (True, False))
    x, y = grid.axes()
    assert x.tolist() == [1.0, 1.5, 2.0, 2.5]
    assert y.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert grid.spacing == (0.5, 0.5)
    assert (grid.ndim, grid.size, grid.lengths, grid.is_torus) == (2, 20, (2.0, 2.0), False)


def test_single_lengths_and_integers_of_numpy_serve_every_axis() -> None:
    assert Grid.torus((4, 6), 2.0) == Grid.torus((4, 6), (2.0, 2.0), (0.0, 0.0))
    assert Grid.torus(np.int64(8)) == Grid.torus(8) == Grid.torus((8,), 2 * math.pi)
    assert Grid.box(0, 1, np.int64(5)) == Grid.box((0.0,), (1.0,), (5,))
    assert hash(Grid.torus(8)) == hash(Grid.torus((8,)))


def test_coordinates_are_in_ij_order_and_of_the_namespace_asked_for(backend: Any) -> None:
    grid = Grid.box((0, 10), (1, 12), (3, 5))
    x, y = grid.coordinates(backend.xp, backend.dtype("float32"))
    assert x.dtype == y.dtype == backend.dtype("float32")
    assert np.array_equal(backend.numpy(x)[:, 0], [0, 0.5, 1])
    assert np.array_equal(backend.numpy(y)[0], [10, 10.5, 11, 11.5, 12])


@given(grids(1, 4, max_points=2000))
def test_points_lie_within_the_ends_at_equal_distances(grid: Grid) -> None:
    for axis, h, size, low, high, wraps in zip(
        grid.axes(), grid.spacing, grid.shape, grid.lower, grid.upper, grid.periodic, strict=True
    ):
        assert axis.shape == (size,)
        assert np.allclose(np.diff(axis), h, rtol=1e-9)
        assert axis[0] == low
        assert math.isclose(axis[-1] + (h if wraps else 0.0), high, abs_tol=1e-12)


def test_wave_vectors_are_those_of_the_lengths() -> None:
    k, m = Grid.torus((4, 5), (2 * math.pi, math.pi)).wavevectors()
    assert np.allclose(k, [0, 1, -2, -1])
    assert np.allclose(m, [0, 2, 4, -4, -2])
    with pytest.raises(InvalidArgumentError, match="torus"):
        Grid.box(0, 1, (4, 4)).wavevectors()


@given(grids(1, 3, max_points=2000, min_points=8))
def test_the_integral_of_one_is_the_coordinate_volume(grid: Grid) -> None:
    assert math.isclose(
        float(grid.integrate(np.ones(grid.shape))), math.prod(grid.lengths), rel_tol=1e-12
    )


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_quadrature_on_a_box_converges_faster_than_its_order(order: int) -> None:
    errors = []
    for size in (17, 33, 65):
        grid = Grid.box(0.2, 1.7, (size,))
        (x,) = grid.coordinates()
        exact = (math.exp(3.4) - math.exp(0.4)) / 2
        errors.append(abs(float(grid.integrate(np.exp(2 * x), order)) - exact))
    slopes = [math.log2(a / b) for a, b in pairwise(errors) if b > 1e-14]
    assert slopes
    # The end corrections through `order` points gain one order more than is claimed.
    assert min(slopes) > order + 0.5


def test_quadrature_on_a_torus_is_exact_on_resolved_modes() -> None:
    grid = Grid.torus((8, 6), (3.0, 2.0))
    x, y = grid.coordinates()
    f = 1.5 + np.cos(2 * np.pi * 3 * x / 3.0) * np.sin(2 * np.pi * y / 2.0) + np.sin(np.pi * y)
    assert math.isclose(float(grid.integrate(f)), 1.5 * 6.0, rel_tol=1e-14)


def test_integration_keeps_leading_axes_library_and_precision(backend: Any) -> None:
    grid = Grid.box((0, 0), (1, 2), (9, 9))
    x, y = grid.coordinates()
    values = backend.array(np.stack([x, y, x * y]), "float32")
    result = grid.integrate(values)
    assert result.dtype == backend.dtype("float32")
    assert np.allclose(backend.numpy(result), [1.0, 2.0, 1.0], rtol=1e-6)


def test_integrating_integers_is_refused_rather_than_zero() -> None:
    with pytest.raises(DTypeError, match="int"):
        Grid.torus((4, 4)).integrate(np.ones((4, 4), dtype=int))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((), (), (), ()), InvalidArgumentError, "1 to 4 axes"),
        (((4,) * 5, 0, 1, True), InvalidArgumentError, "1 to 4 axes"),
        (((4, 1), 0, 1, True), GridTooSmallError, "axis 1 has 1 point"),
        (((4, 0), 0, 1, True), GridTooSmallError, "axis 1 has 0 point"),
        (((4, 4), 0, (1, 0), True), InvalidArgumentError, "axis 1 runs from 0.0 to 0.0"),
        (((4, 4), 0, (1, math.inf), True), InvalidArgumentError, "axis 1"),
        (((4, 4), (math.nan, 0), 1, True), InvalidArgumentError, "axis 0"),
        (((4, 4), (0, 0, 0), 1, True), ShapeError, "lower has 3 entries"),
        (((4, 4), 0, 1, (True,)), ShapeError, "periodic has 1 entries"),
        (((4.5, 4), 0, 1, True), InvalidArgumentError, "whole number"),
        ((None, 0, 1, True), InvalidArgumentError, "shape"),
        (((4, 4), "ab", 1, True), InvalidArgumentError, "lower"),
    ],
)
def test_bad_grids_are_refused_with_the_axis_named(
    arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Grid(*arguments)


def test_integrals_name_both_shapes_and_quadrature_names_the_short_axis() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 5\).*\(5, 4\)"):
        Grid.torus((5, 4)).integrate(np.ones((4, 5)))
    with pytest.raises(GridTooSmallError, match="axis 1 has 7 points; quadrature of order 4"):
        Grid.box(0, 1, (8, 7)).integrate(np.ones((8, 7)))


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_the_smallest_grid_for_an_order_works_and_one_point_less_does_not(order: int) -> None:
    Grid.torus((order + 1,)).require_stencil(order)
    Grid.box(0, 1, (order + 2,)).require_stencil(order)
    with pytest.raises(GridTooSmallError, match=f"axis 0 has {order} points.*{order + 1}"):
        Grid.torus((order,)).require_stencil(order)
    with pytest.raises(GridTooSmallError, match=f"{order + 2}.*refine the grid"):
        Grid.box(0, 1, (order + 1,)).require_stencil(order)


def test_fourier_derivatives_are_refused_on_any_bounded_axis() -> None:
    Grid.torus((2, 2)).require_stencil("fourier")
    with pytest.raises(InvalidArgumentError, match="periodic"):
        Grid((8, 8), (0, 0), (1, 1), (True, False)).require_stencil("fourier")
