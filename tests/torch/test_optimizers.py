"""BinaryConnect, ProxQuant, MD-tanh, FCGrad, MultiFC: steps worked out by hand, resuming, input."""

import copy
import io
import math

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from riemann_lne.errors import DTypeError, InvalidArgumentError, UnknownNameError  # noqa: E402
from riemann_lne_torch.estimators import BWN, DoReFa  # noqa: E402
from riemann_lne_torch.optimizers import (  # noqa: E402
    CAGE,
    BinaryConnect,
    FCGrad,
    Lookahead,
    MirrorDescentTanh,
    MultiFC,
    OscillationDamping,
    OscillationFreezing,
    ProxQuant,
    proximal_binary,
    quantizable_parameters,
)
from riemann_lne_torch.quantization import (  # noqa: E402
    QuantConfig,
    latent_parameters,
    quantize_,
)
from riemann_lne_torch.quantizers import quantize_binary  # noqa: E402


def weight(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def sgd(p, lr=0.1, **options):
    return torch.optim.SGD([p] if isinstance(p, torch.Tensor) else p, lr=lr, **options)


def step_with(optimizer, p, *grad):
    p.grad = torch.tensor(grad, dtype=p.dtype)
    optimizer.step()
    return p.detach().tolist()


def problem():
    """A separable set of two classes."""
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    return x, (x @ torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]) > 0).long()


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(6, 24, bias=False), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, 2)
    )


def make(kind, model):
    """The wrapper of that name for a model, and the model it needs."""
    if kind is BinaryConnect:
        quantize_(model)
        return kind(torch.optim.Adam(model.parameters(), lr=0.02), model)
    if kind is ProxQuant:
        adam = torch.optim.Adam(model.parameters(), lr=0.02)
        return kind(adam, model, epochs=12, steps_per_epoch=5, rate=0.2)
    if kind is MirrorDescentTanh:
        adam = torch.optim.Adam(model.parameters(), lr=0.02)
        return kind(adam, model, growth=1.3, every=5)
    quantize_(model, QuantConfig(estimator="dorefa"))
    return kind(torch.optim.Adam(model.parameters(), lr=0.02), model, hidden=8)


KINDS = [BinaryConnect, ProxQuant, MirrorDescentTanh, FCGrad, MultiFC]


def train(model, optimizer, x, y, steps):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x) / 5, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class TestBinaryConnect:
    def test_a_step(self):
        p = weight(0.95, -0.2, -3.0)
        optimizer = BinaryConnect(sgd(p), [p])
        assert step_with(optimizer, p, -1.0, 1.0, 0.0) == pytest.approx([1.0, -0.3, -1.0])

    def test_other_parameters_are_not_clipped(self):
        p, other = weight(5.0), weight(5.0)
        step_with(BinaryConnect(sgd([p, other]), [p], bound=2.0), p, 0.0)
        assert (p.item(), other.item()) == (2.0, 5.0)

    def test_needs_a_quantised_model(self):
        model = network()
        with pytest.raises(InvalidArgumentError, match="quantize_"):
            BinaryConnect(sgd(model.parameters()), model)
        with pytest.raises(InvalidArgumentError, match="bound"):
            BinaryConnect(sgd(weight(1.0)), [weight(1.0)], bound=0.0)


class TestProximalMap:
    def test_is_the_minimiser(self):
        # prox(w) minimises strength * | |z| - 1 | + (z - w)^2/2, found on a fine grid
        grid = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
        for strength in (0.0, 0.05, 0.4, 1.5):
            w = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64) + 0.01
            cost = strength * (grid.abs() - 1).abs() + (grid - w[:, None]) ** 2 / 2
            best = grid[cost.argmin(dim=1)]
            # two grid spacings
            assert (proximal_binary(w, strength) - best).abs().max() < 2e-4

    def test_small_weights_are_not_lost(self):
        w = torch.tensor([-1e-12, 3e-20])
        assert torch.equal(proximal_binary(w, 0.0), w)

    def test_zero_goes_to_the_side_of_plus_one(self):
        assert proximal_binary(torch.zeros(1), 0.25).item() == 0.25

    def test_refuses(self):
        with pytest.raises(InvalidArgumentError, match="strength"):
            proximal_binary(torch.ones(1), -0.1)
        with pytest.raises(DTypeError):
            proximal_binary(torch.ones(1, dtype=torch.int64), 0.1)


