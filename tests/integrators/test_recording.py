"""What is kept: metrics, reductions, or a stream to zarr; with provenance."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    MissingDependencyError,
    NotFiniteError,
    StorageError,
    UnknownNameError,
)
from riemann_lne.io import StoredMetrics
from riemann_lne.io.damage import seal
from riemann_lne.io.store import SEALED

GRID = rl.Grid.torus((8, 10))
START = rl.perturbed_euclidean(GRID, 0.2, seed=3)
FLOW = rl.RicciDeTurckFlow()
OBSERVE = {
    "volume": lambda g: g.volume(),
    "scalar_max": lambda g: float(g.scalar_curvature().max()),
}


def solve(t_eval: Any = None, **options: Any) -> rl.FlowSolution:
    return rl.solve_flow(START, FLOW, (0, 0.5), "rkl2", t_eval, rtol=1e-4, **options)


def same(one: rl.FlowSolution, two: rl.FlowSolution) -> None:
    assert np.array_equal(one.t, two.t)
    assert all(
        np.array_equal(a.packed, b.packed) for a, b in zip(one.metrics, two.metrics, strict=True)
    )
    assert np.array_equal(one.t_observed, two.t_observed)
    assert list(one.observed) == list(two.observed)
    assert all(np.array_equal(one.observed[k], two.observed[k]) for k in one.observed)


# ---- observables ----------------------------------------------------------------------------


def test_observables_are_recorded_at_every_step() -> None:
    solution = solve(observe=OBSERVE)
    assert np.array_equal(solution.t_observed, solution.t)
    for name, function in OBSERVE.items():
        expected = [function(metric) for metric in solution.metrics]
        assert solution.observed[name].tolist() == expected
    few = solve([0.1, 0.5], observe=OBSERVE)
    assert len(few) == 2
    assert len(few.t_observed) == few.n_accepted + 1


def test_or_when_a_metric_is_kept() -> None:
    for dense in (False, True):
        times = [0.1, 0.2, 0.5]
        solution = solve(times, observe=OBSERVE, observe_at="t_eval", dense_output=dense)
        assert solution.t_observed.tolist() == times
        expected = [metric.volume() for metric in solution.metrics]
        assert solution.observed["volume"].tolist() == expected


def test_observing_does_not_change_the_flow() -> None:
    plain, observed = solve(), solve(observe=OBSERVE)
    assert plain.nfev == observed.nfev
    assert np.array_equal(plain[-1].packed, observed[-1].packed)


@pytest.mark.parametrize(
    ("observe", "error", "message"),
    [
        ([len], DTypeError, "give a dict"),
        ({"": len}, InvalidArgumentError, "non-empty"),
        ({"a": 3}, DTypeError, "observable 'a' is 3"),
        ({"a": lambda g: math.nan}, NotFiniteError, "observable 'a' at t = 0 is nan"),
        ({"a": lambda g: g.packed}, InvalidArgumentError, r"observable 'a' at t = 0 is an array"),
    ],
)
def test_wrong_observables_are_named(observe: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        solve(observe=observe)


def test_an_unknown_place_to_observe_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="steps, t_eval"):
        solve(observe_at="step")


def test_an_observable_that_breaks_later_ends_the_flow() -> None:
    def breaks(metric: rl.MetricField) -> float:
        return math.inf if metric is not None and next(calls) > 3 else 1.0

    calls = iter(range(100))
    solution = solve(observe={"breaks": breaks})
    assert solution.status == -1
    assert "observable 'breaks'" in solution.message
    assert len(solution.t_observed) == 4 == len(solution)


# ---- stores ---------------------------------------------------------------------------------


def test_the_last_metric_alone() -> None:
    full, last = solve(observe=OBSERVE), solve(observe=OBSERVE, store="last")
    assert last.t.tolist() == [0.5]
    assert np.array_equal(last[-1].packed, full[-1].packed)
    assert np.array_equal(last.observed["volume"], full.observed["volume"])


@pytest.mark.parametrize("store", ["disk", "run.npz", ""])
def test_an_unknown_store_says_what_there_is(store: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'metrics', 'last' or a path.*\.zarr"):
        solve(store=store)


@pytest.mark.parametrize("chunk", [1, 2**22])
@pytest.mark.parametrize("t_eval", [None, [0.1, 0.3]])
def test_streamed_metrics_are_those_in_memory(
    tmp_path: Path, t_eval: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr")
    monkeypatch.setattr("riemann_lne.io.store._CHUNK_BYTES", chunk)
    path = tmp_path / "run.zarr"
    memory, disk = (solve(t_eval, observe=OBSERVE, store=store) for store in ("metrics", path))
    assert isinstance(disk.metrics, StoredMetrics)
    same(memory, disk)
    assert np.array_equal(disk[-1].packed, memory[-1].packed)
    assert [m.packed[0, 0, 0] for m in disk.metrics[:2]] == [
        m.packed[0, 0, 0] for m in memory.metrics[:2]
    ]
    back = rl.FlowSolution.load(path)
    same(back, memory)
    assert (back.message, back.nfev, back.method) == (disk.message, disk.nfev, disk.method)
    assert back.parameters == disk.parameters
    with pytest.raises(IndexError):
        disk[len(disk)]


def test_float32_is_streamed_as_float32(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    start = rl.perturbed_euclidean(GRID, 0.1, dtype=np.float32)
    solution = rl.solve_flow(start, FLOW, (0, 0.1), "rk4", store=tmp_path / "a.zarr")
    assert solution[0].packed.dtype == np.float32


def test_a_store_that_exists_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    first = solve(store=path)
    with pytest.raises(InvalidArgumentError, match="exists already"):
        solve(store=path)
    same(rl.FlowSolution.load(path), first)


def test_a_flow_that_is_refused_leaves_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError):
        solve(store=tmp_path / "run.zarr", observe={"a": lambda g: math.nan})
    assert not (tmp_path / "run.zarr").exists()


def test_memory_is_bounded_while_streaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits to be written never exceeds a chunk."""
    pytest.importorskip("zarr")
    from riemann_lne.io import MetricStore

    size = START.packed.nbytes
    monkeypatch.setattr("riemann_lne.io.store._CHUNK_BYTES", 5 * size)
    longest = 0
    append = MetricStore.append

    def watched(self: MetricStore, t: float, packed: np.ndarray) -> None:
        nonlocal longest
        append(self, t, packed)
        longest = max(longest, len(self._waiting))

    monkeypatch.setattr(MetricStore, "append", watched)
    path = tmp_path / "run.zarr"
    solution = rl.solve_flow(START, FLOW, (0, 0.5), "rk4", dt=0.01, store=path)
    assert len(solution) == 51
    assert longest <= 5


