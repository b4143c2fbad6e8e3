"""Weights in few bits: equal to the last bit, small, and read back from files without code."""

import copy

import pytest

torch = pytest.importorskip("torch")

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    QuantConfig,
    finalize_,
    get_estimator,
    load_packed_,
    quantize_,
)
from riemann_lne_torch.quantize.channels import Channels  # noqa: E402
from riemann_lne_torch.quantize.packed import PackedWeight, pack  # noqa: E402

nn = torch.nn


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 3, groups=2), nn.Flatten(), nn.Linear(6 * 49, 5),
    ).to(dtype)  # fmt: skip


def inputs(dtype=torch.float32):
    return torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(1)).to(dtype)


CASES = {
    "one bit": (1, {"weight_bits": 1}),
    "one bit, a scale a channel": (1, {"weight_bits": 1, "weight_scale": "mean-channel"}),
    "ternary": (2, {"weight_bits": 2, "estimator": "ternary"}),
    "two bits": (2, {"weight_bits": 2, "weight_scale": "max"}),
    "three bits": (4, {"weight_bits": 3, "weight_scale": "mean-channel"}),
    "four bits, RMS": (4, {"weight_bits": 4, "estimator": "rms"}),
    "groups": (4, {"weight_bits": 4, "estimator": get_estimator("rms", block=3)}),
    "learned step": (4, {"weight_bits": 4, "estimator": get_estimator("lsq", block="channel")}),
    "eight bits": (8, {"weight_bits": 8, "weight_scale": "mean-channel"}),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_packed_weights_are_the_baked_ones(case, dtype, tmp_path):
    bits, options = CASES[case]
    model = quantize_(network(dtype), QuantConfig(**options)).eval()
    x = inputs(dtype)
    with torch.no_grad():
        want = model(x)
        baked, packed = finalize_(copy.deepcopy(model)), finalize_(model, packed=True)
        assert torch.equal(packed(x), want)
    for i in (0, 3, 5):
        assert torch.equal(packed[i].weight, baked[i].weight)
        assert packed[i].weight.dtype is dtype
        used = packed[i].parametrizations.weight[0].bits
        assert used == bits
        codes = packed[i].parametrizations.weight.original
        assert codes.nbytes == -(-baked[i].weight.numel() * used // 8)
    path = tmp_path / "model.pt"
    torch.save(packed.state_dict(), path)
    other = load_packed_(network(dtype), torch.load(path, weights_only=True)).eval()
    with torch.no_grad():
        assert torch.equal(other(x), want)
        assert torch.equal(copy.deepcopy(other)(x), want)


@pytest.mark.parametrize(("bits", "least"), [(1, 30), (2, 15), (4, 7.8), (8, 3.8)])
def test_the_state_dict_is_small(bits, least):
    model = nn.Linear(512, 256, bias=False)
    before = model.weight.nbytes
    finalize_(quantize_(model, QuantConfig(weight_bits=bits)), packed=True)
    assert not list(model.parameters())
    assert before / sum(t.nbytes for t in model.state_dict().values()) > least


def test_groups_have_tables_of_their_own():
    model = nn.Linear(512, 256, bias=False)
    before = model.weight.nbytes
    estimator = get_estimator("rms", block=256)
    quantize_(model, QuantConfig(weight_bits=4, estimator=estimator))
    want = model.weight.detach().clone()
    finalize_(model, packed=True)
    assert model.parametrizations.weight[0].bits == 4
    assert model.parametrizations.weight[0].scale.shape == (512,)
    assert torch.equal(model.weight, want)
    assert before / sum(t.nbytes for t in model.state_dict().values()) > 7.7


SCALED = [
    ("rms", {"block": "channel"}, "none"),
    ("rms", {"block": 32}, "none"),
    ("lsq", {"block": "channel"}, "none"),
    ("lsq", {"block": 32}, "none"),
    ("seq", {"block": 32}, "none"),
    ("ste", {}, "mean-channel"),
    ("bwn", {"block": "channel"}, "none"),
    ("hestia", {"block": 32}, "none"),
]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("name", "options", "scale"), SCALED)
def test_scales_take_as_many_bytes_as_they_need(name, options, scale, dtype, bits):
    """Codes, one number a channel or group, and one table of levels: not a table for each."""
    estimator = get_estimator(name, **options)
    if not estimator.admits(bits) or (bits == 8 and dtype.itemsize == 2):
        return  # half precision does not tell eight bits apart
    torch.manual_seed(0)
    model = nn.Linear(256, 64, bias=False).to(dtype)
    with torch.no_grad():
        model.weight[3] = 0.0  # its scale is 0
    quantize_(model, QuantConfig(weight_bits=bits, estimator=estimator, weight_scale=scale))
    want = model.eval().weight.detach().clone()
    finalize_(model, packed=True)
    assert torch.equal(model.weight, want)
    blocks = 64 * (256 // options["block"] if options.get("block") == 32 else 1)
    fixed = ("layout", "checksum")  # of any weight
    stored = [t.nbytes for k, t in model.state_dict().items() if not k.endswith(fixed)]
    assert sum(stored) <= 64 * 256 * bits // 8 + 4 * blocks + 4 * 2**bits
    other = load_packed_(nn.Linear(256, 64, bias=False).to(dtype), model.state_dict())
    assert torch.equal(other.weight, want)
    assert torch.equal(other.to(dtype).weight, want)  # which rounds no scale
    assert torch.equal(other.double().weight, want.double())


def test_products_that_are_rounded_in_another_way_keep_their_values():
    """A unit that is not the scale of the values: tables are taken, which hold them as they are."""
    torch.manual_seed(0)
    value = torch.randint(-1, 2, (8, 64)) * torch.rand(8, 1)
    for unit in (torch.rand(8, 1), torch.rand(8, 64), torch.zeros(8, 1)):
        codes, weight = pack(value, Channels(), "channel", "", unit)
        assert weight.scale is None
        assert torch.equal(weight(codes), value)


def test_layers_that_share_a_weight_share_the_codes():
    one, two = nn.Linear(4, 4), nn.Linear(4, 4)
    two.weight = one.weight
    model = finalize_(quantize_(nn.Sequential(one, two)), packed=True)
    codes = [m.parametrizations.weight.original for m in model]
    assert codes[0] is codes[1]
    plain = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    other = load_packed_(plain, model.state_dict())
    assert torch.equal(other[1].weight, model[0].weight)


def test_what_cannot_be_packed_leaves_the_model_as_it_was():
    for options in ({"weight_bits": 12}, {"weight_bits": 2, "estimator": "quest-hadamard"}):
        model = quantize_(nn.Linear(1024, 4), QuantConfig(**options))
        before = model.state_dict().keys()
        with pytest.raises(InvalidArgumentError, match="layer '': its values cannot be packed"):
            finalize_(model, packed=True)
        assert model.state_dict().keys() == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("case", CASES)
def test_a_model_of_a_wider_type_keeps_its_weights(case, dtype):
    """Converted, and also saved and loaded then: as one whose weights are plain."""
    model = quantize_(network(dtype), QuantConfig(**CASES[case][1]))
    plain, packed = finalize_(copy.deepcopy(model)), finalize_(model, packed=True)
    plain, packed = plain.double(), packed.double()
    again = load_packed_(network(torch.float64), packed.state_dict())
    for i in (0, 3, 5):
        assert torch.equal(packed[i].weight, plain[i].weight)
        assert torch.equal(again[i].weight, plain[i].weight)


def test_packed_models_compile_and_export():
    model = finalize_(quantize_(nn.Sequential(nn.Linear(6, 4))), packed=True).eval()
    x = torch.randn(3, 6)
    with torch.no_grad():
        want = model(x)
        assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(x), want)
        assert torch.equal(torch.export.export(model, (x,)).module()(x), want)


class TestDamage:
    def state(self):
        return finalize_(quantize_(nn.Sequential(nn.Linear(6, 4))), packed=True).state_dict()

    def test_nothing_is_packed(self):
        model = nn.Linear(2, 2)
        with pytest.raises(InvalidArgumentError, match=r"finalize_\(model, packed=True\)"):
            load_packed_(model, model.state_dict())

    @pytest.mark.parametrize(
        ("key", "change", "message"),
        [
            ("original", lambda t: t[:-1], "2 bytes|3 bytes"),
            ("original", lambda t: t.float(), "damaged"),
            ("0.table", lambda t: t[:, :1], "beyond the table of 1"),
            ("0.table", lambda t: t[0], "do not fit together"),
            ("0.layout", lambda t: t * 0, "do not fit together"),
            ("0.layout", lambda t: -t, "do not fit together"),
            ("0.layout", lambda t: t[:2], "do not fit together"),
            ("0.layout", lambda t: torch.tensor([1, 0, 1, 6, 4]), "another network"),
            ("0.layout", lambda t: torch.tensor([1, 1, 5, 4, 6]), "do not fit together"),
            ("0.layout", lambda t: [1, 0], "0.layout' is no tensor but a list"),
            ("0.table", lambda t: None, "0.table' is missing"),
            ("0.table", lambda t: t * torch.nan, "finite"),
            ("0.table", lambda t: t.int(), "finite floating-point numbers"),
            ("0.table", lambda t: t.double(), r"model.to\(torch.float64\)"),
            ("0.scale", lambda t: torch.ones(5), "scales of shape .5,. .* do not fit together"),
            ("0.scale", lambda t: torch.ones(4).double(), "do not fit together"),
            ("0.scale", lambda t: torch.ones(4) / 0.0, "finite"),
            ("0.scale", lambda t: (torch.ones(4) / 0.0).view(torch.int32), "finite"),
        ],
    )
    def test_a_damaged_entry(self, key, change, message):
        state = self.state()
        name = f"0.parametrizations.weight.{key}"
        state[name] = change(state.get(name))
        model = nn.Sequential(nn.Linear(6, 4))
        with pytest.raises(InvalidArgumentError, match=message):
            load_packed_(model, state)
        assert isinstance(model[0].weight, nn.Parameter)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_every_damaged_byte_is_found(self, dtype):
        """Also within codes, tables and scales that are such."""
        config = QuantConfig(weight_bits=4, estimator=get_estimator("rms", block=3))
        model = nn.Sequential(nn.Linear(6, 4)).to(dtype)
        state = finalize_(quantize_(model, config), packed=True).state_dict()
        for key in [key for key in state if "parametrizations" in key]:
            for place in range(state[key].nbytes):
                broken = {k: v.clone() for k, v in state.items()}
                broken[key].reshape(-1).view(torch.uint8)[place] ^= 1
                with pytest.raises(
                    InvalidArgumentError, match=r"damaged|another network|model\.to"
                ):
                    load_packed_(nn.Sequential(nn.Linear(6, 4)).to(dtype), broken)

    def test_files_without_a_checksum_and_of_converted_models_load(self):
        state = self.state()
        model = nn.Sequential(nn.Linear(6, 4))
        want = load_packed_(copy.deepcopy(model), state)[0].weight
        old = {k: v for k, v in state.items() if not k.endswith("checksum")}
        assert torch.equal(load_packed_(copy.deepcopy(model), old)[0].weight, want)
        wide = load_packed_(copy.deepcopy(model), state).double()
        again = load_packed_(copy.deepcopy(model).double(), wide.state_dict())
        assert torch.equal(again[0].weight, want.double())
        wide[0].parametrizations.weight.original[0] ^= 1
        with pytest.raises(InvalidArgumentError, match="the checksum that they were made with"):
            load_packed_(copy.deepcopy(model).double(), wide.state_dict())

    def test_load_state_dict_checks_a_packed_model_too(self):
        """Which takes the place of `load_packed_` for a model that is packed already."""
        state = self.state()
        model = load_packed_(nn.Sequential(nn.Linear(6, 4)), state)
        model.load_state_dict(state)
        for key in [key for key in state if "parametrizations" in key]:
            for place in range(state[key].nbytes):
                broken = {k: v.clone() for k, v in state.items()}
                broken[key].reshape(-1).view(torch.uint8)[place] ^= 1
                with pytest.raises(RuntimeError, match=r"layer '0': |damaged"):
                    copy.deepcopy(model).load_state_dict(broken)
        # torch itself tells of an entry that is missing
        some = {k: v for k, v in state.items() if not k.endswith("table")}
        with pytest.raises(RuntimeError, match=r"0[.]table"):
            model.load_state_dict(some)
        model.load_state_dict({"0.bias": state["0.bias"]}, strict=False)

    def test_weights_of_another_layout_are_no_weights_of_this_model(self):
        """Here a weight of as many bytes; torch would copy them and read them wrongly."""
        one, two = (
            finalize_(quantize_(nn.Linear(*shape, bias=False)), packed=True)
            for shape in ((6, 4), (4, 6))
        )
        with pytest.raises(RuntimeError, match=r"have the layout .* by load_packed_"):
            one.load_state_dict(two.state_dict())

    def test_weights_that_were_packed_in_another_type(self):
        """Both models are float32 by now, but their weights are rounded as before."""
        config = QuantConfig(weight_bits=4, estimator="rms")
        one, two = (
            finalize_(quantize_(nn.Linear(6, 4).to(dtype), config), packed=True).float()
            for dtype in (torch.bfloat16, torch.float16)
        )
        with pytest.raises(RuntimeError, match=r"packed in torch.float16, those .* load_packed_"):
            one.load_state_dict(two.state_dict())

    def test_a_model_without_memory(self):
        with pytest.raises(InvalidArgumentError, match="to_empty"):
            load_packed_(nn.Sequential(nn.Linear(6, 4, device="meta")), self.state())

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_the_packed_weights_lie_where_the_model_is(self):
        model = load_packed_(nn.Sequential(nn.Linear(6, 4)).cuda(), self.state())
        assert {t.device.type for t in model.state_dict().values()} == {"cuda"}

    def test_another_network(self):
        with pytest.raises(InvalidArgumentError, match="no such layer"):
            load_packed_(nn.Sequential(nn.ReLU()), self.state())
        state = self.state()
        del state["0.bias"]
        with pytest.raises(InvalidArgumentError, match="does not load"):
            load_packed_(nn.Sequential(nn.Linear(6, 4)), state)


def test_codes_lie_from_the_lowest_bits():
    table = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    weight = PackedWeight(table, torch.tensor([2, 0, 1, 5]))
    codes = torch.tensor([0b11100100, 0b01], dtype=torch.uint8)
    assert weight(codes).tolist() == [0.0, 1.0, 2.0, 3.0, 1.0]
