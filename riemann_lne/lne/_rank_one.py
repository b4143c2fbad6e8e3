"""The linear algebra of g = I - t t^T: its action, inverse, determinant and eigenvalues in O(n)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, device, require_finite, to_numpy
from ..errors import NotPositiveDefiniteError, UnknownNameError
from ..finite import finite_result
from ._common import WithTau, column, fit_tau, inner, prepare, sech2
from .scale import max_tau

_METHODS = ("exact", "weak")


class RankOneAlgebra(WithTau):
    """Part of `LNEMetric` about its matrix at a point, without derivatives."""

    @finite_result
    def matrix(self, x: Array, *, check: bool = True) -> Array:
        """g(x) = I - t t^T as an array (..., n, n), dimensionless. For small n.

        Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(1.0).matrix(np.zeros(2)))
        [[1. 0.]
         [0. 1.]]
        """
        xp, (x,), out = prepare(check=check, x=x)
        t = self._t(xp, x)
        eye = xp.eye(x.shape[-1], dtype=x.dtype, device=device(x))
        return xp.astype(eye - column(xp, t) * xp.expand_dims(t, axis=-2), out, copy=False)

    @finite_result
    def norm2(self, x: Array, *, check: bool = True) -> Array:
        """|t|^2 = sum_i tanh^2(tau x_i), shape (...), dimensionless; g is a metric where it is < 1.

        Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(0.5).norm2(np.full(1000, 0.05)).round(6))
        0.62474
        """
        xp, (x,), _ = prepare(check=check, x=x)
        t = self._t(xp, x)
        return inner(xp, t, t)

    @finite_result
    def apply(self, x: Array, v: Array, *, check: bool = True) -> Array:
        """g(x) v = v - (t . v) t, shape (..., n), in O(n).

        Defined for every tau. Raises DTypeError or ShapeError if x and v are not real floating
        point (..., n) with equal n and batch dimensions that broadcast.

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(1.0).apply(np.zeros(2), np.asarray([1.0, 2.0])))
        [1. 2.]
        """
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        t = self._t(xp, x)
        return self._add_multiple(xp, v, -inner(xp, t, v), t, out)

    @finite_result
    def solve(self, x: Array, v: Array, method: str = "exact", *, check: bool = True) -> Array:
        """g(x)^-1 v, the natural gradient of a gradient v, in O(n).

        - ``"exact"``: v + t (t . v)/s, the inverse;
        - ``"weak"``: v + t (t . v), the paper's Cor. 19 (Eq. 29). Its error is exactly
          g (I + t t^T) - I = -|t|^2 t t^T; it is defined for every tau.

        Parameters
        ----------
        x, v : array, shape (..., n)
            Weights and gradient; batch dimensions broadcast.
        method : str
        check : bool
            Refuse points where g is not positive definite (``"exact"`` only).

        Returns
        -------
        array, shape (..., n)
            In the unit of v (g is dimensionless).

        Raises
        ------
        NotPositiveDefiniteError
            If s <= 0 in some block; the message names it, |t|^2 and the largest admissible tau.
        UnknownNameError
            If the method has another name.
        DTypeError, ShapeError
            If x and v are not real floating-point arrays of fitting shapes.

        References
        ----------
        Eq. 5, 17, 26, 27 (exact), 29 (weak) of arXiv 2302.03390 v3.

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> x, v = np.asarray([0.5, -0.5]), np.asarray([1.0, 0.0])
        >>> print(LNEMetric(1.0).solve(x, v).round(4))
        [ 1.3728 -0.3728]
        >>> print(LNEMetric(1.0).solve(x, v, method="weak").round(4))
        [ 1.2136 -0.2136]
        """
        if method not in _METHODS:
            raise UnknownNameError("method", method, _METHODS)
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        t = self._t(xp, x)
        c = inner(xp, t, v)
        if method == "exact":
            c = c / self._gap(xp, x, t, check)
        return self._add_multiple(xp, v, c, t, out)

    @finite_result
    def determinant(self, x: Array, *, check: bool = True) -> Array:
        """Determinant s = 1 - |t|^2 of g, shape (...), dimensionless.

        Raises NotPositiveDefiniteError where s <= 0 (without the check: the value as it is),
        DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(0.5).determinant(np.full(1000, 0.05)).round(6))
        0.37526
        """
        xp, (x,), _ = prepare(check=check, x=x)
        s = self._stable_gap(xp, x)
        if check and not bool(xp.all(s > 0.0)):
            self._refuse(xp, x, s)
        return s

    @finite_result
    def eigenvalues(self, x: Array, *, check: bool = True) -> Array:
        """Eigenvalues of g(x) in ascending order, (..., n): s, then n - 1 ones. Any tau.

        Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(1.0).eigenvalues(np.zeros(3)))
        [1. 1. 1.]
        """
        xp, (x,), out = prepare(check=check, x=x)
        s = column(xp, self._stable_gap(xp, x))
        ones = xp.ones((*s.shape[:-1], x.shape[-1] - 1), dtype=x.dtype, device=device(x))
        return xp.astype(xp.concat([s, ones], axis=-1), out, copy=False)

    @finite_result
    def is_positive_definite(self, x: Array, *, check: bool = True) -> Array:
        """Whether |t|^2 < 1, as booleans of shape (...).

        Raises DTypeError or ShapeError for x that is not real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(0.63).is_positive_definite(np.full(1000, 0.05)))
        True
        >>> print(LNEMetric(0.64).is_positive_definite(np.full(1000, 0.05)))
        False
        """
        xp, (x,), _ = prepare(check=check, x=x)
        return self._stable_gap(xp, x) > 0.0

    @finite_result
    def is_diagonally_dominant(self, x: Array, *, check: bool = True) -> Array:
        """Whether g(x) is strictly diagonally dominant, as booleans of shape (...), in O(n).

        Row i asks 1 - t_i^2 > sum_{j != i} |t_i t_j|, that is |t_i| sum_j |t_j| < 1; the largest
        |t_i| decides. Source: Def. 17 and 18 of arXiv 2302.03390 v3. It implies that g is
        positive definite. Raises DTypeError or ShapeError for x that is not real floating point
        (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(1.0).is_diagonally_dominant(np.asarray([[0.5, 0.5], [1.2, 0.9]])))
        [ True False]
        """
        xp, (x,), _ = prepare(check=check, x=x)
        largest, gap, others = self._apart(xp, x)
        return gap > largest * xp.sum(others, axis=-1)

    def _t(self, xp: Any, x: Array) -> Array:
        return xp.tanh(x * fit_tau(self.tau, x)[1])

    def _t_and_d(self, xp: Any, x: Array) -> tuple[Array, Array]:
        """The vectors t and D = dt/dx = tau sech^2(tau x)."""
        weight = fit_tau(self.tau, x)[1]
        return xp.tanh(x * weight), sech2(xp, x, weight) * weight

    @staticmethod
    def _add_multiple(xp: Any, v: Array, c: Array, t: Array, dtype: Any) -> Array:
        """Sum v + c t. The product is fresh and no gradient needs it: add in place."""
        result = t * column(xp, c)
        result += v
        return xp.astype(result, dtype, copy=False)

    def _apart(self, xp: Any, x: Array) -> tuple[Array, Array, Array]:
        """|t| of the largest weight of each block, sech^2 there, and t of all the others.

        With 1 minus the largest t_i^2 taken as sech^2, s stays right, and positive, for n = 1
        and where the other weights are zero or tiny, however large tau is; 1 - |t|^2 would
        round to 0 there. The largest weight itself is among the others with t = 0.
        """
        block, weight = fit_tau(self.tau, x)
        size = xp.abs(x)
        top = xp.argmax(size, axis=-1, keepdims=True)
        mask = xp.arange(x.shape[-1], device=device(x)) == top
        zero = xp.zeros_like(size)
        # a sum and not xp.max, whose gradient is shared among equal weights
        largest = xp.sum(xp.where(mask, size, zero), axis=-1)
        others = xp.where(mask, zero, size)
        return xp.tanh(largest * block), sech2(xp, largest, block), xp.tanh(others * weight)

    def _stable_gap(self, xp: Any, x: Array) -> Array:
        """The gap s with small relative error: see `_apart`."""
        _, gap, others = self._apart(xp, x)
        return gap - inner(xp, others, others)

    def _gap(self, xp: Any, x: Array, t: Array, check: bool) -> Array:
        """The gap s = 1 - |t|^2 from t, checked to be positive if asked."""
        s = 1.0 - inner(xp, t, t) if x.shape[-1] > 1 else self._stable_gap(xp, x)
        if check and not bool(xp.all(s > 0.0)):
            s = self._stable_gap(xp, x)
            if not bool(xp.all(s > 0.0)):
                self._refuse(xp, x, s)
        return s

    def _refuse(self, xp: Any, x: Array, s: Array) -> None:
        """Raise the error that says where g is not positive definite and what to do."""
        require_finite(x, "x")
        values = to_numpy(s)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmin(values)), values.shape))
        gap = float(values[index])
        block = xp.broadcast_to(x, (*values.shape, x.shape[-1]))[(*index, slice(None))]
        tau = self.tau
        if not isinstance(tau, float):
            tau = float(np.broadcast_to(to_numpy(tau), values.shape)[index])
        where = f"batch index {index}" if index else "the given point"
        raise NotPositiveDefiniteError(
            f"g = I - t t^T is not positive definite at {where}: |t|^2 = {1.0 - gap:.6g}, and it "
            f"must be below 1; tau is {tau:.6g} and must be below {max_tau(block):.6g} for these "
            "weights. Choose a smaller tau, for instance auto_tau(x, target=0.5), or the "
            'method "weak" of solve, which needs no positive-definite metric',
            index=index,
            eigenvalue=gap,
        )
