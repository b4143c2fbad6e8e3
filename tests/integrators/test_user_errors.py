"""An error of the user's own code keeps what was computed; callbacks cannot change the run.

Looked at: observe, events (also while they are located), right-hand sides, boundary functions, with
every kind of exception; MemoryError, KeyboardInterrupt, sys.exit, warnings as errors, errors amidst
recording; in memory, to a store, with a checkpoint; before the first step.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.integrators.recorder import Recorder

START = rl.perturbed_euclidean(rl.Grid.torus((8, 8)), 0.3, seed=2)
BOX = rl.flat_metric(rl.Grid.box(0, 1, (9, 9)))


class Breaks:
    """Counts its calls, and raises at one of them."""

    def __init__(self, error: BaseException, at: int = 9) -> None:
        self.error, self.at, self.calls = error, at, 0

    def __call__(self) -> float:
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return 1.0


class BreakingFlow(rl.RicciDeTurckFlow):
    breaks: Breaks | None = None

    def rhs(self, *arguments: Any) -> Any:
        if BreakingFlow.breaks is not None:
            BreakingFlow.breaks()
        return super().rhs(*arguments)


def solve(place: str, breaks: Callable[[], float], **more: Any) -> rl.FlowSolution:
    BreakingFlow.breaks = None
    metric, options = START, {"observe": {"v": lambda g: g.volume()}}
    if place == "observe":
        options["observe"] = {"v": lambda g: g.volume() + 0 * breaks()}
    elif place == "event":
        options["events"] = lambda t, g: breaks()
    elif place == "rhs":
        BreakingFlow.breaks = breaks  # type: ignore[assignment]
    else:
        metric = BOX
        ones = np.eye(2).reshape(2, 2, 1, 1)
        options["boundary"] = lambda t, *x: ones * (breaks() + 0 * x[0])
    flow = BreakingFlow() if place == "rhs" else rl.RicciDeTurckFlow()
    return rl.solve_flow(metric, flow, (0, 0.2), "bs32", kernel="plain", **{**options, **more})


ERRORS = [
    ValueError("broke"),
    ZeroDivisionError(),
    MemoryError(),
    OSError("gone"),
    UserWarning("w"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("place", ["observe", "event", "rhs", "boundary"])
def test_a_late_error_keeps_what_was_computed(
    place: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    at = {"observe": 4, "event": 4, "rhs": 12, "boundary": 120}[place]
    solution = solve(place, Breaks(error, at))
    assert solution.status == -1
    assert f"stopped at t = {solution.t[-1]:.6g}: {type(error).__name__}" in solution.message
    if place in ("observe", "event"):
        assert " at t = " in solution.message.split(type(error).__name__)[1]
    assert len(solution) == len(solution.metrics) == solution.n_accepted + 1 > 1
    assert len(solution.t_observed) == len(solution)
    record = caplog.records[-1]
    assert (record.levelno, record.exc_info and record.exc_info[1]) == (logging.ERROR, error)


@pytest.mark.parametrize("store", ["metrics", "last", "o.zarr"])
@pytest.mark.parametrize(
    "error", [ValueError("broke"), KeyboardInterrupt(), SystemExit(3)], ids=repr
)
def test_it_is_saved_and_can_be_resumed(
    error: BaseException, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store == "o.zarr":
        pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    full = solve("observe", lambda: 1.0, store=store.replace("o.", "full."))
    options: dict[str, Any] = {"store": store, "checkpoint": rl.Checkpoint("ck", seconds=1e9)}
    if isinstance(error, SystemExit):
        with pytest.raises(SystemExit):
            solve("observe", Breaks(error, 4), **options)
    else:
        partial = solve("observe", Breaks(error, 4), **options)
        assert partial.status == (-2 if isinstance(error, KeyboardInterrupt) else -1)
        assert partial.n_accepted == 2
        if partial.status == -1:
            assert "resume=True" in partial.message
    if store == "o.zarr":
        assert len(rl.FlowSolution.load(store)) == 3
    assert solve("observe", lambda: 1.0, resume=True, **options) == full


@pytest.mark.parametrize("place", ["observe", "event", "rhs", "boundary"])
def test_before_the_first_step_it_is_raised_with_the_time(place: str, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        solve(place, Breaks(ZeroDivisionError(), 1), checkpoint=tmp_path / "ck")
    if place != "boundary":
        assert any("t = 0" in note for note in caught.value.__notes__)
    # The flow is first called in the first step, and the start has been saved then.
    assert bool(list(tmp_path.iterdir())) == (place == "rhs")


@pytest.mark.parametrize("store", ["metrics", "last", "o.zarr"])
def test_an_error_amidst_recording_leaves_no_half_step(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metric has been added when adding the observed values fails."""
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    full = solve("observe", lambda: 1.0, store=store.replace("o.", "full."))
    options: dict[str, Any] = {"store": store, "checkpoint": rl.Checkpoint("ck", steps=1)}
    note, breaks = Recorder.note, Breaks(MemoryError(), 4)

    def broken(self: Recorder, *arguments: Any) -> None:
        breaks()
        note(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "note", broken)
        partial = solve("observe", lambda: 1.0, **options)
    assert partial.status == -1
    assert len(partial.t_observed) == 3
    assert len(partial) == len(partial.t) == (1 if store == "last" else 3)
    assert solve("observe", lambda: 1.0, resume=True, **options) == full


