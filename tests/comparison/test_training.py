"""One run: pairing, determinism, resumption, divergence."""

import hashlib
import json
import math
from dataclasses import replace

import pytest
import torch

from riemann_lne.errors import InvalidArgumentError, StorageError, UnknownNameError
from riemann_lne_validation.comparison.checkpoints import load_tree, save_tree
from riemann_lne_validation.comparison.datasets import load_images
from riemann_lne_validation.comparison.methods import available_methods
from riemann_lne_validation.comparison.protocol import Arm, check_arms, default_arm
from riemann_lne_validation.comparison.records import RunRecord, load_record, load_records
from riemann_lne_validation.comparison.training import Run, Start, train


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images():
    return load_images("digits", "validation", "train")


# Methods without a state, whose runs differ from others of this list by a formula alone.
STATELESS = {"quest", "quest-hadamard", "rdfs", "rms", "seq", "stacked-sigmoid", "ternary"}


def tiny(method="ste", **settings):
    """An arm whose run takes a tenth of a second."""
    if method in ("lsq", "ternary"):  # one bit is too few for them
        settings = {"weight_bits": 2} | settings
    settings = {"split": "validation", "epochs": 4, "batch_size": 128, "angle_every": 3} | settings
    return default_arm(method, **settings)


# A schedule of steps that a resumed run could forget: N every third step and against the last.
OPTIONS = {"rf-dnn": {"every": 2, "next_step": "previous", "alpha": 1.0}}


class TestPairing:
    @pytest.fixture(scope="class")
    @staticmethod
    def seen(images):
        """Hashes of the first weights and of every batch, by method."""
        found = {}
        for name in sorted(set(available_methods()) - STATELESS):
            state = hashlib.sha256()

            def watch(x, y, state=state):
                state.update(x.numpy().tobytes() + y.numpy().tobytes())

            options = {"factor": 1.0} if name == "ste-long" else OPTIONS.get(name, {})
            for augmentation in ("none", "standard"):
                arm = tiny(name, epochs=2, options=options, augmentation=augmentation)
                record, _ = train(arm, 3, images, {}, observe=watch)
            found[name] = (state.hexdigest(), dict(record.fingerprints))
        return found

    def test_every_method_sees_the_same_batches_from_the_same_weights(self, seen):
        assert len(seen) >= 22
        assert len({batches for batches, _ in seen.values()}) == 1
        assert len({tuple(sorted(f.items())) for _, f in seen.values()}) == 1

    def test_another_seed_sees_others(self, seen, images):
        record, _ = train(tiny(epochs=2, augmentation="standard"), 4, images, {})
        other = seen["ste"][1]
        assert record.fingerprints["data"] != other["data"]
        assert record.fingerprints["initial_weights"] != other["initial_weights"]

    def test_optimizer_and_bits_change_nothing_of_it(self, images):
        base, _ = train(tiny(epochs=1), 0, images, {})
        for settings in ({"optimizer": "adam"}, {"weight_bits": 3}, {"weight_decay": 1e-3}):
            record, _ = train(tiny(epochs=1, **settings), 0, images, {})
            assert record.fingerprints == base.fingerprints


def comparable(record):
    """All of a record but the times."""
    rows = [replace(row, seconds=0.0) for row in record.epochs]
    return replace(record, epochs=tuple(rows), seconds=0.0, total_seconds=0.0)


@pytest.mark.parametrize("name", sorted(set(available_methods()) - STATELESS))
def test_resumed_or_not_the_same_to_the_last_bit(name, images, tmp_path):
    arm = tiny(name, options=OPTIONS.get(name, {"factor": 1.0} if name == "ste-long" else {}))
    whole, model = train(arm, 1, images, {})
    for break_after in (1, 3):
        path = tmp_path / f"{break_after}.npz"
        run = Run(arm, 1, images)
        for _ in range(break_after):
            run.epoch()
        save_tree(path, run.state())
        torch.randn(3)  # what else the process does must not matter
        again, other = train(arm, 1, images, {}, checkpoint=path)
        assert comparable(again) == comparable(whole)
        for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_the_same_seed_gives_the_same_accuracy(images):
    one, _ = train(tiny("dorefa"), 1, images, {})
    two, _ = train(tiny("dorefa"), 1, images, {})
    assert comparable(one) == comparable(two)
    other, _ = train(tiny("dorefa"), 2, images, {})
    assert one.accuracies != other.accuracies


