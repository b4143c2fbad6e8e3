"""Checkpoints of ``integrate``: its states, events and step control in a checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, like, to_numpy
from ..errors import InvalidArgumentError
from ..flows.describe import checksum, describe
from ..io import reading
from .array_system import ArraySystem
from .checkpoint import Checkpoint, CheckpointFile, Snapshot
from .events import EventWatch, Occurrence
from .methods.base import Integrator
from .methods.protocol import memory_of
from .stepper import Control, Stepper


def run_identity(
    rhs: Any,
    y: Array,
    integrator: Integrator,
    control: Control,
    times: list[float] | None,
    events: EventWatch,
) -> dict[str, str]:
    """Settings by which two integrations differ, as text; see ``CheckpointFile``."""
    from .. import __version__

    start = to_numpy(y)
    found = {
        "version": __version__,
        "rhs": describe(rhs),
        "start": f"{start.dtype} {start.shape} with crc32 {checksum(start):08x}",
        "method": integrator.name,
        "t_span": [control.t0, control.t1],
        "t_eval": f"crc32 {checksum(np.array(times)):08x}" if times is not None else "every step",
        "dt": control.dt,
        "rtol": control.rtol,
        "atol": control.atol,
        "events": [describe(e) for e in events.events],
    }
    return {name: str(value) for name, value in found.items()}


class IntegrationFile:
    """The checkpoints of one integration.

    Parameters
    ----------
    plan : Checkpoint
        Where and how often.
    identity : dict of str
        See ``run_identity``.
    system, stepper, events : ArraySystem, Stepper, EventWatch
        Of the integration.
    """

    def __init__(
        self,
        plan: Checkpoint,
        identity: dict[str, str],
        system: ArraySystem,
        stepper: Stepper,
        events: EventWatch,
    ) -> None:
        self._file = CheckpointFile(plan, identity)
        self.folder = self._file.owned
        self._system, self._stepper, self._events = system, stepper, events
        self._unsaved: list[tuple[str, int, float, np.ndarray]] = []
        self._known = 0  # of the events that were found
        self._arrays: dict[str, Array] = {}
        self._plain: dict[str, Any] = {}

    def close(self) -> None:
        """Let the writing thread finish and go."""
        self._file.close()

    def begin(self) -> None:
        """Prepare the folder for a new run; one that holds another run's work is left alone."""
        self._file.begin()

    def keep(self, t: float, y: Array) -> None:
        """Note a state that the integration keeps."""
        self._unsaved.append(("m", 0, t, to_numpy(y)))

    def commit(self) -> None:
        """Note the state after a step, which the next checkpoint will be of.

        Never in the middle of a step: Ctrl-C may come at any time.
        """
        stepper, state = self._stepper, self._stepper.state
        self._arrays = {"y": state.y}
        if state.rate is not None:
            self._arrays["rate"] = state.rate
        for name, values in memory_of(stepper.integrator).items():
            self._arrays[f"integrator_{name}"] = values
        for name, values in self._system.memory(state.y).items():
            self._arrays[f"system_{name}"] = values
        self._plain = {
            "stepper": stepper.memory(),
            "nfev": self._system.nfev,
            "event_values": list(self._events.values),
        }
        new = self._events.found[self._known :]
        self._unsaved += [("e", o.index, o.t, to_numpy(o.packed)) for o in new]
        self._known = len(self._events.found)

    def save_if_due(self) -> None:
        """Write a checkpoint if the plan says so."""
        if self._file.due(self._stepper.accepted):
            self.save()

    def save(self, ended: tuple[int, str] | None = None) -> None:
        """Write a checkpoint of the last step, with status and message of a run that has ended."""
        if not self._plain:
            return  # not begun
        plain = {**self._plain, "ended": None if ended is None else list(ended)}
        self._file.write(self._plain["stepper"]["accepted"], plain, self._arrays, self._unsaved)
        self._unsaved = []
        if ended is not None:
            self._file.wait()

    def recall(self, keep: Callable[[float, Array], None]) -> tuple[bool, tuple[int, str] | None]:
        """Go on from the checkpoint: whether there is one, and how its run ended if it has."""
        snapshot = self._file.read()
        if snapshot is None:
            return False, None
        with reading(self.folder, "the checkpoint of this integration"):
            ended = self._take_over(snapshot, keep)
        return True, ended

    def _take_over(
        self, snapshot: Snapshot, keep: Callable[[float, Array], None]
    ) -> tuple[int, str] | None:
        stepper, start = self._stepper, self._stepper.state.y
        arrays, plain = snapshot.arrays, snapshot.plain
        shape = tuple(start.shape)
        if arrays["y"].shape != shape:
            raise ValueError(f"its state has shape {arrays['y'].shape}, not {shape}")
        rate = like(arrays["rate"], start) if "rate" in arrays else None
        stepper.recall(plain["stepper"], like(arrays["y"], start), rate)
        self._system.nfev = plain["nfev"]
        stepper.integrator.recall(_part(arrays, "integrator_"))
        self._system.recall(_part(arrays, "system_"), stepper.state.y)
        for kind, index, t, payload in snapshot.records:
            values = like(np.frombuffer(payload, arrays["y"].dtype).reshape(shape).copy(), start)
            if kind == "m":
                keep(t, values)
            else:
                self._events.found.append(Occurrence(index, t, values))
        self._events.read_attributes()
        self._events.values = list(plain["event_values"])
        self._known = len(self._events.found)
        self.commit()
        ended = plain["ended"]
        # A run that was interrupted or has failed goes on.
        return (int(ended[0]), str(ended[1])) if ended is not None and ended[0] >= 0 else None


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}


def plan_of(checkpoint: Any, resume: bool, dense: bool) -> Checkpoint | None:
    """The plan of a checkpoint argument, checked together with the arguments that it excludes.

    Raises
    ------
    InvalidArgumentError
        If there is nothing to resume, or with ``dense_output``, which is not stored.
    """
    if resume and checkpoint is None:
        raise InvalidArgumentError("resume=True needs checkpoint=path, to know what to resume")
    if checkpoint is None:
        return None
    if dense:
        raise InvalidArgumentError(
            "checkpoint does not go with dense_output=True, whose interpolants are not stored; "
            "give t_eval"
        )
    return checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
