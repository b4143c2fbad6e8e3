"""Coercivity of the linearised flow: quotients of -(L d, d) and |nabla d|^2 in L2 of a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy.linalg import eigh

from riemann_lne import Grid, LNEMetric, MetricField, curvature
from riemann_lne.arrays import to_numpy
from riemann_lne.coefficients import Order
from riemann_lne.exact.su2 import berger

from ..backends import Backend
from .covariant import nabla, squared_length
from .curved import heights, product_with_a_sphere, rotations, round_ball

_ORDER = 6


def smallest_ratio(backend: Backend, g: MetricField, modes: int, whole: bool = True) -> float:
    """Smallest -(L d, d) / |nabla d|^2 over trigonometric polynomials on a torus, no constants.

    ``whole``: over their space; else over four random elements of it, where it would be too large.
    """
    basis = [e * w for w in _waves(g.grid, modes) for e in _shapes(g.n)]
    if not whole:
        rng = np.random.default_rng(g.n)
        draws = rng.normal(size=(4, len(basis)))
        basis = [sum(c * b for c, b in zip(row, basis, strict=True)) for row in draws]
    found, slopes, _ = _forms(backend, g, basis, "fourier")
    return _least(found, slopes)


def by_curvature(
    backend: Backend, g: MetricField, basis: Sequence[np.ndarray], gauss: np.ndarray, order: Order
) -> tuple[float, float]:
    """Smallest ratio in two dimensions by the operator, and by the Gauss curvature.

    (L d, d) = -|nabla d|^2 - 4 (K e, e) with K the Gauss curvature, ``gauss``, and e the part of d
    without trace: 2 R_ipjq d^pq - R_ip d^p_j - R_jp d^p_i = -4 K e_ij in two dimensions. d must
    vanish where the grid ends.
    """
    found, slopes, fields = _forms(backend, g, basis, order)
    # In an orthonormal frame the trace is d_00 + d_11.
    tensors = fields.reshape(len(basis), 2, 2, -1)
    free = tensors - np.eye(2)[..., None] * np.einsum("biix->bx", tensors)[:, None, None] / 2
    bent = np.einsum("bijx,cijx,x->bc", free, free, gauss.ravel())
    return _least(found, slopes), _least(slopes + 4 * bent, slopes)


def waves_of(g: MetricField, modes: int) -> list[np.ndarray]:
    """Basis of the symmetric trigonometric polynomials on a torus, without constants."""
    return [e * w for w in _waves(g.grid, modes) for e in _shapes(g.n)]


def held_waves(grid: Grid, modes: int) -> list[np.ndarray]:
    """Symmetric tensors of products of sines, which vanish at the ends of a box."""
    sines = []
    for x, low, side in zip(grid.coordinates(), grid.lower, grid.lengths, strict=True):
        place = np.pi * (np.asarray(x) - low) / side
        sines.append([np.sin(m * place) for m in range(1, modes + 1)])
    waves = [math.prod(parts) for parts in product(*sines)]
    return [e * w for w in waves for e in _shapes(grid.ndim)]


def eq_16_on_a_box(
    backend: Backend, tau: float, half_width: float, points: int, modes: int
) -> tuple[float, float, float]:
    """Smallest ratio about Eq. 16, n = 2, and by its Gauss curvature R / 2; and largest -K.

    On the box of half width ``half_width`` / tau with the tensors held at 0 on its boundary.
    """
    lne = LNEMetric(tau)
    grid = Grid.box(-half_width / tau, half_width / tau, (points,) * 2)
    x = np.stack([np.broadcast_to(np.asarray(c), grid.shape) for c in grid.coordinates()], axis=-1)
    metric = np.ascontiguousarray(np.moveaxis(lne.matrix(x), (-2, -1), (0, 1)))
    g = MetricField(grid, backend.asarray(metric))
    gauss = np.asarray(lne.scalar_curvature(x)) / 2
    return *by_curvature(backend, g, held_waves(grid, modes), gauss, _ORDER), float(-gauss.min())


def gauss_curvature(g: MetricField, order: Order) -> np.ndarray:
    """R / 2, in 1 / length^2."""
    return to_numpy(g.scalar_curvature(order)) / 2


def closed_ratios(backend: Backend) -> tuple[dict[str, float], dict[str, float]]:
    """Measured and known ratios on closed curved manifolds, by name of the tensors.

    The tensors of a name are an orbit of the isometries: the sums over it of <L d, d> and of
    |nabla d|^2 are the same at every point up to divergences that vanish, so that their quotient
    at one point, the centre of a small box, is that of L2. On S^2 x S^1, with V the rotations and
    k a wave number: cos(k z) (dz V + V dz) has (k^2 + 2) / (k^2 + 1), and cos(k z) u g, u of degree
    1, has 1. On the round S^3 transverse traceless tensors of degree 2 have 12 / 6, and with the 4
    that the normalised flow adds to L, 8 / 6; u g, u of degree 1, has -1 / 3 there.
    """
    found: dict[str, float] = {}
    known: dict[str, float] = {}
    k = 1.3
    grid, g = product_with_a_sphere(0.3, 13)
    phase = k * np.asarray(grid.coordinates()[2])
    waves = (np.cos(phase), np.sin(phase))
    name = "S^2 x S^1, waves of rotations"
    tensors = [w * h for w in waves for h in rotations(grid)]
    found[name] = _at_the_centre(backend, grid, g, tensors)
    known[name] = (k * k + 2) / (k * k + 1)
    name = "S^2 x S^1, conformal of degree 1"
    tensors = [w * u * g for w in waves for u in heights(grid, 2)]
    found[name], known[name] = _at_the_centre(backend, grid, g, tensors), 1.0
    ball, g = round_ball(0.3, 13)
    tensors = [u * g for u in heights(ball, 3)]
    name = "S^3, normalised flow, conformal of degree 1"
    found[name], known[name] = _at_the_centre(backend, ball, g, tensors, 4.0), -1 / 3
    angles = Grid.box((1.2, 0.3, 0.3), (1.8, 0.9, 0.9), (13,) * 3)
    one, first, second = (
        to_numpy(berger(*squares).field(0.0, angles, xp=backend.xp).components)
        for squares in ((1.0, 1.0, 1.0), (1.5, 1.0, 1.0), (1.0, 1.5, 1.0))
    )
    for name, added, value in (
        ("S^3, transverse traceless of degree 2", 0.0, 2.0),
        ("S^3, normalised flow, transverse traceless", 4.0, 4 / 3),
    ):
        found[name] = _at_the_centre(backend, angles, one, [first - second], added)
        known[name] = value
    return found, known


def _at_the_centre(
    backend: Backend,
    grid: Grid,
    g: np.ndarray,
    tensors: Sequence[np.ndarray],
    added: float = 0.0,
) -> float:
    """Sum of -<(L + added) d, d> over that of |nabla d|^2 at the centre of a box."""
    field = MetricField(grid, backend.asarray(np.ascontiguousarray(g)))
    gamma, inverse = to_numpy(field.christoffel(_ORDER)), to_numpy(field.inverse())
    middle: tuple[Any, ...] = (..., *(p // 2 for p in grid.shape))
    above = below = 0.0
    for d in tensors:
        d = np.ascontiguousarray(np.broadcast_to(d, g.shape))
        image = to_numpy(curvature.lichnerowicz(field.components, backend.asarray(d), grid, _ORDER))
        up, here = inverse[middle], (image + added * d)[middle]
        above -= float(np.einsum("ij,ia,jb,ab->", here, up, up, d[middle]))
        slope = squared_length(nabla(d, gamma, grid, _ORDER), inverse)
        below += float(slope[middle])
    return above / below


def _shapes(n: int) -> list[np.ndarray]:
    """A basis of the symmetric matrices, (n, n, 1, ..., 1)."""
    shapes = []
    for i in range(n):
        for j in range(i + 1):
            e = np.zeros((n, n))
            e[i, j] = e[j, i] = 1.0
            shapes.append(e.reshape(n, n, *(1,) * n))
    return shapes


def _waves(grid: Grid, modes: int) -> list[np.ndarray]:
    """Cos and sin of all modes up to a wave number, one of each pair m and -m; no constant."""
    phases = [
        2 * np.pi * x / side for x, side in zip(grid.coordinates(), grid.lengths, strict=True)
    ]
    result = []
    for m in product(range(-modes, modes + 1), repeat=len(phases)):
        if next((k for k in m if k), 0) > 0:
            phase = sum(k * p for k, p in zip(m, phases, strict=True))
            result += [np.cos(phase), np.sin(phase)]
    return result


def _forms(
    backend: Backend, g: MetricField, basis: Sequence[np.ndarray], order: Order
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-(L d, d) and (nabla d, nabla d) as matrices; and the weighted d in an orthonormal frame."""
    grid = g.grid
    gamma, inverse = to_numpy(g.christoffel(order)), to_numpy(g.inverse())
    weights = grid.quadrature_weights(order if isinstance(order, int) else 4)
    cells = math.prod(np.ix_(*weights))
    root = np.sqrt(to_numpy(g.volume_element()) * cells)
    frame = np.moveaxis(
        np.linalg.cholesky(np.moveaxis(inverse, (0, 1), (-2, -1))), (-2, -1), (0, 1)
    )
    fields, images, slopes = [], [], []
    for d in basis:
        d = np.ascontiguousarray(np.broadcast_to(d, (g.n, g.n, *grid.shape)))
        image = to_numpy(curvature.lichnerowicz(g.components, backend.asarray(d), grid, order))
        slope = nabla(d, gamma, grid, order)
        fields.append((root * _in_frame(d, frame)).ravel())
        images.append((root * _in_frame(image, frame)).ravel())
        slopes.append((root * _in_frame(slope, frame)).ravel())
    weighted = np.array(fields)
    a = -weighted @ np.array(images).T
    k = np.array(slopes) @ np.array(slopes).T
    return (a + a.T) / 2, k, weighted


def _least(form: np.ndarray, slopes: np.ndarray) -> float:
    """Smallest eigenvalue of one form with respect to the other, parallel tensors left out."""
    values, vectors = np.linalg.eigh(slopes)
    seen = vectors[:, values > 1e-6 * values[-1]]
    return float(eigh(seen.T @ form @ seen, seen.T @ slopes @ seen, eigvals_only=True)[0])


def _in_frame(tensor: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Components in an orthonormal frame e_a = frame[:, a], in which the norm is Euclidean."""
    for slot in range(tensor.ndim - (frame.ndim - 2)):
        moved = np.moveaxis(tensor, slot, 0)
        tensor = np.moveaxis(_apply(frame, moved), 0, slot)
    return tensor


def _apply(frame: np.ndarray, moved: np.ndarray) -> np.ndarray:
    n = frame.shape[0]
    points = frame.reshape(n, n, -1)
    flat = moved.reshape(n, -1, points.shape[-1])
    # Frame and values at every point; the index that is turned comes first.
    return np.einsum("iax,imx->amx", points, flat).reshape(moved.shape)
