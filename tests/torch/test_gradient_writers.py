"""MetaQuant's optimisers with what else writes to gradients before a step.

Looked at: an attached corrector, clipping, a GradScaler, DDP, accumulation (test_optimizers.py),
weights of two layers, closures (test_scope.py), the wrappers that leave weights without a gradient.
"""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

import riemann_lne as rl  # noqa: E402
from riemann_lne_torch import (  # noqa: E402
    FCGrad,
    LNECorrector,
    MultiFC,
    ProxQuant,
    latent_parameters,
    quantize_,
)

nn = torch.nn

DISTRIBUTED = """
import os, sys
import torch
import torch.distributed as dist
from riemann_lne_torch import FCGrad, LNECorrector, MultiFC, QuantConfig
from riemann_lne_torch import latent_parameters, quantize_

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
results = {}
for kind in (FCGrad, MultiFC):
    for estimator in ("ste", "dorefa"):
        for share in (slice(rank, None, 2), slice(None)):
            torch.manual_seed(0)
            model = quantize_(torch.nn.Linear(4, 2).double(), QuantConfig(estimator=estimator))
            sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            optimizer = kind(sgd, model)
            LNECorrector(model).attach(optimizer)
            one = share == slice(None)
            run = model if one else torch.nn.parallel.DistributedDataParallel(model)
            for step in range(4):
                x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step)).double()
                optimizer.zero_grad()
                run(x[share]).square().mean().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            key = f"{kind.__name__}-{estimator}-{'one' if one else 'two'}"
            results[key] = latent_parameters(model)[0].detach().clone()
torch.save(results, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def run(kind, *, attach=None, clip=None, scale=None, steps=4):
    torch.manual_seed(1)
    model = quantize_(nn.Linear(6, 3, bias=False).double())
    x = torch.randn(8, 6).double()
    optimizer = kind(torch.optim.SGD(model.parameters(), lr=0.1), model)
    w = latent_parameters(model)[0]
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    if attach is not None:
        attach(LNECorrector(model), optimizer)
    seen = []
    optimizer.inner.register_step_post_hook(lambda *_: seen.append((w.grad, w.detach().clone())))
    for _ in range(steps):
        optimizer.zero_grad()
        scaler.scale(model(x).square().sum()).backward()
        scaler.unscale_(optimizer)
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        scaler.step(optimizer)
        scaler.update()
    return seen


@pytest.mark.parametrize("kind", [FCGrad, MultiFC])
def test_the_correction_is_of_what_is_stepped_along(kind):
    plain = run(kind, steps=2)
    for attach in (lambda c, o: c.attach(o), lambda c, o: c.attach(o.inner)):
        corrected = run(kind, attach=attach, steps=2)
        assert corrected[0][0] is None  # the first step has no G, and nobody warns of that
        w, v = corrected[0][1].flatten(), plain[1][0].flatten()
        expected = rl.LNEMetric(rl.auto_tau(w, 0.5)).solve(w, v)
        torch.testing.assert_close(corrected[1][0].flatten(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", [FCGrad, MultiFC])
def test_clipping_limits_g(kind):
    plain, clipped = run(kind, steps=2), run(kind, clip=1e-3, steps=2)
    g = plain[1][0]
    ratio = clipped[1][0] / g
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio[0, 0])))
    assert float(ratio[0, 0]) < 1e-3


@pytest.mark.parametrize("kind", [FCGrad, MultiFC])
def test_a_grad_scaler_changes_nothing(kind):
    for (_, w), (_, other) in zip(run(kind), run(kind, scale=1024.0), strict=True):
        assert torch.equal(w, other)


def test_replicas_are_equal_and_those_of_one_process(tmp_path):
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    (tmp_path / "run.py").write_text(DISTRIBUTED)
    processes = [
        subprocess.Popen([sys.executable, tmp_path / "run.py", str(rank), tmp_path])
        for rank in range(2)
    ]
    assert [p.wait(timeout=300) for p in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for key, value in first.items():
        assert torch.equal(value, second[key])
        other = first[key.replace("-two", "-one")]
        torch.testing.assert_close(value, other, rtol=0, atol=1e-9)


def test_layers_that_share_a_weight():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    model[1].weight = model[0].weight
    quantize_(model)
    optimizer = FCGrad(torch.optim.SGD(model.parameters(), lr=0.1), model)
    (w,) = latent_parameters(model)
    x = torch.randn(4, 3).double()
    model(x).sum().backward()
    both = w.grad.clone()
    q = torch.where(w.detach() >= 0, 1.0, -1.0).double().requires_grad_()
    ((x @ q.T) @ q.T).sum().backward()
    torch.testing.assert_close(both, q.grad)
    start = w.detach().clone()
    optimizer.step()
    optimizer.zero_grad()
    model(x).sum().backward()
    optimizer.step()
    # the meta network is in float32
    torch.testing.assert_close(w.detach(), start - 0.1 * both, rtol=1e-5, atol=0)


def test_weights_that_are_fixed_are_no_cause_to_warn():
    model = nn.Linear(4, 3)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = ProxQuant(sgd, model, epochs=2, steps_per_epoch=1, hard_after=0.5)
    LNECorrector(model, select="all").attach(optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
    assert set(model.weight.flatten().tolist()) <= {-1.0, 1.0}
