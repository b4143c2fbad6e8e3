"""Checks run one after another, or in several processes that end when this one does."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from riemann_lne.threads import usable_cores

from ..lab.workers import interrupts_stay_here, worker_pool
from .backends import Backend
from .frame import Claim, Outcome, Verdict, load_claims, parameters_of, run_claim, select
from .records import Setting

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def processes(jobs: int, count: int) -> int:
    """How many processes run so many checks; ``jobs`` as in ``run_claims``."""
    return max(1, min(jobs or len(usable_cores()), count))


def run_claims(
    claims: Sequence[Claim],
    setting: Setting,
    overrides: Mapping[str, Any],
    jobs: int = 0,
    files: Sequence[Path] = (),
) -> Generator[Outcome, None, None]:
    """Outcomes as they come, from this process or several (``jobs``; 0: one a usable core).

    ``files`` are those of the user that other processes must load before they know the claims.

    A process that dies takes no other check with it: those that it may have been running are run
    again, each in a process of its own, and the one that kills that too is reported as an error.
    """
    jobs = processes(jobs, len(claims))
    if jobs == 1:
        for claim in claims:
            with _one_thread_here():
                outcome = run_claim(claim, setting.full, Backend(setting.backend), overrides)
            yield outcome
        return
    lost: list[Claim] = []
    yield from _in_processes(claims, setting, overrides, jobs, files, lost)
    for claim in lost:
        again: list[Claim] = []
        yield from _in_processes([claim], setting, overrides, 1, files, again)
        if again:
            yield _died(claim, parameters_of(claim, setting.full, overrides))


def _died(claim: Claim, parameters: dict[str, Any]) -> Outcome:
    problem = "the process that ran this check died: killed, or out of memory"
    return Outcome(claim, Verdict.ERROR, None, parameters, 0.0, problem)


def _in_processes(
    claims: Sequence[Claim],
    setting: Setting,
    overrides: Mapping[str, Any],
    jobs: int,
    files: Sequence[Path],
    lost: list[Claim],
) -> Iterator[Outcome]:
    """Outcomes as they come; claims whose process died are added to ``lost``."""
    prepare = partial(load_claims, list(files)) if files else None
    with worker_pool(jobs, prepare) as pool:
        with _one_thread_each(), interrupts_stay_here():
            futures: dict[Future[Outcome], Claim] = {
                pool.submit(_run_by_id, c.id, setting.full, setting.backend, dict(overrides)): c
                for c in claims
            }
        for future in as_completed(futures):
            try:
                yield replace(future.result(), claim=futures[future])
            except BrokenProcessPool:
                lost.append(futures[future])


def _run_by_id(id: str, full: bool, backend: str, overrides: dict[str, Any]) -> Outcome:
    """The function of a worker process. The claim stays here: its guard may be a lambda."""
    outcome: Any = run_claim(select([id])[0], full, Backend(backend), overrides)
    return replace(outcome, claim=None)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Worker processes with one linear-algebra thread each: the cores are taken already."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update({name: "1" for name in _THREAD_VARIABLES if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextmanager
def _one_thread_here() -> Iterator[None]:
    """One linear-algebra thread in this process, unless the user has set how many.

    The matrices of the checks are small. Where other programs use the cores, threads that wait for
    one another in a loop took 70 times as long as one thread alone.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # of the extra verify, like what prints the results
        yield
        return
    with threadpool_limits(None if any(map(os.environ.get, _THREAD_VARIABLES)) else 1):
        yield
