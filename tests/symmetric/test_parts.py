"""A flow that is written to a file from output to output, and resumed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from riemann_lne.errors import FolderInUseError, InvalidArgumentError
from riemann_lne.locks import hold
from riemann_lne.symmetric import (
    NeckBelow,
    RotationalSolution,
    dumbbell,
    flow_with_surgery,
    random_sphere,
    solve,
    solve_in_parts,
)
from riemann_lne.symmetric.flow import RotationalFlow

TIMES = [0.0, 0.01, 0.02, 0.03]


def test_a_run_that_was_interrupted_goes_on_to_the_same_states(tmp_path, monkeypatch):
    g, path = random_sphere(32, seed=2), tmp_path / "run.npz"
    whole = solve_in_parts(g, TIMES, tmp_path / "whole.npz", rtol=1e-5)
    assert RotationalSolution.load(tmp_path / "whole.npz").metrics == whole.metrics
    usual = solve(g, (0, TIMES[-1]), t_eval=TIMES, rtol=1e-8)
    np.testing.assert_allclose(whole[-1].volume(), usual[-1].volume(), rtol=1e-4)

    rhs, begun = RotationalFlow.__call__, []

    def interrupted(flow, t, state):
        begun.append(1)
        if len(begun) > whole.nfev - 5:  # in the last part
            raise KeyboardInterrupt
        return rhs(flow, t, state)

    with monkeypatch.context() as patch:
        patch.setattr(RotationalFlow, "__call__", interrupted)
        stopped = solve_in_parts(g, TIMES, path, rtol=1e-5)
    assert stopped.status == -2
    resumed = solve_in_parts(g, TIMES, path, rtol=1e-5, resume=True)
    assert resumed.success
    assert resumed.metrics == whole.metrics
    np.testing.assert_array_equal(resumed.t, TIMES)
    again = solve_in_parts(g, TIMES, path, rtol=1e-5, resume=True)
    assert (again.metrics, again.nfev) == (resumed.metrics, resumed.nfev)
    for other in (
        {"metric": random_sphere(32, seed=3)},
        {"times": [0.0, 0.02]},
        {"rtol": 1e-6},
    ):
        arguments = {"metric": g, "times": TIMES, "rtol": 1e-5, **other}
        with pytest.raises(InvalidArgumentError, match="another flow"):
            solve_in_parts(checkpoint=path, resume=True, **arguments)


def test_an_earlier_run_is_not_written_over(tmp_path):
    """All doors that keep a file while they run; ``save`` is asked for by name and does."""
    g, path = random_sphere(32), tmp_path / "run.npz"
    kept = solve(g, (0, 1e-3), t_eval=[0, 1e-3])
    kept.save(path)
    content = path.read_bytes()
    for call in (
        lambda: solve_in_parts(g, TIMES, path),
        lambda: flow_with_surgery(dumbbell(40, 0.3), checkpoint=path),
    ):
        with pytest.raises(InvalidArgumentError, match="is there already; pass resume=True"):
            call()
    assert path.read_bytes() == content
    folder = tmp_path / "run"
    solve(g, (0, 1e-3), checkpoint=folder)
    with pytest.raises(InvalidArgumentError, match="resume=True"):
        solve(g, (0, 1e-3), checkpoint=folder)


def test_two_runs_do_not_write_one_file(tmp_path):
    path, g = tmp_path / "run.npz", dumbbell(40, 0.3)
    calls = [
        lambda: solve_in_parts(g, TIMES, path),
        lambda: flow_with_surgery(g, checkpoint=path, resume=True),
    ]
    with hold(path, "another run", inside=False), ThreadPoolExecutor() as others:
        for other in [others.submit(call) for call in calls]:
            with pytest.raises(FolderInUseError):
                other.result()
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_could_not_be_written_is_refused_before_the_work(monkeypatch):
    def worked(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr("riemann_lne.symmetric.parts.solve", worked)
    monkeypatch.setattr("riemann_lne.symmetric.stretch.Pace.follow", worked)
    for call in (
        lambda: solve_in_parts(random_sphere(32), TIMES, "run"),
        lambda: flow_with_surgery(dumbbell(40, 0.3), checkpoint="run"),
    ):
        with pytest.raises(InvalidArgumentError, match=r"ends in \.npz"):
            call()


def test_an_event_ends_all_parts(tmp_path):
    g = dumbbell(48, 0.3)
    run = solve_in_parts(g, [0, 0.01, 0.05, 0.1], tmp_path / "run.npz", events=NeckBelow(0.25))
    assert run.status == 1
    assert run[-1].neck_radius() == pytest.approx(0.25, rel=1e-3)
    assert len(run) < 5


def test_wrong_times_and_paths(tmp_path):
    g = random_sphere(32)
    for times in ([0.0], [0.0, 0.0], [0.1, 0.0]):
        with pytest.raises(InvalidArgumentError, match="increasing"):
            solve_in_parts(g, times, tmp_path / "run.npz")
    with pytest.raises(InvalidArgumentError, match="npz"):
        solve_in_parts(g, TIMES, tmp_path / "run.zarr")
