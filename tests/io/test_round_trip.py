"""Every field of a solution comes back from every format as it was, to the last bit."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl

FORMATS = ["npz", "zarr", "npz of zarr"]


def solve(store: Any = "metrics", dtype: Any = np.float64, **more: Any) -> rl.FlowSolution:
    start = rl.perturbed_euclidean(rl.Grid((8, 9), (0, 0), (1, 2), (True, False)), 0.3, seed=2)
    start = rl.MetricField(start.grid, start.components.astype(dtype))
    options: dict[str, Any] = {
        "t_eval": [0.0, 0.01, 0.02],
        "observe": {"t": lambda g: g.volume(), "größte": lambda g: float(g.packed.max())},
        "events": [lambda t, g: t - 0.005, lambda t, g: 1.0, lambda t, g: np.sin(500 * t + 1)],
        **more,
    }
    return rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.02), "rkl2", store=store, **options)


def assert_equal(one: Any, two: Any, where: str) -> None:
    """Types and bits, at any depth."""
    if isinstance(one, rl.MetricField):
        assert one.grid == two.grid, where
        one, two = one.packed, two.packed
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (two.dtype, two.shape), where
        assert one.tobytes() == two.tobytes(), where
    elif isinstance(one, dict):
        assert list(one) == list(two), where
        for key in one:
            assert_equal(one[key], two[key], f"{where}[{key!r}]")
    elif not isinstance(one, str) and hasattr(one, "__len__"):
        assert len(one) == len(two), where
        for k in range(len(one)):
            assert_equal(one[k], two[k], f"{where}[{k}]")
    else:
        assert type(one) is type(two), where
        assert one == two, where


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("more", [{}, {"events": None, "observe": None}, {"max_steps": 1}], ids=str)
def test_every_field_comes_back(form: str, dtype: Any, more: Any, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    given = solve("metrics" if form == "npz" else tmp_path / "o.zarr", dtype, **more)
    path = tmp_path / ("o.zarr" if form == "zarr" else "o.npz")
    if form != "zarr":
        given.save(path)
    back = rl.FlowSolution.load(path)
    for field in fields(rl.FlowSolution):
        assert_equal(getattr(back, field.name), getattr(given, field.name), field.name)
    assert back == given
    assert hash(back) == hash(given)
    if not more:
        assert [len(t) for t in back.t_events] == [1, 0, 3]
        assert [len(g) for g in back.metrics_events] == [1, 0, 3]


@pytest.mark.parametrize("store", ["metrics", "o.zarr"])
def test_xarray_and_netcdf(store: str, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    solution = solve(tmp_path / store if store == "o.zarr" else store)
    data, table = solution.to_xarray(), solution.to_xarray("observed")
    data.to_netcdf(tmp_path / "m.nc", engine="scipy")
    table.to_netcdf(tmp_path / "o.nc", engine="scipy")
    with xarray.open_dataarray(tmp_path / "m.nc", engine="scipy") as back:
        assert back.dims == ("t", "i", "j", "x0", "x1")
        for name, values in {"t": solution.t, "x1": solution.grid.axes()[1]}.items():
            assert back[name].values.tobytes() == values.astype(back[name].dtype).tobytes()
        for k, metric in enumerate(solution.metrics):
            assert np.array_equal(back.values[k], metric.components)
        for name, value in data.attrs.items():
            assert np.array_equal(back.attrs[name], value), name
        assert back.attrs["message"] == solution.message
        assert (back.attrs["success"], back.attrs["nfev"]) == (1, solution.nfev)
        assert json.loads(back.attrs["boundary"]) == solution.parameters["boundary"]
        assert json.loads(back.attrs["dt"]) is None
    with xarray.open_dataset(tmp_path / "o.nc", engine="scipy") as back:
        assert back["t"].values.tobytes() == solution.t_observed.tobytes()
        # "t" is the name of the times.
        for name, ours in (("observed_t", "t"), ("größte", "größte")):
            assert back[name].values.tobytes() == solution.observed[ours].tobytes()


def test_a_stored_metric_is_selected_like_one_in_memory(tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    memory, disk = (solve(s).to_xarray() for s in ("metrics", tmp_path / "o.zarr"))
    for key in (
        (0,), (slice(1, None), 0), (slice(None, None, -1), 1, 0), ([2, 0], 0, [1, 0], [3, 1], 4),
        (slice(2, 2),), (-1, ..., slice(None, 5, 2)),
    ):  # fmt: skip
        assert np.array_equal(memory[key].values, disk[key].values), key


def test_comparison(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    one = solve()
    assert one == copy.deepcopy(one)
    assert one in [copy.deepcopy(one)]
    assert len({one, copy.deepcopy(one)}) == 1
    assert one != solve(max_steps=1)
    assert one != solve(dtype=np.float32)
    assert one != "solution"
    changed = copy.deepcopy(one)
    changed.observed["t"][1] += 1e-9
    assert one != changed
    changed = copy.deepcopy(one)
    changed.metrics_events[2][1]._packed[0, 0, 0] += 1e-9
    assert one != changed