class TestProxQuant:
    def test_steps(self):
        p = weight(0.5, -2.0)
        optimizer = ProxQuant(sgd(p), [p], epochs=9, steps_per_epoch=2, rate=0.5)
        lambdas = [0.0, 0.0, 0.05, 0.05, 0.1]  # lr rate epoch
        z = [0.5, -2.0]
        for strength in lambdas:
            moved = [z[0] + 0.02, z[1] + 0.02]
            z = [moved[0] + strength, moved[1] + strength]  # both towards +-1
            assert step_with(optimizer, p, -0.2, -0.2) == pytest.approx(z)
        assert optimizer.epoch == 2

    def test_follows_the_learning_rate_of_the_group(self):
        a, b = weight(0.5), weight(0.5)
        inner = torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.01}])
        optimizer = ProxQuant(inner, [a, b], epochs=9, steps_per_epoch=1, rate=1.0)
        a.grad = b.grad = torch.zeros(1, dtype=torch.float64)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 0.2
        optimizer.step()
        assert (a.item(), b.item()) == pytest.approx((0.7, 0.51))

    def test_hard_after_two_thirds(self):
        p, other = weight(0.3, -0.0), weight(0.0)
        inner = sgd([p, other], momentum=0.9, weight_decay=0.1)
        optimizer = ProxQuant(inner, [p], epochs=3, steps_per_epoch=2, rate=0.0)
        for i in range(6):
            before = p.detach().clone()
            other.grad = torch.ones(1, dtype=torch.float64)
            step_with(optimizer, p, -1.0, -1.0)
            assert optimizer.hard is (i >= 4)
            if i >= 4:  # signs, which neither momentum nor weight decay moves
                assert p.tolist() == [1.0, 1.0]
            else:
                assert (p > before).all()
        assert other.item() < -0.5

    def test_it_ends_hard_even_if_no_epoch_is(self):
        p = weight(0.3)
        optimizer = ProxQuant(sgd(p), [p], epochs=2, steps_per_epoch=1, hard_after=0.9)
        step_with(optimizer, p, 0.0)
        assert p.item() == 0.3
        step_with(optimizer, p, 0.0)
        assert p.item() == 1.0
        never = weight(0.3)
        optimizer = ProxQuant(
            sgd(never), [never], epochs=1, steps_per_epoch=1, rate=0.0, hard_after=1.0
        )
        for _ in range(3):
            step_with(optimizer, never, 0.0)
        assert never.item() == 0.3
        optimizer.harden_()
        assert never.item() == 1.0

    def test_clip(self):
        p = weight(2.0)
        step_with(ProxQuant(sgd(p), [p], epochs=9, steps_per_epoch=1, clip=True), p, 0.0)
        assert p.item() == 1.0

    def test_options(self):
        p = weight(0.5)
        good = {"epochs": 3, "steps_per_epoch": 2}
        for bad in ({"epochs": 0}, {"steps_per_epoch": 0}, {"rate": -1.0}, {"hard_after": 1.5}):
            with pytest.raises(InvalidArgumentError, match=next(iter(bad))):
                ProxQuant(sgd(p), [p], **{**good, **bad})
        model = quantize_(network())
        with pytest.raises(InvalidArgumentError, match="dequantize_"):
            ProxQuant(sgd(model.parameters()), model, **good)


