"""The geodesic between two points of the LNE metric as two halves that meet, found by Newton.

Next to |t|^2 = 1 the velocity of a geodesic is unbounded: the gap s closes like the power 2/3 of
the time. Two changes of variables make everything there smooth.

- Momentum m = g v, and a time p with d(time) = s chi dp. Up to the factor chi the Hamiltonian is
  s (m.m - c) + (t.m)^2 = 0, c the squared speed, a function without a pole:
  x' = chi [s m + (t.m) t], m' = chi [(m.m - c) D t - (t.m) D m], D = tau (1 - t^2).
  chi = (s + |D t|^2/tau^2)^(-1/2) keeps p moderate where a weight goes to infinity.
- At each end, the velocity in an orthonormal frame, w = g^(1/2) v; then m = g^(1/2) w, c = w.w.

In this time a geodesic that reaches the boundary goes on: it turns around in a cusp. So shots never
leave the domain, and the equation that the two halves meet (position and momentum at p = 1/2 agree,
2 n equations for 2 n unknowns) is smooth up to the boundary. Ends next to the boundary are followed
from within.

A path with a cusp is no geodesic, though its halves may meet. The angle phi with tan phi =
f'/sqrt(w.w), f' the slope of the height of the graph, tells: it never decreases, geodesics have
|phi| < pi/2, and each cusp is one passage through an odd multiple of pi/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, device, to_numpy
from ._common import column, fit_tau, inner
from ._rk853 import Rates, integrate
from ._shooting import (
    Connection,
    Graph,
    by_secants,
    drawn_in,
    nearby_log,
)

# Misfits up to this many tolerances are taken: the last digits are those of the integrator.
ENOUGH = 100.0
# Up to the first number of weights a Jacobian costs less than secants do; up to the second it does
# where a gap is smaller than the third (measured).
_FEW_WEIGHTS, _MOST_WEIGHTS, _NARROW = 64, 256, 0.04
# Numbers in a batch of shots; blocks of one batch wait for the slowest of them.
_MOST_NUMBERS = 20_000
# The first gap and the ratio of gaps while ends are followed from within; where it fails, again.
_LADDERS = ((0.7, 0.3), (0.9, 0.7), (0.95, 0.9))
_ROUGH_SHOT, _ROUGH = 1e-5, 1e-2
_ITERATIONS = 30
# The largest step of Newton over the unknown.
_LONGEST = 0.5
# Where the error shrinks by less the Jacobian is taken anew.
_SLOW = 0.3

# The unit of angles: their errors count as much less than those of the time beside them.
_ANGLE = 1e-6
# Of the gap, for a path that touches the boundary.
_OUTSIDE = 0.05


def connect(metric: Graph, xp: Any, x: Array, y: Array, rtol: float) -> Connection:
    """Solve exp(x, v) = y for v, block by block.

    One end comes first, whichever is given first: the result does not depend on their order.
    """
    swap = column(xp, ~comes_first(metric, xp, x, y))
    x, y = xp.where(swap, y, x), xp.where(swap, x, y)
    solver = by_secants
    if x.shape[-1] <= _MOST_WEIGHTS:
        few = x.shape[-1] <= _FEW_WEIGHTS
        if few or bool(xp.any(metric._stable_gap(xp, x) < _NARROW)):
            solver = _by_newton
    found = solver(metric, xp, x, y, rtol)
    start = xp.where(swap, -found.end, found.start)
    end = xp.where(swap, -found.start, found.end)
    same = xp.all(x == y, axis=-1)
    zero = xp.zeros_like(start)
    start, end = (xp.where(column(xp, same), zero, a) for a in (start, end))
    return Connection(start, end, xp.where(same, zero[..., 0], found.misfit))


def comes_first(metric: Graph, xp: Any, x: Array, y: Array) -> Array:
    """Whether x is nearer to the boundary; in a tie, the first weight that differs decides."""
    gap_x, gap_y = (metric._stable_gap(xp, p) for p in (x, y))
    tie = xp.zeros_like(gap_x, dtype=xp.bool)
    for i in range(x.shape[-1] - 1, -1, -1) if bool(xp.any(gap_x == gap_y)) else ():
        a, b = x[..., i], y[..., i]
        tie = (a < b) | ((a == b) & tie)
    return (gap_x < gap_y) | ((gap_x == gap_y) & tie)


def _by_newton(metric: Graph, xp: Any, x: Array, y: Array, rtol: float) -> Connection:
    """Part after part of the blocks, so that memory stays bounded."""
    shape, n = tuple(x.shape[:-1]), x.shape[-1]
    every = _Pairs.of(metric, xp, x, y)
    count = math.prod(shape)
    most = max(1, _MOST_NUMBERS // (2 * n * (n + 1)))
    parts = []
    for first in range(0, count, most):
        part = every.take(np.arange(first, min(first + most, count)))
        found = _follow(part, _LADDERS[0], rtol)
        for ladder in _LADDERS[1:]:
            again = np.flatnonzero(~(to_numpy(found.misfit) <= ENOUGH * rtol))
            if again.size:
                found = _replaced(xp, found, again, _follow(part.take(again), ladder, rtol))
        parts.append(found)
    start, end, misfit = (
        xp.concat(list(group), axis=0) for group in zip(*map(_members, parts), strict=True)
    )
    return Connection(
        xp.reshape(start, (*shape, n)), xp.reshape(end, (*shape, n)), xp.reshape(misfit, shape)
    )


def _members(found: Connection) -> tuple[Array, Array, Array]:
    return found.start, found.end, found.misfit


def _replaced(xp: Any, found: Connection, index: Any, new: Connection) -> Connection:
    """The connections, those at the index taken from the new ones."""
    order = np.arange(found.misfit.shape[0])
    order[index] = len(order) + np.arange(len(index))
    both = (
        xp.concat(list(pair), axis=0) for pair in zip(*map(_members, (found, new)), strict=True)
    )
    return Connection(*(_taken(xp, a, order) for a in both))


def _taken(xp: Any, a: Array, index: Any) -> Array:
    return xp.take(a, xp.asarray(index, dtype=xp.int64, device=device(a)), axis=0)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of points, both of shape (blocks, n), with the metric that fits them."""

    metric: Any
    xp: Any
    x: Array
    y: Array

    @classmethod
    def of(cls, metric: Any, xp: Any, x: Array, y: Array) -> _Pairs:
        if not isinstance(metric.tau, float):
            block, _ = fit_tau(metric.tau, x)
            block = xp.broadcast_to(block, tuple(x.shape[:-1]))
            metric = type(metric)(xp.reshape(block, (-1,)))
        flat = (-1, x.shape[-1])
        return cls(metric, xp, xp.reshape(x, flat), xp.reshape(y, flat))

    def take(self, index: Any) -> _Pairs:
        xp, metric = self.xp, self.metric
        if not isinstance(metric.tau, float):
            metric = type(metric)(_taken(xp, metric.tau, index))
        return _Pairs(metric, xp, _taken(xp, self.x, index), _taken(xp, self.y, index))

    def drawn_in(self, gap: float) -> _Pairs:
        """The pairs, drawn towards the origin until no gap is smaller than the given one."""
        xp = self.xp
        least = self.least_gap()
        share = xp.sqrt((1.0 - gap) / xp.maximum(1.0 - least, xp.full_like(least, 1.0 - gap)))
        x, y = (drawn_in(self.metric, xp, p, share) for p in (self.x, self.y))
        return _Pairs(self.metric, xp, x, y)

    def least_gap(self) -> Array:
        return self.xp.minimum(*(self.metric._stable_gap(self.xp, p) for p in (self.x, self.y)))

    def chord(self) -> Array:
        """A first guess of the velocities in orthonormal frames, (2, blocks, n)."""
        metric, xp, x, y = self.metric, self.xp, self.x, self.y
        there, back = nearby_log(metric, xp, x, y), nearby_log(metric, xp, y, x)
        pace = 0.5 * (_pace(metric, xp, x)[1] + _pace(metric, xp, y)[1])
        both = xp.stack([root(metric, xp, x, there), root(metric, xp, y, back)])
        return both / column(xp, pace)

    def halves(self, w: Array, rtol: float, step: float) -> tuple[Array, Array, Array, float]:
        """Shoot from both ends, for velocities (2, shots, blocks, n).

        Displacement, momentum (as w), duration with angle (2, shots, blocks, 2), and a good
        first step.
        """
        xp = self.xp
        ends = xp.expand_dims(xp.stack([self.x, self.y]), axis=1)
        ends = xp.broadcast_to(ends, w.shape)
        square = inner(xp, w, w)
        t, _ = self.metric._t_and_d(xp, ends)
        rise = xp.atan2(inner(xp, t, w), xp.sqrt(self.metric._stable_gap(xp, ends) * square))
        state = (
            xp.zeros_like(w),
            root(self.metric, xp, ends, w),
            xp.stack([xp.zeros_like(rise), _ANGLE * rise], axis=-1),
        )
        arrival = integrate(
            xp, regular_rates(self.metric, xp, ends, square), state, 0.5, rtol, step
        )
        lost = column(xp, xp.isfinite(arrival.left_at))
        u, m, more = (xp.where(lost, xp.full_like(a, math.nan), a) for a in arrival.state)
        return u, m, more, max(0.02, min(0.2, arrival.next_step))

    def gaps(self, u: Array, m: Array) -> Array:
        """Position and momentum of the first half less those of the second, (blocks, 2 n).

        Displacements from the ends keep the digits of points next to each other.
        """
        return self.xp.concat(
            [u[0, ...] - u[1, ...] - (self.y - self.x), m[0, ...] + m[1, ...]], axis=-1
        )


