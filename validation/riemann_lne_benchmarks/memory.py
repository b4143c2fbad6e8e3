"""Memory of whole runs in 3-D, in copies of the metric."""

from __future__ import annotations

import inspect
import math
from typing import Any

from riemann_lne import Grid, RicciDeTurckFlow, perturbed_euclidean, solve_flow

from .lab import Laboratory, NotMeasuredError
from .results import Result, Row, Settings
from .versions import NoKernelError, Problem, Task

_RUNS = (
    ("rk4", "equal"),
    ("tsit5", "adapted"),
    ("rkl2", "equal"),
    ("rkl2", "adapted"),
    ("etdrk4", "equal"),
    ("etdrk4", "adapted"),
)
"""Methods, and who chooses their steps."""


def some_steps(problem: Problem) -> Task:
    """A few steps of a flow from a perturbed flat metric; only the last metric is kept."""
    grid = Grid.torus(tuple(problem["shape"]))
    start, flow = perturbed_euclidean(grid, 0.2, modes=1), RicciDeTurckFlow()
    options: dict[str, Any] = {}
    if "kernel" in inspect.signature(solve_flow).parameters:
        options["kernel"] = problem["kernel"]
    elif problem["kernel"] != "plain":
        raise NoKernelError("solve_flow has no fused kernels in this version")
    dt = 2.0 / flow.spectral_radius(start.packed, grid, 4)  # stable for every method
    count, equal = int(problem["steps"]), problem["control"] == "equal"
    # Adapted steps are as long as they like: the flow ends when it has taken as many.
    end = count * dt if equal else 1.0
    options["max_steps"] = count + equal

    def call() -> Any:
        return solve_flow(
            start,
            flow,
            (0.0, end),
            problem["method"],
            [end],
            dt if equal else None,
            store="last",
            **options,
        )

    return Task(call, lambda run: run[-1].packed)


def bench_memory(settings: Settings) -> Result:
    """Peak memory of a flow in 3-D beyond its start, in copies of the packed metric."""
    result = Result("memory", "")
    shape = (16,) * 3 if settings.quick else (96,) * 3
    metric = 6 * 8 * math.prod(shape)
    for kernel in ("plain", "fused"):
        for method, control in _RUNS:
            parameters = {
                "shape": list(shape),
                "method": method,
                "kernel": kernel,
                "steps": 2,
                "control": control,
            }
            row = Row(f"{method}, {control} steps, {kernel}, {shape[0]}^3", parameters)
            settings.say(row.what)
            with Laboratory() as lab:
                try:
                    lab.do("prepare", key="run", version="some steps", problem=parameters)
                    lab.do("first", key="run", path=None)  # what libraries hold from then on
                    peak = lab.do("peak", key="run")["bytes"]
                except NotMeasuredError as error:
                    result.notes.append(f"{row.what}: {error}")
                    continue
            if peak is None:
                result.notes.append("the system does not tell the peak of the resident memory")
                return result
            row.figures = {
                "copies of g beyond the start": peak / metric,
                "copies of g in all": peak / metric + 1,
                "MiB": peak / 2**20,
            }
            result.rows.append(row)
    return result
