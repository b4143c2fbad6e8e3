"""Brevitas: binary and integer weights; the clamp of the latent weight; the layers found."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
qnn = pytest.importorskip("brevitas.nn", reason="Brevitas is not installed (extra 'hosts')")

from brevitas.quant import (  # noqa: E402
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    SignedBinaryWeightPerTensorConst,
)

import riemann_lne as rl  # noqa: E402
from riemann_lne_torch import LNECorrector  # noqa: E402

nn = torch.nn
STEPS = 4
QUANTISERS = {
    "binary": {"weight_quant": SignedBinaryWeightPerTensorConst},
    "int8": {"weight_quant": Int8WeightPerTensorFloat},
    "int4-channel": {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": 4},
}
SCALE = float(torch.tensor(0.1))  # what Brevitas has: 0.1 rounded to float32
# Equal operations in another order, in float64.
CLOSE = 1e-13


def make(kind):
    torch.manual_seed(0)
    options = QUANTISERS[kind]
    model = nn.Sequential(
        qnn.QuantConv2d(2, 3, 3, **options),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.Flatten(),
        qnn.QuantLinear(27, 6, bias=True, **options),
        nn.Tanh(),
        nn.Linear(6, 2),
    )
    return model.double()


def losses():
    generator = torch.Generator().manual_seed(1)
    data = [
        (
            torch.randn(8, 2, 5, 5, generator=generator, dtype=torch.float64),
            torch.randn(8, 2, generator=generator, dtype=torch.float64),
        )
        for _ in range(STEPS)
    ]
    return [lambda model, x=x, y=y: (model(x) - y).square().mean() for x, y in data]


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def test_each_quantiser_is_found():
    for kind in QUANTISERS:
        assert [w.name for w in LNECorrector(make(kind)).weights] == ["0", "4"]
    model = make("int8")
    model[4] = qnn.QuantLinear(27, 6, bias=True, weight_quant=None)  # not quantised
    assert [w.name for w in LNECorrector(model).weights] == ["0"]
    attention = qnn.QuantMultiheadAttention(8, 2)
    assert [w.name for w in LNECorrector(attention).weights] == ["in_proj", "out_proj"]
    transposed = qnn.QuantConvTranspose2d(3, 4, 3)
    assert [w.channel_axis for w in LNECorrector(transposed).weights] == [1]


@pytest.mark.parametrize("tau", [0.2, "auto"])
@pytest.mark.parametrize("kind", list(QUANTISERS))
def test_the_training_is_the_one_by_hand(kind, tau, hand):
    model = make(kind)
    reference, plain = copy.deepcopy(model), copy.deepcopy(model)
    hand.train(plain, sgd(plain), losses(), [], tau=None)
    hand.train(
        reference, sgd(reference), losses(), [reference[0].weight, reference[4].weight], tau=tau
    )
    optimizer = sgd(model)
    LNECorrector(model, tau).attach(optimizer)
    for loss in losses():
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    assert hand.distance(model, reference) < CLOSE
    assert hand.distance(plain, reference) > 1e3 * CLOSE


def test_the_gradient_of_a_binary_layer_is_the_scale_times_that_of_its_weights():
    layer = qnn.QuantLinear(
        3, 2, bias=False, weight_quant=SignedBinaryWeightPerTensorConst
    ).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    layer(x).square().sum().backward()
    binary = SCALE * layer.weight.detach().sign()
    torch.testing.assert_close(layer(x), x @ binary.T, rtol=0, atol=1e-14)
    expected = SCALE * (2 * (x @ binary.T).T @ x)
    inside = layer.weight.detach().abs() <= SCALE
    assert inside.all()  # clamped by the forward pass, and the gradient is there nevertheless
    torch.testing.assert_close(layer.weight.grad, expected, rtol=1e-12, atol=0)


def test_the_clamp_of_the_latent_weight_is_respected_and_tau_follows_it():
    model = make("binary")
    layer, optimizer = model[4], torch.optim.SGD(model.parameters(), lr=20.0)
    corrector = LNECorrector(model, target=0.5)
    corrector.attach(optimizer)
    taus = []
    for loss in losses():
        optimizer.zero_grad()
        loss(model).backward()
        latent = layer.weight.detach().reshape(-1).clone()
        assert latent.abs().max() <= SCALE  # clamped in place by the forward pass
        optimizer.step()
        statistics = corrector.statistics["4"]
        assert statistics.tau == pytest.approx(rl.auto_tau(latent, 0.5), rel=1e-11)
        assert statistics.norm2 == pytest.approx(0.5, rel=1e-12)
        taus.append(statistics.tau)
    assert layer.weight.detach().abs().max() > 2 * SCALE  # the step went out of it
    assert max(taus) / min(taus) > 1.05


def test_tau_is_in_one_over_the_scale():
    found = []
    for scale in (0.1, 0.01):
        torch.manual_seed(0)
        layer = qnn.QuantLinear(
            6,
            4,
            bias=False,
            weight_quant=SignedBinaryWeightPerTensorConst,
            weight_scaling_const=scale,
        ).double()
        layer.weight.data *= 10 * scale
        layer(torch.ones(2, 6, dtype=torch.float64)).square().sum().backward()
        corrector = LNECorrector(layer, target=0.5)
        corrector.correct_()
        (statistics,) = corrector.statistics.values()
        found.append(statistics.tau)
    # the scale is a float32, to which the weights are clamped
    assert found[1] == pytest.approx(10 * found[0], rel=1e-6)
