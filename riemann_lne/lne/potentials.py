"""Potentials for Bregman projections and mirror descent: LNE, Euclidean, negative entropy.

All are separable, Phi(x) = sum_i phi(x_i) with phi convex, so that what projections need is known
coordinate by coordinate.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from ..arrays import Array, first_true
from ..checks import number
from ..errors import InvalidArgumentError
from ..finite import finite_result, quiet
from ..identity import ByValue
from ._common import cosh_saturated, fit_tau, prepare, validate_tau
from .divergence import lne_divergence, lne_potential


class Potential(ByValue, ABC):
    """A separable, strictly convex potential Phi(x) = sum_i phi(x_i) on weights (..., n).

    Points are in one unit, the potential in its square (or, for the negative entropy,
    dimensionless). ``gradient`` is the mirror map; the dual point of x is p = grad Phi(x).

    Attributes
    ----------
    lowest : float
        The open domain of the gradient is z_i > lowest.
    """

    lowest = -math.inf

    @abstractmethod
    def value(self, x: Array) -> Array:
        """Phi(x), shape (...)."""

    @abstractmethod
    def gradient(self, x: Array) -> Array:
        """The mirror map grad Phi(x) = phi'(x_i), shape (..., n)."""

    @abstractmethod
    def inverse_gradient(self, p: Array) -> Array:
        """The x with grad Phi(x) = p. Raises NotFiniteError where there is none."""

    @abstractmethod
    def divergence(self, x: Array, y: Array) -> Array:
        """The Bregman divergence Phi(x) - Phi(y) - (x - y) . grad Phi(y), shape (...)."""

    @abstractmethod
    def hessian(self, x: Array) -> Array:
        """The second derivatives phi''(x_i), shape (..., n)."""

    @abstractmethod
    def modulus(self, largest: float) -> float:
        """The modulus of strong convexity (Euclidean norm) on the points with |x_i| <= largest."""

    @abstractmethod
    def gradient_difference(self, x: Array, y: Array) -> Array:
        """The difference phi'(x_i) - phi'(y_i), without cancellation."""

    @abstractmethod
    def raised(self, base: Array, offset: Array) -> Array:
        """The z with phi'(z) = phi'(base) + offset; the lowest point of phi's domain, or minus
        infinity, where there is none because the offset is too negative.
        """

    def admit(self, x: Array, name: str) -> None:
        """Raise InvalidArgumentError, naming the index, where x is outside of the domain."""
        prepare(**{name: x})

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LNEPotential(Potential):
    """The LNE potential sum_i log cosh(tau x_i)/tau^2 of Eq. 14.

    1-smooth; strongly convex on bounded sets alone, with modulus sech^2(tau R) on |x_i| <= R. Its
    mirror map tanh(tau x)/tau fills the cube |p_i| < 1/tau only.

    Parameters
    ----------
    tau : float
        Scale, one over the unit of the weights.

    Raises
    ------
    InvalidArgumentError
        If tau is not a finite number greater than 0.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import LNEPotential
    >>> phi, x = LNEPotential(2.0), np.asarray([0.3, -0.8])
    >>> print(np.allclose(phi.inverse_gradient(phi.gradient(x)), x))
    True
    >>> print(round(phi.modulus(1.0), 6))
    0.070651
    """

    def __init__(self, tau: float) -> None:
        tau = validate_tau(tau)
        if not isinstance(tau, float):
            raise InvalidArgumentError(
                f"a potential takes one tau, a float; got the shape {tau.shape}"
            )
        self.tau = tau

    def __repr__(self) -> str:
        return f"LNEPotential(tau={self.tau})"

    def value(self, x: Array) -> Array:
        return lne_potential(x, self.tau)

    @finite_result
    def gradient(self, x: Array) -> Array:
        xp, (x,), _ = prepare(x=x)
        return xp.tanh(x * self.tau) / self.tau

    @finite_result
    def inverse_gradient(self, p: Array) -> Array:
        xp, (p,), _ = prepare(p=p)
        return xp.atanh(p * self.tau) / self.tau

    def divergence(self, x: Array, y: Array) -> Array:
        return lne_divergence(x, y, self.tau)

    @finite_result
    def hessian(self, x: Array) -> Array:
        xp, (x,), _ = prepare(x=x)
        c = cosh_saturated(xp, x, fit_tau(self.tau, x)[1])
        return 1.0 / (c * c)

    @finite_result
    def modulus(self, largest: float) -> float:
        largest = number(largest, "largest", least=0.0)
        # sech^2 = 4 e/(1 + e)^2, e = exp(-2 tau R): no overflow
        e = math.exp(-2.0 * self.tau * largest)
        return 4.0 * e / (1.0 + e) ** 2

    @finite_result
    def gradient_difference(self, x: Array, y: Array) -> Array:
        xp, (x, y), _ = prepare(x=x, y=y)
        # tanh a - tanh b = sinh(a - b) sech a sech b; far apart nothing cancels
        a, b, d = x * self.tau, y * self.tau, (x - y) * self.tau
        bounded = xp.sinh(xp.minimum(xp.maximum(d, -1.0), 1.0))
        near = bounded / cosh_saturated(xp, x, self.tau) / cosh_saturated(xp, y, self.tau)
        # 1 - tanh for positive ends, so that the smaller of two numbers near 1 keeps its digits
        far = xp.where(
            (a > 0.0) & (b > 0.0), self._shortfall(xp, b) - self._shortfall(xp, a),
            xp.where((a < 0.0) & (b < 0.0), self._shortfall(xp, -a) - self._shortfall(xp, -b),
                     xp.tanh(a) - xp.tanh(b)),
        )  # fmt: skip
        return xp.where(xp.abs(d) < 1.0, near, far) / self.tau

    @quiet
    def raised(self, base: Array, offset: Array) -> Array:
        xp, (base, offset), _ = prepare(base=base, offset=offset)
        w = self._shortfall(xp, base * self.tau) - offset * self.tau
        # tanh z = 1 - w: z = log((2 - w)/w)/2, by two logarithms as the ratio may overflow
        tiny = float(xp.finfo(w.dtype).smallest_normal)
        high, low = xp.log(xp.maximum(2.0 - w, tiny)), xp.log(xp.maximum(w, tiny))
        return 0.5 * (high - low) / self.tau

    @staticmethod
    def _shortfall(xp: Any, a: Array) -> Array:
        """1 - tanh a = 2/(e^(2a) + 1), with a small relative error."""
        limit = 0.49 * math.log(float(xp.finfo(a.dtype).max))
        return 2.0 / (xp.exp(2.0 * xp.minimum(a, limit)) + 1.0)


