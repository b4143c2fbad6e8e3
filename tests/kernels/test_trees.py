"""The trees of operations that kernels are emitted from, in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp

from riemann_lne.curvature import deturck_flow_tensor_by_index
from riemann_lne.curvature_2d import deturck_flow_tensor_2d
from riemann_lne.errors import UnknownNameError
from riemann_lne.jets import MetricJet
from riemann_lne.kernels.expressions import Tape
from riemann_lne.kernels.trace import FORMULAS, Derivative, _SymbolicField, trace
from riemann_lne.tensors import pairs


def rational(value: float) -> sp.Rational:
    """A number of a tree; all of them are simple fractions."""
    return sp.Rational(Fraction(value).limit_denominator(64))


class Jet:
    """A metric's value, first and second derivatives at a point, random rationals."""

    def __init__(self, n: int, draw: np.random.Generator, field: int) -> None:
        self.n, self.field = n, field

        def number() -> sp.Rational:
            return sp.Rational(int(draw.integers(-9, 10)), int(draw.integers(5, 12)))

        def symmetric() -> sp.Matrix:
            upper = {p: number() for p in pairs(n)}
            return sp.Matrix(n, n, lambda i, j: upper[min(i, j), max(i, j)])

        self.g = symmetric() + 6 * sp.eye(n)
        self.d = [symmetric() for _ in range(n)]
        second = {p: symmetric() for p in pairs(n)}
        self.dd = [[second[min(a, b), max(a, b)] for b in range(n)] for a in range(n)]

    def inputs(self) -> dict[Derivative, Any]:
        result = {}
        for c, at in enumerate(pairs(self.n)):
            result[Derivative(self.field, c, ())] = self.g[at]
            for a in range(self.n):
                result[Derivative(self.field, c, (a,))] = self.d[a][at]
            for a, b in pairs(self.n):
                result[Derivative(self.field, c, (a, b))] = self.dd[a][b][at]
        return result

    def gamma(self) -> tuple[Any, Any]:
        """Gamma^k_ij and d_a Gamma^k_ij from the definition, by the product rule."""
        n, r = self.n, range(self.n)
        inverse = self.g.inv()
        d_inverse = [-inverse * d * inverse for d in self.d]
        low = {
            (p, i, j): (self.d[i][p, j] + self.d[j][p, i] - self.d[p][i, j]) / 2
            for p, i, j in product(r, repeat=3)
        }
        gamma = {
            (k, i, j): sum(inverse[k, p] * low[p, i, j] for p in r)
            for k, i, j in product(r, repeat=3)
        }
        d_gamma = {
            (a, k, i, j): sum(
                d_inverse[a][k, p] * low[p, i, j]
                + inverse[k, p]
                * (self.dd[a][i][p, j] + self.dd[a][j][p, i] - self.dd[a][p][i, j])
                / 2
                for p in r
            )
            for a, k, i, j in product(r, repeat=4)
        }
        assert n == self.g.rows
        return gamma, d_gamma

    def ricci(self) -> sp.Matrix:
        """d_i Gamma^i_jk - d_j Gamma^i_ik + Gamma^i_ip Gamma^p_jk - Gamma^i_jp Gamma^p_ik."""
        gamma, d = self.gamma()
        r = range(self.n)

        def entry(j: int, k: int) -> Any:
            return sum(
                d[i, i, j, k]
                - d[j, i, i, k]
                + sum(gamma[i, i, p] * gamma[p, j, k] - gamma[i, j, p] * gamma[p, i, k] for p in r)
                for i in r
            )

        return sp.Matrix(self.n, self.n, lambda j, k: entry(int(j), int(k)))

    def deturck(self, bar: Jet | None) -> sp.Matrix:
        """-2 Ric + L_W g with W^k = g^pq (Gamma^k_pq - Gammabar^k_pq)."""
        gamma, d = self.gamma()
        r, inverse = range(self.n), self.g.inv()
        if bar is not None:
            gamma_bar, d_bar = bar.gamma()
            gamma = {key: value - gamma_bar[key] for key, value in gamma.items()}
            d = {key: value - d_bar[key] for key, value in d.items()}
        d_inverse = [-inverse * x * inverse for x in self.d]
        w = [sum(inverse[p, q] * gamma[k, p, q] for p in r for q in r) for k in r]
        dw = [
            [
                sum(
                    d_inverse[a][p, q] * gamma[k, p, q] + inverse[p, q] * d[a, k, p, q]
                    for p in r
                    for q in r
                )
                for k in r
            ]
            for a in r
        ]

        def lie(i: int, j: int) -> Any:
            return sum(
                w[k] * self.d[k][i, j] + self.g[k, j] * dw[i][k] + self.g[i, k] * dw[j][k]
                for k in r
            )

        return -2 * self.ricci() + sp.Matrix(self.n, self.n, lambda i, j: lie(int(i), int(j)))