class TestMirrorDescentTanh:
    def test_steps(self):
        p = weight(0.5, -0.9)
        optimizer = MirrorDescentTanh(sgd(p), [p], beta=2.0, growth=1.5, every=2)
        expected = [0.5, -0.9]
        for beta in (2.0, 2.0, 3.0, 3.0, 4.5):
            assert optimizer.beta == beta
            for i, g in enumerate((1.0, -2.0)):
                # the formula in its form with E
                e = (1 + expected[i]) / (1 - expected[i]) * math.exp(-2 * 0.1 * beta * g)
                expected[i] = (e - 1) / (e + 1)
            assert step_with(optimizer, p, 1.0, -2.0) == pytest.approx(expected, rel=1e-12)

    def test_adam(self):
        p = weight(0.5)
        optimizer = MirrorDescentTanh(torch.optim.Adam([p], lr=0.1), [p])
        step_with(optimizer, p, 7.0)  # Adam's first step is lr sign(G), to eps
        assert p.item() == pytest.approx(math.tanh(math.atanh(0.5) - 0.1), rel=1e-8)

    def test_a_saturated_weight_comes_back(self):
        p = nn.Parameter(torch.tensor([0.5]))
        optimizer = MirrorDescentTanh(sgd(p, lr=1.0), [p])
        for _ in range(20):
            step_with(optimizer, p, -1.0)
        assert p.item() == 1.0  # rounded; artanh is 20.5
        for _ in range(20):
            step_with(optimizer, p, 1.0)
        assert p.item() == pytest.approx(0.5, rel=1e-5)

    def test_weights_changed_from_outside(self):
        p = weight(0.5, 0.1)
        optimizer = MirrorDescentTanh(sgd(p), [p])
        p.data[0] = -0.3
        result = step_with(optimizer, p, 1.0, 1.0)
        expected = [math.tanh(math.atanh(z) - 0.1) for z in (-0.3, 0.1)]
        assert result == pytest.approx(expected, rel=1e-12)

    def test_default_growth(self):
        p = weight(0.0)
        optimizer = MirrorDescentTanh(sgd(p), [p])
        optimizer.steps = 250
        assert optimizer.beta == pytest.approx(1.01**2)

    def test_harden(self):
        p = weight(0.5, -0.1, 0.0)
        MirrorDescentTanh(sgd(p), [p]).harden_()
        assert p.tolist() == [1.0, -1.0, 1.0]

    def test_options(self):
        p = weight(0.5, 1.0)
        with pytest.raises(InvalidArgumentError, match=r"tensor 0, shape \(2,\).*tanh_"):
            MirrorDescentTanh(sgd(p), [p])
        p = weight(0.5)
        for bad in ({"beta": 0.0}, {"growth": 0.9}, {"every": 0}):
            with pytest.raises(InvalidArgumentError, match=next(iter(bad))):
                MirrorDescentTanh(sgd(p), [p], **bad)


