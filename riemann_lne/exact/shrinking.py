"""Round spheres under Ricci flow in any coordinates: their radius, curvature and end."""

from __future__ import annotations

from abc import abstractmethod

from ..arrays import Array, namespace
from .base import ExactSolution


class ShrinkingSphere(ExactSolution):
    """A round sphere that shrinks; subclasses say in which coordinates, and how large it is at 0.

    That its Ricci tensor is (n - 1) g / r(t)^2 and r(t)^2 falls by 2 (n - 1) t holds in all.
    """

    @property
    @abstractmethod
    def _first_square(self) -> float:
        """The square of the radius at t = 0, length^2."""

    @property
    def singular_time(self) -> float:
        """T = r(0)^2 / (2 (n - 1)), in length^2."""
        return self._first_square / (2 * (self.n - 1))

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """The singular time."""
        return self.singular_time

    def squared_radius(self, t: float) -> float:
        """r(t)^2 = r(0)^2 - 2 (n - 1) t."""
        # By what is left of time: positive, and exact close to the end.
        return 2 * (self.n - 1) * (self.singular_time - t)

    def scalar_curvature(self, t: float, *x: Array) -> Array:
        """Scalar curvature n (n - 1) / r(t)^2, shape of the coordinates; 1 / length^2."""
        value = self.n * (self.n - 1) / self.squared_radius(t)
        return namespace(*x).full_like(x[0], value)

    def ricci(self, t: float, *x: Array) -> Array:
        """(n - 1) g_ij / r(t)^2, (n, n, *shape); 1 / length^2."""
        return self.metric(t, *x) * ((self.n - 1) / self.squared_radius(t))
