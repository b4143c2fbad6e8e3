"""Tools of every picture: matplotlib on first use, colours, the choice from a solution."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..errors import DTypeError, InvalidArgumentError, MissingDependencyError
from ..integrators import FlowSolution
from ..metrics import MetricField

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, in the order in which lines take them."""

DIVERGING, SEQUENTIAL = "RdBu_r", "cividis"


def pyplot() -> Any:
    """Matplotlib's pyplot, or the error that names the extra."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "plot", "a picture", error) from error
    return plt


def new_axes() -> Any:
    """Axes in a figure of their own."""
    return pyplot().subplots(layout="constrained")[1]


def finish(artist: Any, show: bool) -> Any:
    """The artist; the figures are shown if that was asked for."""
    if show:
        pyplot().show()
    return artist


def require_solution(given: Any, wanted: str = "a FlowSolution") -> None:
    """Raise DTypeError for what is no FlowSolution."""
    if not isinstance(given, FlowSolution):
        raise DTypeError(f"this is {checks.shown(given)}; give {wanted}")


def metric_and_time(
    what: MetricField | FlowSolution, index: int | None, time: float | None
) -> tuple[MetricField, float | None]:
    """The metric to draw, and its time if it has one."""
    if isinstance(what, MetricField):
        if index is not None or time is not None:
            raise InvalidArgumentError(
                f"index = {index}, time = {time} choose from a solution; this is one metric: "
                "leave them out"
            )
        return what, None
    require_solution(what, "a MetricField or a FlowSolution")
    if index is not None and time is not None:
        raise InvalidArgumentError(f"index = {index}, time = {time}; give one of them, not both")
    times = np.asarray(what.t, dtype=float)
    if time is not None:
        if not times[0] <= time <= times[-1]:
            raise InvalidArgumentError(
                f"time = {time}; the solution has metrics from t = {times[0]:g} to {times[-1]:g}"
            )
        index = int(np.argmin(np.abs(times - time)))
    chosen = -1 if index is None else index
    if not -len(times) <= chosen < len(times):
        raise InvalidArgumentError(
            f"index = {chosen}; the solution has {len(times)} metrics: give an index below that"
        )
    return what[chosen], float(times[chosen])
