"""Which argument of a layer is quantised.

Looked at: by position and by keyword; classes that extend a layer, with one argument and with
several, that call the layer's forward or do its work by hand; layers of other kinds with one and
with several arguments; attention, whose output projection is used without being called; the fast
path of TransformerEncoderLayer; convolutions with an output size; copies, pickles, checkpoints.
"""

import copy
import io

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    dequantize_,
    finalize_,
    quantize_,
)
from riemann_lne_torch.quantizers import quantize_binary  # noqa: E402

X, GATE = torch.randn(3, 4), torch.full((3, 1), 0.5)


class Gated(nn.Linear):
    def forward(self, gate, x):
        return gate * super().forward(x)


class GateByDefault(nn.Linear):
    def forward(self, gate, x=None):
        return gate * super().forward(x)


class Anything(nn.Linear):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


class GatedTwice(Gated):
    def forward(self, gate, x):
        return super().forward(gate, x)


class One(nn.Linear):
    def forward(self, x):
        return functional.linear(x, self.weight, self.bias)


class ByHand(nn.Linear):
    def forward(self, gate, x):
        return gate * functional.linear(x, self.weight, self.bias)


def expected(layer, x=X):
    return functional.linear(quantize_binary(x), layer.weight, layer.bias)


def config(**options):
    return QuantConfig(activation_bits=1, **options)


@pytest.mark.parametrize("weight_bits", [1, None])
@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        (nn.Linear, [((X,), {}), ((), {"input": X})]),
        (One, [((X,), {}), ((), {"x": X})]),
        (Anything, [((X,), {}), ((), {"input": X})]),
    ],
)
def test_one_argument(kind, calls, weight_bits):
    layer = quantize_(kind(4, 2), config(weight_bits=weight_bits))
    for args, kwargs in calls:
        assert torch.equal(layer(*args, **kwargs), expected(layer))


@pytest.mark.parametrize("weight_bits", [1, None])
@pytest.mark.parametrize("kind", [Gated, GateByDefault, GatedTwice])
def test_several_arguments(kind, weight_bits):
    """The one that meets the weight, however the call is written; the others stay as they are."""
    plain = kind(4, 2)
    float_output = plain(GATE, X)
    layer = quantize_(plain, config(weight_bits=weight_bits))
    for args, kwargs in (((GATE, X), {}), ((GATE,), {"x": X}), ((), {"gate": GATE, "x": X})):
        assert torch.equal(layer(*args, **kwargs), 0.5 * expected(layer))
    assert torch.equal(copy.deepcopy(layer)(GATE, X), layer(GATE, X))
    state = layer.state_dict()
    layer.load_state_dict(state)
    baked = finalize_(copy.deepcopy(layer))
    assert torch.equal(baked(GATE, X), layer(GATE, X))
    file = io.BytesIO()  # quantised activations are part of the model after finalize_
    torch.save(baked, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(GATE, X), layer(GATE, X))
    assert isinstance(layer, kind)
    assert type(dequantize_(layer)) is kind
    assert torch.equal(layer(GATE, X), float_output)


def test_work_by_hand_is_asked_for_the_name():
    layer = quantize_(nn.Sequential(ByHand(4, 2)), config())
    with pytest.raises(InvalidArgumentError, match=r"ByHand.*activation_input.*gate, x"):
        layer[0](GATE, X)
    dequantize_(layer)
    quantize_(layer, config(overrides={"0": {"activation_input": "x"}}))
    for args, kwargs in (((GATE, X), {}), ((), {"gate": GATE, "x": X})):
        assert torch.equal(layer[0](*args, **kwargs), 0.5 * expected(layer[0]))
    with pytest.raises(InvalidArgumentError, match=r"layer '0': activation_input names 'y'"):
        quantize_(nn.Sequential(ByHand(4, 2)), config(activation_input="y"))


class Mixer(nn.Module):
    """A layer of another kind, with two inputs."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 4))

    def forward(self, x, y, *, scale=1.0):
        return scale * functional.linear(x + y, self.weight)


def test_layers_of_other_kinds():
    options = {"layers": (Mixer, nn.Bilinear)}
    with pytest.raises(InvalidArgumentError, match=r"Mixer.*cannot be told.*x, y, scale"):
        quantize_(Mixer(), config(**options))
    layer = quantize_(Mixer(), config(**options, activation_input=("x", "y")))
    want = functional.linear(quantize_binary(X) + quantize_binary(X), layer.weight)
    assert torch.equal(layer(X, y=X, scale=2.0), 2.0 * want)
    layer = quantize_(nn.Bilinear(4, 4, 2), config(**options, activation_input="input2"))
    want = functional.bilinear(X, quantize_binary(X), layer.weight, layer.bias)
    assert torch.equal(layer(X, input2=X), want)


def test_options_after_the_input():
    layer = quantize_(nn.ConvTranspose1d(2, 3, 3, stride=2), config())
    x = torch.randn(1, 2, 5)
    want = functional.conv_transpose1d(
        quantize_binary(x), layer.weight, layer.bias, 2, output_padding=1
    )
    assert torch.equal(layer(x, output_size=[12]), want)
    assert torch.equal(layer(input=x, output_size=[12]), want)


def test_attention_is_said():
    model = nn.Sequential(nn.MultiheadAttention(4, 2))
    with pytest.warns(UserWarning, match="stay float") as said:
        quantize_(model, config())
    text = " ".join(str(w.message) for w in said)
    assert "0.in_proj_weight (MultiheadAttention)" in text
    assert "inputs of these layers stay float: 0.out_proj" in text


@pytest.mark.filterwarnings("ignore:these weights stay float", "ignore:the inputs of these")
def test_the_fast_path_of_a_transformer_layer_does_the_same():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    quantize_(layer, config())
    x = torch.randn(2, 3, 8)
    slow = layer.train()(x)
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), slow)


@pytest.mark.parametrize(("bits", "scale"), [(1, "none"), (1, "max"), (2, "none"), (4, "max")])
@pytest.mark.parametrize("finished", [False, True])
def test_empty_batches(bits, scale, finished):
    """No boxes, an expert without tokens: as the float layer takes them, with a gradient."""
    for layer, x in (
        (nn.Linear(4, 3), torch.randn(0, 4)),
        (nn.Conv2d(2, 3, 1), torch.randn(0, 2, 3, 3)),
        (nn.Embedding(4, 3), torch.zeros(0, dtype=torch.long)),
    ):
        shape = layer(x).shape
        quantize_(layer, QuantConfig(activation_bits=bits, activation_scale=scale))
        if finished:
            finalize_(layer)
        y = layer(x)
        assert y.shape == shape
        y.sum().backward()


# both are of PyTorch's own tracing
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_compiled():
    layer = quantize_(Gated(4, 2), config())
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager")
    assert torch.equal(compiled(GATE, x=X), layer(GATE, X))
