"""``mpiexec -n 4 riemann-lne flow CONFIG.toml``: the stage of several processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from riemann_lne.errors import RiemannLNEError
from riemann_lne.flow_command.sections import Section
from riemann_lne.flow_command.stage import Stage
from riemann_lne.grids import Grid
from riemann_lne.integrators import FlowSolution
from riemann_lne.integrators.methods import METHODS
from riemann_lne.io import StoredMetrics
from riemann_lne.metrics import MetricField

from .files import SharedFiles
from .gathering import block_of, gather, load
from .grids import BlockGrid, distribute
from .library import launched
from .planning import plan
from .solve import solve_flow
from .team import world

_KEYS = ("dims",)


def stage() -> type[Stage]:
    """The class of the stage; MPI begins when one is made."""
    return MPIStage


class MPIStage(Stage):
    """Processes that MPI started."""

    def __init__(self) -> None:
        self._dims: tuple[int, ...] | None = None
        self._team: Any = None

    @classmethod
    def launched(cls) -> bool:
        return launched() > 1

    @property
    def team(self) -> Any:
        """All processes. All but the first are silent from here on: what they say, it says."""
        if self._team is None:
            self._team = world()
            if self._team.rank > 0:
                nowhere = open(os.devnull, "w")  # noqa: SIM115
                sys.stdout = sys.stderr = nowhere
        return self._team

    @property
    def first(self) -> bool:  # type: ignore[override]
        return bool(self.team.rank == 0)

    def configure(self, table: Any) -> None:
        section = Section("parallel", table or {}, _KEYS)
        self._dims = section.integers("dims", None)

    def share(self, grid: Grid) -> Grid:
        return distribute(grid, self._dims, team=self.team)

    def cut(self, metric: MetricField) -> MetricField:
        grid = self.share(metric.grid)
        assert isinstance(grid, BlockGrid)
        return block_of(metric, grid)

    def stored(self, metrics: StoredMetrics, index: int) -> MetricField:
        return load(metrics.path, index, self._dims)

    def solve(self, *arguments: Any, **options: Any) -> FlowSolution:
        return solve_flow(*arguments, **options)

    def gathered(self, solution: FlowSolution) -> FlowSolution:
        if isinstance(solution.metrics, StoredMetrics):
            return solution
        return replace(
            solution,
            metrics=[gather(metric) for metric in solution.metrics],
            metrics_events=[[gather(m) for m in group] for group in solution.metrics_events],
        )

    def hold(self, path: Path, purpose: str, inside: bool = True) -> AbstractContextManager[None]:
        return SharedFiles(self.team).hold(path, purpose, inside)

    def together(self) -> AbstractContextManager[None]:
        return self.team.together()

    def agreed(self, flag: bool) -> bool:
        return bool(self.team.decided(flag))

    def plan(self, grid: Grid, size: int | None, integrator: Mapping[str, Any]) -> list[str]:
        size = size or max(1, launched())
        order, method = integrator.get("order", 4), integrator.get("method", "auto")
        if not isinstance(order, int) or method not in METHODS:
            raise RiemannLNEError(f"order = {order!r}, method = {method!r}; see solve_flow")
        if method == "auto":
            method = "etdrk4" if grid.is_torus else "rkl2"
        return plan(grid, size, method, order, self._dims).lines()
