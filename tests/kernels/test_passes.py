"""Formulas in several passes: the same values, whatever the limit."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from riemann_lne.kernels.expressions import in_order
from riemann_lne.kernels.passes import Stored, _dominated_costs, _needed, passes
from riemann_lne.kernels.trace import Program

SEEDS, SIZES = st.integers(0, 2**32), st.integers(1, 60)


@given(seed=SEEDS, size=SIZES, limit=st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_passes_give_the_values_of_the_formula(
    tools: SimpleNamespace, seed: int, size: int, limit: int
) -> None:
    """On trees in which outputs may be operands of others, and the limit beyond reach."""
    tape, outputs = tools.random_tree(seed, size)
    program = Program("random", 2, 1, True, outputs, (tape.input("b").node,), tape)
    values = {name: Fraction(k * k + 3, 7 + k) for k, name in enumerate("abcdef")}
    found: dict[int, Fraction] = {}
    known: dict[object, Fraction] = dict(values)
    read: set[object] = set()
    for one in passes(program, lambda key: 2, limit):
        read |= {node.value for node in one.nodes if node.operation == "input"}
        results = [*one.outputs, *one.stored]
        assert results
        computed = tools.value_of([node for _, node in results], known)
        found |= {k: x for (k, _), x in zip(one.outputs, computed, strict=False)}
        stored = zip(one.stored, computed[len(one.outputs) :], strict=True)
        known |= {Stored(place): x for (place, _), x in stored}
    assert [found[k] for k in range(len(outputs))] == tools.value_of(outputs, values)
    assert {key for key in known if isinstance(key, Stored)} <= read


@given(seed=SEEDS, size=SIZES, data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_stored_value_spares_all_that_nothing_else_needs(
    tools: SimpleNamespace, seed: int, size: int, data: st.DataObject
) -> None:
    root = tools.random_tree(seed, size)[1][1]
    below = [node.number for node in in_order([root])[:-1]]
    known = data.draw(st.sets(st.sampled_from(below), max_size=3)) if below else set()
    nodes = _needed([root], known)
    own = {node.number: 1 + node.number % 3 for node in nodes}
    spared = _dominated_costs(nodes, own, known)
    for node in nodes:
        rest = {other.number for other in _needed([root], {*known, node.number})}
        kept = sum(own[number] for number in rest - {node.number})
        assert spared[node.number] == sum(own.values()) - kept
