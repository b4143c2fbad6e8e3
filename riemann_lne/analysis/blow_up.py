"""How curvature blows up: the singular time and the exponent, fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from ..checks import number
from ..errors import InvalidArgumentError
from ..finite import finite_result
from .decay import series, student_quantile

# T is looked for this many times the length of the data beyond their end, and no farther: there
# the law cannot be told from an exponential.
_FARTHEST = 100.0
_TRIALS = 160


@dataclass(frozen=True)
class BlowUpFit:
    """Result of ``fit_blow_up``: curvature(t) = amplitude * (time - t)**(-exponent).

    Attributes
    ----------
    time, time_stderr : float
        The singular time T and its standard error, in the unit of t.
    exponent, exponent_stderr : float
        1 where |Rm| (T - t) stays bounded (type I), as on shrinking spheres.
    amplitude : float
        The limit of curvature (T - t)^exponent.
    n_points : int
        Points that were fitted.
    """

    time: float
    time_stderr: float
    exponent: float
    exponent_stderr: float
    amplitude: float
    n_points: int

    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of Student's t for the exponent, n_points - 3 degrees of freedom."""
        half = student_quantile(level, self.n_points - 3) * self.exponent_stderr
        return self.exponent - half, self.exponent + half


@finite_result
def fit_blow_up(
    t: Sequence[float] | np.ndarray,
    curvature: Sequence[float] | np.ndarray,
    t_min: float | None = None,
) -> BlowUpFit:
    """Singular time and exponent of a curvature that blows up, |Rm| ~ A (T - t)^(-p).

    Least squares on log(curvature) in T, p and log A together, over the points with t >= t_min.
    Standard errors are those of the linearised problem.

    Parameters
    ----------
    t, curvature : (k,)
        Rising times and positive curvatures, for instance ``curvature_max`` along a flow; at least
        four points in the window.
    t_min : float, optional
        Leaves out what comes before: the law holds close to T.

    Raises
    ------
    InvalidArgumentError
        If the arguments do not fit together, or the curvature does not grow towards a time that
        the data can tell.

    Examples
    --------
    >>> t = np.linspace(0, 0.24, 9)
    >>> fit = fit_blow_up(t, 3 / (0.25 - t))                # a shrinking sphere
    >>> round(fit.time, 9), round(fit.exponent, 9), round(fit.amplitude, 9)
    (0.25, 1.0, 3.0)
    """
    x, y = _checked(t, curvature, t_min)
    logs, left, span = np.log(y), x[-1] - x, float(x[-1] - x[0])

    def residual(p: np.ndarray) -> np.ndarray:
        return p[2] - p[1] * np.log(math.exp(p[0]) + left) - logs

    def jacobian(p: np.ndarray) -> np.ndarray:
        gap = math.exp(p[0])
        slopes = [-p[1] * gap / (gap + left), -np.log(gap + left), np.ones_like(left)]
        return np.stack(slopes, axis=1)

    start = _first_guess(left, logs)
    fit = scipy.optimize.least_squares(
        residual, start, jacobian, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    distance, exponent, log_amplitude = (float(v) for v in fit.x)
    if exponent <= 0 or not distance < math.log(_FARTHEST * span):
        raise InvalidArgumentError(
            f"the curvature ({y[0]:.4g} to {y[-1]:.4g}) does not blow up towards a time that these "
            "data can tell: start the window later (t_min), or follow the flow further"
        )
    gap = math.exp(distance)
    variance = float(np.sum(fit.fun**2)) / (x.size - 3)
    # By the triangular factor: the normal equations would square the condition number.
    r = np.linalg.qr(fit.jac, mode="r")
    inverse = np.linalg.inv(r)
    errors = np.sqrt(variance * np.sum(inverse**2, axis=1))
    return BlowUpFit(
        time=float(x[-1]) + gap,
        time_stderr=gap * float(errors[0]),
        exponent=exponent,
        exponent_stderr=float(errors[1]),
        amplitude=math.exp(log_amplitude),
        n_points=int(x.size),
    )


def _checked(
    t: Sequence[float] | np.ndarray, curvature: Sequence[float] | np.ndarray, t_min: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Times and curvatures of the window."""
    x, y = series(t, curvature, ("t", "curvature"))
    inside = x >= (-np.inf if t_min is None else number(t_min, "t_min"))
    x, y = x[inside], y[inside]
    if x.size < 4:
        raise InvalidArgumentError(f"{x.size} point(s) in the window; the fit needs at least 4")
    if not np.all(x[1:] > x[:-1]):
        raise InvalidArgumentError(f"times of {len(t)} values must rise strictly")
    if not 1e-250 < x[-1] / 2 - x[0] / 2 < 1e250:
        raise InvalidArgumentError(
            f"the times run from {x[0]:.3g} to {x[-1]:.3g}; give them in a unit of about their "
            "differences"
        )
    bad = np.flatnonzero(~(np.isfinite(y) & (y > 0)))
    if bad.size:
        raise InvalidArgumentError(
            f"curvature = {y[bad[0]]} at t = {x[bad[0]]}; only positive finite values can be fitted"
        )
    if not y[-1] > y[0]:
        raise InvalidArgumentError(
            f"the curvature falls from {y[0]:.4g} to {y[-1]:.4g}: it does not blow up"
        )
    return x, y


def _first_guess(left: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """log(T - t_last), exponent and log A, the best of a row of T: the rest is a straight line."""
    best, result = math.inf, np.zeros(3)
    for gap in left[0] * np.geomspace(1e-14, _FARTHEST, _TRIALS):
        x = np.log(gap + left)
        slope, offset = np.polyfit(x - x.mean(), logs, 1)
        defect = float(np.sum((logs - offset - slope * (x - x.mean())) ** 2))
        if defect < best:
            best = defect
            result = np.array([math.log(gap), -slope, offset - slope * float(x.mean())])
    return result
