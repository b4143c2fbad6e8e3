"""The LNE metric plus a diagonal: another metric's or a loss's curvature, solved in O(n)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import Array, device
from ..errors import ShapeError
from ..finite import finite_result
from ._common import column, prepare, spread, validate_scale
from ._corrected import CorrectedLNE
from .pieces import summed


def shifted_terms(t: Any, v: Any, divisor: Any) -> Iterator[Any]:
    """t^2, t a t, t a v and v^2 with a = 1/divisor = 1/(1 + d): what the inverse needs.

    Array code for arrays and symbols, as the terms of `riemann_lne.lne.pieces`.
    """
    yield t * t
    bent = t / divisor
    yield bent * t
    yield bent * v
    yield v * v


def shifted_solution(t: Any, v: Any, divisor: Any, coefficient: Any) -> Any:
    """The result a (v + c t), a = 1/divisor."""
    return (v + coefficient * t) / divisor


def relative_shift(positive: Any, factor: Any, constant: Any) -> Any:
    """The shift d = f max(D, 0) + constant of a running curvature D, from max(D, 0)."""
    return positive * factor + constant


def running_mean(mean: Any, value: Any, gain: Any) -> Any:
    """A running mean moved towards a value by a fraction: D + gain (value - D)."""
    return mean + gain * (value - mean)


class ShiftedLNEMetric(CorrectedLNE):
    """The metric I + diag(d) - t t^T, t = tanh(tau x), d >= 0: Eq. 16 plus a diagonal.

    With a = 1/(1 + d) its inverse is, by Sherman and Morrison,
    v -> a v + a t (t . a v)/(1 - t . a t). As a <= 1, it is positive definite where Eq. 16 is,
    and t . a t <= |t|^2.

    Parameters
    ----------
    tau : float or array that broadcasts against the batch shape
        Scale in one over the unit of the weights, greater than 0.
    shift : float or array that broadcasts against the weights
        d, dimensionless, at least 0: for instance the curvature of a loss along each weight,
        divided by its mean.
    check : bool
        Refuse shifts that are negative or not finite; without it none is looked at.

    Raises
    ------
    InvalidArgumentError
        If tau is not finite and positive, or a shift is negative or not finite.

    References
    ----------
    Eq. 16 of arXiv 2302.03390 v3. The diagonal is not in the paper.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import ShiftedLNEMetric
    >>> metric = ShiftedLNEMetric(0.7, shift=np.asarray([0.0, 1.0, 5.0]))
    >>> x, v = np.asarray([0.5, -0.6, 0.2]), np.asarray([1.0, 2.0, 3.0])
    >>> print(np.allclose(metric.matrix(x) @ metric.solve(x, v), v))
    True
    """

    def __init__(self, tau: Any, shift: Any, *, check: bool = True) -> None:
        super().__init__(tau)
        self.shift = validate_scale(shift, "shift", zero=True) if check else shift

    def __repr__(self) -> str:
        return f"{type(self).__name__}(tau={self.tau}, shift={self.shift})"

    @finite_result
    def matrix(self, x: Array, *, check: bool = True) -> Array:
        """The metric as an array (..., n, n). For small n. Errors as `solve`.

        >>> import numpy as np
        >>> from riemann_lne.lne import ShiftedLNEMetric
        >>> print(ShiftedLNEMetric(1.0, shift=0.5).matrix(np.zeros(2)))
        [[1.5 0. ]
         [0.  1.5]]
        """
        xp, (x,), out = prepare(check=check, x=x)
        eye = xp.eye(x.shape[-1], dtype=x.dtype, device=device(x))
        diagonal = column(xp, self._shift(x) + xp.zeros_like(x)) * eye
        return self.lne.matrix(x, check=check) + xp.astype(diagonal, out, copy=False)

    @finite_result
    def apply(self, x: Array, v: Array, *, check: bool = True) -> Array:
        """The product (I + diag(d) - t t^T) v, shape (..., n), in O(n). Errors as `solve`.

        >>> import numpy as np
        >>> from riemann_lne.lne import ShiftedLNEMetric
        >>> print(ShiftedLNEMetric(1.0, shift=0.5).apply(np.zeros(2), np.asarray([1.0, 2.0])))
        [1.5 3. ]
        """
        return self.lne.apply(x, v, check=check) + self._shift(x, v) * v

    @finite_result
    def solve(self, x: Array, v: Array, method: str = "exact", *, check: bool = True) -> Array:
        """The inverse's product with v, shape (..., n), in O(n).

        Raises NotPositiveDefiniteError where g itself is not positive definite (without the
        check the result may be meaningless there), UnknownNameError for a method other than
        ``"exact"``, DTypeError or ShapeError for arguments that are not real floating point
        (..., n) of fitting shapes.

        >>> import numpy as np
        >>> from riemann_lne.lne import ShiftedLNEMetric
        >>> print(ShiftedLNEMetric(1.0, shift=1.0).solve(np.zeros(2), np.asarray([1.0, 2.0])))
        [0.5 1. ]
        """
        self._require_solvable(x, method, check)
        _, bent, along, _ = self.solve_sums(x, v, check=check)
        return self.finish(x, v, along / (1.0 - bent), check=check)

    @finite_result
    def solve_sums(self, x: Array, v: Array, *, check: bool = True) -> tuple[Array, ...]:
        """Sums t . t, t . a t, t . a v and v . v over the weights given.

        x, v and the shift may be a piece of a block: see `riemann_lne.lne.pieces`.
        """
        xp, (x, v), _ = prepare(check=check, x=x, v=v)
        return summed(xp, shifted_terms(self.lne._t(xp, x), v, 1.0 + self._shift(x, v)))

    @finite_result
    def finish(self, x: Array, v: Array, coefficient: Any, *, check: bool = True) -> Array:
        """The solution a (v + c t) on the weights given, c = (t . a v)/(1 - t . a t)."""
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        t, divisor = self.lne._t(xp, x), 1.0 + self._shift(x, v)
        solution = shifted_solution(t, v, divisor, spread(xp, coefficient))
        return xp.astype(solution, out, copy=False)

    def _shift(self, *arrays: Array) -> Any:
        """The shift, which must broadcast against the weights."""
        if isinstance(self.shift, float):
            return self.shift
        shapes = [tuple(a.shape) for a in arrays]
        try:
            np.broadcast_shapes(tuple(self.shift.shape), *shapes)
        except ValueError as error:
            raise ShapeError(
                f"shift has shape {tuple(self.shift.shape)}, which does not broadcast against the "
                f"weights of shape {shapes[0]}; give one number, or one for each weight"
            ) from error
        return self.shift
