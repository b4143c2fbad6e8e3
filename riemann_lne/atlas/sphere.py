"""The n-sphere as one grid: two stereographic patches that overlap, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy

from ..arrays import Array, like, require_finite, require_real_floating, to_numpy
from ..checks import count, number, require_function
from ..coefficients import Order, validate_order
from ..errors import GridTooSmallError, InvalidArgumentError, ShapeError
from ..finite import finite_result
from ..grids import Grid
from ..metrics import MetricField, assemble
from ..tensors import pairs
from .transition import Transition, enough_points

# Overlaps of these half-widths are tried, the smallest first: integrals want some of it.
_HALF_WIDTHS = (1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.2, 2.4, 2.7, 3.0)
# The partition of unity has this many less one continuous derivatives: with 24 points integrals of
# smooth functions are right to 1e-4, with 48 to 1e-6.
_SMOOTHNESS = 6
_MOST_POINTS = 10_000
# Two patches that differ by more than this, relative to the metric, hold no one metric.
_SAME = 1e-2


@dataclass(frozen=True)
class Atlas(Grid):
    """The sphere S^n as two stereographic patches with one cube of points each; ``Atlas.sphere``.

    It is a Grid whose first axis holds both patches, one after the other: the shape is
    (2 N, N) or (2 N, N, N). The patches are the cubes [-L, L]^n of the coordinates

        X = (2 x, |x|^2 - 1) / (1 + |x|^2)   and   X = (2 y, 1 - |y|^2) / (1 + |y|^2),

    of the unit sphere in R^(n+1), with y = x / |x|^2 where they overlap. A metric on an atlas is a
    MetricField with its components in the coordinates of each patch. Curvature is differenced on
    each patch at the points with |x| <= ``reach``, and all others follow the other patch by
    interpolation, in flows as well; integrals are over the sphere, by a partition of unity. What
    is no scalar or symmetric tensor (Christoffel symbols, the Riemann and Weyl tensors) has
    one-sided differences at the ends of the cubes.

    Attributes
    ----------
    order : int
        Order of the differences for which the overlap is made; flows use this one.

    Examples
    --------
    >>> sphere = Atlas.sphere(2, 24)
    >>> g = sphere.round()
    >>> bool(abs(g.volume() / (4 * np.pi) - 1) < 1e-3)
    True
    """

    order: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        n, points, width = self.ndim, self.shape[-1], -self.lower[0]
        shape, lower, upper, _ = _layout(n, points, width)
        if n not in (2, 3) or (self.shape, self.lower, self.upper) != (shape, lower, upper):
            raise InvalidArgumentError(
                f"shape {self.shape} from {self.lower} to {self.upper} is no pair of patches; make "
                "an atlas by Atlas.sphere(n, points)"
            )

    @classmethod
    def sphere(
        cls, n: int, points: int, half_width: float | None = None, order: Order = 4
    ) -> Atlas:
        """The unit sphere S^n with ``points`` along every axis of each patch.

        Parameters
        ----------
        n : int
            2 or 3.
        points : int
            About 20 or more.
        half_width : float, optional
            L > 1 of the cubes [-L, L]^n, dimensionless. By default the smallest of
            1.4, 1.5, ..., 3 with which the overlap is wide enough for the stencils. For orders of
            accuracy give one, so that it does not change with the points.
        order : int
            2, 4, 6 or 8: of the differences in flows; the interpolation is through order + 2
            points.

        Raises
        ------
        GridTooSmallError
            If the overlap is too thin for the stencils; the message says how many points are
            enough.
        InvalidArgumentError
            If n is not 2 or 3, or another argument makes no sense.
        """
        n, points = count(n, "n"), count(points, "points", least=2)
        if n not in (2, 3):
            raise InvalidArgumentError(f"n = {n}; the atlas is made for S^2 and S^3: give 2 or 3")
        order = validate_order(order)
        if order not in (2, 4, 6, 8):
            raise InvalidArgumentError(
                f"order = {order!r}; on an atlas it is 2, 4, 6 or 8: give one of these"
            )
        if points > _MOST_POINTS:
            raise InvalidArgumentError(f"points = {points}; at most {_MOST_POINTS} along an axis")
        if half_width is not None:
            width = number(half_width, "half_width", above=1)
            return cls._checked(n, points, width, order)
        for width in _HALF_WIDTHS:
            atlas = cls._fitting(n, points, width, order)
            if atlas is not None:
                return atlas
        return cls._checked(n, points, _HALF_WIDTHS[-1], order)

    @classmethod
    def _of(cls, n: int, points: int, width: float, order: int) -> Atlas:
        return cls(*_layout(n, points, width), order=order)

    @classmethod
    def _checked(cls, n: int, points: int, width: float, order: int) -> Atlas:
        """The atlas; GridTooSmallError unless its patches overlap enough."""
        atlas = cls._fitting(n, points, width, order)
        if atlas is not None:
            return atlas
        enough = enough_points(n, width, order)
        widest = _HALF_WIDTHS[-1]
        wider = f", {enough_points(n, widest, order)} for half_width={widest:g}"
        raise GridTooSmallError(
            f"with {points} points along an axis the overlap of patches of half-width {width:g} is "
            f"too thin for differences of order {order} and interpolation through {order + 2} "
            f"points: {enough} points are enough there{wider if width < widest else ''}; "
            "give as many"
        )

    @classmethod
    def _fitting(cls, n: int, points: int, width: float, order: int) -> Atlas | None:
        """The atlas if its patches overlap enough."""
        if points <= 2 * order:
            return None  # no point has its stencil within the cube
        atlas = cls._of(n, points, width, order)
        return atlas if atlas.transition.excess() <= 0 else None

    # ---- the grid --------------------------------------------------------------------------

    @property
    def points(self) -> int:
        """Points along each axis of a patch."""
        return self.shape[-1]

    @property
    def half_width(self) -> float:
        """L of the cubes [-L, L]^n."""
        return -self.lower[0]

    @cached_property
    def patch(self) -> Grid:
        """The cube of one patch as a grid."""
        n, width = self.ndim, self.half_width
        return Grid.box((-width,) * n, (width,) * n, (self.points,) * n)

    @cached_property
    def transition(self) -> Transition:
        """The transition between the patches."""
        return Transition(self.patch, self.order)

    @property
    def reach(self) -> float:
        """Radius up to which points of a patch move by themselves in a flow."""
        return self.transition.reach

    @property
    def spacing(self) -> tuple[float, ...]:
        return self.patch.spacing

    def axes(self) -> tuple[np.ndarray, ...]:
        """Coordinates along every axis; along the first those of both patches."""
        first, *others = self.patch.axes()
        return np.concatenate([first, first]), *others

    def pieces(self) -> list[tuple[slice, Grid]]:
        """The rows of each patch, and its grid."""
        size = self.points
        return [(slice(0, size), self.patch), (slice(size, 2 * size), self.patch)]

    def joined(self, values: Array) -> Array:
        return self.transition.fill(values) if values.shape[0] in (1, self._packed) else values

    @property
    def _packed(self) -> int:
        return len(pairs(self.ndim))

    def with_mirrors(self, faces: Iterable[tuple[int, int]]) -> Grid:
        """Refused: a sphere has no ends."""
        raise InvalidArgumentError(
            f"{self!r} has no ends: its patches have no mirrors; leave the boundary out"
        )

    def require_stencil(self, order: Order) -> None:
        self.patch.require_stencil(order)
        if order != "fourier" and order > self.order:
            raise InvalidArgumentError(
                f"{self!r} overlaps for differences of order {self.order}; for order {order}, make "
                f"it with order={order}"
            )

    def require_one_chart(self, what: str, instead: str = "") -> None:
        patches = "which atlas.split(metric) gives as metrics of their own: take one of these"
        raise InvalidArgumentError(
            f"{what} works in one system of coordinates; a sphere has two patches, "
            f"{instead or patches}"
        )

    def require_torus(self, what: str) -> None:
        raise InvalidArgumentError(
            f"{what} is computed with the Fourier modes of a torus; {self!r} is a sphere, which "
            "has none: give a metric on a torus"
        )

    def __repr__(self) -> str:
        return (
            f"Atlas.sphere({self.ndim}, {self.points}, half_width={self.half_width:g}, "
            f"order={self.order})"
        )

    # ---- integrals -------------------------------------------------------------------------

    @cached_property
    def partition(self) -> np.ndarray:
        """The partition of unity on a patch: 1 within 1 / reach, 0 beyond reach, smooth between.

        At x and x / |x|^2 the values add up to 1.
        """
        r2 = self.transition.radius2
        with np.errstate(divide="ignore"):
            place = 0.5 - np.log(r2) / (4 * math.log(self.reach))
        smooth = scipy.special.betainc(_SMOOTHNESS, _SMOOTHNESS, np.clip(place, 0, 1))
        return np.where(self.transition.moving, smooth, 0.0)

    def quadrature_weights(self, order: int = 4) -> tuple[np.ndarray, ...]:
        """Refused: the weights are no product over the axes; ``integrate`` uses them."""
        raise InvalidArgumentError(
            "the quadrature of a sphere is no product over axes; use atlas.integrate(values)"
        )

    def total(self, values: Array, order: int | None = None) -> Array:
        """Sum over the points, or with an order the integral by the partition of unity."""
        if order is not None:
            weights = self.partition * math.prod(self.spacing)
            values = values * like(np.concatenate([weights, weights]), values)
        return super().total(values)

    def mean(self, values: Array) -> Array:
        """Refused: components in two systems of coordinates have no mean."""
        raise InvalidArgumentError(
            "components in two systems of coordinates have no mean; of a scalar f take "
            "atlas.integrate(f * g.volume_element()) / g.volume()"
        )

    # ---- metrics ---------------------------------------------------------------------------

    def sphere_points(self) -> tuple[np.ndarray, ...]:
        """The n + 1 coordinates X of the points on the unit sphere, each of the grid's shape."""
        x = self.coordinates()
        r2 = np.asarray(sum(c * c for c in x))
        last = (r2 - 1) / (1 + r2)
        last[self.points :] *= -1
        return *(2 * c / (1 + r2) for c in x), last

    def _frame(self) -> np.ndarray:
        """Derivatives d X_A / d x_i, (n + 1, n, *shape)."""
        x = np.stack(self.coordinates())
        n, r2 = self.ndim, np.sum(x * x, axis=0)
        unit = np.eye(n).reshape(n, n, *(1,) * n)
        inner = 2 * unit / (1 + r2) - 4 * x[:, None] * x[None] / (1 + r2) ** 2
        last = 4 * x / (1 + r2) ** 2
        last[:, self.points :] *= -1
        return np.concatenate([inner, last[None]])

    def metric(
        self, function: Callable[..., Any], xp: Any = np, dtype: Any = None, device: Any = None
    ) -> MetricField:
        """The metric that a symmetric tensor field h of R^(n+1) induces, g = h_AB dX^A dX^B.

        Parameters
        ----------
        function : callable
            (X_0, ..., X_n) -> rows of h_AB, arrays or numbers; the coordinates are NumPy arrays of
            the grid's shape. h need be positive on tangent vectors alone. The identity gives the
            round metric.
        xp, dtype, device
            Where the metric goes: the array library, float64 unless ``dtype`` says otherwise.

        Raises
        ------
        ShapeError, NotPositiveDefiniteError, NotFiniteError, ...
            If what it returns is no such tensor.

        Examples
        --------
        The unit sphere of a norm that is not round, an ellipsoid:

        >>> sphere = Atlas.sphere(2, 24)
        >>> g = sphere.metric(lambda x, y, z: [[1, 0, 0], [0, 1, 0], [0, 0, 1.5]])
        >>> g
        MetricField(2-D sphere (48, 24), float64)
        """
        options = {} if device is None else {"device": device}
        dtype = xp.float64 if dtype is None else dtype
        return MetricField(self, xp.asarray(self.induced(function), dtype=dtype, **options))

    @finite_result
    def induced(self, function: Callable[..., Any]) -> np.ndarray:
        """The tensor that a symmetric tensor field of R^(n+1) induces, (n, n, *shape)."""
        require_function(function, "function", "the coordinates of R^(n+1)")
        x = self.sphere_points()
        # A grid of one more axis, of which `assemble` needs the dimension alone.
        more = Grid.torus((2,) * (self.ndim + 1))
        h = assemble(function(*x), x[0], more)
        require_real_floating(h, "the tensor of R^(n+1)")
        expected = (self.ndim + 1, self.ndim + 1, *self.shape)
        if tuple(h.shape) != expected:
            raise ShapeError(
                f"the tensor of R^(n+1) has shape {tuple(h.shape)}, needs {expected} here"
            )
        h = to_numpy(h)
        require_finite(h, "the tensor of R^(n+1)")
        frame = self._frame()
        return np.asarray(np.einsum("ai...,ab...,bj...->ij...", frame, h, frame))

    def round(self, radius: float = 1.0) -> MetricField:
        """The round metric, 4 radius^2 |dx|^2 / (1 + |x|^2)^2 on each patch."""
        radius = number(radius, "radius", above=0)
        if not 1e-100 < radius < 1e100:
            raise InvalidArgumentError(f"radius = {radius}; take a unit of about its size")
        n = self.ndim
        r2 = np.asarray(sum(c * c for c in self.coordinates()))
        unit = np.eye(n).reshape(n, n, *(1,) * n)
        return MetricField(self, unit * (4 * radius**2 / (1 + r2) ** 2))

    def perturbed_round(self, amplitude: float = 0.1, seed: int = 0) -> MetricField:
        """Random smooth metric near the round one, without symmetry: round + h.

        h is induced by a tensor of R^(n+1) whose components are random polynomials of degree 2,
        scaled so that its largest absolute eigenvalue with respect to the round metric is the
        amplitude, between 0 and 1. The same seed gives the same metric on every atlas, up to that
        scale.

        Examples
        --------
        >>> g = Atlas.sphere(2, 24).perturbed_round(0.3, seed=1)
        >>> bool(0.1 < abs(g.scalar_curvature() - 2).max() < 10)
        True
        """
        amplitude, seed = number(amplitude, "amplitude"), count(seed, "seed")
        if not 0 <= amplitude < 1:
            raise InvalidArgumentError(f"amplitude = {amplitude}; it must lie in [0, 1)")
        rng, m = np.random.default_rng(seed), self.ndim + 1
        constant, linear, square = (rng.normal(size=(m,) * k) for k in (2, 3, 4))

        def tensor(*x: np.ndarray) -> np.ndarray:
            at = np.stack(x)
            h = np.einsum("abc,c...->ab...", linear, at)
            h = h + np.einsum("abcd,c...,d...->ab...", square, at, at)
            h = h + constant.reshape(m, m, *(1,) * self.ndim)
            return h + np.swapaxes(h, 0, 1)

        h, start = self.induced(tensor), self.round()
        mixed = np.einsum("ij...,jk...->...ik", start.inverse(), h)
        largest = float(np.abs(np.linalg.eigvals(mixed)).max())
        return MetricField(self, start.components + (amplitude / largest) * h)

    def split(self, metric: MetricField) -> tuple[MetricField, MetricField]:
        """The metric on each patch."""
        self._require_mine(metric)
        first, second = (metric.components[:, :, rows, ...] for rows, _ in self.pieces())
        return MetricField(self.patch, first), MetricField(self.patch, second)

    def _require_mine(self, metric: Any) -> None:
        if not isinstance(metric, MetricField) or metric.grid != self:
            raise InvalidArgumentError(f"{metric!r} is no metric on {self!r}; use one atlas")

    def mismatch(self, metric: MetricField) -> tuple[float, tuple[int, ...]]:
        """By how much the patches differ where they overlap, and the grid index of the place.

        The largest |g - g'| / |g| at points with |x| > 1, g' being what the other patch says by
        interpolation; norms are those of the components in a frame that is orthonormal for the
        round metric.
        """
        self._require_mine(metric)
        outside = Transition(self.patch, self.order, 1.0)
        packed = to_numpy(metric.packed)
        weight = np.array([1.0 if i == j else 2.0 for i, j in pairs(self.ndim)])
        found = []
        for patch, other in enumerate(outside.followed(packed)):
            rows, _ = self.pieces()[patch]
            own = packed[:, rows].reshape(len(packed), -1)[:, outside.fringe]
            differ = np.sqrt((weight @ (own - other) ** 2) / (weight @ own**2))
            at = int(np.argmax(differ))
            place = [int(i) for i in np.unravel_index(outside.fringe[at], self.patch.shape)]
            found.append((float(differ[at]), (place[0] + rows.start, *place[1:])))
        return max(found)

    def require_one_metric(self, metric: MetricField) -> None:
        """Raise InvalidArgumentError unless the patches agree to 1 %: by how much, and where."""
        worst, index = self.mismatch(metric)
        if not worst <= _SAME:
            patch = int(index[0] >= self.points)
            x = [float(c[index]) for c in self.coordinates()]
            raise InvalidArgumentError(
                f"the two patches do not hold one metric: at grid index {index}, the point "
                f"{np.round(x, 4).tolist()} of patch {patch}, they differ by {worst:.3g} of its "
                "size. Components transform by y = x / |x|^2; atlas.metric(function) makes them "
                "from a tensor of R^(n+1). A metric that the points do not resolve needs more"
            )


def _layout(n: int, points: int, width: float) -> tuple[Any, Any, Any, Any]:
    """Shape, ends and periodicity of the grid that holds both patches."""
    end = -width + 2 * width * (2 * points - 1) / (points - 1)
    others = n - 1
    return (
        (2 * points, *(points,) * others),
        (-width,) * n,
        (end, *(width,) * others),
        (False,) * n,
    )