def test_a_warning_as_an_error_is_one_too() -> None:
    calls = iter(range(100))

    def warns(metric: rl.MetricField) -> float:
        if next(calls) == 3:
            warnings.warn("small", stacklevel=1)
        return 1.0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = rl.solve_flow(START, rl.RicciDeTurckFlow(), (0, 1), observe={"w": warns})
    assert solution.status == -1
    assert "UserWarning: small" in solution.message
    assert len(solution) == 3


# ---- callbacks cannot change the run --------------------------------------------------------


def test_metrics_cannot_be_written_into(backend: Any) -> None:
    """NumPy refuses; where there is no read-only array, it is a copy."""
    start = rl.perturbed_euclidean(START.grid, 0.3, seed=2, xp=backend.xp)
    asked: dict[str, Any] = {"t_eval": [0.1, 0.2], "method": "bs32", "kernel": "plain"}
    quiet = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.2), **asked)

    def spoil(metric: rl.MetricField) -> float:
        for name in ("packed", "components"):
            try:
                getattr(metric, name)[0, ...] = 7.0
            except (ValueError, TypeError):
                assert isinstance(metric.packed, np.ndarray) or "strict" in str(backend.xp)
        return 1.0

    spoiled = rl.solve_flow(
        start, rl.RicciDeTurckFlow(), (0, 0.2),
        observe={"s": spoil}, events=lambda t, g: spoil(g), **asked,
    )  # fmt: skip
    for one, two in zip(quiet.metrics, spoiled.metrics, strict=True):
        assert backend.numpy(one.packed).tobytes() == backend.numpy(two.packed).tobytes()


def test_coordinates_given_to_boundary_functions_cannot_be_written_into() -> None:
    def spoil(t: float, x: Any, y: Any) -> Any:
        with pytest.raises(ValueError, match="read-only"):
            x += 1
        return [[1 + 0 * x, 0], [0, 1]]

    assert rl.solve_flow(BOX, rl.RicciDeTurckFlow(), (0, 0.01), boundary=spoil).success


# ---- arguments ------------------------------------------------------------------------------


def with_attribute(name: str, value: Any) -> Any:
    def event(t: float, metric: rl.MetricField) -> float:
        return t - 0.1

    setattr(event, name, value)
    return event


