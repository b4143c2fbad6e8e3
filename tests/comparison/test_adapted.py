"""Another estimator's training, followed by STE from an adapted start at an adapted rate."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_torch.estimators import EWGS, RDFS, STE, DoReFa, Site, StackedSigmoid
from riemann_lne_validation.comparison import trajectories
from riemann_lne_validation.comparison.adapted import Adaptation, adapt
from riemann_lne_validation.comparison.methods import DoesNotApplyError, get_method
from riemann_lne_validation.comparison.protocol import default_arm
from riemann_lne_validation.comparison.trajectories import follow


def weights(size=0.8, count=101):
    return torch.linspace(-size, size, count, dtype=torch.float64)


class TestAdaptation:
    def test_of_sech2_is_the_integral_of_cosh2(self):
        w = weights()
        found = adapt(DoReFa(), w)
        exact = 0.5 * w + 0.25 * torch.sinh(2.0 * w)
        exact *= w.norm() / exact.norm()
        torch.testing.assert_close(found(w), exact, rtol=1e-7, atol=1e-9)
        assert float(found(w).norm()) == pytest.approx(float(w.norm()))

    @pytest.mark.parametrize("bits", [2, 3])
    def test_the_rate_of_rdfs_in_closed_form_and_boundaries_that_stay(self, bits):
        """Mean of (1 + A cos)/(1 - A cos) over half a period, the bin of a level."""
        amplitude = 0.15
        a = math.sqrt(2.0) * math.pi * amplitude
        angle = math.atan(math.sqrt((1.0 + a) / (1.0 - a)))
        mean = 8.0 / (math.pi * math.sqrt(1.0 - a * a)) * angle - 1.0
        found = adapt(RDFS(amplitude), weights(), bits)
        assert found.rate == pytest.approx(1.0 / mean, rel=1e-6)
        steps = 2**bits - 1
        ends = 0.8 * (2.0 * (torch.arange(steps) + 0.5) / steps - 1.0).double()
        torch.testing.assert_close(found(ends), ends, rtol=1e-6, atol=1e-9)
        assert float(found(weights(0.7)).diff().min()) > 0.0

    def test_ste_stays_as_it_is(self):
        for bits in (1, 2):
            found = adapt(STE(), weights(), bits)
            assert found.rate == pytest.approx(1.0)
            torch.testing.assert_close(found(weights(2.0)), weights(2.0))

    @pytest.mark.parametrize("estimator", [RDFS(), DoReFa(), StackedSigmoid(3.0)])
    def test_small_steps_are_followed_to_first_order(self, estimator):
        """Given gradients: the distance of M(w) and y is halved with the steps."""
        torch.manual_seed(0)
        grads = torch.randn(8, 101, dtype=torch.float64)
        start = weights() + 0.003  # no weight at 0
        found = adapt(estimator, start)
        errors = []
        for parts in (60, 120):
            w, y, dt = start.clone(), found(start), 0.03 / parts
            for g in grads:
                for _ in range(parts):
                    q = estimator.forward(w, found.site)
                    w = w - dt * estimator.backward(w, q, g, found.site)
                    y = y - dt * found.rate * g
            assert float((y - found(start)).norm()) > 0.05
            errors.append(float((found(w) - y).norm()))
        assert errors[0] < 2e-3
        assert 1.8 < errors[0] / errors[1] < 2.2

    @pytest.mark.parametrize(
        ("estimator", "bits", "message"),
        [
            (EWGS(0.5), 1, r"not f\(w\) G"),
            (DoReFa(), 2, "levels of DoReFa"),
            (StackedSigmoid(0.5), 3, "no single rate"),
        ],
    )
    def test_others_are_refused(self, estimator, bits, message):
        with pytest.raises(InvalidArgumentError, match=message):
            adapt(estimator, weights(2.0), bits)

    def test_zeros_are_refused(self):
        with pytest.raises(InvalidArgumentError, match="all zero"):
            adapt(RDFS(), torch.zeros(3, 2))


SMALL = {"epochs": 2, "angle_every": 0, "learning_rate": 0.003, "split": "validation"}


class TestTraining:
    def test_it_follows_the_estimator_where_ste_does_not(self):
        arms = [
            default_arm("ste-adapted", label="adapted", options={"of": "stacked-sigmoid"}, **SMALL),
            default_arm("ste", **SMALL),
        ]
        found = follow(default_arm("stacked-sigmoid", **SMALL), arms, 3)
        assert [r.epoch for r in found["ste"]] == [1, 2]
        assert found["adapted"][-1].distance < 0.01 < 0.3 < found["ste"][-1].distance
        assert found["adapted"][-1].same > 0.999 > found["ste"][-1].same
        assert 0.0 < found["adapted"][-1].moved < 0.1

    def test_a_resumed_run_keeps_its_range_and_rate(self):
        from riemann_lne_validation.comparison.problems import problem_of
        from riemann_lne_validation.comparison.training import Run

        arm = default_arm("ste-adapted", options={"of": "dorefa"}, **SMALL)
        images = problem_of(arm).samples(0)
        whole, broken = Run(arm, 0, images), Run(arm, 0, images)
        broken.epoch()
        resumed = Run(arm, 0, images)
        for name, a in resumed.method.adaptations.items():  # as from other first weights
            resumed.method.adaptations[name] = Adaptation(9.0, a.estimator, Site(1, largest=9.0))
        resumed.load_state(broken.state())
        for run in (whole, resumed):
            while not run.finished:
                run.epoch()
        pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        w = torch.linspace(-1.0, 1.0, 5)
        for name, a in whole.method.adaptations.items():
            assert torch.equal(a(w), resumed.method.adaptations[name](w))

    def test_what_it_is_not_for(self):
        arm = default_arm("ste-adapted", weight_bits=2, options={"of": "ewgs"})
        with pytest.raises(DoesNotApplyError, match="ste-adapted"):
            get_method(arm.method, arm.options).check(arm)

    def test_arms_that_cannot_be_compared(self):
        arm = default_arm("ste", **SMALL)
        with pytest.raises(InvalidArgumentError, match="differ in weight_bits: 1 and 2"):
            follow(arm, [default_arm("ste", label="two", weight_bits=2, **SMALL)], 0)
        with pytest.raises(InvalidArgumentError, match="only with 'none'"):
            follow(arm, [replace(arm, label="scaled", weight_scale="mean")], 0)


def test_the_record_and_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        trajectories, "record",
        lambda made=trajectories.record: made([1, 2], [0.01], ["dorefa"], epochs=1),
    )  # fmt: skip
    monkeypatch.setattr("sys.argv", ["trajectories", str(tmp_path / "r.json")])
    trajectories.main()
    found = json.loads((tmp_path / "r.json").read_text())
    assert len(found["rows"]) == 2 * 3
    m = trajectories.means(found)["dorefa", 0.01, "ste"]
    rows = [r for r in found["rows"] if r["other"] == "ste"]
    assert m["same"] == pytest.approx(np.mean([r["same"] for r in rows]))
    spread = abs(rows[0]["accuracy"] - rows[1]["accuracy"]) / math.sqrt(2.0)
    assert m["spread"] == pytest.approx(spread)
    assert f"| {100 * m['same']:.1f} % |" in capsys.readouterr().out


def test_a_site_is_held_at_the_range_of_the_start():
    w = weights()
    assert adapt(RDFS(), w).site == Site(bits=1, largest=0.8)
