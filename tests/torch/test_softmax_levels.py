"""HESTIA's softmax and ReinMax: closed forms, limits, properties; in training and outside of it."""

import pytest

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import QuantConfig, finalize_, hessian_traces, quantize_  # noqa: E402
from riemann_lne_torch.estimators import (  # noqa: E402
    Hestia,
    QuEST,
    ReinMax,
    RMSLevels,
    Site,
    estimate,
    get_estimator,
)
from riemann_lne_torch.quantization import set_progress  # noqa: E402

KINDS = [(1, False), (2, True), (3, False)]
BLOCKS = ["layer", "channel", 3]


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, 3, 2, generator=generator, dtype=torch.float64)


def written_out(w, block, bits, ternary):
    """Scales, positions and the numbers of the levels, from the formula, with a graph to w."""
    sizes = {"layer": w.numel(), "channel": w[0].numel()}
    rows = w.reshape(-1, sizes.get(block, block))
    top = Site(bits=bits)
    s = RMSLevels(block, ternary).unit(w.detach(), top).reshape(rows.shape)[:, :1]
    n = 2 if ternary else 2**bits - 1
    v = n * (rows / s + 1) / 2
    return s, v, torch.arange(n + 1, dtype=w.dtype)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("bits", "ternary"), KINDS)
class TestClosedForms:
    @pytest.mark.parametrize("progress", [0.0, 0.6])
    def test_hestia_is_the_mean_level_and_its_derivative(self, block, bits, ternary, progress):
        w, grad = tensors()
        leaf = w.clone().requires_grad_()
        site = Site(bits=bits, progress=progress, training=True)
        q = estimate(leaf, Hestia(block, ternary, t_end=0.1, delay=2.0), site)
        q.backward(grad)
        other = w.clone().requires_grad_()
        s, v, j = written_out(other, block, bits, ternary)
        t = 0.1 ** (progress**2)
        p = torch.softmax(-(v[..., None] - j).square() / t, -1)
        want = (s * (2 * (p * j).sum(-1) / j[-1] - 1)).reshape(w.shape)
        want.backward(grad)
        torch.testing.assert_close(q, want, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-9, atol=1e-11)

    @pytest.mark.parametrize("sample", [True, False])
    def test_reinmax_is_the_derivative_of_its_surrogate(self, block, bits, ternary, sample):
        """2 softmax(const + theta) - softmax(theta)/2, whose first part is p' = (p + e_B)/2."""
        w, grad = tensors()
        torch.manual_seed(3)
        leaf = w.clone().requires_grad_()
        estimator = ReinMax(block, ternary, temperature=0.7, sample=sample)
        q = estimate(leaf, estimator, Site(bits=bits, training=True))
        q.backward(grad)
        other = w.clone().requires_grad_()
        s, v, j = written_out(other, block, bits, ternary)
        theta = -(v[..., None] - j).square() / 0.7
        p = torch.softmax(theta, -1)
        number = ((q.detach().reshape(v.shape) / s + 1) / 2 * j[-1]).round()
        one = torch.nn.functional.one_hot(number.long(), len(j)).to(p)
        both = ((p + one) / 2).detach()
        first = torch.softmax((both.log() - theta).detach() + theta, -1)
        surrogate = s * (2 * ((2 * first - p / 2) * j).sum(-1) / j[-1] - 1)
        surrogate.reshape(w.shape).backward(grad)
        torch.testing.assert_close(leaf.grad, other.grad, rtol=1e-9, atol=1e-11)
        hard = RMSLevels(block, ternary).forward(w, Site(bits=bits))
        assert torch.equal(q.detach(), hard) is not sample


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["hestia", "reinmax"]),
    seed=st.integers(0, 10**6),
    power=st.integers(-20, 20),
    kind=st.sampled_from(KINDS),
)
def test_outside_of_training_they_are_levels_and_follow_the_scale(name, seed, power, kind):
    w = tensors(seed)[0]
    bits, ternary = kind
    estimator = get_estimator(name, block="channel", ternary=ternary)
    q = estimator.forward(w, Site(bits=bits))
    assert torch.equal(q, RMSLevels("channel", ternary).forward(w, Site(bits=bits)))
    soft = Site(bits=bits, training=True)
    torch.manual_seed(seed)
    one = estimator.forward(w, soft)
    assert float(one.abs().max()) <= float(q.abs().max()) * 4  # within the last levels of the rows
    torch.manual_seed(seed)
    two = estimator.forward(2.0**power * w, soft)
    torch.testing.assert_close(two, 2.0**power * one, rtol=1e-9, atol=0)
    slope = estimator.backward(w, one, torch.ones_like(w), soft)
    assert bool((slope >= 0).all())


