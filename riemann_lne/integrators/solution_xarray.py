"""FlowSolution for xarray: labelled, read only when it is used, with plain attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import to_numpy
from ..errors import MissingDependencyError, UnknownNameError
from ..io import StoredMetrics
from ..tensors import pairs
from .solution_files import record_of

if TYPE_CHECKING:
    from .solution import FlowSolution


def to_xarray(solution: FlowSolution, what: str) -> Any:
    """See ``FlowSolution.to_xarray``."""
    try:
        import xarray as xr
    except ImportError as error:
        raise MissingDependencyError("xarray", "io", "to_xarray", error) from error
    attributes = plain_attributes({**solution.parameters, **record_of(solution)})
    if what == "observed":
        # The dimension has the name t already.
        columns = {
            f"observed_{name}" if name == "t" else name: ("t", values)
            for name, values in solution.observed.items()
        }
        return xr.Dataset(columns, coords={"t": solution.t_observed}, attrs=attributes)
    if what != "metrics":
        raise UnknownNameError("kind of data", what, ["metrics", "observed"])
    n, axes = solution.grid.ndim, [f"x{a}" for a in range(solution.grid.ndim)]
    place = {pair: c for c, pair in enumerate(pairs(n))}
    index = np.array([[place[min(i, j), max(i, j)] for j in range(n)] for i in range(n)])
    dimensions = ("t", "pair", *axes)
    if isinstance(solution.metrics, StoredMetrics):
        packed = xr.DataArray(_lazy(solution.metrics), dims=dimensions, coords={"t": solution.t})
    else:
        values = np.stack([to_numpy(g.packed) for g in solution.metrics])
        packed = xr.DataArray(values, dims=dimensions, coords={"t": solution.t})
    # Both orders of the indices from the one that is stored, without reading it.
    full = packed.isel(pair=xr.DataArray(index, dims=("i", "j")))
    coordinates = dict(zip(axes, solution.grid.axes(), strict=True))
    full = full.transpose("t", "i", "j", *axes).assign_coords(
        {"i": np.arange(n), "j": np.arange(n)} | coordinates
    )
    full.name, full.attrs = "metric", attributes
    return full


def plain_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as every file format takes them: numbers, texts, lists of numbers.

    Truth values become 0 and 1; None and whatever has parts become their JSON text.

    Examples
    --------
    >>> plain_attributes({"dt": None, "success": True, "t_span": [0.0, 1.0], "boundary": {}})
    {'dt': 'null', 'success': 1, 't_span': [0.0, 1.0], 'boundary': '{}'}
    """
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple)) and value:
        if all(isinstance(v, bool) for v in value):
            return [int(v) for v in value]
        if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
            return list(value)
    return json.dumps(value)


def _lazy(stored: StoredMetrics) -> Any:
    """The packed metrics as an array that xarray reads when it is used, each metric checked."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class _Packed(BackendArray):
        shape = (len(stored), len(pairs(stored.grid.ndim)), *stored.grid.shape)
        dtype = np.dtype(stored.dtype)

        def __getitem__(self, key: Any) -> Any:
            return indexing.explicit_indexing_adapter(
                key, self.shape, indexing.IndexingSupport.OUTER, self._read
            )

        def _read(self, key: tuple[Any, ...]) -> np.ndarray:
            first, rest = key[0], key[1:]
            if isinstance(first, (int, np.integer)):
                return _outer(stored.packed(int(first)), rest)
            rows = np.arange(len(stored))[first]
            parts = [_outer(stored.packed(int(k)), rest) for k in rows]
            if parts:
                return np.stack(parts)
            return np.zeros((0, *_outer(np.zeros(self.shape[1:], self.dtype), rest).shape))

    return indexing.LazilyIndexedArray(_Packed())


def _outer(values: np.ndarray, key: tuple[Any, ...]) -> np.ndarray:
    """Every axis indexed by itself: integers drop it, slices and arrays choose along it."""
    for axis in reversed(range(len(key))):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values
