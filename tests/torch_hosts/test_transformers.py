"""The Hugging Face Trainer: the callback corrects before clipping, although it is called after."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed (extra 'hosts')"
)
pytest.importorskip("accelerate", reason="accelerate is not installed (extra 'hosts')")

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import LNECorrector, QuantConfig, quantize_  # noqa: E402
from riemann_lne_torch.quantization import latent_parameters  # noqa: E402
from riemann_lne_torch.transformers import LNECallback  # noqa: E402

nn = torch.nn
STEPS, CLIP, RATE = 4, 0.05, 0.1
CLOSE = 1e-13  # equal operations in another order, in float64


class Model(nn.Module):
    """As the Trainer wants it: labels in, a loss out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2)]
        self.layers = nn.Sequential(*layers).double()
        quantize_(self.layers, QuantConfig(weight_bits=1, skip=("4",)))

    def forward(self, x, labels):
        result = self.layers(x)
        return {"loss": (result - labels).square().mean(), "logits": result}


def data():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(8, 2, generator=generator, dtype=torch.float64)
    return x, y


def make(folder, *callbacks, model=None, **options):
    """A trainer whose batches hold all data, so that their order is not seen."""
    x, y = data()
    defaults = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 8,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
    }
    return transformers.Trainer(
        model=Model() if model is None else model,
        args=transformers.TrainingArguments(str(folder), **{**defaults, **options}),
        train_dataset=[{"x": a, "labels": b} for a, b in zip(x, y, strict=True)],
        callbacks=list(callbacks),
    )


def reference(hand, steps=STEPS, **options):
    model = Model()
    x, y = data()
    losses = [lambda m: m(x, y)["loss"]] * steps
    return hand.train(
        model,
        torch.optim.SGD(model.parameters(), lr=RATE),
        losses,
        latent_parameters(model),
        **options,
    )


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("clip", [0.0, CLIP])
@pytest.mark.parametrize("tau", [0.2, "auto"])
def test_the_training_is_the_one_by_hand(tau, clip, accumulated, tmp_path, hand):
    run = make(
        tmp_path,
        LNECallback(tau=tau),
        max_grad_norm=clip,
        per_device_train_batch_size=8 // accumulated,
        gradient_accumulation_steps=accumulated,
    )
    run.train()
    expected = reference(hand, tau=tau, clip=clip or None)
    assert hand.distance(run.model, expected) < CLOSE
    assert hand.distance(reference(hand, tau=None, clip=clip or None), expected) > 1e6 * CLOSE
    assert run.args.max_grad_norm == clip


def test_the_trainer_itself_clips_before_the_event(tmp_path, hand):
    """The reason why the callback takes the clipping over."""

    class Late(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, **kwargs):
            self.corrector = LNECorrector(model)

        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            squares = [p.grad.square().sum() for p in model.parameters()]
            assert sum(squares).sqrt() == pytest.approx(CLIP, rel=1e-4)  # clipped already
            self.corrector.correct_()

    run = make(tmp_path, Late(), max_grad_norm=CLIP)
    run.train()
    assert hand.distance(run.model, reference(hand, clip=CLIP)) > 1e6 * CLOSE


def test_the_norm_that_is_logged_stays_what_it_is(tmp_path):
    found = []
    for callbacks in ([], [LNECallback()]):
        run = make(
            tmp_path,
            *callbacks,
            max_steps=1,
            max_grad_norm=CLIP,
            logging_strategy="steps",
            logging_steps=1,
        )
        run.train()
        found.append(run.state.log_history[0]["grad_norm"])
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    assert found[0] > 2 * CLIP


def test_attach_works_where_the_trainer_does_not_clip(tmp_path, hand):
    run = make(tmp_path)
    run.create_optimizer()
    LNECorrector(run.model).attach(run.optimizer)
    run.train()
    assert hand.distance(run.model, reference(hand)) < CLOSE


def test_attach_finds_the_optimizer_inside_of_accelerates(tmp_path):
    from accelerate import Accelerator

    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    prepared = Accelerator(cpu=True).prepare(optimizer)
    assert prepared is not optimizer
    corrector = LNECorrector(model)
    corrector.attach(prepared)
    x, y = data()
    model(x, y)["loss"].backward()
    prepared.step()
    assert set(corrector.statistics) == {"layers.0", "layers.2"}


