"""Symbols in place of arrays: the tree of operations that an array formula performs.

The formulas of ``curvature`` are array code: sums, products and quotients of component tables. Run
on ``Symbol`` objects instead of arrays they build the tree of exactly these operations, from which
the kernels are emitted; no formula is written down a second time. Equal operations on equal
operands are one node, so that common subexpressions are shared from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One operation of a tree.

    Attributes
    ----------
    operation : str
        "input", "constant", "add", "sub", "mul", "div", "neg" or "abs".
    operands : tuple of Node
    value : object
        The number of a constant, or the key of an input; None elsewhere.
    number : int
        The number of the node on its tape.
    """

    operation: str
    operands: tuple[Node, ...]
    value: Any
    number: int

    def is_constant(self, value: float) -> bool:
        """Whether it is this number."""
        return self.operation == "constant" and self.value == value


class Symbol:
    """Symbol that formulas handle in place of an array.

    Like an array it can be written to: ``a -= b`` changes the value under other names of ``a``
    too, and the formulas count on that.
    """

    __slots__ = ("node", "tape")

    def __init__(self, tape: Tape, node: Node) -> None:
        self.tape, self.node = tape, node

    def _with(self, node: Node) -> Symbol:
        return Symbol(self.tape, node)

    def __add__(self, other: Operand) -> Symbol:
        return self._with(self.tape.add(self.node, self.tape.lift(other)))

    __radd__ = __add__

    def __iadd__(self, other: Operand) -> Symbol:
        self.node = self.tape.add(self.node, self.tape.lift(other))
        return self

    def __sub__(self, other: Operand) -> Symbol:
        return self._with(self.tape.subtract(self.node, self.tape.lift(other)))

    def __rsub__(self, other: Operand) -> Symbol:
        return self._with(self.tape.subtract(self.tape.lift(other), self.node))

    def __isub__(self, other: Operand) -> Symbol:
        self.node = self.tape.subtract(self.node, self.tape.lift(other))
        return self

    def __mul__(self, other: Operand) -> Symbol:
        return self._with(self.tape.multiply(self.node, self.tape.lift(other)))

    __rmul__ = __mul__

    def __imul__(self, other: Operand) -> Symbol:
        self.node = self.tape.multiply(self.node, self.tape.lift(other))
        return self

    def __truediv__(self, other: Operand) -> Symbol:
        return self._with(self.tape.divide(self.node, self.tape.lift(other)))

    def __rtruediv__(self, other: Operand) -> Symbol:
        return self._with(self.tape.divide(self.tape.lift(other), self.node))

    def __neg__(self) -> Symbol:
        return self._with(self.tape.negate(self.node))

    def __abs__(self) -> Symbol:
        return self._with(self.tape.absolute(self.node))


Operand: TypeAlias = Symbol | float


class Tape:
    """Makes nodes, each operation once.

    Examples
    --------
    >>> tape = Tape()
    >>> x, y = tape.input("x"), tape.input("y")
    >>> (x * y + 1.0).node is (1.0 + y * x).node, (0.0 * x + y).node is y.node
    (True, True)
    >>> z = x
    >>> z -= y
    >>> x.node.operation
    'sub'
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Node] = {}

    def copy(self) -> Tape:
        """A copy: nodes added to it are not on this tape."""
        result = Tape()
        result._known = self._known.copy()
        return result

    def _node(
        self, operation: str, operands: tuple[Node, ...] = (), value: Any = None, order: bool = True
    ) -> Node:
        numbers = tuple(o.number for o in operands)
        # The operands of a sum or a product may come in either order.
        key = (operation, numbers if order else tuple(sorted(numbers)), value)
        if key not in self._known:
            self._known[key] = Node(operation, operands, value, len(self._known))
        return self._known[key]

    def input(self, key: Any) -> Symbol:
        """A value that the kernel gets from outside."""
        return Symbol(self, self._node("input", value=key))

    def lift(self, value: Operand) -> Node:
        """The node of a symbol or of a number."""
        return value.node if isinstance(value, Symbol) else self._number(float(value))

    def _number(self, value: float) -> Node:
        return self._node("constant", value=value)

    def add(self, a: Node, b: Node) -> Node:
        """Sum; a zero is left out, as no metric component is."""
        if a.is_constant(0.0):
            return b
        if b.is_constant(0.0):
            return a
        if b.operation == "neg":
            return self.subtract(a, b.operands[0])
        if a.operation == "neg":
            return self.subtract(b, a.operands[0])
        return self._node("add", (a, b), order=False)

    def subtract(self, a: Node, b: Node) -> Node:
        """Difference."""
        if b.is_constant(0.0):
            return a
        if a.is_constant(0.0):
            return self.negate(b)
        if b.operation == "neg":
            return self.add(a, b.operands[0])
        return self._node("sub", (a, b))

    def multiply(self, a: Node, b: Node) -> Node:
        """Product; signs are drawn out, where they become differences."""
        if not {a.operation, b.operation} & {"constant", "neg"}:  # most of them
            return self._node("mul", (a, b), order=False)
        if a.operation == "constant" and b.operation == "constant":
            return self._number(a.value * b.value)
        for one, other in ((a, b), (b, a)):
            if one.is_constant(0.0):
                return one
            if one.is_constant(1.0):
                return other
            if one.is_constant(-1.0):
                return self.negate(other)
            if one.operation == "neg":
                return self.negate(self.multiply(one.operands[0], other))
            if one.operation == "constant" and one.value < 0:
                return self.negate(self.multiply(self._number(-one.value), other))
        return self._node("mul", (a, b), order=False)

    def divide(self, a: Node, b: Node) -> Node:
        """Quotient."""
        return self._node("div", (a, b))

    def negate(self, a: Node) -> Node:
        """The opposite."""
        if a.operation == "neg":
            return a.operands[0]
        if a.operation == "constant":
            return self._number(-a.value)
        return self._node("neg", (a,))

    def absolute(self, a: Node) -> Node:
        """The size."""
        return self._node("abs", (a.operands[0] if a.operation == "neg" else a,))


def in_order(outputs: Iterable[Node], is_leaf: Callable[[Node], bool] | None = None) -> list[Node]:
    """All nodes that outputs need, operands first, each as late as its first use allows.

    The operands of nodes for which ``is_leaf`` is true are left out.
    """
    result: list[Node] = []
    seen: set[int] = set()
    for output in outputs:
        stack = [(output, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                result.append(node)
            elif node.number not in seen:
                seen.add(node.number)
                stack.append((node, True))
                if is_leaf is None or not is_leaf(node):
                    stack.extend((operand, False) for operand in reversed(node.operands))
    return result
