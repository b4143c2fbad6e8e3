"""Fourier transforms of fields whose blocks several processes hold.

Slabs across the first axis are transformed along all other axes, then turned over by one Alltoall
to slabs across the second axis, in which the first is whole. The transforms are those of the core,
axis by axis in the same sequence, so that the values are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from riemann_lne.arrays import Array, like, to_numpy
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.fourier import in_place, library

from .layouts import extent, slabs

if TYPE_CHECKING:
    from .grids import BlockGrid


class BlockTransform:
    """Real transforms over a shared grid; see ``riemann_lne.fourier.Transform``.

    Attributes
    ----------
    spectrum : tuple of int
        Shape of the part of the spectrum that this process holds.
    part : tuple of slice
        Where it lies in the whole spectrum.
    """

    def __init__(self, grid: BlockGrid) -> None:
        whole, layout, team = grid._parts
        if whole.ndim < 2:
            raise InvalidArgumentError(
                f"transforms over blocks need at least two axes; {grid!r} has one"
            )
        self._grid, self._size = grid, whole.shape[-1]
        full = (*whole.shape[:-1], whole.shape[-1] // 2 + 1)
        self._blocks = layout.boxes()
        self._rows = (
            self._blocks
            if all(d == 1 for d in layout.dims[1:])
            else slabs(whole.shape, team.size, 0)
        )
        self._row_spectra = [(box[0], *((0, n) for n in full[1:])) for box in self._rows]
        self._columns = slabs(full, team.size, 1)
        mine = self._columns[team.rank]
        self._rank = team.rank
        self.spectrum = extent(mine)
        self.part = tuple(slice(a, b) for a, b in mine)

    def parts(self, count: int) -> Sequence[int]:
        """The components in the parts that one call transforms: each on its own."""
        return range(count)

    def forth(self, out: Array, f: Array) -> None:
        """Put the part of the transform of a field that is held here into ``out``."""
        host = to_numpy(f)
        rows = self._grid.move(self._blocks, self._rows, 1, host.dtype)(host[None])[0]
        _, options = library(rows)
        shape = extent(self._row_spectra[self._rank])
        kind = np.complex64 if rows.dtype.itemsize == 4 else np.complex128
        hat = np.empty(shape, kind)
        if hat.size:
            hat[...] = scipy.fft.rfft(rows, axis=-1, **options)
            for axis in reversed(range(1, rows.ndim - 1)):
                in_place(scipy.fft.fft, hat, axis, options)
        turned = self._grid.move(self._row_spectra, self._columns, 1, kind)(hat[None])[0]
        if turned.size:
            in_place(scipy.fft.fft, turned, 0, options)
        out[...] = turned if isinstance(out, np.ndarray) else like(turned, out)

    def back(self, out: Array, hat: Array) -> None:
        """Put the block of the field that has a transform, which is used up, into ``out``."""
        host = np.ascontiguousarray(to_numpy(hat))
        _, options = library(host)
        if host.size:
            in_place(scipy.fft.ifft, host, 0, options)
        turned = self._grid.move(self._columns, self._row_spectra, 1, host.dtype)(host[None])[0]
        real = np.float32 if host.dtype.itemsize == 8 else np.float64
        rows = np.empty(extent(self._rows[self._rank]), real)
        if rows.size:
            for axis in range(1, rows.ndim - 1):
                in_place(scipy.fft.ifft, turned, axis, options)
            rows[...] = scipy.fft.irfft(turned, n=self._size, axis=-1, **options)
        block = self._grid.move(self._rows, self._blocks, 1, rows.dtype)(rows[None])[0]
        out[...] = block if isinstance(out, np.ndarray) else like(block, out)
