"""The protocol of whatever evolves, and metric fields on grids under a flow as one such thing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..analysis.decay import predicted_decay_rates
from ..arrays import to_numpy
from ..checks import require_members, shown
from ..errors import DTypeError, InvalidArgumentError, KernelUnavailableError
from ..flows.base import Flow, require_flow
from ..integrators import FlowSolution, solve_flow
from ..metrics import MetricField
from .recipes import drawn, recipe_of
from .refinement import constant_values, flattened, on_grid, refined_background
from .sizes import Norm, perturbation_size

_STEPS = 5000
"""Steps that a run may take at first."""
_MOST = 20
"""By how much a run that goes on may take more."""


class Run(Protocol):
    """States along a flow: what ``Evolution.solve`` returns.

    Attributes
    ----------
    t : sequence of float
        Times, the first that of the start.
    metrics : sequence
        The state at each.
    success : bool
        Whether the last time asked for was reached.
    message : str
        Why not, if it was not.
    """

    t: Any
    metrics: Any
    success: bool
    message: str


class Evolution(Protocol):
    """Whatever evolves, for ``check_stability`` and ``stability_radius``: states, and a distance.

    These two methods are enough. ``WithLimit``, ``WithRate`` and ``Refinable`` have one or two
    more, each of which an evolution may have as well.

    Examples
    --------
    Circles of a radius r that relax to r = 1, for ``check_stability(1.0, Relaxation(), radii,
    until=2.0)`` with a strategy ``radii`` of floats:

    >>> from types import SimpleNamespace
    >>> class Relaxation:
    ...     def solve(self, start, times):
    ...         radii = 1 + (start - 1) * np.exp(-np.asarray(times))
    ...         return SimpleNamespace(t=times, metrics=radii, success=True, message="")
    ...     def distance(self, state, other):
    ...         return abs(state - other)
    """

    def solve(self, start: Any, times: Sequence[float]) -> Run:
        """The states at these times, the first of which is that of the start."""

    def distance(self, state: Any, other: Any) -> float:
        """A distance of two states, 0 where they are the same."""


@runtime_checkable
class WithLimit(Protocol):
    """An evolution that knows where a run goes; without it that is the background."""

    def limit(self, run: Run) -> Any:
        """The state to which a run is expected to converge."""


@runtime_checkable
class WithRate(Protocol):
    """An evolution whose slowest rate of decay is known; without it nothing can "decay".

    It may have an attribute ``resolved``: distances below are the error of its steps, and no rate
    is fitted to them.
    """

    def predicted_rate(self, limit: Any) -> float | None:
        """The slowest rate of the linearised evolution about a limit, 1 / time, if it is known."""


@runtime_checkable
class Refinable(Protocol):
    """An evolution whose failures can be repeated with a better resolution."""

    def finer(self) -> Any:
        """The same evolution with stricter steps, for refined states."""

    def refine(self, state: Any) -> Any:
        """The same state on a finer grid."""


_MINIMAL = """\
    class Relaxation:
        def solve(self, start, times):      # an object with t, metrics, success and message
            states = [1 + (start - 1) * math.exp(-t) for t in times]
            return types.SimpleNamespace(t=times, metrics=states, success=True, message="")

        def distance(self, state, other):
            return abs(state - other)
