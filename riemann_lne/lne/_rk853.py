"""Adaptive Dormand-Prince 8(5,3) for small systems of arrays whose blocks are independent.

The coefficients are those of SciPy's public class ``DOP853``; its solver is for NumPy alone and
one flat vector, while here a state is a tuple of arrays (..., n) of any library, and blocks (the
batch dimensions) have their own error and their own domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..arrays import Array, detached
from ..errors import ConvergenceError
from ._common import column, inner

State = tuple[Array, ...]
Rates = Callable[[State], tuple[State, Array, Array]]
"""The derivative of a state, and for each block its gap, positive inside the domain, with the
derivative of the gap."""

# A block whose gap would close, at its present rate, within this share of the time that remains
# is given up. Geodesics reach the end of the domain like gap ~ (t* - t)^(2/3) at the boundary and
# like (t* - t)^2 at infinity: t* - t is then 2/3 or 2 of gap/|gap'|, a hundredth of what remains.
_GIVE_UP = 5e-3
# Below this share of the whole interval steps are lost in rounding.
_SMALLEST_SHARE = 1e-13
# No geodesic of the tests needs a hundredth of it.
_MOST_STEPS = 20_000
_SAFETY, _SHRINK, _GROW = 0.8, 0.2, 6.0


@dataclass(frozen=True)
class Arrival:
    """Where an integration ended.

    Attributes
    ----------
    state : tuple of arrays
        The last state; blocks that left their domain stand still from there on.
    left_at : array, shape (...)
        The time at which a block left its domain, extrapolated from the last step inside;
        infinite for blocks that did not.
    next_step : float
        A good first step for going on, or for the same again.
    """

    state: State
    left_at: Array
    next_step: float


@cache
def _coefficients() -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...], tuple[float, ...]]:
    """Rows of the tableau with the weights as the last row, and the two error estimates."""
    from scipy.integrate import DOP853

    rows = [tuple(map(float, row[:i])) for i, row in enumerate(DOP853.A)]
    return (
        (*rows, tuple(map(float, DOP853.B))),
        tuple(map(float, DOP853.E5)),
        tuple(map(float, DOP853.E3)),
    )


def integrate(
    xp: Any,
    rates: Rates,
    state: State,
    duration: float,
    rtol: float,
    first_step: float,
) -> Arrival:
    """Advance an autonomous system; errors of a step are at most rtol times the block's scale.

    The first two members of the state are positions and velocities, which share the scale
    |velocity| (times unit time); further members have their own norm as the scale.
    """
    sign = -1.0 if duration < 0.0 else 1.0
    total = abs(duration)
    # Times among the smallest numbers there are leave no room for a shorter first step.
    time, h, rejected = 0.0, min(total, first_step if first_step > 0.0 else total), False
    k, gap, slope = rates(state)
    left_at = xp.full_like(detached(gap), math.inf)
    for _ in range(_MOST_STEPS):
        if not time < total:
            break
        h = min(h, total - time)
        closing = gap < -sign * slope * (_GIVE_UP * (total - time))
        lost = (closing | ~(gap > 0.0)) & ~xp.isfinite(left_at)
        new, error, least = _step(xp, rates, state, k, sign * h)
        fine = xp.isfinite(left_at) | ((error <= rtol) & (least > 0.0))
        if h <= _SMALLEST_SHARE * total:
            lost = lost | ~fine
        if bool(xp.any(lost)):
            # 2/3 of gap/|gap'| more, as at the boundary
            more = gap / (-1.5 * sign * xp.where(slope != 0.0, slope, xp.ones_like(slope)))
            end = time + xp.where(closing & (gap > 0.0), detached(more), xp.zeros_like(left_at))
            left_at = xp.where(lost, end, left_at)
            state = (state[0], *_stopped(xp, state[1:], left_at))
            k = _stopped(xp, k, left_at)
            if bool(xp.all(xp.isfinite(left_at))):
                break
            continue
        if bool(xp.all(fine)):
            time = total if h >= total - time else time + h
            state = new
            k, gap, slope = rates(state)
            k = _stopped(xp, k, left_at)
            worst = float(xp.max(xp.where(xp.isfinite(left_at), 0.0 * least, error))) / rtol
            factor = min(1.0 if rejected else _GROW, _SAFETY * max(worst, 1e-12) ** -0.125)
        elif bool(xp.all(fine | (least > 0.0))):
            worst = float(xp.max(xp.where(fine, 0.0 * least, error))) / rtol
            factor = max(_SHRINK, _SAFETY * worst**-0.125)
        else:
            factor = _SHRINK
        rejected = not bool(xp.all(fine))
        h *= factor
    else:
        raise ConvergenceError(
            f"the geodesic took {_MOST_STEPS} steps and reached {time:.3g} of the time "
            f"{total:.3g}; take a shorter one, a larger rtol, or points further inside"
        )
    return Arrival(state, left_at, h)


def _step(xp: Any, rates: Rates, state: State, k: State, h: float) -> tuple[State, Array, Array]:
    """One step: the new state, the error of each block over its scale, the least gap of all."""
    rows, e5, e3 = _coefficients()
    slopes, least = [k], None
    new = state
    for row in rows[1:]:
        new = tuple(
            y + h * _combination(row, [slope[i] for slope in slopes]) for i, y in enumerate(state)
        )
        slope, gap, _ = rates(new)
        gap = detached(gap)
        least = gap if least is None else xp.minimum(least, gap)
        slopes.append(slope)
    error = xp.zeros_like(least)
    speed = xp.maximum(_norm(xp, state[1]), _norm(xp, new[1]))
    for i in range(len(state)):
        mine = [detached(slope[i]) for slope in slopes]
        five = _norm(xp, _combination(e5, mine))
        three = _norm(xp, _combination(e3, mine))
        # Hairer, Norsett & Wanner, section II.10: an estimate of order 7
        down = xp.sqrt(five * five + 0.01 * three * three)
        scale = speed if i < 2 else xp.maximum(_norm(xp, state[i]), _norm(xp, new[i]))
        some = (scale > 0.0) & (down > 0.0)
        one = xp.ones_like(scale)
        ratio = abs(h) * five * (five / xp.where(some, down, one)) / xp.where(some, scale, one)
        error = xp.maximum(error, xp.where(some, ratio, xp.zeros_like(ratio)))
        # NaN compares as false: a step that overflowed counts as infinitely wrong
        error = xp.where(xp.isfinite(down), error, xp.full_like(error, math.inf))
    return new, error, least


def _combination(weights: tuple[float, ...], slopes: list[Array]) -> Array:
    total: Any = None
    for weight, slope in zip(weights, slopes, strict=True):
        if weight != 0.0:
            term = slope * weight
            if total is None:
                total = term
            else:
                total += term
    return total


def _norm(xp: Any, v: Array) -> Array:
    v = detached(v)
    return xp.sqrt(inner(xp, v, v))


def _stopped(xp: Any, vectors: State, left_at: Array) -> State:
    """The vectors with zeros in blocks that have left, so that these stand still."""
    gone = xp.isfinite(left_at)
    if not bool(xp.any(gone)):
        return vectors
    return tuple(xp.where(column(xp, gone), xp.zeros_like(v), v) for v in vectors)