def root(metric: Graph, xp: Any, x: Array, v: Array) -> Array:
    """The vector g^(1/2) v = v - t (t.v)/(1 + sqrt s)."""
    t, _ = metric._t_and_d(xp, x)
    return v - t * column(xp, inner(xp, t, v) / (1.0 + xp.sqrt(metric._stable_gap(xp, x))))


def inverse_root(metric: Graph, xp: Any, x: Array, w: Array) -> Array:
    """The vector g^(-1/2) w = w + t (t.w)/(sqrt s (1 + sqrt s))."""
    t, _ = metric._t_and_d(xp, x)
    r = xp.sqrt(metric._stable_gap(xp, x))
    return w + t * column(xp, inner(xp, t, w) / (r * (1.0 + r)))


def _pace(metric: Graph, xp: Any, x: Array) -> tuple[Array, Array]:
    """The factor chi, and d(time)/dp = s chi."""
    t, d = metric._t_and_d(xp, x)
    s = metric._stable_gap(xp, x)
    chi = _chi(xp, s, t * d / fit_tau(metric.tau, x)[1])
    return chi, s * chi


def _chi(xp: Any, s: Array, slope: Array) -> Array:
    # Stages of a step that is too long lie outside, where s < 0; the step is refused.
    square = s + inner(xp, slope, slope)
    least = xp.full_like(square, float(xp.finfo(s.dtype).smallest_normal))
    return 1.0 / xp.sqrt(xp.maximum(square, least))


