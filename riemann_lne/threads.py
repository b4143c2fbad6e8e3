"""How many threads the compiled kernels and the transforms of NumPy arrays use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import InvalidArgumentError

_OURS = "RIEMANN_LNE_THREADS"
_limit: int | None = None


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Take no more threads in a block of code, unless an argument or the environment says a number.

    Examples
    --------
    >>> from riemann_lne.threads import at_most, thread_count
    >>> with at_most(1):
    ...     thread_count(3)
    3
    """
    global _limit
    before, _limit = _limit, threads
    try:
        yield
    finally:
        _limit = before


def thread_count(threads: int | None = None) -> int:
    """The number asked for, or that of the environment, or the processors that may be used.

    Of the environment RIEMANN_LNE_THREADS counts, else OMP_NUM_THREADS; a value of the latter that
    means nothing is passed over, as OpenMP does.

    Raises
    ------
    InvalidArgumentError
        If the argument, or RIEMANN_LNE_THREADS, is not a whole number, at least 1.

    Examples
    --------
    >>> from riemann_lne.threads import thread_count
    >>> thread_count(2)
    2
    """
    if threads is not None:
        if isinstance(threads, bool) or int(threads) != threads or threads < 1:
            raise InvalidArgumentError(f"threads = {threads!r}; give a whole number, at least 1")
        return int(threads)
    ours, openmp = (_first_number(name) for name in (_OURS, "OMP_NUM_THREADS"))
    if ours == 0:
        raise InvalidArgumentError(
            f"the environment variable {_OURS} is {os.environ[_OURS]!r}; it must be the number of "
            "threads, at least 1"
        )
    if ours or openmp:
        return int(ours or openmp or 1)
    there = len(usable_cores())
    return there if _limit is None else min(there, _limit)


def usable_cores() -> list[int]:
    """Numbers of the processor cores that this process may use, which can be fewer than there are.

    ``taskset``, batch systems and containers give a process some of the cores of a machine.
    """
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _first_number(name: str) -> int | None:
    """Number in an environment variable; None if it is not set, 0 if it is no number.

    OpenMP allows a list, the number of the outermost level first.
    """
    text = os.environ.get(name, "").split(",")[0].strip()
    if not text:
        return None
    return int(text) if text.isdecimal() else 0
