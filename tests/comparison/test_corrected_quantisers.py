"""The LNE methods on quantisers of their own, with learned steps, and with the loss's curvature."""

from dataclasses import replace

import pytest
import torch

from riemann_lne.errors import InvalidArgumentError, UnknownNameError
from riemann_lne_torch import LNECorrector, latent_parameters
from riemann_lne_validation.comparison.contracts import cross_entropy
from riemann_lne_validation.comparison.datasets import load_images
from riemann_lne_validation.comparison.measurements import plain_steps, prepare
from riemann_lne_validation.comparison.methods import (
    DoesNotApplyError,
    available_methods,
    get_method,
    options_of,
)
from riemann_lne_validation.comparison.models import build_model
from riemann_lne_validation.comparison.protocol import Arm, default_arm
from riemann_lne_validation.comparison.training import Run

FAMILY = [name for name in sorted(available_methods()) if name.startswith("lne-")]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def batch():
    images = load_images("digits")
    return images.normalise(images.train[:64]), images.train_labels[:64]


def begin(name, bits=2, **options):
    arm = Arm(name, name, options=options, weight_bits=bits)
    method = get_method(name, options)
    prepare(arm, build_model(arm, 0), 22, method)
    method.begin_epoch()
    return method


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("inner", ["lsq", "rms"])
def test_the_family_trains_on_other_quantisers(name, inner, batch):
    joined = {"steps": "together"} if inner == "lsq" else {}
    method = begin(name, inner=inner, block="quantizer", **joined)
    losses = [float(method.step(*batch)[0]) for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


def test_it_is_the_corrector_on_that_quantiser(batch):
    method = begin("lne-exact", inner="seq", block="quantizer", steps="together")
    model = begin("lne-exact", inner="seq").model
    cross_entropy(model(batch[0]), batch[1]).backward()
    LNECorrector(model, block="quantizer", steps="together").correct_()
    expected = [p.grad for p in latent_parameters(model)]
    found = method.gradient(*batch)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["lne-fisher", "lne-hutchinson", "damping"])
def test_a_measurement_changes_no_running_mean(name, batch):
    options = {"corrector": "lne-fisher"} if name == "damping" else {}
    one, two = begin(name, **options), begin(name, **options)
    for _ in range(3):
        one.step(*batch)
        two.step(*batch)
        two.gradient(*batch)
    pairs = zip(one.context.latents.values(), two.context.latents.values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_much_damping_is_the_metric_alone(batch):
    one, two = begin("lne-exact"), begin("lne-fisher", damping=1e12)
    for a, b in zip(one.gradient(*batch), two.gradient(*batch), strict=True):
        torch.testing.assert_close(a, b)


def test_a_wrapper_with_a_corrector_corrects_before_it_adds(batch):
    method, plain = begin("damping", corrector="lne-exact"), begin("lne-exact")
    for a, b in zip(method.gradient(*batch), plain.gradient(*batch), strict=True):
        assert torch.equal(a, b)


def test_a_run_with_a_corrector_inside_of_a_wrapper_resumes():
    images = load_images("digits")
    options = {"corrector": "lne-fisher"}
    arm = default_arm("lookahead", epochs=2, options=options, angle_every=1, batch_size=256)
    whole, broken = Run(arm, 0, images), Run(arm, 0, images)
    whole.epoch()
    broken.epoch()
    again = Run(arm, 0, images)
    again.load_state(broken.state())
    whole.epoch()
    again.epoch()
    assert replace(whole.rows[1], seconds=0.0) == replace(again.rows[1], seconds=0.0)


@pytest.mark.parametrize(
    ("name", "bits", "options", "message"),
    [
        ("lne-exact", 1, {"inner": "lsq"}, "needs 2 to 16 bits"),
        ("lne-fisher", 2, {"inner": "lne"}, "a natural gradient itself"),
        ("lne-weak", 2, {"steps": "together"}, "estimator 'ste' has none"),
        ("damping", 1, {"inner": "ternary"}, "three levels"),
    ],
)
def test_what_does_not_apply_is_told(name, bits, options, message):
    with pytest.raises(DoesNotApplyError, match=message):
        begin(name, bits, **options)


def test_options_are_checked():
    with pytest.raises(InvalidArgumentError, match="every must be an integer"):
        begin("lne-hutchinson", every=0)
    with pytest.raises(UnknownNameError, match="corrector 'lne'"):
        begin("damping", corrector="lne")
    assert options_of("lne-fisher") == {
        "block": "layer", "target": 0.5, "tau": "auto", "inner": "ste", "steps": "apart",
        "damping": 1.0, "keep": 0.99,
    }  # fmt: skip


def test_the_cost_of_probes_is_counted():
    fisher, probes, often = (
        plain_steps(default_arm(name, options=options)).step
        for name, options in (
            ("lne-fisher", {}),
            ("lne-hutchinson", {}),
            ("lne-hutchinson", {"every": 1}),
        )
    )
    assert fisher == pytest.approx(1.0)
    assert 1.05 < probes < 1.3
    assert 2.0 < often < 3.5
