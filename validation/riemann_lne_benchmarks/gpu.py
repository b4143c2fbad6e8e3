"""Right-hand sides on a GPU, where CuPy finds one."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from riemann_lne import MetricField, RicciDeTurckFlow
from riemann_lne.arrays import to_numpy
from riemann_lne.errors import MissingDependencyError

from .lab import Laboratory, NotMeasuredError, relative_difference, take_turns
from .results import Result, Row, Settings
from .right_hand_side import compare, fill, problem, rounding
from .samples import statistics
from .versions import NoKernelError, Problem, Task, order_of, start_metric

_COPIED = 2**27
"""Doubles of the array that is copied to find the bandwidth: a gibibyte."""


def _cupy() -> Any:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise MissingDependencyError("CuPy", "gpu", "the benchmark of the GPU", error) from error
    try:
        found = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise NoKernelError(f"CuPy finds no GPU: {error}") from error
    if not found:
        raise NoKernelError("CuPy finds no GPU")
    return cupy


def _finished(cupy: Any, function: Callable[[], Any]) -> Callable[[], Any]:
    """The call, until the device has done it."""

    def call() -> Any:
        value = function()
        cupy.cuda.Device().synchronize()
        return value

    return call


def gpu_copy(problem: Problem) -> Task:
    """Copy b = a on the device, ``problem["n"]`` doubles."""
    cupy = _cupy()
    a = cupy.ones(int(problem["n"]))
    b = cupy.zeros_like(a)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    call = _finished(cupy, lambda: cupy.copyto(b, a))
    return Task(call, to_numpy, lambda value: {"device": name})


def gpu_right_hand_side(problem: Problem) -> Task:
    """The plain or the fused right-hand side on CuPy arrays."""
    cupy = _cupy()
    host, order, flow = start_metric(problem), order_of(problem), RicciDeTurckFlow()
    metric = MetricField.from_packed(host.grid, cupy.asarray(host.packed))
    rhs: Any = flow
    if problem["kernel"] == "fused":
        kernels = importlib.import_module("riemann_lne.kernels")
        reason = kernels.why_not(flow, metric.grid, order, metric.packed)
        if reason is not None:
            raise NoKernelError(reason)
        rhs = kernels.fused_flow(flow, metric.grid, order, metric.packed)
    packed, grid = metric.packed, metric.grid
    return Task(_finished(cupy, lambda: rhs.rhs(0.0, packed, grid, order)))


def bench_gpu(settings: Settings) -> Result:
    """Fused and plain right-hand side on a GPU in turns, and the device's bandwidth."""
    result = Result("gpu", "")
    with Laboratory() as lab:
        try:
            lab.do("prepare", key="copy", version="GPU copy", problem={"n": _COPIED})
            device = lab.do("first", key="copy", path=None)["device"]
        except NotMeasuredError as error:
            result.notes.append(f"not measured: {error}")
            return result
        seconds = statistics(take_turns([("copy", lab, "copy")], settings.repeats)["copy"].wall)
        lab.do("drop", key="copy")
        bandwidth = 16 * _COPIED / seconds.median
        result.rows.append(Row(f"copy, {device}", {}, {"GB/s": bandwidth / 1e9}))
        for dtype in ("float64", "float32"):
            shape = (32,) * 3 if settings.quick else (256,) * 3
            _on(problem(shape, dtype=dtype), bandwidth, lab, settings, result)
    return result


def _on(
    task: dict[str, Any], bandwidth: float, lab: Laboratory, settings: Settings, result: Result
) -> None:
    rows: dict[str, Row] = {}
    expected = None
    for kernel in ("plain", "fused"):
        mine = {**task, "kernel": kernel}
        row = Row(f"{kernel} {task['shape'][0]}^3, order 4, {task['dtype']}", mine)
        try:
            lab.do("prepare", key=kernel, version="GPU right-hand side", problem=mine)
            found, facts = lab.result(kernel)
            if expected is None:
                expected = found
            elif not relative_difference(found, expected) <= rounding(task, expected):
                raise NotMeasuredError("its result differs from the plain one: it is not timed")
        except NotMeasuredError as error:
            result.notes.append(f"{row.what}: {error}")
            continue
        row.parameters["first call, s"] = facts["first"]
        rows[kernel] = row
    samples = take_turns([(kernel, lab, kernel) for kernel in rows], settings.repeats)
    points = math.prod(task["shape"])
    for kernel, row in rows.items():
        fill(row, samples[kernel], points)
        # A metric is read and a rate written: 12 numbers a point in 3-D.
        moved = 12 * (8 if task["dtype"] == "float64" else 4) * points
        seconds = statistics(samples[kernel].wall).median
        row.figures["share of the bandwidth"] = moved / seconds / bandwidth
        result.rows.append(row)
        lab.do("drop", key=kernel)
    compare(rows, "plain")
