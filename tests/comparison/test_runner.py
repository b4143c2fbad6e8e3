"""Many runs: in parallel, killed, gone on with; progress."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from riemann_lne.errors import InvalidArgumentError, StorageError, UnknownNameError
from riemann_lne_validation.comparison import runner
from riemann_lne_validation.comparison.progress import TerminalProgress, TimeLeft, duration
from riemann_lne_validation.comparison.protocol import default_arm
from riemann_lne_validation.comparison.records import load_records, record_path
from riemann_lne_validation.comparison.runner import RunsFailedError, run_arms
from riemann_lne_validation.comparison.units import Unit


def tiny(method="ste", **settings):
    settings = {"split": "validation", "epochs": 2, "batch_size": 128, "angle_every": 0} | settings
    return default_arm(method, **settings)


def comparable(records):
    """All of the records but the times."""
    return [
        replace(
            r,
            epochs=tuple(replace(e, seconds=0.0) for e in r.epochs),
            seconds=0.0,
            total_seconds=0.0,
        )
        for r in records
    ]


class Listener:
    """Progress that is only noted down."""

    def __init__(self):
        self.told, self.ended, self.lines = [], False, []

    def begin(self, units, found, jobs):
        self.count, self.found, self.jobs = len(units), found, jobs

    def running(self, fractions):
        self.told.append({u.name: f for u, f in fractions.items()})

    def done(self, unit, record, problem):
        self.lines.append((unit.arm.label, unit.seed, unit.is_start, problem))

    def end(self):
        self.ended = True


def test_records_of_every_arm_and_seed_in_order(tmp_path):
    arms = [tiny(), tiny("dorefa")]
    listener = Listener()
    records = run_arms(arms, [2, 0], tmp_path, jobs=1, progress=listener)
    names = [(r.label, r.seed) for r in records]
    assert names == [("ste", 2), ("ste", 0), ("dorefa", 2), ("dorefa", 0)]
    # seed by seed: what there is after a while compares all arms
    assert [line[:2] for line in listener.lines] == [
        ("ste", 2), ("dorefa", 2), ("ste", 0), ("dorefa", 0),
    ]  # fmt: skip
    assert listener.ended
    assert len(load_records(tmp_path / "records")) == 4
    assert list((tmp_path / "checkpoints").iterdir()) == []
    environment = records[0].environment
    assert environment["torch"]
    assert environment["device"] == "cpu"


def test_what_is_there_is_not_run_again(tmp_path):
    first = run_arms([tiny()], [0], tmp_path, jobs=1)
    stamp = record_path(tmp_path / "records", tiny(), 0).stat().st_mtime_ns
    listener = Listener()
    renamed = replace(tiny(), label="STE")  # the label is no setting, but names the file
    again = run_arms([tiny()], [0, 1], tmp_path, jobs=1, progress=listener)
    assert (listener.count, listener.found) == (1, 1)
    assert again[0] == first[0]
    assert record_path(tmp_path / "records", tiny(), 0).stat().st_mtime_ns == stamp
    assert run_arms([renamed], [0], tmp_path, jobs=1)[0].label == "STE"
    changed = Listener()
    run_arms([tiny(weight_decay=1e-3)], [0], tmp_path, jobs=1, progress=changed)
    assert changed.count == 1


def test_processes_give_what_one_gives(tmp_path):
    arms = [tiny(), tiny("lne-weak")]
    alone = run_arms(arms, [0, 1], tmp_path / "a", jobs=1)
    together = run_arms(arms, [0, 1], tmp_path / "b", jobs=2)
    assert comparable(alone) == comparable(together)


def test_a_divergence_is_a_record(tmp_path):
    arms = [tiny("full-precision", learning_rate=1e30), tiny()]
    bad, good = run_arms(arms, [0], tmp_path, jobs=1)
    assert bad.diverged is not None
    assert good.diverged is None


def test_a_run_that_breaks_off_does_not_end_the_others(tmp_path, monkeypatch):
    honest = runner.train

    def broken(arm, *args, **kwargs):
        if arm.label == "dorefa":
            raise RuntimeError("the cat sat on the keyboard")
        return honest(arm, *args, **kwargs)

    monkeypatch.setattr(runner, "train", broken)
    arms = [tiny("dorefa"), tiny()]
    with pytest.raises(
        RunsFailedError, match=r"(?s)1 of 2 runs broke off.*dorefa, seed 0.*cat sat"
    ):
        run_arms(arms, [0], tmp_path, jobs=1)
    assert [r.label for r in load_records(tmp_path / "records")] == ["ste"]
    monkeypatch.setattr(runner, "train", honest)
    assert len(run_arms(arms, [0], tmp_path, jobs=1)) == 2


class TestBadInputBeforeAnythingIsRun:
    @pytest.mark.parametrize(
        ("arm", "error"),
        [
            (tiny("stee"), UnknownNameError),
            (tiny("ste", options={"x": 1}), UnknownNameError),
            (tiny("lne-exact", options={"target": 2.0}), InvalidArgumentError),
            (tiny("rf-dnn", options={"gate": "hard"}), InvalidArgumentError),
            (tiny("rf-dnn", options={"alpha": -1}), InvalidArgumentError),
            (tiny("proxquant", weight_bits=2), InvalidArgumentError),
            (tiny("ste-long", options={"factor": 0}), InvalidArgumentError),
            (default_arm("ste", "cifar10"), InvalidArgumentError),
        ],
        ids=lambda value: value.label if hasattr(value, "label") else "",
    )
    def test_arms(self, tmp_path, arm, error):
        with pytest.raises(error):
            run_arms([tiny(), replace(arm, label="bad")], [0], tmp_path, jobs=1)
        assert not (tmp_path / "records").exists()

    def test_the_rest(self, tmp_path):
        with pytest.raises(InvalidArgumentError, match="unknown device"):
            run_arms([tiny()], [0], tmp_path, device="abacus")
        with pytest.raises(InvalidArgumentError, match="jobs"):
            run_arms([tiny()], [0], tmp_path, jobs=-1)
        with pytest.raises(StorageError, match="no folder"):
            run_arms([default_arm("ste", "cifar10")], [0], tmp_path, data=tmp_path / "x")
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError):
            run_arms([tiny()], [0], tmp_path / "file", jobs=1)


class TestFineTuning:
    def test_one_start_a_seed_for_all_arms(self, tmp_path):
        arms = [
            tiny(name, start="fine-tune", pretrain={"epochs": 3}, learning_rate=0.01)
            for name in ("ste", "lne-weak")
        ]
        listener = Listener()
        records = run_arms(arms, [0, 1], tmp_path, jobs=1, progress=listener)
        assert [line[2] for line in listener.lines] == [True] * 2 + [False] * 4
        assert len(list((tmp_path / "starts").iterdir())) == 2
        assert {r.pretraining_cost for r in records} == {3.0}
        assert {r.cost for r in records} == {2.0}
        ste, weak = records[:2], records[2:]
        for a, b in zip(ste, weak, strict=True):
            assert a.fingerprints == b.fingerprints
        scratch = run_arms([tiny(label="scratch", learning_rate=0.01)], [0], tmp_path, jobs=1)
        assert ste[0].epochs[0].train_loss < scratch[0].epochs[0].train_loss

    def test_a_start_that_diverges_is_told(self, tmp_path):
        arm = tiny(start="fine-tune", pretrain={"epochs": 2, "learning_rate": 1e30})
        with pytest.raises(RunsFailedError, match="start diverged"):
            run_arms([arm], [0], tmp_path, jobs=1)


SCRIPT = """
import sys
from riemann_lne_validation.comparison.protocol import default_arm
from riemann_lne_validation.comparison.runner import run_arms

