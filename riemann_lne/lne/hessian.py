"""The Hessian of the LNE potential, h = diag(sech^2(tau x)): flat, with closed-form geodesics."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, device
from ..errors import UnknownNameError
from ..finite import finite_result
from ._common import cosh_saturated, fit_tau, log_cosh, prepare, sech2
from ._gudermannian import GudermannianGeometry
from .divergence import lne_divergence
from .ricci import LNERicci, diagonal_matrix

_METHODS = ("exact",)


class HessianLNEMetric(GudermannianGeometry):
    """The Bregman-Hessian metric h(x) = diag(sech^2(tau x_i)) of the LNE potential.

    It is the second-order term of the divergence of Eq. 15 (and not Eq. 16, `LNEMetric`, with
    which it agrees for n = 1). It is positive definite for every tau and flat: in the
    coordinates y_i = gd(tau x_i)/tau, gd(z) = 2 atan(tanh(z/2)) the Gudermannian, it is
    Euclidean. Weight space is the open cube |y_i| < pi/(2 tau) there, so that geodesics leave
    it after finite length: h is not complete.

    All methods take weights of shape (..., n), any array library, and follow its device and
    precision; half precision is computed in float32 inside. Gradients pass through.

    Parameters
    ----------
    tau : float or array that broadcasts against the batch shape
        Scale in one over the unit of the weights, greater than 0.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive.

    Notes
    -----
    sech^2 is computed from cosh, not as 1 - tanh^2: the relative error stays small for large
    tau x. From |tau x| = 355 on (44 in single precision) it reaches the smallest number of the
    type, and is held at it instead of becoming zero.

    References
    ----------
    Hessian of Eq. 14; App. E.1 of arXiv 2302.03390 v3 obtains Eq. 16 in its place.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import HessianLNEMetric
    >>> metric = HessianLNEMetric(2.0)
    >>> x, y = np.asarray([0.1, -0.3]), np.asarray([0.4, 0.2])
    >>> print(np.allclose(metric.exp(x, metric.log(x, y)), y))
    True
    """

    @finite_result
    def matrix(self, x: Array, *, check: bool = True) -> Array:
        """h(x) = diag(sech^2(tau x)) as an array (..., n, n), dimensionless. For small n.

        Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).matrix(np.zeros(2)))
        [[1. 0.]
         [0. 1.]]
        """
        xp, (x,), out = prepare(check=check, x=x)
        return xp.astype(
            diagonal_matrix(xp, sech2(xp, x, fit_tau(self.tau, x)[1])), out, copy=False
        )

    @finite_result
    def apply(self, x: Array, v: Array, *, check: bool = True) -> Array:
        """h(x) v = sech^2(tau x) * v, shape (..., n).

        Raises DTypeError or ShapeError for arguments that are not real floating point (..., n)
        of fitting shapes.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).apply(np.asarray([1.0]), np.asarray([1.0])).round(4))
        [0.42]
        """
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        return xp.astype(sech2(xp, x, fit_tau(self.tau, x)[1]) * v, out, copy=False)

    @finite_result
    def solve(self, x: Array, v: Array, method: str = "exact", *, check: bool = True) -> Array:
        """h(x)^-1 v = cosh^2(tau x) * v, the natural gradient of a gradient v, shape (..., n).

        The factor grows without bound with |tau x|: clip in training.

        Raises UnknownNameError for a method other than ``"exact"``, DTypeError or ShapeError for
        arguments that are not real floating point (..., n) of fitting shapes. ``check`` is
        accepted for the sake of `LNEMetric`'s interface: h is always positive definite.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).solve(np.asarray([1.0]), np.asarray([1.0])).round(4))
        [2.3811]
        """
        if method not in _METHODS:
            raise UnknownNameError("method", method, _METHODS)
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        c = cosh_saturated(xp, x, fit_tau(self.tau, x)[1])
        c = c * c
        return xp.astype(c * v, out, copy=False)

    @finite_result
    def determinant(self, x: Array, *, check: bool = True) -> Array:
        """Determinant prod_i sech^2(tau x_i) of h, shape (...), dimensionless.

        It underflows to 0 for large n.

        Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).determinant(np.asarray([1.0, -1.0])).round(6))
        0.176378
        """
        xp, (x,), _ = prepare(check=check, x=x)
        return xp.exp(-2.0 * xp.sum(log_cosh(xp, self._z(x)), axis=-1))

    @finite_result
    def is_positive_definite(self, x: Array, *, check: bool = True) -> Array:
        """True for every block, shape (...): sech^2 is positive.

        Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).is_positive_definite(np.zeros((2, 3))))
        [ True  True]
        """
        xp, (x,), _ = prepare(check=check, x=x)
        return xp.ones(self._z(x).shape[:-1], dtype=xp.bool, device=device(x))

    def is_diagonally_dominant(self, x: Array) -> Array:
        """True for every block, shape (...): h is diagonal and positive. Errors as above.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).is_diagonally_dominant(np.zeros((2, 3))))
        [ True  True]
        """
        return self.is_positive_definite(x)

    @finite_result
    def christoffel(self, x: Array, u: Array, v: Array, *, check: bool = True) -> Array:
        """The vector Gamma^k_ij u^i v^j = -tau t_k u_k v_k, t = tanh(tau x), shape (..., n).

        In the unit of u times v over that of x. Raises DTypeError or ShapeError for arguments
        that are not real floating point (..., n) of fitting shapes.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> one = np.asarray([1.0])
        >>> print(HessianLNEMetric(1.0).christoffel(one, one, one).round(4))
        [-0.7616]
        """
        xp, (x, u, v), out = prepare(check=check, x=x, u=u, v=v)
        weight = fit_tau(self.tau, x)[1]
        return xp.astype(-xp.tanh(x * weight) * weight * u * v, out, copy=False)

    @finite_result
    def ricci(self, x: Array, *, check: bool = True) -> LNERicci:
        """Ricci tensor: zero, as the object that `LNEMetric.ricci` returns. Errors as above.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).ricci(np.ones(2)).apply(np.ones(2)))
        [0. 0.]
        """
        xp, (x,), out = prepare(check=check, x=x)
        shape = self._z(x).shape
        zero = xp.zeros(shape, dtype=out, device=device(x))
        return LNERicci(zero, zero, xp.zeros(shape[:-1], dtype=x.dtype, device=device(x)))

    def scalar_curvature(self, x: Array, *, check: bool = True) -> Array:
        """Scalar curvature: zeros of shape (...). Errors as above.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).scalar_curvature(np.ones((2, 3))))
        [0. 0.]
        """
        return self.ricci(x).coefficient

    @finite_result
    def riemann(self, x: Array, u: Array, v: Array, w: Array, *, check: bool = True) -> Array:
        """The vector R(u, v) w: zeros of shape (..., n). Errors as above.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> one = np.ones(2)
        >>> print(HessianLNEMetric(1.0).riemann(one, one, one, one))
        [0. 0.]
        """
        xp, (x, u, v, w), out = prepare(check=check, x=x, u=u, v=v, w=w)
        shape = np.broadcast_shapes(*(tuple(a.shape) for a in (self._z(x), u, v, w)))
        return xp.zeros(shape, dtype=out, device=device(x))

    def sectional_curvature(self, x: Array, u: Array, v: Array, *, check: bool = True) -> Array:
        """Sectional curvature of the plane of u and v: zeros of shape (...). Errors as above.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).sectional_curvature(*np.eye(3)))
        0.0
        """
        return self.riemann(x, u, v, v)[..., 0]

    def divergence(self, x: Array, y: Array) -> Array:
        """D[x : y] of Eq. 15 for this tau, shape (...): see `lne_divergence`. Errors as there.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(float(HessianLNEMetric(1.0).divergence(np.ones(2), np.ones(2))))
        0.0
        """
        return lne_divergence(x, y, self.tau)

    def _z(self, x: Array) -> Array:
        return x * fit_tau(self.tau, x)[1]
