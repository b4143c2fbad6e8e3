"""The loops over weights that are compiled: arrays read, trees computed, arrays written.

Their expressions are the array code of ``riemann_lne.lne``, run on symbols.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..lne.pieces import finished, power_terms, scale_terms, solve_terms
from ..lne.shifted import relative_shift, running_mean, shifted_solution, shifted_terms
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

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """All arrays, in the order in which their addresses are given."""
        return (*self.read, *(a for a in self.written if a not in self.read))

    @cached_property
    def cost(self) -> int:
        """Evaluations of tanh a weight, which take most of the time; at least 1."""
        return max(1, sum("tanh" in text for text in self.inputs.values()))


_OF_WEIGHT = {
    "z": "x * tau",
    "t": "tanh_of(x * tau)",
    "v": "v",
    "D": "curvature",
    "p": "positive(curvature)",
}
_NUMBERS = ("tau", "factor", "constant", "c", "size", "gain")


@cache
def loops() -> dict[str, Loop]:
    """All loops, by name.

    "powers", "scale" and "solve" are the sums, and "finish" the last pass, of `PieceSums`. Those
    that begin with "shifted" are for `ShiftedLNEMetric` with the shift of a running curvature, the
    third array: the sum of its positive values, the sums of the inverse, those of the change that
    it makes, and the last pass, which moves the curvature towards v^2 too.

    Examples
    --------
    >>> sorted(loops())[:5]
    ['finish', 'powers', 'scale', 'shifted_change', 'shifted_finish']
    >>> loops()["solve"].arrays, len(loops()["solve"].outputs)
    (('x', 'v'), 3)
    >>> loops()["shifted_solve"].numbers
    ('tau', 'factor', 'constant')
    """
    return {
        "powers": _of_pieces(power_terms, "z"),
        "scale": _of_pieces(scale_terms, "zt"),
        "solve": _of_pieces(solve_terms, "tv"),
        "finish": _of_pieces(lambda *inputs: iter([finished(*inputs)]), ("t", "v", "c"), ("v",)),
        "shifted_total": _of_pieces(lambda p: iter([p]), "p"),
        "shifted_solve": _of_pieces(
            lambda t, v, *shift: shifted_terms(t, v, _divisor(*shift)), ("t", "v", *_SHIFT)
        ),
        "shifted_change": _of_pieces(_shifted_change, ("t", "v", *_SHIFT, "c", "size")),
        "shifted_finish": _of_pieces(
            _shifted_finish, ("t", "v", *_SHIFT, "c", "size", "D", "gain"), ("v", "curvature")
        ),
    }


_SHIFT = ("p", "factor", "constant")


def _divisor(p: Any, factor: Any, constant: Any) -> Any:
    return 1.0 + relative_shift(p, factor, constant)


def _shifted(t: Any, v: Any, p: Any, factor: Any, constant: Any, c: Any, size: Any) -> Any:
    """The new v: the solution times a number."""
    return size * shifted_solution(t, v, _divisor(p, factor, constant), c)


def _shifted_change(t: Any, v: Any, *others: Any) -> Iterator[Any]:
    """v^2, v d and d^2 for the change d of v."""
    change = _shifted(t, v, *others) - v
    yield v * v
    yield v * change
    yield change * change


def _shifted_finish(t: Any, v: Any, *others: Any) -> Iterator[Any]:
    *solution, curvature, gain = others
    yield _shifted(t, v, *solution)
    yield running_mean(curvature, v * v, gain)


def _of_pieces(
    terms: Callable[..., Iterator[Any]], keys: Sequence[str], written: tuple[str, ...] = ()
) -> Loop:
    tape = Tape()
    # a term counts as it is when it is yielded: later ones may write over it
    outputs = tuple(term.node for term in terms(*(tape.input(key) for key in keys)))
    inputs = {key: _OF_WEIGHT.get(key, key) for key in keys}  # a number is named by its key
    used = set(re.findall(r"\w+", " ".join(inputs.values())))
    numbers = tuple(name for name in _NUMBERS if name in used)
    # the arrays in the order in which a piece has them, whether they are used or not
    read = ("x", "v", "curvature") if "curvature" in used else ("x", "v")
    return Loop(read, numbers, inputs, outputs, written)


__all__ = ["Loop", "loops"]
