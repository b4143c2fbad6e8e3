"""Spheres S^2 without symmetry under the library's conformal flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riemann_lne.conformal import ConformalMetric, Sphere, solve

from ..evidence import UnresolvedError

_HIGHEST = 4
"""Largest degree of the bumps of a start."""


@dataclass(frozen=True)
class Shrinking:
    """A sphere on the way to its end.

    Attributes
    ----------
    t, riemann : ndarray
        Times, and sup |Rm| = 2 sup |K|.
    end : float
        area / (8 pi) of the start: by Gauss and Bonnet the time at which the area is zero.
    wrong_way : float
        Largest fall of the least R or of Perelman's lambda, in units of the largest |R|, or rise of
        Hamilton's entropy where it is defined, from one time to the next: all are monotone.
    positive : int
        Times at which the entropy is defined.
    """

    t: np.ndarray
    riemann: np.ndarray
    end: float
    wrong_way: float
    positive: int


def bumpy_sphere(degree: int, seed: int, size: float = 0.15) -> ConformalMetric:
    """A random metric on S^2, with negative curvature in places; bumps of all degrees up to 4."""
    rng = np.random.default_rng(seed)
    c = np.zeros((2, degree + 1, degree + 1))
    for row in range(1, _HIGHEST + 1):
        c[:, row, : row + 1] = size / row**2 * rng.standard_normal((2, row + 1))
    c[1, :, 0] = 0
    sphere = Sphere(degree)
    return ConformalMetric(sphere, sphere.synthesis(c[None])[0])


def shrinking_sphere(degree: int, seed: int, until: float) -> Shrinking:
    """A random sphere from its start to a part of its life."""
    start = bumpy_sphere(degree, seed)
    end = start.extinction_time()
    times = end * (1 - np.geomspace(1.0, 1 - until, 24))
    times[0] = 0.0
    found = solve(start, (0.0, float(times[-1])), t_eval=times.tolist(), rtol=1e-9)
    if not found.success:
        raise UnresolvedError(f"the flow of a sphere broke off: {found.message}")
    R = [g.scalar_curvature() for g in found.metrics]
    entropy = [g.entropy() for g, r in zip(found.metrics, R, strict=True) if r.min() > 0]
    largest = np.array([np.abs(r).max() for r in R[1:]])
    falls = -np.diff([r.min() for r in R]) / largest
    lost = -np.diff([g.perelman_lambda() for g in found.metrics]) / largest
    rises = np.diff(entropy) if len(entropy) > 1 else np.zeros(1)
    return Shrinking(
        found.t,
        np.array([np.abs(r).max() for r in R]),
        end,
        max(0.0, float(falls.max()), float(lost.max()), float(rises.max())),
        len(entropy),
    )
