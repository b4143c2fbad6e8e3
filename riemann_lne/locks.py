"""One owner at a time for a folder, a store or a file: ``hold``.

The lock is an advisory one of the operating system (``flock``, on Windows ``LockFileEx``, both
through the library filelock). The kernel releases it when the process ends, however it ends, so a
lock file that a killed run left behind blocks nobody.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .atomic import storage_errors
from .errors import FolderInUseError, InvalidArgumentError, StorageError

_NAME = ".lock"
_RECORD_BYTES = 4096
_ATTEMPTS = 100
# The folders that this thread (or task) of this process holds. A forked child inherits the value,
# so it names the process too.
_held: ContextVar[frozenset[tuple[int, str]]] = ContextVar("_held", default=frozenset())
_handles: set[int] = set()


def lock_file(path: str | os.PathLike[str], inside: bool = True) -> Path:
    """Where the lock of a path lives.

    Parameters
    ----------
    path : path
        File or folder that is locked; it need not exist. Links are followed, so that all names of a
        folder have one lock.
    inside : bool
        True for folders of our own (checkpoints, results): ``FOLDER/.lock``. False for single
        files, and for zarr stores, in which a foreign file makes zarr warn: ``.NAME.lock`` beside.

    Examples
    --------
    >>> lock_file("/runs/a.checkpoint").as_posix(), lock_file("/runs/a.zarr", False).as_posix()
    ('/runs/a.checkpoint/.lock', '/runs/.a.zarr.lock')
    """
    real = Path(os.path.realpath(path))
    return real / _NAME if inside else real.with_name(f".{real.name}{_NAME}")


@contextmanager
def hold(path: str | os.PathLike[str], purpose: str, *, inside: bool = True) -> Iterator[None]:
    """Own a folder, store or file until the block ends; a second owner is refused at once.

    A block may hold what a surrounding block of the same thread holds already (the command holds a
    checkpoint while it looks at it, ``solve_flow`` while it runs). Another thread, a forked child
    and another process are refused.

    Parameters
    ----------
    path : path
        File or folder that is owned; it need not exist yet. The folder in which the lock file lives
        is made, and removed again if nothing was put into it.
    purpose : str
        Its name in the message to others: "verify's results".
    inside : bool
        Where the lock file lives, see ``lock_file``.

    Raises
    ------
    FolderInUseError
        If somebody else owns it; the message says who, and since when.
    StorageError
        If the lock file cannot be made, or is a link.

    Warns
    -----
    UserWarning
        Where the file system has no locks. The block is entered all the same.

    Examples
    --------
    >>> import tempfile
    >>> from threading import Thread
    >>> def second():
    ...     try:
    ...         with hold(folder, "another run"):
    ...             print("entered")
    ...     except FolderInUseError as error:
    ...         print("refused:", "by a run" in str(error))
    >>> with tempfile.TemporaryDirectory() as folder, hold(folder, "by a run"):
    ...     thread = Thread(target=second)
    ...     thread.start()
    ...     thread.join()
    refused: True
    """
    place = lock_file(_checked(path), inside)
    key = (os.getpid(), str(place))
    if key in _held.get():
        yield
        return
    made = _make_folders(place.parent, purpose)
    try:
        handle = _acquire(place, Path(path), purpose)
    except BaseException:
        _remove_folders(made)
        raise
    token = _held.set(_held.get() | {key})
    try:
        yield
    finally:
        _held.reset(token)
        _release(handle, place)
        _remove_folders(made)


def _checked(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if not text or "\0" in text:
        raise InvalidArgumentError(f"path = {text!r}; give a path without NUL characters")
    return text


def _acquire(place: Path, path: Path, purpose: str) -> int:
    from filelock import lock_descriptor

    with storage_errors(purpose, place):
        for _ in range(_ATTEMPTS):
            handle = _open(place)
            try:
                try:
                    free = lock_descriptor(handle, blocking=False)
                except OSError as error:
                    warnings.warn(
                        f"{place.parent} is on a file system without locks ({error}); see to it "
                        "that no other run writes there",
                        stacklevel=4,
                    )
                    free = True
                if not free:
                    raise FolderInUseError(_refusal(path, handle))
                if _is_at(handle, place):
                    _write_record(handle, purpose)
                    _handles.add(handle)
                    return handle
            except BaseException:
                os.close(handle)
                raise
            # Its last owner has removed the file between opening and locking: take the new one.
            os.close(handle)
    raise StorageError(f"{place} is made and removed again and again; try once more")


def _open(place: Path) -> int:
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    # A pipe put there must not block us.
    flags |= getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(place, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except PermissionError:
        # Another user's file, left by a killed run: it can be locked, but not written to.
        handle = os.open(place, os.O_RDONLY | flags)
    except OSError:
        if place.is_symlink():
            raise StorageError(
                f"{place} is a symbolic link; a lock is not made through one: remove it"
            ) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise StorageError(f"{place} is no regular file and cannot be a lock: remove it")
    return handle


def _is_at(handle: int, place: Path) -> bool:
    """Whether an open file is still the one under its name."""
    try:
        now = os.stat(place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(handle)
    return (mine.st_dev, mine.st_ino) == (now.st_dev, now.st_ino)


def _release(handle: int, place: Path) -> None:
    """Remove the file while it is ours, and let go."""
    if handle not in _handles:
        return  # a forked child leaves the block that its parent is in
    with suppress(OSError):
        if _is_at(handle, place):
            place.unlink()
    _handles.discard(handle)
    os.close(handle)


def _make_folders(folder: Path, purpose: str) -> list[Path]:
    """Make a folder and its parents; the ones made, innermost first."""
    with storage_errors(purpose, folder):
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_folders(folders: list[Path]) -> None:
    """Remove folders that we made, unless something has been put into them."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _write_record(handle: int, purpose: str) -> None:
    """Say in the lock file who holds it."""
    record = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "purpose": purpose[:200],
        "command": shlex.join(sys.argv)[:400],
    }
    # Also with a full disk or another user's file the lock holds, without a name.
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(record).encode()[:_RECORD_BYTES])


def _refusal(path: Path, handle: int) -> str:
    record = _read_record(handle)
    who = "by another run, which could not write who it is"
    if record:
        who = (
            f"for {record['purpose']} by process {record['pid']} on {record['host']}, since "
            f"{record['since']} ({record['command']})"
        )
    return (
        f"{path} is in use {who}; two runs at once would damage it. Wait until that run ends, end "
        "it, or choose another place"
    )


def _read_record(handle: int) -> dict[str, str]:
    """The holder that a lock file names; text of others is cut and made printable."""
    for _ in range(20):
        try:
            os.lseek(handle, 0, os.SEEK_SET)
            record = json.loads(os.read(handle, _RECORD_BYTES))
            return {name: _printable(record[name]) for name in _FIELDS}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            time.sleep(0.005)  # its owner is about to write it
    return {}


_FIELDS = ("purpose", "pid", "host", "since", "command")


def _printable(value: Any) -> str:
    text = str(value)[:400]
    return "".join(c if c.isprintable() else "?" for c in text)


def _forget() -> None:
    """In a forked child: close what the parent holds; the parent's lock stays."""
    for handle in _handles:
        with suppress(OSError):
            os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
