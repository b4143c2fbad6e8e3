"""Section 6: the operations that the correction and the regulariser add to a training step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from riemann_lne import LNEMetric, auto_tau
from riemann_lne.lne import discrete_flow_defect_of_steps

from ...lab.parameters import require_number
from ...lab.timing import geometric_sizes, median, one_torch_thread, sample
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_counts, known_defect
from ..instruments.counting import operations, power

_KINDS = ("plain", "corrected", "with N")
_SHIFTS = (1, -1, 2, -1)
_TARGET = 0.5


@claim(
    "complexity",
    "sec. 6.4",
    guard=(known_counts, partial(known_defect, dimensions=(4, 25))),
    quick={
        "smallest": 100,
        "largest": 100000,
        "batch": 32,
        "large_batch": 512,
        "rounds": 5,
        "seed": 0,
    },
    full={"largest": 1000000, "large_batch": 1024, "rounds": 9},
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

    Measured: the arithmetic operations of a step of gradient descent on one layer of n weights,
    plain, corrected by the exact inverse, and with N and its gradient (four virtual steps, one
    more, and sums over the weights), counted by running array code on arrays that count. The power
    of n in each. Predicted: 1, and no matrix of n by n numbers. What they add is work on each
    weight: with many samples in the batch a corrected step costs as a plain one, and N as five more
    forward and backward passes. Processor seconds are drawn beside, without a verdict. Where
    PyTorch is installed, the adapter's corrected gradient is compared with the counted code.
    """
    require_number("smallest", smallest, above=15, whole=True)
    require_number("largest", largest, above=99 * smallest, whole=True)
    require_number("batch", batch, above=0, whole=True)
    require_number("large_batch", large_batch, above=0, whole=True)
    require_number("rounds", rounds, above=2, whole=True)
    sizes: list[float] = []
    counts: dict[str, list[int]] = {name: [] for name in _KINDS}
    seconds: dict[str, list[float]] = {name: [] for name in _KINDS}
    for n in geometric_sizes(smallest, largest):
        pixels = round(n**0.5)
        sizes.append(float(pixels**2))
        arguments = _layer(pixels, batch, seed)
        taken = sample({k: partial(_STEPS[k], *arguments) for k in _KINDS}, rounds)
        for name in _KINDS:
            counts[name].append(operations(_STEPS[name], *arguments))
            seconds[name].append(median(taken[name]))
    many = {
        name: operations(
            _STEPS[name], *_layer(round(min(largest, 20000) ** 0.5), large_batch, seed)
        )
        for name in _KINDS
    }
    powers = {name: power(sizes, counts[name]) for name in _KINDS}
    factors = {name: many[name] / many["plain"] for name in _KINDS[1:]}
    few = {name: counts[name][-1] / counts["plain"][-1] for name in _KINDS[1:]}
    return Evidence(
        Measurement(
            f"power of n in the operations of a step, n = {sizes[0]:g} to {sizes[-1]:g}, batch "
            f"{batch}; and the factors beside the plain step there",
            {**powers, "factors": few},
            "at most 1",
            max(0.0, *(p - 1 for p in powers.values())),
            0.02,
            "terms in n^(1/2) and constants are left at these sizes",
        ),
        also=[
            Measurement.near(
                f"operations of a corrected over a plain step, batch {large_batch}",
                factors["corrected"],
                1.0,
                0.05,
                "the work on the weights is a small part of a step with many samples",
            ),
            Measurement.near(
                f"operations of a step with N over a plain step, batch {large_batch}",
                factors["with N"],
                6.0,
                1.0,
                "one and five passes, and the work on the weights",
            ),
            *_adapter(seed),
        ],
        plots=[
            Plot(
                f"Operations of a step on one layer, batch {batch}",
                "n",
                "operations",
                [Line(name, sizes, [float(c) for c in counts[name]]) for name in _KINDS],
                log_x=True,
                log_y=True,
            ),
            Plot(
                "Processor seconds on this machine (no verdict rests on them)",
                "n",
                "seconds",
                [Line(name, sizes, seconds[name]) for name in _KINDS],
                log_x=True,
                log_y=True,
            ),
        ],
    )


