"""A formula in several passes over the grid, for processors that cannot hold all of its values.

A thread of a GPU has 255 registers of 32 bits. Values beyond them go to memory that is as far away
as the grid's, and a compiler that is given too many operations at once holds nearly nothing in
registers. So a large formula is cut: several kernels compute its components, and each of them
computes anew the values that it shares with the others. A value that is too expensive for that is
stored for later passes, as the derivatives of the DeTurck field of a background are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .expressions import Node, Tape, in_order
from .trace import Derivative, Program

# A value that several components need is stored if it costs at least this part of the limit.
_LARGE = 0.25


class Stored(NamedTuple):
    """Key of an input: a value that an earlier pass has stored."""

    place: int


@dataclass(frozen=True)
class Pass:
    """The operations and the results of one kernel.

    Attributes
    ----------
    nodes : list of Node
        All operations in the order of evaluation.
    outputs : tuple of (int, Node)
        Components of the result, by their number.
    stored : tuple of (int, Node)
        Values for later passes, by their place. Each is read by one at least.
    minors : tuple of Node
        Leading minors of the metric; empty in all passes but the first.
    """

    nodes: list[Node]
    outputs: tuple[tuple[int, Node], ...]
    stored: tuple[tuple[int, Node], ...]
    minors: tuple[Node, ...]


def passes(program: Program, cost: Callable[[Derivative], int], limit: int) -> list[Pass]:
    """Cut a formula into passes, each of which costs at most ``limit``.

    A pass costs 1 for each operation and for each stored value that it loads, and ``cost`` for
    each difference. Values are stored only if a component alone is beyond the limit. First these
    are the large values that several components need, the last ones on the way to each. While a
    component is still beyond the limit, one value more is stored for it: of those within the limit
    the one that spares the component most.

    Parameters
    ----------
    program : Program
    cost : function
        Cost of a difference.
    limit : int
        Largest cost of a pass. A single operation is never cut, even if it is beyond the limit.

    Returns
    -------
    list of Pass
        In the order in which they are to run.

    Examples
    --------
    >>> from .trace import trace
    >>> [len(p.outputs) for p in passes(trace("ricci_deturck", 2), len, 10_000)]
    [3]
    >>> [len(p.outputs) for p in passes(trace("ricci_deturck", 2), len, 90)]
    [1, 1, 1]
    """
    cutting = _Cutting(cost, limit)
    cuts = cutting.stored_values(program.outputs)
    targets = [*cuts, *program.outputs]
    groups = cutting.groups(targets, len(cuts), program.minors)
    # A value all of whose users are in its own pass is not stored.
    read: set[int] = set()
    for group in groups:
        known = {cut.number for cut in cuts[: group.start]}
        roots = _roots(targets, group, program.minors)
        read |= {node.number for node in _needed(roots, known)} & known
    places = {number: k for k, number in enumerate(c.number for c in cuts if c.number in read)}
    return [_pass(targets, group, len(cuts), program.minors, places) for group in groups]


def total_cost(program: Program, cost: Callable[[Derivative], int]) -> int:
    """Cost of a formula in one pass, counted as in ``passes``."""
    return sum(_own(node, cost) for node in program.nodes)


def _own(node: Node, cost: Callable[[Derivative], int]) -> int:
    """Operations and loads of a node itself."""
    if node.operation == "constant":
        return 0
    return cost(node.value) if node.operation == "input" else 1


def _needed(roots: Iterable[Node], known: Container[int]) -> list[Node]:
    """Nodes that roots need, operands first, without the operands of known ones."""
    return in_order(roots, lambda node: node.number in known)


def _roots(targets: Sequence[Node], group: range, minors: Sequence[Node]) -> list[Node]:
    """Nodes that a pass computes: its group of the targets, and in the first one the minors."""
    return [*targets[group.start : group.stop], *(() if group.start else minors)]


def _pass(
    targets: Sequence[Node],
    group: range,
    cuts: int,
    minors: Sequence[Node],
    places: Mapping[int, int],
) -> Pass:
    """The pass for a group of targets, of which the first ``cuts`` are values to store."""
    earlier = {node.number for node in targets[: min(group.start, cuts)]}
    known = {number: place for number, place in places.items() if number in earlier}
    roots = _roots(targets, group, minors)
    renewed = _renewed(_needed(roots, known), known)
    new = [renewed[root.number] for root in roots]
    numbered = list(zip(group, new, strict=False))
    return Pass(
        in_order(new),
        tuple((k - cuts, node) for k, node in numbered if k >= cuts),
        tuple(
            (places[targets[k].number], node)
            for k, node in numbered
            if k < cuts and targets[k].number in places
        ),
        tuple(new[len(group) :]),
    )


class _Cutting:
    """The choice of the values to store, and of the targets that are computed together."""

    def __init__(self, cost: Callable[[Derivative], int], limit: int) -> None:
        self._difference, self._limit = cost, limit

    def stored_values(self, outputs: Sequence[Node]) -> list[Node]:
        """Nodes whose values are stored for others, in the order in which they are computed."""
        cuts: list[Node] = []
        known: set[int] = set()
        shared = self._shared(outputs)
        for target in (*shared, *outputs):
            while (cut := self._cut(target, known)) is not None:
                known.add(cut.number)
                cuts.append(cut)
            if target in shared:
                known.add(target.number)
                cuts.append(target)
        return cuts

    def groups(self, targets: Sequence[Node], cuts: int, minors: Sequence[Node]) -> list[range]:
        """The targets of each pass: as many as the limit allows, in their order."""
        result: list[range] = []
        start = 0
        for end in range(1, len(targets) + 1):
            if end < len(targets):
                known = {node.number for node in targets[: min(start, cuts)]}
                more = _roots(targets, range(start, end + 1), minors)
                if sum(self._costs(_needed(more, known), known).values()) <= self._limit:
                    continue
            result.append(range(start, end))
            start = end
        return result

    def _costs(self, nodes: Iterable[Node], known: Container[int]) -> dict[int, int]:
        """Cost of each node itself, by number; that of a known one is a load."""
        return {n.number: 1 if n.number in known else _own(n, self._difference) for n in nodes}

    def _cost(self, root: Node) -> int:
        """Cost of a node with all that it needs, if nothing is stored."""
        return sum(self._costs(in_order([root]), ()).values())

    def _shared(self, outputs: Sequence[Node]) -> list[Node]:
        """The last nodes that several outputs need, if they are large and an output is too large.

        They are the last ones in that each node that uses them belongs to one output alone.
        """
        nodes = in_order(outputs)
        if all(self._cost(output) <= self._limit for output in outputs):
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
            and self._cost(node) >= _LARGE * self._limit
        ]

    def _cut(self, output: Node, known: Container[int]) -> Node | None:
        """The node to store next, so that an output comes within the limit; None if it is."""
        nodes = _needed([output], known)
        own = self._costs(nodes, known)
        if sum(own.values()) <= self._limit:
            return None
        spared = _dominated_costs(nodes, own, known)
        for node in sorted(nodes, key=lambda n: -spared[n.number]):
            if node is output or not node.operands or node.number in known:
                continue
            if sum(own[n.number] for n in _needed([node], known)) <= self._limit:
                return node
        return None


def _dominated_costs(
    nodes: Sequence[Node], own: Mapping[int, int], known: Container[int]
) -> dict[int, int]:
    """The cost of each node and of all nodes that it dominates, by number.

    That is the cost that the last of the nodes, the root, is spared where the value is at hand.
    A node dominates another one if every path from the root to that one, from operations to their
    operands, leads through it. The nearest dominator of a node is the nearest one that all nodes
    that use it have in common, or the node itself that alone uses it; from the root down, those of
    the users are known before (Cooper, Harvey and Kennedy, A simple, fast dominance algorithm,
    2001). ``nodes`` come operands first.
    """
    place = {node.number: k for k, node in enumerate(nodes)}
    nearest: dict[int, int] = {}
    for node in reversed(nodes):
        for operand in () if node.number in known else node.operands:
            here = node.number
            there = nearest.get(operand.number, here)
            while here != there:
                if place[here] < place[there]:
                    here = nearest[here]
                else:
                    there = nearest[there]
            nearest[operand.number] = here
    result = dict(own)
    for node in nodes[:-1]:
        result[nearest[node.number]] += result[node.number]
    return result


def _renewed(nodes: Sequence[Node], known: Mapping[int, int]) -> dict[int, Node]:
    """The nodes on a new tape, by number; those with a known place become inputs."""
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
