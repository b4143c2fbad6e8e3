"""Curvatures by kernels: the twins of those in ``curvature``, with the same checks."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, require_real_floating
from ..errors import DTypeError
from ..grids import Grid
from ..tensors import metric_dimension, packed_metric, unpack
from .cpu import compile_kernel


def _evaluate(
    name: str,
    components: Array,
    grid: Grid,
    order: int,
    background: Array | None,
    threads: int | None,
) -> np.ndarray:
    n = metric_dimension(grid)
    fields = [_native(components, "metric")]
    if background is not None:
        fields.append(_native(background, "background"))
    packed = [
        packed_metric(f, grid, k) for f, k in zip(fields, ("metric", "background"), strict=False)
    ]
    kernel = compile_kernel(name, n, order, fields[0].dtype.name)
    return kernel(packed[0], grid, packed[1] if packed[1:] else None, threads=threads)


def _native(components: Array, name: str) -> np.ndarray:
    """The components in the byte order of the machine."""
    require_real_floating(components, name)
    if not isinstance(components, np.ndarray):
        raise DTypeError(
            f"{name} is a {type(components).__name__}; kernels on the host take NumPy arrays: "
            "convert it, or use the function of the same name in riemann_lne.curvature"
        )
    return components.astype(components.dtype.newbyteorder("="), copy=False)


def ricci_deturck(
    components: Array,
    grid: Grid,
    order: int = 4,
    background: Array | None = None,
    *,
    threads: int | None = None,
) -> np.ndarray:
    """Right-hand side of the Ricci-DeTurck flow, -2 R_ij + (L_W g)_ij, fused.

    W^k = g^pq (Gamma^k_pq - Gammabar^k_pq); see ``RicciDeTurckFlow``. (n, n, *shape) -> (n, n,
    *shape), unit 1 / length^2.

    Parameters
    ----------
    components, background : (n, n, *shape)
        NumPy arrays of float64 or float32, n = 2, 3 or 4. Without a background Gammabar = 0.
    order : int
        Of the differences: 2, 4 or 6.
    threads : int, optional
        By default that of `riemann_lne.threads.thread_count`.

    Raises
    ------
    ShapeError, DTypeError, NotFiniteError, NotSymmetricError, NotPositiveDefiniteError
        If an argument is no metric on the grid; the message names the place.
    GridTooSmallError
        If the grid has too few points for the order.
    KernelUnavailableError
        If there is no such kernel, or no compiler.

    Examples
    --------
    >>> from riemann_lne import Grid, perturbed_euclidean
    >>> g = perturbed_euclidean(Grid.torus((16, 16)), amplitude=0.1)
    >>> rate = ricci_deturck(g.components, g.grid)                       # doctest: +SKIP
    """
    name = "ricci_deturck" if background is None else "ricci_deturck_background"
    result = _evaluate(name, components, grid, order, background, threads)
    return unpack(result, grid.ndim)


def ricci(
    components: Array, grid: Grid, order: int = 4, *, threads: int | None = None
) -> np.ndarray:
    """Ricci tensor R_jk = R^i_ijk, fused; as ``curvature.ricci``, and with its errors.

    (n, n, *shape) -> (n, n, *shape), unit 1 / length^2. Arguments: see ``ricci_deturck``.
    """
    return unpack(_evaluate("ricci", components, grid, order, None, threads), grid.ndim)


def scalar_curvature(
    components: Array, grid: Grid, order: int = 4, *, threads: int | None = None
) -> np.ndarray:
    """Scalar curvature R = g^jk R_jk, fused; as ``curvature.scalar_curvature``.

    (n, n, *shape) -> shape, unit 1 / length^2. Arguments: see ``ricci_deturck``.
    """
    return _evaluate("scalar_curvature", components, grid, order, None, threads)[0]
