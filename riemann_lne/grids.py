"""Uniform grids: every axis periodic (a torus), bounded (a box), or a mixture of both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .arrays import Array, like, namespace
from .errors import DTypeError, GridTooSmallError, InvalidArgumentError, ShapeError
from .weights import Order, half_width, quadrature_end_corrections, validate_order

_MAX_DIMENSION = 4


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
        If an end is not finite, upper <= lower, or the dimension is not 1 to 4.
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
        shape = _as_tuple("shape", self.shape, int, None)
        n = len(shape)
        if not 1 <= n <= _MAX_DIMENSION:
            raise InvalidArgumentError(f"a grid has 1 to {_MAX_DIMENSION} axes, got shape {shape}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "lower", _as_tuple("lower", self.lower, float, n))
        object.__setattr__(self, "upper", _as_tuple("upper", self.upper, float, n))
        object.__setattr__(self, "periodic", _as_tuple("periodic", self.periodic, bool, n))
        for axis, (size, low, high) in enumerate(
            zip(self.shape, self.lower, self.upper, strict=True)
        ):
            if size < 2:
                raise GridTooSmallError(f"axis {axis} has {size} point(s); give it at least 2")
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InvalidArgumentError(
                    f"axis {axis} runs from {low} to {high}; finite ends with lower < upper "
                    "are needed"
                )

    @classmethod
    def torus(
        cls,
        shape: int | Sequence[int],
        lengths: float | Sequence[float] = 2 * math.pi,
        origin: float | Sequence[float] = 0.0,
    ) -> Grid:
        """Periodic grid; a single length or origin holds for every axis."""
        shape = _as_tuple("shape", shape, int, None)
        n = len(shape)
        sides = _as_tuple("lengths", lengths, float, n)
        low = _as_tuple("origin", origin, float, n)
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
        shape = _as_tuple("shape", shape, int, None)
        n = len(shape)
        return cls(
            shape,
            _as_tuple("lower", lower, float, n),
            _as_tuple("upper", upper, float, n),
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
        chosen = frozenset(faces)
        for axis, side in chosen:
            if not (0 <= axis < self.ndim and side in (0, 1)) or self.periodic[axis]:
                raise InvalidArgumentError(
                    f"({axis}, {side}) is no face of this grid: give (axis, 0 or 1) with a bounded "
                    f"axis; periodic is {self.periodic}"
                )
        return replace(self, mirrors=chosen)

    @property
    def ndim(self) -> int:
        """Dimension of the grid, the n of an n-by-n metric on it."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of grid points."""
        return math.prod(self.shape)

    @property
    def lengths(self) -> tuple[float, ...]:
        """Extent of every axis."""
        return tuple(b - a for a, b in zip(self.lower, self.upper, strict=True))

    @property
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
            raise InvalidArgumentError("wave vectors exist on a torus only; this grid is bounded")
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
        result = []
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

    def integrate(self, values: Array, order: int = 4) -> Array:
        """Integral of a scalar field over the grid with respect to the coordinate volume.

        Shapes: (..., *shape) -> (...). Units: those of the values times length^ndim.
        """
        xp = namespace(values)
        if tuple(values.shape[-self.ndim :]) != self.shape:
            raise ShapeError(
                f"values of shape {tuple(values.shape)} do not end with the grid's {self.shape}"
            )
        # Weights converted to an integer type would all be zero.
        if not xp.isdtype(values.dtype, ("real floating", "complex floating")):
            raise DTypeError(f"values have dtype {values.dtype}; convert them to a floating type")
        result = values
        for weights in reversed(self.quadrature_weights(order)):
            result = xp.sum(result * like(weights, values), axis=-1)
        return result

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


def _as_tuple(name: str, value: Any, kind: type, n: int | None) -> tuple[Any, ...]:
    """The value as a tuple of n entries of a kind; one entry is repeated."""
    if np.ndim(value) == 0:
        value = (value,) * (1 if n is None else n)
    try:
        result = tuple(kind(v) for v in value)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{name} = {value!r} is not a sequence of {kind.__name__}"
        ) from error
    if kind is int and any(r != v for r, v in zip(result, value, strict=True)):
        raise InvalidArgumentError(f"{name} = {value!r} must hold whole numbers")
    if n is not None and len(result) != n:
        raise ShapeError(f"{name} has {len(result)} entries; the grid has {n} axes")
    return result
