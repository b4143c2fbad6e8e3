"""Solves with a metric on blocks of weights that lie in pieces: in several arrays or processes.

`LNEMetric.solve` wants a block as one array. Here the sums over a block that its inverse needs are
functions of a piece, so that whoever holds the pieces adds them up (over arrays, over processes),
looks at them, and finishes piece by piece. A piece has shape (..., m); its m weights are part of
the block's n, and the sums have shape (...).
"""

from __future__ import annotations

from typing import Any

from ..arrays import Array
from ._common import column, fit_tau, inner, prepare, validate_tau


class PieceSums:
    """Sums over a piece for the metric of Eq. 16; add the results of a block's pieces.

    Parameters
    ----------
    tau : float or array that broadcasts against the batch shape
        Scale in one over the unit of the weights.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import LNEMetric
    >>> from riemann_lne.lne.pieces import PieceSums, inverse_coefficient
    >>> x, v = np.asarray([0.5, -0.3, 0.2]), np.asarray([1.0, 2.0, 3.0])
    >>> halves = [(x[:2], v[:2]), (x[2:], v[2:])]
    >>> sums = PieceSums(0.9)
    >>> norm2, along = (sum(s) for s in zip(*(sums.solve(*half)[:2] for half in halves)))
    >>> c = inverse_coefficient(norm2, along)
    >>> parts = [sums.finish(*half, c) for half in halves]
    >>> print(np.allclose(np.concatenate(parts), LNEMetric(0.9).solve(x, v)))
    True
    """

    def __init__(self, tau: Any) -> None:
        self.tau = validate_tau(tau)

    def solve(self, x: Array, v: Array) -> tuple[Array, Array, Array]:
        """Sums t . t, t . v and v . v of the piece: see `inverse_coefficient`."""
        xp, (x, v), _ = prepare(x=x, v=v)
        t = xp.tanh(x * fit_tau(self.tau, x)[1])
        return inner(xp, t, t), inner(xp, t, v), inner(xp, v, v)

    def scale(self, x: Array) -> tuple[Array, Array]:
        """Sum t . t and half its derivative by log tau, sum_i z_i t_i (1 - t_i^2)."""
        xp, (x,), _ = prepare(x=x)
        z = x * fit_tau(self.tau, x)[1]
        t = xp.tanh(z)
        norm2 = inner(xp, t, t)
        z *= t
        t *= t
        return norm2, xp.sum(z, axis=-1) - inner(xp, z, t)

    def finish(self, x: Array, v: Array, coefficient: Any) -> Array:
        """The sum v + c t on the piece."""
        xp, (x, v), out = prepare(x=x, v=v)
        t = xp.tanh(x * fit_tau(self.tau, x)[1])
        t *= coefficient if isinstance(coefficient, float) else column(xp, coefficient)
        t += v
        return xp.astype(t, out, copy=False)


def inverse_coefficient(norm2: Any, along: Any, method: str = "exact") -> Any:
    """The c of g^-1 v = v + c t from t . t and t . v of the whole block.

    (t . v)/(1 - |t|^2) for the ``"exact"`` inverse, t . v for the ``"weak"`` one (Eq. 29).
    """
    return along / (1.0 - norm2) if method == "exact" else along
