"""Geodesics of the LNE metric: exponential map, logarithm, distance, parallel transport, O(n)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array, detached, require_finite, to_numpy
from ..checks import number
from ..errors import ConvergenceError, InvalidArgumentError
from ..finite import finite_result
from ._common import column, fit_tau, prepare, valid_times
from ._halves import ENOUGH, comes_first, connect
from ._rank_one import RankOneAlgebra
from ._rk853 import Arrival
from ._shooting import Connection, norm2_at, shoot
from .hessian import HessianLNEMetric

_FIRST_STEP = 0.1


class GeodesicGeometry(RankOneAlgebra):
    """Part of `LNEMetric` along its geodesics x'' = (sum_i D_i x'_i^2) t/s.

    They are integrated with an adaptive method of order 8. Weight space is the open set
    |tanh(tau x)|^2 < 1; any two of its points are joined by exactly one geodesic, which is the
    shortest path, but geodesics leave it after finite length. For n = 1 the metric is
    sech^2(tau x), and the closed forms of `HessianLNEMetric` are used.
    """

    @finite_result
    def exp(self, x: Array, v: Array, *, check: bool = True, rtol: float | None = None) -> Array:
        """The end of the geodesic that leaves x with velocity v, after unit time, shape (..., n).

        Parameters
        ----------
        x, v : array, shape (..., n)
            Weights and tangent vector, in one unit; batch dimensions broadcast.
        check : bool
            Refuse geodesics that leave weight space before unit time; without the check their
            end is NaN.
        rtol : float, optional
            Error of one step over |v|; by default 1e-11, and 40 roundings in single precision.

        Returns
        -------
        array, shape (..., n)

        Raises
        ------
        NotPositiveDefiniteError
            If g is not positive definite at x.
        InvalidArgumentError
            If a geodesic leaves |tanh(tau x)|^2 < 1; names batch index and time.
        NotFiniteError, DTypeError, ShapeError
            If v is not finite, or the arguments are not real floating-point arrays of fitting
            shapes.

        References
        ----------
        Levi-Civita connection of Eq. 16 of arXiv 2302.03390 v3 (not in the paper).

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> metric = LNEMetric(1.0)
        >>> x, v = np.asarray([0.3, -0.2]), np.asarray([0.2, 0.1])
        >>> y = metric.exp(x, v)
        >>> print(y.round(6))
        [ 0.509642 -0.104513]
        >>> print(np.allclose(metric.log(x, y), v, rtol=1e-9))
        True
        """
        return self.geodesic(x, v, [1.0], check=check, rtol=rtol)[..., 0, :]

    @finite_result
    def geodesic(
        self,
        x: Array,
        v: Array,
        times: Sequence[float],
        *,
        check: bool = True,
        rtol: float | None = None,
    ) -> Array:
        """Points exp(x, time v) of a geodesic, shape (..., len(times), n).

        Times may have any order and sign. Arguments and errors otherwise as for `exp`.

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> x, v = np.asarray([0.3, -0.2]), np.asarray([0.2, 0.1])
        >>> print(LNEMetric(1.0).geodesic(x, v, [0.0, 0.5, 1.0]).round(4))
        [[ 0.3    -0.2   ]
         [ 0.4022 -0.1512]
         [ 0.5096 -0.1045]]
        """
        times = valid_times(times)
        xp, (x, v), out = prepare(check=check, x=x, v=v)
        if x.shape[-1] == 1:
            path = HessianLNEMetric(self.tau).geodesic(x, v, times, check=check)
            return xp.astype(path, out, copy=False)
        x, v = self._full(xp, x, v)
        self._admit(xp, check, x=x, v=v)
        points: dict[int, Array] = {}
        for sign in (1.0, -1.0):
            order = sorted((sign * t, i) for i, t in enumerate(times) if sign * t >= 0.0)
            state, now = (x, v), 0.0
            for time, i in order:
                state = self._advance(xp, state, sign, now, time, check, rtol).state
                now, points[i] = time, state[0]
        rows = [points[i] for i in range(len(times))]
        return xp.astype(xp.stack(rows, axis=-2), out, copy=False)

    @finite_result
    def transport(
        self, x: Array, v: Array, w: Array, *, check: bool = True, rtol: float | None = None
    ) -> Array:
        """Parallel transport of w along the geodesic exp(x, time v) to time 1, shape (..., n).

        w' = (sum_i D_i x'_i w_i) t/s, solved together with the geodesic. An isometry from the
        tangent space at x to that at exp(x, v). Arguments and errors as for `exp`; w is in any
        unit.

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> metric = LNEMetric(1.0)
        >>> x, v, w = np.asarray([[0.3, -0.2], [0.2, 0.1], [1.0, 2.0]])
        >>> there = metric.transport(x, v, w)
        >>> print(there.round(4))
        [1.1739 1.9323]
        >>> y = metric.exp(x, v)
        >>> print(np.isclose(there @ metric.apply(y, there), w @ metric.apply(x, w)))
        True
        """
        xp, (x, v, w), out = prepare(check=check, x=x, v=v, w=w)
        if x.shape[-1] == 1:
            there = HessianLNEMetric(self.tau).transport(x, v, w, check=check)
            return xp.astype(there, out, copy=False)
        x, v, w = self._full(xp, x, v, w)
        self._admit(xp, check, x=x, v=v, w=w)
        arrival = self._advance(xp, (x, v, w), 1.0, 0.0, 1.0, check, rtol)
        return xp.astype(arrival.state[2], out, copy=False)

    @finite_result
    def log(self, x: Array, y: Array, *, check: bool = True, rtol: float | None = None) -> Array:
        """The velocity at x of the geodesic that reaches y at unit time, shape (..., n).

        By shooting from both ends to the middle, in variables that are smooth up to the boundary
        |t|^2 = 1, with Newton's method: O(n^2) memory a block, and O(n^3) operations. With more
        than 64 weights far from the boundary, and always above 256, by secants in O(n). No
        gradient passes through it.

        Parameters
        ----------
        x, y : array, shape (..., n)
            Weights; batch dimensions broadcast.
        check : bool
            Refuse blocks for which shooting did not arrive; without the check they are NaN.
        rtol : float, optional
            As for `exp`. The velocity's last correction is at most 3 rtol of its length, or
            100 rtol where rounding stops it.

        Returns
        -------
        array, shape (..., n)
            In the unit of the weights.

        Raises
        ------
        NotPositiveDefiniteError
            If g is not positive definite at x or at y.
        ConvergenceError
            If shooting did not arrive: seen only with more than 256 weights and an end where
            |t|^2 > 0.98.
        NotFiniteError, DTypeError, ShapeError
            If the arguments are not finite, real floating-point arrays of fitting shapes.

        References
        ----------
        Levi-Civita connection of Eq. 16 of arXiv 2302.03390 v3 (not in the paper).

        Examples
        --------
        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> x, y = np.asarray([0.3, -0.2]), np.asarray([-0.5, 0.6])
        >>> print(LNEMetric(1.0).log(x, y).round(6))
        [-0.816395  0.762489]
        """
        xp, (x, y), out = prepare(check=check, x=x, y=y)
        if x.shape[-1] == 1:
            return xp.astype(HessianLNEMetric(self.tau).log(x, y, check=check), out, copy=False)
        x, y = self._full(xp, detached(x), detached(y))
        found = self._connection(xp, x, y, check, rtol)
        return xp.astype(found.start, out, copy=False)

    @finite_result
    def distance(
        self, x: Array, y: Array, *, check: bool = True, rtol: float | None = None
    ) -> Array:
        """Geodesic distance, the g-length of log(x, y), shape (...), in the unit of the weights.

        Gradients pass through it: the derivative is -g log/distance at either end. Arguments and
        errors as for `log`.

        >>> import numpy as np
        >>> from riemann_lne.lne import LNEMetric
        >>> x, y = np.asarray([0.3, -0.2]), np.asarray([-0.5, 0.6])
        >>> print(LNEMetric(1.0).distance(x, y).round(9))
        1.047424022
        """
        xp, (x, y), _ = prepare(check=check, x=x, y=y)
        if x.shape[-1] == 1:
            return HessianLNEMetric(self.tau).distance(x, y, check=check)
        x, y = self._full(xp, x, y)
        p, q = detached(x), detached(y)
        found = self._connection(xp, p, q, check, rtol)
        # From one end, whichever of x and y it is: exactly symmetric.
        first = comes_first(self, xp, p, q)
        near = xp.where(column(xp, first), p, q)
        length = xp.sqrt(
            norm2_at(self, xp, near, xp.where(column(xp, first), found.start, found.end))
        )
        if p is x and q is y:
            return length
        # The value with the first variation of length as its derivative.
        some = column(xp, xp.where(length > 0.0, length, xp.ones_like(length)))
        at_x, at_y = self.apply(p, found.start) / some, self.apply(q, found.end) / some
        return length + xp.sum(at_y * (y - q) - at_x * (x - p), axis=-1)

    def _full(self, xp: Any, *arrays: Array) -> list[Array]:
        """The arrays, broadcast against one another and tau."""
        block, _ = fit_tau(self.tau, *arrays)
        shapes = [tuple(a.shape) for a in arrays]
        if not isinstance(block, float):
            shapes.append((*block.shape, 1))
        shape = np.broadcast_shapes(*shapes)
        return [xp.broadcast_to(a, shape) for a in arrays]

    def _admit(self, xp: Any, check: bool, **arrays: Array) -> None:
        """Refuse what is not finite, and points where there is no metric."""
        if not check:
            return
        for name, a in arrays.items():
            require_finite(a, name)  # also where the caller left out the check of its arguments
            if name in ("x", "y"):
                self.determinant(a)

    def _advance(
        self,
        xp: Any,
        state: tuple[Array, ...],
        sign: float,
        now: float,
        time: float,
        check: bool,
        rtol: float | None,
    ) -> Arrival:
        if time == now or 0 in state[0].shape:
            return Arrival(state, xp.full_like(state[0][..., 0], math.inf), 0.0)
        rtol = _tolerance(xp, state[0], rtol)
        step = _FIRST_STEP * (time - now)
        arrival = shoot(self, xp, state, sign * (time - now), rtol, step)
        left = xp.isfinite(arrival.left_at)
        if not bool(xp.any(left)):
            return arrival
        if check:
            self._left(xp, arrival, sign, now, time)
        nan = tuple(xp.where(column(xp, left), xp.full_like(a, math.nan), a) for a in arrival.state)
        return Arrival(nan, arrival.left_at, arrival.next_step)

    def _left(self, xp: Any, arrival: Arrival, sign: float, now: float, time: float) -> None:
        when = to_numpy(arrival.left_at)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmin(when)), when.shape))
        norm2 = to_numpy(self.norm2(arrival.state[0]))[index]
        where = f"of batch index {index}" if index else "from the given point"
        raise InvalidArgumentError(
            f"the geodesic {where} leaves weight space, |tanh(tau x)|^2 < 1, at about "
            f"{sign * (now + float(when[index])):.6g} of the time {sign * time:.6g} (|t|^2 = "
            f"{norm2:.6g} shortly before): the metric is incomplete; take a shorter step or a "
            "smaller tau"
        )

    def _connection(
        self, xp: Any, x: Array, y: Array, check: bool, rtol: float | None
    ) -> Connection:
        self._admit(xp, True, x=x, y=y)
        if 0 in x.shape:
            return Connection(y - x, y - x, x[..., 0])
        rtol = _tolerance(xp, x, rtol)
        found = connect(self, xp, x, y, rtol)
        missed = ~(found.misfit <= ENOUGH * rtol)
        if not bool(xp.any(missed)):
            return found
        if check:
            _missed(self, xp, x, y, missed, found.misfit)
        start, end = (
            xp.where(column(xp, missed), xp.full_like(a, math.nan), a)
            for a in (found.start, found.end)
        )
        return Connection(start, end, found.misfit)


def _tolerance(xp: Any, x: Array, rtol: float | None) -> float:
    least = 40.0 * float(xp.finfo(x.dtype).eps)
    if rtol is None:
        return max(1e-11, least)
    value = number(rtol, "rtol")
    if not 0.0 < value < 1.0:
        raise InvalidArgumentError(f"rtol must lie between 0 and 1, got {rtol}")
    return max(value, least)


def _missed(
    metric: GeodesicGeometry, xp: Any, x: Array, y: Array, missed: Array, misfit: Array
) -> None:
    host = to_numpy(xp.where(missed, misfit, -xp.ones_like(misfit)))
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(host)), host.shape))
    ends = [float(to_numpy(metric.norm2(p))[index]) for p in (x, y)]
    where = f"of batch index {index}" if index else "between the given points"
    raise ConvergenceError(
        f"no geodesic was found {where}: the last shot missed by {host[index]:.2g} of its length; "
        f"|t|^2 at the ends is {ends[0]:.6g} and {ends[1]:.6g}, and shooting becomes difficult "
        "where it nears 1: take a smaller tau, or points further inside"
    )
