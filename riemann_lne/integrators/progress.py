"""Progress bars, and Ctrl-C at a moment when everything fits together."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from ..errors import MissingDependencyError


@contextmanager
def progress_bar(wanted: bool, t0: float, t1: float) -> Iterator[Callable[[float], None]]:
    """A function to report the time reached to; shows a bar on a terminal, a line in a notebook."""
    # There may be no stream at all, or a closed one, or one that can do no more than write and
    # flush: that of JupyterLite does not know whether it is closed.
    there = sys.stderr is not None and not getattr(sys.stderr, "closed", False)
    if wanted and there and in_notebook():
        with _line(t0, t1) as report:
            yield report
        return
    if not wanted or not there or not getattr(sys.stderr, "isatty", lambda: False)():
        yield lambda t: None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError as error:
        raise MissingDependencyError("rich", "verify", "progress=True", error) from error
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("flow", total=t1 - t0)

        def report(t: float) -> None:
            # A terminal that has gone is no reason to end a flow.
            with suppress(OSError, ValueError):
                bar.update(task, completed=t - t0)

        yield report


_OFTEN = 0.2
"""Seconds between two states of the line in a notebook."""


def in_notebook() -> bool:
    """Whether this is a notebook: IPython runs, and not on a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


@contextmanager
def _line(t0: float, t1: float) -> Iterator[Callable[[float], None]]:
    """A line of text that is written over, which notebooks show without any widget."""
    shown = [-_OFTEN]

    def write(text: str) -> None:
        # A notebook that was closed is no reason to end a flow.
        with suppress(OSError, ValueError):
            sys.stderr.write(f"\r{text:40s}")
            sys.stderr.flush()

    def report(t: float) -> None:
        now = time.monotonic()
        if now - shown[0] >= _OFTEN:
            shown[0] = now
            write(f"flow: {100 * (t - t0) / (t1 - t0):3.0f} %, t = {t:.5g}")

    try:
        yield report
    finally:
        write("")
        write("\r")


class _Deferral:
    """A handler of Ctrl-C that puts it off within blocks, and else does what the one before did."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self._handler, self._depth = handler, 0
        self._waiting: tuple[Any, ...] | None = None

    def __call__(self, *signalled: Any) -> None:
        if self._depth:
            self._waiting = signalled
        else:
            self._handler(*signalled)

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._waiting is not None and not self._depth:
            signalled, self._waiting = self._waiting, None
            self._handler(*signalled)


@contextmanager
def deferrable() -> Iterator[AbstractContextManager[None]]:
    """Have a handler in place that ``uninterrupted`` finds, for code that calls that often.

    To put a handler in place and back takes as long as the right-hand side on a small grid.
    """
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if here else None
    if not callable(handler):
        yield nullcontext()
        return
    ours = _Deferral(handler)
    signal.signal(signal.SIGINT, ours)
    try:
        yield ours
    finally:
        # A handler that was put in place meanwhile stays.
        if signal.getsignal(signal.SIGINT) is ours:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C until the block is done, so that nothing is written half.

    Signals reach the main thread alone; elsewhere there is nothing to put off.
    """
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if here else None
    if isinstance(handler, _Deferral):
        with handler:
            yield
    else:
        with deferrable() as block, block:
            yield
