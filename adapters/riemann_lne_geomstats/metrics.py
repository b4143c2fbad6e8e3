"""LNEMetric and HessianLNEMetric as subclasses of geomstats' RiemannianMetric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import geomstats.backend as gs
from geomstats.geometry.riemannian_metric import RiemannianMetric

import riemann_lne as rl
from riemann_lne.arrays import Array
from riemann_lne.errors import InvalidArgumentError


class CoreMetric(RiemannianMetric):  # type: ignore[misc]
    """A metric whose every method is one of the core's, in geomstats' order of arguments."""

    core: Any

    def __init__(self, space: Any) -> None:
        super().__init__(space=space)

    @property
    def flat(self) -> rl.HessianLNEMetric:
        """The Hessian metric of the same tau, whose coordinates are flat."""
        return rl.HessianLNEMetric(self.core.tau)

    def metric_matrix(self, base_point: Array) -> Array:
        """The matrix g_ij, shape [..., dim, dim]."""
        return self.core.matrix(base_point)

    def cometric_matrix(self, base_point: Array) -> Array:
        """The inverse matrix g^ij, shape [..., dim, dim]."""
        return self.core.solve(base_point[..., None, :], self._frame(base_point))

    def inner_product_derivative_matrix(self, base_point: Array) -> Array:
        """Derivatives d_k g_ij at [..., i, j, k], from the Christoffel symbols."""
        frame = self._frame(base_point)
        x = base_point[..., None, None, :]
        # at [..., i, k, j]: g_jl Gamma^l_ik
        lowered = self.core.apply(x, self.core.christoffel(x, frame[:, None, :], frame[None, :, :]))
        first = gs.moveaxis(lowered, -1, -2)
        return first + gs.moveaxis(first, -3, -2)

    def christoffels(self, base_point: Array) -> Array:
        """Christoffel symbols Gamma^k_ij at [..., k, i, j]."""
        frame = self._frame(base_point)
        vectors = self.core.christoffel(
            base_point[..., None, None, :], frame[:, None, :], frame[None, :, :]
        )
        return gs.moveaxis(vectors, -1, -3)

    def inner_product(self, tangent_vec_a: Array, tangent_vec_b: Array, base_point: Array) -> Array:
        """Inner product a.g b, shape [...], in O(dim)."""
        return gs.sum(tangent_vec_a * self.core.apply(base_point, tangent_vec_b), axis=-1)

    def exp(self, tangent_vec: Array, base_point: Array) -> Array:
        """The end of the geodesic from base_point with the velocity tangent_vec, [..., dim].

        Raises InvalidArgumentError, naming the batch index, where it leaves the space.
        """
        return self.core.exp(base_point, tangent_vec)

    def log(self, point: Array, base_point: Array) -> Array:
        """The velocity at base_point of the geodesic that reaches point, [..., dim]."""
        return self.core.log(base_point, point)

    def dist(self, point_a: Array, point_b: Array) -> Array:
        """Geodesic distance, shape [...]."""
        return self.core.distance(point_a, point_b)

    def squared_dist(self, point_a: Array, point_b: Array) -> Array:
        """Square of the geodesic distance, shape [...]."""
        return self.dist(point_a, point_b) ** 2

    def _geodesic_ivp(
        self, initial_point: Array, initial_tangent_vec: Array
    ) -> Callable[[Any], Array]:
        """The geodesic as a function of times, [..., n_times, dim]."""

        def path(t: Any) -> Array:
            times = gs.to_numpy(gs.to_ndarray(gs.array(t), to_ndim=1))
            return self.core.geodesic(initial_point, initial_tangent_vec, times)

        return path

    def parallel_transport(
        self,
        tangent_vec: Array,
        base_point: Array,
        direction: Array | None = None,
        end_point: Array | None = None,
    ) -> Array:
        """Parallel transport along the geodesic in a direction, or to an end point.

        Raises
        ------
        InvalidArgumentError
            If neither or both of them are given.
        """
        if (direction is None) == (end_point is None):
            raise InvalidArgumentError("give either a direction or an end_point for the transport")
        if direction is None:
            direction = self.log(end_point, base_point)
        return self.core.transport(base_point, direction, tangent_vec)

    def curvature(
        self, tangent_vec_a: Array, tangent_vec_b: Array, tangent_vec_c: Array, base_point: Array
    ) -> Array:
        """The vector R(a, b) c, shape [..., dim], in O(dim)."""
        return self.core.riemann(base_point, tangent_vec_a, tangent_vec_b, tangent_vec_c)

    def riemann_tensor(self, base_point: Array) -> Array:
        """dx^l(R(X_j, X_k) X_i) at [..., i, j, k, l]: geomstats' order."""
        frame = self._frame(base_point)
        return self.core.riemann(
            base_point[..., None, None, None, :],
            frame[None, :, None, :],
            frame[None, None, :, :],
            frame[:, None, None, :],
        )

    def ricci_tensor(self, base_point: Array) -> Array:
        """Ricci tensor, shape [..., dim, dim]."""
        return self.core.ricci(base_point).matrix()

    def scalar_curvature(self, base_point: Array) -> Array:
        """Scalar curvature, shape [...]."""
        return self.core.scalar_curvature(base_point)

    def sectional_curvature(
        self, tangent_vec_a: Array, tangent_vec_b: Array, base_point: Array
    ) -> Array:
        """Sectional curvature of the plane of a and b, shape [...], in O(dim)."""
        return self.core.sectional_curvature(base_point, tangent_vec_a, tangent_vec_b)

    def _frame(self, base_point: Array) -> Array:
        return gs.cast(gs.eye(self._space.dim), base_point.dtype)


