"""The velocity of the geodesic between two points of the LNE metric, by shooting in O(n).

The graph of f = sum_i log cosh(tau x_i)/tau is a hypersurface of Minkowski space with unit normals
N = (t, 1)/sqrt(s). Three closed forms of O(n) come from there and are not exact geodesics, but near
enough to make shooting converge: the logarithm of nearby points (the chord, projected to the
tangent space), an isometry between tangent spaces (the boost that takes one normal to the other),
and, in the coordinates t, a convex domain (the unit ball), in which both ends can be drawn
towards the origin while the solution is followed.

Existence. Along a geodesic |t|^2 has no local maximum inside, and f'' = v.A v/s > 0: the sets
|t|^2 <= 1 - e, f <= c are compact and geodesically convex, and sectional curvatures are <= 0.
Hence any two points are joined by exactly one geodesic, and it is the shortest path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from ..arrays import Array
from ._common import column, fit_tau, inner
from ._rk853 import Arrival, Rates, integrate
from .divergence import bregman

# Pairs of secants that are kept; measured: the coupling between coordinates has fewer directions.
_MEMORY = 8
_ITERATIONS = 60
_INDEPENDENT, _RETREAT = 1e-4, 0.4
# Ends with a smaller gap than this are approached from here, the gap shrinking by this ratio.
_FIRST_GAP, _GAP_RATIO = 0.35, 0.3
# While the ends are still on their way.
_ROUGH = 1e-3


class Graph(Protocol):
    """Members of a metric that shooting uses."""

    tau: Any

    def _t(self, xp: Any, x: Array) -> Array: ...
    def _t_and_d(self, xp: Any, x: Array) -> tuple[Array, Array]: ...
    def _stable_gap(self, xp: Any, x: Array) -> Array: ...


@dataclass(frozen=True)
class Connection:
    """The velocities at both ends, and the misfit of each block relative to its length."""

    start: Array
    end: Array
    misfit: Array


def geodesic_rates(metric: Graph, xp: Any) -> Rates:
    """X' = v, v' = (sum D v^2) t/s, w' = (sum D v w) t/s for each transported w; gap s."""

    def rates(state: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array, Array]:
        x, v = state[:2]
        t = metric._t(xp, x)
        s = 1.0 - inner(xp, t, t)
        if bool(xp.any(s < 1e-2)):
            t, d = metric._t_and_d(xp, x)
            s = metric._stable_gap(xp, x)
        else:
            # 1 - t_i^2 >= s: nothing cancels, and the hyperbolic cosine is saved
            d = (1.0 - t * t) * fit_tau(metric.tau, x)[1]
        pull = d * v
        bent = (t * column(xp, inner(xp, pull, w) / s) for w in state[1:])
        return (v, *bent), s, -2.0 * inner(xp, t, pull)

    return rates


def shoot(
    metric: Graph, xp: Any, state: tuple[Array, ...], duration: float, rtol: float, step: float
) -> Arrival:
    """Follow the geodesics, with vectors transported along them, for the given time."""
    return integrate(xp, geodesic_rates(metric, xp), state, duration, rtol, step)


def norm2_at(metric: Graph, xp: Any, x: Array, v: Array) -> Array:
    """The square v.g v, without cancellation next to the boundary."""
    t, _ = metric._t_and_d(xp, x)
    t2, along = inner(xp, t, t), inner(xp, t, v)
    safe = xp.where(t2 > 0.0, t2, xp.ones_like(t2))
    across = v - t * column(xp, along / safe)
    return inner(xp, across, across) + metric._stable_gap(xp, x) * along * along / safe


