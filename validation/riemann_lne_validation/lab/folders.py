"""Places that results go to: checked before the work, and owned while it goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from riemann_lne.errors import FolderInUseError, InvalidArgumentError, StorageError
from riemann_lne.locks import hold


@contextmanager
def owned(
    purpose: str, folders: Iterable[Path | None] = (), file: Path | None = None
) -> Iterator[None]:
    """Own the places of a run's results until the block ends; a second run there is refused.

    Folders are made, and removed again if nothing was put into them.

    Parameters
    ----------
    purpose : str
        For the message to the second run: "the results of verify".
    folders : iterable of Path or None
        None is passed over.
    file : Path, optional
        A single file, whose folder others may use.

    Raises
    ------
    FolderInUseError
        If another run owns one of them; the message says which run.
    InvalidArgumentError
        If one cannot be made, or not be written to.
    """
    with ExitStack() as stack:
        for folder in dict.fromkeys(f for f in folders if f is not None):
            stack.enter_context(_made(folder))
            require_writable(folder)
            stack.enter_context(_held(folder, purpose, inside=True))
        if file is not None:
            if file.is_dir():
                raise InvalidArgumentError(f"{file} is a folder; name a file for the results")
            stack.enter_context(_made(file.parent))
            require_writable(file.parent)
            stack.enter_context(_held(file, purpose, inside=False))
        yield


@contextmanager
def _held(path: Path, purpose: str, inside: bool) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(path, purpose, inside=inside))
        except FolderInUseError:
            raise
        except StorageError as error:
            raise InvalidArgumentError(f"cannot write to {path}: {error}") from error
        yield


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder, made if need be; those made that are empty at the end are removed."""
    try:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgumentError(f"cannot write to {folder}: {error}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            for made in missing:
                made.rmdir()


def require_writable(folder: Path | None) -> None:
    """Create the folder now: to find out after minutes of work that it cannot be is unkind.

    Files that are there already are left alone: the file that is tried has a new name.

    Raises
    ------
    InvalidArgumentError
        If the folder cannot be created, or not be written to.
    """
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".riemann-lne-"):
            pass
    except OSError as error:
        raise InvalidArgumentError(f"cannot write to {folder}: {error}") from error
