r"""A neck cut open, and both ends closed by a standard cap.

Of a neck of radius delta at s = s_0 one side is kept. With z = |s - s_0| / delta,

    psi -> (delta + (psi - delta) chi(z)) tanh z,    chi(z) = 1 - exp(-(z / 2)^8),

so that within a distance of about delta the neck is made a cylinder, and the cylinder ends in the
cap psi = delta tanh z: positively curved, with K_0 = K_1 = 2 / delta^2 at its tip and K_0 -> 0
along it. Away from the neck both factors are 1 up to rounding: nothing changes there. As tanh is
odd and the eighth power flat, the new pole is smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidArgumentError
from .metric import RotationalMetric
from .staggered import Staggered

_BLEND = 2.0
_POWER = 8
# Points of the polynomials through which a profile is read between its points.
_STENCIL = 8


@dataclass(frozen=True)
class Cap:
    """The parameters of a surgery.

    Attributes
    ----------
    radius : float
        delta, that of the neck that was cut, length.
    s : float
        Arclength of the cut, from the pole x = 0 of the metric before it.
    curvature : float
        At the tip of both caps, 2 / radius^2.
    blend : float
        Distance within which the neck is made a cylinder, in units of the radius.
    profile : str
        The formula of the cap.
    """

    radius: float
    s: float
    curvature: float
    blend: float = _BLEND
    profile: str = "psi = radius * tanh(distance / radius)"


def cut(
    metric: RotationalMetric, neck: int | None = None
) -> tuple[RotationalMetric, RotationalMetric, Cap]:
    """Cut a metric on a sphere at a neck and close both parts.

    Parameters
    ----------
    metric : RotationalMetric
        On S^(n+1).
    neck : int, optional
        The index of the neck, one of ``metric.necks()``; by default the thinnest.

    Returns
    -------
    (left, right, cap)
        The parts with the pole x = 0 and x = pi of the metric, each on as many points as it, and
        the parameters of the surgery.

    Raises
    ------
    InvalidArgumentError
        If the space is no sphere, there is no such neck, or it is as close to a pole as it is thin.
    """
    if metric.space != "sphere":
        raise InvalidArgumentError(
            f"this surgery is for metrics on a sphere, not on {metric!r}; cut_circle is for those "
            "on S^n x S^1"
        )
    neck = _chosen(metric, neck)
    place = _lowest_place(metric.psi, neck)
    radius = math.exp(float(_read(np.log(metric.psi), np.array([place]), odd=False)[0]))
    s = float(np.interp(place, np.arange(metric.points), metric.arclength()))
    if min(s, metric.total_length() - s) < 4 * radius:
        raise InvalidArgumentError(
            f"the neck at index {neck} of radius {radius:.4g} is closer than 4 radii to a pole; "
            "nothing would be left on that side: choose another neck"
        )
    mirrored = RotationalMetric.from_state(
        metric.operators, metric.n, np.ascontiguousarray(metric.state[:, ::-1])
    )
    left = _closed(metric, place, radius)
    right = _closed(mirrored, metric.points - 1 - place, radius)
    right = np.ascontiguousarray(right[:, ::-1])
    one, two = (RotationalMetric.from_state(metric.operators, metric.n, p) for p in (left, right))
    return one, two, Cap(radius, s, 2 / radius**2)


def cut_circle(metric: RotationalMetric, neck: int | None = None) -> tuple[RotationalMetric, Cap]:
    """Cut a metric on S^n x S^1 at a neck and close both ends: a sphere.

    Parameters
    ----------
    metric : RotationalMetric
        On S^n x S^1.
    neck : int, optional
        The index of the neck, one of ``metric.necks()``; by default the thinnest.

    Returns
    -------
    (part, cap)
        The metric on S^(n+1), on as many points, and the parameters of the surgery.

    Raises
    ------
    InvalidArgumentError
        If the space is not S^n x S^1, there is no such neck, or the circle is as short as it is
        thin.

    Examples
    --------
    >>> tube = RotationalMetric.from_function(
    ...     96, lambda x: 4 + 0 * x, lambda x: 0.6 + 0.4 * np.cos(2 * np.pi * x), 2, "cylinder"
    ... )
    >>> part, cap = cut_circle(tube)
    >>> part, round(cap.radius, 2)
    (RotationalMetric(S^3, 96 points), 0.2)
    """
    if metric.space != "cylinder":
        raise InvalidArgumentError(f"this surgery is for metrics on S^n x S^1, not on {metric!r}")
    neck = _chosen(metric, neck)
    old, half = metric.operators, metric.points // 2
    # Turned so that the neck is in the middle, away from where the points begin.
    U, b = np.roll(metric.state, half - neck, axis=1)
    place = _lowest_place(np.exp(U), half)
    radius = math.exp(float(_read(U, np.array([place]), odd=False)[0]))
    whole = metric.total_length()
    if whole < 8 * radius:
        raise InvalidArgumentError(
            f"the circle of length {whole:.4g} is shorter than 8 radii of the neck, {radius:.4g}; "
            "nothing would be left: cut a longer one"
        )
    space = Staggered("sphere", metric.points, order=old.order)
    stretch = old.length / space.length
    # From the neck once around, in the old index; over three turns, so that no end is near.
    seen = place + metric.points * (space.x / space.length)
    around = [np.concatenate([row, row, row]) for row in (U, b)]
    U, b = (_read(row, seen, odd=False) for row in around)
    log_phi, log_psi = U + b + math.log(stretch), U
    ends = [_from_the_end(space, np.exp(log_phi)) / radius]
    ends.insert(0, _from_the_end(space, np.exp(log_phi[::-1]))[::-1] / radius)
    chi = np.prod([-np.expm1(-((z / _BLEND) ** _POWER)) for z in ends], axis=0)
    at = np.array([place])
    neck_phi = math.log(stretch) + float(_read(around[0] + around[1], at + metric.points, False)[0])
    log_phi = log_phi * chi + neck_phi * (1 - chi)
    phi = np.exp(log_phi)
    ends = [_from_the_end(space, phi[::-1])[::-1] / radius, _from_the_end(space, phi) / radius]
    ratio = radius * np.exp(-log_psi)
    log_psi = log_psi + np.log(ratio + (1 - ratio) * chi) + sum(np.log(np.tanh(z)) for z in ends)
    log_S = np.log(space.S)
    state = np.stack([log_psi - log_S, (log_phi + log_S - log_psi) / space.S**2])
    s = float(np.interp(neck, np.arange(metric.points), metric.arclength()))
    return RotationalMetric.from_state(space, metric.n, state), Cap(radius, s, 2 / radius**2)


def _chosen(metric: RotationalMetric, neck: int | None) -> int:
    """The index of the neck that is meant."""
    necks = metric.necks()
    if neck is None:
        neck = min(necks, key=lambda j: float(metric.psi[j]), default=None)
    if neck is None or neck not in necks:
        raise InvalidArgumentError(
            f"there is no neck at index {neck}; the necks are at {necks}: choose one"
        )
    return neck


def _closed(metric: RotationalMetric, place: float, radius: float) -> np.ndarray:
    """The state of the part from x = 0 to a neck at an index, closed by the cap at x = pi."""
    space = metric.operators
    stretch = (place + 0.5) / space.points
    # The new point x sees the old one at stretch * x; all in the old index.
    seen = stretch * (np.arange(space.points) + 0.5) - 0.5
    U, b = (_read(row, seen, odd=False) for row in metric.state)
    x = stretch * space.x
    S_old = np.sin(x)
    A = S_old**2 * b
    log_psi, log_phi = U + np.log(S_old), U + A + math.log(stretch)
    neck_phi = float(_read(np.log(metric.phi), np.array([place]), odd=False)[0])
    distance = _from_the_end(space, np.exp(log_phi)) / radius
    chi = -np.expm1(-((distance / _BLEND) ** _POWER))
    # phi is even about the neck only nearly: made constant where the neck is made a cylinder.
    change_phi = (neck_phi + math.log(stretch) - log_phi) * (1 - chi)
    z = _from_the_end(space, np.exp(log_phi + change_phi)) / radius
    ratio = radius * np.exp(-log_psi)
    change_psi = np.log(ratio + (1 - ratio) * chi) + np.log(np.tanh(z))
    # log(phi S / psi) before the change, in which the old pole cancels.
    old = A + math.log(stretch) + np.log(space.S / S_old)
    new_b = (old + change_phi - change_psi) / space.S**2
    new_U = log_psi + change_psi - np.log(space.S)
    return np.stack([new_U, new_b])


def _from_the_end(space: Staggered, phi: np.ndarray) -> np.ndarray:
    """Distance of the points from the end x = pi, where phi is even."""
    mirrored = phi[::-1]
    parts = space.cell_integrals(mirrored)
    before = np.concatenate([[0.0], np.cumsum(parts)[:-1]])
    return np.asarray((before + parts / 2 - space.central_steps(mirrored) * space.h / 8)[::-1])


def _lowest_place(psi: np.ndarray, j: int) -> float:
    """The index, between points, of the minimum of log psi beside a point."""
    a, b, c = np.log(psi[j - 1 : j + 2])
    curve = a - 2 * b + c
    return j + (float((a - c) / (2 * curve)) if curve > 0 else 0.0)


def _read(values: np.ndarray, places: np.ndarray, odd: bool) -> np.ndarray:
    """Values between points, at indices, of a function that is even or odd at both ends.

    By polynomials through the eight points around each place.
    """
    half = _STENCIL // 2
    sign = -1.0 if odd else 1.0
    padded = np.concatenate(
        [sign * values[half - 1 :: -1], values, sign * values[: -half - 1 : -1]]
    )
    first = np.clip(np.floor(places).astype(int) - half + 1, -half, len(values) - half)
    from_first = places - first
    result = np.zeros(len(places))
    denominators = [math.prod(m - k for k in range(_STENCIL) if k != m) for m in range(_STENCIL)]
    for m in range(_STENCIL):
        weight = np.ones(len(places)) / denominators[m]
        for k in range(_STENCIL):
            if k != m:
                weight = weight * (from_first - k)
        result += weight * padded[first + half + m]
    return result
