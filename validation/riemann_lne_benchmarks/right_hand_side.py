"""Right-hand sides: the fused kernels next to the plain and the textbook version; scaling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from riemann_lne import RicciDeTurckFlow
from riemann_lne.threads import usable_cores

from .lab import Laboratory, NotMeasuredError, laboratories, relative_difference, take_turns
from .peers import INSTALL
from .results import Result, Row, Settings
from .samples import Samples, ratio, statistics
from .versions import start_metric

LARGE = ((1024, 1024), (96, 96, 96), (20, 20, 20, 20))
SMALL = ((64, 64), (16, 16, 16), (8, 8, 8, 8))
INDEX = "index formula"
_ROUNDING = 8.0
"""Roundings of the largest term of the sum by which two orders of summation may differ: those of a
formula of some hundred operations add up like a random walk."""


def problem(shape: Iterable[int], **more: Any) -> dict[str, Any]:
    """A problem as plain data: order 4, double precision, one thread unless told otherwise."""
    return {"shape": list(shape), "order": 4, "dtype": "float64", "threads": 1, **more}


def rounding(task: Mapping[str, Any], expected: np.ndarray) -> float:
    """Relative difference that the order of summation may make, dimensionless.

    Differences of order 4 divide by h^2: the largest term of the sum is rho |g|, rho the spectral
    radius of the differenced Laplacian, and what is left of the sum is smaller. So the rounding of
    the result is eps rho |g| / |result|, times a number of operations.
    """
    metric = start_metric(dict(task))
    flow = RicciDeTurckFlow()
    radius = flow.spectral_radius(metric.packed, metric.grid, int(task["order"]))
    eps = float(np.finfo(task["dtype"]).eps)
    largest = float(np.abs(metric.packed).max())
    return _ROUNDING * eps * radius * largest / float(np.abs(expected).max())


class Comparison:
    """Versions that take turns on one problem, each checked against the first before it is timed.

    Parameters
    ----------
    labs : mapping
        Name of a row -> (version, its process).
    settings : Settings
        Rounds, and where to report progress.
    """

    def __init__(
        self, labs: Mapping[str, tuple[str, Laboratory]], settings: Settings, limit: float = 240.0
    ) -> None:
        self.labs, self.settings, self.limit = labs, settings, limit
        self.gone: set[str] = set()  # processes that have ended

    def run(self, task: dict[str, Any], result: Result, peak: bool = False) -> dict[str, Row]:
        """Check, time and tell: rows by name, also added to ``result``; reasons go to its notes."""
        expected: np.ndarray | None = None
        rows: dict[str, Row] = {}
        ready = []
        for name, (version, lab) in self.labs.items():
            if name in self.gone:
                continue
            row = Row(describe(name, task), {**task, "version": name})
            self.settings.say(f"{row.what}: first call")
            try:
                mine = {**task, "threads": lab.threads}
                built = lab.do("prepare", self.limit, key=name, version=version, problem=mine)
                found, facts = lab.result(name, self.limit)
                difference = 0.0 if expected is None else relative_difference(found, expected)
                if expected is not None and not difference <= rounding(task, expected):
                    raise NotMeasuredError(
                        f"its result differs by {difference:.2g} of the largest entry, where "
                        f"rounding explains {rounding(task, expected):.2g}: it computes something "
                        "else, and is not timed"
                    )
            except NotMeasuredError as error:
                self._note(name, row.what, error, result)
                with suppress(NotMeasuredError):
                    lab.do("drop", key=name)
                continue
            if expected is None:
                expected = found
            else:
                row.figures["difference"] = difference
                scale = rounding(task, expected) / (_ROUNDING * np.finfo(task["dtype"]).eps)
                row.figures["difference, of the largest term"] = difference / scale
            row.parameters["first call, s"] = built["building"] + facts.pop("first")
            facts.pop("cpu")
            row.parameters.update(facts)
            rows[name] = row
            ready.append((name, lab, name))
        samples = take_turns(ready, self.settings.repeats) if ready else {}
        for name, lab, _ in ready:
            fill(rows[name], samples[name], math.prod(task["shape"]))
            if peak:
                _add_peak(rows[name], lab, name)
            lab.do("drop", key=name)
        result.rows += rows.values()
        return rows

    def _note(self, name: str, what: str, error: NotMeasuredError, result: Result) -> None:
        text = f"{what}: {error}"
        if error.missing and name in INSTALL:
            text = f"{name}: not installed; to compare with it: {INSTALL[name]}"
        if error.missing or "process ended" in str(error) or "and ended" in str(error):
            self.gone.add(name)
        if text not in result.notes:
            result.notes.append(text)


def describe(name: str, task: Mapping[str, Any]) -> str:
    """``name 96^3, order 4, float64``."""
    shape = task["shape"]
    size = f"{shape[0]}^{len(shape)}" if len(set(shape)) == 1 else " x ".join(map(str, shape))
    threads = f", {task['threads']} threads" if task["threads"] != 1 else ""
    formula = f" {task['formula']}" if "formula" in task else ""
    return f"{name}{formula} {size}, order {task['order']}, {task['dtype']}{threads}"


def fill(row: Row, samples: Samples, points: int) -> None:
    """The figures that every right-hand side has."""
    row.samples = samples
    wall = statistics(samples.wall)
    speed = {
        "million points/s": points / wall.median / 1e6,
        "million points/s, quartiles": [points / wall.high / 1e6, points / wall.low / 1e6],
        "process s / wall s": statistics(samples.cpu).median / wall.median,
    }
    row.figures = {**speed, **row.figures}


def _add_peak(row: Row, lab: Laboratory, key: str) -> None:
    peak = lab.do("peak", key=key)["bytes"]
    if peak is not None:
        n = len(row.parameters["shape"])
        item = np.dtype(row.parameters["dtype"]).itemsize
        metric = math.prod(row.parameters["shape"]) * n * (n + 1) // 2 * item
        row.figures["peak memory / metric"] = peak / metric


def compare(rows: Mapping[str, Row], base: str, name: str = "") -> None:
    """Add to every row how many times as fast as another one it is, from the rounds themselves."""
    reference = rows[base].samples if base in rows else None
    for key, row in rows.items():
        if key != base and row.samples and reference:
            times = ratio(reference.wall, row.samples.wall)
            row.figures[f"times {name or base}"] = times.median
            row.figures[f"times {name or base}, quartiles"] = [times.low, times.high]
            if row.parameters.get("threads") == rows[base].parameters.get("threads") == 1:
                cpu = ratio(reference.cpu, row.samples.cpu)
                row.figures[f"times {name or base}, process time"] = cpu.median


def bench_right_hand_side(settings: Settings) -> Result:
    """Ricci-DeTurck right-hand side on one core: fused, plain and textbook version in turns."""
    result = Result("right-hand-side", "")
    names = ("plain", "fused", "textbook", INDEX)
    wanted: dict[str, dict[str, Any]] = {name: {} for name in names}
    with laboratories(wanted) as labs:
        ours = {name: (name, labs[name]) for name in ("plain", "fused")}
        for shape in SMALL if settings.quick else LARGE:
            for order in (2, 4, 6):
                # In 2-D plain and fused version have a closed form.
                more = {INDEX: (INDEX, labs[INDEX])} if (len(shape), order) == (2, 4) else {}
                versions = Comparison({**ours, **more}, settings)
                rows = versions.run(problem(shape, order=order), result, True)
                compare(rows, "plain")
                compare(rows, INDEX)
            rows = Comparison(ours, settings).run(problem(shape, dtype="float32"), result, True)
            compare(rows, "plain")
        for shape in ((32, 32),) if settings.quick else ((256, 256), (32, 32, 32), (12,) * 4):
            both = {"plain": ("plain", labs["plain"]), "textbook": ("textbook", labs["textbook"])}
            rows = Comparison(both, settings).run(problem(shape), result)
            compare(rows, "textbook")
        for formula in ("ricci_flow",):
            shape = (16,) * 3 if settings.quick else (64,) * 3
            rows = Comparison(ours, settings).run(problem(shape, formula=formula), result, True)
            compare(rows, "plain")
    return result


def bench_scaling(settings: Settings) -> Result:
    """How the right-hand sides scale with the number of points, threads and the precision."""
    result = Result("scaling", "")
    cores = len(usable_cores())
    sizes: dict[int, tuple[int, ...]] = {
        2: (32, 64, 128, 256, 512, 1024, 2048),
        3: (16, 32, 64, 96, 128),
        4: (8, 12, 16, 20, 24),
    }
    with laboratories({"plain": {}, "fused": {}}) as labs:
        versions = {name: (name, labs[name]) for name in ("plain", "fused")}
        for n, counts in sizes.items():
            for count in counts[:2] if settings.quick else counts:
                rows = Comparison(versions, settings).run(problem((count,) * n), result)
                compare(rows, "plain")
    _precision(settings, result)
    if cores > 1:
        _threads(settings, cores, result)
    else:
        result.notes.append("threads: one core is all that this process may use")
    return result


def _precision(settings: Settings, result: Result) -> None:
    """float32 against float64, in turns."""
    with laboratories({"float64": {}, "float32": {}}) as labs:
        for version in ("plain", "fused"):
            for shape in SMALL[1:2] if settings.quick else LARGE[1:2]:
                names = {f"{version}, {dtype}": dtype for dtype in ("float64", "float32")}
                _take_turns_on(
                    {
                        name: (version, labs[dtype], problem(shape, dtype=dtype))
                        for name, dtype in names.items()
                    },
                    settings,
                    result,
                    "precision",
                    "float64",
                )


def _threads(settings: Settings, cores: int, result: Result) -> None:
    """All cores against one, in turns."""
    counts = sorted({1, 2, cores})
    with laboratories({str(c): {"threads": c} for c in counts}) as labs:
        for shape in SMALL if settings.quick else LARGE:
            _take_turns_on(
                {
                    f"fused, {count} threads": (
                        "fused",
                        labs[str(count)],
                        problem(shape, threads=count),
                    )
                    for count in counts
                },
                settings,
                result,
                "threads",
                "1 thread",
            )


def _take_turns_on(
    tasks: Mapping[str, tuple[str, Laboratory, dict[str, Any]]],
    settings: Settings,
    result: Result,
    study: str,
    base: str,
) -> None:
    """Problems that differ, in turns; the first is the one that the others are compared with."""
    ready, rows = [], {}
    for name, (version, lab, task) in tasks.items():
        row = Row(describe(version, task), {**task, "version": version, "study": study})
        settings.say(f"{row.what}: first call")
        try:
            lab.do("prepare", key="task", version=version, problem=task)
            lab.do("first", key="task", path=None)
        except NotMeasuredError as error:
            result.notes.append(f"{row.what}: {error}")
            continue
        ready.append((name, lab, "task"))
        rows[name] = row
    samples = take_turns(ready, settings.repeats)
    for name, row in rows.items():
        fill(row, samples[name], math.prod(row.parameters["shape"]))
    first = next(iter(tasks))
    compare(rows, first, base)
    for _, lab, _ in ready:
        lab.do("drop", key="task")
    result.rows += rows.values()
