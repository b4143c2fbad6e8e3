"""Where a configuration is run: in this process, or in several that share the grid."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ..errors import InvalidArgumentError, MissingDependencyError
from ..grids import Grid
from ..integrators import FlowSolution, solve_flow
from ..io import StoredMetrics
from ..locks import hold
from ..metrics import MetricField

GROUP = "riemann_lne.stages"
"""Entry points: functions without arguments that give the class of a stage of several processes."""


class Stage:
    """One process that does everything.

    Attributes
    ----------
    first : bool
        Whether this process prints, draws and writes what is one file.
    """

    first = True

    @classmethod
    def launched(cls) -> bool:
        """Whether a launcher started this program in several processes."""
        return False

    def configure(self, table: Any) -> None:
        """Take over the section [parallel]; None if there is none."""

    def share(self, grid: Grid) -> Grid:
        """The grid of the flow, from that of the configuration."""
        return grid

    def cut(self, metric: MetricField) -> MetricField:
        """A metric of a file, on the grid of the flow."""
        return metric

    def stored(self, metrics: StoredMetrics, index: int) -> MetricField:
        """A metric of a store, on the grid of the flow."""
        return metrics[index]

    def solve(self, *arguments: Any, **options: Any) -> FlowSolution:
        """Integrate."""
        return solve_flow(*arguments, **options)

    def gathered(self, solution: FlowSolution) -> FlowSolution:
        """The solution with whole metrics."""
        return solution

    def hold(self, path: Path, purpose: str, inside: bool = True) -> AbstractContextManager[None]:
        """Own a folder or a file."""
        return hold(path, purpose, inside=inside)

    def together(self) -> AbstractContextManager[None]:
        """Code that all processes enter, and leave with one error."""
        return nullcontext()

    def agreed(self, flag: bool) -> bool:
        """The first process's flag, on all processes."""
        return flag

    def plan(self, grid: Grid, size: int | None, integrator: Mapping[str, Any]) -> list[str]:
        """Memory and traffic on a number of processes, as lines of text."""
        raise MissingDependencyError("riemann_lne_mpi", "mpi", "--dry-run")


ALONE = Stage()
"""The usual stage."""


def find_stage() -> Stage:
    """The stage on which this program was started."""
    for kind in _others():
        if kind.launched():
            return kind()
    return ALONE


def configured(stage: Stage, config: Mapping[str, Any]) -> Stage:
    """The stage with the section [parallel] of a configuration.

    Raises
    ------
    MissingDependencyError
        If there is such a section, and nothing that can share grids.
    """
    if stage is ALONE and "parallel" in config:
        stage = other_stage("[parallel]")
    table = config.get("parallel")
    if table is not None and not isinstance(table, Mapping):
        raise InvalidArgumentError(f"parallel = {table!r}; give a table: [parallel]")
    stage.configure(table)
    return stage


def other_stage(purpose: str) -> Stage:
    """A stage for several processes, also where there is one."""
    for kind in _others():
        return kind()
    raise MissingDependencyError("riemann_lne_mpi", "mpi", purpose)


def _others() -> list[type[Stage]]:
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [entry.load()() for entry in found]
