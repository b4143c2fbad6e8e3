"""solve_flow: integrate a flow from a metric."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ..arrays import Array, namespace
from ..errors import DTypeError, InvalidArgumentError, RiemannLNEError, UnknownNameError
from ..flows.base import Flow
from ..metrics import MetricField
from ..tensors import smallest_eigenvalue
from ..weights import Order, validate_order
from .base import Integrator, scaled_error
from .controller import PIController
from .etd import ETDRK4
from .rkl import RKL2
from .runge_kutta import BS32, RK4, TSIT5, ExplicitRungeKutta
from .semidiscrete import BoundaryFunction, SemiDiscreteFlow
from .solution import FlowSolution, as_times

METHODS = ("auto", "rk4", "tsit5", "bs32", "rkl2", "etdrk4")
"""Names that ``solve_flow`` knows."""

# Explicit steps are kept this far below the linear stability limit.
_STABILITY_MARGIN = 0.9
# A step below this fraction of the span means that the solution is about to cease to exist.
_SMALLEST_STEP = 1e-12
_MEMORY_WARNING_BYTES = 2**31


def solve_flow(
    metric: MetricField,
    flow: Flow,
    t_span: Sequence[float],
    method: str = "auto",
    t_eval: Sequence[float] | None = None,
    dt: float | None = None,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    order: Order = 4,
    boundary: str | BoundaryFunction | None = None,
    progress: bool = False,
    max_steps: int = 100_000,
) -> FlowSolution:
    """Integrate a geometric flow, in the manner of ``scipy.integrate.solve_ivp``.

    Parameters
    ----------
    metric : MetricField
        The start; its array library, device and precision are those of the computation.
    flow : Flow
        RicciFlow(), RicciDeTurckFlow(background), or an object of one's own with their methods.
    t_span : (float, float)
        Start and end, start < end. Time has the unit length^2.
    method : str
        "rk4" (classical, no error estimate), "tsit5" and "bs32" (embedded pairs), "rkl2"
        (stabilised, for stiff grids and any boundary), "etdrk4" (Fourier space, torus, Ricci-
        DeTurck flow). "auto": "etdrk4" where it applies, else "rkl2" for Ricci-DeTurck flow and
        "tsit5" for other flows.
    t_eval : sequence of float, optional
        Times at which the metric is kept; steps are cut to end on them. By default every step is
        kept, the start included, as solve_ivp does.
    dt : float, optional
        Fixed step: every stretch between output times is cut into equal steps of at most dt. By
        default the step is adapted to ``rtol`` and ``atol`` ("rk4", which has no estimate, takes
        its stability limit).
    rtol, atol : float
        A step is accepted if the estimated error e has |e|_g <= atol + rtol sqrt(n) at every grid
        point, the norm being that of the metric itself (dimensionless).
    order : int or "fourier"
        Order of the differences in space (2, 4, 6, 8), or Fourier derivatives with the 2/3 rule.
    boundary : "held", "free" or function, optional
        On bounded axes: the metric of the end points held at its start (default), evolved with
        one-sided differences, or given by a function (t, *coordinates) -> components. With
        "free" ends the problem itself is not well posed: for short times and smooth metrics.
    progress : bool
        Show a progress bar on a terminal (needs rich, extra ``verify``).
    max_steps : int
        End the flow with status -1 after so many steps, rejected ones included: a flow close to a
        singularity can ask for ever shorter steps.

    Returns
    -------
    FlowSolution
        A step that fails ends the flow with a status and a message; what was computed is kept,
        and the last good metric besides. Ctrl-C does the same.

    Raises
    ------
    UnknownNameError, InvalidArgumentError, GridTooSmallError
        If the arguments make no sense together.
    DTypeError
        If ``metric`` is not a MetricField or ``flow`` not a flow object.

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
    if isinstance(flow, type) or not hasattr(flow, "rhs"):
        raise DTypeError(f"flow = {flow!r}; give a flow object such as RicciDeTurckFlow()")
    t0, t1, outputs = as_times(t_span, t_eval)
    order = validate_order(order)
    metric.grid.require_stencil(order)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not (math.isfinite(value) and value >= 0) or rtol + atol == 0:
            raise InvalidArgumentError(f"{name} = {value}; finite, not negative, not both zero")
    if dt is not None and not (math.isfinite(dt) and dt > 0):
        raise InvalidArgumentError(f"dt = {dt}; a positive step is needed")
    # NumPy's own scalars would promote float32 states to float64.
    rtol, atol, dt = float(rtol), float(atol), None if dt is None else float(dt)
    xp = namespace(metric.packed)
    y = xp.asarray(metric.packed, copy=True)
    system = SemiDiscreteFlow(flow, metric.grid, order, boundary, y, (t0, t1))
    integrator = make_integrator(method, system, y)
    if max_steps < 1:
        raise InvalidArgumentError(f"max_steps = {max_steps}; at least 1 is needed")
    run = _Run(system, integrator, t0, t1, outputs, rtol, atol, max_steps)
    with _progress_bar(progress, t0, t1) as report:
        return run.go(y, dt, report)


