"""Uniform grids: every axis periodic (a torus), bounded (a box), or a mixture of both."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from .arrays import Array, like, namespace, require_finite, require_supported
from .checks import count, flag, number, shown
from .coefficients import Order, half_width, quadrature_end_corrections, validate_order
from .errors import DTypeError, GridTooSmallError, InvalidArgumentError, ShapeError
from .finite import finite_result
from .team import ALONE, Team

_MAX_DIMENSION = 4
_MOST_POINTS = 2**40
_SMALLEST_STEP = 1e-150
# In units in the last place of the coordinates: fewer, and differences of them lose all digits.
_FEWEST_ULPS = 4


@dataclass(frozen=True)
class Grid:
    """Uniform tensor-product grid of dimension 1 to 4.

    A periodic axis of N points over [a, b) has the points a + i (b - a) / N; a bounded axis has
    both end points, a + i (b - a) / (N - 1).

    Parameters
    ----------
    shape : tuple of int
        Points along each axis.
    lower, upper : tuple of float
        Ends of each axis, in the user's length unit.
    periodic : tuple of bool
        Whether the axis closes on itself.
    mirrors : set of (axis, side), side 0 for lower and 1 for upper
        Ends of bounded axes across which differences continue fields by reflection; see
        ``with_mirrors``. Grids that differ in this alone are equal: they have the same points.

    Raises
    ------
    InvalidArgumentError
        If an end is not finite, upper <= lower, the dimension is not 1 to 4, points lie too close
        together for double precision, there are more than 2**40, a count is not a whole number or
        ``periodic`` not made of True and False.
    ShapeError
        If the arguments differ in length.
    GridTooSmallError
        If an axis has fewer than two points.

    Examples
    --------
    >>> grid = Grid.torus((8, 4), lengths=(1.0, 2.0))
    >>> grid.spacing
    (0.125, 0.5)
    >>> Grid.box(0.0, 1.0, (5,)).axes()[0].tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """

    shape: tuple[int, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    periodic: tuple[bool, ...]
    mirrors: frozenset[tuple[int, int]] = field(default=frozenset(), compare=False, repr=False)

    def __post_init__(self) -> None:
        shape = _as_tuple("shape", self.shape, _points, None)
        n = len(shape)
        if not 1 <= n <= _MAX_DIMENSION:
            raise InvalidArgumentError(f"a grid has 1 to {_MAX_DIMENSION} axes, got shape {shape}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "lower", _as_tuple("lower", self.lower, _end, n))
        object.__setattr__(self, "upper", _as_tuple("upper", self.upper, _end, n))
        object.__setattr__(self, "periodic", _as_tuple("periodic", self.periodic, flag, n))
        ends = zip(shape, self.lower, self.upper, self.periodic, strict=True)
        for axis, (size, low, high, wraps) in enumerate(ends):
            _require_axis(axis, size, low, high, wraps)
        if math.prod(shape) > _MOST_POINTS:
            raise InvalidArgumentError(
                f"a grid of shape {shape} has more than 2**{_MOST_POINTS.bit_length() - 1} points, "
                "of which no computer holds a metric; take fewer"
            )
        object.__setattr__(self, "mirrors", self._faces(self.mirrors))

    @classmethod
    def torus(
        cls,
        shape: int | Sequence[int],
        lengths: float | Sequence[float] = 2 * math.pi,
        origin: float | Sequence[float] = 0.0,
    ) -> Grid:
        """Periodic grid; a single length or origin holds for every axis."""
        shape = _as_tuple("shape", shape, _points, None)
        n = len(shape)
        sides = _as_tuple("lengths", lengths, _end, n)
        low = _as_tuple("origin", origin, _end, n)
        high = tuple(a + side for a, side in zip(low, sides, strict=True))
        return cls(shape, low, high, (True,) * n)

    @classmethod
    def box(
        cls,
        lower: float | Sequence[float],
        upper: float | Sequence[float],
        shape: int | Sequence[int],
    ) -> Grid:
        """Bounded grid that holds its end points; single ends hold for every axis."""
        shape = _as_tuple("shape", shape, _points, None)
        n = len(shape)
        return cls(
            shape,
            _as_tuple("lower", lower, _end, n),
            _as_tuple("upper", upper, _end, n),
            (False,) * n,
        )

    def with_mirrors(self, faces: Iterable[tuple[int, int]]) -> Grid:
        """The same points, with reflection at the given (axis, side) in place of closures.

        Differences then see scalars continued evenly through the end point, the components of a
        vector or a symmetric tensor with the sign (-1)^(number of indices equal to the axis).

        Raises
        ------
        InvalidArgumentError
            If a face is not an end of a bounded axis.

        Examples
        --------
        >>> Grid.box(0.0, 1.0, (5, 5)).with_mirrors([(0, 1)]).mirrors
        frozenset({(0, 1)})
        """
        return replace(self, mirrors=self._faces(faces))

    def _faces(self, faces: Iterable[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        """The faces as a set of pairs of ints, after checking that each is one."""
        try:
            pairs = [tuple(face) for face in faces]
        except TypeError as error:
            raise InvalidArgumentError(
                f"mirrors = {shown(faces)}; give pairs (axis, 0 or 1)"
            ) from error
        chosen = []
        for face in pairs:
            values = [count(v, "an entry of mirrors") for v in face]
            if (
                len(values) != 2
                or not (values[0] < self.ndim and values[1] < 2)
                or (self.periodic[values[0]])
            ):
                raise InvalidArgumentError(
                    f"{face} is no face of this grid: give (axis, 0 or 1) with a bounded axis; "
                    f"periodic is {self.periodic}"
                )
            chosen.append((values[0], values[1]))
        return frozenset(chosen)

    @property
    def ndim(self) -> int:
        """Dimension of the grid, the n of an n-by-n metric on it."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of grid points."""
        return math.prod(self.shape)

    @cached_property
    def lengths(self) -> tuple[float, ...]:
        """Extent of every axis."""
        return tuple(b - a for a, b in zip(self.lower, self.upper, strict=True))

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring points along every axis."""
        return tuple(
            length / (size if wraps else size - 1)
            for length, size, wraps in zip(self.lengths, self.shape, self.periodic, strict=True)
        )

    @property
    def is_torus(self) -> bool:
        """Whether every axis is periodic."""
        return all(self.periodic)

    # ---- what a block of a larger grid answers differently ------------------------------------

    @property
    def team(self) -> Team:
        """The processes that hold the blocks of the grid."""
        return ALONE

    @property
    def whole(self) -> Grid:
        """The grid that this one is a block of: itself, unless processes share it."""
        return self

    def touches(self, axis: int, side: int) -> bool:
        """Whether an end of the whole grid's axis, side 0 or 1, is an end of this block."""
        return True

    def open_axes(self) -> tuple[bool, ...]:
        """Along which axes a field needs ghost points: all that do not close on themselves."""
        return tuple(not wraps for wraps in self.periodic)

    def frames(self, fields: Sequence[Array], order: int) -> list[Frame]:
        """Surroundings of fields (c, *shape) of a block, which travel together.

        Empty on a whole grid.
        """
        return []

    def apart(self) -> Grid:
        """The block as a grid of its own to reductions: they stay on this process."""
        return self

    def require_whole(self, what: str, instead: str = "") -> None:
        """Raise InvalidArgumentError on a block of a larger grid, for what needs all of it.

        ``instead`` is what to do there; by default to gather the metric.
        """

    def pieces(self) -> Sequence[tuple[slice, Grid]]:
        """The rows and grids of the patches of an atlas; none where there is one chart."""
        return ()

    def joined(self, values: Array) -> Array:
        """A scalar (1, *shape) or packed tensor as computed on each patch, one field of an atlas.

        The values that are given may be used up.
        """
        return values

    def require_one_chart(self, what: str, instead: str = "") -> None:
        """Raise InvalidArgumentError on an atlas, for what follows coordinates.

        ``instead`` is what to do there; by default to take one of the patches.
        """

    def require_torus(self, what: str) -> None:
        """Raise InvalidArgumentError unless every axis is periodic."""
        if not self.is_torus:
            raise InvalidArgumentError(
                f"{what} is computed on tori; {self!r} has bounded axes: give a periodic one"
            )

    def checksum(self, values: np.ndarray) -> int:
        """CRC-32 of the bytes of a field, that of all blocks together."""
        return zlib.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)

    def total(self, values: Array, order: int | None = None) -> Array:
        """Sum over the whole grid of values (..., *shape), axis by axis from the last one.

        With an order, weighted by the quadrature of that order. The sequence of additions is fixed,
        so that the sum is the same to the last bit however the grid is cut into blocks.
        """
        weights = None if order is None else self.quadrature_weights(order)
        return summed(values, weights, range(self.ndim))

    def first(self) -> tuple[int, ...]:
        """Index of the block's first point on the whole grid."""
        return (0,) * self.ndim

    def on_whole(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """The index on the whole grid of a point of the block."""
        return tuple(i + a for i, a in zip(index, self.first(), strict=True))

    def whole_axis(self, axis: int) -> Any:
        """Transforms along an axis of which the block has a part; None where it has all of it."""
        return None

    def around(
        self,
        field: Array,
        lowest: Sequence[float],
        highest: Sequence[float],
        points: int,
        factor: int,
    ) -> tuple[Array, tuple[int, ...]] | None:
        """Points outside a block that interpolation needs; None on a whole grid."""
        return None

    def transform(self) -> Any:
        """Fourier transforms over the blocks of a grid; None for the usual ones of a whole grid."""
        return None

    def mean(self, values: Array) -> Array:
        """Mean over the points of the whole grid, (..., *shape) -> (...)."""
        return self.total(values) / self.whole.size

    # -------------------------------------------------------------------------------------------

    def axes(self) -> tuple[np.ndarray, ...]:
        """Coordinates along every axis, each a NumPy array of shape (N_a,)."""
        return tuple(
            low + step * np.arange(size)
            for low, step, size in zip(self.lower, self.spacing, self.shape, strict=True)
        )

    def coordinates(self, xp: Any = np, dtype: Any = None, device: Any = None) -> tuple[Array, ...]:
        """Coordinates of all points: ndim arrays of the grid's shape ("ij" order).

        ``xp`` is the array namespace wanted (``numpy``, ``torch``, ``cupy``, ...); the default
        type is float64.
        """
        dtype = xp.float64 if dtype is None else dtype
        options = {} if device is None else {"device": device}
        full = np.meshgrid(*self.axes(), indexing="ij")
        return tuple(xp.asarray(np.ascontiguousarray(x), dtype=dtype, **options) for x in full)

    def wavevectors(self) -> tuple[np.ndarray, ...]:
        """Angular wave numbers 2 pi m_a / L_a along every axis, in FFT order (1 / length)."""
        if not self.is_torus:
            raise InvalidArgumentError(f"wave vectors exist on a torus only; {self!r} is bounded")
        return tuple(
            2 * np.pi * np.fft.fftfreq(size, d=step)
            for size, step in zip(self.shape, self.spacing, strict=True)
        )

    def quadrature_weights(self, order: int = 4) -> tuple[np.ndarray, ...]:
        """Weights of the composite rule along every axis (in units of length).

        The trapezoidal rule on periodic axes, where it converges faster than any power; on
        bounded axes the trapezoidal rule with the Euler-Maclaurin end corrections, whose
        derivatives are replaced by one-sided differences, so that the error is O(h^order).
        """
        order, result = count(order, "order"), []
        for axis, (size, step, wraps) in enumerate(
            zip(self.shape, self.spacing, self.periodic, strict=True)
        ):
            weights = np.full(size, step)
            if not wraps:
                ends = np.array([float(c) for c in quadrature_end_corrections(order)])
                if size < 2 * len(ends):
                    raise GridTooSmallError(
                        f"axis {axis} has {size} points; quadrature of order {order} needs "
                        f"{2 * len(ends)}: refine the grid or lower the order"
                    )
                weights[: len(ends)] += step * ends
                weights[-len(ends) :] += step * ends[::-1]
            result.append(weights)
        return tuple(result)

    @finite_result
    def integrate(self, values: Array, order: int = 4) -> Array:
        """Integral of a scalar field over the grid with respect to the coordinate volume.

        Shapes: (..., *shape) -> (...). Units: those of the values times length^ndim.
        """
        xp = namespace(values)
        if tuple(values.shape[-self.ndim :]) != self.shape:
            raise ShapeError(
                f"values of shape {tuple(values.shape)} must end with the grid's {self.shape}"
            )
        # Weights converted to an integer type would all be zero.
        if not xp.isdtype(values.dtype, ("real floating", "complex floating")):
            raise DTypeError(f"values have dtype {values.dtype}; convert them to a floating type")
        require_finite(values, "values")
        return self.total(values, order)

    def require_stencil(self, order: Order) -> None:
        """Raise GridTooSmallError unless every axis is long enough for differences of the order."""
        order = validate_order(order)
        if order == "fourier":
            if not self.is_torus:
                raise InvalidArgumentError(
                    "Fourier derivatives need every axis periodic; use order=2, 4, 6 or 8 on a box"
                )
            return
        for axis, (size, wraps) in enumerate(zip(self.shape, self.periodic, strict=True)):
            needed = 2 * half_width(order) + 1 if wraps else order + 2
            if size < needed:
                raise GridTooSmallError(
                    f"axis {axis} has {size} points; differences of order {order} need at least "
                    f"{needed} there: refine the grid or lower the order"
                )


def summed(values: Array, weights: Sequence[np.ndarray] | None, axes: Sequence[int]) -> Array:
    """Sums over some of a grid's axes, the last ones of an array, one after the other."""
    for axis in reversed(axes):
        factors = values if weights is None else values * like(weights[axis], values)
        values = namespace(values).sum(factors, axis=-1)
    return values


class Frame(Protocol):
    """A field on a block with the ghost points around it, which are on their way at first."""

    def inner(self, low: Sequence[int], high: Sequence[int]) -> bool:
        """Whether a region needs nothing that is still on its way."""

    def region(self, low: Sequence[int], high: Sequence[int]) -> Array:
        """A copy of the field from low to high, in points of the block, ghost points included."""

    def poke(self) -> None:
        """Give the library that carries the ghost points a moment."""

    @property
    def stacked(self) -> bool:
        """Whether ``rows`` are all ghost points along the first axis, and in the field's strides.

        The components of the rows then lie as far from each other as those of the field.
        """

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Ghost points before the first row of a field and behind its last one, once they are here.

        Each (c, half width, *rest); of NumPy.
        """


def _as_tuple(
    name: str, value: Any, check: Callable[[Any, str], Any], n: int | None
) -> tuple[Any, ...]:
    """The value as a tuple of n entries that pass a check; a single one is repeated."""
    if isinstance(value, (str, bytes, dict, set)):
        raise InvalidArgumentError(f"{name} = {shown(value)}; a number or a sequence is needed")
    require_supported(value)
    try:
        entries = list(value)
    except TypeError:  # a single number, also as an array of no dimensions
        entries = [value] * (1 if n is None else n)
        result = tuple(check(v, name) for v in entries)
    else:
        result = tuple(check(v, f"{name}[{k}]") for k, v in enumerate(entries))
    if n is not None and len(result) != n:
        raise ShapeError(f"{name} has {len(result)} entries; give one for each of {n} axes")
    return result


def _points(value: Any, name: str) -> int:
    """A number of points; whether there are enough is said with the axis."""
    return count(value, name)


def _end(value: Any, name: str) -> float:
    """An end of an axis as a float; infinity and NaN pass, and are named with their axis."""
    try:
        return number(value, name)
    except InvalidArgumentError:
        if isinstance(value, float) and not math.isfinite(value):
            return float(value)
        raise


def _require_axis(axis: int, size: int, low: float, high: float, wraps: bool) -> None:
    """Raise unless an axis has points that double precision can tell apart and square."""
    if size < 2:
        raise GridTooSmallError(f"axis {axis} has {size} point(s); give it at least 2")
    if size > _MOST_POINTS:
        raise InvalidArgumentError(f"axis {axis} has {size} points; at most 2**40 go")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidArgumentError(
            f"axis {axis} runs from {low} to {high}; finite ends with lower < upper are needed"
        )
    step = (high - low) / (size if wraps else size - 1)
    # Second differences are divided by the square of the step.
    if not _SMALLEST_STEP < step < 1 / _SMALLEST_STEP:
        raise InvalidArgumentError(
            f"axis {axis} has the spacing {step:.3g}, of which the square does not fit into double "
            "precision; measure lengths in another unit"
        )
    if step < _FEWEST_ULPS * math.ulp(max(abs(low), abs(high))):
        raise InvalidArgumentError(
            f"axis {axis} has the spacing {step:.3g}, too small to tell its points apart between "
            f"{low:.6g} and {high:.6g}; shift the origin or take fewer points"
        )
