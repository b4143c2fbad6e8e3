"""A run that is killed goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import InvalidArgumentError, StorageError
from riemann_lne.integrators.stepper import Stepper
from riemann_lne.io import Journal, write_atomically

GRID = rl.Grid.torus((10, 8))
START = rl.perturbed_euclidean(GRID, 0.3, seed=4)
OBSERVE = {"volume": lambda g: g.volume()}


def trough(t: float, metric: rl.MetricField) -> float:
    return float(np.cos(40 * t))


def options(method: str, **more: Any) -> dict[str, Any]:
    return {
        "metric": START,
        "flow": rl.RicciDeTurckFlow(),
        "t_span": (0, 0.4),
        "method": method,
        "observe": OBSERVE,
        "events": trough,
        **more,
    }


class Killed(BaseException):
    """As final as a signal: nothing of the library may catch it."""


@contextmanager
def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run inside ends abruptly in the middle of the step after this many."""
    advance = Stepper.advance

    def cut_off(self: Stepper, target: float) -> Any:
        state = advance(self, target)
        if self.accepted > steps:
            raise Killed
        return state

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "advance", cut_off)
        with pytest.raises(Killed):
            yield


def assert_same(one: rl.FlowSolution, two: rl.FlowSolution) -> None:
    """To the last bit, counts and events included."""
    assert one.message == two.message
    assert (one.status, one.nfev, one.n_accepted, one.n_rejected) == (
        two.status,
        two.nfev,
        two.n_accepted,
        two.n_rejected,
    )
    assert one.t.tobytes() == two.t.tobytes()
    assert [m.packed.tobytes() for m in one.metrics] == [m.packed.tobytes() for m in two.metrics]
    assert [t.tolist() for t in one.t_events] == [t.tolist() for t in two.t_events]
    assert [[m.packed.tobytes() for m in g] for g in one.metrics_events] == [
        [m.packed.tobytes() for m in g] for g in two.metrics_events
    ]
    assert one.t_observed.tobytes() == two.t_observed.tobytes()
    assert {k: v.tobytes() for k, v in one.observed.items()} == {
        k: v.tobytes() for k, v in two.observed.items()
    }


