"""Cost of the harness: a run beside a bare training loop of the same network."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from riemann_lne_torch import QuantConfig, quantize_

from .augmentation import plan_epoch
from .datasets import Images, load_images
from .models import build_model
from .protocol import default_arm
from .training import Run

__all__ = ["Overhead", "bare_loop", "measure_overhead"]


@dataclass(frozen=True)
class Overhead:
    """Processor time of the harness as a multiple of that of a bare loop.

    Attributes
    ----------
    ratio, smallest, largest : float
        Median, and range, of the ratios of runs that took turns.
    seconds : float
        Of the bare loop, median.
    """

    ratio: float
    smallest: float
    largest: float
    seconds: float


def measure_overhead(epochs: int = 10, pairs: int = 7, angle_every: int = 0) -> Overhead:
    """A run of the comparison on digits beside a bare loop, which reaches the same accuracies.

    The bare loop is what a user would write: batches from a permutation, STE, SGD, half a cosine,
    the accuracy after each epoch. The two take turns. Gradient angles are a measurement of their
    own and are left out unless ``angle_every`` asks for them.

    Raises
    ------
    RuntimeError
        If the accuracies differ: then it is not the same work.
    """
    images = load_images("digits")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        bare_loop(0, 2, images)
        _harness(0, 2, images, 2)
        ratios, seconds = [], []
        for seed in range(pairs):
            base, expected = bare_loop(seed, epochs, images)
            full, found = _harness(seed, epochs, images, angle_every)
            if found != expected:
                raise RuntimeError(f"accuracies differ: {found} and {expected}")
            ratios.append(full / base)
            seconds.append(base)
    finally:
        torch.set_num_threads(threads)
    return Overhead(float(np.median(ratios)), min(ratios), max(ratios), float(np.median(seconds)))


def _harness(seed: int, epochs: int, images: Images, angle_every: int) -> tuple[float, list[Any]]:
    arm = default_arm("ste", epochs=epochs, angle_every=angle_every)
    began = time.process_time()
    run = Run(arm, seed, images)
    while not run.finished:
        run.epoch()
    return time.process_time() - began, [row.accuracy for row in run.rows]


def bare_loop(seed: int, epochs: int, images: Images) -> tuple[float, list[Any]]:
    """A training loop without anything else; seconds and accuracies."""
    arm = default_arm("ste", epochs=epochs)
    began = time.process_time()
    model = quantize_(build_model(arm, seed), QuantConfig(weight_bits=1))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=True
    )
    x_train, x_test = images.normalise(images.train), images.normalise(images.held_out)
    accuracies = []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1.0 + math.cos(math.pi * epoch / epochs))
        order = torch.from_numpy(plan_epoch(len(x_train), seed, epoch + 1).order)
        model.train()
        for i in range(0, len(order), arm.batch_size):
            batch = order[i : i + arm.batch_size]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x_train[batch]), images.train_labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        model.eval()
        with torch.no_grad():
            hits = model(x_test).argmax(1) == images.held_out_labels
        accuracies.append(int(hits.sum()) / len(hits))
    return time.process_time() - began, accuracies
