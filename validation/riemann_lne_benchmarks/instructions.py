"""Instruction sets: how a processor with AVX-512 is measured as one that has AVX2 alone."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from riemann_lne.errors import UnknownNameError

SETS = ("native", "avx2")
"""All that the processor has; AVX2 with its 16 registers."""

_VARIABLES = {
    # Names of NumPy 2.4 and of those before; those that it does not know have no effect.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL "
    "AVX512_ICL AVX512_SPR",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def compiler() -> list[str] | None:
    """The command of the C compiler with its options: CC, else cc, gcc or clang; None without."""
    words = shlex.split(os.environ.get("CC", ""))
    if words:
        return words
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return [found] if found else None


@contextmanager
def using(name: str) -> Iterator[None]:
    """Have kernels, NumPy, JAX, PyTorch and BLAS in new processes use an instruction set.

    Kernels that are loaded in this process within the block use it as well; its NumPy does not.

    Raises
    ------
    UnknownNameError
        If there is no such set.
    """
    if name not in SETS:
        raise UnknownNameError("instruction set", name, SETS)
    if name == "native":
        yield
        return
    words = compiler() or ["cc"]
    new = {**_VARIABLES, "CC": shlex.join([*words, "-mno-avx512f"])}
    before = {key: os.environ.get(key) for key in new}
    os.environ.update(new)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
