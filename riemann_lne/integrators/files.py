"""Checkpoints and stores of a run; a grid that processes share brings its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..grids import Grid
from ..io import MetricStore
from ..locks import hold
from .checkpoint import Checkpoint, CheckpointFile


class Files:
    """Files of a run of one process."""

    def checkpoint(
        self, plan: Checkpoint, identity: Mapping[str, str], grid: Grid
    ) -> CheckpointFile:
        """Writes and reads the checkpoints."""
        return CheckpointFile(plan, identity)

    def store(
        self,
        path: Path,
        grid: Grid,
        dtype: Any,
        observed: Sequence[str],
        events: Sequence[str],
        mode: str,
    ) -> MetricStore:
        """A new zarr store."""
        return MetricStore(path, grid, dtype, observed, events, mode)

    def resumed_store(
        self,
        path: Path,
        grid: Grid,
        dtype: Any,
        observed: Sequence[str],
        events: Sequence[str],
        written: Mapping[str, Sequence[int]],
    ) -> MetricStore:
        """A zarr store that a run goes on with."""
        return MetricStore.resume(path, grid, dtype, observed, events, written)

    def hold(self, path: Path, purpose: str, inside: bool = True) -> AbstractContextManager[None]:
        """Own a folder or a store, see ``locks.hold``."""
        return hold(path, purpose, inside=inside)


FILES = Files()


def files_of(grid: Grid) -> Files:
    """Those of a grid."""
    result: Files | None = grid.team.files
    return FILES if result is None else result
