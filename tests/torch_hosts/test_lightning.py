"""Lightning: the callback corrects before clipping, in fp32 and bf16-mixed, and is saved."""

import copy
import logging

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pl = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed (extra 'hosts')")

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import LNECorrector, QuantConfig, quantize_  # noqa: E402
from riemann_lne_torch.lightning import LNECallback  # noqa: E402
from riemann_lne_torch.quantization import latent_parameters  # noqa: E402

nn = torch.nn
STEPS, CLIP = 4, 0.05
CLOSE = {torch.float64: 1e-13, torch.float32: 2e-6}  # equal operations in another order

pytestmark = [
    # advice that Lightning gives on machines with more cores
    pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers"),
    # torch's own, of what Lightning calls in it
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
]


def make(dtype=torch.float64):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2))
    return quantize_(model.to(dtype), QuantConfig(weight_bits=1, skip=("4",)))


def batches(dtype=torch.float64, steps=STEPS):
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(8, 6, generator=generator).to(dtype),
            torch.randn(8, 2, generator=generator).to(dtype),
        )
        for _ in range(steps)
    ]


class Data(torch.utils.data.Dataset):
    """The batches as they are, in their order."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def loader(items):
    return torch.utils.data.DataLoader(Data(items), batch_size=None)


class Module(pl.LightningModule):
    """A training as any user writes it."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.events = []

    def training_step(self, batch, index):
        x, y = batch
        return (self.model(x).to(y.dtype) - y).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    def configure_gradient_clipping(self, optimizer, **options):
        self.events.append("clip")
        self.clip_gradients(optimizer, **options)


def trainer(*callbacks, folder=None, **options):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    defaults = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 1,
    }
    return pl.Trainer(callbacks=list(callbacks), **{**defaults, **options})


def losses(items, autocast=False):
    def one(x, y):
        def loss(model):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                result = model(x)
            return (result.to(y.dtype) - y).square().mean()

        return loss

    return [one(x, y) for x, y in items]


def reference(hand, dtype=torch.float64, autocast=False, items=None, **options):
    model = make(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    items = batches(dtype) if items is None else items
    return hand.train(
        model, optimizer, losses(items, autocast), latent_parameters(model), **options
    )


@pytest.mark.parametrize("clip", [None, CLIP])
@pytest.mark.parametrize("tau", [0.2, "auto"])
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("64-true", torch.float64), ("32-true", torch.float32), ("bf16-mixed", torch.float32)],
)
def test_the_training_is_the_one_by_hand(precision, dtype, tau, clip, hand):
    options = {"dtype": dtype, "autocast": precision == "bf16-mixed", "clip": clip}
    expected = reference(hand, tau=tau, **options)
    plain = reference(hand, tau=None, **options)
    module = Module(make(dtype))
    trainer(LNECallback(tau=tau), precision=precision, gradient_clip_val=clip).fit(
        module, loader(batches(dtype))
    )
    assert hand.distance(module.model, expected) < CLOSE[dtype]
    assert hand.distance(plain, expected) > 20 * CLOSE[dtype]


def test_the_callback_comes_before_clipping(hand):
    class Watched(LNECallback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            pl_module.events.append("correct")
            super().on_before_optimizer_step(trainer, pl_module, optimizer)

    module = Module(make())
    trainer(Watched(), gradient_clip_val=CLIP).fit(module, loader(batches()))
    assert module.events == ["correct", "clip"] * STEPS


def test_accumulated_batches(hand):
    module = Module(make())
    trainer(LNECallback(), accumulate_grad_batches=2).fit(module, loader(batches()))
    parts = batches()
    whole = [
        tuple(torch.cat(pair) for pair in zip(parts[i], parts[i + 1], strict=True)) for i in (0, 2)
    ]
    expected = reference(hand, items=whole)
    assert hand.distance(module.model, expected) < CLOSE[torch.float64]


def test_attach_is_refused_with_the_callbacks_name():
    class Attached(Module):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            LNECorrector(self).attach(optimizer)
            return optimizer

    for precision in ("64-true", "bf16-mixed"):
        with pytest.raises(InvalidArgumentError, match=r"riemann_lne_torch.lightning.LNECallback"):
            trainer(precision=precision).fit(Attached(make()), loader(batches()))


def test_a_corrector_of_ones_own(hand):
    module = Module(make())
    corrector = LNECorrector(module, 0.2)
    callback = LNECallback(corrector)
    trainer(callback).fit(module, loader(batches()))
    assert callback.corrector is corrector
    expected = reference(hand, tau=0.2)
    assert hand.distance(module.model, expected) < CLOSE[torch.float64]
    with pytest.raises(InvalidArgumentError, match="not both: tau"):
        LNECallback(corrector, tau=0.1)
    with pytest.raises(InvalidArgumentError, match="got float"):
        LNECallback(0.5)
    with pytest.raises(InvalidArgumentError, match="none of the corrected parameters"):
        trainer(LNECallback(LNECorrector(make()))).fit(Module(make()), loader(batches()))


def test_the_state_is_in_the_checkpoint(tmp_path, hand):
    items = batches()
    first = LNECallback(target=0.4)
    run = trainer(first, max_epochs=1)
    run.fit(Module(make()), loader(items[:2]))
    path = tmp_path / "half.ckpt"
    run.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)["callbacks"][first.state_key]
    assert set(saved["tau"]) == {"model.0", "model.2"}

    taken_up = []

    class Watched(LNECallback):
        def on_fit_start(self, trainer, pl_module):
            super().on_fit_start(trainer, pl_module)
            taken_up.append(copy.deepcopy(self.state_dict()))

    Watched.__qualname__ = "LNECallback"  # state keys hold the name of the class
    module = Module(make())
    trainer(Watched(target=0.4), max_epochs=2).fit(
        module, loader(items[2:]), ckpt_path=path, weights_only=True
    )
    for name, tau in first.state_dict()["tau"].items():
        assert torch.equal(taken_up[0]["tau"][name], tau)
        assert torch.equal(saved["tau"][name], tau)
    other = LNECallback(target=0.4)
    assert other.state_key == first.state_key
    assert LNECallback(target=0.3).state_key != first.state_key
    assert other.state_dict() == {}
    # one run without a break
    model = Module(make())
    both = trainer(other, max_epochs=1)
    both.fit(model, loader(items))
    assert hand.distance(module.model, model.model) < CLOSE[torch.float64]


