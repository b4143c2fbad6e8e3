"""check_corrector: whether a natural-gradient corrector applies the inverse of its metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, host_numbers
from ..checks import count, number, shown
from ..errors import DTypeError, InvalidArgumentError, ShapeError
from ..lne import LNEMetric
from .asking import answer
from .findings import CheckReport, chosen, largest, sequence

_ADVICE = "x and v are float64 NumPy arrays (n,), for any n of ``sizes``"

CHECKS = ("inverse", "linear", "scaling", "idle", "input")


def check_corrector(
    solve: Callable[[Array, Array], Array],
    metric: Callable[[Array], Array] | None = None,
    *,
    tau: float = 1.0,
    sizes: Sequence[int] = (1, 2, 7, 40),
    norm2: Sequence[float] = (0.0, 0.1, 0.5, 0.9, 0.99),
    rtol: float = 1e-10,
    checks: str | Sequence[str] | None = None,
    seed: int = 0,
) -> CheckReport:
    """Check ``solve(x, v)``, the gradient v corrected at the weights x, on random weights.

    "inverse": solve(x, v) = g(x)^-1 v, by a dense inverse. "linear": solve(x, a v + b w) =
    a solve(x, v) + b solve(x, w). "scaling": it commutes with factors from 1e-30 to 1e30 (the
    scaling of a loss). "idle": at x = 0 the gradient is left as it is. "input": x and v are not
    changed.

    Parameters
    ----------
    solve : callable
        (x, v) -> array (n,), for float64 NumPy arrays (n,).
    metric : callable, optional
        x -> g(x), (n, n). By default Eq. 16, I - t t^T with t = tanh(tau x).
    tau : float
        In one over the unit of the weights; weights are drawn so that |tanh(tau x)|^2 is each of
        ``norm2``.
    sizes : sequence of int
        Numbers of weights.
    norm2 : sequence of float
        In [0, 1).
    rtol : float
        Relative, of the condition number's size: the bound is rtol / (1 - norm2).
    checks, seed
        Names as above (all by default); the seed of the draws.

    Raises
    ------
    CheckFailedError
        If a property fails; the message has numbers and places.
    InvalidArgumentError, DTypeError, ShapeError
        If the arguments make no sense, ``solve`` or ``metric`` breaks off, or one of them returns
        no array of the right shape.

    Examples
    --------
    >>> from riemann_lne import LNEMetric
    >>> len(check_corrector(LNEMetric(2.0).solve, tau=2.0).failed)
    0
    """
    wanted = chosen(checks, CHECKS, "check of a corrector")
    for name, function in (("solve", solve), ("metric", metric)):
        if not (callable(function) or function is metric is None):
            raise DTypeError(f"{name} = {shown(function)}; give a function of arrays")
    norms = [number(s, f"norm2[{k}]", least=0) for k, s in enumerate(sequence(norm2, "norm2"))]
    if not all(s < 1 for s in norms):
        raise InvalidArgumentError(f"norm2 = {tuple(norm2)}; below 1 the metric is definite")
    counts = [count(n, f"sizes[{k}]", least=1) for k, n in enumerate(sequence(sizes, "sizes"))]
    rtol, tau = number(rtol, "rtol", above=0), number(tau, "tau", above=0)
    dense = LNEMetric(tau).matrix if metric is None else metric
    rng = np.random.default_rng(count(seed, "seed"))
    report = CheckReport("corrector")
    worst: dict[str, tuple[float, float, str]] = {}

    def note(name: str, value: float, bound: float, where: str) -> None:
        if name not in worst or not value / bound <= worst[name][0] / worst[name][1]:
            worst[name] = (value, bound, where)

    for n in counts:
        for s in norms:
            x, v, w = _weights(rng, n, s, tau), rng.normal(size=n), rng.normal(size=n)
            where, bound = f"n = {n}, |t|^2 = {s}", rtol / (1 - s)
            kept = x.copy(), v.copy()
            got = _call(solve, x, v)
            size = max(largest(got)[0], 1e-300)
            if "input" in wanted:
                changed = max(largest(x - kept[0])[0], largest(v - kept[1])[0])
                note("input: changed by", changed, 1e-300, where)
            if "inverse" in wanted:
                expected = _solution(_dense(dense, x), v, where)
                error = largest(got - expected)[0] / max(largest(expected)[0], 1e-300)
                note("inverse: relative error", error, bound, where)
            if "linear" in wanted:
                mixed = _call(solve, x, 2.0 * v - 3.0 * w)
                parts = 2.0 * got - 3.0 * _call(solve, x, w)
                note("linear: relative defect", largest(mixed - parts)[0] / size, bound, where)
            if "scaling" in wanted:
                for factor in (1e-30, 1e30):
                    scaled = _call(solve, x, factor * v) / factor
                    value = largest(scaled - got)[0] / size
                    note("scaling: relative defect", value, bound, f"{where}, factor {factor:g}")
            if "idle" in wanted:
                left = _call(solve, np.zeros(n), v)
                note("idle: change at x = 0", largest(left - v)[0], rtol, f"n = {n}")
    for name, (value, bound, where) in worst.items():
        report.add(name, value, bound, where)
    return report.require()


def _weights(rng: np.random.Generator, n: int, norm2: float, tau: float) -> np.ndarray:
    t = rng.normal(size=n)
    t *= np.sqrt(norm2) / max(float(np.linalg.norm(t)), 1e-300)
    return np.arctanh(np.clip(t, -1 + 1e-12, 1 - 1e-12)) / tau


def _dense(metric: Callable[[Array], Array], x: np.ndarray) -> np.ndarray:
    matrix = host_numbers(answer(metric, "metric(x)", _ADVICE, x), "the result of metric(x)")
    if matrix.shape != (len(x), len(x)):
        raise ShapeError(
            f"metric(x) returned the shape {matrix.shape}; give {(len(x), len(x))} "
            f"for {len(x)} weights"
        )
    return matrix


def _solution(matrix: np.ndarray, v: np.ndarray, where: str) -> np.ndarray:
    try:
        return np.linalg.solve(matrix, v)
    except np.linalg.LinAlgError as error:
        raise InvalidArgumentError(
            f"metric(x) is singular at {where}; give one that has an inverse at all weights drawn"
        ) from error


def _call(solve: Callable[[Array, Array], Array], x: np.ndarray, v: np.ndarray) -> np.ndarray:
    result: Any = answer(solve, "solve(x, v)", _ADVICE, x, v)
    shape = getattr(result, "shape", None)
    if shape is None or tuple(shape) != v.shape:
        raise DTypeError(
            f"solve(x, v) returned a {type(result).__name__} of shape {shape}; an array of the "
            f"gradient's shape {v.shape} is needed"
        )
    return host_numbers(result, "the result of solve(x, v)")
