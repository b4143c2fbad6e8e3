"""The order in which a kernel on the host does its operations.

Processors have 32 vector registers or fewer, formulas in 3-D and 4-D hundreds of values, and each
one that is not in a register is a load: kernels wait for loads more than for arithmetic. Sums that
are completed one after another read the same factors again and again. Here the sums that are the
components of a result grow side by side, and the next term is the one, of any sum, that finds most
of its factors among the values used last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .expressions import Node, Tape, in_order

# Registers that are counted on: of 32, differences of neighbours need some. And terms of other sums
# between two of the same one: an addition waits four cycles for the one before it. With 20 to 28
# and 2 to 4 kernels are equally quick, within the noise.
_REGISTERS = 22
_APART = 3


class _Term(NamedTuple):
    """A node that is added to a sum, or taken from it."""

    positive: bool
    node: Node

    @property
    def factors(self) -> tuple[Node, ...]:
        """Nodes needed before it is added: a product is one operation with the addition."""
        return self.node.operands if self.node.operation == "mul" else (self.node,)


def side_by_side(
    tape: Tape, first: Sequence[Node], outputs: Sequence[Node]
) -> tuple[list[Node], tuple[Node, ...]]:
    """All operations in an order that needs few loads, and the outputs, summed in that order.

    Parameters
    ----------
    tape : Tape
        That of the nodes. It is not changed: programs are shared, by threads as well.
    first : sequence of Node
        Nodes that are computed before all others.
    outputs : sequence of Node

    Returns
    -------
    order : list of Node
        Each once, after its operands.
    outputs : tuple of Node
        Equal to those given but for the order of their sums.

    Examples
    --------
    >>> tape = Tape()
    >>> a, b, x, y = (tape.input(key) for key in "abxy")
    >>> order, outputs = side_by_side(tape, [], [(a * x + a * y).node, (b * x + b * y).node])
    >>> [node.value or node.operation for node in order]  # what x is for before y
    ['a', 'x', 'mul', 'b', 'mul', 'y', 'mul', 'add', 'mul', 'add']
    """
    schedule = _Schedule(tape, first, outputs)
    return schedule.order, schedule.outputs


class _Schedule:
    def __init__(self, tape: Tape, first: Sequence[Node], outputs: Sequence[Node]) -> None:
        self._tape = tape.copy()
        self.order: list[Node] = []
        self._done: set[int] = set()
        self._recent: dict[int, None] = {}  # the one used last at the end
        roots = (*first, *outputs)
        self._uses = Counter(o.number for node in in_order(roots) for o in node.operands)
        self._uses.update(root.number for root in roots)
        for node in first:
            self._evaluate(node)
        self.outputs = self._summed([list(self._terms(o, True, opened=True)) for o in outputs])

    def _terms(self, node: Node, positive: bool, opened: bool = False) -> Iterator[_Term]:
        """The terms of a sum; sums that are needed elsewhere as well stay whole."""
        if node.operation in ("add", "sub") and (opened or self._uses[node.number] == 1):
            one, other = node.operands
            yield from self._terms(one, positive)
            yield from self._terms(other, positive == (node.operation == "add"))
        elif node.operation == "neg":
            yield from self._terms(node.operands[0], not positive)
        else:
            yield _Term(positive, node)

    def _summed(self, sums: list[list[_Term]]) -> tuple[Node, ...]:
        """All sums, a term at a time."""
        totals: list[Node | None] = [None] * len(sums)
        last = [-_APART] * len(sums)
        for step in range(sum(map(len, sums))):
            _, _, k, place = min(
                (self._cost(term) + (step - last[k] < _APART), last[k], k, place)
                for k, terms in enumerate(sums)
                for place, term in self._next(terms, totals[k])
            )
            term = sums[k].pop(place)
            totals[k] = self._extended(totals[k], term)
            last[k] = step
        return tuple(total for total in totals if total is not None)

    @staticmethod
    def _next(terms: list[_Term], total: Node | None) -> list[tuple[int, _Term]]:
        """Places of the terms that may come next: a sum begins with a positive one, if it can."""
        places = list(enumerate(terms))
        if total is not None:
            return places
        return [(place, term) for place, term in places if term.positive] or places

    def _cost(self, term: _Term) -> float:
        """Loads, less a little for each factor that is at hand."""
        factors = [f for f in term.factors if f.operation != "constant"]
        return sum(-0.5 if f.number in self._recent else 1.0 for f in factors)

    def _extended(self, total: Node | None, term: _Term) -> Node:
        for factor in term.factors:
            self._evaluate(factor)
        self._append(term.node)
        if total is None:
            result = term.node if term.positive else self._tape.negate(term.node)
        else:
            add = self._tape.add if term.positive else self._tape.subtract
            result = add(total, term.node)
            # Its register is that of the new sum.
            self._recent.pop(total.number, None)
        self._append(result)
        self._use(result)
        return result

    def _evaluate(self, node: Node) -> None:
        """Append the operands that a node still needs, then the node."""
        stack = [(node, False)]
        while stack:
            current, ready = stack.pop()
            if not ready and current.number not in self._done:
                stack.append((current, True))
                stack.extend((operand, False) for operand in reversed(current.operands))
                continue
            self._append(current)
            self._use(current)

    def _append(self, node: Node) -> None:
        if node.number not in self._done:
            self._done.add(node.number)
            self.order.append(node)

    def _use(self, node: Node) -> None:
        if node.operation == "constant":
            return
        self._recent.pop(node.number, None)
        self._recent[node.number] = None
        if len(self._recent) > _REGISTERS:
            del self._recent[next(iter(self._recent))]
