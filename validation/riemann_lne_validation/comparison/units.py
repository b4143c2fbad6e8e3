"""The unit of work, and where its files are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .protocol import Arm

__all__ = ["Place", "Unit"]


@dataclass(frozen=True, eq=False)
class Unit:
    """One arm and one seed; ``is_start``: the full-precision network that others start from."""

    arm: Arm
    seed: int
    is_start: bool = False

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.arm.key}-seed{self.seed:04d}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unit) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Place:
    """Where and how units are run; goes to the worker processes."""

    folder: Path
    data: Path | None
    checkpoint_seconds: float
    devices: tuple[str, ...]
    environment: Mapping[str, Any]
    tensorboard: Path | None
    tasks: tuple[Path, ...] = ()

    @property
    def records(self) -> Path:
        """Folder of the records."""
        return self.folder / "records"

    def checkpoint(self, unit: Unit) -> Path:
        """File of a run that is not finished."""
        return self.folder / "checkpoints" / f"{unit.name}.npz"

    def start(self, arm: Arm, seed: int) -> Path:
        """File of a full-precision start."""
        return self.folder / "starts" / f"{arm.digest}-seed{seed:04d}.npz"

    def tell(self, unit: Unit, fraction: float) -> None:
        """Leave word how far a unit is; that it cannot be left is no reason to stop."""
        with suppress(OSError):
            self._word(unit).write_text(f"{fraction:.6f}", encoding="ascii")

    def hear(self, unit: Unit) -> float | None:
        """How far a unit is, or None if it has not begun."""
        try:
            fraction = float(self._word(unit).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return fraction if 0.0 <= fraction <= 1.0 else None

    def clear(self, unit: Unit) -> None:
        """Take away what only an unfinished unit needs."""
        for path in (self.checkpoint(unit), self._word(unit)):
            path.unlink(missing_ok=True)

    def _word(self, unit: Unit) -> Path:
        return self.folder / "checkpoints" / f"{unit.name}.progress"