def regular_rates(metric: Graph, xp: Any, x: Array, square: Array) -> Rates:
    """Rates of (displacement from x, momentum, [time, small angle]); square is c = w.w."""
    weight = fit_tau(metric.tau, x)[1]
    none = xp.zeros_like(square)
    speed = xp.sqrt(square)

    def rates(state: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array, Array]:
        u, m = state[:2]
        place = x + u
        t, d = metric._t_and_d(xp, place)
        s = metric._stable_gap(xp, place)
        slope, pull = t * d, d * m
        chi = _chi(xp, s, slope / weight)
        along, free = inner(xp, t, m), square - inner(xp, m, m)
        velocity = m * column(xp, s * chi) + t * column(xp, chi * along)
        force = slope * column(xp, -chi * free) - pull * column(xp, chi * along)
        turn = s * inner(xp, pull, m) + 2.0 * along * inner(xp, t, pull)
        turn = turn + free * inner(xp, t, slope)
        over = square * s + free
        angle = _ANGLE * speed * chi * turn / xp.where(over > 0.0, over, xp.ones_like(over))
        # Paths touch s = 0 and never cross it, save by the error of a step that is too long.
        return (velocity, force, xp.stack([s * chi, angle], axis=-1)), s + _OUTSIDE, none

    return rates


def _follow(pairs: _Pairs, ladder: tuple[float, float], rtol: float) -> Connection:
    """Newton for ends with larger gaps first, then with smaller ones; misfit infinite: failed."""
    first, ratio = ladder
    least, w = float(pairs.xp.min(pairs.least_gap())), None
    stages = max(0, math.ceil(math.log(least / first) / math.log(ratio)))
    for k in range(stages):
        near = pairs.drawn_in(first * (least / first) ** (k / stages))
        w = _newton(near, near.chord() if w is None else w)
    w = _newton(pairs, pairs.chord() if w is None else w)
    return _polished(pairs, w, rtol)


