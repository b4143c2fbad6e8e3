"""Flows on kernels: the choice, the results, checkpoints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import array_api_strict
import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import kernels
from riemann_lne.errors import InvalidArgumentError, KernelUnavailableError, UnknownNameError

pytestmark = pytest.mark.usefixtures("compiler")

LARGE, SMALL = rl.Grid.torus((64, 64)), rl.Grid.torus((12, 13))


def curved(t: float, x: Any, y: Any) -> Any:
    return [[1 + 0.1 * np.cos(y) + t, 0 * x], [0 * x, 1 + 0.2 * np.sin(x)]]


BAR = rl.perturbed_euclidean(SMALL, 0.2, seed=9)
FLOWS = {
    "Ricci": rl.RicciFlow(),
    "DeTurck": rl.RicciDeTurckFlow(),
    "background": rl.RicciDeTurckFlow(BAR),
    "moving background": rl.RicciDeTurckFlow(curved),
    "gauge": rl.RicciFlow(gauge="deturck"),
    "scaled": rl.ScaledFlow(rl.RicciDeTurckFlow(), 0.5),
    "normalised": rl.NormalizedRicciFlow(rl.ScaledFlow(rl.RicciFlow(), 0.1)),
}


@pytest.mark.parametrize("name", FLOWS)
def test_every_flow_runs_on_kernels(tools: SimpleNamespace, name: str) -> None:
    g = rl.perturbed_euclidean(SMALL, 0.2, seed=1)
    ends = [
        rl.solve_flow(g, FLOWS[name], (0, 0.05), "rk4", dt=0.01, order=2, kernel=kernel)
        for kernel in ("plain", "fused")
    ]
    assert [e.parameters["kernel"].split()[0] for e in ends] == ["plain", "fused"]
    assert ends[0].parameters["flow"] == ends[1].parameters["flow"]
    # 21 evaluations, each to 1e-12 of the largest rate.
    assert tools.relative_gap(ends[1][-1].packed, ends[0][-1].packed) < 1e-12


@pytest.mark.parametrize("boundary", ["held", "reflecting", "free"])
@pytest.mark.parametrize("method", ["rkl2", "tsit5"])
def test_bounded_grids(tools: SimpleNamespace, boundary: str, method: str) -> None:
    grid = rl.Grid.box(0.0, np.pi, (13, 12))
    g = rl.MetricField.from_function(
        grid, lambda x, y: [[1 + 0.1 * np.cos(x) * np.cos(y), 0], [0, 1 + 0.2 * np.cos(2 * x)]]
    )
    ends = [
        rl.solve_flow(
            g, rl.RicciDeTurckFlow(), (0, 0.02), method, dt=0.005, boundary=boundary, kernel=kernel
        )[-1]
        for kernel in ("plain", "fused")
    ]
    assert not np.array_equal(ends[0].packed, g.packed)
    assert tools.relative_gap(ends[1].packed, ends[0].packed) < 1e-12


def test_single_precision_stays_single() -> None:
    g = rl.MetricField(LARGE, rl.perturbed_euclidean(LARGE, 0.1).components.astype(np.float32))
    end = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.01), "rk4", dt=0.005, order=2)
    assert end.parameters["kernel"].startswith("fused")
    assert end[-1].packed.dtype == np.float32


def used(g: rl.MetricField, flow: Any = None, **options: Any) -> str:
    flow = rl.RicciDeTurckFlow() if flow is None else flow
    solution = rl.solve_flow(g, flow, (0, 1e-4), "rk4", dt=1e-4, **options)
    return str(solution.parameters["kernel"].split()[0])


class OwnFlow(rl.RicciDeTurckFlow):
    """Somebody's own."""


def test_auto_goes_by_size_order_and_flow() -> None:
    large, small = (rl.perturbed_euclidean(grid, 0.1) for grid in (LARGE, SMALL))
    assert used(large) == "fused"
    assert used(large, kernel="plain") == "plain"
    assert used(small) == "plain"
    assert used(small, kernel="fused") == "fused"
    assert used(large, order=8) == "plain"
    assert used(large, order="fourier") == "fused"
    # A subclass may differ in anything: its right-hand side is never replaced.
    assert used(large, OwnFlow()) == "plain"
    strict = rl.MetricField(LARGE, array_api_strict.asarray(large.components))
    assert used(strict) == "plain"


