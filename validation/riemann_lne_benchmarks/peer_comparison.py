"""Other libraries on the same differences, in turns with ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from riemann_lne.exact import periodic_sausage
from riemann_lne.threads import usable_cores

from .lab import Laboratory, NotMeasuredError, laboratories, relative_difference, take_turns
from .peers import INSTALL, PACKAGES
from .results import Result, Row, Settings
from .right_hand_side import Comparison, describe, fill, problem
from .samples import ratio, statistics

GRIDS = ("PyTorch eager", "torch.compile", "JAX jit, rolled", "JAX jit, sliced")
FASTER = "fused is faster by"
"""Name of a figure: how many times as fast as the row's version the fused one is."""
POINTWISE_TOLERANCE = 1e-12
"""For an exact derivative of a function of some ten operations: a thousand roundings or so."""


def bench_peers(settings: Settings) -> Result:
    """Fused and plain next to JAX, PyTorch, py-pde and geomstats; each is checked first."""
    result = Result("peers", "")
    python = {"python": settings.peer_python}
    cores = len(usable_cores())
    shapes: tuple[tuple[int, ...], ...] = ((1024, 1024), (96, 96, 96))
    if settings.quick:
        shapes = ((32, 32),)
    for threads in sorted({1, cores}):
        one = threads == 1
        # Compiling in 3-D takes minutes, and its code does not depend on the threads: once.
        names = [p for p in GRIDS if one or p != "torch.compile"]
        arguments: dict[str, Mapping[str, Any]] = {
            name: {"threads": threads, **(python if name in INSTALL else {})}
            for name in ("plain", "fused", *names)
            if one or name != "plain"
        }
        with laboratories({"plain": {}, **arguments}) as labs:
            comparison = Comparison({name: (name, labs[name]) for name in labs}, settings)
            for shape in shapes:
                rows = comparison.run(problem(shape, threads=threads), result)
                _compare_with_ours(rows)
    _second_order(settings, python, result)
    _geomstats(settings, python, result)
    _versions(python, result)
    return result


def _versions(python: Mapping[str, Any], result: Result) -> None:
    """Say which versions of the peers ran."""
    with suppress(NotMeasuredError), Laboratory(**python) as lab:
        found = lab.do("versions", names=list(PACKAGES))["versions"]
        text = ", ".join(f"{name} {number}" for name, number in found.items())
        result.notes.append(f"versions of the peers: {text}")


def _compare_with_ours(rows: dict[str, Row]) -> None:
    """How many times as fast as each peer the fused version is, from the rounds themselves."""
    fused = rows.get("fused")
    for name, row in rows.items():
        if name != "fused" and fused and fused.samples and row.samples:
            times = ratio(row.samples.wall, fused.samples.wall)
            row.figures[FASTER] = times.median
            row.figures[f"{FASTER}, quartiles"] = [times.low, times.high]


def _second_order(settings: Settings, python: Mapping[str, Any], result: Result) -> None:
    """py-pde differences to second order: compared at that order, in 2-D."""
    labs = {"plain": {}, "fused": {}, "py-pde": python}
    with laboratories(labs) as running:
        comparison = Comparison({name: (name, running[name]) for name in labs}, settings)
        shape = (32, 32) if settings.quick else (1024, 1024)
        _compare_with_ours(comparison.run(problem(shape, order=2), result))


def _geomstats(settings: Settings, python: Mapping[str, Any], result: Result) -> None:
    """Ricci tensor of the sausage, point by point, against the closed form."""
    task = problem((4, 4) if settings.quick else (5, 5, 5), formula="ricci")
    name = "geomstats"
    row = Row(describe(name, task), {**task, "version": name})
    with Laboratory(**python) as lab:
        settings.say(f"{row.what}: first call")
        try:
            lab.do("prepare", key="task", version=name, problem=task)
            found, _ = lab.result("task")
            check_pointwise(found, task, row)
        except NotMeasuredError as error:
            text = f"{row.what}: {error}"
            if error.missing:
                text = f"{name}: not installed; to compare with it: {INSTALL[name]}"
            result.notes.append(text)
            return
        samples = take_turns([(name, lab, "task")], max(1, min(settings.repeats, 3)), 0.0)[name]
    fill(row, samples, int(np.prod(task["shape"])))
    row.figures["points/s"] = 1e6 * row.figures["million points/s"]
    fused = [r for r in result.rows if r.parameters["version"] == "fused" and _in(task, r)]
    if fused and fused[0].samples:
        # Not on the same number of points, so not in turns: times a point, and no quartiles.
        speed = float(np.prod(fused[0].parameters["shape"]))
        speed /= statistics(fused[0].samples.wall).median
        row.figures[FASTER] = speed / row.figures["points/s"]
    result.rows.append(row)


def _in(task: Mapping[str, Any], row: Row) -> bool:
    return len(row.parameters["shape"]) == len(task["shape"]) and row.parameters["threads"] == 1


def check_pointwise(found: np.ndarray, task: Mapping[str, Any], row: Row) -> None:
    """Refuse a Ricci tensor that is not that of the sausage at t = 1."""
    sausage = periodic_sausage((1, 0), len(task["shape"]))
    grid = sausage.grid(task["shape"][0])
    exact = np.broadcast_to(sausage.ricci(1.0, *grid.coordinates()), found.shape)
    difference = relative_difference(found, np.asarray(exact))
    if not difference <= POINTWISE_TOLERANCE:
        raise NotMeasuredError(
            f"its Ricci tensor differs by {difference:.2g} from the closed form: it is not timed"
        )
    row.figures["difference to the closed form"] = difference
