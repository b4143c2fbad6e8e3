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
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Protocol, TypeAlias

import numpy as np

from .arrays import (
    Array,
    device,
    like,
    namespace,
    require_real_floating,
    runs_on_cpu,
    writes,
)
from .coefficients import Order, central_weights, half_width, validate_order
from .errors import ShapeError
from .fourier import AxisSpectrum, irfftn, rfftn
from .ghosts import TileSlices, pad, padded_tile, reflection_signs, take
from .grids import Frame, Grid

__all__ = [
    "Differentiator",
    "LocalField",
    "TileSlices",
    "along",
    "dealias",
    "dealias_mask",
    "difference",
    "evaluate",
    "gradient",
    "hessian",
    "nyquist_bounds",
    "pad",
    "reflection_signs",
    "second_derivative_symbol",
    "symbols",
    "take",
    "tile_points",
    "tile_slices",
]

# Tiles of this many points (in double precision) keep the derivatives and the algebra of one tile
# in the cache of a CPU core while the cost of a call into the array library stays small beside its
# work.
_TILE_POINTS_CPU = 16384
# A periodic axis with no more points may be one of a symmetry, see ``_thin_axes``.
_THIN = 4
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
    """Finite differences on one tile of a field."""

    def __init__(self, value: Array, padded: Array, grid: Grid, order: int) -> None:
        self._w = half_width(order)
        self._order, self._spacing, self._n = order, grid.spacing, grid.ndim
        # The tile, and the tile with the halo it needs.
        self._value, self._field = value, padded
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
        return self._value

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


def along(
    f: Array,
    grid: Grid,
    axis: int,
    transform: Callable[[Array], Sequence[Array]],
    count: int,
    scale: Sequence[int] = (),
    factor: int = 1,
) -> Sequence[Array]:
    """The ``count`` results of a transform of a field (c, *shape) along an axis of a grid.

    On a block of a grid the axis is brought together first. The field has ``scale`` points along
    each axis for one of the grid; the results have ``factor`` along this axis for one of the field.
    """
    whole = grid.whole_axis(axis)
    if whole is None:
        return transform(f)
    found: list[Array] = whole(f, transform, count, scale or (1,) * grid.ndim, factor)
    return found


class _FourierFields:
    """A field on a torus with some of its Fourier derivatives: those that tiles cannot have.

    A tile is as long as the torus along all axes but the first one, and along those that other
    blocks share. The derivatives along these are made for all of the field.
    """

    def __init__(self, f: Array, grid: Grid) -> None:
        self.grid, self._f = grid, f
        shared = [a for a in range(grid.ndim) if grid.whole_axis(a) is not None]
        self.known: dict[tuple[int, ...], Array] = {}
        for a in sorted({0, *shared}):
            self.known[(a,)], self.known[a, a] = _fourier_derivatives(f, grid, a, (1, 2))
        for b in shared:
            for a in range(b):
                first = self.known.get((a,))
                if first is None:
                    (first,) = _fourier_derivatives(f, grid, a, (1,))
                (self.known[a, b],) = _fourier_derivatives(first, grid, b, (1,))

    def tile(self, rows: slice) -> _FourierTile:
        """The tile of some rows along the first axis."""
        known = {at: part[:, rows, ...] for at, part in self.known.items()}
        return _FourierTile(self._f[:, rows, ...], known, self.grid)


def _fourier_derivatives(
    f: Array, grid: Grid, axis: int, powers: tuple[int, ...]
) -> tuple[Array, ...]:
    """First or second derivatives of a field (c, *shape) along an axis."""

    def transform(part: Array) -> list[Array]:
        spectrum = AxisSpectrum(part, axis + 1, grid.lengths[axis])
        return [spectrum.derivative(power) for power in powers]

    if not writes(f):
        return tuple(along(f, grid, axis, transform, len(powers)))
    results = tuple(namespace(f).empty_like(f) for _ in powers)
    # One component at a time: no transform of the field is held in full.
    for c in range(f.shape[0]):
        parts = along(f[c : c + 1, ...], grid, axis, transform, len(powers))
        for result, part in zip(results, parts, strict=True):
            result[c : c + 1, ...] = part
    return results


