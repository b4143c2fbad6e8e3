"""Steps: rejection, tolerances in the metric's norm, hints, splitting, single precision."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.integrators.methods.etd import ETDRK4
from riemann_lne.integrators.methods.runge_kutta import ExplicitRungeKutta
from riemann_lne.integrators.semidiscrete import scaled_error
from riemann_lne.tensors import pack

GRID = rl.Grid.torus((6, 6))


@pytest.mark.parametrize("method", ["tsit5", "bs32"])
def test_a_rejected_step_leaves_no_trace(
    method: str, pointwise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repetition starts from the same bits, and rate, at the same time."""
    calls: list[tuple[float, bytes, bytes | None, float]] = []
    step = ExplicitRungeKutta.step

    def watched(self: Any, system: Any, state: Any, dt: float, estimate: bool) -> Any:
        rate = None if state.rate is None else state.rate.tobytes()
        calls.append((state.t, state.y.tobytes(), rate, dt))
        return step(self, system, state, dt, estimate)

    monkeypatch.setattr(ExplicitRungeKutta, "step", watched)
    flow = pointwise(lambda t, y: y * 3 * math.exp(-((t - 5) ** 2)))
    solution = rl.solve_flow(rl.flat_metric(GRID), flow, (0, 10), method, rtol=1e-8, atol=1e-10)
    assert solution.n_rejected >= 1
    assert len(calls) == solution.n_accepted + solution.n_rejected
    repeated = [(a, b) for a, b in pairwise(calls) if a[0] == b[0]]
    assert len(repeated) == solution.n_rejected
    for first, second in repeated:
        assert first[1:3] == second[1:3]
        assert second[3] < first[3]
    # Kept are the states that steps started from and the last one, nothing else.
    starts = {c[0]: c[1] for c in calls}
    assert sorted(starts) == solution.t[:-1].tolist()
    for t, metric in zip(solution.t[:-1], solution.metrics, strict=False):
        assert metric.packed.tobytes() == starts[t]


@pytest.mark.parametrize("n", [2, 3])
def test_the_norm_of_the_error_does_not_depend_on_coordinates(n: int) -> None:
    rng = np.random.default_rng(n)
    points = (5,) * n
    a = rng.normal(size=(n, n, *points))
    g = np.einsum("ik...,jk...->ij...", a, a) + np.eye(n).reshape(n, n, *(1,) * n)
    e = rng.normal(size=(n, n, *points))
    e = e + np.swapaxes(e, 0, 1)
    inverse = np.moveaxis(np.linalg.inv(np.moveaxis(g, (0, 1), (-2, -1))), (-2, -1), (0, 1))
    expected = np.sqrt(np.einsum("ik...,jl...,ij...,kl...->...", inverse, inverse, e, e)).max()
    assert math.isclose(scaled_error(pack(e), pack(g), n, 0.0, 1.0), expected, rel_tol=1e-10)
    change = rng.normal(size=(n, n)) + 2 * np.eye(n)
    e, g = (np.einsum("ia,jb,ij...->ab...", change, change, h) for h in (e, g))
    assert math.isclose(scaled_error(pack(e), pack(g), n, 0.0, 1.0), expected, rel_tol=1e-8)
    assert math.isclose(scaled_error(pack(g), pack(g), n, 1.0, 0.0), 1.0, rel_tol=1e-12)


@pytest.mark.parametrize("method", ["tsit5", "bs32", "rkl2"])
def test_steps_are_the_same_in_other_units_of_length(method: str) -> None:
    """c g(t / c) solves what g(t) does: with atol = 0 its steps are c times as long."""
    g = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.3, seed=1)
    big = rl.MetricField(g.grid, 1e4 * g.components)
    options: dict[str, Any] = {"rtol": 1e-7, "atol": 0.0}
    one = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.2), method, **options)
    two = rl.solve_flow(big, rl.RicciDeTurckFlow(), (0, 0.2e4), method, **options)
    assert one.n_accepted == two.n_accepted
    assert np.allclose(1e4 * one.t, two.t, rtol=1e-6)


def test_an_explicit_method_at_its_stability_limit_says_so() -> None:
    g = rl.perturbed_euclidean(rl.Grid.torus((24, 24)), 0.1, seed=1)
    stiff = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 3), "tsit5", [3], rtol=1e-4, order=2)
    assert stiff.status == 0
    assert "the problem is stiff" in stiff.message
    assert f"of {stiff.n_accepted} steps were held back by the stability limit of 'tsit5'" in (
        stiff.message
    )
    assert "'rkl2' or 'etdrk4'" in stiff.message
    other = rl.solve_flow(g, rl.RicciFlow(), (0, 3), "bs32", [3], rtol=1e-4, order=2)
    assert other.message.endswith("try method 'rkl2'")
    for method in ("rkl2", "etdrk4"):
        easy = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 3), method, [3], rtol=1e-4, order=2)
        assert easy.message == "reached the end of t_span"


def test_held_back_by_accuracy_is_not_called_stiff(pointwise: Any) -> None:
    flow = pointwise(lambda t, y: -y * math.cos(30 * t), radius=1.0)
    solution = rl.solve_flow(rl.flat_metric(GRID), flow, (0, 5), "bs32", rtol=1e-9)
    assert solution.n_accepted > 200
    assert solution.message == "reached the end of t_span"


