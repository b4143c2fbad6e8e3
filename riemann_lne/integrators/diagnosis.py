"""The sentences that say why a flow stopped and what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..arrays import Array, namespace
from ..tensors import smallest_eigenvalue
from .semidiscrete import SemiDiscreteFlow

if TYPE_CHECKING:
    from .stepper import Control, Stepper

# So many steps at the stability limit are worth a word, if they are most of the steps.
_MANY_STEPS = 100


def degenerate(
    system: SemiDiscreteFlow, method: str, new: Array, t: float, dt: float, limit: float
) -> str:
    """An equal step whose result is no metric."""
    advice = (
        f"dt = {dt:.4g} is above the stability limit {limit:.4g} of {method!r}: "
        f"take a smaller step, or {_stiff_method(system)}"
        if dt > limit
        else "take a smaller dt or leave dt out to have it adapted; if that stops here too, "
        "the flow becomes singular"
    )
    return (
        f"the metric stopped being positive definite in the step to t = {t:.6g} "
        f"({_place(system, new)}); {advice}"
    )


def step_too_small(t: float, dt: float, control: Control) -> str:
    """Error control that has no step left."""
    return (
        f"the step fell to {dt:.3g} at t = {t:.6g} without meeting rtol = {control.rtol:g}, "
        f"atol = {control.atol:g}; the flow is about to become singular (an event, such as "
        "events.CurvatureAbove, ends it before), or the tolerance asks for more than the "
        "precision gives"
    )


def time_stands_still(t: float, dt: float) -> str:
    """An equal step that is lost in rounding."""
    return (
        f"dt = {dt:.4g} is too small to change t = {t:.6g} in double precision; take a longer step"
    )


def too_many_steps(t: float, max_steps: int) -> str:
    """The end of the user's patience."""
    return (
        f"max_steps = {max_steps} steps were taken and t = {t:.6g} was reached; raise max_steps, "
        "loosen rtol, or take a method for stiff grids ('rkl2', 'etdrk4'); close to a singularity "
        "an event, such as events.CurvatureAbove, ends the flow"
    )


def stiffness_hint(stepper: Stepper) -> str:
    """What to use instead of an explicit method that stability, not accuracy, held back."""
    if stepper.limited < _MANY_STEPS or 2 * stepper.limited < stepper.accepted:
        return ""
    if stepper.integrator.name == "rkl2":
        return ""  # at its bound on stages: there is nothing better to name
    return (
        f"the problem is stiff: {stepper.limited} of {stepper.accepted} steps were held back by "
        f"the stability limit of {stepper.integrator.name!r}, not by the tolerance; try "
        f"{_stiff_method(stepper.system)}"
    )


def _stiff_method(system: SemiDiscreteFlow) -> str:
    """The methods without a stability limit that apply."""
    both = system.grid.is_torus and system.flow.parabolic
    return "method 'rkl2' or 'etdrk4'" if both else "method 'rkl2'"


def _place(system: SemiDiscreteFlow, y: Array) -> str:
    """Where and how a state fails to be a metric."""
    xp = namespace(y)
    if not bool(xp.all(xp.isfinite(y))):
        return "it is not finite"
    value, index = smallest_eigenvalue(system.metric_part(y), system.grid.ndim)
    return f"smallest eigenvalue {value:.4g} at grid index {index}"
