"""The Lichnerowicz operator on curved backgrounds, on tensors whose eigenvalue is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from riemann_lne import Grid, LNEMetric, MetricField, curvature
from riemann_lne.arrays import to_numpy
from riemann_lne.exact.su2 import berger
from riemann_lne.tensors import pairs

from ..backends import Backend

_ORDER = 6


def curved_eigenvalues(backend: Backend) -> tuple[dict[str, float], dict[str, float]]:
    """Measured and known eigenvalues, by name of the tensor.

    On a product S^2 x R: u g with u = cos(k z) Y_1 has -(k^2 + 2), and cos(k z) times the metric of
    the sphere alone has -k^2. On the round S^3: u g with u of degree 1 has -3; F_1^2 - F_2^2, a
    transverse traceless tensor of degree 2, has -(2 (2 + 2) + 4) = -12, of which -6 is curvature.
    """
    found: dict[str, float] = {}
    known: dict[str, float] = {}
    k = 1.3
    grid, g = product_with_a_sphere(0.3, 13)
    sphere = g.copy()
    sphere[2, 2] = 0.0
    wave = np.cos(k * np.asarray(grid.coordinates()[2]))
    height = heights(grid, 2)[0]
    for name, h, value in (
        ("S^2 x R, conformal of degree 1", wave * height * g, -(k * k + 2)),
        ("S^2 x R, the sphere's metric", wave * sphere, -k * k),
    ):
        found[name], known[name] = _quotient(backend, grid, g, h), value
    ball, g = round_ball(0.3, 13)
    found["S^3, conformal of degree 1"] = _quotient(backend, ball, g, heights(ball, 3)[0] * g)
    known["S^3, conformal of degree 1"] = -3.0
    angles = Grid.box((1.2, 0.3, 0.3), (1.8, 0.9, 0.9), (13,) * 3)
    one, first, second = (
        _berger(backend, angles, *squares) for squares in ((1, 1, 1), (1.5, 1, 1), (1, 1.5, 1))
    )
    name = "S^3, transverse traceless of degree 2"
    found[name], known[name] = _quotient(backend, angles, one, first - second), -12.0
    # The normalised flow adds 2 (n - 1) = 4.
    found["S^3, normalised flow, constant"] = _quotient(backend, angles, one, one) + 4
    found["S^3, normalised flow, transverse traceless"] = found[name] + 4
    known["S^3, normalised flow, constant"] = 4.0
    known["S^3, normalised flow, transverse traceless"] = -8.0
    return found, known


def product_with_a_sphere(half_width: float, points: int) -> tuple[Grid, np.ndarray]:
    """The metric of S^2 x R on a box, stereographic in x and y; (3, 3, *shape)."""
    grid = Grid.box(-half_width, half_width, (points,) * 3)
    g = np.zeros((3, 3, *grid.shape))
    g[0, 0] = g[1, 1] = 4 / (1 + _square(grid, 2)) ** 2
    g[2, 2] = 1.0
    return grid, g


def round_ball(half_width: float, points: int) -> tuple[Grid, np.ndarray]:
    """The metric of the round S^3 on a box in stereographic coordinates; (3, 3, *shape)."""
    grid = Grid.box(-half_width, half_width, (points,) * 3)
    return grid, np.einsum("ij,...->ij...", np.eye(3), 4 / (1 + _square(grid, 3)) ** 2)


def heights(grid: Grid, n: int) -> list[np.ndarray]:
    """The n + 1 functions of degree 1 on S^n: its coordinates in R^(n+1), the squares sum to 1."""
    below = 1 + _square(grid, n)
    x = [np.broadcast_to(np.asarray(c), grid.shape) for c in grid.coordinates()[:n]]
    return [(2 - below) / below, *(2 * c / below for c in x)]


def rotations(grid: Grid) -> list[np.ndarray]:
    """The tensors dz V + V dz on S^2 x R, V = u_a du_b - u_b du_a the three rotations of S^2."""
    x = [np.broadcast_to(np.asarray(c), grid.shape) for c in grid.coordinates()[:2]]
    below = 1 + _square(grid, 2)
    u = heights(grid, 2)
    du = [np.stack([-4 * c / below**2 for c in x])]
    for j in range(2):
        du.append(np.stack([2 * (i == j) / below - 4 * x[i] * x[j] / below**2 for i in range(2)]))
    result = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        h = np.zeros((3, 3, *grid.shape))
        h[:2, 2] = h[2, :2] = u[a] * du[b] - u[b] * du[a]
        result.append(h)
    return result


def _square(grid: Grid, n: int) -> np.ndarray:
    """Sum of the squares of the first n coordinates, of the grid's shape."""
    squares = [np.asarray(c) ** 2 for c in grid.coordinates()[:n]]
    return np.broadcast_to(sum(squares[1:], squares[0]), grid.shape)


def _berger(backend: Backend, grid: Grid, a: float, b: float, c: float) -> np.ndarray:
    return to_numpy(berger(a, b, c).field(0.0, grid, xp=backend.xp).components)


def _quotient(backend: Backend, grid: Grid, g: np.ndarray, h: np.ndarray) -> float:
    """L h over h at the centre of the box, by the largest component there."""
    image = to_numpy(
        curvature.lichnerowicz(
            backend.asarray(np.ascontiguousarray(g)),
            backend.asarray(np.ascontiguousarray(h)),
            grid,
            _ORDER,
        )
    )
    middle: tuple[Any, ...] = (..., *(p // 2 for p in grid.shape))
    place = np.unravel_index(int(np.abs(h[middle]).argmax()), h.shape[:2])
    return float(image[middle][place] / h[middle][place])


def held_eigenvalue(backend: Backend, points: int, tau: float = 1.0) -> float:
    """Largest real part of the spectrum about Eq. 16, n = 2, tensors 0 on the boundary."""
    lne = LNEMetric(tau)
    grid = Grid.box(-0.5, 0.5, (points,) * 2)
    x = np.stack([np.broadcast_to(np.asarray(c), grid.shape) for c in grid.coordinates()], axis=-1)
    metric = np.ascontiguousarray(np.moveaxis(lne.matrix(x), (-2, -1), (0, 1)))
    g = MetricField(grid, backend.asarray(metric))
    inside = [(i, j) for i in range(1, points - 1) for j in range(1, points - 1)]
    slots = list(pairs(2))
    columns = []
    for a, b in slots:
        for i, j in inside:
            h = np.zeros((2, 2, points, points))
            h[a, b, i, j] = h[b, a, i, j] = 1.0
            image = to_numpy(curvature.lichnerowicz(g.components, backend.asarray(h), grid, 2))
            columns.append([image[p, q, k, m] for p, q in slots for k, m in inside])
    return float(np.linalg.eigvals(np.array(columns).T).real.max())