class EuclideanPotential(Potential):
    """Phi(x) = |x|^2/2: the identity as mirror map, modulus 1; mirror descent is gradient descent.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import EuclideanPotential
    >>> print(EuclideanPotential().divergence(np.asarray([1.0, 2.0]), np.zeros(2)))
    2.5
    """

    @finite_result
    def value(self, x: Array) -> Array:
        xp, (x,), _ = prepare(x=x)
        return 0.5 * xp.sum(x * x, axis=-1)

    @finite_result
    def gradient(self, x: Array) -> Array:
        return prepare(x=x)[1][0]

    @finite_result
    def inverse_gradient(self, p: Array) -> Array:
        return prepare(p=p)[1][0]

    @finite_result
    def divergence(self, x: Array, y: Array) -> Array:
        xp, (x, y), _ = prepare(x=x, y=y)
        return 0.5 * xp.sum((x - y) * (x - y), axis=-1)

    @finite_result
    def hessian(self, x: Array) -> Array:
        xp, (x,), _ = prepare(x=x)
        return xp.ones_like(x)

    @finite_result
    def modulus(self, largest: float) -> float:
        largest = number(largest, "largest", least=0.0)
        return 1.0

    @finite_result
    def gradient_difference(self, x: Array, y: Array) -> Array:
        _, (x, y), _ = prepare(x=x, y=y)
        return x - y

    @quiet
    def raised(self, base: Array, offset: Array) -> Array:
        _, (base, offset), _ = prepare(base=base, offset=offset)
        return base + offset


class NegativeEntropy(Potential):
    """Phi(p) = sum_i p_i log p_i - p_i on p_i > 0; its divergence is Kullback and Leibler's.

    The mirror map is log; the projection onto the simplex is a renormalisation.

    References
    ----------
    Remark 9 of arXiv 2302.03390 v3.

    Examples
    --------
    >>> import numpy as np
    >>> from riemann_lne.lne import NegativeEntropy, Simplex
    >>> print(Simplex().project(NegativeEntropy(), np.asarray([1.0, 3.0])))
    [0.25 0.75]
    """

    lowest = 0.0

    @finite_result
    def value(self, x: Array) -> Array:
        self.admit(x, "x")
        xp, (x,), _ = prepare(x=x)
        return xp.sum(x * xp.log(xp.where(x > 0.0, x, xp.ones_like(x))) - x, axis=-1)

    @finite_result
    def gradient(self, x: Array) -> Array:
        self._admit_inside(x, "x")
        xp, (x,), _ = prepare(x=x)
        return xp.log(x)

    @finite_result
    def inverse_gradient(self, p: Array) -> Array:
        xp, (p,), _ = prepare(p=p)
        return xp.exp(p)

    @finite_result
    def divergence(self, x: Array, y: Array) -> Array:
        self.admit(x, "x")
        self._admit_inside(y, "y")
        xp, (x, y), _ = prepare(x=x, y=y)
        ratio = xp.where(x > 0.0, x / y, xp.ones_like(x / y))
        return xp.sum(x * xp.log(ratio) - (x - y), axis=-1)

    @finite_result
    def hessian(self, x: Array) -> Array:
        self._admit_inside(x, "x")
        _, (x,), _ = prepare(x=x)
        return 1.0 / x

    @finite_result
    def modulus(self, largest: float) -> float:
        largest = number(largest, "largest", least=0.0)
        return 1.0 / largest

    @finite_result
    def gradient_difference(self, x: Array, y: Array) -> Array:
        self._admit_inside(x, "x")
        xp, (x, y), _ = prepare(x=x, y=y)
        return xp.log(x / y)

    @quiet
    def raised(self, base: Array, offset: Array) -> Array:
        xp, (base, offset), _ = prepare(base=base, offset=offset)
        return base * xp.exp(offset)

    def admit(self, x: Array, name: str) -> None:
        x = prepare(x=x)[1][0]
        self._refuse(first_true(~(x >= 0.0)), name, "not be negative")

    def _admit_inside(self, x: Array, name: str) -> None:
        x = prepare(x=x)[1][0]
        self._refuse(first_true(~(x > 0.0)), name, "be greater than 0")

    @staticmethod
    def _refuse(index: tuple[int, ...] | None, name: str, must: str) -> None:
        if index is not None:
            raise InvalidArgumentError(
                f"{name} lies outside of the domain of the negative entropy at index {index}: "
                f"its entries must {must}"
            )
