"""quantize_, dequantize_ and finalize_ on models: selection, checkpoints, export, bad input."""

import copy
import io
import subprocess
import sys
import textwrap

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from riemann_lne.errors import (  # noqa: E402
    DTypeError,
    InvalidArgumentError,
    NotFiniteError,
    ShapeError,
    UnknownNameError,
)
from riemann_lne_torch.estimators import BWN, EDE, STE, DoReFa, Standardized  # noqa: E402
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    dequantize_,
    finalize_,
    latent_parameters,
    quantize_,
    quantized_layers,
    set_progress,
)
from riemann_lne_torch.quantizers import quantize_binary, quantize_tensor  # noqa: E402


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


class Net(nn.Module):
    """Convolutions in a container, a head, for selection by name and type."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.layer1(self.stem(x)).mean(dim=(2, 3)))


KINDS = [
    (nn.Conv1d(3, 4, 3), (2, 3, 7)),
    (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 7, 7)),
    (nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    (nn.ConvTranspose1d(3, 4, 3), (2, 3, 7)),
    (nn.ConvTranspose2d(3, 4, 3), (2, 3, 5, 5)),
    (nn.ConvTranspose3d(2, 3, 2), (2, 2, 3, 3, 3)),
    (nn.Linear(5, 3), (2, 5)),
    (nn.Embedding(7, 3), None),
]


def sample(shape):
    generator = torch.Generator().manual_seed(3)
    if shape is None:
        return torch.randint(0, 7, (4,), generator=generator)
    return torch.randn(shape, generator=generator)


@pytest.mark.parametrize(
    ("layer", "shape"), KINDS, ids=[type(layer).__name__ for layer, _ in KINDS]
)
@pytest.mark.parametrize("bits", [1, 3])
def test_every_kind_of_layer(layer, shape, bits):
    layer = copy.deepcopy(layer)
    latent = layer.weight
    reference = copy.deepcopy(layer)
    reference.weight.data = quantize_tensor(latent.detach(), bits)
    assert quantize_(layer, QuantConfig(weight_bits=bits)) is layer
    x = sample(shape)
    assert torch.equal(layer(x), reference(x))
    assert layer.parametrizations.weight.original is latent  # what the optimiser holds
    layer(x).pow(2).sum().backward()
    reference(x).pow(2).sum().backward()
    assert torch.equal(latent.grad, reference.weight.grad)  # dL/dQ, straight through


def test_channels_of_transposed_convolutions_are_on_axis_1():
    layer = nn.ConvTranspose2d(3, 4, 2)
    mean = layer.weight.detach().abs().mean(dim=(0, 2, 3))
    quantize_(layer, QuantConfig(weight_scale="mean-channel"))
    torch.testing.assert_close(layer.weight.detach().abs()[0, :, 0, 0], mean)


class TestSelection:
    @pytest.mark.parametrize(
        ("skip", "left"),
        [
            ((), ["stem", "layer1.0", "layer1.2", "head"]),
            (("head",), ["stem", "layer1.0", "layer1.2"]),
            ("head", ["stem", "layer1.0", "layer1.2"]),
            (("layer1.*",), ["stem", "head"]),
            (("layer1",), ["stem", "head"]),
            ((nn.Linear, "stem"), ["layer1.0", "layer1.2"]),
            ((nn.Sequential,), ["stem", "head"]),
            (nn.Conv2d, ["head"]),
        ],
    )
    def test_skip(self, skip, left):
        model = quantize_(Net(), QuantConfig(skip=skip))
        assert list(quantized_layers(model)) == left
        assert len(latent_parameters(model)) == len(left)

    def test_overrides(self):
        overrides = {
            "layer1.*": {"weight_bits": 4, "estimator": "dorefa"},
            "layer1.2": {"weight_bits": None, "activation_bits": 8},
        }
        model = quantize_(Net(), QuantConfig(overrides=overrides))
        levels = [len(torch.unique(m.weight)) for m in quantized_layers(model).values()]
        assert levels[0] == levels[3] == 2
        assert 2 < levels[1] <= 16
        assert levels[2] == model.layer1[2].weight.numel()
        assert model.layer1[2].activation_quantizer.bits == 8
        assert model.layer1[0].parametrizations.weight[0].estimator == DoReFa()

    def test_other_types(self):
        model = quantize_(Net(), QuantConfig(layers=(nn.Linear,)))
        assert list(quantized_layers(model)) == ["head"]

    def test_names_of_estimators(self):
        model = quantize_(Net(), QuantConfig(estimator="ede", activation_bits=1))
        assert model.head.parametrizations.weight[0].estimator == EDE()


class TestActivations:
    @pytest.mark.parametrize("bits", [1, 4])
    def test_the_input_is_quantised(self, bits):
        layer = nn.Linear(5, 3)
        quantize_(layer, QuantConfig(weight_bits=None, activation_bits=bits))
        x = sample((4, 5)).requires_grad_()
        y = layer(x)
        expected = nn.functional.linear(quantize_tensor(x.detach(), bits), layer.weight, layer.bias)
        assert torch.equal(y, expected)
        y.sum().backward()
        slope = layer.weight.detach().sum(dim=0).expand(4, 5)
        expected = torch.where(x.abs() <= 1, slope, 0.0) if bits == 1 else slope
        torch.testing.assert_close(x.grad, expected)

    def test_an_embedding_has_no_activations_to_quantise(self):
        layer = quantize_(nn.Embedding(7, 3), QuantConfig(activation_bits=2))
        index = sample(None)
        assert torch.equal(layer(index), layer.weight[index])

    def test_both_ways_back(self):
        model = mlp()
        x = sample((4, 5))
        before = model(x)
        keys = list(model.state_dict())
        quantize_(model, QuantConfig(weight_bits=2, activation_bits=2))
        assert not torch.allclose(model(x), before)
        dequantize_(model)
        # the running statistics of the batch norm have moved, its output in training has not
        assert torch.equal(model(x), before)
        assert list(model.state_dict()) == keys
        quantize_(model)  # and again from the start
        assert len(quantized_layers(model)) == 2


class TestTied:
    def model(self):
        torch.manual_seed(0)
        encoder, decoder = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
        decoder.weight = encoder.weight
        return nn.Sequential(encoder, decoder)

    @pytest.mark.parametrize("finish", [dequantize_, finalize_])
    def test_stays_tied(self, finish):
        model = self.model()
        quantize_(model, QuantConfig(weight_bits=8, estimator="dorefa"))
        assert len(latent_parameters(model)) == len(list(model.parameters())) == 1
        assert torch.equal(model[0].weight, model[1].weight)
        index = torch.tensor([1, 2, 5])
        before = model(index)
        model(index).sum().backward()
        assert latent_parameters(model)[0].grad is not None
        finish(model)
        assert model[0].weight is model[1].weight
        # DoReFa moves some of its own 8-bit levels: baking them twice would be seen
        assert torch.equal(model(index), before) is (finish is finalize_)

    def test_one_progress(self):
        model = quantize_(self.model(), QuantConfig(estimator="ede"))
        assert set_progress(model, 0.5) == 1

    def test_different_settings_are_refused(self):
        model = self.model()
        for change in ({"weight_bits": 2}, {"estimator": "ede"}, {"weight_bits": None}):
            config = QuantConfig(overrides={"1": change}, activation_bits=2)
            with pytest.raises(InvalidArgumentError, match="'0' and '1' share one weight"):
                quantize_(model, config)
        assert not quantized_layers(model)

    def test_one_module_used_twice(self):
        shared = nn.Linear(4, 4)
        model = quantize_(nn.Sequential(shared, nn.ReLU(), shared))
        assert list(quantized_layers(model)) == ["0"]


class TestCheckpoints:
    CONFIG = QuantConfig(estimator="ede", activation_bits=2, activation_estimator="reste")

    def test_keys(self):
        model = quantize_(mlp(), self.CONFIG)
        assert list(model[3].state_dict()) == [
            "bias",
            "parametrizations.weight.original",
            "parametrizations.weight.0.progress",
            "activation_quantizer.progress",
        ]
        model = quantize_(mlp())
        assert list(model[3].state_dict()) == ["bias", "parametrizations.weight.original"]

    def test_a_float_checkpoint_loads(self):
        source = mlp()
        state = source.state_dict()
        keys = list(state)
        with torch.no_grad():
            target = quantize_(mlp(), self.CONFIG)
            for p in target.parameters():
                p.add_(1.0)
        set_progress(target, 0.5)
        target.load_state_dict(state, strict=True)
        assert list(state) == keys
        assert torch.equal(latent_parameters(target)[0], source[0].weight)
        assert torch.equal(target[0].weight, quantize_binary_standardised(source[0].weight))
        assert target[0].parametrizations.weight[0].progress.item() == 0.5

    def test_missing_and_unexpected_keys_are_still_seen(self):
        state = mlp().state_dict()
        del state["0.weight"]
        with pytest.raises(RuntimeError, match="original"):
            quantize_(mlp()).load_state_dict(state)
        state = mlp().state_dict() | {"0.extra": torch.ones(1)}
        with pytest.raises(RuntimeError, match="extra"):
            quantize_(mlp()).load_state_dict(state)

    def test_a_quantised_checkpoint_goes_through_a_file(self):
        source = quantize_(mlp(), self.CONFIG)
        set_progress(source, 0.75)
        file = io.BytesIO()
        torch.save(source.state_dict(), file)
        file.seek(0)
        torch.manual_seed(9)
        target = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        quantize_(target, self.CONFIG)
        target.load_state_dict(torch.load(file, weights_only=True), strict=True)
        x = sample((4, 5))
        assert torch.equal(source.eval()(x), target.eval()(x))
        assert target[3].activation_quantizer.progress.item() == 0.75

    @pytest.mark.parametrize("copies", [1, 2])
    def test_deepcopy(self, copies):
        source = quantize_(mlp(), self.CONFIG)
        target = source
        for _ in range(copies):
            target = copy.deepcopy(target)
        x = sample((4, 5))
        assert torch.equal(source.eval()(x), target.eval()(x))
        target.load_state_dict(mlp().state_dict(), strict=True)  # the hooks came along
        with torch.no_grad():
            latent_parameters(target)[0].neg_()
        assert not torch.equal(source(x), target(x))
        dequantize_(target)
        assert not quantized_layers(target)
        assert len(quantized_layers(source)) == 2

    def test_a_finalised_checkpoint_loads_into_both(self):
        model = finalize_(quantize_(mlp()))
        state = model.state_dict()
        mlp().load_state_dict(state, strict=True)
        again = quantize_(mlp())
        again.load_state_dict(state, strict=True)
        assert torch.equal(again[0].weight, model[0].weight)

    def test_assigning_a_weight_sets_the_latent_one(self):
        layer = quantize_(nn.Linear(2, 2))
        layer.weight = torch.tensor([[0.5, -0.5], [2.0, -2.0]])
        assert layer.parametrizations.weight.original.tolist() == [[0.5, -0.5], [2.0, -2.0]]


def quantize_binary_standardised(w):
    return quantize_binary(w - w.mean(dim=1, keepdim=True))


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("riemann_lne", "riemann_lne_torch"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
import torch
"""


