"""Rotationally symmetric surfaces in space, as they flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..analysis import embedding_profile
from ..arrays import to_numpy
from ..coefficients import Order
from ..errors import InvalidArgumentError
from ..integrators import FlowSolution
from ..metrics import MetricField
from ._common import (
    DIVERGING,
    SEQUENTIAL,
    finish,
    metric_and_time,
    new_axes,
    pyplot,
    require_solution,
)


def plot_profiles(
    solution: FlowSolution,
    *,
    indices: Sequence[int] | None = None,
    axis: int = 0,
    ax: Any = None,
    show: bool = False,
) -> Any:
    """Profiles r(z) of a rotationally symmetric surface at several times of its flow.

    Stretches that no surface in R^3 has (|dr/ds| > 1) are left out; the legend then says "in part".

    Parameters
    ----------
    solution : FlowSolution
        Of a 2-D metric, see ``analysis.embedding_profile``.
    indices : sequence of int, optional
        Which metrics; at most six by default, evenly spread.
    axis : 0 or 1
        The coordinate along the profile.

    Returns
    -------
    matplotlib.axes.Axes
    """
    require_solution(solution)
    plt = pyplot()
    ax = new_axes() if ax is None else ax
    count = len(solution.t)
    if indices is None:
        indices = sorted({round(i) for i in np.linspace(0, count - 1, min(6, count))})
    shades = plt.get_cmap(SEQUENTIAL)(np.linspace(0, 0.9, len(indices)))
    for shade, i in zip(shades, indices, strict=True):
        metric, t = metric_and_time(solution, i, None)
        profile = embedding_profile(metric, axis)
        label = f"t = {t:.3g}" + ("" if profile.embeddable.all() else ", in part")
        stretches = profile.stretches()
        for k, part in enumerate(stretches or [slice(0, 0)]):
            for sign in (1, -1):
                text = label if k == 0 and sign == 1 else "_lower"
                ax.plot(profile.z[part], sign * profile.r[part], color=shade, label=text)
    ax.set_aspect("equal")
    ax.set_xlabel("z, along the axis of rotation (length)")
    ax.set_ylabel("$\\pm r$ (length)")
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finish(ax, show)


def plot_embedding(
    what: MetricField | FlowSolution,
    *,
    index: int | None = None,
    time: float | None = None,
    axis: int = 0,
    order: Order = 4,
    limit: float | None = None,
    extent: tuple[float, float] | None = None,
    colorbar: bool = True,
    ax: Any = None,
    show: bool = False,
) -> Any:
    """A rotationally symmetric 2-D metric as a surface in R^3, coloured by its scalar curvature.

    Stretches with |dr/ds| > 1 cannot be embedded: they are left out, and a note says so.

    Parameters
    ----------
    what, index, time
        As for ``plot_scalar_curvature``.
    axis : 0 or 1
        The coordinate along the profile, see ``analysis.embedding_profile``.
    order : int or "fourier"
        Of the differences.
    limit : float, optional
        The colours run from -limit to limit, 1 / length^2.
    extent : (float, float), optional
        Half the length of the box along the axis of rotation, and across it.
    ax : 3-D axes, optional
        Made with ``projection="3d"``.

    Returns
    -------
    list of mpl_toolkits.mplot3d.art3d.Poly3DCollection
        One for each stretch.

    Raises
    ------
    InvalidArgumentError
        If the metric is not rotationally symmetric, nowhere embeddable, or the axes are flat.
    MissingDependencyError
        Without matplotlib.
    """
    metric, t = metric_and_time(what, index, time)
    profile = embedding_profile(metric, axis, order)
    if not profile.stretches():
        raise InvalidArgumentError(
            "|dr/ds| > 1 everywhere: no part of this metric lies in R^3; draw it by plot_curvature"
        )
    plt = pyplot()
    if ax is None:
        ax = plt.figure(layout="constrained").add_subplot(projection="3d")
    elif not hasattr(ax, "plot_surface"):
        raise InvalidArgumentError('the axes are flat; make them with projection="3d"')
    curvature = to_numpy(metric.scalar_curvature(order))
    along = (curvature[:, 0] if axis == 0 else curvature[0, :]).astype(float)
    along = np.append(along, along[0]) if len(along) < len(profile.x) else along
    size = max(float(np.max(np.abs(along))) if limit is None else float(limit), 1e-9)
    scale = plt.cm.ScalarMappable(plt.Normalize(-size, size), plt.get_cmap(DIVERGING))
    angle = np.linspace(0, 2 * np.pi, 73)
    surfaces = []
    for part in profile.stretches():
        r, z = profile.r[part][:, None], profile.z[part][:, None]
        # A face has the colour of the mean of its two circles.
        faces = along[part]
        faces = np.broadcast_to((0.5 * (faces[1:] + faces[:-1]))[:, None], (len(r) - 1, 72))
        surfaces.append(
            ax.plot_surface(
                z + 0 * angle, r * np.cos(angle), r * np.sin(angle), shade=False, rstride=1,
                cstride=1, facecolors=scale.to_rgba(faces), linewidth=0, antialiased=False,
            )
        )  # fmt: skip
    _box(ax, profile.z, profile.r, extent)
    parts = [] if t is None else [f"t = {t:.4g}"]
    if not profile.embeddable.all():
        parts.append("left out where |dr/ds| > 1: not embeddable")
    ax.set_title("\n".join(parts), fontsize="medium")
    if colorbar:
        bar = ax.figure.colorbar(scale, ax=ax, shrink=0.6, pad=0.1)
        bar.set_label("scalar curvature R (1 / length$^2$)")
    return finish(surfaces, show)


def _box(ax: Any, z: np.ndarray, r: np.ndarray, extent: tuple[float, float] | None) -> None:
    """Equal scales along all axes, and labels."""
    half, across = extent or (0.5 * float(np.ptp(z)), float(r.max()))
    ax.set_xlim(-half, half)
    ax.set_ylim(-across, across)
    ax.set_zlim(-across, across)
    # Short surfaces look taller: smaller, so that the labels stay inside of the figure.
    ax.set_box_aspect((half, across, across), zoom=1.0 if half > across else 0.8)
    ax.set_xlabel("z (length)", labelpad=8)
    for name in ("y", "z"):
        getattr(ax, f"set_{name}label")("")
        getattr(ax, f"set_{name}ticks")([-across, 0, across], ["", "", ""])
    ax.xaxis.set_major_locator(_locator(4))


def _locator(count: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count)
