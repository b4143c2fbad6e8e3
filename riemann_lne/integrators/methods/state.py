"""States, steps and words of messages, which systems and methods exchange."""

from __future__ import annotations

from dataclasses import dataclass

from ...arrays import Array
from .blockwise import Combination


@dataclass(frozen=True)
class State:
    """The state of a system at a time; the arrays are never written to again.

    Attributes
    ----------
    t : float
        The time.
    y : array
        The state.
    rate : array or None
        The right-hand side there, if it is known.
    """

    t: float
    y: Array
    rate: Array | None = None


@dataclass(frozen=True)
class Step:
    """Outcome of one step.

    Attributes
    ----------
    y : array
        The new state, a fresh array.
    rate : array or None
        Right-hand side at the new state, if the method evaluated it (first same as last).
    error : array, Combination or None
        Estimate of the local error, shape of the state.
    """

    y: Array
    rate: Array | None = None
    error: Array | Combination | None = None


class StepError(Exception):
    """A step that ends the integration, with the message for the user."""


@dataclass(frozen=True)
class Words:
    """The words in which messages speak of a system and its solution.

    Attributes
    ----------
    broken : str
        A state from which the integration cannot go on, as in "the metric stopped
        being positive definite".
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
