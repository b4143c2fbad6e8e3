"""Strategies of closed manifolds: bounded, smooth at the poles, shrinking to the round sphere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import riemann_lne
from riemann_lne.errors import GridTooSmallError, InvalidArgumentError
from riemann_lne.symmetric import RotationalMetric, round_sphere, solve
from riemann_lne.testing import (
    dumbbells,
    find_counterexample,
    perturbed_sphere,
    rotational_spheres,
)

EVERY = st.one_of(rotational_spheres(0.9, fixed_size=True), rotational_spheres(0.3, n=3, points=30))
EVERY |= dumbbells(points=50)


def size_of(g: RotationalMetric, radius: float = 1.0) -> float:
    """The largest component of g - gbar in a frame orthonormal for the round metric."""
    along, around = g.phi / radius, g.psi / (radius * np.sin(g.x))
    return float(max(np.abs(along**2 - 1).max(), np.abs(around**2 - 1).max()))


@given(st.data(), st.floats(1e-3, 0.98), st.integers(1, 4), st.floats(0.1, 10.0))
def test_the_bound_holds_and_is_nearly_met(
    data: st.DataObject, size: float, n: int, radius: float
) -> None:
    drawn = rotational_spheres(size, n, 200, radius, fixed_size=True)
    g = data.draw(drawn)
    found = size_of(g, radius)
    assert found <= size * (1 + 1e-12)
    given_some = any(g.recipe.arguments["spheres"] + g.recipe.arguments["meridians"])
    assert found >= 0.97 * size or not given_some
    assert (g.n, g.points) == (n, 200)


def test_the_metric_is_the_same_on_finer_points() -> None:
    # Points of a grid three times as fine include those of the coarse one.
    coarse, fine = (perturbed_sphere(k, 0.4, (0.3, -1.0, 0.2, 0.5, 0.9), (1.0,)) for k in (9, 27))
    np.testing.assert_allclose(fine.psi[1::3], coarse.psi, rtol=1e-13)
    np.testing.assert_allclose(fine.phi[1::3], coarse.phi, rtol=1e-13)


@given(EVERY)
def test_drawn_metrics_are_smooth_at_their_poles(g: RotationalMetric) -> None:
    # The check of given profiles knows nothing of how they were made.
    RotationalMetric(g.phi, g.psi, g.n)
    assert np.all(np.isfinite(g.pole_curvature()))


def test_they_shrink_to_the_round_sphere_and_to_the_widest_even_dumbbell() -> None:
    g = find(rotational_spheres(0.2, n=3, radius=2.0), lambda g: True)
    np.testing.assert_allclose(g.psi, round_sphere(48, 2.0, 3).psi, rtol=1e-14)
    neck = find(dumbbells(0.1, 0.3), lambda g: True).recipe.arguments
    assert (neck["neck"], neck["tilt"]) == (0.3, 0.0)
    thin = find(dumbbells(0.1, 0.3), lambda g: g.neck_radius() < 0.11)
    assert thin.recipe.arguments["tilt"] == 0.0


@settings(max_examples=20)
@given(EVERY)
def test_they_print_as_code_that_makes_them(g: Any) -> None:
    assert eval(repr(g), {"riemann_lne": riemann_lne}) == g
    names: dict[str, Any] = {}
    exec(g.recipe.script, names)
    assert names["example"] == g


@given(rotational_spheres(0.2, n=1, points=64))
def test_gauss_and_bonnet(g: RotationalMetric) -> None:
    # Order 4: for three waves on 64 points the error is near 1e-5.
    assert abs(g.integrals(g.scalar_curvature()).sum() / (8 * math.pi) - 1) < 1e-4


@settings(max_examples=6)
@given(rotational_spheres(0.2, points=24))
def test_the_normalised_flow_goes_round_and_keeps_the_volume(g: RotationalMetric) -> None:
    end = solve(g, (0, 1.5), normalized=True, rtol=1e-3)[-1]
    assert 1 - end.roundness() <= max(0.2 * (1 - g.roundness()), 1e-3)
    assert abs(end.volume() / g.volume() - 1) < 2e-3


@given(dumbbells(0.05, 0.45, tilt=0.45, points=60))
def test_dumbbells_have_one_neck_between_two_bumps(g: RotationalMetric) -> None:
    assert len(g.necks()) == 1
    assert len(g.bumps()) == 2
    assert g.neck_radius() <= 0.45 * (1 + 1e-3)


def test_a_search_finds_a_sphere_of_negative_curvature_and_none_in_a_small_ball() -> None:
    def positive(g: RotationalMetric) -> float:
        return -float(min(k.min() for k in g.sectional_curvatures()))

    found = find_counterexample(positive, rotational_spheres(0.5), max_examples=20, seed=1)
    assert found is not None
    assert min(k.min() for k in found.example.sectional_curvatures()) < 0
    assert "perturbed_sphere(" in found.code
    small = rotational_spheres(0.01)
    assert find_counterexample(positive, small, max_examples=20, local=50) is None


def test_a_property_that_the_round_sphere_violates_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="violated by the background itself"):
        find_counterexample(lambda g: g.volume() - 1.0, rotational_spheres(0.1), max_examples=5)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: rotational_spheres(0.0), InvalidArgumentError, "size"),
        (lambda: rotational_spheres(1.0), InvalidArgumentError, "size"),
        (lambda: rotational_spheres(math.nan), InvalidArgumentError, "size"),
        (lambda: rotational_spheres(n=0), InvalidArgumentError, "n = 0"),
        (lambda: rotational_spheres(points=4), GridTooSmallError, "4"),
        (lambda: rotational_spheres(radius=-1.0), InvalidArgumentError, "radius"),
        (lambda: rotational_spheres(modes=-1), InvalidArgumentError, "modes"),
        (lambda: perturbed_sphere(20, 0.1, ("a",)), InvalidArgumentError, r"spheres\[0\]"),
        (lambda: perturbed_sphere(20, 0.1, meridians=(math.inf,)), InvalidArgumentError, "merid"),
        (lambda: dumbbells(0.5, 0.4), InvalidArgumentError, "max_neck"),
        (lambda: dumbbells(0.1, 0.7), InvalidArgumentError, "2/3"),
        (lambda: dumbbells(0.1, 0.5, tilt=1.0), InvalidArgumentError, "tilt"),
        (lambda: dumbbells(-0.1), InvalidArgumentError, "min_neck"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(call: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        call()
