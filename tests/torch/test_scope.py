"""Whose gradients a hook changes: those of its optimiser, once.

Looked at: two optimisers, one that holds a part, parameter groups added later, blocks of several
layers, a hook set twice, a cell run again, two correctors, a corrector by hand and by a hook, LNE
estimators, the gate of the regulariser, loggers, wrappers and their inner optimisers, weights of
two modules, the states of optimisers loaded later, handles removed twice, copies of optimisers.
The callbacks of Lightning and Hugging Face: tests/torch_hosts.
"""

import copy

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from riemann_lne.errors import InvalidArgumentError  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    BinaryConnect,
    LNECorrector,
    QuantConfig,
    RicciFlowRegularizer,
    algorithm_1_step,
    latent_parameters,
    quantize_,
)
from riemann_lne_torch.logging import StatisticsLogger  # noqa: E402

nn = torch.nn


def make(**options):
    torch.manual_seed(0)
    layers = nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)
    return quantize_(nn.Sequential(*layers).double(), QuantConfig(**options))


def sgd(*modules, **options):
    groups = [p for m in modules for p in m.parameters()]
    return torch.optim.SGD(groups, lr=0.0, **options)


def backward(model):
    model.zero_grad()
    model(torch.arange(24, dtype=torch.float64).reshape(4, 6).sin()).sum().backward()
    return [p.grad.clone() for p in latent_parameters(model)]


def times(model, plain, tau=0.2):
    """How often g^-1 was applied to each layer's gradient."""
    found = []
    for p, v in zip(latent_parameters(model), plain, strict=True):
        t = torch.tanh(tau * p.detach().flatten())
        g = torch.eye(len(t), dtype=t.dtype) - torch.outer(t, t)
        now, count = v.flatten(), 0
        while not torch.allclose(now, p.grad.flatten(), rtol=1e-10, atol=1e-12):
            now, count = torch.linalg.solve(g, now), count + 1
            assert count < 4
        found.append(count)
    return found


def test_each_optimizer_corrects_its_own():
    model = make()
    a, b = sgd(model[0]), sgd(model[2])
    corrector = LNECorrector(model, 0.2)
    corrector.attach(a)
    corrector.attach(b)
    plain = backward(model)
    a.step()
    assert times(model, plain) == [1, 0]
    b.step()
    assert times(model, plain) == [1, 1]
    assert list(corrector.statistics) == ["0", "2"]
    first = latent_parameters(model)[0].grad.clone()
    for _ in range(3):  # no others, however often
        b.step()
    assert torch.equal(latent_parameters(model)[0].grad, first)


def test_parameters_added_later_and_states_loaded_later():
    model = make()
    optimizer = sgd(model[2], momentum=0.9)
    LNECorrector(model, 0.2).attach(optimizer)
    plain = backward(model)
    optimizer.step()
    assert times(model, plain) == [0, 1]
    optimizer.add_param_group({"params": list(model[0].parameters())})
    optimizer.load_state_dict(optimizer.state_dict())
    plain = backward(model)
    optimizer.step()
    assert times(model, plain) == [1, 1]


def test_a_block_of_several_layers_is_held_whole():
    model = make()
    corrector = LNECorrector(model, 0.2, block="network")
    with pytest.raises(InvalidArgumentError, match=r"holds 1 of them, without 2: .*select"):
        corrector.attach(sgd(model[0]))
    backward(model)
    with pytest.raises(InvalidArgumentError, match="holds 1 of them, without 0"):
        corrector.correct_([latent_parameters(model)[1]])
    optimizer = sgd(model)
    corrector.attach(optimizer)
    optimizer.step()
    optimizer.param_groups[0]["params"] = list(model[0].parameters())
    with pytest.raises(InvalidArgumentError, match="without 2"):
        optimizer.step()


def test_twice_on_one_optimizer_is_refused_or_replaced():
    model = make()
    optimizer = sgd(model)
    corrector = LNECorrector(model, 0.2)
    handle = corrector.attach(optimizer)
    with pytest.raises(InvalidArgumentError, match=r"this corrector is attached .* on 0, 2"):
        corrector.attach(optimizer)
    again = LNECorrector(model, 0.2)  # the cell is run again
    with pytest.raises(InvalidArgumentError, match=r"another corrector, LNECorrector\(2 layers"):
        again.attach(optimizer)
    new = again.attach(optimizer, replace=True)
    plain = backward(model)
    optimizer.step()
    assert times(model, plain) == [1, 1]
    handle.remove()  # of the one that was replaced
    new.remove()
    new.remove()
    plain = backward(model)
    optimizer.step()
    assert times(model, plain) == [0, 0]
    with LNECorrector(model, 0.2, select=("0",)).attach(optimizer):
        LNECorrector(model, 0.2, select=("2",)).attach(optimizer)  # other layers
        optimizer.step()
    assert times(model, plain) == [1, 1]


def test_a_wrapper_and_its_inner_optimizer_are_one():
    model = make()
    optimizer = BinaryConnect(sgd(model), model)
    LNECorrector(model, 0.2).attach(optimizer)
    with pytest.raises(InvalidArgumentError, match="attached to this optimiser already"):
        LNECorrector(model, 0.2).attach(optimizer.inner)
    kept = []

    def closure():  # evaluated before the hook
        kept.extend(backward(model))

    optimizer.step(closure)
    assert times(model, kept) == [1, 1]


def test_two_optimizers_on_one_weight_are_reported():
    model = make()
    a, b = sgd(model), sgd(model)
    corrector = LNECorrector(model, 0.2)
    corrector.attach(a)
    corrector.attach(b)
    backward(model)
    a.step()
    with pytest.warns(UserWarning, match="gradient of 0, 2 .* by the hook of another optimiser"):
        b.step()
    b.step()  # said once
    for optimizer in (a, b):  # each on gradients of its own: nothing to say
        backward(model)
        optimizer.step()