class TestMetaQuant:
    """Two steps of a layer with one input against the formulas of the three stages."""

    def layer(self, estimator):
        layer = nn.Linear(1, 2, bias=False, dtype=torch.float64)
        layer.weight.data = torch.tensor([[0.5], [-0.25]], dtype=torch.float64)
        latent = layer.weight
        return quantize_(layer, QuantConfig(estimator=estimator)), latent

    @pytest.mark.parametrize("estimator", [DoReFa(), BWN()])
    @pytest.mark.parametrize("kind", [FCGrad, MultiFC])
    def test_two_steps(self, kind, estimator):
        layer, w = self.layer(estimator)
        lr = 0.1
        optimizer = kind(sgd(w, lr=lr), layer, hidden=4, meta_lr=1e-2)
        c = optimizer.meta_net.coefficient
        assert c().item() == pytest.approx(1.0)
        x = torch.tensor([[1.0]], dtype=torch.float64)
        weights = torch.tensor([1.0, 3.0], dtype=torch.float64)

        def gradient():  # dL/dQ of loss = sum weights y^2/2
            optimizer.zero_grad()
            y = layer(x)
            loss = (weights * y**2).sum() / 2
            loss.backward()
            return (weights * y).detach().reshape(2, 1)

        start = w.detach().clone()
        first = gradient()
        assert all(p.grad is None for p in optimizer.meta_net.parameters())
        optimizer.step()
        assert torch.equal(w, start)  # no gradient is known yet

        if isinstance(estimator, DoReFa):
            t = torch.tanh(start)
            slope, z = (1 - t**2) / t.abs().max(), t / (2 * t.abs().max()) + 0.5
        else:
            slope, z = start.abs().mean(), start
        meta = first if kind is FCGrad else first * z
        second = gradient()
        # dL/dc through the look-ahead weights w - lr A' c meta
        with torch.no_grad():
            ahead = start - lr * slope * meta
        through = estimator.backward(ahead, None, second, layer.parametrizations.weight[0].site())
        dc = (through * (-lr * slope * meta)).sum()
        (expected,) = [torch.autograd.grad(c()[0, 0], list(optimizer.meta_net.parameters()))]
        grads = []
        optimizer.meta_optimizer.register_step_pre_hook(
            lambda *_: grads.extend(p.grad.clone() for p in optimizer.meta_net.parameters())
        )
        optimizer.step()
        for a, b in zip(grads, expected, strict=True):
            torch.testing.assert_close(a, (dc * b).to(a.dtype), rtol=1e-5, atol=1e-7)
        # the meta network is in float32
        torch.testing.assert_close(w.detach(), start - lr * slope * meta, rtol=1e-6, atol=0)
        assert c().item() != pytest.approx(1.0, abs=1e-4)

    def test_the_forward_pass_looks_ahead_in_training_only(self):
        layer, w = self.layer("ste")
        optimizer = FCGrad(sgd(w, lr=1.0), layer)
        x = torch.ones(1, 1, dtype=torch.float64)
        layer(x).sum().backward()  # G = 1 for both
        optimizer.step()
        assert layer(x).tolist() == [[-1.0, -1.0]]  # sign of 0.5 - 1
        with torch.no_grad():
            assert layer(x).tolist() == [[1.0, -1.0]]
        layer.eval()
        assert layer(x).tolist() == [[1.0, -1.0]]
        layer.train()
        optimizer.detach()
        assert layer(x).tolist() == [[1.0, -1.0]]

    def test_gradients_of_several_batches_add_up(self):
        x = torch.ones(1, 1, dtype=torch.float64)
        results = []
        for batches in ((1.0, 2.0), (3.0,)):
            layer, w = self.layer("ste")
            optimizer = FCGrad(sgd(w), layer)
            for _ in range(2):
                optimizer.zero_grad()
                for size in batches:
                    layer(size * x).sum().backward()
                optimizer.step()
            results.append(w.detach())
        torch.testing.assert_close(*results)

    def test_a_scale_of_the_quantiser_counts(self):
        _, w = self.layer("ste")
        again = nn.Linear(1, 2, bias=False, dtype=torch.float64)
        again.weight.data = w.detach().clone()
        latent = again.weight
        quantize_(again, QuantConfig(weight_scale="max"))
        optimizer = FCGrad(sgd(latent), again)
        for _ in range(2):
            optimizer.zero_grad()
            again(torch.ones(1, 1, dtype=torch.float64)).sum().backward()
            optimizer.step()
        expected = w.detach() - 0.1 * 0.5  # lr max|w| G
        torch.testing.assert_close(latent.detach(), expected, rtol=1e-6, atol=0)

    def test_random_start(self):
        torch.manual_seed(0)
        layer, w = self.layer("ste")
        optimizer = MultiFC(sgd(w), layer, start="random", hidden=16)
        x = torch.randn(5, 1)
        by_layers = x
        for linear in optimizer.meta_net.layers:
            by_layers = linear(by_layers)
        torch.testing.assert_close(optimizer.meta_net.coefficient() * x, by_layers)
        assert [tuple(m.weight.shape) for m in optimizer.meta_net.layers] == [
            (16, 1),
            (16, 16),
            (1, 16),
        ]

    def test_options(self):
        layer, w = self.layer("ste")
        for bad in ({"hidden": 0}, {"meta_lr": 0.0}, {"layers": 1}):
            with pytest.raises(InvalidArgumentError):
                FCGrad(sgd(w), layer, **bad)
        with pytest.raises(UnknownNameError, match="start"):
            FCGrad(sgd(w), layer, start="zero")
        model = network()
        with pytest.raises(InvalidArgumentError, match="quantize_"):
            FCGrad(sgd(model.parameters()), model)


