"""Weight space as a geomstats manifold: the open set of Eq. 16, and all of R^n."""

from __future__ import annotations

from typing import Any

import geomstats.backend as gs
from geomstats.geometry.base import VectorSpace, VectorSpaceOpenSet
from geomstats.geometry.euclidean import Euclidean

import riemann_lne as rl
from riemann_lne import checks
from riemann_lne.arrays import Array
from riemann_lne.errors import InvalidArgumentError

from .metrics import HessianLNEMetric, LNEMetric

# Points are projected this far inside: |tanh(tau x)|^2 = 0.99.
_EDGE = 0.99**0.5

# Radius of the ball that random points fill.
_WIDEST = 0.9


class _TangentVectors:
    """Random tangent vectors whose geodesics stay in the space."""

    def random_tangent_vec(self, base_point: Array | None = None, n_samples: int = 1) -> Array:
        """The logarithm of a random point, [..., dim]: exp of it, or of a part of it, exists.

        One vector for each base point, or n_samples at a single one. Raises
        InvalidArgumentError for several of both, or without a base point.
        """
        if base_point is None:
            raise InvalidArgumentError(
                "random_tangent_vec needs a base_point: which vectors have a geodesic that stays "
                "in the space depends on it"
            )
        n_samples = checks.count(n_samples, "n_samples", least=1)
        if n_samples > 1 and base_point.ndim > 1:
            raise InvalidArgumentError(
                f"n_samples = {n_samples} with base points of shape {tuple(base_point.shape)}: "
                "several vectors are drawn at one base point alone: give one, or n_samples = 1"
            )
        space: Any = self
        n = base_point.shape[0] if base_point.ndim > 1 else n_samples
        end = space.random_point(n)
        if base_point.ndim > end.ndim:
            end = end[None, :]
        return space.metric.log(end, base_point)


class LNESpace(_TangentVectors, VectorSpaceOpenSet):  # type: ignore[misc]
    """The open set |tanh(tau x)|^2 < 1 of R^dim, on which Eq. 16 is a metric.

    Parameters
    ----------
    dim : int
        Number of weights.
    tau : float
        Scale, one over the unit of the weights.
    equip : bool
        Equip with `LNEMetric`.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive, or dim not a whole number above 0.

    References
    ----------
    Eq. 16 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne_geomstats import LNESpace
    >>> space = LNESpace(dim=2, tau=1.0)
    >>> print(space.belongs(np.asarray([[0.1, 0.2], [2.0, 2.0]])))
    [ True False]
    """

    def __init__(self, dim: int, tau: float, equip: bool = True) -> None:
        dim = checks.count(dim, "dim", least=1)
        self.tau = rl.LNEMetric(checks.number(tau, "tau", above=0.0)).tau
        super().__init__(dim=dim, embedding_space=Euclidean(dim, equip=False), equip=equip)

    @staticmethod
    def default_metric() -> type[LNEMetric]:
        """The metric to equip the space with."""
        return LNEMetric

    def belongs(self, point: Array, atol: float = 0.0) -> Array:
        """Whether |tanh(tau x)|^2 < 1, booleans [...]; atol is not used: the set is open."""
        if point.shape[-1:] != self.shape:
            return gs.zeros(point.shape[:-1], dtype=bool)
        return rl.LNEMetric(self.tau).is_positive_definite(point)

    def projection(self, point: Array) -> Array:
        """The point, or where |tanh(tau x)|^2 > 0.99 the one with t on that sphere, [..., dim]."""
        t = gs.tanh(self.tau * point)
        size = gs.linalg.norm(t, axis=-1)[..., None]
        inside = size <= _EDGE
        drawn = gs.where(inside, t * 0.0, t * _EDGE / gs.where(inside, size * 0.0 + 1.0, size))
        return gs.where(inside, point, gs.arctanh(drawn) / self.tau)

    def random_point(self, n_samples: int = 1, bound: float = 1.0) -> Array:
        """Points with tanh(tau x) uniform in the ball of radius bound, [..., dim].

        A bound of 1 or more, which products of spaces pass on, stands for 0.9. Raises
        InvalidArgumentError for a bound that is not above 0.
        """
        n_samples = checks.count(n_samples, "n_samples", least=1)
        bound = checks.number(bound, "bound", above=0.0)
        if bound >= 1.0:
            bound = _WIDEST
        size = (n_samples, self.dim)
        t = gs.random.normal(size=size)
        radius = bound * gs.random.uniform(size=(n_samples, 1)) ** (1.0 / self.dim)
        x = gs.arctanh(radius * t / gs.linalg.norm(t, axis=-1)[:, None]) / self.tau
        return x[0] if n_samples == 1 else x


class HessianLNESpace(_TangentVectors, VectorSpace):  # type: ignore[misc]
    """All of R^dim with the Hessian metric of the LNE potential.

    Parameters
    ----------
    dim : int
        Number of weights.
    tau : float
        Scale, one over the unit of the weights.
    equip : bool
        Equip with `HessianLNEMetric`.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive, or dim not a whole number above 0.

    References
    ----------
    Hessian of Eq. 14 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> from riemann_lne_geomstats import HessianLNESpace
    >>> HessianLNESpace(dim=3, tau=2.0).random_point(4).shape
    (4, 3)
    """

    def __init__(self, dim: int, tau: float, equip: bool = True) -> None:
        dim = checks.count(dim, "dim", least=1)
        self.tau = rl.HessianLNEMetric(checks.number(tau, "tau", above=0.0)).tau
        super().__init__(shape=(dim,), dim=dim, equip=equip)

    @staticmethod
    def default_metric() -> type[HessianLNEMetric]:
        """The metric to equip the space with."""
        return HessianLNEMetric

    def _create_basis(self) -> Array:
        return gs.eye(self.dim)

    def random_point(self, n_samples: int = 1, bound: float = 1.0) -> Array:
        """Points with tau x uniform in [-bound, bound], [..., dim]."""
        n_samples = checks.count(n_samples, "n_samples", least=1)
        bound = checks.number(bound, "bound", above=0.0)
        size = (n_samples, self.dim) if n_samples > 1 else (self.dim,)
        return bound * (2.0 * gs.random.uniform(size=size) - 1.0) / self.tau
