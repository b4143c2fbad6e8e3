"""Symmetric tensors on a grid: packed storage, inverse, determinant, norms, and their checks.

A symmetric n-by-n tensor field is held as (n (n + 1) / 2, *shape), the entries (i, j), i <= j, in
row order. Component tables (see ``arrays.Components``) are views into it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement, product
from typing import Any, TypeAlias

import numpy as np

from . import checks
from .arrays import (
    Array,
    Components,
    contract,
    detached,
    device,
    expand,
    first_true,
    namespace,
    require_finite,
    require_real_floating,
    to_numpy,
    total,
    writes,
)
from .errors import InvalidArgumentError, NotPositiveDefiniteError, NotSymmetricError, ShapeError
from .grids import Grid

Signature: TypeAlias = str | tuple[int, int]
"""Of a metric: "riemannian", "lorentzian", or its numbers of (negative, positive) eigenvalues."""

SIGNATURES = {"riemannian": 0, "lorentzian": 1}
"""Names of signatures, and how many eigenvalues are negative: (-, +, +, +) for "lorentzian"."""

SYMMETRIC = ((0, 1),)
"""The symmetry of a rank-2 symmetric table, as ``contract`` takes it."""


@cache
def pairs(n: int) -> tuple[tuple[int, int], ...]:
    """The independent index pairs (i, j), i <= j, in the order of the packed storage."""
    return tuple(combinations_with_replacement(range(n), 2))


def packed_size(n: int) -> int:
    """Number of independent components, n (n + 1) / 2."""
    return n * (n + 1) // 2


def pack(components: Array) -> Array:
    """(n, n, *shape) -> (n (n + 1) / 2, *shape), taking the upper triangle."""
    xp = namespace(components)
    return xp.stack([components[i, j, ...] for i, j in pairs(components.shape[0])], axis=0)


def unpack(packed: Array, n: int) -> Array:
    """(n (n + 1) / 2, *shape) -> (n, n, *shape)."""
    xp = namespace(packed)
    place = {pair: c for c, pair in enumerate(pairs(n))}
    if not writes(packed):
        every = [packed[place[min(i, j), max(i, j)], ...] for i, j in product(range(n), repeat=2)]
        return xp.reshape(xp.stack(every, axis=0), (n, n, *packed.shape[1:]))
    result = xp.empty((n, n, *packed.shape[1:]), dtype=packed.dtype, device=device(packed))
    for i, j in product(range(n), repeat=2):
        result[i, j, ...] = packed[place[min(i, j), max(i, j)], ...]
    return result


def table(packed: Array, n: int) -> Components:
    """Component table of a packed symmetric tensor: n * n entries, views without copies."""
    return expand({pair: packed[c, ...] for c, pair in enumerate(pairs(n))}, n, 2, SYMMETRIC)


def minor(
    g: Components,
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], Array],
) -> Array:
    """Determinant of the given rows and columns of a symmetric table, shared minors kept."""
    if len(rows) == 1:
        return g[rows[0], columns[0]]
    # A symmetric matrix has the same minor with rows and columns exchanged.
    key = (min(rows, columns), max(rows, columns))
    if key not in known:
        rows, columns = key
        known[key] = total(
            (
                (-1.0) ** k,
                (g[rows[0], c], minor(g, rows[1:], columns[:k] + columns[k + 1 :], known)),
            )
            for k, c in enumerate(columns)
        )
    return known[key]


def inverse_and_determinant(g: Components, n: int) -> tuple[Components, Array]:
    """Inverse by cofactors and the determinant: g^ij = (-1)^(i+j) M_ij / det g."""
    if n == 1:
        return {(0, 0): 1.0 / g[0, 0]}, g[0, 0]
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], Array] = {}
    every = tuple(range(n))
    cofactors = {
        (i, j): minor(g, every[:i] + every[i + 1 :], every[:j] + every[j + 1 :], known)
        for i, j in pairs(n)
    }
    det = total(((-1.0) ** j, (g[0, j], cofactors[0, j])) for j in range(n))
    reciprocal = 1.0 / det
    inverse = {
        (i, j): cofactor * (reciprocal if (i + j) % 2 == 0 else -reciprocal)
        for (i, j), cofactor in cofactors.items()
    }
    return expand(inverse, n, 2, SYMMETRIC), det


def is_positive_definite(packed: Array, n: int) -> Array:
    """Whether all leading minors are positive (Sylvester), at every grid point; NaN is not."""
    first, *others = leading_minors(table(packed, n), n)
    result = first > 0
    for value in others:
        result = result & (value > 0)
    return result


def leading_minors(g: Components, n: int) -> Iterator[Array]:
    """Determinants of the first 1, 2, ..., n rows and columns of a symmetric table."""
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], Array] = {}
    for size in range(1, n + 1):
        every = tuple(range(size))
        yield minor(g, every, every, known)


def squared_norm(h: Components, inverse: Components, n: int) -> Array:
    """|h|^2_g = g^ik g^jl h_ij h_kl of a symmetric table, at every grid point (dimensionless)."""
    mixed = contract("ik,kj->ij", inverse, h, n=n)
    return total((1.0, (mixed[i, j], mixed[j, i])) for i in range(n) for j in range(n))


def l2_norm_of_packed(h: Array, g: Array, grid: Grid, order: int = 4) -> float:
    """(integral of |h|^2_g sqrt(det g) dx)^(1/2) of packed tensors; see ``analysis.l2_norm``."""
    n = grid.ndim
    inverse, det = inverse_and_determinant(table(g, n), n)
    density = squared_norm(table(h, n), inverse, n) * namespace(g).sqrt(det)
    # Rounding can make the integral of a tiny square negative.
    return math.sqrt(max(float(grid.integrate(density, order)), 0.0))


def smallest_eigenvalue(packed: Array, n: int) -> tuple[float, tuple[int, ...]]:
    """Smallest eigenvalue over the grid and its place (computed on the host)."""
    host = np.moveaxis(to_numpy(unpack(packed, n)), (0, 1), (-2, -1))
    lowest = np.linalg.eigvalsh(host)[..., 0]
    place = np.unravel_index(int(np.argmin(lowest)), lowest.shape)
    return float(lowest[place]), tuple(int(i) for i in place)


def require_positive_definite(packed: Array, n: int, name: str = "metric") -> None:
    """Raise NotPositiveDefiniteError naming the worst place and the eigenvalue there."""
    if first_true(~is_positive_definite(packed, n)) is None:
        return
    value, place = smallest_eigenvalue(packed, n)
    raise NotPositiveDefiniteError(
        f"{name} is not positive definite: smallest eigenvalue {value:.6g} at grid index {place}; "
        "lower the amplitude of the perturbation or check the formula there",
        place,
        value,
    )


def packed_symmetric(components: Array, grid: Grid, name: str = "tensor") -> Array:
    """Check shape, type, finiteness and symmetry of a rank-2 field, and pack it.

    An asymmetry of the size of rounding (8 units in the last place of the largest component) is
    accepted and averaged out.

    Raises
    ------
    ShapeError, DTypeError, NotFiniteError, NotSymmetricError
    """
    require_real_floating(components, name)
    n = grid.ndim
    expected = (n, n, *grid.shape)
    if tuple(components.shape) != expected:
        raise ShapeError(
            f"{name} has shape {tuple(components.shape)}; this grid needs {expected}: "
            "components first, grid axes last"
        )
    require_finite(components, name)
    return pack(require_symmetric(components, name))


def require_symmetric(components: Array, name: str) -> Array:
    """The components (n, n, ...) if symmetric to rounding (which is averaged out).

    Raises NotSymmetricError naming the worst place.
    """
    xp = namespace(components)
    n = components.shape[0]
    # One pair at a time: usually nothing is wrong, and the temporaries stay small.
    gaps = (components[i, j, ...] - components[j, i, ...] for i, j in pairs(n) if i < j)
    worst = max((float(detached(xp.max(xp.abs(gap)))) for gap in gaps), default=0.0)
    if worst == 0.0:
        return components
    swapped = xp.permute_dims(components, (1, 0, *range(2, components.ndim)))
    gap = xp.abs(components - swapped)
    scale = float(xp.max(xp.abs(components)))
    if worst > 8 * float(xp.finfo(components.dtype).eps) * scale:
        i, j, *place = np.unravel_index(int(np.argmax(to_numpy(gap))), tuple(components.shape))
        raise NotSymmetricError(
            f"{name} is not symmetric: components ({i}, {j}) and ({j}, {i}) differ by {worst:.3g} "
            f"at grid index {tuple(int(p) for p in place)}; symmetrise it first"
        )
    return (components + swapped) * 0.5


def packed_metric(
    components: Array, grid: Grid, name: str = "metric", signature: Signature = "riemannian"
) -> Array:
    """Check a metric (see ``packed_symmetric``) and its signature, and pack it."""
    negative = negative_directions(signature, grid.ndim)
    packed = packed_symmetric(components, grid, name)
    _require_moderate(packed, grid.ndim, name)
    if negative == 0:
        require_positive_definite(packed, grid.ndim, name)
    else:
        require_signature(packed, grid.ndim, negative, name)
    return packed


def negative_directions(signature: Any, n: int) -> int:
    """How many eigenvalues of a metric of a signature are negative.

    Raises
    ------
    UnknownNameError, InvalidArgumentError
        If it is neither a known name nor two whole numbers (negative, positive) with the sum n.
    """
    if isinstance(signature, str):
        return SIGNATURES[checks.choice(signature, "signature", SIGNATURES)]
    try:
        negative, positive = signature
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"signature = {checks.shown(signature)}; give 'riemannian', 'lorentzian' or the "
            "numbers (negative, positive) of eigenvalues"
        ) from error
    negative = checks.count(negative, "signature[0]")
    positive = checks.count(positive, "signature[1]")
    if negative + positive != n:
        raise InvalidArgumentError(
            f"signature = {checks.shown(signature)}; give one sign for each of {n} axes"
        )
    return negative


def require_signature(packed: Array, n: int, negative: int, name: str = "metric") -> None:
    """Raise NotPositiveDefiniteError where other than ``negative`` eigenvalues are negative.

    Computed on the host. A metric that is singular there has one eigenvalue too few on both sides.
    """
    host = np.moveaxis(to_numpy(unpack(detached(packed), n)), (0, 1), (-2, -1))
    values = np.linalg.eigvalsh(host.astype(np.float64, copy=False))
    right = ((values < 0).sum(axis=-1) == negative) & ((values > 0).sum(axis=-1) == n - negative)
    if right.all():
        return
    place = tuple(int(i) for i in np.argwhere(~right)[0])
    shown = ", ".join(f"{v:.4g}" for v in values[place])
    raise NotPositiveDefiniteError(
        f"{name} has not the signature asked for: at grid index {place} its eigenvalues are "
        f"{shown}, and {negative} should be negative, {n - negative} positive; check the formula "
        "there, or give signature=(negative, positive)",
        place,
        float(values[place][0]),
    )


def _require_moderate(packed: Array, n: int, name: str) -> None:
    """Raise if products of n components would overflow or vanish in the array's type."""
    xp = namespace(packed)
    limits = xp.finfo(packed.dtype)
    scale = float(detached(xp.max(xp.abs(packed))))
    low, high = (float(v) ** (1 / n) for v in (limits.smallest_normal, limits.max))
    if scale > 0 and not 100 * low < scale < high / 100:
        raise InvalidArgumentError(
            f"{name} has components up to {scale:.3g}: its determinant does not fit into "
            f"{packed.dtype}; measure lengths in another unit"
        )


def checked_vector(vector: Array, grid: Grid, name: str = "vector") -> Array:
    """Check shape, type and finiteness of a vector field (n, *shape) and return it."""
    require_real_floating(vector, name)
    expected = (grid.ndim, *grid.shape)
    if tuple(vector.shape) != expected:
        raise ShapeError(f"{name} has shape {tuple(vector.shape)}; this grid needs {expected}")
    require_finite(vector, name)
    return vector


def metric_dimension(grid: Grid) -> int:
    """The grid's dimension if curvature is defined there (2 to 4)."""
    if not 2 <= grid.ndim <= 4:
        raise InvalidArgumentError(
            f"curvature is for grids of 2 to 4 axes; this one has {grid.ndim}"
        )
    return grid.ndim
