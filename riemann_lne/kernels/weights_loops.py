"""The loops over weights that are compiled: arrays read, trees computed, arrays written.

Their expressions are the array code of ``riemann_lne.lne``, run on symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..lne.pieces import finished, power_terms, scale_terms, solve_terms
from .expressions import Node, Tape


@dataclass(frozen=True)
class Loop:
    """A loop over the weights of a piece.

    Attributes
    ----------
    read : tuple of str
        Arrays as long as the piece.
    numbers : tuple of str
        Numbers of which a piece has one value.
    inputs : dict from str to str
        The inputs of the tree: C expressions of the values of arrays and numbers.
    outputs : tuple of Node
    written : tuple of str
        The arrays that take the outputs; if there are none the outputs are summed up.
    """

    read: tuple[str, ...]
    numbers: tuple[str, ...]
    inputs: dict[str, str]
    outputs: tuple[Node, ...]
    written: tuple[str, ...] = ()

    @property
    def arrays(self) -> tuple[str, ...]:
        """All arrays, in the order in which their addresses are given."""
        return (*self.read, *(a for a in self.written if a not in self.read))

    @property
    def cost(self) -> int:
        """Evaluations of tanh a weight, which take most of the time; at least 1."""
        return max(1, sum("tanh" in text for text in self.inputs.values()))


_OF_WEIGHT = {"z": "x * tau", "t": "tanh_of(x * tau)", "v": "v", "c": "c"}


@cache
def loops() -> dict[str, Loop]:
    """All loops, by name.

    "powers", "scale" and "solve" are the sums, and "finish" the last pass, of `PieceSums`.

    Examples
    --------
    >>> sorted(loops())
    ['finish', 'powers', 'scale', 'solve']
    >>> loops()["solve"].arrays, len(loops()["solve"].outputs)
    (('x', 'v'), 3)
    """
    return {
        "powers": _of_pieces(power_terms, "z"),
        "scale": _of_pieces(scale_terms, "zt"),
        "solve": _of_pieces(solve_terms, "tv"),
        "finish": _of_pieces(lambda *inputs: iter([finished(*inputs)]), "tvc", ("v",)),
    }


def _of_pieces(
    terms: Callable[..., Iterator[Any]], keys: Sequence[str], written: tuple[str, ...] = ()
) -> Loop:
    tape = Tape()
    # a term counts as it is when it is yielded: later ones may write over it
    outputs = tuple(term.node for term in terms(*(tape.input(key) for key in keys)))
    numbers = ("tau", "c") if "c" in keys else ("tau",)
    return Loop(("x", "v"), numbers, {key: _OF_WEIGHT[key] for key in keys}, outputs, written)


__all__ = ["Loop", "loops"]
