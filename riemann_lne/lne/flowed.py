"""The LNE metric after one step of the Ricci flow: a diagonal plus rank two, solved in O(n)."""

from __future__ import annotations

from typing import Any

from ..arrays import Array
from ..finite import finite_result
from ._common import inner, prepare, spread, validate_scale
from ._corrected import CorrectedLNE


class FlowedLNEMetric(CorrectedLNE):
    """The metric g(x) - 2 T Ric(x): one explicit Euler step of length T of the flow g' = -2 Ric.

    g is Eq. 16 and Ric its exact Ricci tensor, which is <= 0, so that the result is positive
    definite for every T >= 0 where g is. With D = tau (1 - t^2), q = D t, s = 1 - |t|^2 and the
    diagonal d of Ric it is diag(1 - 2 T d) - t t^T - (2 T/s^2) q q^T; its inverse is that of the
    diagonal corrected by a 2-by-2 system (Woodbury), O(n) in time and memory.

    Parameters
    ----------
    tau : float or array that broadcasts against the batch shape
        Scale in one over the unit of the weights, greater than 0.
    time : float or array that broadcasts against the batch shape
        T >= 0, in the square of the unit of the weights (Ric has the unit of tau^2). Near the
        origin Ric = -(n - 1) tau^2 I: T = 1/(2 (n - 1) tau^2) doubles the metric.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive or T is negative or not finite.

    References
    ----------
    Eq. 16 and section 6 of arXiv 2302.03390 v3, which takes this step by differences of metrics
    at shifted inputs instead.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import FlowedLNEMetric
    >>> metric = FlowedLNEMetric(0.7, time=0.2)
    >>> x, v = np.asarray([0.5, -0.6, 0.2]), np.asarray([1.0, 2.0, 3.0])
    >>> print(np.allclose(metric.matrix(x) @ metric.solve(x, v), v))
    True
    """

    def __init__(self, tau: Any, time: Any) -> None:
        super().__init__(tau)
        self.time = validate_scale(time, "time", zero=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(tau={self.tau}, time={self.time})"

    @finite_result
    def matrix(self, x: Array, *, check: bool = True) -> Array:
        """Metric g - 2 T Ric as an array (..., n, n). For small n. Errors as `solve`.

        >>> import numpy as np
        >>> from riemann_lne.lne import FlowedLNEMetric
        >>> print(FlowedLNEMetric(1.0, time=0.5).matrix(np.zeros(2)))
        [[2. 0.]
         [0. 2.]]
        """
        ricci = self.lne.ricci(x, check=check).matrix(check=check)
        factor = 2.0 * self.time
        if not isinstance(factor, float):
            factor = factor[..., None, None]
        return self.lne.matrix(x, check=check) - factor * ricci

    @finite_result
    def apply(self, x: Array, v: Array, *, check: bool = True) -> Array:
        """(g - 2 T Ric) v, shape (..., n), in O(n). Errors as `solve`.

        >>> import numpy as np
        >>> from riemann_lne.lne import FlowedLNEMetric
        >>> print(FlowedLNEMetric(1.0, time=0.5).apply(np.zeros(2), np.asarray([1.0, 2.0])))
        [2. 4.]
        """
        factor = 2.0 * self.time
        if not isinstance(factor, float):
            factor = factor[..., None]
        bent = self.lne.ricci(x, check=check).apply(v, check=check)
        return self.lne.apply(x, v, check=check) - factor * bent

    @finite_result
    def solve(self, x: Array, v: Array, method: str = "exact", *, check: bool = True) -> Array:
        """(g - 2 T Ric)^-1 v, shape (..., n), in O(n).

        Raises NotPositiveDefiniteError where g itself is not positive definite (without the
        check the result is meaningless there), UnknownNameError for a method other than
        ``"exact"``, DTypeError or ShapeError for arguments that are not real floating point
        (..., n) of fitting shapes.

        >>> import numpy as np
        >>> from riemann_lne.lne import FlowedLNEMetric
        >>> print(FlowedLNEMetric(1.0, time=0.5).solve(np.zeros(2), np.asarray([1.0, 2.0])))
        [0.5 1. ]
        """
        self._require_solvable(x, method, check)
        first = self.curvature_sums(x, check=check)
        sums = self.solve_sums(x, v, first, check=check)
        return self.finish(x, v, first, sums, check=check)

    @finite_result
    def curvature_sums(self, x: Array, *, check: bool = True) -> tuple[Array, Array, Array]:
        """|t|^2, sum D and sum D t^2 over the weights given: the sums that Ric needs.

        x may be a piece of a block: see `riemann_lne.lne.pieces`.
        """
        xp, (x,), _ = prepare(check=check, x=x)
        t, d = self.lne._t_and_d(xp, x)
        return inner(xp, t, t), xp.sum(d, axis=-1), inner(xp, d * t, t)

    @finite_result
    def solve_sums(
        self, x: Array, v: Array, curvature_sums: tuple[Any, Any, Any], *, check: bool = True
    ) -> tuple[Array, ...]:
        """Sums of a t t, a t q, a q q, a t v, a q v, with a the inverse of the diagonal."""
        xp, (x, v), _ = prepare(check=check, x=x, v=v)
        t, q, a = self._diagonal_inverse(xp, x, curvature_sums)
        at, aq = a * t, a * q
        pairs = ((at, t), (at, q), (aq, q), (at, v), (aq, v))
        return tuple(inner(xp, left, right) for left, right in pairs)

    @finite_result
    def finish(
        self,
        x: Array,
        v: Array,
        curvature_sums: tuple[Any, Any, Any],
        solve_sums: tuple[Any, ...],
        *,
        check: bool = True,
    ) -> Array:
        """The solution on the weights given, from the sums over the whole block."""
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        t, q, a = self._diagonal_inverse(xp, x, curvature_sums)
        tt, tq, qq, tv, qv = solve_sums
        s = 1.0 - curvature_sums[0]
        # (C^-1 + U^T a U) y = U^T a v with U = (t, q) and C = -diag(1, 2 T/s^2); the second row
        # is multiplied by 2 T/s^2, so that T = 0 is nothing special.
        k = 2.0 * self.time / (s * s)
        a11, a12, a21, a22 = tt - 1.0, tq, k * tq, k * qq - 1.0
        determinant = a11 * a22 - a12 * a21
        y1 = (a22 * tv - a12 * k * qv) / determinant
        y2 = (a11 * k * qv - a21 * tv) / determinant
        result = a * (v - spread(xp, y1) * t - spread(xp, y2) * q)
        return xp.astype(result, out, copy=False)

    def _diagonal_inverse(
        self, xp: Any, x: Array, curvature_sums: tuple[Any, Any, Any]
    ) -> tuple[Array, Array, Array]:
        """The vectors t, q = D t and a = 1/(1 - 2 T d), d = D (D - tr)/s."""
        t, d = self.lne._t_and_d(xp, x)
        norm2, total, weighted = curvature_sums
        s = 1.0 - norm2
        trace = total + weighted / s
        factor = 2.0 * self.time / s
        a = 1.0 / (1.0 + spread(xp, factor) * d * (spread(xp, trace) - d))
        return t, d * t, a
