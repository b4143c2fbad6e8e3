"""What the methods do in a step, through the parts that they are made of."""

import re
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch

from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne_torch import LNECorrector, latent_parameters
from riemann_lne_validation.comparison.contracts import cross_entropy
from riemann_lne_validation.comparison.datasets import load_images
from riemann_lne_validation.comparison.measurements import (
    flip_gradient,
    float_gradient,
    mean_angle,
    plain_steps,
    prepare,
    reestimated_norms,
    signs,
)
from riemann_lne_validation.comparison.methods import (
    available_methods,
    get_method,
    options_of,
    traits,
)
from riemann_lne_validation.comparison.models import build_model
from riemann_lne_validation.comparison.protocol import Arm, default_arm
from riemann_lne_validation.comparison.training import Run


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images():
    return load_images("digits")


@pytest.fixture(scope="module")
def batch(images):
    return images.normalise(images.train[:64]), images.train_labels[:64]


def begin(name, seed=0, **settings):
    """A method at the start of a run."""
    options = settings.pop("options", {})
    if name in ("lsq", "ternary"):  # one bit is too few for them
        settings = {"weight_bits": 2} | settings
    arm = Arm(name, name, options=options, **settings)
    method = get_method(name, options)
    prepare(arm, build_model(arm, seed), 22, method)
    method.begin_epoch()
    return method


def weights(method):
    return torch.cat([p.detach().reshape(-1) for p in method.context.latents.values()])


def test_the_methods_of_the_field_are_there():
    known = set(available_methods())
    assert known >= {
        "full-precision", "ste", "ste-long", "clipped-ste", "dorefa", "bwn", "ede", "reste",
        "ewgs", "binaryconnect", "proxquant", "md-tanh", "fcgrad", "multifc", "lne-weak",
        "lne-exact", "lne-hessian", "lne-dual", "lne-flowed", "rf-dnn", "gradient-norm", "ema",
    }  # fmt: skip


def test_an_unknown_method_lists_those_there_are():
    with pytest.raises(UnknownNameError, match=r"unknown method 'stee'.*binaryconnect.*'ste'\?"):
        get_method("stee")


def test_an_unknown_option_lists_those_there_are():
    with pytest.raises(UnknownNameError, match=r"option of method 'rf-dnn' 'alfa'.*alpha"):
        get_method("rf-dnn", {"alfa": 1})
    with pytest.raises(UnknownNameError):  # what the name fixes is no option
        get_method("lne-weak", {"inverse": "exact"})
    assert "inverse" not in options_of("lne-weak")
    with pytest.raises(UnknownNameError, match=r"'foo'; known: none\."):
        get_method("ste", {"foo": 1})


@pytest.mark.parametrize("name", sorted(available_methods()))
def test_every_method_learns_on_a_batch(name, batch):
    method = begin(name)
    before = weights(method)
    losses = [float(method.step(*batch)[0]) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    assert not torch.equal(weights(method), before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rf-dnn", {"alpha": 0.0, "corrected": False}),
        ("gradient-norm", {"alpha": 0.0}),
        ("ste-long", {}),
        ("ema", {}),
        ("ewgs", {"delta": 0.0}),
        ("clipped-ste", {"bound": 1e6}),
        ("binaryconnect", {"bound": 1e6}),
    ],
)
def test_methods_that_are_ste_at_one_setting(name, options, optimizer, batch):
    """To the bit: only what a method adds may differ."""
    plain, other = (
        begin("ste", optimizer=optimizer),
        begin(name, options=options, optimizer=optimizer),
    )
    for _ in range(5):
        a, b = plain.step(*batch), other.step(*batch)
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
    assert torch.equal(weights(plain), weights(other))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lne-weak", {"inverse": "weak"}),
        ("lne-exact", {}),
        ("lne-hessian", {"metric": "hessian"}),
        ("lne-dual", {"metric": "dual"}),
        ("lne-flowed", {"metric": "flowed"}),
    ],
)
@pytest.mark.parametrize("block", ["layer", "channel"])
def test_lne_methods_are_the_corrector_between_backward_and_step(name, options, block, batch):
    method = begin(name, options={"block": block, "target": 0.7})
    model = begin("ste").model
    cross_entropy(model(batch[0]), batch[1]).backward()
    LNECorrector(model, target=0.7, block=block, **options).correct_()
    expected = [p.grad for p in latent_parameters(model)]
    found = method.gradient(*batch)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    plain = begin("ste").gradient(*batch)
    assert mean_angle(found, plain) > 1e-3 or name == "lne-flowed"


def test_rf_dnn_with_alpha_is_something_else(batch):
    plain = begin("rf-dnn", options={"alpha": 0.0})
    other = begin("rf-dnn", options={"alpha": 1e5})
    clamped = begin("rf-dnn", options={"alpha": 1e5, "max_ratio": 1e-3})
    for method in (plain, other, clamped):
        method.step(*batch)
    far = float((weights(other) - weights(plain)).norm())
    near = float((weights(clamped) - weights(plain)).norm())
    assert 0 < near < far


