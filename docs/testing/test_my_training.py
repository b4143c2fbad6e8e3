"""Test your own training: replace the model and ``step``, then run pytest on this file."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import riemann_lne as rl
from riemann_lne.testing import (
    TrainingLimits,
    check_corrector,
    check_training_stability,
    weight_tensors,
)
from riemann_lne_torch import LNECorrector, QuantConfig, quantize_
from riemann_lne_torch.testing import quantized_networks


def training_of(model, lr=0.01):
    """One step of the training, and the optimiser whose state has to be put back."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    LNECorrector(model).attach(optimizer)

    def step(model, rng, loss_scale=1.0):
        x = torch.as_tensor(rng.normal(size=(16, 6)), dtype=torch.float32)
        target = torch.as_tensor(rng.integers(3, size=16))
        optimizer.zero_grad()
        loss = loss_scale * torch.nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, optimizer


def my_model():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    return quantize_(model, QuantConfig(weight_bits=1))


def test_the_training_is_stable():
    model = my_model()
    step, optimizer = training_of(model)
    check_training_stability(
        step, model, steps=5, draws=6, loss_scales=(1.0, 0.1, 8.0), state=[optimizer]
    )


# A rate that is too large: the report names the layer, the step and the draw, the shortest first.
def test_a_rate_that_is_too_large_is_reported():
    model = my_model()
    step, optimizer = training_of(model, lr=50.0)
    with pytest.raises(AssertionError, match=r"fails after 1 step.*layer '"):
        check_training_stability(step, model, steps=5, draws=3, state=[optimizer])


# Networks of other shapes, bits and estimators, with weights as training leaves them.
@settings(deadline=None, max_examples=10)
@given(quantized_networks(6, 3, estimators=["ste", "ewgs", "dorefa"], weights=["heavy", "tied"]))
def test_other_networks_are_trained_without_numbers_that_are_not_finite(network):
    step, optimizer = training_of(network)
    check_training_stability(
        step, network, steps=2, draws=1, state=[optimizer],
        limits=TrainingLimits(condition=None, relative_change=None, flip_rate=None),
    )  # fmt: skip


# The correction by itself, against dense inverses; then a property of it for any weights.
def test_the_corrector_applies_the_inverse():
    check_corrector(rl.LNEMetric(1.5).solve, tau=1.5)


@settings(deadline=None, max_examples=20)
@given(weight_tensors((4, 3), 0.3))
def test_the_correction_never_shortens_a_gradient(w):
    v = np.ones(w.size)
    metric = rl.LNEMetric(float(rl.auto_tau(w.ravel(), 0.5)) if w.any() else 1.0)
    assert np.linalg.norm(metric.solve(w.ravel(), v)) >= np.linalg.norm(v) * (1 - 1e-12)
