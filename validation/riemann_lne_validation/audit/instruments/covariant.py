"""Covariant calculus in plain NumPy, written apart from the core so that it can check the core."""

from __future__ import annotations

import numpy as np

from riemann_lne import Grid, MetricField
from riemann_lne.arrays import to_numpy
from riemann_lne.coefficients import Order
from riemann_lne.stencils import gradient


def derivative(tensor: np.ndarray, grid: Grid, order: Order) -> np.ndarray:
    """Partial derivatives d_a T, the new index first: (..., *shape) -> (n, ..., *shape)."""
    return gradient(np.ascontiguousarray(tensor), grid, order)


def nabla(tensor: np.ndarray, gamma: np.ndarray, grid: Grid, order: Order) -> np.ndarray:
    """Covariant derivative of a tensor with lower indices, the new index first,

    nabla_a T_i... = d_a T_i... - Gamma^p_ai T_p... - (the same for every other index).
    """
    n, rank = grid.ndim, tensor.ndim - grid.ndim
    result = derivative(tensor, grid, order)
    symbols = gamma.reshape(n, n, n, -1)
    for slot in range(rank):
        moved = np.moveaxis(tensor, slot, 0).reshape(n, n ** (rank - 1), -1)
        term = np.einsum("paix,pmx->aimx", symbols, moved)
        shaped = term.reshape(n, n, *(n,) * (rank - 1), *grid.shape)
        result = result - np.moveaxis(shaped, 1, slot + 1)
    return result


def contraction(inverse: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """g^ab T_ab... over the first two indices."""
    return np.einsum("abx,abmx->mx", *_flat(inverse, tensor)).reshape(tensor.shape[2:])


def _flat(inverse: np.ndarray, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = inverse.shape[0]
    points = int(np.prod(inverse.shape[2:]))
    return inverse.reshape(n, n, points), tensor.reshape(n, n, -1, points)


def squared_length(tensor: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """|T|^2_g of a tensor with lower indices at every grid point."""
    n, points = inverse.shape[0], int(np.prod(inverse.shape[2:]))
    rank = tensor.ndim - (inverse.ndim - 2)
    lower = tensor.reshape(*(n,) * rank, points)
    upper, metric = lower, inverse.reshape(n, n, points)
    for slot in range(rank):
        moved = np.moveaxis(upper, slot, 0)
        upper = np.moveaxis(np.einsum("abx,b...x->a...x", metric, moved), 0, slot)
    return np.sum(lower * upper, axis=tuple(range(rank))).reshape(inverse.shape[2:])


def rough_laplacian(h: np.ndarray, g: MetricField, order: Order) -> np.ndarray:
    """g^ab nabla_a nabla_b h_ij."""
    gamma, inverse = to_numpy(g.christoffel(order)), to_numpy(g.inverse())
    return contraction(inverse, nabla(nabla(h, gamma, g.grid, order), gamma, g.grid, order))


def curvature_term(h: np.ndarray, g: MetricField, order: Order) -> np.ndarray:
    """2 R_ipjq h^pq - R_ip h^p_j - R_jp h^p_i, with g^pq R_ipjq = R_ij."""
    inverse, ricci = to_numpy(g.inverse()), to_numpy(g.ricci(order))
    metric, riemann = to_numpy(g.components), to_numpy(g.riemann(order))
    raised = np.einsum("ip...,pj...->ij...", inverse, h)
    upper = np.einsum("ip...,jp...->ij...", raised, inverse)
    # R_jk = R^i_ijk: the pair that is contracted with g for Ric, l and i, is the one with h here.
    lowered = np.einsum("lm...,mijk...->lijk...", metric, riemann)
    around = np.einsum("lijk...,li...->jk...", lowered, upper)
    through = np.einsum("ip...,pj...->ij...", ricci, raised)
    return 2 * around - through - np.swapaxes(through, 0, 1)


def lie_of_lower(v: np.ndarray, g: MetricField, order: Order) -> np.ndarray:
    """nabla_i V_j + nabla_j V_i."""
    slope = nabla(v, to_numpy(g.christoffel(order)), g.grid, order)
    return slope + np.swapaxes(slope, 0, 1)
