"""Where output channels lie, in scales, estimators and the corrector's blocks alike.

Kinds looked at: linear layers, convolutions with and without groups, transposed ones with and
without groups, embeddings, a weight of shape (inputs, outputs) by name (GPT-2's Conv1D, in
tests/torch_hosts), layers of classes that are not known, channels of zeros.
"""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import LNECorrector, register_channel_axis  # noqa: E402
from riemann_lne_torch.estimators import BWN, EDE, LNE, STE, Standardized  # noqa: E402
from riemann_lne_torch.optimizers import MultiFC  # noqa: E402
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    finalize_,
    latent_parameters,
    quantize_,
)
from riemann_lne_torch.quantize.channels import _REGISTERED, Channels  # noqa: E402

# a layer, an input, and the function from its weight to one slice for each output channel
LAYERS = {
    "linear": (lambda: nn.Linear(5, 4), (2, 5), lambda w: [w[k] for k in range(4)]),
    "conv": (lambda: nn.Conv1d(4, 6, 3, groups=2), (2, 4, 7), lambda w: [w[k] for k in range(6)]),
    "embedding": (lambda: nn.Embedding(7, 4), None, lambda w: [w[k] for k in range(7)]),
    "transposed": (
        lambda: nn.ConvTranspose2d(3, 4, 2),
        (2, 3, 3, 3),
        lambda w: [w[:, k] for k in range(4)],
    ),
    "grouped transposed": (
        lambda: nn.ConvTranspose1d(6, 4, 3, groups=2),
        (2, 6, 5),
        lambda w: [w[3 * g : 3 * g + 3, k] for g in range(2) for k in range(2)],
    ),
    "depthwise transposed": (
        lambda: nn.ConvTranspose3d(3, 3, 2, groups=3),
        (1, 3, 2, 2, 2),
        lambda w: [w[k, 0] for k in range(3)],
    ),
}


def spread(layer, channels):
    """Give the channels different sizes and shifts."""
    with torch.no_grad():
        for k, channel in enumerate(channels(layer.weight)):
            channel.mul_(4.0**k).add_(0.1 * k)
    return layer


def sample(shape):
    return torch.tensor([0, 2, 2, 6]) if shape is None else torch.randn(shape)


@pytest.mark.parametrize("kind", LAYERS)
def test_channels_are_those_of_the_output(kind):
    """A channel is what moves one channel of the output."""
    make, shape, channels = LAYERS[kind]
    if shape is None:
        pytest.skip("of an embedding a channel is a row")
    layer, x = make(), sample(shape)
    axis = 1 if x.ndim > 2 or kind == "linear" else 0
    before = layer(x)
    for k, channel in enumerate(channels(layer.weight.detach())):
        channel.add_(1.0)
        changed = (layer(x) != before).movedim(axis, 0).flatten(1).any(1)
        assert changed.nonzero().flatten().tolist() == [k]
        channel.sub_(1.0)
        before = layer(x)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("inference", [False, True])
def test_scales(kind, inference):
    make, _, channels = LAYERS[kind]
    layer = spread(make(), channels)
    want = [c.detach().abs().mean() for c in channels(layer.weight)]
    quantize_(layer, QuantConfig(weight_scale="mean-channel"))
    if inference:
        finalize_(layer)
    for a, channel in zip(want, channels(layer.weight.detach()), strict=True):
        torch.testing.assert_close(channel.abs(), a.expand_as(channel))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("estimator", [LNE(block="channel"), BWN("channel"), EDE(), Standardized()])
