"""Decay of perturbations: fitted rates, and the rates that theory predicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy

from ..arrays import host_numbers, require_finite, to_numpy
from ..checks import count, number, numbers
from ..errors import InvalidArgumentError
from ..metrics import MetricField, of_metric
from ..tensors import unpack

_LARGEST_LOG = math.log(np.finfo(float).max)


@dataclass(frozen=True)
class DecayFit:
    """Result of ``fit_decay_rate``: norm(t) = amplitude * exp(-rate * t).

    Attributes
    ----------
    rate : float
        In the inverse unit of t.
    stderr : float
        Standard error of the rate by ordinary least squares on log(norm).
    amplitude : float
        Fitted norm at t = 0. Far from the times of the data it may be beyond the range of floats,
        and is then infinite or 0: ``log_amplitude`` is what was fitted.
    n_points : int
        Points that were fitted.
    log_amplitude : float
        Natural logarithm of the amplitude.
    """

    rate: float
    stderr: float
    amplitude: float
    n_points: int
    log_amplitude: float

    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of Student's t for the rate, n_points - 2 degrees of freedom."""
        half = student_quantile(level, self.n_points - 2) * self.stderr
        return self.rate - half, self.rate + half


def fit_decay_rate(
    t: Sequence[float] | np.ndarray,
    norm: Sequence[float] | np.ndarray,
    t_min: float | None = None,
    t_max: float | None = None,
) -> DecayFit:
    """Rate of exponential decay, by least squares on log(norm) over t_min <= t <= t_max.

    Parameters
    ----------
    t, norm : (k,)
        Times and positive norms, at least three in the window.

    Raises
    ------
    InvalidArgumentError
        If the lengths differ, a norm is not positive and finite, or fewer than three are left.

    Examples
    --------
    >>> t = np.linspace(0, 2, 9)
    >>> fit = fit_decay_rate(t, 0.3 * np.exp(-1.5 * t))
    >>> round(fit.rate, 12), round(fit.amplitude, 12)
    (1.5, 0.3)
    """
    line = _line(t, norm, t_min, t_max)
    return DecayFit(-line.slope, line.stderr, line.amplitude(), line.count, line.log_amplitude)


@dataclass(frozen=True)
class PowerFit:
    """Result of ``fit_power_law``: norm(t) = amplitude * (t + offset)**exponent.

    ``log_amplitude`` is the natural logarithm of the amplitude, which itself may be beyond the
    range of floats (infinite or 0).
    """

    exponent: float
    stderr: float
    amplitude: float
    n_points: int
    log_amplitude: float


def fit_power_law(
    t: Sequence[float] | np.ndarray,
    norm: Sequence[float] | np.ndarray,
    t_min: float | None = None,
    t_max: float | None = None,
    offset: float = 0.0,
) -> PowerFit:
    """Exponent of algebraic decay, by least squares of log(norm) on log(t + offset).

    Arguments and errors as for ``fit_decay_rate``; all t + offset must be positive.
    """
    line = _line(t, norm, t_min, t_max, offset=number(offset, "offset"))
    return PowerFit(line.slope, line.stderr, line.amplitude(), line.count, line.log_amplitude)


@dataclass(frozen=True)
class _Line:
    """The line log(norm) = log_amplitude + slope x."""

    slope: float
    stderr: float
    log_amplitude: float
    count: int

    def amplitude(self) -> float:
        """The exponential; infinite or 0 where it does not fit into a float."""
        return math.exp(self.log_amplitude) if self.log_amplitude < _LARGEST_LOG else math.inf


def _line(
    t: Sequence[float] | np.ndarray,
    norm: Sequence[float] | np.ndarray,
    t_min: float | None,
    t_max: float | None,
    offset: float | None = None,
) -> _Line:
    """Fit of log(norm) to t or, with an offset, to log(t + offset)."""
    x, y = series(t, norm, ("t", "norm"))
    low = -np.inf if t_min is None else number(t_min, "t_min")
    high = np.inf if t_max is None else number(t_max, "t_max")
    inside = (x >= low) & (x <= high)
    x, y = x[inside], y[inside]
    if x.size < 3:
        raise InvalidArgumentError(f"{x.size} point(s) in the window; a fit needs at least 3")
    bad = np.flatnonzero(~(np.isfinite(y) & (y > 0)))
    if bad.size:
        raise InvalidArgumentError(
            f"norm = {y[bad[0]]} at t = {x[bad[0]]}; only positive finite norms can be fitted: "
            "end the window (t_max) before the norm reaches zero"
        )
    if offset is not None:
        x = x + offset
        if np.any(x <= 0):
            raise InvalidArgumentError(
                f"offset = {offset}; t + offset must be positive for a power law"
            )
        x = np.log(x)
    # About the middle of the data, and in units of their spread: whatever the times are, nothing
    # overflows or cancels.
    middle = float(np.mean(x / x.size) * x.size)
    spread = float(np.ptp(x / 2)) * 2
    if not 1e-300 < spread < 1e300:
        raise InvalidArgumentError(
            f"the times in the window differ by {spread:.3g}: no slope can be fitted; widen it"
        )
    logarithm = np.log(y)
    fit = scipy.stats.linregress((x - middle) / spread, logarithm)
    # SciPy gives no error where all are equal, on which the line lies exactly. Norms that differ in
    # the last digit may have equal logarithms.
    error = float(fit.stderr) if np.ptp(logarithm) > 0 else 0.0
    slope, stderr = float(fit.slope) / spread, error / spread
    log_amplitude = float(fit.intercept) - slope * middle
    if not all(map(math.isfinite, (slope, stderr, log_amplitude))):
        raise InvalidArgumentError(
            f"the slope {slope:.3g} about t = {middle:.3g} does not fit into a float; give the "
            "times in another unit"
        )
    return _Line(slope, stderr, log_amplitude, int(x.size))


