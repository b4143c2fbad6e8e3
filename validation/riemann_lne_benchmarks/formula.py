"""The Ricci-DeTurck right-hand side for the libraries that ours is compared with.

The algebra is that of ``riemann_lne.curvature``, which also runs on arrays that are never changed
in place, so that JAX and torch.compile can trace it. Differences are written for each peer in the
form that is quickest for it; its result is compared with ours before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from riemann_lne.coefficients import central_weights, half_width
from riemann_lne.curvature import deturck_flow_tensor
from riemann_lne.jets import MetricJet


class Derivatives(Protocol):
    """First and second differences of the packed metric (c, *shape)."""

    def first(self, a: int) -> Any:
        """d_a g."""

    def second(self, a: int, b: int) -> Any:
        """d_a d_b g."""


def _weights(derivative: int, order: int, h: float) -> dict[int, float]:
    w = half_width(order)
    values = [float(c) / h**derivative for c in central_weights(derivative, order)]
    return {j - w: value for j, value in enumerate(values) if value}


class AxisByAxis:
    """Mixed derivatives from first ones, each along one axis by ``_along`` of a subclass."""

    values: Any
    _first: dict[int, Any]

    def _along(self, f: Any, axis: int, derivative: int) -> Any:
        raise NotImplementedError

    def first(self, a: int) -> Any:
        """d_a g."""
        return self._first[a]

    def second(self, a: int, b: int) -> Any:
        """d_a d_b g."""
        return self._along(self.values, a, 2) if a == b else self._along(self._first[a], b, 1)


class Rolled(AxisByAxis):
    """Differences of a periodic field by shifting the whole array."""

    def __init__(
        self,
        field: Any,
        spacing: tuple[float, ...],
        order: int,
        roll: Callable[[Any, int, int], Any],
    ) -> None:
        self.values, self.spacing, self.order, self.roll = field, spacing, order, roll
        self._first = {a: self._along(field, a, 1) for a in range(len(spacing))}

    def _along(self, f: Any, axis: int, derivative: int) -> Any:
        weights = _weights(derivative, self.order, self.spacing[axis])
        return sum(
            c * (self.roll(f, -offset, axis + 1) if offset else f) for offset, c in weights.items()
        )


class Sliced:
    """Differences of a periodic field that is padded once, by slices of it."""

    def __init__(
        self,
        field: Any,
        spacing: tuple[float, ...],
        order: int,
        concatenate: Callable[[list[Any], int], Any],
    ) -> None:
        self.values, self.spacing, self.order = field, spacing, order
        self.w = half_width(order)
        self.shape = field.shape
        for axis in range(1, len(spacing) + 1):
            size = field.shape[axis]
            low = _slice(field, axis, size - self.w, size)
            field = concatenate([low, field, _slice(field, axis, 0, self.w)], axis)
        self.padded = field
        self._first = {a: self._along(field, a, 1) for a in range(len(spacing))}

    def _along(self, f: Any, axis: int, derivative: int) -> Any:
        weights = _weights(derivative, self.order, self.spacing[axis])
        size = self.shape[axis + 1]
        return sum(
            c * _slice(f, axis + 1, self.w + offset, self.w + offset + size)
            for offset, c in weights.items()
        )

    def _cropped(self, f: Any) -> Any:
        for axis in range(1, len(self.spacing) + 1):
            if f.shape[axis] != self.shape[axis]:
                f = _slice(f, axis, self.w, self.w + self.shape[axis])
        return f

    def first(self, a: int) -> Any:
        """d_a g."""
        return self._cropped(self._first[a])

    def second(self, a: int, b: int) -> Any:
        """d_a d_b g."""
        along = self._along(self.padded, a, 2) if a == b else self._along(self._first[a], b, 1)
        return self._cropped(along)


class Spectral(AxisByAxis):
    """Fourier derivatives of a periodic field, each as a product with a small dense matrix.

    On the few dozen points an axis that they need, one matrix product is as quick as transforms.

    Parameters
    ----------
    field : array (c, *shape)
        The packed metric.
    lengths : tuple of float
        Periods of the axes.
    product : callable
        (matrix, field, axis) -> the matrix applied along that axis.
    """

    def __init__(
        self,
        field: Any,
        lengths: tuple[float, ...],
        product: Callable[[Any, Any, int], Any],
    ) -> None:
        self.values, self.lengths, self.product = field, lengths, product
        self._first = {a: self._along(field, a, 1) for a in range(len(lengths))}

    def _along(self, f: Any, axis: int, derivative: int) -> Any:
        size = self.values.shape[axis + 1]
        wave = 2 * np.pi / self.lengths[axis] * np.arange(size // 2 + 1)
        factor = (1j * wave) ** derivative
        if derivative == 1 and size % 2 == 0:
            factor[-1] = 0  # the highest mode has no sign, and so no first derivative
        transformed = factor[:, None] * np.fft.rfft(np.eye(size), axis=0)
        return self.product(np.fft.irfft(transformed, n=size, axis=0), f, axis + 1)


def apply_along(xp: Any) -> Callable[[Any, Any, int], Any]:
    """The product that ``Spectral`` takes, by the ``tensordot`` of an array library."""

    def product(matrix: Any, field: Any, axis: int) -> Any:
        return xp.moveaxis(xp.tensordot(xp.asarray(matrix), field, axes=(1, axis)), 0, axis)

    return product


def _slice(f: Any, axis: int, start: int, stop: int) -> Any:
    return f[(slice(None),) * axis + (slice(start, stop),)]


class _Local:
    """The local field of a ``MetricJet``, from the differences of a peer."""

    def __init__(self, derivatives: Derivatives, packed: Any) -> None:
        self._packed = packed
        self.first, self.second = derivatives.first, derivatives.second

    def value(self) -> Any:
        """The packed metric."""
        return self._packed


def deturck_form(derivatives: Derivatives, packed: Any, n: int) -> list[Any]:
    """The packed right-hand side by the formula of the library, from the differences of a peer."""
    return deturck_flow_tensor(MetricJet(_Local(derivatives, packed), n))
