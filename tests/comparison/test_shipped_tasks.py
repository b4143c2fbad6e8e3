"""MNIST-1D, the character model, and the noise floor that the last-bit arm measures."""

import numpy as np
import pytest
import torch

from riemann_lne.errors import InvalidArgumentError, StorageError
from riemann_lne_torch.quantize.layers import is_quantized
from riemann_lne_validation.comparison.arms import summarise_arm
from riemann_lne_validation.comparison.characters import (
    SYMBOLS,
    CharacterModel,
    bits_a_character,
    character_data,
    character_loss,
)
from riemann_lne_validation.comparison.measurements import prepare
from riemann_lne_validation.comparison.methods import DoesNotApplyError, get_method
from riemann_lne_validation.comparison.mnist1d import _signal, _templates, make_mnist1d
from riemann_lne_validation.comparison.models import build_model
from riemann_lne_validation.comparison.noise import noise_floor
from riemann_lne_validation.comparison.problems import check_problem, problem_of
from riemann_lne_validation.comparison.protocol import default_arm
from riemann_lne_validation.comparison.summary import summarise
from riemann_lne_validation.comparison.training import Run
from riemann_lne_validation.lab.networks import cnn1d

# Of the first signal and the first labels, recorded when the recipe was written down anew.
FIRST = [0.859109, -0.210014, -1.108202]
LABELS = [0, 6, 3, 1, 1, 8, 3, 3]


class TestMnist1d:
    def test_it_is_the_same_wherever_it_is_made(self):
        x, y, x_test, y_test = make_mnist1d()
        assert x.shape == (4000, 1, 40)
        assert np.bincount(np.concatenate([y, y_test])).tolist() == [500] * 10
        every = np.concatenate([x, x_test]).astype(np.float64)
        assert abs(every.mean()) < 1e-6
        assert abs(every.std() - 1.0) < 1e-6
        again = make_mnist1d.__wrapped__()
        assert all(np.array_equal(a, b) for a, b in zip(again, (x, y, x_test, y_test), strict=True))
        # numbers of PCG64, of the filter and of interpolation, to the digits that all builds share
        np.testing.assert_allclose(x[0, 0, :3], FIRST, atol=2e-6)
        assert y[:8].tolist() == LABELS

    def test_a_signal_holds_its_digit_between_noise(self):
        class Middle:
            """No noise, no slope, size 1, the least padding, no shift."""

            random = staticmethod(lambda: 0.5)
            integers = staticmethod(lambda low, high=None: low if high else 0)
            standard_normal = staticmethod(np.zeros)

        signal = _signal(_templates()[3], Middle)
        drawn = np.interp(np.linspace(0, 47, 40), np.arange(48), [*_templates()[3], *[0] * 36])
        assert abs(signal - drawn).max() < 0.15  # resampled by way of 72 values
        assert np.corrcoef(signal, drawn)[0, 1] > 0.99

    def test_classes_can_be_told_apart_by_the_network_and_hardly_by_the_mean(self):
        arm = default_arm("full-precision", "mnist1d", epochs=4, angle_every=0)
        samples = problem_of(arm).samples(0)
        assert torch.equal(samples.normalise(samples.train), samples.train)
        run = Run(arm, 0, samples)
        while not run.finished:
            run.epoch()
        assert run.rows[-1].accuracy > 0.6
        assert cnn1d()(torch.zeros(2, 1, 40)).shape == (2, 10)
        with pytest.raises(InvalidArgumentError, match="at least 8"):
            cnn1d(length=7)


class TestCharacters:
    def test_windows_are_the_text_and_what_follows(self, tmp_path):
        path = tmp_path / "text.txt"
        text = "".join(chr(32 + i % 90) + ("\n" if i % 9 == 0 else "") for i in range(9000)) + "é"
        path.write_text(text, encoding="utf-8")
        parts = character_data(0, path)
        codes = [ord(c) - 31 if c != "\n" else 96 for c in text[:65]]
        assert parts["train"][0][0].tolist() == codes[:64]
        assert parts["train"][1][0].tolist() == codes[1:]
        sizes = [len(parts[p][0]) for p in ("train", "validation", "test")]
        assert abs(sizes[0] - 8 * sizes[1]) <= 8
        assert sizes[1] == sizes[2]
        assert int(max(y.max() for _, y in parts.values())) < SYMBOLS
        folder = character_data(1, tmp_path)
        assert torch.equal(folder["test"][0], parts["test"][0])

    def test_the_default_text_comes_with_python(self):
        x, y = character_data(0)["train"]
        assert x.shape == y.shape
        assert len(x) > 1000
        assert torch.equal(x[0, 1:], y[0, :-1])

    def test_a_prediction_does_not_see_what_follows(self):
        model = CharacterModel(8).eval()
        tokens = torch.randint(SYMBOLS, (2, 20), generator=torch.Generator().manual_seed(0))
        changed = tokens.clone()
        changed[:, 12:] = (changed[:, 12:] + 1) % SYMBOLS
        one, two = model(tokens), model(changed)
        assert torch.equal(one[..., :12], two[..., :12])
        assert not torch.equal(one[..., 12:], two[..., 12:])

    def test_even_scores_cost_the_logarithm_of_the_symbols(self):
        output, target = torch.zeros(3, SYMBOLS, 5), torch.zeros(3, 5, dtype=torch.long)
        bits = torch.log2(torch.tensor(float(SYMBOLS)))
        torch.testing.assert_close(bits_a_character(output, target), bits.expand(3))
        assert float(character_loss(output, target)) == pytest.approx(float(np.log(SYMBOLS)))

    def test_texts_that_will_not_do(self, tmp_path):
        with pytest.raises(StorageError, match=r"no \.txt file"):
            character_data(0, tmp_path)
        (tmp_path / "short.txt").write_text("short")
        with pytest.raises(InvalidArgumentError, match="5 characters"):
            character_data(0, tmp_path)
        with pytest.raises(StorageError, match="cannot read the text"):
            character_data(0, tmp_path / "none.txt")

    def test_the_task_fits_together(self, tmp_path):
        (tmp_path / "text.txt").write_text("to be or not to be, that is the question\n" * 300)
        arm = default_arm("ste", "characters", epochs=1)
        assert (arm.optimizer, arm.model, arm.weight_bits) == ("adam", "characters", 2)
        check_problem(arm, tmp_path)
        run = Run(arm, 0, problem_of(arm, tmp_path).samples(0))
        run.epoch()
        record = run.record({})
        assert 0 < record.final_accuracy < 6.6  # log2 of 97 by chance
        assert record.hits is None
        assert record.fingerprints["held_out"]


