"""Second-order terms and gradients from values alone, by differences with Richardson's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Divergence = Callable[[np.ndarray, np.ndarray], Any]


def central_second_order(divergence: Divergence, x: np.ndarray, h: float) -> np.ndarray:
    """G of D[x + d : x] = d^T G d / 2 + O(|d|^3) by central differences of step h, O(h^2).

    Entries off the diagonal come by polarisation. The unit of G is that of D over d^2.
    """
    n = len(x)

    def even(d: np.ndarray) -> float:
        return float(divergence(x + d, x) + divergence(x - d, x)) / h**2

    eye = h * np.eye(n)
    along = [even(eye[i]) for i in range(n)]
    result = np.diag(along)
    for i in range(n):
        for j in range(i):
            result[i, j] = result[j, i] = (even(eye[i] + eye[j]) - along[i] - along[j]) / 2
    return result


def second_order_term(divergence: Divergence, x: np.ndarray, h: float) -> np.ndarray:
    """The same to order h^6, by two Richardson steps."""
    return richardson(*(central_second_order(divergence, x, step) for step in (h, h / 2, h / 4)))


def central_gradient(value: Callable[[np.ndarray], Any], x: np.ndarray, h: float) -> np.ndarray:
    """Gradient by central differences of steps h x_i, relative to each coordinate, O(h^2)."""
    steps = np.diag(h * x)
    return np.array([float(value(x + d) - value(x - d)) for d in steps]) / (2 * np.diag(steps))


def gradient(value: Callable[[np.ndarray], Any], x: np.ndarray, h: float) -> np.ndarray:
    """The same to order h^6."""
    return richardson(*(central_gradient(value, x, step) for step in (h, h / 2, h / 4)))


def richardson(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Limit of a quantity that is even in its step, from steps h, h/2 and h/4, to order h^6."""
    ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * bc - ab) / 15
