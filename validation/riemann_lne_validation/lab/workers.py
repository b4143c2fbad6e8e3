"""Pools of worker processes that end when the process that started them does, however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection


@contextmanager
def worker_pool(
    jobs: int, prepare: Callable[[], object] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes, each begun anew (spawn).

    Workers wait for the end of a pipe, which comes when this process closes it or dies, also by
    ``kill -9``; they end then, whatever they are doing. They are also ended where the block ends
    with an error. Ctrl-C, which a terminal sends to all processes, is for this process alone: work
    is to be submitted in a block of ``interrupts_stay_here``, as workers are started by that.

    Parameters
    ----------
    jobs : int
        Number of processes.
    prepare : callable, optional
        Called in every worker before its first work.
    """
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_begin, initargs=(theirs, prepare)
    )
    try:
        yield pool
    except BaseException:
        ours.close()  # what is running now would keep an interrupted run waiting for minutes
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        theirs.close()


def _begin(pipe: Connection, prepare: Callable[[], object] | None) -> None:
    """End this worker when the other end of the pipe is closed, whatever it is doing then."""

    def wait() -> None:
        pipe.poll(None)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    if prepare is not None:
        prepare()


@contextmanager
def interrupts_stay_here() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, which the terminal sends to all of them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
