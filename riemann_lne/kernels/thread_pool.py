"""The threads of the kernels, and the slabs of the first axis that they share out."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

from ..threads import thread_count


def slabs(size: int, threads: int | None, least: int) -> list[tuple[int, int]]:
    """Nearly equal parts of range(size), one a thread, none shorter than ``least``.

    ``threads``: see ``thread_count``, which need not be asked where there is one part anyway.

    Examples
    --------
    >>> slabs(10, 3, 2), slabs(10, 3, 6)
    ([(0, 3), (3, 6), (6, 10)], [(0, 10)])
    """
    most = size // max(1, least)
    if threads is None and most <= 1:
        return [(0, size)]
    count = max(1, min(thread_count(threads), most))
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