class _FourierTile:
    """Fourier derivatives along one axis after another."""

    def __init__(self, value: Array, known: dict[tuple[int, ...], Array], grid: Grid) -> None:
        self._value, self._known, self._grid = value, known, grid
        self._spectra: dict[int, AxisSpectrum] = {}

    def _spectrum(self, axis: int) -> AxisSpectrum:
        """Transform of the field along an axis."""
        if axis not in self._spectra:
            length = self._grid.lengths[axis]
            self._spectra[axis] = AxisSpectrum(self._value, axis + 1, length)
        return self._spectra[axis]

    def value(self) -> Array:
        return self._value

    def first(self, a: int) -> Array:
        if (a,) not in self._known:
            self._known[(a,)] = self._spectrum(a).derivative(1)
        return self._known[(a,)]

    def second(self, a: int, b: int) -> Array:
        a, b = min(a, b), max(a, b)
        if (a, b) in self._known:
            return self._known[a, b]
        if a == b:
            return self._spectrum(a).derivative(2)
        return AxisSpectrum(self.first(a), b + 1, self._grid.lengths[b]).derivative(1)


def _axis_symbol(grid: Grid, axis: int, derivative: int, order: Order) -> np.ndarray:
    """k_a or k_a^2 as the differences see them, along one axis in real-FFT order."""
    size, h = grid.shape[axis], grid.spacing[axis]
    if axis == grid.ndim - 1:
        theta = 2 * np.pi * np.fft.rfftfreq(size)
    else:
        theta = 2 * np.pi * np.fft.fftfreq(size)
    return symbols(theta, order)[derivative - 1] / h**derivative


