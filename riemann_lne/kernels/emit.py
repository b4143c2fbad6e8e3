"""Statements in the common part of C and CUDA for a tree, one operation a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .expressions import Node
from .trace import Program
from .units import units

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def statements(
    nodes: Iterable[Node], load: Callable[[Any], str], type_name: str, indent: str
) -> tuple[list[str], dict[int, str]]:
    """Lines that evaluate nodes, operands first, and the name of each node's value.

    ``load`` gives the C expression of an input from its key. Numbers are converted to ``real``.
    """
    lines: list[str] = []
    names: dict[int, str] = {}
    for node in nodes:
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


def first_difference(terms: Callable[[int], str], width: int) -> str:
    """The central first difference from expressions of the values at -width, ..., width.

    In units of ``units(2 * width).first`` over the spacing: its weights are whole numbers.
    """
    weights = units(2 * width).first_weights
    sides = [(weights[j - 1], f"({terms(j)} - {terms(-j)})") for j in range(1, width + 1)]
    return _weighted(sides)


def second_difference(terms: Callable[[int], str], width: int) -> str:
    """The compact second difference, likewise, in units of ``units(2 * width).second``."""
    centre, *weights = units(2 * width).second_weights
    sides = [(weights[j - 1], f"({terms(j)} + {terms(-j)})") for j in range(1, width + 1)]
    return _weighted([*sides, (centre, terms(0))])


def _weighted(sides: Sequence[tuple[int, str]]) -> str:
    """A sum with whole numbers as weights."""
    text = ""
    for weight, term in sides:
        sign = "-" if weight < 0 else "+"
        size = "" if abs(weight) == 1 else f"(real){abs(weight)}*"
        text += f" {sign} {size}{term}" if text else f"{'-' if weight < 0 else ''}{size}{term}"
    return text


def difference_flops(program: Program, width: int) -> int:
    """Operations of all differences at a point; mixed ones as differences of differences."""
    unit = units(2 * width)
    total = 0
    # A mixed difference starts from first differences, computed once a point and kept in the ring.
    for d in program.inputs:
        if d.axes:
            pure = len(d.axes) == 2 and d.axes[0] == d.axes[1]
            weights = unit.second_weights if pure else unit.first_weights
            # Differences or sums of neighbours, products, and the sum of all.
            total += width + sum(abs(weight) != 1 for weight in weights) + len(weights) - 1
    return total