def series(
    t: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray, names: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Times and the values at them, of one length; the times finite."""
    x, y = host_numbers(t, names[0]), host_numbers(values, names[1])
    if x.ndim != 1 or x.shape != y.shape:
        raise InvalidArgumentError(
            f"{names[0]} and {names[1]} have shapes {x.shape} and {y.shape}; give (k,)"
        )
    require_finite(x, names[0])
    return x, y


def student_quantile(level: float, freedom: int) -> float:
    """Quantile of Student's t that a two-sided interval of a level needs."""
    value = number(level, "level", above=0.0)
    if not value < 1.0:
        raise InvalidArgumentError(f"level = {level}; a number between 0 and 1 is needed")
    return float(scipy.stats.t.ppf(0.5 + value / 2, freedom))


@dataclass(frozen=True)
class ModeRate:
    """Decay rate of one Fourier mode: integer wave vector and lambda_m in 1 / time."""

    mode: tuple[int, ...]
    rate: float


@of_metric
def predicted_decay_rates(
    g_inf: MetricField,
    modes: Iterable[Sequence[int]] | None = None,
    max_mode: int = 1,
) -> list[ModeRate]:
    """Rates at which perturbations of a constant metric decay under Ricci-DeTurck flow.

    On a torus with sides L_a, mode m decays at lambda_m = g_inf^ab k_a k_b, k_a = 2 pi m_a / L_a;
    the mean does not decay. On a box whose boundary is held, with diagonal g_inf, the mode
    prod_a sin(pi m_a x_a / L_a) decays at sum_a g_inf^aa (pi m_a / L_a)^2, m_a >= 1.

    Parameters
    ----------
    g_inf : MetricField
        The limit. Its grid average is used: it should be constant up to the perturbation left.
    modes : iterable of integer vectors, optional
        By default all with |m_a| <= max_mode, one of each pair m, -m, zero left out.

    Returns
    -------
    list of ModeRate
        Slowest first, in 1 / length^2.

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> rates = predicted_decay_rates(flat_metric(Grid.torus((8, 8))))
    >>> [(r.mode, round(r.rate, 12)) for r in rates[:2]]
    [((0, 1), 1.0), ((1, 0), 1.0)]
    """
    grid, n = g_inf.grid, g_inf.n
    grid.require_whole("predicted_decay_rates")
    if grid.pieces():
        grid.require_torus("predicted_decay_rates")
    mean = to_numpy(g_inf.packed).mean(axis=tuple(range(1, n + 1)))
    inverse = np.linalg.inv(unpack(mean, n))
    if grid.is_torus:
        scale = 2 * np.pi / np.array(grid.lengths)
    else:
        off = np.abs(inverse - np.diag(np.diag(inverse))).max()
        if any(grid.periodic) or off > 1e-6 * np.abs(inverse).max():
            raise InvalidArgumentError(
                "rates are known on a torus, and on a box with a diagonal limit metric; "
                f"here periodic = {grid.periodic}, largest off-diagonal entry {off:.3g}"
            )
        scale = np.pi / np.array(grid.lengths)
    if modes is None:
        chosen = _default_modes(n, count(max_mode, "max_mode", least=1), grid.is_torus)
    else:
        chosen = [_whole_numbers(m) for m in modes]
    result = []
    for m in chosen:
        if len(m) != n:
            raise InvalidArgumentError(
                f"mode {tuple(m)} has {len(m)} entries; give one for each of {n} axes"
            )
        k = scale * np.array(m)
        result.append(ModeRate(tuple(int(v) for v in m), float(k @ inverse @ k)))
    return sorted(result, key=lambda r: (r.rate, r.mode))


def _whole_numbers(mode: Sequence[int]) -> tuple[int, ...]:
    """A wave vector of whole numbers, positive or not."""
    values = numbers(mode, "mode")
    if not all(v.is_integer() and abs(v) < 1e6 for v in values):
        raise InvalidArgumentError(f"mode = {tuple(values)}; whole numbers below 10^6 are needed")
    return tuple(int(v) for v in values)


def _default_modes(n: int, largest: int, torus: bool) -> list[tuple[int, ...]]:
    if not torus:
        return list(product(range(1, largest + 1), repeat=n))
    lattice = product(range(-largest, largest + 1), repeat=n)
    return [m for m in lattice if next((k for k in m if k), 0) > 0]


@of_metric
def mode_amplitude(metric: MetricField, mode: Sequence[int]) -> float:
    """Size of one Fourier mode of a metric on a torus,

    (sum_ij |c_ij|^2)^(1/2), c_ij the grid average of g_ij e^(-i k.x); dimensionless.
    """
    grid, mode = metric.grid, _whole_numbers(mode)
    grid.require_whole("mode_amplitude")
    if not grid.is_torus or len(mode) != grid.ndim:
        raise InvalidArgumentError(f"mode {mode} needs a torus of {len(mode)} axes")
    values = to_numpy(metric.components)
    for size, m in zip(grid.shape, mode, strict=True):
        wave = np.exp(-2j * np.pi * m * np.arange(size) / size) / size
        # Contracting the first grid axis each time brings the next one to its place.
        values = np.tensordot(values, wave, axes=([2], [0]))
    return float(np.sqrt(np.sum(np.abs(values) ** 2)))
