"""Moving pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import embedding_profile
from ..arrays import to_numpy
from ..coefficients import Order
from ..errors import InvalidArgumentError, UnknownNameError
from ..integrators import FlowSolution
from ..metrics import MetricField
from ._common import pyplot, require_solution
from .maps import plot_scalar_curvature
from .surfaces import plot_embedding

Frame = Callable[[Any, MetricField, float], Any]


def animate(
    solution: FlowSolution,
    path: str | Path,
    draw: str | Frame = "scalar-curvature",
    *,
    fps: int = 10,
    dpi: float = 100.0,
    order: Order = 4,
    axis: int = 0,
) -> Path:
    """Write a solution as a moving picture, a frame for each metric that was kept.

    Parameters
    ----------
    solution : FlowSolution
    path : path
        Ends in .gif (written by Pillow), .html (one file with buttons to play it) or .mp4 (by the
        program ffmpeg).
    draw : "scalar-curvature", "embedding" or function
        A map (a slice in 3-D) or a surface of revolution, with one colour scale and one box for
        all frames; or a function (figure, metric, t) that draws a frame on an empty figure.
    fps, dpi : float
        Frames in a second; resolution.
    order, axis
        As for ``plot_scalar_curvature`` and ``plot_embedding``.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    InvalidArgumentError
        If the ending or the name of the picture is not known.
        Also if the file is an .mp4 and there is no ffmpeg.
    MissingDependencyError
        Without matplotlib.
    """
    if not callable(draw):
        require_solution(solution)
    frame = draw if callable(draw) else _frames(solution, draw, order, axis)
    frames = [partial(_draw, frame, solution, i) for i in range(len(solution.t))]
    return moving_picture(path, frames, fps, dpi)


def _draw(frame: Frame, solution: FlowSolution, i: int, figure: Any) -> None:
    frame(figure, solution[i], float(solution.t[i]))


def moving_picture(
    path: str | Path,
    frames: Sequence[Callable[[Any], Any]],
    fps: int,
    dpi: float,
    size: tuple[float, float] = (6.4, 4.8),
) -> Path:
    """Write frames, each drawn by a function on an empty figure, as a .gif, .html or .mp4 file."""
    plt, path = pyplot(), Path(path)
    writer = _writer(path.suffix.lower(), fps)
    figure = plt.figure(figsize=size, layout="constrained")
    try:
        with writer.saving(figure, str(path), dpi):
            for draw in frames:
                figure.clear()
                draw(figure)
                writer.grab_frame()
    finally:
        plt.close(figure)
    return path


def _writer(ending: str, fps: int) -> Any:
    from matplotlib.animation import FFMpegWriter, HTMLWriter, PillowWriter

    if ending == ".gif":
        return PillowWriter(fps=fps)
    if ending == ".html":
        return HTMLWriter(fps=fps, embed_frames=True, default_mode="loop")
    if ending != ".mp4":
        raise InvalidArgumentError(f"ending {ending!r}; give a .gif, .html or .mp4 file")
    if not FFMpegWriter.isAvailable():
        raise InvalidArgumentError(
            f"an {ending} file needs the program ffmpeg, which was not found: install it with the "
            "system's package manager, or write a .gif file"
        )
    return FFMpegWriter(fps=fps)


def _frames(solution: FlowSolution, name: str, order: Order, axis: int) -> Frame:
    """The function that draws a frame, with one scale for all of them."""
    if name not in ("scalar-curvature", "embedding"):
        raise UnknownNameError("picture", name, ("scalar-curvature", "embedding"))
    metrics = [solution[i] for i in range(len(solution.t))]
    limit = max(float(np.max(np.abs(to_numpy(g.scalar_curvature(order))))) for g in metrics)
    if name == "scalar-curvature":

        def map_frame(figure: Any, metric: MetricField, t: float) -> None:
            plot_scalar_curvature(metric, order=order, limit=limit, ax=figure.add_subplot())
            figure.suptitle(f"t = {t:.3f}", fontsize="medium")

        return map_frame
    profiles = [embedding_profile(g, axis, order) for g in metrics]
    extent = (
        max(0.5 * float(np.ptp(p.z)) for p in profiles),
        max(float(p.r.max()) for p in profiles),
    )

    def surface_frame(figure: Any, metric: MetricField, t: float) -> None:
        ax = figure.add_subplot(projection="3d")
        plot_embedding(metric, axis=axis, order=order, limit=limit, extent=extent, ax=ax)
        figure.suptitle(f"t = {t:.3f}", fontsize="medium")

    return surface_frame
