"""The LNE metric g = I - t t^T of Eq. 16: everything in O(n), in closed form."""

from __future__ import annotations

from ..arrays import Array
from ..finite import finite_result
from ._common import column, inner, prepare
from .divergence import lne_divergence
from .hypersurface import HypersurfaceGeometry
from .ricci import LNERicci


class LNEMetric(HypersurfaceGeometry):
    """The LNE metric g(x) = I - t t^T, t_i = tanh(tau x_i).

    With s = 1 - |t|^2: g is positive definite exactly when s > 0; its inverse is I + t t^T / s,
    its determinant s, its eigenvalues are 1 (n - 1 times) and s. It is the metric induced on the
    graph of sum_i log cosh(tau x_i)/tau in Minkowski space, and is curved for n >= 2. For n = 1
    it is sech^2(tau x), flat and positive definite for every tau.

    All methods take weights of shape (..., n), any array library, and follow its device and
    precision; half precision is computed in float32 inside. Gradients pass through all but
    `log`. Inputs are never written to. On float32 and float64, `apply` and `solve` need two
    arrays of n numbers beyond their inputs, the result among them.

    Parameters
    ----------
    tau : float or array that broadcasts against the batch shape
        Scale in one over the unit of the weights, greater than 0. See `max_tau` for the largest
        admissible value, `auto_tau` for a choice.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive.

    Notes
    -----
    Functions that need s > 0 (`solve` in the exact form, `determinant`, `christoffel`, `ricci`,
    `scalar_curvature`) checks it, which waits for the device on a GPU; ``check=False`` leaves
    the check out, and where s <= 0 the results are then those of an indefinite or singular g.

    References
    ----------
    Eq. 16 (Theorem 10) of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import LNEMetric
    >>> metric = LNEMetric(0.5)
    >>> x, v = np.asarray([0.5, -1.0, 0.2]), np.asarray([1.0, 2.0, 3.0])
    >>> print(np.allclose(metric.apply(x, v), metric.matrix(x) @ v))
    True
    >>> print(np.allclose(metric.solve(x, metric.apply(x, v)), v))
    True
    """

    @finite_result
    def christoffel(self, x: Array, u: Array, v: Array, *, check: bool = True) -> Array:
        """The vector Gamma^k_ij u^i v^j = -(sum_i D_i u_i v_i) t_k / s, D = tau (1 - t^2), in O(n).

        The geodesic equation is x'' = -christoffel(x, x', x').

        Parameters
        ----------
        x, u, v : array, shape (..., n)
            Weights and two tangent vectors; batch dimensions broadcast.
        check : bool
            Refuse points where g is not positive definite.

        Returns
        -------
        array, shape (..., n)
            In the unit of u times v over that of x.

        Raises
        ------
        NotPositiveDefiniteError
            If s <= 0 in some block.
        DTypeError, ShapeError
            If the arguments are not real floating-point arrays of fitting shapes.

        References
        ----------
        Levi-Civita connection of Eq. 16 of arXiv 2302.03390 v3 (not in the paper).

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> x, u = np.asarray([0.5, -0.5]), np.asarray([1.0, 0.0])
        >>> print(LNEMetric(1.0).christoffel(x, u, u).round(4))
        [-0.6344  0.6344]
        """
        xp, (x, u, v), out = prepare(check=check, x=x, u=u, v=v)
        t, d = self._t_and_d(xp, x)
        c = -inner(xp, d * u, v) / self._gap(xp, x, t, check)
        return xp.astype(t * column(xp, c), out, copy=False)

    @finite_result
    def ricci(self, x: Array, *, check: bool = True) -> LNERicci:
        """Ricci tensor, a diagonal plus a rank-one matrix, in O(n).

        Ric = -[(tr/s) diag(D) - diag(D^2)/s - (D t)(D t)^T/s^2], D = tau (1 - t^2),
        tr = sum_i D_i (1 + t_i^2/s). Round spheres have positive Ricci; here Ric <= 0, and
        Ric = -(n - 1) tau^2 I at x = 0.

        Parameters
        ----------
        x : array, shape (..., n)
            Weights.
        check : bool
            Refuse points where g is not positive definite.

        Returns
        -------
        LNERicci
            In one over the square of the weights' unit.

        Raises
        ------
        NotPositiveDefiniteError
            If s <= 0 in some block.
        DTypeError, ShapeError
            If x is not a real floating-point array of shape (..., n), or tau does not fit.

        References
        ----------
        Gauss's equation for the graph in Minkowski space whose induced metric is Eq. 16 of
        arXiv 2302.03390 v3. The paper's section 4.1 calls the metric Ricci-flat; it is not.

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> ric = LNEMetric(2.0).ricci(np.zeros(4))
        >>> print(ric.diagonal, float(ric.coefficient))
        [-12. -12. -12. -12.] 1.0
        """
        xp, (x,), out = prepare(check=check, x=x)
        t, d = self._t_and_d(xp, x)
        s = self._gap(xp, x, t, check)
        trace = xp.sum(d, axis=-1) + inner(xp, d * t, t) / s
        diagonal = d * (d - column(xp, trace)) / column(xp, s)
        diagonal, vector = (xp.astype(a, out, copy=False) for a in (diagonal, d * t))
        return LNERicci(diagonal, vector, 1.0 / (s * s))

    @finite_result
    def scalar_curvature(self, x: Array, *, check: bool = True) -> Array:
        """Scalar curvature, shape (...), in O(n).

        R = -[(sum D)^2 - sum D^2 + (2/s)(sum D sum D t^2 - sum D^2 t^2)]/s
        with D = tau (1 - t^2). This is -[tr^2 - sum_ij (g^ij)^2 D_i D_j]/s with the terms in
        1/s^2, which cancel, left out. It is <= 0, and 0 for n = 1. In one over the square of
        the weights' unit.

        Raises NotPositiveDefiniteError where s <= 0, DTypeError or ShapeError for x that is not
        real floating point (..., n). Source: as for `ricci`.

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(2.0).scalar_curvature(np.zeros(4)))
        -48.0
        """
        xp, (x,), _ = prepare(check=check, x=x)
        t, d = self._t_and_d(xp, x)
        s = self._gap(xp, x, t, check)
        dtt = d * t * t
        plain = xp.sum(d, axis=-1) ** 2 - inner(xp, d, d)
        mixed = xp.sum(d, axis=-1) * xp.sum(dtt, axis=-1) - inner(xp, d, dtt)
        return -(plain + 2.0 * mixed / s) / s

    def divergence(self, x: Array, y: Array) -> Array:
        """D[x : y] of Eq. 15 for this tau, shape (...): see `lne_divergence`.

        Its second-order term is `HessianLNEMetric`, not this metric. Raises DTypeError or
        ShapeError for arguments that are not real floating point (..., n) and fit.

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(float(LNEMetric(1.0).divergence(np.ones(2), np.ones(2))))
        0.0
        """
        return lne_divergence(x, y, self.tau)