"""


def require_evolution(flow: Any, background: Any) -> Any:
    """The object itself, if it has the members of ``Evolution``.

    Raises
    ------
    DTypeError
        If it is something else; the message names what is missing and shows a minimal right one.
    """
    require_members(
        flow,
        "flow",
        {"solve": None, "distance": None},
        f"an object that evolves states like the background {shown(background)}",
        _MINIMAL,
    )
    return flow


def require_run(run: Any, evolution: Any) -> Any:
    """The result of an evolution's ``solve``, checked to be a run.

    Raises
    ------
    DTypeError
        If it lacks an attribute, or has another number of states than of times.
    """
    missing = [name for name in ("t", "metrics", "success", "message") if not hasattr(run, name)]
    if missing or len(run.t) != len(run.metrics) or not len(run.t):
        wrong = f"has no {', '.join(missing)}" if missing else "has not one state for each time"
        raise DTypeError(
            f"solve of {shown(evolution)} returned a {type(run).__name__}, which {wrong}; return "
            "an object with t, metrics (a state for each of t), success and message"
        )
    return run


@dataclass(frozen=True)
class GridEvolution:
    """Metric fields under a flow, near a background.

    Attributes
    ----------
    background : MetricField
    flow : Flow
    order : int or "fourier"
    options : mapping
        Of ``solve_flow``; they win over what is chosen here.
    lasting : bool
        Whether what is left at the end is looked at.
    rtol : float
        Of the steps, in units of what moves.
    """

    background: MetricField
    flow: Flow
    order: Any = 4
    options: Mapping[str, Any] | None = None
    lasting: bool = True
    rtol: float = 1e-4

    def __post_init__(self) -> None:
        require_flow(self.flow)

    def solve(self, start: MetricField, times: Sequence[float]) -> FlowSolution:
        """The flow of a start."""
        options: dict[str, Any] = {
            "method": self._method(),
            "order": self.order,
            "rtol": self.rtol * self._scale(start, float(times[-1]) - float(times[0])),
            "atol": 0.0,
            # Between steps there are values of a polynomial, with an error that is left where a
            # perturbation has gone: a rate would be fitted to it.
            "dense_output": not self.lasting,
            "max_steps": _STEPS,
            "t_eval": times,
            **(self.options or {}),
        }
        begin, end = float(times[0]), float(times[-1])
        run = self._solved(start, (begin, end), options)
        reached = float(run.t[-1]) - begin
        if run.success or "max_steps" not in run.message or "max_steps" in (self.options or {}):
            return run
        # Strict steps on a fine grid are many. Only near a singular time do they come to a stand.
        needed = _STEPS * (end - begin) / reached if reached > 0 else math.inf
        if needed > _MOST * _STEPS:
            return run
        return self._solved(start, (begin, end), {**options, "max_steps": int(2 * needed)})

    def _solved(
        self, start: MetricField, span: tuple[float, float], options: Mapping[str, Any]
    ) -> FlowSolution:
        if "kernel" not in options:
            # Compiled right-hand sides pay on small grids too, where thousands of flows are run.
            with suppress(KernelUnavailableError):
                return solve_flow(start, self.flow, span, kernel="fused", **options)
        return solve_flow(start, self.flow, span, **options)

    def _scale(self, start: MetricField, until: float) -> float:
        """The size against which errors of the steps are measured, relative to g itself.

        A tiny perturbation needs stricter steps, but not where the background itself moves.
        """
        base = self.background
        speed = np.abs(to_numpy(self.flow.rhs(0.0, base.packed, base.grid, self.order))).max()
        moves = until * float(speed) / float(np.abs(to_numpy(base.packed)).max())
        return min(max(perturbation_size(start, base), moves, 1e-8), 0.1)

    def _method(self) -> str:
        if not getattr(self.flow, "parabolic", False):
            return "tsit5"
        # On a torus "auto" treats the linear part exactly, at twice the cost. RKL2 damps waves that
        # have fallen below its tolerance as its long steps please: a rate fitted to them, or what
        # is left at the end, says nothing of the flow.
        return "auto" if self.lasting else "rkl2"

    def size(self, state: MetricField, background: MetricField, norm: Norm) -> float:
        """Distance from the background in a norm of ``perturbation_size``."""
        return perturbation_size(state, background, norm, self.order)

    def distance(self, state: MetricField, other: MetricField) -> float:
        """The L2 distance."""
        return state.l2_distance(other)

    def wave(self, state: MetricField) -> tuple[int, ...] | None:
        """Periods along the axes of the largest wave of g - gbar on a torus, if there is one."""
        grid, h = state.grid, to_numpy(state.packed) - to_numpy(self.background.packed)
        if not grid.is_torus or not np.all(np.isfinite(h)):
            return None
        power = np.sum(np.abs(np.fft.fftn(h, axes=range(1, h.ndim))) ** 2, axis=0)
        power[(0,) * grid.ndim] = 0.0  # a constant is no wave
        if not np.any(power):
            return None
        place = np.unravel_index(int(np.argmax(power)), grid.shape)
        return tuple(int(min(k, n - k)) for k, n in zip(place, grid.shape, strict=True))

    def limit(self, run: FlowSolution) -> MetricField:
        """The mean of the last metric on a torus with a constant background, else the background.

        The flow does not keep the mean: which constant metric is the limit, only the run says.
        """
        constant = constant_values(self.background) and self.background.grid.is_torus
        return run[-1].mean() if constant else self.background

    def predicted_rate(self, limit: MetricField) -> float | None:
        """The slowest rate of the linearised flow: about a constant limit, with ends held."""
        held = limit.grid.is_torus or (self.options or {}).get("boundary") in (None, "held")
        if not held or np.ptp(flattened(limit), axis=1).max() > 1e-9:
            return None
        try:
            return float(predicted_decay_rates(limit)[0].rate)
        except InvalidArgumentError:
            return None

    def finer(self) -> GridEvolution:
        """On a grid twice as fine, with stricter steps."""
        options = dict(self.options or {})
        if "dt" in options:
            options["dt"] = options["dt"] / 4
        base = refined_background(self.background)
        return replace(self, background=base, options=options, rtol=self.rtol / 100)

    def refine(self, state: MetricField) -> MetricField:
        """The state on the refined background's grid, by its recipe where it has one."""
        background = refined_background(self.background)
        recipe = recipe_of(state)
        if recipe is not None and "background" in recipe.arguments:
            return drawn(recipe.with_arguments(background=background))
        return on_grid(state, background.grid)