def make_integrator(method: str, system: SemiDiscreteFlow, y: Array) -> Integrator:
    """The integrator of a name, set up for a system and its start."""
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)
    if method == "auto":
        if not system.flow.parabolic:
            method = "tsit5"
        else:
            method = "etdrk4" if system.grid.is_torus else "rkl2"
    if method == "etdrk4":
        return ETDRK4(system, y)
    if method == "rkl2":
        return RKL2()
    tableau = {"rk4": RK4, "tsit5": TSIT5, "bs32": BS32}[method]
    return ExplicitRungeKutta(method, tableau)


class _StepError(Exception):
    """A step that ends the flow, with the message for the user."""


class _Run:
    """One integration: the loop over steps, and what it keeps."""

    def __init__(
        self,
        system: SemiDiscreteFlow,
        integrator: Integrator,
        t0: float,
        t1: float,
        outputs: list[float] | None,
        rtol: float,
        atol: float,
        max_steps: int,
    ) -> None:
        self.system, self.integrator = system, integrator
        self.t0, self.t1, self.outputs = t0, t1, outputs
        self.rtol, self.atol, self.max_steps = rtol, atol, max_steps
        self.times: list[float] = []
        self.kept: list[Array] = []
        self.accepted = self.rejected = 0
        self._t = t0
        self._rate: Array | None = None
        self._warned = False

    def go(self, y: Array, dt: float | None, report: Callable[[float], None]) -> FlowSolution:
        """Integrate to the end, or to where it ends."""
        status, message = 0, "reached the end of t_span"
        self._y = y
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                # Overflow is what an unstable step does: it is found by the check of the result.
                self._integrate(y, dt, report)
        except _StepError as failure:
            status, message = -1, str(failure)
        except RiemannLNEError as error:
            # Raised by the boundary function or the flow. At the start it is the caller's mistake
            # and theirs to see; later on it must not cost what was computed.
            if self.accepted == 0:
                raise
            status, message = -1, f"stopped at t = {self._t:.6g}: {error}"
        except KeyboardInterrupt:
            status, message = -2, f"interrupted after t = {self._t:.6g}; what was kept is usable"
        if status != 0 and (not self.times or self.times[-1] < self._t):
            self._keep(self._t, self._y)
        grid = self.system.grid
        return FlowSolution(
            t=np.array(self.times),
            metrics=[MetricField.from_packed(grid, p, check=False) for p in self.kept],
            success=status == 0,
            status=status,
            message=message,
            nfev=self.system.nfev,
            n_accepted=self.accepted,
            n_rejected=self.rejected,
            method=self.integrator.name,
        )

    def _integrate(self, y: Array, dt: float | None, report: Callable[[float], None]) -> None:
        wanted = [self.t0] if self.outputs is None else self.outputs
        if self.t0 in wanted:
            self._keep(self.t0, y)
        # The flow runs to the end of t_span also where the last output time comes before it.
        targets = [t for t in wanted if self.t0 < t < self.t1] + [self.t1]
        if dt is None:
            self._controller = PIController(self.integrator.error_exponent)
            self._next = self._first_step(y)
        for target in targets:
            steps = self._fixed(y, target, dt) if dt is not None else self._adapted(y, target)
            for y in steps:
                if self.outputs is None:
                    self._keep(self._t, y)
                report(self._t)
            if self.outputs is not None and target in self.outputs:
                self._keep(target, y)

    def _fixed(self, y: Array, target: float, dt: float) -> Iterator[Array]:
        """Equal steps of at most dt to the target."""
        start = self._t
        count = max(1, math.ceil((target - start) / dt * (1 - 1e-12)))
        size = (target - start) / count
        for k in range(count):
            self._count_step()
            step = self.integrator.step(self.system, self._t, y, self._rate, size, False)
            t = target if k == count - 1 else start + (k + 1) * size
            new = self.system.settle(t, step.y)
            if not self.system.admissible(new):
                raise _StepError(self._degenerate(y, new, t, size))
            y = self._accept(t, new, step.rate)
            yield y

    def _adapted(self, y: Array, target: float) -> Iterator[Array]:
        """Steps under error control to the target."""
        while self._t < target:
            self._count_step()
            limit = self._stability_limit(y)
            size = min(self._next, limit)
            left = target - self._t
            last = size >= left * (1 - 1e-12)
            # Two equal steps rather than a long and a tiny one.
            size = left if last else (left / 2 if size > left / 2 else size)
            step = self.integrator.step(
                self.system, self._t, y, self._rate, size, self.integrator.adaptive
            )
            t = target if last else self._t + size
            new = self.system.settle(t, step.y)
            error = self._error(step.error, new)
            if error <= 1.0:
                y = self._accept(t, new, step.rate)
                if self.integrator.adaptive:
                    grown = size * self._controller.after_accepted(error)
                    # A step cut short to end on an output time says little about the next one.
                    self._next = max(grown, self._next) if last and error < 0.1 else grown
                yield y
                continue
            self.rejected += 1
            size *= self._controller.after_rejected(error)
            self._next = size
            if size < _SMALLEST_STEP * (self.t1 - self.t0):
                raise _StepError(self._step_too_small(y, new, t, size))

    def _error(self, error: Array | None, new: Array) -> float:
        """Scaled error of a step; infinite where the result is no metric."""
        if not self.system.admissible(new):
            return math.inf
        if error is None:
            return 0.0
        return scaled_error(error, new, self.system.grid.ndim, self.rtol, self.atol)

    def _stability_limit(self, y: Array) -> float:
        if math.isinf(self.integrator.stable_step(1.0)):
            return math.inf
        return _STABILITY_MARGIN * self.integrator.stable_step(self.system.spectral_radius(y))

    def _first_step(self, y: Array) -> float:
        """A hundredth of the time in which the metric changes by its own size."""
        if not self.integrator.adaptive:
            return self.t1 - self.t0  # the stability limit alone decides
        self._rate = self.system(self.t0, y)
        speed = scaled_error(self._rate, y, self.system.grid.ndim, 1.0, 0.0)
        span = self.t1 - self.t0
        # A start at rest says nothing about later: not the whole span in one step.
        return min(span, 0.01 / speed) if speed > 0 and math.isfinite(speed) else span / 50

    def _count_step(self) -> None:
        """End the flow where it has taken all the steps it may."""
        if self.accepted + self.rejected >= self.max_steps:
            raise _StepError(
                f"max_steps = {self.max_steps} steps were taken and t = {self._t:.6g} was reached; "
                "raise max_steps, loosen rtol, or take a method for stiff grids ('rkl2', 'etdrk4')"
            )

    def _accept(self, t: float, y: Array, rate: Array | None) -> Array:
        self._t, self._y, self._rate = t, y, rate
        self.accepted += 1
        return y

    def _keep(self, t: float, y: Array) -> None:
        self.times.append(t)
        self.kept.append(y)
        size = math.prod(y.shape) * 8 * len(self.kept)
        if size > _MEMORY_WARNING_BYTES and not self._warned:
            self._warned = True
            warnings.warn(
                f"{len(self.kept)} metrics are kept and take over 2 GiB; pass t_eval to keep fewer",
                stacklevel=2,
            )

    def _place(self, y: Array) -> str:
        """Where and how a state fails to be a metric."""
        xp, n = namespace(y), self.system.grid.ndim
        if not bool(xp.all(xp.isfinite(y))):
            return "it is not finite"
        value, index = smallest_eigenvalue(y, n)
        return f"smallest eigenvalue {value:.4g} at grid index {index}"

    def _degenerate(self, y: Array, new: Array, t: float, dt: float) -> str:
        limit = self._stability_limit(y)
        advice = (
            f"dt = {dt:.4g} is above the stability limit {limit:.4g} of {self.integrator.name!r}: "
            "take a smaller step, or method 'rkl2' or 'etdrk4'"
            if dt > limit
            else "take a smaller dt or leave dt out to have it adapted; if that stops here too, "
            "the flow becomes singular"
        )
        return (
            f"the metric stopped being positive definite in the step to t = {t:.6g} "
            f"({self._place(new)}); {advice}"
        )

    def _step_too_small(self, y: Array, new: Array, t: float, dt: float) -> str:
        return (
            f"the step fell to {dt:.3g} at t = {self._t:.6g} without meeting rtol = {self.rtol:g}, "
            f"atol = {self.atol:g}; the flow is about to become singular, or the tolerance asks "
            "for more than the precision gives"
        )


@contextmanager
def _progress_bar(wanted: bool, t0: float, t1: float) -> Iterator[Callable[[float], None]]:
    """A function to report the time reached to; shows a bar on a terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda t: None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        from ..errors import MissingDependencyError

        raise MissingDependencyError("rich", "verify", "progress=True") from None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("flow", total=t1 - t0)
        yield lambda t: bar.update(task, completed=t - t0)
