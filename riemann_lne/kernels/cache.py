"""Where compiled kernels are kept between processes, so that each is built once on a machine.

A library is stored under a name made of its key (source, compiler, flags and processor) and of the
SHA-256 of its own bytes. It is written to a temporary file and renamed, so that processes that
build the same kernel at once do not disturb one another, and its bytes are checked before it is
loaded: one that was cut short or damaged is removed and built anew.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

VARIABLE = "RIEMANN_LNE_CACHE_DIR"
_DIGITS = 24


def cache_directory() -> Path:
    """Folder of the compiled kernels.

    That of the environment variable RIEMANN_LNE_CACHE_DIR, else the platform's folder for caches
    of the user: ``$XDG_CACHE_HOME`` or ``~/.cache``, ``~/Library/Caches`` on macOS, with
    ``riemann-lne/kernels`` in it. It need not exist.

    Examples
    --------
    >>> cache_directory().is_absolute()
    True
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base.absolute() / "riemann-lne" / "kernels"


def clear_cache() -> int:
    """Remove all compiled kernels of the cache; returns their number.

    Kernels in use stay in use. Other files in the folder are left alone.
    """
    found = list(cache_directory().glob("kernel-*.so"))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def writable_directory() -> Path:
    """The cache, made if need be; a temporary folder of the process if that cannot be had.

    What lies in it will be executed: a folder that others may write to is not used.
    """
    path = cache_directory()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
        if (
            foreign
            or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            or not os.access(path, os.W_OK)
        ):
            raise PermissionError(path)
    except OSError:
        return _temporary_directory()
    return path


_TEMPORARY: list[tempfile.TemporaryDirectory[str]] = []


def _temporary_directory() -> Path:
    if not _TEMPORARY:
        _TEMPORARY.append(tempfile.TemporaryDirectory(prefix="riemann-lne-"))
    return Path(_TEMPORARY[0].name)


def find(folder: Path, key: str) -> Path | None:
    """A whole library of this key; damaged ones are removed."""
    for path in sorted(folder.glob(f"kernel-{key}-*.so")):
        try:
            if path.stem.rpartition("-")[2] == digest(path.read_bytes()):
                return path
            path.unlink(missing_ok=True)
        except OSError:
            continue
    return None


def keep(folder: Path, key: str, built: Path) -> Path:
    """Move a library that was just built (in the same folder) to its place."""
    path = folder / f"kernel-{key}-{digest(built.read_bytes())}.so"
    os.replace(built, path)
    return path


def digest(content: bytes) -> str:
    """The first digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
