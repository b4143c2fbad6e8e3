"""Weights of differences, extrapolation and quadrature, solved for in rational numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np

from .errors import InvalidArgumentError, UnknownNameError

Order: TypeAlias = int | Literal["fourier"]
"""Order of accuracy of the derivatives: an even number, or "fourier" on a torus."""


def validate_order(order: Any) -> Order:
    """The order if it is an even number >= 2 or "fourier"; else an error that says so."""
    if isinstance(order, str):
        if order.strip().isdecimal():
            raise InvalidArgumentError(
                f"order = {order!r} is text; give the number {order.strip()}, without quotes"
            )
        if order != "fourier":
            raise UnknownNameError("order", order, ["2", "4", "6", "8", "fourier"])
        return "fourier"
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)):
        raise InvalidArgumentError(f"order = {order!r}; give 2, 4, 6, 8 or 'fourier'")
    if order < 2 or order % 2:
        raise InvalidArgumentError(
            f"order = {order}; give an even order of central differences: 2, 4, 6, 8, ..."
        )
    return int(order)


def half_width(order: int) -> int:
    """Points on each side of the centre in a central stencil of the order."""
    return order // 2


@cache
def fd_weights(derivative: int, offsets: tuple[int, ...]) -> tuple[Fraction, ...]:
    """Weights w_j with sum_j w_j f(j h) = h^d f^(d)(0), exact for degree < len(offsets).

    Solves the Taylor system sum_j w_j j^p = d! delta_{pd} in rationals.

    Examples
    --------
    >>> [str(w) for w in fd_weights(1, (-2, -1, 0, 1, 2))]
    ['1/12', '-2/3', '0', '2/3', '-1/12']
    """
    size = len(offsets)
    if len(set(offsets)) != size or not 0 <= derivative < size:
        raise InvalidArgumentError(
            f"derivative {derivative} cannot be computed from the offsets {offsets}: "
            "they must be distinct and more than the derivative's order"
        )
    rows = [
        [Fraction(j) ** p for j in offsets]
        + [Fraction(math.factorial(derivative) if p == derivative else 0)]
        for p in range(size)
    ]
    for column in range(size):
        pivot = next(r for r in range(column, size) if rows[r][column] != 0)
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column][column]
        rows[column] = [value / head for value in rows[column]]
        for r in range(size):
            if r != column and rows[r][column] != 0:
                factor = rows[r][column]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[column], strict=True)]
    return tuple(row[-1] for row in rows)


def central_weights(derivative: int, order: int) -> tuple[Fraction, ...]:
    """Weights of the compact central stencil of the first or second derivative."""
    if derivative not in (1, 2):
        raise InvalidArgumentError(f"derivative = {derivative}; compact stencils are for 1 and 2")
    w = half_width(order)
    return fd_weights(derivative, tuple(range(-w, w + 1)))


@cache
def extrapolation_weights(points: int, distance: int) -> tuple[Fraction, ...]:
    """Weights that give f(-distance) from f(0), ..., f(points - 1), exact for degree < points."""
    return fd_weights(0, tuple(distance + j for j in range(points)))


@cache
def quadrature_end_corrections(order: int) -> tuple[Fraction, ...]:
    """Differences from 1 of a composite rule's weights at one end, in units of the spacing.

    Euler-Maclaurin: the integral from 0 is h (f_0 / 2 + f_1 + ...) + sum_k B_2k / (2k)! h^2k
    f^(2k-1)(0); the derivatives are replaced by one-sided differences through the first points.
    """
    if not 2 <= order <= 8:
        raise InvalidArgumentError(f"order = {order}; quadrature comes in the orders 2 to 8")
    bernoulli = {2: Fraction(1, 6), 4: Fraction(-1, 30), 6: Fraction(1, 42), 8: Fraction(-1, 30)}
    corrections = [Fraction(0)] * order
    corrections[0] = Fraction(-1, 2)
    for k, value in bernoulli.items():
        if k <= order:
            for j, weight in enumerate(fd_weights(k - 1, tuple(range(order)))):
                corrections[j] += value / math.factorial(k) * weight
    return tuple(corrections)
