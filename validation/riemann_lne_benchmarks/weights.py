"""The closed forms of the LNE geometry, from a hundred weights to as many as memory takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from riemann_lne import LNEMetric, auto_tau

from .environment import available_bytes
from .lab import Laboratory, NotMeasuredError, take_turns
from .results import Result, Row, Settings
from .samples import ratio, statistics
from .versions import Problem, Task

PASSES = ("x + v", "tanh(x)")
OPERATIONS = (
    "apply",
    "solve exact",
    "solve weak",
    "ricci apply",
    "scalar curvature",
    "auto_tau",
)
_ARRAYS = 8
"""Arrays of n numbers that are held at most: weights, vector, result, and temporaries."""


@cache
def _data(n: int) -> tuple[np.ndarray, np.ndarray, LNEMetric]:
    """Weights, a vector and the metric, shared by all operations of a process."""
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=n), rng.normal(size=n)
    return x, v, LNEMetric(float(auto_tau(x, 0.5)))


def closed_form(problem: Problem) -> Task:
    """One operation on n weights."""
    x, v, lne = _data(int(problem["n"]))
    calls: dict[str, Callable[[], Any]] = {
        "x + v": lambda: x + v,
        "tanh(x)": lambda: np.tanh(x),
        "apply": partial(lne.apply, x, v),
        "solve exact": partial(lne.solve, x, v),
        "solve weak": partial(lne.solve, x, v, method="weak"),
        "ricci apply": lambda: lne.ricci(x).apply(v),
        "scalar curvature": partial(lne.scalar_curvature, x),
        "auto_tau": partial(auto_tau, x, 0.5),
    }
    return Task(calls[problem["operation"]], np.asarray)


def bench_lne(settings: Settings) -> Result:
    """LNE operations for n = 10^2 to 10^8, next to one pass over the data and to tanh."""
    result = Result("lne", "")
    for exponent in (2, 4) if settings.quick else (2, 3, 4, 5, 6, 7, 8):
        n = 10**exponent
        needed, free = _ARRAYS * 8 * n, available_bytes()
        if free is not None and needed > free:
            result.notes.append(
                f"n = 10^{exponent}: left out, it needs about {needed / 2**30:.1f} GiB of memory "
                f"and {free / 2**30:.1f} GiB are free"
            )
            continue
        settings.say(f"n = 10^{exponent}")
        try:
            with Laboratory() as lab:
                _at(exponent, lab, settings, result)
        except NotMeasuredError as error:
            result.notes.append(f"n = 10^{exponent}: {error}")
    return result


def _at(exponent: int, lab: Laboratory, settings: Settings, result: Result) -> None:
    """All operations at one n, in turns."""
    n = 10**exponent
    names = (*PASSES, *OPERATIONS)
    for name in names:
        task = {"n": n, "operation": name}
        lab.do("prepare", key=name, version="closed form", problem=task)
    rounds = settings.repeats if n < 10**8 else min(3, settings.repeats)
    samples = take_turns([(name, lab, name) for name in names], rounds, 0.002)
    for name in names:
        peak = lab.do("peak", key=name)["bytes"]
        wall = statistics(samples[name].wall)
        row = Row(f"{name}, n = 10^{exponent}", {"n": n, "operation": name}, {}, samples[name])
        row.figures["seconds"] = wall.median
        row.figures["million weights/s"] = n / wall.median / 1e6
        for base in PASSES:
            if name in OPERATIONS:
                share = ratio(samples[name].wall, samples[base].wall)
                row.figures[f"times the cost of {base}"] = share.median
        if peak is not None and n >= 10**6:  # below, a page more or less is all that is seen
            row.figures["peak memory / x"] = peak / (8 * n)
        result.rows.append(row)
