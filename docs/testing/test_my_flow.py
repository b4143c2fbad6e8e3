"""Test your own flow or integrator: replace ``MyFlow`` and ``heun``, then run pytest on it."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.testing import check_flow, check_integrator, check_stability


class MyFlow:
    """A flow by array code: here the Ricci-DeTurck flow, to stand for yours."""

    parabolic = True  # its linear part is the Laplacian, so that rkl2 and etdrk4 apply

    def rhs(self, t, packed, grid, order):
        return rl.RicciDeTurckFlow().rhs(t, packed, grid, order)

    def spectral_radius(self, packed, grid, order):
        return rl.RicciDeTurckFlow().spectral_radius(packed, grid, order)


def test_it_is_a_flow_of_metrics():
    check_flow(MyFlow(), dimensions=[2])


def test_it_solves_the_equation_that_it_claims_to_solve():
    check_flow(MyFlow(), solves="ricci-deturck", dimensions=[2], checks=["exact", "monotone"])


class WithAMistake(MyFlow):
    """The spacing of the first axis is used for both."""

    def rhs(self, t, packed, grid, order):
        side = grid.spacing[0] * np.array(grid.shape)
        square = rl.Grid(grid.shape, (0.0, 0.0), tuple(side), grid.periodic)
        return super().rhs(t, packed, square, order)


def test_a_mistake_is_reported():
    with pytest.raises(AssertionError, match=r"exact.*missed"):
        check_flow(WithAMistake(), solves="ricci-deturck", dimensions=[2], checks="exact")


# Perturbations of the flat metric, drawn from smooth to hostile, decay as the linear theory says.
def test_the_flat_torus_is_stable():
    check_stability(2, MyFlow(), 0.05, until=3.0, expect="converges", draws=10)


def heun(metric, flow, span, dt):
    """An integrator of second order, to stand for yours."""
    (t, end), g = span, np.array(metric.packed)
    steps = max(1, round((end - t) / dt))
    h = (end - t) / steps
    for k in range(steps):
        slope = flow.rhs(t + k * h, g, metric.grid, 4)
        g = g + h / 2 * (slope + flow.rhs(t + (k + 1) * h, g + h * slope, metric.grid, 4))
    return rl.MetricField.from_packed(metric.grid, g)


def test_the_integrator_has_its_order():
    check_integrator(heun, order=2)


def test_an_order_that_is_not_met_is_reported():
    with pytest.raises(AssertionError, match="order: missed"):
        check_integrator(heun, order=3, checks="order")


# rk4 with steps above its limit: the search shows the direction that grows, the shortest wave.
def test_steps_beyond_the_limit_are_found():
    flow, flat = rl.RicciDeTurckFlow(), rl.flat_metric(rl.Grid.torus((12, 12)))
    limit = 2.785 / flow.spectral_radius(flat.packed, flat.grid, 4)
    options = {"method": "rk4", "kernel": "plain", "dt": 1.15 * limit}
    with pytest.raises(AssertionError, match="checkerboard"):
        check_stability(
            flat, flow, 0.01, until=40 * limit, expect="bounded", solve=options, refine=False,
            kinds=["one_directional", "checkerboard"], draws=20, seed=1,
        )  # fmt: skip
