"""The LNE metric as that of a spacelike hypersurface: its embedding and its curvature tensor."""

from __future__ import annotations

from ..arrays import Array, first_true
from ..errors import InvalidArgumentError, ShapeError
from ..finite import finite_result
from ._common import column, fit_tau, inner, prepare
from .divergence import lne_potential
from .geodesics import GeodesicGeometry


@finite_result
def minkowski_product(a: Array, b: Array, *, check: bool = True) -> Array:
    """The product sum_i a_i b_i - a_0 b_0 of Minkowski space, the time a_0 last, shape (...).

    Parameters
    ----------
    a, b : array, shape (..., n + 1)
        Vectors; the time component is the last one, as in `LNEMetric.embedding`.

    Returns
    -------
    array, shape (...)
        In the product of the units.

    Raises
    ------
    DTypeError, ShapeError
        If the arguments are not real floating-point arrays of fitting shapes with n >= 1.

    References
    ----------
    Conventions: signature (+, ..., +, -).

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import minkowski_product
    >>> print(minkowski_product(np.asarray([3.0, 4.0, 5.0]), np.asarray([3.0, 4.0, 5.0])))
    0.0
    """
    xp, (a, b), out = prepare(check=check, a=a, b=b)
    if a.shape[-1] < 2:
        raise ShapeError(f"a has shape {tuple(a.shape)}; a space and a time component are needed")
    space = inner(xp, a[..., :-1], b[..., :-1])
    return xp.astype(space - a[..., -1] * b[..., -1], out, copy=False)


class HypersurfaceGeometry(GeodesicGeometry):
    """Part of `LNEMetric` that rests on the graph of f = sum_i log cosh(tau x_i)/tau.

    With A = diag(D), the Hessian of f, and the unit normal (t, 1)/sqrt(s), the second fundamental
    form is A/sqrt(s), and Gauss's equation in Minkowski space gives the curvature.
    """

    @finite_result
    def embedding(self, x: Array, *, check: bool = True) -> Array:
        """The point (x, f(x)) of Minkowski space R^(n,1), time last, shape (..., n + 1).

        f = sum_i log cosh(tau x_i)/tau; all in the unit of the weights. g is the Minkowski
        product, pulled back. Defined for all x; the graph is spacelike where g is positive
        definite. Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(1.0).embedding(np.asarray([1.0, -1.0])).round(4))
        [ 1.     -1.      0.8676]
        """
        xp, (x,), out = prepare(check=check, x=x)
        height = lne_potential(x, self.tau) * fit_tau(self.tau, x)[0]
        x = xp.broadcast_to(x, (*height.shape, x.shape[-1]))
        return xp.astype(xp.concat([x, column(xp, height)], axis=-1), out, copy=False)

    @finite_result
    def riemann(self, x: Array, u: Array, v: Array, w: Array, *, check: bool = True) -> Array:
        """The vector R(u, v) w = R^l_ijk u^i v^j w^k, shape (..., n), in O(n).

        R(u, v) w = -[(v.A w) g^-1 A u - (u.A w) g^-1 A v]/s.

        Parameters
        ----------
        x, u, v, w : array, shape (..., n)
            Weights and three tangent vectors; batch dimensions broadcast.
        check : bool
            Refuse points where g is not positive definite.

        Returns
        -------
        array, shape (..., n)
            In the unit of u v w over the square of that of the weights.

        Raises
        ------
        NotPositiveDefiniteError
            If s <= 0 in some block.
        DTypeError, ShapeError
            If the arguments are not real floating-point arrays of fitting shapes.

        References
        ----------
        Gauss's equation for the graph whose induced metric is Eq. 16 of arXiv 2302.03390 v3.

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> x, u, v = np.zeros(3), np.asarray([1.0, 0.0, 0.0]), np.asarray([0.0, 1.0, 0.0])
        >>> print(LNEMetric(2.0).riemann(x, u, v, v) + 0.0)
        [-4.  0.  0.]
        """
        xp, (x, u, v, w), out = prepare(check=check, x=x, u=u, v=v, w=w)
        t, d = self._t_and_d(xp, x)
        s = self._gap(xp, x, t, check)
        across = (d * u) * column(xp, inner(xp, d * v, w)) - (d * v) * column(
            xp, inner(xp, d * u, w)
        )
        raised = across + t * column(xp, inner(xp, t, across) / s)
        return xp.astype(raised * column(xp, -1.0 / s), out, copy=False)

    @finite_result
    def sectional_curvature(self, x: Array, u: Array, v: Array, *, check: bool = True) -> Array:
        """Sectional curvature of the plane of u and v, shape (...), in O(n); <= 0.

        K = -[(u.A u)(v.A v) - (u.A v)^2] / (s [(u.g u)(v.g v) - (u.g v)^2]), A = diag(D),
        D = tau (1 - t^2).

        Parameters
        ----------
        x, u, v : array, shape (..., n)
            Weights and two tangent vectors; batch dimensions broadcast.
        check : bool
            Refuse points where g is not positive definite, and vectors that span no plane.

        Returns
        -------
        array, shape (...)
            In one over the square of the weights' unit.

        Raises
        ------
        NotPositiveDefiniteError
            If s <= 0 in some block.
        InvalidArgumentError
            If u and v are parallel in some block.
        DTypeError, ShapeError
            If the arguments are not real floating-point arrays of fitting shapes.

        References
        ----------
        As for `riemann`.

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> u, v = np.asarray([1.0, 0.0]), np.asarray([1.0, 1.0])
        >>> print(LNEMetric(2.0).sectional_curvature(np.zeros(2), u, v))
        -4.0
        """
        xp, (x, u, v), _ = prepare(check=check, x=x, u=u, v=v)
        t, d = self._t_and_d(xp, x)
        s = self._gap(xp, x, t, check)

        def product(a: Array, b: Array) -> Array:
            return inner(xp, a, b) - inner(xp, t, a) * inner(xp, t, b)

        uu, before = product(u, u), product(v, v)
        # K depends on the plane alone: an orthogonal v keeps the digits of narrow angles.
        some = xp.where(uu > 0.0, uu, xp.ones_like(uu))
        v = v - u * column(xp, product(u, v) / some)
        area = uu * product(v, v)
        tiny = 1e3 * float(xp.finfo(v.dtype).eps)
        if check:
            index = first_true(~(area > tiny * tiny * uu * before))
            if index is not None:
                raise InvalidArgumentError(
                    f"u and v span no plane at batch index {index}: they are parallel or zero; "
                    "give two independent tangent vectors"
                )
        bend = inner(xp, d * u, u) * inner(xp, d * v, v) - inner(xp, d * u, v) ** 2
        return -bend / (s * area)