def network_state(state):
    """The state of two wrappers, without that of the inner one."""
    return {**state, "wrapper": {k: v for k, v in state["wrapper"].items() if k != "inner"}}


class TestEveryWrapper:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_trains_a_small_network(self, kind):
        x, y = problem()
        model = network()
        losses = train(model, make(kind, model), x, y, 60)
        assert sum(losses[-5:]) / 5 < 0.6 * losses[0]

    @pytest.mark.parametrize("kind", [ProxQuant, MirrorDescentTanh])
    def test_float_methods_end_at_discrete_weights(self, kind):
        x, y = problem()
        model = network()
        optimizer = make(kind, model)
        train(model, optimizer, x, y, 60)
        optimizer.harden_()
        assert set(model[0].weight.flatten().tolist()) == {-1.0, 1.0}
        loss = nn.functional.cross_entropy(model(x) / 5, y).item()
        assert loss < 0.5  # 0.69 is chance

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_resumes(self, kind):
        x, y = problem()
        straight = network()
        optimizer = make(kind, straight)
        train(straight, optimizer, x, y, 23)
        file = io.BytesIO()
        torch.save([straight.state_dict(), optimizer.state_dict()], file)
        expected = train(straight, optimizer, x, y, 20)

        torch.manual_seed(5)
        resumed = nn.Sequential(
            nn.Linear(6, 24, bias=False), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, 2)
        )
        again = make(kind, resumed)
        file.seek(0)
        model_state, state = torch.load(file, weights_only=True)
        resumed.load_state_dict(model_state)
        again.load_state_dict(state)
        assert again.param_groups is again.inner.param_groups
        assert again.state is again.inner.state
        assert train(resumed, again, x, y, 20) == expected

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("outer", [Lookahead, OscillationDamping])
    def test_one_around_another_resumes(self, outer, kind):
        if outer is OscillationDamping and kind in (ProxQuant, MirrorDescentTanh):
            pytest.skip("one needs a quantised model, the other a float one")
        x, y = problem()

        def both(model):
            inner = make(kind, model)
            if outer is Lookahead:
                return inner, Lookahead(inner, every=4)
            return inner, OscillationDamping(inner, model, steps=43)

        model = network()
        inner, optimizer = both(model)
        train(model, optimizer, x, y, 23)
        saved = copy.deepcopy([model.state_dict(), optimizer.state_dict()])
        copies = copy.deepcopy((model, optimizer))
        expected = train(model, optimizer, x, y, 20)
        model = network()
        inner, optimizer = both(model)
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        assert optimizer.state is inner.state is inner.inner.state
        assert optimizer.param_groups is inner.param_groups is inner.inner.param_groups
        assert train(model, optimizer, x, y, 20) == expected
        if not isinstance(inner, MultiFC | FCGrad):  # which hold hooks of a model
            assert train(*copies, x, y, 20) == expected
        with pytest.raises(InvalidArgumentError, match="not of"):  # it lacks the other's
            optimizer.load_state_dict(network_state(saved[1]))

    @pytest.mark.parametrize("kind", [OscillationDamping, OscillationFreezing, CAGE])
    @pytest.mark.parametrize("other", [OscillationDamping, OscillationFreezing, CAGE])
    def test_the_state_of_another_wrapper_is_refused(self, kind, other):
        """Their entries may have the same names. Of every pair, alone and inside of a third."""
        model = quantize_(network(), QuantConfig(weight_bits=2))
        one = kind(torch.optim.SGD(model.parameters(), lr=0.1), model, steps=9)
        two = other(torch.optim.SGD(model.parameters(), lr=0.1), model, steps=9)
        one.steps = 5
        for mine, theirs in ((one, two), (Lookahead(one), Lookahead(two))):
            state = copy.deepcopy(mine.state_dict())
            if kind is other:
                theirs.load_state_dict(state)
                assert two.steps == 5
                two.steps = 0
                continue
            message = f"not of {other.__name__}, it is of {kind.__name__}; load it"
            with pytest.raises(InvalidArgumentError, match=message):
                theirs.load_state_dict(state)
            assert two.steps == 0

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_state_without_a_name_is_that_of_an_earlier_version(self, kind):
        x, y = problem()
        model = network()
        optimizer = make(kind, model)
        train(model, optimizer, x, y, 3)
        state = copy.deepcopy(optimizer.state_dict())
        assert state["wrapper"].pop("name") == kind.__name__
        optimizer.load_state_dict(state)

    def test_the_state_of_two_wrappers_is_not_that_of_one(self):
        model = quantize_(network(), QuantConfig(weight_bits=2))
        inner = OscillationDamping(torch.optim.SGD(model.parameters(), lr=0.1), model, steps=9)
        state = Lookahead(inner).state_dict()
        with pytest.raises(InvalidArgumentError, match="of Lookahead around another wrapper"):
            Lookahead(inner.inner).load_state_dict(state)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_closure_is_the_same_as_three_lines(self, kind):
        x, y = problem()
        results = []
        for closures in (False, True):
            model = network()
            optimizer = make(kind, model)
            if not closures:
                results.append(train(model, optimizer, x, y, 5))
                continue
            calls = []

            def closure(model=model, optimizer=optimizer, calls=calls):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x) / 5, y)
                loss.backward()
                calls.append(1)
                return loss

            results.append([optimizer.step(closure).item() for _ in range(5)])
            assert len(calls) == 5
        assert results[0] == results[1]

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_an_optimiser(self, kind):
        x, y = problem()
        model = network()
        optimizer = make(kind, model)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        calls = []
        optimizer.register_step_post_hook(lambda *args: calls.append(1))
        extra = nn.Parameter(torch.ones(1))
        optimizer.add_param_group({"params": [extra], "lr": 1.0})
        train(model, optimizer, x, y, 2)
        scheduler.step()
        assert optimizer.inner.param_groups[0]["lr"] == 0.01
        assert len(optimizer.inner.param_groups) == 2
        assert len(calls) == 2
        extra.grad = torch.ones(1)
        optimizer.zero_grad()
        assert extra.grad is None
        assert optimizer.state is optimizer.inner.state
        assert "param_groups" in optimizer.state_dict()

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_state_of_a_plain_optimiser_is_refused(self, kind):
        optimizer = make(kind, network())
        with pytest.raises(InvalidArgumentError, match=r"\.inner"):
            optimizer.load_state_dict(optimizer.inner.state_dict())


