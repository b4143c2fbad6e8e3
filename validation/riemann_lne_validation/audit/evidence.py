"""Measurements of a check, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np


class Verdict(StrEnum):
    """The possible conclusions about a statement."""

    HOLDS = "holds"
    CONDITIONS = "holds with conditions"
    FAILS = "does not hold"
    UNRESOLVED = "unresolved"
    NOT_RUN = "not run"
    ERROR = "error"


@dataclass(frozen=True)
class Measurement:
    """A measured quantity against a predicted one.

    Attributes
    ----------
    statement : str
        The comparison, in words.
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
    samples : sequence of float
        Where ``measured`` condenses several runs to one or two numbers (a maximum, the smallest
        and the largest): the number of each run, so that it can be seen whether they differ.
    same : str
        Why a value that is the same for every start is evidence all the same; empty where it is
        not. See ``constant``.
    """

    statement: str
    measured: Any
    predicted: Any
    error: float
    tolerance: float
    reason: str
    uncertainty: float = 0.0
    samples: Sequence[float] = ()
    same: str = ""

    @classmethod
    def vanishing(
        cls, statement: str, error: float, tolerance: float, reason: str, **more: Any
    ) -> Measurement:
        """A quantity that should be zero, and is its own error."""
        return cls(statement, error, 0.0, error, tolerance, reason, **more)

    @classmethod
    def near(
        cls,
        statement: str,
        measured: Any,
        predicted: float,
        tolerance: float,
        reason: str,
        **more: Any,
    ) -> Measurement:
        """One number or several (a list, a dict), each of which should be ``predicted``."""
        error = _farthest(_values(measured), predicted)
        return cls(statement, measured, predicted, error, tolerance, reason, **more)

    @classmethod
    def all_near(
        cls,
        statement: str,
        samples: Sequence[float],
        predicted: float,
        tolerance: float,
        reason: str,
        **more: Any,
    ) -> Measurement:
        """Many numbers that should be ``predicted``, of which the smallest and largest are told."""
        ends = {"smallest": min(samples), "largest": max(samples)}
        error = _farthest(samples, predicted)
        return cls(statement, ends, predicted, error, tolerance, reason, samples=samples, **more)

    @property
    def true(self) -> bool:
        """Whether the statement is confirmed: even at the far end of the uncertainty."""
        return self._known and self.error + self.uncertainty <= self.tolerance

    @property
    def false(self) -> bool:
        """Whether the statement is refuted: even at the near end of the uncertainty."""
        # An error that is not a number refutes nothing and confirms nothing.
        return self._known and self.error - self.uncertainty > self.tolerance

    @property
    def _known(self) -> bool:
        """Whether all numbers are numbers: the error may be a maximum, which passes over NaN."""
        return not any(v != v for v in (*_floats(self.samples), *_floats(self.measured)))

    @property
    def constant(self) -> bool:
        """Whether several starts gave one and the same number, to the last digit.

        A ratio that is 1.0 for every start was not measured: it follows from its definition, as a
        largest value over its start does where nothing ever grows. Zeros are left out (an error
        may vanish exactly), and whole numbers (counts agree without being constants). A single
        start, whose smallest and largest value are one, says nothing about this: where ``samples``
        are given they are the starts, else every number in ``measured`` counts as one.
        """
        values = list(_floats(self.samples)) or list(_floats(self.measured))
        return not self.same and len(values) > 1 and len(set(values)) == 1 and values[0] != 0.0


def _farthest(values: Iterable[float], predicted: float) -> float:
    """Largest distance from ``predicted``; NaN if one is NaN, which ``max`` would pass over."""
    return float(np.max([abs(value - predicted) for value in values]))


def _values(measured: Any) -> Iterable[Any]:
    """The numbers of a dict, a list, or a single one."""
    if isinstance(measured, Mapping):
        return measured.values()
    return measured if isinstance(measured, (list, tuple)) else [measured]


def _floats(value: Any) -> Iterator[float]:
    """The numbers in a measured quantity that are not whole by type."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from _floats(entry)
    elif isinstance(value, float):  # NumPy's double is one
        yield float(value)


@dataclass(frozen=True)
class Line:
    """One curve of a plot; ``style`` is "points", "line" or "dashed"."""

    label: str
    x: list[float]
    y: list[float]
    style: str = "line"


@dataclass(frozen=True)
class Plot:
    """A picture of a check, for the report."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Evidence:
    """The measurements of a check.

    Attributes
    ----------
    claim : Measurement
        The paper's statement as it stands.
    resolution : list of Measurement
        Measurements by which the numbers can be trusted (refinement in space or time, a comparison
        with an exact solution). If one is not true there is no verdict.
    condition : Measurement, optional
        The statement under a condition, which is measured as well.
    also : list of Measurement
        The form that holds where the paper's fails, and what else belongs to the statement; the
        verdict is only given if all of these are true.
    plots : list of Plot
    guard : list of Measurement
        Known answers that the library met, or did not, in the same run; the frame fills it in
        from the claim's guard.
    """

    claim: Measurement
    resolution: list[Measurement] = field(default_factory=list)
    condition: Measurement | None = None
    also: list[Measurement] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    guard: list[Measurement] = field(default_factory=list)


DISAGREES = "the library disagrees with itself here"


def judge(evidence: Evidence) -> Verdict:
    """The verdict that the measurements allow.

    - unresolved, if ``doubt`` finds a reason: a guard that failed, a constant in place of a
      measurement, a resolution check that is not true, or a statement that is said to hold besides
      or instead and is not confirmed; or if the claim is neither true nor false;
    - holds, if the claim is true;
    - holds with conditions, if it is false but true under the stated condition;
    - does not hold otherwise: a counterexample was measured.
    """
    if doubt(evidence):
        return Verdict.UNRESOLVED
    if evidence.claim.true:
        return Verdict.HOLDS
    return Verdict.FAILS if evidence.condition is None else Verdict.CONDITIONS


def doubt(evidence: Evidence) -> str:
    """Why no verdict follows from the measurements, in one sentence; empty where one does."""
    claim, condition = evidence.claim, evidence.condition
    judged = [claim, *([condition] if condition else []), *evidence.also]
    failed = next((m for m in evidence.guard if not m.true), None)
    constant = next((m for m in judged if m.constant), None)
    unsure = next((m for m in evidence.resolution if not m.true), None)
    missing = next((m for m in evidence.also if not m.true), None)
    if failed:
        return (
            f"{DISAGREES}: {failed.statement}: error {failed.error:.3g}, allowed "
            f"{failed.tolerance:.3g}. No verdict about the paper follows from this run"
        )
    if constant:
        return (
            "one and the same number for several starts is a constant by construction and no "
            f"evidence: {constant.statement}: {constant.measured}. (Of a single start, give "
            "samples=, the number of each start)"
        )
    if unsure:
        return f"the numbers are not good enough: {unsure.statement}: error {unsure.error:.3g}"
    if missing:
        return f"not confirmed: {missing.statement}: error {missing.error:.3g}"
    if not (claim.true or claim.false):
        return f"neither true nor false within its uncertainty: {claim.statement}"
    if claim.false and condition and not condition.true:
        return f"false, and the condition is not confirmed: {condition.statement}"
    return ""


class UnresolvedError(Exception):
    """Raised by a check that could not measure: a flow that broke off, say. No verdict follows."""
