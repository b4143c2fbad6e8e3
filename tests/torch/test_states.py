"""States and copies: what goes on from a checkpoint is the same to the last bit.

Looked at: the regulariser for every `every`, gate and `next_step`, states through files and
`torch.distributed.checkpoint`, the corrector's followed tau beside numbers, states of fresh
objects, copies and pickles of wrappers, of models under MetaQuant, of the corrector and the
regulariser.
"""

import copy
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    BinaryConnect,
    FCGrad,
    LNECorrector,
    MirrorDescentTanh,
    MultiFC,
    ProxQuant,
    RicciFlowRegularizer,
    latent_parameters,
    quantize_,
)

nn = torch.nn
loss_fn = nn.functional.cross_entropy


def make_image_model():
    torch.manual_seed(3)
    model = quantize_(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 3)))
    return model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def regularized(model, optimizer, options, steps, state=None):
    """Train; the states before each step, and the regulariser."""
    step = optimizer if options.get("by_rate") else 0.05
    options = {k: v for k, v in options.items() if k != "by_rate"}
    penalty = RicciFlowRegularizer(model, loss_fn, step=step, **options)
    penalty.attach(optimizer)
    if state is not None:
        penalty.load_state_dict(state)
    states = []
    for i in steps:
        states.append(
            copy.deepcopy((model.state_dict(), optimizer.state_dict(), penalty.state_dict()))
        )
        generator = torch.Generator().manual_seed(i)
        x = torch.randn(8, 1, 8, 8, generator=generator)
        y = torch.randint(3, (8,), generator=generator)
        optimizer.zero_grad()
        (0.1 * penalty(x, y) + loss_fn(model(x), y)).backward()
        optimizer.step()
    return states


@pytest.mark.parametrize("next_step", ["virtual", "previous", "update"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"every": 3},
        {"every": 4, "gate": "soft", "eps": 1e-4, "by_rate": True},
        {"every": 2, "gate": "hard", "eps": 3e-3, "part": 0.5},
    ],
    ids=str,
)
def test_a_regularised_training_resumes(options, next_step, tmp_path):
    options = {**options, "next_step": next_step}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a hard gate may be shut in all layers
        model, optimizer = make_image_model()
        states = regularized(model, optimizer, options, range(9))
        for first in (1, 3, 6):
            torch.save(states[first], tmp_path / "state.pt")
            saved = torch.load(tmp_path / "state.pt", weights_only=True)
            other, again = make_image_model()
            other.load_state_dict(saved[0])
            again.load_state_dict(saved[1])
            regularized(other, again, options, range(first, 9), saved[2])
            for p, q in zip(model.parameters(), other.parameters(), strict=True):
                assert torch.equal(p, q)


def test_a_regulariser_refuses_other_states():
    model, _ = make_image_model()
    penalty = RicciFlowRegularizer(model, loss_fn, next_step="update")
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    penalty(x, y)
    state = penalty.state_dict()
    other = RicciFlowRegularizer(model, loss_fn, every=2)
    with pytest.raises(
        InvalidArgumentError, match=r"other options; use the same .*every: 1 there, 2 here"
    ):
        other.load_state_dict(state)
    part = RicciFlowRegularizer(model, loss_fn, next_step="update", select=("1",))
    with pytest.raises(InvalidArgumentError, match="layers 1, 3; give one of 1"):
        part.load_state_dict({**state, "options": part.state_dict()["options"]})
    with pytest.raises(InvalidArgumentError, match="it has no before, calls"):
        penalty.load_state_dict({k: state[k] for k in state if k not in ("before", "calls")})
    broken = copy.deepcopy(state)
    broken["before"]["weights"][0] = torch.zeros(2)
    with pytest.raises(InvalidArgumentError, match=r"layer '1': .* shape \(2,\)"):
        penalty.load_state_dict(broken)
    broken = {**state, "before": {**state["before"], "weights": state["before"]["weights"][:1]}}
    with pytest.raises(InvalidArgumentError, match="and there are 2 layers: it is damaged"):
        penalty.load_state_dict(broken)


def make_mixed():
    torch.manual_seed(0)
    model = quantize_(nn.Sequential(nn.Linear(6, 50), nn.Linear(50, 30)))
    corrector = LNECorrector(model, tau={"0": "auto", "1": 9.0})
    return model, corrector


def mixed_steps(model, corrector, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 9.0 is too large, and is rescaled
        for i in steps:
            optimizer.zero_grad()
            generator = torch.Generator().manual_seed(i)
            model(torch.randn(8, 6, generator=generator)).square().mean().backward()
            corrector.correct_()
            optimizer.step()


def test_followed_and_rescaled_layers_keep_their_tau():
    model, corrector = make_mixed()
    mixed_steps(model, corrector, range(3))
    saved = copy.deepcopy((model.state_dict(), corrector.state_dict()))
    assert list(saved[1]["tau"]) == ["0", "1"]
    assert all(bool(t.isfinite().all()) for t in saved[1]["tau"].values())
    mixed_steps(model, corrector, range(3, 6))
    other, fresh = make_mixed()
    other.load_state_dict(saved[0])
    fresh.load_state_dict(saved[1])
    mixed_steps(other, fresh, range(3, 6))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("options"), "it has no options"),
        (lambda s: s.pop("curvature"), "it has no curvature"),
        (lambda s: s["options"].pop("curvature"), "curvature: the default there, .fisher. here"),
        (lambda s: s["options"].update(steps="together"), "steps: .together. there, the default"),
        (lambda s: s["curvature"]["1"][0].fill_(torch.nan), "curvature of '1' is not finite"),
        (lambda s: s["tau"]["1"].fill_(-1.0), "tau of layer '1' is damaged"),
        (lambda s: s["remainder"].pop("1"), "tau of layer '1' is damaged"),
    ],
)
def test_a_damaged_state_of_a_corrector_is_refused(change, message):
    model, _ = make_image_model()
    corrector = LNECorrector(model, curvature="fisher")
    state = copy.deepcopy(corrector.state_dict())
    corrector.load_state_dict(state)
    change(state)
    with pytest.raises(InvalidArgumentError, match=message):
        corrector.load_state_dict(state)


