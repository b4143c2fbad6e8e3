"""solve_flow on a grid that processes share."""

from __future__ import annotations

import inspect
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

from riemann_lne.errors import DTypeError, InvalidArgumentError
from riemann_lne.flows.describe import describe
from riemann_lne.integrators import FlowSolution
from riemann_lne.integrators import solve_flow as solve_alone
from riemann_lne.metrics import MetricField
from riemann_lne.threads import at_most, usable_cores

from .gathering import block_of
from .grids import distribute
from .team import MPITeam

_log = logging.getLogger(__name__)
_SIGNATURE = inspect.signature(solve_alone)


@wraps(solve_alone)
def solve_flow(metric: MetricField, *arguments: Any, **options: Any) -> FlowSolution:
    """Integrate a flow on a grid that MPI processes share; all of them call it alike.

    Arguments and result are those of ``riemann_lne.solve_flow``, to the last bit, and every process
    holds its block of each metric. What is different:

    metric : MetricField
        On a grid of ``distribute``. A metric on a whole grid, the same on all processes, is cut.
    events, observe
        Functions see the block of their process. Those with the attribute ``over_blocks``,
        "largest" or "smallest", have their numbers reduced, all of a step together; others return
        the same number on all processes, reduced by ``metric.grid.team.largest`` and ``.smallest``
        or ``metric.grid.integrate``: one that differs is an error. Those of the library need
        nothing.
    store
        A path is one zarr store, written by all and read by the core; ``solution.metrics`` are then
        whole metrics, read when asked for.
    checkpoint
        A folder with a part for each process. A run can go on with another number of processes.
    order
        With "fourier" axes that are cut are brought together for every derivative along them, which
        moves the whole metric several times in a right-hand side.

    Raises
    ------
    InvalidArgumentError
        If processes call it with different arguments; the message names one. Also all that the
        core's raises: an error on one process is raised on all, with the number of the process.
    GridTooSmallError
        If blocks are thinner than the stencil.
    """
    if not isinstance(metric, MetricField):
        raise DTypeError(
            f"metric is a {type(metric).__name__}; make a MetricField(grid, components) of it"
        )
    metric.require_riemannian("solve_flow")
    grid, start = metric.grid, ""
    if not isinstance(grid.team, MPITeam):
        start = describe(metric)
        grid = distribute(grid)
        metric = block_of(metric, grid)
    team: MPITeam = grid.team  # type: ignore[assignment]
    given = _SIGNATURE.bind(metric, *arguments, **options).arguments
    with _stoppable(team), team.together(), _quiet(team), at_most(threads_each(team)):
        _say_if_alone(team)
        _require_same(team, given, start)
        if "progress" in given:
            given["progress"] = given["progress"] and team.rank == 0
        return solve_alone(**given)


def threads_each(team: MPITeam) -> int:
    """Threads of each process, such that those of a machine share its processors."""
    return max(1, len(usable_cores()) // team.neighbours_here)


def _require_same(team: MPITeam, given: dict[str, Any], start: str) -> None:
    """Raise where a process was called with other arguments than the first one.

    ``start`` describes a metric on the whole grid; blocks of a metric have nothing to compare.
    """
    mine = {name: _described(value) for name, value in given.items() if name != "metric"}
    mine["metric"] = start
    mine["precision of the metric"] = str(given["metric"].packed.dtype)
    for rank, theirs in enumerate(team.listed(mine)):
        for name in {**theirs, **mine}:
            if theirs.get(name) != mine.get(name):
                raise InvalidArgumentError(
                    f"process {team.rank} was called with {name} = {mine.get(name)} and process "
                    f"{rank} with {theirs.get(name)}; all processes must be asked for one flow"
                )


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return str({str(k): _described(v) for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        return str([_described(v) for v in value])
    return describe(value)


@cache
def _say_if_alone(team: MPITeam) -> None:
    if team.size == 1:
        _log.warning(
            "%d MPI process holds the whole grid; to share it, start the program with, for "
            "instance, mpiexec -n 4",
            team.size,
        )


@contextmanager
def _stoppable(team: MPITeam) -> Iterator[None]:
    """Take Ctrl-C as a wish to stop after the step, on all processes after the same one.

    The second time it interrupts at once.
    """
    before = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread() and callable(before)
    if team.size == 1 or not here:
        yield
        return

    def handler(number: int, frame: Any) -> None:
        if team.stopping:
            before(number, frame)  # type: ignore[operator, misc]
        team.stopping = True

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        team.stopping = False
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet(team: MPITeam) -> Iterator[None]:
    """Leave warnings and the log to the first process."""
    if team.rank == 0:
        yield
        return
    log = logging.getLogger("riemann_lne")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
