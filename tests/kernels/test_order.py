"""The order of a kernel's operations: all of them, operands first, and few loads."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riemann_lne.kernels.expressions import Node, Tape, in_order
from riemann_lne.kernels.order import side_by_side
from riemann_lne.kernels.trace import FORMULAS, trace


def check_order(order: Sequence[Node], wanted: Sequence[Node]) -> None:
    """Everything that is wanted and nothing else, each once, after its operands."""
    assert {node.number for node in order} == {node.number for node in in_order(wanted)}
    seen: set[int] = set()
    for node in order:
        assert node.number not in seen
        assert all(operand.number in seen for operand in node.operands)
        seen.add(node.number)


@given(seed=st.integers(0, 2**32), size=st.integers(1, 60))
@settings(max_examples=300, deadline=None)
def test_values_stay_to_the_last_digit(tools: SimpleNamespace, seed: int, size: int) -> None:
    tape, old = tools.random_tree(seed, size)
    given_values = {name: Fraction(k * k + 3, 7 + k) for k, name in enumerate("abcdef")}
    known = len(tape._known)
    order, new = side_by_side(tape, old[:1], old[1:])
    assert len(tape._known) == known, "other threads may be at the same tape"
    assert tools.value_of(new, given_values) == tools.value_of(old[1:], given_values)
    check_order(order, (old[0], *new))


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_keep_their_operations(name: str, n: int) -> None:
    program = trace(name, n)
    order, outputs = side_by_side(program.tape, program.minors, program.outputs)
    check_order(order, (*program.minors, *outputs))
    # Sums of products in another order; a sum may begin with another term.
    for operation in ("mul", "div", "input"):
        assert sum(node.operation == operation for node in order) == sum(
            node.operation == operation for node in program.nodes
        )
    assert len(order) <= len(program.nodes) + 2 * len(outputs)


def loads(order: Sequence[Node], registers: int) -> int:
    """Operands that are not among the values used last."""
    recent: list[int] = []
    count = 0
    for node in order:
        for operand in (*node.operands, node):
            number = operand.number
            count += operand is not node and number not in recent
            recent = [number, *(other for other in recent if other != number)][:registers]
    return count


def test_sums_share_what_is_in_registers() -> None:
    """Four sums of the same forty factors: one after another they are read four times."""
    tape = Tape()
    factors = [tape.input(f"a{k}") for k in range(40)]
    weights = [tape.input(f"b{k}") for k in range(4)]
    sums = []
    for weight in weights:
        total = factors[0] * (weight + factors[1])
        for k, factor in enumerate(factors[1:]):
            total = total + factor * (weight + factors[k])
        sums.append(total.node)
    order, outputs = side_by_side(tape, [], sums)
    check_order(order, outputs)
    assert loads(order, 24) <= 50
    assert loads(in_order(sums), 24) >= 120


def test_a_sum_of_nothing_but_what_is_taken_away() -> None:
    tape = Tape()
    a, b = tape.input("a"), tape.input("b")
    order, (result,) = side_by_side(tape, [], [(-(a * b) - b).node])
    check_order(order, [result])
    assert [node.operation for node in order].count("mul") == 1