def test_a_killed_stream_can_be_read_up_to_where_it_got(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    full = solve(store=path)
    group = zarr.open_group(path, mode="r+")
    values = {**group.attrs, "record": None}
    values["seal"] = seal({name: values[name] for name in SEALED})
    group.attrs.update(values)
    group["t"].resize((len(full) + 3,))  # room made, not filled
    back = rl.FlowSolution.load(path)
    assert back.t.tolist() == full.t.tolist()
    assert (back.success, back.status) == (False, -3)
    assert "did not end by itself" in back.message


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    with pytest.raises(FileNotFoundError, match="no store"):
        rl.FlowSolution.load(tmp_path / "nothing.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InvalidArgumentError, match="not a flow's store"):
        rl.FlowSolution.load(tmp_path / "empty.zarr")


def test_without_zarr_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingDependencyError, match=r"zarr.*riemann-lne\[io\]"):
        solve(store=tmp_path / "run.zarr")


def test_a_disk_that_fills_up_ends_the_flow_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr")
    from riemann_lne.io import store as io

    monkeypatch.setattr(io, "_CHUNK_BYTES", 1)
    write, calls = io._write, iter(range(1000))

    def full_disk(array: Any, start: int, values: np.ndarray) -> None:
        if next(calls) > 14:
            raise OSError(28, "No space left on device")
        write(array, start, values)

    monkeypatch.setattr(io, "_write", full_disk)
    path = tmp_path / "run.zarr"
    solution = solve(store=path)
    assert solution.status == -1
    assert "No space left on device" in solution.message
    assert "intact" in solution.message
    back = rl.FlowSolution.load(path)
    good = solve()
    assert len(back) == 5
    assert all(
        np.array_equal(a.packed, b.packed)
        for a, b in zip(back.metrics, good.metrics[:5], strict=True)
    )


def test_a_disk_that_is_full_from_the_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr")
    from riemann_lne.io import store as io

    def full_disk(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(io, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(io, "_write", full_disk)
    with pytest.raises(StorageError, match="No space left") as caught:
        solve(store=tmp_path / "run.zarr")
    assert caught.value.errno == 28
    assert isinstance(caught.value, OSError)


def test_saving_to_a_full_disk_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    solution = solve()
    solution.save(path)
    before = path.read_bytes()

    def full_disk(file: Any, **content: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        solution.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


# ---- what comes with it ---------------------------------------------------------------------


def test_events_and_observed_values_survive_a_file(tmp_path: Path) -> None:
    def one(t: float, metric: rl.MetricField) -> float:
        return t - 0.2

    def two(t: float, metric: rl.MetricField) -> float:
        return math.sin(20 * t + 1)

    solution = solve([0.5], observe=OBSERVE, events=[one, two, one])
    assert [len(t) for t in solution.t_events] == [1, 3, 1]
    solution.save(tmp_path / "a")
    back = rl.FlowSolution.load(tmp_path / "a")
    same(back, solution)
    for a, b in zip(back.t_events, solution.t_events, strict=True):
        assert np.array_equal(a, b)
    for ours, theirs in zip(back.metrics_events, solution.metrics_events, strict=True):
        assert all(np.array_equal(a.packed, b.packed) for a, b in zip(ours, theirs, strict=True))
    assert back.parameters == solution.parameters


def test_the_parameters_say_how_the_flow_was_asked_for() -> None:
    box = rl.Grid((8, 9), (0, 0), (1, 1), (True, False))
    start = rl.perturbed_euclidean(box, 0.1)
    flow = rl.RicciDeTurckFlow(rl.flat_metric(box))
    parameters = rl.solve_flow(start, flow, (0, 1e-3), rtol=1e-5, order=2).parameters
    assert parameters["version"] == rl.__version__
    assert parameters["flow"].startswith("RicciDeTurckFlow(background=MetricField(2-D grid")
    assert "crc32" in parameters["flow"]
    assert " at 0x" not in str(parameters)
    assert parameters["method"] == "rkl2"
    assert (parameters["rtol"], parameters["atol"], parameters["order"]) == (1e-5, 1e-9, 2)
    assert parameters["boundary"] == {"axis 1 lower": "held", "axis 1 upper": "held"}
    assert parameters["grid_shape"] == [8, 9]
    assert parameters["t_span"] == [0.0, 1e-3]


@pytest.mark.parametrize("streamed", [False, True])
def test_to_xarray_is_labelled_and_lazy_if_streamed(tmp_path: Path, streamed: bool) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    solution = solve(observe=OBSERVE, store=path if streamed else "metrics")
    data = solution.to_xarray()
    assert data.dims == ("t", "i", "j", "x0", "x1")
    assert data.shape == (len(solution), 2, 2, 8, 10)
    assert np.array_equal(data.t, solution.t)
    assert np.array_equal(data.x1, GRID.axes()[1])
    if streamed:
        assert not data.variable._in_memory
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        chosen = data.sel(t=solution.t[3], i=i, j=j).values
        assert np.array_equal(chosen, solution[3].components[i, j])
    assert data.attrs["rtol"] == 1e-4
    assert data.attrs["message"] == solution.message
    table = solution.to_xarray("observed")
    assert np.array_equal(table["volume"], solution.observed["volume"])
    assert table["volume"].dims == ("t",)
    with pytest.raises(UnknownNameError, match="metrics, observed"):
        solution.to_xarray("everything")
