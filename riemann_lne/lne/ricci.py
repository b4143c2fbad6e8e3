"""A Ricci tensor of weight space, held as a diagonal plus a rank-one matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..arrays import Array, device
from ..finite import finite_result
from ..identity import ByValue
from ._common import column, inner, prepare


@dataclass(frozen=True, eq=False)
class LNERicci(ByValue):
    """Ric_ij = diagonal_i delta_ij + coefficient * vector_i * vector_j, in O(n) memory.

    Units: one over the square of the weights' unit, as tau^2.

    Attributes
    ----------
    diagonal : array, shape (..., n)
    vector : array, shape (..., n)
    coefficient : array, shape (...)

    Examples
    --------
    At the origin the metric of Eq. 16 has Ric = -(n - 1) tau^2 I:

    >>> import numpy as np
    >>> from riemann_lne.lne import LNEMetric
    >>> ric = LNEMetric(0.5).ricci(np.zeros(3))
    >>> print(ric.matrix())
    [[-0.5  0.   0. ]
     [ 0.  -0.5  0. ]
     [ 0.   0.  -0.5]]
    """

    diagonal: Array
    vector: Array
    coefficient: Array

    @finite_result
    def apply(self, u: Array, *, check: bool = True) -> Array:
        """Ric u: diagonal * u + coefficient * (vector . u) * vector, in O(n).

        Parameters
        ----------
        u : array, shape (..., n)

        Returns
        -------
        array, shape (..., n)
            The components Ric_ij u^j.

        Raises
        ------
        DTypeError, ShapeError
            If u is not real floating point, or its shape does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> print(LNEMetric(0.5).ricci(np.zeros(2)).apply(np.asarray([1.0, 2.0])))
        [-0.25 -0.5 ]
        """
        xp, (vector, diagonal, w), out = prepare(
            check=check, vector=self.vector, diagonal=self.diagonal, u=u
        )
        c = self.coefficient * inner(xp, vector, w)
        result = vector * column(xp, c) + diagonal * w
        return xp.astype(result, out, copy=False)

    @finite_result
    def matrix(self, *, check: bool = True) -> Array:
        """The n-by-n matrix, shape (..., n, n). For small n: it is the only O(n^2) thing here.

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> LNEMetric(0.5).ricci(np.zeros((4, 3))).matrix().shape
        (4, 3, 3)
        """
        xp, (vector, diagonal), out = prepare(
            check=check, vector=self.vector, diagonal=self.diagonal
        )
        outer = column(xp, vector * column(xp, self.coefficient)) * xp.expand_dims(vector, axis=-2)
        return xp.astype(diagonal_matrix(xp, diagonal) + outer, out, copy=False)


def diagonal_matrix(xp: Any, d: Array) -> Array:
    """Matrices (..., n, n) with the given diagonals (..., n)."""
    eye = xp.eye(d.shape[-1], dtype=d.dtype, device=device(d))
    return eye * column(xp, d)
