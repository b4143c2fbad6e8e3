"""The processes that share one grid. Alone, which is the rule, everything here is trivial.

A grid can be a block of a larger one whose other blocks other processes hold (``Grid.team``,
``Grid.whole``; ``riemann_lne_mpi`` makes such grids). Code that reduces over a grid, or decides
something that all processes must decide alike, asks the team of the grid. Differences ask
``Grid.frame`` for what lies beyond the block, sums over the grid go through ``Grid.total``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any


class Team:
    """One process that holds the whole grid.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    files : object or None
        Keeps the checkpoints and stores of a grid that is shared, see ``integrators.files``.
    """

    rank = 0
    size = 1
    files: Any = None

    def largest(self, value: float) -> float:
        """The largest of the values of all processes; NaN if one is."""
        return value

    def smallest(self, value: float) -> float:
        """The smallest of the values of all processes; NaN if one is."""
        return -self.largest(-value)

    def every(self, flag: bool) -> bool:
        """Whether it is true on all processes."""
        return self.largest(0.0 if flag else 1.0) == 0.0

    def lowest(self, value: float, index: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        """The smallest value, and its index on the whole grid, from that of every block."""
        return value, index

    def same(self, value: float, what: str) -> float:
        """A number of a function of the user, which must be the same on all processes."""
        return value

    def decided(self, flag: bool) -> bool:
        """The first process's flag, on all processes."""
        return flag

    def go_on(self) -> None:
        """Called after every step: raises KeyboardInterrupt where another process was asked to."""

    def together(self) -> AbstractContextManager[None]:
        """A block of code that all processes enter, and leave with the same error if one has it."""
        return nullcontext()


ALONE = Team()
"""The team of a grid that is not shared."""
