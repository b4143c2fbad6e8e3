"""Smooth maps of a torus or box to itself, and the Ricci tensor of a function at their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..arrays import Array, namespace
from ..checks import count, numbers, shown
from ..coefficients import fd_weights, half_width
from ..curvature import ricci_tensor
from ..errors import InvalidArgumentError, ShapeError
from ..grids import Grid
from ..jets import MetricJet
from ..metrics import assemble
from ..tensors import pack, unpack
from .findings import require_grid


@dataclass(frozen=True)
class Diffeomorphism:
    """x_a -> x_a + sum of one wave, one to one on the torus, or on the box with its faces kept.

    Attributes
    ----------
    grid : Grid
        Sides and kind of the axes.
    waves : tuple of n tuples of n int
        Wave numbers of the shift of every coordinate.
    shifts : tuple of n float
        Phases.
    heights : tuple of n float
        In [-1, 1]; at 1 in every entry the map is about to fold.

    Raises
    ------
    DTypeError, InvalidArgumentError
        If ``grid`` is none, or entries are no finite numbers, or waves not whole.
    ShapeError
        If there is not one entry for every axis.
    """

    grid: Grid
    waves: tuple[tuple[int, ...], ...]
    shifts: tuple[float, ...]
    heights: tuple[float, ...]

    def __post_init__(self) -> None:
        require_grid(self.grid)
        try:
            rows = [tuple(row) for row in self.waves]
        except TypeError as error:
            raise InvalidArgumentError(
                f"waves = {shown(self.waves)}; give one row of whole numbers for every axis"
            ) from error
        waves = tuple(
            tuple(count(k, f"waves[{a}][{b}]", least=None) for b, k in enumerate(row))
            for a, row in enumerate(rows)
        )
        object.__setattr__(self, "waves", waves)
        for name in ("shifts", "heights"):
            object.__setattr__(self, name, tuple(numbers(getattr(self, name), name)))
        n = self.grid.ndim
        counts = (*(len(row) for row in self.waves), len(self.waves))
        if {*counts, len(self.shifts), len(self.heights)} != {n}:
            raise ShapeError(
                f"waves, shifts and heights have {len(self.waves)}, {len(self.shifts)} and "
                f"{len(self.heights)} entries; give {n} each on {self.grid}, and rows of {n} waves"
            )

    def __repr__(self) -> str:
        numbers = f"{self.waves!r}, {self.shifts!r}, {self.heights!r}"
        return f"riemann_lne.testing.Diffeomorphism(riemann_lne.{self.grid!r}, {numbers})"

    def __call__(self, *x: Array) -> list[Array]:
        """Images of points, n arrays."""
        return [xa + part[0] for xa, part in zip(x, self._parts(*x), strict=True)]

    def jacobian(self, *x: Array) -> Array:
        """J_ab = dy_a / dx_b, (n, n, *shape)."""
        xp = namespace(*x)
        n, rows = len(x), []
        for a, (_, slopes) in enumerate(self._parts(*x)):
            rows.append(xp.stack([slopes[b] + (1.0 if a == b else 0.0) for b in range(n)], axis=0))
        return xp.stack(rows, axis=0)

    def pull_back(self, metric: Callable[..., Array], *x: Array) -> Array:
        """(F^* g)(x) = J^T g(F(x)) J for ``metric(*coordinates) -> (n, n, *shape)``."""
        jacobian, g = self.jacobian(*x), metric(*self(*x))
        n = len(x)
        rows = [
            [
                sum(
                    jacobian[a, i, ...] * g[a, b, ...] * jacobian[b, j, ...]
                    for a in range(n)
                    for b in range(n)
                )
                for j in range(n)
            ]
            for i in range(n)
        ]
        xp = namespace(*x)
        return xp.stack([xp.stack(row, axis=0) for row in rows], axis=0)

    def _parts(self, *x: Array) -> list[tuple[Array, list[Array]]]:
        """Shift of every coordinate and its derivatives."""
        xp, grid, n = namespace(*x), self.grid, len(x)
        per = [2 * np.pi / side for side in grid.lengths]
        angles = [(xa - low) * p for xa, low, p in zip(x, grid.lower, per, strict=True)]
        edge, edge_slopes = xp.ones_like(x[0]), [xp.zeros_like(x[0]) for _ in range(n)]
        for b in range(n):
            if not grid.periodic[b]:
                sine, cosine = xp.sin(angles[b] / 2), xp.cos(angles[b] / 2)
                for c in range(n):
                    edge_slopes[c] = edge_slopes[c] * sine**2
                edge_slopes[b] = edge_slopes[b] + edge * sine * cosine * per[b]
                edge = edge * sine**2
        result = []
        for a in range(n):
            m = self.waves[a]
            steepest = max(abs(k) * p for k, p in zip(m, per, strict=True)) + max(per)
            height = 0.9 * self.heights[a] / (n * steepest)
            angle: Any = self.shifts[a]
            for k, phase in zip(m, angles, strict=True):
                angle = angle + float(k) * phase
            wave, slope = xp.sin(angle), xp.cos(angle)
            slopes = [
                height * (float(m[b]) * per[b] * slope * edge + wave * edge_slopes[b])
                for b in range(n)
            ]
            result.append((height * wave * edge, slopes))
        return result


def moderate_map(grid: Grid) -> Diffeomorphism:
    """A map of a torus that mixes all coordinates, with shifts that a coarse grid resolves."""
    n = grid.ndim
    # Coordinate a moves with a wave along the next axis and, in opposite phase, its own.
    waves = tuple(tuple(int(b in (a, (a + 1) % n)) for b in range(n)) for a in range(n))
    return Diffeomorphism(grid, waves, tuple(0.7 * a for a in range(n)), (0.4,) * n)


class SampledField:
    """A symmetric tensor given as a function, with central differences at any points of a torus.

    A ``LocalField``: packed components at points y (n arrays), differences of an even order from
    values at y + j h. The function is asked inside the torus only.
    """

    def __init__(
        self, function: Callable[..., Any], grid: Grid, points: list[Array], step: float, order: int
    ) -> None:
        self._function, self._grid, self._points = function, grid, points
        # In units of the grid's spacing, so that the differences have its error.
        self._steps = [step * h for h in grid.spacing]
        w = half_width(order)
        self._offsets = tuple(range(-w, w + 1))

    def value(self) -> Array:
        return self._at({})

    def first(self, a: int) -> Array:
        weights = self._weights(1)
        return sum(w * self._at({a: j}) for j, w in weights) / self._steps[a]

    def second(self, a: int, b: int) -> Array:
        scale = self._steps[a] * self._steps[b]
        if a == b:
            return sum(w * self._at({a: j}) for j, w in self._weights(2)) / scale
        pairs = product(self._weights(1), repeat=2)
        return sum(v * w * self._at({a: i, b: j}) for (i, v), (j, w) in pairs) / scale

    def _weights(self, derivative: int) -> list[tuple[int, float]]:
        weights = fd_weights(derivative, self._offsets)
        return [(j, float(w)) for j, w in zip(self._offsets, weights, strict=True) if w]

    def _at(self, offset: dict[int, int]) -> Array:
        grid = self._grid
        moved = [y + offset.get(a, 0) * self._steps[a] for a, y in enumerate(self._points)]
        inside = [
            low + (y - low) % side
            for y, low, side in zip(moved, grid.lower, grid.lengths, strict=True)
        ]
        return pack(assemble(self._function(*inside), inside[0], grid))


def ricci_at(
    function: Callable[..., Any], grid: Grid, points: list[Array], step: float, order: int
) -> Array:
    """Ricci tensor (n, n, *shape) at any points of a torus, of a metric given as a function."""
    jet = MetricJet(SampledField(function, grid, points, step, order), grid.ndim)
    tensor = ricci_tensor(jet)
    return unpack(namespace(tensor[0]).stack(tensor, axis=0), grid.ndim)
