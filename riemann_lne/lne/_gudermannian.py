"""The flat coordinates of diag(sech^2(tau x)): geodesics and distances in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import Array, first_true, like
from ..errors import InvalidArgumentError
from ..finite import finite_result
from ._common import WithTau, cosh_saturated, fit_tau, prepare, valid_times


class GudermannianGeometry(WithTau):
    """Part of `HessianLNEMetric` that rests on its Euclidean coordinates gd(tau x)/tau."""

    @finite_result
    def to_flat(self, x: Array, *, check: bool = True) -> Array:
        """The flat coordinates y = gd(tau x)/tau = 2 atan(tanh(tau x/2))/tau, shape (..., n).

        In the unit of the weights, |y_i| < pi/(2 tau); beyond tau |x_i| = 36 (17 in single
        precision) y_i rounds to that bound. Raises DTypeError or ShapeError for x that is not
        real floating point (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).to_flat(np.asarray([0.0, 1.0])).round(4))
        [0.     0.8658]
        """
        xp, (x,), out = prepare(check=check, x=x)
        weight = fit_tau(self.tau, x)[1]
        y = 2.0 * xp.atan(xp.tanh(0.5 * (x * weight))) / weight
        return xp.astype(y, out, copy=False)

    @finite_result
    def from_flat(self, y: Array, *, check: bool = True) -> Array:
        """The weights x = asinh(tan(tau y))/tau with flat coordinates y, shape (..., n).

        Raises InvalidArgumentError, naming batch index and coordinate, where
        |y_i| >= pi/(2 tau); DTypeError or ShapeError for y that is not real floating point
        (..., n).

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).from_flat(np.asarray([0.0, 0.865769483])).round(6))
        [0. 1.]
        """
        xp, (y,), out = prepare(check=check, y=y)
        weight = fit_tau(self.tau, y)[1]
        angle = y * weight
        if check:
            _require_inside(xp, xp.abs(angle) < 0.5 * math.pi, "the flat coordinates leave")
        return xp.astype(xp.asinh(xp.tan(angle)) / weight, out, copy=False)

    @finite_result
    def exp(self, x: Array, v: Array, *, check: bool = True) -> Array:
        """The end of the geodesic that leaves x with velocity v, after unit time, shape (..., n).

        x' = x + [log(1 + U e^-a) - log(1 - U e^a)]/tau, a = tau x, U = tan(tau v sech(a)/2): the
        straight line in flat coordinates, in a form that keeps the digits of small v.

        Parameters
        ----------
        x, v : array, shape (..., n)
            Weights and tangent vector, in one unit; batch dimensions broadcast.
        check : bool
            Refuse geodesics that leave weight space before unit time (waits for the device on a
            GPU); without the check the coordinates that leave are not finite or have no meaning.

        Returns
        -------
        array, shape (..., n)

        Raises
        ------
        InvalidArgumentError
            If the geodesic leaves the open cube of side pi/tau; names batch index and
            coordinate.
        DTypeError, ShapeError
            If the arguments are not real floating-point arrays of fitting shapes.

        References
        ----------
        Geodesics of the Hessian of Eq. 14 of arXiv 2302.03390 v3 (not in the paper).

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).exp(np.asarray([0.0]), np.asarray([0.865769483])).round(6))
        [1.]
        """
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        weight = fit_tau(self.tau, x, v)[1]
        a = x * weight
        limit = 0.5 * math.log(float(xp.finfo(a.dtype).max))
        grown = xp.exp(xp.minimum(xp.maximum(a, -limit), limit))
        half = v * weight / cosh_saturated(xp, x, weight) * 0.5
        if check:
            # |gd(a) + 2 half| < pi/2 needs |2 half| < pi, so that the tangent is on its main branch
            u = xp.where(xp.abs(half) < 0.5 * math.pi, xp.tan(half), like(math.inf, half))
            _require_inside(xp, (u * grown < 1.0) & (u > -grown), "the geodesic leaves")
        u = xp.tan(half)
        step = xp.log1p(u / grown) - xp.log1p(-u * grown)
        return xp.astype(x + step / weight, out, copy=False)

    @finite_result
    def geodesic(self, x: Array, v: Array, times: Sequence[float], *, check: bool = True) -> Array:
        """Points exp(x, time v) of a geodesic, shape (..., len(times), n).

        Times may have any order and sign. Arguments and errors otherwise as for `exp`.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> x, v = np.asarray([0.0]), np.asarray([1.0])
        >>> print(HessianLNEMetric(1.0).geodesic(x, v, [0.0, 0.5, 1.0]).round(4))
        [[0.    ]
         [0.5222]
         [1.2262]]
        """
        instants = valid_times(times)
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        points = [self.exp(x, v * time, check=check) for time in instants]
        return xp.astype(xp.stack(points, axis=-2), out, copy=False)

    @finite_result
    def transport(self, x: Array, v: Array, w: Array, *, check: bool = True) -> Array:
        """Parallel transport of w along the geodesic exp(x, time v) to time 1, shape (..., n).

        w_i cosh(tau y_i)/cosh(tau x_i) with y = exp(x, v): the components in flat coordinates
        are constant. In the unit of w. Errors as for `exp`.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> zero, one = np.asarray([0.0]), np.asarray([1.0])
        >>> print(HessianLNEMetric(1.0).transport(zero, one, one).round(4))
        [1.8508]
        """
        xp, (x, v, w), out = prepare(check=check, x=x, v=v, w=w)
        weight = fit_tau(self.tau, x, v, w)[1]
        y = self.exp(x, v, check=check)
        ratio = cosh_saturated(xp, y, weight) / cosh_saturated(xp, x, weight)
        return xp.astype(w * ratio, out, copy=False)

    @finite_result
    def log(self, x: Array, y: Array, *, check: bool = True) -> Array:
        """The velocity at x of the geodesic that reaches y at unit time, shape (..., n).

        v = (gd(tau y) - gd(tau x)) cosh(tau x)/tau, the difference taken without cancellation.
        Weight space is convex in flat coordinates, so v always exists. In the unit of the
        weights. Raises DTypeError or ShapeError for arguments that are not real floating point
        (..., n) of fitting shapes.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).log(np.asarray([0.0]), np.asarray([1.0])).round(6))
        [0.865769]
        """
        xp, (x, y), out = prepare(check=check, x=x, y=y)
        weight = fit_tau(self.tau, x, y)[1]
        angle = self._angle(xp, x, y, weight)
        v = angle * cosh_saturated(xp, x, weight) / weight
        return xp.astype(v, out, copy=False)

    @finite_result
    def distance(self, x: Array, y: Array, *, check: bool = True) -> Array:
        """Geodesic distance |gd(tau x) - gd(tau y)|/tau (Euclidean norm), shape (...).

        In the unit of the weights, at most sqrt(n) pi/tau; accurate for x next to y. Raises
        DTypeError or ShapeError for arguments that are not real floating point (..., n) of
        fitting shapes.

        >>> import numpy as np
        >>> from riemann_lne.lne import HessianLNEMetric
        >>> print(HessianLNEMetric(1.0).distance(np.asarray([-1.0]), np.asarray([1.0])).round(6))
        1.731539
        """
        xp, (x, y), _ = prepare(check=check, x=x, y=y)
        block, weight = fit_tau(self.tau, x, y)
        return xp.linalg.vector_norm(self._angle(xp, x, y, weight), axis=-1) / block

    @staticmethod
    def _angle(xp: Any, x: Array, y: Array, weight: Any) -> Array:
        """The angles gd(tau y) - gd(tau x) = 2 atan(sinh(h)/cosh(m)).

        Here h is half the difference and m the mean of tau x and tau y. Far apart,
        the quotient is taken from the exponential of a difference of exponents, which is cut off
        where the arc tangent no longer sees it.
        """
        h = (0.5 * (y - x)) * weight
        mean = 0.5 * x + 0.5 * y
        m = mean * weight
        near = xp.sinh(xp.minimum(xp.maximum(h, -1.0), 1.0)) / cosh_saturated(xp, mean, weight)
        size = xp.maximum(xp.abs(h), xp.ones_like(h))
        limit = 0.9 * math.log(float(xp.finfo(h.dtype).max))
        grown = xp.exp(xp.minimum(size - xp.abs(m), xp.full_like(h, limit)))
        far = grown * -xp.expm1(-2.0 * size) / (1.0 + xp.exp(-2.0 * xp.abs(m)))
        return 2.0 * xp.atan(xp.where(xp.abs(h) < 1.0, near, xp.sign(h) * far))


def _require_inside(xp: Any, inside: Array, what: str) -> None:
    """Raise the error for coordinates outside the open cube that weight space is."""
    index = first_true(~inside)
    if index is None:
        return
    where = f"batch index {index[:-1]}, coordinate {index[-1]}"
    raise InvalidArgumentError(
        f"{what} the open cube of side pi/tau that weight space is in this metric, at {where}: "
        "the metric is incomplete; take a shorter step or a smaller tau"
    )