if __name__ == "__main__":
    arms = [default_arm(m, epochs=30, split="validation") for m in ("ste", "lne-weak")]
    run_arms(arms, [0], sys.argv[1], jobs=int(sys.argv[2]), checkpoint_seconds=0.0)
"""


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_any_time_it_goes_on_to_the_same_accuracies(tmp_path, jobs):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    folder = tmp_path / "runs"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(folder), str(jobs)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((folder / "checkpoints").glob("*.npz")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((folder / "records").glob("*.json"))) < 2
    arms = [default_arm(m, epochs=30, split="validation") for m in ("ste", "lne-weak")]
    resumed = run_arms(arms, [0], folder, jobs=1)
    whole = run_arms(arms, [0], tmp_path / "whole", jobs=1)
    assert comparable(resumed) == comparable(whole)
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_twenty_killed_runs_of_compare_end_the_same(jobs, kill_campaign):
    def command(folder):
        words = [
            "--methods",
            "ste",
            "lne-weak",
            "--seeds",
            "2",
            "--epochs",
            "6",
            "--jobs",
            str(jobs),
        ]
        words += ["--checkpoint-seconds", "0", "--out", str(folder / "runs")]
        words += ["--json", str(folder / "all.json"), "--report", str(folder / "report")]
        return ["-m", "riemann_lne.cli", "compare", *words]

    def result(folder):
        records = load_records(folder / "runs" / "records")
        assert len(records) == 4
        # A killed writer's temporary file stays for a minute; it is never read.
        assert list((folder / "runs" / "checkpoints").glob("*.npz")) == []
        assert (folder / "report" / "index.html").stat().st_size > 10_000
        assert len(json.loads((folder / "all.json").read_text())) > 0
        return comparable(records)

    kill_campaign(command, result)


class TestTimeLeft:
    def units(self):
        short, long = tiny(epochs=10), tiny("dorefa", epochs=30)
        return [Unit(arm, seed) for arm in (short, long) for seed in range(2)]

    def test_nothing_is_known_at_first(self):
        assert TimeLeft(self.units(), 1).estimate(0.0) is None

    def test_from_the_fraction_of_the_first(self):
        units = self.units()
        left = TimeLeft(units, 1)
        left.running({units[0]: 0.0}, 100.0)
        left.running({units[0]: 0.5}, 105.0)
        # a second an epoch: 5 + 10 + 30 + 30
        assert left.estimate(105.0) == pytest.approx(75.0)

    def test_from_those_that_have_ended(self):
        units = self.units()
        left = TimeLeft(units, 2)
        left.done(units[0], 20.0)
        # 20 s for the other short one, 2 s an epoch for the long ones, two processes
        assert left.estimate(0.0) == pytest.approx((20 + 60 + 60) / 2)
        left.done(units[2], 300.0)
        left.running({units[3]: 0.25}, 0.0)
        assert left.estimate(0.0) == pytest.approx((20 + 225) / 2)

    def test_one_that_broke_off_says_nothing(self):
        units = self.units()
        left = TimeLeft(units, 1)
        left.done(units[0], None)
        assert left.estimate(0.0) is None
        left.done(units[1], 20.0)
        assert left.estimate(0.0) == pytest.approx(60 + 60)

    def test_durations(self):
        assert [duration(s) for s in (0.04, 80, 100, 5300, 7200)] == [
            "0.0 s", "80.0 s", "1.7 min", "88.3 min", "2.0 h",
        ]  # fmt: skip


def test_lines_in_a_terminal(fake_run):
    units = [Unit(tiny(epochs=4), seed) for seed in range(3)]
    out = io.StringIO()
    progress = TerminalProgress(out, every=0.0)
    progress.begin(units, 5, 2)
    progress.running({units[0]: 0.25})
    progress.done(units[0], fake_run(units[0].arm, 0, 0.9), "")
    progress.done(units[1], fake_run(units[1].arm, 1, 0.9, diverged=2), "")
    progress.done(units[2], None, "Traceback\nValueError: x")
    progress.end()
    lines = out.getvalue().splitlines()
    assert lines[0] == "5 runs are there already"
    assert lines[1] == "3 runs in 2 processes"
    assert "running: ste seed 0 25 %" in lines[2]
    assert lines[3].startswith("[1/3] ste seed 0")
    assert "left: " in lines[3]
    assert "diverged in epoch 2: the loss was not finite" in lines[4]
    assert "BROKE OFF: ValueError: x" in lines[5]
