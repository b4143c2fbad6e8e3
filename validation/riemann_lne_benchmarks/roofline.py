"""Rooflines of the machine, and where the fused kernels lie below them."""

from __future__ import annotations

import math
from typing import Any

from riemann_lne.threads import usable_cores

from .lab import Laboratory, NotMeasuredError, laboratories, take_turns
from .machine import elements_beyond_the_cache
from .results import Result, Row, Settings
from .right_hand_side import LARGE, SMALL, describe, fill, problem
from .samples import Samples, statistics


def bench_roofline(settings: Settings) -> Result:
    """Memory bandwidth and arithmetic peak, and the share of them that the kernels reach."""
    result = Result("roofline", "")
    cores = len(usable_cores())
    counts = sorted({1, cores})
    with laboratories({str(count): {"threads": count} for count in counts}) as labs:
        for count in counts:
            _one(labs[str(count)], settings, result)
    return result


def _tasks(threads: int, quick: bool) -> dict[str, tuple[str, dict[str, Any], float]]:
    """Name -> (version, problem, bytes moved or 0 where the task counts operations)."""
    n = 2**22 if quick else elements_beyond_the_cache(2)
    size = 512 if quick else 2048
    both: dict[str, Any] = {"threads": threads}
    tasks: dict[str, tuple[str, dict[str, Any], float]] = {
        "copy (NumPy)": ("copy", {**both, "n": n}, 16.0 * n),
        "triad (C)": ("triad", {**both, "n": n}, 24.0 * n),
    }
    for dtype in ("float64", "float32"):
        more = {**both, "dtype": dtype}
        tasks[f"multiply-add loop (C), {dtype}"] = ("multiply-add", more, 0.0)
        tasks[f"matrix product (BLAS), {dtype}"] = ("matmul", {**more, "n": size}, 0.0)
    for shape in SMALL if quick else LARGE:
        for dtype in ("float64", "float32"):
            task = problem(shape, dtype=dtype, threads=threads)
            tasks[describe("fused", task)] = ("fused", task, 0.0)
    return tasks


def _one(lab: Laboratory, settings: Settings, result: Result) -> None:
    tasks = _tasks(lab.threads, settings.quick)
    ready, facts = [], {}
    for name, (version, task, _) in tasks.items():
        settings.say(f"{name}, {lab.threads} threads: first call")
        try:
            lab.do("prepare", key=name, version=version, problem=task)
            facts[name] = lab.do("first", key=name, path=None)
            ready.append((name, lab, name))
        except NotMeasuredError as error:
            result.notes.append(f"{name}: {error}")
    samples = take_turns(ready, settings.repeats)
    bandwidth, peak = 0.0, {"float64": 0.0, "float32": 0.0}
    for name, _, _ in ready:
        version, task, moved = tasks[name]
        if version == "fused":
            continue
        row = Row(f"{name}, {lab.threads} threads", {**task, "version": version}, {}, samples[name])
        seconds = statistics(samples[name].wall).median
        if moved:
            row.figures["GB/s"] = moved / seconds / 1e9
            bandwidth = max(bandwidth, moved / seconds)
        else:
            speed = facts[name]["flops"] / seconds
            row.figures["Gflop/s"] = speed / 1e9
            peak[task["dtype"]] = max(peak[task["dtype"]], speed)
        result.rows.append(row)
    for name, _, _ in ready:
        version, task, _ = tasks[name]
        if version == "fused" and bandwidth:
            row = Row(name, {**task, "version": version})
            below_roof(row, samples[name], facts[name], bandwidth, peak[task["dtype"]])
            result.rows.append(row)
    for name, _, _ in ready:
        lab.do("drop", key=name)


def below_roof(
    row: Row, samples: Samples, facts: dict[str, Any], bandwidth: float, peak: float
) -> None:
    """Speed as a share of min(peak, intensity * bandwidth), the roofline of Williams et al. 2009.

    Intensity is flops over the least traffic: every field read once, the result written once.
    """
    points = math.prod(row.parameters["shape"])
    fill(row, samples, points)
    seconds = statistics(samples.wall).median
    flops, moved = facts["flops_per_point"], facts["bytes_per_point"]
    roof = min(peak, flops / moved * bandwidth)
    row.figures["flop a point"] = flops
    row.figures["flop a byte"] = flops / moved
    row.figures["Gflop/s"] = flops * points / seconds / 1e9
    row.figures["bound by"] = "memory" if roof < peak else "arithmetic"
    row.figures["share of the roofline"] = flops * points / seconds / roof
    row.figures["share of the bandwidth"] = moved * points / seconds / bandwidth
