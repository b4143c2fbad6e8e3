"""Fewer multiplications: like terms together, and common factors out of the sums of a tree.

Formulas of curvature are sums of products in which the same inverse metric or Christoffel symbol
multiplies several terms: x u + x v is x (u + v). Array code gains little by it, as u + v is one
more array to store; in a kernel it saves an operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

from .expressions import Node, Tape, in_order


class _Term(NamedTuple):
    """A number times nodes of the old tree."""

    number: float
    factors: tuple[Node, ...]

    def without(self, factor: Node) -> _Term:
        place = self.factors.index(factor)
        return _Term(self.number, self.factors[:place] + self.factors[place + 1 :])


def fewest_products(tape: Tape, outputs: Sequence[Node]) -> tuple[Node, ...]:
    """The same values, factored for as long as that saves multiplications."""
    best = tuple(outputs)
    while True:
        new = factored(tape, best)
        if _products(new) >= _products(best):
            return best
        best = new


def _products(outputs: Sequence[Node]) -> int:
    return sum(node.operation == "mul" for node in in_order(outputs))


def factored(tape: Tape, outputs: Sequence[Node]) -> tuple[Node, ...]:
    """The same values, with common factors out of their sums.

    Sums and products that are needed in one place only are opened, and numbers are drawn out of
    products; a sum that is needed in several places stays one value.

    Examples
    --------
    >>> tape = Tape()
    >>> x, u, v, w = (tape.input(key) for key in "xuvw")
    >>> (new,) = factored(tape, [(x * u + w - v * x).node])
    >>> new is (x * (u - v) + w).node
    True
    """
    return _Factoring(tape, outputs).outputs


class _Factoring:
    """One pass over a tree, from its inputs to its outputs."""

    def __init__(self, tape: Tape, outputs: Sequence[Node]) -> None:
        self._tape = tape
        nodes = in_order(outputs)
        self._uses = Counter(o.number for node in nodes for o in node.operands)
        self._uses.update(output.number for output in outputs)
        products = [n.operands for n in nodes if n.operation == "mul"]
        self._products = {frozenset((a.number, b.number)) for a, b in products}
        self._scaled = {
            (a.value, b.number)
            for pair in products
            for a, b in (pair, pair[::-1])
            if a.operation == "constant"
        } | {(2.0, n.operands[0].number) for n in nodes if _is_twice(n)}
        self._new: dict[int, Node] = {}
        for node in nodes:  # operands come first
            self._new[node.number] = self._renewed(node)
        self.outputs = tuple(self._new[output.number] for output in outputs)

    def _renewed(self, node: Node) -> Node:
        if node.operation == "div":
            return self._tape.divide(*(self._new[o.number] for o in node.operands))
        if node.operation == "abs":
            return self._tape.absolute(self._new[node.operands[0].number])
        if node.operands:
            return self._sum([*self._terms(node, 1.0, opened=True)])
        return node

    # -- opening the old tree ---------------------------------------------------------------------

    def _terms(self, node: Node, number: float, opened: bool = False) -> Iterator[_Term]:
        """The terms of a node times a number."""
        opened = opened or self._uses[node.number] == 1
        if node.operation in ("add", "sub") and opened:
            first, second = node.operands
            yield from self._terms(first, number)
            yield from self._terms(second, number if node.operation == "add" else -number)
        elif node.operation == "neg":
            yield from self._terms(node.operands[0], -number)
        else:
            inside, factors = self._product(node, opened)
            yield _Term(number * inside, factors)

    def _product(self, node: Node, opened: bool) -> tuple[float, tuple[Node, ...]]:
        """The number and the factors of a product."""
        if node.operation == "constant":
            return float(node.value), ()
        if node.operation == "neg":
            number, factors = self._product(node.operands[0], opened=False)
            return -number, factors
        if _is_twice(node):
            number, factors = self._product(node.operands[0], opened=False)
            return 2.0 * number, factors
        opened = opened or self._uses[node.number] == 1
        scaled = any(o.operation == "constant" for o in node.operands)
        if node.operation != "mul" or not (opened or scaled):
            return 1.0, (node,)
        (a, some), (b, more) = (self._product(o, opened=False) for o in node.operands)
        return a * b, some + more

    # -- building the new one ---------------------------------------------------------------------

    def _sum(self, terms: list[_Term]) -> Node:
        """A sum of terms, with the factor that most of them share taken out, and so on."""
        terms = _like_together(terms)
        parts: list[tuple[float, Node]] = []
        while terms:
            shared = Counter(f for term in terms for f in dict.fromkeys(term.factors))
            factor, count = max(shared.items(), key=lambda item: item[1], default=(None, 0))
            if factor is None or count < 2:
                break
            inner = [t.without(factor) for t in terms if factor in t.factors]
            terms = [t for t in terms if factor not in t.factors]
            sign = -1.0 if all(t.number < 0 for t in inner) else 1.0
            inside = self._sum([_Term(sign * t.number, t.factors) for t in inner])
            parts.append((sign, self._tape.multiply(self._new[factor.number], inside)))
        parts += self._scaled_parts(terms)
        return self._added(parts)

    def _scaled_parts(self, terms: list[_Term]) -> list[tuple[float, Node]]:
        """Terms that share no factor; those with the same number, other than 1, as one."""
        groups: dict[float, list[_Term]] = {}
        for term in terms:
            groups.setdefault(abs(term.number), []).append(term)
        parts = []
        for number, group in groups.items():
            signs = [1.0 if t.number > 0 else -1.0 for t in group]
            if number == 1.0 or len(group) == 1:
                built = [self._scaled_product(number, t.factors) for t in group]
                parts += list(zip(signs, built, strict=True))
            else:
                bare = [self._scaled_product(1.0, t.factors) for t in group]
                inside = self._added(list(zip(signs, bare, strict=True)))
                parts.append((1.0, self._scaled_node(number, inside)))
        return parts

    def _scaled_product(self, number: float, factors: tuple[Node, ...]) -> Node:
        """A number times factors, with the number where it makes something that is there."""
        if number != 1.0 and frozenset(f.number for f in factors) not in self._products:
            known = [f for f in factors if (number, f.number) in self._scaled]
            first = next(iter(known or factors), None)
            if first is not None:
                scaled = self._scaled_node(number, self._new[first.number])
                rest = _Term(1.0, factors).without(first).factors
                return self._multiplied([scaled, *(self._new[f.number] for f in rest)])
        product = self._multiplied([self._new[f.number] for f in factors])
        return self._scaled_node(number, product)

    def _scaled_node(self, number: float, node: Node) -> Node:
        """A number times a node; twice is a sum: processors add beside their multiplications."""
        if number == 2.0 and node.operation != "constant":
            return self._tape.add(node, node)
        return self._tape.multiply(self._constant(number), node)

    def _multiplied(self, nodes: Sequence[Node]) -> Node:
        return reduce(self._tape.multiply, nodes) if nodes else self._constant(1.0)

    def _added(self, parts: list[tuple[float, Node]]) -> Node:
        """The sum of signed nodes, begun with one that need not change its sign."""
        if not parts:  # all cancelled
            return self._constant(0.0)
        first = next((k for k, (sign, _) in enumerate(parts) if sign > 0), None)
        if first is None:
            return self._tape.negate(self._added([(1.0, node) for _, node in parts]))
        result = parts[first][1]
        for k, (sign, node) in enumerate(parts):
            if k != first:
                apply = self._tape.add if sign > 0 else self._tape.subtract
                result = apply(result, node)
        return result

    def _constant(self, value: float) -> Node:
        return self._tape.lift(value)


def _is_twice(node: Node) -> bool:
    """Whether a node is the sum of a value and itself."""
    return node.operation == "add" and node.operands[0] is node.operands[1]


def _like_together(terms: list[_Term]) -> list[_Term]:
    """Terms with the same factors as one, those that cancel left out."""
    totals: dict[tuple[int, ...], tuple[float, tuple[Node, ...]]] = {}
    for number, factors in terms:
        key = tuple(sorted(f.number for f in factors))
        totals[key] = (totals.get(key, (0.0, ()))[0] + number, factors)
    return [_Term(number, factors) for number, factors in totals.values() if number != 0.0]
