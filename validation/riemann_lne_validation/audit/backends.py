"""The array library in which a check runs its flows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from riemann_lne import Grid, MetricField
from riemann_lne.errors import MissingDependencyError, UnknownNameError

_EXTRAS = {"numpy": "", "torch": "torch", "cupy": "gpu"}


class Backend:
    """An array namespace by name: "numpy", "torch" or "cupy".

    Raises
    ------
    UnknownNameError
        For another name.
    MissingDependencyError
        If the library is not installed.
    """

    def __init__(self, name: str) -> None:
        if name not in _EXTRAS:
            raise UnknownNameError("backend", name, _EXTRAS)
        try:
            library = importlib.import_module(name)
        except ImportError as error:
            raise MissingDependencyError(name, _EXTRAS[name], f"--backend {name}", error) from error
        array = library.zeros(1)
        self.name = name
        self.xp: Any = array_api_compat.array_namespace(array)

    def metric(self, grid: Grid, function: Callable[..., Any]) -> MetricField:
        """Metric from a function of the coordinates, as float64 arrays of the library."""
        return MetricField.from_function(grid, function, xp=self.xp)

    def asarray(self, values: Any) -> Any:
        """Values as a float64 array of the library."""
        if isinstance(values, np.ndarray) and not values.flags.writeable:
            values = values.copy()  # PyTorch takes none that is read-only
        return self.xp.asarray(values, dtype=self.xp.float64)
