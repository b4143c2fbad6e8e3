"""solve: integrate the flow of a rotationally symmetric metric by the library's own integrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from .. import checks
from ..errors import DTypeError, InvalidArgumentError
from ..integrators import Checkpoint, Integration, integrate
from ..integrators.object_events import ObjectEvent, object_events
from ..integrators.object_solution import ObjectSolution, ended_by_last_event
from ..io import existing, reading
from .files import read_states, write_states
from .flow import RotationalFlow
from .metric import RotationalMetric

Event = Callable[[float, RotationalMetric], float]
"""(t, metric) -> float, whose sign changes are found; see ``rl.events``."""

_KIND = "solution of a rotationally symmetric flow"

# Points farther apart than this, in units of the radius of curvature, do not see a neck.
_COARSEST = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class RotationalSolution(ObjectSolution[RotationalMetric]):
    """Rotationally symmetric metrics along a flow, and how the integration went.

    Attributes
    ----------
    t : ndarray, (k,)
        Times, length^2.
    metrics : list of RotationalMetric
        The metric at each.
    success, status, message : bool, int, str
        As in ``FlowSolution``: 0 the end was reached, 1 an event ended the flow, -1 it failed
        (a neck below the resolution of the points is such a failure), -2 interrupted. Everything
        up to there is kept.
    nfev, n_accepted, n_rejected : int
        Evaluations of the right-hand side, and steps.
    method : str
        The integrator.
    t_events, metrics_events : list of ndarray, list of lists of RotationalMetric
        Times and metrics of the events, in the order given.
    parameters : dict
        How the flow was asked for.
    """

    # Both stand here again for their type, which signatures then show.
    metrics: list[RotationalMetric]
    metrics_events: list[list[RotationalMetric]] = field(default_factory=list)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the metrics and how the integration went to one .npz file; events are left out.

        Raises
        ------
        InvalidArgumentError, StorageError
            If the path does not end in .npz, or it cannot be written.
        """
        write_states(path, _KIND, self._record(), self.metrics, self.t)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> RotationalSolution:
        """Read a solution that ``save`` wrote; runs no code from the file.

        Raises
        ------
        FileNotFoundError, DamagedFileError
            If there is no such file, or it is not what ``save`` wrote.
        """
        source = existing(path)
        with reading(source, f"a {_KIND} (.npz)"):
            stored = read_states(source, _KIND)
            if len(stored.numbers) != len(stored.metrics):
                raise ValueError(f"{len(stored.numbers)} times, {len(stored.metrics)} metrics")
            return cls._of_record(stored.numbers, stored.metrics, stored.record)


