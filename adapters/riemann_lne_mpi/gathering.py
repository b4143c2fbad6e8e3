"""Metrics of a shared grid brought together on one process, or on all."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from riemann_lne.arrays import like, namespace, to_numpy
from riemann_lne.errors import DTypeError, InvalidArgumentError
from riemann_lne.io import StoredMetrics
from riemann_lne.metrics import MetricField

from .grids import BlockGrid, distribute


def gather(metric: MetricField) -> MetricField:
    """The whole metric, on every process; called by all of them.

    Parameters
    ----------
    metric : MetricField
        On a grid of ``distribute``. A metric on a whole grid comes back as it is.

    Raises
    ------
    DTypeError
        If it is no metric.
    """
    if not isinstance(metric, MetricField):
        raise DTypeError(f"metric is a {type(metric).__name__}; give a MetricField")
    grid = metric.grid
    if not isinstance(grid, BlockGrid):
        return metric
    whole, layout, team = grid._parts
    host = to_numpy(metric.packed)
    everywhere = [tuple((0, n) for n in whole.shape)] * team.size
    with team.together():
        packed = grid.move(layout.boxes(), everywhere, host.shape[0], host.dtype)(host)
    return MetricField.from_packed(whole, like(packed, metric.packed), check=False)


def block_of(metric: MetricField, grid: BlockGrid) -> MetricField:
    """The block of a metric that every process holds in full."""
    part = (slice(None), *(slice(a, b) for a, b in grid.bounds))
    copied = namespace(metric.packed).asarray(metric.packed[part], copy=True)
    return MetricField.from_packed(grid, copied, check=False)


def load(
    path: str | PathLike[str], index: int = -1, dims: Sequence[int] | None = None
) -> MetricField:
    """The block of this process of a metric in a zarr store, which is all that is read of it.

    Parameters
    ----------
    path : path
        A store that ``solve_flow`` wrote, in one process or in several.
    index : int
        Which of its metrics; by default the last.
    dims : sequence of int, optional
        As in ``distribute``.

    Raises
    ------
    InvalidArgumentError
        If the store has no such metric.
    DamagedFileError
        If it is not what a flow wrote.
    """
    # Every process checks the chunks that it reads.
    stored = StoredMetrics(path, read_through=False)
    if not -len(stored) <= index < len(stored):
        raise InvalidArgumentError(
            f"index = {index}; {path} holds {len(stored)} metrics: give an index below that"
        )
    grid = distribute(stored.grid, dims)
    with grid.team.together():
        place = [slice(a, b) for a, b in grid.bounds]
        packed = stored.part(index % len(stored), place)
    return MetricField.from_packed(grid, packed, check=False)