def test_the_random_state_of_an_epoch_is_that_of_its_seed(images):
    """Whatever was drawn before it; the same as by `torch.manual_seed`, which takes longer."""
    states = []
    run = Run(tiny("ste"), 3, images, observe=lambda x, y: states.append(torch.get_rng_state()))
    for number in (1, 2):
        states.clear()
        torch.rand(5)
        run.epoch()
        torch.manual_seed(3 * 1_000_003 + number)
        assert torch.equal(states[0], torch.get_rng_state())


def test_adam_resumes_too(images, tmp_path):
    arm = tiny("lne-exact", optimizer="adam", options={"block": "channel"})
    whole, _ = train(arm, 0, images, {})
    run = Run(arm, 0, images)
    run.epoch()
    save_tree(tmp_path / "c.npz", run.state())
    again, _ = train(arm, 0, images, {}, checkpoint=tmp_path / "c.npz")
    assert comparable(again) == comparable(whole)


def test_a_checkpoint_of_another_arm_is_refused(images, tmp_path):
    run = Run(tiny(), 0, images)
    run.epoch()
    save_tree(tmp_path / "c.npz", run.state())
    with pytest.raises(InvalidArgumentError, match="another arm"):
        train(tiny(learning_rate=0.2), 0, images, {}, checkpoint=tmp_path / "c.npz")


def test_what_a_record_holds(images):
    record, model = train(tiny(), 0, images, {"torch": "x"})
    assert [e.epoch for e in record.epochs] == [1, 2, 3, 4]
    expected = [0.05 * (1 + math.cos(math.pi * k / 4)) for k in range(4)]
    assert [e.learning_rate for e in record.epochs] == pytest.approx(expected)
    model.eval()
    with torch.no_grad():
        output = model(images.normalise(images.held_out)).argmax(1)
    assert record.final_accuracy == float((output == images.held_out_labels).double().mean())
    assert record.epochs[-1].train_loss < record.epochs[0].train_loss
    assert all(0 <= e.sign_flip_rate < 0.5 for e in record.epochs)
    assert record.epochs[0].sign_flip_rate > 0
    assert 0 < record.seconds <= record.total_seconds
    assert record.cost == 4.0


def test_schedules_follow_the_epochs(images):
    run = Run(tiny("ede"), 0, images)
    seen = []
    while not run.finished:
        run.epoch()
        buffers = [b for name, b in run.model.named_buffers() if name.endswith("progress")]
        seen.append({float(b) for b in buffers})
    assert seen == [{0.0}, {0.25}, {0.5}, {0.75}]


def test_reestimated_norms_change_the_accuracy_and_nothing_else(images):
    plain, _ = train(tiny(), 0, images, {})
    again, _ = train(tiny(reestimate_norms=True), 0, images, {})
    assert [e.train_loss for e in again.epochs] == [e.train_loss for e in plain.epochs]
    assert again.accuracies != plain.accuracies


