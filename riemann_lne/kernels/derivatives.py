"""Derivatives of a tree by its inputs, as a tree."""

from __future__ import annotations

from collections.abc import Sequence

from .expressions import Node, Symbol, Tape, in_order


def derivatives(
    tape: Tape, outputs: Sequence[Node], weights: Sequence[Node], inputs: Sequence[Node]
) -> list[Symbol]:
    """Derivatives of the sum of weight times output by each input.

    From the outputs to the inputs (reverse mode), so that every operation is gone through once.

    Raises
    ------
    NotImplementedError
        If a size, "abs", is on the way: its derivative is no sum, product or quotient.

    Examples
    --------
    >>> tape = Tape()
    >>> x, y, w = (tape.input(key) for key in "xyw")
    >>> by_x, by_y = derivatives(tape, [(x * y + y).node], [w.node], [x.node, y.node])
    >>> by_x.node is (w * y).node, by_y.node is (w + w * x).node
    (True, True)
    """
    found: dict[int, Symbol] = {}

    def add(node: Node, value: Symbol) -> None:
        known = found.get(node.number)
        found[node.number] = value if known is None else known + value

    for output, weight in zip(outputs, weights, strict=True):
        add(output, Symbol(tape, weight))
    for node in reversed(in_order(outputs)):
        if node.number not in found or not node.operands:
            continue
        value = found[node.number]
        first = node.operands[0]
        if node.operation == "neg":
            add(first, -value)
            continue
        if node.operation == "abs":
            raise NotImplementedError("sizes have no derivative here")
        second = node.operands[1]
        if node.operation in ("add", "sub"):
            add(first, value)
            add(second, value if node.operation == "add" else -value)
        elif node.operation == "mul":
            add(first, value * Symbol(tape, second))
            add(second, value * Symbol(tape, first))
        else:
            share = value / Symbol(tape, second)
            add(first, share)
            add(second, -(share * Symbol(tape, node)))
    zero = Symbol(tape, tape.lift(0.0))
    return [found.get(node.number, zero) for node in inputs]


__all__ = ["derivatives"]
