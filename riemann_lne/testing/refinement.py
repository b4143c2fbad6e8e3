"""Grids twice as fine, and fields carried over to them."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.signal import resample

from ..arrays import like, to_numpy
from ..grids import Grid
from ..metrics import MetricField


def refined_grid(grid: Grid) -> Grid:
    """Twice as many points along closed axes, 2 N - 1 along bounded ones (the old points stay)."""
    shape = tuple(2 * s if w else 2 * s - 1 for s, w in zip(grid.shape, grid.periodic, strict=True))
    return Grid(shape, grid.lower, grid.upper, grid.periodic)


def resampled(values: np.ndarray, grid: Grid) -> np.ndarray:
    """A field on a coarser grid over the same axes, (..., *coarse), on the points of ``grid``.

    By Fourier interpolation along closed axes, linearly along bounded ones.
    """
    first = values.ndim - grid.ndim
    for axis, (points, wraps) in enumerate(zip(grid.shape, grid.periodic, strict=True)):
        place = first + axis
        if values.shape[place] == points:
            continue
        if wraps:
            values = resample(values, points, axis=place)
        else:
            old = np.linspace(0.0, 1.0, values.shape[place])
            moved = np.moveaxis(values, place, 0)
            new = RegularGridInterpolator((old,), moved)(np.linspace(0.0, 1.0, points)[:, None])
            values = np.moveaxis(new.reshape(points, *moved.shape[1:]), 0, place)
    return np.asarray(values)


def on_grid(metric: MetricField, grid: Grid) -> MetricField:
    """The metric on a finer grid over the same axes: its constant, else interpolated."""
    values = to_numpy(metric.packed)
    if constant_values(metric):
        first = flattened(metric)[:, 0].reshape(-1, *(1,) * metric.n)
        fine = np.broadcast_to(first, (values.shape[0], *grid.shape)).copy()
    else:
        fine = resampled(values, grid)
    return MetricField.from_packed(grid, like(fine, metric.packed))


def refined_background(background: MetricField) -> MetricField:
    """The background on the grid twice as fine."""
    return on_grid(background, refined_grid(background.grid))


def flattened(metric: MetricField) -> np.ndarray:
    """Packed components by points, (components, points)."""
    values = to_numpy(metric.packed)
    return np.asarray(values.reshape(values.shape[0], -1))


def constant_values(metric: MetricField) -> bool:
    """Whether the metric is the same at every point."""
    return bool(np.ptp(flattened(metric), axis=1).max() == 0)