class TestDivergence:
    def test_a_loss_that_is_not_finite_is_recorded(self, images, tmp_path):
        record, _ = train(tiny("full-precision", learning_rate=1e30), 0, images, {})
        assert record.diverged is not None
        assert record.diverged.epoch == len(record.epochs) + 1 <= 4
        assert record.final_accuracy is None
        assert record.mean_of_last() is None
        path = record.save(tmp_path)
        assert "NaN" not in path.read_text()
        assert load_record(path) == record

    @pytest.mark.parametrize("name", ["ste", "lne-exact", "rf-dnn", "fcgrad", "ema", "md-tanh"])
    def test_whatever_the_method(self, name, images):
        record, _ = train(tiny(name, learning_rate=1e36, weight_decay=1e10), 0, images, {})
        assert record.diverged is not None
        assert len(record.epochs) < 4

    def test_a_loss_is_enough(self, images, monkeypatch):
        run = Run(tiny(), 0, images)
        honest = run.method.step
        monkeypatch.setattr(run.method, "step", lambda x, y: (honest(x, y)[0] / 0, honest(x, y)[1]))
        run.epoch()
        assert run.diverged is not None
        assert run.diverged.reason == "the training loss is inf"
        assert run.finished

    def test_an_error_that_is_no_divergence_is_raised(self, images, monkeypatch):
        run = Run(tiny(), 0, images)

        def broken(x, y):
            raise InvalidArgumentError("something else")

        monkeypatch.setattr(run.method, "step", broken)
        with pytest.raises(InvalidArgumentError, match="something else"):
            run.epoch()


def test_warnings_become_notes(images):
    options = {"gate": "hard", "eps": 1e-30, "alpha": 0.0}
    record, _ = train(tiny("rf-dnn", epochs=1, options=options), 0, images, {})
    assert len(record.notes) == 1
    assert "hard gate has been shut" in record.notes[0]


class TestFineTuning:
    def test_it_begins_where_the_float_network_ended(self, images):
        arm = tiny("ste", start="fine-tune", pretrain={"epochs": 2})
        record, model = train(arm.pretraining(), 0, images, {})
        run = Run(arm, 0, images, Start(model.state_dict(), record.cost))
        latent = [p.detach() for p in run.context.latents.values()]
        weights = [m.weight.detach() for m in model if isinstance(m, torch.nn.Linear)]
        assert all(torch.equal(a, b) for a, b in zip(latent, weights, strict=True))
        assert torch.equal(run.model[2].running_mean, model[2].running_mean)
        assert run.pretraining_cost == 2.0

    def test_without_a_start(self, images):
        with pytest.raises(InvalidArgumentError, match="needs a full-precision start"):
            Run(tiny(start="fine-tune"), 0, images)

    def test_arms_share_a_start_whatever_their_optimiser(self):
        one = tiny("ste", start="fine-tune", optimizer="adam", epochs=7, learning_rate=0.3)
        two = tiny("dorefa", start="fine-tune", weight_decay=1e-3)
        assert one.pretraining().digest == two.pretraining().digest
        other = tiny("ste", start="fine-tune", pretrain={"learning_rate": 0.2})
        assert other.pretraining().digest != one.pretraining().digest


