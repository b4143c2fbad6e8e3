"""How long the fused kernels take until their first result: cold, and with a warm cache."""

from __future__ import annotations

import tempfile
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np

from .lab import Laboratory, NotMeasuredError
from .results import Result, Row, Settings
from .samples import Samples, statistics
from .versions import Problem, Task, fused


def kernel_start(problem: Problem) -> Task:
    """The first call of a kernel in this process, its building or loading included."""

    def call() -> dict[str, Any]:
        began = perf_counter()
        task = fused(problem)
        task.facts(task.call())
        return {"seconds": perf_counter() - began}

    return Task(call, lambda value: np.zeros(1), lambda value: value)


CASES = (("ricci_deturck", 4), ("ricci_deturck_background", 6))
"""Formula and order of what is started: the usual kernel, and that which takes longest to build."""


def bench_start(settings: Settings) -> Result:
    """Seconds until the first result of a kernel in a new process: no cache, and a warm one."""
    result = Result("start", "")
    for n, (formula, order) in product((2, 3) if settings.quick else (2, 3, 4), CASES):
        task = {"shape": [8] * n, "order": order, "formula": formula}
        task |= {"dtype": "float64", "threads": 1}
        name = f"{n}-D, {formula}, order {order}"
        with tempfile.TemporaryDirectory() as folder:
            variables = {"RIEMANN_LNE_CACHE_DIR": folder}
            try:
                cold = _starts(task, variables, 1, f"{name}, cold", settings)
                warm = _starts(task, variables, 3, f"{name}, warm", settings)
            except NotMeasuredError as error:
                result.notes.append(f"{name}: {error}")
                continue
        for kind, samples in (("no cache", cold), ("warm cache", warm)):
            row = Row(f"first result, {name}, {kind}", {**task, "cache": kind}, samples=samples)
            row.figures["seconds"] = statistics(samples.wall).median
            result.rows.append(row)
    return result


def _starts(
    task: dict[str, Any], variables: dict[str, str], count: int, name: str, settings: Settings
) -> Samples:
    """A new process each time."""
    samples = Samples()
    for _ in range(count):
        settings.say(name)
        with Laboratory(variables=variables) as lab:
            lab.do("prepare", key="task", version="kernel start", problem=task)
            facts = lab.do("first", key="task", path=None)
            samples.add(facts["seconds"], 0.0)  # the compiler's time is not the process's own
    return samples
