"""Solutions whose states are objects that an array stands for: what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

import numpy as np

from ..arrays import Array
from ..io import field_value
from ..io.damage import table_value
from .integration import Integration

Thing = TypeVar("Thing")

_PLAIN = {
    "success": bool, "status": int, "message": str, "nfev": int, "n_accepted": int,
    "n_rejected": int, "method": str,
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class ObjectSolution(Generic[Thing]):
    """Metrics along a flow that ``integrate`` followed, and how the integration went.

    The attributes are those that ``RotationalSolution`` and ``ConformalSolution`` describe.
    """

    t: np.ndarray
    metrics: list[Thing]
    success: bool
    status: int
    message: str
    nfev: int
    n_accepted: int
    n_rejected: int
    method: str
    t_events: list[np.ndarray] = field(default_factory=list)
    metrics_events: list[list[Thing]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.metrics)

    def __getitem__(self, index: int) -> Thing:
        return self.metrics[index]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} metrics, t = {self.t[0]:g} .. {self.t[-1]:g}, "
            f"status {self.status}: {self.message})"
        )

    @classmethod
    def _of_run(
        cls,
        run: Integration,
        metric_of: Callable[[Array], Thing],
        events: int,
        end: tuple[int, str],
        parameters: dict[str, Any],
    ) -> Self:
        """The solution of an integration with its first events, and the status and message."""
        status, message = end
        return cls(
            t=run.t,
            metrics=[metric_of(y) for y in run.y],
            success=status >= 0,
            status=status,
            message=message,
            nfev=run.nfev,
            n_accepted=run.n_accepted,
            n_rejected=run.n_rejected,
            method=run.method,
            t_events=run.t_events[:events],
            metrics_events=[[metric_of(y) for y in group] for group in run.y_events[:events]],
            parameters=parameters,
        )

    def _record(self) -> dict[str, Any]:
        """How the integration went, as plain values for a file; see ``_of_record``."""
        return {name: getattr(self, name) for name in (*_PLAIN, "parameters")}

    @classmethod
    def _of_record(cls, t: np.ndarray, metrics: list[Thing], record: dict[str, Any]) -> Self:
        """The solution of a file; ValueError or KeyError if the record is not ``_record``'s."""
        plain = {name: field_value(record, name, kind) for name, kind in _PLAIN.items()}
        return cls(t, metrics, **plain, parameters=table_value(record["parameters"]))


def ended_by_last_event(run: Integration) -> bool:
    """Whether the event that was given last ended an integration."""
    times = run.t_events[-1]
    return run.status == 1 and len(times) > 0 and bool(times[-1] == run.t[-1])
