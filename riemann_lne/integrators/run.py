"""One integration: the loop over steps, and what happens after each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, guarded, like, to_numpy
from ..errors import RiemannLNEError, StorageError
from ..io import reading
from ..metrics import MetricField
from .checkpoint import Buffer, CheckpointFile, Snapshot
from .dense import Interpolant
from .events import EventWatch, Occurrence
from .methods.base import State, StepError
from .methods.protocol import memory_of
from .progress import deferrable, uninterrupted
from .recorder import Recorder
from .stepper import Stepper

_log = logging.getLogger(__name__)
_REACHED = "reached the end of t_span"


@dataclass(frozen=True)
class Outputs:
    """When metrics are kept: at every step (``times`` None), or at given times.

    ``dense``: at times within steps, by interpolation, in place of steps cut to end there.
    """

    times: list[float] | None
    dense: bool

    def targets(self, t0: float, t1: float) -> list[float]:
        """Times that steps must end on. The flow runs to t1 also if the last output is earlier."""
        inner = [] if self.dense or self.times is None else self.times
        return [t for t in inner if t0 < t < t1] + [t1]


@dataclass(frozen=True)
class _Arrival:
    """Values to be recorded of a step, all computed before the first is recorded."""

    state: State
    metrics: list[tuple[float, Array]]
    observed: list[tuple[float, tuple[float, ...]]]
    event_values: list[float]
    occurrences: list[Occurrence]
    ended: bool


class Run:
    """An integration from its start, or from a checkpoint, to its end."""

    def __init__(
        self,
        stepper: Stepper,
        recorder: Recorder,
        events: EventWatch,
        outputs: Outputs,
        file: CheckpointFile | None,
        parameters: dict[str, Any],
    ) -> None:
        self._parameters = parameters
        self.stepper, self.recorder, self.events = stepper, recorder, events
        self.outputs, self._file = outputs, file
        recorder.journaled = file is not None
        events.join(stepper)
        if file is not None:
            stepper.system.pool.add("due", lambda state, admissible: file.overdue())
        control = stepper.control
        self._targets = outputs.targets(control.t0, control.t1)
        # Source of a partial solution and of a checkpoint; never from the middle of a step.
        self.state = stepper.state
        self.accepted = self.rejected = 0
        self._arrays: dict[str, Array] = {}
        self._plain: dict[str, Any] = {}
        self._unsaved_events: list[Occurrence] = []
        self.status, self.message = 0, ""
        self._finished = self._begun = False

    def go(self, report: Callable[[float], None], resume: bool) -> None:
        """Integrate to the end, or to where it ends."""
        try:
            quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
            with deferrable(), self.recorder.grid.team.together(), quiet:
                # Overflow is what an unstable step does: it is found by the check of the result.
                if not (resume and self._resume()):
                    self._begin()
                if not self._finished:
                    self._march(report)
        except StepError as failure:
            self.status, self.message = -1, str(failure)
        except Exception as error:
            # Raised by a function of the user, the flow or the disk, or for want of memory. At the
            # start it is the caller's to see; later on it must not cost the results so far.
            if not self._begun or self.accepted == 0:
                error.add_note(f"before the first step, at t = {self.state.t:.6g}")
                raise
            self.status, self.message = -1, self._why(error)
            if isinstance(error, StorageError):
                self._file = None  # not again
            elif not isinstance(error, RiemannLNEError):
                # Where in the user's code is not in the message.
                _log.error("the flow %s", self.message, exc_info=error)
        except SystemExit:
            # The caller wants to leave; the results so far are written first.
            self.status, self.message = -2, f"left after t = {self.state.t:.6g}"
            if self._begun:
                self._close()
            raise
        except KeyboardInterrupt:
            self.status = -2
            self.message = f"interrupted after t = {self.state.t:.6g}; what was kept is usable"
        if not self._finished:
            self._close()

    def _why(self, error: Exception) -> str:
        """Why the flow stopped, for its message."""
        text = str(error)
        if not isinstance(error, RiemannLNEError):
            text = ": ".join(part for part in (type(error).__name__, text) if part)
            notes = [str(note) for note in getattr(error, "__notes__", [])]
            text = f"{text} ({'; '.join(notes)})" if notes else text
        advice = "what was kept is usable"
        if self._file is not None:
            advice += ", and resume=True goes on from the checkpoint once the cause is gone"
        return f"stopped at t = {self.state.t:.6g}: {text}; {advice}"

    # ---- from the start to the end ----------------------------------------------------------

    def _begin(self) -> None:
        """Record the start, once all functions of the user have worked on it."""
        state = self.stepper.state
        self.events.start(self.stepper)
        wanted = self.outputs.times is None or state.t in self.outputs.times
        metrics = [(state.t, self._metric(state))] if wanted else []
        arrival = self._arrival(state, metrics, self.events.values, [], False)
        with uninterrupted():
            mode = "w-"
            if self._file is not None:
                self._file.begin()
                if self.recorder.path is not None and self._file.claim(self.recorder.path):
                    mode = "w"
            self.recorder.open(self._parameters, mode)
            self._begun = True
            self._commit(arrival)
            self._save(wait=True)

    def _march(self, report: Callable[[float], None]) -> None:
        for target in self._targets:
            while self.stepper.state.t < target:
                before = self.stepper.state
                after = self.stepper.advance(target)
                arrival = self._inspect(before, after)
                with uninterrupted():
                    self._commit(arrival)
                    if self._due():
                        self._save()
                report(arrival.state.t)
                self.recorder.grid.team.go_on()
                if arrival.ended:
                    name = self.events.names[arrival.occurrences[-1].index]
                    self.status = 1
                    self.message = f"event {name} ended the flow at t = {arrival.state.t:.6g}"
                    return
        hints = (self.events.never(), self.stepper.stiffness_hint())
        self.message = "; ".join([_REACHED, *(h for h in hints if h)])

    def _due(self) -> bool:
        """Whether it is time for a checkpoint."""
        if self._file is None:
            return False
        stepper = self.stepper
        return self._file.due(stepper.accepted, stepper.system.pool.known("due", stepper.state.y))

    def _inspect(self, before: State, after: State) -> _Arrival:
        """Answers of the user's functions about a step, and the values to be kept of it."""
        values, occurrences, last = self.events.after(self.stepper, before, after)
        end = after if last is None else last
        times = self.outputs.times
        metrics: list[tuple[float, Array]] = []
        if times is None:
            metrics.append((end.t, self._metric(end)))
        else:
            due = [t for t in times if before.t < t <= end.t]
            inner = (
                Interpolant(self.stepper, before, after) if any(t < end.t for t in due) else None
            )
            for t in due:
                y = end.y if t == end.t or inner is None else inner(t)
                metrics.append((t, self.stepper.system.output(t, y)))
        return self._arrival(end, metrics, values, occurrences, last is not None)

    def _arrival(
        self,
        state: State,
        metrics: list[tuple[float, Array]],
        values: list[float],
        occurrences: list[Occurrence],
        ended: bool,
    ) -> _Arrival:
        recorder = self.recorder
        observed: list[tuple[float, tuple[float, ...]]] = []
        if recorder.observe:
            places = [(state.t, self._metric(state))] if recorder.observes_steps else metrics
            observed = [(t, recorder.measure(t, self._field(packed))) for t, packed in places]
        return _Arrival(state, metrics, observed, values, occurrences, ended)

    def _metric(self, state: State) -> Array:
        return self.stepper.system.output(state.t, state.y)

    def _field(self, packed: Array) -> MetricField:
        return MetricField.from_packed(self.recorder.grid, guarded(packed), check=False)

    def _commit(self, arrival: _Arrival) -> None:
        """Record a step; all of it or nothing."""
        if arrival.ended:
            self.stepper.state = arrival.state
        mark = self.recorder.mark()
        try:
            for t, packed in arrival.metrics:
                self.recorder.keep(t, packed)
            for t, values in arrival.observed:
                self.recorder.note(t, values)
            for o in arrival.occurrences:
                self.recorder.occur(o.index, o.t, o.packed)
        except Exception:
            self.recorder.undo(mark)
            raise
        self.events.commit(arrival.event_values, arrival.occurrences)
        self._unsaved_events.extend(arrival.occurrences)
        self.state = self.stepper.state
        self.accepted, self.rejected = self.stepper.accepted, self.stepper.rejected
        if self._file is not None:
            self._snapshot()

    def _close(self) -> None:
        """Keep the last metric, and the last checkpoint.

        A run that did not finish can be resumed, for another try or with more steps or space. Its
        last metric is for the solution alone: the run as asked for would not have kept it.
        """
        self._finished = self.status >= 0
        saving = [self._keep_last, self._flush]
        # The checkpoint of a finished run has the last metric, that of another has not.
        saving.insert(1 if self._finished else 0, lambda: self._save(wait=True))
        for save in saving:
            try:
                with uninterrupted():
                    save()
            except Exception as error:
                # One thing that cannot be saved is no reason not to save the others.
                self.status = -1
                self.message = f"{self.message}; {error}"

    def _flush(self) -> None:
        if self.recorder.disk is not None:
            self.recorder.disk.flush()

    def _keep_last(self) -> None:
        recorder, last = self.recorder, self.state
        early = self.status != 0 or recorder.only_last
        if early and (not recorder.times or recorder.times[-1] < last.t):
            recorder.keep(last.t, self._metric(last))

    # ---- checkpoints ------------------------------------------------------------------------

    def _snapshot(self) -> None:
        """The whole state of the run now; arrays of states are never written to again."""
        self._arrays = {"y": self.state.y}
        if self.state.rate is not None:
            self._arrays["rate"] = self.state.rate
        for name, values in memory_of(self.stepper.integrator).items():
            self._arrays[f"integrator_{name}"] = values
        self._plain = {
            "stepper": self.stepper.memory(),
            "nfev": self.stepper.system.nfev,
            "event_values": list(self.events.values),
        }

    def _save(self, wait: bool = False) -> None:
        if self._file is None or not self._plain:
            return
        records = list(self.recorder.unsaved)
        records += [("e", o.index, o.t, to_numpy(o.packed)) for o in self._unsaved_events]
        ended = {"finished": self._finished, "status": self.status, "message": self.message}
        plain = {**self._plain, **ended, "store": self.recorder.memory()}
        self._file.write(self.accepted, plain, self._arrays, records)
        self.recorder.unsaved.clear()
        self._unsaved_events.clear()
        if wait:
            self._file.wait()

    def _resume(self) -> bool:
        """Take everything over from the checkpoint; False if there is none."""
        snapshot = None if self._file is None else self._file.read()
        if snapshot is None:
            return False
        with reading(self._file.folder, "the checkpoint of this run"):  # type: ignore[union-attr]
            self._take_over(snapshot)
        return True

    def _take_over(self, snapshot: Snapshot) -> None:
        self.events.read_attributes()
        stepper, recorder, start = self.stepper, self.recorder, self.stepper.state.y
        arrays, plain = snapshot.arrays, snapshot.plain
        if arrays["y"].shape != tuple(start.shape):
            raise ValueError(f"its state has shape {arrays['y'].shape}, not {tuple(start.shape)}")
        rate = like(arrays["rate"], start) if "rate" in arrays else None
        stepper.recall(plain["stepper"], like(arrays["y"], start), rate)
        stepper.system.nfev = plain["nfev"]
        stepper.integrator.recall(
            {
                name.removeprefix("integrator_"): values
                for name, values in arrays.items()
                if name.startswith("integrator_")
            }
        )
        recorder.recall(plain["store"])
        recorder.journaled = snapshot.anew
        for kind, index, t, payload in snapshot.records:
            if kind == "o":
                recorder.note(t, tuple(np.frombuffer(payload).tolist()))
                continue
            packed = self._packed(payload, arrays["y"].dtype)
            if kind == "m":
                recorder.keep(t, packed)
            else:
                self.events.found.append(Occurrence(index, t, packed))
                if snapshot.anew:
                    self._unsaved_events.append(self.events.found[-1])
        recorder.journaled = True
        self.events.values = list(plain["event_values"])
        self.state, self._begun = stepper.state, True
        self.accepted, self.rejected = stepper.accepted, stepper.rejected
        self._finished = plain["finished"]
        if self._finished:
            self.status, self.message = plain["status"], plain["message"]
            self._keep_last()
        self._snapshot()

    def _packed(self, payload: Buffer, dtype: Any) -> Array:
        """A packed metric of the journal, in the library of the run."""
        shape = (-1, *self.recorder.grid.shape)
        values = np.frombuffer(payload, dtype).reshape(shape).copy()
        return like(values, self.stepper.state.y)
