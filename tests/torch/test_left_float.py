"""Weights that stay float are named: by quantize_, and by the corrector with select="all".

Looked at: packed projections of attention, recurrent layers, weight norm, spectral norm, pruning
(by parametrisation and by the older hooks), EmbeddingBag, Bilinear, parameters of a module itself,
norm layers (which are not meant), layers of one's choice, names in skip.
"""

import warnings

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, prune  # noqa: E402

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import LNECorrector  # noqa: E402
from riemann_lne_torch.quantization import QuantConfig, quantize_, quantized_layers  # noqa: E402


class WithParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 5, 4))
        self.token = nn.Parameter(torch.randn(1, 1, 4))


class LowRank(nn.Linear):
    def __init__(self):
        super().__init__(4, 4)
        self.low = nn.Parameter(torch.zeros(2, 4))


LEFT = {
    "attention": (lambda: nn.MultiheadAttention(4, 2), ["it.in_proj_weight (MultiheadAttention)"]),
    "lstm": (lambda: nn.LSTM(4, 4), ["it.weight_ih_l0 (LSTM)", "it.weight_hh_l0 (LSTM)"]),
    "cell": (lambda: nn.GRUCell(4, 4), ["it.weight_ih (GRUCell)", "it.weight_hh (GRUCell)"]),
    "bag": (lambda: nn.EmbeddingBag(5, 4), ["it.weight (EmbeddingBag)"]),
    "bilinear": (lambda: nn.Bilinear(4, 4, 2), ["it.weight (Bilinear)"]),
    "parameter": (WithParameter, ["it.position (WithParameter)"]),
    "low rank": (LowRank, ["it.low (LowRank)"]),
    "normed lstm": (
        lambda: parametrizations.weight_norm(nn.LSTM(4, 4), "weight_hh_l0"),
        ["it.weight_hh_l0 (LSTM)", "it.weight_ih_l0 (LSTM)"],
    ),
}


def model(kind):
    return nn.ModuleDict({"plain": nn.Linear(4, 4), "it": LEFT[kind][0]()})


@pytest.mark.parametrize("kind", LEFT)
class TestQuantize:
    def test_they_are_named(self, kind):
        with pytest.warns(UserWarning, match="these weights stay float") as said:
            quantize_(model(kind))
        text = str(said[0].message)
        for name in LEFT[kind][1]:
            assert name in text
        assert "plain" not in text
        assert "token" not in text

    def test_names_in_skip_are_meant(self, kind):
        for skip in (
            ("it",),
            (type(model(kind)["it"]),) if kind != "normed lstm" else ("it",),
            tuple(name.split()[0] for name in LEFT[kind][1]),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                quantised = quantize_(model(kind), QuantConfig(skip=skip))
            assert "plain" in quantized_layers(quantised)

    def test_a_warning_that_is_an_error_changes_nothing(self, kind):
        unchanged = model(kind)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="stay float"):
                quantize_(unchanged)
        assert not quantized_layers(unchanged)

    def test_the_corrector_names_them_too(self, kind):
        with pytest.warns(UserWarning, match="select='all' leaves out") as said:
            LNECorrector(model(kind), select="all")
        for name in LEFT[kind][1]:
            if kind != "low rank":
                assert name in str(said[0].message)


COMPUTED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "pruning": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
    "old spectral norm": nn.utils.spectral_norm,
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_weights_that_are_computed(kind):
    """quantize_ refuses them by name; the corrector leaves them out and says so."""
    made = nn.Sequential(nn.Linear(4, 4), COMPUTED[kind](nn.Linear(4, 4)))
    with pytest.raises(InvalidArgumentError, match=r"layer '1': its weight .*or name the layer in"):
        quantize_(made)
    assert not quantized_layers(made)
    if kind not in ("orthogonal", "spectral norm"):  # those have one original, the latent weight
        with pytest.warns(UserWarning, match=r"leaves out .*1\.weight"):
            corrector = LNECorrector(made, select="all")
        assert [w.name for w in corrector.weights][:1] == ["0"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize_(made, QuantConfig(skip=("1",)))


def test_what_is_no_layer_is_not_named():
    quiet = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.LayerNorm((3, 4, 4)),
        nn.GroupNorm(1, 3),
        nn.PReLU(3),
        nn.Linear(4, 2),
        nn.Embedding(4, 3),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize_(quiet)
        LNECorrector(quiet, select="all")


def test_kinds_that_were_chosen_are_meant():
    mixed = nn.ModuleList([nn.Linear(4, 4), nn.Conv1d(2, 2, 1), nn.Bilinear(2, 2, 2)])
    with pytest.warns(UserWarning, match="stay float") as said:
        quantize_(mixed, QuantConfig(layers=(nn.Linear,)))
    assert "2.weight (Bilinear)" in str(said[0].message)
    assert "1.weight" not in str(said[0].message)


def test_a_second_call_does_not_name_what_is_quantised():
    two = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize_(two, QuantConfig(skip=("1",)))
        quantize_(two, QuantConfig(skip=("0",)))