WRONG: list[dict[str, Any]] = [
    {"t_eval": 8}, {"t_eval": "12"}, {"t_eval": [0.1, np.nan]}, {"t_eval": [True]},
    {"t_eval": []}, {"t_eval": [0.2, 0.1]}, {"t_eval": [0.1, "0.2"]}, {"t_eval": {0.1: 1}},
    {"t_span": 1}, {"t_span": (0, 1, 2)}, {"t_span": ("0", "1")}, {"t_span": (0, np.inf)},
    {"t_span": (1, 1)}, {"t_span": None}, {"t_span": (False, True)},
    {"rtol": "1e-3"}, {"rtol": np.array([1e-3, 1e-3])}, {"rtol": True}, {"rtol": -1},
    {"rtol": np.nan}, {"rtol": None}, {"atol": 1j}, {"rtol": 0, "atol": 0},
    {"dt": 0}, {"dt": "0.1"}, {"dt": np.nan}, {"dt": True}, {"dt": [0.1]},
    {"max_steps": 2.5}, {"max_steps": np.nan}, {"max_steps": "9"}, {"max_steps": 0},
    {"max_steps": True}, {"max_steps": None},
    {"order": 3}, {"order": "4"}, {"order": True}, {"order": 4.5},
    {"dense_output": "False"}, {"resume": 1}, {"progress": "no"}, {"resume": None},
    {"observe_at": 3}, {"events": 3}, {"events": "abc"}, {"events": [3]}, {"events": {}},
    {"store": 3}, {"store": "a\0.zarr"}, {"store": None}, {"checkpoint": "a\0b"},
    {"checkpoint": 3}, {"checkpoint": ""}, {"kernel": "fast"}, {"method": 3}, {"boundary": 3},
    {"observe": {"a/b": len}}, {"observe": {"\n": len}}, {"observe": {3: len}},
    *({"events": with_attribute("terminal", v)} for v in ("yes", -1, 2.5, np.nan, [1], "True")),
    *({"events": with_attribute("direction", v)} for v in ("up", np.nan, True, [1], 1j)),
]  # fmt: skip


# Names without addresses of functions: parallel processes must agree on them.
@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: "-".join(w))
def test_wrong_arguments_are_refused_before_the_first_step(
    wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps: list[float] = []
    options = {"t_span": (0, 0.2), "observe": {"v": lambda g: steps.append(0.0) or 1.0}, **wrong}
    with pytest.raises(rl.RiemannLNEError):
        rl.solve_flow(START, rl.RicciDeTurckFlow(), **options)
    assert len(steps) <= 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "make",
    [
        lambda: rl.events.Degenerate("a"),  # type: ignore[arg-type]
        lambda: rl.events.Degenerate(0.1, terminal="False"),  # type: ignore[arg-type]
        lambda: rl.events.CurvatureAbove(np.nan),
        lambda: rl.events.CurvatureAbove(1.0, order=3),  # type: ignore[arg-type]
        lambda: rl.events.SteadyState(True),
        lambda: rl.Checkpoint("a", steps=2.5),  # type: ignore[arg-type]
        lambda: rl.Checkpoint("a", seconds=np.nan),
        lambda: rl.Checkpoint("a", steps=True),
        lambda: rl.Checkpoint("", steps=1),
    ],
)
def test_wrong_options_of_events_and_checkpoints(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        make()


def test_scalars_of_numpy_and_what_scipy_takes_are_fine() -> None:
    events = [with_attribute("terminal", v) for v in (None, np.False_, 0, np.int64(5))]
    events += [with_attribute("direction", v) for v in (None, np.float32(1), 1)]
    solution = rl.solve_flow(
        START, rl.RicciDeTurckFlow(), np.array([0, 0.2]), t_eval=np.array([0.1, 0.2]),
        rtol=np.float32(1e-4), atol=np.array(1e-7), max_steps=np.int32(100), dense_output=np.True_,
        events=events,
    )  # fmt: skip
    assert solution.success
    assert [len(t) for t in solution.t_events] == [1] * 7
    assert rl.solve_flow(START, rl.RicciDeTurckFlow(), (0, 0.1), max_steps=1e4).success  # type: ignore[arg-type]


# ---- a start and its boundary ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["rk4", "bs32", "rkl2"])
@pytest.mark.parametrize("boundary", [{(0, "lower"): 1.01}, {0: 1.001, 1: "held"}, 1.01])
def test_a_start_that_disagrees_with_its_boundary_is_named(boundary: Any, method: str) -> None:
    def of(value: Any) -> Any:
        if isinstance(value, str):
            return value
        return lambda t, x, y: [[value + 0 * x, 0], [0, 1]]

    given = {k: of(v) for k, v in boundary.items()} if isinstance(boundary, dict) else of(boundary)
    with pytest.raises(InvalidArgumentError, match=r"disagree at t = 0 .* is 1 in the start"):
        rl.solve_flow(BOX, rl.RicciDeTurckFlow(), (0, 0.1), method, boundary=given)


def test_rounding_is_no_disagreement() -> None:
    start = rl.flat_metric(BOX.grid, dtype=np.float32)
    solution = rl.solve_flow(
        start, rl.RicciDeTurckFlow(), (0, 0.01),
        boundary=lambda t, x, y: [[1 + 1e-6 + 0 * x, 0], [0, 1]],
    )  # fmt: skip
    assert solution.success