def _newton(pairs: _Pairs, w: Array) -> Array:
    """Newton's method until its step is small, with shots of low accuracy."""
    xp = pairs.xp
    done = None
    for _ in range(_ITERATIONS):
        inverse, gaps, size = _linearised(pairs, w)
        move = inverse(gaps)
        ratio = _length(xp, move) / size
        small = ratio <= _ROUGH
        done = small if done is None else done | small
        limit = xp.minimum(xp.ones_like(ratio), _LONGEST / xp.maximum(ratio, 0.1 + 0.0 * ratio))
        w = w + move * column(xp, limit)
        if bool(xp.all(done)):
            break
    return w


def _linearised(pairs: _Pairs, w: Array) -> tuple[Callable[[Array], Array], Array, Array]:
    """The inverse of the Jacobian by finite differences, the gaps, and the size of the unknown."""
    xp, n = pairs.xp, w.shape[-1]
    rounding = float(xp.finfo(w.dtype).eps)
    size = _size(xp, w)
    h = column(xp, math.sqrt(rounding) * size)
    eye = xp.expand_dims(xp.eye(n, dtype=w.dtype, device=device(w)), axis=1)
    shots = xp.concat([w[:, None, ...], w[:, None, ...] + eye * h], axis=1)
    u, m, _, _ = pairs.halves(shots, max(_ROUGH_SHOT, 40.0 * rounding), 0.1)
    gaps = pairs.gaps(u[:, 0, ...], m[:, 0, ...])
    du, dm = ((a[:, 1:, ...] - a[:, :1, ...]) / h for a in (u, m))
    # (unknowns, blocks, equations), then (blocks, equations, unknowns)
    from_x = xp.concat([du[0, ...], dm[0, ...]], axis=-1)
    from_y = xp.concat([-du[1, ...], dm[1, ...]], axis=-1)
    rows = xp.concat([from_x, from_y], axis=0)
    jacobian = xp.permute_dims(rows, (1, 2, 0))
    good = xp.all(xp.all(xp.isfinite(jacobian), axis=-1), axis=-1)
    whole = xp.eye(2 * n, dtype=w.dtype, device=device(w))
    jacobian = xp.where(column(xp, column(xp, good)), jacobian, whole)

    def inverse(gaps: Array) -> Array:
        right = xp.where(column(xp, good), gaps, xp.full_like(gaps, math.nan))
        move = -xp.linalg.solve(jacobian, column(xp, right))[..., 0]
        return xp.stack([move[..., :n], move[..., n:]])

    return inverse, gaps, size


def _size(xp: Any, w: Array) -> Array:
    size = _length(xp, w)
    return xp.where(size > 0.0, size, xp.ones_like(size))


def _length(xp: Any, w: Array) -> Array:
    return xp.sqrt(xp.max(inner(xp, w, w), axis=0))


def _polished(pairs: _Pairs, w: Array, rtol: float) -> Connection:
    """Accurate shots with a Jacobian that stays."""
    xp = pairs.xp
    inverse, _, size = _linearised(pairs, w)
    step, before = 0.1, xp.full_like(size, math.inf)
    for _ in range(_ITERATIONS):
        u, m, more, step = pairs.halves(w[:, None, ...], rtol, step)
        move = inverse(pairs.gaps(u[:, 0, ...], m[:, 0, ...]))
        misfit = _length(xp, move) / size
        misfit = xp.where(xp.isfinite(misfit), misfit, xp.full_like(misfit, math.inf))
        open_ = misfit > 3.0 * rtol
        # Rounding stops the last digits.
        open_ = open_ & ~((misfit > 0.5 * before) & (misfit <= ENOUGH * rtol))
        if not bool(xp.any(open_)):
            break
        if bool(xp.any(open_ & (misfit > _SLOW * before))):
            inverse, _, size = _linearised(pairs, w)
            move = inverse(pairs.gaps(u[:, 0, ...], m[:, 0, ...]))
        before = misfit
        usable = column(xp, open_ & xp.isfinite(_length(xp, move)))
        w = w + xp.where(usable, move, xp.zeros_like(move))
    straight = xp.all(more[:, 0, :, 1] < _ANGLE * 0.5 * math.pi, axis=0)
    misfit = xp.where(straight, misfit, xp.full_like(misfit, math.inf))
    ends, duration = xp.stack([pairs.x, pairs.y]), xp.sum(more[:, 0, :, 0], axis=0)
    v = inverse_root(pairs.metric, xp, ends, w) * column(xp, duration)
    return Connection(v[0, ...], -v[1, ...], misfit)