def test_the_state_of_a_corrector_with_more_options_is_refused():
    model, _ = make_image_model()
    state = LNECorrector(model, curvature="fisher").state_dict()
    with pytest.raises(InvalidArgumentError, match=r"curvature: .fisher. there, the default here"):
        LNECorrector(model).load_state_dict(state)


def test_layers_corrected_in_turn_keep_their_tau():
    model, corrector = make_mixed()
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    corrector.correct_([latent_parameters(model)[0]])
    first = corrector.state_dict()["tau"]["0"]
    with pytest.warns(UserWarning, match="as by 'auto'"):
        corrector.correct_([latent_parameters(model)[1]])
    assert torch.equal(corrector.state_dict()["tau"]["0"], first)


@pytest.mark.parametrize("block", ["layer", "channel", "network"])
def test_the_corrector_in_a_distributed_checkpoint(block, tmp_path):
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    torch.manual_seed(0)
    model = quantize_(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    corrector = LNECorrector(model, target=0.8, block=block)
    model(torch.randn(3, 4)).sum().backward()
    corrector.correct_()
    fresh = LNECorrector(model, target=0.8, block=block)
    assert all(bool(t.isnan().all()) for t in fresh.state_dict()["tau"].values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        checkpoint.save({"corrector": corrector}, checkpoint_id=tmp_path / "c", no_dist=True)
        checkpoint.load({"corrector": fresh}, checkpoint_id=tmp_path / "c", no_dist=True)
    for part in ("tau", "remainder"):
        saved, found = corrector.state_dict()[part], fresh.state_dict()[part]
        assert set(saved) == set(found) == {"0", "1"}
        assert all(torch.equal(saved[name], found[name]) for name in saved)


WRAPPERS = {
    "binary": lambda o, m: BinaryConnect(o, m),
    "prox": lambda o, m: ProxQuant(o, m, epochs=9, steps_per_epoch=2, rate=0.5),
    "mirror": lambda o, m: MirrorDescentTanh(o, m, every=2),
    "fcgrad": lambda o, m: FCGrad(o, m, hidden=4),
    "multifc": lambda o, m: MultiFC(o, m, hidden=4),
}


def wrapped(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    if kind not in ("prox", "mirror"):
        quantize_(model)
    return model, WRAPPERS[kind](torch.optim.Adam(model.parameters(), lr=0.05), model)


def steps(model, optimizer, numbers):
    for i in numbers:
        optimizer.zero_grad()
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(i))
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", WRAPPERS)
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_of_model_and_wrapper_goes_on_alike(kind, way):
    model, optimizer = wrapped(kind)
    torch.optim.lr_scheduler.StepLR(optimizer, 2)  # which puts a function in place of step
    steps(model, optimizer, range(3))
    if way == "pickle" and kind not in ("prox", "mirror"):  # torch pickles no quantised layers
        again = pickle.loads(pickle.dumps(optimizer))
        assert str(again.state_dict()) == str(optimizer.state_dict())
        return
    pair = model, optimizer
    other, again = copy.deepcopy(pair) if way == "deepcopy" else pickle.loads(pickle.dumps(pair))
    before = [p.detach().clone() for p in model.parameters()]
    steps(other, again, range(3, 6))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    steps(model, optimizer, range(3, 6))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
    again.load_state_dict(copy.deepcopy(again).state_dict())
    assert again.param_groups is again.inner.param_groups


@pytest.mark.parametrize("kind", ["fcgrad", "multifc"])
def test_a_copy_of_a_model_under_metaquant_is_a_plain_one(kind):
    model, optimizer = wrapped(kind)
    steps(model, optimizer, range(2))
    other = copy.deepcopy(model)
    x = torch.randn(8, 4)
    optimizer.zero_grad()
    model(x).sum().backward()
    kept = [p.grad.clone() for p in latent_parameters(model)]
    state = copy.deepcopy(optimizer.state_dict()["wrapper"]["gradients"])
    other.train()(100 * x).sum().backward()
    for p, v in zip(latent_parameters(model), kept, strict=True):
        assert torch.equal(p.grad, v)
    for v, g in zip(optimizer.state_dict()["wrapper"]["gradients"], state, strict=True):
        assert torch.equal(v, g)
    model.eval()  # no look-ahead
    assert torch.equal(other(x), model(x))
    del optimizer  # and none once it is gone
    assert torch.equal(other(x), model.train()(x))


def test_copies_of_corrector_and_regulariser_belong_to_the_copied_model():
    model, optimizer = make_image_model()
    corrector = LNECorrector(model)
    penalty = RicciFlowRegularizer(model, loss_fn, step=optimizer)
    other, rate, second, copied = copy.deepcopy((model, optimizer, corrector, penalty))
    rate.param_groups[0]["lr"] = 0.5
    x, y = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    assert copied(x, y).item() > 10 * penalty(x, y).item()
    before = penalty.statistics
    copied(x, y)
    assert penalty.statistics is before
    other(x).sum().backward()
    second.correct_()
    assert corrector.statistics == {}
    assert set(second.statistics) == {"1", "3"}
