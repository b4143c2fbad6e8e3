"""The process in which one version is measured: it prepares tasks and times them when told to.

Every version has a process of its own, so that its threads can be bound to cores, its memory is its
own, a crash is a line in the table and a library that wants another NumPy can have its own
interpreter. Commands and answers are lines of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import select
import sys
import threading
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import IO, Any

import numpy as np

from riemann_lne.errors import MissingDependencyError

from .samples import calls_for, timed
from .versions import Task, make_task


class PeakMemory:
    """Growth of the resident memory of this process during a block, where the system tells it."""

    def __enter__(self) -> PeakMemory:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what was freed before shall not count as free space
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.start: int | None = _status("VmRSS")
        except OSError:
            self.start = None
        return self

    def __exit__(self, *error: object) -> None:
        self.bytes = None if self.start is None else max(0, _status("VmHWM") - self.start)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


class Worker:
    """Answers commands: prepare, time, once, peak, quit."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.counts: dict[str, int] = {}

    def prepare(self, key: str, version: str, problem: dict[str, Any]) -> dict[str, Any]:
        """Build a task; its first call, which may compile, is timed as well."""
        self.tasks.pop(key, None)  # its memory first
        made: list[Task] = []
        building, cpu = timed(lambda: made.append(make_task(version, problem)))
        self.tasks[key] = made[0]
        return {"building": building, "building cpu": cpu}

    def first(self, key: str, path: str | None) -> dict[str, Any]:
        """Call a task for the first time and keep its result in a file."""
        task = self.tasks[key]
        values: list[Any] = []
        seconds, cpu = timed(lambda: values.append(task.call()))
        if path is not None:
            np.save(path, task.result(values[0]))
        return {"first": seconds, "cpu": cpu, **task.facts(values[0])}

    def settle(self, key: str, shortest: float) -> dict[str, Any]:
        """Find the number of calls that make one sample."""
        self.counts[key] = calls_for(timed(self.tasks[key].call)[0], shortest)
        return {"calls": self.counts[key]}

    def time(self, key: str) -> dict[str, Any]:
        """One sample."""
        wall, cpu = timed(self.tasks[key].call, self.counts.get(key, 1))
        return {"wall": wall, "cpu": cpu}

    def peak(self, key: str) -> dict[str, Any]:
        """Growth of the resident memory during one call."""
        with PeakMemory() as memory:
            self.tasks[key].call()
        return {"bytes": memory.bytes}

    def versions(self, names: list[str]) -> dict[str, Any]:
        """Versions of packages, as far as they are installed here."""
        found = {"python": platform.python_version()}
        for name in names:
            with suppress(PackageNotFoundError):
                found[name] = installed(name)
        return {"versions": found}

    def drop(self, key: str) -> dict[str, Any]:
        """Free a task."""
        self.tasks.pop(key, None)
        return {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer to one command; what goes wrong is an answer too."""
        what = command.pop("do")
        try:
            return {"ok": True, **getattr(self, what)(**command)}
        except MissingDependencyError as error:
            return {"ok": False, "missing": True, "problem": str(error)}
        except MemoryError as error:
            return {"ok": False, "problem": f"out of memory: {error}".rstrip(": ")}
        except Exception as error:
            text = f"{type(error).__name__}: {error}".strip()
            return {"ok": False, "problem": text, "traceback": traceback.format_exc()}


def serve(commands: IO[str], answers: IO[str]) -> None:
    """Answer commands until there are no more."""
    worker = Worker()
    for line in commands:
        command = json.loads(line)
        if command["do"] == "quit":
            return
        answers.write(json.dumps(worker.answer(command)) + "\n")
        answers.flush()


def _end_with_parent() -> None:
    """End this process when nobody can write commands any more, whatever it is doing then."""
    poller = select.poll()
    poller.register(0, 0)  # the end of the pipe is reported without being asked for

    def wait() -> None:
        poller.poll()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Serve on the standard streams; what libraries print goes to the error stream."""
    if hasattr(select, "poll"):
        _end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