def second_derivative_symbol(
    grid: Grid, order: Order, a: int, b: int, part: TileSlices | None = None
) -> np.ndarray:
    """Symbol of -d_a d_b over the real-FFT spectrum of the grid, as the differences see it.

    Over a part of the spectrum, if one is given.
    """
    grid.require_whole("the symbol of a derivative")
    whole = (*grid.shape[:-1], grid.shape[-1] // 2 + 1)
    slices = tuple(slice(0, size) for size in whole) if part is None else part

    def along(axis: int, derivative: int) -> np.ndarray:
        shape = [1] * grid.ndim
        values = _axis_symbol(grid, axis, derivative, order)[slices[axis]]
        shape[axis] = len(values)
        return values.reshape(shape)

    if a == b:
        spectrum = tuple(
            len(range(*s.indices(size))) for s, size in zip(slices, whole, strict=True)
        )
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
    return irfftn(rfftn(f, grid.ndim) * like(dealias_mask(grid), f), grid.shape)


class Differentiator:
    """Hands out local fields, tile by tile, for fields of shape (c, *grid.shape)."""

    def __init__(self, fields: tuple[Array, ...], grid: Grid, order: Order) -> None:
        order = validate_order(order)
        grid.require_stencil(order)
        self._grid, self._order = grid, order
        self._points = tile_points(fields[0])
        self._fields = fields
        self._spectral = [_FourierFields(f, grid) for f in fields] if order == "fourier" else []

    def tiles(self) -> Iterator[tuple[TileSlices, tuple[LocalField, ...]]]:
        """The tiles, which cover the grid, each with its local fields."""
        shape, order = self._grid.shape, self._order
        if order == "fourier":
            # Cut along the first axis only, where the derivatives are there already.
            for (rows,) in tile_slices(shape[:1], self._points // math.prod(shape[1:])):
                rest = tuple(slice(0, size) for size in shape[1:])
                yield (rows, *rest), tuple(f.tile(rows) for f in self._spectral)
            return
        tiles = list(tile_slices(shape, self._points))
        frames: Sequence[Frame | None] = self._grid.frames(self._fields, int(order))
        if frames:
            # Those first that need nothing from other blocks: it is on its way meanwhile.
            tiles.sort(key=lambda tile: not self._inner(frames[0], tile))
        else:
            frames = [None] * len(self._fields)
        for tile in tiles:
            yield tile, tuple(self._local(f, frame, tile) for f, frame in zip(
                self._fields, frames, strict=True
            ))  # fmt: skip

    def _inner(self, frame: Any, tile: TileSlices) -> bool:
        w = half_width(int(self._order))
        return bool(frame.inner([s.start - w for s in tile], [s.stop + w for s in tile]))

    def _local(self, f: Array, frame: Any, tile: TileSlices) -> LocalField:
        order = int(self._order)
        if frame is None:
            padded = padded_tile(f, self._grid, order, tile)
        else:
            frame.poke()
            w = half_width(order)
            padded = frame.region([s.start - w for s in tile], [s.stop + w for s in tile])
        return _DifferencedTile(f[(slice(None), *tile)], padded, self._grid, order)


def _thin_axes(fields: tuple[Array, ...], grid: Grid, order: Order) -> list[int]:
    """Periodic axes of at most four points, fewer than a stencil has, along which no field changes.

    There all derivatives vanish, and few points are enough: a stationary metric needs no more than
    three along time. An axis with more points is meant to resolve something: it has to be long
    enough for the stencil.
    """
    if order == "fourier" or grid.whole is not grid:
        return []
    thin = [
        axis
        for axis, (size, wraps) in enumerate(zip(grid.shape, grid.periodic, strict=True))
        if wraps and size <= _THIN and size < 2 * half_width(order) + 1
    ]
    xp = namespace(*fields)
    constant = all(bool(xp.all(f == _first_row(f, [axis]))) for axis in thin for f in fields)
    return thin if constant else []


def _first_row(f: Array, axes: list[int]) -> Array:
    """The part of a field (c, *shape) at index 0 of some axes of the grid."""
    return f[(slice(None), *(slice(0, 1) if a in axes else slice(None) for a in range(f.ndim - 1)))]


def tile_points(reference: Array) -> int:
    """About how many points of the grid a tile of a field should have."""
    if not writes(reference):
        return sys.maxsize  # one tile: there is no array that tiles could be put into
    if not runs_on_cpu(reference):
        return _TILE_POINTS_DEVICE
    # The cache counts bytes.
    bits = namespace(reference).finfo(reference.dtype).bits
    return max(1, _TILE_POINTS_CPU * 64 // bits)


def tile_slices(shape: tuple[int, ...], points: int) -> Iterator[TileSlices]:
    """Slices that cut a grid into tiles of about ``points`` points, along the first axes only.

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
    formula: LocalFormula,
    fields: tuple[Array, ...],
    grid: Grid,
    order: Order,
    count: int,
    tensor: bool = True,
) -> Array:
    """Apply a formula in the values and derivatives of fields all over the grid, tile by tile.

    ``formula`` returns ``count`` arrays over the tile; the result is (count, *shape). Working by
    tiles bounds the memory that derivatives and temporaries take. With ``tensor`` one array is a
    scalar and n (n + 1) / 2 are a packed symmetric tensor, of which an atlas makes one field.
    """
    order = validate_order(order)
    pieces = grid.pieces()
    if pieces:
        parts = [
            evaluate(formula, tuple(f[:, rows, ...] for f in fields), patch, order, count)
            for rows, patch in pieces
        ]
        joined = namespace(*fields).concat(parts, axis=1)
        return grid.joined(joined) if tensor else joined
    thin = _thin_axes(fields, grid, order)
    if thin:
        wide = tuple(int(order) + 1 if a in thin else size for a, size in enumerate(grid.shape))
        xp = namespace(*fields)
        widened = [xp.broadcast_to(_first_row(f, thin), (f.shape[0], *wide)) for f in fields]
        result = evaluate(formula, tuple(widened), replace(grid, shape=wide), order, count)
        return result[(slice(None), *(slice(0, size) for size in grid.shape))]
    reference = fields[0]
    if not writes(reference):
        ((_, local),) = Differentiator(fields, grid, order).tiles()
        return namespace(*fields).stack(list(formula(*local)), axis=0)
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
        raise ShapeError(
            f"field of shape {shape} does not end with the grid's {grid.shape}; give that"
        )
    packed = xp.reshape(field, (-1, *grid.shape))
    count = packed.shape[0]

    def formula(local: LocalField) -> list[Array]:
        blocks = [local.first(*at) if len(at) == 1 else local.second(*at) for at in which]
        return [block[c, ...] for block in blocks for c in range(count)]

    flat = evaluate(formula, (packed,), grid, order, len(which) * count, tensor=False)
    return xp.reshape(flat, (len(which), *shape))
