"""Conformal metrics on closed surfaces: bounded, shrinking to constant curvature, and stable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import riemann_lne as rl
import riemann_lne.testing as kit
from riemann_lne.conformal import ConformalMetric, Sphere, Torus, round_sphere
from riemann_lne.errors import DTypeError, InvalidArgumentError, ShapeError

SPHERE = Sphere(10)
TORUS = Torus(rl.Grid.torus((16, 18), (2 * np.pi, 5.0)), [[1.0, 0.3], [0.3, 1.2]])
SURFACES = pytest.mark.parametrize("surface", [SPHERE, TORUS], ids=["sphere", "torus"])


def constant(surface: Any) -> ConformalMetric:
    return ConformalMetric(surface, np.zeros(surface.shape))


@SURFACES
@settings(max_examples=25)
@given(data=st.data(), size=st.floats(1e-3, 3.0))
def test_the_bound_holds_and_is_nearly_met_on_finer_points_too(
    surface: Any, data: Any, size: float
) -> None:
    g = data.draw(kit.conformal_metrics(surface, size, fixed_size=True))
    flow = kit.ConformalEvolution()
    fine = flow.refine(g)
    found = flow.distance(fine, constant(fine.surface))
    assert found <= size * (1 + 1e-12)
    assert flow.distance(g, constant(surface)) <= size * (1 + 1e-12)
    assert found >= 0.97 * size or not any(g.recipe.arguments["modes"])
    # The same metric, not only another of the recipe.
    bare = flow.refine(ConformalMetric(surface, g.u))
    assert flow.distance(bare, fine) < 1e-10


@SURFACES
def test_they_shrink_to_constant_curvature_and_print_as_code(surface: Any) -> None:
    strategy = kit.conformal_metrics(surface, 0.3)
    assert find(strategy, lambda g: True) == constant(surface)
    found = kit.find_counterexample(
        lambda g: np.ptp(g.u) < 0.1, kit.conformal_metrics(surface, 0.3), max_examples=9, shrink=5
    )
    assert found is not None
    g = found.example
    names: dict[str, Any] = {}
    exec(g.recipe.script, names)
    assert names["example"] == g


def test_spheres_go_round_at_the_rate_of_the_linearised_flow_in_whatever_coordinates() -> None:
    """4 / r^2, and 10 / r^2 for the next degree; the limit is no constant factor."""
    flow = kit.ConformalEvolution()
    start = kit.perturbed_conformal(SPHERE, 0.2, (0.3, 0.5, 0.2, 0.0, 1.0, 0.4))
    report = kit.judge_stability(start, constant(SPHERE), flow, until=1.5, expect="decays")
    assert report.holds, report.reason
    limit = flow.limit(report.solution)
    assert report.predicted_rate == pytest.approx(4 * limit.curvature().max(), rel=1e-6)
    assert report.rate == pytest.approx(report.predicted_rate, rel=0.02)
    assert np.ptp(limit.u) > 0.01
    assert flow.distance(report.solution.metrics[-1], limit) < 1e-3
    third = kit.perturbed_conformal(SPHERE, 0.01, (0.0,) * 9 + (1.0, 0.5))
    fast = kit.judge_stability(third, constant(SPHERE), flow, until=0.6, expect="decays")
    assert fast.rate == pytest.approx(10, rel=0.02)


def test_tori_go_flat_at_the_lowest_eigenvalue_of_the_laplacian() -> None:
    start = kit.perturbed_conformal(TORUS, 0.1, (0.5, 1.0, 0.3, 0.2))
    report = kit.judge_stability(
        start, constant(TORUS), rl.NormalizedRicciFlow(), until=6.0, expect="decays"
    )
    assert report.holds, report.reason
    assert report.rate == pytest.approx(report.predicted_rate, rel=0.02)


@SURFACES
def test_no_conformal_start_is_unstable(surface: Any) -> None:
    starts = kit.conformal_metrics(surface, 0.2)
    result = kit.check_stability(
        constant(surface), rl.NormalizedRicciFlow(), starts, until=3.0, draws=5, seed=1
    )
    assert result.evaluations >= 5


def test_shapes_are_compared_where_spheres_shrink() -> None:
    shapes, sizes = kit.ConformalEvolution(normalized=False), kit.ConformalEvolution()
    one, two = round_sphere(SPHERE), round_sphere(SPHERE, 1.1)
    assert shapes.distance(two, one) < 1e-12
    assert sizes.distance(two, one) == pytest.approx(0.21)
    assert shapes.predicted_rate(one) is None
    assert sizes.predicted_rate(kit.perturbed_conformal(SPHERE, 0.1, (0, 0, 0, 0, 1))) is None


def test_a_search_finds_negative_curvature_with_its_radius() -> None:
    def positive(g: ConformalMetric) -> float:
        return -float(g.curvature().min())

    found = kit.find_counterexample(positive, kit.conformal_metrics(SPHERE, 2.0), max_examples=40)
    assert found is not None
    assert found.example.curvature().min() < 0
    assert "perturbed_conformal(" in found.code
    report = kit.stability_radius(
        constant(SPHERE), kit.ConformalEvolution(), until=1e-4, largest=2.0, directions=2,
        expect=lambda run: positive(run.metrics[0]), rtol=0.02,
        direction=kit.conformal_metrics(SPHERE, 2.0),
    )  # fmt: skip
    assert math.isfinite(report.fails_from)
    assert not report.of_the_grid
    assert [bracket.shape for bracket in report.by_grid] == [SPHERE.shape, Sphere(20).shape]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: kit.conformal_metrics(3), DTypeError, "surface = 3"),
        (lambda: kit.conformal_metrics(SPHERE, 0.0), InvalidArgumentError, "size = 0"),
        (lambda: kit.perturbed_conformal(SPHERE, -1.0), InvalidArgumentError, "size"),
        (lambda: kit.perturbed_conformal(SPHERE, 0.1, ("a",)), InvalidArgumentError, r"modes\[0\]"),
        (lambda: kit.perturbed_conformal(TORUS, 0.1, (1.0,) * 14), InvalidArgumentError, "most 13"),
        (lambda: kit.ConformalEvolution().distance(constant(SPHERE), constant(TORUS)), ShapeError,
         "the same surface"),
        (lambda: kit.ConformalEvolution().distance(constant(SPHERE), 1.0), InvalidArgumentError,
         "no ConformalMetric"),
        (lambda: kit.check_stability(constant(SPHERE), rl.RicciFlow(),
                                     kit.rotational_spheres(0.1), until=0.1),
         InvalidArgumentError, "conformal_metrics"),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(call: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        call()