def _layer(pixels: int, batch: int, seed: int) -> tuple[np.ndarray, ...]:
    """Weights, images of one row, and targets of a layer with pixels^2 weights."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(pixels, pixels)) / pixels**0.5
    return w, rng.normal(size=(batch, pixels)), rng.normal(size=(batch, pixels))


def _gradient(w: Any, x: Any, y: Any) -> Any:
    """Of the mean square |x w - y|^2 / 2, by a forward and a backward pass."""
    error = (x @ w - y) / len(x)
    return x.T @ error


def _plain(w: Any, x: Any, y: Any) -> Any:
    return w - 0.01 * _gradient(w, x, y)


def _metric(w: Any) -> LNEMetric:
    # tau is chosen once and kept, here from the plain numbers.
    return LNEMetric(float(auto_tau(np.asarray(w).ravel(), _TARGET)))


def _corrected(w: Any, x: Any, y: Any) -> Any:
    slope = _gradient(w, x, y).ravel()
    return w - 0.01 * _metric(w).solve(w.ravel(), slope).reshape(w.shape)


def _with_defect(w: Any, x: Any, y: Any) -> Any:
    k1, k2, j1, j2 = _SHIFTS
    steps = []
    for shift in _SHIFTS:
        moved = np.concatenate([x[:, shift:], x[:, :shift]], axis=1)
        steps.append((-0.01 * _gradient(w, moved, y)).ravel())
    moved = np.concatenate([x[:, k1:], x[:, :k1]], axis=1)
    again = -0.01 * _gradient(w + steps[0].reshape(w.shape), moved, y)
    following = steps[0] + again.ravel()
    flat, tau = w.ravel(), _metric(w).tau
    a, b, c, d = steps
    discrete_flow_defect_of_steps(flat, following, a, b, c, d, k1 - k2, j1 - j2, tau)
    # Its gradient: dN/dt_a = 4 c_a sum_b c_b (t_a . t_b) t_b, dt/dw = tau (1 - t^2).
    t = [np.tanh(tau * (flat + s)) for s in (following, *steps)]
    signs = (1.0, -1 - 1 / (k1 - k2), 1 / (k1 - k2), 1 / (j1 - j2), -1 / (j1 - j2))
    slope = sum(
        4 * ca * cb * (ta @ tb) * tb * (tau * (1 - ta * ta))
        for ca, ta in zip(signs, t, strict=True)
        for cb, tb in zip(signs, t, strict=True)
    )
    return w - 0.01 * (_gradient(w, x, y) + 0.01 * slope.reshape(w.shape))


_STEPS: dict[str, Callable[..., Any]] = {
    "plain": _plain,
    "corrected": _corrected,
    "with N": _with_defect,
}


def _adapter(seed: int) -> list[Measurement]:
    """The PyTorch corrector's gradient against the counted code, where PyTorch is installed."""
    try:
        import torch

        from riemann_lne_torch import LNECorrector
    except ImportError:
        return []
    w, x, y = _layer(6, 8, seed)
    layer = torch.nn.Linear(6, 6, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(w.T.copy()))
    tau = _metric(w).tau
    corrector = LNECorrector(layer, select="all", tau=tau)
    with one_torch_thread(torch):
        error = layer(torch.as_tensor(x)) - torch.as_tensor(y)
        ((error**2).sum() / (2 * len(x))).backward()
        corrector.correct_()
    known = LNEMetric(tau).solve(w.T.ravel(), _gradient(w, x, y).T.ravel())
    found: Any = layer.weight.grad
    off = float(np.abs(found.numpy().ravel() - known).max() / np.abs(known).max())
    return [
        Measurement.vanishing(
            "PyTorch is installed: the adapter's corrected gradient against the counted code",
            off,
            1e-10,
            "rounding",
        )
    ]
