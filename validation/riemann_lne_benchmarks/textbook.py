"""The right-hand side as one would first write it: the plainest of the versions compared."""

from __future__ import annotations

import numpy as np

from riemann_lne import Grid


def textbook_right_hand_side(g: np.ndarray, grid: Grid) -> np.ndarray:
    """Ricci-DeTurck right-hand side as one would first write it: einsum, roll, linalg.inv.

    g^ab d_a d_b g_ij plus the quadratic terms in the order of the index formula; order 4.
    """
    n = grid.ndim
    axes = tuple(range(-n, 0))

    def first(f: np.ndarray, a: int) -> np.ndarray:
        axis, h = axes[a], grid.spacing[a]
        near = np.roll(f, -1, axis) - np.roll(f, 1, axis)
        far = np.roll(f, -2, axis) - np.roll(f, 2, axis)
        return (8 * near - far) / (12 * h)

    def second(f: np.ndarray, a: int) -> np.ndarray:
        axis, h = axes[a], grid.spacing[a]
        near = np.roll(f, -1, axis) + np.roll(f, 1, axis)
        far = np.roll(f, -2, axis) + np.roll(f, 2, axis)
        return (16 * near - far - 30 * f) / (12 * h**2)

    inverse = np.moveaxis(np.linalg.inv(np.moveaxis(g, (0, 1), (-2, -1))), (-2, -1), (0, 1))
    d = np.stack([first(g, a) for a in range(n)])
    dd = np.stack(
        [np.stack([second(g, a) if a == b else first(d[a], b) for b in range(n)]) for a in range(n)]
    )
    gg = "ab...,pq...,"
    return (
        np.einsum("ab...,abij...->ij...", inverse, dd)
        + 0.5 * np.einsum(gg + "ipa...,jqb...->ij...", inverse, inverse, d, d, optimize=True)
        + np.einsum(gg + "ajp...,qib...->ij...", inverse, inverse, d, d, optimize=True)
        - np.einsum(gg + "ajp...,biq...->ij...", inverse, inverse, d, d, optimize=True)
        - np.einsum(gg + "jpa...,biq...->ij...", inverse, inverse, d, d, optimize=True)
        - np.einsum(gg + "ipa...,bjq...->ij...", inverse, inverse, d, d, optimize=True)
    )
