"""Description, for records, of the machine and the libraries of a run."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from riemann_lne import __version__

__all__ = ["environment"]


def environment() -> dict[str, Any]:
    """Versions, processor and commit, for the records."""
    return {
        "riemann_lne": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    """The commit of the package's checkout, "+" behind it if files were changed; else None."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 10}
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, **options)
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], check=True, **options
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if status.stdout.strip() else "")
