"""Reductions over the processes of a communicator, and errors that all of them learn of.

A process that waits for the others looks out for news that one of them has failed, so that an error
on one process ends the flow on all: nobody waits for ever.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError
from riemann_lne.team import Team

from .library import mpi

_NEWS = 7
# How often a waiting process looks out for news, and for how long it still waits for what it waited
# for: the others may have done their part of it before one of them failed.
_LOOK_EVERY = 64
_GRACE_SECONDS = 1.0


_Report: TypeAlias = tuple[bytes, str, tuple[str, ...], str]
"""Class, text and notes of an error, and where the block of its process lies."""


class OtherProcessError(RiemannLNEError, RuntimeError):
    """Another process failed with an error that cannot be made again here."""


class _NewsError(BaseException):
    """Another process has failed; what it says comes next. No handler of errors is for this one."""


class MPITeam(Team):
    """The processes of a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Duplicated: messages of others on it do not come between.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
        Of the reductions and exchanges.
    rank, size : int
        As in MPI.
    """

    def __init__(self, comm: Any) -> None:
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self.comm, self._control, self._meeting = comm.Dup(), comm.Dup(), comm.Dup()
        self.generation = 0
        """Grows when communicators are replaced after a failure: what was made of them is void."""
        self._spoiled = False
        self._abandoned: list[Any] = []
        self.place = ""
        """Where the block of this process lies, for messages."""
        self.stopping = False
        """Whether this process was asked to stop (Ctrl-C)."""
        self.reductions = 0
        """Allreduces so far."""
        self._told_to_stop: bool | None = None
        if self.size > 1:
            _end_all_with_one()

    def __repr__(self) -> str:
        return f"MPITeam(rank {self.rank} of {self.size})"

    @property
    def files(self) -> Any:
        """Checkpoints and stores of all processes together."""
        from .files import SharedFiles

        return SharedFiles(self)

    @cached_property
    def neighbours_here(self) -> int:
        """Processes of the team on this machine."""
        here = self._meeting.Split_type(mpi().COMM_TYPE_SHARED)
        count = int(here.Get_size())
        here.Free()
        return count

    # ---- waiting ------------------------------------------------------------------------------

    def wait(self, request: Any, *keep: Any) -> None:
        """Wait for a request; ``keep`` are its buffers, which must live as long as it does.

        Raises an error if another process has failed and will not do its part.
        """
        looks = 0
        until = math.inf
        while not request.Test():
            looks += 1
            if looks % _LOOK_EVERY == 0:
                time.sleep(0)  # there may be more processes than processors
                if until == math.inf and self._control.Iprobe(tag=_NEWS):
                    until = time.monotonic() + _GRACE_SECONDS
                elif time.monotonic() > until:
                    self._spoiled = True
                    self._abandoned.append((request, keep))
                    raise _NewsError

    def reduced(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """The largest of each of the values; NaN where one is."""
        given = np.array(values, dtype=np.float64)
        broken = np.isnan(given)
        # MPI does not define the maximum of NaN, so flags for NaN are reduced beside the values.
        sent = np.concatenate([np.where(broken, -math.inf, given), broken])
        if self.size == 1:
            return given
        self.reductions += 1
        found = np.empty_like(sent)
        self.wait(self.comm.Iallreduce(sent, found, op=mpi().MAX), sent, found)
        half = len(given)
        return np.where(found[half:] > 0, math.nan, found[:half])

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            self.wait(self.comm.Ibarrier())

    def told(self, value: Any, root: int = 0) -> Any:
        """A value of one process, on all."""
        if self.size == 1:
            return value
        text = pickle.dumps(value) if self.rank == root else b""
        length = int(self.reduced([len(text)])[0])
        data = np.frombuffer(text, np.uint8).copy() if self.rank == root else np.empty(length, "u1")
        self.wait(self.comm.Ibcast(data, root=root), data)
        return pickle.loads(data.tobytes())

    def listed(self, value: Any) -> list[Any]:
        """The values of all processes, small ones."""
        return [self.told(value, root) for root in range(self.size)]

    # ---- what the core asks -------------------------------------------------------------------

    def largest(self, value: float) -> float:
        return float(self.reduced([value])[0])

    def lowest(self, value: float, index: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        pairs = self.listed((value, index))
        # The first in C order where several are lowest, as on the whole grid.
        return min(pairs, key=lambda pair: (not math.isnan(pair[0]), pair[0], pair[1]))

    def largest_of(self, values: Sequence[float]) -> list[float]:
        # Whether someone was asked to stop goes along.
        *found, stop = self.reduced([*values, float(self.stopping)])
        self._told_to_stop = bool(stop > 0)
        return [float(value) for value in found]

    def combined(
        self, values: Sequence[float], which: Sequence[str | None], names: Sequence[str]
    ) -> list[float]:
        """As in ``Team``; InvalidArgumentError where a number differs that must be the same."""
        if self.size == 1 or not values:
            return list(values)
        # Largest and smallest in one reduction, as the largest of the negative values.
        highest, negative = np.split(self.reduced([*values, *(-v for v in values)]), 2)
        for kind, high, low, name in zip(which, highest, -negative, names, strict=True):
            if kind is None and high != low:
                raise InvalidArgumentError(
                    f"{name} is {float(low):.9g} on one process and {float(high):.9g} on another: "
                    "it saw its block of the metric alone. Reduce it over all blocks, with "
                    "metric.grid.team.largest(...), .smallest(...) or metric.grid.integrate(...), "
                    'or give it the attribute over_blocks = "largest" or "smallest"'
                )
        return [
            float(low if kind == "smallest" else high)
            for kind, high, low in zip(which, highest, -negative, strict=True)
        ]

    def decided(self, flag: bool) -> bool:
        return self.size == 1 or bool(self.reduced([float(flag) if self.rank == 0 else 0.0])[0])

    def go_on(self) -> None:
        if self.size == 1:
            return
        told, self._told_to_stop = self._told_to_stop, None
        if told is None:
            told = bool(self.reduced([float(self.stopping)])[0] > 0)
        if told:
            raise KeyboardInterrupt

    @contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
            self.barrier()
        except BaseException as error:  # Ctrl-C and SystemExit too: the others must not wait
            agreed = self._agreed(error)
            if agreed is error:
                raise
            raise agreed from None

    # ---- errors -------------------------------------------------------------------------------

    def _agreed(self, error: BaseException) -> BaseException:
        """The error that all processes raise in place of what each of them met with."""
        if self.size == 1 or getattr(error, "agreed", False):
            return error
        mine = not isinstance(error, _NewsError)
        sent = []
        if mine:
            # To all, whether or not they have failed as well: each expects it.
            sent = [
                self._control.isend(None, dest=other, tag=_NEWS)
                for other in range(self.size)
                if other != self.rank
            ]
        reports = self._meeting.allgather((self._report(error) if mine else None, self._spoiled))
        for rank, (report, _) in enumerate(reports):
            if report is not None and rank != self.rank:
                self._control.recv(source=rank, tag=_NEWS)
        for request in sent:
            request.wait()
        if any(spoiled for _, spoiled in reports):
            self.comm, self._spoiled = self._meeting.Dup(), False
            self.generation += 1
        first = next(rank for rank, (report, _) in enumerate(reports) if report is not None)
        found = reports[first][0]
        if all(report is not None and report[:3] == found[:3] for report, _ in reports):
            result = error  # the same everywhere, so that it needs no name
        else:
            result = _remade(found, f"process {first} of {self.size}")
        with suppress(AttributeError):
            result.agreed = True  # type: ignore[attr-defined]
        return result

    def _report(self, error: BaseException) -> _Report:
        """Report of an error for the other processes."""
        # Nothing that goes wrong here may keep this process from the meeting: the others wait.
        try:
            kind = pickle.dumps(type(error))
        except Exception:  # a class inside a function, or with a metaclass of its own
            kind = pickle.dumps(OtherProcessError)
        try:
            text = str(error)
        except Exception:  # the class has a __str__ that fails
            text = type(error).__name__
        notes = tuple(str(n) for n in getattr(error, "__notes__", ()))
        return kind, text, notes, self.place


def _remade(report: _Report, where: str) -> BaseException:
    """The error of another process, with its name."""
    kind, text, notes, place = report
    message = f"{where}{place}: {text}"
    try:
        result = pickle.loads(kind)(message)
    except Exception:  # the class is not known here, or takes other arguments than a text
        result = OtherProcessError(message)
    for note in notes:
        result.add_note(note)
    return result


@cache
def world() -> MPITeam:
    """All processes that were started together.

    One, if this was not started by ``mpiexec``.
    """
    return MPITeam(mpi().COMM_WORLD)


def _wait_for_reader(stream: Any) -> None:
    """Wait until mpiexec has read a stream, of which it drops the rest when a process aborts.

    For ten seconds at most: it may have been stopped.
    """
    if sys.platform != "linux":  # elsewhere the end that is written to does not know
        time.sleep(1.0)
        return
    from fcntl import ioctl
    from termios import FIONREAD

    until = time.monotonic() + 10.0
    while any(ioctl(stream.fileno(), FIONREAD, bytes(4))) and time.monotonic() < until:
        time.sleep(0.005)


@cache
def _end_all_with_one() -> None:
    """See that a process that ends by an error does not leave the others waiting.

    An error that all processes raise is printed by the first of them alone.
    """
    before, comm = sys.excepthook, mpi().COMM_WORLD

    def hook(kind: Any, error: Any, trace: Any) -> None:
        agreed = getattr(error, "agreed", False)
        if not agreed or comm.Get_rank() == 0:
            before(kind, error, trace)
        for stream in (sys.stdout, sys.stderr):
            # Whatever the streams were replaced by: without the abort the others wait for ever.
            with suppress(Exception):
                stream.flush()
                if not agreed:
                    _wait_for_reader(stream)
        if not agreed:
            comm.Abort(1)

    sys.excepthook = hook
