"""Derivatives of fields on grids: compact central differences of any even order, and Fourier.

Along a periodic axis a field is padded by wrapping, at a mirror (``Grid.with_mirrors``) by
reflection, at other bounded ends by polynomial extrapolation of degree order + 1, which makes the
central stencils one-sided closures of the same order (both the first and the second derivative of
every polynomial of degree <= order + 1 are exact up to the ends, where the central stencil itself
is exact). One code path then serves all.

Second derivatives along one axis use the compact stencil, which damps the Nyquist mode;
mixed ones are products of first differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations_with_replacement
from typing import Any, Protocol, TypeAlias

import numpy as np

from .arrays import Array, device, like, namespace, require_real_floating, runs_on_cpu
from .errors import ShapeError
from .grids import Grid
from .weights import Order, central_weights, extrapolation_weights, half_width, validate_order

TileSlices: TypeAlias = tuple[slice, ...]

# Tiles of this many points keep the derivatives and the algebra of one tile in the cache of a
# CPU core while the cost of a call into the array library stays small beside its work.
_TILE_POINTS_CPU = 16384
# On an accelerator a tile must fill the device; memory is then the limit, not the cache.
_TILE_POINTS_DEVICE = 2**22


@cache
def nyquist_bounds(order: Order) -> tuple[float, float]:
    """Largest |symbol| of h D and of -h^2 D^2 over all wave numbers.

    They bound the spectral radius of the differences on a periodic axis: 1 and 4 at order 2,
    pi and pi^2 for Fourier derivatives.
    """
    if order == "fourier":
        return math.pi, math.pi**2
    theta = np.linspace(0.0, np.pi, 2001)
    first, second = symbols(theta, order)
    return float(np.max(np.abs(first))), float(np.max(second))


def symbols(theta: np.ndarray, order: Order) -> tuple[np.ndarray, np.ndarray]:
    """Symbols at theta = k h, the first s1 and the second s2: h D -> i s1, -h^2 D^2 -> s2."""
    if order == "fourier":
        # The derivative of the Nyquist mode is set to zero: only so is it real and skew.
        return np.where(np.abs(theta) > np.pi * (1 - 1e-12), 0.0, theta), theta**2
    w = half_width(order)
    one = [float(c) for c in central_weights(1, order)[w + 1 :]]
    two = [float(c) for c in central_weights(2, order)[w:]]
    first = sum(2 * c * np.sin((j + 1) * theta) for j, c in enumerate(one))
    second = -two[0] - sum(2 * c * np.cos((j + 1) * theta) for j, c in enumerate(two[1:]))
    return np.asarray(first), np.asarray(second)


def take(f: Array, axis: int, start: int, stop: int | None) -> Array:
    """View of the part of an array from start to stop along an axis."""
    return f[(*(slice(None),) * axis, slice(start, stop), ...)]


def pad(f: Array, grid: Grid, order: int) -> Array:
    """Field with ghost points: wrapped, reflected at mirrors, else extrapolated.

    Shapes: (c, *shape) -> (c, *(N_a + 2 half_width)). At mirrors c tells what the field is: see
    ``reflection_signs``.
    """
    xp = namespace(f)
    w = half_width(order)
    for axis, wraps in enumerate(grid.periodic, start=1):
        if wraps:
            low, high = take(f, axis, f.shape[axis] - w, None), take(f, axis, 0, w)
        else:
            low, high = (
                _mirrored(f, grid, axis, side, w)
                if (axis - 1, side) in grid.mirrors
                else _extrapolated(f, axis, side, w, order, xp)
                for side in (0, 1)
            )
        f = xp.concat([low, f, high], axis=axis)
    return f


def _extrapolated(f: Array, axis: int, side: int, w: int, order: int, xp: Any) -> Array:
    """Ghost points beyond an end by extrapolation through the order + 2 nearest points."""
    points, size = order + 2, f.shape[axis]
    ghosts = []
    for distance in range(1, w + 1):
        weights = [float(c) for c in extrapolation_weights(points, distance)]
        ghosts.append(
            sum(
                c * (take(f, axis, size - 1 - j, size - j) if side else take(f, axis, j, j + 1))
                for j, c in enumerate(weights)
            )
        )
    return xp.concat(ghosts if side else ghosts[::-1], axis=axis)


def _mirrored(f: Array, grid: Grid, axis: int, side: int, w: int) -> Array:
    """Ghost points beyond an end by reflection in the end point, which lies on the mirror."""
    size = f.shape[axis]
    inner = take(f, axis, size - 1 - w, size - 1) if side else take(f, axis, 1, w + 1)
    signs = reflection_signs(f.shape[0], grid.ndim, axis - 1)
    shaped = like(np.reshape(signs, (-1,) + (1,) * grid.ndim), f)
    return namespace(f).flip(inner, axis=axis) * shaped


@cache
def reflection_signs(count: int, n: int, axis: int) -> tuple[float, ...]:
    """Signs of the components under a reflection of an axis: -1 for each index equal to it.

    The number of components says what the field is: 1 a scalar, n a vector, n (n + 1) / 2 a
    packed symmetric tensor.
    """
    for rank in (0, 1, 2):
        indices = list(combinations_with_replacement(range(n), rank))
        if len(indices) == count:
            return tuple(float((-1) ** index.count(axis)) for index in indices)
    raise ShapeError(
        f"a field of {count} components has no known reflection in {n} dimensions; scalars (1), "
        f"vectors ({n}) and packed symmetric tensors ({n * (n + 1) // 2}) have"
    )


def difference(f: Array, axis: int, derivative: int, order: int, h: float) -> Array:
    """Central difference along an axis of a padded field; the padding of that axis is used up."""
    w = half_width(order)
    size = f.shape[axis] - 2 * w
    weights = [float(c) / h**derivative for c in central_weights(derivative, order)]
    acc = None if derivative == 1 else take(f, axis, w, w + size) * weights[w]
    for j in range(1, w + 1):
        right, left = take(f, axis, w + j, w + j + size), take(f, axis, w - j, w - j + size)
        term = right - left if derivative == 1 else right + left
        term *= weights[w + j]
        if acc is None:
            acc = term
        else:
            acc += term
    return acc


class LocalField(Protocol):
    """A field and its derivatives on a tile of the grid; arrays of shape (c, *tile)."""

    def value(self) -> Array:
        """The field itself."""

    def first(self, a: int) -> Array:
        """Derivative along axis a."""

    def second(self, a: int, b: int) -> Array:
        """Second derivative along axes a and b."""


class _DifferencedTile:
    """Finite differences on one tile of a padded field."""

    def __init__(self, padded: Array, tile: TileSlices, grid: Grid, order: int) -> None:
        self._w = half_width(order)
        self._order, self._spacing, self._n = order, grid.spacing, grid.ndim
        # The tile and the halo it needs.
        self._field = padded[(slice(None), *(slice(s.start, s.stop + 2 * self._w) for s in tile))]
        self._first: dict[int, Array] = {}
        self._padded_first: dict[int, Array] = {}

    def _trim(self, f: Array, axes: tuple[int, ...]) -> Array:
        """Cut the halo off along the given axes."""
        return f[
            (
                slice(None),
                *(slice(self._w, -self._w) if a in axes else slice(None) for a in range(self._n)),
            )
        ]

    def _others(self, *used: int) -> tuple[int, ...]:
        return tuple(a for a in range(self._n) if a not in used)

    def value(self) -> Array:
        return self._trim(self._field, self._others())

    def _first_with_halo(self, a: int) -> Array:
        """Derivative along a, the halo kept along later axes: mixed derivatives start from it."""
        if a not in self._padded_first:
            f = self._trim(self._field, tuple(range(a)))
            self._padded_first[a] = difference(f, a + 1, 1, self._order, self._spacing[a])
        return self._padded_first[a]

    def first(self, a: int) -> Array:
        if a not in self._first:
            xp = namespace(self._field)
            view = self._trim(self._first_with_halo(a), tuple(range(a + 1, self._n)))
            # Contiguous: this array is read many times by the algebra.
            self._first[a] = xp.asarray(view, copy=True) if a + 1 < self._n else view
        return self._first[a]

    def second(self, a: int, b: int) -> Array:
        a, b = min(a, b), max(a, b)
        if a == b:
            f = self._trim(self._field, self._others(a))
            return difference(f, a + 1, 2, self._order, self._spacing[a])
        f = self._trim(self._first_with_halo(a), tuple(c for c in self._others(b) if c > a))
        return difference(f, b + 1, 1, self._order, self._spacing[b])


class _FourierField:
    """Fourier derivatives on the whole torus."""

    def __init__(self, f: Array, grid: Grid) -> None:
        self._f, self._grid = f, grid
        self._xp = namespace(f)
        self._axes = tuple(range(1, grid.ndim + 1))
        self._hat = self._xp.fft.rfftn(f, axes=self._axes)
        self._first: dict[int, Array] = {}

    def _back(self, hat: Array) -> Array:
        return self._xp.fft.irfftn(hat, s=self._grid.shape, axes=self._axes)

    def _wavenumber(self, a: int, power: int) -> Array:
        """Factor of (i k_a)**power / i**power, shaped to broadcast along axis a."""
        return like_spectrum(_axis_symbol(self._grid, a, power, "fourier"), a, self._grid, self._f)

    def value(self) -> Array:
        return self._f

    def first(self, a: int) -> Array:
        if a not in self._first:
            self._first[a] = self._back(self._hat * self._wavenumber(a, 1) * 1j)
        return self._first[a]

    def second(self, a: int, b: int) -> Array:
        if a == b:
            return self._back(self._hat * (-self._wavenumber(a, 2)))
        factor = self._wavenumber(a, 1) * self._wavenumber(b, 1)
        return self._back(self._hat * (-factor))


def _axis_symbol(grid: Grid, axis: int, derivative: int, order: Order) -> np.ndarray:
    """k_a or k_a^2 as the differences see them, along one axis in real-FFT order."""
    size, h = grid.shape[axis], grid.spacing[axis]
    if axis == grid.ndim - 1:
        theta = 2 * np.pi * np.fft.rfftfreq(size)
    else:
        theta = 2 * np.pi * np.fft.fftfreq(size)
    return symbols(theta, order)[derivative - 1] / h**derivative


def like_spectrum(values: np.ndarray, axis: int, grid: Grid, reference: Array) -> Array:
    """Values along one spectral axis, shaped to broadcast against (c, *spectrum)."""
    shape = [1] * (grid.ndim + 1)
    shape[axis + 1] = len(values)
    return like(values.reshape(shape), reference)


def second_derivative_symbol(grid: Grid, order: Order, a: int, b: int) -> np.ndarray:
    """Symbol of -d_a d_b over the real-FFT spectrum of the grid, as the differences see it."""

    def along(axis: int, derivative: int) -> np.ndarray:
        shape = [1] * grid.ndim
        values = _axis_symbol(grid, axis, derivative, order)
        shape[axis] = len(values)
        return values.reshape(shape)

    if a == b:
        spectrum = grid.shape[:-1] + (grid.shape[-1] // 2 + 1,)
        return np.broadcast_to(along(a, 2), spectrum)
    return along(a, 1) * along(b, 1)


def dealias_mask(grid: Grid) -> np.ndarray:
    """1 where every |m_a| < N_a / 3, else 0, over the real-FFT spectrum: the 2/3 rule."""
    mask = np.ones(grid.shape[:-1] + (grid.shape[-1] // 2 + 1,))
    for axis, size in enumerate(grid.shape):
        last = axis == grid.ndim - 1
        m = np.abs((np.fft.rfftfreq if last else np.fft.fftfreq)(size, d=1.0 / size))
        shape = [1] * grid.ndim
        shape[axis] = len(m)
        mask = mask * (m < size / 3).reshape(shape)
    return mask


def dealias(f: Array, grid: Grid) -> Array:
    """The field without the upper third of its modes along every axis. Shape (c, *shape)."""
    xp = namespace(f)
    axes = tuple(range(f.ndim - grid.ndim, f.ndim))
    hat = xp.fft.rfftn(f, axes=axes) * like(dealias_mask(grid), f)
    return xp.fft.irfftn(hat, s=grid.shape, axes=axes)


class Differentiator:
    """Hands out local fields, tile by tile, for fields of shape (c, *grid.shape)."""

    def __init__(self, fields: tuple[Array, ...], grid: Grid, order: Order) -> None:
        order = validate_order(order)
        grid.require_stencil(order)
        self._grid, self._order = grid, order
        self._host = runs_on_cpu(fields[0])
        self._fields: list[Any] = (
            [_FourierField(f, grid) for f in fields]
            if order == "fourier"
            else [pad(f, grid, order) for f in fields]
        )

    def tiles(self) -> Iterator[tuple[TileSlices, tuple[LocalField, ...]]]:
        """The tiles, which cover the grid, each with its local fields."""
        if self._order == "fourier":
            yield tuple(slice(0, size) for size in self._grid.shape), tuple(self._fields)
            return
        points = _TILE_POINTS_CPU if self._host else _TILE_POINTS_DEVICE
        for tile in tile_slices(self._grid.shape, points):
            yield (
                tile,
                tuple(
                    _DifferencedTile(f, tile, self._grid, int(self._order)) for f in self._fields
                ),
            )


def tile_slices(shape: tuple[int, ...], points: int) -> Iterator[TileSlices]:
    """Slices that cut a grid into tiles of about so many points, along the first axes only.

    The last axis is never cut, so that memory is read in long runs.
    """
    rest = math.prod(shape[1:])
    rows = max(1, points // rest)
    for start in range(0, shape[0], rows):
        head = slice(start, min(start + rows, shape[0]))
        if len(shape) > 2 and rest > points:
            for tail in tile_slices(shape[1:], points):
                yield (head, *tail)
        else:
            yield (head, *(slice(0, size) for size in shape[1:]))


LocalFormula: TypeAlias = Callable[..., Sequence[Array]]
"""Takes one LocalField for each field and returns arrays over the tile."""


def evaluate(
    formula: LocalFormula, fields: tuple[Array, ...], grid: Grid, order: Order, count: int
) -> Array:
    """Apply a formula in the values and derivatives of fields all over the grid, tile by tile.

    ``formula`` returns ``count`` arrays over the tile; the result is (count, *shape). Working by
    tiles bounds the memory that derivatives and temporaries take.
    """
    reference = fields[0]
    out = namespace(*fields).empty(
        (count, *grid.shape), dtype=reference.dtype, device=device(reference)
    )
    for tile, local in Differentiator(fields, grid, order).tiles():
        for c, value in enumerate(formula(*local)):
            out[(c, *tile)] = value
    return out


def gradient(field: Array, grid: Grid, order: Order = 4) -> Array:
    """First derivatives d_a f of a field (..., *shape), as (n, ..., *shape)."""
    return _derivatives(field, grid, order, [(a,) for a in range(grid.ndim)])


def hessian(field: Array, grid: Grid, order: Order = 4) -> Array:
    """Second derivatives d_a d_b f of a field (..., *shape), as (n, n, ..., *shape).

    Compact stencils where a = b, products of first differences elsewhere.
    """
    n = grid.ndim
    flat = _derivatives(field, grid, order, [(a, b) for a in range(n) for b in range(n)])
    return namespace(field).reshape(flat, (n, n, *flat.shape[1:]))


def _derivatives(field: Array, grid: Grid, order: Order, which: list[tuple[int, ...]]) -> Array:
    xp = require_real_floating(field, "field")
    shape = tuple(field.shape)
    if shape[field.ndim - grid.ndim :] != grid.shape or field.ndim < grid.ndim:
        raise ShapeError(f"field of shape {shape} does not end with the grid's {grid.shape}")
    packed = xp.reshape(field, (-1, *grid.shape))
    count = packed.shape[0]

    def formula(local: LocalField) -> list[Array]:
        blocks = [local.first(*at) if len(at) == 1 else local.second(*at) for at in which]
        return [block[c, ...] for block in blocks for c in range(count)]

    flat = evaluate(formula, (packed,), grid, order, len(which) * count)
    return xp.reshape(flat, (len(which), *shape))
