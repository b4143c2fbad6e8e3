"""The parts of a step's time: right-hand sides, sums of stages, transforms, reductions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import process_time
from typing import Any
from unittest import mock

from riemann_lne import Grid, MetricField, RicciDeTurckFlow, perturbed_euclidean, solve_flow
from riemann_lne.errors import KernelUnavailableError
from riemann_lne.fourier import Transform
from riemann_lne.kernels.fused import FusedHostFlow

from .results import Result, Row, Settings
from .samples import Samples

METHODS = {"rk4": 0.9, "bs32": 0.9, "tsit5": 0.9, "rkl2": 30.0, "etdrk4": 30.0}
"""Methods, and their steps in units of the limit of rk4."""

_PARTS: dict[str, list[tuple[type, str]]] = {
    "right-hand sides": [(FusedHostFlow, "rhs"), (FusedHostFlow, "update")],
    "sums": [(FusedHostFlow, "combination")],
    "transforms": [(Transform, "forth"), (Transform, "back")],
    "reductions": [
        (FusedHostFlow, name) for name in ("is_metric", "largest_square", "spectral_radius")
    ],
}


def bench_budget(settings: Settings) -> Result:
    """Processor time of an equal step of every method, and the parts that it goes into."""
    result = Result("budget", "")
    for shape in ((64, 64), (16,) * 3) if settings.quick else ((1024,) * 2, (64,) * 3, (96,) * 3):
        start = perturbed_euclidean(Grid.torus(shape), 0.1)
        for method, factor in METHODS.items():
            name = f"{shape[0]}^{len(shape)}, {method}"
            settings.say(name)
            try:
                result.rows.append(measured(name, start, method, factor, settings.repeats))
            except KernelUnavailableError as error:
                result.notes.append(f"{name}: {error}")
    return result


def measured(name: str, start: MetricField, method: str, factor: float, rounds: int) -> Row:
    """The cost of three steps less that of one: the cost of the run itself drops out."""
    flow = RicciDeTurckFlow()
    dt = factor * 2.785 / flow.spectral_radius(start.packed, start.grid, 4)

    def run(steps: int) -> dict[str, float]:
        with timed_parts() as spent:
            began = process_time()
            options: dict[str, Any] = {"dt": dt, "kernel": "fused", "store": "last"}
            solve_flow(start, flow, (0, steps * dt), method, **options)
            spent["whole"] = process_time() - began
        return spent

    run(1)  # kernels are built or loaded
    runs = [(run(1), run(3)) for _ in range(rounds)]
    steps = [{k: (three[k] - one[k]) / 2 for k in three} for one, three in runs]
    # The quickest run of each kind: what disturbs makes runs longer, never shorter, but the
    # difference of two runs shorter where it disturbs the short one.
    one, three = (min(some, key=lambda run: run["whole"]) for some in zip(*runs, strict=True))
    best = {k: (three[k] - one[k]) / 2 for k in three}
    row = Row(name, {"shape": list(start.grid.shape), "method": method, "dt": dt})
    row.samples = Samples(wall=[step["whole"] for step in steps], cpu=[])
    row.figures["ms a step"] = 1e3 * best["whole"]
    for part in _PARTS:
        row.figures[f"{part}, %"] = 100 * best[part] / best["whole"]
    row.figures["rest, %"] = 100 * (1 - sum(best[part] for part in _PARTS) / best["whole"])
    return row


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """Adds up the processor time in each part; one that is called by another counts as that."""
    spent = dict.fromkeys(_PARTS, 0.0)
    within: list[str] = []

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if within:
                return function(*arguments, **options)
            within.append(part)
            began = process_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[part] += process_time() - began
                within.pop()

        return call

    patches = [
        mock.patch.object(owner, name, timed(part, getattr(owner, name)))
        for part, functions in _PARTS.items()
        for owner, name in functions
    ]
    for patch in patches:
        patch.start()
    try:
        yield spent
    finally:
        for patch in patches:
            patch.stop()
