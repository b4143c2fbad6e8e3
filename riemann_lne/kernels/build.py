"""From C source to a loaded library: the compiler, its flags, and the cache."""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import KernelUnavailableError
from .cache import digest, find, folders, keep
from .trust import load_library

# Not -ffast-math: it brings no speed here, and breaks NaN. Contraction to fused multiply-adds
# is the default of the compilers within a statement; kernels have one operation a statement.
_FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno")
# The first set that a compiler accepts is taken.
_MACHINE_FLAGS = (("-march=native",), ("-mcpu=native",), ())
# A build takes seconds; something is wrong with a compiler that takes longer than this.
_TIMEOUT = 600.0
# The trial is a line of C.
_TRIAL_TIMEOUT = 60.0
_SILENT = "no answer"


@dataclass(frozen=True)
class Compiler:
    """A C compiler that works: its command with flags, and its version."""

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Library:
    """A loaded library, and the seconds that building took (0 if it was in the cache)."""

    handle: ctypes.CDLL
    path: Path
    seconds: float
    key: str


# Commands that did not come back: they are not waited for again.
_HANGING: dict[tuple[str, ...], str] = {}
_COMPILERS: dict[str | None, Compiler] = {}


def find_compiler(chosen: str | None = None, folder: Path | None = None) -> Compiler:
    """The compiler of the environment variable CC, else cc, gcc or clang.

    Parameters
    ----------
    chosen : str, optional
        A command, with options if need be.
    folder : Path, optional
        Where it is tried out; by default in a folder as ``cache.folders`` gives them.

    Raises
    ------
    KernelUnavailableError
        If there is none, or none that works.
    """
    if chosen not in _COMPILERS:
        _COMPILERS[chosen] = _find_compiler(chosen, folder or next(folders()))
    return _COMPILERS[chosen]


def _find_compiler(chosen: str | None, folder: Path) -> Compiler:
    reasons = []
    for name in (chosen,) if chosen else ("cc", "gcc", "clang"):
        try:
            command = tuple(shlex.split(name))
        except ValueError as error:
            reasons.append(f"{name}: {error}")
            continue
        if not command or shutil.which(command[0]) is None:
            reasons.append(f"{name}: not found")
            continue
        for machine in _MACHINE_FLAGS:
            complete = (*command, *_FLAGS, *machine)
            reason = _HANGING.get(command) or _trial(complete, folder)
            if reason is None:
                return Compiler(complete, _output((*command, "--version"), folder))
            if reason.startswith(_SILENT):
                _HANGING[command] = reason
                break
        reasons.append(f"{name}: {reason}")
    raise KernelUnavailableError(
        f"no C compiler works ({'; '.join(reasons)}); install gcc or clang (Debian and Ubuntu: apt "
        "install gcc; macOS: xcode-select --install), or name one in the environment variable CC"
    )


