"""A flow that ends early keeps what it has, and says why."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import DTypeError, InvalidArgumentError, NotSymmetricError


def test_a_boundary_function_that_ends_ends_the_flow_with_its_reason():
    sphere = rl.exact.round_sphere(2)
    start = sphere.field(0.0, sphere.grid(9))
    solution = rl.solve_flow(
        start, rl.RicciFlow(), (0, 0.6), "rkl2", [0.1, 0.55], 0.01, boundary=sphere.metric
    )
    assert solution.status == -1
    assert "stopped at t = 0.4" in solution.message
    assert "exists for -inf < t < 0.5" in solution.message
    assert solution.t[0] == 0.1
    assert 0.4 < solution.t[1] < 0.5


def test_a_boundary_function_is_not_asked_beyond_the_span_of_the_flow():
    nil = rl.exact.nil()  # second-order differences are exact on it
    asked = []

    def boundary(t, *x):
        asked.append(t)
        return nil.metric(t, *x)

    start = nil.field(0.1, rl.Grid.box(-2.0, 2.0, (5, 5, 5)))
    solution = rl.solve_flow(
        start, rl.RicciFlow(), (0.1, 0.2), "rk4", [0.2], 0.01, order=2, boundary=boundary
    )
    assert (min(asked), max(asked)) == (0.1, 0.2)
    later = nil.field(0.2, start.grid)
    assert np.abs(solution[-1].components - later.components).max() < 1e-8


def test_a_boundary_function_that_is_not_symmetric_is_refused():
    start = rl.flat_metric(rl.Grid.box(0.0, 1.0, (9, 9)))
    with pytest.raises(NotSymmetricError, match="boundary function"):
        rl.solve_flow(
            start, rl.RicciFlow(), (0, 1), "rk4", boundary=lambda t, x, y: [[1, 0.1], [0, 1]]
        )


def test_a_boundary_function_that_is_wrong_from_the_start_is_an_error():
    sphere = rl.exact.round_sphere(2)
    start = sphere.field(0.0, sphere.grid(9))
    with pytest.raises(InvalidArgumentError, match=r"not at t = 0\.7"):
        rl.solve_flow(start, rl.RicciFlow(), (0.7, 0.8), "rk4", boundary=sphere.metric)


def test_the_last_good_metric_is_kept_where_a_step_fails():
    start = rl.perturbed_euclidean(rl.Grid.torus((16, 16)), 0.3)
    limit = 2.785 / rl.RicciDeTurckFlow().spectral_radius(start.packed, start.grid, 4)
    dt = 1.5 * limit
    solution = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 200 * dt), "rk4", [200 * dt], dt)
    assert solution.status == -1
    assert len(solution) == 1
    assert solution.t[0] == pytest.approx(solution.n_accepted * dt)
    assert 0 < solution.n_accepted < 200
    assert np.all(np.linalg.eigvalsh(np.moveaxis(solution[0].components, (0, 1), (-2, -1))) > 0)


@pytest.mark.parametrize("dt", [None, 0.001])
def test_a_flow_ends_after_as_many_steps_as_it_may_take(dt):
    start = rl.perturbed_euclidean(rl.Grid.torus((16, 16)), 0.3)
    solution = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 1), "rk4", dt=dt, max_steps=7)
    assert solution.status == -1
    assert "max_steps = 7" in solution.message
    assert len(solution) == 8
    with pytest.raises(InvalidArgumentError, match="max_steps = 0"):
        rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 1), max_steps=0)


def test_what_is_no_metric_or_no_flow_is_refused():
    start = rl.flat_metric(rl.Grid.torus((8, 8)))
    with pytest.raises(DTypeError, match=r"make a MetricField\(grid, components\)"):
        rl.solve_flow(start.components, rl.RicciFlow(), (0, 1))
    with pytest.raises(DTypeError, match=r"such as RicciDeTurckFlow\(\)"):
        rl.solve_flow(start, rl.RicciFlow, (0, 1))
