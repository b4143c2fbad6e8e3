"""From C source to a loaded library: the compiler, its flags, and the cache."""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import KernelUnavailableError
from .cache import digest, find, keep, writable_directory

# Not -ffast-math: it brings no speed here, and breaks NaN. Contraction to fused multiply-adds
# is what the compilers do by default within a statement; kernels have one operation a statement.
_FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno")
# The first set that a compiler accepts is taken.
_MACHINE_FLAGS = (("-march=native",), ("-mcpu=native",), ())
# A build takes seconds; something is wrong with a compiler that takes longer than this.
_TIMEOUT = 600.0


@dataclass(frozen=True)
class Compiler:
    """A C compiler that works: its command with flags, and its version."""

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Library:
    """A loaded library, and what it took to get it (0 seconds if it was in the cache)."""

    handle: ctypes.CDLL
    path: Path
    seconds: float
    key: str


@cache
def find_compiler(chosen: str | None = None) -> Compiler:
    """The compiler of the environment variable CC, else cc, gcc or clang.

    Raises
    ------
    KernelUnavailableError
        If there is none, or none that works.
    """
    reasons = []
    for name in (chosen,) if chosen else ("cc", "gcc", "clang"):
        command = tuple(shlex.split(name))
        if not command or shutil.which(command[0]) is None:
            reasons.append(f"{name}: not found")
            continue
        for machine in _MACHINE_FLAGS:
            complete = (*command, *_FLAGS, *machine)
            reason = _trial(complete)
            if reason is None:
                return Compiler(complete, _output((*command, "--version")))
        reasons.append(f"{name}: {reason}")
    raise KernelUnavailableError(
        f"no C compiler works ({'; '.join(reasons)}); install gcc or clang (Debian and Ubuntu: apt "
        "install gcc; macOS: xcode-select --install), or name one in the environment variable CC"
    )


def _trial(command: tuple[str, ...]) -> str | None:
    """None if the command compiles what kernels are made of, else what it said."""
    source = (
        "typedef double vec __attribute__((vector_size(16)));\nvec f(vec x) { return x * x; }\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.c"
        path.write_text(source, encoding="utf-8")
        return _compile(command, path, Path(folder) / "trial.so")


def _compile(command: tuple[str, ...], source: Path, target: Path) -> str | None:
    """Run the compiler; None if it succeeded, else the end of what it said."""
    try:
        done = subprocess.run(
            [*command, "-o", str(target), str(source)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0 and target.exists():
        return None
    return f"exit status {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"


def _output(command: tuple[str, ...]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


@cache
def machine() -> str:
    """What a library for this very processor depends on, as text."""
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


def load(source: str, name: str) -> Library:
    """The library of a source: from this process, from the cache, or built.

    Raises
    ------
    KernelUnavailableError
        If there is no compiler, or it refuses the source.
    """
    compiler = find_compiler(os.environ.get("CC"))
    text = "\0".join((source, *compiler.command, compiler.version, machine()))
    key = digest(text.encode())
    with _LOCK:
        if key not in _LOADED:
            start = time.perf_counter()
            folder = writable_directory()
            path = find(folder, key)
            if path is not None:
                _LOADED[key] = Library(_open(path), path, 0.0, key)
            else:
                path = _build(compiler, source, folder, key, name)
                _LOADED[key] = Library(_open(path), path, time.perf_counter() - start, key)
        return _LOADED[key]


def _build(compiler: Compiler, source: str, folder: Path, key: str, name: str) -> Path:
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as place:
            path, target = Path(place) / "kernel.c", Path(place) / "kernel.so"
            path.write_text(source, encoding="utf-8")
            reason = _compile(compiler.command, path, target)
            if reason is not None:
                raise KernelUnavailableError(
                    f"the kernel {name} could not be built with {compiler.command[0]}: {reason}; "
                    "use kernel='plain', or another compiler by way of the environment variable CC"
                )
            return keep(folder, key, target)
    except OSError as error:
        raise KernelUnavailableError(
            f"the kernel {name} could not be stored in {folder}: {error}; make room there, or name "
            "another folder in the environment variable RIEMANN_LNE_CACHE_DIR"
        ) from error


def _open(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelUnavailableError(
            f"{path} was built but cannot be loaded: {error}; if its folder forbids execution, "
            "name another one in the environment variable RIEMANN_LNE_CACHE_DIR"
        ) from error
