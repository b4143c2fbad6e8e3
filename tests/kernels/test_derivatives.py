"""Derivatives of trees against those by dual numbers, in exact arithmetic."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import pytest

from riemann_lne.kernels.derivatives import derivatives
from riemann_lne.kernels.expressions import Symbol, Tape

NAMES = "abcd"


@dataclass(frozen=True)
class Dual:
    """A number and its derivative by one of the inputs."""

    value: Fraction
    slope: Fraction = Fraction(0)

    def __add__(self, other: Dual) -> Dual:
        return Dual(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other: Dual) -> Dual:
        return Dual(self.value - other.value, self.slope - other.slope)

    def __mul__(self, other: Dual) -> Dual:
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __truediv__(self, other: Dual) -> Dual:
        slope = self.slope * other.value - self.value * other.slope
        return Dual(self.value / other.value, slope / other.value**2)

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)


def random_symbols(tape: Tape, draw: random.Random, count: int) -> list[Symbol]:
    """Sums, differences, products, quotients and opposites of inputs and of each other."""
    symbols = [tape.input(name) for name in NAMES]
    for _ in range(count):
        a, b = draw.choices(symbols, k=2)
        kind = draw.randrange(6)
        if kind == 0:
            symbols.append(a + b)
        elif kind == 1:
            symbols.append(a - b)
        elif kind == 2:
            symbols.append(a * b)
        elif kind == 3:
            symbols.append(a / (1.5 + b * b))  # a divisor that is not zero
        elif kind == 4:
            symbols.append(-a)
        else:
            symbols.append(2.0 * a - 3.0)
    return symbols


@pytest.mark.parametrize("seed", range(30))
def test_reverse_mode_is_forward_mode(seed: int, tools: SimpleNamespace) -> None:
    draw = random.Random(seed)
    tape = Tape()
    symbols = random_symbols(tape, draw, 12)
    outputs = [s.node for s in draw.sample(symbols, 3)]
    weights = [tape.input(f"weight {k}") for k in range(3)]
    inputs = [tape.input(name).node for name in NAMES]
    found = derivatives(tape, outputs, [w.node for w in weights], inputs)
    point = {name: Fraction(draw.randrange(1, 9), draw.randrange(1, 9)) for name in NAMES}
    point |= {f"weight {k}": Fraction(draw.randrange(-9, 9), 7) for k in range(3)}
    values = tools.value_of([s.node for s in found], point)
    for name, value in zip(NAMES, values, strict=True):
        duals = {key: Dual(x, Fraction(key == name)) for key, x in point.items()}
        slopes = tools.value_of(outputs, duals, lambda x: Dual(Fraction(x)))
        expected = sum(point[f"weight {k}"] * slope.slope for k, slope in enumerate(slopes))
        assert value == expected


def test_of_what_an_output_does_not_depend_on_it_is_zero() -> None:
    tape = Tape()
    x, y, w = (tape.input(key) for key in "xyw")
    (by_y,) = derivatives(tape, [(x * x).node], [w.node], [y.node])
    assert by_y.node.is_constant(0.0)