def test_the_gradient_norm_penalty_against_finite_differences():
    """The gradient that is added is that of P, for a smooth network in float64."""
    arm = Arm("g", "gradient-norm", width=5, depth=1, options={"relative": False, "alpha": 1.0})
    method = get_method("gradient-norm", {"relative": False})
    prepare(arm, build_model(arm, 0), 1, method)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).double()
    method.model, method.latents = model, [model[1].weight]
    method.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(6, 4).double(), torch.arange(6) % 3

    def penalty():
        loss = cross_entropy(model(x), y)
        (g,) = torch.autograd.grad(loss, [model[1].weight], create_graph=True)
        return method._penalty({model[1].weight: g})

    value = penalty()
    (exact,) = torch.autograd.grad(value, [model[1].weight])
    h, place = 1e-5, (1, 2)
    with torch.no_grad():
        model[1].weight[place] += h
    up = float(penalty().detach())
    with torch.no_grad():
        model[1].weight[place] -= 2 * h
    down = float(penalty().detach())
    # central differences in float64: error h^2 and 1e-16/h
    assert float(exact[place]) == pytest.approx((up - down) / (2 * h), rel=1e-6)


def test_clipping_methods_keep_the_latent_weights_inside(batch):
    for name in ("clipped-ste", "binaryconnect"):
        method = begin(name, options={"bound": 0.3})
        method.step(*batch)
        assert float(weights(method).abs().max()) <= np.float32(0.3)


@pytest.mark.parametrize("name", ["proxquant", "md-tanh"])
def test_float_methods_are_judged_as_signs_and_go_on_as_floats(name, batch):
    method = begin(name)
    method.step(*batch)
    before = weights(method)
    assert float(before.abs().min()) < 0.9
    with method.evaluated():
        assert torch.equal(weights(method), torch.where(before >= 0, 1.0, -1.0))
    assert torch.equal(weights(method), before)


@pytest.mark.parametrize("name", ["proxquant", "md-tanh"])
@pytest.mark.parametrize("settings", [{"weight_bits": 2}, {"weight_scale": "mean"}])
def test_float_methods_refuse_what_they_cannot_do(name, settings):
    with pytest.raises(InvalidArgumentError, match="weight_bits = 1 and weight_scale = 'none'"):
        begin(name, **settings)


def test_md_tanh_keeps_the_signs_of_the_first_weights():
    assert torch.equal(signs(begin("md-tanh").context.latents), signs(begin("ste").context.latents))
    assert float(weights(begin("md-tanh")).abs().max()) < 1.0


def test_the_average_is_what_it_says(batch):
    method = begin("ema", options={"decay": 0.9})
    mean = weights(method).clone()
    for _ in range(3):
        method.step(*batch)
        mean = 0.9 * mean + 0.1 * weights(method)
    live = weights(method)
    with method.evaluated():
        # float32, three updates
        assert torch.allclose(weights(method), mean, atol=1e-6)
    assert torch.equal(weights(method), live)


def test_the_average_takes_a_learned_range_as_the_first_batch_sets_it(batch):
    """It was 0 before, which is no value to average with."""
    settings = {"weight_bits": 2, "activation_bits": 2, "activation_range": "learned"}
    method = begin("ema", learning_rate=1e-9, **settings)
    method.step(*batch)
    ranges = [
        (float(mean), float(live))
        for (name, _), mean, live in zip(
            method.model.named_parameters(), method.average, method.live, strict=True
        )
        if name.endswith("range")
    ]
    assert len(ranges) > 1
    for mean, live in ranges:
        assert mean == pytest.approx(live, rel=1e-5)


def test_reestimated_statistics_are_those_of_the_data(images, batch):
    method = begin("ste")
    method.step(*batch)
    model = method.model.eval()
    inputs = list(images.normalise(images.train[:256]).split(64))
    before = [b.clone() for b in model.buffers()]
    with reestimated_norms(model, inputs), torch.no_grad():
        assert not model.training
        first = model[1](torch.cat(inputs).flatten(1))
        # mean of the means of equal batches: float32
        assert torch.allclose(model[2].running_mean, first.mean(0), rtol=1e-4, atol=1e-4)
        variances = torch.stack([model[1](x.flatten(1)).var(0) for x in inputs]).mean(0)
        assert torch.allclose(model[2].running_var, variances, rtol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), before, strict=True))
    assert model[2].momentum == 0.1