@pytest.mark.parametrize(
    ("flow", "options", "message"),
    [
        (rl.RicciDeTurckFlow(), {"order": 8}, "order 2, 4, 6 and 'fourier', not 8"),
        (OwnFlow(), {}, "has no fused kernel: it is of a subclass"),
        (rl.ScaledFlow(OwnFlow(), 1.0), {}, "has no fused kernel"),
    ],
)
def test_fused_that_cannot_be_says_why(flow: Any, options: Any, message: str) -> None:
    g = rl.perturbed_euclidean(SMALL, 0.1)
    with pytest.raises(KernelUnavailableError, match=f"{message}.*use kernel='plain'"):
        used(g, flow, kernel="fused", **options)


def test_other_libraries_are_named() -> None:
    g = rl.perturbed_euclidean(SMALL, 0.1)
    strict = rl.MetricField(SMALL, array_api_strict.asarray(g.components))
    with pytest.raises(KernelUnavailableError, match="NumPy and CuPy"):
        used(strict, kernel="fused")


def test_a_wrong_number_of_threads_is_refused_on_small_grids_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where one thread does all, no call of a kernel asks for the number."""
    monkeypatch.setenv("RIEMANN_LNE_THREADS", "many")
    with pytest.raises(InvalidArgumentError, match="RIEMANN_LNE_THREADS is 'many'"):
        used(rl.perturbed_euclidean(SMALL, 0.1), kernel="fused")


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"auto, fused, plain.*Did you mean 'fused'"):
        used(rl.perturbed_euclidean(SMALL, 0.1), kernel="fusd")


def test_a_checkpoint_goes_on_to_the_same_bits_on_the_same_kernel(tmp_path: Path) -> None:
    g = rl.perturbed_euclidean(SMALL, 0.2)

    def go(resume: bool, most: int, path: Path, kernel: str = "fused") -> rl.FlowSolution:
        return rl.solve_flow(
            g, rl.RicciDeTurckFlow(), (0, 0.2), "tsit5", kernel=kernel, max_steps=most,
            resume=resume, checkpoint=rl.Checkpoint(path, steps=1),
        )  # fmt: skip

    whole = go(False, 1000, tmp_path / "whole")
    assert whole.success
    assert not go(False, 3, tmp_path / "parts").success
    with pytest.raises(InvalidArgumentError, match=r"kernel is fused .* there and plain here"):
        go(True, 1000, tmp_path / "parts", "plain")
    resumed = go(True, 1000, tmp_path / "parts")
    assert resumed.success
    assert np.array_equal(resumed[-1].packed, whole[-1].packed)


def test_a_flow_that_degenerates_ends_with_a_status_and_the_place() -> None:
    """On the kernel as on the plain version: no crash, everything up to there kept."""
    grid = rl.Grid.torus((16, 16))
    g = rl.perturbed_euclidean(grid, 0.5, seed=3)
    solution = rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 50), "rk4", dt=1.0, kernel="fused")
    assert (solution.success, solution.status) == (False, -1)
    assert "stopped being positive definite" in solution.message
    assert len(solution.metrics) >= 1


def test_the_rate_goes_where_it_is_asked_to(tools: SimpleNamespace) -> None:
    packed = tools.random_packed(SMALL, 0)
    flow: Any = kernels.fused_flow(rl.RicciDeTurckFlow(), SMALL, 4, packed)
    out = np.empty_like(packed)
    assert flow.rhs(0.0, packed, SMALL, 4, out=out) is out
    assert np.array_equal(out, flow.rhs(0.0, packed, SMALL, 4))
    assert kernels.why_not(rl.RicciDeTurckFlow(), SMALL, 4, packed) is None
    assert repr(flow) == repr(rl.RicciDeTurckFlow())