def nearby_log(metric: Graph, xp: Any, x: Array, y: Array) -> Array:
    """The velocity at x towards y, right to second order in y - x, with the length of the chord.

    The Minkowski chord (y - x, f(y) - f(x)), projected along the normal, is
    y - x - B t/s, B = f(y) - f(x) - t . (y - x) = tau D[y : x].
    """
    t, _ = metric._t_and_d(xp, x)
    step = y - x
    block = fit_tau(metric.tau, x)[0]
    above = block * bregman(xp, y, x, metric.tau)
    gap = metric._stable_gap(xp, x)
    v = step - t * column(xp, above / gap)
    rise = inner(xp, t, step) + above
    plain = inner(xp, step, step)
    least = 0.1 * xp.minimum(gap, metric._stable_gap(xp, y)) * plain
    chord = xp.maximum(plain - rise * rise, least)
    length = norm2_at(metric, xp, x, v)
    some = length > 0.0
    scale = xp.where(some, chord, xp.ones_like(chord)) / xp.where(some, length, 1.0 + 0.0 * length)
    return v * column(xp, xp.sqrt(scale))


def boost(metric: Graph, xp: Any, start: Array, end: Array, v: Array) -> Array:
    """The tangent vector v at start, taken to end by the boost of one normal to the other."""
    t0, _ = metric._t_and_d(xp, start)
    t1, _ = metric._t_and_d(xp, end)
    root0, root1 = (xp.sqrt(metric._stable_gap(xp, x)) for x in (start, end))
    # W = (v, t0.v), <W, N1> = v.(t1 - t0)/root1, <N0, N1> = (t0.t1 - 1)/(root0 root1) <= -1
    along = inner(xp, v, t1 - t0)
    c = along / (root0 * root1 + 1.0 - inner(xp, t0, t1))
    return v + t1 * column(xp, c * root0 / root1) + t0 * column(xp, c)


def by_secants(metric: Graph, xp: Any, x: Array, y: Array, rtol: float) -> Connection:
    """Solve exp(x, v) = y for v, block by block, in O(n).

    Shots go from x, best the end that is nearer to the boundary: they miss the domain less often.
    """
    gap_x, gap_y = (metric._stable_gap(xp, p) for p in (x, y))
    size = 1.0 - xp.minimum(gap_x, gap_y)
    smallest = float(xp.min(1.0 - size))
    gap, v, now, there = _FIRST_GAP, None, x, y
    while gap > 1.5 * smallest:
        share = xp.sqrt((1.0 - gap) / xp.maximum(size, 0.0 * size + (1.0 - gap)))
        near_x, near_y = (drawn_in(metric, xp, p, share) for p in (x, y))
        v = _start(metric, xp, now, there, v, near_x, near_y)
        now, there = near_x, near_y
        v = _iterate(metric, xp, now, there, v, 1e-2 * _ROUGH, _ROUGH).start
        gap *= _GAP_RATIO
    v = _start(metric, xp, now, there, v, x, y)
    return _iterate(metric, xp, x, y, v, rtol, 3.0 * rtol)


def drawn_in(metric: Graph, xp: Any, x: Array, share: Array) -> Array:
    """The points whose t is the given share of that of x; x itself where the share is 1."""
    t, _ = metric._t_and_d(xp, x)
    t = xp.where(column(xp, share < 1.0), t * column(xp, share), xp.zeros_like(t))
    inside = xp.atanh(t) / fit_tau(metric.tau, x)[1]
    return xp.where(column(xp, share < 1.0), inside, x)


def _start(
    metric: Graph, xp: Any, x: Array, y: Array, v: Array | None, new_x: Array, new_y: Array
) -> Array:
    """A start for the geodesic between the new ends from that between the old ones."""
    if v is None:
        return nearby_log(metric, xp, new_x, new_y)
    return (
        boost(metric, xp, x, new_x, v)
        + nearby_log(metric, xp, new_x, x)
        + boost(metric, xp, y, new_x, nearby_log(metric, xp, y, new_y))
    )


