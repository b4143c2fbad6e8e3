"""Rotationally symmetric metrics on spheres under Ricci flow, as an evolution for the searches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError, ShapeError
from ..symmetric import RotationalMetric, RotationalSolution, round_sphere
from ..symmetric import solve as solve_rotational
from ..symmetric.staggered import Staggered
from .recipes import rebuilt, recipe_of


@dataclass(frozen=True)
class RotationalEvolution:
    r"""Ricci flow on S^(n+1) for ``check_stability`` and ``stability_radius``.

    Its distance does not see coordinates: both metrics are written in their relative arclength
    x = s / L, where G = L^2 dx^2 + psi^2 g_(S^n), and the result is the larger of
    \|(L / L')^2 - 1\| and max \|(psi / psi')^2 - 1\|, over both directions along the meridian.
    That is the sup norm of h in a frame that is orthonormal for the second metric; dimensionless.

    The limit is the round sphere with the volume of the start. Modulo coordinates the linearised
    normalised flow about it decays at least as e^(-4 t / r^2): conformal perturbations with the
    spherical harmonics of degree l fall at (l (l + n) - 2 n) / r^2, l = 2 is the slowest, and
    trace-free ones fall at 2 (n + 2) / r^2 or more.

    Parameters
    ----------
    normalized : bool
        Whether the volume is kept. If not, spheres shrink; metrics are then compared after scaling
        to the same volume, and no rate is predicted.
    gauge : str
        See ``symmetric.solve``; the geometry is the same.
    rtol : float
        Tolerance of the steps.

    Examples
    --------
    >>> from riemann_lne.testing import check_stability, rotational_spheres
    >>> sphere = round_sphere(24)
    >>> result = check_stability(
    ...     sphere, RotationalEvolution(), rotational_spheres(0.1, points=24), until=1.0, draws=3
    ... )
    >>> round(result.worst.predicted_rate)
    4
    """

    normalized: bool = True
    gauge: str = "monitor"
    rtol: float = 1e-5

    def __post_init__(self) -> None:
        checks.flag(self.normalized, "normalized")
        checks.number(self.rtol, "rtol", above=0)

    @property
    def resolved(self) -> float:
        """Distances below are the error of the steps: no rate is fitted to them."""
        return self.rtol

    def solve(self, start: RotationalMetric, times: Sequence[float]) -> RotationalSolution:
        """The flow of a start."""
        return solve_rotational(
            start,
            (float(times[0]), float(times[-1])),
            gauge=self.gauge,
            normalized=self.normalized,
            t_eval=times,
            rtol=self.rtol,
        )

    def distance(self, state: RotationalMetric, other: RotationalMetric) -> float:
        """The distance above.

        Raises
        ------
        InvalidArgumentError, ShapeError
            If one of them is no metric on a sphere, or their dimensions differ.
        """
        for metric in (state, other):
            if not (isinstance(metric, RotationalMetric) and metric.space == "sphere"):
                raise InvalidArgumentError(
                    f"{checks.shown(metric)} is no rotationally symmetric metric on a sphere; give "
                    "strategies such as rotational_spheres() and a background like round_sphere(48)"
                )
        if state.n != other.n:
            raise ShapeError(f"{state!r} and {other!r} are of other dimensions; give equal n")
        scale = 1.0
        if not self.normalized:
            scale = (other.volume() / state.volume()) ** (1 / (state.n + 1))
        length, reference = scale * state.total_length(), other.total_length()
        x = other.arclength() / reference
        along = abs((length / reference) ** 2 - 1)
        radius = _radius(state)
        around = (
            np.abs((scale * radius(places) / other.psi) ** 2 - 1).max() for places in (x, 1 - x)
        )
        return float(max(along, min(around)))

    def limit(self, run: RotationalSolution) -> RotationalMetric:
        """The round sphere with the volume of the start."""
        return round_like(run.metrics[0])

    def predicted_rate(self, limit: RotationalMetric) -> float | None:
        """4 / r^2 for a round limit of the normalised flow, 1 / time."""
        if not self.normalized or limit.roundness() < 1 - 1e-6:
            return None
        return 4 * limit.largest_curvature()

    def finer(self) -> RotationalEvolution:
        """The same with stricter steps."""
        return replace(self, rtol=self.rtol / 100)

    def refine(self, state: RotationalMetric) -> RotationalMetric:
        """The metric on twice as many points, by its recipe where it has one."""
        recipe = recipe_of(state)
        if recipe is not None and "points" in recipe.arguments:
            refined: RotationalMetric = rebuilt(recipe.with_arguments(points=2 * state.points))
            return refined
        space = Staggered("sphere", 2 * state.points, None, state.operators.order)
        rows = [_even(state.x, row, math.pi)(space.x) for row in state.state]
        return RotationalMetric.from_state(space, state.n, np.stack(rows))


def round_like(metric: RotationalMetric) -> RotationalMetric:
    """The round sphere of the same volume, dimension and points."""
    unit = round_sphere(metric.points, 1.0, metric.n, metric.operators.order)
    # Both volumes as the points give them: a round sphere is its own round sphere exactly.
    radius = (metric.volume() / unit.volume()) ** (1 / (metric.n + 1))
    return round_sphere(metric.points, radius, metric.n, metric.operators.order)


def _radius(metric: RotationalMetric) -> Callable[[np.ndarray], np.ndarray]:
    """Psi as a function of parts of the length, in [0, 1]: psi / sin(pi x) is even at the poles."""
    x = metric.arclength() / metric.total_length()
    smooth = _even(x, metric.psi / np.sin(math.pi * x), 1.0)
    return lambda places: smooth(places) * np.sin(math.pi * places)


def _even(x: np.ndarray, values: np.ndarray, end: float) -> Callable[[np.ndarray], np.ndarray]:
    """The cubic spline of a function that is even about 0 and about ``end``."""
    from scipy.interpolate import CubicSpline

    mirrored = np.concatenate([-x[::-1], x, 2 * end - x[::-1]])
    return CubicSpline(mirrored, np.concatenate([values[::-1], values, values[::-1]]))
