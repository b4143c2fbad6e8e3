"""Strategies of weight tensors as training leaves them, and of gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ._hypothesis import st
from .findings import names_in, sequence
from .spaces import shape_of
from .weight_kinds import WEIGHTS, weights_of_kind

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


_STEPS = 10**6
"""Sizes are whole multiples of a millionth of the largest: whole numbers shrink to the small ones,
floats to short ones such as 1.0, the largest of all."""


def weight_tensors(
    shape: Sequence[int] | SearchStrategy[Sequence[int]],
    scale: float = 1.0,
    kinds: Sequence[str] = WEIGHTS,
    dtype: str = "float64",
) -> SearchStrategy[np.ndarray]:
    """Weights as training leaves them, of a size from a millionth of ``scale`` to ``scale``, or 0.

    "zero": all zero. "gaussian", "uniform": as initialised. "heavy": Student's t with two degrees
    of freedom. "clipped": many entries at +-scale. "binary": all there. "tied": rows repeated.
    "zero_rows": some rows zero. "tiny": scaled by 1e-20. They shrink to zero, or to the smallest
    size.

    Parameters
    ----------
    shape : sequence of int, or strategy of such
        Of the tensor; a layer's weight has the output channels first.
    scale : float
        Largest standard deviation, in the unit of the weights.
    kinds : sequence of str
        Of the above.
    dtype : str
        "float32" or "float64".

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If the shape is none, the scale is not positive and finite, or a kind or the dtype is not
        known.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(weight_tensors((4, 3)))
    ... def all_are_finite(w):
    ...     assert w.shape == (4, 3) and np.isfinite(w).all()
    >>> all_are_finite()
    """
    scale, number_kind = checks.number(scale, "scale", above=0), _floating(dtype)
    names = list(sequence(names_in(kinds, "kinds"), "kinds"))
    for kind in names:
        checks.choice(kind, "kind of weights", WEIGHTS)
    shapes = shape if isinstance(shape, st.SearchStrategy) else st.just(shape_of(shape))

    @st.composite
    def build(draw: DrawFn) -> np.ndarray:
        size = shape_of(draw(shapes))
        kind = draw(st.sampled_from(names))
        if kind == "zero":
            return np.zeros(size, dtype=number_kind)
        seed = draw(st.integers(0, 2**32 - 1))
        # No smaller ones: weights whose squares are no floats are no weights of a training.
        amount = scale * (draw(st.integers(0, _STEPS)) / _STEPS)
        return np.asarray(amount * weights_of_kind(kind, size, seed)).astype(number_kind)

    return build()


def _floating(dtype: Any) -> str:
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None)
    return checks.choice(name or getattr(dtype, "__name__", dtype), "dtype", ("float32", "float64"))


def gradients(
    shape: Sequence[int], dtype: str = "float64", largest: float = 1e6
) -> SearchStrategy[np.ndarray]:
    """Gradients: dense, sparse, zero, and of any size from 1e-12 to ``largest``.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If the shape is none, ``largest`` is below 1e-12, or the dtype is not known.

    Examples
    --------
    >>> from hypothesis import find
    >>> bool(find(gradients((3,)), lambda v: (v == 0).all()).any())
    False
    """
    size, number_kind = shape_of(shape), _floating(dtype)
    highest = math.log10(checks.number(largest, "largest", least=1e-12))

    @st.composite
    def build(draw: DrawFn) -> np.ndarray:
        kind = draw(st.sampled_from(["zero", "dense", "sparse"]))
        if kind == "zero":
            return np.zeros(size, dtype=number_kind)
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        scale = 10.0 ** (draw(st.floats(0.0, highest + 12.0)) - 12.0)  # shrinks to the smallest
        values = rng.normal(size=size)
        if kind == "sparse":
            values = values * (rng.random(size) < 0.1)
        return np.asarray(scale * values).astype(number_kind)

    return build()
