"""Section 4: Thm 16 with a ball in L2 alone, as the abstract has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim
from ..guards import known_profiles
from ..instruments.rotational import Profile, bubble, flow


@claim(
    "all-time-convergence-l2",
    "Thm 16, abstract",
    guard=partial(known_profiles, dimensions=(3,)),
    cause="scaling-of-rn",
    quick={"factors": (1.0, 0.5, 0.25), "neck": 0.2, "points": (600, 800), "cells": 6.0},
    full={"factors": (1.0, 0.5, 0.1, 0.01), "points": (1600, 2400)},
)
def all_time_convergence_l2(
    backend: Backend, factors: Sequence[float], neck: float, points: Sequence[int], cells: float
) -> Evidence:
    """From every start in a ball of the L2 norm around the flat metric of R^n the flow exists for
    all time and converges.

    Measured in three dimensions: a metric that is exactly flat outside a ball, with a bubble on a
    thin neck inside. Its Ricci flow, followed in the radial coordinate (by symmetry nothing else
    changes), pinches the neck off at a finite time T. The metrics g(x / lambda) are flowed too.
    Predicted by the paper: no finite T below some L2 size. What holds: the L2 size is lambda^(n/2)
    and T lambda^2 times that of the first, exactly, because g(x / lambda, t / lambda^2) solves the
    flow; so starts of any L2 size have a finite T. The sup norm is the same for all of them: with
    both norms in the ball the statement is the check all-time-convergence. A ball that is flat
    outside fits into a torus, too, where the same follows.

    The run ends where the neck's radius r is ``cells`` spacings of the grid: beyond, the grid and
    not the flow decides. That it pinches, and does not stop short, is read off the way there: with
    x = log 1 / (T - t) a neck has r^2 = 2 (T - t) (1 - 1 / (2 x)) (Angenent and Knopf 2007), so
    that -d r^2 / dt / 2 = 1 - 1 / (2 x) - 1 / (2 x^2). The x of this formula must grow as fast as
    log 1 / (T - t) does.
    """
    require_numbers("factors", factors, 0.0, 1.0 + 1e-12, count=3)
    require_number("neck", neck, 0.02, 0.5)
    require_numbers("points", points, 99, count=2, whole=True)
    require_number("cells", cells, 2.0, 20.0)
    coarse, fine = sorted(points)[-2:]
    least = math.ceil(2 * cells * bubble(2, neck, 100).length / neck)
    require_numbers("points", points, least - 1, count=2, whole=True)
    times, sizes, slopes, falls, moved, curves = {}, {}, {}, 0, [], []
    logarithms = []
    for factor in sorted(factors, reverse=True):
        start = bubble(2, neck, fine).scaled(factor)
        t, metrics = flow(start, Profile.neck, cells * start.spacing / start.neck())
        radii = np.array([g.neck() for g in metrics])
        end = _singular_time(t, radii)
        name = f"lambda = {factor:g}"
        times[name], sizes[name] = end, _l2_size(start)
        middle, speed = (t[1:] + t[:-1]) / 2, -np.diff(radii**2) / (2 * np.diff(t))
        falls += int(np.sum(np.diff(speed) <= 0))
        logs = np.log(factor**2 / (end - middle))
        late = slice(len(logs) // 2, None)
        slopes[name] = float(np.polyfit(logs[late], _logarithm(speed[late]), 1)[0])
        logarithms.append(float(logs[-1]))
        moved.append(_moved_outside(start, metrics[-1]))
        curves.append(Line(name, (t / factor**2).tolist(), (radii / factor).tolist()))
    again = flow(bubble(2, neck, coarse), Profile.neck, cells * start.spacing / start.neck())
    other = _singular_time(again[0], np.array([g.neck() for g in again[1]]))
    logs = np.log(sorted(factors, reverse=True))
    powers = {
        "L2 size": float(np.polyfit(logs, np.log(list(sizes.values())), 1)[0]),
        "T": float(np.polyfit(logs, np.log(list(times.values())), 1)[0]),
    }
    first, smallest = next(iter(times.values())), min(logarithms)
    curvature = metrics[-1].riemann_max() / metrics[0].riemann_max()
    return Evidence(
        Measurement(
            f"starts (of {len(times)}) that end at a finite time; their L2 sizes, and T",
            {"ended": len(times), "L2 size": sizes, "T": times},
            "none below some L2 size",
            float(len(times)),
            0.0,
            "a count; the L2 size can be made as small as wanted (see the powers)",
        ),
        resolution=[
            Measurement.vanishing(
                f"relative change of T from {coarse} points",
                abs(other / first - 1),
                1e-2,
                "T changes by what the neck's last stretch, which is extrapolated, is off",
            )
        ],
        also=[
            Measurement(
                "power of lambda in the L2 size: n/2, and in T: 2",
                powers,
                {"L2 size": 1.5, "T": 2.0},
                max(abs(powers["L2 size"] - 1.5), abs(powers["T"] - 2.0)),
                1e-3,
                "exact for the metrics; the tolerance of the time steps is the same for all",
            ),
            Measurement.near(
                "growth of x with log 1 / (T - t), from the speed of the neck, late",
                slopes,
                1.0,
                math.log(smallest) / smallest,
                f"the next term of the expansion, log x / x, at x = {smallest:.3g} where it ends",
            ),
            Measurement(
                "stops at which -d r^2 / dt does not grow towards that of a cylinder",
                falls,
                0,
                float(falls),
                0.0,
                "a count",
            ),
            Measurement(
                "sup |Rm| at the end over that at the start: above 10, the neck is pinching",
                curvature,
                "above 10",
                max(0.0, 10 - curvature),
                0.0,
                "an inequality",
            ),
            Measurement.vanishing(
                "largest change where the start is flat, at the outer end, relative",
                max(moved),
                1e-6,
                "what happens in the ball is not felt there until T",
            ),
        ],
        plots=[
            Plot(
                "The neck pinches, at lambda^2 T whatever the L2 size",
                "t / lambda^2",
                "radius of the neck / lambda",
                curves,
            )
        ],
    )


def _logarithm(speed: np.ndarray) -> np.ndarray:
    """The x with 1 / (2 x) + 1 / (2 x^2) = 1 - speed."""
    short = 1 - speed
    return np.asarray((1 + np.sqrt(1 + 8 * short)) / (4 * short))


def _singular_time(t: np.ndarray, radii: np.ndarray) -> float:
    """Where radius^2, extrapolated from the last two stops, is 0."""
    a, b = radii[-2:] ** 2
    return float(t[-1] + b * (t[-1] - t[-2]) / (a - b))


def _moved_outside(start: Profile, end: Profile) -> float:
    outer = slice(-len(start.psi) // 20, None)
    change = np.abs(end.psi[outer] / start.psi[outer] - 1).max()
    return float(max(change, np.abs(end.phi[outer] / start.phi[outer] - 1).max()))


_BLEND = 0.3


def _l2_size(g: Profile) -> float:
    """|g - delta| in L2 of R^(n+1), in length^((n+1)/2), with a radius r(s) that is s - a outside.

    dr / ds is a constant next to the pole and goes over to 1 smoothly where the metric is flat.
    """
    n, s = g.n, (np.arange(len(g.psi)) + 0.5) * g.spacing
    offset = s[-1] - g.psi[-1]
    # Flat from where psi_s = 1 on; there r = psi.
    flat = float(s[np.nonzero(np.abs(g.psi - (s - offset)) > 1e-12 * g.length)[0][-1]])
    width = _BLEND * (flat - offset)
    slope = (flat - offset - width / 2) / (flat - width / 2)
    z = np.clip((s - flat + width) / width, 0.0, 1.0)
    density = slope + (1 - slope) * z * z * (3 - 2 * z)
    r = np.where(s >= flat, g.psi, (np.cumsum(density) - density / 2) * g.spacing)
    square = (density**-2 - 1) ** 2 + n * ((g.psi / r) ** 2 - 1) ** 2
    sphere = 2 * math.pi ** ((n + 1) / 2) / math.gamma((n + 1) / 2)
    return float(math.sqrt(sphere * np.sum(square * r**n * density) * g.spacing))
