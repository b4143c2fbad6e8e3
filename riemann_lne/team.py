"""The processes that share one grid. Alone, which is the rule, everything here is trivial.

A grid can be a block of a larger one whose other blocks other processes hold (``Grid.team``,
``Grid.whole``; ``riemann_lne_mpi`` makes such grids). Code that reduces over a grid, or decides
something that all processes must decide alike, asks the team of the grid. Differences ask
``Grid.frame`` for what lies beyond the block, sums over the grid go through ``Grid.total``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from .checks import choice

F = TypeVar("F", bound=Callable[..., Any])
OVER_BLOCKS = ("largest", "smallest")


def over_blocks(which: str) -> Callable[[F], F]:
    """Mark a function of a metric, or an event: of blocks the largest or smallest value counts.

    ``solve_flow`` on a grid that processes share then gives the function the block of each process
    as a grid of its own, and reduces the numbers of all such functions of a step together.

    Parameters
    ----------
    which : "largest" or "smallest"

    Raises
    ------
    UnknownNameError
        If it is neither.

    Examples
    --------
    >>> @over_blocks("largest")
    ... def largest_component(metric):
    ...     return float(metric.packed.max())
    """
    choice(which, "which", OVER_BLOCKS)

    def mark(function: F) -> F:
        setattr(function, "over_blocks", which)  # noqa: B010
        return function

    return mark


def reduction_of(function: Any) -> str | None:
    """How the numbers of blocks that a function gives are reduced; None where it does it itself."""
    which = getattr(function, "over_blocks", None)
    return None if which is None else choice(which, "over_blocks", OVER_BLOCKS)


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

    def largest_of(self, values: Sequence[float]) -> list[float]:
        """The largest of each of several values, in one reduction; NaN where one is."""
        return list(values)

    def every(self, flag: bool) -> bool:
        """Whether it is true on all processes."""
        return self.largest(0.0 if flag else 1.0) == 0.0

    def lowest(self, value: float, index: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        """The smallest value, and its index on the whole grid, from that of every block."""
        return value, index

    def combined(
        self, values: Sequence[float], which: Sequence[str | None], names: Sequence[str]
    ) -> list[float]:
        """Numbers of functions of a metric over all blocks, in one reduction.

        ``which`` says "largest" or "smallest"; None of a number that must be the same on all
        processes.
        """
        return list(values)

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
