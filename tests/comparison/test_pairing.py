"""Runs of one seed that had other data or other first weights are not compared."""

from dataclasses import replace

import pytest

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_validation.comparison import problems, runner
from riemann_lne_validation.comparison.pairing import check_pairs
from riemann_lne_validation.comparison.protocol import default_arm
from riemann_lne_validation.comparison.records import load_records
from riemann_lne_validation.comparison.summary import summarise

from .test_tasks import forgotten, run, write  # noqa: F401  the first one for every test

TASK = '''
    """A task whose network and data depend on files beside it, as on a module that it imports."""
    from pathlib import Path
    import torch
    from riemann_lne_validation.comparison import Task, register_task

    HERE = Path(__file__).parent

    def number(name):
        path = HERE / name
        return int(path.read_text()) if path.exists() else 0

    def model():
        width = 8 + number("weights")
        return torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.Linear(width, 2))

    def data(seed):
        x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
        y = (x[:, 0] > 0).long()
        x[3] += number("training")
        x[55] += number("test")
        parts = {"train": slice(30), "validation": slice(30, 45), "test": slice(45, 60)}
        return {name: (x[part], y[part]) for name, part in parts.items()}

    register_task(Task("moved", model, data, defaults={"epochs": 1, "weight_bits": 2}))
'''


def compare(folder, *methods, seeds=2):
    problems._task_data.cache_clear()  # another process would read anew
    words = ["--seeds", seeds, "--jobs", 1, "--out", folder / "runs"]
    return run("--tasks", folder / "mine.py", "--methods", *methods, *words)


class TestByTheCommand:
    """Between two commands a file changes that the task file reads.

    Looked at: first weights, training items, test items; a new arm, new seeds; all that is there
    already; methods that move the first weights, and more epochs, which are no fault.
    """

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ("weights", "first weights"),
            ("training", "training items"),
            ("test", "items that they are judged on"),
        ],
    )
    @pytest.mark.parametrize("more", [(["ste", "lsq"], 2), (["ste"], 3)])
    def test_a_change_is_an_error_before_any_training(
        self, tmp_path, monkeypatch, changed, words, more
    ):
        write(tmp_path, TASK)
        assert compare(tmp_path, "ste") == 0
        (tmp_path / changed).write_text("3")
        monkeypatch.setattr(runner, "train", None)
        methods, seeds = more
        with pytest.raises(InvalidArgumentError) as caught:
            compare(tmp_path, *methods, seeds=seeds)
        text = str(caught.value)
        assert f"arm 'ste', seed 1: the {words} of its stored run are not those" in text
        assert "another --out, or delete" in text
        names = {path.name for path in (tmp_path / "runs" / "records").iterdir()}
        assert any(name in text for name in names)

    def test_a_folder_with_both_kinds_is_refused(self, tmp_path, monkeypatch):
        """As of earlier versions, which made such folders."""
        write(tmp_path, TASK)
        assert compare(tmp_path, "ste") == 0
        (tmp_path / "weights").write_text("3")
        with monkeypatch.context() as patch:
            patch.setattr(runner, "_require_unchanged", lambda *a: None)
            with pytest.raises(InvalidArgumentError, match="are not paired"):
                compare(tmp_path, "ste", "lsq")
        with pytest.raises(InvalidArgumentError, match=r"arms 'ste' and 'lsq' .* seed 0 the first"):
            compare(tmp_path, "ste", "lsq")
        records = load_records(tmp_path / "runs" / "records")
        with pytest.raises(InvalidArgumentError, match="are not paired"):
            summarise(records)
        assert compare(tmp_path, "ste") == 0  # what there was before is as it was

    def test_without_a_change_runs_are_added_and_methods_may_move_weights(self, tmp_path):
        write(tmp_path, TASK)
        assert compare(tmp_path, "ste") == 0
        methods = ["ste", "last-bit", "ste-long", "full-precision", "binaryrelax"]
        assert compare(tmp_path, *methods) == 0
        records = load_records(tmp_path / "runs" / "records")
        assert len({r.fingerprints["initial_weights"] for r in records}) == 2
        assert {"held_out", "training"} <= set(records[0].fingerprints)


class TestRecords:
    """Of `check_pairs` alone."""

    @pytest.fixture
    def pair(self, fake_run):
        arms = [default_arm("ste", epochs=2), default_arm("dorefa", epochs=2)]
        runs = [fake_run(replace(arm, label=arm.method), 0, 0.5) for arm in arms]
        hashes = {"held_out": "a", "training": "b", "initial_weights": "c"}
        return [replace(r, fingerprints=hashes) for r in runs]

    def changed(self, record, **hashes):
        return replace(record, fingerprints={**record.fingerprints, **hashes})

    @pytest.mark.parametrize("kind", ["held_out", "training"])
    def test_other_data(self, pair, kind):
        one, two = pair
        check_pairs(pair)
        with pytest.raises(InvalidArgumentError, match="arms 'ste' and 'dorefa' are not paired"):
            check_pairs([one, self.changed(two, **{kind: "z"})])

    def test_what_may_differ(self, pair):
        one, two = pair
        other_seed = replace(self.changed(two, held_out="z", training="z"), seed=1)
        other_split = self.changed(replace(two, arm=default_arm("dorefa", split="validation")),
                                   held_out="z", training="z")  # fmt: skip
        subset = self.changed(replace(two, arm=default_arm("dorefa", subset=100)), training="z")
        # networks of the package: random normal numbers differ between processors
        weights = self.changed(two, initial_weights="z")
        old = replace(two, fingerprints={"initial_weights": "c", "data": "d"})
        for second in (other_seed, other_split, subset, weights, old):
            check_pairs([one, second])