@pytest.mark.parametrize("more", [{}, {"t_eval": [0.05, 0.1, 0.35]}, {"dt": 0.012}], ids=str)
@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2", "etdrk4"])
def test_a_resumed_run_ends_the_same_to_the_last_bit(
    method: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method != "etdrk4" and "dt" in more:
        more = {"dt": 0.002}
    asked = options(method, **more)
    full = rl.solve_flow(**asked)
    assert full.status == 0
    checkpoint = rl.Checkpoint(tmp_path / "run", steps=2)
    for steps in (0, 3, 4):
        with killed_after(steps, monkeypatch):
            rl.solve_flow(**asked, checkpoint=checkpoint, resume=True)
    assert_same(rl.solve_flow(**asked, checkpoint=checkpoint, resume=True), full)
    # What is finished is only read.
    again = rl.solve_flow(**asked, checkpoint=checkpoint, resume=True)
    assert_same(again, full)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("store", ["last", "run.zarr"])
def test_stores_are_resumed_too(
    store: str, dense: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    asked = options("tsit5", t_eval=np.linspace(0, 0.4, 23), dense_output=dense)
    full = rl.solve_flow(**asked, store=store.replace("run", "full"))
    checkpoint = rl.Checkpoint("run", steps=3)
    with killed_after(8, monkeypatch):
        rl.solve_flow(**asked, store=store, checkpoint=checkpoint)
    resumed = rl.solve_flow(**asked, store=store, checkpoint=checkpoint, resume=True)
    assert_same(resumed, full)
    assert_same(rl.solve_flow(**asked, store=store, checkpoint=checkpoint, resume=True), full)
    if store != "last":
        assert np.array_equal(rl.FlowSolution.load(store).t, full.t)


def test_boundaries_and_backgrounds_are_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages that are kept hold boundary values from before the step was settled."""
    sphere = rl.exact.round_sphere(2)
    start = sphere.field(0.0, sphere.grid(9))
    asked: dict[str, Any] = {
        "metric": start,
        "flow": rl.RicciDeTurckFlow(sphere.metric),
        "t_span": (0, 0.1),
        "method": "tsit5",
        "boundary": {0: sphere.metric, (1, "lower"): sphere.metric},
    }
    full = rl.solve_flow(**asked)
    with killed_after(3, monkeypatch):
        rl.solve_flow(**asked, checkpoint=rl.Checkpoint(tmp_path, steps=1))
    assert_same(rl.solve_flow(**asked, checkpoint=tmp_path, resume=True), full)


def test_the_splitting_of_etdrk4_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It follows the metric, but lags behind: the state alone does not tell where it is."""
    asked = options("etdrk4", dt=0.02, t_eval=[0.4]) | {
        "flow": rl.ScaledFlow(rl.RicciDeTurckFlow(), 1.0)
    }
    full = rl.solve_flow(**asked)
    with killed_after(9, monkeypatch):
        rl.solve_flow(**asked, checkpoint=rl.Checkpoint(tmp_path, steps=1))
    assert_same(rl.solve_flow(**asked, checkpoint=tmp_path, resume=True), full)


def test_every_library_is_resumed(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = rl.perturbed_euclidean(GRID, 0.3, seed=4, xp=backend.xp, dtype=backend.dtype("float32"))
    asked = options("tsit5", rtol=1e-4) | {"metric": start, "t_eval": [0.1, 0.4]}
    full = rl.solve_flow(**asked)
    with killed_after(5, monkeypatch):
        rl.solve_flow(**asked, checkpoint=rl.Checkpoint(tmp_path, steps=1))
    resumed = rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)
    assert resumed.t.tobytes() == full.t.tobytes()
    for one, two in zip(resumed.metrics, full.metrics, strict=True):
        assert one.packed.dtype == start.packed.dtype
        assert backend.numpy(one.packed).tobytes() == backend.numpy(two.packed).tobytes()


# ---- killing --------------------------------------------------------------------------------

SCRIPT = textwrap.dedent(
    """
    import sys
    import numpy as np
    import riemann_lne as rl

    folder, method, store, every = sys.argv[1:]
    start = rl.perturbed_euclidean(rl.Grid.torus((24, 24)), 0.3, seed=4)
    solution = rl.solve_flow(
        start, rl.RicciDeTurckFlow(), (0, 0.3), method, t_eval=np.linspace(0, 0.3, 31),
        observe={"volume": lambda g: g.volume()}, events=lambda t, g: np.cos(40 * t),
        store=f"{folder}/metrics.zarr" if store == "zarr" else store,
        checkpoint=rl.Checkpoint(f"{folder}/run", steps=int(every)), resume=True,
    )
    solution.save(f"{folder}/result.npz")
    """
)


def kill_flows(campaign: Any, method: str, store: str, every: int, kills: int = 20) -> None:
    """Kills of solve_flow; the results are the solution that it returned and its store."""
    pytest.importorskip("zarr")

    def command(folder: Path) -> list[str]:
        return ["-W", "error", "-c", SCRIPT, str(folder), method, store, str(every)]

    def result(folder: Path) -> list[rl.FlowSolution]:
        names = ["result.npz", "metrics.zarr"] if store == "zarr" else ["result.npz"]
        found = [rl.FlowSolution.load(folder / name) for name in names]
        for solution in found:
            assert len(solution) == (1 if store == "last" else 31)
            assert len(solution.t_observed) > 20
            assert solution.success
        return found

    campaign(command, result, kills)


@pytest.mark.parametrize(("store", "every"), [("metrics", 1), ("zarr", 3)])
def test_a_killed_run_ends_the_same(store: str, every: int, kill_campaign: Any) -> None:
    kill_flows(kill_campaign, "tsit5", store, every, kills=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "store", "every"),
    [
        ("tsit5", "metrics", 1),
        ("tsit5", "zarr", 1),
        ("tsit5", "last", 2),
        ("rkl2", "zarr", 2),
        ("etdrk4", "metrics", 1),
        ("bs32", "zarr", 3),
    ],
)
def test_twenty_killed_runs_end_the_same(
    method: str, store: str, every: int, kill_campaign: Any
) -> None:
    kill_flows(kill_campaign, method, store, every)


@pytest.mark.parametrize("at", ["claim", "store", "write"])
def test_a_run_that_is_killed_before_its_first_checkpoint_can_be_resumed(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr")
    from riemann_lne.integrators.checkpoint import CheckpointFile
    from riemann_lne.io import MetricStore

    def killed(*arguments: Any) -> None:
        raise Killed

    asked = options("tsit5", store=tmp_path / "run.zarr", checkpoint=tmp_path / "run")
    place = {
        "claim": (CheckpointFile, "begin"),
        "store": (MetricStore, "_make_arrays"),
        "write": (CheckpointFile, "write"),
    }[at]
    with monkeypatch.context() as patch:
        patch.setattr(*place, killed)
        with pytest.raises(Killed):
            rl.solve_flow(**asked)
    assert_same(rl.solve_flow(**asked, resume=True), rl.solve_flow(**options("tsit5")))


def test_the_store_of_another_run_is_not_replaced(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    first = rl.solve_flow(**options("tsit5", store=path))
    for _ in range(2):
        with pytest.raises(InvalidArgumentError, match="exists already"):
            rl.solve_flow(**options("tsit5", store=path), checkpoint=tmp_path / "new", resume=True)
    assert rl.FlowSolution.load(path).t.tolist() == first.t.tolist()


@pytest.mark.skipif(os.name != "posix", reason="SIGINT")
def test_ctrl_c_leaves_a_usable_solution_and_a_checkpoint(tmp_path: Path) -> None:
    asked = options("rk4", dt=1e-4) | {"t_span": (0, 2)}
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    solution = rl.solve_flow(**asked, checkpoint=tmp_path, store="last")
    timer.join()
    assert solution.status == -2
    assert f"interrupted after t = {solution.t[-1]:.6g}" in solution.message
    assert solution.n_accepted == len(solution.t_observed) - 1 > 0
    assert solution.t[-1] == solution.t_observed[-1]
    more = rl.solve_flow(
        **(asked | {"max_steps": solution.n_accepted + 5}),
        checkpoint=tmp_path, resume=True, store="last",
    )  # fmt: skip
    assert more.n_accepted == solution.n_accepted + 5
    assert np.allclose(more.t[-1], solution.t[-1] + 5e-4)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    class Interrupted(rl.RicciDeTurckFlow):
        calls = 0

        def rhs(self, *arguments: Any) -> Any:
            Interrupted.calls += 1
            if Interrupted.calls == 40:
                raise KeyboardInterrupt
            return super().rhs(*arguments)

    asked = options("tsit5", t_eval=[0.2, 0.4]) | {"flow": Interrupted()}
    first = rl.solve_flow(**asked, checkpoint=tmp_path)
    assert first.status == -2
    assert 0 < first.t[-1] < 0.2
    second = rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)
    assert_same(second, rl.solve_flow(**asked))


def test_a_run_that_ran_out_of_steps_can_be_given_more(tmp_path: Path) -> None:
    asked = options("tsit5", t_eval=[0.2, 0.4])
    first = rl.solve_flow(**asked, checkpoint=tmp_path, max_steps=4)
    assert first.status == -1
    assert first.n_accepted == 4
    second = rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)
    assert_same(second, rl.solve_flow(**asked))


# ---- damage ---------------------------------------------------------------------------------


def interrupted_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked = options("tsit5")
    with killed_after(6, monkeypatch):
        rl.solve_flow(**asked, checkpoint=rl.Checkpoint(folder, steps=1))
    return asked


def newest(folder: Path) -> Path:
    return max(folder.glob("?.npz"), key=lambda p: p.stat().st_mtime_ns)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # A bit of the metric: the middle of the file can be a part of the archive that means nothing.
    array = content.index(b"y.npy")
    content[content.index(b"\x93NUMPY", array) + 200] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [halve, flip, empty])
