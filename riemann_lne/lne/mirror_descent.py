"""Mirror descent, and the bound of Thm 12 with the modulus of convexity that is true there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..arrays import Array, require_finite
from ..checks import count, number
from ..errors import InvalidArgumentError
from ..finite import finite_result
from ..identity import ByValue
from ._common import prepare
from .constraints import ConvexSet, move_dual, require_reached
from .potentials import Potential


@dataclass(frozen=True)
class MirrorDescentBound:
    """Bounds on f(average) - f(minimizer) for convex f.

    Attributes
    ----------
    squared_radius : float
        R^2 = D[minimizer : start].
    lipschitz : float
        L, the largest Euclidean norm of a gradient that was met.
    modulus : float
        rho, the modulus of strong convexity of the potential (Euclidean norm) on the smallest
        box about the origin that holds all visited points and the minimizer.
    run : float
        R^2/(eta t) + eta L^2/(2 rho), which holds for the step eta that was used.
    theorem_12 : float
        R L sqrt(2/(rho t)), to which it comes with the step (R/L) sqrt(2 rho/t).
    """

    squared_radius: float
    lipschitz: float
    modulus: float
    run: float
    theorem_12: float


@dataclass(frozen=True, eq=False)
class MirrorDescentResult(ByValue):
    """Result of a run of mirror descent.

    Attributes
    ----------
    x : array, shape (n,)
        The last point.
    average : array, shape (n,)
        Mean of the points at which gradients were taken; what Thm 12 speaks of.
    values : list of float
        The objective at those points, if it was given.
    steps : int
    step_size : float
    lipschitz : float
        Largest Euclidean norm of the gradients.
    largest : float
        Largest |x_i| of all points.
    """

    x: Array
    average: Array
    values: list[float] = field(repr=False)
    steps: int
    step_size: float
    lipschitz: float
    largest: float
    _start: Array = field(repr=False)
    _potential: Potential = field(repr=False)

    @finite_result
    def bound(self, minimizer: Array) -> MirrorDescentBound:
        """Bound of the theory for f(average) - f(minimizer): see `MirrorDescentBound`.

        Raises DTypeError or ShapeError for a minimizer that does not fit the points.
        """
        xp, (minimizer, start), _ = prepare(minimizer=minimizer, start=self._start)
        if minimizer.ndim != 1:
            raise InvalidArgumentError(
                f"minimizer must be one vector (n,), got shape {tuple(minimizer.shape)}"
            )
        squared_radius = float(self._potential.divergence(minimizer, start))
        largest = max(self.largest, float(xp.max(xp.abs(minimizer))))
        modulus = self._potential.modulus(largest)
        run = squared_radius / (self.step_size * self.steps)
        run += self.step_size * self.lipschitz**2 / (2.0 * modulus)
        best = mirror_descent_bound(math.sqrt(squared_radius), self.lipschitz, modulus, self.steps)
        return MirrorDescentBound(squared_radius, self.lipschitz, modulus, run, best)


@finite_result
def mirror_descent_bound(radius: float, lipschitz: float, modulus: float, steps: int) -> float:
    """The bound R L sqrt(2/(rho t)) of Thm 12, in the unit of the objective.

    Parameters
    ----------
    radius, lipschitz, modulus : float
        R (the unit of the weights), L, and rho > 0 (dimensionless).
    steps : int
        t >= 1.

    Raises
    ------
    InvalidArgumentError
        If one of them is out of its range.

    References
    ----------
    Theorem 12 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> from riemann_lne.lne import mirror_descent_bound
    >>> print(mirror_descent_bound(1.0, 2.0, 0.5, 100))
    0.4
    """
    radius, lipschitz = number(radius, "radius"), number(lipschitz, "lipschitz")
    modulus, steps = number(modulus, "modulus"), count(steps, "steps")
    if not (radius >= 0.0 and lipschitz >= 0.0 and modulus > 0.0 and steps >= 1):
        raise InvalidArgumentError(
            "radius and lipschitz must not be negative, modulus greater than 0 and steps at least "
            f"1; got {radius}, {lipschitz}, {modulus}, {steps}"
        )
    return radius * lipschitz * math.sqrt(2.0 / (modulus * steps))


@finite_result
def mirror_descent(
    gradient: Callable[[Array], Array],
    start: Array,
    *,
    potential: Potential,
    steps: int,
    step_size: float,
    constraint: ConvexSet | None = None,
    objective: Callable[[Array], Any] | None = None,
) -> MirrorDescentResult:
    """Minimise a convex function by x <- argmin_z eta gradient(x) . z + D[z : x].

    D is the Bregman divergence of the potential; the minimum is over the constraint set. In the
    dual coordinates that is a step of gradient descent followed by a Bregman projection.

    Parameters
    ----------
    gradient : callable
        A (sub)gradient of the objective at a point, shape (n,).
    start : array, shape (n,)
        First point, in the constraint set.
    potential : Potential
        `LNEPotential`, `EuclideanPotential`, `NegativeEntropy` or one of your own.
    steps : int
        Number t of steps, at least 1.
    step_size : float
        eta > 0. The bound of Thm 12 is for (R/L) sqrt(2 rho/t).
    constraint : ConvexSet, optional
        `Simplex`, `Box`, `AffineSet`; all weights by default.
    objective : callable, optional
        Recorded at every point.

    Returns
    -------
    MirrorDescentResult

    Raises
    ------
    InvalidArgumentError
        If steps or step_size make no sense, the start is not in the set, or a step leaves the
        range of the mirror map (the cube |p_i| < 1/tau for the LNE potential).
    NotFiniteError
        If a gradient is not finite.
    DTypeError, ShapeError
        If the start is not a real floating-point array of shape (n,), or a gradient does not fit.

    References
    ----------
    Section 3.4 and Theorem 12 of arXiv 2302.03390 v3.

    Examples
    --------
    The point of the simplex that is closest to a given one, with the guarantee for the run:

    >>> import numpy as np
    >>> from riemann_lne.lne import LNEPotential, Simplex, mirror_descent
    >>> goal = np.asarray([0.6, 0.3, 0.1])
    >>> run = mirror_descent(lambda x: x - goal, np.full(3, 1 / 3), potential=LNEPotential(1.0),
    ...                      steps=200, step_size=0.2, constraint=Simplex())
    >>> print(run.x.round(6))
    [0.6 0.3 0.1]
    >>> gap = 0.5 * np.sum((run.average - goal) ** 2)
    >>> print(bool(gap <= run.bound(goal).run))
    True
    """
    steps, step_size = count(steps, "steps"), number(step_size, "step_size")
    if steps < 1 or not step_size > 0.0:
        raise InvalidArgumentError(
            f"steps must be at least 1 and step_size finite and greater than 0; got {steps}, "
            f"{step_size}"
        )
    xp, (x,), _ = prepare(start=start)
    if x.ndim != 1:
        raise InvalidArgumentError(f"start must be one vector (n,), got shape {tuple(x.shape)}")
    require_finite(x, "start")
    potential.admit(x, "start")
    scale = float(xp.max(xp.abs(x))) + 1.0
    if constraint is not None:
        slack = 1e3 * float(xp.finfo(x.dtype).eps) * scale * x.shape[0]
        if not bool(constraint.contains(x, slack)):
            raise InvalidArgumentError(f"start does not lie in the constraint set {constraint!r}")
    first, total, values = x, x * 0.0, []
    lipschitz, largest = 0.0, 0.0
    for _ in range(steps):
        slope = gradient(x)
        _, (_, slope), _ = prepare(x=x, gradient=slope)
        require_finite(slope, "gradient")
        if objective is not None:
            values.append(float(objective(x)))
        total = total + x
        lipschitz = max(lipschitz, float(xp.linalg.vector_norm(slope)))
        largest = max(largest, float(xp.max(xp.abs(x))))
        x = _step(xp, potential, constraint, x, slope * step_size)
    return MirrorDescentResult(
        x, total / steps, values, steps, float(step_size), lipschitz, largest, first, potential
    )


def _step(
    xp: Any, potential: Potential, constraint: ConvexSet | None, x: Array, shift: Array
) -> Array:
    if constraint is not None:
        return constraint.step(potential, x, shift)
    z, reached = move_dual(xp, potential, x, -shift)
    require_reached(reached, "the gradient times step_size")
    return z