def test_the_arguments_are_never_touched(tmp_path):
    """In a training, in its checkpoints, after an error in any place, with several callbacks."""
    seen = []

    class Look(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            seen.append(args.max_grad_norm)

    callbacks = LNECallback(select=("layers.0",)), LNECallback(select=("layers.2",)), Look()
    make(tmp_path, *callbacks, max_grad_norm=CLIP, save_strategy="steps", save_steps=2).train()
    saved = torch.load(tmp_path / "checkpoint-2" / "training_args.bin", weights_only=False)
    assert [*seen, saved.max_grad_norm] == [CLIP] * (STEPS + 1)
    for event in ("on_step_begin", "on_pre_optimizer_step", "on_step_end", "on_save"):

        def stop(self, *args, **kwargs):
            raise KeyboardInterrupt

        breaking = type("Breaking", (transformers.TrainerCallback,), {event: stop})()
        run = make(
            tmp_path,
            LNECallback(),
            breaking,
            max_grad_norm=CLIP,
            save_strategy="steps",
            save_steps=1,
        )
        with pytest.raises(KeyboardInterrupt):
            run.train()
        assert run.args.max_grad_norm == CLIP


@pytest.mark.filterwarnings("ignore:You are adding")
def test_clipping_comes_after_all_corrections(tmp_path, hand):
    callbacks = LNECallback(select=("layers.0",)), LNECallback(select=("layers.2",))
    run = make(tmp_path, *callbacks, max_grad_norm=CLIP)
    run.train()
    assert hand.distance(run.model, reference(hand, clip=CLIP)) < CLOSE
    run = make(tmp_path, LNECallback(), LNECallback(target=0.3), max_grad_norm=CLIP)
    with pytest.raises(InvalidArgumentError, match=r"two LNECallbacks correct layers\.0"):
        run.train()


def test_other_ways_of_clipping_are_refused(tmp_path):
    class Other(transformers.Trainer):
        def _clip_grad_norm(self, model):
            return torch.nn.utils.clip_grad_norm_(model.parameters(), self.args.max_grad_norm)

    run = make(tmp_path, LNECallback(), max_grad_norm=CLIP)
    run.__class__ = Other
    with pytest.raises(InvalidArgumentError, match=r"max_grad_norm=0 and clip after"):
        run.train()


def test_a_callback_and_an_attached_corrector_are_refused(tmp_path):
    run = make(tmp_path, LNECallback())
    run.create_optimizer()
    LNECorrector(run.model).attach(run.optimizer)
    with pytest.raises(InvalidArgumentError, match="another corrector"):
        run.train()


def test_a_training_that_broke_off_leaves_the_clipping_to_the_next(tmp_path, hand):
    class Stop(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            raise KeyboardInterrupt

    callback, stop = LNECallback(), Stop()
    run = make(tmp_path, callback, stop, max_grad_norm=CLIP)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    run.remove_callback(stop)
    run.model.load_state_dict(Model().state_dict())
    run.train()
    assert hand.distance(run.model, reference(hand, clip=CLIP)) < CLOSE
    assert run.args.max_grad_norm == CLIP


def test_a_training_resumes_without_a_state_of_the_callback(tmp_path, hand):
    model = Model()
    save = {"save_strategy": "steps", "save_steps": 2}
    make(tmp_path, LNECallback(), model=model, max_grad_norm=CLIP, **save, max_steps=2).train()
    run = make(tmp_path, LNECallback(), max_grad_norm=CLIP, **save)
    run.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert run.state.global_step == STEPS
    assert hand.distance(run.model, reference(hand, clip=CLIP)) < CLOSE


def test_statistics_are_reported(tmp_path):
    seen = []
    callback = LNECallback(report=lambda *values: seen.append(values), prefix="run")
    make(tmp_path, callback, logging_strategy="steps", logging_steps=2).train()
    assert [step for _, step in seen] == [0, 2]
    assert seen[1][0]["run/layers.2/norm2"] == pytest.approx(0.5)


def test_bad_arguments(tmp_path):
    corrector = LNECorrector(Model())
    with pytest.raises(InvalidArgumentError, match="not both: target"):
        LNECallback(corrector, target=0.4)
    with pytest.raises(InvalidArgumentError, match="none of the corrected parameters"):
        make(tmp_path, LNECallback(corrector)).train()
    plain = Model()
    plain.layers = nn.Sequential(nn.Linear(6, 2)).double()
    run = make(tmp_path, LNECallback(), model=plain)
    with pytest.raises(InvalidArgumentError, match="no quantised layers"):
        run.train()
