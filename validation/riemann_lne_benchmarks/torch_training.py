"""Benchmarks of the torch adapter; imports torch."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from riemann_lne_torch import LNECorrector, QuantConfig, RicciFlowRegularizer, quantize_
from riemann_lne_validation.lab.networks import cifar_resnet

from .results import Row, Settings
from .samples import Samples, ratio, statistics, timed


def corrector_rows(settings: Settings) -> list[Row]:
    """The corrector on a ResNet-20 step (one bit a weight): share of the step."""
    model, x, y = _resnet_20(8 if settings.quick else 128)
    kinds: dict[str, dict[str, Any]] = {
        "tau auto, exact": {},
        "tau auto, weak": {"inverse": "weak"},
        "tau given": {"tau": 0.01},
        "by channel": {"block": "channel"},
        "hessian": {"metric": "hessian"},
        "flowed": {"metric": "flowed"},
    }
    # A model for each, or one would see steps of the others between two of its own.
    models = {name: copy.deepcopy(model) for name in kinds}
    correctors = {name: LNECorrector(models[name], **kinds[name]) for name in kinds}
    optimizers = {
        name: torch.optim.SGD(models[name].parameters(), lr=0.05, momentum=0.9) for name in kinds
    }
    steps = {name: Samples() for name in kinds}
    samples = {name: Samples() for name in kinds}
    settings.say(f"ResNet-20, batch {len(x)}")
    for round_ in range(settings.repeats + 2):
        for name, corrector in correctors.items():
            optimizers[name].zero_grad()
            began = time.perf_counter()
            torch.autograd.backward(nn.functional.cross_entropy(models[name](x), y))
            backward = time.perf_counter() - began
            correcting = timed(corrector.correct_)
            began = time.perf_counter()
            optimizers[name].step()
            if round_ > 1:  # the first are for caches, and for the first tau
                steps[name].add(backward + time.perf_counter() - began, 0.0)
                samples[name].add(*correcting)
    rows = []
    for name, corrector in correctors.items():
        share = ratio(samples[name].wall, steps[name].wall)
        largest = max(w.parameter.numel() * w.parameter.itemsize for w in corrector.weights)
        row = Row(f"correct_ on ResNet-20, {name}", {"batch": len(x), "kind": name})
        row.samples = samples[name]
        row.figures = {
            "% of the step": 100 * share.median,
            "% of the step, quartiles": [100 * share.low, 100 * share.high],
            "milliseconds": 1e3 * statistics(samples[name].wall).median,
            "step, milliseconds": 1e3 * statistics(steps[name].wall).median,
            "peak memory / largest layer": allocated_peak(corrector.correct_) / largest,
        }
        rows.append(row)
    return rows


def regularizer_rows(settings: Settings) -> list[Row]:
    """N on a ResNet-20 step (batch 32), as a multiple of the plain step."""
    model, x, y = _resnet_20(4 if settings.quick else 32)
    loss_fn = nn.functional.cross_entropy
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    kinds: dict[str, dict[str, Any]] = {
        "every step": {},
        "every step, a quarter of the batch": {"part": 0.25},
        "every=10": {"every": 10},
        "every=10, a quarter of the batch": {"every": 10, "part": 0.25},
        "every step, second order": {"derivative": "second"},
    }
    rows = []
    for name, options in kinds.items():
        settings.say(name)
        penalty = RicciFlowRegularizer(model, loss_fn, step=optimizer, **options)

        def with_n(penalty: RicciFlowRegularizer = penalty) -> None:
            optimizer.zero_grad()
            n = penalty(x, y)
            torch.autograd.backward(loss_fn(model(x), y) + 0.01 * n)
            optimizer.step()

        def plain() -> None:
            optimizer.zero_grad()
            torch.autograd.backward(loss_fn(model(x), y))
            optimizer.step()

        # Calls that are a multiple of ``every``: else a sample would miss N or have it twice.
        count = max(options.get("every", 1), 2)
        base, more = Samples(), Samples()
        for _ in range(settings.repeats):
            base.add(*timed(plain, count))
            more.add(*timed(with_n, count))
        times = ratio(more.wall, base.wall)
        row = Row(f"N on ResNet-20, {name}", {"batch": len(x), "kind": name}, samples=more)
        row.figures = {
            "times a plain step": times.median,
            "times a plain step, quartiles": [times.low, times.high],
        }
        rows.append(row)
    return rows


def allocated_peak(function: Callable[[], Any]) -> int:
    """Largest number of bytes of tensors allocated inside the call, at a time, on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    results = profiler.profiler.kineto_results
    events = [e for e in results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def _resnet_20(batch: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = quantize_(cifar_resnet(20), QuantConfig(weight_bits=1, weight_scale="mean"))
    return model, torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
