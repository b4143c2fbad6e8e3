"""Ternary, RMS, QuEST, LSQ, SEQ, RDFS, stacked sigmoids: closed forms and properties."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from riemann_lne.errors import InvalidArgumentError, ShapeError  # noqa: E402
from riemann_lne_torch.estimators import (  # noqa: E402
    LSQ,
    RDFS,
    SEQ,
    STE,
    QuEST,
    RMSLevels,
    Site,
    StackedSigmoid,
    Ternary,
    estimate,
    get_estimator,
)
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    dequantize_,
    finalize_,
    quantize_,
)
from riemann_lne_torch.quantize.estimators.scaled_levels import gaussian_clip  # noqa: E402

SCALED = ["ternary", "rms", "quest", "lsq", "seq"]
BLOCKS = ["layer", "channel", 3]
TIGHT = {"rtol": 1e-12, "atol": 1e-14}


def tensors(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=generator, dtype=torch.float64)


def gradient(estimator, w, grad, **site):
    w = w.clone().requires_grad_()
    q = estimate(w, estimator, Site(**site))
    q.backward(grad)
    return q.detach(), w.grad


def rows_of(w, block):
    """Written out anew: one row a block."""
    if block == "layer":
        return w.reshape(1, -1)
    return w.reshape(len(w), -1) if block == "channel" else w.reshape(-1, block)


@pytest.mark.parametrize("block", BLOCKS)
class TestClosedForms:
    def test_ternary(self, block):
        w, grad = tensors(4, 3, 2)
        q, result = gradient(Ternary(block), w, grad, bits=2)
        rows = rows_of(w, block)
        a = rows.abs().mean(1, keepdim=True)
        want = torch.where(rows.abs() > a / 2, a * rows.sign(), 0.0).reshape(w.shape)
        torch.testing.assert_close(q, want, **TIGHT)
        assert torch.equal(result, grad)

    @pytest.mark.parametrize(("levels", "ternary", "bits"), [(2, 0, 1), (3, 1, 2), (16, 0, 4)])
    def test_the_nearest_level_and_the_trust(self, block, levels, ternary, bits):
        w, grad = tensors(4, 3, 2)
        w[0, 0, 0] = 30.0
        q, result = gradient(RMSLevels(block, bool(ternary)), w, grad, bits=bits)
        rows = rows_of(w, block)
        s = gaussian_clip(levels) * rows.square().mean(1, keepdim=True).sqrt()
        grid = torch.linspace(-1, 1, levels, dtype=w.dtype) * s
        near = (rows[:, :, None] - grid[:, None]).abs().min(2)
        want = torch.gather(grid, 1, near.indices).reshape(w.shape)
        torch.testing.assert_close(q, want, **TIGHT)
        assert torch.equal(result, grad)
        q, result = gradient(QuEST(block, bool(ternary)), w, grad, bits=bits)
        torch.testing.assert_close(q, want, **TIGHT)
        assert torch.equal(result, grad * (near.values <= s / (levels - 1)).reshape(w.shape))
        if block == "layer":
            assert result.reshape(-1)[0] == 0

    @pytest.mark.parametrize("bits", [2, 4])
    def test_lsq_is_the_derivative_of_its_own_formula(self, block, bits):
        """By autograd, with the rounding error held constant: Esser's straight-through form."""
        w, grad = tensors(4, 3, 2)
        step = (0.3 + torch.rand(len(rows_of(w, block)), dtype=w.dtype)).requires_grad_()
        leaf = w.clone().requires_grad_()
        estimate(leaf, LSQ(block), Site(bits=bits, step=step)).backward(grad)
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        s, other = step.detach().clone().requires_grad_(), w.clone().requires_grad_()
        v = (rows_of(other, block) / s[:, None]).clamp(low, high)
        (s[:, None] * (v + (v.round() - v).detach())).backward(rows_of(grad, block))
        torch.testing.assert_close(leaf.grad, other.grad, **TIGHT)
        scale = math.sqrt(w.numel() / len(step) * high)
        torch.testing.assert_close(step.grad, s.grad / scale, **TIGHT)

    @pytest.mark.parametrize(("ternary", "bits"), [(False, 1), (False, 3), (True, 2)])
    def test_seq_is_the_derivative_of_its_own_formula(self, block, ternary, bits):
        w, grad = tensors(4, 3, 2)
        step = (0.3 + torch.rand(len(rows_of(w, block)), dtype=w.dtype)).requires_grad_()
        leaf = w.clone().requires_grad_()
        q = estimate(leaf, SEQ(block, ternary), Site(bits=bits, step=step))
        q.backward(grad)
        n, shift = (1.5, 0.0) if ternary else (2 ** (bits - 1), 0.5)
        s, other = step.detach().clone().requires_grad_(), w.clone().requires_grad_()
        v = rows_of(other, block) / s[:, None]
        inside = (v.abs() <= 0.99).detach()
        level = (((n * v.clamp(-0.99, 0.99) - shift).round() + shift) / n).detach()
        stand_in = torch.where(inside, v + (level - v).detach(), level)
        (s[:, None] * stand_in).backward(rows_of(grad, block))
        torch.testing.assert_close(q.detach(), (s[:, None] * level).detach().reshape(w.shape))
        torch.testing.assert_close(leaf.grad, other.grad, **TIGHT)
        scale = math.sqrt(w.numel() / len(step) * n)
        torch.testing.assert_close(step.grad, s.grad / scale, **TIGHT)


