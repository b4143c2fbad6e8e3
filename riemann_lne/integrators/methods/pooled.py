"""Numbers about the state after a step that the processes of a grid reduce together, in one go.

A step ends with several maxima over the grid: the size of its error, whether the result is a
metric, the spectral radius for the next step, values of events. Where blocks of the grid lie on
several processes each maximum would be a message that all wait for. Each process computes its part
of all of them first; then one reduction gives them to all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeAlias

from ...arrays import Array
from ...team import Team
from .state import State

Part: TypeAlias = Callable[[State, bool], float | None]
"""(state, whether it is admissible on this block) -> the number of this block; the largest counts.

None, on all processes alike, where the number is not known yet.
"""


class Pool:
    """The maxima of the latest states, for the processes of a team.

    Parameters
    ----------
    team : Team
        One process alone computes nothing ahead of time.
    """

    def __init__(self, team: Team) -> None:
        self._team = team
        self._parts: dict[Hashable, Part] = {}
        self._state: Array | None = None
        self._found: dict[Hashable, float] = {}
        self._trial: tuple[Array, dict[Hashable, float]] | None = None

    @property
    def shared(self) -> bool:
        """Whether there are several processes."""
        return self._team.size > 1

    def add(self, name: Hashable, part: Part) -> None:
        """Reduce a number after every step from now on."""
        if self.shared:
            self._parts[name] = part

    def judged(self, state: State, size: float) -> float:
        """The largest size of an error over all blocks, infinite where a block is not admissible.

        All parts are reduced with it; they count once the state is accepted.
        """
        if not self.shared:
            return size
        admissible = size < float("inf")
        values = {name: part(state, admissible) for name, part in self._parts.items()}
        known = {name: value for name, value in values.items() if value is not None}
        largest, *others = self._team.largest_of([size, *known.values()])
        self._trial = (state.y, dict(zip(known, others, strict=True)))
        return largest

    def accept(self) -> None:
        """Take the state that was judged last as the current one."""
        if self._trial is not None:
            self._state, self._found = self._trial
            self._trial = None

    def reject(self) -> None:
        """Forget that state."""
        self._trial = None

    def known(self, name: Hashable, y: Array) -> float | None:
        """A number of a state, if it was reduced."""
        return self._found.get(name) if self._state is y else None

    def remember(self, name: Hashable, y: Array, value: float) -> None:
        """Note a number of a state that was computed elsewhere."""
        if self._state is not y:
            self._state, self._found = y, {}
        self._found[name] = value
