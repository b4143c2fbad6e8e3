"""Test your own metric: replace ``mine`` and the grid, then run pytest on this file."""

import numpy as np
import pytest
from hypothesis import given, settings

import riemann_lne as rl
from riemann_lne.testing import check_metric, check_stability, diffeomorphisms, perturbations

GRID = rl.Grid.torus((24, 24))


def mine(x, y):
    return [[2 + np.cos(y), 0.1], [0.1, 1.0]]


def test_it_is_a_metric():
    check_metric(mine, GRID)


# A formula with a mistake: g_11 vanishes at one point. The report names the property and the place.
def test_a_mistake_is_reported():
    with pytest.raises(AssertionError, match="positive definite"):
        check_metric(lambda x, y: [[1 + np.cos(y), 0.1], [0.1, 1.0]], GRID)


# Hypothesis draws metrics at a distance of at most 0.1 from mine, from smooth to hostile.
@settings(deadline=None, max_examples=20)
@given(perturbations(rl.MetricField.from_function(GRID, mine), size=0.1, norm="sup"))
def test_the_volume_depends_gently_on_the_metric(g):
    assert abs(g.volume() / rl.MetricField.from_function(GRID, mine).volume() - 1) < 0.2


# The volume is the same in other coordinates.
@settings(deadline=None, max_examples=20)
@given(diffeomorphisms(GRID))
def test_the_volume_does_not_depend_on_coordinates(change):
    components = rl.MetricField(GRID, change.pull_back(stacked, *GRID.coordinates()))
    assert abs(components.volume() / rl.MetricField.from_function(GRID, mine).volume() - 1) < 1e-3


def stacked(x, y):
    rows = [[entry + 0 * x for entry in row] for row in mine(x, y)]
    return np.stack([np.stack(row) for row in rows])


# Nor does the curvature, point by point.
@settings(deadline=None, max_examples=20)
@given(diffeomorphisms(GRID))
def test_the_curvature_moves_with_the_coordinates(change):
    check_metric(mine, GRID, checks="diffeomorphism", diffeomorphism=change)


# Near mine the Ricci-DeTurck flow with mine as its background does not run away.
def test_it_is_stable_under_its_own_flow():
    background = rl.MetricField.from_function(rl.Grid.torus((12, 12)), mine)
    flow = rl.RicciDeTurckFlow(background)
    check_stability(background, flow, 0.05, until=0.5, expect="exists", draws=8)
