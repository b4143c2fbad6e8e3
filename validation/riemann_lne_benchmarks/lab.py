"""Workers as seen from the process that compares them: start, command, time limit, turns."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from riemann_lne.errors import RiemannLNEError
from riemann_lne.threads import usable_cores

from .environment import thread_environment
from .samples import Samples

_START = """
import os
cores = {cores}
if cores and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, cores)
from riemann_lne_benchmarks.worker import main
main()
"""
_LIMIT = 300.0
"""Seconds that one command may take, unless the caller says otherwise."""


_LOOK = 0.2
"""Seconds between two looks at the processor time of a process."""


def _processor_time(process: int) -> float | None:
    """Processor seconds that a process has taken, None where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def _roots() -> list[str]:
    """The folders of the library's packages: every interpreter takes the same sources.

    The other interpreter need not have them installed, and in a checkout each has another folder.
    """
    packages = ("riemann_lne", "riemann_lne_benchmarks", "riemann_lne_validation")
    found = [find_spec(name) for name in (*packages, "riemann_lne_torch")]
    origins = [spec.origin for spec in found if spec is not None and spec.origin]
    return list(dict.fromkeys(str(Path(origin).parents[1]) for origin in origins))


class NotMeasuredError(RiemannLNEError, RuntimeError):
    """A version could not be measured; the message says why.

    ``missing`` tells whether it is only not installed.
    """

    def __init__(self, message: str, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Laboratory:
    """A process for one version, bound to a number of cores. Use it in a ``with`` block.

    Parameters
    ----------
    threads : int
        Number of threads, and of cores that the process may use.
    python : str
        The interpreter.
    variables : mapping, optional
        Further environment variables.

    Raises
    ------
    NotMeasuredError
        From its methods, if the process reports an error, ends, or takes too long.
    """

    def __init__(
        self, threads: int = 1, python: str = "", variables: Mapping[str, str] | None = None
    ) -> None:
        self.threads = threads
        cores = usable_cores()[:threads]
        # XLA and others take as many threads as they see cores: the binding is what counts there.
        environment = {**os.environ, **thread_environment(threads), **(variables or {})}
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([*_roots(), *([before] if before else [])])
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115 - closed with the process
            "w+", encoding="utf-8", errors="replace"
        )
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, "-c", _START.format(cores=cores)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
            )
        except OSError as error:
            self._errors.close()
            raise NotMeasuredError(f"the interpreter {python!r} cannot be run: {error}") from error
        self._pending = b""

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(b'{"do": "quit"}\n')
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def do(
        self, what: str, limit: float = _LIMIT, processor: float | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Give a command and wait for its answer, at most ``limit`` seconds.

        ``processor`` bounds the processor time of the command instead, which other work on the
        machine does not use up, where the system tells that of a process.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps({"do": what, **arguments}) + "\n").encode())
            self._process.stdin.flush()
        except OSError as error:
            raise NotMeasuredError(f"its process has ended: {self._last_words()}") from error
        answer = json.loads(self._line(limit, processor))
        if not answer.pop("ok"):
            raise NotMeasuredError(answer["problem"], answer.get("missing", False))
        return dict(answer)

    def _line(self, limit: float, processor: float | None = None) -> bytes:
        assert self._process.stdout is not None
        began = _processor_time(self._process.pid)
        if processor is not None and began is None:
            limit = processor
        given, bound = limit, ""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                step = given if processor is None else min(given, _LOOK)
                if not selector.select(step):
                    given -= step
                    now = _processor_time(self._process.pid)
                    spent = now - began if now is not None and began is not None else 0.0
                    if processor is not None and spent > processor:
                        limit, given, bound = processor, 0.0, " of processor time"
                    if given > 0:
                        continue
                    self._process.kill()
                    raise NotMeasuredError(f"not done after {limit:.0f} s{bound}, and ended")
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    code = self._process.wait()
                    raise NotMeasuredError(
                        f"its process ended with code {code}: {self._last_words()}"
                    )
                self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _last_words(self) -> str:
        """The last line that the process wrote to its error stream."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1] if lines else "without a word (out of memory?)"

    def result(self, key: str, limit: float = _LIMIT) -> tuple[np.ndarray, dict[str, Any]]:
        """Call a task for the first time: its result, and the facts about the call."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result.npy"
            facts = self.do("first", limit, key=key, path=str(path))
            return np.load(path, allow_pickle=False), facts


@contextmanager
def laboratories(
    wanted: Mapping[str, Mapping[str, Any]],
) -> Iterator[dict[str, Laboratory]]:
    """Several at a time: name -> arguments of ``Laboratory``."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Laboratory(**arguments)) for name, arguments in wanted.items()
        }


def take_turns(
    tasks: Sequence[tuple[str, Laboratory, str]], repeats: int, shortest: float = 0.02
) -> dict[str, Samples]:
    """Samples of (name, laboratory, key), which take turns: a, b, a, b, ...

    A sample lasts at least ``shortest`` seconds, so that the clock does not matter.
    """
    for _, laboratory, key in tasks:
        laboratory.do("settle", key=key, shortest=shortest)
    samples = {name: Samples() for name, _, _ in tasks}
    for _ in range(repeats):
        for name, laboratory, key in tasks:
            answer = laboratory.do("time", key=key)
            samples[name].add(answer["wall"], answer["cpu"])
    return samples


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest entry; infinite where the shapes differ or NaN is.

    >>> relative_difference(np.asarray([1.0, 2.5]), np.asarray([1.0, 2.0]))
    0.25
    """
    if found.shape != expected.shape or not np.all(np.isfinite(found)):
        return float("inf")
    return float(np.abs(found - expected).max() / np.abs(expected).max())