def test_statistics_are_logged():
    callback = LNECallback(log=True, prefix="geometry")
    run = trainer(callback, log_every_n_steps=2)
    run.fit(Module(make()), loader(batches()))
    norm2 = {n: float(v) for n, v in run.logged_metrics.items() if n.endswith("/norm2")}
    assert norm2 == pytest.approx(
        {"geometry/model.0/norm2": 0.5, "geometry/model.2/norm2": 0.5}, rel=1e-6
    )
    with pytest.raises(InvalidArgumentError, match="statistics=True"):
        LNECallback(log=True, statistics=False)
    with pytest.raises(InvalidArgumentError, match="statistics=True"):
        LNECallback(LNECorrector(make(), statistics=False), log=True)


class TestTwoOptimizers:
    """Manual optimisation, one optimiser a layer."""

    class Manual(Module):
        def __init__(self, model):
            super().__init__(model)
            self.automatic_optimization = False

        def training_step(self, batch, index):
            loss = super().training_step(batch, index)
            optimizers = self.optimizers()
            for optimizer in optimizers:
                optimizer.zero_grad()
            self.manual_backward(loss)
            for optimizer in optimizers:
                optimizer.step()

        def configure_optimizers(self):
            layers = (self.model[0], self.model[2], self.model[4])
            return [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in layers]

    def test_a_callback_for_each(self, hand):
        module = self.Manual(make())
        callbacks = [LNECallback(select=("model.0",)), LNECallback(select=("model.2",))]
        trainer(*callbacks).fit(module, loader(batches()))
        assert hand.distance(module.model, reference(hand)) < CLOSE[torch.float64]

    def test_one_for_both(self, hand):
        module = self.Manual(make())
        run = trainer(LNECallback(log=True), log_every_n_steps=1)
        run.fit(module, loader(batches()))
        assert hand.distance(module.model, reference(hand)) < CLOSE[torch.float64]
        assert {"lne/model.0/norm2", "lne/model.2/norm2"} <= set(run.logged_metrics)

    def test_a_block_of_both_is_refused(self):
        with pytest.raises(InvalidArgumentError, match=r"holds 1 of them, without model\.2"):
            trainer(LNECallback(block="network")).fit(self.Manual(make()), loader(batches()))

    def test_two_corrections_of_one_weight_are_refused(self):
        callbacks = LNECallback(), LNECallback(target=0.3)
        with pytest.raises(InvalidArgumentError, match=r"two LNECallbacks correct model\.0"):
            trainer(*callbacks).fit(self.Manual(make()), loader(batches()))

    def test_manual_clipping_comes_after(self, hand):
        class Clipped(Module):
            def __init__(self, model):
                super().__init__(model)
                self.automatic_optimization = False

            def training_step(self, batch, index):
                loss = super().training_step(batch, index)
                optimizer = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                self.clip_gradients(optimizer, CLIP, "norm")
                optimizer.step()

        module = Clipped(make())
        trainer(LNECallback()).fit(module, loader(batches()))
        assert hand.distance(module.model, reference(hand, clip=CLIP)) < CLOSE[torch.float64]
        assert "clip_gradients" not in vars(module)

        class Other(Clipped):
            def clip_gradients(self, optimizer, *options):
                callback.correct_(self.trainer, optimizer)
                nn.utils.clip_grad_norm_(self.parameters(), CLIP)

        callback = LNECallback()
        module = Other(make())
        trainer(callback).fit(module, loader(batches()))
        assert hand.distance(module.model, reference(hand, clip=CLIP)) < CLOSE[torch.float64]
