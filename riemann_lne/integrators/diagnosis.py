"""The sentences that say why an integration stopped and what to try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..arrays import Array

if TYPE_CHECKING:
    from .methods.base import System
    from .stepper import Control, Stepper

# So many steps at the stability limit are worth a word, if they are most of the steps.
_MANY_STEPS = 100


@dataclass(frozen=True)
class Words:
    """The words in which the sentences below speak of a system.

    Attributes
    ----------
    broken : str
        A state that cannot be gone on from, as in "the metric stopped being positive definite".
    ends : str
        The end of a solution, as in "the flow becomes singular".
    about_to_end : str
        The same in the future, with what to do.
    event : str
        The advice to use an event.
    stiff : str
        The methods without a stability limit that apply, as in "method 'rkl2'".
    """

    broken: str
    ends: str
    about_to_end: str
    event: str
    stiff: str


def broken(system: System, method: str, new: Array, t: float, dt: float, limit: float) -> str:
    """An equal step whose result cannot be gone on from."""
    words = system.words
    advice = (
        f"dt = {dt:.4g} is above the stability limit {limit:.4g} of {method!r}: "
        f"take a smaller step, or {words.stiff}"
        if dt > limit
        else "take a smaller dt or leave dt out to have it adapted; if that stops here too, "
        f"{words.ends}"
    )
    return f"{words.broken} in the step to t = {t:.6g} ({system.fault(new)}); {advice}"


def step_too_small(words: Words, t: float, dt: float, control: Control) -> str:
    """Error control that has no step left."""
    return (
        f"the step fell to {dt:.3g} at t = {t:.6g} without meeting rtol = {control.rtol:g}, "
        f"atol = {control.atol:g}; {words.about_to_end}, or the tolerance asks for more than the "
        "precision gives"
    )


def time_stands_still(t: float, dt: float) -> str:
    """An equal step that is lost in rounding."""
    return (
        f"dt = {dt:.4g} is too small to change t = {t:.6g} in double precision; take a longer step"
    )


def too_many_steps(words: Words, t: float, max_steps: int) -> str:
    """The end of the user's patience."""
    return (
        f"max_steps = {max_steps} steps were taken and t = {t:.6g} was reached; raise max_steps, "
        f"loosen rtol, or take a method for stiff grids ('rkl2', 'etdrk4'); {words.event}"
    )


def stiffness_hint(stepper: Stepper) -> str:
    """Advice in place of an explicit method that stability, not accuracy, held back."""
    if stepper.limited < _MANY_STEPS or 2 * stepper.limited < stepper.accepted:
        return ""
    if stepper.integrator.name in ("rkl2", "rkg2"):
        return ""  # at its bound on stages: there is nothing better to name
    return (
        f"the problem is stiff: {stepper.limited} of {stepper.accepted} steps were held back by "
        f"the stability limit of {stepper.integrator.name!r}, not by the tolerance; try "
        f"{stepper.system.words.stiff}"
    )
