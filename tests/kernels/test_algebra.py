"""Factoring of trees: the same values in fewer multiplications."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riemann_lne.kernels.algebra import factored, fewest_products
from riemann_lne.kernels.expressions import Node, Tape, in_order
from riemann_lne.kernels.trace import FORMULAS, trace

NAMES = "abcdef"


def products(outputs: tuple[Node, ...]) -> int:
    return sum(node.operation == "mul" for node in in_order(outputs))


@given(seed=st.integers(0, 2**32), size=st.integers(1, 60))
@settings(max_examples=300, deadline=None)
def test_values_stay_to_the_last_digit(tools: SimpleNamespace, seed: int, size: int) -> None:
    tape, old = tools.random_tree(seed, size)
    given_values = {name: Fraction(k * k + 3, 7 + k) for k, name in enumerate(NAMES)}
    wanted = tools.value_of(old, given_values)
    assert tools.value_of(factored(tape, old), given_values) == wanted
    fewest = fewest_products(tape, old)
    assert tools.value_of(fewest, given_values) == wanted
    assert products(fewest) <= products(old)


def expressions() -> SimpleNamespace:
    tape = Tape()
    return SimpleNamespace(tape=tape, **{name: tape.input(name) for name in NAMES})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lambda s: s.a * s.b + s.c * s.a, lambda s: s.a * (s.b + s.c)),
        (lambda s: s.d - s.a * s.b - s.c * s.a, lambda s: s.d - s.a * (s.b + s.c)),
        (lambda s: s.a * s.b + s.a * (s.b * 0.5), lambda s: 1.5 * (s.a * s.b)),
        (lambda s: s.a * s.b - s.b * s.a + s.c, lambda s: s.c),
        (lambda s: 0.5 * s.a - 0.5 * s.b, lambda s: 0.5 * (s.a - s.b)),
        (lambda s: s.a * s.b * s.c + s.a * s.b * s.d, lambda s: s.a * s.b * (s.c + s.d)),
        (lambda s: s.a * s.b - s.b * s.a, lambda s: 0.0 * s.a),
        (lambda s: -(s.a * s.b) - s.a * s.c, lambda s: -(s.a * (s.b + s.c))),
    ],
)
def test_examples(old, new) -> None:  # type: ignore[no-untyped-def]
    s = expressions()
    assert fewest_products(s.tape, [old(s).node]) == (new(s).node,)


def test_what_two_places_need_stays_one_value() -> None:
    s = expressions()
    shared = s.a * s.b
    outputs = [(shared + s.a * s.c).node, (shared * s.d).node]
    new = fewest_products(s.tape, outputs)
    assert products(new) <= products(tuple(outputs)) == 3


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("n", [2, 3])
def test_a_second_pass_over_a_kernel_finds_nothing(name: str, n: int) -> None:
    program = trace(name, n)
    outputs = (*program.outputs, *program.minors)
    assert products(outputs) == products(fewest_products(_tape_of(outputs), outputs))


def _tape_of(outputs: tuple[Node, ...]) -> Tape:
    """A tape that has these nodes, so that their numbers stay apart from new ones."""
    tape = Tape()
    while len(tape._known) <= max(node.number for node in in_order(outputs)):
        tape.input(len(tape._known))
    return tape