# ---- the splitting of etdrk4 ----------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_long_exponential_steps_are_stable_for_strong_perturbations(seed: int) -> None:
    """Where g is small, g^ab is several times that of the mean metric."""
    g = rl.perturbed_euclidean(rl.Grid.torus((32, 32)), 0.9, seed=seed)
    end = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.5), "etdrk4", [0.5], 0.02)
    assert end.status == 0
    exact = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.5), "tsit5", [0.5])[-1]
    assert np.max(np.abs(end[-1].packed - exact.packed)) < 2e-3


def test_the_splitting_follows_the_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = []
    split = ETDRK4._split

    def counted(self: ETDRK4, mean: np.ndarray, y: Any) -> None:
        splits.append(mean.copy())
        split(self, mean, y)

    monkeypatch.setattr(ETDRK4, "_split", counted)
    g = rl.perturbed_euclidean(GRID, 0.0)
    rl.solve_flow(g, rl.ScaledFlow(rl.RicciDeTurckFlow(), 1.0), (0, 1), "etdrk4", dt=0.01)
    ratios = [b[0] / a[0] for a, b in pairwise(splits)]
    # One at the start, then whenever 1 + 0.01 k has passed 1.1: every tenth step of 0.01.
    assert len(splits) == 10
    assert all(1.1 < r < 1.112 for r in ratios)


def test_coefficients_do_not_depend_on_which_of_nearly_equal_steps_came_first() -> None:
    from riemann_lne.integrators.semidiscrete import SemiDiscreteFlow

    g = rl.perturbed_euclidean(GRID, 0.1)
    system = SemiDiscreteFlow(rl.RicciDeTurckFlow(), GRID, 2, None, g.packed, (0, 1))
    y = g.packed.astype(complex)
    near = 0.1 * (1 + 1e-15)
    weights = []
    for steps in ((0.1, near), (near, 0.1)):
        integrator = ETDRK4(system, g.packed)
        weights.append([integrator.weights(dt, y) for dt in steps][-1])
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


# ---- single precision -----------------------------------------------------------------------

EPS = float(np.finfo(np.float32).eps)
SAUSAGE = rl.exact.periodic_sausage((1, 0))


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2", "etdrk4"])
def test_single_precision_differs_from_double_by_rounding(method: str) -> None:
    """Rounding of the differences, about eps / h^2 a unit of time, against the decay of modes."""
    ends = []
    for dtype in (np.float64, np.float32):
        start = SAUSAGE.field(1.0, SAUSAGE.grid(32), dtype=dtype)
        solution = rl.solve_flow(start, rl.RicciDeTurckFlow(), (1, 1.5), method, [1.5], rtol=1e-4)
        assert solution.status == 0
        assert solution[-1].packed.dtype == dtype
        ends.append(solution[-1].packed.astype(np.float64))
    h = SAUSAGE.grid(32).spacing[0]
    gap = np.max(np.abs(ends[0] - ends[1]))
    assert 0 < gap < 20 * EPS / h**2 * 0.5


def test_everything_around_the_steps_keeps_single_precision(tmp_path: Any) -> None:
    grid = rl.Grid.box(0.0, math.pi, (13, 13))
    start = rl.MetricField.from_function(
        grid,
        lambda x, y: [[1 + 0.1 * np.cos(x) * np.cos(y), 0], [0, 1]],
        dtype=np.float32,
    )
    flows = (rl.RicciFlow(gauge="deturck"), rl.NormalizedRicciFlow(rl.RicciDeTurckFlow()))
    for k, flow in enumerate((*flows, rl.ScaledFlow(rl.RicciDeTurckFlow(), 0.1))):
        solution = rl.solve_flow(
            start, flow, (0, 0.2), "rkl2", [0.05, 0.1, 0.2], boundary="reflecting",
            dense_output=True, events=lambda t, g: t - 0.07, checkpoint=tmp_path / str(k),
            observe={"volume": lambda g: g.volume()},
        )  # fmt: skip
        assert solution.status == 0, solution.message
        again = rl.solve_flow(
            start, flow, (0, 0.2), "rkl2", [0.05, 0.1, 0.2], boundary="reflecting",
            dense_output=True, events=solution_event, checkpoint=None,
            observe={"volume": lambda g: g.volume()},
        )  # fmt: skip
        for metric in (*solution.metrics, *solution.metrics_events[0], *again.metrics):
            assert metric.packed.dtype == np.float32
        double = rl.solve_flow(
            rl.MetricField(grid, start.components.astype(np.float64)), flow, (0, 0.2), "rkl2",
            [0.2], boundary="reflecting",
        )  # fmt: skip
        assert np.max(np.abs(solution[-1].packed - double[-1].packed)) < 1e-4


def solution_event(t: float, metric: rl.MetricField) -> float:
    return t - 0.07


def test_tolerances_below_the_precision_are_raised_to_it() -> None:
    start = SAUSAGE.field(1.0, SAUSAGE.grid(16), dtype=np.float32)
    solution = rl.solve_flow(start, rl.RicciDeTurckFlow(), (1, 1.1), "rkl2", rtol=1e-9)
    assert solution.parameters["rtol"] == 100 * EPS
    assert rl.solve_flow(start, rl.RicciDeTurckFlow(), (1, 1.1), rtol=1e-3).parameters["rtol"] == (
        1e-3
    )
