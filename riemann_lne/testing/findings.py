"""Findings of a check, and the report that raises when one of them fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import checks as arguments
from ..arrays import dtype_name
from ..checks import shown
from ..errors import CheckFailedError, DTypeError, InvalidArgumentError
from ..grids import Grid
from .asking import is_rejection, told


@dataclass(frozen=True)
class Finding:
    """One measured number beside its bound.

    Attributes
    ----------
    name : str
        The property.
    value, bound : float
        The property holds if value <= bound; NaN fails.
    where : str
        Place of the worst value, or how it was measured.
    """

    name: str
    value: float
    bound: float
    where: str = ""

    @property
    def holds(self) -> bool:
        """Whether value <= bound."""
        return self.value <= self.bound

    def __str__(self) -> str:
        sign = "<=" if self.holds else "> "
        place = f"  ({self.where})" if self.where else ""
        return f"{self.name}: {self.value:.4g} {sign} {self.bound:.4g}{place}"


@dataclass
class CheckReport:
    """The findings of one check; true if all of them hold.

    Examples
    --------
    >>> report = CheckReport("numbers")
    >>> report.add("size", 0.5, 1.0)
    >>> bool(report)
    True
    """

    subject: str
    findings: list[Finding] = field(default_factory=list)

    def add(self, name: str, value: float, bound: float, where: str = "") -> None:
        """Note a finding."""
        self.findings.append(Finding(name, float(value), float(bound), where))

    @property
    def failed(self) -> list[Finding]:
        """The findings that do not hold."""
        return [f for f in self.findings if not f.holds]

    def __bool__(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        lines = [f"{self.subject}: {len(self.failed)} of {len(self.findings)} properties fail"]
        marks = [("  ok    " if f.holds else "  FAILS ") + str(f) for f in self.findings]
        return "\n".join(lines + marks)

    def require(self) -> CheckReport:
        """The report itself.

        Raises
        ------
        CheckFailedError
            If a finding does not hold; the message is the whole report.
        """
        if self.failed:
            worst = max(self.failed, key=lambda f: f.value - f.bound)
            raise CheckFailedError(str(self), worst.value - worst.bound, self)
        return self


def chosen(checks: Any, known: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """The checks asked for, in the order of the known ones; all for None.

    Raises
    ------
    UnknownNameError
        If a name is not known.
    """
    if checks is None:
        return known
    wanted = names_in(checks, "checks")
    for name in wanted:
        arguments.choice(name, kind, known)
    return tuple(name for name in known if name in wanted)


def names_in(values: Any, name: str) -> tuple[Any, ...]:
    """One name, or a sequence of names, as a tuple.

    Raises
    ------
    InvalidArgumentError
        If it is neither.
    """
    if isinstance(values, str):
        return (values,)
    try:
        return tuple(values)
    except TypeError as error:
        raise InvalidArgumentError(
            f"{name} = {shown(values)}; give a name or a sequence of names"
        ) from error


def is_number(value: Any) -> bool:
    """Whether a value is one number, of Python or of an array library, rather than a strategy."""
    if isinstance(value, (bool, str, bytes)):
        return False
    if isinstance(value, (int, float)):
        return True
    scalar = getattr(value, "shape", None) == () and hasattr(value, "dtype")
    return scalar and dtype_name(value).startswith(("int", "uint", "float", "bfloat"))


def equation(solves: Any) -> str | None:
    """The name of the equation that a flow or a solution solves, or None.

    Raises
    ------
    InvalidArgumentError
        If it is something else.
    """
    if solves is None or (isinstance(solves, str) and solves in ("ricci", "ricci-deturck")):
        return solves
    raise InvalidArgumentError(f"solves = {shown(solves)}; give 'ricci', 'ricci-deturck' or None")


def require_grid(grid: Any) -> None:
    """Raise DTypeError unless it is a Grid."""
    if not isinstance(grid, Grid):
        raise DTypeError(f"grid = {shown(grid)}; give a Grid, such as Grid.torus((24, 24))")


def dimensions_of(values: Any) -> tuple[int, ...]:
    """Dimensions in which curvature exists, one or several.

    Raises
    ------
    InvalidArgumentError
        If one is no whole number from 2 to 4, or there is none.
    """
    given = [values] if is_number(values) else names_in(values, "dimensions")
    found = tuple(arguments.count(n, f"dimensions[{k}]") for k, n in enumerate(given))
    if not found or any(n not in (2, 3, 4) for n in found):
        raise InvalidArgumentError(f"dimensions = {shown(values)}; curvature needs 2 to 4")
    return found


def attempted(report: CheckReport, name: str, check: Callable[..., None], *given: Any) -> None:
    """Make one check; that the object under test breaks off in it is a finding."""
    try:
        check(report, *given)
    except Exception as error:
        if is_rejection(error):
            raise
        report.add(f"{name}: broke off with {told(error)}", math.inf, 0.0)


def sequence(values: Any, name: str) -> Sequence[Any]:
    """A sequence that is not empty.

    Raises
    ------
    InvalidArgumentError
        If it is something else.
    """
    found = names_in(values, name)
    if isinstance(values, str) or not found:
        raise InvalidArgumentError(f"{name} = {shown(values)}; give at least one, in a sequence")
    return found


def largest(values: Any) -> tuple[float, str]:
    """Largest absolute value of an array and its index as text; NaN counts as infinite."""
    flat = np.abs(np.asarray(values, dtype=float))
    flat = np.where(np.isnan(flat), math.inf, flat)
    index = np.unravel_index(int(np.argmax(flat)), flat.shape)
    return float(flat[index]), f"at index {tuple(int(i) for i in index)}"
