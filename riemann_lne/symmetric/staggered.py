"""Differences on an interval with poles, staggered between cells and faces.

The points are the centres of equal cells, so that none lies on a pole. A function is continued past
a pole as an even function; first derivatives live on the faces between cells, and differences of
these come back to the cells. The composition is compact: it sees the highest mode of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
import scipy

from .. import checks
from ..coefficients import fd_weights
from ..errors import GridTooSmallError, InvalidArgumentError

SPACES = ("sphere", "euclidean", "cylinder")
"""S^(n+1) with two poles, R^(n+1) with a pole and an outer end, S^n x S^1 without poles."""

_ORDERS = (4, 6, 8)


class Staggered:
    r"""Operators for functions on an interval that are even at its poles.

    With S(x) = sin x, x or 1 on the sphere, on R^(n+1) and on S^n x S^1, the derivative that is
    smooth at poles is delta f = f_x / S (on the sphere -df/d(cos x)).

    Parameters
    ----------
    space : "sphere", "euclidean" or "cylinder"
        Which ends the interval has; see ``SPACES``.
    points : int
        Cells, at least 2 * order.
    length : float, optional
        Of the interval: pi on a sphere (nothing else is taken), 1 by default elsewhere.
    order : 4, 6 or 8
        Order of accuracy of all differences, poles included.

    Attributes
    ----------
    h : float
        The spacing.
    x, faces : ndarray, (N,) and (N + 1,); faces (N,) if periodic
        Places of the cells' centres and of the faces.
    S, C, S_faces, C_faces : ndarray
        S and its derivative there.
    pole_faces, inverse_S2_faces : ndarray
        Indices of the faces that are poles; 1 / S^2 on faces, 0 at poles.
    k, poles : float, int
        C^2 + k S^2 = 1 where there is a pole: k = 1 on the sphere, 0 elsewhere. How many poles.
    """

    def __init__(
        self, space: str, points: int, length: float | None = None, order: int = 4
    ) -> None:
        self.space = checks.choice(space, "space", SPACES)
        self.order = checks.count(order, "order")
        if self.order not in _ORDERS:
            raise InvalidArgumentError(f"order = {order}; give one of {_ORDERS}")
        self.points = checks.count(points, "points", least=1)
        if self.points < 2 * self.order:
            raise GridTooSmallError(
                f"{points} points are too few for order {order}; give at least {2 * self.order}"
            )
        usual = math.pi if space == "sphere" else 1.0
        self.length = usual if length is None else checks.number(length, "length", above=0)
        if space == "sphere" and self.length != math.pi:
            raise InvalidArgumentError(
                f"length = {length}; on a sphere x runs from 0 to pi, and phi sets the lengths: "
                "leave it out"
            )
        self.poles = {"sphere": 2, "euclidean": 1, "cylinder": 0}[space]
        self.periodic = space == "cylinder"
        self.k = 1.0 if space == "sphere" else 0.0
        self.h = self.length / self.points
        count = self.points if self.periodic else self.points + 1
        self.x = (np.arange(self.points) + 0.5) * self.h
        self.faces = np.arange(count) * self.h
        self.S, self.C = self._weights(self.x)
        self.S_faces, self.C_faces = self._weights(self.faces)
        self.pole_faces = np.array([0, self.points][: self.poles], dtype=int)
        regular = np.where(self.S_faces > 0, self.S_faces, np.inf)
        self.inverse_S2_faces = 1 / regular**2
        self._inverse_faces = 1 / np.where(self.S_faces > 0, self.S_faces, 1.0)
        nodes = tuple((j + 1) ** 2 for j in range(self.order // 2 + 1))
        self._pole_weights = np.array([float(w) for w in fd_weights(0, nodes)])

    def __repr__(self) -> str:
        return f"Staggered({self.space!r}, {self.points}, {self.length:g}, order={self.order})"

    def _weights(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S and its derivative."""
        if self.space == "sphere":
            # From the nearer pole, so that both are equally exact, and zero on the second one.
            from_pole = np.minimum(x, math.pi - x)
            return np.where(from_pole < self.h / 4, 0.0, np.sin(from_pole)), np.cos(x)
        if self.space == "euclidean":
            return x.copy(), np.ones_like(x)
        return np.ones_like(x), np.zeros_like(x)

    # ---- the operators as sparse matrices -----------------------------------------------------

    @cached_property
    def at_faces(self) -> scipy.sparse.csr_matrix:
        """(2 F, N): values on faces, below them delta f, from values in cells."""
        places = 2 * np.arange(len(self.faces))
        values = self._matrix(places, 1, 0)
        return scipy.sparse.vstack([values, self.delta_at_faces]).tocsr()

    @cached_property
    def delta_at_faces(self) -> scipy.sparse.csr_matrix:
        """(F, N): delta f on faces; at a pole its limit."""
        slopes = self._matrix(2 * np.arange(len(self.faces)), 1, 1)
        return (self.over_s @ slopes).tocsr()

    @cached_property
    def at_cells(self) -> scipy.sparse.csr_matrix:
        """(2 N, F): values in cells, below them delta f, from values on faces."""
        places = 2 * np.arange(self.points) + 1
        slopes = scipy.sparse.diags(1 / self.S) @ self._matrix(places, 0, 1)
        return scipy.sparse.vstack([self._matrix(places, 0, 0), slopes]).tocsr()

    @cached_property
    def over_s(self) -> scipy.sparse.csr_matrix:
        """(F, F): an odd function on faces over S; at a pole the limit.

        By the even polynomial through the faces beside it. Another formula for the limit, of the
        same order, would have another error than the faces beside the pole have, and the jump
        between the two would be divided by the square of the spacing.
        """
        columns = [self.divided(column) for column in np.eye(len(self.faces))]
        return scipy.sparse.csr_matrix(np.array(columns).T)

    def _matrix(self, places: np.ndarray, parity: int, derivative: int) -> scipy.sparse.csr_matrix:
        """Differences at places from nodes; both in units of half a spacing.

        Nodes are the odd places (cells, ``parity`` 1) or the even ones (faces, 0).
        """
        columns = self.points if parity or self.periodic else self.points + 1
        result = scipy.sparse.lil_matrix((len(places), columns))
        for row, place in enumerate(places.tolist()):
            nodes = self._nodes(place, parity)
            weights = fd_weights(derivative, tuple(node - place for node in nodes))
            for node, weight in zip(nodes, weights, strict=True):
                result[row, self._index(node, parity)] += float(weight) / (self.h / 2) ** derivative
        return result.tocsr()

    def _nodes(self, place: int, parity: int) -> list[int]:
        """The nodes of a stencil: centred on its place, but not beyond an end without parity."""
        first = place - self.order + 1
        first += (first - parity) % 2
        nodes = [first + 2 * j for j in range(self.order)]
        beyond = nodes[-1] - 2 * self.points
        if self.space == "euclidean" and beyond > 0:
            nodes = [node - 2 * ((beyond + 1) // 2) for node in nodes]
        return nodes

    def _index(self, node: int, parity: int) -> int:
        """The index of a node, reflected at poles or carried round a circle."""
        end = 2 * self.points
        if self.periodic:
            return (node % end) // 2
        if node < 0:
            node = -node
        if node > end:
            node = 2 * end - node
        return node // 2

    # ---- integrals, averages, smoothing -------------------------------------------------------

    def central_steps(self, values: np.ndarray) -> np.ndarray:
        """The spacing times f' in cells of a function that is even at the poles; order 4."""
        p = self._padded(values, 1.0)
        return (8 * (p[3:-1] - p[1:-3]) - (p[4:] - p[:-4])) / 12

    def cell_integrals(self, values: np.ndarray, odd: bool = False) -> np.ndarray:
        """Integrals over the cells of a function that is even or odd at the poles; order 6."""
        padded = self._padded(values, -1.0 if odd else 1.0)
        second = padded[2:] - 2 * padded[1:-1] + padded[:-2]
        fourth = second[2:] - 2 * second[1:-1] + second[:-2]
        return self.h * (values + second[1:-1] / 24 - 17 * fourth / 5760)

    def _padded(self, values: np.ndarray, sign: float) -> np.ndarray:
        """With two values beyond each end."""
        if self.periodic:
            return np.concatenate([values[-2:], values, values[:2]])
        left = sign * values[1::-1]
        if self.poles == 2:
            return np.concatenate([left, values, sign * values[:-3:-1]])
        weights = [[float(w) for w in fd_weights(0, tuple(range(d, d + 6)))] for d in (1, 2)]
        right = [float(np.dot(w, values[:-7:-1])) for w in weights]
        return np.concatenate([left, values, right])

    def lowpass(self, width: float, on_faces: bool) -> Callable[[np.ndarray], np.ndarray]:
        """(1 - width^2 h^2 d_x^2)^(-2) with parity at the poles: what varies slowly on the grid."""
        count = len(self.faces) if on_faces else self.points
        w2 = width * width
        if self.periodic:
            return _round_a_circle(count, w2)
        from scipy.linalg.lapack import dpttrf, dpttrs

        # Reflected at the ends: those of the faces lie on the ends, those of the cells beside them.
        # Half of the equation there makes the matrix symmetric.
        weights, main = np.ones(count), np.full(count, 1 + 2 * w2)
        if on_faces:
            weights[[0, -1]] = 0.5
            main[[0, -1]] *= 0.5
        else:
            main[[0, -1]] = 1 + w2
        diagonal, beside, _ = dpttrf(main, np.full(count - 1, -w2))

        def smooth(values: np.ndarray) -> np.ndarray:
            once, _ = dpttrs(diagonal, beside, weights * values)
            twice, _ = dpttrs(diagonal, beside, weights * once)
            return np.asarray(twice)

        return smooth

    def divided(self, values: np.ndarray) -> np.ndarray:
        """Values on faces of a function that is odd at the poles over S; see ``over_s``."""
        result = values * self._inverse_faces
        for pole in range(self.poles):
            near = result[1:] if pole == 0 else result[-2::-1]
            result[-pole] = near[: len(self._pole_weights)] @ self._pole_weights
        return np.asarray(result)


def _round_a_circle(count: int, w2: float) -> Callable[[np.ndarray], np.ndarray]:
    """``lowpass`` without ends."""
    from scipy.sparse.linalg import splu

    matrix = scipy.sparse.lil_matrix(scipy.sparse.diags(np.full(count, 1 + 2 * w2)))
    for j in range(count):
        for i in (j - 1, j + 1):
            matrix[j, i % count] -= w2
    factor = splu(scipy.sparse.csc_matrix(matrix @ matrix))

    def smooth(values: np.ndarray) -> np.ndarray:
        return np.asarray(factor.solve(values))

    return smooth
