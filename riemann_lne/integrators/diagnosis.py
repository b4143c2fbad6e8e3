"""The sentences that say why an integration stopped and what to try."""

from __future__ import annotations

from ..arrays import Array
from .methods.base import System
from .methods.state import Words

# With this many steps at the stability limit, if they are most of the steps, there is a hint.
_MANY_STEPS = 100


def broken(system: System, method: str, new: Array, t: float, dt: float, limit: float) -> str:
    """An equal step from whose result the integration cannot go on."""
    words = system.words
    advice = (
        f"dt = {dt:.4g} is above the stability limit {limit:.4g} of {method!r}: "
        f"take a smaller step, or {words.stiff}"
        if dt > limit
        else "take a smaller dt or leave dt out to have it adapted; if that stops here too, "
        f"{words.ends}"
    )
    return f"{words.broken} in the step to t = {t:.6g} ({system.fault(new)}); {advice}"


def step_too_small(words: Words, t: float, dt: float, rtol: float, atol: float) -> str:
    """Error control asks for a step that is too short."""
    return (
        f"the step fell to {dt:.3g} at t = {t:.6g} without meeting rtol = {rtol:g}, "
        f"atol = {atol:g}; {words.about_to_end}, or the tolerance asks for more than the "
        "precision gives"
    )


def step_lost(words: Words, t: float, dt: float) -> str:
    """Error control whose next step is lost in rounding."""
    return (
        f"the step fell to {dt:.3g}, which does not change t = {t:.9g} in double precision; "
        f"{words.about_to_end}"
    )


def time_stands_still(t: float, dt: float) -> str:
    """An equal step too short to change the time."""
    return (
        f"dt = {dt:.4g} is too small to change t = {t:.6g} in double precision; take a longer step"
    )


def too_many_steps(words: Words, t: float, max_steps: int) -> str:
    """The largest number of steps was taken."""
    return (
        f"max_steps = {max_steps} steps were taken and t = {t:.6g} was reached; raise max_steps, "
        f"loosen rtol, or take a method for stiff grids ('rkl2', 'etdrk4'); {words.event}"
    )


def stiffness_hint(words: Words, method: str, steps: int, limited: int) -> str:
    """Advice in place of an explicit method that stability, not accuracy, held back."""
    if limited < _MANY_STEPS or 2 * limited < steps:
        return ""
    if method in ("rkl2", "rkg2"):
        return ""  # at its bound on stages: there is nothing better to name
    return (
        f"the problem is stiff: {limited} of {steps} steps were held back by "
        f"the stability limit of {method!r}, not by the tolerance; try {words.stiff}"
    )
