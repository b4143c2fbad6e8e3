"""Statements in the common part of C and CUDA for a tree, one operation a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .expressions import Node, in_order
from .trace import Program

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def statements(
    outputs: Iterable[Node], load: Callable[[Any], str], type_name: str, indent: str
) -> tuple[list[str], dict[int, str]]:
    """Lines that evaluate all nodes the outputs need, and the name of each node's value.

    ``load`` gives the C expression of an input from its key. Numbers are converted to ``real``.
    """
    lines: list[str] = []
    names: dict[int, str] = {}
    for node in in_order(outputs):
        if node.operation == "constant":
            names[node.number] = f"((real){node.value!r})"
            continue
        operands = [names[o.number] for o in node.operands]
        if node.operation == "input":
            text = load(node.value)
        elif node.operation == "neg":
            text = f"-{operands[0]}"
        elif node.operation == "abs":
            text = f"absolute({operands[0]})"
        else:
            text = f"{operands[0]} {_SIGNS[node.operation]} {operands[1]}"
        names[node.number] = f"t{len(lines)}"
        lines.append(f"{indent}const {type_name} t{len(lines)} = {text};")
    return lines, names


def flops(nodes: Sequence[Node]) -> int:
    """Additions, multiplications and divisions of a tree (a change of sign is free)."""
    return sum(node.operation in _SIGNS for node in nodes)


def first_difference(terms: Callable[[int], str], weight: Callable[[int], str], width: int) -> str:
    """The central first difference from expressions of the values at -width, ..., width."""
    return " + ".join(f"{weight(j)}*({terms(j)} - {terms(-j)})" for j in range(1, width + 1))


def second_difference(terms: Callable[[int], str], weight: Callable[[int], str], width: int) -> str:
    """The compact second difference, likewise."""
    sides = [f"{weight(j)}*({terms(j)} + {terms(-j)})" for j in range(1, width + 1)]
    return " + ".join([f"{weight(0)}*{terms(0)}", *sides])


def first_weight(axis: int) -> Callable[[int], str]:
    """Names of the weights of the first difference along an axis, over the spacing."""
    return lambda j: f"a{axis}_{j}"


def second_weight(axis: int) -> Callable[[int], str]:
    """Names of the weights of the second difference along an axis, over the spacing squared."""
    return lambda j: f"b{axis}_{j}"


def weight_names(n: int, width: int) -> list[str]:
    """All weights in the order in which a kernel is given them; see ``weights_of``."""
    return [
        name
        for axis in range(n)
        for name in (
            *(first_weight(axis)(j) for j in range(1, width + 1)),
            *(second_weight(axis)(j) for j in range(width + 1)),
        )
    ]


def difference_flops(program: Program, width: int) -> int:
    """Operations of all differences at a point; mixed ones as differences of differences."""
    total = 0
    # What a mixed difference starts from is computed once a point: the ring keeps it.
    for d in program.inputs:
        if d.axes:
            pure = len(d.axes) == 2 and d.axes[0] == d.axes[1]
            total += 3 * width + (1 if pure else -1)
    return total
