"""Where compiled kernels are kept between processes, so that each is built once on a machine.

A library is stored under a name made of its key (source, compiler, flags and processor) and of the
SHA-256 of its own bytes. It is written to a temporary file and renamed, so that processes that
build the same kernel at once do not disturb one another, and its bytes are checked before it is
loaded: one that was cut short or damaged is removed and built anew. Which folders and files are
trusted, and how a library is loaded, is in ``trust``.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..checks import printable
from ..errors import KernelUnavailableError, StorageError
from .trust import load_library, make_private, require_trusted

VARIABLE = "RIEMANN_LNE_CACHE_DIR"
_DIGITS = 24
_log = logging.getLogger("riemann_lne.kernels")


def cache_directory() -> Path:
    """Folder of the compiled kernels.

    That of the environment variable RIEMANN_LNE_CACHE_DIR, else the platform's folder for caches
    of the user: ``$XDG_CACHE_HOME`` or ``~/.cache``, ``~/Library/Caches`` on macOS, with
    ``riemann-lne/kernels`` in it. It need not exist.

    Raises
    ------
    StorageError
        If no folder is named and the user has no home.

    Examples
    --------
    >>> cache_directory().is_absolute()
    True
    """
    chosen = os.environ.get(VARIABLE)
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        if sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base.absolute() / "riemann-lne" / "kernels"
    except (RuntimeError, OSError) as error:
        # A user without HOME and without an entry among the users; a working folder that is gone.
        raise StorageError(
            f"there is no folder for compiled kernels ({error}); name one in the environment "
            f"variable {VARIABLE}"
        ) from error


def clear_cache() -> int:
    """Remove all compiled kernels of the cache; returns their number.

    Kernels in use stay in use. Other files in the folder are left alone.
    """
    found = list(cache_directory().glob("kernel-*.so"))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def folders() -> Iterator[Path]:
    """Folders for libraries, the best first: the cache, then a temporary one of this process.

    Libraries in them will be executed: a folder that others may write to, or whose parents they
    may write to, is not used.

    Raises
    ------
    KernelUnavailableError
        After those that can be used: with the reasons for the others. In a browser at once.
    """
    if sys.platform == "emscripten":
        raise KernelUnavailableError(
            "no C compiler runs in a browser: use kernel='plain', or run Python outside of it"
        )
    reasons = []
    for make in (_cache_folder, _temporary_folder):
        try:
            yield make()
        except OSError as error:
            reasons.append(str(error))
            if make is _cache_folder:
                _say_once(str(error))
    raise KernelUnavailableError(
        f"there is no folder that compiled kernels can be loaded from ({'; '.join(reasons)}); name "
        f"one of your own in the environment variable {VARIABLE}"
    )


def _cache_folder() -> Path:
    folder = make_private(cache_directory())
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")
    return folder


_TEMPORARY: list[Path] = []


def _temporary_folder() -> Path:
    if not _TEMPORARY or not _TEMPORARY[0].is_dir():
        folder = Path(tempfile.mkdtemp(prefix="riemann-lne-"))
        folder.chmod(0o700)  # whatever the umask is
        _TEMPORARY[:] = [folder]
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return require_trusted(_TEMPORARY[0])


@cache
def _say_once(reason: str) -> None:
    _log.warning(
        "compiled kernels are not kept, each process builds its own: %s; name another folder in "
        "the environment variable %s",
        printable(reason),
        VARIABLE,
    )


def find(folder: Path, key: str, symbols: Sequence[str] = ()) -> tuple[Path, ctypes.CDLL] | None:
    """A library of this key, loaded; those that are damaged or do not load are removed."""
    for path in sorted(folder.glob(f"kernel-{key}-*.so")):
        try:
            return path, load_library(path, path.stem.rpartition("-")[2], digest, symbols)
        except OSError as error:
            _log.info("%s is removed: %s", printable(path), printable(error))
            with suppress(OSError):
                path.unlink(missing_ok=True)
    return None


def keep(folder: Path, key: str, built: Path) -> Path:
    """Move a library that was just built (in the same folder) to its place."""
    built.chmod(0o600)  # with some umasks others could write to it
    path = folder / f"kernel-{key}-{digest(built.read_bytes())}.so"
    os.replace(built, path)
    return path


def digest(content: bytes) -> str:
    """The first digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
