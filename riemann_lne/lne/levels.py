"""The discrete levels of quantised weights, Q1 and Qk of Eq. 37 and 38, as array code.

The PyTorch adapter's quantisers call these functions.
"""

from __future__ import annotations

import operator
from typing import Any

from .. import checks
from ..arrays import Array, namespace, require_real_floating
from ..errors import InvalidArgumentError, ShapeError
from ..finite import quiet

MAX_BITS = 16
"""Largest number of bits of a quantiser."""


@quiet
def quantize_levels(w: Array, bits: int) -> Array:
    """Q1(w) for one bit, Qk(w) for more.

    Q1(w) = sign(w) with sign(0) = +1, and for k > 1 bits
    Qk(w) = 2/(2^k - 1) round[(2^k - 1)(w/(2 max|w|) + 1/2)] - 1: 2^k levels, evenly spaced on
    [-1, 1] with both ends. Ties go to the even level number. Zeros alone are treated as if max|w|
    were 1 and become the positive one of the two inner levels.

    Parameters
    ----------
    w : array, any shape with at least one element
        Real floating point, any unit.
    bits : int
        k, from 1 to 16.

    Returns
    -------
    array, shape of w
        Dimensionless. NaN stays NaN.

    Raises
    ------
    InvalidArgumentError
        If bits is not an integer from 1 to 16.
    DTypeError, ShapeError
        If w is not real floating point, or empty.

    References
    ----------
    Eq. 37 and 38 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import quantize_levels
    >>> print(quantize_levels(np.asarray([-2.0, -0.5, 0.1, 2.0]), 2).round(4))
    [-1.     -0.3333  0.3333  1.    ]
    >>> print(quantize_levels(np.asarray([-0.3, 0.0, 0.7]), 1))
    [-1.  1.  1.]
    """
    bits = check_bits(bits)
    xp = require_real_floating(w, "w")
    if w.size == 0:
        raise ShapeError(f"w has shape {tuple(w.shape)}: give at least one weight")
    if bits == 1:
        return sign_levels(w, xp)
    largest = xp.max(xp.abs(w))
    return even_levels(w / xp.where(largest == 0.0, xp.ones_like(largest), largest), bits, xp)


def sign_levels(w: Any, xp: Any = None) -> Any:
    """Q1 without checks, for adapters: +1 where w >= 0, -1 where w < 0, w where neither (NaN).

    Dimensionless, shape of w; ``xp`` is the library of w, looked up if not given.
    """
    xp = namespace(w) if xp is None else xp
    one = xp.ones_like(w)
    return xp.where(w >= 0.0, one, xp.where(w < 0.0, -one, w))


def even_levels(ratio: Any, bits: int, xp: Any = None) -> Any:
    """Qk of ratio = w/max|w| in [-1, 1] without checks, for adapters; see `quantize_levels`.

    Dimensionless, shape of ratio.
    """
    xp = namespace(ratio) if xp is None else xp
    steps = 2**bits - 1
    number = xp.round(steps * (0.5 * ratio + 0.5))
    # (2 m - steps)/steps and not m (2/steps) - 1: the ends are exactly -1 and 1, and levels come
    # in pairs of opposite sign
    return (2.0 * number - steps) / steps


def check_bits(bits: object, where: str = "") -> int:
    """The number of bits, if it is an integer from 1 to 16; `where` names the layer.

    Raises InvalidArgumentError otherwise.
    """
    try:
        checks.count(bits, "bits")  # truth values are none
        number = operator.index(bits)  # type: ignore[arg-type]
    except (InvalidArgumentError, TypeError):  # 2.0 is no integer
        number = 0
    if not 1 <= number <= MAX_BITS:
        raise InvalidArgumentError(
            f"{where}the number of bits must be an integer from 1 to {MAX_BITS}, got {bits!r}"
        )
    return number
