"""Weights of Lagrange interpolation between points of equal spacing."""

from __future__ import annotations

from .arrays import Array, namespace


def lagrange(theta: Array, points: int) -> list[Array]:
    """Weights of the values at -points/2 + 1, ..., points/2 for theta in [0, 1]."""
    nodes = range(1 - points // 2, points // 2 + 1)
    xp = namespace(theta)
    result = []
    for j in nodes:
        scale = 1.0
        weight = xp.ones_like(theta)
        for m in nodes:
            if m != j:
                weight = weight * (theta - float(m))
                scale *= j - m
        result.append(weight * (1.0 / scale))
    return result
