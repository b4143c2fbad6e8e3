"""Rotationally symmetric metrics as surfaces of revolution, and movies of flows with surgery."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import DTypeError, InvalidArgumentError
from ..symmetric import Piece, RotationalMetric, RotationalSolution, SurgeryHistory
from ._common import COLOURS, DIVERGING, finish, new_axes, pyplot
from .animation import moving_picture

_ANGLES = 25
_SEEN = 100.0


def meridian(metric: RotationalMetric) -> tuple[np.ndarray, np.ndarray]:
    """(z, r): the curve in the plane whose rotation has the lengths of a metric, each (N,).

    r = psi, z = integral of (1 - psi_s^2)^(1/2) ds, from the middle of the axis; where |psi_s| > 1
    no surface in space has the metric, and z stands still.
    """
    steps = np.sqrt(np.clip(1 - metric.psi_s() ** 2, 0.0, None))
    s = metric.arclength()
    z = np.concatenate([[0.0], np.cumsum(0.5 * (steps[1:] + steps[:-1]) * np.diff(s))])
    return z - 0.5 * z[-1], metric.psi


def plot_revolution(
    metric: RotationalMetric,
    *,
    limit: float | None = None,
    centre: float = 0.0,
    colorbar: bool = True,
    ax: Any = None,
    show: bool = False,
) -> Any:
    """A rotationally symmetric metric as a surface of revolution seen from the side.

    Coloured by the scalar curvature R (1 / length^2), linearly up to 1 / 100 of the limit and by
    its logarithm above. For n > 1 the picture is the slice by a plane through the axis.

    Parameters
    ----------
    metric : RotationalMetric
    limit : float, optional
        The colours run from -limit to limit.
    centre : float
        Where on the axis its middle is.
    colorbar : bool
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.collections.QuadMesh

    Raises
    ------
    DTypeError
        If it is no RotationalMetric.
    MissingDependencyError
        Without matplotlib.
    """
    if not isinstance(metric, RotationalMetric):
        raise DTypeError(f"metric is {checks.shown(metric)}; give a RotationalMetric")
    pyplot()
    from matplotlib.colors import SymLogNorm

    ax = new_axes() if ax is None else ax
    R = metric.scalar_curvature()
    size = float(np.abs(R).max()) if limit is None else checks.number(limit, "limit", above=0)
    size = max(size, 1e-9)
    z, r = meridian(metric)
    if metric.space == "sphere":
        # The tips, so that the outline closes.
        z = np.concatenate([[z[0]], z, [z[-1]]])
        r = np.concatenate([[0.0], r, [0.0]])
        R = np.concatenate([[R[0]], R, [R[-1]]])
    across = np.sin(np.linspace(-np.pi / 2, np.pi / 2, _ANGLES))
    mesh = ax.pcolormesh(
        np.broadcast_to(centre + z, (_ANGLES, len(z))),
        across[:, None] * r,
        np.broadcast_to(R, (_ANGLES, len(R))),
        shading="gouraud",
        cmap=DIVERGING,
        norm=SymLogNorm(size / 100, vmin=-size, vmax=size),
        rasterized=True,
    )
    mesh.sticky_edges.x.clear()  # else the outline lies on the frame
    mesh.sticky_edges.y.clear()
    for sign in (1, -1):
        ax.plot(centre + z, sign * r, color="0.2", linewidth=0.8)
    ax.set_aspect("equal")
    ax.set_xlabel("z, along the axis of rotation (length)")
    ax.set_ylabel(r"$\pm \psi$ (length)")
    if colorbar:
        bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.7)
        bar.set_label("R (1 / length$^2$)")
        ticks = [-size, -size / 10, 0.0, size / 10, size]
        bar.set_ticks(ticks, labels=[f"{float(f'{tick:.2g}'):g}" for tick in ticks])
    return finish(mesh, show)


def plot_neck(
    what: SurgeryHistory | RotationalSolution,
    *,
    piece: int = 0,
    ax: Any = None,
    show: bool = False,
) -> Any:
    """How a neck pinches: psi^2 / (2 (n - 1) (T - t)) and R_max (T - t) 2 / n over T - t.

    Both tend to 1, as slowly as 1 / log(T - t). For a ``RotationalSolution`` the smallest radius of
    its necks is drawn over time.

    Parameters
    ----------
    what : SurgeryHistory or RotationalSolution
    piece : int
        Which part of a history; it must end at a neck.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidArgumentError
        If the part did not end at a neck, or there is none.
    """
    pyplot()
    if isinstance(what, RotationalSolution):
        radii = np.array([m.neck_radius() for m in what.metrics])
        if not np.isfinite(radii).any():
            raise InvalidArgumentError(
                f"{what!r} has no neck at any time; give one that has, such as that of a dumbbell"
            )
        ax = new_axes() if ax is None else ax
        ax.plot(what.t, radii, color=COLOURS[0])
        ax.set_xlabel("t (length$^2$)")
        ax.set_ylabel("radius of the neck (length)")
        return finish(ax, show)
    _require_history(what, "a SurgeryHistory or a RotationalSolution")
    if not 0 <= piece < len(what.pieces) or what.pieces[piece].end not in ("cut", "neck"):
        raise InvalidArgumentError(
            f"piece = {piece} did not end at a neck, it was not cut; choose another one"
        )
    part = what.pieces[piece]
    ratio, curvature, left = pinch_ratios(part)
    # Of the last metric T - t is an estimate; it is small against that of those before.
    seen = left > _SEEN * left[-1]
    ratio, curvature, left = ratio[seen], curvature[seen], left[seen]
    ax = new_axes() if ax is None else ax
    ax.semilogx(left, ratio, color=COLOURS[0], label=r"$\psi^2 / (2 (n - 1) (T - t))$, neck")
    ax.semilogx(left, curvature, color=COLOURS[1], label=r"$R_{max} (T - t) \cdot 2 / n$")
    small = left < 0.1
    ax.semilogx(
        left[small], 1 + 1 / (2 * np.log(left[small])), "k--", label=r"$1 - 1 / (2 |\log(T - t)|)$"
    )
    ax.invert_xaxis()
    ax.set_xlabel("T - t (length$^2$)")
    ax.legend(frameon=False)
    return finish(ax, show)


def _require_history(given: Any, wanted: str) -> None:
    if not isinstance(given, SurgeryHistory):
        raise DTypeError(f"this is {checks.shown(given)}; give {wanted}")


def pinch_ratios(piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(psi^2 / (2 (n - 1) (T - t)), R_max (T - t) 2 / n, T - t) of a part that was cut."""
    n, left = piece.metrics[0].n, piece.time_left()
    radii = np.array([m.neck_radius() for m in piece.metrics])
    top = np.array([float(m.scalar_curvature().max()) for m in piece.metrics])
    return radii**2 / (2 * (n - 1) * left), top * left * 2 / n, left


