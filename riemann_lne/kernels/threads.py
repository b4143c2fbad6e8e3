"""How many threads kernels use, and the slabs of the first axis that they share out."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

from ..errors import InvalidArgumentError


def thread_count(threads: int | None = None) -> int:
    """The number asked for; else OMP_NUM_THREADS; else the processors that may be used.

    Raises
    ------
    InvalidArgumentError
        If it is not a positive whole number.

    Examples
    --------
    >>> thread_count(2)
    2
    """
    if threads is not None:
        if isinstance(threads, bool) or int(threads) != threads or threads < 1:
            raise InvalidArgumentError(f"threads = {threads!r}; give a whole number, at least 1")
        return int(threads)
    # The variable may hold a list, the number of the outermost level first.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first) > 0:
        return int(first)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slabs(size: int, threads: int, least: int) -> list[tuple[int, int]]:
    """Nearly equal parts of range(size), one a thread, none shorter than ``least``.

    Examples
    --------
    >>> slabs(10, 3, 2), slabs(10, 3, 6)
    ([(0, 3), (3, 6), (6, 10)], [(0, 10)])
    """
    count = max(1, min(threads, size // max(1, least)))
    ends = [size * k // count for k in range(count + 1)]
    return list(pairwise(ends))


@cache
def _pool_of(process: int, workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="riemann-lne")


_LOCK = threading.Lock()


def pool(workers: int) -> ThreadPoolExecutor:
    """Threads that stay between calls. A forked process gets its own: threads do not survive."""
    with _LOCK:
        return _pool_of(os.getpid(), workers)