def test_estimators_by_channel(kind, estimator):
    """Each channel on its own, as one row of a linear layer, gives the same."""
    make, _, channels = LAYERS[kind]
    layer = spread(make(), channels)
    parts = [c.detach().clone() for c in channels(layer.weight)]
    v = torch.randn(layer.weight.shape)
    quantize_(layer, QuantConfig(estimator=estimator, weight_bits=1))
    layer.weight.backward(v)
    latent = latent_parameters(layer)[0]
    for part, value, grad, given in zip(
        parts, channels(layer.weight), channels(latent.grad), channels(v), strict=True
    ):
        row = nn.Linear(part.numel(), 1, bias=False)
        row.weight.data = part.reshape(1, -1)
        quantize_(row, QuantConfig(estimator=estimator))
        row.weight.backward(given.reshape(1, -1))
        torch.testing.assert_close(value.detach().reshape(1, -1), row.weight.detach())
        want = latent_parameters(row)[0].grad
        torch.testing.assert_close(grad.reshape(1, -1), want, rtol=2e-5, atol=1e-6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("metric", ["lne", "flowed"])
def test_blocks_of_the_corrector(kind, metric):
    make, _, channels = LAYERS[kind]
    layer = spread(make().double(), channels)
    quantize_(layer)
    latent = latent_parameters(layer)[0]
    latent.grad = torch.randn_like(latent)
    rows = [c.detach().clone().requires_grad_() for c in channels(latent)]
    for row, grad in zip(rows, channels(latent.grad), strict=True):
        row.grad = grad.clone()
    LNECorrector(layer, block="channel", metric=metric).correct_()
    LNECorrector(rows, metric=metric).correct_()
    for row, grad in zip(rows, channels(latent.grad), strict=True):
        torch.testing.assert_close(grad, row.grad, rtol=1e-9, atol=1e-12)


def test_meta_quant_takes_the_same_channels():
    """The other place that takes the factor of a quantiser."""
    make, shape, channels = LAYERS["grouped transposed"]
    layer = quantize_(spread(make(), channels), QuantConfig(weight_scale="mean-channel"))
    latent = latent_parameters(layer)[0]
    optimizer = MultiFC(torch.optim.SGD(layer.parameters(), lr=0.1), layer)
    for _ in range(2):
        optimizer.zero_grad()
        layer(sample(shape)).sum().backward()
        optimizer.step()
    assert torch.isfinite(latent).all()


class InOut(nn.Module):
    """A layer with a weight of shape (inputs, outputs)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2) * torch.tensor([1.0, 10.0]))

    def forward(self, x):
        return x @ self.weight


def by_output(layer):
    return torch.allclose(layer.weight[0].abs(), layer.weight[1].abs())


def test_an_unknown_kind_is_asked_for_its_axis():
    config = {"layers": (InOut,), "weight_scale": "mean-channel"}
    with pytest.raises(InvalidArgumentError, match=r"'0'.*InOut.*channel_axis"):
        quantize_(nn.Sequential(InOut()), QuantConfig(**config))
    with pytest.raises(InvalidArgumentError, match=r"'0'.*channel_axis"):
        quantize_(nn.Sequential(InOut()), QuantConfig(layers=(InOut,), estimator=BWN("channel")))
    for estimator in ("ste", BWN()):  # no channels, no question
        quantize_(nn.Sequential(InOut()), QuantConfig(layers=(InOut,), estimator=estimator))
    for asked in (1, -1):
        layer = quantize_(InOut(), QuantConfig(**config, channel_axis=asked))
        assert by_output(layer)
        assert LNECorrector(layer).weights[0].channels == Channels(1)
    assert not by_output(quantize_(InOut(), QuantConfig(**config, channel_axis=0)))
    model = nn.Sequential(InOut(), nn.Linear(2, 2))
    overrides = {"0": {"channel_axis": 1}}
    config["layers"] = (InOut, nn.Linear)
    quantize_(model, QuantConfig(**config, overrides=overrides))
    assert [w.channel_axis for w in LNECorrector(model).weights] == [1, 0]


@pytest.mark.parametrize("axis", [2, -3, 0.5, True, "1"])
def test_axes_that_are_none(axis):
    with pytest.raises(InvalidArgumentError, match=r"layer '0': channel_axis = "):
        quantize_(nn.Sequential(nn.Linear(2, 2)), QuantConfig(channel_axis=axis))


def test_registered_kinds(monkeypatch):
    monkeypatch.setattr("riemann_lne_torch.quantize.channels._REGISTERED", dict(_REGISTERED))
    register_channel_axis(InOut, 1)

    class Derived(InOut):
        pass

    layer = Derived()
    assert LNECorrector(layer, select=("*",)).weights[0].channels == Channels(1)
    assert by_output(quantize_(layer, QuantConfig(layers=(InOut,), weight_scale="mean-channel")))
    for kind in ("InOut", InOut()):
        with pytest.raises(InvalidArgumentError, match="class of modules"):
            register_channel_axis(kind, 1)
    with pytest.raises(InvalidArgumentError, match=r"axis = 0\.5"):
        register_channel_axis(InOut, 0.5)


def test_an_override_of_the_natural_axis_keeps_the_groups():
    make, _, _ = LAYERS["grouped transposed"]
    layer = quantize_(make(), QuantConfig(channel_axis=1))
    assert layer.parametrizations.weight[0].channels == Channels(1, 2)
    layer = quantize_(make(), QuantConfig(channel_axis=0))
    assert layer.parametrizations.weight[0].channels == Channels(0, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_scale": "mean"},
        {"weight_scale": "mean-channel"},
        {"weight_scale": "max"},
        {"estimator": BWN()},
        {"estimator": BWN("channel")},
        {"estimator": LNE()},
        {"estimator": LNE(block="channel")},
        {"estimator": LNE(tau=0.1)},
        {"estimator": "lne-flowed"},
        {"estimator": "lne-hessian"},
        {"estimator": "dorefa", "weight_bits": 2},
        {"estimator": "ewgs", "weight_bits": 2},
        {"estimator": EDE()},
        {"activation_bits": 1, "activation_scale": "max"},
        {"activation_bits": 2, "activation_scale": "max"},
    ],
    ids=str,
)
def test_zeros_get_a_gradient(settings):
    """A layer of zeros, and a channel of zeros: finite values, and a gradient that leaves zero."""
    for zeros in ("channel", "layer"):
        layer = nn.Linear(4, 3)
        with torch.no_grad():
            (layer.weight[1] if zeros == "channel" else layer.weight).zero_()
        quantize_(layer, QuantConfig(**settings))
        x = torch.zeros(2, 4) if settings.get("activation_bits") else torch.randn(2, 4)
        x.requires_grad_()
        y = layer(x)
        (y + y.detach()).sum().backward()
        assert torch.isfinite(y).all()
        if settings.get("weight_scale", "none") != "none" and zeros == "layer":
            assert torch.equal(y, layer.bias.expand_as(y))
        grad = latent_parameters(layer)[0].grad
        assert torch.isfinite(grad).all()
        if settings.get("activation_bits"):
            assert torch.isfinite(x.grad).all()
            assert x.grad.abs().sum() > 0
        else:
            assert (grad[1] != 0).all()


def test_the_gradient_of_a_scale_of_zero_is_that_of_one():
    layer = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(layer.weight)
    quantize_(layer, QuantConfig(weight_scale="mean", estimator=STE()))
    x = torch.randn(4, 3)
    layer(x).sum().backward()
    torch.testing.assert_close(latent_parameters(layer)[0].grad, x.sum(0).expand(2, 3))
