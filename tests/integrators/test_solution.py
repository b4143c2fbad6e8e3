from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from riemann_lne import (
    FlowSolution,
    Grid,
    RicciDeTurckFlow,
    perturbed_euclidean,
    solve_flow,
)
from riemann_lne.errors import InvalidArgumentError, MissingDependencyError, RiemannLNEError

RECORD = ("success", "status", "message", "nfev", "n_accepted", "n_rejected", "method")


@pytest.fixture(scope="module")
def solution() -> FlowSolution:
    grid = Grid((8, 9, 7), (0.1, -1, 0), (1.3, 1, 2), (True, False, True))
    g = perturbed_euclidean(grid, 0.2, seed=5)
    return solve_flow(g, RicciDeTurckFlow(), (0, 0.01), t_eval=[0, 0.004, 0.01])


def test_a_solution_is_indexed_like_a_sequence(solution: FlowSolution) -> None:
    assert len(solution) == len(solution.metrics) == len(solution.t) == 3
    assert solution[0] is solution.metrics[0]
    assert solution[-1] is solution.metrics[2]
    assert list(solution.metrics) == [solution[k] for k in range(3)]
    assert solution.grid == solution[1].grid
    with pytest.raises(IndexError):
        solution[3]
    assert repr(solution) == (
        "FlowSolution(3 metrics, t = 0 .. 0.01, status 0: reached the end of t_span)"
    )


@pytest.mark.parametrize("name", ["run.npz", "run", "run.v1"])
def test_saving_and_loading_by_the_same_path_changes_nothing(
    solution: FlowSolution, tmp_path: Path, name: str
) -> None:
    for path in (tmp_path / name, str(tmp_path / ("text" + name))):
        solution.save(path)
        back = FlowSolution.load(path)
        assert np.array_equal(back.t, solution.t)
        assert back.grid == solution.grid
        for one, two in zip(back.metrics, solution.metrics, strict=True):
            assert np.array_equal(one.packed, two.packed)
            assert one.packed.dtype == two.packed.dtype
        for key in RECORD:
            assert getattr(back, key) == getattr(solution, key)
            assert type(getattr(back, key)) is type(getattr(solution, key))


def test_a_loaded_metric_can_be_flowed_on(solution: FlowSolution, tmp_path: Path) -> None:
    solution.save(tmp_path / "a")
    on = solve_flow(FlowSolution.load(tmp_path / "a")[-1], RicciDeTurckFlow(), (0.01, 0.012))
    assert on.success


def test_every_library_can_be_saved_in_its_precision(backend: Any, tmp_path: Path) -> None:
    grid = Grid.torus((8, 8))
    g = perturbed_euclidean(grid, 0.1, xp=backend.xp, dtype=backend.dtype("float32"))
    solution = solve_flow(g, RicciDeTurckFlow(), (0, 0.1), dt=0.05)
    solution.save(tmp_path / "a.npz")
    back = FlowSolution.load(tmp_path / "a.npz")
    assert back[-1].packed.dtype == np.float32
    assert np.array_equal(back[-1].packed, backend.numpy(solution[-1].packed))


def test_the_file_holds_no_pickle(solution: FlowSolution, tmp_path: Path) -> None:
    solution.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        assert all(data[name].dtype != object for name in data.files)
        assert json.loads(str(data["record"]))["method"] == solution.method


def test_a_file_that_asks_for_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", format=np.array([{}], dtype=object))
    with pytest.raises(InvalidArgumentError, match="not a flow solution"):
        FlowSolution.load(tmp_path / "evil.npz")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 half a zip"])
def test_files_that_are_something_else_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=r"bad.npz is not a flow solution"):
        FlowSolution.load(path)


def test_truncated_files_and_single_arrays_are_refused(
    solution: FlowSolution, tmp_path: Path
) -> None:
    solution.save(tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "one.npy", np.ones(3))
    for name in ("half.npz", "one.npy"):
        with pytest.raises(InvalidArgumentError, match="not a flow solution"):
            FlowSolution.load(tmp_path / name)


def rewrite(path: Path, **changes: Any) -> None:
    with np.load(path) as data:
        content = {name: data[name] for name in data.files}
    content |= changes
    np.savez(path, **{k: v for k, v in content.items() if v is not None})


def test_missing_parts_and_other_formats_are_named(solution: FlowSolution, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    solution.save(path)
    rewrite(path, record=None, grid=None)
    with pytest.raises(InvalidArgumentError, match="missing: grid, record"):
        FlowSolution.load(path)
    solution.save(path)
    rewrite(path, format=np.int64(99))
    with pytest.raises(InvalidArgumentError, match="its format is 99, this version reads"):
        FlowSolution.load(path)


def test_a_tampered_metric_is_refused(solution: FlowSolution, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    solution.save(path)
    with np.load(path) as data:
        packed = data["packed"]
    packed[1, 0, 2, 3, 4] = -1.0
    rewrite(path, packed=packed)
    with pytest.raises(RiemannLNEError, match=r"\(2, 3, 4\)"):
        FlowSolution.load(path)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FlowSolution.load(tmp_path / "nowhere")


def test_to_xarray_has_named_dimensions_coordinates_and_the_record(solution: FlowSolution) -> None:
    pytest.importorskip("xarray")
    data = solution.to_xarray()
    assert data.dims == ("t", "i", "j", "x0", "x1", "x2")
    assert data.shape == (3, 3, 3, 8, 9, 7)
    assert np.array_equal(data.t, solution.t)
    for axis, values in enumerate(solution.grid.axes()):
        assert np.array_equal(data.coords[f"x{axis}"], values)
    chosen = data.sel(t=0.004, i=0, j=2).values
    assert np.array_equal(chosen, solution[1].components[0, 2])
    assert {key: data.attrs[key] for key in RECORD} == {k: getattr(solution, k) for k in RECORD}


def test_without_xarray_the_error_names_the_extra(
    solution: FlowSolution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingDependencyError, match=r"xarray.*riemann-lne\[io\]"):
        solution.to_xarray()
