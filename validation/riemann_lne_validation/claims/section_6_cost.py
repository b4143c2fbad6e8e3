"""Section 6: what the correction and the regulariser add to a training step. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..audit import Evidence, Line, Measurement, Plot, claim, require
from ..backends import Backend
from ..guards import known_defect
from ..parameters import require_number
from ..timing import geometric_sizes, growth, median, one_torch_thread, quartile_range, sample

_KINDS = ("plain", "corrected", "with N")


@claim(
    "complexity",
    "sec. 6.4",
    guard=partial(known_defect, dimensions=(4, 25)),
    quick={
        "smallest": 100,
        "largest": 1000000,
        "batch": 32,
        "large_batch": 1024,
        "rounds": 9,
        "seed": 0,
    },
    full={"largest": 10000000},
)
def complexity(
    backend: Backend,
    smallest: int,
    largest: int,
    batch: int,
    large_batch: int,
    rounds: int,
    seed: int,
) -> Evidence:
    """A corrected training step, and one with the defect N of the discrete Ricci flow in the loss,
    are of the same order in the number n of weights as a plain step.

    Measured: processor seconds of a step of gradient descent on one layer of n weights, plain,
    corrected by the exact inverse, and with N, medians of interleaved runs on one core in float32.
    The power p in overhead + factor n^p is fitted with its interval. Predicted: at most 1.
    What they add is work on each weight: beside a plain step with few samples it weighs much, with
    many samples little. There the corrected step costs as a plain one, and N as five more forward
    and backward passes. No matrix of n by n numbers is ever held. Times differ from run to run:
    their scatter is the uncertainty.
    """
    require("torch", "torch", "complexity")
    require_number("smallest", smallest, above=15, whole=True)
    require_number("largest", largest, above=99 * smallest, whole=True)
    require_number("batch", batch, above=0, whole=True)
    require_number("rounds", rounds, above=2, whole=True)
    import torch

    sizes, times = [], []
    with one_torch_thread(torch):
        for n in geometric_sizes(smallest, largest):
            height, width = _image(n)
            sizes.append((height * width) ** 2)
            times.append(sample(_steps(torch, height, width, batch, seed), rounds))
        moderate = _image(min(largest, 100000))
        # Ratios of single rounds are looked at here: their quartiles take more of them.
        many = sample(_steps(torch, *moderate, large_batch, seed), 3 * rounds)
    curves = {name: [median(t[name]) for t in times] for name in times[0]}
    fits = {name: growth(sizes, curves[name]) for name in _KINDS}
    extra = many["corrected"] / many["plain"]
    passes = many["with N"] / many["plain"]
    where = f"n = {(moderate[0] * moderate[1]) ** 2}, batch {large_batch}"
    few = {name: median(times[-1][name] / times[-1]["plain"]) for name in _KINDS[1:]}
    return Evidence(
        Measurement(
            f"power of n in the cost of a step, n = {sizes[0]} to {sizes[-1]}, "
            f"batch {batch}; and the factors beside the plain step at the largest n",
            {**{name: fit.exponent for name, fit in fits.items()}, "factors": few},
            "at most 1",
            max(0.0, *(f.exponent - 1 for f in fits.values())),
            0.5,
            "half the distance to the next whole power; below 1 large products are more efficient",
            uncertainty=max(f.half_width for f in fits.values()),
        ),
        also=[
            Measurement(
                f"corrected over plain step, {where}, median",
                median(extra),
                1.0,
                abs(median(extra) - 1),
                0.5,
                "the work on the weights is a small part of a step with many samples",
                uncertainty=quartile_range(extra),
            ),
            Measurement(
                f"step with N over plain step, {where}, median",
                median(passes),
                6.0,
                abs(median(passes) - 6),
                3.0,
                "one and five passes; up to half as much again for the work on the weights",
                uncertainty=quartile_range(passes),
            ),
        ],
        plots=[
            Plot(
                f"Processor seconds of a step on one layer, batch {batch}",
                "n",
                "seconds",
                [
                    *(Line(name, [float(n) for n in sizes], curves[name]) for name in _KINDS),
                ],
                log_x=True,
                log_y=True,
            )
        ],
    )


def _image(n: int) -> tuple[int, int]:
    """Height and width of an image whose pixels, squared, are about n."""
    height = max(2, round(n**0.25))
    return height, max(2, round(n**0.5 / height))


def _steps(
    torch: Any, height: int, width: int, batch: int, seed: int
) -> dict[str, Callable[[], None]]:
    """Three kinds of training step on the same layer of (height width)^2 weights."""
    from riemann_lne_torch import LNECorrector, RicciFlowRegularizer

    rng = np.random.default_rng(seed)
    pixels = height * width
    layer = torch.nn.Linear(pixels, pixels, bias=False)
    with torch.no_grad():
        weight = rng.normal(size=(pixels, pixels)) / pixels**0.5
        layer.weight.copy_(torch.as_tensor(weight, dtype=torch.float32))
    model = torch.nn.Sequential(torch.nn.Flatten(), layer)
    x = torch.as_tensor(rng.normal(size=(batch, 1, height, width)), dtype=torch.float32)
    y = torch.as_tensor(rng.normal(size=(batch, pixels)), dtype=torch.float32)
    loss_fn = torch.nn.functional.mse_loss
    # A rate so small that the weights stay where they are through all repetitions.
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    corrector = LNECorrector(model, select="all")
    penalty = RicciFlowRegularizer(model, loss_fn, step=1e-2, select="all")

    def step(correct: bool, defect: bool) -> None:
        optimizer.zero_grad()
        n = penalty(x, y) if defect else 0.0  # before the loss, as its documentation says
        (loss_fn(model(x), y) + 0.01 * n).backward()
        if correct:
            corrector.correct_()
        optimizer.step()

    return {
        "plain": lambda: step(False, False),
        "corrected": lambda: step(True, False),
        "with N": lambda: step(False, True),
    }
