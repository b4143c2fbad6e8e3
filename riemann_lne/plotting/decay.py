"""Decay of norms along a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis import fit_decay_rate
from ..errors import InvalidArgumentError
from ._common import COLOURS, finish, new_axes

_MARKERS = "os^Dv<>"


def plot_decay(
    t: Sequence[float] | np.ndarray,
    norm: Sequence[float] | np.ndarray | Mapping[str, Sequence[float] | np.ndarray],
    *,
    predicted: float | Mapping[str, float] | None = None,
    window: tuple[float, float] | None = None,
    ylabel: str = "norm of the perturbation",
    ax: Any = None,
    show: bool = False,
) -> Any:
    """Norms against time on a logarithmic axis, with the fitted and the predicted rate.

    Points are measured; a dashed line is e^(-rate t) with the predicted rate, through the point
    at the start of the window. The legend names both rates.

    Parameters
    ----------
    t : (k,)
        Times.
    norm : (k,), or a mapping from labels to (k,)
        Positive norms.
    predicted : float, or a mapping from the same labels, optional
        Predicted rates, for instance of ``predicted_decay_rates``.
    window : (float, float), optional
        Where the rate is fitted; all times by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidArgumentError
        If a norm cannot be fitted, or a predicted rate has a label that no norm has.
    MissingDependencyError
        Without matplotlib.
    """
    series = norm if isinstance(norm, Mapping) else {"": norm}
    rates = _rates_by_label(predicted, series)
    start, stop = (float(t[0]), float(t[-1])) if window is None else window
    fits = {label: fit_decay_rate(t, values, start, stop) for label, values in series.items()}
    ax = new_axes() if ax is None else ax
    x = np.asarray(t, dtype=float)
    first = int(np.searchsorted(x, start))
    for i, (label, values) in enumerate(series.items()):
        y, colour = np.asarray(values, dtype=float), COLOURS[i % len(COLOURS)]
        text = f"{label}: " if label else ""
        text += f"rate {fits[label].rate:.4g}"
        if label in rates:
            text += f", predicted {rates[label]:.4g}"
            line = y[first] * np.exp(-rates[label] * (x - x[first]))
            ax.semilogy(x, line, "--", color=colour, linewidth=1, label="_predicted")
        ax.semilogy(
            x, y, _MARKERS[i % len(_MARKERS)], color=colour, markersize=4, label=text, zorder=3
        )
    if window is not None:
        ax.axvspan(*window, color="0.9", zorder=0, label="fitted here")
    every = np.concatenate([np.asarray(v, dtype=float) for v in series.values()])
    # The predicted lines may go far below what was measured.
    ax.set_ylim(0.5 * every[every > 0].min(), 3 * every.max())
    ax.set_xlabel("t (length$^2$)")
    ax.set_ylabel(ylabel)
    if rates:
        ax.set_title("points: measured; dashed: predicted rate", fontsize="medium")
    ax.legend(fontsize="small", framealpha=1.0, edgecolor="none")
    return finish(ax, show)


def _rates_by_label(
    predicted: float | Mapping[str, float] | None, series: Mapping[str, Any]
) -> dict[str, float]:
    if predicted is None:
        return {}
    rates = dict(predicted) if isinstance(predicted, Mapping) else {"": float(predicted)}
    unknown = sorted(set(rates) - set(series))
    if unknown:
        raise InvalidArgumentError(
            f"predicted has {unknown}, norm has {sorted(series)}: give both with the same labels"
        )
    return rates
