"""Convex sets, and the projections onto them that a potential defines."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..arrays import Array, device, first_true, like, require_finite, to_numpy
from ..checks import count, number
from ..errors import ConvergenceError, InvalidArgumentError, ShapeError
from ..finite import finite_result, quiet
from ..identity import ByValue
from ._common import column, inner, prepare
from .potentials import Potential

_STEPS = 100
_MOST_WEIGHTS = 10**9


class ConvexSet(ByValue, ABC):
    """A closed convex set of weights (..., n)."""

    @abstractmethod
    def step(self, potential: Potential, x: Array, shift: Array) -> Array:
        """The z of the set that minimises shift . z + D[z : x]: one step of mirror descent."""

    @abstractmethod
    def contains(self, x: Array, atol: float = 1e-9) -> Array:
        """Whether x lies in the set up to atol, booleans (...)."""

    @finite_result
    def project(self, potential: Potential, y: Array) -> Array:
        """The Bregman projection: the z of the set that minimises D[z : y], shape (..., n).

        Errors are those of the potential's domain, and ShapeError or DTypeError for y that is
        not real floating point (..., n).
        """
        _, (y,), _ = prepare(y=y)
        require_finite(y, "y")
        return self.step(potential, y, y * 0.0)


class Simplex(ConvexSet):
    """The points with z_i >= 0 and sum_i z_i = total.

    The projection is z_i = max(0, phi'^-1(phi'(y_i) + nu)) with the number nu for which the sum
    is right: for the negative entropy a renormalisation, for the LNE potential not. The equation
    is solved for the largest z_i in place of nu, between total/n and total, by Newton's method
    with bisection to fall back on, O(n) a step.

    Parameters
    ----------
    total : float
        Greater than 0, in the unit of the weights.

    Raises
    ------
    InvalidArgumentError
        If the total is not finite and positive.

    References
    ----------
    Section 3.4 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import LNEPotential, Simplex
    >>> y = np.asarray([0.5, 1.0, 1.5])
    >>> print((y / y.sum()).round(4))
    [0.1667 0.3333 0.5   ]
    >>> print(Simplex().project(LNEPotential(1.0), y).round(4))
    [0.063  0.3797 0.5573]
    """

    def __init__(self, total: float = 1.0) -> None:
        self.total = number(total, "total", above=0.0)

    def __repr__(self) -> str:
        return f"Simplex(total={self.total})"

    @finite_result
    def step(self, potential: Potential, x: Array, shift: Array) -> Array:
        xp, (x, shift), out = prepare(x=x, shift=shift)
        shape = np.broadcast_shapes(tuple(x.shape), tuple(shift.shape))
        x, shift = xp.broadcast_to(x, shape), xp.broadcast_to(shift, shape)
        best = xp.argmax(
            potential.gradient_difference(x, xp.broadcast_to(x[..., :1], shape)) - shift, axis=-1
        )
        best = xp.expand_dims(best, axis=-1)
        mask = xp.arange(shape[-1], device=device(x)) == best
        offset = potential.gradient_difference(x, xp.broadcast_to(_picked(xp, x, mask), shape))
        offset = xp.minimum(offset - (shift - _picked(xp, shift, mask)), 0.0)
        top = _root(xp, potential, offset, self.total)
        z = potential.raised(xp.broadcast_to(column(xp, top), shape), offset)
        return xp.astype(xp.maximum(z, 0.0), out, copy=False)

    @finite_result
    def contains(self, x: Array, atol: float = 1e-9) -> Array:
        xp, (x,), _ = prepare(x=x)
        return (xp.min(x, axis=-1) >= -atol) & (xp.abs(xp.sum(x, axis=-1) - self.total) <= atol)

    @finite_result
    def squared_radius(self, potential: Potential, n: int) -> float:
        """R^2 = max Phi - min Phi over the simplex in n dimensions, as Thm 12 uses it.

        Phi is convex and symmetric: its largest value is at a corner, its smallest at the centre.
        Raises InvalidArgumentError for n < 1.

        >>> from riemann_lne.lne import LNEPotential, Simplex
        >>> print(round(Simplex().squared_radius(LNEPotential(1.0), 100), 6))
        0.428781
        """
        n = count(n, "n", least=1)
        if n > _MOST_WEIGHTS:
            raise InvalidArgumentError(f"n = {n}; at most {_MOST_WEIGHTS} weights are formed")
        corner = np.zeros(n)
        corner[0] = self.total
        centre = np.full(n, self.total / n)
        return float(potential.value(corner) - potential.value(centre))


class Box(ConvexSet):
    """The points with lower <= z_i <= upper; every separable projection clips.

    Parameters
    ----------
    lower, upper : float
        lower < upper, in the unit of the weights; infinite bounds are allowed.

    Raises
    ------
    InvalidArgumentError
        If lower >= upper.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import Box, LNEPotential
    >>> print(Box(-1.0, 1.0).project(LNEPotential(1.0), np.asarray([0.2, 3.0])))
    [0.2 1. ]
    """

    def __init__(self, lower: float, upper: float) -> None:
        self.lower, self.upper = _bound(lower, "lower"), _bound(upper, "upper")
        if not self.lower < self.upper:
            raise InvalidArgumentError(f"lower must be below upper, got {lower} and {upper}")

    def __repr__(self) -> str:
        return f"Box({self.lower}, {self.upper})"

    @finite_result
    def step(self, potential: Potential, x: Array, shift: Array) -> Array:
        xp, (x, shift), out = prepare(x=x, shift=shift)
        inside = x + 0.0 * shift
        # raised increases with the offset and saturates where it has no value: clipping suffices
        z = xp.where(shift == 0.0, inside, potential.raised(inside, -(shift + 0.0 * x)))
        z = xp.minimum(xp.maximum(z, self.lower), self.upper)
        return xp.astype(z, out, copy=False)

    @finite_result
    def contains(self, x: Array, atol: float = 1e-9) -> Array:
        xp, (x,), _ = prepare(x=x)
        low = xp.min(x, axis=-1) >= self.lower - atol
        return low & (xp.max(x, axis=-1) <= self.upper + atol)


class AffineSet(ConvexSet):
    """The points with matrix z = rhs.

    The projection is the z with matrix z = rhs and grad Phi(z) = grad Phi(y) + matrix^T nu for
    some nu in R^m: Newton's method for z and nu with a line search, O(m^2 n) a step. It works with
    z and not with the dual point alone, which saturates for large weights.

    Parameters
    ----------
    matrix : array, shape (m, n)
        Of full rank m <= n.
    rhs : array, shape (m,)

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    InvalidArgumentError
        If the rows are linearly dependent.
    ConvergenceError
        From ``project`` and ``step``, if Newton's method did not reach the set.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import AffineSet, LNEPotential
    >>> plane = AffineSet(np.ones((1, 3)), np.asarray([1.0]))
    >>> print(plane.project(LNEPotential(1.0), np.asarray([0.5, 1.0, 1.5])).round(4))
    [0.063  0.3797 0.5573]
    """

    @quiet
    def __init__(self, matrix: Array, rhs: Array) -> None:
        _, (matrix,), _ = prepare(matrix=matrix)
        _, (rhs,), _ = prepare(rhs=rhs)
        if matrix.ndim != 2 or tuple(rhs.shape) != tuple(matrix.shape[:1]):
            raise ShapeError(
                f"matrix has shape {tuple(matrix.shape)} and rhs {tuple(rhs.shape)}; "
                "expected (m, n) and (m,)"
            )
        require_finite(matrix, "matrix")
        require_finite(rhs, "rhs")
        rank = int(np.linalg.matrix_rank(to_numpy(matrix)))
        if rank < matrix.shape[0]:
            raise InvalidArgumentError(
                f"the {matrix.shape[0]} rows of matrix have rank {rank}; leave out dependent rows"
            )
        self.matrix, self.rhs = matrix, rhs

    def __repr__(self) -> str:
        return f"AffineSet(matrix of shape {tuple(self.matrix.shape)})"

    @finite_result
    def step(self, potential: Potential, x: Array, shift: Array) -> Array:
        xp, (x, shift), out = prepare(x=x, shift=shift)
        if x.shape[-1] != self.matrix.shape[1]:
            raise ShapeError(
                f"x has shape {tuple(x.shape)}; the set needs {self.matrix.shape[1]} dimensions"
            )
        system = _Optimality(xp, self, potential, x + 0.0 * shift, shift + 0.0 * x)
        z, nu = system.y, system.no_multipliers()
        rest = system.residual(z, nu)
        for _ in range(_STEPS):
            if bool(xp.all(system.done(z, rest))):
                return xp.astype(z, out, copy=False)
            z, nu, rest, moved = system.newton(z, nu, rest)
            if not moved:
                break
        # No step is better than none: what is left should be rounding.
        if bool(xp.all(system.feasible(z, rest) & system.stationary(z, rest))):
            return xp.astype(z, out, copy=False)
        gradient, gap = (float(xp.max(xp.abs(r))) for r in rest)
        raise ConvergenceError(
            f"the projection onto the affine set stopped {gap:.2g} away from it, with "
            f"{gradient:.2g} of the gradient left: take a start nearer to the set or, for the LNE "
            "potential, a smaller tau (it is flat far out), and see that the set meets the "
            "potential's domain"
        )

    @finite_result
    def contains(self, x: Array, atol: float = 1e-9) -> Array:
        xp, (x,), _ = prepare(x=x)
        a, b = like(to_numpy(self.matrix), x), like(to_numpy(self.rhs), x)
        return xp.max(xp.abs(_times(xp, a, x) - b), axis=-1) <= atol


def _bound(value: Any, name: str) -> float:
    """An end of an interval, which may be infinite."""
    if isinstance(value, float) and math.isinf(value):
        return float(value)
    return number(value, name)


class _Optimality:
    """The two conditions on (z, nu), and Newton's method for them."""

    def __init__(
        self, xp: Any, target: AffineSet, potential: Potential, y: Array, shift: Array
    ) -> None:
        self._xp, self._potential, self._shift, self.y = xp, potential, shift, y
        self._a, self._b = (like(to_numpy(v), y) for v in (target.matrix, target.rhs))
        self._eps = float(xp.finfo(y.dtype).eps)

    def no_multipliers(self) -> Array:
        return 0.0 * _times(self._xp, self._a, self.y)

    def residual(self, z: Array, nu: Array) -> tuple[Array, Array]:
        """Residuals of grad Phi(z) - grad Phi(y) + shift = A^T nu, and of A z = b."""
        xp = self._xp
        turn = self._potential.gradient_difference(z, self.y) + self._shift
        dual = turn - _times(xp, xp.matrix_transpose(self._a), nu)
        return dual, _times(xp, self._a, z) - self._b

    def feasible(self, z: Array, rest: tuple[Array, Array]) -> Array:
        xp = self._xp
        size = xp.max(xp.abs(self._a)) * xp.sum(xp.abs(z), axis=-1) + xp.max(xp.abs(self._b))
        return xp.max(xp.abs(rest[1]), axis=-1) <= 50.0 * self._eps * size

    def stationary(self, z: Array, rest: tuple[Array, Array]) -> Array:
        xp = self._xp
        turn = self._potential.gradient_difference(z, self.y) + self._shift
        size = xp.max(xp.abs(turn), axis=-1) + xp.max(xp.abs(self._potential.gradient(z)), axis=-1)
        return xp.max(xp.abs(rest[0]), axis=-1) <= 1e3 * self._eps * size

    def done(self, z: Array, rest: tuple[Array, Array]) -> Array:
        xp = self._xp
        # of the gradients themselves, relative to the flatness of Phi where z is
        slack = 10.0 * self._eps * (xp.min(self._potential.hessian(z), axis=-1))
        return self.feasible(z, rest) & (xp.max(xp.abs(rest[0]), axis=-1) <= slack)

    def newton(
        self, z: Array, nu: Array, rest: tuple[Array, Array]
    ) -> tuple[Array, Array, tuple[Array, Array], bool]:
        """One step, halved for each block until the residual decreases."""
        xp, a = self._xp, self._a
        inverse = 1.0 / self._potential.hessian(z)
        weighted = a * xp.expand_dims(inverse, axis=-2)
        right = _times(xp, weighted, rest[0]) - rest[1]
        gram = weighted @ xp.matrix_transpose(a)
        step_nu = xp.linalg.solve(gram, xp.expand_dims(right, axis=-1))[..., 0]
        step = inverse * (_times(xp, xp.matrix_transpose(a), step_nu) - rest[0])
        before = self._size(rest)
        share = xp.ones_like(before)
        for _ in range(50):
            new, new_nu = z + step * column(xp, share), nu + step_nu * column(xp, share)
            inside = xp.all(new > self._potential.lowest, axis=-1)
            new = xp.where(column(xp, inside), new, z)
            after = self.residual(new, new_nu)
            fine = inside & (self._size(after) <= (1.0 - 0.1 * share) * before)
            if bool(xp.all(fine)):
                break
            share = xp.where(fine, share, 0.5 * share)
        new, new_nu = (xp.where(column(xp, fine), q, p) for p, q in ((z, new), (nu, new_nu)))
        return new, new_nu, self.residual(new, new_nu), bool(xp.any(fine))

    def _size(self, rest: tuple[Array, Array]) -> Array:
        xp = self._xp
        return xp.sqrt(inner(xp, rest[0], rest[0]) + inner(xp, rest[1], rest[1]))


