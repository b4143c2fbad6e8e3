"""solve: Ricci flow on a closed surface by the library's own integrators, and its result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from .. import checks
from ..errors import DTypeError
from ..integrators import Checkpoint, Integration, Integrator, integrate
from ..integrators.object_events import ObjectEvent, object_events
from ..integrators.object_solution import ObjectSolution, ended_by_last_event
from ..io import (
    existing,
    npz_path,
    read_stored_states,
    reading,
    write_stored_states,
)
from ..io.damage import table_value
from .flow import ConformalETDRK4, ConformalFlow
from .metric import ConformalMetric
from .surfaces import require_small, surface_from_record

Event = Callable[[float, ConformalMetric], float]
"""(t, metric) -> float, whose sign changes are found; see ``rl.events``."""

_KIND = "solution of a conformal flow"

# Of ``tail``: a warning at the start, and where a flow ends or is not begun.
_COARSE, _COARSEST = 1e-4, 1e-2
# A flow that fails with this part of its life left, or less, has failed for that reason.
_NEARLY = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class ConformalSolution(ObjectSolution[ConformalMetric]):
    """Metrics on a closed surface along a flow, and how the integration went.

    Attributes
    ----------
    t : ndarray, (k,)
        Times, length^2.
    metrics : list of ConformalMetric
        The metric at each.
    success, status, message : bool, int, str
        As in ``FlowSolution``: 0 the end was reached, 1 an event ended the flow, -1 it failed (the
        sphere vanished, or the surface no longer resolves the metric), -2 interrupted. Everything
        up to there is kept.
    nfev, n_accepted, n_rejected : int
        Evaluations of the right-hand side, and steps.
    method : str
        The integrator.
    t_events, metrics_events : list of ndarray, list of lists of ConformalMetric
        Times and metrics of the events, in the order given.
    parameters : dict
        How the flow was asked for.
    """

    # Both stand here again for their type, which signatures then show.
    metrics: list[ConformalMetric]
    metrics_events: list[list[ConformalMetric]] = field(default_factory=list)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the metrics and how the integration went to one .npz file; events are left out.

        Raises
        ------
        InvalidArgumentError, StorageError
            If the path does not end in .npz, or it cannot be written.
        """
        record = {**self._record(), "space": self.metrics[0].surface.record()}
        states = [m.coefficients for m in self.metrics]
        write_stored_states(npz_path(path), _KIND, record, states, self.t)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ConformalSolution:
        """Read a solution that ``save`` wrote; runs no code from the file.

        Raises
        ------
        FileNotFoundError, DamagedFileError
            If there is no such file, or it is not what ``save`` wrote.
        """
        source = existing(path)
        with reading(source, f"a {_KIND} (.npz)"):
            record, states, times = read_stored_states(source, _KIND)
            surface = surface_from_record(table_value(record["space"]))
            wanted = surface.analysis(np.zeros(surface.shape)).shape
            if states.shape != (len(times), *wanted):
                raise ValueError(f"its states have the shape {states.shape[1:]}, not {wanted}")
            metrics = [ConformalMetric.from_coefficients(surface, c) for c in states]
            return cls._of_record(times, metrics, record)


