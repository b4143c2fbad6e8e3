"""The formulas that kernels are made of, and the trees they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from ..arrays import Array
from ..curvature import ricci_tensor
from ..errors import UnknownNameError
from ..flows.base import Formula
from ..flows.ricci import deturck_rate, ricci_rate
from ..jets import MetricJet
from ..stencils import LocalField
from ..tensors import leading_minors, packed_size, table
from .algebra import fewest_products
from .expressions import Node, Symbol, Tape, in_order


class Derivative(NamedTuple):
    """Key of an input: a component of a field, differentiated along some axes (0, 1 or 2)."""

    field: int
    component: int
    axes: tuple[int, ...]


def _ricci(n: int, metric: LocalField) -> Sequence[Array]:
    return ricci_tensor(MetricJet(metric, n))


def _scalar_curvature(n: int, metric: LocalField) -> Sequence[Array]:
    return [MetricJet(metric, n).scalar_curvature]


_TABLE = {
    f.name: f
    for f in (
        Formula("ricci_deturck", deturck_rate),
        Formula("ricci_deturck_background", deturck_rate, fields=2),
        Formula("ricci_flow", ricci_rate),
        Formula("ricci", _ricci),
        Formula("scalar_curvature", _scalar_curvature, tensor=False),
    )
}

FORMULAS = tuple(_TABLE)
"""Names of the formulas that come with the library."""


def formula(name: str | Formula) -> Formula:
    """The formula of a name; or the one given."""
    if isinstance(name, Formula):
        return name
    if name not in _TABLE:
        raise UnknownNameError("kernel", name, FORMULAS)
    return _TABLE[name]


class _Block:
    """Stands for an array (c, *tile): indexed as formulas do, ``block[c, ...]``."""

    def __init__(self, tape: Tape, field: int, axes: tuple[int, ...], factor: float = 1.0) -> None:
        self._tape, self._field, self._axes, self._factor = tape, field, axes, factor

    def __getitem__(self, index: tuple[Any, ...]) -> Symbol:
        return self._factor * self._tape.input(Derivative(self._field, index[0], self._axes))


class _SymbolicField:
    """A ``LocalField`` whose values and derivatives are inputs.

    Compact second derivatives come in another unit than products of first ones: those are
    ``ratio`` times the inputs.
    """

    def __init__(self, tape: Tape, field: int, ratio: int) -> None:
        self._tape, self._field, self._ratio = tape, field, float(ratio)

    def value(self) -> Any:
        return _Block(self._tape, self._field, ())

    def first(self, a: int) -> Any:
        return _Block(self._tape, self._field, (a,))

    def second(self, a: int, b: int) -> Any:
        factor = self._ratio if a == b else 1.0
        return _Block(self._tape, self._field, (min(a, b), max(a, b)), factor)


@dataclass(frozen=True)
class Program:
    """The tree of a formula in n dimensions.

    Attributes
    ----------
    outputs : tuple of Node
        Components of the result.
    minors : tuple of Node
        Leading minors of the metric, all positive where it is one (Sylvester).
    tape : Tape
        That the nodes are on.
    """

    name: str
    n: int
    fields: int
    tensor: bool
    outputs: tuple[Node, ...]
    minors: tuple[Node, ...]
    tape: Tape = field(repr=False)

    @property
    def components(self) -> int:
        """Packed components of all fields together."""
        return self.fields * packed_size(self.n)

    @property
    def nodes(self) -> list[Node]:
        """All operations in the order of evaluation."""
        return in_order((*self.outputs, *self.minors))

    @property
    def inputs(self) -> list[Derivative]:
        """Derivatives that it needs, in the order of first use."""
        return [node.value for node in self.nodes if node.operation == "input"]


@lru_cache(maxsize=256)
def trace(name: str | Formula, n: int, ratio: int = 1) -> Program:
    """Run a formula on symbols, and save multiplications.

    The inputs are derivatives; compact second ones are taken ``ratio`` times, see ``units``.

    Examples
    --------
    >>> program = trace("ricci_deturck", 3)
    >>> len(program.outputs), len(program.inputs)
    (6, 60)
    """
    chosen = formula(name)
    tape = Tape()
    fields = [_SymbolicField(tape, f, ratio) for f in range(chosen.fields)]
    results = [symbol.node for symbol in chosen.evaluate(n, *fields)]
    minors = [m.node for m in leading_minors(table(fields[0].value(), n), n)]
    nodes = fewest_products(tape, [*results, *minors])
    outputs, minors_of_metric = nodes[: len(results)], nodes[len(results) :]
    return Program(chosen.name, n, chosen.fields, chosen.tensor, outputs, minors_of_metric, tape)