def test_a_damaged_checkpoint_is_seen_and_the_one_before_used(
    damage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = interrupted_run(tmp_path, monkeypatch)
    path = newest(tmp_path)
    damage(path)
    with pytest.warns(UserWarning, match=f"damaged: .*{path.name}.*going on from the checkpoint"):
        resumed = rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)
    assert_same(resumed, rl.solve_flow(**asked))


def test_a_journal_that_lost_its_end_takes_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = interrupted_run(tmp_path, monkeypatch)
    journal = tmp_path / "journal"
    journal.write_bytes(journal.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="journal is shorter"):
        resumed = rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)
    assert_same(resumed, rl.solve_flow(**asked))


def test_if_nothing_is_whole_it_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = interrupted_run(tmp_path, monkeypatch)
    for path in tmp_path.glob("?.npz"):
        halve(path)
    with pytest.raises(StorageError, match=r"no checkpoint in .* can be read"):
        rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": rl.perturbed_euclidean(rl.Grid.torus((9, 8)), 0.3)}, r"grid_shape is \[10, 8\] "
         r"there and \[9, 8\] here"),
        ({"metric": rl.perturbed_euclidean(GRID, 0.3, seed=5)}, "start is MetricField"),
        ({"flow": rl.RicciFlow()}, r"flow is RicciDeTurckFlow\(background=None\) there and "
         r"RicciFlow\(\) here"),
        ({"method": "bs32"}, "method is tsit5 there and bs32 here"),
        ({"rtol": 1e-5}, "rtol is 1e-06 there and 1e-05 here"),
        ({"order": 2}, "order is 4 there and 2 here"),
        ({"t_span": (0, 0.5)}, "t_span"),
        ({"t_eval": [0.1]}, "t_eval is every step"),
        ({"observe": {}}, "observe is"),
        ({"events": None}, "events is"),
        ({"store": "last"}, "store is metrics there and last here"),
    ],
)  # fmt: skip
def test_the_checkpoint_of_another_run_is_refused_with_what_differs(
    change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = interrupted_run(tmp_path, monkeypatch)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(InvalidArgumentError, match=f"another run: .*{message}"):
        rl.solve_flow(**(asked | change), checkpoint=tmp_path, resume=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_earlier_runs_checkpoint_is_not_written_over(tmp_path: Path) -> None:
    asked = options("tsit5")
    first = rl.solve_flow(**asked, checkpoint=tmp_path)
    with pytest.raises(InvalidArgumentError, match="resume=True"):
        rl.solve_flow(**asked, checkpoint=tmp_path)
    assert_same(rl.solve_flow(**asked, checkpoint=tmp_path, resume=True), first)


def test_resuming_needs_a_place_and_without_a_checkpoint_starts(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="checkpoint=path"):
        rl.solve_flow(**options("tsit5"), resume=True)
    fresh = rl.solve_flow(**options("tsit5"), checkpoint=tmp_path / "new", resume=True)
    assert fresh.status == 0


@pytest.mark.parametrize("more", [{"steps": 0}, {"steps": -1}, {"seconds": -1.0}])
def test_senseless_plans_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"give a .*, at least [01]"):
        rl.Checkpoint("run", **more)


def test_checkpoints_are_written_when_they_are_due(tmp_path: Path) -> None:
    from riemann_lne.integrators.checkpoint import CheckpointFile

    never = CheckpointFile(rl.Checkpoint(tmp_path, seconds=1e9), {})
    assert not never.due(1000)
    always = CheckpointFile(rl.Checkpoint(tmp_path, seconds=0.0), {})
    assert always.due(1)
    counted = CheckpointFile(rl.Checkpoint(tmp_path, steps=10), {})
    assert [counted.due(k) for k in (9, 10)] == [False, True]


# ---- full disks -----------------------------------------------------------------------------


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = options("tsit5")
    savez, calls = np.savez, iter(range(100))

    def full_disk(file: Any, **content: Any) -> None:
        if next(calls) >= 4:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        savez(file, **content)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full_disk)
        stopped = rl.solve_flow(**asked, checkpoint=rl.Checkpoint(tmp_path, steps=1))
    assert stopped.status == -1
    assert "could not write the checkpoint" in stopped.message
    assert "No space left on device" in stopped.message
    assert len(stopped) >= 4  # what was computed is there
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz", "journal"]
    resumed = rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)
    assert_same(resumed, rl.solve_flow(**asked))


