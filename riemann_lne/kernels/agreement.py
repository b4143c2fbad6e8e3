"""Comparison of a kernel with the array code of its formula, on a small grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..coefficients import Order, half_width
from ..errors import KernelUnavailableError
from ..flows.base import Formula
from ..grids import Grid
from ..stencils import evaluate
from ..tensors import packed_size, pairs

# On random metrics, whose curvature is of the size of the rounding scale over eps, what is beyond
# this many units is an error and no rounding.
_UNITS = 1e4


def require_agreement(
    kernel: Callable[..., Array],
    formula: Formula,
    n: int,
    order: Order,
    dtype: str,
    asarray: Callable[[np.ndarray], Array],
    advice: str,
) -> None:
    """Compare on a random metric with other spacings along every axis.

    Raises
    ------
    KernelUnavailableError
        If the two differ by more than rounding; the message ends with ``advice``.
    """
    points = 6 if order == "fourier" else 2 * half_width(order) + 2
    grid = Grid.torus((points,) * n, tuple(1.0 + 0.3 * a for a in range(n)))
    draw = np.random.default_rng(0)
    unit = np.array([1.0 if i == j else 0.0 for i, j in pairs(n)]).reshape(-1, *(1,) * n)
    shape = (packed_size(n), *grid.shape)
    fields = tuple(
        asarray((unit + 0.1 / n * draw.uniform(-1, 1, shape)).astype(dtype))
        for _ in range(formula.fields)
    )
    count = packed_size(n) if formula.tensor else 1
    plain: Any = evaluate(partial(formula.evaluate, n), fields, grid, order, count)
    gap = float(abs(kernel(fields[0], grid, *fields[1:]) - plain).max())
    limit = _UNITS * float(np.finfo(dtype).eps) * float(abs(plain).max())
    if not gap <= limit:
        raise KernelUnavailableError(
            f"{kernel!r} differs from the plain version by {gap:.3g}, more than rounding "
            f"({limit:.3g}); {advice}"
        )