def test_what_cannot_be_wrapped():
    p = weight(0.5)
    with pytest.raises(InvalidArgumentError, match="LBFGS"):
        BinaryConnect(torch.optim.LBFGS([p]), [p])
    with pytest.raises(InvalidArgumentError, match="SGD"):
        BinaryConnect([p], [p])
    with pytest.raises(InvalidArgumentError, match="there are none"):
        BinaryConnect(sgd(p), [])
    with pytest.raises(InvalidArgumentError, match="1 of them are not in"):
        BinaryConnect(sgd(p), [p, weight(1.0)])
    p = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(DTypeError):
        BinaryConnect(sgd(p), [p])


def test_quantizable_parameters():
    model = network()
    found = quantizable_parameters(model)
    assert [id(p) for p in found] == [id(model[0].weight), id(model[3].weight)]
    assert quantizable_parameters(model, skip=["3"])[0] is model[0].weight
    model[3] = model[0]
    assert len(quantizable_parameters(model)) == 1
    assert latent_parameters(quantize_(model))[0] is found[0]


def test_latent_weights_stay_in_the_cube_and_values_binary():
    x, y = problem()
    model = network()
    with torch.no_grad():
        model[0].weight.mul_(10)
    optimizer = make(BinaryConnect, model)
    train(model, optimizer, x, y, 3)
    latent = latent_parameters(model)[0].detach()
    assert latent.abs().max() == 1.0
    assert torch.equal(model[0].weight, quantize_binary(latent))
