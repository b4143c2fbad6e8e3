"""Round spheres in coordinates without symmetry: pulled back by a projective map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, host_numbers, namespace, require_finite
from ..checks import count, number
from ..errors import InvalidArgumentError, NotSymmetricError, ShapeError
from ..grids import Grid
from .shrinking import ShrinkingSphere

# Condition numbers of N beyond this bend the sphere beyond what grids resolve.
_WORST_CONDITION = 1e6


@dataclass(frozen=True)
class ProjectiveSphere(ShrinkingSphere):
    """See ``projective_sphere``."""

    n: int
    matrix: tuple[tuple[float, ...], ...]

    solves = ("ricci",)

    @property
    def _first_square(self) -> float:
        return 1.0

    def ambient(self, t: float, *x: Array) -> Any:
        """Rows of the tensor h of R^(n+1) that induces the metric."""
        self._check_time(t)
        size, every = self.squared_radius(t), range(self.n + 1)
        image = [sum(self.matrix[a][b] * x[b] for b in every) for a in every]
        q: Any = sum(x[a] * image[a] for a in every)
        return [
            [size * (self.matrix[a][b] / q - image[a] * image[b] / q**2) for b in every]
            for a in every
        ]

    def _components(self, t: float, *x: Array) -> Any:
        # h does not change along rays, nor under a change of scale: P = (2 x, |x|^2 - 1) will do.
        n, xp = self.n, namespace(*x)
        r2: Any = sum(c * c for c in x)
        h = self.ambient(t, *(2 * c for c in x), r2 - 1)
        zero = xp.zeros_like(x[0])
        frame = [[zero + 2.0 * (i == a) for a in range(n)] + [2 * x[i]] for i in range(n)]
        every = range(n + 1)
        return [
            [sum(frame[i][a] * h[a][b] * frame[j][b] for a in every for b in every)
             for j in range(n)]
            for i in range(n)
        ]  # fmt: skip

    def grid(self, points: int) -> Grid:
        """Box [-1/2, 1/2]^n of the stereographic coordinates; ``Atlas.sphere`` has all of it."""
        return Grid.box(-0.5, 0.5, (points,) * self.n)


def projective_sphere(
    n: int = 2, strength: float = 0.3, seed: int = 0, matrix: Any = None
) -> ProjectiveSphere:
    """The shrinking unit sphere pulled back by the diffeomorphism X -> M X / |M X| of S^n,

    g = (1 - 2 (n - 1) t) (N / q - N X (N X)^T / q^2), N = M^T M, q = X . N X,

    as a tensor of R^(n+1) restricted to the sphere; the coordinates are stereographic,
    X = (2 x, |x|^2 - 1) / (1 + |x|^2). It is round, but in these coordinates it has no symmetry and
    all of its components change from point to point. Solves the Ricci flow, t < 1 / (2 (n - 1)).

    Parameters
    ----------
    n : int
        2 or 3.
    strength : float
        N = 1 + strength A, A a random symmetric matrix of norm 1; below 1.
    seed : int
        Of the matrix.
    matrix : (n + 1, n + 1), optional
        N, symmetric and positive definite, in place of ``strength`` and ``seed``.

    Raises
    ------
    InvalidArgumentError
        If the strength is not in [0, 1), N is not positive definite or its condition number is
        above 1e6.
    ShapeError, NotSymmetricError, NotFiniteError
        If the matrix is none of this size.

    Examples
    --------
    >>> from riemann_lne import Atlas
    >>> g = projective_sphere(2).field(0.0, Atlas.sphere(2, 48))
    >>> bool(abs(g.scalar_curvature() - 2).max() < 0.01)
    True
    """
    n, seed = count(n, "n"), count(seed, "seed")
    if n not in (2, 3):
        raise InvalidArgumentError(f"n = {n}; give 2 or 3")
    if matrix is None:
        size = number(strength, "strength")
        if not 0 <= size < 1:
            raise InvalidArgumentError(f"strength = {strength}; it must lie in [0, 1)")
        a = np.random.default_rng(seed).normal(size=(n + 1, n + 1))
        a = a + a.T
        values = np.eye(n + 1) + size * a / np.linalg.norm(a, 2)
    else:
        values = host_numbers(matrix, "matrix")
        if values.shape != (n + 1, n + 1):
            raise ShapeError(f"matrix has shape {values.shape}; n = {n} asks for {(n + 1, n + 1)}")
        require_finite(values, "matrix")
        if not np.array_equal(values, values.T):
            raise NotSymmetricError(f"matrix = {values.tolist()} must be symmetric; give N = M^T M")
        values = values / max(float(np.abs(values).max()), 1e-300)
    low, high = (float(v) for v in np.linalg.eigvalsh(values)[[0, -1]])
    if not low * _WORST_CONDITION > high:
        raise InvalidArgumentError(
            f"matrix has eigenvalues from {low:.3g} to {high:.3g} times its largest entry; they "
            "must be positive and within a factor of 1e6"
        )
    return ProjectiveSphere(n, tuple(tuple(float(v) for v in row) for row in values))