def test_the_published_constants_are_the_minima_of_the_error():
    for levels, c in {2: 0.798, 3: 1.224, 4: 1.494, 16: 2.514}.items():
        assert abs(gaussian_clip(levels) - c) < 6e-4
    assert gaussian_clip(2) == pytest.approx(math.sqrt(2 / math.pi), abs=1e-7)  # mean of |x|


def test_a_rotation_leaves_lengths_and_is_its_own_inverse():
    w, grad = tensors(4, 24)
    estimator = QuEST("channel", hadamard=128)  # 8 divides 24
    turned = estimator._rotated(w)
    torch.testing.assert_close(turned.norm(), w.norm())
    torch.testing.assert_close(estimator._rotated(turned), w)
    q, result = gradient(estimator, w, grad, bits=4)
    plain = gradient(QuEST("channel"), turned, estimator._rotated(grad), bits=4)
    torch.testing.assert_close(q, estimator._rotated(plain[0]))
    torch.testing.assert_close(result, estimator._rotated(plain[1]))
    one, none = (gradient(QuEST("channel", hadamard=n), w, grad, bits=4) for n in (1, 0))
    assert torch.equal(one[0], none[0])


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_rdfs_at_levels_and_between_them(bits):
    steps = 2**bits - 1
    v = torch.arange(0, steps + 0.25, 0.5, dtype=torch.float64)
    w = 2 * v / steps - 1
    result = gradient(RDFS(), w, torch.ones_like(w), bits=bits)[1]
    flat = math.sqrt(2) * math.pi * 0.21
    want = torch.where(v % 1 == 0, (1 - flat) / (1 + flat), torch.ones_like(v))
    torch.testing.assert_close(result, want, rtol=1e-9, atol=1e-9)
    assert torch.equal(gradient(RDFS(0.0), w, w, bits=bits)[1], w)
    assert torch.equal(gradient(RDFS(), w, w, bits=bits)[0], gradient(STE(), w, w, bits=bits)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("name", ["rdfs", "stacked-sigmoid"])
def test_half_precision_tells_the_places_between_levels_apart(name, bits, dtype):
    w, grad = (x.to(dtype) for x in tensors(500))
    result = gradient(get_estimator(name), w, grad, bits=bits)[1]
    want = gradient(get_estimator(name), w.double(), grad.double(), bits=bits)[1]
    error = (result.double() - want).abs().max() / want.abs().max()
    # a rounding of the gradient, and of the weight's place among 2^k levels in float32
    assert error < 2 * torch.finfo(dtype).eps + 16 * 2**bits * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("bits", [1, 3])
def test_the_stack_is_the_derivative_of_a_stair(bits):
    w, grad = tensors(50)
    result = gradient(StackedSigmoid(3.0), w, grad, bits=bits)[1]
    leaf = ((2**bits - 1) * (0.5 * w / w.abs().max() + 0.5)).requires_grad_()
    stair = sum(torch.sigmoid(3.0 * (leaf - i - 0.5)) for i in range(2**bits - 1))
    stair.backward(grad)
    torch.testing.assert_close(result, leaf.grad, **TIGHT)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(SCALED),
    seed=st.integers(0, 10**6),
    power=st.integers(-20, 20),
    block=st.sampled_from(BLOCKS),
)
def test_levels_range_and_scale(name, seed, power, block):
    """At most as many levels a block, no value beyond a bound, and Q(c w) = c Q(w), c = 2^power."""
    w = tensors(4, 6, seed=seed)[0]
    estimator = get_estimator(name, block=block)
    q = estimator.forward(w, Site(bits=2))
    for row in rows_of(q, block):
        assert len(torch.unique(row)) <= (3 if name == "ternary" else 4)
    assert float(q.abs().max()) <= 4 * float(w.abs().max())
    scaled = estimator.forward(2.0**power * w, Site(bits=2))
    torch.testing.assert_close(scaled, 2.0**power * q, rtol=1e-12, atol=0)
    if name in ("lsq", "seq"):  # with its step held, what is on a level stays there
        step = estimator.first_step(w, Site(bits=2))
        site = Site(bits=2, step=step)
        once = estimator.forward(w, site)
        torch.testing.assert_close(estimator.forward(once, site), once, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("name", [*SCALED, "hestia", "reinmax"])
def test_the_channels_may_lie_along_the_second_axis(name, block):
    """As in a transposed convolution: the weights keep their places."""
    w, grad = tensors(4, 3, 2)
    estimator = get_estimator(name, block=block)
    plain = gradient(estimator, w, grad, bits=2)
    moved = gradient(estimator, w.movedim(0, 1), grad.movedim(0, 1), bits=2, channel_axis=1)
    for one, two in zip(plain, moved, strict=True):
        torch.testing.assert_close(two.movedim(1, 0), one, **TIGHT)


@pytest.mark.parametrize("name", SCALED)
def test_zeros_stay_finite(name):
    w, grad = torch.zeros(3, 6), torch.ones(3, 6)
    q, result = gradient(get_estimator(name), w, grad, bits=2)
    assert torch.isfinite(q).all()
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("name", ["lsq", "seq"])
class TestStepsOfLayers:
    def layer(self, name, block="channel"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten())
        config = QuantConfig(weight_bits=3, estimator=get_estimator(name, block=block))
        return quantize_(model, config)

    def test_the_step_trains_with_the_weights(self, name):
        model = self.layer(name)
        step = model[0].parametrizations.weight[0].step
        assert step.shape == (3,)
        assert any(p is step for p in model.parameters())
        before = step.detach().clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(torch.randn(4, 2, 5, 5)).square().sum().backward()
        optimizer.step()
        assert not torch.equal(step, before)

    def test_checkpoints_copies_and_the_ways_back(self, name):
        model = self.layer(name)
        with torch.no_grad():
            model[0].parametrizations.weight[0].step.mul_(1.5)
        other = self.layer(name)
        other.load_state_dict(model.state_dict())
        x = torch.randn(2, 2, 5, 5)
        assert torch.equal(other(x), model(x))
        assert torch.equal(copy.deepcopy(model)(x), model(x))
        baked = finalize_(copy.deepcopy(model))
        assert torch.equal(baked(x), model(x))
        plain = dequantize_(copy.deepcopy(model))
        assert sorted(plain.state_dict()) == ["0.bias", "0.weight"]
        other.load_state_dict(plain.state_dict())  # the step starts from these weights
        assert torch.equal(other(x), self.fresh(name, plain)(x))

    def fresh(self, name, plain):
        config = QuantConfig(weight_bits=3, estimator=get_estimator(name, block="channel"))
        return quantize_(copy.deepcopy(plain), config)

    def test_an_input_has_no_weights_to_start_from(self, name):
        config = QuantConfig(activation_bits=2, activation_estimator=name)
        with pytest.raises(InvalidArgumentError, match="learns a step from the weights"):
            quantize_(torch.nn.Linear(3, 2), config)


@pytest.mark.parametrize(
    ("name", "bits", "message"),
    [
        ("ternary", 1, "three levels and needs 2 bits"),
        ("lsq", 1, "needs 2 to 16 bits"),
        ("rms", 9, "needs 1 to 8 bits"),
        ("stacked-sigmoid", 12, "needs 1 to 8 bits"),
    ],
)
def test_bits_that_an_estimator_does_not_know(name, bits, message):
    with pytest.raises(InvalidArgumentError, match=f"layer '': .*{message}, got bits = {bits}"):
        quantize_(torch.nn.Linear(3, 2), QuantConfig(weight_bits=bits, estimator=name))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ternary", {"block": "row"}),
        ("lsq", {"block": 0}),
        ("rms", {"ternary": 1}),
        ("quest", {"hadamard": 12}),
        ("rdfs", {"amplitude": 0.23}),
        ("rdfs", {"amplitude": -0.1}),
        ("stacked-sigmoid", {"alpha": 0.0}),
    ],
)
def test_options_are_checked(name, options):
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        get_estimator(name, **options)


def test_groups_that_do_not_divide():
    with pytest.raises(ShapeError, match="groups of 4 do not divide"):
        Ternary(4).forward(torch.ones(2, 6), Site(bits=2))