def solve(
    metric: RotationalMetric,
    t_span: Sequence[float],
    *,
    gauge: str = "monitor",
    normalized: bool = False,
    method: str = "auto",
    t_eval: Sequence[float] | None = None,
    dt: float | None = None,
    rtol: float = 1e-6,
    events: Event | Sequence[Event] | None = None,
    checkpoint: str | PathLike[str] | Checkpoint | None = None,
    resume: bool = False,
    progress: bool = False,
    max_steps: int = 100_000,
) -> RotationalSolution:
    """Integrate Ricci flow, or its normalised form, from a rotationally symmetric metric.

    Parameters
    ----------
    metric : RotationalMetric
        The start.
    t_span : (float, float)
        Start and end, length^2.
    gauge : "monitor", "arclength" or "deturck"
        How points move along the meridians; the geometry is the same. "monitor" keeps them dense
        where the curvature is large, so that a neck is resolved until it has shrunk by many powers
        of ten; "arclength" keeps them equally far apart; "deturck" is the Ricci-DeTurck flow with a
        round background, for metrics that are not far from one.
    normalized : bool
        g' = -2 Ric + (2 / (n + 1)) mean(R) g, which keeps the volume.
    method : str
        "auto" is "rkl2", which takes long steps; "tsit5" for errors far below 1e-6; see
        ``rl.integrate``.
    t_eval : sequence of float, optional
        Times at which the metric is kept; every step by default.
    dt : float, optional
        Fixed step.
    rtol : float
        Relative tolerance of phi and psi at a step.
    events : callable or sequence of callables, optional
        ``event(t, metric) -> float`` as in ``solve_flow``, with ``terminal`` and ``direction``.
    checkpoint, resume
        A folder from which a killed run goes on to the same bits, as in ``solve_flow``; kept
        metrics are appended to it.
    progress, max_steps
        As in ``solve_flow``.

    Returns
    -------
    RotationalSolution
        Where the flow becomes singular, or a neck smaller than the distance of the points, it ends
        with status -1 and keeps everything up to there.

    Raises
    ------
    DTypeError
        If ``metric`` is no RotationalMetric or an event no function.
    InvalidArgumentError, UnknownNameError
        If an argument makes no sense, the points of the start do not resolve its curvature, or the
        checkpoint is that of another flow.
    StorageError, DamagedFileError
        If the checkpoint cannot be written or read.

    Examples
    --------
    >>> g = RotationalMetric.from_function(24, lambda x: 1 + 0 * x, np.sin, n=2)
    >>> solution = solve(g, (0, 0.2), t_eval=[0.2], method="tsit5", rtol=1e-10)
    >>> bool(abs(solution[-1].scalar_curvature() / 6 * (1 - 4 * 0.2) - 1).max() < 1e-9)
    True
    """
    if not isinstance(metric, RotationalMetric):
        raise DTypeError(f"metric is {checks.shown(metric)}; give a RotationalMetric")

    def field_of(state: np.ndarray) -> RotationalMetric:
        return RotationalMetric.from_state(metric.operators, metric.n, np.asarray(state))

    given = object_events(events, field_of)
    require_resolved(metric)
    tolerance = checks.number(rtol, "rtol", above=0)
    name = "rkl2" if method == "auto" else method
    flow = RotationalFlow(metric.operators, metric.n, gauge, normalized)
    watches: list[Any] = [*given, ObjectEvent(_Unresolved(), field_of)]
    # U and b are logarithms: their absolute errors are the relative ones of psi and phi, whatever
    # the unit of length.
    run = integrate(
        flow,
        metric.state,
        t_span,
        name,
        t_eval,
        dt,
        spectral_radius=flow.spectral_radius,
        rtol=0.0,
        atol=tolerance,
        events=watches,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
        max_steps=max_steps,
    )
    return _solution(run, field_of, len(given), {
        "gauge": flow.gauge, "normalized": flow.normalized, "rtol": tolerance,
        "n": metric.n, "space": metric.space, "points": metric.points,
        "order": metric.operators.order,
    })  # fmt: skip


def _solution(
    run: Integration,
    field_of: Callable[[np.ndarray], RotationalMetric],
    events: int,
    parameters: dict[str, Any],
) -> RotationalSolution:
    """The solution of an integration, whose last event is that of the resolution."""
    status, message = run.status, run.message
    if ended_by_last_event(run):
        status = -1
        message = (
            f"at t = {run.t[-1]:.6g} the curvature is larger than the points resolve (their "
            "distance is the radius of curvature); take more points, or end the flow before by "
            "an event; what was kept is usable"
        )
    return RotationalSolution._of_run(run, field_of, events, (status, message), parameters)


def require_resolved(metric: RotationalMetric) -> None:
    """Raise InvalidArgumentError if the points do not see the curvature of a metric."""
    coarse = metric.resolution()
    if not coarse < _COARSEST:
        raise InvalidArgumentError(
            f"the points are {coarse:.3g} radii of curvature apart where it is largest; give the "
            f"metric on more points (at least {int(2 * coarse * metric.points) + 1}), or closer "
            "ones where it is curved"
        )


class _Unresolved:
    """The points come to be one radius of curvature apart."""

    terminal, direction = True, 1
    silent = True  # of no use in the message of a flow in which it does not occur

    def __call__(self, t: float, metric: RotationalMetric) -> float:
        return metric.resolution() - _COARSEST


class NeckBelow:
    """The smallest neck falls to a radius: an event for ``solve``.

    Parameters
    ----------
    radius : float
        In units of length.
    terminal : bool
        Whether the flow ends there.
    """

    direction = -1

    def __init__(self, radius: float, terminal: bool = True) -> None:
        self.radius = checks.number(radius, "radius", above=0)
        self.terminal = checks.flag(terminal, "terminal")

    def __repr__(self) -> str:
        return f"NeckBelow({self.radius!r}, terminal={self.terminal!r})"

    def __call__(self, t: float, metric: RotationalMetric) -> float:
        """log(neck radius / radius); 1e3 where there is no neck."""
        found = metric.neck_radius()
        return float(np.log(found / self.radius)) if np.isfinite(found) else 1e3
