"""The frame of the audit: a claim is a function that measures; the verdict follows in code.

A check returns ``Evidence``. It never returns a verdict: ``judge`` computes it from the
measurements, so that a check cannot say more than it measured.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from riemann_lne.errors import InvalidArgumentError, MissingDependencyError, UnknownNameError

from .backends import Backend


class Verdict(StrEnum):
    """What the measurements say about a statement."""

    HOLDS = "holds"
    CONDITIONS = "holds with conditions"
    FAILS = "does not hold"
    UNRESOLVED = "unresolved"
    OUT_OF_REACH = "out of numerical reach"
    NOT_RUN = "not run"
    ERROR = "error"


@dataclass(frozen=True)
class Measurement:
    """A measured quantity against a predicted one.

    Attributes
    ----------
    statement : str
        What is compared, in words.
    measured, predicted : number, list or dict of numbers
        The quantities.
    error : float
        Their distance in the sense that ``statement`` says; computed, not negative.
    tolerance : float
        Largest error with which the statement counts as true.
    reason : str
        Why that tolerance.
    uncertainty : float
        How far the measurement itself may be off, so that an error is told from noise: the
        statement counts as false only if error - uncertainty > tolerance.
    """

    statement: str
    measured: Any
    predicted: Any
    error: float
    tolerance: float
    reason: str
    uncertainty: float = 0.0

    @property
    def true(self) -> bool:
        """Whether the statement is confirmed: even at the far end of the uncertainty."""
        return self.error + self.uncertainty <= self.tolerance

    @property
    def false(self) -> bool:
        """Whether the statement is refuted: even at the near end of the uncertainty."""
        # An error that is not a number refutes nothing and confirms nothing.
        return self.error - self.uncertainty > self.tolerance


@dataclass(frozen=True)
class Line:
    """One curve of a plot; ``style`` is "points", "line" or "dashed"."""

    label: str
    x: list[float]
    y: list[float]
    style: str = "line"


@dataclass(frozen=True)
class Plot:
    """What the report draws for a check."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Evidence:
    """What a check measured.

    Attributes
    ----------
    claim : Measurement
        The paper's statement as it stands.
    resolution : list of Measurement
        What shows that the numbers can be trusted (refinement in space or time, a comparison with
        an exact solution). If one is not true there is no verdict.
    condition : Measurement, optional
        The statement under a condition, which is measured as well.
    also : list of Measurement
        The form that holds where the paper's fails, and what else belongs to the statement; the
        verdict is only given if all of these are true.
    plots : list of Plot
    """

    claim: Measurement
    resolution: list[Measurement] = field(default_factory=list)
    condition: Measurement | None = None
    also: list[Measurement] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)


def judge(evidence: Evidence) -> Verdict:
    """The verdict that the measurements allow.

    - unresolved, if a resolution check is not true, or the claim is neither true nor false, or what
      is said to hold besides or instead is not confirmed;
    - holds, if the claim is true;
    - holds with conditions, if it is false but true under the stated condition;
    - does not hold otherwise: a counterexample was measured.
    """
    if not all(m.true for m in evidence.resolution + evidence.also):
        return Verdict.UNRESOLVED
    if evidence.claim.true:
        return Verdict.HOLDS
    if not evidence.claim.false:
        return Verdict.UNRESOLVED
    if evidence.condition is None:
        return Verdict.FAILS
    return Verdict.CONDITIONS if evidence.condition.true else Verdict.UNRESOLVED


class UnresolvedError(Exception):
    """Raised by a check that could not measure: a flow that broke off, say. No verdict follows."""


def require(library: str, extra: str, id: str) -> None:
    """Called first by a check that needs an optional library: without it the check is not run.

    Raises
    ------
    MissingDependencyError
        If the library is not installed; the message has the command that installs it.
    """
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise MissingDependencyError(library, extra, f"the check {id}") from error


CheckFunction = Callable[..., Evidence]


@dataclass(frozen=True)
class Claim:
    """A numbered statement and the function that checks it.

    Attributes
    ----------
    id, where : str
        Name and place in the paper.
    statement : str
        The statement in our words (first paragraph of the function's docstring).
    check : callable
        Takes a Backend and keyword parameters, returns Evidence.
    quick, full : dict
        Parameters for the two lengths of the audit.
    """

    id: str
    where: str
    statement: str
    check: CheckFunction
    quick: Mapping[str, Any]
    full: Mapping[str, Any]


@dataclass
class Outcome:
    """A claim after it was checked."""

    claim: Claim
    verdict: Verdict
    evidence: Evidence | None
    parameters: dict[str, Any]
    seconds: float
    problem: str = ""


_REGISTRY: dict[str, Claim] = {}


def claim(
    id: str, where: str, quick: Mapping[str, Any], full: Mapping[str, Any] | None = None
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a check under its id; the docstring's first paragraph is the statement."""

    def register(check: CheckFunction) -> CheckFunction:
        if id in _REGISTRY:
            raise InvalidArgumentError(f"claim {id!r} is registered twice")
        statement = " ".join((check.__doc__ or "").strip().split("\n\n")[0].split())
        parameters = quick if full is None else {**quick, **full}
        _REGISTRY[id] = Claim(id, where, statement, check, dict(quick), dict(parameters))
        return check

    return register


def known_claims() -> dict[str, Claim]:
    """All claims by id, in the order of the paper's sections (files are named after them)."""
    from . import claims

    for module in sorted(m.name for m in pkgutil.iter_modules(claims.__path__)):
        importlib.import_module(f"{claims.__name__}.{module}")
    return dict(_REGISTRY)


def select(only: list[str] | None) -> list[Claim]:
    """The claims of the ids, or all.

    Raises
    ------
    UnknownNameError
        For an id that is not known; the message lists the known ones.
    """
    known = known_claims()
    for id in only or []:
        if id not in known:
            raise UnknownNameError("claim", id, known)
    return [c for id, c in known.items() if not only or id in only]


def parameters_of(claim: Claim, full: bool, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a run, with the user's in place of the defaults.

    Raises
    ------
    UnknownNameError
        For a parameter that the claim does not have.
    """
    chosen = dict(claim.full if full else claim.quick)
    for name, value in overrides.items():
        if name not in chosen:
            raise UnknownNameError(f"parameter of {claim.id}", name, chosen)
        chosen[name] = value
    return chosen


def run_claim(
    claim: Claim,
    full: bool = False,
    backend: Backend | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run one check. A crash inside it, or a missing library, is its outcome and not raised."""
    parameters = parameters_of(claim, full, overrides or {})
    start = time.perf_counter()
    try:
        evidence = claim.check(backend or Backend("numpy"), **parameters)
        verdict, problem = judge(evidence), ""
    except UnresolvedError as reason:
        evidence, verdict, problem = None, Verdict.UNRESOLVED, str(reason)
    except MissingDependencyError as missing:
        evidence, verdict, problem = None, Verdict.NOT_RUN, str(missing)
    except Exception:  # whatever goes wrong in one check must not hide the others
        evidence, verdict, problem = None, Verdict.ERROR, traceback.format_exc(limit=-3)
    return Outcome(claim, verdict, evidence, parameters, time.perf_counter() - start, problem)


def relative(measured: float, predicted: float) -> float:
    """|measured - predicted| / |predicted|, infinite where that is not a number."""
    error = abs(measured - predicted) / abs(predicted)
    return error if math.isfinite(error) else math.inf
