"""Solves with a metric on blocks of weights that lie in pieces: in several arrays or processes.

`LNEMetric.solve` wants a block as one array. Here the sums over a block that its inverse needs are
functions of a piece, so that whoever holds the pieces adds them up (over arrays, over processes),
looks at them, and finishes piece by piece. A piece has shape (..., m); its m weights are part of
the block's n, and the sums have shape (...).

The terms of the sums are written down once, in the ``*_terms`` below: array code that is run on
arrays here, and on symbols by ``riemann_lne.kernels`` to get compiled loops. It may overwrite
z = tau x and t = tanh(z), but not the vector v; a term has been used when the next one is asked
for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ..arrays import Array
from ._common import fit_tau, prepare, spread, validate_tau


def power_terms(z: Any) -> Iterator[Any]:
    """z^2, z^4 and z^6, of which |tanh(z)|^2 is made where z is small."""
    z *= z
    yield z
    fourth = z * z
    yield fourth
    fourth *= z
    yield fourth


def scale_terms(z: Any, t: Any) -> Iterator[Any]:
    """t^2 and half its derivative by log tau, z t (1 - t^2)."""
    yield t * t
    z *= t
    t *= t
    t *= z
    z -= t
    yield z


def solve_terms(t: Any, v: Any) -> Iterator[Any]:
    """t^2, t v and v^2: what the inverse needs, and what the change by it is measured against."""
    yield t * t
    yield t * v
    yield v * v


def finished(t: Any, v: Any, coefficient: Any) -> Any:
    """The result v + c t."""
    t *= coefficient
    t += v
    return t


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

    def powers(self, x: Array) -> tuple[Array, ...]:
        """Sums of z^2, z^4 and z^6 of the piece, z = tau x."""
        xp, (x,), _ = prepare(check=False, x=x)
        return summed(xp, power_terms(x * fit_tau(self.tau, x)[1]))

    def solve(self, x: Array, v: Array) -> tuple[Array, ...]:
        """Sums t . t, t . v and v . v of the piece: see `inverse_coefficient`."""
        xp, (x, v), _ = prepare(check=False, x=x, v=v)
        return summed(xp, solve_terms(xp.tanh(x * fit_tau(self.tau, x)[1]), v))

    def scale(self, x: Array) -> tuple[Array, ...]:
        """Sum t . t and half its derivative by log tau, sum_i z_i t_i (1 - t_i^2)."""
        xp, (x,), _ = prepare(check=False, x=x)
        z = x * fit_tau(self.tau, x)[1]
        return summed(xp, scale_terms(z, xp.tanh(z)))

    def finish(self, x: Array, v: Array, coefficient: Any) -> Array:
        """The sum v + c t on the piece."""
        xp, (x, v), out = prepare(check=False, x=x, v=v)
        t = xp.tanh(x * fit_tau(self.tau, x)[1])
        return xp.astype(finished(t, v, spread(xp, coefficient)), out, copy=False)


def summed(xp: Any, terms: Iterator[Array]) -> tuple[Array, ...]:
    """The sum of each term over the last axis."""
    # Pairwise sums, not dot products of BLAS: see `inner`. By map, as a loop would hold each term
    # while the next one is made.
    return tuple(map(partial(xp.sum, axis=-1), terms))


def inverse_coefficient(norm2: Any, along: Any, method: str = "exact") -> Any:
    """The c of g^-1 v = v + c t from t . t and t . v of the whole block.

    (t . v)/(1 - |t|^2) for the ``"exact"`` inverse, t . v for the ``"weak"`` one (Eq. 29).
    """
    return along / (1.0 - norm2) if method == "exact" else along