def _times(xp: Any, a: Array, z: Array) -> Array:
    return (a @ xp.expand_dims(z, axis=-1))[..., 0]


def _picked(xp: Any, x: Array, mask: Array) -> Array:
    return xp.sum(xp.where(mask, x, 0.0 * x), axis=-1, keepdims=True)


def move_dual(xp: Any, potential: Potential, x: Array, offset: Array) -> tuple[Array, Array]:
    """The z with phi'(z) = phi'(x) + offset, and where it exists: that equation holds for z."""
    z = xp.where(offset == 0.0, x, potential.raised(x, offset))
    fine = xp.isfinite(z)
    safe = xp.where(fine, z, x)
    got = potential.gradient_difference(safe, x)
    size = xp.abs(offset) + xp.abs(potential.gradient(x))
    rounding = 1e3 * float(xp.finfo(safe.dtype).eps)
    return safe, fine & (xp.abs(got - offset) <= rounding * size)


def require_reached(reached: Array, name: str) -> None:
    index = first_true(~reached)
    if index is not None:
        raise InvalidArgumentError(
            f"the step leaves the range of the mirror map at index {index} ({name}): take a "
            "shorter step, or a set that bounds the weights"
        )


def _root(xp: Any, potential: Potential, offset: Array, total: float) -> Array:
    """The base for which the positive parts of ``raised`` have the given sum, shape (...)."""
    n = offset.shape[-1]
    one = xp.ones_like(offset[..., 0])
    low, high = (total / n) * one, total * one
    base = 0.5 * (low + high)
    eps = float(xp.finfo(offset.dtype).eps)
    for _ in range(_STEPS):
        z = potential.raised(xp.broadcast_to(column(xp, base), offset.shape), offset)
        positive = z > 0.0
        z = xp.where(positive, z, 0.0 * z)
        excess = xp.sum(z, axis=-1) - total
        low, high = xp.where(excess <= 0.0, base, low), xp.where(excess >= 0.0, base, high)
        if bool(xp.all((xp.abs(excess) <= 2.0 * eps * total) | (high - low <= 2.0 * eps * high))):
            break
        bend = potential.hessian(xp.where(positive, z, column(xp, base)))
        here = potential.hessian(column(xp, base))
        slope = xp.sum(xp.where(positive, here / bend, 0.0 * z), axis=-1)
        newton = base - excess / slope
        inside = (newton > low) & (newton < high)
        base = xp.where(inside, newton, 0.5 * (low + high))
    return base
