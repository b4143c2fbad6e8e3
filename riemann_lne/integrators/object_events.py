"""Events of an object that an array stands for, such as a metric held by its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import checks
from ..arrays import Array
from ..errors import DTypeError
from ..flows.describe import describe
from .events import SteadyState


class ObjectEvent:
    """An event(t, object) as the event(t, state) that ``integrate`` looks at.

    Parameters
    ----------
    event : callable
        Its attributes ``terminal``, ``direction`` and ``silent`` are taken over.
    of_state : callable
        state -> the object.
    """

    def __init__(self, event: Callable[[float, Any], float], of_state: Callable[[Array], Any]):
        self._event, self._of_state = event, of_state
        self.__name__ = str(getattr(event, "__name__", type(event).__name__))
        for attribute in ("terminal", "direction", "silent"):
            if hasattr(event, attribute):
                setattr(self, attribute, getattr(event, attribute))

    def __call__(self, t: float, state: Array) -> float:
        """The value of the event."""
        return self._event(t, self._of_state(state))

    def __repr__(self) -> str:
        # Checkpoints compare runs by it.
        return describe(self._event)


def object_events(
    events: Any, of_state: Callable[[Array], Any], thing: str = "metric"
) -> list[Callable[[float, Any], float]]:
    """The events that a user gave, one or a sequence, as events of the state.

    ``SteadyState``, which is asked of the right-hand side, stays as it is.

    Raises
    ------
    DTypeError
        If one is not callable.
    """
    if events is None:
        return []
    listed = list(events) if isinstance(events, Sequence) else [events]
    for event in listed:
        if not callable(event):
            raise DTypeError(
                f"event {checks.shown(event)} is no function (t, {thing}) -> float; give one"
            )
    return [e if isinstance(e, SteadyState) else ObjectEvent(e, of_state) for e in listed]