class TestNoiseFloor:
    def test_the_last_bit_and_no_more(self):
        arm = default_arm("last-bit")
        plain, moved = build_model(arm, 0), build_model(arm, 0)
        torch.manual_seed(5)
        prepare(arm, moved, 1, get_method("last-bit"))
        before = torch.cat([p.detach().reshape(-1) for p in plain.parameters()])
        names = {n.replace("parametrizations.weight.original", "weight"): p
                 for n, p in moved.named_parameters()}  # fmt: skip
        after = torch.cat([names[n].detach().reshape(-1) for n, _ in plain.named_parameters()])
        step = torch.nextafter(before, torch.full_like(before, torch.inf))
        changed = after != before
        assert torch.equal(after[changed], step[changed])
        assert 0.4 < float(changed[before != 0.0].double().mean()) < 0.6
        assert not bool(changed[before == 0.0].any())

    def test_a_learned_range_of_inputs_begins_with_the_first_batch(self):
        """As it does beside the arm: moved by a bit it would count as set, and stay next to 0."""
        settings = {"weight_bits": 2, "activation_bits": 2, "activation_range": "learned"}
        found = []
        for name in ("ste", "last-bit"):
            arm = default_arm(name, "mnist1d", learning_rate=1e-9, **settings)
            torch.manual_seed(5)
            method = get_method(name)
            prepare(arm, model := build_model(arm, 0), 1, method)
            torch.manual_seed(0)
            method.step(*problem_of(arm).example())
            named = model.named_parameters()
            found.append([float(p.detach()) for n, p in named if n.endswith("range")])
        assert len(found[0]) > 1
        assert found[1] == pytest.approx(found[0], rel=1e-5)

    def test_with_the_quantiser_of_the_arm_beside_it(self):
        arm = default_arm("last-bit", weight_bits=2, options={"inner": "ternary"})
        model = build_model(arm, 0)
        prepare(arm, model, 1, get_method(arm.method, arm.options))
        weights = [m.weight for m in model.modules() if is_quantized(m)]
        assert [len(w.unique()) for w in weights] == [3] * len(weights)
        with pytest.raises(DoesNotApplyError, match="three levels"):
            get_method("last-bit", {"inner": "ternary"}).check(default_arm("last-bit"))

    def test_its_numbers_are_those_of_the_differences(self, fake_run):
        ste, bit = default_arm("ste"), default_arm("last-bit")
        runs = [fake_run(a, s, 0.9 + 0.01 * s * (a is bit)) for a in (ste, bit) for s in range(4)]
        summary = summarise(runs)
        floor = summary.floor
        values = [summary.arm(x).last_by_seed for x in ("last-bit", "ste")]
        differences = np.array([values[0][s] - values[1][s] for s in range(4)])
        assert floor.deviation == pytest.approx(differences.std(ddof=1))
        assert floor.mean == pytest.approx(differences.mean())
        assert summary.comparisons == ()
        assert summary.floor_line.startswith("Noise floor: last-bit differs from ste by ")

    def test_a_mean_that_is_no_rounding_is_told(self, fake_run):
        """The arm differs from its reference in more than the last bit: a fault, not a floor."""
        ste, bit = default_arm("ste"), default_arm("last-bit")
        noise = (0.0, 0.01, -0.01, 0.005)
        for shift, broken in ((0.0, False), (-0.2, True)):
            runs = [fake_run(ste, s, 0.9) for s in range(4)]
            runs += [fake_run(bit, s, 0.9 + shift + noise[s]) for s in range(4)]
            summary = summarise(runs)
            assert summary.floor.is_broken == broken
            assert ("this is no noise floor" in summary.floor_line) == broken
        assert f"the mean difference is {summary.floor.mean:+.2f}" in summary.floor_line

    def test_without_the_arm_it_says_so(self, fake_run):
        runs = [fake_run(default_arm("ste"), s, 0.9) for s in range(3)]
        assert summarise(runs).floor is None
        assert "not measured" in summarise(runs).floor_line
        alone = summarise_arm([fake_run(default_arm("last-bit"), 0, 0.9)])
        assert noise_floor([alone], {}, "last") is None
