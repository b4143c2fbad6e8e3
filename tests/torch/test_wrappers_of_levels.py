"""Damping, freezing, pulls, annealed levels and Lookahead, against loops written out by hand."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from riemann_lne.errors import InvalidArgumentError, UnknownNameError  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    CAGE,
    AnnealedLevels,
    Lookahead,
    OscillationDamping,
    OscillationFreezing,
    QuantConfig,
    annealed,
    get_estimator,
    latent_parameters,
    quantize_,
)
from riemann_lne_torch.quantizers import WeightQuantizer  # noqa: E402


def quantized(bits=2, estimator="ste", scale="mean-channel", seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(6, 4, bias=False)).double()
    estimator = get_estimator(estimator)
    scale = "none" if estimator.scales else scale
    return quantize_(model, QuantConfig(weight_bits=bits, estimator=estimator, weight_scale=scale))


def sgd(model, lr=0.1, **options):
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


def give_gradients(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)


@pytest.mark.parametrize("estimator", ["ste", "rms", "ternary"])
def test_damping_is_the_gradient_of_its_term(estimator):
    model = quantized(estimator=estimator)
    (w,) = latent_parameters(model)
    before = w.detach().clone()
    q = model[0].parametrizations.weight[0].value(w)
    optimizer = OscillationDamping(sgd(model), model, strength=0.3, steps=4)
    optimizer.steps = 1
    give_gradients(model)
    plain = w.grad.clone()
    leaf = before.clone().requires_grad_()
    factor = 0.15 * (1 - math.cos(math.pi / 4))
    (factor * (q - leaf.clamp(q.min(), q.max())).square().sum()).backward()
    optimizer.step()
    torch.testing.assert_close(w.detach(), before - 0.1 * (plain + leaf.grad))
    assert float(leaf.grad.abs().max()) > 0


def test_cage_pulls_after_its_silence_and_ends_on_the_levels():
    model = quantized()
    (w,) = latent_parameters(model)
    optimizer = CAGE(sgd(model, lr=1.0), model, strength=0.5, silent=0.5, steps=4)
    quantizer = model[0].parametrizations.weight[0]
    for step in range(4):
        before, q = w.detach().clone(), quantizer.value(w)
        w.grad = torch.zeros_like(w)
        optimizer.step()
        factor = 0.5 * max(0.0, (step / 4 - 0.5) / 0.5)
        torch.testing.assert_close(w.detach(), before - factor * (before - q))


@pytest.mark.parametrize("estimator", ["ste", "lsq", "seq", "rms", "ternary", "bwn"])
def test_levels_are_told_apart_without_their_scale(estimator):
    bits = 2
    quantizer = WeightQuantizer(bits, estimator)
    w = torch.randn(1, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = quantizer.level(w)
    assert len(torch.unique(levels.mul(1e9).round())) <= 4
    q = quantizer.value(w)
    order = w.reshape(-1).argsort()
    assert bool((levels.reshape(-1)[order].diff() >= -1e-12).all())
    assert torch.equal(levels.sign(), q.sign())


class TestFreezing:
    def test_only_weights_that_go_to_and_fro_are_frozen(self):
        model = quantized(bits=1, scale="none")
        (w,) = latent_parameters(model)
        with torch.no_grad():
            w.fill_(0.05)
            w[0, 1] = 3.0  # far from the threshold of its level
        optimizer = OscillationFreezing(
            sgd(model, lr=1.0), model, momentum=0.5, threshold=0.6, last_threshold=0.6, steps=9
        )
        for step in range(8):
            w.grad = torch.zeros_like(w)
            w.grad[0, :2] = 0.1 * (-1) ** step
            optimizer.step()
        frozen = optimizer._frozen[0]
        assert frozen.nonzero().tolist() == [[0, 0]]
        assert optimizer.frozen == 1 / 24
        held = w.detach()[0, 0].clone()
        w.grad = torch.ones_like(w)
        optimizer.step()
        assert w.detach()[0, 0] == held
        assert w.detach()[0, 2] != held

    def test_a_weight_that_climbs_from_level_to_level_is_not_frozen(self):
        model = quantized(bits=4, scale="none")
        (w,) = latent_parameters(model)
        with torch.no_grad():
            w.fill_(0.05)
            w[0, 0], w[0, 1] = -0.9, 1.0  # the second one holds the largest weight
        optimizer = OscillationFreezing(
            sgd(model, lr=1.0), model, momentum=1.0, threshold=0.5, last_threshold=0.5, steps=20
        )
        for _ in range(18):
            w.grad = torch.zeros_like(w)
            w.grad[0, 0] = -0.1
            optimizer.step()
        assert optimizer.frozen == 0.0
        assert float(w.detach()[0, 0]) == pytest.approx(0.9)

    def test_state_dicts_and_copies_go_on_where_they_were(self):
        def run(count, break_after=None, copied=False):
            model = quantized(seed=3)
            optimizer = OscillationFreezing(
                sgd(model, lr=0.5, momentum=0.9), model, 0.3, 0.2, 0.05, steps=40
            )
            for step in range(count):
                if step == break_after:
                    if copied:
                        model, optimizer = copy.deepcopy((model, optimizer))
                    else:
                        state, weights = optimizer.state_dict(), model.state_dict()
                        state, weights = copy.deepcopy((state, weights))
                        model = quantized(seed=5)
                        inner = sgd(model, lr=0.5, momentum=0.9)
                        model.load_state_dict(weights)
                        optimizer = OscillationFreezing(inner, model, 0.3, 0.2, 0.05, steps=40)
                        optimizer.load_state_dict(state)
                give_gradients(model, seed=step)
                optimizer.step()
            return latent_parameters(model)[0].detach(), optimizer.frozen

        whole, frozen = run(30)
        assert 0 < frozen < 1
        for copied in (False, True):
            other, count = run(30, break_after=12, copied=copied)
            assert torch.equal(other, whole)
            assert count == frozen


class TestAnnealedLevels:
    @settings(max_examples=30, deadline=None)
    @given(
        seed=st.integers(0, 10**6),
        bits=st.integers(1, 4),
        rho=st.floats(0.0, 1.0),
        form=st.sampled_from(["parq", "relax"]),
    )
    def test_between_the_weight_and_its_level(self, seed, bits, rho, form):
        generator = torch.Generator().manual_seed(seed)
        u = 2 * torch.rand(50, generator=generator, dtype=torch.float64) - 1
        scale = torch.ones((), dtype=torch.float64)
        result = annealed(u, bits, scale, rho, form)
        grid = torch.linspace(-1, 1, 2**bits, dtype=torch.float64)
        nearest = grid[(u[:, None] - grid).abs().argmin(1)]
        low, high = torch.minimum(u, nearest), torch.maximum(u, nearest)
        assert bool(((result >= low - 1e-12) & (result <= high + 1e-12)).all())
        torch.testing.assert_close(annealed(grid, bits, scale, max(rho, 1e-6), form), grid)
        torch.testing.assert_close(annealed(u, bits, scale, 1.0, form), u)
        torch.testing.assert_close(annealed(u, bits, scale, 0.0, form), nearest)
        order = u.argsort()
        assert bool((result[order].diff() >= -1e-12).all())  # monotone

    @pytest.mark.parametrize("form", ["parq", "relax"])
    def test_the_steps_go_on_latent_weights_and_end_on_levels(self, form):
        torch.manual_seed(0)
        model = torch.nn.Linear(6, 4, bias=False).double()
        latent = model.weight.detach().clone()
        optimizer = AnnealedLevels(sgd(model), model, form, bits=2, scale="max", steps=6)
        assert optimizer.rho == 1.0
        for step in range(6):
            give_gradients(model, seed=step)
            latent -= 0.1 * model.weight.grad
            optimizer.step()
            k, p = 10.0, (step + 1) / 6
            s = [1 / (1 + math.exp(-x)) for x in (k * (0.5 - p), -k / 2, k / 2)]
            rho = (s[0] - s[1]) / (s[2] - s[1])
            want = annealed(latent, 2, latent.abs().max(), rho, form)
            torch.testing.assert_close(model.weight.detach(), want)
        assert len(torch.unique(model.weight.detach().mul(1e9).round())) <= 4
        before = model.weight.detach().clone()
        optimizer.harden_()
        optimizer.restore_()
        torch.testing.assert_close(model.weight.detach(), before)

    def test_weights_from_outside_begin_anew(self):
        model = torch.nn.Linear(2, 1, bias=False)
        optimizer = AnnealedLevels(sgd(model, lr=0.0), model, scale="none", steps=2)
        model.weight.grad = torch.zeros(1, 2)
        optimizer.step()
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[0.25, -0.5]]))
        model.weight.grad = torch.zeros(1, 2)
        optimizer.step()
        assert optimizer._latent[0].tolist() == [[0.25, -0.5]]


def test_lookahead_is_the_loop_of_its_paper():
    torch.manual_seed(0)
    w, v = (torch.nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in range(2))
    x, y = w.detach().clone(), w.detach().clone()
    optimizer = Lookahead(torch.optim.SGD([w, v], lr=0.1), every=3, alpha=0.25)
    for step in range(7):
        grad = torch.randn(3, dtype=torch.float64)
        w.grad, v.grad = grad.clone(), None
        optimizer.step()
        y = y - 0.1 * grad
        if step % 3 == 2:
            x = x + 0.25 * (y - x)
            y = x.clone()
        torch.testing.assert_close(w.detach(), y)


def test_lookahead_takes_a_learned_range_as_the_first_batch_sets_it():
    """It was 0 before: halfway back to that would halve it."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    quantize_(model, QuantConfig(weight_bits=2, activation_bits=2, activation_range="learned"))
    optimizer = Lookahead(torch.optim.SGD(model.parameters(), lr=0.0), every=2)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for _ in range(4):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    assert float(model[0].activation_quantizer.range.detach()) == float(x.abs().max())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o, m: OscillationDamping(o, m, -1.0, steps=1), "strength"),
        (lambda o, m: OscillationDamping(o, m, steps=0), "steps"),
        (lambda o, m: OscillationFreezing(o, m, momentum=1.5, steps=1), "momentum"),
        (lambda o, m: OscillationFreezing(o, m, threshold=-1.0, steps=1), "threshold"),
        (lambda o, m: CAGE(o, m, silent=2.0, steps=1), "silent"),
        (lambda o, m: Lookahead(o, alpha=0.0), "alpha"),
        (lambda o, m: Lookahead(o, every=0), "every"),
        (lambda o, m: AnnealedLevels(o, m, steps=1), "dequantize_"),
        (lambda o, m: AnnealedLevels(o, m.parameters(), steepness=0.0, steps=1), "steepness"),
    ],
)
def test_options_out_of_range(make, message):
    model = quantized()
    with pytest.raises(InvalidArgumentError, match=message):
        make(sgd(model), model)


def test_names_that_are_not_known():
    model = torch.nn.Linear(2, 1)
    with pytest.raises(UnknownNameError, match="form"):
        AnnealedLevels(sgd(model), model, "soft", steps=1)
    with pytest.raises(UnknownNameError, match="scale"):
        AnnealedLevels(sgd(model), model, scale="rms", steps=1)
    with pytest.raises(InvalidArgumentError, match="needs a quantised model"):
        CAGE(sgd(model), model, steps=1)


def test_rotated_values_have_no_level():
    quantizer = WeightQuantizer(2, "quest-hadamard")
    with pytest.raises(InvalidArgumentError, match="rotated basis"):
        quantizer.level(torch.ones(2, 8))
