"""Trainings that stay well-behaved pass; those that do not are named with layer, step and draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from riemann_lne.errors import (
    CheckFailedError,
    DTypeError,
    InvalidArgumentError,
    RiemannLNEError,
    UnknownNameError,
)
from riemann_lne.testing import TrainingLimits, check_training_stability

torch = pytest.importorskip("torch")
lne = pytest.importorskip("riemann_lne_torch")


def parts(lr: float, corrected: bool = True) -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    lne.quantize_(model, lne.QuantConfig(weight_bits=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    if corrected:
        lne.LNECorrector(model, target=0.5).attach(optimizer)

    def step(model: Any, rng: np.random.Generator) -> Any:
        x = torch.as_tensor(rng.normal(size=(16, 6)), dtype=torch.float32)
        y = torch.as_tensor(rng.integers(3, size=16))
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return model, optimizer, step


@pytest.mark.parametrize("corrected", [True, False])
def test_a_small_rate_is_stable_and_everything_is_put_back(corrected: bool) -> None:
    model, optimizer, step = parts(0.01, corrected)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    report = check_training_stability(step, model, steps=4, draws=4, state=[optimizer])
    assert report
    assert {f.name for f in report.findings} >= {"condition of Eq. 16", "flip rate"}
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_rate_that_is_too_large_is_caught_with_layer_step_and_draw() -> None:
    model, optimizer, step = parts(50.0)
    with pytest.raises(CheckFailedError, match=r"step 1.*Draw\(seed=") as caught:
        check_training_stability(step, model, steps=4, draws=3, state=[optimizer])
    assert "layer '" in str(caught.value)


def test_the_mismatch_of_a_gradient_is_bounded_by_what_was_asked() -> None:
    model, optimizer, step = parts(0.01, corrected=False)
    loose, tight = TrainingLimits(mismatch=10.0), TrainingLimits(mismatch=1e-9)
    assert check_training_stability(step, model, steps=2, draws=2, limits=loose)
    with pytest.raises(CheckFailedError, match="gradient mismatch"):
        check_training_stability(step, model, steps=2, draws=2, limits=tight, state=[optimizer])


def test_the_drift_of_tau_is_bounded_by_what_was_asked() -> None:
    model, optimizer, step = parts(0.05)
    names: dict[str, Any] = {"state": [optimizer], "steps": 3, "draws": 2, "scales": [1.0]}
    loose = TrainingLimits(tau_drift=1.5)
    report = check_training_stability(step, model, limits=loose, **names)
    drift = {f.name: f.value for f in report.findings}["drift of tau"]
    assert 1 < drift < 1.5
    with pytest.raises(CheckFailedError, match="drift of tau"):
        check_training_stability(
            step, model, limits=TrainingLimits(tau_drift=1 + (drift - 1) / 2), **names
        )


def test_initial_weights_of_other_kinds_are_drawn() -> None:
    model, optimizer, step = parts(0.01)
    seen = []

    def watched(model: Any, rng: np.random.Generator) -> Any:
        seen.append(model[0].parametrizations.weight.original.detach().clone())
        return step(model, rng)

    check_training_stability(
        watched, model, steps=1, draws=3, scales=[1.0], weights=["tied", "zero_rows", "own"],
        limits=TrainingLimits(None, None, None), state=[optimizer],
    )  # fmt: skip
    tied, zero_rows, own = seen
    assert len({tuple(row.tolist()) for row in tied}) < len(tied)
    assert (zero_rows == 0).all(dim=1).any()
    assert sorted(own.ravel().tolist()) == sorted(
        model[0].parametrizations.weight.original.detach().ravel().tolist()
    )
    with pytest.raises(CheckFailedError, match="weights='binary'"):
        check_training_stability(
            step, model, steps=1, draws=1, weights=["binary"], state=[optimizer],
            limits=TrainingLimits(condition=None, relative_change=1e-9),
        )  # fmt: skip


def test_bad_requests_are_named() -> None:
    model, _, step = parts(0.01)
    with pytest.raises(InvalidArgumentError, match="weights"):
        check_training_stability(step, model, weights=())
    with pytest.raises(UnknownNameError, match="heavy"):
        check_training_stability(step, model, weights=["heavyy"])
    with pytest.raises(InvalidArgumentError, match=r"scales\[1\]"):
        check_training_stability(step, model, scales=[1.0, float("nan")])
    with pytest.raises(InvalidArgumentError, match="select"):
        check_training_stability(step, model, select=lambda name, p: False)
    with pytest.raises(InvalidArgumentError, match="steps"):
        check_training_stability(step, model, steps=0)
    with pytest.raises(InvalidArgumentError, match="flip_rate"):
        TrainingLimits(flip_rate=-1.0)


def nothing(model: Any, rng: np.random.Generator) -> None:
    pass


def adds_a_layer(model: Any, rng: np.random.Generator) -> None:
    model[0] = torch.nn.Linear(6, 8)  # no longer the quantised layer


def loses_its_batch(model: Any, rng: np.random.Generator) -> None:
    raise KeyError("batch")


def refuses_its_gradient(model: Any, rng: np.random.Generator) -> None:
    raise InvalidArgumentError("not finite")


@pytest.mark.parametrize(
    ("step", "options", "says"),
    [
        (loses_its_batch, {}, r"breaks off in step 1 with KeyError: 'batch' \(Draw\("),
        (refuses_its_gradient, {}, r"in step 1 with InvalidArgumentError: not finite \(Draw\("),
        (nothing, {"select": lambda name: True}, "select broke off with TypeError"),
        (nothing, {"scales": 3}, "scales = 3"),
        (nothing, {"limits": 3}, "limits = 3"),
        (nothing, {"weights": "heavyy"}, "heavyy"),
        (lambda model: None, {}, r"TypeError.*step takes \(model, rng\)"),
        (adds_a_layer, {}, "replaced the parameters: '0.parametr"),
        (lambda model, rng: "low", {"limits": TrainingLimits(loss=1.0)}, "'low' as its loss"),
        (3, {}, "step = 3"),
        (nothing, {"tau": "autoo"}, "tau = 'autoo'"),
        (nothing, {"tau": {}}, "tau has no entry for the layer"),
        (nothing, {"state": [3]}, r"state\[0\] is a int"),
        (nothing, {"target": 1.0}, "target = 1.0"),
        (nothing, {"seed": -1}, "seed = -1"),
    ],
)  # fmt: skip
def test_steps_and_arguments_that_are_none_are_told_with_the_draw(
    step: Any, options: Any, says: str
) -> None:
    model = parts(0.01)[0]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    layer = model[0]
    with pytest.raises(RiemannLNEError, match=rf"(?s){says}"):
        check_training_stability(step, model, steps=2, draws=1, **options)
    model[0] = layer
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_is_no_model_or_has_weights_that_are_not_finite_is_refused() -> None:
    with pytest.raises(DTypeError, match="named_parameters"):
        check_training_stability(nothing, object())
    model = torch.nn.Linear(3, 2)
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    with pytest.raises(InvalidArgumentError, match="'weight' are not finite before"):
        check_training_stability(nothing, model)


def test_one_optimiser_may_be_given_without_a_list_and_its_state_is_put_back() -> None:
    model, optimizer, step = parts(0.01)
    optimizer.param_groups[0]["lr"] = 0.02

    def slower(model: Any, rng: np.random.Generator) -> Any:
        optimizer.param_groups[0]["lr"] *= 0.5
        return step(model, rng)

    check_training_stability(slower, model, steps=2, draws=2, state=optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.02
