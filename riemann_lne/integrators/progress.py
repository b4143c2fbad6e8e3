"""Progress bars, and Ctrl-C at a moment when everything fits together."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import MissingDependencyError


@contextmanager
def progress_bar(wanted: bool, t0: float, t1: float) -> Iterator[Callable[[float], None]]:
    """A function to report the time reached to; shows a bar on a terminal."""
    # There may be no stream at all, or a closed one.
    there = sys.stderr is not None and not sys.stderr.closed
    if not wanted or not there or not sys.stderr.isatty():
        yield lambda t: None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        raise MissingDependencyError("rich", "verify", "progress=True") from None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("flow", total=t1 - t0)

        def report(t: float) -> None:
            # A terminal that has gone is no reason to end a flow.
            with suppress(OSError, ValueError):
                bar.update(task, completed=t - t0)

        yield report


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C until the block is done, so that nothing is written half.

    Signals reach the main thread alone; elsewhere there is nothing to put off.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    waiting: list[tuple[Any, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(*waiting[-1])
