"""Order of accuracy from a sequence of errors, as a tool for users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from ..arrays import host_numbers, require_finite
from ..checks import number
from ..errors import InvalidArgumentError
from ..finite import finite_result


@dataclass(frozen=True)
class OrderReport:
    """Result of ``check_order``; true if the order was met.

    Attributes
    ----------
    order : float
        Slope of log(error) against log(step), by least squares.
    stderr : float
        Its standard error (0 for two steps).
    expected, tolerance : float
        The order that was asked for, and how far off it may be.
    steps, errors : tuple of float
        The data.
    """

    order: float
    stderr: float
    expected: float
    tolerance: float
    steps: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def passed(self) -> bool:
        """Whether |order - expected| < tolerance."""
        return abs(self.order - self.expected) < self.tolerance

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        rows = ["      step         error   local order"]
        for i, (h, e) in enumerate(zip(self.steps, self.errors, strict=True)):
            local = (
                f"{np.log(e / self.errors[i - 1]) / np.log(h / self.steps[i - 1]):14.3f}"
                if i
                else ""
            )
            rows.append(f"{h:10.4g}  {e:12.4e}{local}")
        verdict = "met" if self.passed else "NOT met"
        rows.append(
            f"order {self.order:.3f} +- {self.stderr:.3f}; expected {self.expected:g} "
            f"+- {self.tolerance:g}: {verdict}"
        )
        return "\n".join(rows)


@finite_result
def check_order(
    error: Callable[[float], float] | Sequence[float],
    steps: Sequence[float],
    expected: float,
    tolerance: float = 0.2,
    explain: bool = False,
) -> OrderReport:
    """Whether errors shrink at the expected order as the step does: error ~ step**order.

    Parameters
    ----------
    error : callable or sequence
        The error at a step, or the errors at all steps. Any positive measure of it will do.
    steps : sequence of float
        At least two distinct positive steps (spacing, time step, 1 / points, amplitude, ...).
    expected, tolerance : float
        The order expected, and how far the slope may be from it.
    explain : bool
        Print the table of errors and local orders.

    Raises
    ------
    InvalidArgumentError
        If there are fewer than two steps, or an error is not positive and finite (an error of
        zero has no order: the steps are below round-off).

    Examples
    --------
    >>> report = check_order(lambda h: 3 * h**4, [0.1, 0.05, 0.025], expected=4)
    >>> bool(report), round(report.order, 6)
    (True, 4.0)
    """
    h = host_numbers(steps, "steps")
    expected, tolerance = number(expected, "expected"), number(tolerance, "tolerance", above=0.0)
    require_finite(h, "steps")
    if h.ndim != 1:
        raise InvalidArgumentError(f"steps have shape {h.shape}; give (k,)")
    values = [error(float(s)) for s in h] if callable(error) else error
    e = host_numbers(values, "errors")
    if e.ndim != 1 or h.size < 2 or h.size != e.size or len(set(h.tolist())) != h.size:
        raise InvalidArgumentError(
            f"{h.size} steps and {e.size} errors; give at least two distinct steps, an error each"
        )
    if np.any(h <= 0) or not np.all(np.isfinite(e) & (e > 0)):
        raise InvalidArgumentError(
            f"steps {h.tolist()} and errors {e.tolist()} must be positive and finite; "
            "an error of zero has no order"
        )
    if not np.ptp(np.log(h)) > 0:
        raise InvalidArgumentError(
            f"steps = {h.tolist()} have the same logarithm; give steps that differ more"
        )
    fit = scipy.stats.linregress(np.log(h), np.log(e))
    # SciPy gives no error for equal errors, on which the line lies exactly.
    stderr = float(fit.stderr) if h.size > 2 and np.ptp(e) > 0 else 0.0
    report = OrderReport(
        float(fit.slope), stderr, expected, tolerance, tuple(h.tolist()), tuple(e.tolist())
    )
    if explain:
        print(report)
    return report
