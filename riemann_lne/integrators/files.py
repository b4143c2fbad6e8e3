"""Checkpoints and stores of a run; a grid that processes share has other classes for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..grids import Grid
from ..io import MetricStore, StoredMetrics
from ..locks import hold
from .checkpoint import Checkpoint, CheckpointFile


class Files:
    """Files of a run of one process."""

    def checkpoint(
        self, plan: Checkpoint, identity: Mapping[str, str], grid: Grid
    ) -> CheckpointFile:
        """Writes and reads the checkpoints."""
        return CheckpointFile(plan, identity)

    @property
    def stores(self) -> type[MetricStore]:
        """The class of the zarr stores: called for a new one, ``resume`` to go on with one."""
        return MetricStore

    def stored(
        self, path: Path, written: Mapping[str, Sequence[int]] | None = None
    ) -> StoredMetrics:
        """A store that a run reads; read through, where a checkpoint says how much was written."""
        return StoredMetrics(path, written)

    def hold(self, path: Path, purpose: str, inside: bool = True) -> AbstractContextManager[None]:
        """Own a folder or a store, see ``locks.hold``."""
        return hold(path, purpose, inside=inside)


FILES = Files()


def files_of(grid: Grid) -> Files:
    """The classes of a grid's files."""
    result: Files | None = grid.team.files
    return FILES if result is None else result
