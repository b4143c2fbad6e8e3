"""A cache of their own for the tests of kernels, and a compiler or a reason to skip."""

from __future__ import annotations

import operator
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from riemann_lne import Grid
from riemann_lne.errors import KernelUnavailableError
from riemann_lne.kernels.build import find_compiler
from riemann_lne.kernels.cache import VARIABLE
from riemann_lne.kernels.expressions import Node, Symbol, Tape, in_order
from riemann_lne.kernels.trace import formula, trace
from riemann_lne.stencils import evaluate
from riemann_lne.tensors import pairs


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels are built by these tests, not taken from what the user has; workers share them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "kernels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        yield


@pytest.fixture(scope="session")
def compiler() -> None:
    try:
        find_compiler(os.environ.get("CC"))
    except KernelUnavailableError as error:
        pytest.skip(str(error))


def random_packed(grid: Grid, seed: int, dtype: str = "float64", size: float = 0.5) -> np.ndarray:
    """A metric that is rough from point to point: delta + noise whose rows sum to at most size."""
    draw = np.random.default_rng(seed)
    unit = np.array([1.0 if i == j else 0.0 for i, j in pairs(grid.ndim)])
    noise = draw.uniform(-1, 1, (len(unit), *grid.shape)) * size / grid.ndim
    return (unit.reshape(-1, *(1,) * grid.ndim) + noise).astype(dtype)


def plain(name: str, fields: list[np.ndarray], grid: Grid, order: int) -> np.ndarray:
    """The array code's result for the formula of a kernel."""
    count = len(trace(name, grid.ndim).outputs)
    return evaluate(partial(formula(name).evaluate, grid.ndim), tuple(fields), grid, order, count)


def relative_gap(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference over the largest value."""
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def value_of(
    nodes: Sequence[Node],
    given: Mapping[Any, Any],
    number: Callable[[float], Any] = Fraction,
) -> list[Any]:
    """Evaluate a tree in the arithmetic of the given values and of its numbers."""
    values: dict[int, Any] = {}
    for node in in_order(nodes):
        x = [values[o.number] for o in node.operands]
        if node.operation == "constant":
            values[node.number] = number(node.value)
        elif node.operation == "input":
            values[node.number] = given[node.value]
        else:
            values[node.number] = _OPERATIONS[node.operation](*x)
    return [values[node.number] for node in nodes]


TREE_INPUTS = "abcdef"


def random_tree(seed: int, size: int) -> tuple[Tape, tuple[Node, ...]]:
    """Operations on inputs, halves and twos, and on one another."""
    draw, tape = random.Random(seed), Tape()
    known: list[Symbol] = [tape.input(name) for name in TREE_INPUTS]
    for _ in range(size):
        x, y = draw.choice(known), draw.choice([*known, 0.5, 2.0, -1.0])
        kind = draw.randrange(5)
        known.append([x + y, x - y, x * y, -x, abs(x)][kind])
    outputs = [*known[-2:], draw.choice(known)]
    outputs.append(known[-1] / (tape.input("a") * 4.0))
    return tape, tuple(symbol.node for symbol in outputs)


_OPERATIONS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "abs": abs,
}


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The functions above, for the tests."""
    return SimpleNamespace(
        random_packed=random_packed,
        plain=plain,
        relative_gap=relative_gap,
        compiles=find_compiler,
        value_of=value_of,
        random_tree=random_tree,
    )
