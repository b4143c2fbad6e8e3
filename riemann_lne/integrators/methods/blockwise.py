"""Elementwise formulas over whole states, a block at a time.

``mu * a + nu * b + c`` on whole arrays goes through main memory once for every operation. Taken
block by block every operand is read once and the result written once, and temporaries stay in the
cache. The result can be put into an array that is no longer needed, one of the operands included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import array_api_compat
import numpy as np

from ...arrays import Array, device, namespace, total, writes
from ...stencils import tile_points, tile_slices

_AT_ONCE = 1 << 12
"""Arrays of at most so many values are taken whole: a block of any type is longer."""


def blockwise(
    formula: Callable[..., Array], operands: Sequence[Array], out: Array | None = None
) -> Array:
    """The values of an elementwise formula.

    Operands have the shape of the result; or, without its first axis, serve all components alike.
    ``out``, which may be one of the operands, is overwritten and comes back as a new view: who
    remembers what belongs to an array by the identity of the array is not misled by new contents.
    The formula must return an array of its own, not a view of an operand. Where arrays cannot be
    written to, the result is a new one.
    """
    first = operands[0]
    if not writes(first):
        return formula(*operands)
    if out is None:
        out = namespace(first).empty(first.shape, dtype=first.dtype, device=device(first))
    if isinstance(out, np.ndarray) and out.size <= _AT_ONCE:
        out[...] = formula(*operands)
        return out[...]
    # Twice the usual points of a spectrum: its sums do less for a call than curvature does.
    points = tile_points(out) * (2 if namespace(out).isdtype(out.dtype, "complex floating") else 1)
    for block in tile_slices(tuple(out.shape), points):
        out[block] = formula(*(x[block[out.ndim - x.ndim :]] for x in operands))
    return out[...]


def combination(terms: Iterable[tuple[float, Array]], out: Array | None = None) -> Array:
    """Sum of coefficient times array; see ``blockwise`` for ``out``."""
    coefficients, arrays = zip(*terms, strict=True)

    def formula(*blocks: Array) -> Array:
        return total((c, (block,)) for c, block in zip(coefficients, blocks, strict=True))

    return blockwise(formula, arrays, out)


class Combination:
    """A sum of coefficient times array that is not stored: indexing it adds up that part.

    For sums that are read once, a tile at a time.

    Examples
    --------
    >>> import numpy as np
    >>> both = Combination([(2.0, np.ones((2, 3))), (-1.0, np.ones((2, 3)))])
    >>> both[0, :2]
    array([1., 1.])
    """

    def __init__(self, terms: Iterable[tuple[float, Array]]) -> None:
        self.terms = tuple(terms)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of every array."""
        return tuple(self.terms[0][1].shape)

    def __getitem__(self, index: Any) -> Array:
        return total((c, (array[index],)) for c, array in self.terms)


def may_share_memory(a: Array, b: Array) -> bool:
    """Whether writing to one array might change the other; true if there is no way to know."""
    if not writes(a):
        return False  # neither is ever written to
    if a is b:
        return True
    if isinstance(a, np.ndarray):
        return np.may_share_memory(a, b)
    if array_api_compat.is_torch_array(a):
        return bool(a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr())
    if array_api_compat.is_cupy_array(a):
        return bool(namespace(a).may_share_memory(a, b))
    return True
