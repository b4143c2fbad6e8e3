"""Checkpoints of integrate: a run that is stopped goes on as if nothing had happened."""

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import Checkpoint, integrate
from riemann_lne.errors import DamagedFileError, InvalidArgumentError
from riemann_lne.integrators.integration import IntegrationFile

START = np.array([[1.0, 0.5], [0.2, -0.3]])


class Pendulum:
    """A right-hand side that is stopped by Ctrl-C after so many calls."""

    def __init__(self, stop=None):
        self.calls, self.stop = 0, stop

    def __repr__(self):
        return "Pendulum()"

    def __call__(self, t, y):
        self.calls += 1
        if self.calls == self.stop:
            raise KeyboardInterrupt
        return np.stack([y[1], -np.sin(y[0])])


def crossing(t, y):
    return y[0, 0]


@pytest.mark.parametrize("options", [
    {"method": "tsit5"},
    {"method": "tsit5", "t_eval": [0.5, 3.0, 4.0]},
    {"method": "rk4", "dt": 0.1, "t_eval": [0.0, 4.0]},
    {"method": "rkl2", "rtol": 1e-3},
])  # fmt: skip
def test_a_run_that_is_interrupted_goes_on_to_the_last_bit(options, tmp_path):
    options = {"events": crossing, **options}
    whole = integrate(Pendulum(), START, (0, 4), **options)
    plan = Checkpoint(tmp_path / "run", steps=1)
    first = integrate(Pendulum(stop=whole.nfev // 2), START, (0, 4), checkpoint=plan, **options)
    assert first.status == -2
    assert 0 < first.t[-1] < 4
    rest = Pendulum()
    second = integrate(rest, START, (0, 4), checkpoint=plan, resume=True, **options)
    assert 0 < rest.calls < 0.6 * whole.nfev
    assert second.t.tolist() == whole.t.tolist()
    assert second.y.tolist() == whole.y.tolist()
    assert second.t_events[0].tolist() == whole.t_events[0].tolist()
    assert (second.message, second.nfev) == (whole.message, whole.nfev)
    # One that has come to its end is read, not repeated.
    rest.calls = 0
    third = integrate(rest, START, (0, 4), checkpoint=plan, resume=True, **options)
    assert rest.calls == 0
    assert third.y.tolist() == whole.y.tolist()
    assert third.message == whole.message


def test_another_run_or_a_damaged_one_is_refused(tmp_path):
    place = tmp_path / "run"
    integrate(Pendulum(), START, (0, 1), checkpoint=place)
    with pytest.raises(InvalidArgumentError, match="resume=True"):
        integrate(Pendulum(), START, (0, 1), checkpoint=place)
    for change in ({"y0": START + 1}, {"t_span": (0, 2)}, {"rtol": 1e-3}, {"method": "rkl2"}):
        arguments = {"y0": START, "t_span": (0, 1), **change}
        with pytest.raises(InvalidArgumentError, match="another run"):
            integrate(Pendulum(), **arguments, checkpoint=place, resume=True)
    with pytest.raises(InvalidArgumentError, match="dense_output"):
        integrate(Pendulum(), START, (0, 1), checkpoint=place, dense_output=True)
    with pytest.raises(InvalidArgumentError, match="resume=True needs checkpoint"):
        integrate(Pendulum(), START, (0, 1), resume=True)
    for file in place.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DamagedFileError, match="no checkpoint"):
        integrate(Pendulum(), START, (0, 1), checkpoint=place, resume=True)


def test_the_checkpoint_of_several_processes_is_left_alone_without_mpi(tmp_path):
    """Also by the doors of flows: all of them read and begin with the same file."""
    record = tmp_path / "commit.json"
    record.write_text("{}")
    g = rl.flat_metric(rl.Grid.torus((6, 6)))
    ball, globe = rl.symmetric.round_sphere(16), rl.conformal.round_sphere(rl.conformal.Sphere(4))
    for call in (
        lambda **o: integrate(lambda t, y: -y, np.ones(3), (0, 1), **o),
        lambda **o: rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 1), **o),
        lambda **o: rl.symmetric.solve(ball, (0, 1e-3), **o),
        lambda **o: rl.conformal.solve(globe, (0, 1e-3), **o),
    ):
        with pytest.raises(InvalidArgumentError, match="under MPI; resume it there"):
            call(checkpoint=tmp_path, resume=True)
        with pytest.raises(InvalidArgumentError, match="earlier run"):
            call(checkpoint=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["commit.json"]


def test_a_full_disk_costs_nothing_that_was_computed(tmp_path, monkeypatch):
    from riemann_lne.errors import StorageError

    written = []

    def save(self, ended=None):
        written.append(ended)
        if len(written) == 3:
            raise StorageError("the disk is full")

    monkeypatch.setattr(IntegrationFile, "save", save)
    run = integrate(Pendulum(), START, (0, 4), checkpoint=Checkpoint(tmp_path / "run", steps=1))
    assert run.status == -1
    assert "the disk is full" in run.message
    assert len(run.t) == 3
