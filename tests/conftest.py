"""Shared fixtures: one backend fixture for every test that must hold on all array libraries."""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from riemann_lne.arrays import to_numpy

# A shell that starts the tests in the background has SIGINT ignored, and what they start inherits
# that: the tests that interrupt a run would wait for its end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, so that a failure is a failure of the code; no time limit for
# one example, since machines differ.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("repeatable")


STRICT = ("analysis", "core", "flows", "integrators", "io", "lne")
"""Folders whose tests fail on an overflow, a division by zero or an invalid operation."""


@pytest.fixture(autouse=True)
def _strict_floating_point(request: pytest.FixtureRequest) -> Iterator[None]:
    strict = request.path.parent.name in STRICT
    with np.errstate(all="raise", under="ignore") if strict else nullcontext():
        yield


@dataclass(frozen=True)
class Backend:
    """An array library as a test needs it.

    Attributes
    ----------
    name : str
        Import name of the library.
    xp : module
        Its namespace, as a user would pass it.
    array_type : type
        Class of its arrays.
    """

    name: str
    xp: Any
    array_type: type

    def array(self, values: Any, dtype: str = "float64") -> Any:
        """Array of the library with its own copy of the values; read-only where NumPy can be."""
        host = np.array(values, dtype=dtype)
        if self.name == "torch":  # torch has no read-only arrays and warns about such buffers
            return self.xp.asarray(host)
        if self.name == "cupy":
            return self.xp.asarray(host)
        host.setflags(write=False)
        return host if self.name == "numpy" else self.xp.asarray(host)

    def dtype(self, name: str) -> Any:
        """The library's own dtype of that name."""
        return getattr(self.xp, name)

    def numpy(self, array: Any) -> np.ndarray:
        """The values on the host, after a check that they came from this library."""
        assert isinstance(array, self.array_type), f"{type(array)} is not of {self.name}"
        return to_numpy(array)


def _load(name: str) -> Backend:
    xp = importlib.import_module(name)
    if name == "torch":
        xp.set_num_threads(1)  # the arrays of the tests are small
    if name == "jax.numpy":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    if name == "cupy":
        try:
            devices = xp.cuda.runtime.getDeviceCount()
        except Exception as error:  # the driver's error classes differ between versions
            pytest.skip(f"cupy is installed but finds no usable GPU: {error}")
        if devices == 0:
            pytest.skip("cupy is installed but there is no GPU")
    array_type = xp.Tensor if name == "torch" else type(xp.asarray(0.0))
    if name == "numpy":
        array_type = np.ndarray
    return Backend(name, xp, array_type)


@pytest.fixture(
    params=[
        "numpy",
        "array_api_strict",
        "torch",
        "jax.numpy",
        pytest.param("cupy", marks=pytest.mark.gpu),
    ]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every array library in turn; one that is not installed is skipped with the reason."""
    try:
        return _load(request.param)
    except ImportError as error:
        pytest.skip(f"backend {request.param} is not installed: {error}")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, fresh for every test."""
    return np.random.default_rng(20240607)


class Pointwise:
    """g' = f(t, g) at every point by itself: an ordinary differential equation in disguise."""

    parabolic = False

    def __init__(self, f: Callable[[float, Any], Any], radius: float = 1e-3) -> None:
        self.f, self.radius = f, radius
        self.times: list[float] = []

    def rhs(self, t: float, packed: Any, grid: Any, order: Any) -> Any:
        self.times.append(t)
        return self.f(t, packed)

    def spectral_radius(self, packed: Any, grid: Any, order: Any) -> float:
        return self.radius

    def __repr__(self) -> str:
        return f"Pointwise({self.f.__qualname__})"


@pytest.fixture(scope="session")
def pointwise() -> type[Pointwise]:
    """A flow made of a function (t, packed) -> rate, which knows when it was called."""
    return Pointwise


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _finish(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out + err
    assert "Traceback" not in err


def _wait_for_files(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until the process has made something in the folder, or has ended."""
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    while process.poll() is None:
        for path in folder.rglob("*"):
            try:
                if path.stat().st_mtime_ns != before.get(path):
                    return
            except FileNotFoundError:  # a temporary file that has its name by now
                return
        time.sleep(0.002)


@dataclass
class KillCampaign:
    """Runs of one command in fresh folders, killed at random moments and started again.

    Attributes
    ----------
    command : callable
        Arguments of the interpreter for a folder. The same command starts a run and resumes it;
        it may write files that it needs into a folder that is new.
    result : callable
        All that a run in a folder has produced and that does not depend on the machine, to be
        compared by ``==``.
    root : Path
        Where the folders are made.
    """

    command: Callable[[Path], Sequence[str]]
    result: Callable[[Path], Any]
    root: Path
    seed: int = 7

    def run(self, kills: int) -> None:
        """Kill with SIGKILL up to three times, resume to the end, compare; until enough kills.

        Half of the kills come within the work, after the first file has changed; a fifth at any
        moment since the start of the interpreter; the others right after files have changed.
        """
        chance = random.Random(self.seed)
        quiet = self._folder("quiet")
        begin = time.perf_counter()
        process = _start(self.command(quiet))
        _wait_for_files(process, quiet)
        begun = time.perf_counter() - begin
        _finish(process)
        duration = time.perf_counter() - begin
        expected = self.result(quiet)
        done, trials = 0, 0
        while done < kills:
            trials += 1
            assert trials < 20 * kills, "runs end before they can be killed"
            folder = self._folder(f"hurt-{trials}")
            for _ in range(chance.randint(1, 3)):
                if not self._kill(folder, chance, begun, duration):
                    break
                done += 1
            _finish(_start(self.command(folder)))
            assert self.result(folder) == expected, folder

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir()
        return folder

    def _kill(self, folder: Path, chance: random.Random, begun: float, duration: float) -> bool:
        """Start and kill; False if the run was done before."""
        process = _start(self.command(folder))
        moment = chance.random()
        if moment < 0.2:
            time.sleep(chance.uniform(0.0, duration))
        else:
            _wait_for_files(process, folder)
            time.sleep(chance.uniform(0.0, 0.01 if moment < 0.5 else duration - begun))
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=60)  # also its workers have ended then
        if process.returncode == -signal.SIGKILL:
            return True
        assert process.returncode == 0, out + err
        return False


@pytest.fixture
def kill_campaign(tmp_path: Path) -> Callable[..., None]:
    """A function (command, result, kills): see KillCampaign."""
    if os.name != "posix":
        pytest.skip("SIGKILL is a signal of POSIX systems")

    def run(command: Any, result: Any, kills: int = 20) -> None:
        KillCampaign(command, result, tmp_path).run(kills)

    return run


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own with little room, most of which a file of ballast takes."""

    folder: Path

    def leave(self, pages: int) -> None:
        """Fill the disk up to some free pages of 4096 bytes."""
        self.clear()
        status = os.statvfs(self.folder)
        with open(self.folder / "ballast", "wb") as file:
            file.write(b"x" * (4096 * max(0, status.f_bavail * status.f_bsize // 4096 - pages)))

    def clear(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 4 MiB; skipped where this user or this system cannot mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        reason = done.stderr.strip()
    except OSError as error:
        reason = str(error)
    if not os.path.ismount(folder):
        pytest.skip(f"a small file system cannot be mounted here: {reason}")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)
