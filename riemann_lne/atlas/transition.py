"""The transition between two stereographic patches: which points move, and how the others follow.

The patches have the coordinates x and y = x / |x|^2, each on the same cube. Points of a patch with
|x| <= reach move by themselves: their stencils lie in the cube. All other points, the fringe,
take their values from the other patch, by Lagrange interpolation between points that move there.

In the orthonormal frame e_i = (1 + |x|^2) / 2 d_i of the round metric the components of a tensor
are smooth over the whole sphere, and the transition is a reflection,

    h_ab(x) = H_ac H_bd h_cd(y),   H = 1 - 2 x x^T / |x|^2.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import scipy

from ..arrays import Array, like, namespace, put
from ..coefficients import half_width
from ..grids import Grid
from ..interpolation import lagrange
from ..tensors import pairs


def reach(half_width_of_cube: float, points: int, order: int) -> float:
    """The radius up to which points of a patch move: their stencils lie in the cube."""
    return half_width_of_cube * (1 - 2 * half_width(order) / (points - 1))


def enough_points(n: int, half_width_of_cube: float, order: int) -> int | None:
    """Points along an axis with which the overlap is wide enough; None for a cube too small.

    With a = 2 / (points - 1), moving points reach to L (1 - w a), and the interpolation for a point
    just beyond uses points within 1 / reach + sqrt(n) (order + 2) a L / 2.
    """
    if not half_width_of_cube > 1:
        return None
    w, c = half_width(order), math.sqrt(n) * (order + 2) / 2
    # (1 - w a) (1 - (w + c) a) = 1 / L^2
    total, squared = 2 * w + c, w * (w + c)
    gap = 1 - half_width_of_cube**-2
    a = 2 * gap / (total + math.sqrt(total**2 - 4 * squared * gap))
    return math.ceil(2 / a) + 1


class Transition:
    """The transition between two patches on one cube.

    Parameters
    ----------
    patch : Grid
        The cube [-L, L]^n with its points.
    order : int
        Of the differences; the interpolation is through order + 2 points along each axis.
    radius : float, optional
        Up to which points move; by default those whose stencils lie in the cube.

    Attributes
    ----------
    reach : float
        That radius.
    moving : ndarray of bool, the patch's shape
        The points that move.
    """

    def __init__(self, patch: Grid, order: int, radius: float | None = None) -> None:
        self.patch, self.order, self.n = patch, order, patch.ndim
        inside = reach(patch.upper[0], patch.shape[0], order)
        self.reach = inside if radius is None else radius
        self.radius2: np.ndarray = np.asarray(sum(x * x for x in patch.coordinates()))
        self.moving = self.radius2 <= self.reach**2 * (1 + 1e-12)

    @cached_property
    def fringe(self) -> np.ndarray:
        """Flat indices of the points that follow."""
        return np.flatnonzero(~self.moving)

    @cached_property
    def _cells(self) -> tuple[np.ndarray, np.ndarray]:
        """For each fringe point the cell of its image y: (n, F), and the place in it."""
        x = np.stack([c.ravel()[self.fringe] for c in self.patch.coordinates()])
        y = x / np.sum(x * x, axis=0)
        place = (y - self.patch.lower[0]) / self.patch.spacing[0]
        cell = np.floor(place)
        return cell.astype(np.int64), place - cell

    def excess(self) -> float:
        """By how much the interpolation uses points beyond the reach; at most 0 if it does not."""
        cell, _ = self._cells
        half = (self.order + 2) // 2
        low, h = self.patch.lower[0], self.patch.spacing[0]
        ends = [np.abs(low + h * (cell + offset)) for offset in (1 - half, half)]
        farthest = np.sqrt(np.sum(np.maximum(*ends) ** 2, axis=0))
        return float(np.max(farthest)) - self.reach * (1 + 1e-12)

    @cached_property
    def _stencils(self) -> tuple[np.ndarray, np.ndarray]:
        """Flat indices of the points of each interpolation, and their weights: (K, F) each."""
        cell, theta = self._cells
        shape, points = self.patch.shape, self.order + 2
        weights = [lagrange(theta[a], points) for a in range(self.n)]
        corner = cell + (1 - points // 2)
        indices, products = [], []
        for offset in product(range(points), repeat=self.n):
            at = tuple(corner[a] + offset[a] for a in range(self.n))
            indices.append(np.ravel_multi_index(at, shape))
            products.append(np.prod([weights[a][offset[a]] for a in range(self.n)], axis=0))
        return np.stack(indices), np.stack(products)

    @cached_property
    def _turned(self) -> np.ndarray:
        """Packed components at x from those at y in the frame: (m, m, F)."""
        x = np.stack([c.ravel()[self.fringe] for c in self.patch.coordinates()])
        r2 = np.sum(x * x, axis=0)
        turn = np.eye(self.n)[:, :, None] - 2 * x[:, None] * x[None] / r2
        every = pairs(self.n)
        result = np.empty((len(every), len(every), len(r2)))
        for row, (a, b) in enumerate(every):
            for column, (c, d) in enumerate(every):
                part = turn[a, c] * turn[b, d]
                result[row, column] = part if c == d else part + turn[a, d] * turn[b, c]
        return result * (2 / (1 + r2)) ** 2

    @cached_property
    def _matrix(self) -> Any:
        """The interpolation as a sparse matrix, (F, points of a patch)."""
        indices, weights = self._stencils
        count = indices.shape[1]
        starts = np.arange(count + 1) * len(indices)
        return scipy.sparse.csr_matrix(
            (weights.T.ravel(), indices.T.ravel(), starts), (count, self.patch.size)
        )

    def _interpolated(self, flat: Array) -> Array:
        """(c, points of a patch) -> (c, F), by the sparse matrix or, elsewhere, point by point."""
        if isinstance(flat, np.ndarray):
            return (self._matrix @ flat.T).T
        xp = namespace(flat)
        result: Any = 0.0
        for at, weight in zip(*self._stencils, strict=True):
            result = result + xp.take(flat, xp.asarray(at), axis=1) * like(weight, flat)
        return result

    def followed(self, values: Array) -> list[Array]:
        """The values in the fringe of each patch by the other one: two arrays (c, F).

        ``values`` is (c, 2 N, N, ...), one patch after the other: a scalar with c = 1, or a packed
        symmetric tensor in coordinates.
        """
        xp = namespace(values)
        both = xp.reshape(values, (values.shape[0], 2, self.patch.size))
        if values.shape[0] == 1:
            return [self._interpolated(both[:, 1 - patch, :]) for patch in (0, 1)]
        to_frame = like(((1 + self.radius2.ravel()) / 2) ** 2, values)
        turn = like(self._turned, values)
        result = []
        for patch in (0, 1):
            inner = self._interpolated(both[:, 1 - patch, :] * to_frame)
            result.append(xp.sum(turn * inner[None, ...], axis=1))
        return result

    def fill(self, values: Array) -> Array:
        """The field with its fringe made to follow; the one given is used up."""
        xp = namespace(values)
        both = xp.reshape(values, (values.shape[0], 2, self.patch.size))
        at = xp.asarray(self.fringe)
        for patch, followed in enumerate(self.followed(values)):
            both = put(both, (slice(None), patch, at), followed)
        return xp.reshape(both, tuple(values.shape))

    def moving_part(self, packed: Array) -> Array:
        """The tensor with the value of one moving point in all of the fringe."""
        xp, size = namespace(packed), self.patch.shape[0]
        moving = xp.asarray(np.concatenate([self.moving, self.moving]))
        centre = (slice(None), *(slice(size // 2, size // 2 + 1),) * self.n)
        return xp.where(moving[None, ...], packed, packed[centre])
