from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne import Grid, MetricField, flat_metric, perturbed_euclidean
from riemann_lne.analysis.norms import l2_norm, pointwise_norm, sup_norm
from riemann_lne.errors import ShapeError
from riemann_lne.tensors import pack
from riemann_lne.testing import near_euclidean_metrics

GRID = Grid.torus((8, 6), (2.0, 3.0))


def test_norms_of_a_known_tensor() -> None:
    h = np.array([[3.0, 4.0], [4.0, 0.0]]).reshape(2, 2, 1, 1) * np.ones((1, 1, 8, 6))
    g = MetricField(GRID, np.diag([1.0, 4.0]).reshape(2, 2, 1, 1) * np.ones((1, 1, 8, 6)))
    # |h|^2 = 9 + 2 * 16 / 4 = 17; the volume is 2 * 6 = 12.
    assert np.allclose(pointwise_norm(h, g), math.sqrt(17))
    assert math.isclose(sup_norm(h, g), math.sqrt(17))
    assert math.isclose(l2_norm(h, g), math.sqrt(17 * 12))
    assert math.isclose(l2_norm(pack(h), g), l2_norm(h, g))


def test_the_sup_norm_is_at_the_worst_place() -> None:
    h = np.zeros((2, 2, 8, 6))
    h[1, 1, 3, 4] = -0.25
    assert sup_norm(h, flat_metric(GRID)) == 0.25
    assert np.count_nonzero(pointwise_norm(h, flat_metric(GRID))) == 1


METRICS = near_euclidean_metrics(GRID, 0.6)


@given(METRICS)
def test_the_metric_has_norm_root_n(g: MetricField) -> None:
    assert np.allclose(pointwise_norm(g.components, g), math.sqrt(2), rtol=1e-12)
    assert math.isclose(l2_norm(g.components, g), math.sqrt(2 * g.volume()), rel_tol=1e-12)


@given(METRICS, METRICS, METRICS, st.floats(-5, 5))
def test_norms_are_norms(g: MetricField, a: MetricField, b: MetricField, c: float) -> None:
    h, k = a.components - 1.5 * b.components, b.components
    for norm in (sup_norm, l2_norm):
        assert math.isclose(norm(c * h, g), abs(c) * norm(h, g), rel_tol=1e-9, abs_tol=1e-12)
        assert norm(h + k, g) <= (norm(h, g) + norm(k, g)) * (1 + 1e-12)
        assert norm(h, g) > 0
        assert norm(0.0 * h, g) == 0.0


@given(METRICS, METRICS, st.floats(0.1, 10.0))
def test_norms_of_tensors_with_two_lower_indices_scale_inversely(
    g: MetricField, a: MetricField, c: float
) -> None:
    scaled = MetricField(g.grid, c * g.components)
    assert math.isclose(sup_norm(a.components, scaled), sup_norm(a.components, g) / c, rel_tol=1e-9)
    # The volume grows as c^(n/2) with n = 2, the square of the norm falls as c^-2.
    left, right = l2_norm(a.components, scaled), l2_norm(a.components, g) / math.sqrt(c)
    assert math.isclose(left, right, rel_tol=1e-9)


def test_norms_work_on_every_library_and_leave_the_precision(backend: Any) -> None:
    g = perturbed_euclidean(GRID, 0.3, seed=2)
    h = perturbed_euclidean(GRID, 0.3, seed=3).components - 1.1 * g.components
    for dtype, tolerance in (("float64", 1e-13), ("float32", 1e-5)):
        metric = MetricField(GRID, backend.array(g.components, dtype))
        tensor = backend.array(h, dtype)
        assert pointwise_norm(tensor, metric).dtype == backend.dtype(dtype)
        assert isinstance(sup_norm(tensor, metric), float)
        assert math.isclose(l2_norm(tensor, metric), l2_norm(h, g), rel_tol=tolerance)
        assert math.isclose(sup_norm(tensor, metric), sup_norm(h, g), rel_tol=tolerance)


@pytest.mark.parametrize("shape", [(2, 2, 6, 8), (4, 8, 6), (2, 8, 6), (8, 6)])
def test_tensors_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="does not fit MetricField"):
        sup_norm(np.ones(shape), flat_metric(GRID))


def test_the_l2_norm_on_a_box_is_integrated_at_its_order() -> None:
    errors = []
    for size in (17, 33):
        grid = Grid.box(0.0, 1.0, (size, size))
        x, y = grid.coordinates()
        h = np.eye(2).reshape(2, 2, 1, 1) * np.exp(x + y / 2)
        exact = math.sqrt(2 * (math.exp(2) - 1) / 2 * (math.e - 1))
        errors.append(abs(l2_norm(h, flat_metric(grid), order=4) - exact))
    assert math.log2(errors[0] / errors[1]) > 3.8
