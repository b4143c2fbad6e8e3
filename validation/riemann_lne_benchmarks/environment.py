"""The machine and the versions that a record belongs to."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from riemann_lne import __version__
from riemann_lne.threads import usable_cores

from .instructions import compiler

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def thread_environment(threads: int) -> dict[str, str]:
    """The variables by which numerical libraries are told their number of threads."""
    return {name: str(threads) for name in _THREAD_VARIABLES}


def cpu_model() -> str:
    """The processor's name, with the width of its vectors where the system tells."""
    lines = _read("/proc/cpuinfo").splitlines()
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = fields.get("flags", "").split()
    best = next((f for f in ("avx512f", "avx2", "avx", "sse2") if f in flags), "")
    family = f"family {fields['cpu family']} " if "cpu family" in fields else ""
    return f"{name} ({family}{best})" if best else name


def cache_bytes() -> int:
    """Size of the largest cache of the first core, 0 if the system does not tell."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = _read(path).strip()
        units = {"K": 2**10, "M": 2**20, "G": 2**30}
        if text[:-1].isdigit() and text[-1] in units:
            sizes.append(int(text[:-1]) * units[text[-1]])
    return max(sizes)


def available_bytes() -> int | None:
    """Memory that can be taken without swapping, None if the system does not tell."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def c_compiler() -> str:
    """First line of the C compiler's version, or that there is none."""
    command = compiler()
    if command is None:
        return "none"
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    return (done.stdout.splitlines() or ["unknown"])[0]


def nvcc() -> dict[str, str]:
    """The version of NVIDIA's compiler, where it is installed."""
    command = shutil.which("nvcc")
    if command is None:
        return {}
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"release [\d.]+, (V[\d.]+)", done.stdout)
    return {"nvcc": f"nvcc {found[1]}"} if found else {}


def environment() -> dict[str, Any]:
    """Versions and machine; two records with equal ones may be put together."""
    versions = {"riemann-lne": __version__, "numpy": np.__version__, "scipy": scipy.__version__}
    for name in ("torch", "cupy-cuda12x"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    memory = _read("/proc/meminfo").splitlines()
    total = int(memory[0].split()[1]) * 1024 if memory else 0
    return {
        "cpu": cpu_model(),
        "cores": len(usable_cores()),
        "largest cache, MiB": round(cache_bytes() / 2**20, 1),
        "memory, GiB": round(total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "C compiler": c_compiler(),
        **nvcc(),
        **versions,
    }


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
