"""The checks pass what is right and catch planted faults, each by the property that it breaks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import riemann_lne as rl
from riemann_lne.errors import CheckFailedError, InvalidArgumentError, UnknownNameError
from riemann_lne.integrators import METHODS
from riemann_lne.testing import (
    check_corrector,
    check_flow,
    check_integrator,
    check_metric,
    diffeomorphisms,
)

sys.path.insert(0, str(Path(__file__).parent))
import planted_flows

TORUS = rl.Grid.torus((24, 24))


def failing(call: Any) -> str:
    with pytest.raises(CheckFailedError) as caught:
        call()
    assert caught.value.value > 0
    return "\n".join(str(f) for f in caught.value.report.failed)


@pytest.mark.parametrize(
    ("flow", "solves", "dimensions"),
    [
        (rl.RicciDeTurckFlow(), "ricci-deturck", (2,)),
        (rl.RicciFlow(), "ricci", (2,)),
        (rl.NormalizedRicciFlow(), None, (2,)),
        pytest.param(rl.RicciDeTurckFlow(), "ricci-deturck", (3,), marks=pytest.mark.slow),
        pytest.param(rl.RicciFlow(), "ricci", (3,), marks=pytest.mark.slow),
    ],
)
def test_right_flows_pass(flow: Any, solves: str | None, dimensions: tuple[int, ...]) -> None:
    report = check_flow(flow, solves=solves, dimensions=dimensions)
    assert not report.failed
    assert len(report.findings) >= 8


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("SignError", "exact"),
        ("NoCrossTerm", "exact"),
        ("WrongSpacing", "exact"),
        ("SmallRadius", "radius"),
        ("FasterLater", "time"),
        ("WritesToItsInput", "input was changed"),
    ],
)
def test_a_planted_fault_is_caught(fault: str, seen: str) -> None:
    flow = getattr(planted_flows, fault)()
    with pytest.raises(CheckFailedError) as caught:
        check_flow(flow, solves="ricci-deturck", dimensions=[2])
    assert seen in "\n".join(str(f) for f in caught.value.report.failed)
    assert " at 0x" not in str(caught.value)  # the same text in every run


@pytest.mark.parametrize("fault", ["NoCrossTerm", "WrongSpacing"])
def test_symmetries_alone_catch_faults_of_a_flow_that_claims_nothing(fault: str) -> None:
    text = failing(lambda: check_flow(getattr(planted_flows, fault)(), dimensions=[2]))
    assert "shear" in text or "axes" in text


def test_the_unplanted_flow_of_the_file_passes() -> None:
    assert check_flow(planted_flows.Faulty(), solves="ricci-deturck", dimensions=[2])


@pytest.mark.parametrize("method", [m for m in METHODS if m != "auto"])
def test_the_integrators_of_the_library_pass(method: str) -> None:
    order = {"rk4": 4, "tsit5": 5, "bs32": 3, "rkl2": 2, "rkg2": 2, "etdrk4": 4}[method]
    assert check_integrator(method, order)


def euler(metric: Any, flow: Any, span: tuple[float, float], dt: float) -> Any:
    t, end = span
    packed = np.array(metric.packed)
    steps = max(1, round((end - t) / dt))
    for k in range(steps):
        packed = packed + (end - t) / steps * flow.rhs(t + k * dt, packed, metric.grid, 4)
    return rl.MetricField.from_packed(metric.grid, packed)


def test_a_claimed_order_that_is_not_met_is_caught() -> None:
    assert check_integrator(euler, 1, checks=["order", "restart", "input"])
    assert "order: missed" in failing(lambda: check_integrator(euler, 2, checks="order"))


def test_an_integrator_that_returns_something_else_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="returned a float"):
        check_integrator(lambda g, flow, span, dt: 1.0, 1)


def test_the_closed_forms_are_correctors_and_the_weak_inverse_is_none() -> None:
    lne = rl.LNEMetric(1.5)
    assert check_corrector(lne.solve, tau=1.5)
    hessian = rl.HessianLNEMetric(0.7)
    dense = lambda x: np.diag(1 / np.cosh(0.7 * x) ** 2)  # noqa: E731
    assert check_corrector(hessian.solve, dense, tau=0.7)
    weak = failing(lambda: check_corrector(lambda x, v: lne.solve(x, v, method="weak"), tau=1.5))
    assert "inverse" in weak
    assert "linear" not in weak


@pytest.mark.parametrize(
    ("solve", "seen"),
    [
        (lambda x, v: v + 1e-3, "idle"),
        (lambda x, v: v / max(np.linalg.norm(v), 1.0), "scaling"),
        (lambda x, v: np.clip(v, -0.5, 0.5), "linear"),
    ],
)
def test_correctors_with_faults_are_caught(solve: Any, seen: str) -> None:
    assert seen in failing(lambda: check_corrector(solve))


def test_metrics_of_all_kinds_pass() -> None:
    assert check_metric(rl.perturbed_euclidean(TORUS, 0.3, modes=1))
    assert check_metric(lambda x, y: [[2 + np.cos(y), 0.1], [0.1, 1.0]], TORUS)
    box = rl.Grid.box(-0.4, 0.4, (21, 21))
    sphere = lambda x, y: [  # noqa: E731
        [4 / (1 + x**2 + y**2) ** 2, 0],
        [0, 4 / (1 + x**2 + y**2) ** 2],
    ]
    assert check_metric(sphere, box)


def wavy(x: Any, y: Any) -> Any:
    return [[2 + 0.5 * np.cos(x) + 0.2 * np.sin(y), 0.1], [0.1, 1.0 + 0.2 * np.sin(x + y)]]


@settings(max_examples=20)
@given(diffeomorphisms(TORUS), st.sampled_from([4, 6, "fourier"]))
def test_curvature_moves_with_every_change_of_coordinates(change: Any, order: Any) -> None:
    report = check_metric(wavy, TORUS, order=order, checks="diffeomorphism", diffeomorphism=change)
    assert len(report.findings) == 1


def test_the_change_of_coordinates_agrees_with_the_order_of_the_differences() -> None:
    found = {}
    for order in (4, 6):
        sizes = [20, 40]
        reports = [
            check_metric(wavy, rl.Grid.torus((n, n)), order=order, checks="diffeomorphism")
            for n in sizes
        ]
        coarse, fine = (report.findings[0].value for report in reports)
        found[order] = np.log2(coarse / fine)
    # At 20 points the next term of the error is still seen.
    assert found == {4: pytest.approx(4, abs=0.4), 6: pytest.approx(6, abs=0.6)}


def test_a_function_that_is_no_tensor_field_is_seen_by_the_change_of_coordinates_alone() -> None:
    def relative(x: Any, y: Any) -> Any:
        wave = np.cos(x) + 0.3 * np.sin(y)
        return [[2 + 0.5 * (wave - wave[0, 0]), 0.1], [0.1, 1.0]]

    with pytest.raises(CheckFailedError) as caught:
        check_metric(relative, TORUS)
    assert [f.name for f in caught.value.report.failed] == ["diffeomorphism: change of Ric"]


def test_changes_of_coordinates_that_do_not_apply_are_refused() -> None:
    change = find(diffeomorphisms(TORUS), lambda f: True)
    for metric, grid, by, says in (
        (rl.flat_metric(TORUS), None, change, "function on a torus"),
        (wavy, rl.Grid.box(0, 1, (24, 24)), change, "function on a torus"),
        (wavy, rl.Grid.torus((24, 24), 1.0), change, "the metric is on"),
        (wavy, TORUS, lambda x, y: (y, x), "diffeomorphisms draws"),
    ):
        with pytest.raises(InvalidArgumentError, match=says):
            check_metric(metric, grid, diffeomorphism=by)  # type: ignore[arg-type]


def test_a_function_that_is_no_metric_is_reported_with_the_place() -> None:
    text = failing(lambda: check_metric(lambda x, y: [[np.cos(x), 0], [0, 1]], TORUS))
    assert "positive definite" in text


def test_names_of_checks_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="bianchi"):
        check_metric(rl.flat_metric(TORUS), checks="bianki")
    with pytest.raises(UnknownNameError):
        check_flow(rl.RicciFlow(), checks=["everything"])
    with pytest.raises(InvalidArgumentError, match="solves"):
        check_flow(rl.RicciFlow(), solves="heat")
