"""How a cost grows: medians of interleaved runs, and a power of n with its interval."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from riemann_lne.errors import InvalidArgumentError

_SHORTEST = 5e-4
"""Seconds that one sample lasts at least, where the clock advances in steps of a microsecond."""


@dataclass(frozen=True)
class Growth:
    """Fit of cost = overhead + factor * n**exponent.

    Attributes
    ----------
    exponent : float
    half_width : float
        Of the interval of 95 % for the exponent, from the scatter of the medians about the fit:
        noise of the machine, and what caches do to the law.
    overhead : float
        Seconds that do not depend on n.
    """

    exponent: float
    half_width: float
    overhead: float


def sample(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Processor seconds a call, ``rounds`` samples of each function, in turns to share drifts.

    The time of the process and not of the clock: what else the machine does is not its cost.
    """
    shortest = max(_SHORTEST, 10 * clock_step())
    counts = {}
    for name, function in functions.items():
        function()  # caches, and what libraries set up when first called
        counts[name] = _calls(function, shortest)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.process_time()
            for _ in range(counts[name]):
                function()
            seconds[name].append((time.process_time() - began) / counts[name])
    return {name: np.array(values) for name, values in seconds.items()}


def clock_step() -> float:
    """Seconds by which the clock of processor time advances at once.

    A microsecond as a rule; a tick of the scheduler, some milliseconds, where the system counts the
    time of a process for a limit on it (``ulimit -t``, batch queues).
    """
    steps = []
    for _ in range(3):
        began = now = time.process_time()
        while now == began:
            now = time.process_time()
        steps.append(now - began)
    return max(steps)


def _calls(function: Callable[[], Any], shortest: float) -> int:
    """How many calls of a function last as long as a sample has to."""
    count = 1
    while True:
        began = time.process_time()
        for _ in range(count):
            function()
        lasted = time.process_time() - began
        if lasted >= shortest / 2:
            return max(1, round(count * shortest / lasted))
        count *= 2


def growth(sizes: Sequence[float], seconds: Sequence[float], overhead: bool = True) -> Growth:
    """Exponent of the growth of a cost with size, by least squares on logarithms.

    ``sizes`` may be the seconds of another operation: caches and page faults, which raise the cost
    of a number several times between small and large n, then cancel.

    Raises
    ------
    InvalidArgumentError
        For fewer than five sizes: up to three numbers are fitted.

    Examples
    --------
    >>> n = 10.0 ** np.arange(2, 7)
    >>> fit = growth(n, 3e-5 + 2e-8 * n)
    >>> round(fit.exponent, 6), round(fit.overhead, 9)
    (1.0, 3e-05)
    """
    n, y = np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(seconds, dtype=float))
    if len(n) < 5:
        raise InvalidArgumentError(f"{len(n)} sizes; a power with an overhead needs at least five")

    def residual(p: np.ndarray) -> np.ndarray:
        straight = p[0] + p[1] * n
        return (np.logaddexp(p[2], straight) if overhead else straight) - y

    fits = []
    for power in (1.0, 2.0, 3.0):
        start = [y[-1] - power * n[-1], power, y[0]]
        fits.append(least_squares(residual, start if overhead else start[:2], x_scale="jac"))
    best = min(fits, key=lambda fit: fit.cost)
    free = len(n) - len(best.x)
    # Where no overhead is seen its column vanishes; the pseudo-inverse leaves it out.
    spread = np.linalg.pinv(best.jac.T @ best.jac, rcond=1e-10)[1, 1] * 2 * best.cost / free
    half_width = float(student.ppf(0.975, free)) * float(np.sqrt(spread))
    constant = float(np.exp(best.x[2])) if overhead else 0.0
    return Growth(float(best.x[1]), half_width, constant)


@contextmanager
def one_torch_thread(torch: Any) -> Iterator[None]:
    """PyTorch on one thread inside the block: threads that wait for each other are not the cost."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def median(samples: np.ndarray) -> float:
    """The median as a float."""
    return float(np.median(samples))


def geometric_sizes(smallest: float, largest: float) -> list[int]:
    """Whole numbers from ``smallest`` to ``largest``, three in a factor of ten, both included.

    >>> geometric_sizes(100, 1000)
    [100, 215, 464, 1000]
    """
    count = max(2, round(3 * float(np.log10(largest / smallest))) + 1)
    return [round(v) for v in np.geomspace(smallest, largest, count)]
