"""Weights that several layers share: every one stays right, or is refused with advice.

Looked at: an embedding and a linear layer, two convolutions, a convolution and its transpose; all
quantised, or some skipped; quantised in two calls; a weight used by hand in linear; tied again
after quantize_; copies, averages, checkpoints (assign, strict); two models that share a weight.
Hugging Face models are in tests/torch_hosts/test_pretrained.py, DistributedDataParallel and FSDP2
in tests/torch/test_training.py.
"""

import copy
import io

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.functional import linear  # noqa: E402
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    dequantize_,
    finalize_,
    latent_parameters,
    quantize_,
    quantized_layers,
)


class ByHand(nn.Module):
    """An embedding whose weight is the last layer's too, without a module for it."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.inner = nn.Linear(4, 4)

    def forward(self, i):
        return linear(self.inner(self.embedding(i)), self.embedding.weight)


def tied(first, last):
    last.weight = first.weight
    return nn.Sequential(first, last)


MODELS = {
    "embedding": (
        lambda: tied(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)),
        torch.arange(10),
    ),
    "linear": (lambda: tied(nn.Linear(4, 4), nn.Linear(4, 4)), torch.randn(3, 4)),
    "conv": (lambda: tied(nn.Conv1d(3, 3, 3), nn.Conv1d(3, 3, 3)), torch.randn(2, 3, 9)),
    "conv and transpose": (
        lambda: tied(nn.Conv2d(2, 3, 2), nn.ConvTranspose2d(3, 2, 2)),
        torch.randn(2, 2, 5, 5),
    ),
    "by hand": (ByHand, torch.arange(10)),
}


def make(kind):
    torch.manual_seed(0)
    model, x = MODELS[kind]
    return model(), x


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("skip", [None, "first", "last"])
@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.filterwarnings("ignore:.*no longer tied")
def test_finalized_outputs_are_the_same(kind, skip, bits):
    model, x = make(kind)
    names = [n for n, m in model.named_modules() if hasattr(m, "weight")]
    config = {"weight_bits": bits, "estimator": "dorefa"}
    if skip is not None:
        config["skip"] = (names[0 if skip == "first" else -1],)
    quantize_(model, QuantConfig(**config))
    latents = [p.detach().clone() for p in latent_parameters(model)]
    kept = latent_parameters(model)
    before = model(x)
    finalize_(model)
    assert torch.equal(model(x), before)
    for latent, value in zip(kept, latents, strict=True):  # nothing is written into them
        assert torch.equal(latent, value)
    if skip is None and kind != "by hand":
        assert model[0].weight is model[1].weight


@pytest.mark.parametrize("skip", ["0", "1"])
def test_weights_that_are_no_longer_tied_are_said(skip):
    model, _ = make("embedding")
    quantize_(model, QuantConfig(skip=(skip,)))
    with pytest.warns(UserWarning, match=rf"{skip}.weight shared .*tie_word_embeddings"):
        finalize_(model)
    assert model[0].weight is not model[1].weight


def test_two_models_that_share_a_weight():
    """The other model may be float, or quantised."""
    for quantised in (False, True):
        ours, other = nn.Linear(4, 3), nn.Linear(4, 3)
        other.weight = ours.weight
        quantize_(ours, QuantConfig(weight_bits=2))
        if quantised:
            quantize_(other, QuantConfig(weight_scale="mean"))
        x = torch.randn(2, 4)
        before = other(x)
        finalize_(ours)
        assert torch.equal(other(x), before)


def test_in_two_calls_the_quantiser_is_shared():
    model, x = make("linear")
    quantize_(model, QuantConfig(skip=("1",), estimator="ede"))
    with pytest.raises(InvalidArgumentError, match="'0' and '1' share one weight"):
        quantize_(model, QuantConfig(skip=("0",), weight_bits=2))
    assert list(quantized_layers(model)) == ["0"]
    quantize_(model, QuantConfig(skip=("0",), estimator="ede"))
    assert model[0].parametrizations.weight[0] is model[1].parametrizations.weight[0]
    before = model(x)
    assert torch.equal(finalize_(model)(x), before)


def test_channels_that_differ_are_refused():
    model, _ = make("conv and transpose")
    with pytest.raises(InvalidArgumentError, match="output channels"):
        quantize_(model, QuantConfig(weight_scale="mean-channel"))
    assert not quantized_layers(model)
    quantize_(model, QuantConfig(weight_scale="mean"))


class TestTyingAgain:
    @pytest.mark.parametrize("mode", ["graph", "no graph", "scaled"])
    @pytest.mark.parametrize("skip", [(), ("0",)])
    def test_discrete_values_are_refused(self, mode, skip):
        model, _ = make("linear")
        source = quantize_(nn.Linear(4, 4), QuantConfig(estimator="ede"))
        quantize_(model, QuantConfig(skip=skip))
        before = model[1].parametrizations.weight.original.detach().clone()
        with torch.set_grad_enabled(mode != "no graph"):
            value = source.weight * 0.5 if mode == "scaled" else source.weight
            with pytest.raises(InvalidArgumentError, match=r"dequantize_\(model\), tie, then"):
                model[1].weight = value
        assert torch.equal(model[1].parametrizations.weight.original, before)

    def test_discrete_values_without_a_trace_are_said(self):
        model, _ = make("linear")
        quantize_(model, QuantConfig(weight_scale="mean"))
        with pytest.warns(UserWarning, match="discrete values only"):
            model[1].weight = model[0].weight.detach()

    def test_a_parameter_is_refused_by_torch(self):
        layer, other = quantize_(nn.Linear(4, 4)), nn.Linear(4, 4)
        with pytest.raises(KeyError, match="already exists"):
            layer.weight = other.weight

    def test_what_is_no_fault(self):
        layer = quantize_(nn.Linear(2, 2))
        layer.weight = torch.tensor([[0.5, -0.5], [2.0, -2.0]])
        layer.weight = torch.zeros(2, 2)
        quantize_(finalize_(layer))  # discrete latent weights, but nothing is assigned

    def test_the_way_that_the_message_names(self):
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        quantize_(model)
        dequantize_(model)
        model[1].weight = model[0].weight
        quantize_(model)
        assert len(latent_parameters(model)) == 1


@pytest.mark.parametrize("kind", ["embedding", "linear", "conv"])
class TestCopies:
    def test_deepcopy(self, kind):
        model, x = make(kind)
        twin = copy.deepcopy(quantize_(model))
        assert len(latent_parameters(twin)) == 1
        assert torch.equal(twin(x), model(x))
        before = model(x)
        with torch.no_grad():
            latent_parameters(twin)[0].neg_()
        assert torch.equal(model(x), before)
        after = twin(x)
        assert torch.equal(finalize_(twin)(x), after)
        assert torch.equal(model(x), before)

    @pytest.mark.parametrize("back", [finalize_, dequantize_])
    def test_the_way_back_of_a_copy_leaves_the_others(self, kind, back):
        """PyTorch gives copies the class of the original, and changes the class."""
        model, x = make(kind)
        twin = copy.deepcopy(quantize_(model))
        third = copy.deepcopy(twin)
        before = model(x)
        back(twin)
        assert torch.equal(model(x), before)
        assert torch.equal(third(x), before)
        back(model)
        assert torch.equal(third(x), before)

    def test_averages_are_of_latent_weights(self, kind):
        model, x = make(kind)
        quantize_(model)
        ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5))
        ema.update_parameters(model)
        start = latent_parameters(model)[0].detach().clone()
        with torch.no_grad():
            latent_parameters(model)[0].add_(1.0)
        ema.update_parameters(model)
        (mean,) = latent_parameters(ema.module)
        torch.testing.assert_close(mean, start + 0.5)
        before = ema(x)
        assert torch.equal(finalize_(ema.module)(x), before)

    @pytest.mark.parametrize("assign", [False, True])
    @pytest.mark.parametrize("quantised", [False, True])
    def test_checkpoints(self, kind, assign, quantised):
        source, x = make(kind)
        if quantised:
            quantize_(source)
        file = io.BytesIO()
        torch.save(source.state_dict(), file)
        file.seek(0)
        target, _ = make(kind)
        quantize_(target)
        with torch.no_grad():
            latent_parameters(target)[0].add_(1.0)
        state = torch.load(file, weights_only=True)
        target.load_state_dict(state, strict=True, assign=assign)
        expected = source(x) if quantised else quantize_(source)(x)
        assert torch.equal(target(x), expected)
        assert torch.equal(finalize_(target)(x), expected)

    def test_whole_models_are_refused_by_pickle(self, kind):
        model, _ = make(kind)
        with pytest.raises(RuntimeError, match="state_dict"):
            torch.save(quantize_(model), io.BytesIO())
        torch.save(finalize_(model), io.BytesIO())
