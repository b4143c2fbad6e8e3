"""The units that kernels compute in: whole weights of differences, equal spacings.

The central differences of an order are whole numbers over a common denominator, as 8 and -1 over
12 h. Kernels compute with the whole numbers, which saves a multiplication for each difference, and
in coordinates in which all axes have the same spacing: with h_a = s_a h a metric there is
s_a s_b g_ab. Its curvature and flow, tensors as well, are brought back at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from ..coefficients import central_weights, half_width
from ..tensors import pairs


@dataclass(frozen=True)
class Units:
    """Differences of an order as whole numbers.

    Attributes
    ----------
    first, second : int
        Common denominators of the weights of the first and the second derivative.
    first_weights : tuple of int
        Of f_j - f_-j for j = 1, ..., w; the first derivative is their sum over first h.
    second_weights : tuple of int
        Of f_0 and of f_j + f_-j; the second derivative is their sum over second h^2.
    """

    first: int
    second: int
    first_weights: tuple[int, ...]
    second_weights: tuple[int, ...]

    @property
    def ratio(self) -> int:
        """Factor that gives compact second differences the unit of mixed ones."""
        ratio, rest = divmod(self.first**2, self.second)
        assert rest == 0, "the unit of first differences squared is a multiple of that of second"
        return ratio


@cache
def units(order: int) -> Units:
    """Whole weights of an order.

    Examples
    --------
    >>> units(4)
    Units(first=12, second=12, first_weights=(8, -1), second_weights=(-30, 16, -1))
    >>> [units(order).ratio for order in (2, 4, 6)]
    [4, 12, 20]
    """
    w = half_width(order)
    first, second = central_weights(1, order)[w + 1 :], central_weights(2, order)[w:]
    one, two = (math.lcm(*(c.denominator for c in weights)) for weights in (first, second))
    return Units(one, two, tuple(int(one * c) for c in first), tuple(int(two * c) for c in second))


@lru_cache(maxsize=64)
def unit_factors(spacing: tuple[float, ...], order: int, dtype: str, tensor: bool) -> np.ndarray:
    """Factors of a kernel: for the components of a metric, then for those of the result.

    With the geometric mean h of the spacings, s_a = h_a / h and the common denominator m of first
    differences: s_a s_b, and 1 / ((m h)^2 s_a s_b), or 1 / (m h)^2 for a scalar.

    Parameters
    ----------
    spacing : tuple of float
        h_a, positive.
    order : int
        Of the differences.
    dtype : str
        Of the result.
    tensor : bool
        Whether the kernel's result is a packed tensor, else a scalar.

    Returns
    -------
    (n (n + 1),) or (n (n + 1) / 2 + 1,): dimensionless factors, then those in 1 / length^2.
    """
    n = len(spacing)
    mean = spacing[0]
    if len(set(spacing)) > 1:
        mean = math.exp(math.fsum(math.log(h) for h in spacing) / n)
    inward = [spacing[a] / mean * (spacing[b] / mean) for a, b in pairs(n)]
    unit = (units(order).first * mean) ** 2
    outward = [1.0 / (unit * s) for s in (inward if tensor else [1.0])]
    result = np.array([*inward, *outward], dtype=dtype)
    result.setflags(write=False)
    return result
