"""Starting several processes under MPI, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def launcher() -> str | None:
    """The launcher of the MPI beside this Python, or on the path."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def why_not() -> str | None:
    """Why nothing can be run under MPI here."""
    if find_spec("mpi4py") is None:
        return "mpi4py is not installed (pip install mpi4py mpich)"
    if launcher() is None:
        return "there is no mpiexec (pip install mpich)"
    return None


@pytest.fixture(scope="session")
def mpirun() -> Any:
    """A function that runs a file of this folder in several processes."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)

    def run(
        size: int,
        *arguments: Any,
        timeout: float = 300.0,
        folder: Path = HERE,
        **environment: str,
    ) -> Any:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), str(ROOT / "validation")])
        given = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment}
        return subprocess.run(
            [launcher(), "-n", str(size), sys.executable, *map(str, arguments)],
            capture_output=True, text=True, timeout=timeout, check=False, env=given, cwd=folder,
        )  # fmt: skip

    return run
