"""Maps of the scalar curvature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..coefficients import Order
from ..errors import InvalidArgumentError
from ..integrators import FlowSolution
from ..metrics import MetricField
from ._common import DIVERGING, finish, metric_and_time, new_axes


def plot_scalar_curvature(
    what: MetricField | FlowSolution,
    *,
    index: int | None = None,
    time: float | None = None,
    fixed: Mapping[int, float] | None = None,
    order: Order = 4,
    limit: float | None = None,
    colorbar: bool = True,
    ax: Any = None,
    show: bool = False,
) -> Any:
    """Map of the scalar curvature R: in 2-D the whole grid, in 3-D and 4-D a slice.

    Parameters
    ----------
    what : MetricField or FlowSolution
        Of a solution the last metric, unless ``index`` or ``time`` (the nearest kept) says else.
    fixed : mapping from axis to coordinate, optional
        Where the slice lies: all axes but two, each at the grid point nearest to the coordinate. By
        default the last axes, in their middle.
    order : int or "fourier"
        Of the differences.
    limit : float, optional
        The colours run from -limit to limit, 1 / length^2; by default the largest |R| drawn.
        Give it to compare maps.

    Returns
    -------
    matplotlib.collections.QuadMesh

    Raises
    ------
    InvalidArgumentError
        If the slice or the choice from the solution makes no sense.
    MissingDependencyError
        Without matplotlib.
    """
    metric, t = metric_and_time(what, index, time)
    metric.grid.require_one_chart("a map of a metric")
    metric.grid.require_whole("a map of a metric")
    axes = metric.grid.axes()
    places = _places(metric, fixed)
    free = [a for a in range(metric.n) if a not in places]
    where = tuple(places.get(a, slice(None)) for a in range(metric.n))
    values = to_numpy(metric.scalar_curvature(order))[where].astype(float)
    size = float(np.max(np.abs(values))) if limit is None else float(limit)
    # A flat metric has rounding alone; the colours then should not show it.
    size = max(size, 1e-9)
    ax = new_axes() if ax is None else ax
    mesh = ax.pcolormesh(
        axes[free[0]], axes[free[1]], values.T, cmap=DIVERGING, vmin=-size, vmax=size,
        shading="nearest", rasterized=True,
    )  # fmt: skip
    names = "xyzw"
    ax.set_xlabel(f"{names[free[0]]} (length)")
    ax.set_ylabel(f"{names[free[1]]} (length)")
    ax.set_aspect("equal")
    parts = [] if t is None else [f"t = {t:.4g}"]
    parts += [f"{names[a]} = {axes[a][i]:.3g}" for a, i in places.items()]
    if parts:
        ax.set_title(", ".join(parts), fontsize="medium")
    if colorbar:
        bar = ax.figure.colorbar(mesh, ax=ax, shrink=0.85)
        bar.set_label("scalar curvature R (1 / length$^2$)")
    return finish(mesh, show)


def _places(metric: MetricField, fixed: Mapping[int, float] | None) -> dict[int, int]:
    """Grid index of the slice along every axis that is not drawn."""
    grid, n = metric.grid, metric.n
    if n < 2:
        raise InvalidArgumentError(f"a map needs two axes; {metric.grid!r} has one")
    if fixed is None:
        return {a: grid.shape[a] // 2 for a in range(2, n)}
    if len(fixed) != n - 2 or any(a not in range(n) for a in fixed):
        raise InvalidArgumentError(
            f"fixed = {dict(fixed)}; a map of this {n}-D metric needs {n - 2} of its axes "
            f"0 to {n - 1} with a coordinate each"
        )
    for a, x in fixed.items():
        if not grid.lower[a] <= x <= grid.upper[a]:
            raise InvalidArgumentError(
                f"fixed[{a}] = {x}; axis {a} runs from {grid.lower[a]:g} to {grid.upper[a]:g}"
            )
    return {a: int(np.argmin(np.abs(grid.axes()[a] - x))) for a, x in sorted(fixed.items())}
