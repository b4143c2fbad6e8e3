"""Benchmarks of the torch adapter: its cost next to the training step that it is part of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from riemann_lne_torch import LNECorrector, QuantConfig, RicciFlowRegularizer, quantize_

from .networks import cifar_resnet

Row = dict[str, Any]

_BATCH = 128
_ROUNDS = 15


def bench_corrector() -> list[Row]:
    """The corrector on a ResNet-20 step (batch 128, one bit a weight): share of the step."""
    model, x, y = _resnet_20()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    kinds: dict[str, dict[str, Any]] = {
        "tau auto, exact": {},
        "tau auto, weak": {"inverse": "weak"},
        "tau given": {"tau": 0.01},
        "by channel": {"block": "channel"},
        "hessian": {"metric": "hessian"},
        "flowed": {"metric": "flowed"},
    }
    correctors = {name: LNECorrector(model, **options) for name, options in kinds.items()}
    steps: list[float] = []
    shares: dict[str, list[float]] = {name: [] for name in kinds}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for name, corrector in correctors.items():
        for round_ in range(_ROUNDS + 2):
            optimizer.zero_grad()
            began = time.perf_counter()
            torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
            middle = time.perf_counter()
            corrector.correct_()
            corrected = time.perf_counter()
            optimizer.step()
            step = time.perf_counter() - corrected + middle - began
            if round_ > 1:  # the first are for caches, and for the first tau
                steps.append(step)
                seconds[name].append(corrected - middle)
                shares[name].append((corrected - middle) / step)
    rows = []
    for name, corrector in correctors.items():
        largest = max(w.parameter.numel() * w.parameter.itemsize for w in corrector.weights)
        rows.append(
            {
                "what": f"correct_ on ResNet-20, {name}",
                "% of the step, median of pairs": 100 * float(np.median(shares[name])),
                "milliseconds": 1e3 * float(np.median(seconds[name])),
                "step, milliseconds": 1e3 * float(np.median(steps)),
                "peak memory / largest layer": allocated_peak(corrector.correct_) / largest,
            }
        )
    return rows


def bench_regularizer() -> list[Row]:
    """N on a ResNet-20 step (batch 32), as a multiple of the plain step."""
    model, x, y = _resnet_20(32)
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
        every = options.get("every", 1)
        penalty = RicciFlowRegularizer(model, loss_fn, step=optimizer, **options)

        def with_n(penalty: RicciFlowRegularizer = penalty) -> None:
            optimizer.zero_grad()
            torch.autograd.backward(loss_fn(model(x), y) + 0.01 * penalty(x, y))
            optimizer.step()

        def plain() -> None:
            optimizer.zero_grad()
            torch.autograd.backward(loss_fn(model(x), y))
            optimizer.step()

        ratios = []
        for _ in range(3):
            base = _seconds(plain, every)
            ratios.append(_seconds(with_n, every) / base)
        low, high = min(ratios), max(ratios)
        rows.append(
            {
                "what": f"N on ResNet-20, {name}",
                "times a plain step": float(np.median(ratios)),
                "range of 3 runs": f"{low:.2f} to {high:.2f}",
            }
        )
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


def _seconds(function: Callable[[], Any], times: int) -> float:
    """Seconds a call, over at least two calls and a multiple of ``times``."""
    count = max(times, 2)
    began = time.perf_counter()
    for _ in range(count):
        function()
    return (time.perf_counter() - began) / count


def _resnet_20(batch: int = _BATCH) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = quantize_(cifar_resnet(20), QuantConfig(weight_bits=1, weight_scale="mean"))
    return model, torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
