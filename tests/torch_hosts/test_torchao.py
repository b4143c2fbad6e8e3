"""torchao: quantisation-aware training by quantize_ with QATConfig, and PARQ."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
qat = pytest.importorskip(
    "torchao.quantization.qat", reason="torchao is not installed (extra 'hosts')"
)
parq = pytest.importorskip(
    "torchao.prototype.parq", reason="PARQ is not in this torchao (extra 'hosts')"
)

from torchao.quantization import quantize_  # noqa: E402

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import LNECorrector  # noqa: E402

nn = torch.nn
STEPS = 4
# Equal operations in another order, in float32: some roundings of values up to 1.
CLOSE = 2e-6


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))


def losses():
    generator = torch.Generator().manual_seed(1)
    data = [
        (torch.randn(16, 8, generator=generator), torch.randn(16, 2, generator=generator))
        for _ in range(STEPS)
    ]
    return [lambda model, x=x, y=y: (model(x) - y).square().mean() for x, y in data]


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


class TestQAT:
    """Fake quantisation of weights to 4 bits in groups of 8, and of activations to 8 bits."""

    @staticmethod
    def prepare(model):
        config = qat.QATConfig(
            activation_config=qat.IntxFakeQuantizeConfig(
                torch.int8, "per_token", is_symmetric=False
            ),
            weight_config=qat.IntxFakeQuantizeConfig(torch.int4, group_size=8),
            step="prepare",
        )
        quantize_(model, config, filter_fn=lambda m, name: name in ("0", "2"))
        return model

    def test_the_parameters_stay_and_the_layers_are_found(self):
        model = make()
        before = list(model.parameters())
        self.prepare(model)
        assert type(model[0]).__name__ == "FakeQuantizedLinear"
        assert all(p is q for p, q in zip(model.parameters(), before, strict=True))
        weights = LNECorrector(model).weights
        assert [w.name for w in weights] == ["0", "2"]
        assert weights[0].parameter is before[0]

    def test_an_embedding_is_found(self):
        model = nn.Sequential(nn.Embedding(5, 8))
        config = qat.QATConfig(
            weight_config=qat.IntxFakeQuantizeConfig(torch.int4, group_size=8), step="prepare"
        )
        quantize_(model, config, filter_fn=lambda m, name: isinstance(m, nn.Embedding))
        assert [w.name for w in LNECorrector(model).weights] == ["0"]

    def test_activations_alone_leave_nothing_to_correct(self):
        model = make()
        config = qat.QATConfig(
            activation_config=qat.IntxFakeQuantizeConfig(torch.int8, "per_token"), step="prepare"
        )
        quantize_(model, config)
        with pytest.raises(InvalidArgumentError, match="no quantised layers"):
            LNECorrector(model)

    @pytest.mark.parametrize("tau", [0.2, "auto"])
    @pytest.mark.parametrize("optimizer_made", ["before", "after"])
    def test_the_training_is_the_one_by_hand(self, tau, optimizer_made, hand):
        reference, plain = self.prepare(make()), self.prepare(make())
        hand.train(plain, sgd(plain), losses(), [], tau=None)
        weights = [reference[0].weight, reference[2].weight]
        hand.train(reference, sgd(reference), losses(), weights, tau=tau)
        model = make()
        optimizer = sgd(model) if optimizer_made == "before" else None
        self.prepare(model)
        optimizer = optimizer or sgd(model)
        LNECorrector(model, tau).attach(optimizer)
        for loss in losses():
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
        assert hand.distance(model, reference) < CLOSE
        assert hand.distance(plain, reference) > 50 * CLOSE

    def test_the_trained_model_converts(self):
        model = self.prepare(make())
        optimizer = sgd(model)
        LNECorrector(model).attach(optimizer)
        losses()[0](model).backward()
        optimizer.step()
        quantize_(model, qat.QATConfig(step="convert"))
        assert type(model[0]) is nn.Linear
        assert torch.isfinite(model(torch.ones(1, 8))).all()


PROXIMAL = {
    "hard": lambda: parq.ProxHardQuant(),
    "parq": lambda: parq.ProxPARQ(anneal_start=1, anneal_end=STEPS + 1, steepness=5),
}


class TestPARQ:
    """Between steps p is quantised; the latent weight is in the optimiser's state."""

    @staticmethod
    def groups(model):
        weights = [model[0].weight, model[2].weight]
        held = {id(p) for p in weights}
        rest = [p for p in model.parameters() if id(p) not in held]
        return weights, [{"params": weights, "quant_bits": 2}, {"params": rest}]

    def by_hand(self, model, warmup, proximal, hand, tau):
        """PARQ's own order: restore, step of the base optimiser, keep, quantise."""
        weights, groups = self.groups(model)
        base = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        quantiser, latent = parq.UnifQuantizer(), {}
        for step, loss in enumerate(losses()):
            base.zero_grad()
            loss(model).backward()
            with torch.no_grad():
                for p in latent:
                    p.copy_(latent[p])
                if tau is not None:
                    hand.solve(weights, tau)
                base.step()
                if step < warmup:
                    continue
                for p in weights:
                    latent[p] = p.clone()
                    q, levels = quantiser.quantize(p, 2)
                    proximal.apply_(p, q, levels, step_count=step)
        return latent

    @pytest.mark.parametrize("tau", [0.2, "auto"])
    @pytest.mark.parametrize("warmup", [0, 1])
    @pytest.mark.parametrize("kind", list(PROXIMAL))
    def test_the_training_is_the_one_by_hand(self, kind, warmup, tau, hand):
        reference, plain, model = make(), make(), make()
        expected = self.by_hand(reference, warmup, PROXIMAL[kind](), hand, tau)
        without = self.by_hand(plain, warmup, PROXIMAL[kind](), hand, None)
        weights, groups = self.groups(model)
        optimizer = parq.QuantOptimizer(
            torch.optim.SGD(groups, lr=0.1, momentum=0.9),
            parq.UnifQuantizer(),
            PROXIMAL[kind](),
            warmup_steps=warmup,
            quant_period=1,
        )
        corrector = LNECorrector(weights, tau)
        corrector.attach(optimizer)
        for loss in losses():
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
        found = [optimizer.state[p]["latent"] for p in weights]
        for latent, value, other in zip(found, expected.values(), without.values(), strict=True):
            assert float((latent - value).abs().max()) < CLOSE
            assert float((latent - other).abs().max()) > 50 * CLOSE
        assert hand.distance(model, reference) < CLOSE
        if kind == "hard":  # and p was not the latent weight
            assert float((weights[0] - found[0]).detach().abs().max()) > 1e-2

    def test_the_layers_have_to_be_named(self):
        with pytest.raises(InvalidArgumentError, match="select"):
            LNECorrector(make())
        model = make()
        assert [w.name for w in LNECorrector(model, select=("0", "2")).weights] == ["0", "2"]

    def test_the_reference_is_that_of_the_library(self, hand):
        """The order written out by hand above is the library's where nothing is corrected."""
        reference, model = make(), make()
        self.by_hand(reference, 1, PROXIMAL["parq"](), hand, None)
        optimizer = parq.QuantOptimizer(
            torch.optim.SGD(self.groups(model)[1], lr=0.1, momentum=0.9),
            parq.UnifQuantizer(),
            PROXIMAL["parq"](),
            warmup_steps=1,
            quant_period=1,
        )
        for loss in losses():
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
        assert hand.distance(model, reference) == 0.0
