"""The pictures that a configuration can ask for, each drawn to a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import fit_decay_rate, mode_amplitude, predicted_decay_rates
from ..arrays import to_numpy
from ..coefficients import Order
from ..errors import InvalidArgumentError, MissingDependencyError
from ..flows import Flow, NormalizedRicciFlow, RicciDeTurckFlow
from ..integrators import FlowSolution
from ..plotting import COLOURS, animate, plot_decay, plot_profiles, plot_scalar_curvature


@dataclass(frozen=True)
class Subject:
    """Subject of a picture: a solution, its flow, the order of differences, the window of a fit."""

    solution: FlowSolution
    flow: Flow
    order: Order
    window: tuple[float, float] | None


@dataclass(frozen=True)
class Picture:
    """A picture: how it is drawn (a line for the summary comes back) and the ending of its file."""

    draw: Callable[[Subject, Path], str]
    ending: str = ".png"


def new_figure(width: float, height: float) -> Any:
    """A figure that needs no screen.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "plot", "a picture", error) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150)


def decays(flow: Flow) -> bool:
    """Whether the flow on a torus leads to a constant metric, at rates that are predicted.

    So it is for the Ricci-DeTurck flow with the flat background. Other flows end in wavy
    coordinates, on another background, or not at all.
    """
    if isinstance(flow, NormalizedRicciFlow):
        flow = flow.flow
    return isinstance(flow, RicciDeTurckFlow) and flow.background is None


def _window(t: np.ndarray, distance: np.ndarray, eps: float) -> tuple[float, float]:
    """The later half of the times at which the distance is more than rounding.

    Late, because the rate is that of the linearised flow; the square root of the precision leaves
    as much room above the rounding of a distance as below the start.
    """
    good = t[distance > distance[0] * eps**0.5]
    late = good[good >= 0.5 * (good[0] + good[-1])] if good.size else good
    if late.size < 3:
        raise InvalidArgumentError(
            f"{late.size} of the kept metrics can serve the fit of the rate, and 3 are needed: "
            "ask for more times (t_eval), or set decay_window"
        )
    return float(late[0]), float(late[-1])


def _decay(subject: Subject, path: Path) -> str:
    solution, grid = subject.solution, subject.solution.grid
    if not (grid.is_torus and decays(subject.flow)):
        raise InvalidArgumentError(
            "the decay to a constant metric needs the Ricci-DeTurck flow with flat background "
            f"on a torus; this is {subject.flow!r} with periodic = {list(grid.periodic)}"
        )
    limit = solution[-1].mean()
    t = np.asarray(solution.t, dtype=float)
    distance = np.array([metric.l2_distance(limit) for metric in solution.metrics])
    eps = float(np.finfo(to_numpy(limit.packed).dtype).eps)
    window = subject.window or _window(t, distance, eps)
    fit = fit_decay_rate(t, distance, *window)
    # The slowest mode need not be there: the prediction is that of the largest that is left.
    predicted = predicted_decay_rates(limit, max_mode=2)
    leading = max(predicted, key=lambda r: mode_amplitude(solution[-1], r.mode))
    figure = new_figure(6.4, 4.4)
    plot_decay(
        t,
        distance,
        predicted=leading.rate,
        window=window,
        ylabel="L2 distance to the limit (length$^{n/2}$)",
        ax=figure.add_subplot(),
    )
    _save(figure, path)
    return (
        f"rate {fit.rate:.6g} +- {fit.stderr:.1g} measured over t = {window[0]:g} .. "
        f"{window[1]:g}; {leading.rate:.6g} predicted for mode {leading.mode}, the largest left"
    )


def _scalar_curvature(subject: Subject, path: Path) -> str:
    solution, order = subject.solution, subject.order
    chosen = sorted({0, len(solution) - 1})
    largest = [float(np.abs(to_numpy(solution[i].scalar_curvature(order))).max()) for i in chosen]
    figure = new_figure(5.2 * len(chosen), 4.2)
    for place, (i, limit) in enumerate(zip(chosen, largest, strict=True)):
        # Each with its own scale: the last is often smaller by orders of magnitude.
        ax = figure.add_subplot(1, len(chosen), place + 1)
        plot_scalar_curvature(solution, index=i, order=order, limit=limit, ax=ax)
    _save(figure, path)
    values = [f"{v:.4g} at t = {solution.t[i]:g}" for i, v in zip(chosen, largest, strict=True)]
    return f"largest |R| {', '.join(values)}"


def _observed(subject: Subject, path: Path) -> str:
    solution = subject.solution
    figure = new_figure(6.4, 2.2 * len(solution.observed) + 0.6)
    shared = None
    for k, (name, values) in enumerate(solution.observed.items()):
        ax = figure.add_subplot(len(solution.observed), 1, k + 1, sharex=shared)
        shared = shared or ax
        ax.plot(solution.t_observed, values, color=COLOURS[k % len(COLOURS)], marker=".")
        ax.set_title(name.replace("_", " "), fontsize="medium")
        # An offset such as "+3.9478e1" hides what the number is.
        ax.ticklabel_format(axis="y", useOffset=False)
    shared and ax.set_xlabel("t (length$^2$)")
    _save(figure, path)
    return ""


def _profiles(subject: Subject, path: Path) -> str:
    figure = new_figure(6.4, 4.4)
    plot_profiles(subject.solution, ax=figure.add_subplot())
    _save(figure, path)
    return ""


def _animation(subject: Subject, path: Path) -> str:
    import matplotlib

    matplotlib.use("Agg")  # the process is the command's own, and may have no screen
    animate(subject.solution, path, "scalar-curvature", order=subject.order)
    return ""


PICTURES: dict[str, Picture] = {
    "decay": Picture(_decay),
    "scalar-curvature": Picture(_scalar_curvature),
    "observed": Picture(_observed),
    "profiles": Picture(_profiles),
    "animation": Picture(_animation, ".gif"),
}
"""Pictures by their names in [output] plots."""
