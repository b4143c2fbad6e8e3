"""Folders that results go to."""

from __future__ import annotations

from pathlib import Path

from riemann_lne.errors import InvalidArgumentError


def require_writable(folder: Path | None) -> None:
    """Create the folder now: to find out after minutes of work that it cannot be is unkind.

    Raises
    ------
    InvalidArgumentError
        If the folder cannot be created, or not be written to.
    """
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidArgumentError(f"cannot write to {folder}: {error}") from error
