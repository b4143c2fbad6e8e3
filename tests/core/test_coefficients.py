"""Weights in rationals: every claim is checked exactly, with no tolerance."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemann_lne.coefficients import (
    central_weights,
    extrapolation_weights,
    fd_weights,
    half_width,
    quadrature_end_corrections,
    validate_order,
)
from riemann_lne.errors import InvalidArgumentError, UnknownNameError

ORDERS = (2, 4, 6, 8)


@given(
    offsets=st.lists(st.integers(-6, 6), min_size=2, max_size=8, unique=True),
    data=st.data(),
)
def test_differences_are_exact_on_polynomials_of_degree_below_the_number_of_points(
    offsets: list[int], data: st.DataObject
) -> None:
    derivative = data.draw(st.integers(0, len(offsets) - 1))
    weights = fd_weights(derivative, tuple(offsets))
    for power in range(len(offsets)):
        value = sum(w * Fraction(j) ** power for w, j in zip(weights, offsets, strict=True))
        assert value == (math.factorial(derivative) if power == derivative else 0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("derivative", [1, 2])
def test_central_weights_have_exactly_the_order_claimed(derivative: int, order: int) -> None:
    w = half_width(order)
    weights = central_weights(derivative, order)
    assert len(weights) == order + 1
    moments = [
        sum(c * Fraction(j) ** p for c, j in zip(weights, range(-w, w + 1), strict=True))
        for p in range(order + 4)
    ]
    exact = [Fraction(math.factorial(derivative)) * (p == derivative) for p in range(order + 4)]
    first_wrong = next(p for p, (a, b) in enumerate(zip(moments, exact, strict=True)) if a != b)
    assert first_wrong == order + derivative  # the leading error is h^order f^(order + derivative)


def test_textbook_stencils_of_order_4() -> None:
    assert central_weights(1, 4) == tuple(Fraction(c, 12) for c in (1, -8, 0, 8, -1))
    assert central_weights(2, 4) == tuple(Fraction(c, 12) for c in (-1, 16, -30, 16, -1))


@pytest.mark.parametrize("points", [2, 4, 6, 10])
@pytest.mark.parametrize("distance", [1, 2, 3, 4])
def test_extrapolation_is_exact_below_its_number_of_points(points: int, distance: int) -> None:
    weights = extrapolation_weights(points, distance)
    for power in range(points):
        value = sum(w * Fraction(j) ** power for j, w in enumerate(weights))
        assert value == Fraction(-distance) ** power


@pytest.mark.parametrize("order", range(2, 9))
def test_quadrature_is_exact_on_polynomials_of_degree_below_its_order(order: int) -> None:
    corrections = quadrature_end_corrections(order)
    intervals = 2 * order + 3
    weights = [Fraction(1)] * (intervals + 1)
    for j, c in enumerate(corrections):
        weights[j] += c
        weights[-1 - j] += c
    for power in range(order):
        total = sum(w * Fraction(j) ** power for j, w in enumerate(weights))
        assert total == Fraction(intervals ** (power + 1), power + 1)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_the_last_end_correction_removes_its_euler_maclaurin_term(order: int) -> None:
    """On degree `order` only the differences at the ends err, so the error knows no length."""
    corrections = quadrature_end_corrections(order)
    errors = []
    for intervals in (2 * order, 3 * order):
        weights = [Fraction(1)] * (intervals + 1)
        for j, c in enumerate(corrections):
            weights[j] += c
            weights[-1 - j] += c
        total = sum(w * Fraction(j) ** order for j, w in enumerate(weights))
        errors.append(total - Fraction(intervals ** (order + 1), order + 1))
    assert errors[0] == errors[1] != 0


@pytest.mark.parametrize("order", range(2, 9))
def test_quadrature_weights_are_positive_so_that_squared_norms_are(order: int) -> None:
    assert all(1 + c > 0 for c in quadrature_end_corrections(order))


@pytest.mark.parametrize("bad", [0, 1, 3, -2, 7])
def test_odd_and_non_positive_orders_are_refused(bad: int) -> None:
    with pytest.raises(InvalidArgumentError, match="even order"):
        validate_order(bad)


@pytest.mark.parametrize("bad", [2.0, None, True, (4,)])
def test_orders_that_are_not_integers_are_refused(bad: object) -> None:
    with pytest.raises(InvalidArgumentError, match="fourier"):
        validate_order(bad)


def test_an_unknown_order_name_lists_the_known_ones_and_the_closest() -> None:
    with pytest.raises(UnknownNameError, match=r"8, fourier.*Did you mean 'fourier'"):
        validate_order("furier")


@pytest.mark.parametrize("text", ["4", " 8 "])
def test_a_number_as_text_is_told_as_such(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"give the number {text.strip()}, without"):
        validate_order(text)


@pytest.mark.parametrize(("derivative", "offsets"), [(2, (0, 1)), (-1, (0, 1)), (1, (0, 1, 1))])
def test_impossible_stencils_are_refused(derivative: int, offsets: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="distinct"):
        fd_weights(derivative, offsets)


def test_only_first_and_second_compact_stencils_exist() -> None:
    with pytest.raises(InvalidArgumentError, match="1 and 2"):
        central_weights(3, 4)


@pytest.mark.parametrize("order", [0, 1, 9])
def test_quadrature_of_other_orders_is_refused(order: int) -> None:
    with pytest.raises(InvalidArgumentError, match="2 to 8"):
        quadrature_end_corrections(order)
