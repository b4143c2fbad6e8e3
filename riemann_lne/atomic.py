"""Files that appear under their name only when they are whole and on the disk.

Everything that this project writes to be read back goes through ``write_atomically``. The
temporary file has a name of its own for every writer, is opened exclusively and never through a
link, so that neither another run nor a link that somebody left there can come between.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .errors import StorageError

_ENDING = ".part"
# Of the name of a file in bytes: what is left of 255 for dots, token and ending.
_NAME_BYTES = 200
# A temporary file younger than this may belong to a writer that has not locked it yet.
_STALE_SECONDS = 60.0
_swept: set[Path] = set()


@contextmanager
def storage_errors(what: str, path: Path) -> Iterator[None]:
    """Turn the system's errors in writing into StorageError, which says what is still good.

    Examples
    --------
    >>> with storage_errors("the notes", Path("missing/notes.txt")):
    ...     Path("missing/notes.txt").write_text("")
    Traceback (most recent call last):
    riemann_lne.errors.StorageError: could not write the notes at missing/notes.txt: No such file...
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"could not write {what} at {path}: {reason}; what was written before is intact: "
            "free space or choose another place, and go on from there",
            errno=error.errno,
        ) from error


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that appears under its name only when it is complete and on the disk.

    Parameters
    ----------
    path : Path
        The file, replaced if it exists; a link of that name is replaced, not followed. Its mode
        is that of any new file (0666 less the umask).
    write : callable
        Writes the content to the binary file that it is given.

    Raises
    ------
    OSError
        If the file cannot be written. Whatever was at the path before is then intact, and the
        temporary file is removed.
    """
    sweep(path.parent)
    temporary = path.with_name(_temporary_name(path.name))
    # O_EXCL fails where anything has the name, also a link; O_NOFOLLOW says so once more.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _flags("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
    handle = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(handle, "w+b") as file:
            _lock(file.fileno())
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":
                # Renamed while it is locked: ``sweep`` cannot take it for a dead writer's.
                os.replace(temporary, path)
        if os.name != "posix":
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed writers left in a folder; once in a process.

    A file goes only if its name is one of ours, it is not young, and no living writer holds its
    lock, which the kernel releases when a process dies.
    """
    folder = Path(os.path.abspath(folder))
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and entry.name.endswith(_ENDING):
                with suppress(OSError):
                    _remove_if_stale(entry)


def _remove_if_stale(entry: os.DirEntry[str]) -> None:
    token = entry.name.removesuffix(_ENDING).rpartition(".")[2]
    if len(token) != 32 or set(token) - set("0123456789abcdef"):
        return
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < _STALE_SECONDS:
        return
    handle = os.open(entry.path, os.O_RDWR | _flags("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK"))
    try:
        stale = _lock(handle)
        if stale and os.name == "posix":
            os.unlink(entry.path)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether nobody else holds the lock of a file; where there are no locks, somebody may."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(handle, blocking=False)
    except OSError:
        return False


def _temporary_name(name: str) -> str:
    start = os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
    return f".{start}.{secrets.token_hex(16)}{_ENDING}"


def _flags(*names: str) -> int:
    """Flags of ``os.open`` that not every system has."""
    result = 0
    for name in names:
        result |= getattr(os, name, 0)
    return result


def _sync_folder(folder: Path) -> None:
    """Make a renaming last; systems that cannot open folders do without."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