class TestAngles:
    def test_known_angles(self):
        a = torch.tensor([1.0, 0.0])
        b = torch.tensor([1.0, 1e-5])
        right = torch.tensor([0.0, 2.0])
        assert mean_angle([a], [3 * a]) == 0.0
        assert mean_angle([a], [right]) == pytest.approx(np.pi / 2)
        # acos would give 0 or 4e-4 in float32
        assert mean_angle([a], [b]) == pytest.approx(1e-5, rel=1e-5)
        assert mean_angle([a, a], [right, -a]) == pytest.approx(0.75 * np.pi)
        assert mean_angle([a, 0 * a], [right, a]) == pytest.approx(np.pi / 2)
        assert mean_angle([0 * a], [a]) is None
        assert mean_angle([a / 0], [a]) is None

    def test_the_float_reference_is_that_of_the_float_network(self, batch):
        method = begin("ste")
        float_model = begin("full-precision").model.train()
        cross_entropy(float_model(batch[0]), batch[1]).backward()
        expected = [m.weight.grad for m in float_model if isinstance(m, torch.nn.Linear)]
        for a, b in zip(float_gradient(method.context, *batch), expected, strict=True):
            assert torch.equal(a, b)

    def test_flips_one_by_one(self, batch):
        method = begin("ste", width=5, depth=2)
        found = flip_gradient(method.context, *batch)
        model = method.model.train()
        for (name, w), g in zip(method.context.latents.items(), found, strict=True):
            for place in [(0, 0), (3, 4)]:
                losses = []
                for sign in (1.0, -1.0):
                    kept = w.detach().clone()
                    with torch.no_grad():
                        w[place] = sign * kept[place].abs()
                        losses.append(float(cross_entropy(model(batch[0]), batch[1])))
                        w.copy_(kept)
                # float32 losses near 2.3
                expected = (losses[0] - losses[1]) / 2
                assert float(g[place]) == pytest.approx(expected, abs=1e-6), name

    def test_flips_need_a_small_network(self):
        with pytest.raises(InvalidArgumentError, match="for model 'mlp' with weight_bits = 1"):
            begin("ste", model="resnet8", angle_reference="flip")

    def test_a_run_measures_angles_when_asked(self, images):
        arm = default_arm("lne-exact", epochs=5, angle_every=2)
        run = Run(arm, 0, images)
        while not run.finished:
            run.epoch()
        angles = [row.gradient_angle for row in run.rows]
        assert [a is None for a in angles] == [True, False, True, False, False]
        assert all(0 < a < np.pi for a in angles if a is not None)


class TestCost:
    @pytest.mark.parametrize(
        ("name", "options", "low", "high"),
        [
            # one step is one step; five more forward and backward passes; every tenth step
            ("ste", {}, 1, 1),
            ("full-precision", {}, 1, 1),
            ("lne-exact", {}, 1, 1),
            ("rf-dnn", {}, 6, 6),
            ("rf-dnn", {"every": 10}, 1.5, 1.5),
            ("rf-dnn", {"next_step": "previous"}, 5, 5),
            # half of the images in the five passes
            ("rf-dnn", {"part": 0.5}, 3.5, 3.5),
            # the derivative of a backward pass costs more than a pass, and less than three
            ("gradient-norm", {}, 2, 4),
            ("gradient-norm", {"every": 4}, 1.25, 1.75),
        ],
    )
    def test_operations_of_a_step(self, name, options, low, high):
        cost = plain_steps(default_arm(name, options=options))
        # virtual passes leave out the products that nobody needs: the gradients of the parameters
        # that are not latent weights have none
        assert low <= cost.step <= high + 1e-9
        assert 0.3 < cost.forward < 0.45

    def test_measuring_it_leaves_the_random_state_alone(self):
        state = torch.get_rng_state()
        plain_steps(default_arm("multifc", options={"start": "random"}, batch_size=32))
        assert torch.equal(torch.get_rng_state(), state)

    def test_a_longer_run_costs_more(self, images):
        arm = default_arm("ste-long", epochs=2, options={"factor": 1.5})
        run = Run(arm, 0, images)
        while not run.finished:
            run.epoch()
        assert len(run.rows) == 3
        assert run.record({}).cost == 3.0

    def test_reestimation_is_counted(self, images):
        arm = default_arm("ste", epochs=2)
        costs = []
        for settings in (arm, replace(arm, reestimate_norms=True)):
            run = Run(settings, 0, images)
            while not run.finished:
                run.epoch()
            costs.append(run.record({}).cost)
        assert costs == [2.0, pytest.approx(2 * (1 + plain_steps(arm).forward))]


def test_the_page_says_what_every_option_of_a_method_means():
    page = (Path(__file__).parents[2] / "docs" / "comparison.md").read_text()
    table = page.split("\n## Options\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    rows = [line.strip("| ").split(" | ", 1) for line in lines]
    missing = []
    for method in available_methods():
        kind = "every estimator and quantiser" * traits(method)[0].startswith(("estim", "quanti"))
        told = " ".join(
            options
            for methods, options in rows
            if methods == kind
            or any(fnmatch(method, name) for name in re.findall(r"`([^`]+)`", methods))
        )
        named = re.findall(r"`([^`]+)`", told)
        missing += [f"{method}.{option}" for option in options_of(method) if option not in named]
    assert not missing
