"""CUDA sources as nvcc compiles them: registers, stack and spilled bytes of a thread.

Nothing runs: a GPU is not needed, and other work on the machine changes no figure.
"""

from __future__ import annotations

import hashlib
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from riemann_lne.kernels.emit_cuda import cuda_plan, emit_cuda
from riemann_lne.kernels.trace import FORMULAS

from .lab import NotMeasuredError
from .results import Result, Row, Settings

ARCHITECTURES = ("sm_80", "sm_90")
"""Those that kernels are compiled for: of the A100 and of the H100 and H200."""

KINDS = ((2, "float64"), (4, "float64"), (6, "float64"), (4, "float32"))
"""Orders of differences and types."""

_LIMIT = 120
"""Seconds of processor time after which the compiler is stopped."""

WHOLE = "spilled bytes in one function"
"""Name of the figure for the formula that is not cut."""

_PROPERTIES = re.compile(
    r"properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores.*?"
    r"(?=properties for|Compiling entry|\Z)",
    re.DOTALL,
)
_REGISTERS = re.compile(r"Used (\d+) registers")


@dataclass(frozen=True)
class Compiled:
    """Resources of a thread as the assembler reports them, function by function.

    Attributes
    ----------
    registers : tuple of int
        Registers of 32 bits.
    stack, spilled : tuple of int
        Bytes of the stack, and bytes that are stored to memory for lack of registers.
    called : int
        Most bytes that a called function spills, 0 where there is none.
    """

    registers: tuple[int, ...]
    stack: tuple[int, ...]
    spilled: tuple[int, ...]
    called: int


def compiled(source: str, architecture: str) -> Compiled:
    """Compile a CUDA source and read what the assembler says.

    Raises
    ------
    NotMeasuredError
        If nvcc is not installed.
    RuntimeError
        If it does not compile the source, or not within the limit of its time.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise NotMeasuredError("nvcc is not installed: it comes with NVIDIA's CUDA toolkit", True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.cu").write_text(source, encoding="utf-8")
        done = subprocess.run(
            [
                nvcc,
                "-cubin",
                f"-arch={architecture}",
                "-Xptxas",
                "-v",
                "-o",
                "k.cubin",
                "kernel.cu",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_CPU, (_LIMIT, _LIMIT)),
        )
    said = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"nvcc does not compile it for {architecture}: {said.strip()[-300:]}")
    return read(said)


def read(said: str) -> Compiled:
    """Resources from the messages of ``ptxas -v``.

    >>> said = '''Function properties for run
    ...     16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
    ... ptxas info : Used 255 registers, used 0 barriers
    ... Function properties for _ZN5mixedEv
    ...     0 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads'''
    >>> read(said)
    Compiled(registers=(255,), stack=(16,), spilled=(8,), called=4)
    """
    registers, stack, spilled, called = [], [], [], 0
    for found in _PROPERTIES.finditer(said):
        name, frame, bytes_spilled = found[1], int(found[2]), int(found[3])
        if not re.fullmatch(r"run(_\d+)?", name):
            called = max(called, bytes_spilled)
            continue
        used = _REGISTERS.search(found[0])
        registers.append(int(used[1]) if used else 0)
        stack.append(frame)
        spilled.append(bytes_spilled)
    return Compiled(tuple(registers), tuple(stack), tuple(spilled), called)


def digest(source: str) -> str:
    """The first digits of the SHA-256 of a source, by which a record tells what was compiled."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def kinds(quick: bool) -> Iterator[tuple[str, int, int, str]]:
    """Formula, dimension, order and type of every kernel, the small ones first."""
    for n in (2, 3, 4)[: 1 if quick else 3]:
        for order, dtype in KINDS[1 : 2 if quick else 4] if quick else KINDS:
            for name in FORMULAS[: 1 if quick else None]:
                # These take the compiler longest, and need no more than in double precision.
                if (n, dtype) == (4, "float32") and name != "ricci_deturck":
                    continue
                yield name, n, order, dtype


def _row(name: str, n: int, order: int, dtype: str, whole: bool) -> tuple[Row, str]:
    source = emit_cuda(name, n, order, dtype, whole=whole)
    parameters: dict[str, Any] = {"name": name, "n": n, "order": order, "dtype": dtype}
    parameters |= {"whole": whole, "digest": digest(source)}
    return Row(f"{name}, {n}-D, order {order}, {dtype}", parameters), source


def bench_cuda(settings: Settings) -> Result:
    """CUDA sources as nvcc compiles them: registers, stack and spilled bytes of a thread."""
    result = Result("cuda", "")
    for name, n, order, dtype in kinds(settings.quick):
        row, source = _row(name, n, order, dtype, whole=False)
        settings.say(row.what)
        plan = cuda_plan(name, n, order)
        row.figures = {"functions": len(plan.functions), "values stored": plan.stored}
        for architecture in ARCHITECTURES:
            try:
                found = compiled(source, architecture)
            except NotMeasuredError as error:
                result.notes.append(f"not measured: {error}")
                return result
            assert len(found.spilled) == len(plan.functions), source[:200]
            row.figures |= {
                f"registers, {architecture}": max(found.registers),
                f"stack, {architecture}": max(found.stack),
                f"spilled, {architecture}": max(found.spilled),
                f"spilled in all, {architecture}": sum(found.spilled),
                f"spilled in calls, {architecture}": found.called,
            }
        result.rows.append(row)
    return result


def bench_cuda_whole(settings: Settings) -> Result:
    """The CUDA sources of order 4 that are cut, compiled as one function, for comparison."""
    result = Result("cuda-whole", "")
    for name, n, order, dtype in kinds(settings.quick):
        plan = cuda_plan(name, n, order)
        alike = len(plan.functions) == 1 and not plan.calls
        if alike or (order, dtype) != (4, "float64"):
            continue
        row, source = _row(name, n, order, dtype, whole=True)
        settings.say(row.what)
        try:
            found = compiled(source, ARCHITECTURES[0])
        except NotMeasuredError as error:
            result.notes.append(f"not measured: {error}")
            return result
        except RuntimeError as error:
            result.notes.append(f"{row.what}: {error}")
            continue
        row.figures = {WHOLE: found.spilled[0]}
        result.rows.append(row)
    return result