class LNEMetric(CoreMetric):
    """The LNE metric g = I - t t^T, t = tanh(tau x), of Eq. 16 for geomstats.

    Parameters
    ----------
    space : LNESpace
        Its tau is the metric's.

    Raises
    ------
    InvalidArgumentError
        If the space has no tau.

    References
    ----------
    Eq. 16 of arXiv 2302.03390 v3; `riemann_lne.LNEMetric`.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne_geomstats import LNESpace
    >>> space = LNESpace(dim=2, tau=1.0)
    >>> x, y = np.asarray([0.3, -0.2]), np.asarray([-0.5, 0.6])
    >>> v = space.metric.log(y, x)
    >>> print(np.allclose(space.metric.exp(v, x), y))
    True
    """

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.core = rl.LNEMetric(_tau(space))


class HessianLNEMetric(CoreMetric):
    """The Hessian diag(sech^2(tau x)) of the LNE potential for geomstats: flat, not complete.

    Parameters
    ----------
    space : HessianLNESpace
        Its tau is the metric's.

    Raises
    ------
    InvalidArgumentError
        If the space has no tau.

    References
    ----------
    Hessian of Eq. 14 of arXiv 2302.03390 v3; `riemann_lne.HessianLNEMetric`.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne_geomstats import HessianLNESpace
    >>> metric = HessianLNESpace(dim=2, tau=1.0).metric
    >>> print(metric.dist(np.asarray([-1.0, 0.0]), np.asarray([1.0, 0.0])).round(6))
    1.731539
    """

    def __init__(self, space: Any) -> None:
        super().__init__(space)
        self.core = rl.HessianLNEMetric(_tau(space))

    def injectivity_radius(self, base_point: Array) -> Array:
        """Distance to the nearest side of the cube that the space is, shape [...]."""
        flat = self.core.to_flat(base_point)
        return gs.pi / (2.0 * self.core.tau) - gs.amax(gs.abs(flat), axis=-1)


def _tau(space: Any) -> float:
    tau = getattr(space, "tau", None)
    if tau is None:
        raise InvalidArgumentError(
            f"{type(space).__name__} has no tau: use LNESpace(dim, tau) or "
            "HessianLNESpace(dim, tau)"
        )
    return float(tau)
