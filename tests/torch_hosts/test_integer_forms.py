"""Discrete weights in the integer types of torchao and ONNX: values, results, sizes."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from riemann_lne.errors import InvalidArgumentError, UnknownNameError  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    QuantConfig,
    finalize_,
    onnx_integers,
    quantize_,
    quantize_tensor,
)
from riemann_lne_torch.estimators import LSQ, SEQ, QuEST, RMSLevels, Ternary  # noqa: E402
from riemann_lne_torch.quantize.integers import _packed, _width, integer_form  # noqa: E402

# a quantiser, bits, and the type of its whole numbers: without a zero they are the odd ones
QUANTISERS = {
    "sign": (QuantConfig(weight_bits=1, weight_scale="mean-channel"), 2),
    "levels": (QuantConfig(weight_bits=2), 3),
    "four bits": (QuantConfig(weight_bits=4, weight_scale="mean"), 5),
    "ternary": (QuantConfig(weight_bits=2, estimator=Ternary()), 2),
    "lsq": (QuantConfig(weight_bits=4, estimator=LSQ("channel")), 4),
    "lsq by group": (QuantConfig(weight_bits=2, estimator=LSQ(8)), 2),
    "seq": (QuantConfig(weight_bits=2, estimator=SEQ("channel")), 3),
    "rms": (QuantConfig(weight_bits=3, estimator=RMSLevels()), 4),
}


def make(config, conv=False):
    torch.manual_seed(0)
    layers = [nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16)]
    if conv:
        layers = [nn.Conv1d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 28, 64)]
    return quantize_(nn.Sequential(*layers), config).eval()


def close(a, b):
    """Equal up to the rounding of scale times number: of the largest value of the tensor."""
    tolerance = 4 * torch.finfo(b.dtype).eps * float(b.abs().max())
    return float((a - b).abs().max()) <= tolerance


@pytest.mark.parametrize("name", QUANTISERS)
def test_whole_numbers_times_a_unit(name):
    config, width = QUANTISERS[name]
    value = finalize_(make(config))[0].weight.detach()
    rows = value.reshape(-1, 8) if name == "lsq by group" else value
    numbers, units = integer_form(rows)
    assert close(numbers * units, rows)
    assert _width(numbers) <= width
    assert bool((units > 0).all())


def test_values_that_are_no_multiples():
    with pytest.raises(InvalidArgumentError, match="not whole multiples"):
        integer_form(torch.randn(2, 50))
    with pytest.raises(InvalidArgumentError, match="not whole multiples"):
        integer_form(torch.arange(-255, 256, 2)[None] / 255)  # eight bits without a zero
    with pytest.raises(InvalidArgumentError, match="from -128 to 127"):
        integer_form(torch.arange(-1, 129)[None] / 64)
    zeros = integer_form(torch.zeros(2, 3))
    assert not zeros[0].any()
    assert torch.isfinite(zeros[1]).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_of_few_values_in_half_precision(dtype, bits):
    """Levels are told apart by their own rounding: not all of them are in a short row."""
    torch.manual_seed(0)
    value = torch.stack([quantize_tensor(torch.randn(4), bits) for _ in range(300)]).to(dtype)
    numbers, units = integer_form(value)
    assert units.dtype is dtype
    missed = (numbers.double() * units.double() - value.double()).abs()
    assert bool((missed <= 3 * torch.finfo(dtype).eps * value.double().abs()).all())


def test_the_lowest_number_of_eight_bits():
    """LSQ has levels from -128 to 127, as int8 has numbers."""
    values = 0.3 * torch.arange(-128, 128)[None]
    numbers, units = integer_form(values)
    assert numbers[0].tolist() == list(range(-128, 128))
    assert close(numbers * units, values)
    assert _width(numbers) == 8


@pytest.mark.parametrize("width", [2, 4])
def test_packing_is_that_of_onnx(width):
    onnx = pytest.importorskip("onnx")
    numbers = torch.randint(-(2 ** (width - 1)), 2 ** (width - 1), (35,)).to(torch.int8)
    kind = getattr(onnx.TensorProto, f"INT{width}", None)
    if kind is None:
        pytest.skip(f"this onnx has no INT{width}")
    tensor = onnx.helper.make_tensor("t", kind, [35], _packed(numbers, width), True)
    back = onnx.numpy_helper.to_array(tensor).astype("int8")
    assert back.tolist() == numbers.tolist()


def test_forms_are_checked():
    model = make(QUANTISERS["sign"][0])
    with pytest.raises(UnknownNameError, match="form 'gguf'"):
        finalize_(model, form="gguf")
    with pytest.raises(InvalidArgumentError, match="two ways to store"):
        finalize_(model, packed=True, form="torchao")
    assert torch.equal(
        finalize_(copy.deepcopy(model), form="packed")[0].weight,
        finalize_(model, packed=True)[0].weight,
    )


class TestTorchao:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("torchao", reason="torchao is not installed")

    @pytest.mark.parametrize("name", QUANTISERS)
    def test_values_and_results(self, name):
        config, width = QUANTISERS[name]
        model = make(config)
        plain = finalize_(copy.deepcopy(model))
        whole = finalize_(model, form="torchao")
        weight = whole[0].weight
        assert type(weight.data).__name__ == "IntxUnpackedToInt8Tensor"
        assert weight.qdata.dtype == torch.int8
        assert int(str(weight.target_dtype).removeprefix("torch.int")) <= width
        assert close(weight.dequantize(), plain[0].weight.detach())
        x = torch.randn(5, 32)
        torch.testing.assert_close(whole(x), plain(x), rtol=1e-4, atol=1e-5)

    def test_size_and_loading(self, tmp_path):
        model = make(QUANTISERS["ternary"][0])
        plain = finalize_(copy.deepcopy(model))
        whole = finalize_(model, form="torchao")
        sizes = []
        for name, m in (("plain", plain), ("whole", whole)):
            torch.save(m.state_dict(), tmp_path / name)
            sizes.append((tmp_path / name).stat().st_size)
        assert sizes[1] < 0.6 * sizes[0]  # a byte in place of four, and scales
        other = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16))
        state = torch.load(tmp_path / "whole", weights_only=True)
        other.load_state_dict(state, assign=True)
        x = torch.randn(5, 32)
        assert torch.equal(other(x), whole(x))

    def test_other_layers_stay_and_are_named(self):
        model = make(QUANTISERS["sign"][0], conv=True)
        with pytest.warns(UserWarning, match="no type of whole numbers for the weights of 0:"):
            finalize_(model, form="torchao")
        assert type(model[0].weight.data) is torch.Tensor
        assert type(model[3].weight.data) is not torch.Tensor

    def test_a_refusal_changes_nothing(self):
        model = make(QuantConfig(weight_bits=4, estimator=QuEST(hadamard=8)))
        before = model(torch.ones(1, 32))
        with pytest.raises(InvalidArgumentError, match="layer '0': its values are not whole"):
            finalize_(model, form="torchao")
        assert torch.equal(model(torch.ones(1, 32)), before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
class TestONNX:
    @pytest.fixture(autouse=True)
    def library(self):
        for library in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(library, reason=f"{library} is not installed")

    def exported(self, config, folder, conv=True):
        import onnx

        model = finalize_(make(config, conv))
        x = torch.randn(2, 3, 32) if conv else torch.randn(2, 32)
        path = folder / "plain.onnx"
        torch.onnx.export(model, (x,), path, dynamo=True, verbose=False, external_data=False)
        return model, x, onnx.load(path), path

    def run(self, path, x):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # by default activations are rounded to 8 bits where INT4 meets a MatMul
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        session = onnxruntime.InferenceSession(path, options)
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])

    @pytest.mark.parametrize("name", ["levels", "lsq"])
    def test_values_results_and_size(self, name, tmp_path):
        import onnx

        model, x, proto, path = self.exported(QUANTISERS[name][0], tmp_path)
        changed = onnx_integers(proto)
        assert len(changed) == 2
        small = tmp_path / "small.onnx"
        onnx.save(proto, small)
        sizes = [len(t.raw_data) for t in proto.graph.initializer if t.name.endswith("_integers")]
        assert sorted(sizes) == [8 * 3 * 5 // 2, 8 * 28 * 64 // 2]  # two weights a byte
        kinds = [t.data_type for t in proto.graph.initializer if t.name.endswith("_integers")]
        assert kinds == [onnx.TensorProto.INT4] * 2
        assert small.stat().st_size < 0.25 * path.stat().st_size
        torch.testing.assert_close(self.run(small, x), model(x), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("name", "bits"), [*(("levels", n) for n in (1, 2, 4, 8)), ("lsq", 2), ("lsq", 8)]
    )
    def test_packed_weights_are_unpacked_before_they_are_exported(self, name, bits, tmp_path):
        """So that the file needs nothing of this package; it computes what the model does."""
        options = {"weight_scale": "mean-channel"} if name == "levels" else {"estimator": "lsq"}
        layers = nn.Linear(32, 12), nn.Unflatten(1, (3, 4)), nn.ConvTranspose1d(3, 2, 3)
        model = quantize_(nn.Sequential(*layers), QuantConfig(weight_bits=bits, **options))
        model = finalize_(model.eval(), packed=True)
        x, path = torch.randn(2, 32), tmp_path / "packed.onnx"
        torch.onnx.export(model, (x,), path, dynamo=True, verbose=False, external_data=False)
        torch.testing.assert_close(self.run(path, x), model(x), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("dynamo", [True, False])
    def test_channels_along_the_second_axis(self, dynamo, tmp_path):
        """Transposed convolutions, and linear layers without bias, which exporters turn round."""
        import onnx

        torch.manual_seed(0)
        layers = nn.ConvTranspose1d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 12, 8, bias=False)
        config = QuantConfig(weight_bits=3, estimator=RMSLevels())
        model = finalize_(quantize_(nn.Sequential(*layers), config).eval())
        x, path = torch.randn(2, 3, 10), tmp_path / "plain.onnx"
        torch.onnx.export(model, (x,), path, dynamo=dynamo, external_data=False)
        proto = onnx.load(path)
        assert len(onnx_integers(proto)) == 2
        onnx.save(proto, path)
        torch.testing.assert_close(self.run(path, x), model(x), rtol=1e-4, atol=1e-5)

    def test_two_bits_where_the_types_are(self, tmp_path):
        import onnx
        import onnxruntime

        if not hasattr(onnx.TensorProto, "INT2"):
            pytest.skip("this onnx has no INT2")
        model, x, proto, path = self.exported(QUANTISERS["ternary"][0], tmp_path)
        onnx_integers(proto, widths=(2, 4, 8))
        small = tmp_path / "small.onnx"
        onnx.save(proto, small)
        assert small.stat().st_size < 0.2 * path.stat().st_size
        try:
            found = self.run(small, x)
        except Exception as error:
            pytest.skip(f"onnxruntime {onnxruntime.__version__} does not run INT2: {error}"[:200])
        torch.testing.assert_close(found, model(x), rtol=1e-4, atol=1e-5)

    def test_what_makes_no_sense(self, tmp_path):
        import onnx

        _, _, proto, _ = self.exported(QUANTISERS["sign"][0], tmp_path)
        with pytest.raises(InvalidArgumentError, match="give some of 2, 4 and 8"):
            onnx_integers(proto, widths=(3,))
        for tensor in proto.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.ndim > 1:
                noise = torch.randn(values.shape).numpy()
                tensor.CopyFrom(onnx.numpy_helper.from_array(noise, tensor.name))
        with pytest.raises(InvalidArgumentError, match="no weight of this ONNX model"):
            onnx_integers(proto)
