"""Two runs of one folder: the second is refused, and the first is not hurt. And full disks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import FolderInUseError

START = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.3, seed=4)
SCRIPT = textwrap.dedent(
    """
    import resource, sys
    import numpy as np
    import riemann_lne as rl

    folder, steps, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    start = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.3, seed=4)
    waits = sys.argv[4:] == ["waits"]
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    def volume(g):
        if waits and not volume.waited:
            volume.waited = True
            print("begun", flush=True)
            sys.stdin.readline()
        return g.volume()

    volume.waited = False
    try:
        s = rl.solve_flow(
            start, rl.RicciDeTurckFlow(), (0, 0.4), "etdrk4", np.linspace(0, 0.4, 12),
            observe={"v": volume}, store=folder + "/o.zarr",
            checkpoint=rl.Checkpoint(folder + "/ck", steps=1), resume=True, max_steps=steps,
        )
        print(s.status, s.message)
    except rl.RiemannLNEError as error:
        print(type(error).__name__, error)
    """
)


def start(folder: Path, steps: int = 10_000, limit: int = 0, *more: str) -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(steps), str(limit), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def expected(**more: Any) -> rl.FlowSolution:
    return rl.solve_flow(
        START, rl.RicciDeTurckFlow(), (0, 0.4), "etdrk4", np.linspace(0, 0.4, 12),
        observe={"v": lambda g: g.volume()}, **more,
    )  # fmt: skip


def resumed(folder: Path) -> rl.FlowSolution:
    return expected(store=folder / "o.zarr", checkpoint=folder / "ck", resume=True)


def double_resume(folder: Path) -> None:
    """A second resume while the first is at work."""
    assert "max_steps" in start(folder, steps=6).communicate()[0]
    first = start(folder, 10_000, 0, "waits")
    assert first.stdout.readline() == "begun\n"
    out, err = start(folder).communicate()
    assert (err, out.split()[0]) == ("", "FolderInUseError")
    assert f"process {first.pid} on" in out
    out, err = first.communicate("\n")
    assert out.split()[0] == "0", err
    assert "Traceback" not in err
    assert resumed(folder) == expected()


@pytest.mark.skipif(os.name != "posix", reason="one lock of the system is tested")
def test_a_second_resume_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    double_resume(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="one lock of the system is tested")
def test_ten_double_resumes(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    for k in range(10):
        (tmp_path / str(k)).mkdir()
        double_resume(tmp_path / str(k))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="one lock of the system is tested")
def test_ten_times_two_that_race(tmp_path: Path) -> None:
    """Both begin at once: one or, if the other was done before, two of them reach the end."""
    pytest.importorskip("zarr")
    for k in range(10):
        folder = tmp_path / str(k)
        folder.mkdir()
        both = [start(folder) for _ in range(2)]
        said = [process.communicate() for process in both]
        assert [err for _, err in said] == ["", ""]
        words = [out.split()[0] for out, _ in said]
        assert "0" in words
        assert set(words) <= {"0", "FolderInUseError"}
        assert resumed(folder) == expected()


def test_a_store_alone_has_one_owner_too(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    refused: list[Exception] = []

    def second(metric: rl.MetricField) -> float:
        from threading import Thread

        def run() -> None:
            try:
                expected(store=tmp_path / "o.zarr")
            except FolderInUseError as error:
                refused.append(error)

        thread = Thread(target=run)
        thread.start()
        thread.join()
        return 1.0

    rl.solve_flow(
        START, rl.RicciDeTurckFlow(), (0, 0.1), "etdrk4", [0.1],
        store=tmp_path / "o.zarr", observe={"s": second}, observe_at="t_eval",
    )  # fmt: skip
    assert len(refused) == 1
    assert sorted(os.listdir(tmp_path)) == ["o.zarr"]
    assert len(rl.FlowSolution.load(tmp_path / "o.zarr")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes as Linux has them")
@pytest.mark.parametrize("limit", [200, 3000, 100_000])
def test_files_that_cannot_grow_lose_nothing(limit: int, tmp_path: Path) -> None:
    """A full disk as the system reports it, at the lock, the attributes, or the chunks."""
    pytest.importorskip("zarr")
    out, err = start(tmp_path, 10_000, limit).communicate()
    assert "Traceback" not in err
    assert out.split()[0] in ("-1", "StorageError")
    assert resumed(tmp_path) == expected()


# Enough for the lock, for the first attributes, for some of the chunks and journal.
@pytest.mark.parametrize("pages", [0, 3, 12, 30])
def test_a_full_disk_loses_nothing(pages: int, small_disk: Any) -> None:
    """Writes fail as they do on a real disk: the file is there, its content is not."""
    pytest.importorskip("zarr")
    small_disk.leave(pages)
    out, err = start(small_disk.folder).communicate()
    assert "Traceback" not in err
    assert out.split()[0] in ("-1", "StorageError")
    assert "No space left on device" in out
    assert str(small_disk.folder) in out
    small_disk.clear()
    assert resumed(small_disk.folder) == expected()
