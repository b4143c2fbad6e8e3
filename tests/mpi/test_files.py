"""Stores and checkpoints of several processes: whole after a kill, resumed by other numbers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.io.store import checksum, chunk_slices

from . import worker_kill
from .conftest import HERE

WORKER = HERE / "worker_kill.py"
PROMPT_SECONDS = 60.0


def finish(mpirun: Any, size: int, *arguments: Any) -> dict[str, np.ndarray]:
    done = mpirun(size, WORKER, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(arguments[-1]) as file:
        return {name: file[name] for name in file.files}


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], two[name]) for name in one)


def alone(folder: Path, store: str) -> dict[str, np.ndarray]:
    """The same run in one process without MPI."""
    solution = worker_kill.flow(rl.solve_flow, rl.Grid.torus((24, 25)), folder, store)
    return worker_kill.found(solution)


@pytest.mark.parametrize("store", [pytest.param("metrics", marks=pytest.mark.slow), "run.zarr"])
def test_a_killed_process_ends_all_and_the_run_goes_on_with_other_numbers_of_them(
    mpirun: Any, tmp_path: Path, store: str
) -> None:
    places = [store, store]
    if store.endswith(".zarr"):
        pytest.importorskip("zarr")
        places = [str(tmp_path / f"{name}{store}") for name in "ab"]
    expected = alone(tmp_path / "a", places[0])
    assert len(expected["events"]) == 1
    begun = time.monotonic()
    killed = mpirun(3, WORKER, tmp_path / "b", places[1], 14, tmp_path / "b.npz")
    assert time.monotonic() - begun < PROMPT_SECONDS
    assert killed.returncode != 0
    assert "9" in killed.stdout + killed.stderr
    assert json.loads((tmp_path / "b" / "commit.json").read_text())["count"] > 1
    # Without MPI it is neither begun anew nor written over.
    for resume, words in ((True, "under MPI"), (False, "earlier run")):
        with pytest.raises(InvalidArgumentError, match=words):
            rl.solve_flow(rl.flat_metric(rl.Grid.torus((24, 25))), rl.RicciFlow(), (0, 1),
                          checkpoint=tmp_path / "b", resume=resume)  # fmt: skip
    assert same(finish(mpirun, 2, tmp_path / "b", places[1], 0, tmp_path / "b.npz"), expected)
    if store.endswith(".zarr"):
        stored = rl.FlowSolution.load(places[1])
        assert np.array_equal(np.stack([g.packed for g in stored.metrics]), expected["metrics"])
        assert stored.success


@pytest.mark.slow
def test_twenty_kills_lose_nothing(mpirun: Any, tmp_path: Path) -> None:
    """Each at another step, of 2 to 4 processes, resumed by 1 to 4; the last one by two kills."""
    expected = alone(tmp_path / "alone", "metrics")
    for at in range(2, 22):
        arguments = (tmp_path / str(at), "metrics")
        killed = mpirun(2 + at % 3, WORKER, *arguments, at, tmp_path / "b.npz")
        assert killed.returncode != 0
        if at == 21:
            mpirun(3, WORKER, *arguments, 4, tmp_path / "b.npz")
        size = 1 + at % 4
        assert same(finish(mpirun, size, *arguments, 0, tmp_path / "b.npz"), expected), at


def test_the_checksum_of_a_metric_in_chunks_sees_every_value_and_every_chunk() -> None:
    values = np.arange(3 * 5 * 6, dtype=float).reshape(3, 5, 6)
    parts = chunk_slices(values.shape, (3, 2, 4))
    assert sum(values[part].size for part in parts) == values.size
    crc = checksum(values, (3, 2, 4))
    assert crc != checksum(values)
    assert checksum(values, values.shape) == checksum(values)
    for place in ((0, 0, 0), (2, 4, 5), (1, 2, 3)):
        changed = values.copy()
        changed[place] += 1
        assert checksum(changed, (3, 2, 4)) != crc
    swapped = values.copy()
    swapped[parts[0]], swapped[parts[2]] = values[parts[2]], values[parts[0]]
    assert checksum(swapped, (3, 2, 4)) != crc