def run_without_us(code, *args):
    code = BLOCKED + textwrap.dedent(code)
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks():
    run_without_us("""
        try:
            import riemann_lne_torch
        except ImportError as error:
            assert "blocked" in str(error)
        else:
            raise SystemExit("imported")
    """)


class TestFinalize:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("bits", [1, 4])
    @pytest.mark.parametrize(
        "estimator", [STE(), BWN("channel"), DoReFa(), EDE(), Standardized(STE(), center=False)]
    )
    def test_outputs_to_the_last_bit(self, estimator, bits, dtype):
        model = mlp().to(dtype).eval()
        names = [name for name, _ in model.named_parameters()]
        quantize_(model, QuantConfig(weight_bits=bits, estimator=estimator))
        x = sample((4, 5)).to(dtype)
        before = model(x)
        assert finalize_(model) is model
        assert torch.equal(model(x), before)
        assert [type(m) for m in model] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
        assert [name for name, _ in model.named_parameters()] == names
        assert list(model.state_dict()) == list(mlp().state_dict())
        assert len(torch.unique(model[0].weight)) <= 2**bits * (8 if estimator.scales else 1)
        assert not model[0]._load_state_dict_pre_hooks

    def test_runs_without_the_package(self, tmp_path):
        model = finalize_(quantize_(mlp())).eval()
        x = sample((4, 5))
        torch.save(model.state_dict(), tmp_path / "state.pt")
        torch.save(model, tmp_path / "model.pt")
        torch.save((x, model(x)), tmp_path / "io.pt")
        run_without_us(
            """
            from torch import nn
            x, y = torch.load(sys.argv[1] + "/io.pt")
            whole = torch.load(sys.argv[1] + "/model.pt", weights_only=False)
            assert torch.equal(whole(x), y)
            plain = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
            plain.load_state_dict(torch.load(sys.argv[1] + "/state.pt"))
            assert torch.equal(plain.eval()(x), y)
            """,
            tmp_path,
        )

    # PyTorch's own exporter warns of its own code in places
    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
    def test_exported_it_runs_without_the_package(self, tmp_path):
        config = QuantConfig(weight_bits=2, activation_bits=3, activation_scale="max")
        model = finalize_(quantize_(mlp(), config)).eval()
        x = sample((4, 5))
        program = torch.export.export(model, (x,))
        assert torch.equal(program.module()(x), model(x))
        torch.export.save(program, tmp_path / "model.pt2")
        torch.save((x, model(x)), tmp_path / "io.pt")
        run_without_us(
            """
            x, y = torch.load(sys.argv[1] + "/io.pt")
            program = torch.export.load(sys.argv[1] + "/model.pt2")
            assert torch.equal(program.module()(x), y)
            """,
            tmp_path,
        )

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
    @pytest.mark.parametrize("activation_bits", [None, 1, 3])
    def test_onnx(self, tmp_path, activation_bits):
        for library in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(library, reason=f"{library} is not installed")
        import onnxruntime

        config = QuantConfig(weight_bits=2, activation_bits=activation_bits, activation_scale="max")
        model = finalize_(quantize_(Net(), config)).eval()
        x = sample((2, 1, 9, 9))
        torch.onnx.export(model, (x,), tmp_path / "model.onnx", dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        (result,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        # another library sums in another order
        torch.testing.assert_close(
            torch.from_numpy(result), model(x).detach(), rtol=1e-5, atol=1e-5
        )

    def test_the_gradient_of_activations_is_gone(self):
        model = finalize_(quantize_(mlp(), QuantConfig(activation_bits=2)))
        x = sample((4, 5)).requires_grad_()
        model(x).sum().backward()
        assert x.grad is None

    def test_a_broken_weight_is_named_and_nothing_is_changed(self):
        model = quantize_(mlp())
        with torch.no_grad():
            latent_parameters(model)[1][0, 0] = float("nan")
        with pytest.raises(NotFiniteError, match="layer '3'"):
            finalize_(model)
        assert len(quantized_layers(model)) == 2

    def test_a_float_model(self):
        with pytest.raises(InvalidArgumentError, match="quantize_"):
            finalize_(mlp())
        assert len(list(dequantize_(mlp()).parameters())) == 6


class TestBadInput:
    @pytest.mark.parametrize("bits", [0, 17, 2.5, True, "1"])
    def test_bits_name_the_layer(self, bits):
        model = mlp()
        with pytest.raises(InvalidArgumentError, match=r"layer '0': weight_bits.*1 to 16"):
            quantize_(model, QuantConfig(weight_bits=bits))
        with pytest.raises(InvalidArgumentError, match=r"layer '3': activation_bits.*1 to 16"):
            quantize_(model, QuantConfig(overrides={"3": {"activation_bits": bits}}))
        assert not quantized_layers(model)  # layer 0 was in order, and is untouched

    def test_no_bits_at_all(self):
        with pytest.raises(InvalidArgumentError, match="both None"):
            QuantConfig(weight_bits=None)

    @pytest.mark.parametrize(
        "config",
        [
            {"skip": ["fc"]},
            {"skip": [nn.Conv3d]},
            {"skip": ["[0]x"]},
            {"overrides": {"layer9": {"weight_bits": 2}}},
        ],
    )
    def test_a_pattern_that_matches_nothing(self, config):
        with pytest.raises(InvalidArgumentError, match=r"matches no layer.*'stem', 'layer1.0'"):
            quantize_(Net(), QuantConfig(**config))

    def test_nothing_to_quantise(self):
        with pytest.raises(InvalidArgumentError, match=r"ReLU has no layer.*QuantConfig\(layers"):
            quantize_(nn.ReLU())
        with pytest.raises(InvalidArgumentError, match="leaves no layer"):
            quantize_(mlp(), QuantConfig(skip=["*"]))

    def test_quantised_already(self):
        model = quantize_(mlp(), QuantConfig(skip=["3"]))
        with pytest.raises(InvalidArgumentError, match=r"layer '0'.*already.*dequantize_"):
            quantize_(model)
        quantize_(model, QuantConfig(skip=["0"]))
        assert len(quantized_layers(model)) == 2
        model = quantize_(mlp(), QuantConfig(weight_bits=None, activation_bits=2))
        with pytest.raises(InvalidArgumentError, match="already"):
            quantize_(model)

    def test_another_parametrisation(self):
        model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
        with pytest.raises(InvalidArgumentError, match=r"layer '0'.*WeightNorm"):
            quantize_(model)

    @pytest.mark.parametrize(
        ("weight", "error"),
        [
            (torch.ones(2, 2, dtype=torch.complex64), DTypeError),
            (torch.ones(2, 2, dtype=torch.int32), DTypeError),
            (torch.ones(0, 2), ShapeError),
            (torch.tensor([[1.0, float("inf")], [0.0, 1.0]]), NotFiniteError),
        ],
    )
    def test_weights_that_cannot_be_quantised(self, weight, error):
        model = mlp()
        model[3].weight = nn.Parameter(weight, requires_grad=False)
        with pytest.raises(error, match="layer '3'"):
            quantize_(model)
        assert not quantized_layers(model)

    def test_lazy_layers(self):
        with pytest.raises(InvalidArgumentError, match=r"layer '0'.*run a batch"):
            quantize_(nn.Sequential(nn.LazyLinear(3)))

    def test_what_an_estimator_refuses_names_the_layer(self):
        model = nn.Sequential(nn.Linear(1, 4))
        with pytest.raises(ShapeError, match=r"layer '0'.*one weight"):
            quantize_(model, QuantConfig(estimator="ede"))
        with pytest.raises(InvalidArgumentError, match=r"layer '0'.*scale of its own"):
            quantize_(model, QuantConfig(estimator=BWN(), weight_scale="mean"))
        with pytest.raises(InvalidArgumentError, match=r"layer '0'.*unknown scale"):
            quantize_(model, QuantConfig(weight_scale="std"))

    def test_frozen_layers_are_said(self):
        model = mlp()
        model[0].requires_grad_(False)
        with pytest.warns(UserWarning, match="frozen.*: 0$"):
            quantize_(model)
        model(sample((4, 5))).sum().backward()
        frozen, trained = latent_parameters(model)
        assert frozen.grad is None
        assert trained.grad is not None
        assert set(model[0].weight.flatten().tolist()) == {-1.0, 1.0}

    def test_configurations_without_meaning(self):
        with pytest.raises(UnknownNameError, match="weight_bits"):
            QuantConfig(overrides={"0": {"bits": 4}})
        with pytest.raises(InvalidArgumentError, match="mapping"):
            QuantConfig(overrides={"0": 4})
        with pytest.raises(UnknownNameError, match="estimator"):
            QuantConfig(estimator="stee")
        with pytest.raises(InvalidArgumentError, match=r"STE\(\)"):
            QuantConfig(estimator=STE)
        with pytest.raises(InvalidArgumentError, match="skip takes"):
            QuantConfig(skip=[3])

    def test_progress_of_a_float_model(self):
        with pytest.raises(InvalidArgumentError, match="not quantised"):
            set_progress(mlp(), 0.5)
        assert set_progress(quantize_(mlp()), 0.5) == 0


def test_all_zero_weights():
    layer = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(layer.weight)
    for bits in (1, 2, 16):
        quantize_(layer, QuantConfig(weight_bits=bits))
        torch.testing.assert_close(
            layer.weight.detach(), torch.full((2, 3), 1.0 / (2**bits - 1)), rtol=1e-6, atol=0
        )
        dequantize_(layer)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models(dtype):
    model = quantize_(mlp().to(dtype), QuantConfig(weight_bits=4, activation_bits=4))
    y = model.eval()(sample((4, 5)).to(dtype))
    assert y.dtype is dtype
    y.float().sum().backward()
    assert latent_parameters(model)[0].grad.dtype is dtype


def test_autocast():
    model = quantize_(mlp())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(sample((4, 5))).float().sum().backward()
    assert latent_parameters(model)[0].grad.dtype is torch.float32


def test_meta_device():
    with torch.device("meta"):
        model = quantize_(mlp(), QuantConfig(estimator="ede", weight_bits=2))
    assert model(torch.empty(4, 5, device="meta")).shape == (4, 3)


# torch.compile instantiates an autograd function while it traces, and PyTorch warns of that
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_model_with_activations():
    model = quantize_(mlp(), QuantConfig(weight_bits=2, activation_bits=2)).eval()
    x = sample((4, 5))
    torch._dynamo.reset()
    assert torch.equal(torch.compile(model, backend="eager")(x), model(x))


def test_a_layer_that_another_library_quantises_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    model[1].weight_fake_quantizer = nn.Identity()  # as torchao's FakeQuantizedLinear
    with pytest.raises(InvalidArgumentError, match="layer '1': another library quantises"):
        quantize_(model)
    assert "0.weight" in model.state_dict()
    quantize_(model, QuantConfig(skip=("1",)))
