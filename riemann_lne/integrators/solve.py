"""solve_flow: integrate a flow from a metric."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from os import PathLike
from types import NoneType
from typing import Any

import numpy as np

from .. import checks
from ..arrays import detached, namespace, to_numpy
from ..coefficients import Order, validate_order
from ..errors import DTypeError, InvalidArgumentError, StorageError
from ..flows.base import Flow, gauge_of, require_flow
from ..flows.describe import checksum, describe
from ..io import StoredMetrics
from ..metrics import MetricField, require_no_gradient
from .boundaries import Boundary
from .checkpoint import Checkpoint
from .events import Event, EventWatch
from .files import files_of
from .methods.base import Integrator
from .methods.protocol import require_step_size
from .methods.registry import METHODS, make_integrator
from .progress import progress_bar
from .pullback import PulledBackFlow
from .recorder import Observables, Recorder
from .run import Outputs, Run
from .semidiscrete import SemiDiscreteFlow
from .solution import FlowSolution, as_times
from .stepper import Control, Stepper, make_control

__all__ = ["METHODS", "solve_flow"]


def solve_flow(
    metric: MetricField,
    flow: Flow,
    t_span: Sequence[float],
    method: str | Integrator = "auto",
    t_eval: Sequence[float] | None = None,
    dt: float | None = None,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    order: Order = 4,
    boundary: Boundary = None,
    kernel: str = "auto",
    events: Event | Sequence[Event] | None = None,
    observe: Observables | None = None,
    observe_at: str = "steps",
    store: str | PathLike[str] = "metrics",
    dense_output: bool = False,
    checkpoint: str | PathLike[str] | Checkpoint | None = None,
    resume: bool = False,
    progress: bool = False,
    max_steps: int = 100_000,
) -> FlowSolution:
    """Integrate a geometric flow, in the manner of ``scipy.integrate.solve_ivp``.

    Parameters
    ----------
    metric : MetricField
        The start; its array library, device and precision are those of the computation.
    flow : Flow
        RicciFlow(), RicciDeTurckFlow(background), NormalizedRicciFlow(), ScaledFlow(flow, c), or
        an object of yours with the members of ``Flow``.
    t_span : (float, float)
        Start and end, start < end. Time has the unit length^2.
    method : str or Integrator
        "rk4" (classical, no error estimate), "tsit5" and "bs32" (embedded pairs), "rkl2"
        (stabilised, for stiff grids and any boundary), "rkg2" (stabilised, without overshoot at
        held ends, for steps a third shorter), "etdrk4" (Fourier space, torus, Ricci-DeTurck
        flow). "auto": "etdrk4" where it applies, else "rkl2" for Ricci-DeTurck flow, and for Ricci
        flow where stability asks for many more steps than the tolerance (at the usual one: for
        more than 300); "tsit5" for other flows. Or a name given to
        ``integrators.register_method``, or an object with the members of
        ``integrators.Integrator``.
    t_eval : sequence of float, optional
        Times at which the metric is kept; steps are cut to end on them (but see
        ``dense_output``). By default every step is
        kept, the start included, as solve_ivp does.
    dt : float, optional
        Fixed step: every stretch between output times is cut into equal steps of at most dt. By
        default the step is adapted to ``rtol`` and ``atol`` ("rk4", which has no estimate, takes
        its stability limit).
    rtol, atol : float
        A step is accepted if the estimated error e has |e|_g <= atol + rtol sqrt(n) at every grid
        point, the norm being that of the metric itself (dimensionless). As in SciPy, an rtol
        below 100 eps of the precision is taken as that: 1.2e-5 in float32.
    order : int or "fourier"
        Order of the differences in space (2, 4, 6, 8), or Fourier derivatives with the 2/3 rule.
    boundary : str, function, dict or sequence, optional
        At the ends of bounded axes: "held" (default), the metric of the end points as at the
        start; a function (t, *coordinates) -> components; "reflecting", the metric continued by
        reflection, g_ij with the sign (-1)^(number of indices equal to the axis); or "free",
        evolved with one-sided differences, which is no well-posed problem: for short times and
        smooth metrics. One choice for all ends; or a sequence with one for each axis (None on
        periodic ones) or pairs (lower, upper); or a dict {axis: choice, (axis, "lower"): choice}.
    kernel : "auto", "plain" or "fused"
        How the right-hand side is evaluated: by array code, or by a compiled kernel of the same
        formula (see ``riemann_lne.kernels``), which is many times faster and agrees to rounding.
        "auto": fused for NumPy arrays in 2 to 4 dimensions with an order of 2, 4 or 6 and at least
        4096 grid points, if there is a C compiler; else plain, and a logged message if a compiler
        is all that is missing. ``solution.parameters["kernel"]`` names the one used.
    events : callable or sequence of callables, optional
        ``event(t, metric) -> float``; sign changes are located to 0.1 rtol times the step.
        Attributes ``terminal`` and ``direction`` as in solve_ivp. ``rl.events`` has ready-made
        ones: Degenerate, CurvatureAbove, SteadyState.
    observe : dict from str to callable, optional
        ``{"name": function(metric) -> float}``: recorded in ``solution.observed``.
    observe_at : "steps" or "t_eval"
        Whether that is at the start and after every step, or whenever a metric is kept.
    store : "metrics", "last" or path
        All metrics at output times in memory; the last one alone; or streamed to a zarr group at
        a path that ends in .zarr, memory staying bounded (extra ``io``).
    dense_output : bool
        Metrics at ``t_eval`` by interpolation within steps, which then are not cut: for many
        output times. Its error is O(dt^5), O(dt^4) with "bs32" and "rkl2": the order is kept.
    checkpoint : path or Checkpoint, optional
        Folder of files from which a run goes on after a crash; a path alone: every 60 seconds.
    resume : bool
        Go on from the checkpoint, if there is one yet. The result is the same to the last bit.
        All other arguments must be as they were, but ``max_steps`` and how often is saved; so must
        be the kernel, with its compiler and processor.
    progress : bool
        Show a progress bar on a terminal (needs rich, extra ``verify``), or a line in a notebook.
    max_steps : int
        Largest number of steps, rejected ones included; then the flow ends with status -1. A flow
        close to a singularity can ask for ever shorter steps.

    Returns
    -------
    FlowSolution
        A step that fails ends the flow with a status and a message; everything computed is kept,
        the last good metric included. Ctrl-C does the same. After the first step so does any error
        of a function of yours, of the disk, or of memory that ran out: status -1, the error in the
        message, its traceback logged. Before the first step errors are raised.

    Raises
    ------
    UnknownNameError, InvalidArgumentError, ShapeError, GridTooSmallError
        If the arguments make no sense together, or the checkpoint is that of another run.
    DTypeError
        If ``metric`` is not a MetricField, ``flow`` not a flow object, or ``method`` neither text
        nor an integrator.
    NotPositiveDefiniteError, NotFiniteError
        If a boundary function, an event or an observable is no metric or number at the start.
    KernelUnavailableError
        With ``kernel="fused"``, if there is no kernel for the flow, or it cannot be built.
    StorageError
        If the checkpoint or the store cannot be written from the start, or not be read.
    DamagedFileError
        If the checkpoint or the store to resume from is not as it was written.
    FolderInUseError
        If another run uses the checkpoint or the store.

    Examples
    --------
    >>> from riemann_lne import Grid, RicciDeTurckFlow, perturbed_euclidean, solve_flow
    >>> g = perturbed_euclidean(Grid.torus((16, 16)), amplitude=0.1, seed=1)
    >>> solution = solve_flow(g, RicciDeTurckFlow(), (0, 4), t_eval=[0, 2, 4])
    >>> solution.message
    'reached the end of t_span'
    >>> early, late = (s.l2_distance(s.mean()) for s in (solution[0], solution[-1]))
    >>> late < 0.05 * early
    True
    """
    if not isinstance(metric, MetricField):
        raise DTypeError(
            f"metric is a {type(metric).__name__}; make a MetricField(grid, components) of it"
        )
    metric.require_riemannian("solve_flow")
    require_no_gradient("solve_flow", metric, *getattr(flow, "__dict__", {}).values())
    require_flow(flow)
    for name, value in {
        "dense_output": dense_output,
        "resume": resume,
        "progress": progress,
    }.items():
        checks.flag(value, name)
    t0, t1, times = as_times(t_span, t_eval)
    order = validate_order(order)
    metric.grid.require_stencil(order)
    if resume and checkpoint is None:
        raise InvalidArgumentError("resume=True needs checkpoint=path, to know what to resume")
    control = make_control(t0, t1, dt, rtol, atol, max_steps, metric.packed)
    system = make_system(flow, metric, order, boundary, (t0, t1), kernel)
    y = system.start(namespace(metric.packed).asarray(detached(metric.packed), copy=True))
    tolerance = control.rtol + control.atol if control.dt is None else None
    integrator = make_integrator(method, system, y, tolerance)
    require_step_size(integrator, dt, True)
    watch = EventWatch(events)
    recorder = Recorder(metric.grid, to_numpy(y).dtype, store, observe, observe_at, watch.names)
    parameters = _parameters(control, system, integrator, times, dense_output)
    files = files_of(metric.grid)
    plan = checkpoint if isinstance(checkpoint, (Checkpoint, NoneType)) else Checkpoint(checkpoint)
    file = None
    if plan is not None:
        more = {
            "start": describe(metric),
            "events": str([describe(e) for e in watch.events]),
            # Options of an object make another run of it; names have none.
            "integrator": "" if isinstance(method, str) else describe(method),
            "observe": f"{list(recorder.observe)} at {observe_at}",
            "store": "zarr" if recorder.path is not None else str(store),
        }
        identity = {name: str(value) for name, value in {**parameters, **more}.items()}
        file = files.checkpoint(plan, identity, metric.grid)
    stepper = Stepper(system, integrator, control, y)
    del y  # the start need not be held until the end
    run = Run(stepper, recorder, watch, Outputs(times, dense_output), file, parameters)
    with ExitStack() as stack:
        if file is not None:
            stack.enter_context(files.hold(file.owned, "the checkpoint of a flow"))
            stack.callback(file.close)
        if recorder.path is not None:
            stack.enter_context(files.hold(recorder.path, "the store of a flow", inside=False))
        report = stack.enter_context(progress_bar(progress, t0, t1))
        run.go(report, resume)
        return _solution(run, parameters)


def make_system(
    flow: Flow,
    metric: MetricField,
    order: Order,
    boundary: Boundary,
    span: tuple[float, float],
    kernel: str = "plain",
) -> SemiDiscreteFlow:
    """The differenced flow from a metric."""
    gauged, more = gauge_of(flow), (metric.grid, order, boundary, metric.packed, span, kernel)
    return SemiDiscreteFlow(flow, *more) if gauged is None else PulledBackFlow(flow, gauged, *more)


def _parameters(
    control: Control,
    system: SemiDiscreteFlow,
    integrator: Integrator,
    times: list[float] | None,
    dense_output: bool,
) -> dict[str, Any]:
    """How the flow was asked for, as plain values: provenance, and what identifies a run."""
    from .. import __version__

    ends = {
        f"axis {axis} {('lower', 'upper')[side]}": describe(choice).strip("'")
        for (axis, side), choice in system.boundary.choices.items()
    }
    outputs = "every step" if times is None else f"{len(times)} times"
    return {
        "version": __version__,
        "flow": describe(system.asked),
        "method": integrator.name,
        "order": system.order,
        "kernel": system.kernel,
        "boundary": ends,
        "t_span": [control.t0, control.t1],
        "t_eval": f"{outputs}, crc32 {checksum(np.array(times or [])):08x}",
        "dense_output": dense_output,
        "dt": control.dt,
        "rtol": control.rtol,
        "atol": control.atol,
        "grid_shape": list(system.grid.whole.shape),
        "grid_lower": list(system.grid.whole.lower),
        "grid_upper": list(system.grid.whole.upper),
        "grid_periodic": list(system.grid.whole.periodic),
    }


def _solution(run: Run, parameters: dict[str, Any]) -> FlowSolution:
    """The result of a run."""
    recorder, grid = run.recorder, run.recorder.grid
    groups = [[o for o in run.events.found if o.index == k] for k in range(len(run.events.events))]
    record: dict[str, Any] = {
        "success": run.status >= 0,
        "status": run.status,
        "message": run.message,
        "nfev": run.stepper.system.nfev,
        "n_accepted": run.accepted,
        "n_rejected": run.stepper.rejected,
        "method": run.stepper.integrator.name,
    }
    if recorder.disk is not None:
        # A full disk has been reported already.
        with suppress(StorageError):
            recorder.disk.describe({"parameters": parameters, "record": record})
    metrics = recorder.metrics()
    return FlowSolution(
        # Of a store on a full disk, what it holds.
        t=metrics.t if isinstance(metrics, StoredMetrics) else np.array(recorder.times),
        metrics=metrics,
        t_events=[np.array([o.t for o in group]) for group in groups],
        metrics_events=[
            [MetricField.from_packed(grid, o.packed, check=False) for o in group]
            for group in groups
        ],
        t_observed=np.array(recorder.observed_times),
        observed=recorder.table(),
        parameters=parameters,
        **record,
    )
