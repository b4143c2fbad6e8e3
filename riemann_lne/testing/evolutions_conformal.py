"""Conformal metrics on closed surfaces under Ricci flow, as an evolution for the searches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import checks
from ..conformal import ConformalMetric, ConformalSolution, Sphere, Torus, round_sphere
from ..conformal import solve as solve_conformal
from ..errors import InvalidArgumentError, ShapeError
from .recipes import rebuilt, recipe_of
from .refinement import refined_grid, resampled


@dataclass(frozen=True)
class ConformalEvolution:
    r"""Ricci flow of e^(2u) g_0 for ``check_stability`` and ``stability_radius``.

    The distance of g and g' is the smallest epsilon with g' / (1 + epsilon) <= g <=
    (1 + epsilon) g', that is e^(2 max \|u - u'\|) - 1; dimensionless. The flow moves the conformal
    factor alone, so points are compared with themselves.

    The limit has the area of the start. On a torus it is flat; on a sphere it is round, in the
    conformal coordinates to which the run leads: e^-u is then a sum of 1, x, y and z, and the limit
    is the one nearest to the last metric. About it the linearised normalised flow decays at least
    as e^(-rate t): 4 / r^2 on a sphere (harmonics of degree 2), the lowest eigenvalue of the
    Laplacian on a torus.

    Parameters
    ----------
    normalized : bool
        Whether the area is kept. If not, spheres shrink; metrics are then compared after scaling to
        the same area, and no rate is predicted on a sphere.
    rtol : float
        Tolerance of the steps.

    Examples
    --------
    >>> from riemann_lne.conformal import Sphere
    >>> from riemann_lne.testing import check_stability, conformal_metrics
    >>> sphere = Sphere(10)
    >>> result = check_stability(
    ...     ConformalMetric(sphere, np.zeros(sphere.shape)), ConformalEvolution(),
    ...     conformal_metrics(sphere, 0.1), until=1.0, draws=3,
    ... )
    >>> round(result.worst.predicted_rate, 2)
    4.0
    """

    normalized: bool = True
    rtol: float = 1e-7

    def __post_init__(self) -> None:
        checks.flag(self.normalized, "normalized")
        checks.number(self.rtol, "rtol", above=0)

    @property
    def resolved(self) -> float:
        """Distances below are the error of the steps: no rate is fitted to them."""
        return 10 * self.rtol

    def solve(self, start: ConformalMetric, times: Sequence[float]) -> ConformalSolution:
        """The flow of a start."""
        return solve_conformal(
            start,
            (float(times[0]), float(times[-1])),
            normalized=self.normalized,
            t_eval=times,
            rtol=self.rtol,
        )

    def distance(self, state: ConformalMetric, other: ConformalMetric) -> float:
        """The distance above.

        Raises
        ------
        InvalidArgumentError, ShapeError
            If one of them is no ConformalMetric, or they are on different surfaces.
        """
        for metric in (state, other):
            if not isinstance(metric, ConformalMetric):
                raise InvalidArgumentError(
                    f"{checks.shown(metric)} is no ConformalMetric; give strategies such as "
                    "conformal_metrics(Sphere(16)) and a background on the same surface"
                )
        if state.surface != other.surface:
            raise ShapeError(
                f"metrics on {state.surface!r} and {other.surface!r}: give strategy and background "
                "the same surface"
            )
        moved = state.u - other.u
        if not self.normalized:
            moved = moved - math.log(state.area() / other.area()) / 2
        return float(np.expm1(2 * np.abs(moved).max()))

    def limit(self, run: ConformalSolution) -> ConformalMetric:
        """The metric of constant curvature to which the run leads, with the area of the start."""
        last, area, surface = run.metrics[-1], run.metrics[0].area(), run.metrics[0].surface
        if isinstance(surface, Torus):
            u = math.log(area / surface.area) / 2
            return ConformalMetric(surface, np.full(surface.shape, u))
        inverse = np.exp(-last.u)
        slopes = np.array([3 * surface.mean(inverse * x) for x in surface.coordinates])
        size = float(np.linalg.norm(slopes))
        steep = math.atanh(min(size / surface.mean(inverse), 1 - 1e-12))
        radius = math.sqrt(area / (4 * math.pi))
        return round_sphere(surface, radius, steep * slopes / (size or 1.0))

    def predicted_rate(self, limit: ConformalMetric) -> float | None:
        """The rate above about a limit of constant curvature, 1 / time."""
        if limit.distance_to_constant_curvature() > 1e-6:
            return None
        if isinstance(limit.surface, Sphere):
            return 4 * limit.mean_curvature() if self.normalized else None
        laplacian = limit.surface.laplacian
        return float(-laplacian[laplacian < 0].max() * limit.surface.area / limit.area())

    def finer(self) -> ConformalEvolution:
        """The same with stricter steps."""
        return replace(self, rtol=max(self.rtol / 100, 1e-12))

    def refine(self, state: ConformalMetric) -> ConformalMetric:
        """The metric with twice as many degrees, by its recipe where it has one."""
        old = state.surface
        if isinstance(old, Torus):
            surface: Sphere | Torus = Torus(refined_grid(old.grid), old.flat)
        else:
            surface = Sphere(2 * old.lmax)
        recipe = recipe_of(state)
        if recipe is not None and "surface" in recipe.arguments:
            refined: ConformalMetric = rebuilt(recipe.with_arguments(surface=surface))
            return refined
        if isinstance(surface, Torus):
            return ConformalMetric(surface, resampled(state.u, surface.grid))
        more = (0, surface.lmax // 2)
        padded = np.pad(state.coefficients, ((0, 0), more, more))
        metric: ConformalMetric = ConformalMetric.from_coefficients(surface, padded)
        return metric
