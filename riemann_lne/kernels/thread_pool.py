"""The threads of the kernels, and the slabs of the first axis that they share out."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise


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