def animate_surgery(
    history: SurgeryHistory,
    path: str | Path,
    *,
    frames: int = 60,
    limit: float | None = None,
    fps: int = 12,
    dpi: float = 80.0,
) -> Path:
    """Write a flow with surgery as a moving picture, from the start to the last point.

    Frames are spread by how much the shapes change, not by time, which stands still at a pinch.

    Parameters
    ----------
    history : SurgeryHistory
    path : path
        Ends in .gif, .html (frames in one file, with buttons) or .mp4.
    frames : int
        Largest number of them.
    limit : float, optional
        Of the colours, in 1 / length^2; by default 100 over the square of the largest radius.
    fps, dpi : float

    Returns
    -------
    Path

    Raises
    ------
    InvalidArgumentError
        If the ending is not known.
    MissingDependencyError
        Without matplotlib.
    """
    _require_history(history, "a SurgeryHistory")
    times = spread_times(history, checks.count(frames, "frames", least=2))

    def draw(t: float, figure: Any) -> None:
        draw_moment(history, t, limit=limit, colorbar=True, ax=figure.add_subplot())

    return moving_picture(path, [partial(draw, t) for t in times], fps, dpi, size=(6.4, 2.9))


def draw_moment(
    history: SurgeryHistory,
    t: float,
    *,
    limit: float | None = None,
    colorbar: bool = False,
    ax: Any = None,
    show: bool = False,
) -> Any:
    """All parts of a flow with surgery at a time, each where its bump was before the cut.

    Parameters
    ----------
    history : SurgeryHistory
    t : float
        Time, length^2; every part is drawn by its kept metric closest to it.
    limit : float, optional
        Of the colours, in 1 / length^2; by default 100 over the square of the largest radius.
    colorbar : bool
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    _require_history(history, "a SurgeryHistory")
    first = history.pieces[0].metrics[0]
    size = float(first.psi.max())
    top = 100 / size**2 if limit is None else checks.number(limit, "limit", above=0)
    ax = new_axes() if ax is None else ax
    places = _places(history)
    for k, (piece, metric) in enumerate(history.at(t)):
        z, r = meridian(metric)
        centre = places[piece.index] - (z[int(r.argmax())] if piece.parent >= 0 else 0.0)
        plot_revolution(metric, limit=top, centre=centre, colorbar=colorbar and k == 0, ax=ax)
    half = 1.05 * float(np.abs(meridian(first)[0]).max())
    ax.set_xlim(-half, half)
    ax.set_ylim(-1.2 * size, 1.2 * size)
    ax.set_title(f"t = {t:.6f}", fontsize="medium")
    return finish(ax, show)


def _places(history: SurgeryHistory) -> list[float]:
    """Where on the axis the largest circle of each part is: that of its bump before the cut."""
    places = [0.0]
    for piece in history.pieces[1:]:
        parent = history.pieces[piece.parent].metrics[-1]
        z, r = meridian(parent)
        origin = places[piece.parent]
        if history.pieces[piece.parent].parent >= 0:
            origin -= float(z[int(r.argmax())])
        first = next(p.index for p in history.pieces if p.parent == piece.parent)
        neck = min(parent.necks(), key=lambda j: float(r[j]))
        side = slice(0, neck) if piece.index == first else slice(neck, None)
        bump = (0 if piece.index == first else neck) + int(r[side].argmax())
        places.append(origin + float(z[bump]))
    return places


def spread_times(history: SurgeryHistory, frames: int) -> list[float]:
    """Times between which the shapes change by equal amounts, at most ``frames``."""
    times = np.unique(np.concatenate([p.t for p in history.pieces]))
    marks = np.zeros((len(times), 3))
    for k, t in enumerate(times):
        for _, metric in history.at(float(t)):
            necks = metric.neck_radius()
            thin = min(float(metric.psi.max()), necks)
            marks[k] += (float(metric.psi.max()), metric.total_length() / 3, 3 * thin)
    change = np.abs(np.diff(marks, axis=0)).max(axis=1)
    # A cut changes the count of parts, not what there is to see.
    births = np.array(
        [np.any([p.parent >= 0 and p.born == t for p in history.pieces]) for t in times]
    )
    change[births[1:]] = 0.0
    way = np.concatenate([[0.0], np.cumsum(change)])
    wanted = np.linspace(0, way[-1], frames)
    chosen = np.unique(np.searchsorted(way, wanted).clip(0, len(times) - 1))
    return [float(t) for t in times[chosen]]
