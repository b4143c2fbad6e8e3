"""A formula in several passes over the grid, for processors that cannot hold all of its values.

A thread of a GPU has 255 registers of 32 bits. What does not fit goes to memory that is as far away
as the grid's, and a compiler that is given too many operations at once holds nearly nothing in
registers. So a large formula is cut. Components of the result are computed by several kernels, and
what they share is computed anew in each of them where that is cheap. A value that is expensive is
stored for the passes after it, as the derivatives of the DeTurck field of a background are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .expressions import Node, Tape, in_order
from .trace import Derivative, Program

# Part of the limit from which on a value that several components need is stored.
_LARGE = 0.25


class Stored(NamedTuple):
    """Key of an input: a value that an earlier pass has stored."""

    place: int


@dataclass(frozen=True)
class Pass:
    """What one kernel computes.

    Attributes
    ----------
    nodes : list of Node
        All operations in the order of evaluation.
    outputs : tuple of (int, Node)
        Components of the result, by their number.
    stored : tuple of (int, Node)
        Values for later passes, by their place.
    minors : tuple of Node
        Leading minors of the metric; empty in all passes but the first.
    """

    nodes: list[Node]
    outputs: tuple[tuple[int, Node], ...]
    stored: tuple[tuple[int, Node], ...]
    minors: tuple[Node, ...]


def passes(program: Program, cost: Callable[[Derivative], int], limit: int) -> list[Pass]:
    """The formula in as many passes as it takes for each to do no more than ``limit``.

    An operation counts as one, and so does a value that is stored. Values are stored only if a
    component alone is beyond the limit: the last large ones that several components need; and
    where that does not suffice, of the nodes within the limit the one without which the component
    needs least, and so on.

    Parameters
    ----------
    program : Program
    cost : function
        What a difference counts as.
    limit : int
        Of a pass. A single operation is never cut, however much it needs.

    Examples
    --------
    >>> from .trace import trace
    >>> [len(p.outputs) for p in passes(trace("ricci_deturck", 2), len, 10_000)]
    [3]
    >>> [len(p.outputs) for p in passes(trace("ricci_deturck", 2), len, 90)]
    [1, 1, 1]
    """
    return _Cutting(program, cost, limit).passes


def total_cost(program: Program, cost: Callable[[Derivative], int]) -> int:
    """What a formula counts as in one pass."""
    return sum(_own(node, cost) for node in program.nodes)


def _own(node: Node, cost: Callable[[Derivative], int]) -> int:
    """Operations and loads of a node itself."""
    if node.operation == "constant":
        return 0
    return cost(node.value) if node.operation == "input" else 1


class _Cutting:
    def __init__(self, program: Program, cost: Callable[[Derivative], int], limit: int) -> None:
        self._difference, self._limit = cost, limit
        self._stored: dict[int, int] = {}  # places by the numbers of nodes
        self._written: set[int] = set()  # stored by the passes that are made
        cuts: list[Node] = []
        shared = self._shared(program.outputs)
        for target in (*shared, *program.outputs):
            while (cut := self._cut(target)) is not None:
                self._stored[cut.number] = len(cuts)
                cuts.append(cut)
            if target in shared:
                self._stored[target.number] = len(cuts)
                cuts.append(target)
        targets = [*cuts, *program.outputs]
        self.passes: list[Pass] = []
        start = 0
        for end in range(1, len(targets) + 1):
            checks = program.minors if start == 0 else ()
            more = targets[start : end + 1]
            if end < len(targets) and self._cost((*more, *checks)) <= limit:
                continue
            self.passes.append(self._pass(targets, range(start, end), len(cuts), checks))
            self._written.update(node.number for node in targets[start:end])
            start = end

    def _pass(
        self, targets: Sequence[Node], those: range, cuts: int, minors: Sequence[Node]
    ) -> Pass:
        roots = [*(targets[k] for k in those), *minors]
        known = {n: p for n, p in self._stored.items() if n in self._written}
        renewed = _renewed(self._needed(roots, known.__contains__), known)
        new = [renewed[root.number] for root in roots]
        numbered = list(zip(those, new, strict=False))
        return Pass(
            in_order(new),
            tuple((k - cuts, node) for k, node in numbered if k >= cuts),
            tuple((k, node) for k, node in numbered if k < cuts),
            tuple(new[len(those) :]),
        )

    # -- counting ---------------------------------------------------------------------------------

    def _needed(self, roots: Iterable[Node], known: Callable[[int], bool]) -> list[Node]:
        """Nodes that roots need, operands first; what is known is needed, but not what it needs."""
        result: list[Node] = []
        seen: set[int] = set()
        stack = [(root, False) for root in reversed([*roots])]
        top = {root.number for root, _ in stack}
        while stack:
            node, ready = stack.pop()
            if ready:
                result.append(node)
            elif node.number not in seen:
                seen.add(node.number)
                stack.append((node, True))
                if node.number in top or not known(node.number):
                    stack.extend((operand, False) for operand in reversed(node.operands))
        return result

    def _cost(self, roots: Sequence[Node]) -> int:
        """Operations and loads of nodes in one pass."""
        needed = self._needed(roots, self._written.__contains__)
        tops = {root.number for root in roots}
        return sum(
            1 if n.number in self._written and n.number not in tops else self._own(n)
            for n in needed
        )

    def _own(self, node: Node) -> int:
        return _own(node, self._difference)

    # -- what is stored ---------------------------------------------------------------------------

    def _shared(self, outputs: Sequence[Node]) -> list[Node]:
        """The last nodes that several outputs need, if they are large and an output is too large.

        What is made of such a node belongs to one output alone.
        """
        nodes = in_order(outputs)
        if all(self._cost([output]) <= self._limit for output in outputs):
            return []
        users: dict[int, set[int]] = {node.number: set() for node in nodes}  # numbers of outputs
        for k, output in enumerate(outputs):
            users[output.number].add(k)
        for node in reversed(nodes):
            for operand in node.operands:
                users[operand.number] |= users[node.number]
        passed_on = {
            o.number for node in nodes if len(users[node.number]) > 1 for o in node.operands
        }
        return [
            node
            for node in nodes
            if len(users[node.number]) > 1
            and node.operands
            and node.number not in passed_on
            and self._cost([node]) >= _LARGE * self._limit
        ]

    def _cut(self, output: Node) -> Node | None:
        """The node to store next, so that an output comes within the limit; None if it is."""
        nodes = self._needed([output], self._stored.__contains__)
        own = {
            n.number: 1 if n.number in self._stored and n is not output else self._own(n)
            for n in nodes
        }
        if sum(own.values()) <= self._limit:
            return None
        saved = _alone(nodes, own, lambda n: n.number in self._stored and n is not output)
        for node in sorted(nodes, key=lambda n: -saved[n.number]):
            if node is output or not node.operands or node.number in self._stored:
                continue
            below = self._needed([node], self._stored.__contains__)
            if sum(own[n.number] for n in below) <= self._limit:
                return node
        return None


def _alone(
    nodes: Sequence[Node], own: dict[int, int], is_leaf: Callable[[Node], bool]
) -> dict[int, int]:
    """What the last of the nodes would not need without each of them: itself, and what is below
    it and nothing else.

    A node is below another and nothing else if every way from the last node to it leads through
    that one. The nearest such node is where the ways to those that use it part last; going from
    the last node down it is known for them before (Cooper, Harvey and Kennedy 2001).
    """
    place = {node.number: k for k, node in enumerate(nodes)}
    above: dict[int, int] = {}
    for node in reversed(nodes):
        for operand in () if is_leaf(node) else node.operands:
            here = node.number
            there = above.get(operand.number, here)
            while here != there:
                if place[here] < place[there]:
                    here = above[here]
                else:
                    there = above[there]
            above[operand.number] = here
    result = dict(own)
    for node in nodes[:-1]:
        result[above[node.number]] += result[node.number]
    return result


def _renewed(nodes: Sequence[Node], known: dict[int, int]) -> dict[int, Node]:
    """The nodes on a tape of their own, inputs in place of those that are known, by number."""
    tape = Tape()
    make: dict[str, Callable[..., Node]] = {
        "add": tape.add, "sub": tape.subtract, "mul": tape.multiply, "div": tape.divide,
        "neg": tape.negate, "abs": tape.absolute,
    }  # fmt: skip
    result: dict[int, Node] = {}
    for node in nodes:
        if node.number in known:
            new = tape.input(Stored(known[node.number])).node
        elif node.operation == "input":
            new = tape.input(node.value).node
        elif node.operation == "constant":
            new = tape.lift(node.value)
        else:
            new = make[node.operation](*(result[o.number] for o in node.operands))
        result[node.number] = new
    return result