def test_a_hook_and_a_call_by_hand_are_reported():
    model = make()
    optimizer = sgd(model)
    corrector = LNECorrector(model, 0.2)
    corrector.attach(optimizer)
    loss = nn.functional.mse_loss
    x, y = torch.ones(4, 6, dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"0, 2 .* already by a call of correct_\(\) by hand"):
        algorithm_1_step(model, loss, optimizer, corrector, x, y)


def test_two_correctors_on_one_weight_are_reported():
    model = make()
    first, second = LNECorrector(model, 0.2), LNECorrector(model, 0.2, select=("2",))
    backward(model)
    first.correct_()
    with pytest.warns(UserWarning, match="gradient of 2 had been corrected already by another"):
        second.correct_()
    backward(model)  # new gradients: nothing to say
    second.correct_()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)


@pytest.mark.parametrize("estimator", ["lne", "lne-weak", "lne-hessian", "lne-dual", "lne-flowed"])
def test_an_lne_estimator_and_a_corrector(estimator):
    model = make(estimator=estimator)
    with pytest.raises(InvalidArgumentError, match=r"applies a natural gradient.*: 0 \("):
        LNECorrector(model)
    RicciFlowRegularizer(model, nn.functional.mse_loss)  # no correction
    mixed = make(estimator=estimator, skip=("2",))
    LNECorrector(mixed, select=("2",))
    corrector = LNECorrector(model.parameters())  # which says nothing of the layers
    backward(model)
    with pytest.warns(UserWarning, match="by the LNE estimator of the layer's quantiser"):
        corrector.correct_()


def test_a_weight_of_two_modules_is_corrected_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)).double()
    model[2].weight = model[0].weight
    corrector, optimizer = LNECorrector(model, 0.2, select="all"), sgd(model)
    corrector.attach(optimizer)
    model(torch.ones(4, 6, dtype=torch.float64)).square().sum().backward()
    v, w = model[0].weight.grad.flatten(), model[0].weight.detach().flatten()
    t = torch.tanh(0.2 * w)
    expected = torch.linalg.solve(torch.eye(36, dtype=t.dtype) - torch.outer(t, t), v)
    optimizer.step()
    torch.testing.assert_close(model[0].weight.grad.flatten(), expected)


def test_the_gate_keeps_to_its_optimizer_and_comes_last():
    model = make()
    gate = RicciFlowRegularizer(model, nn.functional.mse_loss, gate="hard", eps=1e-30)
    gate(torch.randn(4, 6, 6, dtype=torch.float64), torch.zeros(4, 6, 3, dtype=torch.float64))
    a, b = sgd(model[0]), sgd(model[2])
    gate.attach(a)
    with pytest.raises(InvalidArgumentError, match="this gate is attached"):
        gate.attach(a)
    plain = backward(model)
    a.step()
    b.step()
    first, second = latent_parameters(model)
    assert not bool(first.grad.any())
    assert torch.equal(second.grad, plain[1])
    seen = []
    corrector = LNECorrector(model, 0.2)
    original = gate.correct_
    gate.correct_ = lambda *given: (seen.append(bool(corrector.statistics)), original(*given))
    corrector.attach(a)  # later, and yet before the gate
    backward(model)
    a.step()
    assert seen == [True]


def test_a_logger_keeps_to_its_optimizer():
    model = make()
    a, b = sgd(model[0]), sgd(model[2])
    corrector = LNECorrector(model, 0.2)
    seen = []
    logger = StatisticsLogger(
        corrector, lambda values, step: seen.append((step, {n.split("/")[1] for n in values}))
    )
    for optimizer in (a, b):
        corrector.attach(optimizer)
        logger.attach(optimizer)
    for _ in range(2):
        backward(model)
        a.step()
        b.step()
    assert seen == [(0, {"0"}), (0, {"2"}), (1, {"0"}), (1, {"2"})]
    assert logger.step == 2
    with pytest.raises(InvalidArgumentError, match="this logger is attached"):
        logger.attach(a)
    with pytest.raises(InvalidArgumentError, match="none of the corrected parameters"):
        logger.attach(sgd(nn.Linear(2, 2)))


def test_a_copy_of_an_optimizer_has_no_hooks_and_may_be_attached_to():
    model = make()
    optimizer = sgd(model)
    corrector = LNECorrector(model, 0.2)
    corrector.attach(optimizer)
    other_model, other, third = copy.deepcopy((model, optimizer, corrector))
    plain = backward(other_model)
    other.step()
    assert times(other_model, plain) == [0, 0]
    third.attach(other)
    other.step()
    assert times(other_model, plain) == [1, 1]
    assert corrector.statistics == {}


def test_lbfgs_is_refused_at_once():
    model = make()
    with pytest.raises(InvalidArgumentError, match="LBFGS cannot be attached to"):
        LNECorrector(model).attach(torch.optim.LBFGS(model.parameters()))


def test_frozen_later_and_moved_later():
    model = make()
    corrector, optimizer = LNECorrector(model, target=0.9), sgd(model)
    corrector.attach(optimizer)
    backward(model)
    optimizer.step()
    model.float()  # the same parameters, in another type
    model.zero_grad()
    model(torch.ones(4, 6)).sum().backward()
    optimizer.step()
    assert corrector.statistics["2"].norm2 == pytest.approx(0.9)
    latent_parameters(model)[0].requires_grad_(False)
    model.zero_grad()
    model(torch.ones(4, 6)).sum().backward()
    with pytest.warns(UserWarning, match="no gradient, not corrected: 0 "):
        optimizer.step()
    assert list(corrector.statistics) == ["2"]
