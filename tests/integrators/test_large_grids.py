"""What is promised of large grids: memory, and steps beyond the explicit limit."""

import tracemalloc

import numpy as np
import pytest

import riemann_lne as rl


@pytest.fixture
def flow():
    return rl.RicciDeTurckFlow()


@pytest.mark.parametrize("order", [2, 4, 6])
def test_the_right_hand_side_in_three_dimensions_takes_a_few_times_the_metric(flow, order):
    grid = rl.Grid.torus((64, 64, 64))
    packed = rl.perturbed_euclidean(grid, 0.2, modes=1).packed
    tracemalloc.start()
    try:
        flow.rhs(0.0, packed, grid, order)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The padded copy (about 1.3), the result (1) and one tile; measured 3.5 to 3.7.
    assert peak < 4 * packed.nbytes


@pytest.mark.parametrize("shape", [(24, 24), pytest.param((48, 48, 48), marks=pytest.mark.slow)])
def test_etdrk4_is_stable_at_ten_times_the_limit_of_rk4(flow, shape):
    start = rl.perturbed_euclidean(rl.Grid.torus(shape), 0.3)
    limit = 2.785 / flow.spectral_radius(start.packed, start.grid, 4)
    # The limit is real: half as much again breaks off.
    over = rl.solve_flow(start, flow, (0, 150 * limit), "rk4", [150 * limit], 1.5 * limit)
    assert not over.success
    end = 480 * limit
    solution = rl.solve_flow(start, flow, (0, end), "etdrk4", [end], 10 * limit)
    assert solution.success
    fine = rl.solve_flow(start, flow, (0, end), "etdrk4", [end], 5 * limit)
    assert solution[-1].l2_distance(fine[-1]) < 1e-3
    mean = solution[-1].mean()
    assert solution[-1].l2_distance(mean) < 0.5 * start.l2_distance(start.mean())
    assert np.isfinite(solution[-1].packed).all()
