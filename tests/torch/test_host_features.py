"""Quantised layers with the rest of PyTorch.

Looked at: checkpoints between models that are quantised differently; devices (meta, default
devices); numbers of NumPy and torch as options of every class; torch.func (functional_call, vmap,
grad, jacrev, ensembles, jvp); autocast, half precision, float8; torch.export.
"""

import copy
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vmap  # noqa: E402

from riemann_lne.errors import DTypeError, InvalidArgumentError  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    LNECorrector,
    RicciFlowRegularizer,
    algorithm_2_step,
)
from riemann_lne_torch.estimators import available_estimators, get_estimator  # noqa: E402
from riemann_lne_torch.logging import StatisticsLogger  # noqa: E402
from riemann_lne_torch.optimizers import (  # noqa: E402
    BinaryConnect,
    FCGrad,
    MirrorDescentTanh,
    ProxQuant,
)
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    finalize_,
    latent_parameters,
    quantize_,
    set_progress,
)


def net(**config):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    return quantize_(model, QuantConfig(**config)) if config else model


KINDS = {
    "float": {},
    "activations": {"weight_bits": None, "activation_bits": 1},
    "activations, schedule": {
        "weight_bits": None,
        "activation_bits": 1,
        "activation_estimator": "reste",
    },
    "weights": {"weight_bits": 1},
    "weights, schedule": {"estimator": "ede"},
    "both": {"activation_bits": 2},
    "both, schedules": {
        "estimator": "ede",
        "activation_bits": 1,
        "activation_estimator": "reste",
    },
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize(("source", "target"), list(itertools.product(KINDS, list(KINDS)[1:])))
def test_checkpoints_load_into_every_quantised_model(source, target, assign):
    """A float model has nothing of this package: for it, dequantize_ a copy before saving."""
    saved = net(**KINDS[source])
    if source != "float":
        set_progress(saved, 0.25)
    with torch.no_grad():
        for p in saved.parameters():
            p.add_(0.1)
    loaded = net(**KINDS[target])
    set_progress(loaded, 0.75)
    state = saved.state_dict()
    keys = list(state)
    loaded.load_state_dict(state, strict=True, assign=assign)
    assert list(state) == keys
    for one, other in zip(plain(saved).values(), plain(loaded).values(), strict=True):
        assert torch.equal(one, other)
    for name, value in loaded.state_dict().items():
        if name.endswith("progress"):
            assert value.item() == (0.25 if name in keys else 0.75)
    loaded(torch.randn(2, 3)).sum().backward()


def plain(model):
    state = {
        name.replace("parametrizations.weight.original", "weight"): value
        for name, value in model.state_dict().items()
        if not name.endswith("progress")
    }
    return dict(sorted(state.items()))


@pytest.mark.parametrize("bad", [float("nan"), -1.0, 2.0])
def test_a_progress_that_is_none_is_refused(bad):
    state = net(estimator="ede").state_dict()
    state["1.parametrizations.weight.0.progress"].fill_(bad)
    with pytest.raises(InvalidArgumentError, match="damaged"):
        net(estimator="ede").load_state_dict(state)


@pytest.mark.parametrize("assign", [False, True])
def test_meta_models_are_filled_from_a_float_checkpoint(assign):
    saved = net()
    with torch.device("meta"):
        empty = net(**KINDS["both, schedules"])
    assert empty(torch.empty(2, 3, device="meta")).shape == (2, 2)
    if not assign:
        empty.to_empty(device="cpu")
        for buffer in empty.buffers():
            buffer.fill_(float("nan"))  # what to_empty leaves is anything
    empty.load_state_dict(saved.state_dict(), assign=assign)
    same = quantize_(saved, QuantConfig(**KINDS["both, schedules"]))
    x = torch.randn(2, 3)
    assert torch.equal(empty(x), same(x))
    for buffer in empty.buffers():
        assert buffer.item() == 0.0


def bits_of(name):
    """One bit, or two for an estimator that needs them."""
    return 1 if get_estimator(name).admits(1) else 2


@pytest.mark.parametrize("name", available_estimators())
def test_default_devices_do_not_matter(name):
    """The default device is where new tensors go, not where the model is."""
    before = run(name)
    torch.set_default_device("meta")
    try:
        after = run(name)
    finally:
        torch.set_default_device(None)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def run(name):
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(4, 3, device="cpu")
    layer.weight.data = torch.randn(3, 4, generator=generator, device="cpu")
    layer.bias.data = torch.zeros(3, device="cpu")
    config = QuantConfig(weight_bits=bits_of(name), estimator=name, activation_bits=2)
    quantize_(layer, config)
    set_progress(layer, 0.5)
    y = layer(torch.randn(2, 4, generator=generator, device="cpu"))
    (y * y).sum().backward()
    if not name.startswith("lne"):
        LNECorrector(layer, block="channel").correct_()
        LNECorrector(layer, 0.1, metric="hessian").correct_()
    return y.detach(), latent_parameters(layer)[0].grad


def wrapped(kind, **config):
    """A maker of optimisers that wrap another."""

    def make(**options):
        model = net(**config)
        with torch.no_grad():
            for p in model.parameters():
                p.clamp_(-0.9, 0.9)
        return kind(torch.optim.SGD(model.parameters(), lr=0.1), model, **options)

    return make


def kept(made):
    """The options that an object keeps under their names, or under those of `FIELDS`."""
    names = {name for _, numbers in OPTIONS.values() for name in numbers}
    fields = {FIELDS.get(name, name) for name in names}
    found = {name: vars(made)[name] for name in fields if name in vars(made)}
    return {name: value for name, value in found.items() if not isinstance(value, str)}


OPTIONS = {
    "corrector": (
        lambda **o: LNECorrector(net(weight_bits=1), **o),
        {"tau": 0.25, "target": 0.5, "flow_time": 0.5, "largest_factor": 4.0, "statistics": False},
    ),
    "regulariser": (
        lambda **o: RicciFlowRegularizer(net(weight_bits=1), print, gate="soft", **o),
        {
            "tau": 0.25, "target": 0.5, "eps": 0.5, "every": 2, "part": 0.5, "step": 0.25,
            "relative": False,
        },
    ),
    "logger": (
        lambda **o: StatisticsLogger(LNECorrector(net(weight_bits=1)), print, **o),
        {"every": 3},
    ),
    "binary": (wrapped(BinaryConnect, weight_bits=1), {"bound": 0.5}),
    "proximal": (
        wrapped(ProxQuant),
        {"epochs": 4, "steps_per_epoch": 3, "rate": 0.5, "hard_after": 0.5, "clip": True},
    ),
    "mirror": (wrapped(MirrorDescentTanh), {"beta": 0.5, "growth": 1.5, "every": 3}),
    "meta": (wrapped(FCGrad, weight_bits=1), {"hidden": 4, "layers": 2, "meta_lr": 0.5}),
}  # fmt: skip
FIELDS = {"statistics": "keep_statistics", "beta": "start"}
NONE_MEANS_DEFAULT = {("meta", "layers")}


class TestNumbers:
    @pytest.mark.parametrize("bits", [np.int64(2), np.uint8(2), np.array(2), torch.tensor(2)])
    def test_bits(self, bits):
        layer = quantize_(nn.Linear(3, 2), QuantConfig(weight_bits=bits, activation_bits=bits))
        stored = layer.parametrizations.weight[0].bits
        assert stored == 2
        assert type(stored) is int

    @pytest.mark.parametrize("bits", [np.bool_(True), True, 2.5, np.float32(2.5), "2", [2], 0, 17])
    def test_no_bits(self, bits):
        with pytest.raises(InvalidArgumentError, match="integer from 1 to 16"):
            quantize_(nn.Linear(3, 2), QuantConfig(weight_bits=bits))

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("lne", {"tau": np.float32(0.25), "target": np.float32(0.5)}),
            ("lne-flowed", {"flow_time": np.float64(0.5)}),
            ("lne-hessian", {"largest_factor": np.int64(4)}),
            ("clipped-ste", {"bound": np.float32(1.0)}),
            ("ewgs", {"delta": np.float32(0.25)}),
            ("ede", {"t_min": np.float32(0.5), "t_max": np.int64(8)}),
            ("reste", {"o_max": np.int64(3)}),
        ],
    )
    def test_options_of_estimators(self, name, options):
        """The same as with Python numbers, in the settings that tied layers compare too."""
        given = get_estimator(name, **options)
        plain = get_estimator(name, **{key: value.item() for key, value in options.items()})
        assert repr(given) == repr(plain)

    @pytest.mark.parametrize("bad", [True, np.bool_(True), "0.5", None, float("nan"), [0.5]])
    @pytest.mark.parametrize(
        ("name", "option"),
        [
            ("lne", "tau"),
            ("lne", "target"),
            ("lne-flowed", "flow_time"),
            ("lne-hessian", "largest_factor"),
            ("clipped-ste", "bound"),
            ("ewgs", "delta"),
            ("ede", "t_min"),
            ("reste", "small"),
        ],
    )
    def test_what_is_no_number(self, name, option, bad):
        with pytest.raises(InvalidArgumentError, match=option):
            get_estimator(name, **{option: bad})

    @pytest.mark.parametrize("kind", OPTIONS)
    def test_options_of_every_class(self, kind):
        """NumPy's scalars and torch's give the object that Python's numbers give."""
        make, numbers = OPTIONS[kind]
        for arrays in (np.array, torch.tensor):
            options = {
                name: np.array(value)[()] if isinstance(value, bool) else arrays(value)[()]
                for name, value in numbers.items()
            }
            given = make(**options)
            plain = make(**numbers)
            assert kept(given) == kept(plain)
            if hasattr(plain, "state_dict"):
                assert str(given.state_dict()) == str(plain.state_dict())
            for value in kept(given).values():
                assert type(value) in (int, float, bool)

    @pytest.mark.parametrize(
        ("kind", "name"), [(kind, name) for kind in OPTIONS for name in OPTIONS[kind][1]]
    )
    def test_options_that_are_no_numbers(self, kind, name):
        make, numbers = OPTIONS[kind]
        whole = isinstance(numbers[name], int)
        for bad in ("1", None, float("nan"), np.bool_(True), [0.5], 0.5 if whole else True):
            if bad is None and (kind, name) in NONE_MEANS_DEFAULT:
                continue
            if isinstance(numbers[name], bool) and isinstance(bad, (bool, np.bool_)):
                continue
            with pytest.raises(InvalidArgumentError, match=name):
                make(**(numbers | {name: bad}))

    def test_mappings(self):
        corrector = LNECorrector(net(weight_bits=1), {"0": np.float32(0.25), "*": np.int64(1)})
        assert repr(corrector.state_dict()["options"]["tau"]) == "{'0': 0.25, '*': 1.0}"
        moves = ((np.int64(1), np.int8(-1)), (np.int64(2), 0))
        penalty = RicciFlowRegularizer(net(weight_bits=1), print, moves)
        assert repr(penalty.shifts) == "((1, -1), (2, 0))"

    def test_the_step_of_algorithm_2(self):
        model = net(weight_bits=1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        loss = nn.functional.mse_loss
        penalty = RicciFlowRegularizer(model, loss, translate=lambda x, rows, columns: x + rows)
        for alpha, ratio in ((np.float32(0.5), np.int64(2)), (torch.tensor(0.5), None)):
            batch = torch.randn(4, 3), torch.zeros(4, 2)
            algorithm_2_step(
                model, loss, optimizer, LNECorrector(model), penalty, alpha, *batch, max_ratio=ratio
            )

    def test_progress(self):
        layer = quantize_(nn.Linear(3, 2), QuantConfig(estimator="ede"))
        set_progress(layer, np.float32(0.5))
        for bad in (True, "0.5", float("nan"), 1.5):
            with pytest.raises(InvalidArgumentError, match="progress"):
                set_progress(layer, bad)


def one_by_one(model, x):
    rows = []
    for sample in x:
        model.zero_grad()
        model(sample).square().sum().backward()
        rows.append({n: p.grad.clone() for n, p in model.named_parameters()})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("name", available_estimators())
def test_gradients_of_each_sample(name):
    """vmap over the samples; activations are quantised for each sample by itself."""
    config = QuantConfig(weight_bits=bits_of(name), estimator=name, activation_bits=2)
    model = quantize_(nn.Linear(4, 3), config)
    set_progress(model, 0.5)
    x = torch.randn(3, 4)
    want = one_by_one(model, x)
    parameters = {n: p.detach() for n, p in model.named_parameters()}

    def loss(parameters, sample):
        return functional_call(model, parameters, (sample,)).square().sum()

    if name == "reinmax":  # draws its levels: no two runs agree
        got = vmap(grad(loss), (None, 0), randomness="different")(parameters, x)
        assert all(torch.isfinite(got[key]).all() for key in want)
        return
    got = vmap(grad(loss), (None, 0))(parameters, x)
    for key in want:
        torch.testing.assert_close(got[key], want[key])


@pytest.mark.parametrize("name", ["ste", "dorefa", "bwn", "ede", "ewgs"])
def test_ensembles(name):
    """vmap over the weights: each model's maximum, mean and channels are its own."""
    models = [
        quantize_(nn.Sequential(nn.Linear(4, 3)), QuantConfig(weight_bits=3, estimator=name))
        for _ in range(3)
    ]
    parameters, buffers = stack_module_state(models)
    shell = copy.deepcopy(models[0])
    x = torch.randn(2, 4)
    got = vmap(lambda p, b: functional_call(shell, (p, b), (x,)))(parameters, buffers)
    torch.testing.assert_close(got, torch.stack([m(x) for m in models]))


# PyTorch itself scripts functions when forward mode is first used
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_reverse_mode_jacobians_and_forward_mode():
    layer = quantize_(nn.Linear(4, 3))
    x = torch.randn(4)
    torch.testing.assert_close(jacrev(layer)(x), layer.weight)
    latent = {"parametrizations.weight.original": latent_parameters(layer)[0].detach()}
    with pytest.raises(InvalidArgumentError, match="reverse-mode"):
        jvp(lambda p: functional_call(layer, p, (x,)), (latent,), (latent,))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bit_floats_are_refused(dtype):
    layer = nn.Linear(4, 3)
    layer.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    with pytest.raises(DTypeError, match=r"layer '0'.*16 bits or more"):
        quantize_(nn.Sequential(layer))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_with_activations_and_scales(dtype):
    layer = quantize_(nn.Linear(4, 3), QuantConfig(activation_bits=3, weight_scale="mean-channel"))
    want = layer(torch.ones(2, 4))
    with torch.autocast("cpu", dtype=dtype):
        y = layer(torch.ones(2, 4))
    assert y.dtype is dtype
    torch.testing.assert_close(y.float(), want, rtol=2e-2, atol=2e-2)
    y.float().sum().backward()
    assert latent_parameters(layer)[0].grad.dtype is torch.float32


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("finished", [False, True])
def test_export_with_a_free_batch(finished):
    model = net(activation_bits=2, activation_scale="max", weight_scale="mean-channel").eval()
    if finished:
        finalize_(model)
    x = torch.randn(4, 3)
    batch = torch.export.Dim("batch", min=2, max=64)
    with torch.no_grad():
        program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
        other = torch.randn(7, 3)
        assert torch.equal(program.module()(other), model(other))
