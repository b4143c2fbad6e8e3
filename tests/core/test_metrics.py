from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne import (
    Atlas,
    Grid,
    MetricField,
    RicciDeTurckFlow,
    flat_metric,
    perturbed_euclidean,
    solve_flow,
)
from riemann_lne.errors import (
    DTypeError,
    GridTooSmallError,
    InvalidArgumentError,
    NotFiniteError,
    NotPositiveDefiniteError,
    NotSymmetricError,
    RiemannLNEError,
    ShapeError,
)
from riemann_lne.testing import grids

GRID = Grid.torus((6, 5))
FLAT = np.eye(2).reshape(2, 2, 1, 1) * np.ones((1, 1, 6, 5))


def broken(at: tuple[int, ...], value: float, base: np.ndarray = FLAT) -> np.ndarray:
    result = base.copy()
    result[at] = value
    return result


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("components", "error", "builtin", "words"),
    [
        (broken((0, 1, 2, 3), 0.1), NotSymmetricError, ValueError, r"differ by 0.1 at .*\(2, 3\)"),
        (broken((0, 0, 4, 1), np.nan), NotFiniteError, ValueError, r"nan at index \(0, 0, 4, 1\)"),
        (broken((1, 1, 4, 1), -np.inf), NotFiniteError, ValueError,
         r"-inf at index \(1, 1, 4, 1\)"),
        (broken((1, 1, 3, 2), -0.5), NotPositiveDefiniteError, ValueError,
         r"smallest eigenvalue -0.5 at grid index \(3, 2\)"),
        (broken((1, 1, 3, 2), 0.0), NotPositiveDefiniteError, ValueError, r"\(3, 2\)"),
        (-FLAT, NotPositiveDefiniteError, ValueError, "smallest eigenvalue -1 "),
        (FLAT[:, :, :5], ShapeError, ValueError, r"\(2, 2, 5, 5\).*needs \(2, 2, 6, 5\)"),
        (np.moveaxis(FLAT, (0, 1), (-2, -1)), ShapeError, ValueError, "components first"),
        (FLAT[0], ShapeError, ValueError, "needs"),
        (np.ones((3, 3, 6, 5)), ShapeError, ValueError, "needs"),
        (FLAT.astype(int), DTypeError, TypeError, "int64.*float64"),
        (FLAT.astype(bool), DTypeError, TypeError, "bool"),
        (FLAT.astype(complex), DTypeError, TypeError, "complex128"),
        ("metric", DTypeError, TypeError, "str"),
        (None, DTypeError, TypeError, "expected an array"),
        (1.0, DTypeError, TypeError, "expected an array"),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused_with_the_place(
    components: Any, error: type[Exception], builtin: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        MetricField(GRID, components)
    assert isinstance(caught.value, RiemannLNEError)
    assert isinstance(caught.value, builtin)


def test_the_worst_place_is_named_and_kept_on_the_error() -> None:
    g = broken((1, 1, 0, 0), -0.1)
    g[0, 0, 2, 4] = -0.7
    with pytest.raises(NotPositiveDefiniteError) as caught:
        MetricField(GRID, g)
    assert caught.value.index == (2, 4)
    assert math.isclose(caught.value.eigenvalue or 0.0, -0.7)


def test_a_metric_that_is_positive_on_the_diagonal_alone_is_refused() -> None:
    g = FLAT.copy()
    g[0, 1, 1, 1] = g[1, 0, 1, 1] = 1.5
    with pytest.raises(NotPositiveDefiniteError, match=r"-0.5 at grid index \(1, 1\)"):
        MetricField(GRID, g)


def test_nested_lists_of_numbers_are_taken_if_they_are_floating() -> None:
    grid = Grid.torus((2, 2))
    rows = [[[[1.0, 1.0], [2.0, 1.0]], [[0.0] * 2] * 2], [[[0.0] * 2] * 2, [[1.0] * 2] * 2]]
    assert MetricField(grid, rows).components[0, 0, 1, 0] == 2.0
    with pytest.raises(DTypeError):
        MetricField(grid, np.asarray(rows, dtype=int).tolist())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_asymmetry_is_accepted_in_either_precision(dtype: str) -> None:
    eps = float(np.finfo(dtype).eps)
    MetricField(GRID, broken((0, 1, 2, 3), 4 * eps).astype(dtype))
    with pytest.raises(NotSymmetricError):
        MetricField(GRID, broken((0, 1, 2, 3), 64 * eps).astype(dtype))


# ---- what is made -------------------------------------------------------------------------


def test_a_function_may_return_nested_sequences_of_arrays_and_numbers(backend: Any) -> None:
    xp = backend.xp
    for dtype in ("float64", "float32"):
        g = MetricField.from_function(
            GRID,
            lambda x, y: [[2 + xp.cos(x), 0.5], (0.5, xp.exp(0 * y))],
            xp,
            backend.dtype(dtype),
        )
        assert g.components.dtype == backend.dtype(dtype)
        x, _ = GRID.coordinates()
        host = backend.numpy(g.components)
        assert host.shape == (2, 2, 6, 5)
        assert np.allclose(host[0, 0], 2 + np.cos(x), rtol=1e-6)
        assert np.all(host[0, 1] == 0.5)
        assert np.all(host[1, 1] == 1.0)


def test_a_function_may_return_an_array() -> None:
    g = MetricField.from_function(GRID, lambda x, y: FLAT * (2 + np.sin(y)))
    assert np.array_equal(g.components, FLAT * (2 + np.sin(GRID.coordinates()[1])))


def test_numpys_own_scalars_do_not_promote_float32() -> None:
    g = MetricField.from_function(
        GRID, lambda x, y: [[np.sqrt(2.0), 0], [0, np.float64(3) * np.cos(0 * x)]], dtype=np.float32
    )
    assert g.components.dtype == np.float32


@pytest.mark.parametrize("rows", [[[1.0]], [[1, 0], [0]], [1, 2], [[1, 0, 0]] * 3, []])
def test_a_function_with_the_wrong_number_of_components_is_refused(rows: Any) -> None:
    with pytest.raises(ShapeError, match="2 rows of 2 components"):
        MetricField.from_function(GRID, lambda x, y: rows)


@pytest.mark.parametrize("wrong", [1.0, None, "rows", {"a": 1}])
def test_a_function_that_returns_no_components_is_told_what_it_returned(wrong: Any) -> None:
    with pytest.raises(DTypeError, match=rf"returned {wrong!r}; give 2 rows of 2"):
        MetricField.from_function(GRID, lambda x, y: wrong)
    with pytest.raises(DTypeError, match=r"returned .*; give 2 rows"):
        solve_flow(flat_metric(GRID), RicciDeTurckFlow(lambda t, x, y: wrong), (0, 0.01))


@pytest.mark.parametrize(
    "make", [Atlas.sphere(2, 16).metric, partial(MetricField.from_function, GRID)]
)
def test_what_is_no_function_is_refused_by_name(make: Any) -> None:
    with pytest.raises(DTypeError, match=r"function = \[1, 2\]; give a function of the"):
        make([1, 2])


def test_packed_components_are_upper_rows_and_checked_unless_known() -> None:
    packed = np.stack([2 * np.ones((6, 5)), 0.5 * np.ones((6, 5)), np.ones((6, 5))])
    g = MetricField.from_packed(GRID, packed)
    assert np.all(g.components[0, 1] == 0.5)
    assert np.all(g.components[1, 0] == 0.5)
    assert np.all(g.components[0, 0] == 2.0)
    with pytest.raises(NotPositiveDefiniteError):
        MetricField.from_packed(GRID, -packed)
    MetricField.from_packed(GRID, -packed, check=False)
    with pytest.raises(ShapeError, match=r"\(4, 6, 5\)"):
        MetricField.from_packed(GRID, np.ones((4, 6, 5)))


def test_the_field_does_not_follow_its_argument() -> None:
    components = FLAT.copy()
    g = MetricField(GRID, components)
    components[...] = 7.0
    assert np.array_equal(g.components, FLAT)


def test_dimension_representation_and_mean() -> None:
    g = MetricField(GRID, FLAT * (2 + np.cos(GRID.coordinates()[0])))
    assert g.n == 2
    assert g.grid is GRID
    assert repr(g) == "MetricField(2-D torus (6, 5), float64)"
    assert np.allclose(g.mean().components, 2 * FLAT)


def test_one_dimension_has_volume_but_no_curvature() -> None:
    grid = Grid.torus((16,), 3.0)
    g = MetricField.from_function(grid, lambda x: [[4 + 0 * x]])
    assert math.isclose(g.volume(), 6.0)
    assert np.allclose(g.inverse(), 0.25)
    with pytest.raises(InvalidArgumentError, match="2 to 4"):
        g.ricci()


def test_volume_of_a_box_and_of_a_sphere() -> None:
    grid = Grid.box((0.2, 0.0), (1.3, 2.0), (33, 17))
    g = MetricField.from_function(grid, lambda a, b: [[1.0, 0], [0, np.sin(a) ** 2]])
    exact = 2.0 * (math.cos(0.2) - math.cos(1.3))
    assert math.isclose(g.volume(order=8), exact, rel_tol=1e-10)


# ---- random metrics -------------------------------------------------------------------------


@given(grids(1, 3, max_points=300), st.floats(1e-6, 0.99), st.integers(0, 2**31))
def test_the_amplitude_is_the_largest_eigenvalue_of_the_perturbation(
    grid: Grid, amplitude: float, seed: int
) -> None:
    g = perturbed_euclidean(grid, amplitude, seed)
    n = grid.ndim
    h = g.components - np.eye(n).reshape(n, n, *(1,) * n)
    eigenvalues = np.linalg.eigvalsh(np.moveaxis(h, (0, 1), (-2, -1)))
    assert math.isclose(float(np.max(np.abs(eigenvalues))), amplitude, rel_tol=1e-8)
    for axis, wraps in enumerate(grid.periodic):
        if not wraps:
            for end in (0, -1):
                assert np.max(np.abs(np.take(h, end, axis=2 + axis))) < 1e-15


def test_the_same_seed_gives_the_same_metric_on_every_library(backend: Any) -> None:
    for dtype in ("float64", "float32"):
        g = perturbed_euclidean(GRID, 0.2, seed=11, xp=backend.xp, dtype=backend.dtype(dtype))
        assert g.packed.dtype == backend.dtype(dtype)
        exact = perturbed_euclidean(GRID, 0.2, seed=11).packed
        assert np.array_equal(backend.numpy(g.packed), exact.astype(dtype))
    assert not np.array_equal(
        perturbed_euclidean(GRID, 0.2, seed=12).packed, perturbed_euclidean(GRID, 0.2, 11).packed
    )


def test_the_random_metric_is_made_of_the_modes_asked_for() -> None:
    grid = Grid.torus((12, 12), (3.0, 5.0))
    g = perturbed_euclidean(grid, 0.3, seed=1, modes=2)
    spectrum = np.abs(np.fft.fftn(g.packed, axes=(1, 2)))
    m = np.abs(np.fft.fftfreq(12, 1 / 12))
    beyond = (m.reshape(-1, 1) > 2) | (m.reshape(1, -1) > 2)
    assert np.max(spectrum[:, beyond]) < 1e-12
    assert np.min(spectrum[:, 2, 2]) > 1e-3
    assert np.allclose(spectrum[:, 0, 0], [144, 0, 144])  # the mean is Euclidean


@pytest.mark.parametrize("amplitude", [1.0, -0.1, 2.0, math.nan])
def test_amplitudes_outside_of_zero_to_one_are_refused(amplitude: float) -> None:
    with pytest.raises(InvalidArgumentError, match="amplitude"):
        perturbed_euclidean(GRID, amplitude)


def test_no_modes_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="modes"):
        perturbed_euclidean(GRID, 0.1, modes=0)


def test_amplitude_zero_is_the_euclidean_metric(backend: Any) -> None:
    one = perturbed_euclidean(GRID, 0.0, xp=backend.xp)
    two = flat_metric(GRID, xp=backend.xp)
    assert np.array_equal(backend.numpy(one.packed), backend.numpy(two.packed))


# ---- distance -------------------------------------------------------------------------------


def test_l2_distance_is_that_of_the_reference() -> None:
    grid = Grid.torus((8, 8), (2.0, 3.0))
    flat = flat_metric(grid)
    g = MetricField(grid, 4.0 * flat.components)
    # |g - delta|^2 = 9 n over the volume 6; seen from g, |h|^2 = 9 n / 16 over the volume 24.
    assert math.isclose(g.l2_distance(flat), math.sqrt(18 * 6.0))
    assert math.isclose(flat.l2_distance(g), math.sqrt(18 / 16 * 24.0))
    assert g.l2_distance(g) == 0.0


def test_l2_distance_between_different_grids_is_refused() -> None:
    with pytest.raises(ShapeError, match="different grids"):
        flat_metric(GRID).l2_distance(flat_metric(Grid.torus((6, 6))))


def test_components_cannot_be_written_to_behind_the_metric(rng: np.random.Generator) -> None:
    g = perturbed_euclidean(Grid.torus((6, 6)), 0.1)
    with pytest.raises(ValueError, match="read-only"):
        g.components[0, 0] = 2.0


@pytest.mark.parametrize("scale", [1e80, 1e-90])
def test_components_whose_determinant_overflows_are_refused(scale: float) -> None:
    grid = Grid.torus((5,) * 4)
    with pytest.raises(InvalidArgumentError, match="measure lengths in another unit"):
        MetricField(grid, flat_metric(grid).components * scale)


def test_a_box_that_resolves_nothing_is_refused() -> None:
    with pytest.raises(GridTooSmallError, match="more points"):
        perturbed_euclidean(Grid.box(0.0, 1.0, (2, 2)), 0.1)


def test_a_function_that_returns_an_array_gives_the_type_asked_for() -> None:
    grid = Grid.torus((5, 5))
    whole = np.array(flat_metric(grid).components)
    assert MetricField.from_function(grid, lambda x, y: whole, dtype=np.float32).packed.dtype == (
        np.float32
    )
