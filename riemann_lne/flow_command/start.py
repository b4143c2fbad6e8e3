"""The sections [grid] and [start]: where a flow lives and what it starts from."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import exact
from ..errors import InvalidArgumentError, RiemannLNEError
from ..exact import ExactSolution
from ..grids import Grid
from ..integrators import FlowSolution
from ..io import NpzReader, StoredMetrics, reading
from ..metrics import MetricField, flat_metric, perturbed_euclidean
from .formulas import Formula
from .sections import ConfigError, Section, unknown
from .stage import ALONE, Stage

COORDINATES = "xyzw"
_GRID_KEYS = ("shape", "lower", "upper", "lengths", "periodic")
_SOURCES = ("kind", "exact", "components", "file")
_START_KEYS = (*_SOURCES, "arguments", "time", "points", "dtype")
_BELONGS = {"arguments": ("kind", "exact"), "time": ("exact", "file"), "points": ("exact",)}
_BUILT_IN: dict[str, Callable[..., MetricField]] = {
    "flat": flat_metric,
    "perturbed_euclidean": perturbed_euclidean,
}
# A product has solutions for arguments, which a configuration cannot name.
_EXACT: dict[str, Callable[..., ExactSolution]] = {
    name: getattr(exact, name) for name in exact.__all__ if name not in ("ExactSolution", "product")
}
_DTYPES = {"float64": np.float64, "float32": np.float32}


@dataclass(frozen=True)
class Start:
    """A metric to start from, and the exact solution that it is a moment of, if it is one."""

    metric: MetricField
    exact: ExactSolution | None = None


class MetricFormula:
    """Components of a metric as formulas: a function of (t, *coordinates).

    Parameters
    ----------
    rows : list of lists of str or number
        n rows of n formulas.
    n : int
        Dimension; the coordinates are called x, y, z, w.
    where : str
        For messages.
    timed : bool
        Whether formulas may use t.
    """

    def __init__(self, rows: Any, n: int, where: str, timed: bool) -> None:
        square = isinstance(rows, list) and len(rows) == n
        if not square or not all(isinstance(r, list) and len(r) == n for r in rows):
            raise InvalidArgumentError(
                f"{where} = {rows!r}; give {n} rows of {n} formulas, the grid having {n} axes"
            )
        self._names = (*(["t"] if timed else []), *COORDINATES[:n])
        self._timed = timed
        self._rows = [
            [self._formula(entry, f"{where}[{i}][{j}]") for j, entry in enumerate(row)]
            for i, row in enumerate(rows)
        ]

    def _formula(self, entry: Any, where: str) -> Formula:
        if isinstance(entry, bool) or not isinstance(entry, (str, int, float)):
            raise InvalidArgumentError(f"{where} = {entry!r}; give a formula or a number")
        try:
            return Formula(entry, self._names)
        except RiemannLNEError as error:
            raise InvalidArgumentError(f"{where}: {error}") from error

    def __call__(self, t: float, *coordinates: Any) -> list[list[Any]]:
        """Rows of arrays and numbers."""
        given = (float(t), *coordinates) if self._timed else coordinates
        values = dict(zip(self._names, given, strict=True))
        return [[formula(**values) for formula in row] for row in self._rows]

    def __repr__(self) -> str:
        # Checkpoints tell runs apart by this.
        return f"MetricFormula({[[f.text for f in row] for row in self._rows]})"


def build_grid(table: Any) -> Grid:
    """The grid of section [grid]."""
    section = Section("grid", table, _GRID_KEYS)
    shape = section.integers("shape")
    n = len(shape)
    if not 1 < n <= len(COORDINATES):
        raise section.wrong("shape", "2 to 4 numbers of points, as in [64, 64]")
    periodic = section.flags("periodic", True, n)
    lower = section.numbers("lower", (0.0,) * n, n)
    if "upper" in section and "lengths" in section:
        raise ConfigError("[grid] has upper and lengths; give one of them")
    if "upper" in section:
        upper = section.numbers("upper", n=n)
    elif "lengths" in section or not all(periodic):
        lengths = section.numbers("lengths", n=n)
        upper = tuple(a + length for a, length in zip(lower, lengths, strict=True))
    else:
        upper = tuple(a + 2 * math.pi for a in lower)
    with section.errors("shape"):
        return Grid(shape, lower, upper, periodic)


def grid_of_start(config: Mapping[str, Any], folder: Path) -> Grid:
    """The whole grid of a configuration, without a metric on it."""
    if "grid" in config:
        return build_grid(config["grid"])
    section = Section("start", config.get("start", {}), _START_KEYS)
    if "exact" in section and "points" in section:
        make = _EXACT[section.choice("exact", _EXACT)]
        solution: ExactSolution = _call(section, lambda: make(**_arguments(section, make, ())))
        return solution.grid(section.integer("points", least=2))
    if "file" in section:
        return FlowSolution.load(folder / section.text("file")).grid
    return _grid(config)


def build_start(config: Mapping[str, Any], folder: Path, t0: float, stage: Stage = ALONE) -> Start:
    """The metric of the sections [grid] and [start].

    Parameters
    ----------
    config : mapping
        The whole configuration.
    folder : Path
        That of the configuration file: relative paths start there.
    t0 : float
        Start of the flow, the time of an exact solution unless the section has its own.
    stage : Stage
        Where the flow will be run.
    """
    section = Section("start", config.get("start", {}), _START_KEYS)
    sources = [key for key in _SOURCES if key in section]
    if len(sources) != 1:
        raise ConfigError(
            f"[start] has {' and '.join(sources) or 'no source'}; give one of {', '.join(_SOURCES)}"
        )
    dtype = _DTYPES[section.choice("dtype", _DTYPES, "float64")]
    for key, sources_with_it in _BELONGS.items():
        if key in section and sources[0] not in sources_with_it:
            raise ConfigError(f"[start] {key} goes with {' or '.join(sources_with_it)} alone")
    with section.errors(sources[0]):
        if "file" in section:
            return _from_file(section, config, folder, dtype, stage)
        if "exact" in section:
            return _from_exact(section, config, t0, dtype, stage)
        grid = stage.share(_grid(config))
        if "components" in section:
            formula = MetricFormula(section.get("components"), grid.ndim, "components", False)
            return Start(MetricField.from_function(grid, lambda *x: formula(0.0, *x), dtype=dtype))
        make = _BUILT_IN[section.choice("kind", _BUILT_IN)]
        options = _arguments(section, make, ("grid", "xp", "dtype", "device"))
        return Start(_call(section, lambda: make(grid, dtype=dtype, **options)))


def _grid(config: Mapping[str, Any]) -> Grid:
    if "grid" not in config:
        raise ConfigError("the configuration lacks the section [grid] with a shape; add it")
    return build_grid(config["grid"])


def _from_exact(
    section: Section, config: Mapping[str, Any], t0: float, dtype: Any, stage: Stage
) -> Start:
    make = _EXACT[section.choice("exact", _EXACT)]
    options = _arguments(section, make, ())
    solution: ExactSolution = _call(section, lambda: make(**options))
    if ("points" in section) == ("grid" in config):
        raise InvalidArgumentError(
            "an exact solution needs the section [grid], or [start] points = N for its own grid "
            "with N points along each axis; give one of them"
        )
    if "points" in section:
        grid = solution.grid(section.integer("points", least=2))
    else:
        grid = _grid(config)
    grid = stage.share(grid)
    time = section.number("time", t0)
    # Later on, boundary and background ask the solution for the times of the flow.
    return Start(solution.field(time, grid, dtype=dtype), solution if time == t0 else None)


def _arguments(section: Section, make: Callable[..., Any], own: tuple[str, ...]) -> dict[str, Any]:
    """Keyword arguments of a function, their names checked."""
    known = [name for name in inspect.signature(make).parameters if name not in own]
    options = section.get("arguments", {})
    if not isinstance(options, Mapping):
        raise section.wrong("arguments", "a table, as in { amplitude = 0.1 }")
    for name in options:
        if name not in known:
            raise unknown("key of [start] arguments:", name, known or ["none at all"])
    return dict(options)


def _call(section: Section, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, RiemannLNEError):
            raise
        raise InvalidArgumentError(
            f"arguments = {section.get('arguments', {})!r} do not fit; change them: {error}"
        ) from error


def _from_file(
    section: Section, config: Mapping[str, Any], folder: Path, dtype: Any, stage: Stage
) -> Start:
    name = section.text("file")
    path = folder / name
    if not path.exists():
        raise InvalidArgumentError(f"there is no file {path}; check the path")
    components = None if name.endswith(".zarr") else _components(path, config)
    if components is not None:
        if "time" in section:
            raise InvalidArgumentError(f"remove time: {path} holds a single metric")
        metric = MetricField(_grid(config), components)
        return Start(_in_precision(stage.cut(metric), dtype, section))
    if "grid" in config:
        raise InvalidArgumentError(f"the grid is that of {path}: remove the section [grid]")
    solution = FlowSolution.load(path)
    index = -1 if "time" not in section else _index(solution.t, section.number("time"))
    if isinstance(solution.metrics, StoredMetrics):
        metric = stage.stored(solution.metrics, index)
    else:
        metric = stage.cut(solution[index])
    return Start(_in_precision(metric, dtype, section))


def _components(path: Path, config: Mapping[str, Any]) -> np.ndarray | None:
    """The array ``components`` of an .npz file, if it has one; it must fit the grid."""
    kind = "a .zarr store or an .npz file that can be read"
    with reading(path, kind), NpzReader(path) as file:
        if "components" not in file.names:
            return None
    grid = _grid(config)
    with reading(path, kind), NpzReader(path) as file:
        file.expect("components", "fiu", (grid.ndim, grid.ndim, *grid.shape))
        file.require_memory(["components"])
        return file.read("components")


def _index(times: np.ndarray, time: float) -> int:
    near = int(np.argmin(np.abs(times - time)))
    # Times written down in decimals are not always those of a run to the last bit.
    if abs(times[near] - time) > 1e-9 * max(1.0, abs(time)):
        raise InvalidArgumentError(
            f"time = {time:g} is not among the {len(times)} that were kept, from {times[0]:g} to "
            f"{times[-1]:g}; the nearest is {times[near]:.10g}"
        )
    return near


def _in_precision(metric: MetricField, dtype: Any, section: Section) -> MetricField:
    """The metric in the precision asked for; in its own if none was."""
    if "dtype" not in section or metric.packed.dtype == dtype:
        return metric
    return MetricField.from_packed(metric.grid, metric.packed.astype(dtype))