def test_the_draws_have_the_probabilities_that_are_said():
    w = torch.tensor([-1.0, 1.0, 0.3], dtype=torch.float64)
    torch.manual_seed(0)
    site, estimator = Site(bits=1, training=True), ReinMax("layer", temperature=0.7)
    high = sum((estimator.forward(w, site) > 0).double() for _ in range(2000)) / 2000
    _, v, j = written_out(w, "layer", 1, False)
    p = torch.softmax(-(v[..., None] - j).square() / 0.7, -1)[0, :, 1]
    assert float((high - p).abs().max()) < 4 * 0.5 / 2000**0.5


@pytest.mark.parametrize("name", ["hestia", "reinmax"])
def test_a_layer_in_training_evaluation_and_finalised(name):
    torch.manual_seed(0)
    layer = quantize_(torch.nn.Linear(8, 4), QuantConfig(weight_bits=2, estimator=name))
    set_progress(layer, 0.3)
    trained, evaluated = layer.weight.detach().clone(), layer.eval().weight.detach().clone()
    assert not torch.equal(trained, evaluated)
    assert len(evaluated[0].unique()) <= 4
    assert torch.equal(finalize_(layer.train()).weight, evaluated)


def test_zeros_stay_finite():
    for name in ("hestia", "reinmax"):
        w = torch.zeros(3, 6, requires_grad=True)
        q = estimate(w, get_estimator(name), Site(bits=2, training=True))
        q.sum().backward()
        assert torch.isfinite(q).all()
        assert torch.isfinite(w.grad).all()


def test_trust_is_a_multiple_of_half_a_distance():
    w, grad = tensors()
    results = []
    for trust in (0.5, 1.0, float("inf")):
        leaf = w.clone().requires_grad_()
        estimate(leaf, QuEST("layer", trust=trust), Site(bits=2)).backward(grad)
        results.append(leaf.grad)
    assert torch.equal(results[2], grad)
    count = [int((r != 0).sum()) for r in results]
    assert count[0] < count[1] < count[2]


def test_without_a_trust_region_a_row_of_zeros_keeps_its_gradient():
    w = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
    estimate(w, QuEST("channel", trust=float("inf")), Site(bits=2)).sum().backward()
    assert torch.equal(w.grad, torch.ones(2, 2))


def test_traces_tell_layers_apart_and_leave_the_graph():
    torch.manual_seed(0)
    first, last = torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(2, 1, bias=False)
    model = torch.nn.Sequential(first, last)
    x = torch.randn(50, 3)
    loss = model(x).square().mean()
    found = hessian_traces(model, loss, probes=200, select="all")
    want = 2.0 * first(x).detach().square().mean(0).mean()
    assert found["1"] == pytest.approx(float(want), rel=0.3)
    loss.backward()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hestia", {"t_start": 0.01}, "t_end <= t_start"),
        ("hestia", {"delay": 0.0}, "delay"),
        ("reinmax", {"temperature": 0.0}, "temperature"),
        ("reinmax", {"sample": 2}, "sample"),
        ("quest", {"trust": 0.0}, "trust"),
    ],
)
def test_options_are_checked(name, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        get_estimator(name, **options)
    with pytest.raises(InvalidArgumentError, match="needs 1 to 4 bits"):
        quantize_(torch.nn.Linear(3, 2), QuantConfig(weight_bits=5, estimator="hestia"))
