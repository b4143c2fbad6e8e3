"""Changes of coordinates that take a uniform grid to a uniform grid, and act on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import like, to_numpy
from ..errors import InvalidArgumentError
from ..grids import Grid
from ..metrics import MetricField
from ..tensors import pack


def permuted_grid(grid: Grid, order: Sequence[int]) -> Grid:
    """The grid with its axes in another order."""
    take = [int(a) for a in order]
    return Grid(
        tuple(grid.shape[a] for a in take),
        tuple(grid.lower[a] for a in take),
        tuple(grid.upper[a] for a in take),
        tuple(grid.periodic[a] for a in take),
    )


def permute(components: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Components (n, n, *shape) of the same tensor with the axes in another order."""
    n, take = len(order), [int(a) for a in order]
    mixed = components[np.ix_(take, take)]
    return np.transpose(mixed, (0, 1, *(2 + a for a in take))) if n > 1 else mixed


def translate(components: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Components moved by whole grid points along closed axes."""
    n = len(steps)
    return np.roll(
        components, tuple(steps), axis=tuple(range(components.ndim - n, components.ndim))
    )


def shear(components: np.ndarray, grid: Grid, axis: int, along: int) -> np.ndarray:
    """Pull back by x_along -> x_along + x_axis on a torus with equal sides and points.

    The map takes the torus to itself and grid points to grid points, so that nothing is
    interpolated; it mixes components and derivatives, which shows a lost cross term.

    Raises
    ------
    InvalidArgumentError
        If the grid has other symmetries than that: bounded, or uneven along the two axes.
    """
    same = grid.shape[axis] == grid.shape[along] and np.isclose(
        grid.lengths[axis], grid.lengths[along]
    )
    if not (grid.is_torus and same and axis != along):
        raise InvalidArgumentError(
            f"a shear of axis {along} by axis {axis} maps {grid} to itself only on a torus with "
            "equal sides and points along both"
        )
    n, points = grid.ndim, grid.shape[axis]
    index = np.indices(grid.shape)
    index[along] = (index[along] + index[axis]) % points
    moved = components[(slice(None), slice(None), *index)]
    jacobian = np.eye(n)
    jacobian[along, axis] = 1.0  # dy^along / dx^axis
    return np.einsum("ai,ab...,bj->ij...", jacobian, moved, jacobian)


def field_on(grid: Grid, components: np.ndarray, reference: MetricField) -> MetricField:
    """Components on a grid as a metric in the reference's array library and precision."""
    packed = like(np.ascontiguousarray(pack(components)), reference.packed)
    return MetricField.from_packed(grid, packed, check=False)


def components_of(metric: MetricField) -> np.ndarray:
    """Components in host memory."""
    return to_numpy(metric.components)