class TestCheckpointFiles:
    def test_trees_come_back_as_they_were(self, tmp_path):
        tree = {
            "a": {0: torch.tensor([1.5, 2.5]).double(), 1: (1, 2.5, None, True, "x")},
            "b": [torch.tensor(3), torch.zeros(0, 2), torch.ones((), dtype=torch.bfloat16), []],
        }
        save_tree(tmp_path / "t.npz", tree)
        back = load_tree(tmp_path / "t.npz")
        assert back["a"][1] == tree["a"][1]
        assert list(back["a"]) == [0, 1]
        for one, two in ((back["a"][0], tree["a"][0]), *zip(back["b"][:3], tree["b"][:3])):  # noqa: B905
            assert torch.equal(one, two)
            assert one.dtype == two.dtype
        assert back["b"][3] == []

    def test_what_would_need_code_is_refused(self, tmp_path):
        with pytest.raises(InvalidArgumentError, match="cannot hold Linear"):
            save_tree(tmp_path / "t.npz", {"m": torch.nn.Linear(1, 1)})
        assert not (tmp_path / "t.npz").exists()

    def test_a_damaged_file_says_what_to_do(self, tmp_path):
        save_tree(tmp_path / "t.npz", {"a": torch.randn(1000)})
        content = (tmp_path / "t.npz").read_bytes()
        (tmp_path / "t.npz").write_bytes(content[: len(content) // 2])
        with pytest.raises(StorageError, match="it is damaged or of another run: delete it"):
            load_tree(tmp_path / "t.npz")


class TestRecords:
    @pytest.fixture
    def record(self, fake_run):
        return fake_run(tiny(), 0, 0.9)

    def test_there_and_back(self, record, tmp_path):
        path = record.save(tmp_path)
        assert load_records(tmp_path) == [record]
        assert path.name == f"ste-{record.arm.digest}-seed0000.json"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda d: d.update(schema=0), "schema 2, found 0"),
            (lambda d: d.pop("cost"), "incomplete run record: KeyError"),
            (lambda d: d["arm"].update(optimiser="sgd"), "'optimizer'"),
            (lambda d: d["epochs"]["accuracy"].pop(), "differ in length"),
            (lambda d: d["epochs"]["epoch"].__setitem__(0, 2), "1, 2, 3"),
        ],
    )
    def test_a_record_that_is_not_whole(self, record, change, message):
        data = json.loads(json.dumps(record.to_dict()))
        change(data)
        with pytest.raises((InvalidArgumentError, UnknownNameError), match=message):
            RunRecord.from_dict(data)

    @pytest.mark.parametrize("text", ["{", '{"schema": 1, "x": NaN}', "[]"])
    def test_a_file_that_is_none(self, tmp_path, text):
        path = tmp_path / "x-seed0000.json"
        path.write_text(text)
        with pytest.raises(InvalidArgumentError, match="delete it, and the run is done anew"):
            load_record(path)

    def test_no_folder(self, tmp_path):
        with pytest.raises(StorageError, match="no folder"):
            load_records(tmp_path / "nothing")


class TestArms:
    @pytest.mark.parametrize(
        "settings",
        [
            {"epochs": 0}, {"epochs": 2.5}, {"learning_rate": 0.0}, {"learning_rate": math.nan},
            {"weight_decay": -1.0}, {"momentum": 1.5}, {"width": True}, {"label": ""},
            {"quantize_first": 1}, {"options": {"x": math.nan}}, {"options": {"x": object()}},
            {"split": "validation", "train_on": "train+validation"}, {"subset": 0},
        ],
    )  # fmt: skip
    def test_settings_out_of_range(self, settings):
        with pytest.raises(InvalidArgumentError):
            Arm(**({"label": "a", "method": "ste"} | settings))

    @pytest.mark.parametrize("name", ["dataset", "model", "optimizer", "split", "start"])
    def test_names_that_there_are_not(self, name):
        with pytest.raises(UnknownNameError, match="of arm 'a'"):
            Arm("a", "ste", **{name: "nothing"})

    def test_there_and_back(self):
        arm = default_arm("rf-dnn", "cifar10", options={"alpha": 1e-2}, start="fine-tune")
        assert Arm.from_dict(json.loads(json.dumps(arm.to_dict()))) == arm
        with pytest.raises(UnknownNameError, match="'learning_rate'"):
            Arm.from_dict({"label": "a", "method": "ste", "learningrate": 1})

    def test_the_digest_is_of_everything_but_the_label(self):
        arm = default_arm("ste")
        assert replace(arm, label="other").digest == arm.digest
        for settings in (
            {"weight_decay": 1e-4},
            {"options": {"a": 1}},
            {"pretrain": {"epochs": 1}},
        ):
            assert replace(arm, **settings).digest != arm.digest

    def test_labels_and_seeds_must_differ(self):
        arm = default_arm("ste")
        with pytest.raises(InvalidArgumentError, match="given twice: ste"):
            check_arms([arm, replace(arm, epochs=2)], [0])
        with pytest.raises(InvalidArgumentError, match="seed is given twice"):
            check_arms([arm], [0, 0])
        with pytest.raises(InvalidArgumentError, match="at least one"):
            check_arms([], [0])
