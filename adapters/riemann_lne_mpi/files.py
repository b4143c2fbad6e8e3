"""Checkpoints and stores that all processes write together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from riemann_lne.grids import Grid
from riemann_lne.integrators.checkpoint import Checkpoint, CheckpointFile
from riemann_lne.integrators.files import Files
from riemann_lne.io import MetricStore, StoredMetrics
from riemann_lne.locks import hold

if TYPE_CHECKING:
    from .team import MPITeam


class SharedFiles(Files):
    """Files of a run of several processes: the first one owns, each writes what it holds."""

    def __init__(self, team: MPITeam) -> None:
        self._team = team

    def checkpoint(
        self, plan: Checkpoint, identity: Mapping[str, str], grid: Grid
    ) -> CheckpointFile:
        from .checkpoints import SharedCheckpointFile

        return SharedCheckpointFile(plan, identity, grid)

    @property
    def stores(self) -> type[MetricStore]:
        from .stores import SharedStore

        return SharedStore

    def stored(
        self, path: Path, written: Mapping[str, Sequence[int]] | None = None
    ) -> StoredMetrics:
        from .stores import read_through

        found = StoredMetrics(path, written, read_through=False)
        if written is not None:
            read_through(found, self._team)
        return found

    @contextmanager
    def hold(self, path: Path, purpose: str, inside: bool = True) -> Iterator[None]:
        team = self._team
        owner = hold(path, purpose, inside=inside) if team.rank == 0 else None
        with team.together():
            if owner is not None:
                owner.__enter__()
        try:
            yield
        finally:
            if owner is not None:
                owner.__exit__(None, None, None)