def test_a_place_that_cannot_be_written_is_an_error_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not write the checkpoint"):
        rl.solve_flow(**options("tsit5"), checkpoint=tmp_path / "file")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def breaks(file: Any) -> None:
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, breaks)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_journal_gives_back_what_was_marked(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.begin()
    journal.append([("m", 0, 0.5, np.arange(3.0)), ("e", 2, 0.7, np.zeros((2, 2)))])
    mark = journal.mark()
    journal.append([("m", 0, 0.9, np.ones(4))])
    fresh = Journal(tmp_path / "journal")
    records = fresh.restore(mark)
    assert [r[:3] for r in records] == [("m", 0, 0.5), ("e", 2, 0.7)]
    assert np.array_equal(np.frombuffer(records[0][3]), np.arange(3.0))
    fresh.append([("m", 0, 1.0, np.zeros(1))])
    assert [r[2] for r in Journal(tmp_path / "journal").restore(fresh.mark())] == [0.5, 0.7, 1.0]


def test_a_changed_threshold_of_an_event_is_another_run(tmp_path: Path) -> None:
    asked = options("tsit5")
    asked["events"] = rl.events.CurvatureAbove(1e6)
    rl.solve_flow(**asked, checkpoint=tmp_path)
    asked["events"] = rl.events.CurvatureAbove(2e6)
    with pytest.raises(InvalidArgumentError, match=r"another run: .*threshold=1000000\.0"):
        rl.solve_flow(**asked, checkpoint=tmp_path, resume=True)
