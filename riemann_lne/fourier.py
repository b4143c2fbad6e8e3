"""Real fast Fourier transforms by the fastest library that takes the array.

``scipy.fft`` with several threads for NumPy arrays, ``cupyx.scipy.fft`` for CuPy arrays, the
array's own namespace for all others. The values are the same to rounding; the number of threads
does not change them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, TypeAlias

import array_api_compat
import numpy as np
import scipy

from .arrays import Array, device, like, namespace, writes
from .threads import thread_count

# Below this many points a transform is done before threads have started.
_THREADED_POINTS = 2**15
# Components of at least this many points are transformed back one by one: the transform of all
# at once would take a copy of all.
_LARGE_COMPONENT = 2**14
# Of planes that are transformed along their last axis at a time.
_PLANE_POINTS = 2**16
# All components of so many points are transformed at a time, on the host: calls take longest here.
_SMALL = 2**14


def workers() -> int:
    """Threads of a transform of a NumPy array.

    That of ``scipy.fft.set_workers`` where it is more than one, else `riemann_lne.threads`'.

    Examples
    --------
    >>> import scipy.fft
    >>> with scipy.fft.set_workers(3):
    ...     workers()
    3
    """
    chosen = int(scipy.fft.get_workers())
    return chosen if chosen != 1 else thread_count()


def library(f: Array) -> tuple[Any, dict[str, Any]]:
    """The module with the transforms for an array, and options for them."""
    if array_api_compat.is_numpy_array(f):
        threads = workers() if math.prod(f.shape) >= _THREADED_POINTS else 1
        return scipy.fft, {"workers": threads}
    if array_api_compat.is_cupy_array(f):
        return import_module("cupyx.scipy.fft"), {}
    return namespace(f).fft, {}


def rfftn(f: Array, ndim: int) -> Array:
    """Transform of a real field over its last ``ndim`` axes."""
    fft, options = library(f)
    return fft.rfftn(f, axes=tuple(range(f.ndim - ndim, f.ndim)), **options)


def irfftn(hat: Array, shape: tuple[int, ...]) -> Array:
    """The real field of a shape that has a given transform over its last axes."""
    fft, options = library(hat)
    n = len(shape)
    if hat.ndim == n + 1 and math.prod(shape) >= _LARGE_COMPONENT and writes(hat):
        axes = tuple(range(n))
        first = fft.irfftn(hat[0, ...], s=shape, axes=axes, **options)
        out = namespace(first).empty(
            (hat.shape[0], *shape), dtype=first.dtype, device=device(first)
        )
        out[0, ...] = first
        for c in range(1, hat.shape[0]):
            out[c, ...] = fft.irfftn(hat[c, ...], s=shape, axes=axes, **options)
        return out
    return fft.irfftn(hat, s=shape, axes=tuple(range(hat.ndim - n, hat.ndim)), **options)


def rfftn_into(out: Array, f: Array, ndim: int) -> None:
    """Put the transform of a real field, over its last ``ndim`` axes, into ``out``.

    No memory is taken for NumPy arrays, but that of a few planes.
    """
    fft, options = library(f)
    first = f.ndim - ndim
    if not isinstance(f, np.ndarray) or ndim < 2:
        out[...] = fft.rfftn(f, axes=tuple(range(first, f.ndim)), **options)
        return
    for part in _planes(f):
        out[part] = fft.rfft(f[part], axis=-1, **options)
    for axis in reversed(range(first, f.ndim - 1)):
        in_place(fft.fft, out, axis, options)


def irfftn_into(out: Array, hat: Array, ndim: int) -> None:
    """Put the real field that has a given transform, over its last ``ndim`` axes, into ``out``.

    The transform is used up: no memory is taken for NumPy arrays, but that of a few planes.
    """
    fft, options = library(hat)
    first = out.ndim - ndim
    if not isinstance(hat, np.ndarray) or ndim < 2:
        axes = tuple(range(first, out.ndim))
        out[...] = fft.irfftn(hat, s=out.shape[first:], axes=axes, **options)
        return
    for axis in range(first, out.ndim - 1):
        in_place(fft.ifft, hat, axis, options)
    for part in _planes(out):
        out[part] = fft.irfft(hat[part], n=out.shape[-1], axis=-1, **options)


def _planes(f: Array) -> Iterator[slice]:
    """Slices of the first axis."""
    count = max(1, _PLANE_POINTS * f.shape[0] // f.size)
    for start in range(0, f.shape[0], count):
        yield slice(start, start + count)


def in_place(transform: Any, hat: Array, axis: int, options: dict[str, Any]) -> None:
    """Transform along an axis.

    Axis by axis, forth from the last one and back from the first one: so do grids whose blocks
    several processes hold, and the values are the same to the last bit.
    """
    result = transform(hat, axis=axis, overwrite_x=True, **options)
    if not np.may_share_memory(result, hat):  # it may be overwritten, it need not
        hat[...] = result


Part: TypeAlias = int | slice
"""A component of a field, or several."""


class Transform:
    """Real transforms over a whole grid.

    Parameters
    ----------
    shape : tuple of int
        Of the grid.

    Attributes
    ----------
    spectrum : tuple of int
        Shape of a transform.
    part : tuple of slice
        Which part of the spectrum is held here: all of it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.spectrum = (*shape[:-1], shape[-1] // 2 + 1)
        self.part = tuple(slice(0, size) for size in self.spectrum)

    def parts(self, count: int) -> Sequence[Part]:
        """The components in the parts that one call transforms: on small grids all in one."""
        return [slice(0, count)] if count * math.prod(self.spectrum) <= _SMALL else range(count)

    def forth(self, out: Array, f: Array) -> None:
        """Put the transform of a field (..., *shape) into ``out``."""
        rfftn_into(out, f, len(self.spectrum))

    def back(self, out: Array, hat: Array) -> None:
        """Put the field (..., *shape) that has a transform, which is used up, into ``out``."""
        irfftn_into(out, hat, len(self.spectrum))


class AxisSpectrum:
    """The transform of a field along one axis, for its derivatives along that axis.

    Parameters
    ----------
    f : array
        The field.
    axis : int
        Which of the array's axes.
    length : float
        Period along it.
    """

    def __init__(self, f: Array, axis: int, length: float) -> None:
        fft, options = library(f)
        self._axis, self._size = axis, f.shape[axis]
        self._hat = fft.rfft(f, axis=axis, **options)
        self._reference = f
        self._k = 2 * np.pi / length * np.arange(self._size // 2 + 1)

    def derivative(self, power: int) -> Array:
        """First or second derivative: factors i k and -k^2.

        The first one of the highest mode of an even number of points is set to zero: only so is
        it real and the operator skew. The second one keeps it.
        """
        k = self._k.copy()
        if power == 1 and self._size % 2 == 0:
            k[-1] = 0.0
        shape = [1] * self._reference.ndim
        shape[self._axis] = -1
        factor = like((k if power == 1 else -(k**2)).reshape(shape), self._reference)
        hat = self._hat * factor
        if power == 1:
            hat *= 1j
        fft, options = library(hat)
        return fft.irfft(hat, n=self._size, axis=self._axis, **options)