@pytest.mark.parametrize("ratio", [1, 12])
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_tree_is_the_formula_of_the_textbook_exactly(
    tools: SimpleNamespace, name: str, n: int, ratio: int
) -> None:
    draw = np.random.default_rng(n)
    g, bar = Jet(n, draw, 0), Jet(n, draw, 1)
    expected: Any = {
        "ricci": g.ricci,
        "ricci_flow": lambda: -2 * g.ricci(),
        "ricci_deturck": lambda: g.deturck(None),
        "ricci_deturck_background": lambda: g.deturck(bar),
        "scalar_curvature": lambda: (g.g.inv() * g.ricci()).trace(),
    }[name]()
    wanted = [expected] if name == "scalar_curvature" else [expected[at] for at in pairs(n)]
    program = trace(name, n, ratio)
    # Compact second differences come in units of their own.
    given = {
        d: value / ratio if d.axes[:1] * 2 == d.axes and d.axes else value
        for d, value in {**g.inputs(), **bar.inputs()}.items()
    }
    # Rationals: not close, equal.
    assert tools.value_of(program.outputs, given, rational) == wanted
    minors = [g.g[:k, :k].det() for k in range(1, n + 1)]
    assert tools.value_of(program.minors, g.inputs(), rational) == minors


def test_the_closed_form_in_two_dimensions_is_the_index_formula_exactly(
    tools: SimpleNamespace,
) -> None:
    g = Jet(2, np.random.default_rng(5), 0)
    expected = g.deturck(None)
    wanted = [expected[at] for at in pairs(2)]
    for formula in (deturck_flow_tensor_by_index, deturck_flow_tensor_2d):
        field = _SymbolicField(Tape(), 0, 1)
        result = [symbol.node for symbol in formula(MetricJet(field, 2))]
        assert tools.value_of(result, g.inputs(), rational) == wanted


@pytest.mark.parametrize("n", [2, 3, 4])
def test_nothing_is_computed_twice(n: int) -> None:
    nodes = trace("ricci_deturck", n).nodes
    seen = {(x.operation, tuple(o.number for o in x.operands), x.value) for x in nodes}
    assert len(seen) == len(nodes)
    assert [
        x.number for x in nodes if any(o not in nodes[: nodes.index(x)] for o in x.operands)
    ] == []


def test_symbols_can_be_written_to_as_arrays_can(tools: SimpleNamespace) -> None:
    tape = Tape()
    x, y = tape.input("x"), tape.input("y")
    total = 1.0 * x
    alias = total
    alias -= y
    alias *= 2.0
    alias += x / y
    assert total.node is alias.node
    given: Any = {"x": sp.Integer(3), "y": sp.Integer(5)}
    nodes = (total.node, (-(1.0 - x)).node, (2.0 / y).node)
    assert tools.value_of(nodes, given, rational) == [
        -4 + sp.Rational(3, 5),
        2,
        sp.Rational(2, 5),
    ]


def test_an_unknown_formula_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"ricci_deturck.*Did you mean 'ricci'"):
        trace("ricc", 2)
