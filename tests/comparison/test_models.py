"""Networks: sizes, first weights, what is quantised."""

import pytest
import torch

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_torch import get_estimator, latent_parameters, quantized_layers
from riemann_lne_validation.comparison.models import (
    build_model,
    chosen_layers,
    hash_tensors,
    quantize_model,
)
from riemann_lne_validation.comparison.protocol import Arm
from riemann_lne_validation.lab.networks import cifar_resnet, edge_layers, mlp


def arm(**settings):
    return Arm("arm", "ste", **settings)


def quantized(settings):
    return quantize_model(build_model(settings, 0), settings, get_estimator("ste"), "none")


@pytest.mark.parametrize(
    # from the widths: 9 C_in C_out a convolution, 2 C a batch norm, 65 * 10 at the end
    ("depth", "parameters"),
    [(8, 75290), (20, 269722), (32, 464154), (44, 658586)],
)
def test_residual_networks_have_the_sizes_of_the_literature(depth, parameters):
    model = cifar_resnet(depth)
    assert sum(p.numel() for p in model.parameters()) == parameters
    weights = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(weights) == depth
    assert cifar_resnet(depth, 100)(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


def test_the_perceptron_has_batch_norm_behind_every_layer():
    model = mlp(64, 10, 12, 4)
    kinds = [type(m).__name__ for m in model]
    assert kinds.count("Linear") == kinds.count("BatchNorm1d") == 5
    assert model(torch.randn(3, 1, 8, 8)).shape == (3, 10)
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        mlp(width=0)


def test_weights_depend_on_the_seed_and_not_on_what_happened_before():
    settings = arm()
    first = hash_tensors(dict(build_model(settings, 5).named_parameters()))
    torch.randn(7)
    state = torch.get_rng_state()
    assert hash_tensors(dict(build_model(settings, 5).named_parameters())) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert hash_tensors(dict(build_model(settings, 6).named_parameters())) != first


def test_weights_have_the_variance_of_he():
    model = build_model(arm(model="resnet20", dataset="cifar10"), 0)
    weight = model.get_parameter("11.conv2.weight")
    # 64 * 64 * 9 draws: relative standard deviation of the variance sqrt(2/36864), five of it
    assert float(weight.detach().var()) * 64 * 9 / 2 == pytest.approx(1, abs=5 * (2 / 36864) ** 0.5)


@pytest.mark.parametrize(
    ("first", "last", "left_out"),
    [(True, True, set()), (False, True, {"0"}), (False, False, {"0", "8"})],
)
def test_first_and_last_layer(first, last, left_out):
    settings = arm(model="resnet8", quantize_first=first, quantize_last=last, dataset="cifar10")
    model = build_model(settings, 0)
    names = {
        n for n, m in model.named_modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))
    }
    assert edge_layers(model) == ("0", "8")
    chosen = chosen_layers(model, settings)
    assert set(chosen) == names - left_out
    quantized_model = quantize_model(model, settings, get_estimator("ste"), "none")
    assert set(quantized_layers(quantized_model)) == names - left_out
    latents = latent_parameters(quantized_model)
    assert {id(p) for p in latents} == {id(p) for p in chosen.values()}


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_k_bits_have_2_to_the_k_levels(bits):
    weight = quantized(arm(weight_bits=bits, width=512))[1].weight.detach()
    levels = torch.linspace(-1, 1, 2**bits)
    # float32, and the outermost levels need weights near the largest
    places = (weight[..., None] - levels).abs()
    assert float(places.min(-1).values.max()) < 1e-6
    assert len(torch.unique(places.argmin(-1))) == 2**bits


def test_activations_but_not_the_images_are_quantised():
    model = quantized(arm(activation_bits=1))
    seen = []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    x = torch.randn(5, 1, 8, 8)
    model.eval()
    model(x)
    first, *rest = seen
    assert len(torch.unique(first[0])) == 5 * 64
    assert all(torch.equal(a.abs(), torch.ones_like(a)) for a, _ in rest)
    # sums of as many signs as there are inputs
    assert all(torch.equal(out, out.round()) for _, out in rest)


def test_activations_alone():
    settings = arm(activation_bits=2)
    model = quantize_model(build_model(settings, 0), settings, None, "none")
    assert len(quantized_layers(model)) == 4
    assert latent_parameters(model) == []


def test_residual_networks_take_digits():
    model = quantized(arm(model="resnet8", width=4))
    assert model(torch.randn(4, 1, 8, 8)).shape == (4, 10)
