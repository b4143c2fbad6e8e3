"""integrate: any system of equations for an array, by the methods of this library."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from .. import checks
from ..arrays import Array, namespace
from ..errors import DTypeError, InvalidArgumentError, StorageError
from ..locks import hold
from .array_system import ArraySystem, Radius, RightHandSide, start_of
from .checkpoint import Checkpoint
from .dense import Interpolant
from .events import EventWatch, Occurrence
from .integration_file import IntegrationFile, plan_of, run_identity
from .methods.base import Integrator, State, StepError
from .methods.protocol import require_step_size
from .methods.registry import make_integrator
from .progress import progress_bar, uninterrupted
from .solution import as_times
from .stepper import Stepper, make_control


@dataclass(frozen=True, eq=False)
class Integration:
    """States along a solution, and how the integration went.

    Attributes
    ----------
    t : ndarray, (k,)
        Times of the states.
    y : array, (k, *shape)
        The states, time first; of the library, type and device of the start.
    success : bool
        Whether the end of ``t_span`` was reached or an event ended the integration.
    status : int
        0: the end was reached; 1: a terminal event; -1: a step failed; -2: interrupted. Everything
        up to there is kept, the last good state too if it was not asked for.
    message : str
        Why the integration stopped and, if it failed, what to try.
    nfev : int
        Evaluations of the right-hand side, those for an estimate of the spectral radius included.
    n_accepted, n_rejected : int
        Steps.
    method : str
        The integrator.
    t_events, y_events : list of ndarray, list of lists of arrays
        For each event in the order given, the times at which it occurred and the states there.
    sol : callable or None
        With ``dense_output``, the solution as a function of time.
    """

    t: np.ndarray
    y: Array
    success: bool
    status: int
    message: str
    nfev: int
    n_accepted: int
    n_rejected: int
    method: str
    t_events: list[np.ndarray] = field(default_factory=list)
    y_events: list[list[Array]] = field(default_factory=list)
    sol: Callable[[float], Array] | None = None

    def __repr__(self) -> str:
        return (
            f"Integration({len(self.t)} states to t = {self.t[-1]:.6g} by {self.method}; "
            f"{self.message})"
        )


def integrate(
    rhs: RightHandSide,
    y0: Any,
    t_span: Sequence[float],
    method: str | Integrator = "tsit5",
    t_eval: Sequence[float] | None = None,
    dt: float | None = None,
    *,
    spectral_radius: float | Radius | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    events: Callable[[float, Array], float]
    | Sequence[Callable[[float, Array], float]]
    | None = None,
    dense_output: bool = False,
    valid: Callable[[Array], Any] | None = None,
    checkpoint: str | PathLike[str] | Checkpoint | None = None,
    resume: bool = False,
    progress: bool = False,
    max_steps: int = 100_000,
) -> Integration:
    """Integrate y' = f(t, y) for an array y, in the manner of ``scipy.integrate.solve_ivp``.

    The methods, step control and events are those of ``solve_flow``.

    Parameters
    ----------
    rhs : callable
        f(t, y) -> array of the shape of y. It must not write to ``y`` (a NumPy array is read-only).
    y0 : array, sequence of numbers, or number
        The start, of any shape: float32 or float64 of any array library, which is that of the
        computation. Sequences are taken as NumPy arrays.
    t_span : (float, float)
        Start and end, start < end.
    method : str or Integrator
        "tsit5" and "bs32" (embedded Runge-Kutta pairs of order 5 and 3), "rk4" (classical, no
        error estimate), "rkl2" and "rkg2" (stabilised, of order 2, for eigenvalues close to the
        negative real axis, as those of diffusion; "rkg2" does not overshoot at ends whose values
        are held); a name given to ``register_method``; or an object with the members of
        ``Integrator``. "etdrk4" is for flows alone.
    t_eval : sequence of float, optional
        Times at which the state is kept; steps are cut to end on them (but see
        ``dense_output``). By default every step is kept, the start included.
    dt : float, optional
        Fixed step: every stretch between output times is cut into equal steps of at most dt. By
        default the step is adapted to ``rtol`` and ``atol``.
    spectral_radius : float or callable, optional
        Bound of the largest |eigenvalue| of the Jacobian, 1 / time, or a function (t, y) -> bound.
        The stabilised methods choose their stages by it, and explicit ones keep their steps below
        their stability limit. By default stabilised methods estimate it by power iteration, and
        explicit ones leave stability to the error estimate.
    rtol, atol : float
        A step is accepted if its estimated error e has rms(e / (atol + rtol |y|)) <= 1, the root
        mean square being over all entries and |y| the larger one of both ends of the step. An rtol
        below 100 eps of the precision is taken as that.
    events : callable or sequence of callables, optional
        ``event(t, y) -> float``; sign changes are located. Attributes ``terminal`` and
        ``direction`` as in solve_ivp. ``rl.events.SteadyState`` ends at rest.
    dense_output : bool
        The solution between steps by interpolation of order 4, 3 for methods of order below 4:
        as ``result.sol``, and for the times of ``t_eval``, to which steps then are not cut.
    valid : callable, optional
        y -> bool. Under error control, a step to a state that is not valid is taken again, shorter;
        an equal step to one ends the integration.
    checkpoint : path or Checkpoint, optional
        A folder with which a run that was killed at any moment can go on, as in ``solve_flow``.
        Not with ``dense_output``.
    resume : bool
        Go on from the checkpoint, if there is one; all other arguments must be as they were. The
        result is then the same to the last bit as that of a run without a stop.
    progress : bool
        Show a progress bar on a terminal (needs rich, extra ``verify``), or a line in a notebook.
    max_steps : int
        Largest number of steps, rejected ones included; then it ends with status -1.

    Returns
    -------
    Integration
        A step that fails ends the integration with a status and a message; everything computed is
        kept. Ctrl-C does the same. Errors of your functions are raised, with the time as a note.

    Raises
    ------
    UnknownNameError, InvalidArgumentError, ShapeError, NotFiniteError
        If the arguments make no sense together, or the right-hand side has another shape.
    DTypeError
        If y0 holds no real floating-point numbers, ``rhs`` or an event is no function, or
        ``method`` lacks a member of ``Integrator``.
    StorageError, DamagedFileError
        If the checkpoint cannot be written or read, or another run uses it.

    Examples
    --------
    >>> import numpy as np
    >>> solution = integrate(lambda t, y: -2 * t * y, [1.0, 2.0], (0, 2), rtol=1e-8)
    >>> solution.message
    'reached the end of t_span'
    >>> bool(abs(solution.y[-1] / [np.exp(-4), 2 * np.exp(-4)] - 1).max() < 1e-6)
    True

    The heat equation on a circle of 200 points, stiff, by a stabilised method:

    >>> h = 2 * np.pi / 200
    >>> def heat(t, u):
    ...     return (np.roll(u, 1) + np.roll(u, -1) - 2 * u) / h**2
    >>> u = np.sin(h * np.arange(200))
    >>> solution = integrate(heat, u, (0, 1), "rkl2", spectral_radius=4 / h**2)
    >>> bool(abs(solution.y[-1] - np.exp(-1) * u).max() < 1e-4), solution.nfev < 1000
    (True, True)
    """
    if not callable(rhs):
        raise DTypeError(f"rhs = {checks.shown(rhs)}; give a function (t, y) -> y'")
    checks.require_call(rhs, "rhs", "t, y", "    lambda t, y: -y\n")
    if valid is not None and not callable(valid):
        raise DTypeError(f"valid = {checks.shown(valid)}; give a function y -> bool")
    checks.flag(dense_output, "dense_output")
    checks.flag(progress, "progress")
    plan = plan_of(checkpoint, checks.flag(resume, "resume"), dense_output)
    t0, t1, times = as_times(t_span, t_eval, "for times that fall, integrate t -> -t")
    y, shape = start_of(y0)
    control = make_control(t0, t1, dt, rtol, atol, max_steps, y)
    system = ArraySystem(rhs, y, shape, _as_radius(spectral_radius), valid)
    if not system.admissible(y):
        raise InvalidArgumentError("valid(y0) is false: the start must be valid")
    integrator = make_integrator(method, system, y)
    require_step_size(integrator, dt, spectral_radius is not None)
    stepper = Stepper(system, integrator, control, y)
    watch = EventWatch(events, "y")
    file = None
    if plan is not None:
        identity = run_identity(rhs, y, integrator, control, times, watch)
        file = IntegrationFile(plan, identity, system, stepper, watch)
    run = _Run(stepper, watch, times, dense_output, file)
    with ExitStack() as stack:
        if file is not None:
            stack.enter_context(hold(file.folder, "the checkpoint of an integration", inside=True))
            stack.callback(file.close)
        run.go(stack.enter_context(progress_bar(progress, t0, t1)), resume)
    return run.result(system)


def _as_radius(value: float | Radius | None) -> Radius | None:
    """The bound as a function."""
    if value is None or callable(value):
        return value
    radius = checks.number(value, "spectral_radius", least=0)
    return lambda t, y: radius


class _Run:
    """One integration: the loop over steps, and the states that are kept."""

    def __init__(
        self,
        stepper: Stepper,
        events: EventWatch,
        times: list[float] | None,
        dense: bool,
        file: IntegrationFile | None = None,
    ) -> None:
        self._stepper, self._events, self._times = stepper, events, times
        self._file = file
        self._pieces: list[Interpolant] | None = [] if dense else None
        self._ends: list[float] = []
        self._t: list[float] = []
        self._y: list[Array] = []
        self._status, self._message = 0, ""
        self._last, self._begun = stepper.state, False

    def go(self, report: Callable[[float], None], resume: bool = False) -> None:
        """Integrate to the end, or to where it ends."""
        if not (resume and self._resume()):
            if self._file is not None:
                self._file.begin()
        elif self._message:
            return  # it had come to its end
        try:
            # Overflow is what an unstable step does: it is found by the check of the result.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                self._march(report)
        except StepError as failure:
            self._status, self._message = -1, str(failure)
        except StorageError as error:
            # A full disk must not cost the results that are in memory.
            self._status, self._message, self._file = -1, str(error), None
        except KeyboardInterrupt:
            self._status = -2
            self._message = f"interrupted after t = {self._last.t:.6g}; what was kept is usable"
        self._close()

    def _close(self) -> None:
        """Keep the last state, and write the last checkpoint.

        The last state of a run that failed is for its result alone: the run that goes on from the
        checkpoint does not keep it.
        """
        failed, ended = self._status < 0, (self._status, self._message)
        try:
            if failed and self._file is not None:
                self._file.save(ended)
                self._file = None
            if not self._t or (self._status != 0 and self._t[-1] < self._last.t):
                self._keep(self._last.t, self._last.y)
            if self._file is not None:
                self._file.save(ended)
        except StorageError as error:
            self._status, self._message = -1, f"{self._message}; {error}"

    def _keep(self, t: float, y: Array) -> None:
        self._t.append(t)
        self._y.append(y)
        if self._file is not None:
            self._file.keep(t, y)

    def _resume(self) -> bool:
        """Take everything over from the checkpoint; False if there is none."""
        assert self._file is not None

        def keep(t: float, y: Array) -> None:
            self._t.append(t)
            self._y.append(y)

        found, ended = self._file.recall(keep)
        if ended is not None:
            self._status, self._message = ended
        self._last, self._begun = self._stepper.state, found
        return found

    def _march(self, report: Callable[[float], None]) -> None:
        stepper, control = self._stepper, self._stepper.control
        if not self._begun:
            self._events.start(stepper)
            if self._times is None or self._times[0] == control.t0:
                self._keep(control.t0, stepper.state.y)
            if self._file is not None:
                self._file.commit()
                self._file.save()
        inner = [] if self._times is None or self._pieces is not None else self._times
        for target in [t for t in inner if control.t0 < t < control.t1] + [control.t1]:
            while stepper.state.t < target:
                before = stepper.state
                after = stepper.advance(target)
                values, occurrences, last = self._events.after(stepper, before, after)
                end = after if last is None else last
                self._arrive(before, after, end, values, occurrences)
                report(end.t)
                if last is not None:
                    name = self._events.names[occurrences[-1].index]
                    self._status = 1
                    self._message = f"event {name} ended the integration at t = {end.t:.6g}"
                    return
        hints = (self._events.never(), stepper.stiffness_hint())
        self._message = "; ".join(["reached the end of t_span", *(h for h in hints if h)])

    def _arrive(
        self,
        before: State,
        after: State,
        end: State,
        values: list[float],
        occurrences: list[Occurrence],
    ) -> None:
        """Take a step over, whole: Ctrl-C waits until it is."""
        file = self._file
        if file is None:
            self._take(before, after, end)
            self._events.commit(values, occurrences)
            self._last = end
            return
        with uninterrupted():
            self._take(before, after, end)
            self._events.commit(values, occurrences)
            self._last = end
            file.commit()
            file.save_if_due()

    def _take(self, before: State, after: State, end: State) -> None:
        """Keep the states of a step that were asked for."""
        piece = None
        if self._pieces is not None:
            piece = Interpolant(self._stepper, before, after)
            self._pieces.append(piece)
            self._ends.append(end.t)
        if self._times is None:
            self._keep(end.t, end.y)
            return
        for t in self._times:
            if before.t < t <= end.t:
                self._keep(t, end.y if t == end.t or piece is None else piece(t))

    def result(self, system: ArraySystem) -> Integration:
        """The result of the integration."""
        found = self._events.found
        groups = [[o for o in found if o.index == k] for k in range(len(self._events.events))]
        return Integration(
            t=np.array(self._t),
            y=namespace(*self._y).stack([system.given(y) for y in self._y]),
            success=self._status >= 0,
            status=self._status,
            message=self._message,
            nfev=system.nfev,
            n_accepted=self._stepper.accepted,
            n_rejected=self._stepper.rejected,
            method=self._stepper.integrator.name,
            t_events=[np.array([o.t for o in group]) for group in groups],
            y_events=[[system.given(o.packed) for o in group] for group in groups],
            sol=self._continuous(system),
        )

    def _continuous(self, system: ArraySystem) -> Callable[[float], Array] | None:
        """The solution as a function of time."""
        if not self._pieces:
            return None
        pieces, ends, start = self._pieces, self._ends, self._stepper.control.t0

        def solution(t: float) -> Array:
            t = checks.number(t, "t")
            if not start <= t <= ends[-1]:
                raise InvalidArgumentError(
                    f"t = {t}; the solution is known on ({start}, {ends[-1]})"
                )
            return system.given(pieces[bisect.bisect_left(ends, t)](t))

        return solution


__all__ = ["Integration", "integrate"]
