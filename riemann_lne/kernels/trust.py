"""Whose code is run: folders and files that only this user (or root) can have written.

A path is walked from the root. Each folder on the way, and each link, has to belong to root or to
this user, and no folder may be writable by its group or by others, unless it has the sticky bit
and so lets nobody replace what belongs to another. When a folder has passed, nobody else can change
which folder is the next, so that there is no moment between check and use.

A library is opened once. Owner, mode and content are those of the open file, and the loader is
given this open file rather than its name, where the system has names for open files.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

_MOST_LINKS = 40
# Libraries have some 100 KB; a file of this size is none of ours and is not read.
_MOST_BYTES = 2**27
_OPEN_FILES = "/proc/self/fd"


def make_private(folder: Path) -> Path:
    """Make a folder, and the parents it lacks, for this user alone (0700 at any umask).

    Returns
    -------
    Path
        The folder without links, as ``require_trusted``.

    Raises
    ------
    OSError
        If it cannot be made, or is not to be trusted.
    """
    folder = Path(os.path.abspath(folder))
    for part in (*reversed(folder.parents), folder):
        try:
            part.lstat()
        except FileNotFoundError:
            if part.parent != part:
                require_trusted(part.parent)
            try:
                part.mkdir(0o700)
            except FileExistsError:
                continue  # another process was faster; it is looked at below
            part.chmod(0o700)
    return require_trusted(folder)


def require_trusted(folder: Path) -> Path:
    """The folder without links, if nobody but root and this user can change what is in it.

    Raises
    ------
    PermissionError
        If somebody can; the message names the place.
    OSError
        If there is no such folder.
    """
    rest = list(reversed(Path(os.path.abspath(folder)).parts))
    place, links = Path(rest.pop()), 0
    _check_folder(place)
    while rest:
        name = rest.pop()
        if name == os.pardir:
            place = place.parent
            continue
        status = (place / name).lstat()
        if not stat.S_ISLNK(status.st_mode):
            place /= name
            _check_folder(place)
            continue
        _check_owner(place / name, status)
        links += 1
        if links > _MOST_LINKS:
            raise OSError(f"{folder} has too many links")
        target = Path(os.readlink(place / name))
        if target.is_absolute():
            place = Path(target.anchor)
        rest += reversed([p for p in target.parts if p != target.anchor])
    return place


def _check_folder(place: Path) -> None:
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{place} is not a folder")
    _check_owner(place, status)
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if os.name == "posix" and shared and not status.st_mode & stat.S_ISVTX:
        raise PermissionError(
            f"{place} can be written to by others (mode {stat.S_IMODE(status.st_mode):o})"
        )


def _check_owner(place: Path, status: os.stat_result) -> None:
    if hasattr(os, "geteuid") and status.st_uid not in (0, os.geteuid()):
        raise PermissionError(f"{place} belongs to another user ({status.st_uid})")


# A name for every library: the loader gives back what it has loaded before under a name, and
# numbers of open files are used again.
_numbers = itertools.count(1)


def load_library(
    path: Path, wanted: str, digest: Callable[[bytes], str], symbols: Sequence[str] = ()
) -> ctypes.CDLL:
    """Load a library whose content has this digest and that has these functions.

    Raises
    ------
    OSError
        If it cannot be opened or loaded, belongs to somebody else, may be written to by others, or
        is not whole; the message says which.
    """
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags)
    try:
        _check_file(path, os.fstat(handle))
        with open(handle, "rb", closefd=False) as file:
            content = file.read(_MOST_BYTES + 1)
        if digest(content) != wanted:
            raise OSError(f"{path} is damaged: its content has another digest than its name")
        place = str(path)
        if os.path.isdir(_OPEN_FILES):
            place = f"{_OPEN_FILES}{'/' * next(_numbers)}{handle}"
        library = ctypes.CDLL(place)
    finally:
        os.close(handle)
    missing = [name for name in symbols if not hasattr(library, name)]
    if missing:
        raise OSError(f"{path} lacks the functions {', '.join(missing)}")
    return library


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no regular file")
    _check_owner(path, status)
    if os.name == "posix" and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{path} can be written to by others")
    if status.st_size > _MOST_BYTES:
        raise OSError(f"{path} has {status.st_size} bytes and cannot be a kernel")