def _iterate(
    metric: Graph, xp: Any, x: Array, y: Array, v: Array, rtol: float, goal: float
) -> Connection:
    """Fixed-point iteration v <- v + boost(nearby_log(exp(x, v), y)), accelerated by secants.

    In flat space the first step is exact. Blocks whose shot leaves the domain are shortened to
    where they left.
    """
    secants = _Secants(metric, xp, x)
    step, end = 0.1, v
    misfit = xp.full_like(inner(xp, v, v), math.inf)
    for _ in range(_ITERATIONS):
        arrival = shoot(metric, xp, (x, v), 1.0, rtol, step)
        left = xp.isfinite(arrival.left_at)
        # Blocks that left have stopped at the boundary: anything inside stands in for their end.
        reached = xp.where(column(xp, left), x, arrival.state[0])
        residual = boost(metric, xp, reached, x, nearby_log(metric, xp, reached, y))
        size = xp.sqrt(norm2_at(metric, xp, x, residual))
        length = xp.sqrt(norm2_at(metric, xp, x, v))
        relative = size / xp.where(length > 0.0, length, xp.ones_like(length))
        misfit = xp.where(left, xp.full_like(misfit, math.inf), relative)
        end = arrival.state[1]
        if bool(xp.all(misfit <= goal)):
            break
        move = secants.accelerate(v, residual, size, ~left)
        move = xp.where(column(xp, misfit <= goal), xp.zeros_like(move), move)
        v = xp.where(column(xp, left), secants.retreat(v, arrival.left_at), v + move)
        step = max(0.02, min(0.2, arrival.next_step))
    return Connection(v, end, misfit)


class _Secants:
    """Anderson acceleration, the least-squares problems solved by orthogonalisation in g(x)."""

    def __init__(self, metric: Graph, xp: Any, x: Array) -> None:
        self._xp, self._gap = xp, metric._stable_gap(xp, x)
        self._t, _ = metric._t_and_d(xp, x)
        self._pairs: list[tuple[Array, Array]] = []
        self._last: tuple[Array, Array, Array] | None = None

    def accelerate(self, v: Array, residual: Array, size: Array, valid: Array) -> Array:
        """The step to take from v, whose plain step is the residual."""
        xp = self._xp
        if self._last is not None:
            old_v, old_residual, old_valid = self._last
            both = column(xp, valid & old_valid)
            change = xp.where(both, residual - old_residual, xp.zeros_like(residual))
            effect = xp.where(both, v - old_v, xp.zeros_like(v)) + change
            self._pairs = [(change, effect), *self._pairs[: _MEMORY - 1]]
        keep = column(xp, valid)
        if self._last is None:
            self._last = (v, residual, valid)
        else:
            # Where this shot left the domain the last good one stays.
            self._last = (
                xp.where(keep, v, self._last[0]),
                xp.where(keep, residual, self._last[1]),
                valid | self._last[2],
            )
        move = residual
        for direction, effect in self._orthonormal():
            move = move - effect * column(xp, self._inner(direction, residual))
        long = xp.sqrt(xp.maximum(self._inner(move, move), 0.0 * size))
        limit = 3.0 * size
        shrink = limit / xp.where(long > limit, long, xp.ones_like(long))
        return xp.where(column(xp, long > limit), move * column(xp, shrink), move)

    def retreat(self, v: Array, left_at: Array) -> Array:
        """A shorter step from the last shot that arrived; a shorter shot if there was none."""
        xp = self._xp
        shorter = v * column(
            xp, 0.9 * xp.where(xp.isfinite(left_at), left_at, 1.0 + 0.0 * self._gap)
        )
        if self._last is None:
            return shorter
        last, _, valid = self._last
        return xp.where(column(xp, valid), last + _RETREAT * (v - last), shorter)

    def _orthonormal(self) -> list[tuple[Array, Array]]:
        """The pairs, newest first, made orthonormal; what an older one adds to the newer ones is
        left out where it is so small that the nonlinearity decides its direction.
        """
        xp = self._xp
        basis: list[tuple[Array, Array]] = []
        for change, effect in self._pairs:
            before = self._inner(change, change)
            for direction, other in basis:
                c = column(xp, self._inner(direction, change))
                change, effect = change - direction * c, effect - other * c
            square = self._inner(change, change)
            fresh = square > _INDEPENDENT * before
            one = xp.ones_like(square)
            inverse = xp.where(fresh, 1.0 / xp.sqrt(xp.where(fresh, square, one)), 0.0 * one)
            basis.append((change * column(xp, inverse), effect * column(xp, inverse)))
        return basis

    def _inner(self, a: Array, b: Array) -> Array:
        xp = self._xp
        return inner(xp, a, b) - inner(xp, self._t, a) * inner(xp, self._t, b)