def _trial(command: tuple[str, ...], folder: Path) -> str | None:
    """None if the command compiles the code that kernels consist of, else its message."""
    source = (
        "typedef double vec __attribute__((vector_size(16)));\nvec f(vec x) { return x * x; }\n"
    )
    try:
        with _workplace(folder) as place:
            path = place / "trial.c"
            _write(path, source)
            return _compile(command, path, place / "trial.so", _TRIAL_TIMEOUT)
    except OSError as error:
        return f"it cannot be tried in {folder}: {error}"


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A folder for a build, for this user alone at any umask."""
    with tempfile.TemporaryDirectory(
        dir=folder, prefix="build-", ignore_cleanup_errors=True
    ) as place:
        path = Path(place)
        path.chmod(0o700)
        yield path


def _write(path: Path, source: str) -> None:
    with open(path, "x", encoding="utf-8") as file:
        path.chmod(0o600)
        file.write(source)


def _compile(
    command: tuple[str, ...], source: Path, target: Path, timeout: float = _TIMEOUT
) -> str | None:
    """Run the compiler; None if it succeeded, else the end of its message."""
    status, said = _run((*command, "-o", str(target), str(source)), source.parent, timeout)
    if status == 0:
        return None if target.exists() else "exit status 0, but it wrote no library"
    return said if status is None else f"exit status {status}: {said.strip()[-500:]}"


def _output(command: tuple[str, ...], folder: Path) -> str:
    status, said = _run(command, folder, _TRIAL_TIMEOUT)
    return said if status == 0 else ""


def _run(command: tuple[str, ...], folder: Path, timeout: float) -> tuple[int | None, str]:
    """Exit status and output of a command; no status, and the reason, if there was none.

    Its temporary files go to the folder: the system's may be missing, full or closed to us. What it
    says may be in any encoding. It has a session of its own, so that a compiler that is a script
    ends with all that it has started.
    """
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder), "LC_ALL": "C"},
            start_new_session=True,
            umask=0o077 if os.name == "posix" else -1,
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                _kill(process)
                raise
    except subprocess.TimeoutExpired:
        return None, f"{_SILENT} in {timeout:g} s"
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return None, str(error)
    said = out if process.returncode == 0 else err or out
    return process.returncode, said.decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


@cache
def machine() -> str:
    """Description of this very processor, as far as a library depends on it."""
    parts = [platform.system(), platform.machine(), platform.processor()]
    try:
        # One processor of the first socket stands for all.
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer")
        parts += [line for line in first.splitlines() if line.startswith(wanted)]
    except OSError:
        pass
    return "\n".join(parts)


_LOADED: dict[str, Library] = {}
_LOCK = threading.Lock()


def load(source: str, name: str, symbols: Sequence[str] = ("run",)) -> Library:
    """The library of a source: from this process, from the cache, or built.

    Parameters
    ----------
    source : str
        In C.
    name : str
        For messages.
    symbols : sequence of str
        Functions that it has to have.

    Raises
    ------
    KernelUnavailableError
        If there is no compiler, it refuses the source, or there is no folder for the library.
    """
    with _LOCK:
        places = folders()
        first = next(places)
        compiler = find_compiler(os.environ.get("CC"), first)
        text = "\0".join((source, *compiler.command, compiler.version, machine()))
        key = digest(text.encode(errors="surrogateescape"))
        if key not in _LOADED:
            _LOADED[key] = _find_or_build(compiler, source, key, name, symbols, (first, places))
        return _LOADED[key]


def _find_or_build(
    compiler: Compiler,
    source: str,
    key: str,
    name: str,
    symbols: Sequence[str],
    places: tuple[Path, Iterator[Path]],
) -> Library:
    """From the first folder in which it is found or can be built, and loaded."""
    start = time.perf_counter()
    reasons = []
    for folder in itertools.chain([places[0]], _until_refused(places[1])):
        found = find(folder, key, symbols)
        if found is not None:
            return Library(found[1], found[0], 0.0, key)
        try:
            path = _build(compiler, source, folder, key, name)
            handle = load_library(path, path.stem.rpartition("-")[2], digest, symbols)
        except OSError as error:
            # A full disk, or one that forbids execution: the next folder may do.
            reasons.append(f"{folder}: {error}")
            continue
        return Library(handle, path, time.perf_counter() - start, key)
    raise KernelUnavailableError(
        f"the kernel {name} could not be stored and loaded ({'; '.join(reasons)}); make room "
        "there, or name a folder on a disk that allows execution in the environment variable "
        "RIEMANN_LNE_CACHE_DIR"
    )


def _until_refused(places: Iterator[Path]) -> Iterator[Path]:
    """The folders, without the error that comes after the last one."""
    with suppress(KernelUnavailableError):
        yield from places


def _build(compiler: Compiler, source: str, folder: Path, key: str, name: str) -> Path:
    with _workplace(folder) as place:
        path, target = place / "kernel.c", place / "kernel.so"
        _write(path, source)
        reason = _compile(compiler.command, path, target)
        if reason is not None:
            raise KernelUnavailableError(
                f"the kernel {name} could not be built with {compiler.command[0]}: {reason}; "
                "use kernel='plain', or another compiler by way of the environment variable CC"
            )
        return keep(folder, key, target)