def solve(
    metric: ConformalMetric,
    t_span: Sequence[float],
    *,
    normalized: bool = False,
    method: str | Integrator = "auto",
    t_eval: Sequence[float] | None = None,
    dt: float | None = None,
    rtol: float = 1e-6,
    events: Event | Sequence[Event] | None = None,
    checkpoint: str | PathLike[str] | Checkpoint | None = None,
    resume: bool = False,
    progress: bool = False,
    max_steps: int = 100_000,
) -> ConformalSolution:
    """Integrate Ricci flow, or its normalised form, from a metric on a closed surface.

    u_t = e^(-2u) (Lap_0 u - K_0) + c with c = 0, or c = 2 pi chi / area.

    Parameters
    ----------
    metric : ConformalMetric
        The start.
    t_span : (float, float)
        Start and end, length^2.
    normalized : bool
        g' = -R g + mean(R) g, which keeps the area; every metric then tends to one of constant
        curvature (Hamilton 1988, Chow 1991).
    method : str or Integrator
        "auto" is "etdrk4", which integrates a constant multiple of the Laplacian exactly; see
        ``rl.integrate`` for "rkl2", "tsit5", "bs32" and "rk4".
    t_eval : sequence of float, optional
        Times at which the metric is kept; every step by default.
    dt : float, optional
        Fixed step.
    rtol : float
        Tolerance of the root mean square of u at a step: the relative one of lengths.
    events : callable or sequence of callables, optional
        ``event(t, metric) -> float`` as in ``solve_flow``, with ``terminal`` and ``direction``;
        ``rl.events.SteadyState(tolerance)`` ends where no coefficient of u changes faster.
    checkpoint, resume
        A folder from which a killed run goes on, as in ``solve_flow``.
    progress, max_steps
        As in ``solve_flow``.

    Returns
    -------
    ConformalSolution
        Where a sphere vanishes, at the time area / (8 pi), the flow ends with status -1 and keeps
        everything up to there; so does one whose ``tail`` grows to 1e-2.

    Raises
    ------
    DTypeError
        If ``metric`` is no ConformalMetric or an event no function.
    InvalidArgumentError, UnknownNameError
        If an argument makes no sense, or the ``tail`` of the start is above 1e-2. Above 1e-4 a
        warning says so.
    StorageError, DamagedFileError
        If the checkpoint cannot be written or read.

    Examples
    --------
    A metric without symmetry becomes round at the rate l (l + 1) - 2 of its slowest mode, 4:

    >>> from riemann_lne.conformal import Sphere
    >>> start = ConformalMetric.from_function(Sphere(16), lambda x, y, z: 0.1 * x * y + 0.05 * z**3)
    >>> solution = solve(start, (0, 2), normalized=True, t_eval=[0, 2])
    >>> early, late = (g.distance_to_constant_curvature() for g in solution)
    >>> bool(late < 1e-3 * early)
    True
    """
    if not isinstance(metric, ConformalMetric):
        raise DTypeError(f"metric is {checks.shown(metric)}; give a ConformalMetric")
    surface = metric.surface

    def metric_of(state: np.ndarray) -> ConformalMetric:
        return ConformalMetric.from_coefficients(surface, np.asarray(state))

    given = object_events(events, metric_of)
    _require_resolved(metric)
    tolerance = checks.number(rtol, "rtol", above=0)
    flow = ConformalFlow(surface, normalized)
    chosen: Any = method
    if isinstance(method, str) and method in ("auto", "etdrk4"):
        chosen = ConformalETDRK4(flow, metric.coefficients)
    # The sum of the squares of all coefficients is the mean square of u.
    root = math.sqrt(metric.coefficients.size)
    run = integrate(
        flow,
        metric.coefficients,
        t_span,
        chosen,
        t_eval,
        dt,
        spectral_radius=flow.spectral_radius,
        rtol=0.0,
        atol=tolerance / root,
        events=[*given, ObjectEvent(_Unresolved(), metric_of)],
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
        max_steps=max_steps,
    )
    parameters = {"normalized": flow.normalized, "rtol": tolerance, **surface.record()}
    return _solution(run, metric_of, metric, flow.normalized, len(given), parameters)


def _solution(
    run: Integration,
    metric_of: Callable[[np.ndarray], ConformalMetric],
    start: ConformalMetric,
    normalized: bool,
    events: int,
    parameters: dict[str, Any],
) -> ConformalSolution:
    """The solution of an integration, whose last event is that of the resolution."""
    status, message = run.status, run.message
    if ended_by_last_event(run):
        status = -1
        message = (
            f"at t = {run.t[-1]:.6g} the highest modes of u have the root mean square "
            f"{_COARSEST:g}: the surface no longer resolves the metric; take a finer one, or end "
            "the flow before by an event; what was kept is usable"
        )
    elif status == -1 and not normalized:
        last = metric_of(run.y[-1])
        if last.extinction_time() < _NEARLY * start.extinction_time():
            message = (
                f"the sphere vanishes at t = {run.t[-1] + last.extinction_time():.9g}, where its "
                "area is 0 (an event ends the flow before); what was kept is usable"
            )
    return ConformalSolution._of_run(run, metric_of, events, (status, message), parameters)


def _require_resolved(metric: ConformalMetric) -> None:
    """Raise InvalidArgumentError, or warn, if the surface does not resolve a metric."""
    tail = metric.tail()
    text = (
        f"the highest modes of u have the root mean square {tail:.3g}: {metric.surface!r} does not "
        "resolve it; give the metric on a finer surface, or a smoother one"
    )
    require_small(tail, (_COARSE, _COARSEST), text, stacklevel=4)


class _Unresolved:
    """The highest modes come to be as large as is not resolved any more."""

    terminal, direction = True, 1
    silent = True  # of no use in the message of a flow in which it does not occur

    def __call__(self, t: float, metric: ConformalMetric) -> float:
        return metric.tail() - _COARSEST
